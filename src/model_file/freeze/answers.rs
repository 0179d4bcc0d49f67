//! What a frozen model answers: a score for each class, or values in the units of the data.

use super::Language;
use super::names::{for_comment, literal};
use super::writer::{Kind, SourceWriter};
use crate::activation::Activation;
use crate::data::TargetScale;
use crate::layer::LayerKind;
use crate::model_file::{Decoding, LayerDescription, ModelInfo};

/// The answer of a frozen model.
pub(super) struct Answer<'m> {
    pub(super) kind: Kind,
    pub(super) width: usize,
    number: Kind,
    classes: &'m [String],
    decoding: Decoding,
    scale: Option<&'m TargetScale>,
    has_quantiles: bool,
}

impl<'m> Answer<'m> {
    pub(super) fn of(info: &'m ModelInfo, layers: &[LayerDescription], number: Kind) -> Self {
        let (outputs, last) = match layers.last() {
            Some(last) if last.kind == LayerKind::Parametric => {
                (last.outputs, Activation::Identity)
            }
            Some(last) => (last.outputs, last.activation),
            None => (0, Activation::Identity),
        };
        let classes = &info.classes;
        let decoding = Decoding::of(last, info.loss);
        let is_decoded = matches!(decoding, Decoding::Softmax | Decoding::Sigmoid);
        let is_double = if classes.is_empty() { info.target_scale.is_some() } else { is_decoded };
        Answer {
            kind: if is_double { Kind::Double } else { number },
            width: if classes.is_empty() { outputs } else { classes.len() },
            number,
            classes,
            decoding,
            scale: info.target_scale.as_ref().filter(|_| classes.is_empty()),
            has_quantiles: classes.is_empty() && info.loss.quantiles().is_some(),
        }
    }

    /// Whether answers take an exponential function of doubles.
    pub(super) fn has_exp(&self) -> bool {
        !self.classes.is_empty()
            && self.kind == Kind::Double
            && self.decoding != Decoding::Probabilities
            && self.decoding != Decoding::Plain
    }

    /// The names of the classes.
    pub(super) fn declare(&self, writer: &mut SourceWriter) {
        if self.classes.is_empty() {
            return;
        }
        let (name, count) = (writer.constant_name("classes"), self.classes.len());
        let literals = self.classes.iter().map(|class| literal(writer.language, class));
        let literals: String = literals.map(|class| format!("    {class},\n")).collect();
        match writer.language {
            Language::C => {
                let head = format!("const char *const {name}[{count}]");
                writer.declaration(&format!("extern {head};"));
                writer.raw(&format!("\n{head} = {{\n{literals}}};\n"));
            }
            Language::Rust => writer.raw(&format!(
                "\n/// The classes, in the order of the answers.\npub const {name}: [&str; {count}] = [\n{literals}];\n"
            )),
        }
    }

    /// Writes `answers` from the array `x` of so many outputs of the network.
    pub(super) fn compute(&self, writer: &mut SourceWriter, x: &str, outputs: usize) {
        let kind = self.kind;
        let own = |writer: &SourceWriter, i: &str| {
            writer.converted(self.number, kind, &format!("{x}[{i}]"))
        };
        if self.classes.is_empty() {
            return self.values(writer, x, outputs);
        }
        // One output is the score of the second of two classes.
        let is_single = outputs == 1 && self.width == 2;
        let first = if is_single { 1 } else { 0 };
        let place = if is_single { "1".to_owned() } else { "i".to_owned() };
        writer.begin_for("i", outputs);
        let value = own(writer, "i");
        let value = match self.decoding {
            Decoding::Sigmoid => format!("1.0 / (1.0 + exp(-({value})))"),
            _ => value,
        };
        writer.line(&format!("answers[{place}] = {value};"));
        writer.end();
        if self.decoding == Decoding::Softmax {
            softmax(writer, "answers", kind, first, outputs);
        }
        if is_single {
            let one = writer.literal(kind, 1.0);
            writer.line(&format!("answers[0] = {one} - answers[1];"));
        }
    }

    fn values(&self, writer: &mut SourceWriter, x: &str, outputs: usize) {
        let Some(scale) = self.scale else {
            writer.for_each("i", outputs, &[&format!("answers[i] = {x}[i];")]);
            return self.sort(writer);
        };
        for i in 0..outputs {
            let own = writer.converted(self.number, Kind::Double, &format!("{x}[{i}]"));
            let [mean, deviation] =
                [scale.mean()[i], scale.deviation()[i]].map(|x| writer.literal(Kind::Double, x));
            writer.line(&format!("answers[{i}] = {mean} + {deviation} * ({own});"));
            let Some(bounds) = scale.bounds() else { continue };
            for (sign, bound) in ["<", ">"].into_iter().zip(bounds[i]) {
                let bound = writer.literal(Kind::Double, bound);
                writer.begin_if(&format!("answers[{i}] {sign} {bound}"));
                writer.line(&format!("answers[{i}] = {bound};"));
                writer.end();
            }
        }
        self.sort(writer);
    }

    /// Quantiles ascend.
    fn sort(&self, writer: &mut SourceWriter) {
        if !self.has_quantiles || self.width < 2 {
            return;
        }
        writer.begin_for("pass", self.width - 1);
        writer.begin_for("i", self.width - 1);
        writer.begin_if("answers[i] > answers[i + 1]");
        writer.variable("greater", self.kind, "answers[i]", false);
        writer.line("answers[i] = answers[i + 1];");
        writer.line("answers[i + 1] = greater;");
        writer.end();
        writer.end();
        writer.line(if writer.is_c() { "(void)pass;" } else { "let _ = pass;" });
        writer.end();
    }

    /// The function that finds the class with the greatest score.
    pub(super) fn class_function(&self, writer: &mut SourceWriter) {
        if self.classes.is_empty() {
            return;
        }
        let (of, width, function) = (writer.type_name(self.kind), self.width, writer.name("class"));
        match writer.language {
            Language::C => {
                let head = format!("int {function}(const {of} answers[{width}])");
                writer.declaration(&format!("{head};"));
                writer.raw(&format!(
                    "\n/* The number of the class with the highest score; -1 where a score is infinite or not a number. */\n{head}\n{{\n    int best = 0;\n    for (int i = 0; i < {width}; i++) {{\n        if (!isfinite(answers[i])) {{\n            return -1;\n        }}\n        best = answers[i] > answers[best] ? i : best;\n    }}\n    return best;\n}}\n"
                ));
            }
            Language::Rust => writer.raw(&format!(
                "\n/// The number of the class with the highest score; `None` where a score is infinite or not a number.\npub fn {function}(answers: &[{of}; {width}]) -> Option<usize> {{\n    let mut best = 0;\n    for i in 0..{width} {{\n        if !answers[i].is_finite() {{\n            return None;\n        }}\n        best = if answers[i] > answers[best] {{ i }} else {{ best }};\n    }}\n    Some(best)\n}}\n"
            )),
        }
    }

    pub(super) fn describe(&self, info: &ModelInfo) -> Vec<String> {
        if self.classes.is_empty() {
            let target = info
                .target
                .as_deref()
                .map_or(String::new(), |name| format!(" of \"{}\"", for_comment(name)));
            let what = match info.loss.quantiles() {
                Some(quantiles) => format!("the quantiles {:?}", quantiles.levels()),
                None => format!("{} value{}", self.width, if self.width == 1 { "" } else { "s" }),
            };
            return vec![
                format!("Answers: {what}{target}, in the units of the training data."),
                "An answer that is infinite or not a number is none.".to_owned(),
            ];
        }
        let what = match self.decoding {
            Decoding::Plain => "a score, no probability,",
            _ => "the probability",
        };
        vec![
            format!("Answers: {what} of each of {} classes.", self.width),
            "Where one is infinite or not a number, there is no answer, and no class.".to_owned(),
        ]
    }
}

/// `exp(x_i) / sum exp(x)` of `count` numbers of an array from `first` on.
pub(super) fn softmax(writer: &mut SourceWriter, x: &str, kind: Kind, first: usize, count: usize) {
    let at = if first == 0 { format!("{x}[i]") } else { format!("{x}[{first} + i]") };
    softmax_at(writer, &at, &format!("{x}[{first}]"), kind, count);
}

/// The same of elements that an expression of i names; `one`: any of them.
pub(super) fn softmax_at(writer: &mut SourceWriter, at: &str, one: &str, kind: Kind, count: usize) {
    writer.variable("greatest", kind, one, true);
    let greater = writer.choice(&format!("{at} > greatest"), at, "greatest");
    writer.for_each("i", count, &[&format!("greatest = {greater};")]);
    let zero = writer.literal(kind, 0.0);
    writer.variable("sum", kind, &zero, true);
    let exp = writer.function_of(kind, "exp", &format!("{at} - greatest"));
    writer.for_each("i", count, &[&format!("{at} = {exp};"), &format!("sum += {at};")]);
    writer.for_each("i", count, &[&format!("{at} = {at} / sum;")]);
}
