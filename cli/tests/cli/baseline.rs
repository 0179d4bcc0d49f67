//! The constant answer beside a trained network.

use crate::run::Folder;

#[test]
fn a_constant_answer_is_told_beside_the_network() {
    let folder = Folder::new();
    // Of five training samples three are 'up', of four test samples one is.
    folder.write("classes.csv", "x,y\n1,up\n2,down\n3,up\n4,up\n5,down\n");
    folder.write("classes_test.csv", "x,y\n1,up\n2,down\n5,down\n2,down\n");
    let run = folder.run("train classes.csv --test classes_test.csv --epochs 2 --json").ok();
    assert_eq!(run.result()["held_out"]["constant"], 0.25);
    assert_eq!(run.result()["held_out"]["samples"], 4);
    let run = folder.run("train classes.csv --test classes_test.csv --epochs 2").ok();
    assert!(run.out.contains("'up' for every sample: accuracy 25.00 %"), "{}", run.out);

    // The mean is 4; squares of distances from it: 4, 16, 0; half of their mean.
    folder.write("values.csv", "x,y\n1,1.5\n2,2.5\n3,3.5\n4,4.5\n5,8\n");
    folder.write("values_test.csv", "x,y\n1,2\n5,8\n3,4\n");
    let train = "train values.csv --test values_test.csv --task values --epochs 2";
    let rmse =
        folder.run(&format!("{train} --json")).ok().result()["held_out"]["constant"].as_f64();
    assert!((rmse.unwrap() - (20f64 / 3.0).sqrt()).abs() < 1e-6, "{rmse:?}");
    let digits = folder.run("train digits --epochs 1 --json").ok().result();
    assert!(digits["held_out"].is_null(), "images are no table");
}

/// The label is noise: nothing that is learned holds for others.
#[test]
fn a_network_that_is_no_better_is_said_to_be_useless() {
    let folder = Folder::new();
    let noise = |i: u64, s: u64| (i.wrapping_mul(0x9e37_79b9).wrapping_add(s) ^ (i << 7)) % 1009;
    let row = |i: u64| format!("{},{},{}\n", noise(i, 1), noise(i, 77), noise(i * i, 5));
    let table: String = (0..120).map(row).collect();
    folder.write("noise.csv", format!("a,b,y\n{table}"));
    let run = folder.run("train noise.csv --task values --epochs 200").ok();
    assert!(
        run.err.contains("warning: on the samples held out the model is no better than the mean")
            || run.err.contains("by so little that it may be chance"),
        "{}",
        run.err
    );
    folder.write(
        "line.csv",
        format!("a,y\n{}", (0..90).map(|i| format!("{i}.5,{i}\n")).collect::<String>()),
    );
    let run = folder.run("train line.csv --task values").ok();
    assert!(!run.err.contains("no better") && !run.err.contains("chance"), "{}", run.err);
}

/// The linear model is trained for a fixed number of steps, the network for the epochs that are asked for.
#[test]
fn a_network_that_is_worse_than_a_linear_model_is_named() {
    let folder = Folder::new();
    let table = |y: fn(i32) -> i32| {
        let rows = (-60..60).map(|i| format!("{i}.5,{}\n", y(i)));
        format!("a,y\n{}", rows.collect::<String>())
    };
    folder.write("line.csv", table(|i| 3 * i));
    folder.write("parabola.csv", table(|i| i * i));
    for (train, is_better) in
        [("line.csv --epochs 1", true), ("parabola.csv --hidden 64 --epochs 300", false)]
    {
        let train = format!("train {train} --task values");
        let warned = folder.run(&train).ok().err;
        let judged = &folder.run(&format!("{train} --json")).ok().result()["held_out"];
        assert_eq!(judged["linear_is_better"], is_better, "{judged}");
        let (linear, own) = (judged["linear"].as_f64().unwrap(), judged["value"].as_f64().unwrap());
        assert_eq!(linear < own, is_better, "{judged}");
        assert_eq!(warned.contains("a linear model is better: RMSE"), is_better, "{warned}");
    }
}

#[test]
fn the_epoch_kept_is_told() {
    let folder = Folder::new();
    let row = |i: i32| format!("{},{}\n", f64::from(i % 13) / 7.0, f64::from(i % 13 * 3 + i % 2));
    folder.write("values.csv", format!("x,y\n{}", (0..60).map(row).collect::<String>()));
    let run = folder.run("train values.csv --task values --epochs 30 --keep-epoch loss").ok();
    assert!(run.out.contains("30 epochs in"), "{}", run.out);
    assert!(run.out.contains("chosen by the test samples"), "{}", run.out);
    let run = folder.run("train values.csv --task values --epochs 30 --keep-epoch last").ok();
    assert!(!run.out.contains("chosen by"), "{}", run.out);
}

/// Two classes that a line divides, but for noise: 400 rows to train on and 500 to test on.
fn noisy_tables(folder: &Folder) {
    // SplitMix64
    let noise = |i: u64| {
        let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 40) as f64 / f64::from(1 << 24)
    };
    let row = |i: u64| {
        let (a, b) = (noise(3 * i), noise(3 * i + 1));
        let yes = a + b + 0.6 * noise(3 * i + 2) > 1.3;
        format!("{a:.5},{b:.5},{}\n", if yes { "yes" } else { "no" })
    };
    let table =
        |rows: std::ops::Range<u64>| format!("a,b,y\n{}", rows.map(row).collect::<String>());
    folder.write("train.csv", table(0..400));
    folder.write("unseen.csv", table(400..900));
}

/// The interval, the linear model and the figures of two classes are those of scikit-learn's formulas, from the predictions of the file.
#[test]
fn the_model_is_judged_by_its_own_predictions() {
    let folder = Folder::new();
    noisy_tables(&folder);
    for quality in ["fast", "best"] {
        let train = format!("train train.csv --test unseen.csv --epochs 20 --quality {quality}");
        let run = folder.run(&format!("{train} --json")).ok();
        let judged = &run.result()["held_out"];
        let own = folder.run("evaluate train.safetensors unseen.csv --json").ok().result();
        let number = |key: &str| judged[key].as_f64().unwrap();
        assert_eq!(judged["metric"], "accuracy");
        assert!(
            (number("value") - own["accuracy"].as_f64().unwrap()).abs() < 1e-12,
            "{judged} {own}"
        );
        assert!(
            (number("roc_auc") - own["roc_auc"].as_f64().unwrap()).abs() < 1e-12,
            "{judged} {own}"
        );
        // The normal approximation of a share of 500 samples.
        let deviation = (number("value") * (1.0 - number("value")) / 500.0).sqrt();
        for (i, sign) in [(0, -1.96), (1, 1.96)] {
            let bound = judged["interval"][i].as_f64().unwrap();
            assert!(
                (bound - number("value") - sign * deviation).abs() < 0.3 * deviation,
                "{judged}"
            );
        }
        // The classes are divided by a line, so a linear model is as good as any.
        assert!(number("linear") > number("constant") + 0.1, "{judged}");
        assert!((number("linear") - number("value")).abs() < 0.08, "{judged}");
        assert!(number("balanced_accuracy") > 0.75, "{judged}");
        assert_eq!(judged["may_be_chance"], false);
    }
}

/// An overfitted network is too certain: divided logits change no answer, and make probabilities honest.
#[test]
fn calibration_makes_probabilities_honest() {
    let folder = Folder::new();
    noisy_tables(&folder);
    let train = "train train.csv --test unseen.csv --samples 80 --hidden 200 --epochs 1500 --learning-rate 0.3";
    let judged = |option: &str| {
        let run = folder.run(&format!("{train} {option} --out m")).ok();
        (folder.run("evaluate m unseen.csv --json").ok().result(), run.err)
    };
    let ((raw, _), (honest, said)) = (judged(""), judged("--calibrate"));
    assert_eq!(raw["accuracy"], honest["accuracy"]);
    let number = |judged: &serde_json::Value, key: &str| judged[key].as_f64().unwrap();
    assert!(number(&raw, "log_loss") > 1.2 * number(&honest, "log_loss"), "{raw} {honest}");
    let [before, after] = [&raw, &honest].map(|judged| number(judged, "calibration_error"));
    assert!(after < before, "{raw} {honest}");
    let temperature = said.split("are divided by ").nth(1).unwrap().split(',').next().unwrap();
    assert!(temperature.parse::<f64>().unwrap() > 1.1, "{said}");
    assert!(folder.run("inspect m").ok().out.contains("temperature"));
    for (arguments, words) in [
        ("--held-out 0", &["--calibrate", "to test on"][..]),
        ("--output sigmoid", &["--calibrate", "softmax"]),
        ("--task values --label a", &["--calibrate", "for classes"]),
    ] {
        folder.run(&format!("train train.csv --calibrate {arguments}")).fails(2, words);
    }
    folder.run("train train.csv --calibrate --quality best --epochs 5").ok();
}

/// Unscaled features of 1e30: the linear model diverges, and the summary still has the figures of the network.
#[test]
fn a_linear_model_that_diverges_is_not_defined() {
    let folder = Folder::new();
    let row = |i: i32| format!("{}e30,{},{}\n", i % 7 + 1, i % 5, i % 3);
    folder.write("far.csv", format!("a,b,y\n{}", (0..90).map(row).collect::<String>()));
    for quality in ["fast", "best"] {
        let options = format!("--task values --preset auto --scaling none --quality {quality}");
        let run = folder.run(&format!("train far.csv {options} --epochs 3 --json")).ok();
        assert!(run.result()["held_out"]["linear"].is_null(), "{}", run.out);
        assert!(run.result()["held_out"]["value"].as_f64().is_some(), "{}", run.out);
    }
}
