//! How a text is divided into rows and fields.

use serde_json::Value;

use crate::{Found, inspect, noise, refused, rows};

const NUMBER: &str = "{number:{decimal:.}}";

fn xyk(found: &Found) {
    let expected =
        [format!("x feature {NUMBER}"), format!("y feature {NUMBER}"), "k class text".into()];
    assert_eq!(found.columns(), expected);
}

/// x, y and a class with a delimiter between them.
fn table(delimiter: &str) -> String {
    rows(&["x", "y", "k"].join(delimiter), 20, |i| {
        [format!("{i}.5"), (i * i).to_string(), ["a", "b"][i % 2].to_owned()].join(delimiter)
    })
}

#[test]
fn each_delimiter_is_found() {
    for (delimiter, name) in
        [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar"), ("  ", "blanks")]
    {
        let found = inspect(table(delimiter), "");
        assert_eq!(found.0["dialect"]["delimiter"], name);
        xyk(&found);
    }
}

#[test]
fn the_delimiter_with_numbers_wins_over_commas_in_them() {
    let text = rows("price;color;kind", 20, |i| format!("{i},5;red;{}", i % 2));
    let found = inspect(text, "");
    assert_eq!(found.columns()[0], "price feature {number:{decimal:,}}");
    // More texts than numbers: what is left over is no field.
    let text: String = (0..20).map(|i| format!("{i},5;a{};b{};c\n", i % 2, i % 3)).collect();
    assert_eq!(inspect(text, "--label none").columns().len(), 4);
    let text: String = (0..9).map(|i| format!("0,0000{i}\tred one\tA/B\t{}\n", i % 2)).collect();
    assert_eq!(inspect(text, "").columns().len(), 4);
}

#[test]
fn blanks_in_texts_are_no_delimiters() {
    let text: String = (0..20).map(|i| format!("{} apples,{} pears\n", i % 3, i % 2)).collect();
    assert_eq!(inspect(text, "").columns().len(), 2);
}

#[test]
fn excel_writes_its_separator_a_title_and_empty_last_columns() {
    let body = rows("x;y;k;", 20, |i| format!("{i},5;{};{};", i * i, ["a", "b"][i % 2]));
    let found = inspect(format!("sep=;\r\n{}", body.replace('\n', "\r\n")), "");
    assert_eq!(found.columns().len(), 3);
    assert_eq!(found.0["dialect"]["ends_with_delimiter"], true);
    let found = inspect(format!("Sales of 2025\n\n{body}"), "");
    assert_eq!(found.columns().len(), 3);
    assert_eq!(found.0["dialect"]["skip_rows"], 2);
    let rows_of_empty_fields = body.clone() + ";;;\n;;;\n";
    assert_eq!(inspect(rows_of_empty_fields, "").0["empty_rows"], 2);
}

#[test]
fn a_sample_with_gaps_or_too_short_is_no_title() {
    let found = inspect(format!("5,,\n{}", "1,2,3\n2,4,5\n7,3,1\n".repeat(4)), "--label none");
    assert_eq!((&found.0["rows"], &found.0["dialect"]["skip_rows"]), (&13.into(), &Value::Null));
    refused("5\n1,2,3\n2,4,5\n4,5,6\n2,2,2\n", "--no-header", &["line 2", "1 field", "3 fields"]);
}

#[test]
fn r_writes_names_of_rows_without_a_name() {
    let body = |i: usize| format!("\"{}\" {i}.5 {} \"{}\"", i + 1, i * i, ["a", "b"][i % 2]);
    let found = inspect(rows("\"x\" \"y\" \"k\"", 20, body), "");
    assert_eq!(found.columns().len(), 4);
    assert_eq!(found.note(0), "it numbers the rows");
    let cars = |i: usize| format!("Car {i},{i}.5,{}", ["a", "b"][i % 2]);
    let found = inspect(rows("x,k", 20, cars), "");
    assert_eq!(found.columns()[1], format!("x feature {NUMBER}"));
}

#[test]
fn files_in_utf_16_have_a_mark() {
    let text = table(";").replace("a\n", "ä\n");
    let little: Vec<u8> =
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> =
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for bytes in [&little, &big] {
        let found = inspect(bytes, "");
        xyk(&found);
        assert_eq!(found.note(2), "2 classes: b ä");
    }
    inspect(&little[2..], "--encoding utf-16le");
    refused(&little[2..], "", &["--encoding", "zero byte"]);
    refused(&little, "--encoding latin-1", &["--encoding has no effect", "UTF-16LE"]);
    refused(&text, "--encoding utf-16le", &["UTF-16LE", "--encoding", "no zero byte"]);
    let marked = format!("\u{feff}{text}");
    xyk(&inspect(marked, ""));
}

#[test]
fn latin_1_is_read_where_an_option_says_it() {
    let text: Vec<u8> = table(",")
        .replace("a\n", "ä\n")
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    for label in ["latin-1", "latin1", "latin_1", "iso-8859-1", "cp1252", "windows-1252"] {
        assert_eq!(inspect(&text, &format!("--encoding {label}")).note(2), "2 classes: b ä");
    }
    refused(&text, "", &["line 2", "UTF-8", "--encoding", "0xe4"]);
    refused(&text, "--encoding klingon", &["no encoding 'klingon'"]);
}

#[test]
fn lines_of_comments_are_left_out_and_rows_are_not() {
    let lines = table(",").replace("\n5.5,", "\n# a comment,\"with a quote\n5.5,");
    let found = inspect(lines, "");
    xyk(&found);
    assert_eq!((&found.0["rows"], &found.0["dialect"]["comment"]), (&20.into(), &"#".into()));
    let percent = table(",").replace("\n5.5,", "\n% a comment\n5.5,");
    assert_eq!(inspect(percent, "--comment %").0["rows"], 20);
    // Texts that begin with the mark, beside texts with delimiters and line breaks.
    let tags =
        rows("tag,x", 20, |i| format!("{},{i}.5", ["#sun", "\"a, b\"", "\"a\nb\"", "c"][i % 4]));
    assert_eq!(inspect(tags, "").0["rows"], 20);
    let colors = rows("color,x,k", 20, |i| format!("#ff000{},{i}.5,{}", i % 3, i % 2));
    assert_eq!(inspect(colors, "").note(0), "3 categories: #ff0000 #ff0001 #ff0002");
    let header = rows("#x,y,k", 20, |i| format!("{i}.5,{i},{}", i % 2));
    assert_eq!(inspect(header, "").columns()[0], format!("x feature {NUMBER}"));
}

#[test]
fn quotes_hold_line_breaks_and_delimiters() {
    let text = rows("note,x,k", 20, |i| {
        format!("\"line {}\nnext, \"\"line\"\"\",{i}.5,{}", i % 2, ["a", "b"][i % 2])
    });
    let found = inspect(text, "");
    assert_eq!(found.0["rows"], 20);
    assert!(found.note(0).starts_with("2 categories"), "{}", found.note(0));
    refused("x,k\n1,a\n2,\"b\n3,a\n", "", &["line 3", "quote"]);
    refused("x,k\n1,a\n2,b,c\n3,a\n4,b\n5,a\n", "", &["line 3", "2 fields", "3 fields"]);
}

#[test]
fn old_and_mixed_line_ends_are_read() {
    xyk(&inspect(table(",").replace('\n', "\r"), ""));
    xyk(&inspect(table(",").replacen('\n', "\r\n", 7), ""));
    xyk(&inspect(table(",").trim_end(), ""));
}

#[test]
fn names_that_are_numbers_are_names_or_refused() {
    let years =
        |header: &str, row: fn(usize) -> String| inspect(rows(header, 20, row), "--label none");
    let far = years("2019,2020,2021", |i| format!("{i},{},{}", i + 3, i * 2));
    assert_eq!(far.columns()[0], format!("2019 feature {NUMBER}"));
    let decimals = years("2019,2020,2021", |i| {
        format!("{:.2},{:.2},{:.2}", 9e3 * noise(i, 1) - 1e3, 9e3 * noise(i, 2), 9e3 * noise(i, 3))
    });
    assert_eq!(decimals.columns()[2], format!("2021 feature {NUMBER}"));
    let sorted: String = (1..20).map(|i| format!("{i},{},{}\n", i + 1, i + 2)).collect();
    refused(&sorted, "--label none", &["line 1", "--header", "names or values"]);
    let found = inspect(&sorted, "--label none --no-header");
    assert_eq!(found.0["rows"], 19);
    let digits: String = (0..20).map(|i| format!("{},{},{}\n", i % 10, i % 3, i % 7)).collect();
    assert_eq!(inspect(digits, "--label none").0["rows"], 20);
}

#[test]
fn names_of_columns_may_come_twice_and_be_numbers() {
    let found = inspect(rows("x,x,k", 20, |i| format!("{i}.5,{},{}", i * 3 % 7, i % 2)), "");
    assert_eq!(
        found.columns()[..2],
        [format!("x feature {NUMBER}"), format!("x #2 feature {NUMBER}")]
    );
    let text = rows("2,1,k", 20, |i| format!("{i}.5,{},{}", i * 3 % 7, ["a", "b"][i % 2]));
    refused(&text, "--drop 1 --header", &["\"1\" is the name of column 2", "#2 or #1"]);
    assert!(inspect(&text, "--header --drop #1").columns()[0].contains("left_out"));
}

#[test]
fn dataframes_of_duckdb_polars_and_pandas() {
    // duckdb: COPY t TO 't.csv' (HEADER); polars: write_csv(); pandas: to_csv()
    let duckdb = rows("id,flag,at,k", 20, |i| {
        format!("{i},{},2024-01-{:02} 10:00:00,{}", i % 2 == 0, i + 1, ["a", "b"][i % 2])
    });
    let expected =
        ["id left_out number", "flag feature truth", "at feature {date:Y-M-D}", "k class text"];
    let columns = inspect(duckdb, "").columns();
    for (found, expected) in columns.iter().zip(expected) {
        assert!(found.replace(NUMBER, "number") == expected, "{found}");
    }
    let polars = rows("x,flag,at,k", 20, |i| {
        let day = format!("2024-01-{:02}T10:00:00.000000", i + 1);
        format!("{i}.25,{},{},{}", i % 2 == 0, if i == 3 { "" } else { &day }, ["a", "b"][i % 2])
    });
    assert_eq!(inspect(polars, "").columns()[2], "at feature {date:Y-M-D}");
    let pandas = rows(",x,flag,k", 20, |i| {
        let x = if i == 4 { String::new() } else { format!("{i}.0") };
        format!("{i},{x},{},{}", ["True", "False"][i % 2], ["a", "b"][i % 2])
    });
    let found = inspect(pandas, "");
    assert_eq!(found.columns()[2], "flag feature truth");
    assert_eq!((found.note(0), &found.column(1)["missing"]), ("it numbers the rows", &1.into()));
}
