//! The example of Dragan Djuric's article "Deep Learning from Scratch to GPU - 8 - The Forward Pass": two inference
//! layers, a training layer attached to each, one forward pass. It prints 0.44 0.44.
//!
//! The article subtracts the bias, travertine adds it: the signs of b are turned around.

use travertine::layer::{Dense, Layer, Role};
use travertine::{Activation, Matrix, engine};

fn main() -> travertine::Result<()> {
    let name = std::env::args().nth(1).unwrap_or("cpu".to_owned());
    let engine = engine::open::<f32>(&name)?;

    let x = Matrix::from_slice(&engine, 2, 2, &[0.3, 0.9, 0.3, 0.9])?;
    let mut layer_1 = Dense::new(&engine, 2, 4, Activation::Tanh)?;
    let mut layer_2 = Dense::new(&engine, 4, 1, Activation::Sigmoid)?;
    layer_1.weights_mut().write(&[0.3, 0.1, 0.9, 0.0, 0.6, 2.0, 3.7, 1.0])?;
    layer_1.bias_mut().write(&[-0.7, -0.2, -1.1, -2.0])?;
    layer_2.weights_mut().write(&[0.75, 0.15, 0.22, 0.33])?;
    layer_2.bias_mut().write(&[-0.3])?;

    let mut training_1 = layer_1.training(2, Role::Hidden)?;
    let mut training_2 = layer_2.training(2, Role::Output)?;
    training_1.forward(x.view())?;
    training_2.forward(training_1.output(2)?)?;
    println!("{}", training_2.output(2)?);
    Ok(())
}
