//! Operators of `ai.onnx.ml`: what pipelines of scikit-learn have in front of a network and behind it.

use std::rc::Rc;

use super::call::Call;
use super::expression::{Expressions, Op};
use super::front::{Base, Column, Feature};
use super::nodes::raw_column;
use super::value::{Fault, Found, Rows, Value};

pub(super) fn apply(
    call: &Call<'_>,
    expressions: &mut Expressions,
    columns: &mut [Column],
) -> Found<Value> {
    match call.op {
        "Scaler" => scaler(call, expressions),
        "Imputer" => imputer(call, expressions, columns),
        "OneHotEncoder" => one_hot(call, expressions, columns),
        "FeatureVectorizer" => {
            let mut features = Vec::new();
            for place in 0..call.inputs.len() {
                features.extend_from_slice(own(expressions, call.input(place)?.rows()?)?);
            }
            let dims = vec![features.len()];
            Ok(Value::Rows(Rows { of: expressions.features(features)?, dims }))
        }
        "ArrayFeatureExtractor" => match (call.input(0)?, call.input(1)?) {
            (Value::Constant(names), Value::Class(of)) => {
                let classes = names.to_texts();
                let classes = classes.ok_or_else(|| Fault::new("names of classes", "fractions"))?;
                Ok(Value::Label { of: *of, classes: Rc::new(classes) })
            }
            (Value::Rows(x), places) => {
                let places = places.integers()?;
                expressions.spend(8 * places.len())?;
                let features = own(expressions, x)?;
                let chosen = places.iter().map(|place| {
                    features.get(usize::try_from(*place).unwrap_or(usize::MAX)).cloned()
                });
                let chosen: Option<Vec<Feature>> = chosen.collect();
                let chosen = chosen.filter(|chosen| !chosen.is_empty());
                let chosen = chosen.ok_or_else(|| Fault::new("numbers of features", "others"))?;
                let dims = vec![chosen.len()];
                Ok(Value::Rows(Rows { of: expressions.features(chosen)?, dims }))
            }
            (Value::Texts(texts), places) => {
                let places = places.integers()?;
                let chosen = places
                    .iter()
                    .map(|place| texts.get(usize::try_from(*place).unwrap_or(usize::MAX)).copied());
                let chosen: Option<Vec<usize>> = chosen.collect();
                chosen.map(Value::Texts).ok_or_else(|| Fault::new("numbers of columns", "others"))
            }
            (other, _) => Err(Fault::new("features, or names of classes", other.describe())),
        },
        "ZipMap" => {
            let x = call.input(0)?.rows()?;
            let texts = call.attributes.texts("classlabels_strings")?.filter(|all| !all.is_empty());
            let numbers = call.attributes.ints("classlabels_int64s").unwrap_or_default();
            let classes = texts.unwrap_or_else(|| numbers.iter().map(i64::to_string).collect());
            Ok(Value::Map { of: x.of, classes: Rc::new(classes) })
        }
        "Binarizer" => {
            let (x, bound) = (call.input(0)?.rows()?, call.attributes.float("threshold", 0.0));
            Ok(Value::Above { of: x.of, bound })
        }
        "LinearRegressor" => linear(call, expressions),
        _ => Err(Fault::new(
            "Scaler, Imputer, OneHotEncoder, FeatureVectorizer, ArrayFeatureExtractor, LinearRegressor, Binarizer or ZipMap",
            format!("the operator {}", call.op),
        )),
    }
}

/// The features that a value is.
fn own<'e>(expressions: &'e Expressions, x: &Rows) -> Found<&'e [Feature]> {
    match &expressions.get(x.of).op {
        Op::Features(features) if x.vector().is_ok() => Ok(features),
        _ => Err(Fault::new("inputs of the graph", "computed numbers")),
    }
}

/// One of these numbers for each of a row, or one for all.
fn each(values: Option<Vec<f64>>, width: usize, default: f64) -> Found<Vec<f64>> {
    match values.as_deref() {
        None | Some([]) => Ok(vec![default; width]),
        Some([one]) => Ok(vec![*one; width]),
        Some(all) if all.len() == width => Ok(all.to_vec()),
        Some(all) => Err(Fault::new(format!("{width} numbers"), all.len().to_string())),
    }
}

/// `(x - offset) scale`
fn scaler(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    let x = call.input(0)?.rows()?;
    let width = x.vector()?;
    expressions.spend(2 * width)?;
    let offset = each(call.attributes.floats("offset"), width, 0.0)?;
    let scale = each(call.attributes.floats("scale"), width, 1.0)?;
    let shift = offset.iter().zip(&scale).map(|(offset, scale)| -offset * scale).collect();
    let of = expressions.affine(x.of, scale, shift)?;
    Ok(Value::Rows(Rows { of, dims: x.dims.clone() }))
}

/// A number for each that is missing.
fn imputer(call: &Call<'_>, expressions: &Expressions, columns: &mut [Column]) -> Found<Value> {
    let x = call.input(0)?.rows()?;
    let features = own(expressions, x)?;
    let values = match call.attributes.ints("imputed_value_int64s") {
        Some(values) if !values.is_empty() => Some(values.iter().map(|x| *x as f64).collect()),
        _ => call.attributes.floats("imputed_value_floats"),
    };
    let values = each(values, features.len(), f64::NAN)?;
    let replaced = call.attributes.get("replaced_value_float");
    let replaced = replaced.map(|value| value.f.unwrap_or_default());
    if !replaced.is_some_and(f32::is_nan) {
        let found = replaced.map_or("none".to_owned(), |x| x.to_string());
        return Err(Fault::new("NaN as replaced_value_float", found));
    }
    for (feature, value) in features.iter().zip(values) {
        let Some(column) = raw_column(feature) else {
            return Err(Fault::new("numbers as the inputs have them", "computed numbers"));
        };
        let gap = &mut columns[column].gap;
        if !value.is_finite() || gap.is_some_and(|gap| gap != value) {
            let expected = "one finite number for what is missing in a column";
            return Err(Fault::new(expected, format!("{value} for '{}'", columns[column].name)));
        }
        *gap = Some(value);
    }
    Ok(Value::Rows(x.clone()))
}

fn one_hot(call: &Call<'_>, expressions: &mut Expressions, columns: &mut [Column]) -> Found<Value> {
    let texts = call.attributes.texts("cats_strings")?.filter(|all| !all.is_empty());
    let numbers = call.attributes.ints("cats_int64s").unwrap_or_default();
    let texts = texts.unwrap_or_else(|| numbers.iter().map(i64::to_string).collect());
    let column = match call.input(0)? {
        Value::Texts(all) if all.len() == 1 => all[0],
        Value::Rows(x) => match own(expressions, x)? {
            [feature] => raw_column(feature)
                .ok_or_else(|| Fault::new("an input of the graph", "computed numbers"))?,
            _ => return Err(Fault::new("one column", x.shape())),
        },
        other => return Err(Fault::new("one column", other.describe())),
    };
    if texts.is_empty() || columns[column].texts.as_ref().is_some_and(|own| *own != texts) {
        return Err(Fault::new("the same categories wherever a column is encoded", "others"));
    }
    let features = (0..texts.len()).map(|text| Feature {
        base: Base::Category { column, text },
        scale: 1.0,
        shift: 0.0,
    });
    let features: Vec<Feature> = features.collect();
    let dims = vec![1, texts.len()];
    (columns[column].texts, columns[column].is_text) = (Some(texts), true);
    Ok(Value::Rows(Rows { of: expressions.features(features)?, dims }))
}

/// A dense layer.
fn linear(call: &Call<'_>, expressions: &mut Expressions) -> Found<Value> {
    let x = call.input(0)?.rows()?;
    let inputs = x.vector()?;
    let outputs = usize::try_from(call.attributes.int("targets", 1)).unwrap_or(0);
    let weights = call.attributes.floats("coefficients").unwrap_or_default();
    if let Some(other) = call.attributes.text("post_transform").filter(|text| *text != "NONE") {
        return Err(Fault::new("the post_transform NONE", other));
    }
    if outputs == 0 || inputs.checked_mul(outputs) != Some(weights.len()) {
        let expected = format!("{inputs} coefficients for each of the targets");
        return Err(Fault::new(expected, format!("{} for {outputs} targets", weights.len())));
    }
    let bias = each(call.attributes.floats("intercepts"), outputs, 0.0)?;
    let of = expressions.push(x.of, outputs, Op::Dense { weights, bias })?;
    Ok(Value::Rows(Rows { of, dims: vec![outputs] }))
}
