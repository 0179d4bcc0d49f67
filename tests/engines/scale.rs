//! The layer that scales features: its formula, central differences, files.

use crate::common::{activate, engines, one_hot, random};
use travertine::layer::LayerKind;
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::Sgd;
use travertine::{
    Activation, Dropout, Loss, Matrix, Network, Scalar, Trainer, check_gradients, engine,
};

/// Writes numbers around 1 into gamma, and others into beta, of every scaling layer.
fn spread<T: Scalar>(network: &mut Network<T>) {
    for (i, layer) in network.layers_mut().iter_mut().enumerate() {
        if layer.kind() == LayerKind::Scale {
            let gamma = random::<f64>(layer.outputs(), 70 + i as u64);
            let gamma: Vec<T> = gamma.iter().map(|g| T::from_f64(1.2 + g)).collect();
            layer.weights_mut().write(&gamma).unwrap();
            let beta = random(layer.outputs(), 80 + i as u64);
            layer.bias_mut().write(&beta).unwrap();
        }
    }
}

fn is_its_formula<T: Scalar>(tolerance: f64) {
    for (words, engine) in engines::<T>() {
        for (features, samples) in [(1, 1), (7, 5), (33, 300)] {
            let builder = Network::builder(&engine, features).scale(Activation::Tanh);
            let mut network = builder.build().unwrap();
            let numbers = random::<T>(features * samples, 4);
            let x = Matrix::from_slice(&engine, features, samples, &numbers).unwrap();
            for is_spread in [false, true] {
                if is_spread {
                    spread(&mut network);
                }
                let layer = &network.layers()[0];
                let (gamma, beta) =
                    (layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap());
                let z: Vec<f64> = numbers
                    .iter()
                    .enumerate()
                    .map(|(i, x)| {
                        gamma[i % features].to_f64() * x.to_f64() + beta[i % features].to_f64()
                    })
                    .collect();
                let a = network.infer(x.view()).unwrap().to_vec().unwrap();
                for (ours, expected) in a.iter().zip(activate(Activation::Tanh, &z)) {
                    assert!(
                        (ours.to_f64() - expected).abs() < tolerance,
                        "{words}: {ours} for {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_scaling_layer_is_its_formula() {
    is_its_formula::<f32>(1e-6);
    is_its_formula::<f64>(1e-14);
}

/// First, between dense layers, behind an activation, and last.
#[test]
fn gradients_are_those_of_central_differences() {
    for (words, device) in engines::<f64>() {
        let builder = || Network::builder(&device, 4).seed(2);
        let networks = [
            builder().scale(Activation::Identity).dense(3, Activation::Softmax),
            builder()
                .dense(5, Activation::Identity)
                .scale(Activation::Silu)
                .dense(3, Activation::Softmax),
            builder()
                .dense(5, Activation::Tanh)
                .scale(Activation::Identity)
                .dense(3, Activation::Softmax),
            builder().scale(Activation::Mish).scale(Activation::Selu).dense(3, Activation::Softmax),
            builder().dense(3, Activation::Identity).scale(Activation::Sigmoid),
        ];
        for (i, network) in networks.into_iter().enumerate() {
            let mut network = network.build().unwrap();
            spread(&mut network);
            let loss = if i == 4 { Loss::Quadratic } else { Loss::SoftmaxCrossEntropy };
            let x = Matrix::from_slice(&device, 4, 5, &random(20, 3)).unwrap();
            let t = Matrix::from_slice(&device, 3, 5, &one_hot(3, 5)).unwrap();
            let check = check_gradients(&mut network, loss, x.view(), t.view(), 1e-5).unwrap();
            assert!(check.relative_error < 1e-6, "{words}, network {i}: {check:?}");
        }
    }
}

/// Batch normalization needs two samples and has running statistics; scaling has neither.
#[test]
fn it_trains_on_one_sample_and_is_saved_without_statistics() {
    let path =
        std::env::temp_dir().join(format!("travertine-scale-{}.safetensors", std::process::id()));
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 3)
        .scale(Activation::Identity)
        .dense(4, Activation::Tanh)
        .dense(1, Activation::Identity)
        .build()
        .unwrap();
    let x = Matrix::from_slice(&cpu, 3, 1, &[1.0, -2.0, 0.5]).unwrap();
    let t = Matrix::from_slice(&cpu, 1, 1, &[0.7]).unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
        .batch(1)
        .build()
        .unwrap();
    (0..200).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
    assert!(trainer.last_loss(1).unwrap() < 1e-6);
    drop(trainer);
    assert_ne!(
        network.layers()[0].weights().to_vec().unwrap(),
        [1.0; 3],
        "the factors are learned"
    );
    assert!(network.layers()[0].statistics().is_none());
    model_file::save(&path, &network, &ModelInfo::new(Loss::Quadratic)).unwrap();
    let (loaded, _) = model_file::load::<f32>(&path, &cpu).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(loaded.layers()[0].kind(), LayerKind::Scale);
    assert_eq!(loaded.parameters(), network.parameters());
    let output = |network: &Network<f32>| network.infer(x.view()).unwrap().to_vec().unwrap();
    assert_eq!(output(&loaded), output(&network));
}

/// Dropout of hidden layers leaves the features alone, although a scaling layer stands in front of the first dense one.
#[test]
fn dropout_of_hidden_layers_spares_scaled_features() {
    for (words, engine) in engines::<f32>() {
        let mut network = Network::builder(&engine, 40)
            .scale(Activation::Identity)
            .dense(1, Activation::Identity)
            .build()
            .unwrap();
        let x = Matrix::from_slice(&engine, 40, 1, &random(40, 9)).unwrap();
        let expected = network.infer(x.view()).unwrap().to_vec().unwrap()[0];
        let t = Matrix::from_slice(&engine, 1, 1, &[0.0]).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.0).unwrap())
            .batch(1)
            .dropout(Dropout { inputs: 0.0, hidden: 0.9 })
            .build()
            .unwrap();
        trainer.step(x.view(), t.view()).unwrap();
        let loss = trainer.last_loss(1).unwrap();
        assert!((loss - f64::from(expected * expected) / 2.0).abs() < 1e-6, "{words}: {loss}");
    }
}
