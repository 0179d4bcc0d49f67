//! Reads ONNX files of this library with tract and rten, and compares their answers with the library's.
//!
//! The networks are those of the tests with ONNX Runtime: every kind of layer and every activation, with random parameters.

use std::error::Error;
use std::iter::successors;
use std::path::{Path, PathBuf};

use rten::Value;
use rten_tensor::prelude::*;
use tract_onnx::prelude::*;
use travertine::data::{Dataset, Targets};
use travertine::model_file::OnnxOptions;
use travertine::{Model, Scalar, engine};

#[path = "../../../tests/library/networks.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod networks;
use networks::{INPUTS, SAMPLES, features, networks};

type Failed = Box<dyn Error + Send + Sync>;

/// The message with all its causes.
fn shown(error: &Failed) -> String {
    let first: &dyn Error = &**error;
    let causes = successors(Some(first), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The answers of a program: numbers, one sample after the other, and labels where there are classes.
struct Answers {
    numbers: Vec<f64>,
    labels: Vec<String>,
}

/// What the library answers.
fn expected<T: Scalar>(model: &Model<T>, inputs: &[T]) -> Result<Answers, Failed> {
    let data = Dataset::new(INPUTS, inputs.to_vec(), Targets::None)?;
    let predictions = model.predict(&data)?;
    let numbers = |p: travertine::Prediction<'_, T>| match model.classes().is_empty() {
        true => p.values().to_vec(),
        false => p.scores().to_vec(),
    };
    Ok(Answers {
        numbers: predictions.iter().flat_map(numbers).collect(),
        labels: predictions.iter().filter_map(|p| p.class().map(str::to_owned)).collect(),
    })
}

fn tract<T: Scalar + Datum>(path: &Path, inputs: &[T]) -> Result<Answers, Failed> {
    let model = tract_onnx::onnx().model_for_path(path)?;
    let fact = InferenceFact::dt_shape(T::datum_type(), [SAMPLES, INPUTS]);
    let model = model.with_input_fact(0, fact)?.into_optimized()?.into_runnable()?;
    let input = Tensor::from_shape(&[SAMPLES, INPUTS], inputs)?;
    let mut answers = Answers { numbers: Vec::new(), labels: Vec::new() };
    for output in model.run(tvec!(input.into()))? {
        if output.datum_type() == DatumType::String {
            let texts = output.to_plain_array_view::<String>()?;
            answers.labels.extend(texts.iter().cloned());
        } else {
            let numbers = output.cast_to::<f64>()?;
            answers.numbers.extend(numbers.to_plain_array_view::<f64>()?.iter());
        }
    }
    Ok(answers)
}

fn rten(path: &Path, inputs: &[f32]) -> Result<Answers, Failed> {
    let model = rten::Model::load_file(path)?;
    let input = Value::from_shape([SAMPLES, INPUTS], inputs.to_vec())?;
    let outputs =
        model.run(vec![(model.input_ids()[0], input.into())], model.output_ids(), None)?;
    let mut answers = Answers { numbers: Vec::new(), labels: Vec::new() };
    for output in outputs {
        match output {
            Value::FloatTensor(numbers) => {
                answers.numbers.extend(numbers.iter().map(|x| f64::from(*x)));
            }
            // The places of classes, whose names are those of `networks`.
            Value::Int32Tensor(places) => {
                answers.labels.extend(places.iter().map(|place| format!("class {place}")));
            }
            _ => return Err("an output of another type".into()),
        }
    }
    Ok(answers)
}

/// The largest difference, relative to the larger of 1 and the number; infinite where labels or the number of answers differ.
fn difference(found: &Answers, expected: &Answers) -> f64 {
    if found.labels != expected.labels || found.numbers.len() != expected.numbers.len() {
        return f64::INFINITY;
    }
    let pairs = found.numbers.iter().zip(&expected.numbers);
    let differences = pairs.map(|(x, y)| (x - y).abs() / y.abs().max(1.0));
    differences.map(|x| if x.is_nan() { f64::INFINITY } else { x }).fold(0.0, f64::max)
}

/// Files that a reader computes, and those that it does not.
#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    refused: usize,
}

impl Count {
    fn add(&mut self, (reader, file): (&str, &str), bound: f64, answer: Result<f64, Failed>) {
        match answer {
            Ok(difference) if difference < bound => self.right += 1,
            Ok(difference) => {
                self.wrong += 1;
                println!("FAIL {reader}, {file}: a difference of {difference:.1e}");
            }
            Err(error) => {
                self.refused += 1;
                println!("REFUSED {reader}, {file}: {}", shown(&error));
            }
        }
    }
}

/// What reads a file: its name, where it is, the inputs, and what it must answer.
type Read<'r, T> = dyn FnMut(&str, &Path, &[T], &Answers) + 'r;

/// Writes the networks, without texts if so, and has each read.
fn write<T: Scalar>(
    folder: &Path,
    numbers_only: bool,
    read: &mut Read<'_, T>,
) -> Result<(), Failed> {
    for (name, opset, model) in networks::<T>(&engine::open::<T>("cpu")?) {
        let path: PathBuf = folder.join(format!("{name}.onnx"));
        // The inputs of values are not standardized here.
        let numbers_only = numbers_only && !model.classes().is_empty();
        model.to_onnx(&path, &OnnxOptions { opset, numbers_only })?;
        let inputs: Vec<T> = features(&model).iter().map(|x| T::from_f64(*x)).collect();
        let expected = expected(&model, &inputs)?;
        read(&name, &path, &inputs, &expected);
    }
    Ok(())
}

fn main() -> Result<(), Failed> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: onnx-readers FOLDER")?);
    let [mut single, mut double, mut numbers] = [(); 3].map(|()| Count::default());
    write::<f32>(&folder, false, &mut |name, path, inputs, expected| {
        let answer = tract(path, inputs).map(|found| difference(&found, expected));
        single.add(("tract", name), 1e-5, answer);
    })?;
    write::<f64>(&folder, false, &mut |name, path, inputs, expected| {
        let answer = tract(path, inputs).map(|found| difference(&found, expected));
        double.add(("tract in f64", name), 1e-12, answer);
    })?;
    write::<f32>(&folder, true, &mut |name, path, inputs, expected| {
        let answer = rten(path, inputs).map(|found| difference(&found, expected));
        numbers.add(("rten", name), 1e-5, answer);
    })?;
    let all = [("tract", single), ("tract in f64", double), ("rten", numbers)];
    for (reader, count) in &all {
        let Count { right, wrong, refused } = count;
        println!("{reader}: {right} right, {wrong} wrong, {refused} refused");
    }
    let is_right = all.iter().all(|(_, count)| count.wrong == 0) && all[0].1.right > 0;
    is_right.then_some(()).ok_or_else(|| "a reader answers something else".into())
}
