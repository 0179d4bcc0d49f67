//! `travertine evaluate`

use serde_json::{Value, json};
use travertine::data::{Dataset, Targets};
use travertine::metrics::{self, ClassScores};
use travertine::{Report, Result, Scalar};

use crate::args::{EvaluateArgs, Precision};
use crate::model::{self, Model};
use crate::names::{counted, wrong};
use crate::output::{Output, digits, percent, table};
use crate::progress::figures;

/// A wider confusion matrix fits no screen.
const MOST_CLASSES: usize = 30;
/// Characters that the names of classes may take side by side.
const MOST_COLUMNS: usize = 100;

/// The true class counts as found among so many, where nobody says how many and there are more.
const USUAL_K: usize = 5;

/// Measures a model on data with labels.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    match model::precision(&args.model_and_data)? {
        Precision::F64 => evaluate::<f64>(args),
        _ => evaluate::<f32>(args),
    }
}

fn evaluate<T: Scalar>(EvaluateArgs { model_and_data: args, top_k }: &EvaluateArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let model = Model::<T>::open(args)?;
    check_top_k(*top_k, model.info.classes.len())?;
    let data = model.labeled(args)?;
    let mut samples = model.samples(&data)?;
    let report = model.network.evaluate(model.info.loss, &mut samples)?;
    let outputs = model.outputs(&data)?;
    match data.targets() {
        Targets::Classes { labels, names } => {
            let outputs = outputs.chunks_exact(model.network.outputs());
            let scores: Vec<f64> = outputs.flat_map(|outputs| model.scores(outputs)).collect();
            tell_classes(&report, labels, names, (&scores, *top_k), &mut out)
        }
        _ => tell_errors(&report, &outputs, &data, &mut out),
    }
}

fn check_top_k(top_k: Option<usize>, classes: usize) -> Result<()> {
    match top_k {
        Some(_) if classes == 0 => {
            Err(wrong("--top-k", "is for classes, but the model tells values"))
        }
        Some(k) if !(1..=classes).contains(&k) => Err(wrong(
            "--top-k",
            format!("expected 1 to {classes}, as there are {classes} classes, found {k}"),
        )),
        _ => Ok(()),
    }
}

/// `scores`: `classes x samples`
fn tell_classes(
    report: &Report,
    labels: &[u32],
    names: &[String],
    (scores, top_k): (&[f64], Option<usize>),
    out: &mut Output,
) -> Result<()> {
    let classes = names.len();
    let said: Vec<u32> = scores.chunks_exact(classes).map(metrics::predicted_class).collect();
    let each = metrics::per_class(classes, labels, &said)?;
    let all = metrics::macro_average(&each);
    // A network that overflows says nothing about ranks.
    let ranked = !scores.iter().any(|score| score.is_nan());
    let (k, is_told) = top_k.map_or((USUAL_K, classes > USUAL_K), |k| (k, true));
    let within = (ranked && is_told)
        .then(|| metrics::top_k_accuracy(classes, labels, scores, k))
        .transpose()?;
    let roc_auc =
        if ranked { metrics::roc_auc_one_vs_rest(classes, labels, scores)? } else { None };
    let confusion = (classes <= MOST_CLASSES)
        .then(|| metrics::confusion_matrix(classes, labels, &said))
        .transpose()?;

    confusion_text(confusion.as_deref(), names).iter().try_for_each(|line| out.people(line))?;
    out.people("")?;
    class_table(&each, &all, names).iter().try_for_each(|line| out.people(line))?;
    out.people("")?;
    let rows = |counts: Vec<u64>| {
        counts.chunks_exact(classes).map(|row| json!(row)).collect::<Vec<Value>>()
    };
    let within_key = format!("top{k}_accuracy");
    let json = [
        ("task", json!("evaluate")),
        ("samples", json!(report.samples)),
        ("loss", json!(report.loss)),
        ("accuracy", json!(report.accuracy)),
        (&within_key, json!(within)),
        ("macro_precision", json!(all.precision)),
        ("macro_recall", json!(all.recall)),
        ("macro_f1", json!(all.f1)),
        ("roc_auc", json!(roc_auc)),
        ("per_class", each.iter().zip(names).map(class_json).collect()),
        ("confusion", json!(confusion.map(rows))),
    ];
    let within = within
        .map_or(String::new(), |share| format!(" (within the first {k} {})", percent(Some(share))));
    let roc_auc = roc_auc.map_or("not defined".to_owned(), |auc| format!("{auc:.4}"));
    let text = format!(
        "{}: {}{within}, macro F1 {:.4}, ROC AUC {roc_auc}",
        counted_samples(report),
        figures(report.loss, report.accuracy),
        all.f1
    );
    out.tell(&json, &text)
}

fn counted_samples(report: &Report) -> String {
    counted(report.samples, "sample", "samples")
}

fn class_json((scores, name): (&ClassScores, &String)) -> Value {
    let ClassScores { precision, recall, f1, support, .. } = scores;
    json!({ "class": name, "precision": precision, "recall": recall, "f1": f1, "samples": support })
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

/// How often class (row) was taken for class (column).
fn confusion_text(counts: Option<&[u64]>, names: &[String]) -> Vec<String> {
    let Some(counts) = counts else {
        return vec![format!("(no confusion matrix: {} classes)", names.len())];
    };
    // Where the names are too long for columns, numbers stand for them.
    let numbered = names.iter().map(|name| name.chars().count() + 2).sum::<usize>() > MOST_COLUMNS;
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

fn tell_errors<T: Scalar>(
    report: &Report,
    outputs: &[T],
    data: &Dataset<T>,
    out: &mut Output,
) -> Result<()> {
    let numbers = |values: &[T]| values.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    let (truth, said) = (numbers(&data.target_columns()?), numbers(outputs));
    let rmse = metrics::root_mean_squared_error(&truth, &said)?;
    let mae = metrics::mean_absolute_error(&truth, &said)?;
    let r2 = metrics::r2(data.outputs(), &truth, &said)?;
    let json = [
        ("task", json!("evaluate")),
        ("samples", json!(report.samples)),
        ("loss", json!(report.loss)),
        ("rmse", json!(rmse)),
        ("r2", json!(r2)),
        ("mae", json!(mae)),
    ];
    let r2 = r2.map_or("not defined, the label is constant".to_owned(), |r2| format!("{r2:.4}"));
    let text = format!(
        "{}: {}, RMSE {}, MAE {}, R2 {r2}",
        counted_samples(report),
        figures(report.loss, report.accuracy),
        digits(rmse),
        digits(mae)
    );
    out.tell(&json, &text)
}
