//! What a frozen model takes: a row with a field for each column, or an array of features; and how it becomes the network's input.

use super::Language;
use super::names::{Enumeration, Names, for_comment, literal};
use super::samples;
use super::writer::{Kind, SourceWriter};
use crate::data::{Coding, EncodedColumn, Encoder, Standardization};
use crate::layer::Categories;
use crate::model_file::{LayerDescription, ModelInfo};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// The input of a frozen model.
pub(super) struct Input<'m> {
    pub(super) fields: Vec<Field<'m>>,
    standardization: Option<&'m Standardization>,
    /// Names of the features of a model without columns, where it has some.
    features: &'m [String],
    inputs: usize,
    /// Features of a model without columns that are numbers of categories.
    categories: Vec<Categories>,
    /// Of the features that a program passes.
    kind: Kind,
    /// How pixels become features.
    pixels: Option<&'m str>,
}

/// A column as a field of a row.
pub(super) struct Field<'m> {
    pub(super) column: &'m EncodedColumn,
    pub(super) name: String,
    /// Of a column of texts; the first of its values stands for no category.
    enumeration: Enumeration,
    tables: Tables,
}

/// The names of the tables of a column.
struct Tables {
    texts: String,
    own: String,
    others: String,
    edges: String,
}

impl Field<'_> {
    /// The texts of a column of texts.
    pub(super) fn texts(&self) -> Option<&[String]> {
        texts(self.column)
    }

    /// The value of a text by its number, counted from 1; 0 is no category.
    pub(super) fn value(&self, language: Language, number: usize) -> String {
        match language {
            Language::C => self.enumeration.values[number].clone(),
            Language::Rust => {
                format!("{}::{}", self.enumeration.type_name, self.enumeration.values[number])
            }
        }
    }

    fn describe(&self) -> String {
        let what = match &self.column.coding {
            Coding::Mean(mean) | Coding::Bins { mean, .. } => {
                format!("a number; NaN, where it is missing, becomes {mean}")
            }
            Coding::Categories(texts) | Coding::Codes(texts) => {
                format!("one of {} texts, or unknown", texts.len())
            }
            Coding::Date { .. } => {
                "a date, in seconds since 1970-01-01 00:00:00; NaN where it is missing".to_owned()
            }
        };
        format!("\"{}\": {what}", for_comment(&self.column.name))
    }
}

/// The texts of a column of texts.
fn texts(column: &EncodedColumn) -> Option<&[String]> {
    match &column.coding {
        Coding::Categories(texts) | Coding::Codes(texts) => Some(texts),
        _ => None,
    }
}

/// The scale of a feature: its mean and deviation.
type Scale = (f64, f64);

impl<'m> Input<'m> {
    pub(super) fn of(
        info: &'m ModelInfo,
        layers: &[LayerDescription],
        number: Kind,
        names: &mut Names,
    ) -> Self {
        let inputs = layers[0].inputs;
        let categories = layers.iter().flat_map(|layer| layer.categories.clone()).collect();
        let columns = info.encoder.as_ref().map_or(&[][..], Encoder::columns);
        let titles: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let fields = Names::fields(&titles);
        let enumerations: Vec<Enumeration> = columns
            .iter()
            .zip(&fields)
            .map(|(column, name)| match texts(column) {
                Some(texts) => names.enumeration(name, texts),
                None => Enumeration::default(),
            })
            .collect();
        // Behind the names that programs use, so that a table takes none of them.
        let mut field = |((column, name), enumeration): ((&'m EncodedColumn, String), _)| {
            let mut table = |of: &str| names.table(&format!("{name}_{of}"));
            let (texts, own) = (table("texts"), table("own"));
            let (others, edges) = (table("others"), table("edges"));
            let tables = Tables { texts, own, others, edges };
            Field { column, name, enumeration, tables }
        };
        let fields = columns.iter().zip(fields).zip(enumerations).map(&mut field).collect();
        let standardization = info.standardization.as_ref();
        let kind = if standardization.is_some() { Kind::Double } else { number };
        let (features, pixels) = (&*info.features, info.pixels());
        Input { fields, standardization, features, inputs, categories, kind, pixels }
    }

    fn has_row(&self) -> bool {
        !self.fields.is_empty()
    }

    fn bound(&self) -> Option<f64> {
        self.standardization.and_then(|scale| scale.bound)
    }

    fn scale(&self, feature: usize) -> Option<Scale> {
        let scale = self.standardization?;
        let is_scaled = scale.unscaled.binary_search(&feature).is_err();
        is_scaled.then(|| (scale.mean[feature], scale.deviation[feature]))
    }

    /// Whether angles of dates are computed.
    pub(super) fn has_cycles(&self) -> bool {
        let has = |column: &EncodedColumn| matches!(&column.coding, Coding::Date { cycles, .. } if !cycles.is_empty());
        self.fields.iter().any(|field| has(field.column))
    }

    /// Whether square roots are computed.
    pub(super) fn has_bound(&self) -> bool {
        self.bound().is_some()
    }

    /// The types of rows.
    pub(super) fn declare(&self, writer: &mut SourceWriter) {
        if !self.has_row() {
            return;
        }
        match writer.language {
            Language::C => self.declare_in_c(writer),
            Language::Rust => self.declare_in_rust(writer),
        }
    }

    fn declare_in_c(&self, writer: &mut SourceWriter) {
        let has_texts = self.fields.iter().any(|field| field.texts().is_some());
        for field in self.fields.iter().filter(|field| field.texts().is_some()) {
            writer.declaration(&format!("enum {} {{", field.enumeration.type_name));
            writer.declaration(&format!("    {} = 0,", field.enumeration.values[0]));
            for (number, text) in (1..).zip(field.texts().unwrap_or_default()) {
                let name = &field.enumeration.values[number];
                writer.declaration(&format!("    {name} = {number}, /* {} */", for_comment(text)));
            }
            writer.declaration("};\n");
        }
        writer.declaration(&format!("struct {} {{", writer.name("row")));
        for field in &self.fields {
            let of = match field.texts() {
                Some(_) => format!("enum {}", field.enumeration.type_name),
                None => "double".to_owned(),
            };
            writer.declaration(&format!("    {of} {}; /* {} */", field.name, field.describe()));
        }
        writer.declaration("};\n");
        if has_texts {
            let same = writer.name("same");
            writer.raw(&format!(
                "\nstatic int {same}(const char *a, const char *b)\n{{\n    while (*a != 0 && *a == *b) {{\n        a++;\n        b++;\n    }}\n    return *a == *b;\n}}\n"
            ));
        }
        for field in &self.fields {
            let Some(texts) = field.texts() else { continue };
            let (of, count) = (&field.enumeration.type_name, texts.len());
            let table = &field.tables.texts;
            writer.raw(&format!("\nstatic const char *const {table}[{count}] = {{\n"));
            for text in texts {
                writer.raw(&format!("    {},\n", literal(Language::C, text)));
            }
            writer.raw("};\n");
            let head = format!("enum {of} {of}_of(const char *text)");
            writer.declaration(&format!(
                "/* The value of a text as the training data wrote it; {} for any other. */\n{head};",
                field.enumeration.values[0]
            ));
            let same = writer.name("same");
            writer.raw(&format!(
                "\n{head}\n{{\n    for (int i = 0; i < {count}; i++) {{\n        if ({same}(text, {table}[i])) {{\n            return (enum {of})(i + 1);\n        }}\n    }}\n    return {};\n}}\n",
                field.enumeration.values[0]
            ));
        }
    }

    fn declare_in_rust(&self, writer: &mut SourceWriter) {
        for field in &self.fields {
            let Some(texts) = field.texts() else { continue };
            let of = &field.enumeration.type_name;
            writer.raw(&format!(
                "\n/// Values of \"{}\".\n#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum {of} {{\n",
                for_comment(&field.column.name)
            ));
            writer.raw(&format!(
                "    /// Missing, or a text that was not in the training data.\n    {} = 0,\n",
                field.enumeration.values[0]
            ));
            for (name, text) in field.enumeration.values[1..].iter().zip(texts) {
                writer.raw(&format!("    /// {}\n    {name},\n", for_comment(text)));
            }
            writer.raw("}\n");
            writer.raw(&format!(
                "\nimpl {of} {{\n    /// The value of a text as the training data wrote it.\n    pub fn of(text: &str) -> Self {{\n        match text {{\n"
            ));
            for (name, text) in field.enumeration.values[1..].iter().zip(texts) {
                writer.raw(&format!(
                    "            {} => {of}::{name},\n",
                    literal(Language::Rust, text)
                ));
            }
            writer.raw(&format!(
                "            _ => {of}::{},\n        }}\n    }}\n}}\n",
                field.enumeration.values[0]
            ));
        }
        writer.raw("\n/// A sample.\n#[derive(Clone, Copy, Debug, PartialEq)]\npub struct Row {\n");
        for field in &self.fields {
            let of = if field.texts().is_some() { &field.enumeration.type_name } else { "f64" };
            writer.raw(&format!("    /// {}\n    pub {}: {of},\n", field.describe(), field.name));
        }
        writer.raw("}\n");
    }

    /// The tables and functions that [`Input::encode`] uses.
    pub(super) fn encoder(&self, writer: &mut SourceWriter) {
        if !self.has_row() {
            if let Some(scale) = self.standardization {
                let [mean, deviation] = ["mean", "deviation"].map(|of| writer.constant_name(of));
                writer.table(&mean, Kind::Double, &scale.mean);
                writer.table(&deviation, Kind::Double, &scale.deviation);
            }
            return;
        }
        let mut first = 0;
        for field in &self.fields {
            let features = first..first + field.column.features();
            first = features.end;
            match &field.column.coding {
                Coding::Bins { edges, .. } => {
                    writer.table(&field.tables.edges, Kind::Double, edges);
                }
                Coding::Categories(_) if features.clone().any(|i| self.scale(i).is_some()) => {
                    let scaled = |x: f64| {
                        let of = |i| self.standardization.map_or(x, |scale| scale.scaled(i, x));
                        features.clone().map(of).collect::<Vec<f64>>()
                    };
                    let number = writer.number;
                    writer.table(&field.tables.others, number, &scaled(0.0));
                    writer.table(&field.tables.own, number, &scaled(1.0));
                }
                _ => {}
            }
        }
    }

    /// The parameter of the function that predicts.
    pub(super) fn parameter(&self, writer: &SourceWriter) -> String {
        let (of, inputs) = (writer.type_name(self.kind), self.inputs);
        match (writer.language, self.has_row()) {
            (Language::C, true) => format!("const struct {} *row", writer.name("row")),
            (Language::C, false) => format!("const {of} features[{inputs}]"),
            (Language::Rust, true) => "row: &Row".to_owned(),
            (Language::Rust, false) => format!("features: &[{of}; {inputs}]"),
        }
    }

    /// Writes the network's input into the array `x`, which is declared here if its name is x.
    pub(super) fn encode(&self, writer: &mut SourceWriter, x: &str, inputs: usize) {
        if x == "x" {
            let number = writer.number;
            writer.zeros("x", number, inputs);
        }
        if !self.has_row() {
            return self.encode_features(writer, x, inputs);
        }
        let mut feature = 0;
        for field in &self.fields {
            self.encode_field(writer, field, x, feature);
            feature += field.column.features();
        }
    }

    fn encode_features(&self, writer: &mut SourceWriter, x: &str, inputs: usize) {
        let Some(scale) = self.standardization else {
            return writer.for_each("i", inputs, &[&format!("{x}[i] = features[i];")]);
        };
        let (mean, deviation) = (writer.constant_name("mean"), writer.constant_name("deviation"));
        let scaled = format!("(features[i] - {mean}[i]) / {deviation}[i]");
        let scaled = self.bounded(writer, &scaled);
        let scaled = narrowed(writer, &scaled);
        writer.for_each("i", inputs, &[&format!("{x}[i] = {scaled};")]);
        for i in &scale.unscaled {
            let own = narrowed(writer, &format!("features[{i}]"));
            writer.line(&format!("{x}[{i}] = {own};"));
        }
    }

    fn encode_field(&self, writer: &mut SourceWriter, field: &Field<'_>, x: &str, feature: usize) {
        let access = if writer.is_c() { "row->" } else { "row." };
        let value = format!("{access}{}", field.name);
        match &field.column.coding {
            Coding::Mean(mean) => {
                let known = self.known(writer, &value, *mean);
                let scaled = self.scaled(writer, feature, &known);
                writer.line(&format!("{x}[{feature}] = {scaled};"));
            }
            Coding::Codes(_) => {
                let code = match writer.language {
                    Language::C => value,
                    Language::Rust => format!("({value} as usize)"),
                };
                let code = writer.cast(Kind::Double, &code);
                let scaled = self.scaled(writer, feature, &format!("({code})"));
                writer.line(&format!("{x}[{feature}] = {scaled};"));
            }
            Coding::Categories(texts) => {
                let code = format!("{}_code", field.name);
                let index = if writer.is_c() {
                    format!("(int){value}")
                } else {
                    format!("{value} as usize")
                };
                writer.index(&code, &index);
                let (others, own) = match self.scale(feature) {
                    None => {
                        (writer.literal(writer.number, 0.0), writer.literal(writer.number, 1.0))
                    }
                    Some(_) => {
                        (format!("{}[i]", field.tables.others), format!("{}[i]", field.tables.own))
                    }
                };
                let chosen = writer.choice(&format!("i + 1 == {code}"), &own, &others);
                writer.for_each("i", texts.len(), &[&format!("{x}[{feature} + i] = {chosen};")]);
            }
            Coding::Bins { mean, edges } => {
                let known = self.known(writer, &value, *mean);
                let (number, bins) = (format!("{}_number", field.name), edges.len() - 1);
                writer.variable(&number, Kind::Double, &known, false);
                let edges = &field.tables.edges;
                writer.begin_for("i", bins);
                let share = format!("({number} - {edges}[i]) / ({edges}[i + 1] - {edges}[i])");
                writer.variable("share", Kind::Double, &share, true);
                for (condition, end) in [
                    ("i > 0 && share < 0.0".to_owned(), "share = 0.0;"),
                    (format!("i + 1 < {bins} && share > 1.0"), "share = 1.0;"),
                ] {
                    writer.begin_if(&condition);
                    writer.line(end);
                    writer.end();
                }
                let share = narrowed(writer, "share");
                writer.line(&format!("{x}[{feature} + i] = {share};"));
                writer.end();
            }
            Coding::Date { mean, cycles } => {
                let days = format!("{}_days", field.name);
                writer.variable(&days, Kind::Double, &format!("{value} / {DAY:?}"), false);
                let known = self.known(writer, &days, *mean);
                let scaled = self.scaled(writer, feature, &known);
                writer.line(&format!("{x}[{feature}] = {scaled};"));
                for (place, cycle) in cycles.iter().enumerate() {
                    for (wave, function) in ["sin_turns", "cos_turns"].into_iter().enumerate() {
                        let feature = feature + 1 + 2 * place + wave;
                        let turns = format!("{days} / {:?}", cycle.days());
                        let of = format!("{}({turns})", writer.name(function));
                        let known = writer.choice(&format!("{days} == {days}"), &of, "0.0");
                        let scaled = self.scaled(writer, feature, &format!("({known})"));
                        writer.line(&format!("{x}[{feature}] = {scaled};"));
                    }
                }
            }
        }
    }

    /// A number, or this where it is missing.
    fn known(&self, writer: &SourceWriter, value: &str, missing: f64) -> String {
        // NaN alone is no number equal to itself.
        let missing = writer.literal(Kind::Double, missing);
        format!("({})", writer.choice(&format!("{value} == {value}"), value, &missing))
    }

    /// A double as a feature on the network's scale.
    fn scaled(&self, writer: &SourceWriter, feature: usize, x: &str) -> String {
        let Some((mean, deviation)) = self.scale(feature) else { return narrowed(writer, x) };
        let [mean, deviation] = [mean, deviation].map(|x| writer.literal(Kind::Double, x));
        let y = self.bounded(writer, &format!("({x} - ({mean})) / {deviation}"));
        narrowed(writer, &y)
    }

    fn bounded(&self, writer: &SourceWriter, y: &str) -> String {
        match self.bound() {
            Some(bound) => {
                let bound = writer.literal(Kind::Double, bound);
                format!("{}({y}, {bound})", writer.name("bounded"))
            }
            None => format!("({y})"),
        }
    }

    /// What a program passes.
    pub(super) fn describe(&self) -> Vec<String> {
        let mut lines = if self.has_row() {
            vec![format!(
                "Input: a row of {} columns; its type says what they are.",
                self.fields.len()
            )]
        } else {
            self.describe_features()
        };
        lines.extend(self.pixels.map(|pixels| format!("Pixels: {}", for_comment(pixels))));
        lines.push(self.describe_limits());
        lines
    }

    fn describe_features(&self) -> Vec<String> {
        let names = self.features.iter().map(|name| for_comment(name)).collect::<Vec<_>>();
        let end = if names.is_empty() { "." } else { ":" };
        let mut lines = vec![format!("Input: {} numbers{end}", self.inputs)];
        lines.extend(names.chunks(6).map(|some| format!("  {}", some.join(", "))));
        lines
    }

    /// What becomes of numbers that the library refuses.
    fn describe_limits(&self) -> String {
        let what = match self.bound() {
            Some(_) => {
                "Infinite numbers are not refused: they count as the largest ones, which the scale bounds."
            }
            None => {
                "Numbers that are infinite or so large that sums overflow are not refused: check them, or the answers."
            }
        };
        what.to_owned()
    }

    /// One of the samples of a self-test as a constant.
    pub(super) fn sample(&self, writer: &SourceWriter, number: usize) -> String {
        let double = |x: f64| writer.literal(Kind::Double, x);
        if !self.has_row() {
            let features: Vec<String> =
                samples::features(self.standardization, self.inputs, &self.categories, number)
                    .into_iter()
                    .map(|x| writer.literal(self.kind, x))
                    .collect();
            return features.join(", ");
        }
        let values = self.fields.iter().map(|field| {
            let value = match samples::sample_of(field.column, number) {
                samples::Value::Number(x) => double(x),
                samples::Value::Text(code) => field.value(writer.language, code),
            };
            if writer.is_c() { value } else { format!("{}: {value}", field.name) }
        });
        values.collect::<Vec<_>>().join(", ")
    }

    /// The type of a sample of a self-test, and its number of values where it is an array.
    pub(super) fn sample_type(&self, writer: &SourceWriter) -> (String, Option<usize>) {
        match self.has_row() {
            true if writer.is_c() => (format!("struct {}", writer.name("row")), None),
            true => ("Row".to_owned(), None),
            false => (writer.type_name(self.kind).to_owned(), Some(self.inputs)),
        }
    }
}

/// A double as the network's number.
fn narrowed(writer: &SourceWriter, x: &str) -> String {
    writer.converted(Kind::Double, writer.number, x)
}
