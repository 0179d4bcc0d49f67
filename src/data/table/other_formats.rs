//! Files that are no text with a table, known by their first bytes.

/// What a file is whose first bytes are these, and what makes a table of it; `None` for text.
pub(super) fn other_format(start: &[u8]) -> Option<&'static str> {
    const MARKS: [(&[u8], &str); 11] = [
        (b"\x1f\x8b", "a file compressed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a file compressed with zstd; unpack it first"),
        (b"\xfd7zXZ\0", "a file compressed with xz; unpack it first"),
        (b"BZh", "a file compressed with bzip2; unpack it first"),
        (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook or its like; save the sheet as CSV"),
        (b"PAR1", "a Parquet file, whose name ends with .parquet"),
        (b"ARROW1", "an Arrow file, whose name ends with .arrow or .feather"),
        (b"\x93NUMPY", "a NumPy file, whose name ends with .npy"),
        (b"%PDF-", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database; write the table as CSV"),
    ];
    if start.starts_with(b"PK\x03\x04") {
        return Some(zip_of(start));
    }
    // A text may begin with three letters.
    let mark = MARKS.iter().find(|(mark, _)| start.starts_with(mark));
    mark.filter(|(mark, _)| mark.len() != 3 || start.get(4..10) == Some(b"1AY&SY"))
        .map(|(_, name)| *name)
}

/// What a ZIP archive holds, by the names of its first files.
fn zip_of(start: &[u8]) -> &'static str {
    let has = |name: &[u8]| start.windows(name.len()).any(|part| part == name);
    if has(b"[Content_Types].xml") || has(b"xl/") || has(b"_rels/") {
        "an Excel workbook; save the sheet as CSV"
    } else if has(b"opendocument") {
        "an OpenDocument file; save the sheet as CSV"
    } else if has(b".npy") {
        "a NumPy archive, whose name ends with .npz"
    } else {
        "a ZIP archive; unpack it first"
    }
}

/// What a text is that begins so, where it is none of rows and fields.
pub(super) fn other_text(head: &str) -> Option<&'static str> {
    let line = head.lines().map(str::trim).find(|line| !line.is_empty())?;
    let begins = |mark: &str| line.get(..mark.len()).is_some_and(|l| l.eq_ignore_ascii_case(mark));
    let is_object = |line: &str| {
        let inside =
            line.strip_prefix('{').and_then(|rest| rest.trim_end_matches(',').strip_suffix('}'));
        inside.is_some_and(|inside| inside.trim_start().starts_with('"') && inside.contains("\":"))
    };
    let array = line.strip_prefix('[').map(str::trim_start);
    if is_object(line) {
        Some("JSON lines, which are for predictions alone; write the table as CSV")
    } else if line == "{"
        || array.is_some_and(|rest| rest.is_empty() || rest.starts_with(['{', '[']))
    {
        Some("JSON; write the table as CSV")
    } else if ["<!doctype", "<html", "<?xml"].into_iter().any(begins) {
        Some("HTML or XML; write the table as CSV")
    } else {
        None
    }
}
