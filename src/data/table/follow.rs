//! A file that is read as a schema says: the columns are found by their names, or by their places where they have none.

use std::collections::HashSet;
use std::path::Path;

use super::cell::without_zero_decimals;
use super::count::Counted;
use super::date::DateOrder;
use super::dialect::{self, COMMENT};
use super::file::TextFile;
use super::header;
use super::number::plain;
use super::options::TableOptions;
use super::reading::Reading;
use super::schema::{
    ColumnType, Delimiter, Dialect, Role, Schema, SchemaColumn, find_column, repeated_names,
};
use super::source::Source;
use super::survey::ColumnSurvey;
use super::text::TextSource;
use crate::data::text::{counted, listed, quoted};
use crate::{Error, Result};

/// What is read beside the features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Labels {
    /// Labels; a file without them is an error.
    Required,
    /// None.
    Ignored,
}

impl Reading {
    /// Everything that the schema has, at its place.
    pub(super) fn of(schema: &Schema) -> Self {
        let with = |is_wanted: &dyn Fn(Role) -> bool| {
            let columns = schema.columns.iter().cloned().enumerate();
            columns.filter(|(_, column)| is_wanted(column.role)).collect()
        };
        Reading {
            features: with(&|role| role == Role::Feature),
            targets: with(&|role| matches!(role, Role::Class | Role::Value)),
            id: None,
            constants: Vec::new(),
            missing: schema.dialect.as_ref().map_or(Vec::new(), |dialect| dialect.missing.clone()),
            classes: None,
            named: schema.has_names(),
        }
    }

    /// Finds the columns of the schema in a file.
    pub(in crate::data) fn find(
        schema: &Schema,
        source: &dyn Source,
        labels: Labels,
        id: Option<&str>,
    ) -> Result<Self> {
        let mut reading = Reading::of(schema);
        if labels == Labels::Ignored {
            reading.targets.clear();
        }
        let constants = schema.columns.iter().enumerate().filter(|(_, c)| c.constant.is_some());
        reading.constants = constants.map(|(place, column)| (place, column.clone())).collect();
        match source.names() {
            Some(names) if schema.has_names() => reading.by_name(source, (schema, &names))?,
            _ => reading.by_place(source, schema)?,
        }
        reading.constants.retain(|(place, _)| source.unreadable(*place).is_none());
        let names = source.names().unwrap_or_else(|| numbered(source.width()));
        reading.id = id
            .map(|id| find_column(names.iter().map(String::as_str), id))
            .transpose()
            .map_err(|reason| {
                Error::format(
                    source.name(),
                    "the columns",
                    "the column that is carried along",
                    reason,
                )
            })?;
        Ok(reading)
    }

    fn by_name(
        &mut self,
        source: &dyn Source,
        (schema, names): (&Schema, &[String]),
    ) -> Result<()> {
        let find = |name: &str| names.iter().position(|found| found == name);
        self.refuse_repeated(source, (schema, names))?;
        let mut missing = Vec::new();
        for (place, column) in self.features.iter_mut().chain(&mut self.targets) {
            match find(&column.name) {
                Some(found) => *place = found,
                None => missing.push(column.name.clone()),
            }
        }
        self.constants.retain_mut(|(place, column)| match find(&column.name) {
            Some(found) => {
                *place = found;
                true
            }
            None => false,
        });
        if missing.is_empty() {
            return Ok(());
        }
        let expected =
            format!("the columns that the model learned, {} among them", listed(&missing));
        Err(Error::format(source.name(), "the columns", expected, listed(names)))
    }

    /// Refuses a name that is there twice, unless it was in training.
    fn refuse_repeated(
        &self,
        source: &dyn Source,
        (schema, names): (&Schema, &[String]),
    ) -> Result<()> {
        let repeated = repeated_names(names.iter().map(String::as_str));
        if repeated.is_empty() {
            return Ok(());
        }
        let known: HashSet<&str> = schema.columns.iter().map(|column| &*column.name).collect();
        let read = self.features.iter().chain(&self.targets).map(|(_, column)| &column.name);
        for name in read {
            let Some(&second) = repeated.get(&**name) else { continue };
            if !known.contains(&*names[second]) {
                let first = names.iter().position(|found| found == name).unwrap_or_default() + 1;
                let expected = format!("one column {}", quoted(name));
                let found = format!("columns #{first} and #{} of that name", second + 1);
                return Err(Error::format(source.name(), "the columns", expected, found));
            }
        }
        Ok(())
    }

    /// A file without names has all columns of the schema, or those without the labels, or the features alone. Labels of a file of
    /// their own come last.
    fn by_place(&mut self, source: &dyn Source, schema: &Schema) -> Result<()> {
        let columns: Vec<usize> = (0..schema.columns.len()).collect();
        let has = |role: Role, wanted: &[Role]| wanted.contains(&role);
        let with = |wanted: &[Role]| -> Vec<usize> {
            columns.iter().copied().filter(|&c| has(schema.columns[c].role, wanted)).collect()
        };
        let unlabeled = with(&[Role::Feature, Role::LeftOut]);
        let features = with(&[Role::Feature]);
        let learned = with(&[Role::Feature, Role::Class, Role::Value]);
        let targets = with(&[Role::Class, Role::Value]);
        let without_labels = unlabeled.len();
        let layouts = match source.labels() {
            0 => vec![columns.clone(), unlabeled, learned, features],
            labels if labels != targets.len() => Vec::new(),
            _ => vec![[unlabeled, targets.clone()].concat(), [features, targets].concat()],
        };
        let needs_labels = !self.targets.is_empty();
        let fits = |layout: &&Vec<usize>| {
            layout.len() == source.width()
                && (!needs_labels || self.targets.iter().all(|(place, _)| layout.contains(place)))
        };
        let mut fitting: Vec<&Vec<usize>> = layouts.iter().filter(fits).collect();
        fitting.dedup();
        if fitting.len() > 1 {
            fitting = vec![self.clearest(source, schema, &fitting)?];
        }
        let Some(layout) = fitting.first() else {
            let labels = schema.columns.len() - without_labels;
            let label = match (needs_labels, labels) {
                (_, 0) => String::new(),
                (true, _) => ", the label among them".to_owned(),
                (false, _) => format!(", or {without_labels} without the label"),
            };
            let expected =
                format!("{} as the model learned{label}", counted(columns.len(), "column"));
            let found = counted(source.width(), "column");
            return Err(Error::format(source.name(), "the columns", expected, found));
        };
        self.place_as(layout);
        Ok(())
    }

    /// Looks for the columns of the schema where this layout has them.
    fn place_as(&mut self, layout: &[usize]) {
        let place_of = |column: usize| layout.iter().position(|&c| c == column);
        for (place, _) in self.features.iter_mut().chain(&mut self.targets) {
            *place = place_of(*place).unwrap_or_default();
        }
        self.constants.retain_mut(|(place, _)| match place_of(*place) {
            Some(found) => {
                *place = found;
                true
            }
            None => false,
        });
    }

    /// Of layouts of the same width, the one that the values fit: either the labels are absent, or the columns that were left out.
    fn clearest<'l>(
        &self,
        source: &dyn Source,
        schema: &Schema,
        layouts: &[&'l Vec<usize>],
    ) -> Result<&'l Vec<usize>> {
        let fits = |layout: &&&Vec<usize>| {
            let mut placed = self.clone();
            placed.constants.clear();
            placed.place_as(layout);
            (0..source.blocks()).all(|block| placed.block(source, block).is_ok())
        };
        let possible: Vec<&Vec<usize>> = layouts.iter().filter(fits).copied().collect();
        // One odd value is an error in the layout that fits best.
        let possible = if possible.is_empty() { layouts.to_vec() } else { possible };
        let found = Counted::new(source, &[], false)?.columns;
        let agree = |layout: &&&Vec<usize>| {
            let pairs = layout.iter().zip(&found);
            pairs.map(|(&c, survey)| (&schema.columns[c], survey)).all(|(c, s)| may_be(c, s))
        };
        let alike: Vec<&Vec<usize>> = possible.iter().filter(agree).copied().collect();
        let has_left_out = |layout: &&&Vec<usize>| {
            let mut pairs = layout.iter().zip(&found);
            pairs.any(|(&column, survey)| is_left_out(&schema.columns[column], survey))
        };
        let with_left_out: Vec<&Vec<usize>> = alike.iter().filter(has_left_out).copied().collect();
        for clear in [possible, alike, with_left_out] {
            if let [one] = clear[..] {
                return Ok(one);
            }
        }
        let numbers = |layout: &[usize]| -> String {
            let numbers: Vec<String> = layout.iter().map(|c| (c + 1).to_string()).collect();
            numbers.join(", ")
        };
        let readings: Vec<String> = layouts.iter().map(|layout| numbers(layout)).collect();
        let expected = format!(
            "columns that are clear: all {} of the training, with anything in place of the label",
            schema.columns.len()
        );
        let found = format!(
            "{}, which may be {} of the training",
            counted(source.width(), "column"),
            readings.join(" or ")
        );
        Err(Error::format(source.name(), "the columns", expected, found))
    }
}

/// Whether values may be those of a column: whole numbers, or others, and the same constant, as in training.
fn may_be(column: &SchemaColumn, survey: &ColumnSurvey) -> bool {
    let whole = survey.are_whole();
    let is_constant = |constant: &String| {
        let is_known =
            |text: &String| without_zero_decimals(text) == without_zero_decimals(constant);
        survey.texts.known.keys().all(is_known)
    };
    (column.whole.is_none() || whole.is_none() || column.whole == whole)
        && column.constant.as_ref().is_none_or(is_constant)
}

/// Whether values surely are those of a column that was left out: numbers of the rows, or the same constant again and again.
fn is_left_out(column: &SchemaColumn, survey: &ColumnSurvey) -> bool {
    const MIN_ROWS: usize = 3;
    let counts = survey.others == 0 && survey.numbers.counts_up;
    column.role == Role::LeftOut
        && survey.present() >= MIN_ROWS
        && (counts || column.constant.is_some() && may_be(column, survey))
}

/// "column 1", "column 2" ...
fn numbered(width: usize) -> Vec<String> {
    (1..=width).map(|number| format!("column {number}")).collect()
}

/// Opens a text file in the dialect of a schema; the options change it.
pub(super) fn open_text(
    path: &Path,
    schema: &Schema,
    options: &TableOptions,
    block_bytes: usize,
) -> Result<TextSource> {
    options.check_for_text(path)?;
    let known = schema.dialect.as_ref();
    let encoding = known.map(|dialect| &*dialect.encoding);
    let file = TextFile::open(path, options.encoding.as_deref(), encoding)?;
    let known_options = TableOptions {
        delimiter: options.delimiter.or(known.map(|dialect| dialect.delimiter)),
        // The usual mark of comments is looked for in each file: in another one it may begin a row.
        comment: options.comment.or(known.and_then(|d| d.comment).filter(|&mark| mark != COMMENT)),
        skip_rows: options.skip_rows,
        missing: known.map_or(Vec::new(), |dialect| dialect.missing.clone()),
        ..TableOptions::default()
    };
    let head = file.head(super::HEAD_BYTES)?;
    let named_rows = known.is_some_and(|dialect| dialect.row_names);
    let dialect =
        dialect::detect(&file.name(), &head, &known_options, (&file.encoding, named_rows))?;
    let mut source = TextSource::new(file, dialect, block_bytes)?;
    if source.dialect.ends_with_delimiter
        && !known.is_some_and(|dialect| dialect.ends_with_delimiter)
        && !schema.has_names()
        && source.width() + 1 == schema.columns.len()
    {
        // The empty column is one of the training, such as the label.
        let dialect = Dialect { ends_with_delimiter: false, ..source.dialect };
        source = TextSource::new(source.file, dialect, block_bytes)?;
    }
    let first = source.first_row()?;
    let has_header = options.header.unwrap_or_else(|| match schema.has_names() {
        true => has_names(schema, &first),
        false => is_text_above_numbers(schema, &first),
    });
    if schema.has_names() && !has_header && options.header.is_none() {
        let names: Vec<String> = schema
            .with_role(Role::Feature)
            .map(|column| schema.columns[column].name.clone())
            .collect();
        let missing: Vec<String> = names.into_iter().filter(|name| !first.contains(name)).collect();
        let delimiter = source.dialect.delimiter;
        return Err(without_names(source.name(), 1, schema, (&first, delimiter), &missing));
    }
    source.set_header(has_header)?;
    if has_header && !schema.has_names() && options.header.is_none() {
        source.notes.push(format!(
            "{}: the first row, {}, is taken for names; the model learned columns without names, so that columns are taken by their places",
            source.name(),
            listed(&first)
        ));
    }
    if source.dialect.row_names && !named_rows {
        source.notes.push(format!(
            "{}: the first field of each row has no name in the header and is taken for a name of the row",
            source.name()
        ));
    }
    Ok(source)
}

/// The error for a first row that lacks names of features.
pub(super) fn without_names(
    file: impl Into<String>,
    line: usize,
    schema: &Schema,
    (first, delimiter): (&[String], Delimiter),
    missing: &[String],
) -> Error {
    let expected = format!(
        "a header with the columns that the model learned, {} among them, separated by {delimiter}",
        listed(missing)
    );
    let text = first.join(&char::from(delimiter.byte()).to_string());
    let has_names_between = |other: &Delimiter| {
        let fields = text.split(char::from(other.byte())).filter(|field| !field.is_empty());
        let names: Vec<String> =
            fields.map(|field| field.trim().trim_matches('"').to_owned()).collect();
        *other != delimiter && has_names(schema, &names)
    };
    let found = match Delimiter::ALL.iter().find(|other| has_names_between(other)) {
        Some(other) => {
            format!("{}, separated by {other}; TableOptions::delimiter says so", listed(first))
        }
        None => listed(first),
    };
    Error::format(file, format!("line {line}"), expected, found)
}

/// Whether the first row names all features.
pub(super) fn has_names(schema: &Schema, first: &[String]) -> bool {
    let nameless =
        |column: &SchemaColumn, place: usize| column.name == format!("column {}", place + 1);
    let mut features = schema.with_role(Role::Feature).map(|place| (place, &schema.columns[place]));
    features.all(|(place, column)| {
        first.contains(&column.name) || nameless(column, place) || column.name.contains(" #")
    })
}

/// Whether the first row has a text where the schema has a number.
fn is_text_above_numbers(schema: &Schema, first: &[String]) -> bool {
    let is_number = |column: &SchemaColumn| matches!(column.column_type, ColumnType::Number(_));
    let is_feature =
        |(column, _): &(&SchemaColumn, &String)| is_number(column) && column.role == Role::Feature;
    let pairs = || schema.columns.iter().zip(first).filter(is_feature);
    // One odd value is an error in a sample, not a name.
    first.len() == schema.columns.len()
        && pairs().next().is_some()
        && pairs().all(|(_, field)| header::is_text(field))
        || first.iter().all(|field| {
            header::is_text(field)
                && plain(field).is_none()
                && DateOrder::YearFirst.parse(field).is_none()
        }) && schema.columns.iter().filter(|c| c.role == Role::Feature).all(is_number)
}

/// The error that a schema of a person names no column to learn.
pub(super) fn check_schema(schema: &Schema, file: &str) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    if let Some(column) = schema.columns.iter().find(|column| !names.insert(&column.name)) {
        let found = format!("{} twice", quoted(&column.name));
        return Err(Error::format(file, "the schema", "a different name for each column", found));
    }
    if schema.with_role(Role::Feature).next().is_none() {
        return Err(Error::format(file, "the schema", "a column with the role feature", "none"));
    }
    let classes = schema.with_role(Role::Class).count();
    if classes > 1 || classes == 1 && schema.with_role(Role::Value).next().is_some() {
        let found = counted(schema.targets().len(), "column") + " that are learned";
        return Err(Error::format(
            file,
            "the schema",
            "one column of classes, or columns of values",
            found,
        ));
    }
    Ok(())
}
