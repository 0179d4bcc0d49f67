//! `travertine evaluate`

use std::path::PathBuf;

use clap::Args;
use travertine::data::{TableOptions, Targets};
use travertine::metrics::Interval;
use travertine::{Evaluation, Report, Result, Scalar};

use self::classes::ClassMeasures;
use self::importance::ColumnImportance;
use self::quantiles::QuantileMeasures;
use self::values::ValueMeasures;

use crate::args::device::Precision;
use crate::commands::use_args::UseArgs;
use crate::input::ModelInput;
use crate::message::{counted, wrong};
use crate::output::Output;

mod classes;
mod importance;
mod quantiles;
mod values;

/// Of what is drawn at random, so that the same data has the same figures.
const SEED: u64 = 1;

/// `evaluate`
#[derive(Args, Debug)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    model_and_data: UseArgs,
    /// NPY file with the labels of NPY data
    #[arg(long, value_name = "FILE.npy")]
    labels: Option<PathBuf>,
    /// Report how often the true class is among the K likeliest [default: 5, where there are more classes]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Measure what each column contributes: how much worse the model is when its values are shuffled, five times
    #[arg(long)]
    importance: bool,
}

/// Measures a model on data with labels.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    match args.model_and_data.precision()? {
        Precision::F64 => evaluate::<f64>(args),
        _ => evaluate::<f32>(args),
    }
}

fn evaluate<T: Scalar>(arguments: &EvaluateArgs) -> Result<()> {
    let EvaluateArgs { model_and_data: args, labels, top_k, importance } = arguments;
    let mut out = Output::new(args.json);
    let model = args.load::<T>()?;
    check_top_k(*top_k, model.classes().len())?;
    if labels.is_some() && !args.data.is_table() {
        return Err(wrong("--labels", format!("is for tables, not for {}", args.data.name())));
    }
    let options = TableOptions { labels: labels.clone(), ..args.dialect.options() };
    let input = ModelInput::read(&model, &args.data, &options, true)?;
    let Evaluation { report, predictions, targets } = match &input {
        ModelInput::Table(table) => model.evaluate_table(table),
        ModelInput::Samples(data) => model.evaluate(data),
    }?;
    let importance = importance.then(|| ColumnImportance::measure(&model, &input)).transpose()?;
    match &targets {
        Targets::Classes { labels, names } => {
            let (scores, gives_probabilities) = (predictions.scores(), model.gives_probabilities());
            let measures =
                ClassMeasures::new(labels, names, (scores, gives_probabilities), *top_k)?;
            out.people(&measures.describe(names))?;
            describe(importance.as_ref(), "drop of accuracy", &mut out)?;
            let result = measures.json(&report, names, importance.as_ref());
            out.print(&result, &measures.summary(&report))
        }
        Targets::Values { values, names } => {
            let predicted: Vec<f64> =
                predictions.iter().flat_map(|p| p.values().to_vec()).collect();
            if let Some(quantiles) = model.quantiles() {
                let measures = QuantileMeasures::new(&quantiles, values, &predicted)?;
                out.people(&measures.describe())?;
                describe(importance.as_ref(), "rise of pinball loss", &mut out)?;
                let result = measures.json(&report, importance.as_ref());
                return out.print(&result, &measures.summary(&report));
            }
            let measures = ValueMeasures::new((values, &predicted), names)?;
            out.people(&measures.describe())?;
            describe(importance.as_ref(), "rise of RMSE", &mut out)?;
            let result = measures.json(&report, importance.as_ref());
            out.print(&result, &measures.summary(&report))
        }
        Targets::None => Err(args.data.unexpected("label", "a label column", "features alone")),
    }
}

/// Prints the importance of columns, if it was asked for; `of`: what it is of.
fn describe(importance: Option<&ColumnImportance>, of: &str, out: &mut Output) -> Result<()> {
    importance.map_or(Ok(()), |importance| out.people(&importance.describe(of)))
}

fn check_top_k(top_k: Option<usize>, classes: usize) -> Result<()> {
    match top_k {
        Some(_) if classes == 0 => {
            Err(wrong("--top-k", "is for classes, but the model predicts values"))
        }
        Some(k) if !(1..=classes).contains(&k) => Err(wrong(
            "--top-k",
            format!("expected 1 to {classes}, as there are {classes} classes, found {k}"),
        )),
        _ => Ok(()),
    }
}

fn counted_samples(report: &Report) -> String {
    counted(report.samples, "sample", "samples")
}

/// The ends of an interval, as JSON has them.
fn ends(interval: &Interval) -> [f64; 2] {
    [interval.low, interval.high]
}
