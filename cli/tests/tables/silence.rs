//! Files that once gave a wrong answer in silence.

use super::run::Folder;
use super::{inspect, refused, rows};

/// 40 rows of two numbers and a class that follows from them, without a header.
fn bare() -> String {
    (0..40)
        .map(|i| format!("0.{:02},0.{:02},{}\n", i * 17 % 97 + 1, i * 31 % 89 + 1, i % 2))
        .collect()
}

#[test]
fn one_odd_value_in_the_first_row_of_a_file_without_header_is_an_error() {
    let folder = Folder::new();
    folder.write("bare.csv", bare());
    folder.run("train bare.csv --epochs 1 --out m").ok();
    folder.write("odd.csv", "0.1,<0.01,0\n0.9,0.1,1\n0.1,0.9,0\n");
    for command in ["predict m odd.csv", "evaluate m odd.csv", "train bare.csv --test odd.csv"] {
        folder.run(command).fails(2, &["line 1, column 2", "\"<0.01\""]);
    }
}

#[test]
fn every_row_has_a_prediction() {
    let folder = Folder::new();
    let table = |i: usize| match i % 5 {
        0 => format!(",{}", ["u", "v"][i % 2]),
        _ => format!("0.{},{}", i * 7 % 10, ["u", "v"][i % 2]),
    };
    folder.write("one.csv", rows("x,k", 40, table));
    folder.run("train one.csv --epochs 1 --out one").ok();
    // As pandas writes a gap in an only column.
    folder.write("gap.csv", "x\n0.9\n\"\"\n0.1\n");
    assert_eq!(folder.run("predict one gap.csv").ok().out.lines().count(), 3);
    // As polars does: a blank line is a row, or none.
    folder.write("blank.csv", "x\n0.9\n\n0.1\n");
    folder.run("predict one blank.csv").fails(2, &["blank lines", "NA"]);
    folder.write("two.csv", rows("x,z,k", 40, |i| format!("{},a,{}", i % 3, ["u", "v"][i % 2])));
    folder.run("train two.csv --keep z --epochs 1 --out two").ok();
    folder.write("empty.csv", "x,z\n1,a\n,\n2,a\n");
    assert_eq!(folder.run("predict two empty.csv").ok().out.lines().count(), 3);
}

#[test]
fn decimal_commas_between_blanks_are_not_cut() {
    let pair = |i: usize| format!("{},{:02} {},{:02}", i % 9, i * 17 % 100, i % 7, i * 31 % 100);
    let found = inspect(rows("x y", 30, pair), "");
    assert_eq!(found.columns().len(), 2);
    let body: String = (0..30).map(|i| pair(i) + "\n").collect();
    assert_eq!(inspect(body, "").columns().len(), 2);
}

#[test]
fn numbers_far_from_their_columns_are_names_or_refused() {
    let body = |i: usize| {
        format!("{},{}.{},0.{},2.{}", ["A", "B", "C"][i % 3], i % 9, i % 10, i % 7, i % 5)
    };
    let text = rows("store,2018,2019,2021", 40, body);
    refused(&text, "", &["line 1", "--header", "2018"]);
    assert_eq!(inspect(&text, "--header").columns()[0], "store feature text");
    let spectrum = |i: usize| format!("0.{},0.{},0.{},{}", i % 9, i % 7, i % 8, i % 3);
    refused(
        rows("400.5,405.5,410.5,label", 40, spectrum).replace("label", "415.5"),
        "",
        &["--header"],
    );
}

#[test]
fn names_may_be_words_for_truth() {
    for (header, row) in [("t,kind", "u,A\nv,B\n"), ("no,name", "u,A\nv,B\n")] {
        let found = inspect(format!("{header}\n{}", row.repeat(6)), "");
        assert!(found.columns()[0].starts_with(header.split(',').next().unwrap()), "{header}");
    }
    let times = |i: usize| format!("{}.5,{}", i, ["ok", "bad"][i % 2]);
    assert_eq!(inspect(rows("t,y", 12, times), "").columns()[0].split(' ').next(), Some("t"));
    let truths = |i: usize| format!("{},{}", i * i, ["t", "f"][i % 2]);
    assert_eq!(inspect(rows("f,y", 12, truths), "").columns()[0].split(' ').next(), Some("f"));
}

#[test]
fn points_between_thousands_or_in_front_of_decimals_are_refused() {
    let price = |i: usize| match i % 3 {
        0 => format!("{};{};ja", 50 + i, 400 + i),
        _ => format!("{};{}.{:03};nein", 50 + i, 1 + i % 4, i * 37 % 1000),
    };
    let text = rows("area;price;sold", 40, price);
    refused(&text, "", &["column 2 (price)", "--decimal", "--thousands"]);
    assert!(inspect(&text, "--thousands .").columns()[1].contains("thousands"));
}

#[test]
fn rows_that_begin_with_the_mark_of_comments_are_predicted() {
    let folder = Folder::new();
    let tag = |i: usize| format!("{},0.{},{}", ["red", "blue"][i % 2], i % 10, ["A", "B"][i % 2]);
    folder.write("t.csv", format!("# exported by a tool\n{}", rows("tag,x,k", 30, tag)));
    folder.run("train t.csv --epochs 1 --out m").ok();
    folder.write("new.csv", "tag,x\nred,.9\n#red,.1\nblue,.1\n");
    assert_eq!(folder.run("predict m new.csv").ok().out.lines().count(), 3);
}

#[test]
fn a_header_that_is_short_is_no_row_of_r() {
    let text = "temp,hum\n3.4,0.2,bad\n9.1,3.2,ok\n2.2,5.1,ok\n3.4,7.7,bad\n".to_owned();
    let folder = Folder::new();
    folder.write("t.csv", &text);
    let run = folder.run("inspect t.csv");
    assert!(run.status != Some(0) || !run.out.contains("hum"), "{}{}", run.out, run.err);
}

#[test]
fn damaged_numbers_are_no_categories() {
    for damaged in ["inf", "(218.00)", "#DIV/0!"] {
        let text = rows("q,k", 30, |i| {
            let q = if i % 6 == 5 { damaged.to_owned() } else { (i % 3).to_string() };
            format!("{q},{}", ["A", "B"][i % 2])
        });
        refused(text, "", &["column 1 (q)", damaged]);
    }
}
