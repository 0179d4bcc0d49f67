//! Identifiers for columns, categories and the model.

use std::collections::{HashMap, HashSet};

use super::Language;

/// Words of C99 and of Rust that no name may be.
const RESERVED: &[&str] = &[
    "abstract", "as", "async", "auto", "await", "become", "box", "break", "case", "char", "const",
    "continue", "crate", "default", "do", "double", "dyn", "else", "enum", "extern", "false",
    "final", "float", "fn", "for", "gen", "goto", "if", "impl", "in", "inline", "int", "let",
    "long", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "register", "restrict", "return", "self", "short", "signed", "sizeof", "static", "struct",
    "super", "switch", "trait", "true", "try", "type", "typedef", "typeof", "union", "unsafe",
    "unsized", "unsigned", "use", "virtual", "void", "volatile", "where", "while", "yield",
];

/// Gives each name once.
pub(super) struct Names {
    language: Language,
    prefix: String,
}

impl Names {
    /// Nothing for a name that is no identifier.
    pub(super) fn new(language: Language, prefix: &str) -> Option<Self> {
        let mut characters = prefix.chars();
        let begins = characters.next().is_some_and(|first| first.is_ascii_lowercase());
        let goes_on = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_free = !RESERVED.contains(&prefix);
        (begins && goes_on && is_free).then(|| Names { language, prefix: prefix.to_owned() })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Names like `texts` in lower case, all different, of letters, digits and underscores.
    pub(super) fn fields(texts: &[String]) -> Vec<String> {
        unique(texts, |text| {
            let name = words(text, "column");
            if RESERVED.contains(&name.as_str()) { format!("{name}_") } else { name }
        })
    }

    /// Names of the values of an enumeration, as the language writes them; `first` is one more, in front.
    pub(super) fn values(&self, first: &str, texts: &[String]) -> Vec<String> {
        let all: Vec<String> =
            [first.to_owned()].into_iter().chain(texts.iter().cloned()).collect();
        unique(&all, |text| match self.language {
            Language::C => words(text, "value").to_uppercase(),
            Language::Rust => match camel_case(&words(text, "value")) {
                own if own == "Self" => "Self_".to_owned(),
                other => other,
            },
        })
    }

    /// Names of the types of such fields. A row is a type, too.
    pub(super) fn types(&self, fields: &[String]) -> Vec<String> {
        if self.language == Language::C {
            return fields.iter().map(|field| format!("{}_{field}", self.prefix)).collect();
        }
        let all: Vec<String> =
            ["row".to_owned()].into_iter().chain(fields.iter().cloned()).collect();
        unique(&all, camel_case).split_off(1)
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

/// The names in this order, those that are taken with a number behind.
fn unique(texts: &[String], name: impl Fn(&str) -> String) -> Vec<String> {
    let (mut taken, mut numbers) = (HashSet::new(), HashMap::new());
    let mut free = |text: &String| {
        let wanted = name(text);
        let mut found = wanted.clone();
        let number = numbers.entry(wanted.clone()).or_insert(1);
        while !taken.insert(found.clone()) {
            *number += 1;
            found = format!("{wanted}_{number}");
        }
        found
    };
    texts.iter().map(&mut free).collect()
}

/// A text that ends no comment and has one line.
pub(super) fn for_comment(text: &str) -> String {
    text.replace("*/", "* /")
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
