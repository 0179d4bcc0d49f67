//! Tables in memory: columns of numbers, dates and texts, with missing values.

use std::collections::HashMap;

use super::split::check_chosen;
use super::text::MISSING;
use super::{Dataset, Targets};
use crate::{Error, Result, Scalar};

/// Samples as a table: columns of numbers, dates and texts, with missing values, as [`Table::read`](super::Table::read) returns them. An
/// [`Encoder`](super::Encoder) makes a [`Dataset`] of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub(super) samples: usize,
    pub(super) columns: Vec<Column>,
    pub(super) targets: Targets,
    pub(super) target_name: Option<String>,
    /// Whether the names of columns come from a header.
    pub(super) named: bool,
    pub(super) ids: Option<Vec<String>>,
    pub(super) unlabeled: usize,
    /// Columns that were constant in training and are left out: where they are not.
    pub(super) changed: Vec<Unknown>,
}

/// Values of a column that an encoder was not fitted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The column's name.
    pub column: String,
    /// In how many samples.
    pub samples: usize,
    /// The first of them.
    pub example: String,
}

/// A column of a [`Frame`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name, or "column N" where the table has none.
    pub name: String,
    /// One for each sample.
    pub values: Values,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers; NaN is a missing value.
    Numbers(Vec<f64>),
    /// Seconds since 1970-01-01 in UTC; NaN is a missing value.
    Dates(Vec<f64>),
    /// Texts: for each sample the index of its text in `names`, or [`MISSING`](super::MISSING).
    Texts {
        /// One for each sample.
        codes: Vec<u32>,
        /// The texts, all different.
        names: Vec<String>,
    },
}

/// Samples of a frame, chosen by their numbers: all, or some in any order.
#[derive(Clone, Copy, Debug)]
pub struct FrameRows<'f> {
    pub(super) frame: &'f Frame,
    chosen: Option<&'f [usize]>,
}

impl<'f> From<&'f Frame> for FrameRows<'f> {
    fn from(frame: &'f Frame) -> Self {
        FrameRows { frame, chosen: None }
    }
}

impl FrameRows<'_> {
    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.chosen.map_or(self.frame.samples, <[usize]>::len)
    }

    /// The number of the `i`-th sample in the frame.
    pub(super) fn number(&self, i: usize) -> usize {
        self.chosen.map_or(i, |chosen| chosen[i])
    }

    /// The numbers of the samples in the frame.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        (0..self.samples()).map(|i| self.number(i))
    }

    /// The targets of these samples.
    pub fn targets(&self) -> Targets {
        match self.chosen {
            None => self.frame.targets.clone(),
            Some(chosen) => self.frame.targets.select(chosen),
        }
    }
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::Numbers(values) | Values::Dates(values) => values.len(),
            Values::Texts { codes, .. } => codes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What cannot be a value of a column.
    fn fault(&self) -> Option<String> {
        match self {
            Values::Numbers(values) | Values::Dates(values) => {
                let row = values.iter().position(|x| x.is_infinite())?;
                Some(format!("{} in row {}, counted from 0", values[row], row))
            }
            Values::Texts { codes, names } => {
                let row = codes.iter().position(|c| *c != MISSING && *c as usize >= names.len())?;
                Some(format!("code {} in row {row}, but {} texts", codes[row], names.len()))
            }
        }
    }

    pub(super) fn select(&self, chosen: &[usize]) -> Self {
        let select = |values: &[f64]| chosen.iter().map(|&i| values[i]).collect();
        match self {
            Values::Numbers(values) => Values::Numbers(select(values)),
            Values::Dates(values) => Values::Dates(select(values)),
            Values::Texts { codes, names } => Values::Texts {
                codes: chosen.iter().map(|&i| codes[i]).collect(),
                names: names.clone(),
            },
        }
    }

    /// Appends the values of the same column further down.
    fn append(&mut self, below: Values, known: &mut HashMap<String, u32>) {
        match (self, below) {
            (Values::Numbers(all), Values::Numbers(more))
            | (Values::Dates(all), Values::Dates(more)) => {
                all.extend(more);
            }
            (Values::Texts { codes, names }, Values::Texts { codes: more, names: texts }) => {
                append_codes((codes, names), (more, texts), known);
            }
            // A column has one type in all blocks.
            _ => {}
        }
    }
}

/// Appends codes whose texts have other numbers here.
fn append_codes(
    (codes, names): (&mut Vec<u32>, &mut Vec<String>),
    (more, texts): (Vec<u32>, Vec<String>),
    known: &mut HashMap<String, u32>,
) {
    let mut number = |text: String| match known.get(&text) {
        Some(&code) => code,
        None => {
            let code = names.len() as u32;
            names.push(text.clone());
            known.insert(text, code);
            code
        }
    };
    let numbers: Vec<u32> = texts.into_iter().map(&mut number).collect();
    codes.extend(
        more.into_iter().map(|code| if code == MISSING { code } else { numbers[code as usize] }),
    );
}

/// Blocks of one table, put together in their order.
pub(super) struct FrameBuilder {
    frame: Option<Frame>,
    /// For each column of texts, and last for the classes, the number of each text.
    known: Vec<HashMap<String, u32>>,
    rows: usize,
}

impl FrameBuilder {
    /// `rows`: how many there will be.
    pub(super) fn new(rows: usize) -> Self {
        FrameBuilder { frame: None, known: Vec::new(), rows }
    }

    pub(super) fn append(&mut self, below: Frame) {
        let Some(frame) = &mut self.frame else {
            self.known = numbers_of_texts(&below);
            let mut first = below;
            first.columns.iter_mut().for_each(|column| column.values.reserve(self.rows));
            self.frame = Some(first);
            return;
        };
        frame.samples += below.samples;
        frame.unlabeled += below.unlabeled;
        for more in below.changed {
            match frame.changed.iter_mut().find(|changed| changed.column == more.column) {
                Some(changed) => changed.samples += more.samples,
                None => frame.changed.push(more),
            }
        }
        let columns = frame.columns.iter_mut().zip(below.columns);
        for ((column, more), known) in columns.zip(&mut self.known) {
            column.values.append(more.values, known);
        }
        frame.ids.iter_mut().zip(below.ids).for_each(|(ids, more)| ids.extend(more));
        match (&mut frame.targets, below.targets) {
            (
                Targets::Classes { labels, names },
                Targets::Classes { labels: more, names: texts },
            ) => {
                let known = &mut self.known[frame.columns.len()];
                append_codes((labels, names), (more, texts), known);
            }
            (Targets::Values { values, .. }, Targets::Values { values: more, .. }) => {
                values.extend(more)
            }
            _ => {}
        }
    }

    /// The whole table; `None` without blocks. `sorted`: classes come in the order of their names.
    pub(super) fn finish(self, sorted: bool) -> Option<Frame> {
        let mut frame = self.frame?;
        if let (true, Targets::Classes { labels, names }) = (sorted, &mut frame.targets) {
            sort_classes(labels, names);
        }
        Some(frame)
    }
}

fn numbers_of_texts(frame: &Frame) -> Vec<HashMap<String, u32>> {
    let numbers = |names: &[String]| names.iter().cloned().zip(0..).collect();
    let mut known: Vec<HashMap<String, u32>> = frame
        .columns
        .iter()
        .map(|column| match &column.values {
            Values::Texts { names, .. } => numbers(names),
            _ => HashMap::new(),
        })
        .collect();
    known.push(match &frame.targets {
        Targets::Classes { names, .. } => numbers(names),
        _ => HashMap::new(),
    });
    known
}

impl Values {
    fn reserve(&mut self, rows: usize) {
        match self {
            Values::Numbers(values) | Values::Dates(values) => {
                values.reserve_exact(rows.saturating_sub(values.len()))
            }
            Values::Texts { codes, .. } => codes.reserve_exact(rows.saturating_sub(codes.len())),
        }
    }
}

/// Sorts classes by their numbers, if all are numbers, else by their names.
pub(super) fn sort_classes(labels: &mut [u32], names: &mut Vec<String>) {
    let value = |name: &str| name.parse::<f64>().ok();
    let numeric = names.iter().all(|name| value(name).is_some());
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&names[a as usize], &names[b as usize]);
        let by_value = || value(a).unwrap_or_default().total_cmp(&value(b).unwrap_or_default());
        if numeric { by_value().then_with(|| a.cmp(b)) } else { a.cmp(b) }
    });
    let mut place = vec![0; names.len()];
    (0..).zip(&order).for_each(|(new, &old)| place[old as usize] = new);
    labels.iter_mut().for_each(|label| *label = place[*label as usize]);
    *names = order.iter().map(|&old| names[old as usize].clone()).collect();
}

impl Frame {
    /// A table from columns in memory, as [`Table::read`](super::Table::read) makes one of a file. Without targets
    /// ([`Targets::None`]) it is for predictions.
    ///
    /// ```
    /// use travertine::data::{Column, Frame, MISSING, Targets, Values};
    /// let age = Column { name: "age".into(), values: Values::Numbers(vec![31.0, f64::NAN]) };
    /// let towns = Values::Texts { codes: vec![0, MISSING], names: vec!["Rome".into()] };
    /// let town = Column { name: "town".into(), values: towns };
    /// assert_eq!(Frame::new(vec![age, town], Targets::None)?.samples(), 2);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// No columns or no rows; columns or targets with different numbers of values; two columns of one name; a code without a text; an
    /// infinite number.
    pub fn new(columns: Vec<Column>, targets: Targets) -> Result<Self> {
        let refused = |reason: String| Err(Error::argument("Frame::new", reason));
        let samples = columns.first().map_or(0, |first| first.values.len());
        if samples == 0 {
            return refused(
                "there are no values; a frame has at least one column and one row".to_owned(),
            );
        }
        let mut names = std::collections::HashSet::new();
        for Column { name, values } in &columns {
            if values.len() != samples {
                let (own, first) = (values.len(), &columns[0].name);
                return refused(format!(
                    "column '{name}' has {own} values, but '{first}' has {samples}"
                ));
            }
            if !names.insert(name) {
                return refused(format!("two columns are named '{name}'"));
            }
            if let Some(fault) = values.fault() {
                return refused(format!("column '{name}' has {fault}"));
            }
        }
        let found = match &targets {
            Targets::Classes { labels, .. } => labels.len(),
            Targets::Values { values, names } => values.len() / names.len().max(1),
            Targets::None => samples,
        };
        if found != samples {
            return refused(format!("{found} targets for {samples} samples"));
        }
        let (named, target_name) = (true, None);
        Ok(Frame {
            samples,
            columns,
            targets,
            target_name,
            named,
            ids: None,
            unlabeled: 0,
            changed: Vec::new(),
        })
    }

    /// Number of samples, at least 1.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The columns to learn from.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What is learned.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The name of the target, where there is one and it has a name.
    pub fn target_name(&self) -> Option<&str> {
        self.target_name.as_deref()
    }

    /// The texts of a column that is carried along, one for each sample.
    pub fn ids(&self) -> Option<&[String]> {
        self.ids.as_deref()
    }

    /// Rows that were left out because they have no label.
    pub fn unlabeled(&self) -> usize {
        self.unlabeled
    }

    /// The samples of these numbers, in this order, without a copy.
    ///
    /// # Errors
    /// No samples, or one that does not exist.
    pub fn rows<'f>(&'f self, chosen: &'f [usize]) -> Result<FrameRows<'f>> {
        check_chosen("Frame::rows", chosen, self.samples)?;
        Ok(FrameRows { frame: self, chosen: Some(chosen) })
    }

    /// The samples of these numbers, in this order.
    ///
    /// # Errors
    /// No samples, or one that does not exist.
    pub fn select(&self, chosen: &[usize]) -> Result<Self> {
        check_chosen("Frame::select", chosen, self.samples)?;
        let column = |column: &Column| Column {
            name: column.name.clone(),
            values: column.values.select(chosen),
        };
        Ok(Frame {
            samples: chosen.len(),
            columns: self.columns.iter().map(column).collect(),
            targets: self.targets.select(chosen),
            target_name: self.target_name.clone(),
            named: self.named,
            ids: self.ids.as_ref().map(|ids| chosen.iter().map(|&i| ids[i].clone()).collect()),
            unlabeled: self.unlabeled,
            changed: self.changed.clone(),
        })
    }

    /// Whether every column has numbers and no value is missing, so that no encoder is needed.
    pub fn is_complete(&self) -> bool {
        let complete = |column: &Column| match &column.values {
            Values::Numbers(numbers) => numbers.iter().all(|x| x.is_finite()),
            _ => false,
        };
        self.columns.iter().all(complete)
    }

    /// The numbers, unchanged but for their precision.
    ///
    /// # Errors
    /// A column of texts or dates, or one with missing values; a number that `T` cannot hold.
    pub fn into_dataset<T: Scalar>(self) -> Result<Dataset<T>> {
        let mut numbers = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            match &column.values {
                Values::Numbers(values) if values.iter().all(|x| x.is_finite()) => {
                    numbers.push(&values[..])
                }
                _ => {
                    let reason = format!(
                        "column '{}' has texts, dates or missing values; fit an Encoder",
                        column.name
                    );
                    return Err(Error::argument("Frame::into_dataset", reason));
                }
            }
        }
        let rows = (0..self.samples).flat_map(|i| numbers.iter().map(move |column| column[i]));
        let features = rows.map(T::from_f64).collect();
        let names = if self.named {
            self.columns.iter().map(|column| column.name.clone()).collect()
        } else {
            Vec::new()
        };
        dataset((&self).into(), self.columns.len(), features, names)
    }
}

/// A data set of these features with the targets of `rows`.
pub(super) fn dataset<T: Scalar>(
    rows: FrameRows<'_>,
    inputs: usize,
    features: Vec<T>,
    names: Vec<String>,
) -> Result<Dataset<T>> {
    let data = Dataset::new(inputs, features, rows.targets())?.with_feature_names(names)?;
    Ok(match &rows.frame.target_name {
        Some(name) => data.with_target_name(name),
        None => data,
    })
}
