//! What the values of a column are.

use crate::{inspect, noise, refused, rows};

/// The type of a first column of these cells, beside whole numbers and a class.
fn type_of(cells: &[&str], arguments: &str) -> String {
    let text =
        rows("v;x;k", 30, |i| format!("{};{};{}", cells[i % cells.len()], i * 7 % 30, i % 2));
    let found = inspect(text, arguments).columns();
    found[0].split(' ').skip(1).collect::<Vec<_>>().join(" ")
}

fn refused_cells(cells: &[&str], arguments: &str, parts: &[&str]) {
    let text =
        rows("v;x;k", 30, |i| format!("{};{};{}", cells[i % cells.len()], i * 7 % 30, i % 2));
    refused(text, arguments, parts);
}

fn number(format: &str) -> String {
    format!("feature {{number:{{decimal:{format}}}}}")
}

#[test]
fn marks_between_thousands_are_recognized() {
    assert_eq!(type_of(&["1.234,5", "12.000,0", "3,25"], ""), number(",,thousands:."));
    assert_eq!(type_of(&["1 234.5", "12 000.0", "3.25"], ""), number(".,thousands: "));
    assert_eq!(
        type_of(&["1\u{a0}234,5", "12\u{202f}000,0"], "--decimal ,"),
        number(",,thousands: ")
    );
    assert_eq!(type_of(&["1'234.5", "12\u{2019}000.0"], ""), number(".,thousands:'"));
    assert_eq!(type_of(&["1,234,567", "12", "3,000"], ""), number(".,thousands:,"));
    assert_eq!(type_of(&["1,234.5", "12"], ""), number(".,thousands:,"));
    assert_eq!(type_of(&["1.234.567", "12", "3.000"], "--decimal ,"), number(",,thousands:."));
}

#[test]
fn a_comma_that_may_be_either_is_refused() {
    refused_cells(&["1,234", "5,678"], "", &["line 2", "\"1,234\"", "--decimal or --thousands"]);
    assert_eq!(type_of(&["1,234", "5,678"], "--decimal ,"), number(","));
    assert_eq!(type_of(&["1,234", "5,678"], "--thousands ,"), number(".,thousands:,"));
    // Other values of the column or of the file settle it.
    assert_eq!(type_of(&["1,234", "5,6"], ""), number(","));
    assert_eq!(type_of(&["1,234", "1,234,567"], ""), number(".,thousands:,"));
}

#[test]
fn currencies_percents_and_signs_are_recognized() {
    assert_eq!(type_of(&["$1.50", "-$2.25", "$3"], ""), number(".,unit:$"));
    assert_eq!(type_of(&["1,50 €", "2,25 €"], ""), number(",,unit:€"));
    assert_eq!(type_of(&["12 %", "3.5%", "99%"], ""), number(".,unit:%"));
    assert_eq!(type_of(&["\u{2212}1.5", "2.5", "+3"], ""), number("."));
    assert_eq!(type_of(&["1.5e-3", "2E+05", "7"], ""), number("."));
    assert_eq!(type_of(&["1,5", "2e-05", "3e-06"], ""), number(","));
    assert_eq!(type_of(&["$1", "€2"], ""), "feature text");
}

#[test]
fn dates_are_recognized_in_the_order_that_fits() {
    assert_eq!(type_of(&["2024-01-31", "2023-12-01"], ""), "feature {date:Y-M-D}");
    assert_eq!(
        type_of(&["2024-01-31T12:00:00Z", "2023-12-01T01:02:03+01:00"], ""),
        "feature {date:Y-M-D}"
    );
    assert_eq!(type_of(&["31/01/2024", "01/12/2023"], ""), "feature {date:D/M/Y}");
    assert_eq!(type_of(&["01/31/2024", "01/12/2023"], ""), "feature {date:M/D/Y}");
    assert_eq!(type_of(&["31.1.2024", "1.12.2023 10:30"], ""), "feature {date:D/M/Y}");
    assert_eq!(type_of(&["31.1.2024", "1.12.2023"], "--no-dates"), "feature text");
    refused_cells(
        &["01/02/2024", "03/04/2024"],
        "",
        &["line 2", "D/M/Y or M/D/Y", "--dates", "01/02/2024"],
    );
    assert_eq!(type_of(&["01/02/2024", "03/04/2024"], "--dates M/D/Y"), "feature {date:M/D/Y}");
}

#[test]
fn truth_values_are_one_feature() {
    for cells in [["true", "false"], ["Yes", "No"], ["T", "F"], ["TRUE", "FALSE"]] {
        assert_eq!(type_of(&cells, ""), "feature truth");
    }
    let found = inspect(rows("x,sold", 20, |i| format!("{i}.5,{}", ["True", "False"][i % 2])), "");
    assert_eq!(found.note(1), "2 classes: False True");
}

#[test]
fn words_for_missing_values() {
    for word in
        ["", "NA", "n/a", "#N/A", "NaN", "-nan", "null", "None", "?", "-", "<NA>", "unknown"]
    {
        let cells = ["1.5", word, "2.5", "7", "3.25", "8", "9", word, "4.5", "0.5"];
        let text = rows("v;x;k", 30, |i| format!("{};{:.3};{}", cells[i % 10], noise(i, 1), i % 2));
        let found = inspect(text, "");
        assert_eq!(
            (&found.column(0)["missing"], &*found.columns()[0]),
            (&6.into(), "v feature {number:{decimal:.}}")
        );
    }
    let text = rows("v,k", 30, |i| format!("{},{}", [-999, 5, 7, 9, 12][i % 5], ["a", "b"][i % 2]));
    assert_eq!(inspect(&text, "--missing -999").column(0)["missing"], 6);
    refused(&text, "--missing -998", &["--missing has no effect", "-998"]);
}

#[test]
fn a_word_among_numbers_is_an_error() {
    let text = rows("v,k", 60, |i| {
        format!(
            "{},{}",
            if i == 40 { "1O".to_owned() } else { format!("{i}.5") },
            ["a", "b"][i % 2]
        )
    });
    refused(text, "", &["line 42, column 1 (v)", "\"1O\"", "--categorical", "--missing"]);
    let half = rows("v,k", 80, |i| {
        let v = if i % 3 == 0 { format!("w{i}") } else { format!("{i}.5") };
        format!("{v},{}", ["a", "b"][i % 2])
    });
    refused(
        half,
        "",
        &["line 2, column 1 (v)", "53 numbers", "27 texts", "\"w0\"", "--categorical"],
    );
}

#[test]
fn texts_nearly_all_different_are_left_out() {
    let text = rows("name,x,k", 40, |i| format!("Mr {i},{i}.5,{}", ["a", "b"][i % 2]));
    let found = inspect(&text, "");
    assert!(found.note(0).starts_with("texts nearly all different"), "{}", found.note(0));
    assert!(inspect(&text, "--keep name").columns()[0].starts_with("name feature"));
    assert!(inspect(&text, "--categorical name").columns()[0].starts_with("name feature"));
    let rounded = rows("c,x,k", 40, |i| format!("{},{i}.5,{}", [0.3, 0.1 + 0.2][i % 2], i % 2));
    assert!(inspect(rounded, "").note(0).starts_with("constant"));
}

#[test]
fn labels_are_classes_or_values() {
    let label = |cells: &[&str], arguments: &str| {
        let text = rows("x,y", 40, |i| format!("{:.3},{}", noise(i, 1), cells[i % cells.len()]));
        inspect(text, arguments)
    };
    assert_eq!(label(&["1.0", "0.0"], "").note(1), "2 classes: 0.0 1.0");
    assert_eq!(
        label(&["9007199254740993", "9007199254740992"], "").note(1),
        "2 classes: 9007199254740992 9007199254740993"
    );
    assert_eq!(label(&["007", "7", "7.0"], "").note(1), "3 classes: 007 7 7.0");
    assert!(label(&["1.5", "2.5"], "").columns()[1].starts_with("y value"));
    assert!(label(&["1", "2"], "--task values").columns()[1].starts_with("y value"));
    assert!(label(&["1.5", "2.5"], "--task classes").columns()[1].starts_with("y class"));
    let several = rows("y,x,z", 40, |i| format!("{},{:.3},{i}.5", ["a", "b"][i % 2], noise(i, 1)));
    let found = inspect(&several, "--label x,z").columns();
    assert!(found[1].starts_with("x value") && found[2].starts_with("z value"), "{found:?}");
    assert!(inspect(&several, "--label y").columns()[0].starts_with("y class"));
    refused(&several, "--label x,x", &["named once", "\"x\"", "--label"]);
    refused(&several, "--label w", &["\"w\"", "\"x\""]);
}
