//! What a constant answer reaches on the samples held out, so that a useless network is seen at once.

use travertine::data::Targets;
use travertine::{Loss, Scalar};

use crate::output::text::{digits, percent};
use crate::train::data::TrainingData;
use crate::train::output_layer::OutputLayer;

/// The answer that is the same for every sample: the most frequent class of the training part, or its mean.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    /// Share of the test samples that are of the class.
    Class { name: String, accuracy: f64 },
    /// The quadratic loss on the test samples, in the unit of the data.
    Mean { loss: f64 },
}

impl Constant {
    /// On these samples to test on, for tables with labels that are classes or one value with the quadratic loss; else nothing.
    pub(crate) fn of<T: Scalar>(
        data: &TrainingData<T>,
        tested: &Targets,
        output: &OutputLayer,
    ) -> Option<Self> {
        data.encoder.as_ref()?;
        match (data.train.targets(), tested) {
            (Targets::Classes { labels, names }, Targets::Classes { labels: tested, .. }) => {
                let mut counts = vec![0usize; names.len()];
                labels.iter().for_each(|label| counts[*label as usize] += 1);
                let (class, _) =
                    counts.iter().enumerate().rev().max_by_key(|(_, count)| **count)?;
                let hits = tested.iter().filter(|label| **label as usize == class).count();
                let accuracy = hits as f64 / tested.len() as f64;
                Some(Constant::Class { name: names[class].clone(), accuracy })
            }
            (Targets::Values { values, names }, Targets::Values { values: tested, .. })
                if names.len() == 1 && output.loss == Loss::Quadratic =>
            {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let squares: f64 = tested.iter().map(|x| (x - mean).powi(2)).sum();
                let loss = output.factor * squares / (2 * tested.len()) as f64;
                Some(Constant::Mean { loss })
            }
            _ => None,
        }
    }

    pub(crate) fn loss(&self) -> Option<f64> {
        if let Constant::Mean { loss } = self { Some(*loss) } else { None }
    }

    pub(crate) fn accuracy(&self) -> Option<f64> {
        if let Constant::Class { accuracy, .. } = self { Some(*accuracy) } else { None }
    }

    /// For the end of a training.
    pub(crate) fn describe(&self) -> String {
        match self {
            Constant::Class { name, accuracy } => {
                format!("'{name}' for every sample: accuracy {}", percent(Some(*accuracy)))
            }
            Constant::Mean { loss } => format!("the mean for every sample: loss {}", digits(*loss)),
        }
    }

    /// A warning for a network of this test loss and accuracy that is no better.
    pub(crate) fn warning(&self, test: (f64, Option<f64>)) -> Option<String> {
        let is_better = match self {
            Constant::Class { accuracy, .. } => test.1.is_none_or(|ours| ours > *accuracy),
            Constant::Mean { loss } => test.0 < *loss,
        };
        let answer = match self {
            Constant::Class { name, .. } => format!("'{name}' for every sample"),
            Constant::Mean { .. } => "the mean for every sample".to_owned(),
        };
        (!is_better).then(|| {
            format!("on the samples held out the network is no better than {answer}: it has learned nothing that holds for others")
        })
    }
}
