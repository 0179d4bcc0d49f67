//! Tables: CSV and NumPy files that go from training to prediction.

use std::fmt::Write;

use crate::run::Folder;

/// Three kinds of flowers that differ in size, with a column that must be found by name.
fn flowers(with_label: bool) -> String {
    let mut text = String::from(if with_label { "length,kind,width\n" } else { "width,length\n" });
    for i in 0..90 {
        let (kind, wobble) = (i % 3, f64::from(i / 3) * 0.01);
        let (length, width) =
            (1000.0 * (f64::from(kind) + wobble), 0.2 - 0.1 * f64::from(kind) + 0.1 * wobble);
        let name = ["iris", "rose", "tulip"][kind as usize];
        if with_label {
            writeln!(text, "{length},{name},{width}")
        } else {
            writeln!(text, "{width},{length}")
        }
        .unwrap();
    }
    text
}

#[test]
fn classes_of_a_table() {
    let folder = Folder::new();
    folder.write("flowers.csv", flowers(true));
    folder.write("new.csv", flowers(false));
    let run = folder.run("train flowers.csv --label kind --hidden 16 --epochs 40 --json").ok();
    assert!(
        run.err.contains("3 classes of 'kind'") && run.err.contains("2 features"),
        "{}",
        run.err
    );
    let result = run.result();
    assert_eq!(
        (&result["model"], &result["test_accuracy"]),
        (&"flowers.safetensors".into(), &1.0.into())
    );

    let evaluated = folder.run("evaluate flowers.safetensors flowers.csv --json").ok();
    assert_eq!(evaluated.result()["accuracy"], 1.0);
    let confusion = folder.run("evaluate flowers.safetensors flowers.csv").ok().out;
    assert!(
        confusion.lines().any(|line| line.split_whitespace().eq(["rose", "0", "30", "0"])),
        "{confusion}"
    );

    // Columns in another order, and no label: they are found by name, and standardized as in training.
    for file in ["new.csv", "flowers.csv"] {
        let predicted =
            folder.run(&format!("predict flowers.safetensors {file} --json")).ok().json();
        assert_eq!(predicted.len(), 90);
        assert!(
            predicted
                .iter()
                .zip(["iris", "rose", "tulip"].iter().cycle())
                .all(|(line, name)| line["class"] == *name)
        );
    }
    folder
        .run("evaluate flowers.safetensors new.csv")
        .fails(2, &["new.csv", "\"kind\" among them", "\"width\", \"length\""]);
    folder.write("tall.csv", "width,length,kind\n1,1,oak\n");
    folder
        .run("evaluate flowers.safetensors tall.csv")
        .fails(2, &["line 2", "known classes", "\"oak\""]);
    folder.run("predict flowers.safetensors tall.csv").ok();
}

#[test]
fn many_classes_with_long_names_fit_a_screen() {
    let folder = Folder::new();
    let rows: String =
        (0..300).map(|i| format!("{},{},the class {}\n", i % 30, i % 7, i % 30)).collect();
    folder.write("many.csv", format!("a,b,kind\n{rows}"));
    folder.run("train many.csv --epochs 1").ok();
    let text = folder.run("evaluate many.safetensors many.csv").ok().out;
    assert!(text.lines().all(|line| line.chars().count() <= 160), "{text}");
    assert!(text.contains("\n1 the class 0 ") && text.contains("\n30 the class 9 "), "{text}");
}

#[test]
fn values_of_a_table() {
    let folder = Folder::new();
    let mut text = String::new();
    for i in 0..200 {
        let (x, y) = (f64::from(i % 20) - 10.0, f64::from(i / 20) * 100.0);
        writeln!(text, "{};{x};{y}", 2.0 * x + 0.01 * y + 0.25).unwrap();
    }
    folder.write("line.csv", &text);
    let train = "train line.csv --label 1 --hidden none --epochs 60 --learning-rate 0.05 --json";
    let run = folder.run(train).ok();
    assert!(
        run.err.contains("distinct values") && run.err.contains("loss quadratic"),
        "{}",
        run.err
    );
    assert!(run.result()["test_accuracy"].is_null());
    assert!(run.result()["test_loss"].as_f64().unwrap() < 1e-3, "{}", run.out);

    let evaluated = folder.run("evaluate line.safetensors line.csv --json").ok().result();
    assert_eq!(evaluated.as_object().unwrap().len(), 8);
    assert!(
        evaluated["mae"].as_f64() <= evaluated["rmse"].as_f64()
            && evaluated["mae"].as_f64() > Some(0.0)
    );
    assert!(
        evaluated["r2"].as_f64().unwrap() > 0.999 && evaluated["rmse"].as_f64().unwrap() < 0.05,
        "{evaluated}"
    );

    let predicted = folder.run("predict line.safetensors line.csv --json").ok().json();
    assert_eq!(predicted.len(), 200);
    assert!((predicted[0]["output"][0].as_f64().unwrap() + 19.75).abs() < 0.1, "{}", predicted[0]);
    folder.write("two.csv", "0;0;0.25\n1;a;3\n");
    folder
        .run("evaluate line.safetensors digits")
        .fails(2, &["digits: features: expected 2 a sample, found 64"]);
    folder
        .run("evaluate line.safetensors two.csv")
        .fails(2, &["two.csv: line 2, column 2", "\"a\""]);
    let plain = folder.run("predict line.safetensors line.csv").ok().out;
    assert!(plain.lines().all(|line| line.parse::<f64>().is_ok()));
}

#[test]
fn values_may_be_large() {
    let folder = Folder::new();
    let mut text = String::from("rooms,age,price\n");
    for i in 0..100 {
        let (rooms, age) = (i % 10, i / 10);
        writeln!(text, "{rooms},{age},{}", 200_000 + 30_000 * rooms - 1_000 * age).unwrap();
    }
    folder.write("houses.csv", text);
    for loss in ["quadratic", "mean-absolute", "huber(5000)"] {
        let options =
            "--task values --test houses.csv --hidden none --epochs 60 --learning-rate 0.03";
        let trained =
            folder.run(&format!("train houses.csv {options} --loss {loss} --json")).ok().result();
        let evaluated = folder.run("evaluate houses.safetensors houses.csv --json").ok().result();
        assert!(evaluated["r2"].as_f64().unwrap() > 0.99, "{loss}: {evaluated}");
        // Both losses are in the unit of the data.
        let [trained, evaluated] =
            [&trained["test_loss"], &evaluated["loss"]].map(|loss| loss.as_f64().unwrap());
        assert!(
            (trained - evaluated).abs() <= 1e-3 * trained + 1e-2,
            "{loss}: {trained} and {evaluated}"
        );
    }
}

#[test]
fn a_test_file_of_its_own() {
    let folder = Folder::new();
    folder.write("train.csv", flowers(true));
    folder.write("test.csv", "kind,length,width\ntulip,2000,0\niris,1,0.2\n");
    let run = folder.run("train train.csv --label kind --test test.csv --epochs 40 --json").ok();
    assert!(run.err.contains("90 samples to train on, 2 to test on"), "{}", run.err);
    assert_eq!(run.result()["test_accuracy"], 1.0);
    // What `evaluate` says of the same file is what training printed.
    let evaluated = folder.run("evaluate train.safetensors test.csv --json").ok().result();
    let [trained, evaluated] =
        [&run.result()["test_loss"], &evaluated["loss"]].map(|loss| loss.as_f64().unwrap());
    assert!((trained - evaluated).abs() <= 1e-6 * trained, "{trained} and {evaluated}");
}

/// As a program that uses the library may save one: two classes, one output.
#[test]
fn one_output_for_two_classes() {
    use travertine::{Activation, Loss, Network, engine, model_file};

    let folder = Folder::new();
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 1).dense(1, Activation::Sigmoid).build().unwrap();
    network.layers_mut()[0].weights_mut().write(&[2.0]).unwrap();
    let mut info = model_file::ModelInfo::new(Loss::BinaryCrossEntropy);
    info.classes = vec!["no".into(), "yes".into()];
    model_file::save(folder.join("m"), &network, &info).unwrap();

    folder.write("x.csv", "x,answer\n-1,no\n2,yes\n0.1,no\n");
    let evaluated = folder.run("evaluate m x.csv --json").ok();
    assert!(
        (evaluated.result()["accuracy"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-6,
        "{}",
        evaluated.out
    );
    assert!(
        evaluated.err.lines().any(|line| line.split_whitespace().eq(["no", "1", "1"])),
        "{}",
        evaluated.err
    );
    let said = folder.run("predict m x.csv").ok().out;
    assert_eq!(said, "no\t0.8808\nyes\t0.9820\nyes\t0.5498\n");
}

/// A NumPy file of `f64`.
fn npy(columns: usize, values: &[f64]) -> Vec<u8> {
    let shape = format!("({}, {columns})", values.len() / columns);
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn numpy_files() {
    let folder = Folder::new();
    let side = |i: usize| (i % 2) as f64;
    let features: Vec<f64> = (0..60).flat_map(|i| [side(i) * 2.0 - 1.0, i as f64]).collect();
    folder.write("x.npy", npy(2, &features));
    folder.write("y.npy", npy(1, &(0..60).map(side).collect::<Vec<_>>()));
    let run = folder.run("train x.npy --labels y.npy --epochs 20 --output sigmoid --json").ok();
    assert!(
        run.err.contains("2 classes") && run.err.contains("binary_cross_entropy"),
        "{}",
        run.err
    );
    assert_eq!(
        folder.run("evaluate x.safetensors x.npy --labels y.npy --json").ok().result()["accuracy"],
        1.0
    );
    assert_eq!(folder.run("predict x.safetensors x.npy").ok().out.lines().count(), 60);
    folder.run("train x.npy --labels y.npy --test x.npy").fails(2, &["--test", "--labels"]);

    folder.run("train x.npy --label 1 --task values --epochs 1 --out values").ok();
    folder.write("two.npy", npy(2, &features));
    folder
        .run("evaluate values x.npy --labels two.npy")
        .fails(2, &["2 columns as the model learned, the label among them", "found 4 columns"]);
    // The label was the first column; labels in a file of their own are labels all the same.
    let [labels, one]: [Vec<f64>; 2] =
        [0, 1].map(|column| features.iter().skip(column).step_by(2).copied().collect());
    folder.write("labels.npy", npy(1, &labels));
    folder.write("one.npy", npy(1, &one));
    let whole = folder.run("evaluate values x.npy --json").ok().result();
    assert!(whole["r2"].as_f64().is_some(), "{whole}");
    let apart = folder.run("evaluate values one.npy --labels labels.npy --json").ok().result();
    assert_eq!(whole, apart);
    folder.run("evaluate values digits --labels y.npy").fails(2, &["--labels", "not for digits"]);
}

#[test]
fn all_columns_of_a_file_of_labels_are_learned() {
    let folder = Folder::new();
    let features: Vec<f64> = (0..80).flat_map(|i| [(i * 7 % 80) as f64, (i % 9) as f64]).collect();
    let labels: Vec<f64> =
        features.chunks(2).flat_map(|x| [x[0] * 2.0 + 0.5, 1e6 - 3e4 * x[1]]).collect();
    folder.write("x.npy", npy(2, &features));
    folder.write("y.npy", npy(2, &labels));
    let options = "--hidden none --epochs 100 --learning-rate 0.1 --json";
    let run = folder.run(&format!("train x.npy --labels y.npy {options}")).ok();
    assert!(run.err.contains("2 features"), "{}", run.err);
    let predicted = folder.run("predict x.safetensors x.npy --json").ok().json();
    for (line, label) in predicted.iter().zip(labels.chunks(2)) {
        let output: Vec<f64> =
            line["output"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert!((output[0] - label[0]).abs() < 1.0, "{line} {label:?}");
        assert!((output[1] - label[1]).abs() < 1e3, "{line} {label:?}");
    }
}

#[test]
fn options_of_the_training_are_no_options_of_its_use() {
    let folder = Folder::new();
    folder.write("x.csv", "a,b,kind\n1,5,x\n2,7,y\n9,6,x\n4,1,y\n");
    folder.run("train x.csv --epochs 1").ok();
    for command in ["evaluate", "predict"] {
        for option in ["--label kind", "--drop a", "--categorical a"] {
            let name = option.split_once(' ').unwrap().0;
            folder
                .run(&format!("{command} x.safetensors x.csv {option}"))
                .fails(2, &["unexpected argument", name]);
        }
        folder.run(&format!("{command} x.safetensors x.csv --header --delimiter comma")).ok();
    }
}

#[test]
fn rows_and_columns_that_are_left_out_are_told() {
    let folder = Folder::new();
    let row = |i: usize| {
        let kind = if i % 10 == 3 { "" } else { ["x", "y"][i % 2] };
        format!("{i},{},5,text {i},{kind}\n", i * 7 % 50)
    };
    let rows: String = (0..50).map(row).collect();
    folder.write("x.csv", format!("id,a,fee,name,kind\n{rows},,,,\n"));
    let run = folder.run("train x.csv --epochs 1").ok();
    for part in [
        "5 rows without a label left out",
        "1 row of empty fields left out",
        "left out: it numbers the rows",
        "left out: constant, 5",
        "left out: texts nearly all different, 50 in 50",
        "--keep NAME learns from a column that is left out",
        "36 samples to train on, 9 to test on",
    ] {
        assert!(run.err.contains(part), "no {part:?} in {}", run.err);
    }
    let evaluated = folder.run("evaluate x.safetensors x.csv").ok();
    assert!(evaluated.err.contains("5 rows without a label left out"), "{}", evaluated.err);
    folder.write("one.csv", "a,b\n1,2\n2,\n3,4\n5,2\n");
    let run = folder.run("train one.csv --epochs 1").ok();
    assert!(run.err.contains("1 row without a label left out"), "{}", run.err);
}
