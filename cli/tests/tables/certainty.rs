//! What can be read in two ways is refused or told.

use std::io::Write;
use std::process::Stdio;

use crate::run::{Folder, Run};
use crate::{inspect, refused, rows};

#[test]
fn times_with_and_without_a_zone_are_not_mixed() {
    let time =
        |i: usize, zone: &str| format!("2026-01-{:02}T{:02}:00:00{zone}", i % 28 + 1, i % 24);
    let table = |zone: &dyn Fn(usize) -> &'static str| {
        rows("at,k", 40, |i| format!("{},{}", time(i, zone(i)), ["a", "b"][i % 2]))
    };
    for zone in ["Z", "+02:00", "-0500", " +01"] {
        let mixed = table(&|i| if i == 7 { zone } else { "" });
        let parts = ["line 2, column 1 (at)", "without a zone", "line 9", "--no-dates", "--drop"];
        refused(&mixed, "", &parts);
    }
    let by_days = rows("at,k", 40, |i| match i % 20 {
        3 => format!("2026-01-01T10:00Z,{}", i % 2),
        _ => format!("2026-01-{:02},{}", i % 28 + 1, i % 2),
    });
    refused(&by_days, "", &["line 2, column 1 (at)", "line 5"]);
    assert!(inspect(&by_days, "--no-dates --keep at").columns()[0].ends_with("text"));

    // Training had a zone, or none: predictions as well.
    let (with, without) = (table(&|i| ["Z", "+02:00"][i % 2]), table(&|_| ""));
    for (text, kind, good, bad) in [
        (&with, "a date with a zone", "2026-01-05T10:00:00-03:00", "2026-01-05T10:00:00"),
        (&without, "a date without a zone", "2026-01-05 10:00", "2026-01-05T10:00:00Z"),
    ] {
        let folder = Folder::new();
        folder.write("t.csv", text);
        folder.run("train t.csv --epochs 1").ok();
        for (file, options) in [("csv", ""), ("jsonl", "--jsonl")] {
            let write = |at: &str| match file {
                "csv" => folder.write("new.csv", format!("at\n{at}\n")),
                _ => folder.write("new.jsonl", format!("{{\"at\": \"{at}\"}}\n")),
            };
            let predict = format!("predict t.safetensors new.{file} {options}");
            write(good);
            folder.run(&predict).ok();
            write(bad);
            folder.run(&predict).fails(2, &[kind, bad, "line"]);
        }
    }
}

#[test]
fn lost_zeros_are_told() {
    let code = |i: usize| format!("{:05},{},{}", 501 + i * 997 % 90000, i % 7, ["a", "b"][i % 2]);
    let text = rows("zip,n,k", 200, code);
    let found = inspect(&text, "");
    assert!(found.note(0).contains("zeros in front, as in 00501"), "{}", found.note(0));
    assert_eq!(found.note(1), "");
    assert_eq!(inspect(&text, "--categorical zip").columns()[0], "zip feature text");
    // Far below the first values as well; and 0 or 0.5 is no code.
    let late = rows("zip,n,k", 200, |i| {
        format!("{},0.{i},{}", if i < 190 { 10000 + i } else { i }, ["a", "b"][i % 2])
    });
    assert_eq!(inspect(&late, "").note(0), "");
    let late = late.replace("\n195,", "\n00195,");
    assert!(inspect(&late, "").note(0).contains("00195"));
    assert_eq!(inspect(&late, "").note(1), "");
    // More digits than a number has.
    let long = rows("card,n,k", 40, |i| {
        format!("{},{i}.5,{}", 16_000_000_000_000_001u64 + 1_000_000_000_006 * i as u64, i % 2)
    });
    assert!(inspect(&long, "").note(0).contains("all digits, as in 16000000000000001"));
    let exact = rows("card,n,k", 40, |i| {
        format!("{},{i}.5,{}", 4_000_000_000_000_001u64 + 1_000_000_000_006 * i as u64, i % 2)
    });
    assert_eq!(inspect(&exact, "").note(0), "");
    let folder = Folder::new();
    folder.write("t.csv", &text);
    let run = folder.run("train t.csv --epochs 1").ok();
    assert!(run.err.contains("--categorical zip"), "{}", run.err);
    let run = folder.run("train t.csv --label zip --epochs 1").ok();
    assert!(run.err.contains("--task classes"), "{}", run.err);
}

#[test]
fn a_row_of_totals_is_no_sample() {
    let row = |i: usize| format!("shop {},{},{}.5,{}", i % 5, i % 9 + 1, i % 4, i % 2);
    let text = rows("shop,sold,price,k", 40, row);
    let sold: usize = (0..40).map(|i| i % 9 + 1).sum();
    let price: f64 = (0..40).map(|i| (i % 4) as f64 + 0.5).sum();
    for name in ["Total", "TOTAL:", "Sum", "grand total"] {
        let parts = ["line 42, column 1 (shop)", name, "sums of the rows above"];
        refused(format!("{text}{name},{sold},{price},20\n"), "", &parts);
        refused(format!("{text}{name},{sold},,20\n"), "", &parts);
        // Without a label the row is left out in any case.
        let found = inspect(format!("{text}{name},{sold},,\n"), "");
        assert!(found.note(0).contains("line 42") && found.0["rows_without_label"] == 1);
    }
    let mean = format!("Average,{:.2},{:.2},0.50", sold as f64 / 40.0, price / 40.0);
    refused(format!("{text}{mean}\n"), "", &["line 42, column 1 (shop)", "means"]);
    let dated = rows("at,shop,sold,k", 40, |i| {
        format!("2026-01-{:02},s{},{},{}", i % 28 + 1, i % 5, i % 9 + 1, i % 2)
    });
    refused(format!("{dated}2026-01-31,Total,{sold},20\n"), "", &["line 42, column 2 (shop)"]);
    // Decimal commas.
    let marked = rows("shop;sold;k", 30, |i| format!("s{};{},25;{}", i % 5, i % 9 + 1, i % 2));
    refused(format!("{marked}Summe;148,5;15\n"), "", &["line 32", "Summe"]);
    // Only named so: told.
    let found = inspect(format!("{text}Total,7,1.5,1\n"), "");
    assert!(found.note(0).contains("line 42 has \"Total\""), "{}", found.note(0));
    // A category, or no last row.
    let oil = rows("shop,sold,k", 40, |i| format!("{},{i},{}", ["Total", "Agip"][i % 2], i % 2));
    assert!(!inspect(&oil, "").note(0).contains("line"), "{}", inspect(&oil, "").note(0));
    assert!(!inspect(text.replace("\nshop 0,1,", "\nTotal,1,"), "").note(0).contains("line"));
}

#[test]
fn columns_that_may_be_others_are_refused() {
    let text =
        |row: &dyn Fn(usize) -> String| -> String { (0..60).map(|i| row(i) + "\n").collect() };
    let columns = |i: usize| (i * 37 % 800, i * 7 % 10, i * 3 % 8, i * 11 % 7);
    let folder = Folder::new();
    let predict = |text: &str| {
        folder.write("new.csv", text);
        folder.run("predict t.safetensors new.csv")
    };
    let parts = ["1, 2, 3", "2, 3, 4", "all 4", "label"];
    // Decimals everywhere: nothing tells the columns apart, but a text is no number.
    folder.write(
        "t.csv",
        text(&|i| {
            let (id, x, z, y) = columns(i);
            format!("{id}.5,0.{x},0.{z},{y}.5")
        }),
    );
    folder.run("train t.csv --drop 1 --task values --epochs 1").ok();
    predict("17.5,0.5,0.2\n90.5,0.1,0.7\n").fails(2, &parts);
    predict("0.5,0.2,9.5\n0.1,0.7,9.5\n").fails(2, &parts);
    let expected = predict("17.5,0.5,0.2,\n90.5,0.1,0.7,\n").ok().out;
    for new in [
        "a17,0.5,0.2\na90,0.1,0.7\n",
        "0.5,0.2,high\n0.1,0.7,low\n",
        "0.5,0.2\n0.1,0.7\n",
        "17.5,0.5,0.2,9.5\n90.5,0.1,0.7,9.5\n",
    ] {
        assert_eq!(predict(new).ok().out, expected, "{new}");
    }
    // Whole numbers are none of the features.
    folder.write(
        "t.csv",
        text(&|i| {
            let (id, x, z, y) = columns(i);
            format!("{id},0.{x},0.{z},{y}.5")
        }),
    );
    folder.run("train t.csv --drop 1 --task values --epochs 1").ok();
    let expected = predict("17,0.5,0.2,\n90,0.1,0.7,\n").ok().out;
    assert_eq!(predict("17,0.5,0.2\n90,0.1,0.7\n").ok().out, expected);
    assert_eq!(predict("0.5,0.2,9.5\n0.1,0.7,9.5\n").ok().out, expected);
    let first = expected.lines().next().unwrap().to_owned() + "\n";
    for row in ["17,0.5,0.2\n", "0.5,0.2,9.5\n"] {
        let mut command = folder.command("predict t.safetensors -");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(row.as_bytes()).unwrap();
        let run = Run::new("predict -", child.wait_with_output().unwrap()).ok();
        assert_eq!(run.out, first, "{row}");
    }
    predict("17,5,2\n90,1,7\n").fails(2, &parts);
    // Whole numbers everywhere: a counter tells, and so does a constant.
    folder.write(
        "t.csv",
        text(&|i| {
            let (_, x, z, y) = columns(i);
            format!("{i},{x},{z},{}", 100 * y + i)
        }),
    );
    folder.run("train t.csv --epochs 1").ok();
    let expected = predict("4,5,2,\n5,1,7,\n6,2,2,\n").ok().out;
    assert_eq!(predict("4,5,2\n5,1,7\n6,2,2\n").ok().out, expected);
    predict("5,2,9\n1,7,9\n").fails(2, &parts);
    folder.write(
        "t.csv",
        text(&|i| {
            let (_, x, z, y) = columns(i);
            format!("4,{x},{z},{}", 100 * y + i)
        }),
    );
    folder.run("train t.csv --epochs 1").ok();
    let expected = predict("4,5,2,\n4,1,7,\n4,0,1,\n").ok().out;
    assert_eq!(predict("4,5,2\n4,1,7\n4,0,1\n").ok().out, expected);
    assert_eq!(predict("5,2,9\n1,7,9\n0,1,9\n").ok().out, expected);
}

#[test]
fn messages_name_what_the_command_has() {
    let folder = Folder::new();
    let row = |i: usize| format!("{i}.5,2026-01-{:02},{}", i % 28 + 1, ["a", "b"][i % 2]);
    folder.write("t.csv", rows("x,at,k", 40, row));
    folder.run("train t.csv --epochs 1").ok();
    folder.write("word.csv", "x,at,k\nten,2026-01-01,a\n");
    for command in ["predict", "evaluate"] {
        let run = folder.run(&format!("{command} t.safetensors word.csv"));
        let named = |option: &str| run.err.contains(&format!("train {option}"));
        assert!(named("--missing") && named("--categorical"), "{}", run.err);
    }
    folder.write("tabs.csv", "x\tat\n1\t2026-01-01\n");
    let parts = ["separated by ','", "separated by tabs", "--delimiter"];
    folder.run("predict t.safetensors tabs.csv").fails(2, &parts);
    assert_eq!(folder.run("predict t.safetensors tabs.csv --delimiter tab").ok().err, "");
    folder.write("far.csv", "x,at\n1,2036-07-09\n2,2036-07-10\n");
    let run = folder.run("predict t.safetensors far.csv").ok();
    assert!(run.err.contains("2 samples: 'at' is 2036-07-09, far outside"), "{}", run.err);
    folder.write("unclear.csv", rows("at,k", 12, |i| format!("0{}/02/2024,{}", i % 9 + 1, i % 2)));
    folder.run("inspect unclear.csv").fails(2, &["--dates says", "--no-dates"]);
}

#[test]
fn tables_of_r_may_have_empty_texts() {
    let row = |i: usize| {
        let color = ["\"red\"", "\"\"", "\"light blue\"", "NA"][i % 4];
        format!("\"{}\" {}.5 {color} \"{}\"", i + 1, i % 9, ["a", "b"][i % 2])
    };
    let text = rows("\"x\" \"color\" \"k\"", 60, row);
    let found = inspect(&text, "");
    let expected = ["x feature", "color feature text", "k class text"];
    for (column, expected) in found.columns()[1..].iter().zip(expected) {
        assert!(column.starts_with(expected), "{column}");
    }
    assert_eq!(found.column(2)["missing"], 30);
    // Without names of rows, and with an empty text at either end.
    let ends = rows("a b k", 30, |i| match i % 3 {
        0 => format!("\"\" {i}.5 y"),
        1 => format!("\"u\" {i}.5 \"\""),
        _ => format!("\"say \"\"hi\"\" u\" {i}.5 n"),
    });
    let found = inspect(&ends, "");
    assert_eq!(found.columns().len(), 3);
    assert_eq!(
        (&found.column(0)["missing"], &found.column(2)["missing"]),
        (&10.into(), &10.into())
    );
    assert!(found.note(0).contains("say \"hi\" u"), "{}", found.note(0));
}

#[test]
fn predictions_of_several_values_have_names() {
    let folder = Folder::new();
    let row = |i: usize| format!("{},{}.5,-{}.25", i % 9, i % 9, i % 7);
    folder.write("t.csv", rows("x,price,change", 60, row));
    folder.run("train t.csv --label price,change --epochs 1").ok();
    let run = folder.run("predict t.safetensors t.csv --id x").ok();
    let fields: Vec<&str> = run.out.lines().next().unwrap().split('\t').collect();
    assert!(fields[0] == "0" && fields.len() == 3, "{fields:?}");
    assert!(fields[1].starts_with("price: ") && fields[2].starts_with("change: "), "{fields:?}");
    let line = folder.run("predict t.safetensors t.csv --json").ok().json().remove(0);
    assert_eq!(line["targets"], serde_json::json!(["price", "change"]));
    assert_eq!(line["output"].as_array().unwrap().len(), 2);
    folder.run("train t.csv --label price --epochs 1 --out one.safetensors").ok();
    let one = folder.run("predict one.safetensors t.csv").ok();
    assert!(one.out.lines().all(|line| line.parse::<f64>().is_ok()), "{}", one.out);
}

#[test]
fn a_word_for_missing_values_is_told() {
    let text = rows("x,k", 30, |i| match i % 10 {
        3 => format!("x,{}", i % 2),
        _ => format!("{},{}", i % 7, i % 2),
    });
    let found = inspect(&text, "");
    assert!(found.note(0).contains("\"x\" is a missing value"), "{}", found.note(0));
    assert_eq!(found.column(0)["missing"], 3);
}
