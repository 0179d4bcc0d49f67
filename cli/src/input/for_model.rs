//! Reading the samples that a saved model is used on.

use travertine::data::{Dataset, Label, Targets, Task};
use travertine::{Model, Result, Scalar};

use crate::args::source::Source;
use crate::args::table::{Requirements, TableArgs};
use crate::message::counted;

/// The features of `source`, as [`Model::predict`] takes them. Labels are not read, so that unknown ones do no harm.
pub(crate) fn unlabeled<T: Scalar>(
    model: &Model<T>,
    source: &Source,
    table: &TableArgs,
) -> Result<Dataset<T>> {
    let named = !model.info().features.is_empty() && table.label.is_none();
    let required = Requirements {
        task: Some(Task::Classes),
        // Features that are found by name need no label column to be set apart.
        label: if named { Label::None } else { label(model, table) },
        ..features(model)
    };
    source.load_for_use(table, &required)
}

/// The samples of `source` with labels, as [`Model::evaluate`] takes them.
pub(crate) fn labeled<T: Scalar>(
    model: &Model<T>,
    source: &Source,
    table: &TableArgs,
) -> Result<Dataset<T>> {
    let is_classifier = model.task() == Task::Classes;
    let required = Requirements {
        classes: is_classifier.then(|| model.classes().to_vec()),
        task: (!is_classifier).then_some(Task::Values),
        label: label(model, table),
        ..features(model)
    };
    let data = source.load_for_use::<T>(table, &required)?;
    if data.outputs() == 0 {
        let expected = match &model.info().target {
            Some(name) => format!("a label column, as '{name}' that the model learned"),
            None => "a label column".to_owned(),
        };
        return Err(source.unexpected("label", expected, "features alone"));
    }
    check_targets(model, source, &data)?;
    Ok(data)
}

/// Refuses labels of another kind than those that the model learned.
fn check_targets<T: Scalar>(model: &Model<T>, source: &Source, data: &Dataset<T>) -> Result<()> {
    let describe = |classes: bool, count| match classes {
        true => counted(count, "class", "classes"),
        false => counted(count, "value a sample", "values a sample"),
    };
    let is_classifier = model.task() == Task::Classes;
    let learned = if is_classifier { model.classes().len() } else { model.network().outputs() };
    let expected = describe(is_classifier, learned);
    let found = describe(matches!(data.targets(), Targets::Classes { .. }), data.outputs());
    if expected == found {
        return Ok(());
    }
    Err(source.unexpected("label", format!("{expected}, as the model learned"), found))
}

fn features<T: Scalar>(model: &Model<T>) -> Requirements {
    Requirements {
        features: model.info().features.clone(),
        inputs: Some(model.network().inputs()),
        encoder: model.info().encoder.clone(),
        ..Requirements::default()
    }
}

/// The label column: that of the arguments, else that of the training.
fn label<T: Scalar>(model: &Model<T>, table: &TableArgs) -> Label {
    table.label.clone().unwrap_or_else(|| model.label())
}
