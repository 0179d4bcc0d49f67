//! `travertine evaluate`

use serde_json::json;
use travertine::data::{Dataset, Targets};
use travertine::{Report, Result, Scalar};

use crate::args::{Precision, UseArgs};
use crate::model::{self, Model};
use crate::names::counted;
use crate::output::{Output, digits, table};
use crate::progress::figures;

/// A wider confusion matrix fits no screen.
const MOST_CLASSES: usize = 30;

/// Measures a model on data with labels.
pub(crate) fn run(args: &UseArgs) -> Result<()> {
    match model::precision(args)? {
        Precision::F32 => evaluate::<f32>(args),
        Precision::F64 => evaluate::<f64>(args),
    }
}

fn evaluate<T: Scalar>(args: &UseArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let model = Model::<T>::open(args)?;
    let data = model.labeled(args)?;
    let mut samples = model.samples(&data)?;
    let report = model.network.evaluate(model.info.loss, &mut samples)?;
    let outputs = model.outputs(&data)?;
    match data.targets() {
        Targets::Classes { labels, names } => {
            let said = outputs.chunks_exact(model.network.outputs()).map(|outputs| model.class(outputs).0);
            confusion(labels, said, names).iter().try_for_each(|line| out.people(line))?;
            tell_accuracy(&report, &mut out)
        }
        _ => tell_errors(&report, &outputs, &data, &mut out),
    }
}

fn tell_accuracy(report: &Report, out: &mut Output) -> Result<()> {
    let json = [
        ("task", json!("evaluate")),
        ("samples", json!(report.samples)),
        ("loss", json!(report.loss)),
        ("accuracy", json!(report.accuracy)),
    ];
    out.tell(&json, &format!("{}: {}", counted(report.samples, "sample", "samples"), figures(report)))
}

fn tell_errors<T: Scalar>(report: &Report, outputs: &[T], data: &Dataset<T>, out: &mut Output) -> Result<()> {
    let targets = data.target_columns()?;
    let squares: f64 = outputs.iter().zip(&targets).map(|(y, t)| (y.to_f64() - t.to_f64()).powi(2)).sum();
    let rmse = (squares / targets.len() as f64).sqrt();
    let spread = spread(&targets, data.outputs());
    let r2 = (spread > 0.0).then(|| 1.0 - squares / spread);
    let json = [
        ("task", json!("evaluate")),
        ("samples", json!(report.samples)),
        ("loss", json!(report.loss)),
        ("rmse", json!(rmse)),
        ("r2", json!(r2)),
    ];
    let r2 = r2.map_or("not defined, the label is constant".to_owned(), |r2| format!("{r2:.4}"));
    let samples = counted(report.samples, "sample", "samples");
    out.tell(&json, &format!("{samples}: {}, RMSE {}, R2 {r2}", figures(report), digits(rmse)))
}

/// Squared distances of the targets (`rows x samples`) from their means, row by row.
fn spread<T: Scalar>(targets: &[T], rows: usize) -> f64 {
    let row = |i: usize| targets.iter().skip(i).step_by(rows).map(|t| t.to_f64());
    let of_row = |i: usize| {
        let mean = row(i).sum::<f64>() / row(i).count() as f64;
        row(i).map(|t| (t - mean).powi(2)).sum::<f64>()
    };
    (0..rows).map(of_row).sum()
}

/// How often class (row) was taken for class (column).
fn confusion(labels: &[u32], said: impl Iterator<Item = usize>, names: &[String]) -> Vec<String> {
    let count = names.len();
    if count > MOST_CLASSES {
        return vec![format!("(no confusion matrix: {count} classes)")];
    }
    let mut counts = vec![0u64; count * count];
    for (&label, said) in labels.iter().zip(said) {
        counts[label as usize * count + said] += 1;
    }
    let mut rows = vec![[vec!["is \\ said".to_owned()], names.to_vec()].concat()];
    for (name, counts) in names.iter().zip(counts.chunks_exact(count)) {
        rows.push([vec![name.clone()], counts.iter().map(u64::to_string).collect()].concat());
    }
    table(&rows)
}
