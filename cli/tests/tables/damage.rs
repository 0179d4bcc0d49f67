//! Files that were cut, joined, packed or written for another program: read as they are meant, or refused with the reason.

use std::io::Write;
use std::process::Stdio;

use crate::run::{Folder, Run};
use crate::{inspect, refused, rows};

/// Runs a command that reads a text from standard input.
fn piped(folder: &Folder, arguments: &str, input: impl AsRef<[u8]>) -> Run {
    let mut command = folder.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses the first bytes reads no more.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    Run::new(arguments, child.wait_with_output().unwrap())
}

/// A folder with models `t` of columns a and b, and `bare` of three columns without names.
fn models() -> Folder {
    let folder = Folder::new();
    let values = |i: usize| format!("{},0.{},{}.5", i + 1, i * 7 % 90 + 10, 2 * i);
    folder.write("t.csv", rows("a,b,y", 60, values));
    folder.run("train t.csv --hidden none --epochs 1 --out t").ok();
    let body = rows("a,b,y", 60, values).split_once('\n').unwrap().1.to_owned();
    folder.write("bare.csv", body);
    folder.run("train bare.csv --hidden none --epochs 1 --out bare").ok();
    folder
}

#[test]
fn carriage_returns_end_lines_from_a_file_and_from_standard_input() {
    let folder = models();
    let text = "a,b\n1,0.5\n50,0.25\n";
    folder.write("new.csv", text);
    let expected = folder.run("predict t new.csv").ok().out;
    assert_eq!(expected.lines().count(), 2);
    for end in ["\n", "\r", "\r\n"] {
        let text = text.replace('\n', end);
        folder.write("new.csv", &text);
        assert_eq!(folder.run("predict t new.csv").ok().out, expected, "{end:?}");
        for text in [text.trim_end(), &text] {
            assert_eq!(piped(&folder, "predict t -", text).ok().out, expected, "{end:?}");
        }
    }
    let bad = "a,b\r1,0.5\r50,x\r";
    folder.write("new.csv", bad);
    folder.run("predict t new.csv").fails(2, &["line 3, column 2"]);
    let run = piped(&folder, "predict t -", bad);
    assert!(run.status == Some(2) && run.err.contains("line 3, column 2"), "{}", run.err);
}

#[test]
fn a_header_that_comes_again_is_refused() {
    let again = |header: &str, row: &dyn Fn(usize) -> String| {
        rows(header, 205, |i| if i % 41 == 40 { header.to_owned() } else { row(i) })
    };
    let named = again("a,b,y", &|i| format!("{},0.{i},{}", ["p", "q"][i % 2], ["u", "v"][i % 2]));
    refused(&named, "", &["line 42", "the header again", "delete the line"]);
    refused(&named, "--header", &["line 42", "the header again"]);
    let words =
        again("colour,shape,class", &|i| ["red,round,u", "blue,square,v"][i % 2].to_owned());
    refused(&words, "", &["line 1", "comes again as a whole", "--header"]);
    refused(&words, "--header", &["line 42", "the header again"]);
    assert_eq!(inspect(&words, "--no-header").columns()[0], "column 1 feature text");

    let folder = models();
    let joined = "a,b\n1,0.5\na,b\n50,0.5\n";
    folder.write("new.csv", joined);
    folder.run("predict t new.csv").fails(2, &["line 3", "the header again"]);
    let run = piped(&folder, "predict t -", joined);
    assert!(run.err.contains("line 3: expected a sample, found the header again"), "{}", run.err);
    assert_eq!(run.status, Some(2));
    // A row of numbers may equal a header of numbers.
    let counted = rows("0,1,2", 30, |i| format!("{},{}.5,{}.5", i % 3, i % 7, i % 5)) + "0,1,2\n";
    inspect(counted, "--header");
}

#[test]
fn lines_of_dashes_are_no_samples() {
    let folder = models();
    for rule in ["---,---,---", "|----|", "-----------", "====,====,===="] {
        let text = rows("a,b,y", 40, |i| match i % 10 {
            9 => rule.to_owned(),
            _ => format!("{i}.5,{},{}", i % 7, ["u", "v"][i % 2]),
        });
        refused(&text, "", &["line 11", "a line of dashes"]);
        let new = format!("a,b,y\n1,0.5,1\n{rule}\n");
        folder.write("new.csv", &new);
        folder.run("predict t new.csv").fails(2, &["line 3", "a line of dashes"]);
        let run = piped(&folder, "predict t -", &new);
        assert!(run.status == Some(2) && run.err.contains("line 3"), "{}", run.err);
    }
    // Below the header, as tables in texts have it.
    let table = rows("|a|b|y|", 40, |i| match i {
        0 => "|---|:--|---|".to_owned(),
        _ => format!("|{i}.5|{}|{}|", i % 7, ["u", "v"][i % 2]),
    });
    refused(&table, "", &["line 2", "a line of dashes"]);
    // A gap.
    inspect(rows("a,b,y", 40, |i| format!("{},-,{}", i % 9, i % 2)), "");
}

#[test]
fn years_above_whole_numbers_may_be_names() {
    let body = |i: usize| format!("{},{},{}", 1200 + i * 17, 1210 + i * 17, 1280 + i * 16);
    for years in ["2019,2020,2021", "2015,2020,2021"] {
        let regions = rows(&format!("region,{years}"), 80, |i| {
            format!("{},{}", ["north", "south"][i % 2], body(i))
        });
        refused(&regions, "", &["line 1", "2020", "--header"]);
        assert_eq!(inspect(&regions, "--header").columns()[0], "region feature text");
        assert!(inspect(&regions, "--no-header").columns()[0].starts_with("column 1"));
        let countries = rows(&format!("country,{years}"), 80, |i| format!("land {i},{}", body(i)));
        refused(&countries, "", &["line 1", "2020", "--header"]);
    }
    // Rising numbers other than years, below a text that stands nowhere else.
    let sizes = rows("shop,3,5,9", 40, |i| {
        format!("{},{},{},{}", ["x", "y"][i % 2], i % 11, i % 13, i % 17)
    });
    refused(sizes, "", &["\"shop\"", "--header"]);
    // A sample as any other.
    let bare =
        rows("x,3,5,9", 40, |i| format!("{},{},{},{}", ["x", "y"][i % 2], i % 11, i % 13, i % 17));
    assert!(inspect(bare, "").columns()[0].starts_with("column 1"));
}

#[test]
fn letters_above_words_for_truth_are_names() {
    for (header, words) in [("f,y", ["true", "false"]), ("t,y", ["yes", "no"])] {
        let text = rows(header, 60, |i| format!("{},{}", words[i % 2], ["u", "v"][i % 2]));
        let found = inspect(text, "");
        assert_eq!(found.columns()[0], format!("{} feature truth", &header[..1]));
        assert!(found.columns()[1].starts_with("y class"));
    }
}

#[test]
fn a_column_that_is_there_twice_is_refused_where_it_is_used() {
    let folder = models();
    let twice = "a,b,a\n1,0.5,50\n";
    folder.write("new.csv", twice);
    folder.run("predict t new.csv").fails(2, &["\"a\"", "#1 and #3"]);
    piped(&folder, "predict t -", twice).fails(2, &["\"a\"", "#1 and #3"]);
    folder.write("other.csv", "a,b,x,x\n1,0.5,50,60\n");
    folder.run("predict t other.csv").ok();
    let text = rows("y,a,y", 40, |i| format!("{},{},{}", i % 2, i * 7 % 10, i % 2));
    for option in ["--label", "--drop", "--keep", "--categorical"] {
        refused(&text, &format!("{option} y"), &["#1 or #3"]);
    }
    assert_eq!(inspect(&text, "--label #1 --drop #3").columns()[0], "y class text");
    // As in training.
    let both = rows("a,a,k", 40, |i| format!("{}.5,{}.5,{}", i % 7, i % 9, i % 2));
    folder.write("both.csv", both);
    folder.run("train both.csv --epochs 1 --out both").ok();
    folder.write("new.csv", "a,a\n1,2\n");
    folder.run("predict both new.csv").ok();
}

#[test]
fn text_behind_a_closing_quote_is_refused() {
    let nested = rows("size,b,y", 60, |i| match i % 2 {
        0 => format!("\"Smith \"Bob\" J\",1.{i},u"),
        _ => format!("\"1\"7,2.{i},v"),
    });
    refused(&nested, "", &["line 2, column 1", "closing quote", "written twice"]);
    let escaped = rows("b,size,y", 60, |i| format!("1.{i},\"say \\\"hi, me\\\" b\",u"));
    refused(&escaped, "", &["line 2, column 2", "closing quote"]);
    // Far from the head of the file, and in a stream.
    let late = rows("a,size,y", 200_000, |i| format!("{i}.5,\"s{}\",{}", i % 3, i % 2));
    let late = late.replace("199998.5,\"s0\"", "199998.5,\"s\"0");
    refused(&late, "", &["line 200000, column 2"]);
    let folder = Folder::new();
    let sizes = rows("a,size,y", 60, |i| format!("{i}.5,\"s{}\",{}", i % 3, i % 2));
    folder.write("t.csv", sizes);
    folder.run("train t.csv --epochs 1").ok();
    let bad = "a,size\n1,s1\n2,\"s\"1\n";
    folder.write("new.csv", bad);
    folder.run("predict t.safetensors new.csv").fails(2, &["line 3, column 2"]);
    let run = piped(&folder, "predict t.safetensors -", bad);
    assert!(run.status == Some(2) && run.err.contains("line 3, column 2"), "{}", run.err);
    // Blanks behind a quote are no text.
    let blanks = "a,size\n1,\"s1\" \n2, s1\n";
    assert_eq!(piped(&folder, "predict t.safetensors -", blanks).ok().out.lines().count(), 2);
}

#[test]
fn a_header_that_lacks_a_name_is_refused_or_told() {
    let folder = models();
    // A decimal comma that is not in quotes.
    folder.write("one.csv", rows("x,c", 60, |i| format!("{i}.5,{}", ["u", "v"][i % 2])));
    folder.run("train one.csv --epochs 1 --out one").ok();
    for (model, text) in [
        ("one", "x\n1,5\n"),
        ("one", "x\n1,5\n2,25\n3,75\n4,5\n"),
        ("t", "a,b\n2,0.875,-0.205\n"),
        ("t", "a,b\n1,2,50\n2,3,75\n3,4,25\n4,1,50\n"),
        ("t", "a,b\nMazda,21,6\nFiat,22,8\nOpel,24,4\nFord,20,1\nSaab,19,3\nSeat,9,5\n"),
    ] {
        folder.write("new.csv", text);
        let run = folder.run(&format!("predict {model} new.csv"));
        run.fails(2, &["line 1", "a name for each", "--skip-rows"]);
        piped(&folder, &format!("predict {model} -"), text).fails(2, &["fields"]);
    }
    // As R writes it.
    let body: String = (0..8).map(|i| format!("\"{}\",{i}.5,0.{i}\n", i + 1)).collect();
    folder.write("new.csv", format!("\"a\",\"b\"\n{body}"));
    let run = folder.run("predict t new.csv").ok();
    assert!(run.out.lines().count() == 8 && run.err.contains("name of the row"), "{}", run.err);
    let cars = rows("mpg cyl k", 30, |i| format!("car{i} {i}.5 {} {}", i % 4, ["u", "v"][i % 2]));
    let found = inspect(&cars, "");
    assert!(found.columns()[1].starts_with("mpg feature"), "{}", found.columns()[1]);
    // Titles above a header.
    let table = rows("a,b,y", 30, |i| format!("{i}.5,{},{}", i % 7, ["u", "v"][i % 2]));
    for title in ["Sales\n", "Sales,2020\n", "Sales\nof,2020\n"] {
        assert!(inspect(format!("{title}{table}"), "").columns()[0].starts_with("a feature"));
    }
    refused(table.replace("a,b,y", "a,b"), "", &["line 1", "a name for each", "--skip-rows"]);
}

#[test]
fn a_header_that_a_model_without_names_cannot_use_is_told() {
    let folder = models();
    folder.write("new.csv", "b,a,y\n0.5,7,1\n0.25,8,1\n");
    let run = folder.run("predict bare new.csv").ok();
    assert_eq!(run.out.lines().count(), 2);
    for part in ["\"b\", \"a\", \"y\"", "by their places"] {
        assert!(run.err.contains(part), "{}", run.err);
    }
    let run = folder.run("evaluate bare new.csv").ok();
    assert!(run.err.contains("by their places"), "{}", run.err);
    let said = folder.run("predict bare new.csv --header").ok();
    assert!(!said.err.contains("by their places"), "{}", said.err);
}

#[test]
fn what_is_no_text_with_a_table_is_named() {
    let folder = models();
    let commands = ["inspect x.csv", "train x.csv", "predict t x.csv", "evaluate t x.csv"];
    let files: [(&[u8], &str); 8] = [
        (b"\x1f\x8b\x08\x00\x00\x00", "gzip"),
        (b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", "an Excel workbook"),
        (b"PK\x03\x04\x14\x00\x06\x00data.csv", "a ZIP archive"),
        (b"\x28\xb5\x2f\xfd\x00\x00", "zstd"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"{\"a\": 1, \"b\": 2}\n{\"a\": 1, \"b\": 2}\n", "JSON lines"),
        (b"[{\"a\": 1}]\n", "JSON"),
        (b"<!DOCTYPE html>\n<p>1,2\n", "HTML"),
    ];
    for (content, name) in files {
        folder.write("x.csv", content);
        for command in commands {
            folder.run(command).fails(2, &["x.csv", name]);
        }
    }
    piped(&folder, "predict t -", b"\x1f\x8b\x08\x00").fails(2, &["standard input", "gzip"]);
    let utf_16: Vec<u8> = "\u{feff}a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    piped(&folder, "predict t -", utf_16).fails(2, &["byte order mark of UTF-16LE"]);
    piped(&folder, "predict t -", b"a,b\n1,\xff\n").fails(2, &["line 2", "byte 0xff", "UTF-8"]);
}

#[test]
fn a_pipe_is_refused_where_a_file_is_expected() {
    let folder = models();
    for command in ["inspect", "train", "evaluate t"] {
        piped(&folder, &format!("{command} -"), "").fails(2, &["standard input", "predict alone"]);
    }
    if cfg!(unix) {
        let pipe = folder.join("pipe.csv");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            for command in ["inspect pipe.csv", "train pipe.csv", "predict t pipe.csv"] {
                folder.run(command).fails(2, &["pipe.csv", "a regular file"]);
            }
        }
        piped(&folder, "inspect /dev/stdin", "a,b\n1,2\n").fails(2, &["a regular file"]);
    }
}

#[test]
fn a_comment_above_the_header_is_left_out_of_standard_input() {
    let folder = models();
    let text = "# made by a tool\na,b\n1,0.5\n2,0.5\n";
    folder.write("new.csv", text);
    let expected = folder.run("predict t new.csv").ok().out;
    assert_eq!(piped(&folder, "predict t -", text).ok().out, expected);
    piped(&folder, "predict t -", "no comment\na,b\n1,0.5\n").fails(2, &["line 1", "a header"]);
}

#[test]
fn words_for_missing_values_among_classes_are_told() {
    for word in ["?", "-", "none", "missing"] {
        let text = rows("a,b,y", 60, |i| format!("0.{i},1.{i},{}", ["pos", "neg", word][i % 3]));
        let found = inspect(&text, "");
        for part in ["3 classes", "neg", word, "counts as a class"] {
            assert!(found.note(2).contains(part), "{}", found.note(2));
        }
        assert_eq!(found.0["rows_without_label"], 0);
        let left = inspect(&text, &format!("--missing={word}"));
        assert_eq!(left.0["rows_without_label"], 20);
        assert!(left.note(2).contains("2 classes"), "{}", left.note(2));
    }
}

#[test]
fn whole_numbers_alike_up_to_rounding_are_not_called_constant() {
    let large = (1u64 << 53) as usize;
    let text = rows("code,x,k", 60, |i| format!("{},{}.5,{}", large + i, i % 7, i % 2));
    let found = inspect(&text, "");
    assert!(found.note(0).contains("categories"), "{}", found.note(0));
    assert!(!found.note(0).contains("constant"), "{}", found.note(0));
}

#[test]
fn whole_numbers_of_categories_may_have_zero_decimals_in_json() {
    let folder = Folder::new();
    let row = |i: usize| format!("{},{}.5,{}", i % 4, i % 7, ["u", "v"][i % 2]);
    folder.write("t.csv", rows("k,x,y", 60, row));
    folder.run("train t.csv --categorical k --epochs 1").ok();
    let line = |k: &str| format!("{{\"k\":{k},\"x\":1.5}}\n");
    let forms = ["1", "1.0", "\"1\"", "\"1.0\""];
    folder.write("new.jsonl", forms.map(line).concat());
    let run = folder.run("predict t.safetensors new.jsonl --jsonl").ok();
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(lines.len() == 4 && lines.iter().all(|line| *line == lines[0]), "{}", run.out);
    assert!(!run.err.contains("warning"), "{}", run.err);
}

/// Commas between thousands cut a number in two as decimal commas do, and the texts in front of them are no names of rows.
#[test]
fn a_number_that_is_cut_between_thousands_is_refused() {
    let cut = |i: usize| format!("City {i},{},{}.5,{}", i % 9 + 1, 100 + i * 7 % 900, i % 4);
    refused(
        rows("city,price,rooms", 40, cut),
        "",
        &["a name for each of the 4 fields", "cut in two"],
    );
    // What stands in front of the decimals is no rest of thousands.
    let whole = |i: usize| format!("City {i},{},{}.5,{}.25", i % 9 + 1, i % 90, i % 4);
    let names = inspect(rows("price,rooms,y", 40, whole), "");
    assert!(names.columns()[1].starts_with("price feature"), "{:?}", names.columns());
}
