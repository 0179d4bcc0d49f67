//! From an ONNX file to a model file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost::Message;
use prost::bytes::Bytes;
use safetensors::Dtype;

use super::assemble::{Built, Outputs, assemble};
use super::call::Call;
use super::expression::{Expressions, Id};
use super::front::{Base, Column, Feature};
use super::message::{Attribute, Graph, Model, Node, ValueInfo, data_type, type_name};
use super::tensor::{Constant, Data, MOST_AXES, Place, constant, is_double};
use super::value::{Attributes, Fault, Found, Rows, Value};
use super::writer::ML_DOMAIN;
use super::{casts, constants, guard, learning, nodes, operators, own};
use crate::error::{Error, Result};
use crate::model_file::header::tensors_of;
use crate::model_file::numbers;
use crate::model_file::write::Parts;

/// Versions of ONNX's operators that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;
/// Features of an input, beside one for every number in the file.
const MOST_FEATURES: usize = 1 << 14;

/// The model file of an ONNX file's bytes. `path`: where they come from; `None` for bytes in memory.
pub(in crate::model_file) fn to_safetensors(
    bytes: Vec<u8>,
    path: Option<&Path>,
) -> Result<Vec<u8>> {
    let file = path.map_or("model bytes".to_owned(), |path| path.display().to_string());
    let bad = |place: &str, expected: &str, found: String| {
        Error::format(file.clone(), place, expected, found)
    };
    let is_model = "an ONNX model";
    guard::check(&bytes).map_err(|found| bad("messages", is_model, found))?;
    let length = bytes.len();
    let model = Model::decode(Bytes::from(bytes))
        .map_err(|error| bad("messages", is_model, error.to_string()))?;
    let folder = path.map(|path| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    });
    let place = Place { folder };
    if let Some(bytes) = own::read(&model, &place) {
        return Ok(bytes);
    }
    let read = read_model(&model, (&file, &place), length);
    if own::is_own(&model) { read.map_err(own::changed) } else { read }
}

/// The model file of a file of another program.
fn read_model(model: &Model, (file, place): (&str, &Place), length: usize) -> Result<Vec<u8>> {
    let bad = |place: &str, expected: &str, found: String| {
        Error::format(file.to_owned(), place, expected, found)
    };
    let Some(graph) = &model.graph else {
        return Err(bad("graph", "a graph", "none".to_owned()));
    };
    if !model.functions.is_empty() || !graph.sparse_initializer.is_empty() {
        let found = "functions of its own, or sparse constants".to_owned();
        return Err(bad("graph", "operators of ONNX and dense constants", found));
    }
    let opset = model.opset_import.iter().find(|set| ["", "ai.onnx"].contains(&&*set.domain));
    let opset = opset.and_then(|set| set.version).unwrap_or(1);
    if !OPSETS.contains(&opset) {
        let (least, most) = (OPSETS.start(), OPSETS.end());
        return Err(bad("opset", &format!("{least} to {most}"), opset.to_string()));
    }
    let mut reader = Reader {
        file,
        place,
        opset,
        batch: None,
        expressions: Expressions::new(guard::numbers(length)),
        values: HashMap::new(),
        types: HashMap::new(),
        columns: Vec::new(),
        are_named: true,
        numbers: 0,
    };
    reader.read(graph)
}

struct Reader<'f> {
    file: &'f str,
    place: &'f Place,
    opset: i64,
    batch: Option<usize>,
    expressions: Expressions,
    values: HashMap<&'f str, Value>,
    /// The types of the elements of values, where they are known.
    types: HashMap<&'f str, i32>,
    columns: Vec<Column>,
    /// Whether each column is an input of its own.
    are_named: bool,
    /// Numbers in the file.
    numbers: usize,
}

impl<'f> Reader<'f> {
    fn read(&mut self, graph: &'f Graph) -> Result<Vec<u8>> {
        let mut dtype = None;
        for tensor in &graph.initializer {
            let place = format!("constant '{}'", tensor.name);
            let value = constant(tensor, self.place).map_err(|(expected, found)| {
                Error::format(self.file, place.clone(), expected, found)
            })?;
            self.numbers += value.len();
            if value.shape.len() == 2 {
                let own = if is_double(tensor) { Dtype::F64 } else { Dtype::F32 };
                dtype = dtype.max(Some(own == Dtype::F64));
            }
            self.define(&tensor.name, Value::Constant(Rc::new(value)), &place)?;
            self.types.extend(tensor.data_type.map(|kind| (&*tensor.name, kind)));
        }
        let constants: Vec<&str> = graph.initializer.iter().map(|t| &*t.name).collect();
        let is_input = |input: &&ValueInfo| !constants.contains(&&*input.name);
        // Constants may be listed as inputs too, from times when all had to be.
        let inputs: Vec<&ValueInfo> = match constants.len() {
            0..=1000 => graph.input.iter().filter(is_input).collect(),
            _ => graph.input.iter().filter(|i| !self.values.contains_key(&*i.name)).collect(),
        };
        let mut has_doubles = false;
        for &input in &inputs {
            has_doubles |= self.input(input, inputs.len())?;
        }
        for (number, node) in graph.node.iter().enumerate() {
            let name =
                if node.name.is_empty() { number.to_string() } else { format!("'{}'", node.name) };
            let place = format!("node {name} ({})", node.op_type);
            let value = self.node(node).map_err(|fault| self.fault(place.clone(), fault))?;
            if let Some(output) = node.output.first().filter(|name| !name.is_empty()) {
                self.define(output, value, &place)?;
            }
        }
        let outputs = self.outputs(graph)?;
        let chain = self.expressions.chain(outputs.of);
        let used_as_numbers = (0..self.columns.len())
            .find(|column| self.columns[*column].is_text && self.is_number(&chain, *column));
        if let Some(column) = used_as_numbers {
            let fault = Fault::new("numbers or categories", "both");
            return Err(self.fault(format!("column '{}'", self.columns[column].name), fault));
        }
        let (layers, info) =
            assemble(&mut self.expressions, outputs, &self.columns, self.are_named)
                .map_err(|fault| self.fault("graph".to_owned(), fault))?;
        let dtype = match dtype.unwrap_or(has_doubles) {
            true => Dtype::F64,
            false => Dtype::F32,
        };
        parts(&layers, dtype).to_safetensors("load", &info)
    }

    fn fault(&self, place: String, fault: Fault) -> Error {
        Error::format(self.file, place, fault.expected, fault.found)
    }

    fn define(&mut self, name: &'f str, value: Value, place: &str) -> Result<()> {
        match self.values.insert(name, value) {
            Some(_) => {
                let fault = Fault::new("a name for each value", format!("'{name}' twice"));
                Err(self.fault(place.to_owned(), fault))
            }
            None => Ok(()),
        }
    }

    fn is_number(&self, chain: &[Id], column: usize) -> bool {
        let first = chain.first().map(|id| &self.expressions.get(*id).op);
        let Some(super::expression::Op::Features(features)) = first else { return false };
        features.iter().any(|feature| feature.base == Base::Number(column))
    }

    /// Adds the columns of an input; whether its numbers are doubles.
    fn input(&mut self, input: &'f ValueInfo, of: usize) -> Result<bool> {
        let place = format!("input '{}'", input.name);
        let refused = |reader: &Self, expected: String, found: String| {
            Err(reader.fault(place.clone(), Fault::new(expected, found)))
        };
        let tensor = input.value_type.as_ref().and_then(|kind| kind.tensor.as_ref());
        let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
        let (Some(tensor), Some(shape)) = (tensor, shape) else {
            return refused(self, "a tensor with a shape".to_owned(), "none".to_owned());
        };
        let Some((samples, rest)) = shape.dim.split_first() else {
            return refused(self, "[N, features]".to_owned(), "a single number".to_owned());
        };
        if let Some(batch) = samples.value.and_then(|rows| usize::try_from(rows).ok()) {
            self.batch = self.batch.or(Some(batch).filter(|batch| *batch > 0));
        }
        if rest.len() >= MOST_AXES {
            return refused(self, format!("at most {MOST_AXES} axes"), shape.dim.len().to_string());
        }
        let mut dims = Vec::new();
        let mut width = 1usize;
        for dim in rest {
            let rows = dim.value.and_then(|rows| usize::try_from(rows).ok()).filter(|r| *r > 0);
            let Some(rows) = rows else {
                let found = dim.param.clone().unwrap_or_else(|| format!("{:?}", dim.value));
                return refused(self, "known dimensions of a sample".to_owned(), found);
            };
            width = width.saturating_mul(rows);
            dims.push(rows);
        }
        let most = MOST_FEATURES.max(self.numbers);
        if width > most || self.columns.len() + width > most {
            let expected = format!("at most {most} features, as the file has numbers for");
            return refused(self, expected, width.to_string());
        }
        let first = self.columns.len();
        let kind = tensor.elem_type.unwrap_or_default();
        let is_text = kind == data_type::STRING;
        let numbers = [
            data_type::FLOAT,
            data_type::DOUBLE,
            data_type::FLOAT16,
            data_type::BFLOAT16,
            data_type::INT32,
            data_type::INT64,
        ];
        if !is_text && !numbers.contains(&kind) {
            let expected = "numbers or texts".to_owned();
            return refused(self, expected, format!("elements of type {}", type_name(kind)));
        }
        self.types.insert(&input.name, kind);
        for column in 0..width {
            let name = match (width, of) {
                (1, _) => input.name.clone(),
                _ => format!("{}_{column}", input.name),
            };
            self.columns.push(Column { name, gap: None, texts: None, is_text });
        }
        self.are_named &= width == 1 && of > 1;
        let columns = first..first + width;
        let value = if is_text {
            Value::Texts(columns.collect())
        } else {
            let features = columns.map(Feature::number).collect();
            let of = self.expressions.features(features);
            let of = of.map_err(|much| self.fault(place.clone(), Fault::from(much)))?;
            Value::Rows(Rows { of, dims })
        };
        self.define(&input.name, value, &place)?;
        Ok(kind == data_type::DOUBLE)
    }

    /// The value of a node, whose type is noted.
    fn node(&mut self, node: &'f Node) -> Found<Value> {
        let needed = operators::check(node, self.opset)?;
        let types: Vec<Option<i32>> =
            node.input.iter().map(|name| self.types.get(&**name).copied()).collect();
        let is_rows = |name: &String| matches!(self.values.get(&**name), Some(Value::Rows(_)));
        operators::check_types(needed, &types, node.input.iter().any(is_rows))?;
        let value = self.value(node, &types)?;
        if let (Some(output), Some(kind)) = (node.output.first(), casts::result(node, &types)) {
            self.types.insert(output, kind);
        }
        Ok(value)
    }

    fn value(&mut self, node: &Node, types: &[Option<i32>]) -> Found<Value> {
        let attributes = Attributes(node);
        if node.op_type == "Constant" && is_core(node) {
            return of_attributes(&node.attribute, self.place);
        }
        let value = |name: &String| match (&**name, self.values.get(&**name)) {
            ("", _) => Ok(None),
            (_, Some(value)) => Ok(Some(value.clone())),
            _ => {
                let expected = "inputs that the graph has or an earlier node gives";
                Err(Fault::new(expected, format!("'{name}'")))
            }
        };
        let inputs = node.input.iter().map(value).collect::<Found<Vec<_>>>()?;
        let op = &*node.op_type;
        let given: Vec<Value> = inputs.iter().flatten().cloned().collect();
        if let ("Cast" | "CastLike", Some(first), true) = (op, given.first(), is_core(node)) {
            let Some(to) = casts::result(node, types) else {
                return Err(Fault::new("a cast to a type that is known", "another"));
            };
            self.expressions.spend(first.constant().map_or(0, |one| one.len()))?;
            return casts::cast(first, types.first().copied().flatten(), to);
        }
        let constants: Option<Vec<Rc<Constant>>> =
            given.iter().map(|value| value.constant().ok().cloned()).collect();
        if let (true, Some(all)) = (is_core(node), constants.filter(|all| !all.is_empty())) {
            self.expressions.spend(all.iter().map(|one| one.len()).sum())?;
            return Ok(Value::Constant(Rc::new(constants::fold(op, &attributes, &all)?)));
        }
        let has_sizes = given.iter().any(|value| matches!(value, Value::Sizes(_)));
        let first = given.first();
        if has_sizes && !matches!(first, Some(Value::Rows(_))) {
            return constants::of_sizes(op, &given);
        }
        match (op, first) {
            // Changes of shape and type of what is chosen.
            (
                "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten",
                Some(
                    value @ (Value::Class(_)
                    | Value::Label { .. }
                    | Value::Map { .. }
                    | Value::Above { .. }
                    | Value::Texts(_)),
                ),
            ) => return Ok(value.clone()),
            ("Gather", Some(Value::Constant(names))) => {
                if let Some(Value::Class(of)) = given.get(1) {
                    let classes = names.to_texts();
                    let classes =
                        classes.ok_or_else(|| Fault::new("names of classes", "fractions"))?;
                    return Ok(Value::Label { of: *of, classes: Rc::new(classes) });
                }
            }
            ("Gather", Some(Value::Texts(columns))) if attributes.int("axis", 0) == 1 => {
                let places = given.get(1).map_or(Ok(Vec::new()), Value::integers)?;
                let chosen = places
                    .iter()
                    .map(|place| columns.get(usize::try_from(*place).unwrap_or(usize::MAX)));
                let chosen: Option<Vec<usize>> = chosen.map(Option::<&usize>::copied).collect();
                let chosen = chosen.ok_or_else(|| Fault::new("numbers of columns", "others"))?;
                return Ok(Value::Texts(chosen));
            }
            ("Concat", Some(Value::Texts(_))) => {
                let each = given.iter().map(|value| match value {
                    Value::Texts(columns) => Ok(columns.clone()),
                    other => Err(Fault::new("columns of texts", other.describe())),
                });
                return Ok(Value::Texts(each.collect::<Found<Vec<_>>>()?.concat()));
            }
            _ => {}
        }
        let (opset, batch) = (self.opset, self.batch);
        let call = Call { op, attributes, inputs, opset, batch };
        match &*node.domain {
            ML_DOMAIN => learning::apply(&call, &mut self.expressions, &mut self.columns),
            _ if is_core(node) => nodes::apply(&call, &mut self.expressions),
            other => Err(Fault::new("operators of ONNX", format!("the domain '{other}'"))),
        }
    }

    /// The scores or values that a graph puts out, and the names of classes.
    fn outputs(&self, graph: &Graph) -> Result<Outputs> {
        let (mut of, mut classes) = (None::<(Id, String)>, None);
        let mut labels: Option<(Id, Vec<String>)> = None;
        for output in &graph.output {
            let place = || format!("output '{}'", output.name);
            let refused = |expected: &str, found: String| {
                Err(self.fault(place(), Fault::new(expected, found)))
            };
            match self.values.get(&*output.name) {
                Some(Value::Rows(rows)) => match &of {
                    Some((other, name)) if *other != rows.of => {
                        let found = format!("numbers beside those of '{name}'");
                        return refused("one output of numbers, and labels", found);
                    }
                    _ => of = Some((rows.of, output.name.clone())),
                },
                Some(Value::Map { of: scores, classes: names }) => {
                    of = Some((*scores, output.name.clone()));
                    classes = Some(names.to_vec());
                }
                Some(Value::Label { of, classes: names }) => labels = Some((*of, names.to_vec())),
                // What follows from the scores alone.
                Some(Value::Class(of)) => {
                    let count = self.expressions.get(*of).width;
                    let names = || (0..count).map(|class| class.to_string()).collect();
                    labels = labels.or_else(|| Some((*of, names())));
                }
                Some(Value::Above { .. }) => {}
                Some(other) => return refused("numbers or labels", other.describe()),
                None => return refused("a value of the graph", "none of this name".to_owned()),
            }
        }
        let (scores, name) = of.unzip();
        let of = scores.or(labels.as_ref().map(|(of, _)| *of));
        let Some(of) = of else {
            let fault = Fault::new("an output of numbers or labels", "none");
            return Err(self.fault("graph".to_owned(), fault));
        };
        if let Some((chosen, names)) = labels {
            if chosen != of {
                let fault = Fault::new("labels of the scores that are put out", "others");
                return Err(self.fault("outputs".to_owned(), fault));
            }
            classes = classes.or(Some(names));
        }
        Ok(Outputs { of, name, classes })
    }
}

fn is_core(node: &Node) -> bool {
    ["", "ai.onnx"].contains(&&*node.domain)
}

/// The value of a Constant.
fn of_attributes(attributes: &[Attribute], place: &Place) -> Found<Value> {
    let one = |data| Ok(Value::Constant(Rc::new(Constant { shape: Vec::new(), data })));
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let [attribute] = attributes else {
        return Err(Fault::new("one attribute", attributes.len().to_string()));
    };
    let (data, count) = match (&*attribute.name, &attribute.t) {
        ("value", Some(tensor)) => {
            let value = constant(tensor, place);
            let value = value.map_err(|(expected, found)| Fault::new(expected, found))?;
            return Ok(Value::Constant(Rc::new(value)));
        }
        ("value_float", _) => {
            return one(Data::Numbers(vec![f64::from(attribute.f.unwrap_or_default())]));
        }
        ("value_int", _) => return one(Data::Integers(vec![attribute.i.unwrap_or_default()])),
        ("value_string", _) => {
            return one(Data::Texts(vec![attribute.s.as_ref().map(text).unwrap_or_default()]));
        }
        ("value_floats", _) => {
            let values: Vec<f64> = attribute.floats.iter().map(|x| f64::from(*x)).collect();
            let count = values.len();
            (Data::Numbers(values), count)
        }
        ("value_ints", _) => (Data::Integers(attribute.ints.clone()), attribute.ints.len()),
        ("value_strings", _) => {
            let values: Vec<String> = attribute.strings.iter().map(text).collect();
            let count = values.len();
            (Data::Texts(values), count)
        }
        (name, _) => return Err(Fault::new("a value", format!("the attribute {name}"))),
    };
    Ok(Value::Constant(Rc::new(Constant { shape: vec![count], data })))
}

/// Layers as those of a model file.
fn parts(layers: &[Built], dtype: Dtype) -> Parts {
    let descriptions: Vec<_> = layers.iter().map(Built::description).collect();
    let mut tensors = Vec::new();
    for (number, (layer, description)) in layers.iter().zip(&descriptions).enumerate() {
        // Scaling has no statistics of its own in a file.
        let names = tensors_of((0, 1), number, description);
        let bytes = layer.tensors.iter().map(|values| numbers::bytes_of(dtype, values));
        tensors.extend(names.into_iter().zip(bytes));
    }
    Parts { dtype, layers: descriptions, members: 1, tensors }
}
