//! Hand-written digits, embedded in the library: define, train, evaluate, save, load, predict.

use travertine::model_file::{self, ModelInfo};
use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};

fn main() -> travertine::Result<()> {
    let cpu = engine::open::<f32>("cpu")?;
    let (train, test) = data::digits()?.split(0.2, 1)?;
    let (mut train, test) = (Samples::new(&cpu, &train)?, Samples::new(&cpu, &test)?);

    let mut network = Network::builder(&cpu, 64)
        .dense(100, Activation::Relu)
        .dense(10, Activation::Softmax)
        .seed(1)
        .build()?;
    let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?)
        .batch(32)
        .seed(1)
        .build()?;
    for epoch in 1..=20 {
        let seen = trainer.epoch(&mut train)?;
        let held_out = trainer.evaluate(&test)?;
        println!(
            "epoch {epoch:2}: loss {:.4}, held-out accuracy {:.4}",
            seen.loss,
            held_out.accuracy.unwrap_or(0.0)
        );
    }
    drop(trainer); // ends the loan: the network is ours again

    let path = std::env::temp_dir().join("travertine-digits-example.safetensors");
    model_file::save(&path, &network, &ModelInfo::new(Loss::SoftmaxCrossEntropy))?;
    let (loaded, _) = model_file::load::<f32>(&path, &cpu)?;
    let probabilities = loaded.infer(test.inputs().sub_columns(0..5)?)?;
    println!("{probabilities}");
    Ok(())
}
