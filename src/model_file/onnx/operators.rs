//! The operators that are read: which inputs and attributes each has, as the specification of ONNX says.
//!
//! Every node is checked against this table before it is applied, as an attribute of another name or type would count as absent.

use super::message::{Attribute, Node, attribute_type, type_name};
use super::value::{Fault, Found};
use super::writer::ML_DOMAIN;

/// What the types of a node's inputs must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types {
    Any,
    /// The same for all
    Same,
    /// The same for all, with fractions where they depend on the samples: with whole numbers the operator computes something else, or ONNX
    /// has none.
    Fractions,
}

/// An operator from a version of ONNX's operators on.
struct Operator {
    names: &'static [&'static str],
    since: i64,
    least: usize,
    most: usize,
    types: Types,
    /// Name, type, and whether it must be there
    attributes: &'static [(&'static str, i32, Need)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Optional,
    Required,
}

const fn row(
    names: &'static [&'static str],
    since: i64,
    (least, most): (usize, usize),
    types: Types,
    attributes: &'static [(&'static str, i32, Need)],
) -> Operator {
    Operator { names, since, least, most, types, attributes }
}

use Need::{Optional, Required};
use Types::{Any, Fractions, Same};
use attribute_type::{FLOAT, FLOATS, INT, INTS, STRING, STRINGS, TENSOR};

/// Any number of inputs, but one at least.
const SOME: (usize, usize) = (1, usize::MAX);

const ALPHA: (&str, i32, Need) = ("alpha", FLOAT, Optional);
const AXIS: (&str, i32, Need) = ("axis", INT, Optional);
const AXES: (&str, i32, Need) = ("axes", INTS, Optional);
const KEEPDIMS: (&str, i32, Need) = ("keepdims", INT, Optional);
const EPSILON: (&str, i32, Need) = ("epsilon", FLOAT, Optional);
const MOMENTUM: (&str, i32, Need) = ("momentum", FLOAT, Optional);
const TO: (&str, i32, Need) = ("to", INT, Required);
const SATURATE: (&str, i32, Need) = ("saturate", INT, Optional);
const ROUND: (&str, i32, Need) = ("round_mode", STRING, Optional);
const GEMM: &[(&str, i32, Need)] =
    &[ALPHA, ("beta", FLOAT, Optional), ("transA", INT, Optional), ("transB", INT, Optional)];

/// Operators of ONNX, older versions of an operator in front of newer ones.
const CORE: &[Operator] = &[
    row(&["Sum", "Mean", "Max", "Min"], 1, SOME, Same, &[]),
    row(&["Identity", "Relu", "Neg"], 1, (1, 1), Same, &[]),
    row(&["Sigmoid", "Tanh", "Softplus", "Sqrt", "Reciprocal"], 1, (1, 1), Fractions, &[]),
    row(&["Erf"], 9, (1, 1), Fractions, &[]),
    row(&["Mish"], 18, (1, 1), Fractions, &[]),
    row(&["LeakyRelu", "Elu"], 1, (1, 1), Fractions, &[ALPHA]),
    row(&["Celu"], 12, (1, 1), Fractions, &[ALPHA]),
    row(&["Swish"], 24, (1, 1), Fractions, &[ALPHA]),
    row(&["Selu"], 1, (1, 1), Fractions, &[ALPHA, ("gamma", FLOAT, Optional)]),
    row(&["Gelu"], 20, (1, 1), Fractions, &[("approximate", STRING, Optional)]),
    row(&["PRelu"], 7, (2, 2), Same, &[]),
    row(&["Softmax", "LogSoftmax"], 1, (1, 1), Fractions, &[AXIS]),
    row(&["Clip"], 1, (1, 1), Same, &[("min", FLOAT, Optional), ("max", FLOAT, Optional)]),
    row(&["Clip"], 11, (1, 3), Same, &[]),
    row(&["Add", "Sub", "Mul"], 7, (2, 2), Same, &[]),
    row(&["Div", "MatMul"], 1, (2, 2), Fractions, &[]),
    row(&["Pow"], 7, (2, 2), Any, &[]),
    row(&["Gemm"], 7, (3, 3), Fractions, GEMM),
    row(&["Gemm"], 11, (2, 3), Fractions, GEMM),
    row(
        &["BatchNormalization"],
        7,
        (5, 5),
        Fractions,
        &[EPSILON, MOMENTUM, ("spatial", INT, Optional)],
    ),
    row(&["BatchNormalization"], 9, (5, 5), Fractions, &[EPSILON, MOMENTUM]),
    row(
        &["BatchNormalization"],
        14,
        (5, 5),
        Fractions,
        &[EPSILON, MOMENTUM, ("training_mode", INT, Optional)],
    ),
    row(
        &["LayerNormalization"],
        17,
        (2, 3),
        Fractions,
        &[AXIS, EPSILON, ("stash_type", INT, Optional)],
    ),
    row(&["ReduceMean"], 1, (1, 1), Any, &[AXES, KEEPDIMS]),
    row(&["ReduceMean"], 18, (1, 2), Any, &[KEEPDIMS, ("noop_with_empty_axes", INT, Optional)]),
    row(&["Dropout"], 7, (1, 1), Any, &[("ratio", FLOAT, Optional)]),
    row(&["Dropout"], 12, (1, 3), Any, &[("seed", INT, Optional)]),
    row(&["Cast"], 6, (1, 1), Any, &[TO]),
    row(&["Cast"], 19, (1, 1), Any, &[TO, SATURATE]),
    row(&["Cast"], 24, (1, 1), Any, &[TO, SATURATE, ROUND]),
    row(&["CastLike"], 15, (2, 2), Any, &[]),
    row(&["CastLike"], 19, (2, 2), Any, &[SATURATE]),
    row(&["CastLike"], 24, (2, 2), Any, &[SATURATE, ROUND]),
    row(&["Flatten"], 1, (1, 1), Any, &[AXIS]),
    row(&["Reshape"], 5, (2, 2), Any, &[]),
    row(&["Reshape"], 14, (2, 2), Any, &[("allowzero", INT, Optional)]),
    row(&["Squeeze"], 1, (1, 1), Any, &[AXES]),
    row(&["Squeeze"], 13, (1, 2), Any, &[]),
    row(&["Unsqueeze"], 1, (1, 1), Any, &[("axes", INTS, Required)]),
    row(&["Unsqueeze"], 13, (2, 2), Any, &[]),
    row(&["Transpose"], 1, (1, 1), Any, &[("perm", INTS, Optional)]),
    row(&["Gather"], 1, (2, 2), Any, &[AXIS]),
    row(&["Slice"], 1, (1, 1), Any, &[AXES, ("starts", INTS, Required), ("ends", INTS, Required)]),
    row(&["Slice"], 10, (3, 5), Any, &[]),
    row(&["Concat"], 4, SOME, Same, &[("axis", INT, Required)]),
    row(&["Where"], 9, (3, 3), Any, &[]),
    row(&["Greater"], 7, (2, 2), Same, &[]),
    row(&["GreaterOrEqual"], 12, (2, 2), Same, &[]),
    row(&["ArgMax"], 1, (1, 1), Any, &[AXIS, KEEPDIMS]),
    row(&["ArgMax"], 12, (1, 1), Any, &[AXIS, KEEPDIMS, ("select_last_index", INT, Optional)]),
    row(&["Shape"], 1, (1, 1), Any, &[]),
    row(&["Shape"], 15, (1, 1), Any, &[("start", INT, Optional), ("end", INT, Optional)]),
    row(&["Constant"], 1, (0, 0), Any, &[("value", TENSOR, Required)]),
    row(
        &["Constant"],
        12,
        (0, 0),
        Any,
        &[
            ("value", TENSOR, Optional),
            ("value_float", FLOAT, Optional),
            ("value_floats", FLOATS, Optional),
            ("value_int", INT, Optional),
            ("value_ints", INTS, Optional),
            ("value_string", STRING, Optional),
            ("value_strings", STRINGS, Optional),
        ],
    ),
];

/// Operators of `ai.onnx.ml`, which are the same in all its versions.
const LEARNING: &[Operator] = &[
    row(&["Scaler"], 1, (1, 1), Any, &[("offset", FLOATS, Optional), ("scale", FLOATS, Optional)]),
    row(
        &["Imputer"],
        1,
        (1, 1),
        Any,
        &[
            ("imputed_value_floats", FLOATS, Optional),
            ("imputed_value_int64s", INTS, Optional),
            ("replaced_value_float", FLOAT, Optional),
            ("replaced_value_int64", INT, Optional),
        ],
    ),
    row(
        &["OneHotEncoder"],
        1,
        (1, 1),
        Any,
        &[
            ("cats_int64s", INTS, Optional),
            ("cats_strings", STRINGS, Optional),
            ("zeros", INT, Optional),
        ],
    ),
    row(&["FeatureVectorizer"], 1, SOME, Any, &[("inputdimensions", INTS, Optional)]),
    row(&["ArrayFeatureExtractor"], 1, (2, 2), Any, &[]),
    row(
        &["ZipMap"],
        1,
        (1, 1),
        Any,
        &[("classlabels_int64s", INTS, Optional), ("classlabels_strings", STRINGS, Optional)],
    ),
    row(&["Binarizer"], 1, (1, 1), Any, &[("threshold", FLOAT, Optional)]),
    row(
        &["LinearRegressor"],
        1,
        (1, 1),
        Any,
        &[
            ("coefficients", FLOATS, Optional),
            ("intercepts", FLOATS, Optional),
            ("post_transform", STRING, Optional),
            ("targets", INT, Optional),
        ],
    ),
];

/// What the types of the inputs must be. Refuses inputs and attributes that the operator does not have; an operator that is not in the table
/// is refused where it is applied.
pub(super) fn check(node: &Node, opset: i64) -> Found<Types> {
    let (table, opset) = match &*node.domain {
        ML_DOMAIN => (LEARNING, i64::MAX),
        "" | "ai.onnx" => (CORE, opset),
        _ => return Ok(Any),
    };
    let mut versions = table.iter().filter(|row| row.names.contains(&&*node.op_type)).peekable();
    let Some(first) = versions.peek().map(|row| row.since) else { return Ok(Any) };
    let Some(operator) = versions.take_while(|row| row.since <= opset).last() else {
        let expected = format!("opset {first} or later, which has the operator");
        return Err(Fault::new(expected, opset.to_string()));
    };
    operator.check_inputs(&node.input)?;
    operator.check_attributes(&node.attribute)?;
    Ok(operator.types)
}

impl Operator {
    fn check_inputs(&self, inputs: &[String]) -> Found<()> {
        // Those that are left out at the end may as well stand there without a name.
        let count = inputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        let &Operator { least, most, .. } = self;
        if (least..=most).contains(&count) && inputs[..least].iter().all(|name| !name.is_empty()) {
            return Ok(());
        }
        let expected = match (least, most) {
            (1, 1) => "1 input".to_owned(),
            (least, most) if least == most => format!("{least} inputs"),
            (least, usize::MAX) => format!("{least} input or more"),
            (least, most) => format!("{least} to {most} inputs"),
        };
        let given = inputs.iter().filter(|name| !name.is_empty()).count();
        Err(Fault::new(expected, given.to_string()))
    }

    fn check_attributes(&self, attributes: &[Attribute]) -> Found<()> {
        for (place, attribute) in attributes.iter().enumerate() {
            let name = &attribute.name;
            let Some((_, kind, _)) = self.attributes.iter().find(|(known, ..)| known == name)
            else {
                let known: Vec<&str> = self.attributes.iter().map(|(name, ..)| *name).collect();
                let expected = match &known[..] {
                    [] => "no attribute".to_owned(),
                    [one] => format!("no attribute but {one}"),
                    more => format!("the attributes {}", more.join(", ")),
                };
                return Err(Fault::new(expected, format!("'{name}'")));
            };
            let found = kind_of(attribute);
            if found != Some(*kind) {
                let expected = format!("the attribute '{name}' of type {}", attribute_name(*kind));
                let found = found.map_or("none".to_owned(), attribute_name);
                return Err(Fault::new(expected, found));
            }
            if attributes[..place].iter().any(|other| other.name == *name) {
                return Err(Fault::new(format!("the attribute '{name}' once"), "twice"));
            }
        }
        let is_given = |name: &str| attributes.iter().any(|attribute| attribute.name == name);
        let mut required = self.attributes.iter().filter(|(.., need)| *need == Required);
        match required.find(|(name, ..)| !is_given(name)) {
            Some((name, ..)) => Err(Fault::new(format!("the attribute '{name}'"), "none")),
            None => Ok(()),
        }
    }
}

/// The type that an attribute says it has; of old files, which do not say it, the type of the value that is there.
fn kind_of(attribute: &Attribute) -> Option<i32> {
    let Attribute { f, i, s, t, floats, ints, strings, kind, .. } = attribute;
    match kind {
        Some(kind) if *kind != 0 => Some(*kind),
        _ if f.is_some() => Some(FLOAT),
        _ if i.is_some() => Some(INT),
        _ if s.is_some() => Some(STRING),
        _ if t.is_some() => Some(TENSOR),
        _ if !floats.is_empty() => Some(FLOATS),
        _ if !ints.is_empty() => Some(INTS),
        _ if !strings.is_empty() => Some(STRINGS),
        _ => None,
    }
}

fn attribute_name(kind: i32) -> String {
    const NAMES: [&str; 9] =
        ["none", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS"];
    let name = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind));
    name.map_or(format!("{kind}"), |name| (*name).to_owned())
}

/// Refuses inputs of other types than the operator takes; `depends`: whether one of them depends on the samples.
pub(super) fn check_types(types: Types, inputs: &[Option<i32>], depends: bool) -> Found<()> {
    use super::message::data_type::{BFLOAT16, DOUBLE, FLOAT, FLOAT16};
    let mut known = inputs.iter().flatten();
    let Some(first) = known.next().filter(|_| types != Any) else { return Ok(()) };
    if let Some(other) = known.find(|kind| *kind != first) {
        let found = format!("{} and {}", type_name(*first), type_name(*other));
        return Err(Fault::new("inputs of one type", found));
    }
    let has_fractions = [FLOAT, DOUBLE, FLOAT16, BFLOAT16].contains(first);
    match types == Fractions && depends && !has_fractions {
        true => Err(Fault::new("numbers with a fraction; a Cast makes them", type_name(*first))),
        false => Ok(()),
    }
}
