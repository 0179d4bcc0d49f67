//! Layers as operators. A value between layers is `[N, rows]`, one sample a row.

use super::activations::activate;
use super::writer::{GraphWriter, float, int};
use crate::engine::{CATEGORY_NUMBERS, EMBEDDED, FREQUENCIES};
use crate::layer::{EPSILON, LayerKind};
use crate::model_file::LayerDescription;

/// The outputs of a layer whose tensors are named `{name}.weight` and so on.
pub(super) fn layer(
    graph: &mut GraphWriter,
    layer: &LayerDescription,
    name: &str,
    x: &str,
) -> String {
    graph.scope(name);
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let z = match layer.kind {
        LayerKind::Dense => gemm(graph, x, [&weight, &bias]),
        LayerKind::BatchNorm => {
            let [mean, variance] = ["mean", "var"].map(|part| format!("{name}.running_{part}"));
            batch_norm(graph, [x, &weight, &bias, &mean, &variance])
        }
        LayerKind::LayerNorm => layer_norm(graph, x, [&weight, &bias], layer.inputs),
        LayerKind::Scale => {
            let scaled = graph.mul(x, &weight);
            graph.add(&scaled, &bias)
        }
        LayerKind::NumberEmbedding => embed_numbers(graph, layer, name, x),
        LayerKind::Parametric => {
            // x + a (f(x) - x)
            let y = activate(graph, layer.activation, x);
            let more = graph.sub(&y, x);
            let share = graph.mul(&more, &weight);
            return graph.add(x, &share);
        }
        LayerKind::CategoryEmbedding => embed_categories(graph, layer, &weight, x),
        LayerKind::Members => {
            let (members, inputs) = (layer.members as i64, layer.inputs as i64);
            let factors = graph.reshape(&weight, &[members, inputs]);
            let rows = graph.reshape(x, &[-1, 1, inputs]);
            let products = graph.mul(&rows, &factors);
            graph.reshape(&products, &[-1, layer.outputs as i64])
        }
        LayerKind::MemberDense => {
            let rows = graph.reshape(x, &[-1, (layer.inputs / layer.members) as i64]);
            let z = gemm(graph, &rows, [&weight, &bias]);
            let a = activate(graph, layer.activation, &z);
            return graph.reshape(&a, &[-1, layer.outputs as i64]);
        }
        LayerKind::MemberHeads => return member_heads(graph, layer, [&weight, &bias], x),
        LayerKind::MemberMean => {
            let shape = [-1, layer.members as i64, layer.outputs as i64];
            let rows = graph.reshape(x, &shape);
            let axis = graph.integers(&[1]);
            let sum = graph.apply("ReduceSum", &[&rows, &axis], vec![int("keepdims", 0)]);
            let share = graph.scalar(1.0 / layer.members as f64);
            // The heads have applied the activation.
            return graph.mul(&sum, &share);
        }
    };
    activate(graph, layer.activation, &z)
}

/// `W x + b` for rows x.
fn gemm(graph: &mut GraphWriter, x: &str, [weight, bias]: [&str; 2]) -> String {
    graph.apply("Gemm", &[x, weight, bias], vec![int("transB", 1)])
}

/// Of input, gamma, beta, means and variances. The operator's epsilon is a single, which in double precision is another number.
fn batch_norm(graph: &mut GraphWriter, inputs: [&str; 5]) -> String {
    if !graph.is_double() {
        return graph.apply("BatchNormalization", &inputs, vec![float("epsilon", EPSILON)]);
    }
    let [x, gamma, beta, mean, variance] = inputs;
    let distances = graph.sub(x, mean);
    normalize(graph, &distances, variance, [gamma, beta])
}

/// As [`batch_norm`] says of epsilon.
fn layer_norm(graph: &mut GraphWriter, x: &str, scale: [&str; 2], features: usize) -> String {
    if graph.opset >= 17 && !graph.is_double() {
        let attributes = vec![int("axis", -1), float("epsilon", EPSILON)];
        return graph.apply("LayerNormalization", &[x, scale[0], scale[1]], attributes);
    }
    let mean = row_means(graph, x, features);
    let distances = graph.sub(x, &mean);
    let squares = graph.mul(&distances, &distances);
    let variance = row_means(graph, &squares, features);
    normalize(graph, &distances, &variance, scale)
}

/// `gamma distances / sqrt(variance + epsilon) + beta`
fn normalize(
    graph: &mut GraphWriter,
    distances: &str,
    variance: &str,
    [gamma, beta]: [&str; 2],
) -> String {
    let epsilon = graph.scalar(EPSILON);
    let sum = graph.add(variance, &epsilon);
    let deviation = graph.map("Sqrt", &sum);
    let normal = graph.div(distances, &deviation);
    let scaled = graph.mul(&normal, gamma);
    graph.add(&scaled, beta)
}

/// The mean of each row, by a sum: the axes of means are an attribute or an input, as the opset has it.
fn row_means(graph: &mut GraphWriter, x: &str, features: usize) -> String {
    let axis = graph.integers(&[-1]);
    let sum = graph.apply("ReduceSum", &[x, &axis], vec![int("keepdims", 1)]);
    let share = graph.scalar(1.0 / features as f64);
    graph.mul(&sum, &share)
}

/// As [`NumberEmbedding`](crate::layer::NumberEmbedding) says.
fn embed_numbers(graph: &mut GraphWriter, layer: &LayerDescription, name: &str, x: &str) -> String {
    let embedded = (layer.outputs - layer.inputs) / EMBEDDED;
    let m = embedded as i64;
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let columns = graph.cast(&format!("{name}.columns"), super::message::data_type::INT64);
    let numbers = graph.gather(x, &columns, 1);
    let numbers = graph.reshape(&numbers, &[-1, m, 1]);
    let w1 = graph.slice(&weight, 1, 0, FREQUENCIES);
    let turns = graph.mul(&numbers, &w1);
    // The cosine repeats itself after a turn; a large angle would lose its digits.
    let whole = graph.map("Round", &turns);
    let turns = graph.sub(&turns, &whole);
    let tau = graph.scalar(std::f64::consts::TAU);
    let angles = graph.mul(&turns, &tau);
    let b1 = graph.slice(&bias, 1, 0, FREQUENCIES);
    let angles = graph.add(&angles, &b1);
    let waves = graph.map("Cos", &angles);
    // [m, N, 16] times [m, 16, 3]
    let waves = graph.transpose(&waves, &[1, 0, 2]);
    let w2 = graph.slice(&weight, 1, FREQUENCIES, (1 + EMBEDDED) * FREQUENCIES);
    let w2 = graph.reshape(&w2, &[m, EMBEDDED as i64, FREQUENCIES as i64]);
    let w2 = graph.transpose(&w2, &[0, 2, 1]);
    let products = graph.pair("MatMul", &waves, &w2);
    let products = graph.transpose(&products, &[1, 0, 2]);
    let b2 = graph.slice(&bias, 1, FREQUENCIES, FREQUENCIES + EMBEDDED);
    let sums = graph.add(&products, &b2);
    let more = graph.reshape(&sums, &[-1, m * EMBEDDED as i64]);
    graph.concat(&[x.to_owned(), more], 1)
}

/// As [`CategoryEmbedding`](crate::layer::CategoryEmbedding) says.
fn embed_categories(
    graph: &mut GraphWriter,
    layer: &LayerDescription,
    weight: &str,
    x: &str,
) -> String {
    let vectors = graph.transpose(weight, &[1, 0]);
    let none = graph.constant(graph.number, &[1, CATEGORY_NUMBERS], &[0.0; CATEGORY_NUMBERS]);
    // The inputs, with the first number of each vector in the place of its feature; then the others.
    let (mut rows, mut more) = (Vec::new(), Vec::new());
    let (mut next, mut first) = (0, 0);
    for categories in &layer.categories {
        let feature = categories.feature;
        if next < feature {
            rows.push(graph.slice(x, 1, next, feature));
        }
        let own = graph.slice(&vectors, 0, first, first + categories.count);
        let table = graph.concat(&[none.clone(), own], 0);
        let code = graph.slice(x, 1, feature, feature + 1);
        let code = graph.reshape(&code, &[-1]);
        let code = graph.cast(&code, super::message::data_type::INT64);
        let vector = graph.gather(&table, &code, 0);
        rows.push(graph.slice(&vector, 1, 0, 1));
        more.push(graph.slice(&vector, 1, 1, CATEGORY_NUMBERS));
        (next, first) = (feature + 1, first + categories.count);
    }
    if next < layer.inputs {
        rows.push(graph.slice(x, 1, next, layer.inputs));
    }
    rows.append(&mut more);
    graph.concat(&rows, 1)
}

fn member_heads(
    graph: &mut GraphWriter,
    layer: &LayerDescription,
    [weight, bias]: [&str; 2],
    x: &str,
) -> String {
    let members = layer.members as i64;
    let [inputs, outputs] = [layer.inputs, layer.outputs].map(|rows| (rows / layer.members) as i64);
    // [members, N, inputs] times [members, inputs, outputs]
    let rows = graph.reshape(x, &[-1, members, inputs]);
    let rows = graph.transpose(&rows, &[1, 0, 2]);
    let weights = graph.reshape(weight, &[members, outputs, inputs]);
    let weights = graph.transpose(&weights, &[0, 2, 1]);
    let products = graph.pair("MatMul", &rows, &weights);
    let products = graph.transpose(&products, &[1, 0, 2]);
    let biases = graph.reshape(bias, &[members, outputs]);
    let z = graph.add(&products, &biases);
    let a = activate(graph, layer.activation, &z);
    graph.reshape(&a, &[-1, layer.outputs as i64])
}
