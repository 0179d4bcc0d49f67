//! Identifiers for columns, categories and the model.

use std::collections::{HashMap, HashSet};

use super::Language;

/// Words of C and of Rust that no name may be.
const RESERVED: &[&str] = &[
    "abstract",
    "as",
    "asm",
    "async",
    "auto",
    "await",
    "become",
    "box",
    "break",
    "case",
    "char",
    "const",
    "constexpr",
    "continue",
    "crate",
    "default",
    "do",
    "double",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "float",
    "fn",
    "for",
    "gen",
    "goto",
    "if",
    "impl",
    "in",
    "inline",
    "int",
    "let",
    "long",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "nullptr",
    "override",
    "priv",
    "pub",
    "ref",
    "register",
    "restrict",
    "return",
    "self",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "super",
    "switch",
    "trait",
    "true",
    "try",
    "type",
    "typedef",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "unsigned",
    "use",
    "virtual",
    "void",
    "volatile",
    "where",
    "while",
    "yield",
];

/// Macros in small letters, of compilers of C and of headers that a program may have included; some are words of C23.
const MACROS: &[&str] = &[
    "alignas",
    "alignof",
    "assert",
    "bool",
    "complex",
    "errno",
    "imaginary",
    "linux",
    "noreturn",
    "static_assert",
    "unix",
];

/// Types that a file of Rust has, and what every one knows without naming its module.
const RUST_TYPES: &[&str] = &[
    "AsMut",
    "AsRef",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Hash",
    "Into",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Row",
    "Self",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
];

/// Macros of `math.h` that a model named `fp` could have as values of an enumeration.
const MATH_MACROS: &[&str] = &["FP_FAST_FMA", "FP_FAST_FMAF", "FP_FAST_FMAL"];

/// Gives each name of a file once, whatever it names.
pub(super) struct Names {
    language: Language,
    prefix: String,
    taken: Taken,
}

/// Names in use.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    /// The last number behind a name that was wanted again.
    numbers: HashMap<String, usize>,
}

impl Taken {
    /// The name, with a number behind where it is in use.
    fn free(&mut self, wanted: String) -> String {
        let mut found = wanted.clone();
        let number = self.numbers.entry(wanted.clone()).or_insert(1);
        while !self.names.insert(found.clone()) {
            *number += 1;
            found = format!("{wanted}_{number}");
        }
        found
    }
}

/// The names of an enumeration.
#[derive(Default)]
pub(super) struct Enumeration {
    pub(super) type_name: String,
    /// Of its values, the first of which is no category; as C has them, with the type's name in front.
    pub(super) values: Vec<String>,
}

impl Names {
    /// Nothing for a name that is no identifier.
    pub(super) fn new(language: Language, prefix: &str) -> Option<Self> {
        let mut characters = prefix.chars();
        let begins = characters.next().is_some_and(|first| first.is_ascii_lowercase());
        let goes_on = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_free = !RESERVED.contains(&prefix);
        let known = if language == Language::C { MATH_MACROS } else { RUST_TYPES };
        let mut taken = Taken::default();
        taken.names.extend(known.iter().map(|name| (*name).to_owned()));
        (begins && goes_on && is_free).then(|| Names { language, prefix: prefix.to_owned(), taken })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A name as the file has it: C has no modules.
    fn global(&self, name: &str) -> String {
        match self.language {
            Language::C => format!("{}_{name}", self.prefix),
            Language::Rust => name.to_owned(),
        }
    }

    /// Keeps a name for the file itself, in small letters and in capitals.
    pub(super) fn keep(&mut self, name: &str) {
        let global = self.global(name);
        self.taken.names.insert(global.to_uppercase());
        self.taken.names.insert(global);
    }

    /// The name of a table of constants, as the file has it.
    pub(super) fn table(&mut self, wanted: &str) -> String {
        self.taken.free(self.global(wanted).to_uppercase())
    }

    /// The names of the enumeration of a field with these texts.
    pub(super) fn enumeration(&mut self, field: &str, texts: &[String]) -> Enumeration {
        let mut stem = field.to_owned();
        let mut number = 1;
        let type_name = loop {
            let type_name = match self.language {
                Language::C => self.global(&stem),
                Language::Rust => camel_case(&stem),
            };
            // In C, a function goes with it.
            let names = [type_name.clone(), format!("{type_name}_of")];
            if names.iter().all(|name| !self.taken.names.contains(name)) {
                self.taken.names.extend(names);
                break type_name;
            }
            number += 1;
            stem = format!("{field}_{number}");
        };
        let all = ["unknown"].into_iter().chain(texts.iter().map(String::as_str));
        let all = all.map(|text| words(text, "value"));
        let values = match self.language {
            // The values of all enumerations of a program are names of one kind.
            Language::C => all
                .map(|value| self.taken.free(format!("{type_name}_{value}").to_uppercase()))
                .collect(),
            Language::Rust => {
                let mut own = Taken::default();
                let variant = |value: String| match camel_case(&value) {
                    word if word == "Self" => own.free("Self_".to_owned()),
                    other => own.free(other),
                };
                all.map(variant).collect()
            }
        };
        Enumeration { type_name, values }
    }

    /// Names like `texts` in lower case, all different, of letters, digits and underscores.
    pub(super) fn fields(texts: &[String]) -> Vec<String> {
        let mut taken = Taken::default();
        let field = |text: &String| {
            let name = words(text, "column");
            let is_reserved = RESERVED.contains(&&*name) || MACROS.contains(&&*name);
            taken.free(if is_reserved { format!("{name}_") } else { name })
        };
        texts.iter().map(field).collect()
    }
}

/// Why a name cannot be the model's.
pub(super) fn refusal(name: &str) -> String {
    format!(
        "'{name}' cannot begin the names in a program; take lower-case letters, digits and _, beginning with a letter, and no word of the language"
    )
}

/// What is left of a text in an identifier; `other` stands for nothing, and in front of a digit.
fn words(text: &str, other: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => other.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{other}_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// `two_words` as `TwoWords`; a digit keeps its underscore from the digit before it.
pub(super) fn camel_case(name: &str) -> String {
    let mut out = String::new();
    for word in name.split('_').filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        if out.ends_with(|c: char| c.is_ascii_digit())
            && first.starts_with(|c: char| c.is_ascii_digit())
        {
            out.push('_');
        }
        out.push_str(&first.to_ascii_uppercase());
        out.push_str(rest);
    }
    out
}

/// A text that ends no comment and has one line.
pub(super) fn for_comment(text: &str) -> String {
    // `??/` at the end of a line continues it in C.
    text.replace("??/", "? ?/")
        .replace("*/", "* /")
        .replace("/*", "/ *")
        .escape_debug()
        .to_string()
        .replace("\\'", "'")
        .replace("\\\"", "\"")
}

/// A text as a literal of both languages. C takes bytes in octal, which end after three digits.
pub(super) fn literal(language: Language, text: &str) -> String {
    if language == Language::Rust {
        return format!("\"{}\"", text.escape_default());
    }
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            // Two question marks may begin a trigraph.
            b'?' => out.push_str("\\?"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out.push('"');
    out
}
