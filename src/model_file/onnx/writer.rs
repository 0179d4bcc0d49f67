//! A graph as it is written: nodes in the order of their computation, and constants.

use std::collections::{HashMap, HashSet};

use prost::bytes::Bytes;

use super::message::{
    Attribute, Dimension, Graph, Node, Shape, Tensor, TensorType, ValueInfo, ValueType,
    attribute_type, data_type,
};

/// The domain of ONNX's operators for classical machine learning.
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";

/// The type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Single,
    Double,
}

impl Number {
    pub(super) fn data_type(self) -> i32 {
        if self == Number::Double { data_type::DOUBLE } else { data_type::FLOAT }
    }
}

/// A graph under construction. A value is a name.
pub(super) struct GraphWriter {
    graph: Graph,
    /// The type of the network's numbers.
    pub(super) number: Number,
    pub(super) opset: i64,
    /// Where the next nodes belong, for their names.
    scope: String,
    /// Every name of a value.
    taken: HashSet<String>,
    /// Constants by type, shape and bytes, so that none is there twice.
    constants: HashMap<(i32, Vec<i64>, Vec<u8>), String>,
}

impl GraphWriter {
    /// Without nodes. `reserved`: names that no value inside may have.
    pub(super) fn new(number: Number, opset: i64, reserved: HashSet<String>) -> Self {
        let graph = Graph { name: "travertine".to_owned(), ..Graph::default() };
        let constants = HashMap::new();
        GraphWriter { graph, number, opset, scope: String::new(), taken: reserved, constants }
    }

    pub(super) fn finish(self) -> Graph {
        self.graph
    }

    pub(super) fn is_double(&self) -> bool {
        self.number == Number::Double
    }

    /// The names of the nodes that follow begin with this.
    pub(super) fn scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// `name`, or the first name of this form that no value has yet.
    pub(super) fn free(&mut self, name: &str) -> String {
        let mut name = name.to_owned();
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// An input of the graph. Its name is reserved already.
    pub(super) fn input(&mut self, name: &str, kind: i32, columns: i64, doc: String) {
        self.graph.input.push(value_info(name, kind, Some(columns), doc));
    }

    /// An output of the graph, `[N]` where `columns` is `None`, which takes the value over.
    pub(super) fn output(
        &mut self,
        (value, name): (&str, &str),
        kind: i32,
        columns: Option<i64>,
        doc: &str,
    ) {
        let name = self.free(name);
        self.graph.node.push(node("Identity", &[value], &name, Vec::new()));
        self.graph.output.push(value_info(&name, kind, columns, doc.to_owned()));
    }

    /// A parameter of the network. Its name is reserved already.
    pub(super) fn parameter(&mut self, name: &str, shape: &[usize], bytes: Vec<u8>) {
        let dims = shape.iter().map(|&rows| rows as i64).collect();
        self.graph.initializer.push(Tensor {
            dims,
            data_type: Some(self.number.data_type()),
            name: name.to_owned(),
            raw_data: Some(bytes.into()),
            ..Tensor::default()
        });
    }

    /// The result of an operator.
    pub(super) fn apply(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        self.of_domain("", op, inputs, attributes)
    }

    /// The result of an operator of [`ML_DOMAIN`].
    pub(super) fn apply_ml(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        self.of_domain(ML_DOMAIN, op, inputs, attributes)
    }

    fn of_domain(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        let number = self.graph.node.len();
        let name = self.free(&format!("{}/{op}_{number}", self.scope));
        let node = node(op, inputs, &name, attributes);
        self.graph.node.push(Node { domain: domain.to_owned(), name: name.clone(), ..node });
        name
    }

    /// The first result of TopK, which has two.
    pub(super) fn top(&mut self, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let values = self.apply("TopK", inputs, attributes);
        let indices = self.free(&format!("{values}/indices"));
        if let Some(node) = self.graph.node.last_mut() {
            node.output.push(indices);
        }
        values
    }

    /// Both inputs by an operator.
    pub(super) fn pair(&mut self, op: &str, a: &str, b: &str) -> String {
        self.apply(op, &[a, b], Vec::new())
    }

    pub(super) fn add(&mut self, a: &str, b: &str) -> String {
        self.pair("Add", a, b)
    }

    pub(super) fn sub(&mut self, a: &str, b: &str) -> String {
        self.pair("Sub", a, b)
    }

    pub(super) fn mul(&mut self, a: &str, b: &str) -> String {
        self.pair("Mul", a, b)
    }

    pub(super) fn div(&mut self, a: &str, b: &str) -> String {
        self.pair("Div", a, b)
    }

    /// A function of one input.
    pub(super) fn map(&mut self, op: &str, x: &str) -> String {
        self.apply(op, &[x], Vec::new())
    }

    pub(super) fn concat(&mut self, values: &[String], axis: i64) -> String {
        match values {
            [one] => one.clone(),
            _ => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                self.apply("Concat", &values, vec![int("axis", axis)])
            }
        }
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.integers(shape);
        self.pair("Reshape", x, &shape)
    }

    pub(super) fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.apply("Transpose", &[x], vec![ints("perm", order)])
    }

    pub(super) fn gather(&mut self, x: &str, indices: &str, axis: i64) -> String {
        self.apply("Gather", &[x, indices], vec![int("axis", axis)])
    }

    /// The part of `x` from `from` to `to` (exclusive) along an axis.
    pub(super) fn slice(&mut self, x: &str, axis: i64, from: usize, to: usize) -> String {
        let (from, to) = (self.integers(&[from as i64]), self.integers(&[to as i64]));
        let axis = self.integers(&[axis]);
        self.apply("Slice", &[x, &from, &to, &axis], Vec::new())
    }

    pub(super) fn cast(&mut self, x: &str, to: i32) -> String {
        self.apply("Cast", &[x], vec![int("to", i64::from(to))])
    }

    /// A number of the network's type.
    pub(super) fn scalar(&mut self, x: f64) -> String {
        self.constant(self.number, &[], &[x])
    }

    /// Numbers as a constant.
    pub(super) fn constant(&mut self, number: Number, shape: &[usize], values: &[f64]) -> String {
        let bytes = match number {
            Number::Double => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Number::Single => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        };
        let dims = shape.iter().map(|&rows| rows as i64).collect();
        self.raw(number.data_type(), dims, bytes)
    }

    /// Whole numbers as a constant of one dimension.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.raw(data_type::INT64, vec![values.len() as i64], bytes)
    }

    fn raw(&mut self, kind: i32, dims: Vec<i64>, bytes: Vec<u8>) -> String {
        let key = (kind, dims.clone(), bytes.clone());
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.free(&format!("constant_{}", self.constants.len()));
        self.constants.insert(key, name.clone());
        self.graph.initializer.push(Tensor {
            dims,
            data_type: Some(kind),
            name: name.clone(),
            raw_data: Some(bytes.into()),
            ..Tensor::default()
        });
        name
    }

    /// Texts as a constant of one dimension.
    pub(super) fn texts(&mut self, texts: &[String]) -> String {
        let name = self.free("texts");
        self.graph.initializer.push(Tensor {
            dims: vec![texts.len() as i64],
            data_type: Some(data_type::STRING),
            name: name.clone(),
            string_data: texts.iter().map(|text| bytes(text)).collect(),
            ..Tensor::default()
        });
        name
    }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> Node {
    Node {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        op_type: op.to_owned(),
        attribute,
        ..Node::default()
    }
}

/// `[N, columns]` or `[N]`.
fn value_info(name: &str, kind: i32, columns: Option<i64>, doc_string: String) -> ValueInfo {
    let samples = Dimension { param: Some("N".to_owned()), value: None };
    let columns = columns.map(|value| Dimension { value: Some(value), param: None });
    let shape = Some(Shape { dim: [samples].into_iter().chain(columns).collect() });
    let tensor = Some(TensorType { elem_type: Some(kind), shape });
    ValueInfo { name: name.to_owned(), value_type: Some(ValueType { tensor }), doc_string }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn attribute(name: &str, kind: i32) -> Attribute {
    Attribute { name: name.to_owned(), kind: Some(kind), ..Attribute::default() }
}

pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, attribute_type::INT) }
}

pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { ints: values.to_vec(), ..attribute(name, attribute_type::INTS) }
}

pub(super) fn float(name: &str, value: f64) -> Attribute {
    Attribute { f: Some(value as f32), ..attribute(name, attribute_type::FLOAT) }
}

pub(super) fn strings(name: &str, values: &[String]) -> Attribute {
    let strings = values.iter().map(|text| bytes(text)).collect();
    Attribute { strings, ..attribute(name, attribute_type::STRINGS) }
}
