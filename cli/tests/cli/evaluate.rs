//! `evaluate`: what is measured beside loss and accuracy, on tables that one can do by hand.

use serde_json::{Value, json};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Loss, Model, Network, engine};

use crate::run::Folder;

/// A model file: one number in, `weight` times it through `activation` out.
fn write_model(folder: &Folder, activation: Activation, loss: Loss, classes: &[&str]) {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 1).dense(1, activation).build().unwrap();
    network.layers_mut()[0].weights_mut().write(&[1.0]).unwrap();
    let mut info = ModelInfo::new(loss);
    info.classes = classes.iter().map(|class| (*class).to_owned()).collect();
    info.features = vec!["x".to_owned()];
    info.target = Some("y".to_owned());
    Model::new(network, info).unwrap().save(folder.join("m")).unwrap();
}

/// A table of logits with these probabilities of "yes".
fn table(rows: &[(f64, &str)]) -> String {
    let row = |(p, class): &(f64, &str)| format!("{},{class}\n", (p / (1.0 - p)).ln());
    format!("x,y\n{}", rows.iter().map(row).collect::<String>())
}

#[track_caller]
fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn two_classes_are_measured_as_by_hand() {
    let folder = Folder::new();
    write_model(&folder, Activation::Sigmoid, Loss::BinaryCrossEntropy, &["no", "yes"]);
    let rows = [(0.12, "no"), (0.23, "no"), (0.28, "yes"), (0.36, "no"), (0.41, "yes")];
    folder.write("t.csv", table(&rows));
    let result = folder.run("evaluate m t.csv --json").ok().result();
    near(&result["accuracy"], 0.6);
    let right = [0.88f64, 0.77, 0.28, 0.64, 0.41];
    near(&result["log_loss"], -right.map(f64::ln).iter().sum::<f64>() / 5.0);
    // All are said to be "no", with 0.88, 0.77, 0.72, 0.64 and 0.59: the second and the third share a bin.
    near(&result["calibration_error"], (0.12 + (1.49 - 1.0) + 0.36 + 0.59) / 5.0);
    assert_eq!(result["positive_class"], "yes");
    near(&result["average_precision"], (1.0 + 2.0 / 3.0) / 2.0);
    near(&result["balanced_accuracy"], (1.0 + 2.0 / 3.0) / 2.0);
    near(&result["balanced_threshold"], 0.255);
    let ends = result["accuracy_interval"].as_array().unwrap();
    let [low, high] = [&ends[0], &ends[1]].map(|end| end.as_f64().unwrap());
    assert!((0.0..0.6).contains(&low) && 0.6 < high && high <= 1.0, "{low} {high}");
    assert!(result.get("importance").is_none());

    let text = folder.run("evaluate m t.csv").ok().out;
    for part in [
        "accuracy: 95 % interval",
        "log-loss 0.6",
        "expected calibration error 0.3120",
        "positive class \"yes\": average precision 0.8333, a threshold of 0.2550",
        "gives the highest balanced accuracy, 0.8333",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    assert!(text.lines().last().unwrap().starts_with("5 samples: loss"), "{text}");
}

#[test]
fn what_one_class_alone_does_not_define_is_null() {
    let folder = Folder::new();
    write_model(&folder, Activation::Sigmoid, Loss::BinaryCrossEntropy, &["no", "yes"]);
    folder.write("t.csv", table(&[(0.2, "no"), (0.3, "no")]));
    let run = folder.run("evaluate m t.csv --json").ok();
    let result = run.result();
    for key in ["roc_auc", "average_precision", "balanced_threshold", "balanced_accuracy"] {
        assert_eq!(result.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(result["accuracy_interval"], json!([1.0, 1.0]));
    assert!(run.err.contains("average precision not defined"), "{}", run.err);

    // Scores that are no probabilities.
    write_model(&folder, Activation::Identity, Loss::Quadratic, &["no", "yes"]);
    folder.write("t.csv", "x,y\n-0.5,no\n7,yes\n");
    let result = folder.run("evaluate m t.csv --json").ok().result();
    for key in ["log_loss", "calibration_error"] {
        assert_eq!(result.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(
        (&result["average_precision"], &result["balanced_threshold"]),
        (&json!(1.0), &json!(0.5))
    );
}

#[test]
fn residuals_are_measured_as_by_hand() {
    let folder = Folder::new();
    write_model(&folder, Activation::Identity, Loss::Quadratic, &[]);
    folder.write("t.csv", "x,y\n8.5,10.5\n3.25,4.25\n7.5,7.5\n5.5,4.5\n4.5,2.5\n");
    let result = folder.run("evaluate m t.csv --json").ok().result();
    near(&result["rmse"], 2f64.sqrt());
    for (key, value) in [("p5", -1.8), ("p25", -1.0), ("p50", 0.0), ("p75", 1.0), ("p95", 1.8)] {
        near(&result["residual_quantiles"][key], value);
    }
    let ends = result["rmse_interval"].as_array().unwrap();
    let [low, high] = [&ends[0], &ends[1]].map(|end| end.as_f64().unwrap());
    assert!(0.0 < low && low < 2f64.sqrt() && 2f64.sqrt() < high && high <= 2.0, "{low} {high}");
    let text = folder.run("evaluate m t.csv").ok().out;
    let residuals = "5 % -1.8000, 25 % -1.0000, median 0.0000, 75 % 1.0000, 95 % 1.8000";
    assert!(text.contains(residuals) && text.contains("RMSE: 95 % interval"), "{text}");
}

#[test]
fn several_values_have_residuals_each() {
    let folder = Folder::new();
    let rows: String =
        (0..60).map(|i| format!("{},{}.5,{}.25\n", i % 10, 2 * (i % 10), 7 - i % 10)).collect();
    folder.write("t.csv", format!("x,a,b\n{rows}"));
    folder.run("train t.csv --label a,b --hidden 4 --epochs 3 --seed 1").ok();
    let result = folder.run("evaluate t.safetensors t.csv --json --importance").ok().result();
    assert!(result.get("residual_quantiles").is_none());
    for target in result["per_target"].as_array().unwrap() {
        let quantiles = &target["residual_quantiles"];
        let [low, high] = [&quantiles["p5"], &quantiles["p95"]].map(|x| x.as_f64().unwrap());
        assert!(low <= high, "{target}");
    }
    let ends = result["rmse_interval"].as_array().unwrap();
    let rmse = result["rmse"].as_f64();
    assert!(ends[0].as_f64() <= rmse && rmse <= ends[1].as_f64(), "{result}");
    assert_eq!(result["importance"][0]["column"], "x");
}

#[test]
fn the_column_that_decides_is_the_most_important() {
    let folder = Folder::new();
    let color = |i: usize| ["red", "green", "blue"][i * 7 % 3];
    let rows: String = (0..300)
        .map(|i| {
            let sold = if color(i) == "green" { "yes" } else { "no" };
            format!("{}.5,{},{}.25,{sold}\n", i * 37 % 101, color(i), i * 53 % 89)
        })
        .collect();
    folder.write("t.csv", format!("noise,color,more,sold\n{rows}"));
    folder.run("train t.csv --hidden 8 --epochs 40 --seed 1").ok();
    let run = folder.run("evaluate t.safetensors t.csv --importance --json").ok();
    let importance = run.result()["importance"].clone();
    let mean = |i: usize| importance[i]["mean"].as_f64().unwrap();
    assert_eq!(importance.as_array().unwrap().len(), 3);
    assert_eq!(importance[0]["column"], "color", "{importance}");
    // A shuffle makes 2 * 1/3 * 2/3 of the samples wrong on average.
    assert!((mean(0) - 4.0 / 9.0).abs() < 0.08, "{importance}");
    assert!(mean(1).abs() < 0.03 && mean(2).abs() < 0.03 && mean(1) >= mean(2), "{importance}");
    assert!(importance[0]["deviation"].as_f64().unwrap() > 0.0);
    assert_eq!(
        folder.run("evaluate t.safetensors t.csv --importance --json").ok().out,
        run.out,
        "the same"
    );

    let text = folder.run("evaluate t.safetensors t.csv --importance").ok().out;
    let head = text.lines().position(|line| line.contains("drop of accuracy")).unwrap();
    assert!(text.lines().nth(head + 1).unwrap().starts_with("color"), "{text}");
    folder.run("predict t.safetensors t.csv --importance").fails(2, &["--importance"]);
}

#[test]
fn a_sample_has_one_line_whatever_its_class_is_called() {
    let folder = Folder::new();
    let rows: String =
        (0..40).map(|i| format!("{},\"{}\"\n", i % 2, ["two\nlines", "a\ttab"][i % 2])).collect();
    folder.write("t.csv", format!("x,y\n{rows}"));
    folder.run("train t.csv --hidden none --epochs 20 --out m").ok();
    let run = folder.run("predict m t.csv").ok();
    assert_eq!(run.out.lines().count(), 40, "{}", run.out);
    assert!(run.out.starts_with("two\\nlines\t") && run.out.contains("\na\\ttab\t"), "{}", run.out);
    folder.run("predict m t.csv --out p.json").fails(2, &["--out", "CSV", "--json"]);
    assert!(!folder.join("p.json").exists());
    // The order of the samples decides what is held out, so --stratify would not help.
    folder.write("late.csv", "x,y\n1,a\n2,b\n3,a\n4,b\n5,c\n");
    let late = folder.run("train late.csv --held-out-last 0.2");
    late.fails(2, &["--held-out-last", "'c'", "a smaller share"]);
}
