//! Models as source code.

use super::{Model, Prediction};
use crate::error::Result;
use crate::layer::Categories;
use crate::model_file::{self, Language, RawSamples, SELF_TESTS, SelfTest};
use crate::scalar::Scalar;

impl<T: Scalar> Model<T> {
    /// The model as one file of source code without dependencies: C99 that needs `math.h` alone, or Rust that needs `core` alone and has no
    /// unsafe code. Weights are constants, which stay in flash memory; nothing is allocated. The file takes the raw columns of a row
    /// (texts as an enumeration) and answers what [`Predictor`](super::Predictor) answers, but for rounding: sums are computed in another order. It
    /// contains a self-test: three samples with the answers of this model.
    ///
    /// It does not refuse what a predictor refuses: numbers that are infinite, or so large that sums overflow, give answers that are infinite or
    /// not a number, and no class (-1 in C, `None` in Rust).
    ///
    /// `name` begins all names in C, and is the name of the module that Rust programs make of it.
    ///
    /// ```
    /// use travertine::model_file::{Language, ModelInfo};
    /// use travertine::{Activation, Loss, Model, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let network = Network::builder(&cpu, 4).dense(3, Activation::Softmax).seed(1).build()?;
    /// let model = Model::new(network, ModelInfo::new(Loss::SoftmaxCrossEntropy))?;
    /// let source = model.to_source(Language::C, "iris")?;
    /// assert!(source.contains("void iris_predict(const float features[4], float answers[3]);"));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that is no identifier of lower-case letters, digits and underscores, or a word of the languages; a parameter that is not
    /// finite; a device that fails.
    pub fn to_source(&self, language: Language, name: &str) -> Result<String> {
        let inputs = self.network().inputs();
        let layers = self.network().layers().iter();
        let categories: Vec<Categories> =
            layers.flat_map(|layer| layer.categories().to_vec()).collect();
        let scores = match model_file::raw_samples(&self.info, inputs, &categories)? {
            RawSamples::Table(frame) => {
                let predictions = self.predict_table(&self.encode_frame(&frame)?)?;
                predictions.iter().flat_map(|one| answers(&one).to_vec()).collect()
            }
            RawSamples::Features(features) => {
                let mut predictor = self.predictor(SELF_TESTS)?;
                let predictions = predictor.predict_batch(&features)?;
                predictions.iter().flat_map(|one| answers(&one).to_vec()).collect()
            }
        };
        model_file::to_source(
            &self.networks,
            &self.info,
            (language, name),
            &SelfTest { answers: scores },
        )
    }
}

/// A score of each class, or the values.
fn answers<'p, T: Scalar>(prediction: &Prediction<'p, T>) -> &'p [f64] {
    if prediction.scores().is_empty() { prediction.values() } else { prediction.scores() }
}
