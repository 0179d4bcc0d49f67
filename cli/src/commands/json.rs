//! JSON lines: objects whose keys come once, and what training did not see in them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use travertine::data::Schema;
use travertine::{Predictor, Scalar};

use crate::message::counted;

/// Reads a line; or says what was expected, and what was found.
pub(crate) fn record(line: &str) -> Result<Value, (String, String)> {
    // Every line is the first one of its own text.
    let unfit = |error: serde_json::Error| {
        let found = error.to_string().replace(" at line 1 column ", " at column ");
        ("a JSON object".to_owned(), found)
    };
    let record: Value = serde_json::from_str(line).map_err(unfit)?;
    if record.is_object()
        && let Twice(Some(key)) = serde_json::from_str(line).map_err(unfit)?
    {
        let expected = "a JSON object with each key once".to_owned();
        return Err((expected, format!("the key {key:?} twice")));
    }
    Ok(record)
}

/// The first key of an object that comes a second time.
struct Twice(Option<String>);

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Twice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Twice, M::Error> {
                let (mut seen, mut twice) = (HashSet::new(), None);
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if !seen.insert(key.clone()) {
                        twice.get_or_insert(key);
                    }
                }
                Ok(Twice(twice))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// What training did not see in the records so far.
pub(crate) struct Unseen<'s> {
    schema: &'s Schema,
    /// For a column of which something was unseen, the first text, and the first number.
    examples: BTreeMap<String, [Option<String>; 2]>,
    /// For a column that was constant in training, how often it was not, and the first other value.
    changed: BTreeMap<String, (usize, String)>,
}

impl<'s> Unseen<'s> {
    /// `schema`: of the model.
    pub(crate) fn new(schema: &'s Schema) -> Self {
        Unseen { schema, examples: BTreeMap::new(), changed: BTreeMap::new() }
    }

    /// Looks at a record that was predicted last.
    pub(crate) fn add<T: Scalar>(&mut self, predictor: &Predictor<T>, record: &Value) {
        for (column, unknown, outside) in predictor.unseen() {
            let known = self.examples.get(column);
            let is_new = |kind: usize, count: u64| {
                count > 0 && known.is_none_or(|examples| examples[kind].is_none())
            };
            let new = [is_new(0, unknown), is_new(1, outside)];
            for kind in (0..2).filter(|&kind| new[kind]) {
                let examples = self.examples.entry(column.to_owned()).or_default();
                examples[kind] = record.get(column).map(text);
            }
        }
        for column in &self.schema.columns {
            let Some((constant, value)) = column.constant.as_ref().zip(record.get(&column.name))
            else {
                continue;
            };
            let found = text(value);
            let number = |text: &str| text.parse::<f64>().ok();
            let is_same_number = number(constant)
                .zip(number(&found))
                .is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * a.abs());
            if !value.is_null() && found != *constant && !is_same_number {
                let new = || (0, found);
                self.changed.entry(column.name.clone()).or_insert_with(new).0 += 1;
            }
        }
    }

    /// A sentence for each column, as for tables.
    pub(crate) fn warnings<T: Scalar>(&self, predictor: &Predictor<T>) -> Vec<String> {
        let samples = |count: u64| counted(count as usize, "sample", "samples");
        let mut warnings = Vec::new();
        for (column, unknown, outside) in predictor.unseen() {
            let example = |kind: usize| {
                let examples = self.examples.get(column);
                examples.and_then(|examples| examples[kind].clone()).unwrap_or_default()
            };
            if unknown > 0 {
                let is = format!("{}: '{column}' is {:?}", samples(unknown), example(0));
                warnings
                    .push(format!("{is}, which training did not see; it counts as no category"));
            }
            if outside > 0 {
                let is = format!("{}: '{column}' is {}", samples(outside), example(1));
                warnings.push(format!("{is}, far outside the values of the training"));
            }
        }
        for (column, (count, example)) in &self.changed {
            let is = format!("{}: '{column}' is {example:?}", samples(*count as u64));
            warnings.push(format!("{is}; it was constant in training, so it has no influence"));
        }
        warnings
    }
}

/// A value as a CSV file has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
