//! A saved model and the data that it is used on.

use std::path::Path;
use std::sync::Arc;

use travertine::data::{Dataset, Label, Targets, Task};
use travertine::engine::Engine;
use travertine::metrics;
use travertine::model_file::{self, ModelInfo};
use travertine::{
    Activation, ErrorKind, Loss, Matrix, MatrixRef, Network, Result, Samples, Scalar,
};

use crate::args::source::Source;
use crate::args::table::{Requirements, TableArgs};
use crate::message::counted;

/// A model in a device's memory.
pub(crate) struct Model<T: Scalar> {
    pub(crate) network: Network<T>,
    pub(crate) info: ModelInfo,
}

impl<T: Scalar> Model<T> {
    /// Reads a model file.
    pub(crate) fn load(path: &Path, engine: &Arc<dyn Engine<T>>) -> Result<Self> {
        let (network, info) = model_file::load(path, engine)?;
        let (classes, outputs) = (info.classes.len(), network.outputs());
        if classes != 0 && classes != outputs && (classes, outputs) != (2, 1) {
            let (expected, found) = (format!("{outputs} classes, as outputs"), classes.to_string());
            let (file, place) = (path.display().to_string(), "classes".to_owned());
            return Err(ErrorKind::Format { file, place, expected, found }.into());
        }
        Ok(Model { network, info })
    }

    /// Whether it predicts classes, not values.
    pub(crate) fn is_classifier(&self) -> bool {
        !self.info.classes.is_empty()
    }

    /// The samples of `source` with labels, encoded and standardized as the model requires.
    pub(crate) fn labeled(&self, source: &Source, table: &TableArgs) -> Result<Dataset<T>> {
        let required = Requirements {
            classes: self.is_classifier().then(|| self.info.classes.clone()),
            task: (!self.is_classifier()).then_some(Task::Values),
            label: self.label(source, table),
            ..self.features()
        };
        let data = source.load_for_use::<T>(table, &required)?;
        if data.outputs() == 0 {
            let expected = match &self.info.target {
                Some(name) => format!("a label column, as '{name}' that the model learned"),
                None => "a label column".to_owned(),
            };
            return Err(source.unexpected("label", expected, "features alone"));
        }
        self.check_targets(source, &data)?;
        self.standardized(data)
    }

    /// Refuses labels of another kind than those that the model learned.
    fn check_targets(&self, source: &Source, data: &Dataset<T>) -> Result<()> {
        let describe = |classes: bool, count| match classes {
            true => counted(count, "class", "classes"),
            false => counted(count, "value a sample", "values a sample"),
        };
        let learned =
            if self.is_classifier() { self.info.classes.len() } else { self.network.outputs() };
        let expected = describe(self.is_classifier(), learned);
        let found = describe(matches!(data.targets(), Targets::Classes { .. }), data.outputs());
        if expected == found {
            return Ok(());
        }
        Err(source.unexpected("label", format!("{expected}, as the model learned"), found))
    }

    /// The features of `source` alone. Labels are not read, so that unknown ones do no harm.
    pub(crate) fn unlabeled(&self, source: &Source, table: &TableArgs) -> Result<Dataset<T>> {
        let named = !self.info.features.is_empty() && table.label.is_none();
        let required = Requirements {
            task: Some(Task::Classes),
            // Features that are found by name need no label column to be set apart.
            label: if named { Label::None } else { self.label(source, table) },
            ..self.features()
        };
        let data = source.load_for_use::<T>(table, &required)?;
        self.standardized(data)
    }

    fn features(&self) -> Requirements {
        Requirements {
            features: self.info.features.clone(),
            inputs: Some(self.network.inputs()),
            encoder: self.info.encoder.clone(),
            ..Requirements::default()
        }
    }

    /// The label column: that of the arguments, else that of the training.
    fn label(&self, source: &Source, table: &TableArgs) -> Label {
        let number = self
            .info
            .training
            .iter()
            .find(|(key, _)| key == "label")
            .and_then(|(_, n)| n.parse().ok());
        let trained = || match (&self.info.target, number) {
            (Some(name), _) if source.is_table() => Label::Name(name.clone()),
            (_, Some(number)) => Label::Number(number),
            _ => Label::Last,
        };
        table.label.clone().unwrap_or_else(trained)
    }

    fn standardized(&self, mut data: Dataset<T>) -> Result<Dataset<T>> {
        if let Some(standardization) = &self.info.standardization {
            standardization.apply(&mut data)?;
        }
        Ok(data)
    }

    /// The samples with their targets on the model's device: one number where one output separates two classes.
    pub(crate) fn samples<'d>(&'d self, data: &'d Dataset<T>) -> Result<Samples<'d, T>> {
        let engine = self.network.engine();
        match data.targets() {
            Targets::Classes { labels, .. } if self.network.outputs() == 1 => {
                let yes: Vec<T> =
                    labels.iter().map(|&label| T::from_f64(f64::from(label))).collect();
                let inputs =
                    Matrix::from_slice(engine, data.inputs(), data.samples(), data.features())?;
                Samples::from_matrices(
                    inputs,
                    Matrix::from_slice(engine, 1, yes.len(), &yes)?,
                    Task::Classes,
                )
            }
            _ => Samples::new(engine, data),
        }
    }

    /// The outputs of the network, `outputs x samples`, sample after sample.
    pub(crate) fn outputs(&self, data: &Dataset<T>) -> Result<Vec<T>> {
        let engine: &Arc<dyn Engine<T>> = self.network.engine();
        let (rows, columns) = (data.inputs(), data.samples());
        match MatrixRef::borrow(engine, rows, columns, data.features()) {
            Ok(view) => self.network.infer(view)?.to_vec(),
            Err(_) => {
                let inputs = Matrix::from_slice(engine, rows, columns, data.features())?;
                self.network.infer(inputs.view())?.to_vec()
            }
        }
    }

    /// Whether it outputs probabilities, or scores of which only the order counts.
    pub(crate) fn has_probabilities(&self) -> bool {
        self.probabilities(&[]).is_some()
    }

    /// The class of a sample, and its probability where the model has some.
    pub(crate) fn class(&self, outputs: &[T]) -> (usize, Option<f64>) {
        let scores = self.scores(outputs);
        let class = metrics::predicted_class(&scores) as usize;
        (class, self.has_probabilities().then(|| scores[class]))
    }

    /// One number a class, the highest for the class of the sample: probabilities where the model has them.
    pub(crate) fn scores(&self, outputs: &[T]) -> Vec<f64> {
        let numbers = || outputs.iter().map(|output| output.to_f64()).collect();
        match self.probabilities(outputs).unwrap_or_else(numbers)[..] {
            [yes] => vec![1.0 - yes, yes],
            ref scores => scores.to_vec(),
        }
    }

    /// The outputs as probabilities, if they stand for some.
    fn probabilities(&self, outputs: &[T]) -> Option<Vec<f64>> {
        let numbers = outputs.iter().map(|output| output.to_f64());
        let activation = self.network.layers().last().map(|layer| layer.activation());
        match (activation, self.info.loss) {
            (Some(Activation::Softmax | Activation::Sigmoid), _) => Some(numbers.collect()),
            // Logits.
            (_, Loss::SoftmaxCrossEntropy) => {
                let greatest = numbers.clone().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = numbers.map(|x| (x - greatest).exp()).collect();
                let sum: f64 = powers.iter().sum();
                Some(powers.into_iter().map(|x| x / sum).collect())
            }
            (_, Loss::BinaryCrossEntropy) => {
                Some(numbers.map(|x| 1.0 / (1.0 + (-x).exp())).collect())
            }
            _ => None,
        }
    }
}
