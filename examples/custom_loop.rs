//! Training by hand, layer by layer, without a `Trainer`: XOR with a quadratic loss whose gradient is written here.

use travertine::layer::{Dense, Layer, Role};
use travertine::{Activation, Init, Matrix, engine, ops};

fn main() -> travertine::Result<()> {
    let cpu = engine::open::<f64>("cpu")?;
    let x = Matrix::from_samples(&cpu, 4, 2, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    let target = Matrix::from_samples(&cpu, 4, 1, &[0.0, 1.0, 1.0, 0.0])?;

    let mut hidden = Dense::new(&cpu, 2, 8, Activation::Tanh)?;
    let mut output = Dense::new(&cpu, 8, 1, Activation::Identity)?;
    hidden.initialize(Init::GlorotUniform, 1, 0)?;
    output.initialize(Init::GlorotUniform, 1, 1)?;

    // The training layers borrow the parameters until they are dropped.
    let mut hidden_training = hidden.training(4, Role::Hidden)?;
    let mut output_training = output.training(4, Role::Output)?;
    let mut cost = f64::INFINITY;
    for step in 0..2_000 {
        hidden_training.forward(x.view())?;
        output_training.forward(hidden_training.output(4)?)?;

        // dC/da = a - t, and f' = 1 for the identity.
        let (a, mut delta) = output_training.output_and_delta_mut(4)?;
        ops::copy(target.view(), delta.reborrow())?;
        ops::axpby(1.0, a, -1.0, delta.reborrow())?;
        cost = ops::dot(delta.as_ref(), delta.as_ref())? / 8.0;
        if step % 500 == 0 {
            println!("step {step:4}: cost {cost:.6}");
        }

        output_training.propagate(&mut *hidden_training, 4)?;
        output_training.descend(hidden_training.output(4)?, -0.5, 1.0)?;
        hidden_training.descend(x.view(), -0.5, 1.0)?;
    }
    println!("at last:   cost {cost:.6}");

    // Dropping the training layers ends the loan; inference goes on with the trained parameters.
    drop((hidden_training, output_training));
    let (mut a1, mut a2) = (Matrix::zeros(&cpu, 8, 4)?, Matrix::zeros(&cpu, 1, 4)?);
    hidden.forward(x.view(), a1.view_mut())?;
    output.forward(a1.view(), a2.view_mut())?;
    println!("{a2}");
    Ok(())
}
