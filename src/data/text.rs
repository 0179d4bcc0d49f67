//! Fields of text files, and how messages show them.

/// The code of a text that is missing.
pub const MISSING: u32 = u32::MAX;

/// The number that `text` is, be it finite or not.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// Whether `text` is what programs write for a value that is not there.
pub(crate) fn is_missing(text: &str) -> bool {
    const WORDS: [&str; 7] = ["", "?", "na", "n/a", "nan", "null", "none"];
    WORDS.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// `text` in quotes, cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Names with commas between them, cut if they are many.
pub(crate) fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    let shown = names.iter().take(MOST).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if names.len() > MOST { format!("{shown} and {} more", names.len() - MOST) } else { shown }
}

/// "1 column", "2 columns"
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
