//! `travertine evaluate`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use travertine::data::{TableOptions, Targets};
use travertine::metrics::{self, ClassScores};
use travertine::{Evaluation, Report, Result, Scalar};

use crate::args::device::Precision;
use crate::commands::use_args::UseArgs;
use crate::input::ModelInput;
use crate::message::{counted, wrong};
use crate::output::Output;
use crate::output::progress::figures;
use crate::output::text::{digits, percent, table};

/// Classes of the widest confusion matrix that fits a screen.
const MOST_CLASSES: usize = 30;
/// Characters that the names of classes may take in the head of a matrix.
const MOST_HEAD_CHARACTERS: usize = 100;

/// The default of `--top-k`, where there are more classes.
const DEFAULT_TOP_K: usize = 5;

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
}

/// Measures a model on data with labels.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    match args.model_and_data.precision()? {
        Precision::F64 => evaluate::<f64>(args),
        _ => evaluate::<f32>(args),
    }
}

fn evaluate<T: Scalar>(arguments: &EvaluateArgs) -> Result<()> {
    let EvaluateArgs { model_and_data: args, labels, top_k } = arguments;
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
    match &targets {
        Targets::Classes { labels, names } => {
            let measures = ClassMeasures::new(labels, names, predictions.scores(), *top_k)?;
            out.people(&measures.describe(names))?;
            out.print(&measures.json(&report, names), &measures.summary(&report))
        }
        Targets::Values { values, names } => {
            let predicted: Vec<f64> =
                predictions.iter().flat_map(|p| p.values().to_vec()).collect();
            print_errors(&report, (values, &predicted), names, &mut out)
        }
        Targets::None => Err(args.data.unexpected("label", "a label column", "features alone")),
    }
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

/// The measures of a classifier on labeled samples.
struct ClassMeasures {
    each: Vec<ClassScores>,
    all: ClassScores,
    k: usize,
    /// Share of the samples whose class is among the `k` likeliest.
    top_k_accuracy: Option<f64>,
    roc_auc: Option<f64>,
    /// Row by row; `None` for many classes.
    confusion: Option<Vec<u64>>,
}

/// The line of `evaluate --json` for classes.
#[derive(Serialize)]
struct ClassResult<'a> {
    task: &'static str,
    samples: usize,
    loss: f64,
    accuracy: Option<f64>,
    /// One entry, whose name has the number.
    #[serde(flatten)]
    top_k: BTreeMap<String, Option<f64>>,
    macro_precision: f64,
    macro_recall: f64,
    macro_f1: f64,
    roc_auc: Option<f64>,
    per_class: Vec<ClassLine<'a>>,
    confusion: Option<Vec<&'a [u64]>>,
}

#[derive(Serialize)]
struct ClassLine<'a> {
    class: &'a str,
    f1: f64,
    precision: f64,
    recall: f64,
    samples: u64,
}

impl ClassMeasures {
    /// `scores`: `classes x samples`
    fn new(labels: &[u32], names: &[String], scores: &[f64], top_k: Option<usize>) -> Result<Self> {
        let classes = names.len();
        let predicted: Vec<u32> =
            scores.chunks_exact(classes).map(metrics::predicted_class).collect();
        let each = metrics::per_class(classes, labels, &predicted)?;
        // A network that overflows has no ranks.
        let has_ranks = !scores.iter().any(|score| score.is_nan());
        let (k, counts) = top_k.map_or((DEFAULT_TOP_K, classes > DEFAULT_TOP_K), |k| (k, true));
        let top_k_accuracy = (has_ranks && counts)
            .then(|| metrics::top_k_accuracy(classes, labels, scores, k))
            .transpose()?;
        let roc_auc = match has_ranks {
            true => metrics::roc_auc_one_vs_rest(classes, labels, scores)?,
            false => None,
        };
        let confusion = (classes <= MOST_CLASSES)
            .then(|| metrics::confusion_matrix(classes, labels, &predicted))
            .transpose()?;
        let all = metrics::macro_average(&each);
        Ok(ClassMeasures { each, all, k, top_k_accuracy, roc_auc, confusion })
    }

    fn json<'a>(&'a self, report: &Report, names: &'a [String]) -> ClassResult<'a> {
        let line = |(scores, class): (&ClassScores, &'a String)| ClassLine {
            class,
            f1: scores.f1,
            precision: scores.precision,
            recall: scores.recall,
            samples: scores.support,
        };
        let confusion = self.confusion.as_ref();
        ClassResult {
            task: "evaluate",
            samples: report.samples,
            loss: report.loss,
            accuracy: report.accuracy,
            top_k: [(format!("top{}_accuracy", self.k), self.top_k_accuracy)].into(),
            macro_precision: self.all.precision,
            macro_recall: self.all.recall,
            macro_f1: self.all.f1,
            roc_auc: self.roc_auc,
            per_class: self.each.iter().zip(names).map(line).collect(),
            confusion: confusion.map(|counts| counts.chunks_exact(names.len()).collect()),
        }
    }

    fn summary(&self, report: &Report) -> String {
        let within = self.top_k_accuracy.map_or(String::new(), |share| {
            format!(" (within the first {} {})", self.k, percent(Some(share)))
        });
        let roc_auc = self.roc_auc.map_or("not defined".to_owned(), |auc| format!("{auc:.4}"));
        let (samples, f1) = (counted_samples(report), self.all.f1);
        let figures = figures(report.loss, report.accuracy);
        format!("{samples}: {figures}{within}, macro F1 {f1:.4}, ROC AUC {roc_auc}")
    }

    /// The confusion matrix, and a line a class.
    fn describe(&self, names: &[String]) -> Vec<String> {
        let mut lines = confusion_table(self.confusion.as_deref(), names);
        lines.push(String::new());
        lines.extend(class_table(&self.each, &self.all, names));
        lines.push(String::new());
        lines
    }
}

fn counted_samples(report: &Report) -> String {
    counted(report.samples, "sample", "samples")
}

/// Precision, recall and F1, a line a class.
fn class_table(each: &[ClassScores], all: &ClassScores, names: &[String]) -> Vec<String> {
    let row = |name: &str, scores: &ClassScores| {
        let shares =
            [scores.precision, scores.recall, scores.f1].map(|share| format!("{share:.4}"));
        [vec![name.to_owned()], shares.to_vec(), vec![scores.support.to_string()]].concat()
    };
    let head = ["class", "precision", "recall", "F1", "samples"].map(str::to_owned).to_vec();
    let classes = names.iter().zip(each).map(|(name, scores)| row(name, scores));
    table(&[head].into_iter().chain(classes).chain([row("(macro)", all)]).collect::<Vec<_>>())
}

/// How often class (row) was predicted as class (column).
fn confusion_table(counts: Option<&[u64]>, names: &[String]) -> Vec<String> {
    let Some(counts) = counts else {
        return vec![format!("(no confusion matrix: {} classes)", names.len())];
    };
    // Numbers stand for names that are too long for columns.
    let numbered =
        names.iter().map(|name| name.chars().count() + 2).sum::<usize>() > MOST_HEAD_CHARACTERS;
    let heads = if numbered {
        (1..=names.len()).map(|number| number.to_string()).collect()
    } else {
        names.to_vec()
    };
    let mut rows = vec![[vec!["is \\ said".to_owned()], heads].concat()];
    for ((number, name), counts) in (1..).zip(names).zip(counts.chunks_exact(names.len())) {
        let name = if numbered { format!("{number} {name}") } else { name.clone() };
        rows.push([vec![name], counts.iter().map(u64::to_string).collect()].concat());
    }
    table(&rows)
}

/// The line of `evaluate --json` for values.
#[derive(Serialize)]
struct ErrorResult<'a> {
    task: &'static str,
    samples: usize,
    loss: f64,
    /// Of one target, or the mean over several.
    rmse: f64,
    r2: Option<f64>,
    mae: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    per_target: Vec<TargetErrors<'a>>,
}

#[derive(Clone, Serialize)]
struct TargetErrors<'a> {
    target: &'a str,
    rmse: f64,
    mae: f64,
    r2: Option<f64>,
}

impl TargetErrors<'_> {
    fn describe(&self) -> String {
        let r2 = self
            .r2
            .map_or("not defined, the label is constant".to_owned(), |r2| format!("{r2:.4}"));
        format!("RMSE {}, MAE {}, R2 {r2}", digits(self.rmse), digits(self.mae))
    }
}

/// The errors of each target; `values`: true and predicted, `targets x samples`.
fn errors_of<'a>(
    (truth, predicted): (&[f64], &[f64]),
    names: &'a [String],
) -> Result<Vec<TargetErrors<'a>>> {
    let column = |values: &[f64], i: usize| -> Vec<f64> {
        values.iter().skip(i).step_by(names.len()).copied().collect()
    };
    let errors = |(i, target): (usize, &'a String)| {
        let (truth, predicted) = (column(truth, i), column(predicted, i));
        Ok(TargetErrors {
            target,
            rmse: metrics::root_mean_squared_error(&truth, &predicted)?,
            mae: metrics::mean_absolute_error(&truth, &predicted)?,
            r2: metrics::r2(1, &truth, &predicted)?,
        })
    };
    names.iter().enumerate().map(errors).collect()
}

fn print_errors(
    report: &Report,
    values: (&[f64], &[f64]),
    names: &[String],
    out: &mut Output,
) -> Result<()> {
    let each = errors_of(values, names)?;
    let count = each.len() as f64;
    let mean = |of: &dyn Fn(&TargetErrors<'_>) -> f64| each.iter().map(of).sum::<f64>() / count;
    let all_r2 = each.iter().all(|errors| errors.r2.is_some());
    let all = TargetErrors {
        target: "mean",
        rmse: mean(&|errors| errors.rmse),
        mae: mean(&|errors| errors.mae),
        r2: all_r2.then(|| mean(&|errors| errors.r2.unwrap_or_default())),
    };
    let several = each.len() > 1;
    let mut lines = Vec::new();
    if several {
        lines.extend(each.iter().map(|errors| format!("{}: {}", errors.target, errors.describe())));
        out.people(&lines)?;
    }
    let figures = figures(report.loss, report.accuracy);
    let over = if several { format!("mean over {} targets: ", each.len()) } else { String::new() };
    let text = format!("{}: {figures}, {over}{}", counted_samples(report), all.describe());
    let result = ErrorResult {
        task: "evaluate",
        samples: report.samples,
        loss: report.loss,
        rmse: all.rmse,
        r2: all.r2,
        mae: all.mae,
        per_target: if several { each.clone() } else { Vec::new() },
    };
    out.print(&result, &text)
}
