//! The regression of the article series: f(x) = sin x0 + cos x1 + tanh x2 + x3^2 on uniform points.

use travertine::data::Task;
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Loss, Matrix, Network, Samples, Trainer, engine, optimizer::Sgd};

/// The function that the network does not know.
fn f(x: &[f32]) -> f32 {
    x[0].sin() + x[1].cos() + x[2].tanh() + x[3] * x[3]
}

/// `count` uniform points of [-1, 1]^4 and their values: row-major `count x 4`, and `count`.
fn points(count: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let stream = Philox::new(seed, Purpose::User, 0);
    let x: Vec<f32> =
        (0..4 * count as u64).map(|i| (2.0 * stream.uniform(i) - 1.0) as f32).collect();
    let y = x.chunks(4).map(f).collect();
    (x, y)
}

fn main() -> travertine::Result<()> {
    let cpu = engine::open::<f32>("cpu")?;
    let samples = |count, seed| {
        let (x, y) = points(count, seed);
        Samples::from_matrices(
            Matrix::from_samples(&cpu, count, 4, &x)?,
            Matrix::from_samples(&cpu, count, 1, &y)?,
            Task::Values,
        )
    };
    let (mut train, test) = (samples(10_000, 1)?, samples(1_000, 2)?);

    let mut network = Network::builder(&cpu, 4)
        .dense(64, Activation::Relu)
        .dense(64, Activation::Relu)
        .dense(1, Activation::Identity)
        .seed(1)
        .build()?;
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.05)?)
        .batch(100)
        .seed(1)
        .build()?;
    println!("{}\n", trainer.memory_plan());
    for epoch in 1..=10 {
        let seen = trainer.epoch(&mut train)?;
        let held_out = trainer.evaluate(&test)?;
        println!("epoch {epoch:2}: cost {:.5}, held-out cost {:.5}", seen.loss, held_out.loss);
    }
    drop(trainer);

    let x = [0.5, -0.25, 0.75, -0.5];
    let y = network.infer(Matrix::from_samples(&cpu, 1, 4, &x)?.view())?;
    println!("f{x:?} = {:.4}, the network says {:.4}", f(&x), y.view().get(0, 0)?);
    Ok(())
}
