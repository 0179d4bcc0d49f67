//! Statements in C and in Rust.

use std::fmt::Write as _;

use super::Language;

/// Columns of a line of constants.
const WIDTH: usize = 100;

/// The type of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Double,
}

impl Kind {
    pub(super) fn bytes(self) -> usize {
        match self {
            Kind::Single => 4,
            Kind::Double => 8,
        }
    }
}

/// Collects the text of a file.
pub(super) struct SourceWriter {
    pub(super) language: Language,
    /// Of the network's parameters.
    pub(super) number: Kind,
    /// In front of all names in C, which has no modules.
    prefix: String,
    text: String,
    /// What C programs see that include the file for its declarations.
    declarations: String,
    indentation: usize,
    constant_bytes: usize,
    /// The end of the function that is being written.
    results: Option<(Kind, usize)>,
}

impl SourceWriter {
    pub(super) fn new(language: Language, number: Kind, prefix: String) -> Self {
        SourceWriter {
            language,
            number,
            prefix,
            text: String::new(),
            declarations: String::new(),
            indentation: 0,
            constant_bytes: 0,
            results: None,
        }
    }

    pub(super) fn is_c(&self) -> bool {
        self.language == Language::C
    }

    /// A name that no other file has.
    pub(super) fn name(&self, name: &str) -> String {
        if self.is_c() { format!("{}_{name}", self.prefix) } else { name.to_owned() }
    }

    /// The same in capitals, of constants and enumerators.
    pub(super) fn constant_name(&self, name: &str) -> String {
        self.name(name).to_uppercase()
    }

    pub(super) fn type_name(&self, kind: Kind) -> &'static str {
        match (self.language, kind) {
            (Language::C, Kind::Single) => "float",
            (Language::C, Kind::Double) => "double",
            (Language::Rust, Kind::Single) => "f32",
            (Language::Rust, Kind::Double) => "f64",
        }
    }

    /// The shortest text that is this number in the language, and no other.
    pub(super) fn literal(&self, kind: Kind, x: f64) -> String {
        let text = match kind {
            Kind::Single => format!("{:?}", x as f32),
            Kind::Double => format!("{x:?}"),
        };
        match (self.language, kind) {
            _ if x.is_nan() && self.is_c() => "NAN".to_owned(),
            _ if x.is_nan() => format!("{}::NAN", self.type_name(kind)),
            (Language::C, Kind::Single) => format!("{text}f"),
            _ => text,
        }
    }

    /// An expression as a number of another kind.
    pub(super) fn cast(&self, kind: Kind, expression: &str) -> String {
        match self.language {
            Language::C => format!("({}){expression}", self.type_name(kind)),
            Language::Rust => format!("{expression} as {}", self.type_name(kind)),
        }
    }

    /// An expression of the other kind, if `from` is not `to`.
    pub(super) fn converted(&self, from: Kind, to: Kind, expression: &str) -> String {
        if from == to { expression.to_owned() } else { self.cast(to, expression) }
    }

    /// One of two expressions.
    pub(super) fn choice(&self, condition: &str, one: &str, other: &str) -> String {
        match self.language {
            Language::C => format!("{condition} ? {one} : {other}"),
            Language::Rust => format!("if {condition} {{ {one} }} else {{ {other} }}"),
        }
    }

    /// A function of mathematics that C has for both kinds of numbers, and this file for doubles in Rust.
    pub(super) fn function_of(&self, kind: Kind, function: &str, x: &str) -> String {
        match (self.language, kind) {
            (Language::C, Kind::Single) => format!("{function}f({x})"),
            (_, Kind::Double) => format!("{function}({x})"),
            (Language::Rust, Kind::Single) => format!("{function}(f64::from({x})) as f32"),
        }
    }

    /// `cos(2 pi turns + phase)`; whole turns are left out first, as a large angle would lose its digits.
    pub(super) fn wave(&self, turns: &str, phase: &str) -> String {
        let tau = self.literal(self.number, std::f64::consts::TAU);
        match (self.language, self.number) {
            (Language::C, Kind::Single) => {
                format!("cosf({tau} * ({turns} - floorf({turns} + 0.5f)) + {phase})")
            }
            (Language::C, Kind::Double) => {
                format!("cos({tau} * ({turns} - floor({turns} + 0.5)) + {phase})")
            }
            (Language::Rust, Kind::Single) => format!(
                "cos_turns(f64::from({turns}) + f64::from({phase}) / core::f64::consts::TAU) as f32"
            ),
            (Language::Rust, Kind::Double) => {
                format!("cos_turns({turns} + {phase} / core::f64::consts::TAU)")
            }
        }
    }

    pub(super) fn line(&mut self, text: &str) {
        if !text.is_empty() {
            self.text.push_str(&"    ".repeat(self.indentation));
            self.text.push_str(text);
        }
        self.text.push('\n');
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A line that C programs see as well which include the file for its declarations.
    pub(super) fn declaration(&mut self, text: &str) {
        self.declarations.push_str(text);
        self.declarations.push('\n');
    }

    pub(super) fn comment(&mut self, lines: &[&str]) {
        self.line("");
        for line in lines {
            let line = match self.language {
                Language::C => format!("/* {line} */"),
                Language::Rust => format!("/// {line}"),
            };
            self.line(&line);
        }
    }

    /// A table of constants, by its whole name.
    pub(super) fn table(&mut self, name: &str, kind: Kind, values: &[f64]) {
        self.constant_bytes += values.len() * kind.bytes();
        let (count, of) = (values.len(), self.type_name(kind));
        let (head, end) = match self.language {
            Language::C => (format!("static const {of} {name}[{count}] = {{"), "};"),
            Language::Rust => (format!("static {name}: [{of}; {count}] = ["), "];"),
        };
        self.line("");
        self.line(&head);
        let literals = values.iter().map(|x| self.literal(kind, *x)).collect::<Vec<_>>();
        let mut row = String::new();
        for literal in literals {
            if row.len() + literal.len() + 6 > WIDTH {
                let full = std::mem::take(&mut row);
                self.line(&format!("    {}", full.trim_end()));
            }
            let _ = write!(row, "{literal}, ");
        }
        self.line(&format!("    {}", row.trim_end()));
        self.line(end);
    }

    pub(super) fn constant_bytes(&self) -> usize {
        self.constant_bytes
    }

    /// Begins `for (variable = 0; variable < count; variable++)`.
    pub(super) fn begin_for(&mut self, variable: &str, count: usize) {
        let head = match self.language {
            Language::C => {
                format!("for (int {variable} = 0; {variable} < {count}; {variable}++) {{")
            }
            Language::Rust => format!("for {variable} in 0..{count} {{"),
        };
        self.line(&head);
        self.indentation += 1;
    }

    pub(super) fn begin_if(&mut self, condition: &str) {
        let head = match self.language {
            Language::C => format!("if ({condition}) {{"),
            Language::Rust => format!("if {condition} {{"),
        };
        self.line(&head);
        self.indentation += 1;
    }

    pub(super) fn end(&mut self) {
        self.indentation -= 1;
        self.line("}");
    }

    pub(super) fn for_each(&mut self, variable: &str, count: usize, body: &[&str]) {
        self.begin_for(variable, count);
        body.iter().for_each(|line| self.line(line));
        self.end();
    }

    /// A new variable; `is_mutable`: whether it gets other values later.
    pub(super) fn variable(&mut self, name: &str, kind: Kind, value: &str, is_mutable: bool) {
        let of = self.type_name(kind);
        let line = match (self.language, is_mutable) {
            (Language::C, true) => format!("{of} {name} = {value};"),
            (Language::C, false) => format!("const {of} {name} = {value};"),
            (Language::Rust, true) => format!("let mut {name}: {of} = {value};"),
            (Language::Rust, false) => format!("let {name}: {of} = {value};"),
        };
        self.line(&line);
    }

    /// A new whole number.
    pub(super) fn index(&mut self, name: &str, value: &str) {
        let line = match self.language {
            Language::C => format!("const int {name} = {value};"),
            Language::Rust => format!("let {name}: usize = {value};"),
        };
        self.line(&line);
    }

    /// A new array, whose values are 0 in Rust and none yet in C, unless something is added to them.
    pub(super) fn zeros(&mut self, name: &str, kind: Kind, count: usize) {
        let of = self.type_name(kind);
        let line = match self.language {
            Language::C if name == "sums" => format!("{of} {name}[{count}] = {{0}};"),
            Language::C => format!("{of} {name}[{count}];"),
            Language::Rust => format!("let mut {name} = [0.0{of}; {count}];"),
        };
        self.line(&line);
    }

    /// Begins a function from `x`, so many numbers of the network, to `y`.
    pub(super) fn begin_layer(&mut self, name: &str, inputs: usize, outputs: usize) {
        let (function, of) = (self.name(name), self.type_name(self.number));
        self.line("");
        match self.language {
            Language::C => {
                self.line(&format!(
                    "static void {function}(const {of} *restrict x, {of} *restrict y)"
                ));
                self.line("{");
                self.indentation += 1;
            }
            Language::Rust => {
                self.line(&format!("fn {function}(x: &[{of}], y: &mut [{of}]) {{"));
                self.indentation += 1;
                // The compiler then knows that no index is out of bounds.
                self.line(&format!("let (x, y) = (&x[..{inputs}], &mut y[..{outputs}]);"));
            }
        }
    }

    /// A call of a function that [`SourceWriter::begin_layer`] began.
    pub(super) fn call(&mut self, name: &str, from: &str, to: &str) {
        let function = self.name(name);
        let line = match self.language {
            Language::C => format!("{function}({from}, {to});"),
            Language::Rust => format!("{function}(&{from}, &mut {to});"),
        };
        self.line(&line);
    }

    /// Begins a function that programs call, whose answers are an array `answers`.
    pub(super) fn public_function(
        &mut self,
        name: &str,
        parameter: &str,
        results: Option<(Kind, usize)>,
    ) {
        let function = self.name(name);
        self.results = results;
        let Some((kind, count)) = results else { return };
        let of = self.type_name(kind);
        match self.language {
            Language::C => {
                let head = format!("void {function}({parameter}, {of} answers[{count}])");
                self.declaration(&format!("{head};"));
                self.line(&head);
                self.line("{");
                self.indentation += 1;
            }
            Language::Rust => {
                self.line(&format!("pub fn {function}({parameter}) -> [{of}; {count}] {{"));
                self.indentation += 1;
                self.line(&format!("let mut answers = [0.0{of}; {count}];"));
            }
        }
    }

    pub(super) fn end_function(&mut self, result: Option<&str>) {
        if let (Some(result), Language::Rust) = (result, self.language) {
            self.line(result);
        }
        self.end();
    }

    /// The whole file under a comment.
    pub(super) fn finish(self, head: &[String]) -> String {
        let mut all = String::new();
        match self.language {
            Language::C => {
                all.push_str("/*\n");
                for line in head {
                    all.push_str(format!(" * {line}").trim_end());
                    all.push('\n');
                }
                all.push_str(" */\n\n");
                let guard = format!("{}_H", self.prefix.to_uppercase());
                let _ = write!(all, "#ifndef {guard}\n#define {guard}\n\n");
                all.push_str(&self.declarations);
                let only = format!("{}_DECLARATIONS_ONLY", self.prefix.to_uppercase());
                let _ = write!(all, "\n#endif\n\n#ifndef {only}\n\n#include <math.h>\n");
                all.push_str(&self.text);
                all.push_str("\n#endif\n");
            }
            Language::Rust => {
                for line in head {
                    all.push_str(format!("//! {line}").trim_end());
                    all.push('\n');
                }
                all.push_str("\n#![forbid(unsafe_code)]\n");
                all.push_str(
                    "#![allow(clippy::all, clippy::pedantic, dead_code, non_camel_case_types, non_snake_case, unused_mut, unused_parens, rustfmt::skip)]\n",
                );
                all.push_str(&self.text);
            }
        }
        all
    }
}

/// How a program uses the file.
pub(super) fn usage(language: Language, name: &str) -> Vec<String> {
    let (stem, capitals) = (name, name.to_uppercase());
    match language {
        Language::C => vec![
            format!(
                "Compile it with your program (C99, -lm); it allocates nothing. For its declarations alone, write"
            ),
            format!(
                "#define {capitals}_DECLARATIONS_ONLY and #include \"{stem}.c\". Its self-test is a program of its own:"
            ),
            format!("cc -std=c99 -O2 -D{capitals}_SELF_TEST {stem}.c -lm && ./a.out && echo right"),
        ],
        Language::Rust => vec![
            format!(
                "`mod {stem};` makes it a module of your program; it needs no crate, no `std` and no allocator."
            ),
            "`cargo test` runs its self-test, as does `self_test()`.".to_owned(),
        ],
    }
}
