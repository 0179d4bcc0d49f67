//! Operators on rows of numbers.

use super::call::{Call, rows};
use super::expression::{Expressions, Op, Part};
use super::front::{Base, Feature};
use super::shapes::{arg_max, reshape, select, squeeze, transpose, unsqueeze};
use super::value::{Fault, Found, Rows, Value};
use crate::activation::Activation;

/// Beyond it softplus is the identity in single precision.
const SOFTPLUS_THRESHOLD: f64 = 20.0;
/// alpha and gamma of Selu, as ONNX rounds them.
const SELU: [f64; 2] = [1.673_263_2, 1.050_701];
/// Rows that an identity matrix may have.
pub(super) const MOST_SQUARE: usize = 1024;

/// The result of a node whose first input is rows, or whose second is.
pub(super) fn apply(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    match call.op {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Sum" | "Mean" => {
            return arithmetic(call, expressions);
        }
        "MatMul" | "Gemm" => return product(call, expressions),
        "Where" => return choice(call, expressions),
        "Concat" => return concat(call, expressions),
        _ => {}
    }
    let x = call.input(0)?.rows()?.clone();
    let of = x.of;
    let float = |name, default| call.attributes.float(name, default);
    let mut activate = |f| Ok(rows(expressions.activation(of, f)?, x.dims.clone()));
    match call.op {
        "Identity" => Ok(Value::Rows(x)),
        "Dropout" => dropout(call, x),
        "Relu" => activate(Activation::Relu),
        "Sigmoid" => activate(Activation::Sigmoid),
        "Tanh" => activate(Activation::Tanh),
        "Softplus" => activate(Activation::Softplus),
        "Mish" => activate(Activation::Mish),
        "LeakyRelu" => activate(Activation::LeakyRelu(float("alpha", 0.01)).known()?),
        "Elu" => activate(Activation::Elu(float("alpha", 1.0)).known()?),
        "Celu" => {
            // alpha elu(x / alpha)
            let alpha = float("alpha", 1.0);
            let inner = scaled(expressions, of, 1.0 / alpha, 0.0)?;
            let elu = expressions.activation(inner, Activation::Elu(1.0))?;
            Ok(rows(scaled(expressions, elu, alpha, 0.0)?, x.dims))
        }
        "Swish" => match float("alpha", 1.0) {
            1.0 => activate(Activation::Silu),
            other => Err(Fault::new("alpha 1", other.to_string())),
        },
        "Selu" => {
            let (alpha, gamma) = (float("alpha", SELU[0]), float("gamma", SELU[1]));
            let is_usual = (alpha - SELU[0]).abs() < 1e-6 && (gamma - SELU[1]).abs() < 1e-6;
            if is_usual {
                return activate(Activation::Selu);
            }
            // gamma elu(x)
            let elu = expressions.activation(of, Activation::Elu(alpha).known()?)?;
            Ok(rows(scaled(expressions, elu, gamma, 0.0)?, x.dims))
        }
        "Gelu" => match call.attributes.text("approximate").unwrap_or("none") {
            "none" => activate(Activation::Gelu),
            other => Err(Fault::new("approximate \"none\"", format!("\"{other}\""))),
        },
        "PRelu" => {
            let slopes = x.broadcast(call.input(1)?.constant()?)?;
            let shares = slopes.into_iter().map(|slope| 1.0 - slope).collect();
            let op = Op::Blend { f: Activation::Relu, shares };
            Ok(rows(expressions.push(of, x.width(), op)?, x.dims))
        }
        "Softmax" | "LogSoftmax" => softmax(call, expressions, x),
        "Clip" => clip(call, expressions, x),
        "Neg" => Ok(rows(scaled(expressions, of, -1.0, 0.0)?, x.dims)),
        "Erf" => Ok(rows(expressions.push(of, x.width(), Op::Part(Part::Erf))?, x.dims)),
        "Sqrt" => part(expressions.root(of)?, x, "the square root of a variance"),
        "Reciprocal" => part(expressions.reciprocal(of)?, x, "the reciprocal of a deviation"),
        "BatchNormalization" => batch_norm(call, expressions, x),
        "LayerNormalization" => layer_norm(call, expressions, x),
        "ReduceMean" => mean(call, expressions, x),
        "Flatten" => match x.axis(call.attributes.int("axis", 1)) {
            Ok(0) => Ok(rows(of, vec![x.width()])),
            _ => Err(Fault::new("axis 1", call.attributes.int("axis", 1).to_string())),
        },
        "Reshape" => reshape(call, x),
        "Squeeze" => squeeze(call, x),
        "Unsqueeze" => unsqueeze(call, x),
        "Transpose" => transpose(call, x),
        "Gather" | "Slice" => select(call, expressions, x),
        "ArgMax" => arg_max(call, x),
        "Greater" | "GreaterOrEqual" => Ok(Value::Above { of, bound: call.input(1)?.scalar()? }),
        "Shape" => {
            let dims = x.dims.iter().map(|rows| Some(*rows as i64));
            let batch = call.batch.map(|batch| batch as i64);
            let sizes: Vec<_> = [batch].into_iter().chain(dims).collect();
            let count = sizes.len() as i64;
            let bound = |name, default| {
                let place = call.attributes.int(name, default);
                (if place < 0 { place + count } else { place }).clamp(0, count) as usize
            };
            let (start, end) = (bound("start", 0), bound("end", count));
            Ok(Value::Sizes(sizes.get(start..end).unwrap_or_default().to_vec()))
        }
        _ => Err(Fault::new(
            "dense layers, activations, normalizations, operations by constants and changes of shape, one behind the other",
            format!("the operator {}", call.op),
        )),
    }
}

impl Activation {
    /// Refuses a parameter out of its range.
    fn known(self) -> Found<Self> {
        self.validate().map_err(|error| Fault::new("a parameter in its range", error.to_string()))
    }
}

/// `scale x + shift`
pub(super) fn scaled(
    expressions: &mut Expressions,
    of: usize,
    scale: f64,
    shift: f64,
) -> Found<usize> {
    let width = expressions.get(of).width;
    expressions.spend(2 * width)?;
    Ok(expressions.affine(of, vec![scale; width], vec![shift; width])?)
}

fn part(found: Option<usize>, x: Rows, expected: &str) -> Found<Value> {
    match found {
        Some(id) => Ok(rows(id, x.dims)),
        None => Err(Fault::new(expected, "another value")),
    }
}

fn dropout(call: &Call<'_>, x: Rows) -> Found<Value> {
    match call.optional(2) {
        Some(training) if training.scalar()? != 0.0 => {
            Err(Fault::new("a graph for inference", "training_mode 1"))
        }
        _ => Ok(Value::Rows(x)),
    }
}

fn arithmetic(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    let (a, b) = match &call.inputs[..] {
        [Some(Value::Rows(only))] => return Ok(Value::Rows(only.clone())),
        [Some(a), Some(b)] => (a, b),
        others => return Err(Fault::new("two inputs", others.len().to_string())),
    };
    match (a, b) {
        (Value::Rows(a), Value::Rows(b)) => both(call, expressions, a, b),
        (Value::Rows(x), Value::Constant(c)) | (Value::Constant(c), Value::Rows(x)) => {
            let is_first = matches!(a, Value::Rows(_));
            let is_inverse = matches!(expressions.get(x.of).op, Op::Part(Part::Inverse(_)));
            if call.op == "Mul" && is_inverse && c.len() > 1 {
                let factors = c.to_numbers().unwrap_or_default();
                let spread = expressions.spread(x.of, factors)?;
                let dims = vec![c.len()];
                return part(spread, Rows { of: x.of, dims }, "a factor for each number of a row");
            }
            let width = x.width();
            expressions.spend(3 * width)?;
            let values = x.broadcast(c)?;
            let ones = vec![1.0; width];
            let zeros = vec![0.0; width];
            let of = x.of;
            let id = match (call.op, is_first) {
                ("Add" | "Sum", _) => expressions.affine(of, ones, values)?,
                ("Sub", true) => {
                    expressions.affine(of, ones, values.iter().map(|x| -x).collect())?
                }
                ("Sub", false) => expressions.affine(of, vec![-1.0; width], values)?,
                ("Mul", _) => expressions.affine(of, values, zeros)?,
                ("Div", true) => {
                    if values.contains(&0.0) {
                        return Err(Fault::new("a divisor that is not 0", "0"));
                    }
                    expressions.affine(of, values.iter().map(|x| 1.0 / x).collect(), zeros)?
                }
                ("Pow", true) if values.iter().all(|x| *x == 2.0) => {
                    match expressions.product(of, of)? {
                        Some(id) => id,
                        None => {
                            return Err(Fault::new("the square of what is centered", "another"));
                        }
                    }
                }
                ("Max" | "Min", _) => return bounded(expressions, x, call.op == "Max", &values),
                (op, _) => {
                    let expected = "a sum, a product, or a quotient by a constant";
                    return Err(Fault::new(expected, format!("{op} of a constant")));
                }
            };
            Ok(rows(id, x.dims.clone()))
        }
        _ => {
            let found = format!("{} and {}", a.describe(), b.describe());
            Err(Fault::new("numbers that depend on the samples, and a constant", found))
        }
    }
}

/// An operation of two values that both depend on the samples.
fn both(call: &Call<'_>, expressions: &mut Expressions, a: &Rows, b: &Rows) -> Found<Value> {
    let id = match call.op {
        "Add" | "Sum" => expressions.sum(a.of, b.of)?,
        "Sub" => expressions.difference(a.of, b.of)?,
        "Mul" => expressions.product(a.of, b.of)?,
        "Div" => expressions.quotient(a.of, b.of)?,
        _ => None,
    };
    let dims = if a.width() >= b.width() { &a.dims } else { &b.dims };
    match id {
        Some(id) if expressions.get(id).width == dims.iter().product::<usize>() => {
            Ok(rows(id, dims.clone()))
        }
        _ => {
            let expected = "a constant as one operand, or a formula of an activation or a normalization of one value";
            Err(Fault::new(expected, "two values that depend on the samples"))
        }
    }
}

/// `max(x, c)` or `min(x, c)` for one c.
fn bounded(expressions: &mut Expressions, x: &Rows, is_max: bool, values: &[f64]) -> Found<Value> {
    let first = values.first().copied().unwrap_or_default();
    if values.iter().any(|value| *value != first) {
        return Err(Fault::new("one bound for all numbers", "several"));
    }
    let (least, most) = if is_max { (first, f64::INFINITY) } else { (f64::NEG_INFINITY, first) };
    within(expressions, x, least, most)
}

fn within(expressions: &mut Expressions, x: &Rows, least: f64, most: f64) -> Found<Value> {
    let largest = f64::from(f32::MAX);
    let id = match (least, most) {
        (least, most) if least.is_nan() || most.is_nan() || least > most => {
            return Err(Fault::new("bounds in their order", format!("{least} and {most}")));
        }
        (0.0, most) if most >= largest => expressions.activation(x.of, Activation::Relu)?,
        (least, most) if least <= -largest && most >= largest => x.of,
        _ => expressions.push(x.of, x.width(), Op::Clip(least, most))?,
    };
    Ok(rows(id, x.dims.clone()))
}

fn clip(call: &Call<'_>, expressions: &mut Expressions, x: Rows) -> Found<Value> {
    let bound = |name: &str, place: usize, none: f64| match call.optional(place) {
        Some(value) => value.scalar(),
        None => Ok(call.attributes.float(name, none)),
    };
    let least = bound("min", 1, f64::NEG_INFINITY)?;
    let most = bound("max", 2, f64::INFINITY)?;
    within(expressions, &x, least, most)
}

/// MatMul and Gemm: rows times a constant matrix.
fn product(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    let is_gemm = call.op == "Gemm";
    let flag = |name: &str| is_gemm && call.attributes.int(name, 0) != 0;
    let x = call.input(0)?.rows()?;
    if flag("transA") {
        return Err(Fault::new("samples in the rows of A", "transA, samples in its columns"));
    }
    let inputs = x.vector()?;
    let matrix = call.input(1)?.constant()?;
    let values = call.input(1)?.numbers()?;
    let transposed = flag("transB");
    let misfit = || {
        let expected = format!("a matrix with {inputs} numbers for each output");
        Fault::new(expected, format!("shape {:?}", matrix.shape))
    };
    let (own, outputs, is_vector) = match (&matrix.shape[..], transposed) {
        (&[rows, columns], false) => (rows, columns, false),
        (&[rows, columns], true) => (columns, rows, false),
        (&[rows], false) if !is_gemm => (rows, 1, true),
        _ => return Err(misfit()),
    };
    if own != inputs || outputs == 0 || inputs == 0 {
        return Err(misfit());
    }
    expressions.spend(values.len())?;
    let alpha = if is_gemm { call.attributes.float("alpha", 1.0) } else { 1.0 };
    let weight = |i: usize| {
        let (output, input) = (i / inputs, i % inputs);
        alpha * values[if transposed { i } else { input * outputs + output }]
    };
    let weights = (0..values.len()).map(weight).collect();
    let mut dims = x.dims.clone();
    dims.pop();
    if !is_vector {
        dims.push(outputs);
    }
    let bias = match call.optional(2).filter(|_| is_gemm) {
        None => vec![0.0; outputs],
        Some(c) => {
            let beta = call.attributes.float("beta", 1.0);
            let whole = Rows { of: x.of, dims: vec![outputs] };
            whole.broadcast(c.constant()?)?.into_iter().map(|x| beta * x).collect()
        }
    };
    Ok(rows(expressions.push(x.of, outputs, Op::Dense { weights, bias })?, dims))
}

/// Softplus that leaves out the logarithm of large numbers.
fn choice(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    if let (Value::Above { of, bound }, Value::Rows(above), Value::Rows(below)) =
        (call.input(0)?, call.input(1)?, call.input(2)?)
    {
        let softplus = expressions.get(below.of);
        let is_softplus = matches!(softplus.op, Op::Activation(Activation::Softplus));
        if is_softplus && softplus.of == *of && above.of == *of && *bound >= SOFTPLUS_THRESHOLD {
            return Ok(Value::Rows(below.clone()));
        }
    }
    Err(Fault::new("softplus of small numbers, and large ones as they are", "another choice"))
}

fn softmax(call: &Call<'_>, expressions: &mut Expressions, x: Rows) -> Found<Value> {
    let default = if call.opset >= 13 { -1 } else { 1 };
    let axis = call.attributes.int("axis", default);
    let place = x.axis(axis)?;
    let is_all = match call.opset {
        // All axes from this one on are one.
        ..13 => place == 0,
        _ => x.dims[place] == x.width(),
    };
    if !is_all {
        let found = format!("axis {axis} of {}", x.shape());
        return Err(Fault::new("softmax over all numbers of a sample", found));
    }
    let id = match call.op {
        "Softmax" => expressions.activation(x.of, Activation::Softmax)?,
        _ => expressions.push(x.of, x.width(), Op::LogSoftmax)?,
    };
    Ok(rows(id, x.dims))
}

fn batch_norm(call: &Call<'_>, expressions: &mut Expressions, x: Rows) -> Found<Value> {
    if call.attributes.int("training_mode", 0) != 0 {
        return Err(Fault::new("a graph for inference", "training_mode 1"));
    }
    let Some((&channels, rest)) = x.dims.split_first() else {
        return Err(Fault::new("rows of numbers, [N, K]", x.shape()));
    };
    let of_channel: usize = rest.iter().product();
    if call.attributes.int("spatial", 1) != 1 && of_channel != 1 {
        return Err(Fault::new("statistics of channels", "spatial 0"));
    }
    let mut parameters = Vec::new();
    for place in 1..5 {
        let values = call.input(place)?.numbers()?;
        if values.len() != channels {
            let expected = format!("{channels} numbers as input {place}");
            return Err(Fault::new(expected, values.len().to_string()));
        }
        parameters.push(values);
    }
    let epsilon = call.attributes.float("epsilon", 1e-5);
    expressions.spend(2 * x.width())?;
    let [gamma, beta, mean, variance] = &parameters[..] else {
        return Err(Fault::new("five inputs", "others"));
    };
    let factor = |channel: usize| gamma[channel] / (variance[channel] + epsilon).sqrt();
    let channel = |i: usize| i / of_channel.max(1);
    let scale = (0..x.width()).map(|i| factor(channel(i))).collect();
    let shift = |i: usize| beta[channel(i)] - mean[channel(i)] * factor(channel(i));
    let shift = (0..x.width()).map(shift).collect();
    Ok(rows(expressions.affine(x.of, scale, shift)?, x.dims))
}

fn layer_norm(call: &Call<'_>, expressions: &mut Expressions, x: Rows) -> Found<Value> {
    let axis = call.attributes.int("axis", -1);
    let place = x.axis(axis)?;
    if x.dims[place..].iter().product::<usize>() != x.width() {
        let found = format!("axis {axis} of {}", x.shape());
        return Err(Fault::new("a normalization of all numbers of a sample", found));
    }
    let normal = Op::Normal(call.attributes.float("epsilon", 1e-5));
    let id = expressions.push(x.of, x.width(), normal)?;
    let normalized = Rows { of: id, dims: x.dims.clone() };
    let scale = normalized.broadcast(call.input(1)?.constant()?)?;
    let shift = match call.optional(2) {
        Some(bias) => normalized.broadcast(bias.constant()?)?,
        None => vec![0.0; x.width()],
    };
    Ok(rows(expressions.affine(id, scale, shift)?, x.dims))
}

fn mean(call: &Call<'_>, expressions: &mut Expressions, x: Rows) -> Found<Value> {
    let width = x.vector()?;
    let axes = call.axes()?.unwrap_or_default();
    let is_last = match axes[..] {
        [axis] => x.axis(axis)? + 1 == x.dims.len(),
        _ => false,
    };
    if !is_last || call.attributes.int("keepdims", 1) != 1 || width == 0 {
        return Err(Fault::new("means of rows, which keep their dimension", "others"));
    }
    let mut dims = x.dims.clone();
    dims.pop();
    dims.push(1);
    Ok(rows(expressions.mean(x.of)?, dims))
}

/// Features beside each other, or both classes of a probability.
fn concat(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    let mut all: Vec<&Rows> = Vec::new();
    for place in 0..call.inputs.len() {
        all.push(call.input(place)?.rows()?);
    }
    for x in &all {
        if x.vector().is_err() || x.axis(call.attributes.int("axis", 1))? + 1 != x.dims.len() {
            return Err(Fault::new("numbers of a sample beside each other", x.shape()));
        }
    }
    if let [a, b] = all[..]
        && (a.width(), b.width()) == (1, 1)
        && expressions.is_complement(b.of, a.of)?
    {
        return Ok(rows(expressions.push(b.of, 2, Op::TwoClasses)?, vec![2]));
    }
    let mut features = Vec::new();
    for x in all {
        let Op::Features(own) = &expressions.get(x.of).op else {
            let expected = "inputs of the graph beside each other, or 1 - p and p";
            return Err(Fault::new(expected, "computed numbers"));
        };
        features.extend_from_slice(own);
    }
    let dims = vec![features.len()];
    Ok(rows(expressions.features(features)?, dims))
}

/// The one column of numbers that a feature is, as it stands there.
pub(super) fn raw_column(feature: &Feature) -> Option<usize> {
    match feature.base {
        Base::Number(column) if (feature.scale, feature.shift) == (1.0, 0.0) => Some(column),
        _ => None,
    }
}
