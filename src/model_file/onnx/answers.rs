//! What a model answers, as the outputs of a graph: a label and probabilities, or values.

use super::message::data_type;
use super::writer::{GraphWriter, Number, int};
use crate::activation::Activation;
use crate::model_file::{Decoding, ModelInfo};

/// The outputs for those of the network (or their mean over an ensemble), `[N, outputs]`. `last`: the network's last activation, as a
/// loss sees it. `numbers_only`: without texts, and with values scaled in the network's precision, for programs that read no others.
pub(super) fn answer(
    graph: &mut GraphWriter,
    info: &ModelInfo,
    (outputs, last): (usize, Activation),
    numbers_only: bool,
    x: &str,
) {
    graph.scope("answers");
    if info.classes.is_empty() {
        values(graph, info, outputs, numbers_only, x);
    } else {
        classes(graph, info, (outputs, last), numbers_only, x);
    }
}

fn classes(
    graph: &mut GraphWriter,
    info: &ModelInfo,
    (outputs, last): (usize, Activation),
    numbers_only: bool,
    x: &str,
) {
    let decoding = Decoding::of(last, info.loss);
    let mut scores = match decoding {
        Decoding::Probabilities | Decoding::Plain => x.to_owned(),
        Decoding::Softmax => graph.apply("Softmax", &[x], vec![int("axis", -1)]),
        Decoding::Sigmoid => graph.map("Sigmoid", x),
    };
    // One output is the score of the second of two classes.
    if outputs == 1 && info.classes.len() == 2 {
        let one = graph.scalar(1.0);
        let other = graph.sub(&one, &scores);
        scores = graph.concat(&[other, scores], 1);
    }
    let attributes = vec![int("axis", 1), int("keepdims", 0)];
    let class = graph.apply("ArgMax", &[&scores], attributes);
    if numbers_only {
        let doc = "the place of the class with the highest score among the metadata's classes, counted from 0";
        graph.output((&class, "class"), data_type::INT64, None, doc);
    } else {
        let doc = "the class with the highest score";
        let names = graph.texts(&info.classes);
        let label = graph.gather(&names, &class, 0);
        graph.output((&label, "label"), data_type::STRING, None, doc);
    }
    let (name, doc) = match decoding {
        Decoding::Plain => ("scores", "a score of each class, no probability"),
        _ => ("probabilities", "the probability of each class"),
    };
    let (kind, columns) = (graph.number.data_type(), info.classes.len() as i64);
    graph.output((&scores, name), kind, Some(columns), doc);
}

fn values(graph: &mut GraphWriter, info: &ModelInfo, outputs: usize, numbers_only: bool, x: &str) {
    let (mut x, mut number) = (x.to_owned(), graph.number);
    if let Some(scale) = &info.target_scale {
        if !numbers_only && !graph.is_double() {
            (x, number) = (graph.cast(&x, data_type::DOUBLE), Number::Double);
        }
        let mut vector = |values: &[f64]| graph.constant(number, &[outputs], values);
        let (mean, deviation) = (vector(scale.mean()), vector(scale.deviation()));
        let bounds = scale.bounds().map(|bounds| {
            let bound = |which: usize| bounds.iter().map(|pair| pair[which]).collect::<Vec<_>>();
            [vector(&bound(0)), vector(&bound(1))]
        });
        let scaled = graph.mul(&deviation, &x);
        x = graph.add(&mean, &scaled);
        if let Some([least, most]) = bounds {
            x = graph.pair("Max", &x, &least);
            x = graph.pair("Min", &x, &most);
        }
    }
    if info.loss.quantiles().is_some() {
        x = sorted(graph, outputs, &x);
    }
    let doc = "the predicted values, in the units of the training data";
    graph.output((&x, "values"), number.data_type(), Some(outputs as i64), doc);
}

/// The numbers of each row in ascending order.
fn sorted(graph: &mut GraphWriter, outputs: usize, x: &str) -> String {
    let count = graph.integers(&[outputs as i64]);
    let attributes = vec![int("axis", 1), int("largest", 0)];
    graph.top(&[x, &count], attributes)
}
