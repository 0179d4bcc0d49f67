//! Every error message names the operation, every operand and every broken rule.

use travertine::data::Task;
use travertine::engine::{self, Settings};
use travertine::layer::Dense;
use travertine::optimizer::Sgd;
use travertine::{
    Activation, Error, ErrorKind, Init, Loss, Matrix, Network, Samples, Trainer, ops,
};

type Cpu = std::sync::Arc<dyn engine::Engine<f32>>;

fn cpu() -> Cpu {
    engine::open::<f32>("cpu").unwrap()
}

fn zeros(cpu: &Cpu, rows: usize, columns: usize) -> Matrix<f32> {
    Matrix::zeros(cpu, rows, columns).unwrap()
}

/// The error's message has all parts; it is the caller's fault.
#[track_caller]
fn refused<R>(result: Result<R, Error>, parts: &[&str]) {
    let Err(error) = result else { panic!("not refused: {parts:?}") };
    let text = error.to_string();
    parts.iter().for_each(|part| assert!(text.contains(part), "'{text}' lacks '{part}'"));
    assert!(error.is_input(), "{text}");
}

#[test]
fn shapes() {
    let cpu = cpu();
    let (a, b, v, w) = (zeros(&cpu, 4, 3), zeros(&cpu, 2, 5), zeros(&cpu, 7, 1), zeros(&cpu, 2, 2));
    let mut c = zeros(&cpu, 4, 6);
    let error = ops::gemm(1.0, a.view(), b.view(), 0.0, c.view_mut()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gemm: a is 4x3, b is 2x5, c is 4x6; columns of a must equal rows of b; columns of b must equal columns of c"
    );
    assert!(matches!(error.kind(), ErrorKind::Shape { operation: "gemm", .. }));
    let one_shape = "x and y must have one shape";
    refused(ops::copy(a.view(), c.view_mut()), &["copy: x is 4x3, y is 4x6;", one_shape]);
    refused(ops::axpy(1.0, a.view(), c.view_mut()), &["axpy: x is 4x3, y is 4x6;", one_shape]);
    refused(ops::axpby(1.0, a.view(), 1.0, c.view_mut()), &["axpby:", one_shape]);
    refused(ops::linear_frac([1.0; 4], a.view(), c.view_mut()), &["linear_frac:", one_shape]);
    refused(ops::map(ops::Function::Exp, a.view(), c.view_mut()), &["map:", one_shape]);
    refused(ops::dot(a.view(), b.view()), &["dot: x is 4x3, y is 2x5;", one_shape]);
    let parts =
        ["hadamard: x is 4x3, y is 2x5, z is 4x6;", one_shape, "x and z must have one shape"];
    refused(ops::hadamard(a.view(), b.view(), c.view_mut()), &parts);
    let parts =
        ["gemv: a is 4x3, x is 7x1, y is 4x6;", "columns of a must equal rows of x", "one column"];
    refused(ops::gemv(1.0, a.view(), v.view(), 0.0, c.view_mut()), &parts);
    let parts = ["ger: x is 7x1, y is 2x2, a is 4x6;", "rows of x", "rows of y", "one column"];
    refused(ops::ger(1.0, v.view(), w.view(), c.view_mut()), &parts);
    refused(
        ops::sum_columns(a.view(), c.view_mut()),
        &["sum_columns: x is 4x3, y is 4x6;", "y must have one column"],
    );
    let parts = [
        "sum_rows: x is 4x3, y is 4x6;",
        "columns of x must equal columns of y",
        "y must have one row",
    ];
    refused(ops::sum_rows(a.view(), c.view_mut()), &parts);
}

#[test]
fn engines_are_not_mixed() {
    let (one, other) = (cpu(), cpu());
    let mut y = zeros(&other, 2, 2);
    let parts = [
        "copy: x is 2x2 on engine 1 (cpu), y is 2x2 on engine 2 (cpu);",
        "all operands must live on one engine: open it once, and clone its Arc",
    ];
    refused(ops::copy(zeros(&one, 2, 2).view(), y.view_mut()), &parts);
    let layers = vec![
        Dense::new(&one, 2, 2, Activation::Relu).unwrap(),
        Dense::new(&other, 2, 2, Activation::Relu).unwrap(),
    ];
    refused(Network::from_layers(layers), &["network", "one engine"]);
}

#[test]
fn sizes_and_views() {
    let cpu = cpu();
    refused(Matrix::zeros(&cpu, 0, 3), &["zeros", "0x3"]);
    refused(Matrix::zeros(&cpu, usize::MAX, 2), &["zeros", "address space"]);
    refused(
        Matrix::from_slice(&cpu, 2, 3, &[0.0; 5]),
        &["write", "5 elements", "2x3", "6 are needed"],
    );
    let m = zeros(&cpu, 3, 4);
    refused(m.view().sub_columns(2..5), &["sub_matrix", "2..5", "3x4"]);
    refused(m.view().sub_columns(2..2), &["sub_matrix", "not empty"]);
    refused(m.view().sub_rows(3..4), &["sub_matrix"]);
    refused(m.view().column(usize::MAX), &["sub_matrix"]);
    refused(m.view().get(0, 4), &["sub_matrix"]);
    refused(m.view().read(&mut [0.0; 3]), &["read", "12 are needed"]);
    refused(travertine::MatrixRef::borrow(&cpu, 2, 2, &[1.0]), &["borrow", "1 elements", "2x2"]);
}

#[test]
fn engines_that_are_not_there() {
    refused(engine::open::<f32>("abacus"), &["abacus", "there are: cpu, cuda, opencl"]);
    refused(engine::open::<f32>("cpu:1"), &["cpu:1", "one cpu"]);
    refused(engine::open_with::<f32>("cpu", &Settings::threads(0)), &["threads", "from 1 to"]);
    refused(
        engine::open_with::<f32>("cpu", &Settings::threads(1_000_000)),
        &["threads", "1000000"],
    );
}

#[test]
fn out_of_memory_is_an_error_and_leaves_the_engine_usable() {
    let cpu = cpu();
    let error = Matrix::zeros(&cpu, 1 << 30, 1 << 20).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Memory { asked, available: Some(_), .. } if *asked == 1 << 52),
        "{error}"
    );
    assert!(error.to_string().contains("4503599627370496 bytes"), "{error}");
    assert!(!error.is_input());
    assert!(Network::builder(&cpu, 1 << 30).dense(1 << 20, Activation::Relu).build().is_err());
    assert_eq!(zeros(&cpu, 2, 2).to_vec().unwrap(), [0.0; 4]);
}

#[test]
fn networks() {
    let cpu = cpu();
    let build = |layers: &[(usize, Activation)]| {
        layers
            .iter()
            .fold(Network::builder(&cpu, 4), |builder, &(n, a)| builder.dense(n, a))
            .build()
    };
    refused(build(&[]), &["network", "at least one layer"]);
    refused(build(&[(0, Activation::Relu)]), &["dense", "4 and 0"]);
    refused(Network::builder(&cpu, 0).dense(1, Activation::Relu).build(), &["dense", "0 and 1"]);
    refused(
        build(&[(3, Activation::Softmax), (2, Activation::Relu)]),
        &["layer 0", "softmax", "layer 1"],
    );
    refused(build(&[(3, Activation::LeakyRelu(-1.0))]), &["leaky_relu", "-1"]);
    refused(build(&[(3, Activation::Elu(f64::NAN))]), &["elu", "NaN"]);
    refused(
        Network::builder(&cpu, 4)
            .dense(1, Activation::Relu)
            .init(Init::Normal(f64::INFINITY))
            .build(),
        &["init"],
    );
    let layers = vec![
        Dense::new(&cpu, 4, 3, Activation::Relu).unwrap(),
        Dense::new(&cpu, 5, 2, Activation::Relu).unwrap(),
    ];
    refused(Network::from_layers(layers), &["layer 0 is 4 -> 3", "layer 1 is 5 -> 2"]);

    let mut network = build(&[(3, Activation::Relu), (2, Activation::Identity)]).unwrap();
    let (x, t) = (zeros(&cpu, 4, 5), zeros(&cpu, 3, 5));
    refused(
        network.infer(t.view()),
        &["dense forward", "rows of input must equal columns of weights"],
    );
    refused(network.inference(2).unwrap().run(x.view()), &["5 samples", "room for 2"]);
    refused(network.inference(0), &["zeros"]);
    let sgd = || Sgd::new(0.1).unwrap();
    refused(
        Trainer::builder(&mut network, Loss::Quadratic, sgd()).batch(0).seed(1).build(),
        &["batch"],
    );
    refused(
        Trainer::builder(&mut network, Loss::Huber(0.0), sgd()).batch(1).seed(1).build(),
        &["huber", "above 0"],
    );
    refused(Sgd::new(-1.0), &["sgd", "-1"]);
    let mut trainer =
        Trainer::builder(&mut network, Loss::Quadratic, sgd()).batch(4).seed(1).build().unwrap();
    refused(
        trainer.step(x.view(), t.view()),
        &[
            "step",
            "x has 5 samples, the trainer's batch is 4",
            "t has 3 rows, the network has 2 outputs",
        ],
    );
    let four = x.view().sub_columns(0..4).unwrap();
    refused(
        trainer.step(four, t.view().sub_columns(0..4).unwrap()),
        &["step", "t has 3 rows, the network has 2 outputs"],
    );
    refused(
        trainer.last_loss(1),
        &["last loss", "Trainer::step does, step_with and epochs do not"],
    );
    let t = zeros(&cpu, 2, 5);
    let first = |m: &Matrix<f32>, n| m.view().sub_columns(0..n).unwrap().copy().unwrap();
    trainer.step(four, first(&t, 4).view()).unwrap();
    trainer.step(first(&x, 3).view(), first(&t, 3).view()).unwrap();
    assert!(trainer.last_loss(3).unwrap().is_finite());
    refused(trainer.last_loss(4), &["last loss", "4 samples; the last step has the losses of 3"]);
    refused(trainer.last_loss(0), &["sub_matrix"]);
    let mut samples =
        Samples::from_matrices(zeros(&cpu, 5, 8), zeros(&cpu, 10, 8), Task::Classes).unwrap();
    let parts = [
        "the samples have 5 features, the network has 4 inputs",
        "the samples' targets have 10 rows (classes), the network has 2 outputs",
    ];
    refused(trainer.evaluate(&samples), &[&["evaluate"], &parts[..]].concat());
    refused(trainer.epoch(&mut samples), &[&["epoch"], &parts[..]].concat());
    refused(trainer.gradient_norms(&samples), &parts);
    let other = self::cpu();
    let parts = ["x is on another engine than the network", "t is on another engine", "a clone"];
    refused(trainer.step(zeros(&other, 4, 3).view(), zeros(&other, 2, 3).view()), &parts);
    let samples =
        Samples::from_matrices(zeros(&other, 4, 3), zeros(&other, 2, 3), Task::Values).unwrap();
    refused(trainer.evaluate(&samples), &["evaluate", "the samples are on another engine"]);
    drop(trainer);
    refused(network.evaluate(Loss::Quadratic, &samples), &["the samples are on another engine"]);
    refused(
        Samples::from_matrices(zeros(&cpu, 4, 5), zeros(&cpu, 2, 6), Task::Classes),
        &["5 inputs and 6 targets"],
    );
}

/// Losses that cannot be made small with the output layer, whatever the data.
#[test]
fn output_layers_that_a_loss_cannot_learn() {
    let cpu = cpu();
    let build = |outputs, output, loss: Loss| {
        let mut network = Network::builder(&cpu, 4).dense(outputs, output).build().unwrap();
        let sgd = Sgd::new(0.1).unwrap();
        Trainer::builder(&mut network, loss, sgd).build().map(drop)
    };
    for loss in Loss::ALL {
        let parts = ["softmax of one output is always 1", "sigmoid and binary_cross_entropy"];
        refused(build(1, Activation::Softmax, loss), &parts);
    }
    let parts =
        ["with 1 identity outputs", "with one output it is always 0", "one output for each"];
    refused(build(1, Activation::Identity, Loss::SoftmaxCrossEntropy), &parts);
    let parts = ["binary_cross_entropy with 3 softmax outputs", "use softmax_cross_entropy"];
    refused(build(3, Activation::Softmax, Loss::BinaryCrossEntropy), &parts);
    for output in [Activation::Relu, Activation::Softplus] {
        let parts = ["never be below 0", "use sigmoid or identity"];
        refused(build(1, output, Loss::BinaryCrossEntropy), &parts);
    }
    let parts = ["softmax_cross_entropy with 3 sigmoid outputs", "use softmax or identity"];
    refused(build(3, Activation::Sigmoid, Loss::SoftmaxCrossEntropy), &parts);
    // What remains can be learned.
    for (outputs, output, loss) in [
        (1, Activation::Sigmoid, Loss::BinaryCrossEntropy),
        (1, Activation::Identity, Loss::BinaryCrossEntropy),
        (3, Activation::Sigmoid, Loss::BinaryCrossEntropy),
        (3, Activation::Softmax, Loss::SoftmaxCrossEntropy),
        (3, Activation::Identity, Loss::SoftmaxCrossEntropy),
        (3, Activation::Softmax, Loss::Quadratic),
        (1, Activation::Identity, Loss::Quadratic),
    ] {
        build(outputs, output, loss).unwrap();
    }
}

/// `main` that returns an error prints `Error: ` and the error's `Debug`.
#[test]
fn debug_is_the_message() {
    let error = travertine::model_file::load::<f32>("no such file", &cpu()).err().unwrap();
    assert!(format!("Error: {error:?}").starts_with("Error: cannot read no such file: "));
    let gemm = {
        let (a, mut c) = (zeros(&cpu(), 4, 3), zeros(&cpu(), 4, 6));
        ops::copy(a.view(), c.view_mut()).unwrap_err()
    };
    for error in [error, gemm] {
        assert_eq!(format!("{error:?}"), error.to_string());
        assert_eq!(format!("{error:#?}"), error.to_string());
    }
}

#[test]
fn names() {
    refused("swish".parse::<Activation>(), &["swish", "identity, sigmoid"]);
    refused("relu(1)".parse::<Activation>(), &["relu has no parameter", "'relu(1)'"]);
    refused("elu(x)".parse::<Activation>(), &["elu(x)", "not a number"]);
    refused("elu(-1)".parse::<Activation>(), &["elu", "-1"]);
    refused("hinge".parse::<Loss>(), &["hinge", "quadratic"]);
    refused("huber(0)".parse::<Loss>(), &["huber"]);
    refused("orthogonal".parse::<Init>(), &["orthogonal", "glorot"]);
    refused("normal(-1)".parse::<Init>(), &["-1"]);
    for activation in Activation::ALL {
        assert_eq!(activation.to_string().parse::<Activation>().unwrap(), activation);
    }
    for loss in Loss::ALL {
        assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
    }
    for init in [
        Init::GlorotUniform,
        Init::GlorotNormal,
        Init::HeUniform,
        Init::HeNormal,
        Init::Lecun,
        Init::Zeros,
    ]
    .into_iter()
    .chain([Init::Normal(0.5), Init::Uniform(2.0)])
    {
        assert_eq!(init.to_string().parse::<Init>().unwrap(), init);
    }
}
