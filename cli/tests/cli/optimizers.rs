//! Optimizers, schedules and bounds of gradients from the command line to the model file.

use crate::run::Folder;

#[test]
fn every_optimizer_learns_the_digits_and_is_told_by_the_model() {
    let folder = Folder::new();
    for (options, facts) in [
        (
            "--optimizer momentum",
            &[("optimizer", "momentum"), ("learning_rate", "0.01"), ("momentum", "0.9")][..],
        ),
        ("--optimizer nesterov --momentum 0.8", &[("momentum", "0.8"), ("learning_rate", "0.01")]),
        (
            "--optimizer rmsprop --weight-decay 1e-5",
            &[("weight_decay", "0.00001"), ("learning_rate", "0.001")],
        ),
        (
            "--optimizer adam --schedule cosine",
            &[("learning_rate", "0.001"), ("schedule", "cosine(0)")],
        ),
        ("--optimizer adamw --clip-norm 1", &[("weight_decay", "0.01"), ("clip_norm", "1")]),
        (
            "--schedule step(4,0.5) --clip-value 0.5",
            &[("optimizer", "sgd"), ("schedule", "step(4,0.5)")],
        ),
    ] {
        let run = folder.run(&format!("train digits --epochs 8 {options} --json")).ok();
        assert!(
            run.result()["test_accuracy"].as_f64().unwrap() > 0.94,
            "{options}: {}",
            run.result()
        );
        let inspected = folder.run("inspect digits.safetensors --json").ok().result();
        for (key, value) in facts {
            assert_eq!(inspected["training"][key], *value, "{options}: {inspected}");
        }
    }
}

#[test]
fn schedules_have_defaults_and_change_what_is_learned() {
    let folder = Folder::new();
    let loss = |options: &str| {
        let run =
            folder.run(&format!("train digits --hidden none --epochs 6 {options} --json")).ok();
        run.result()["train_loss"].as_f64().unwrap()
    };
    let constant = loss("");
    assert_eq!(loss("--schedule constant"), constant);
    for schedule in ["step(2)", "exponential", "cosine", "warmup", "one-cycle"] {
        assert_ne!(loss(&format!("--schedule {schedule}")), constant, "{schedule}");
    }
    // Nothing is learned at this rate but in the first epoch, so that the plateau is seen at once.
    let stuck = "--learning-rate 1e-9 --schedule";
    assert_ne!(loss(&format!("{stuck} plateau(1,1e6)")), loss(&format!("{stuck} constant")));
}

#[test]
fn bench_takes_an_optimizer() {
    let folder = Folder::new();
    let run = folder.run("bench train --network 6-4-3 --threads 1 --optimizer adam --json").ok();
    assert!(run.result()["us"].as_f64().unwrap() > 0.0);
    folder.run("bench train --network 6-4-3 --momentum 0.5").fails(2, &["--momentum"]);
}
