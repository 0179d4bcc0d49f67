//! Numbers and tables as people read them.

/// "96.38 %", or "-" if unknown.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

/// A loss or an error with its significant digits.
pub(crate) fn digits(x: f64) -> String {
    if x == 0.0 || (1e-3..1e6).contains(&x) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// [`digits`] of a number that may be below 0.
pub(crate) fn signed(x: f64) -> String {
    format!("{}{}", if x < 0.0 { "-" } else { "" }, digits(x.abs()))
}

/// 12345678 as "12.3 M".
pub(crate) fn short(x: f64) -> String {
    const UNITS: [&str; 4] = ["", " k", " M", " G"];
    let step = (0..3).take_while(|step| x >= 1e3f64.powi(step + 1)).count();
    let decimals = if step == 0 { 0 } else { 1 };
    format!("{:.decimals$}{}", x / 1e3f64.powi(step as i32), UNITS[step])
}

/// Lines of aligned columns: the first to the left, the others to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let cell = |(i, cell): (usize, &String)| match (i, widths[i]) {
        (0, width) => format!("{cell:<width$}"),
        (_, width) => format!("  {cell:>width$}"),
    };
    rows.iter()
        .map(|row| row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned())
        .collect()
}
