//! Layers as functions of an array x into an array y. The library's file of each layer has its formula.

use super::activations::{apply, call};
use super::answers::softmax_at;
use super::writer::SourceWriter;
use crate::activation::Activation;
use crate::engine::{CATEGORY_NUMBERS, EMBEDDED, FREQUENCIES};
use crate::error::Result;
use crate::layer::{EPSILON, Layer, LayerKind};
use crate::model_file::LayerDescription;
use crate::scalar::Scalar;

/// The tables of a layer.
pub(super) const TABLES: [&str; 2] = ["weights", "bias"];

/// The parameters of a layer in f64, column-major.
struct Parameters {
    weights: Vec<f64>,
    bias: Vec<f64>,
    statistics: Vec<f64>,
}

/// The tables and the function of a layer.
pub(super) fn declare<T: Scalar>(
    writer: &mut SourceWriter,
    description: &LayerDescription,
    layer: &dyn Layer<T>,
    name: &str,
) -> Result<()> {
    let statistics = layer.statistics().map_or(Ok(Vec::new()), |matrix| matrix.to_vec())?;
    let parameters = Parameters {
        weights: T::to_f64s(&layer.weights().to_vec()?),
        bias: T::to_f64s(&layer.bias().to_vec()?),
        statistics: T::to_f64s(&statistics),
    };
    write(writer, description, &parameters, name);
    Ok(())
}

/// Not generic, so that it is compiled once.
fn write(writer: &mut SourceWriter, layer: &LayerDescription, own: &Parameters, name: &str) {
    let Parameters { weights, bias, statistics } = own;
    let number = writer.number;
    let &LayerDescription { inputs, outputs, activation, members, .. } = layer;
    let [w, b] = TABLES.map(|of| writer.constant_name(&format!("{name}_{of}")));
    let names = [w.clone(), b.clone()];
    let mut table = |place: usize, values: &[f64]| writer.table(&names[place], number, values);
    match layer.kind {
        LayerKind::Dense => {
            table(0, weights);
            table(1, bias);
            writer.begin_layer(name, inputs, outputs);
            dense(writer, [&w, &b], (inputs, outputs), ["", "", "", ""]);
        }
        LayerKind::BatchNorm => {
            let (mean, variance) = statistics.split_at(outputs);
            let scale: Vec<f64> =
                weights.iter().zip(variance).map(|(w, v)| w / (v + EPSILON).sqrt()).collect();
            let shift: Vec<f64> =
                bias.iter().zip(&scale).zip(mean).map(|((b, s), m)| b - s * m).collect();
            table(0, &scale);
            table(1, &shift);
            writer.begin_layer(name, inputs, outputs);
            writer.for_each("i", outputs, &[&format!("y[i] = {w}[i] * x[i] + {b}[i];")]);
        }
        LayerKind::Scale => {
            table(0, weights);
            table(1, bias);
            writer.begin_layer(name, inputs, outputs);
            writer.for_each("i", outputs, &[&format!("y[i] = {w}[i] * x[i] + {b}[i];")]);
        }
        LayerKind::LayerNorm => {
            table(0, weights);
            table(1, bias);
            writer.begin_layer(name, inputs, outputs);
            layer_norm(writer, [&w, &b], outputs);
        }
        LayerKind::NumberEmbedding => {
            let features = statistics.len();
            let rows = |matrix: &[f64], columns: usize| {
                let row = |k: usize| (0..columns).map(move |c| matrix[c * features + k]);
                (0..features).flat_map(row).collect::<Vec<f64>>()
            };
            table(0, &rows(weights, (1 + EMBEDDED) * FREQUENCIES));
            table(1, &rows(bias, FREQUENCIES + EMBEDDED));
            writer.begin_layer(name, inputs, outputs);
            embed_numbers(writer, [&w, &b], (inputs, statistics));
        }
        LayerKind::Parametric => {
            table(0, weights);
            writer.begin_layer(name, inputs, outputs);
            let f = call(writer, activation, "x[i]");
            let blend = format!("y[i] = x[i] + {w}[i] * ({f} - x[i]);");
            writer.for_each("i", outputs, &[&blend]);
            return writer.end_function(None);
        }
        LayerKind::CategoryEmbedding => {
            table(0, weights);
            writer.begin_layer(name, inputs, outputs);
            embed_categories(writer, &w, layer);
        }
        LayerKind::Members => {
            table(0, weights);
            writer.begin_layer(name, inputs, outputs);
            writer.begin_for("m", members);
            let product = format!("y[m * {inputs} + i] = {w}[m * {inputs} + i] * x[i];");
            writer.for_each("i", inputs, &[&product]);
            writer.end();
        }
        LayerKind::MemberDense => {
            table(0, weights);
            table(1, bias);
            writer.begin_layer(name, inputs, outputs);
            let (from, to) = (inputs / members, outputs / members);
            writer.begin_for("m", members);
            let offsets =
                [String::new(), String::new(), format!("m * {from} + "), format!("m * {to} + ")];
            dense(writer, [&w, &b], (from, to), offsets.each_ref().map(String::as_str));
            writer.end();
        }
        LayerKind::MemberHeads => {
            let (from, to) = (inputs / members, outputs / members);
            // Of each member its own columns.
            let column =
                |m: usize, j: usize| (0..to).map(move |i| weights[j * members * to + m * to + i]);
            let heads = (0..members).flat_map(|m| (0..from).flat_map(move |j| column(m, j)));
            table(0, &heads.collect::<Vec<f64>>());
            table(1, bias);
            writer.begin_layer(name, inputs, outputs);
            writer.begin_for("m", members);
            let offsets = [
                format!("m * {} + ", from * to),
                format!("m * {to} + "),
                format!("m * {from} + "),
                format!("m * {to} + "),
            ];
            dense(writer, [&w, &b], (from, to), offsets.each_ref().map(String::as_str));
            if activation == Activation::Softmax {
                softmax_at(
                    writer,
                    &format!("y[m * {to} + i]"),
                    &format!("y[m * {to}]"),
                    number,
                    to,
                );
            }
            writer.end();
            if activation == Activation::Softmax {
                return writer.end_function(None);
            }
        }
        LayerKind::MemberMean => {
            writer.begin_layer(name, inputs, outputs);
            let zero = writer.literal(number, 0.0);
            writer.for_each("i", outputs, &[&format!("y[i] = {zero};")]);
            writer.begin_for("m", members);
            writer.for_each("i", outputs, &[&format!("y[i] += x[m * {outputs} + i];")]);
            writer.end();
            let count = writer.literal(number, members as f64);
            writer.for_each("i", outputs, &[&format!("y[i] = y[i] / {count};")]);
            // The heads have applied the activation.
            return writer.end_function(None);
        }
    }
    apply(writer, activation, outputs);
    writer.end_function(None);
}

/// Inputs whose products are summed before the sum is stored: a compiler that does not keep y in registers loads and stores it
/// a fourth as often, which halves the time of small layers, or more.
const INPUTS_AT_ONCE: usize = 4;

/// `y = W x + b`, with W column-major, so that the inner loop goes along both y and W. `offsets`: in front of the places in W, b, x
/// and y.
fn dense(
    writer: &mut SourceWriter,
    [w, b]: [&str; 2],
    (inputs, outputs): (usize, usize),
    [of_w, of_b, of_x, of_y]: [&str; 4],
) {
    let product = |j: &str| format!("{w}[{of_w}({j}) * {outputs} + i] * x[{of_x}{j}]");
    writer.for_each("i", outputs, &[&format!("y[{of_y}i] = {b}[{of_b}i];")]);
    let groups = inputs / INPUTS_AT_ONCE;
    if groups > 0 {
        let products: Vec<String> =
            (0..INPUTS_AT_ONCE).map(|k| product(&format!("{INPUTS_AT_ONCE} * j + {k}"))).collect();
        writer.begin_for("j", groups);
        writer.for_each("i", outputs, &[&format!("y[{of_y}i] += {};", products.join(" + "))]);
        writer.end();
    }
    let rest: Vec<String> =
        (groups * INPUTS_AT_ONCE..inputs).map(|j| product(&j.to_string())).collect();
    if !rest.is_empty() {
        writer.for_each("i", outputs, &[&format!("y[{of_y}i] += {};", rest.join(" + "))]);
    }
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta`
fn layer_norm(writer: &mut SourceWriter, [w, b]: [&str; 2], features: usize) {
    let number = writer.number;
    let (zero, count) = (writer.literal(number, 0.0), writer.literal(number, features as f64));
    writer.variable("mean", number, &zero, true);
    writer.for_each("i", features, &[&format!("mean += x[i] / {count};")]);
    writer.variable("variance", number, &zero, true);
    writer.for_each(
        "i",
        features,
        &[&format!("variance += (x[i] - mean) * (x[i] - mean) / {count};")],
    );
    let epsilon = writer.literal(number, EPSILON);
    let root = writer.function_of(number, "sqrt", &format!("variance + {epsilon}"));
    writer.variable("deviation", number, &root, false);
    let normal = format!("y[i] = {w}[i] * ((x[i] - mean) / deviation) + {b}[i];");
    writer.for_each("i", features, &[&normal]);
}

fn embed_numbers(
    writer: &mut SourceWriter,
    [w, b]: [&str; 2],
    (inputs, features): (usize, &[f64]),
) {
    let number = writer.number;
    writer.for_each("i", inputs, &["y[i] = x[i];"]);
    let (columns, biases) = ((1 + EMBEDDED) * FREQUENCIES, FREQUENCIES + EMBEDDED);
    for (k, feature) in features.iter().enumerate() {
        let (first, w, b) =
            (inputs + EMBEDDED * k, format!("{w}[{}", columns * k), format!("{b}[{}", biases * k));
        let sum = format!("y[{first} + r] = {b} + {FREQUENCIES} + r];");
        writer.for_each("r", EMBEDDED, &[&sum]);
        writer.begin_for("f", FREQUENCIES);
        writer.variable("turns", number, &format!("{w} + f] * x[{feature}]"), false);
        let (wave, phase) = (writer.wave("turns", &format!("{b} + f]")), "wave");
        writer.variable(phase, number, &wave, false);
        let product =
            format!("y[{first} + r] += {w} + {FREQUENCIES} + r * {FREQUENCIES} + f] * wave;");
        writer.for_each("r", EMBEDDED, &[&product]);
        writer.end();
    }
}

fn embed_categories(writer: &mut SourceWriter, w: &str, layer: &LayerDescription) {
    let (inputs, more) = (layer.inputs, CATEGORY_NUMBERS - 1);
    writer.for_each("i", inputs, &["y[i] = x[i];"]);
    let mut first = 0;
    let (zero, nan) = (writer.literal(writer.number, 0.0), writer.literal(writer.number, f64::NAN));
    for (k, categories) in layer.categories.iter().enumerate() {
        let (feature, count) = (categories.feature, categories.count);
        let (code, x) = (format!("code_{k}"), format!("x[{feature}]"));
        let (least, most) =
            (writer.literal(writer.number, 1.0), writer.literal(writer.number, count as f64));
        let (whole, other) =
            if writer.is_c() { (format!("(int){x}"), "0") } else { (format!("{x} as usize"), "0") };
        let index = writer.choice(&format!("{x} >= {least} && {x} <= {most}"), &whole, other);
        writer.index(&code, &index);
        // 0 is no category, and has the vector 0; whatever else is none has NaN.
        let other = format!("other_{k}");
        let value = writer.choice(&format!("{x} == {zero}"), &zero, &nan);
        writer.variable(&other, writer.number, &value, false);
        let is_known = format!("{code} > 0");
        let known =
            |place: &str| format!("{w}[({first} + {code} - 1) * {CATEGORY_NUMBERS} + {place}]");
        let chosen = writer.choice(&is_known, &known("0"), &other);
        writer.line(&format!("y[{feature}] = {chosen};"));
        let chosen = writer.choice(&is_known, &known("1 + i"), &other);
        writer.for_each("i", more, &[&format!("y[{} + i] = {chosen};", inputs + more * k)]);
        first += count;
    }
}
