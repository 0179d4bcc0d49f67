//! The digits, from training to prediction.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use crate::run::{Folder, keys};

#[test]
fn digits_are_learned_saved_evaluated_and_predicted() {
    let folder = Folder::new();
    let run = folder.run("train digits --epochs 8 --learning-rate 0.3 --json").ok();
    let lines = run.json();
    assert_eq!(lines.len(), 9);
    assert_eq!((lines[0]["epoch"].as_u64(), lines[7]["epoch"].as_u64()), (Some(1), Some(8)));
    let expected = [
        "task",
        "epochs",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "best_test_accuracy",
        "seconds",
        "steps_per_second",
        "parameters",
        "device",
        "threads",
        "seed",
        "model",
    ];
    let last = run.out.lines().last().unwrap();
    assert_eq!(
        keys(last).into_iter().filter(|key| expected.contains(key)).collect::<Vec<_>>(),
        expected
    );
    let result = run.result();
    assert!(result["test_accuracy"].as_f64().unwrap() >= 0.96, "{result}");
    assert!(result["best_test_accuracy"].as_f64() >= result["test_accuracy"].as_f64());
    assert_eq!(result["parameters"], 64 * 100 + 100 + 100 * 10 + 10);
    assert_eq!(result["model"], "digits.safetensors");
    assert!(run.err.contains("10 classes"), "{}", run.err);

    let evaluated = folder.run("evaluate digits.safetensors digits --json").ok();
    let whole = evaluated.result();
    assert_eq!((whole["samples"].as_u64(), whole.as_object().unwrap().len()), (Some(1797), 14));
    // The whole set is the training part and the held-out part; the former is learned at least as well.
    assert!(whole["accuracy"].as_f64().unwrap() >= result["test_accuracy"].as_f64().unwrap());
    assert!(evaluated.err.contains("is \\ said"), "{}", evaluated.err);
    let share = |key: &str| whole[key].as_f64().unwrap_or_else(|| panic!("no {key} in {whole}"));
    assert!(
        share("top5_accuracy") >= share("accuracy")
            && share("roc_auc") > 0.99
            && share("log_loss") < 0.3
            && share("calibration_error") < 0.1
            && share("macro_f1") > 0.95
    );
    // Every row of the confusion matrix is a class's samples, its diagonal over the sum its recall.
    for (class, row) in whole["confusion"].as_array().unwrap().iter().enumerate() {
        let counts: Vec<f64> =
            row.as_array().unwrap().iter().map(|count| count.as_f64().unwrap()).collect();
        let scores = &whole["per_class"][class];
        assert_eq!(scores["samples"].as_f64().unwrap(), counts.iter().sum::<f64>());
        assert_eq!(scores["recall"].as_f64().unwrap(), counts[class] / counts.iter().sum::<f64>());
    }

    let predicted = folder.run("predict digits.safetensors digits --json").ok().json();
    assert_eq!(predicted.len(), 1797);
    assert!(
        predicted
            .iter()
            .all(|line| line["class"].is_string() && line["probability"].as_f64() <= Some(1.0))
    );
    let plain = folder.run("predict digits.safetensors digits").ok();
    assert_eq!(plain.out.lines().count(), 1797);
    assert!(plain.out.starts_with("0\t"));

    let inspected = folder.run("inspect digits.safetensors --json").ok().result();
    assert_eq!(inspected["layers"][1]["activation"], "softmax");
    assert_eq!(
        (&inspected["parameters"], &inspected["classes"][9]),
        (&result["parameters"], &"9".into())
    );
    assert!(folder.run("inspect digits.safetensors").ok().out.contains("softmax_cross_entropy"));
}

#[test]
fn the_true_class_is_looked_for_within_the_first_k() {
    let folder = Folder::new();
    folder.run("train digits --hidden none --epochs 1 --learning-rate 0.01").ok();
    let evaluate =
        |options: &str| folder.run(&format!("evaluate digits.safetensors digits {options}"));
    let share = |k: usize| -> f64 {
        let result = evaluate(&format!("--top-k {k} --json")).ok().result();
        assert_eq!(result.get("top5_accuracy").is_some(), k == 5);
        result[format!("top{k}_accuracy")].as_f64().unwrap()
    };
    let usual = evaluate("--json").ok().result();
    let shares: Vec<f64> = (1..=10).map(share).collect();
    assert!(shares.is_sorted() && shares[0] < 0.95 && shares[1] > shares[0], "{shares:?}");
    assert_eq!((shares[0], shares[9]), (usual["accuracy"].as_f64().unwrap(), 1.0));
    assert_eq!(shares[4], usual["top5_accuracy"].as_f64().unwrap());
    let text = format!("(within the first 2 {:.2} %)", 100.0 * shares[1]);
    assert!(evaluate("--top-k 2").ok().out.contains(&text), "{text}");
    for k in ["0", "11"] {
        let words = format!("--top-k: expected 1 to 10, as there are 10 classes, found {k}");
        evaluate(&format!("--top-k {k}")).fails(2, &[&words]);
    }
    folder.write("values.csv", "a,b\n1,1.5\n2,2.5\n3,3.25\n4,4.125\n5,5.5\n");
    folder.run("train values.csv --task values --epochs 1").ok();
    let values = folder.run("evaluate values.safetensors values.csv --top-k 1");
    values.fails(2, &["--top-k: is for classes, but the model predicts values"]);
}

#[test]
fn the_same_seed_gives_the_same_file_for_any_number_of_threads() {
    let folder = Folder::new();
    for (out, options) in [
        ("a", "--threads 1"),
        ("b", "--threads 2"),
        ("c", "--threads 4"),
        ("d", "--threads 1 --seed 2"),
    ] {
        // Wide enough that the threads have something to share.
        folder
            .run(&format!("train digits --hidden 256 --batch 128 --epochs 1 --out {out} {options}"))
            .ok();
    }
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| fs::read(folder.join(name)).unwrap());
    assert!(a == b && a == c, "1, 2 and 4 threads must give one file");
    assert!(a != d, "another seed must give another model");
}

#[test]
fn training_tells_people_a_line_an_epoch() {
    let folder = Folder::new();
    let run = folder
        .run("train digits --hidden none --batch 100 --epochs 2 --held-out 0 --precision f64")
        .ok();
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", run.out);
    assert!(
        lines[1].starts_with("epoch 2/2: loss ") && lines[1].contains("samples/s"),
        "{}",
        lines[1]
    );
    assert_eq!(lines[3], "saved digits.safetensors (650 parameters)");
    assert!(folder.run("inspect digits.safetensors").ok().out.contains("f64"));
    folder.run("evaluate digits.safetensors digits").ok();

    let run =
        folder.run("train digits --hidden none --batch 100 --epochs 1 --held-out 0 --json").ok();
    assert!(
        run.result()["test_accuracy"].is_null() && run.result()["best_test_accuracy"].is_null()
    );
}

#[test]
fn only_the_first_samples_are_trained_on() {
    let folder = Folder::new();
    let run = folder.run("train digits --samples 50 --epochs 1 --json").ok();
    assert!(run.err.contains("50 samples to train on, 359 to test on"), "{}", run.err);
    assert!(!run.err.contains("warning"), "{}", run.err);
    let few = folder.run("train digits --samples 1 --epochs 1").ok();
    assert!(
        few.err.contains("warning: 9 of 10 classes have no sample among the first 1\n"),
        "{}",
        few.err
    );
    let model = |rate: &str| {
        folder.run(&format!("train digits --samples 50 --epochs 1 {rate} 0.3 --out m")).ok();
        fs::read(folder.join("m")).unwrap()
    };
    assert!(model("--lr") == model("--learning-rate"), "the short name");
}

#[test]
fn a_training_that_diverges_keeps_the_last_good_model() {
    let folder = Folder::new();
    folder.run("train digits --epochs 1 --out kept").ok();
    let precious = fs::read(folder.join("kept")).unwrap();
    let diverges = "train digits --hidden none --output linear --out kept --epochs 30";
    folder
        .run(&format!("{diverges} --learning-rate 1e30"))
        .fails(1, &["diverged at step", "(in epoch 1)", "layer 0"]);
    assert_eq!(fs::read(folder.join("kept")).unwrap(), precious, "no epoch went well");

    // Just above the limit of stability: it takes more than an epoch to overflow.
    let run = folder.run(&format!("{diverges} --learning-rate 0.19 --json"));
    assert_eq!(run.status, Some(1), "{}", run.err);
    let good = run.result()["epoch"].as_u64().unwrap();
    assert!(
        run.err.contains("diverged at step") && run.err.contains("is saved as kept"),
        "{}",
        run.err
    );
    let kept = folder.run("inspect kept --json").ok().result();
    assert_eq!(kept["training"]["epochs"], good.to_string());
}

#[test]
fn a_reader_that_goes_early_harms_nothing() {
    let folder = Folder::new();
    folder.run("train digits --hidden none --epochs 1").ok();
    for arguments in
        ["predict digits.safetensors digits", "train digits --hidden none --epochs 5 --out late"]
    {
        let mut child = folder
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = child.stdout.take().unwrap();
        reader.read_exact(&mut [0; 3]).unwrap();
        drop(reader);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(
        folder.join("late").exists(),
        "the model is saved after the reader has closed the pipe"
    );
}

#[test]
fn files_for_other_programs_say_how_pixels_become_numbers() {
    let folder = Folder::new();
    folder.run("train digits --hidden none --epochs 1").ok();
    let pixels = "0 (white) to 16 (black), divided by 16";
    let said = folder.run("inspect digits.safetensors").ok().out;
    assert!(said.contains(&format!("pixels: {pixels}")), "{said}");
    for file in ["digits.onnx", "digits.c", "digits.rs"] {
        folder.run(&format!("export digits.safetensors --to {file}")).ok();
        let bytes = std::fs::read(folder.join(file)).unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(pixels), "{file}");
    }
    // The ONNX file is still the model that it was made of.
    let again = folder.run("inspect digits.onnx").ok().out;
    assert!(again.contains(pixels), "{again}");
}
