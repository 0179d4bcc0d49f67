//! Layered neural networks, with the same code on every engine.
//!
//! travertine grows from Dragan Djuric's article "Deep Learning from Scratch to GPU - 8 - The Forward Pass": a matrix
//! library with interchangeable engines, an *inference layer* that owns its weights, and a *training layer* that attaches
//! to it, keeps what backpropagation needs and is thrown away when training is over.
//!
//! ```
//! use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
//!
//! # fn main() -> travertine::Result<()> {
//! let cpu = engine::open::<f32>("cpu")?;
//! let (train, test) = data::digits()?.split(0.2, 1)?;
//! let (mut train, test) = (Samples::new(&cpu, &train)?, Samples::new(&cpu, &test)?);
//!
//! let mut network = Network::builder(&cpu, 64)
//!     .dense(100, Activation::Relu)
//!     .dense(10, Activation::Softmax)
//!     .seed(1)
//!     .build()?;
//! let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?)
//!     .batch(32)
//!     .seed(1)
//!     .build()?;
//! for _ in 0..5 {
//!     trainer.epoch(&mut train)?;
//! }
//! let report = trainer.evaluate(&test)?;
//! assert!(report.accuracy.unwrap() > 0.9);
//!
//! let probabilities = network.infer(test.inputs())?; // 10 x samples
//! # assert_eq!(probabilities.rows(), 10);
//! # Ok(())
//! # }
//! ```
//!
//! # From the ground up
//!
//! * [`engine`]: memory and mathematics. An engine is a value, `Arc<dyn Engine<T>>`; everything below lives on the engine
//!   that it was made with.
//! * [`Matrix`] owns memory, [`MatrixRef`] and [`MatrixMut`] borrow it. Matrices are column-major: a batch is
//!   `features x samples`, one sample a column.
//! * [`ops`]: the mathematics; every operation checks its operands once.
//! * [`Activation`], [`Loss`], [`Init`]: formulas and their derivatives.
//! * [`layer`]: layers and their training attachments; [`optimizer`]: the rules by which gradients change parameters.
//! * [`Network`] infers, [`Trainer`] trains, [`check_gradients`] compares gradients with central differences.
//! * [`processes`]: several processes that train one network.
//! * [`data`] reads data sets, [`Samples`] are a data set where the engine computes, [`metrics`] compare predictions with
//!   targets.
//! * [`Model`]: a network with all that raw input needs, to be saved, loaded and served; [`model_file`] has the format.
//!
//! # Promises
//!
//! Gradients agree with finite differences. A training step allocates nothing. The same seed gives the same bits for any
//! number of threads. f32 means f32. Bad input causes an error, never a panic: the error names the operation, its operands,
//! every rule broken, and what to do.
//!
//! # Speed of debug builds
//!
//! Kernels that are not optimized are slow. A program that uses this crate has in its `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```

mod activation;
pub mod data;
pub mod engine;
mod error;
mod init;
pub mod layer;
mod loss;
mod matrix;
pub mod metrics;
mod model;
pub mod model_file;
mod network;
#[doc(hidden)]
pub mod notation;
pub mod ops;
pub mod optimizer;
pub mod processes;
pub mod random;
mod samples;
mod scalar;
pub mod trainer;

pub use activation::Activation;
pub use error::{Error, ErrorKind, Result};
pub use init::Init;
pub use loss::{Loss, Quantiles};
pub use matrix::{Matrix, MatrixMut, MatrixRef};
pub use model::{
    Evaluation, Importance, InputColumn, InputKind, Model, ModelTable, Prediction, Predictions,
    Predictor, RowEncoder,
};
pub use network::{Builder, Inference, Network};
pub use samples::{Report, Samples};
#[doc(hidden)]
pub use scalar::Family;
pub use scalar::Scalar;
pub use trainer::{
    Buffer, Dropout, EarlyStopping, GradientCheck, LossScale, MemoryPlan, Observation, Progress,
    Snapshot, Trainer, TrainerBuilder, check_gradients,
};

/// The Rust examples of the README and of the guide compile and run.
#[cfg(doctest)]
mod documents {
    macro_rules! document {
        ($name:ident, $path:literal) => {
            #[doc = include_str!($path)]
            struct $name;
        };
    }
    document!(Readme, "../README.md");
    document!(FirstNetwork, "../docs/guide/src/first_network.md");
    document!(Tables, "../docs/guide/src/tables.md");
    document!(TrainingWell, "../docs/guide/src/training_well.md");
    document!(Serving, "../docs/guide/src/serving.md");
    document!(Deploying, "../docs/guide/src/deploying.md");
    document!(Processes, "../docs/guide/src/processes.md");
    document!(Engines, "../docs/guide/src/engines.md");
    document!(Article, "../docs/guide/src/article.md");
    document!(Chain, "../docs/guide/src/chain.md");
    document!(YourOwn, "../docs/guide/src/your_own.md");
}
