//! Batch and layer normalization: against plain f64, PyTorch's numbers, central differences, and themselves folded.

use std::sync::Arc;

use crate::common::{engines, one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Engine, Settings};
use travertine::layer::{Layer, Normalization, Role};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Sgd};
use travertine::{
    Activation, Dropout, ErrorKind, Loss, Matrix, Network, Samples, Scalar, Trainer,
    check_gradients,
};

type Device<T> = Arc<dyn Engine<T>>;

const KINDS: [&str; 2] = ["batch", "layer"];

/// Dense without an activation and a normalization with one, for every size; then a dense layer of 3.
fn network<T: Scalar>(
    device: &Device<T>,
    kind: &str,
    inputs: usize,
    hidden: &[usize],
    f: Activation,
) -> Network<T> {
    let mut builder = Network::builder(device, inputs).seed(1);
    for &size in hidden {
        builder = builder.dense(size, Activation::Identity);
        builder = if kind == "batch" { builder.batch_norm(f) } else { builder.layer_norm(f) };
    }
    let mut network = builder.dense(3, Activation::Softmax).build().unwrap();
    for (i, layer) in network.layers_mut().iter_mut().enumerate() {
        let bias = random::<T>(layer.outputs(), 100 + i as u64);
        layer.bias_mut().write(&bias).unwrap();
        if layer.weights().columns() == 1 {
            let gamma: Vec<T> = random::<T>(layer.outputs(), 200 + i as u64);
            let gamma: Vec<T> = gamma.into_iter().map(|g| T::from_f64(g.to_f64() + 1.5)).collect();
            layer.weights_mut().write(&gamma).unwrap();
        }
    }
    network
}

fn numbers<T: Scalar>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(T::to_f64).collect()
}

fn assert_close(ours: &[f64], theirs: &[f64], bound: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let error = (ours - theirs).abs() / (1.0 + theirs.abs());
        assert!(error < bound, "{what}: element {i} is {ours}, not {theirs}");
    }
}

#[test]
fn gradients_are_those_of_central_differences() {
    for (words, device) in engines::<f64>() {
        for kind in KINDS {
            for f in [Activation::Tanh, Activation::Gelu, Activation::Softplus] {
                let mut network = network(&device, kind, 5, &[7, 6], f);
                let x = Matrix::from_slice(&device, 5, 6, &random(30, 3)).unwrap();
                let t = Matrix::from_slice(&device, 3, 6, &one_hot(3, 6)).unwrap();
                let before = network.layers()[1].statistics().map(|s| s.to_vec().unwrap());
                let check = check_gradients(
                    &mut network,
                    Loss::SoftmaxCrossEntropy,
                    x.view(),
                    t.view(),
                    1e-5,
                )
                .unwrap();
                assert!(check.relative_error < 1e-6, "{words} {kind} {f}: {check:?}");
                let after = network.layers()[1].statistics().map(|s| s.to_vec().unwrap());
                assert_eq!(before, after, "a look leaves the statistics alone");
            }
        }
    }
}

/// A normalization of raw inputs, behind an activation, and as the last layer.
#[test]
fn gradients_at_unusual_places() {
    for (words, device) in engines::<f64>() {
        let builder = || Network::builder(&device, 4).seed(2);
        let networks = [
            builder().batch_norm(Activation::Tanh).dense(3, Activation::Identity),
            builder()
                .dense(5, Activation::Sigmoid)
                .batch_norm(Activation::Identity)
                .dense(3, Activation::Identity),
            builder()
                .dense(5, Activation::Gelu)
                .layer_norm(Activation::Silu)
                .dense(3, Activation::Sigmoid),
            builder().dense(3, Activation::Identity).layer_norm(Activation::Sigmoid),
            builder()
                .layer_norm(Activation::Tanh)
                .batch_norm(Activation::Identity)
                .dense(3, Activation::Tanh),
        ];
        for (i, network) in networks.into_iter().enumerate() {
            let mut network = network.build().unwrap();
            let x = Matrix::from_slice(&device, 4, 5, &random(20, 3)).unwrap();
            let t = Matrix::from_slice(&device, 3, 5, &one_hot(3, 5)).unwrap();
            let check =
                check_gradients(&mut network, Loss::Quadratic, x.view(), t.view(), 1e-5).unwrap();
            assert!(check.relative_error < 1e-6, "{words} network {i}: {check:?}");
        }
    }
}

/// `gamma (x - mean) / sqrt(variance + 1e-5) + beta`, of rows or of columns.
fn normalized(x: &[f64], rows: usize, by_rows: bool, gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let same_line =
        |a: usize, b: usize| if by_rows { a % rows == b % rows } else { a / rows == b / rows };
    (0..x.len())
        .map(|e| {
            let line: Vec<f64> =
                (0..x.len()).filter(|other| same_line(e, *other)).map(|other| x[other]).collect();
            let mean = line.iter().sum::<f64>() / line.len() as f64;
            let variance = line.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / line.len() as f64;
            gamma[e % rows] * (x[e] - mean) / (variance + 1e-5).sqrt() + beta[e % rows]
        })
        .collect()
}

/// Shapes that end in the middle of vectors and groups, on every engine and scalar, in training and in inference.
#[test]
fn outputs_are_those_of_the_formula() {
    fn with<T: Scalar>(bound: f64) {
        for (words, device) in engines::<T>() {
            for (rows, samples) in [(1, 2), (3, 5), (16, 4), (33, 17), (70, 130), (300, 64)] {
                let values = random::<T>(rows * samples, 5);
                let x = Matrix::from_slice(&device, rows, samples, &values).unwrap();
                for by_rows in [true, false] {
                    let mut layer =
                        if by_rows { Normalization::batch } else { Normalization::layer }(
                            &device,
                            rows,
                            Activation::Tanh,
                        )
                        .unwrap();
                    layer.weights_mut().write(&random(rows, 6)).unwrap();
                    layer.bias_mut().write(&random(rows, 7)).unwrap();
                    let (gamma, beta) =
                        (numbers(random::<T>(rows, 6)), numbers(random::<T>(rows, 7)));
                    let z = normalized(&numbers(values.clone()), rows, by_rows, &gamma, &beta);
                    let expected: Vec<f64> = z.into_iter().map(f64::tanh).collect();
                    let what = format!("{words}, {rows} x {samples}, by rows {by_rows}");
                    let mut training = layer.training(samples, Role::Output).unwrap();
                    training.forward(x.view()).unwrap();
                    let output = numbers(training.output(samples).unwrap().to_vec().unwrap());
                    assert_close(&output, &expected, bound, &what);
                    if !by_rows {
                        let mut a = Matrix::zeros(&device, rows, samples).unwrap();
                        layer.infer(Role::Output, None, x.view(), a.view_mut()).unwrap();
                        assert_close(&numbers(a.to_vec().unwrap()), &expected, bound, &what);
                    }
                }
            }
        }
    }
    with::<f32>(2e-5);
    with::<f64>(1e-12);
}

/// Three steps of gradient descent on 3-4-2 as PyTorch 2 takes them in f64: `Linear, BatchNorm1d or LayerNorm, Tanh, Linear`, rate 0.2, loss
/// `0.5 * ((y - t) ** 2).sum(1).mean()`; parameters and samples are `((a i + b) % 11 - 5) / 8` for element i in row-major order.
#[test]
fn steps_are_those_of_pytorch() {
    let filled = |count: usize, a: usize, b: usize| -> Vec<f64> {
        (0..count).map(|i| ((a * i + b) % 11) as f64 / 8.0 - 5.0 / 8.0).collect()
    };
    struct Theirs {
        losses: [f64; 3],
        gamma: [f64; 4],
        beta: [f64; 4],
        weights: [f64; 12],
        statistics: Option<[f64; 8]>,
        outputs: [f64; 10],
    }
    let batch = Theirs {
        losses: [0.6374092165456429, 0.3469921492762782, 0.22277596534428362],
        gamma: [1.49465594913, 0.92950120196, 0.50189532185, 1.38199146801],
        beta: [-0.243183502601, 0.149877619895, 0.186135814185, 0.526199149394],
        weights: [
            -0.393054667644,
            -0.386973475853,
            0.356945332356,
            0.607235193198,
            -0.403535099908,
            -0.0177648068021,
            0.37883433446,
            -0.624254562526,
            -0.24616566554,
            0.116575441656,
            0.493719763303,
            -0.508424558344,
        ],
        statistics: Some([
            -0.0550841905418,
            -0.105007504371,
            -0.287864261968,
            0.0694306705908,
            0.757886353655,
            0.807666242885,
            0.841446949999,
            0.820513700222,
        ]),
        outputs: [
            -0.129514365303,
            -0.301436528669,
            -0.0263972885685,
            -0.177326965446,
            -0.0576128893984,
            -0.191072361685,
            -0.0868274583799,
            -0.217681156722,
            -0.11370083341,
            -0.258924795134,
        ],
    };
    let layer = Theirs {
        losses: [0.7900046100261837, 0.2547910943242214, 0.16342417905359766],
        gamma: [1.48625989552, 0.994261761125, 0.46632442357, 1.3612694947],
        beta: [-0.292433064914, 0.088602456662, 0.232053202657, 0.505430433891],
        weights: [
            -0.393478782466,
            -0.389074135137,
            0.31136932347,
            0.511709545827,
            -0.272342576033,
            -0.0424580020787,
            0.42199088812,
            -0.519904740268,
            -0.27094240527,
            0.0847783485194,
            0.556321451439,
            -0.497968916121,
        ],
        statistics: None,
        outputs: [
            -0.0746697968918,
            -0.422622067022,
            0.178814483379,
            -0.126062621072,
            0.143876511589,
            -0.166744344225,
            0.103532474291,
            -0.223342137182,
            0.0583600699767,
            -0.299055994781,
        ],
    };
    for (words, device) in engines::<f64>() {
        for (kind, theirs) in KINDS.iter().zip([&batch, &layer]) {
            let builder = Network::builder(&device, 3).dense(4, Activation::Identity);
            let builder = if *kind == "batch" {
                builder.batch_norm(Activation::Tanh)
            } else {
                builder.layer_norm(Activation::Tanh)
            };
            let mut network = builder.dense(2, Activation::Identity).build().unwrap();
            let layers = network.layers_mut();
            layers[0].weights_mut().t().write(&filled(12, 3, 1)).unwrap();
            layers[0].bias_mut().write(&filled(4, 5, 2)).unwrap();
            let gamma: Vec<f64> = filled(4, 7, 9).into_iter().map(|g| g + 1.0).collect();
            layers[1].weights_mut().write(&gamma).unwrap();
            layers[1].bias_mut().write(&filled(4, 2, 3)).unwrap();
            layers[2].weights_mut().t().write(&filled(8, 4, 6)).unwrap();
            layers[2].bias_mut().write(&filled(2, 3, 0)).unwrap();
            let x: Vec<f64> = filled(15, 7, 4).into_iter().map(|x| 2.0 * x).collect();
            let x = Matrix::from_samples(&device, 5, 3, &x).unwrap();
            let t = Matrix::from_samples(&device, 5, 2, &filled(10, 3, 8)).unwrap();

            let mut trainer =
                Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.2).unwrap())
                    .batch(5)
                    .seed(1)
                    .build()
                    .unwrap();
            for loss in theirs.losses {
                trainer.step(x.view(), t.view()).unwrap();
                assert_close(&[trainer.last_loss(5).unwrap()], &[loss], 1e-12, words);
            }
            let (dense, norm) = (&network.layers()[0], &network.layers()[1]);
            let bound = 1e-11;
            assert_close(&norm.weights().to_vec().unwrap(), &theirs.gamma, bound, "gamma");
            assert_close(&norm.bias().to_vec().unwrap(), &theirs.beta, bound, "beta");
            assert_close(&dense.weights().t().to_vec().unwrap(), &theirs.weights, bound, "weights");
            if let Some(statistics) = &theirs.statistics {
                assert_close(
                    &norm.statistics().unwrap().to_vec().unwrap(),
                    statistics,
                    bound,
                    "statistics",
                );
            }
            let outputs = network.infer(x.view()).unwrap().to_vec().unwrap();
            assert_close(&outputs, &theirs.outputs, bound, "outputs");
        }
    }
}

fn trained<T: Scalar>(device: &Device<T>, kind: &str) -> Network<T> {
    let mut network = network(device, kind, 6, &[20, 9], Activation::Relu);
    let x = Matrix::from_slice(device, 6, 40, &random(240, 8)).unwrap();
    let t = Matrix::from_slice(device, 3, 40, &one_hot(3, 40)).unwrap();
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let optimizer = Adam::new(0.01).unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, optimizer)
        .batch(13)
        .seed(1)
        .build()
        .unwrap();
    // 40 = 3 batches of 13 and a sample.
    (0..5).for_each(|_| {
        trainer.epoch(&mut samples).unwrap();
    });
    network
}

/// The last sample of an epoch is alone in its batch; its norm is taken from the running statistics.
#[test]
fn a_batch_of_one_sample() {
    for (words, device) in engines::<f32>() {
        for kind in KINDS {
            let network = trained(&device, kind);
            for layer in network.layers() {
                let all = [layer.weights().to_vec(), layer.bias().to_vec()];
                let finite = all.into_iter().flat_map(Result::unwrap).all(|x| x.is_finite());
                assert!(
                    finite
                        && layer
                            .statistics()
                            .is_none_or(|s| travertine::ops::asum(s).unwrap().is_finite()),
                    "{words}"
                );
            }
        }
    }
    // Alone, the layer does in training what it does in inference.
    let cpu = engine::open::<f64>("cpu").unwrap();
    let mut layer = Normalization::batch(&cpu, 2, Activation::Identity).unwrap();
    layer.statistics_mut().unwrap().write(&[1.0, -1.0, 4.0, 0.25]).unwrap();
    let x = Matrix::from_slice(&cpu, 2, 1, &[3.0, 0.0]).unwrap();
    let mut training = layer.training(8, Role::Output).unwrap();
    training.forward(x.view()).unwrap();
    assert_close(&training.output(1).unwrap().to_vec().unwrap(), &[1.0, 2.0], 1e-4, "one sample");
    drop(training);
    assert_eq!(layer.statistics().unwrap().to_vec().unwrap(), [1.0, -1.0, 4.0, 0.25]);

    let refused = layer.training(1, Role::Output).err().unwrap();
    assert!(refused.to_string().contains("a batch of 1 sample has no variance"), "{refused}");
    let mut network = network(&cpu, "batch", 2, &[2], Activation::Relu);
    assert!(
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
            .batch(1)
            .seed(1)
            .build()
            .is_err()
    );
}

#[test]
fn folded_networks_compute_the_same() {
    for (words, device) in engines::<f64>() {
        let network = trained(&device, "batch");
        let folded = network.fold().unwrap().expect("two layers melt");
        assert_eq!(folded.layers().len(), 3, "{words}");
        let x = Matrix::from_slice(&device, 6, 700, &random(4200, 9)).unwrap();
        // 300 samples are inferred layer by layer, 700 folded.
        let few = network.infer(x.view().sub_columns(0..300).unwrap()).unwrap().to_vec().unwrap();
        let (whole, ours) = (network.infer(x.view()).unwrap(), folded.infer(x.view()).unwrap());
        assert_close(&ours.to_vec().unwrap(), &whole.to_vec().unwrap(), 1e-12, words);
        assert_close(&ours.to_vec().unwrap()[..900], &few, 1e-12, words);
        assert!(trained(&device, "layer").fold().unwrap().is_none());
        // A narrow layer in front of wide ones: the buffers are those of the folded network.
        let uneven = Network::builder(&device, 6)
            .dense(2, Activation::Identity)
            .batch_norm(Activation::Relu)
            .dense(50, Activation::Identity)
            .build()
            .unwrap();
        let mut inference = uneven.inference(4).unwrap();
        assert_eq!(inference.run(x.view().sub_columns(0..4).unwrap()).unwrap().rows(), 50);
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_after_a_restart() {
    let bits = |network: &Network<f32>| -> Vec<u32> {
        let matrices = network
            .layers()
            .iter()
            .flat_map(|l| [Some(l.weights()), Some(l.bias()), l.statistics()]);
        matrices.flatten().flat_map(|m| m.to_vec().unwrap()).map(f32::to_bits).collect()
    };
    for kind in KINDS {
        let train = |threads: usize, leave: bool| {
            let device = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
            let x = Matrix::from_slice(&device, 40, 600, &random(24_000, 8)).unwrap();
            let t = Matrix::from_slice(&device, 3, 600, &one_hot(3, 600)).unwrap();
            let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
            let mut networks =
                [(); 2].map(|()| network(&device, kind, 40, &[300, 200], Activation::Relu));
            let [first, second] = &mut networks;
            let trainer = |network| {
                let optimizer = Adam::new(0.01).unwrap();
                Trainer::builder(network, Loss::SoftmaxCrossEntropy, optimizer)
                    .batch(256)
                    .seed(1)
                    .dropout(Dropout { inputs: 0.1, hidden: 0.2 })
                    .max_norm(2.0)
                    .build()
                    .unwrap()
            };
            let mut one = trainer(first);
            one.epoch(&mut samples).unwrap();
            if leave {
                let snapshot = one.snapshot(&mut samples).unwrap();
                one.epoch(&mut samples).unwrap();
                let mut other = trainer(second);
                other.restore(&snapshot, &mut samples).unwrap();
                other.epoch(&mut samples).unwrap();
                drop(other);
                bits(&networks[1])
            } else {
                one.epoch(&mut samples).unwrap();
                bits(&networks[0])
            }
        };
        let alone = train(1, false);
        assert_eq!(alone, train(3, false), "{kind}");
        assert_eq!(alone, train(2, true), "{kind}");
    }
}

#[test]
fn divergence_gives_the_statistics_back() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = network(&cpu, "batch", 2, &[4], Activation::Identity);
    let x = Matrix::from_slice(
        &cpu,
        2,
        6,
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, f32::MAX, f32::MAX, -1.0, 0.0, 1.0, 1.0],
    )
    .unwrap();
    let t = Matrix::from_slice(&cpu, 3, 6, &one_hot(3, 6)).unwrap();
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let before = network.layers()[1].statistics().unwrap().to_vec().unwrap();
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
            .batch(3)
            .seed(1)
            .build()
            .unwrap();
    let error = trainer.epoch(&mut samples).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Diverged { .. }), "{error}");
    drop(trainer);
    assert_eq!(network.layers()[1].statistics().unwrap().to_vec().unwrap(), before);
}

#[test]
fn the_best_parameters_are_kept_with_their_statistics() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = network(&cpu, "batch", 2, &[4], Activation::Tanh);
    let x = Matrix::from_slice(&cpu, 2, 6, &random(12, 1)).unwrap();
    let t = Matrix::from_slice(&cpu, 3, 6, &one_hot(3, 6)).unwrap();
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
            .batch(6)
            .seed(1)
            .build()
            .unwrap();
    let kept = trainer.parameters().unwrap();
    assert_eq!(kept.len(), 3 * 2 + 1);
    trainer.step(x.view(), t.view()).unwrap();
    assert_ne!(trainer.parameters().unwrap()[4], kept[4], "the statistics follow");
    trainer.set_parameters(&kept).unwrap();
    assert_eq!(trainer.parameters().unwrap(), kept);
    assert!(trainer.set_parameters(&kept[1..]).is_err());
}

#[test]
fn files_hold_them_and_refuse_what_does_not_fit() {
    let folder =
        std::env::temp_dir().join(format!("travertine-normalization-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.safetensors");
    let cpu = engine::open::<f32>("cpu").unwrap();
    for kind in KINDS {
        let network = trained(&cpu, kind);
        model_file::save(&path, &network, &ModelInfo::new(Loss::SoftmaxCrossEntropy)).unwrap();
        let (loaded, _) = model_file::load::<f32>(&path, &cpu).unwrap();
        let x = Matrix::from_slice(&cpu, 6, 7, &random(42, 1)).unwrap();
        assert_eq!(
            network.infer(x.view()).unwrap().to_vec().unwrap(),
            loaded.infer(x.view()).unwrap().to_vec().unwrap()
        );
        let described = model_file::describe(&path).unwrap();
        assert_eq!(described.parameters, network.parameters());
        assert_eq!(described.layers[1].kind, network.layers()[1].kind());
    }
    // The last one is layer normalization: another name, and an unknown kind.
    let bytes = std::fs::read(&path).unwrap();
    for (wrong, expected) in
        [("batch_norm", "tensor layers.1.running_mean"), ("night_norm", "layers.1 kind")]
    {
        let at = bytes.windows(10).position(|window| window == b"layer_norm").unwrap();
        let mut damaged = bytes.clone();
        damaged[at..at + 10].copy_from_slice(wrong.as_bytes());
        std::fs::write(&path, damaged).unwrap();
        let error = model_file::load::<f32>(&path, &cpu).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut network = trained(&cpu, "batch");
    let mut variances = network.layers_mut()[1].statistics_mut().unwrap().column(1).unwrap();
    variances.write(&[-1.0; 20]).unwrap();
    model_file::save(&path, &network, &ModelInfo::new(Loss::SoftmaxCrossEntropy)).unwrap();
    let error = model_file::load::<f32>(&path, &cpu).err().unwrap().to_string();
    assert!(error.contains("layers.1.running_var") && error.contains("-1 at 0"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn softmax_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    for builder in [
        Network::builder(&cpu, 4).dense(3, Activation::Identity).batch_norm(Activation::Softmax),
        Network::builder(&cpu, 4).dense(3, Activation::Identity).layer_norm(Activation::Softmax),
    ] {
        let error = builder.build().err().unwrap().to_string();
        assert!(error.contains("softmax is for dense layers"), "{error}");
    }
}
