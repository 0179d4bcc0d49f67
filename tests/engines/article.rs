//! The article's example, and a network of its shape against the equations in f64.

use std::sync::Arc;

use crate::common::{self, Layer, random, relative};
use travertine::engine::Engine;
use travertine::layer::{Dense, Layer as _, Role};
use travertine::{Activation, Loss, Matrix, Network, Scalar, Trainer, engine, optimizer::Sgd};

fn article<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> (Vec<T>, String) {
    let numbers = |values: &[f64]| values.iter().map(|&x| T::from_f64(x)).collect::<Vec<T>>();
    let x = Matrix::from_slice(engine, 2, 2, &numbers(&[0.3, 0.9, 0.3, 0.9])).unwrap();
    let mut layer_1 = Dense::new(engine, 2, 4, Activation::Tanh).unwrap();
    let mut layer_2 = Dense::new(engine, 4, 1, Activation::Sigmoid).unwrap();
    layer_1.weights_mut().write(&numbers(&[0.3, 0.1, 0.9, 0.0, 0.6, 2.0, 3.7, 1.0])).unwrap();
    layer_1.bias_mut().write(&numbers(&[-0.7, -0.2, -1.1, -2.0])).unwrap();
    layer_2.weights_mut().write(&numbers(&[0.75, 0.15, 0.22, 0.33])).unwrap();
    layer_2.bias_mut().write(&numbers(&[-0.3])).unwrap();
    let (mut training_1, mut training_2) =
        (layer_1.training(2, Role::Hidden).unwrap(), layer_2.training(2, Role::Output).unwrap());
    training_1.forward(x.view()).unwrap();
    training_2.forward(training_1.output(2).unwrap()).unwrap();
    let output = training_2.output(2).unwrap();
    (output.to_vec().unwrap(), output.to_string())
}

#[test]
fn prints_what_the_article_prints() {
    let expected = "\
#Matrix[f32, mxn:1x2, layout:column, offset:0]
   ▥       ↓       ↓       ┓
   →       0.44    0.44
   ┗                       ┛";
    for (words, engine) in common::engines::<f32>() {
        let (values, text) = article(&engine);
        values.iter().for_each(|a| assert!((a - 0.4352126).abs() < 1e-6, "{words}: {a}"));
        assert_eq!(text, expected, "{words}");
    }
    for (words, engine) in common::engines::<f64>() {
        article(&engine)
            .0
            .iter()
            .for_each(|a| assert!((a - 0.4352126).abs() < 1e-7, "{words}: {a}"));
    }
}

#[test]
fn long_matrices_are_elided() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let values: Vec<f64> = (0..400).map(f64::from).collect();
    let matrix = Matrix::from_slice(&cpu, 20, 20, &values).unwrap();
    let text = matrix.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 1 + 11 + 1, "{text}");
    assert!(
        lines[2].contains("0.00") && lines[2].contains("380.00") && lines[2].contains('⋯'),
        "{text}"
    );
    assert!(lines[7].contains('⋮'), "{text}");
    assert!(!text.contains("105.00"), "{text}");
    assert!(matrix.view().t().to_string().contains("layout:row"));
}

/// tanh, sigmoid, sigmoid as in the article, smaller: forward and 20 steps of descent against the four equations.
fn three_layers<T: Scalar>(engine: &Arc<dyn Engine<T>>, bound: f64) {
    let (inputs, outputs, samples) = (50, 10, 30);
    let mut network = Network::builder(engine, inputs)
        .dense(40, Activation::Tanh)
        .dense(20, Activation::Sigmoid)
        .dense(outputs, Activation::Sigmoid)
        .seed(3)
        .build()
        .unwrap();
    let mut reference: Vec<Layer> = common::layers(&network);
    let (x, t) = (random::<T>(inputs * samples, 1), random::<T>(outputs * samples, 2));
    let columns = |values: &[T], rows: usize| -> Vec<Vec<f64>> {
        values.chunks(rows).map(|column| column.iter().map(|x| x.to_f64()).collect()).collect()
    };
    let (x_columns, t_columns) = (columns(&x, inputs), columns(&t, outputs));
    let (x, t) = (
        Matrix::from_slice(engine, inputs, samples, &x).unwrap(),
        Matrix::from_slice(engine, outputs, samples, &t).unwrap(),
    );

    let a: Vec<f64> =
        network.infer(x.view()).unwrap().to_vec().unwrap().into_iter().map(T::to_f64).collect();
    let last = Activation::Sigmoid;
    let expected: Vec<f64> = x_columns
        .iter()
        .flat_map(|x| common::activate(last, &common::last_z(&reference, x)))
        .collect();
    assert!(relative(&a, &expected) < bound, "forward: {:e}", relative(&a, &expected));

    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.5).unwrap())
        .batch(samples)
        .seed(1)
        .build()
        .unwrap();
    for _ in 0..20 {
        trainer.step(x.view(), t.view()).unwrap();
        common::sgd_step(&mut reference, &x_columns, &t_columns, 0.5);
    }
    drop(trainer);
    for (i, (ours, reference)) in common::layers(&network).iter().zip(&reference).enumerate() {
        let (w, b) =
            (relative(&ours.weights, &reference.weights), relative(&ours.bias, &reference.bias));
        assert!(w < bound && b < bound, "layer {i}: {w:e} {b:e}");
    }
}

#[test]
fn three_layers_agree_with_the_equations() {
    common::engines::<f64>().iter().for_each(|(_, engine)| three_layers(engine, 1e-12));
    // 24 bits, 50 terms a sum, 20 steps that each add a rounding.
    common::engines::<f32>().iter().for_each(|(_, engine)| three_layers(engine, 1e-5));
}
