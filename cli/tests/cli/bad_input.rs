//! Bad input: the message names the place and the mistake, the status is 2, and no file is overwritten.

use std::fs;

use crate::run::Folder;

/// (file, content, parts of the message)
type Case<'a> = (&'a str, &'a [u8], &'a [&'a str]);

#[test]
fn bad_files() {
    let folder = Folder::new();
    folder.write("out", "precious");
    let cases: [Case<'_>; 13] = [
        ("empty.csv", b"", &["line 1", "an empty file"]),
        ("header.csv", b"a,b\n", &["line 2", "samples below the header"]),
        ("ragged.csv", b"a,b\n1,2\n3\n", &["line 3", "expected 2 fields", "found 1 field"]),
        (
            "inf.csv",
            b"a,b\n0,1\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n7,0\n8,1\n9,0\ninf,3\n",
            &["line 12, column 1 (a)", "\"inf\"", "--missing"],
        ),
        (
            "text.csv",
            b"a,b\n0,1\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n7,0\n8,1\n9,0\nx,3\n",
            &["line 12, column 1 (a)", "\"x\""],
        ),
        ("gaps.csv", b"a,b\n1,\n2,\n", &["column 2 (b)", "labels", "missing values alone"]),
        ("latin1.csv", b"a,b\n1,caf\xe9\n", &["line 2, byte 9", "UTF-8", "0xe9", "--encoding"]),
        ("quote.csv", b"a,b\n1,x\n2,\"y\n3,x\n", &["line 3", "a quote that is not closed"]),
        ("alone.csv", b"a\n1\n2\n", &["a column to learn from beside the label"]),
        ("same.csv", b"a,b\n1,x\n2,x\n", &["at least 2 different classes", "\"x\" everywhere"]),
        ("empty.npy", b"", &["empty.npy", "byte 0"]),
        ("short.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr'", &["short.npy"]),
        ("wrong.npy", b"PK\x03\x04 not an array", &["wrong.npy", "byte 0"]),
    ];
    for (file, content, parts) in cases {
        folder.write(file, content);
        folder.run(&format!("train {file} --out out --json")).fails(2, &[&[file], parts].concat());
    }
    assert_eq!(fs::read(folder.join("out")).unwrap(), b"precious");
}

/// Two images of 2x2 with their labels.
fn idx(labels: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let images =
        [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[1, 2, 3, 4, 5, 6, 7, 8]].concat();
    (images, [&[0, 0, 8, 1, 0, 0, 0, labels.len() as u8][..], labels].concat())
}

#[test]
fn bad_images() {
    let folder = Folder::new();
    let (images, labels) = idx(&[0, 1]);
    folder.write("labels", &labels);
    folder.write("short", &images[..20]);
    folder.write("long", [&images[..], &[0]].concat());
    folder.write("three", idx(&[0, 1, 2]).1);
    folder.write("images", &images);
    let train =
        |pair: &str| folder.run(&format!("train idx:{pair} --held-out 0 --epochs 1 --out m"));
    train("short,labels").fails(2, &["short", "byte 20"]);
    train("long,labels").fails(2, &["long", "byte 24"]);
    train("labels,labels").fails(2, &["labels"]);
    train("images,three").fails(2, &["three", "2 labels", "3 labels"]);
    train("images").fails(2, &["idx:IMAGES,LABELS"]);
    assert!(!folder.join("m").exists());

    train("images,labels").ok();
    // A label that the model does not know; then samples of another size.
    folder.write("high", idx(&[0, 7]).1);
    folder.run("evaluate m idx:images,high").fails(2, &["sample 1", "2 classes", "\"7\""]);
    folder.run("evaluate m digits").fails(2, &["digits: features: expected 4 a sample, found 64"]);
    folder.run("predict m digits").fails(2, &["expected 4 a sample, found 64"]);
}

#[test]
fn bad_arguments() {
    let folder = Folder::new();
    folder.write("out", "precious");
    folder.write("t.csv", "a,b\n1,0.5\n2,1.5\n3,2.5\n4,-1\n");
    for (arguments, parts) in [
        ("digits --hidden 0", &["layer of size 0"][..]),
        ("digits --hidden 3,x", &["'x'"]),
        ("digits --batch 0", &["--batch"]),
        ("digits --epochs 0", &["--epochs"]),
        ("digits --threads 0", &["--threads"]),
        ("digits --threads 5000", &["from 1 to 1024"]),
        ("digits --learning-rate nan", &["a finite number not below 0"]),
        ("digits --learning-rate -1", &["a finite number not below 0"]),
        ("digits --held-out 1", &["--held-out"]),
        ("digits --held-out 0.0001", &["0.0001 of 1797 samples"]),
        ("digits --samples 0", &["--samples"]),
        ("digits --activation rleu", &["rleu", "relu"]),
        ("digits --activation softmax", &["layer 0 has softmax"]),
        ("digits --loss sad", &["--loss", "'sad' is none of cross-entropy"]),
        ("digits --loss huber(-1)", &["above 0"]),
        (
            "digits --optimizer magic",
            &["--optimizer", "sgd, momentum, nesterov, rmsprop, adam, adamw"],
        ),
        (
            "digits --optimizer adam --momentum 0.9",
            &["--momentum", "momentum or nesterov, not for adam"],
        ),
        ("digits --optimizer momentum --momentum 1", &["--momentum", "from 0 to less than 1"]),
        ("digits --weight-decay -0.1", &["--weight-decay", "not below 0"]),
        ("digits --clip-norm 0", &["--clip-norm", "above 0"]),
        ("digits --clip-value nan", &["--clip-value", "above 0"]),
        ("digits --clip-norm 1 --clip-value 1", &["--clip-norm", "--clip-value"]),
        ("digits --schedule magic", &["--schedule", "coslog or plateau"]),
        ("digits --schedule step(0)", &["step: expected a number of epochs, at least 1, not '0'"]),
        ("digits --schedule step(3,0)", &["step: expected a finite number above 0"]),
        ("digits --schedule cosine(0,1)", &["cosine takes at most 1 numbers, not 2"]),
        ("digits --schedule one-cycle(3", &["--schedule"]),
        ("digits --init zero", &["zeros"]),
        ("digits --precision f8", &["f32, f64"]),
        ("digits --device abacus", &["abacus", "there are: cpu"]),
        ("digits --label 3", &["--label", "is for tables, not for digits"]),
        ("digits --task values", &["--task"]),
        ("digits --epoch 3", &["--epochs"]),
        ("digit", &["cannot read digit"]),
        ("idx:images", &["expected idx:IMAGES,LABELS"]),
        ("missing.csv", &["cannot read missing.csv"]),
        ("mnist:missing", &["missing/train-images-idx3-ubyte"]),
        ("t.csv --label c", &["\"c\"", "\"a\", \"b\""]),
        ("t.csv --label 3", &["no column \"3\"", "\"a\", \"b\""]),
        ("t.csv --label 0", &["from 1"]),
        ("t.csv --label none", &["training needs a label"]),
        ("t.csv --output softmax", &["for classes", "--task classes"]),
        ("t.csv --output sigmoid", &["from 0 to 1", "the label has"]),
        ("t.csv --labels t.npy", &["--labels"]),
        ("t.csv --test digits", &["--test", "of the same kind as t.csv"]),
        ("t.csv --stratify", &["--stratify", "classes, but the label is values"]),
        ("t.csv --stratify --stream 1", &["--stratify", "classes, but the label is values"]),
    ] {
        folder.run(&format!("train {arguments} --out out --json")).fails(2, parts);
    }
    folder.run("trian digits").fails(2, &["'train'"]);
    folder.run("").fails(2, &["Usage"]);
    assert_eq!(fs::read(folder.join("out")).unwrap(), b"precious");
}

#[test]
fn bad_benchmarks() {
    let folder = Folder::new();
    for (arguments, part) in [
        ("forward --network 5", "as 784-10"),
        ("forward --network 5-0", "layer of size 0"),
        ("forward --network nielson", "'nielson'"),
        ("forward --activations relu,relu", "1 name, or 3"),
        ("forward --batch 0", "--batch"),
        ("article --network 2-2", "fixed"),
        ("sideways", "forward, train, article"),
    ] {
        folder.run(&format!("bench {arguments} --json")).fails(2, &[part]);
    }
    // Not the user's trouble.
    folder.run("bench forward --network 4000000-4000000").fails(1, &["out of memory"]);
}

#[test]
fn bad_models() {
    let folder = Folder::new();
    folder.run("train digits --hidden none --epochs 1 --batch 100 --out m").ok();
    let model = fs::read(folder.join("m")).unwrap();
    folder.write("empty", "");
    folder.write("short", &model[..model.len() - 4]);
    folder.write("long", [&model[..], &[0; 4]].concat());
    folder.write("noise", [7; 100]);
    for file in ["empty", "short", "long", "noise"] {
        for command in [
            format!("evaluate {file} digits"),
            format!("inspect {file}"),
            format!("predict {file} digits"),
        ] {
            folder.run(&command).fails(2, &[file, "expected", "found"]);
        }
    }

    let (version, mut newer) = (b"\\\"version\\\":1", model.clone());
    let at = newer.windows(version.len()).position(|window| window == version).unwrap();
    newer[at + version.len() - 1] = b'9';
    folder.write("newer", newer);
    folder
        .run("evaluate newer digits")
        .fails(2, &["newer: version: expected 1 to 4, found 9", "a newer travertine"]);

    let nan = [&model[..model.len() - 4], &f32::NAN.to_le_bytes()].concat();
    folder.write("nan", nan);
    folder.run("evaluate nan digits").fails(2, &["nan: ", "layers.0", "finite", "NaN"]);
    folder.run("inspect nothing").fails(2, &["cannot", "nothing"]);
}

#[test]
fn no_driver_is_told_with_the_cure() {
    let folder = Folder::new();
    let devices = folder.run("devices").ok();
    let line = devices.out.lines().find(|line| line.starts_with("cuda")).unwrap();
    if line.starts_with("cuda:") {
        return;
    }
    assert!(line.contains("not usable") && line.contains("install"), "{line}");
    folder
        .run("train digits --device cuda --out model.safetensors")
        .fails(2, &["cuda is not available", "install"]);
    assert!(!folder.join("model.safetensors").exists());
}
