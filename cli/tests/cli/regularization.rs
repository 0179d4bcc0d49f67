//! Dropout, max-norm and label smoothing from the command line to the model file.

use crate::run::Folder;

#[test]
fn every_option_learns_the_digits_and_is_told_by_the_model() {
    let folder = Folder::new();
    let plain = folder.run("train digits --epochs 8 --json").ok().result()["train_loss"].as_f64().unwrap();
    for (options, facts) in [
        ("--dropout 0.3", &[("dropout", "0.3")][..]),
        ("--input-dropout 0.1", &[("input_dropout", "0.1")]),
        ("--max-norm 1", &[("max_norm", "1")]),
        ("--label-smoothing 0.1", &[("label_smoothing", "0.1")]),
        ("--dropout 0.2 --max-norm 3 --batch 7", &[("dropout", "0.2"), ("max_norm", "3")]),
    ] {
        let result = folder.run(&format!("train digits --epochs 8 {options} --json")).ok().result();
        assert!(result["test_accuracy"].as_f64().unwrap() > 0.94, "{options}: {result}");
        assert_ne!(result["train_loss"].as_f64().unwrap(), plain, "{options} changes nothing");
        let inspected = folder.run("inspect digits.safetensors --json").ok().result();
        for (key, value) in facts {
            assert_eq!(inspected["training"][key], *value, "{options}: {inspected}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    for (options, words) in [
        ("--dropout 1", &["--dropout", "from 0 to less than 1"][..]),
        ("--input-dropout -0.1", &["--input-dropout", "from 0 to less than 1"]),
        ("--max-norm 0", &["--max-norm", "above 0"]),
        ("--label-smoothing nan", &["--label-smoothing"]),
        ("--hidden none --dropout 0.5", &["--dropout", "hidden layers"]),
        ("--hidden none --max-norm 1", &["--max-norm", "hidden layers"]),
    ] {
        folder.run(&format!("train digits {options}")).fails(2, words);
    }
    folder.write("values.csv", "a,b\n1,1.5\n2,2.5\n3,3.25\n4,4.125\n5,5.5\n");
    folder.run("train values.csv --task values --label-smoothing 0.1").fails(2, &["--label-smoothing", "classes"]);
}
