//! Fields of text files, and their form in messages.

/// The code of a text that is missing.
pub const MISSING: u32 = u32::MAX;

/// Bytes of the longest word for a missing value.
const MISSING_BYTES: usize = 7;

/// Whether `text` is one of the words for a missing value.
pub(crate) fn is_missing(text: &str) -> bool {
    const WORDS: [&str; 15] = [
        "", "?", "-", ".", "na", "n/a", "n.a.", "#n/a", "nan", "-nan", "nat", "null", "none",
        "nil", "<na>",
    ];
    let text = text.trim();
    let may_be = match text.as_bytes() {
        [] => true,
        [first, rest @ ..] => rest.len() < MISSING_BYTES && b"?-.nN#mM<".contains(first),
    };
    may_be
        && (WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
            || text.eq_ignore_ascii_case("missing"))
}

/// true and false, yes and no, t and f.
pub(crate) fn truth(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 6] =
        [("true", true), ("false", false), ("yes", true), ("no", false), ("t", true), ("f", false)];
    if text.len() > 5 {
        return None;
    }
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, truth)| truth)
}

/// `text` in quotes, cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_CHARACTERS: usize = 40;
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Names with commas between them; many are cut.
pub(crate) fn listed(names: &[String]) -> String {
    const MAX_SHOWN: usize = 20;
    let shown =
        names.iter().take(MAX_SHOWN).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if names.len() > MAX_SHOWN {
        format!("{shown} and {} more", names.len() - MAX_SHOWN)
    } else {
        shown
    }
}

/// "1 column", "2 columns"
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
