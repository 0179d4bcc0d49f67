//! Networks with every kind of layer and every activation, for files of other programs.

use std::sync::Arc;

use travertine::data::{Dataset, Standardization, TargetScale, Targets};
use travertine::engine::Engine;
use travertine::layer::Categories;
use travertine::model_file::ModelInfo;
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Loss, Model, Network, Quantiles, Scalar};

pub(crate) const SAMPLES: usize = 40;
pub(crate) const INPUTS: usize = 5;

/// Numbers of about -3 to 3.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let stream = Philox::new(seed, Purpose::User, 0);
    (0..count as u64).map(|i| 1.5 * stream.normal(i)).collect()
}

/// Every parameter random, so that none is 0 or 1.
pub(crate) fn shuffled<T: Scalar>(mut network: Network<T>, seed: u64) -> Network<T> {
    for (number, layer) in network.layers_mut().iter_mut().enumerate() {
        let scale = 1.0 / (layer.inputs() as f64).sqrt();
        for (part, mut matrix) in [layer.weights_mut()].into_iter().enumerate() {
            let count = matrix.rows() * matrix.columns();
            let values = numbers(seed + 10 * number as u64 + part as u64, count);
            let values: Vec<T> = values.iter().map(|x| T::from_f64(scale * x)).collect();
            matrix.write(&values).unwrap();
        }
        let mut bias = layer.bias_mut();
        let count = bias.rows() * bias.columns();
        if count > 1 {
            let values: Vec<T> = numbers(seed + 99 + number as u64, count)
                .iter()
                .map(|x| T::from_f64(0.3 * x))
                .collect();
            bias.write(&values).unwrap();
        }
        let columns = layer.statistics().map_or(0, |statistics| statistics.columns());
        if let (2, Some(mut statistics)) = (columns, layer.statistics_mut()) {
            let rows = statistics.rows();
            let means = numbers(seed + 7, rows).into_iter().map(|x| 0.2 * x);
            let variances = numbers(seed + 8, rows).into_iter().map(|x| 0.5 + x * x);
            let values: Vec<T> = means.chain(variances).map(T::from_f64).collect();
            statistics.write(&values).unwrap();
        }
    }
    network
}

/// A model with the name of its file and its opset.
pub(crate) type Case<T> = (String, u32, Model<T>);

pub(crate) fn classes(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

pub(crate) fn networks<T: Scalar>(cpu: &Arc<dyn Engine<T>>) -> Vec<Case<T>> {
    let begin = || Network::builder(cpu, INPUTS).seed(3);
    let codes = [Categories { feature: 1, count: 3 }, Categories { feature: 4, count: 2 }];
    let model =
        |network: Network<T>, info: ModelInfo| Model::new(shuffled(network, 5), info).unwrap();
    let values = || ModelInfo::new(Loss::Quadratic);
    let of_classes = |loss, count| ModelInfo { classes: classes(count), ..ModelInfo::new(loss) };
    let mut cases = Vec::new();
    for activation in Activation::ALL {
        for opset in [13, 20] {
            // Softmax is for the last layer.
            let network = match activation {
                Activation::Softmax => begin().dense(7, Activation::Relu).dense(3, activation),
                _ => begin().dense(7, activation).dense(2, activation),
            };
            let model = model(network.build().unwrap(), values());
            cases.push((format!("{}_{opset}", activation.name()), opset, model));
        }
    }
    let norms = begin()
        .dense(6, Activation::Identity)
        .batch_norm(Activation::Relu)
        .dense(6, Activation::Relu)
        .batch_norm(Activation::Identity)
        .layer_norm(Activation::Tanh)
        .scale(Activation::Identity)
        .parametric(Activation::Mish)
        .dense(3, Activation::Identity);
    cases.push((
        "normalization".into(),
        17,
        model(norms.build().unwrap(), of_classes(Loss::SoftmaxCrossEntropy, 3)),
    ));
    let old = begin().dense(6, Activation::Identity).layer_norm(Activation::Elu(0.7));
    let old = old.dense(1, Activation::Identity).build().unwrap();
    cases.push(("layer_norm_16".into(), 16, model(old, of_classes(Loss::BinaryCrossEntropy, 2))));
    let embedded = begin()
        .embed_numbers(&[0, 2, 3])
        .embed_categories(&codes)
        .dense(8, Activation::Selu)
        .dense(1, Activation::Sigmoid);
    cases.push((
        "embeddings".into(),
        23,
        model(embedded.build().unwrap(), of_classes(Loss::BinaryCrossEntropy, 2)),
    ));
    let members = begin()
        .members(4)
        .member_dense(6, Activation::Identity)
        .scale(Activation::Relu)
        .parametric(Activation::Silu)
        .member_heads(3, Activation::Softmax);
    cases.push((
        "members".into(),
        18,
        model(members.build().unwrap(), of_classes(Loss::SoftmaxCrossEntropy, 3)),
    ));
    let plain = begin().dense(3, Activation::Identity).build().unwrap();
    cases.push(("scores".into(), 17, model(plain, of_classes(Loss::Quadratic, 3))));
    let ensemble = (0..3).map(|seed| {
        shuffled(
            begin().dense(4, Activation::Tanh).dense(2, Activation::Identity).build().unwrap(),
            seed,
        )
    });
    let logits = of_classes(Loss::SoftmaxCrossEntropy, 2);
    cases.push(("ensemble".into(), 17, Model::ensemble(ensemble.collect(), logits).unwrap()));
    // Quantiles that cross, in units of thousands and within bounds.
    let prices = Targets::Values {
        values: (0..20).map(|i| 1e3 * f64::from(i % 7) + 5e4).collect(),
        names: vec!["price".into()],
    };
    let levels = Quantiles::new(&[0.1, 0.5, 0.9]).unwrap();
    let scale = TargetScale::fit(&prices).unwrap().bounded_by(&prices).unwrap();
    let scale = scale.for_quantiles(&levels).unwrap();
    let info = ModelInfo {
        target_scale: Some(scale),
        target: Some("price".into()),
        ..ModelInfo::new(Loss::Quantiles(levels))
    };
    let three = begin().dense(6, Activation::Gelu).dense(3, Activation::Identity).build().unwrap();
    cases.push(("quantiles".into(), 17, model(three, info)));
    let data = Dataset::<f64>::new(INPUTS, numbers(4, INPUTS * 30), Targets::None).unwrap();
    for (name, standardization) in [
        ("standardized", Standardization::fit(&data).unwrap()),
        ("bounded", Standardization::fit_robust(&data).unwrap()),
    ] {
        let info = ModelInfo {
            standardization: Some(standardization),
            features: (0..INPUTS).map(|i| format!("x{i}")).collect(),
            ..values()
        };
        let network = begin().dense(3, Activation::Softplus).dense(1, Activation::Identity);
        cases.push((name.into(), 15, model(network.build().unwrap(), info)));
    }
    cases
}

/// Features of samples; the second and the last are codes where the network looks them up.
pub(crate) fn features(model: &Model<impl Scalar>) -> Vec<f64> {
    let mut features = numbers(11, INPUTS * SAMPLES);
    for layer in model.network().layers() {
        for &Categories { feature, count } in layer.categories() {
            for (sample, row) in features.chunks_exact_mut(INPUTS).enumerate() {
                row[feature] = (sample % (count + 1)) as f64;
            }
        }
    }
    features
}
