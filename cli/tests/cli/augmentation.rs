//! `--augment`: what is trained on, that it is the same every time, and who is refused.

use std::fs;

use travertine::data::{self, Augmentation, Split};
use travertine::{Samples, engine, model_file};

use crate::run::Folder;

/// With a rate of 0 every epoch's loss is that of the first network on the images of that epoch, which the library makes too.
#[test]
fn every_epoch_has_images_of_its_own() {
    let folder = Folder::new();
    let train = "train digits --hidden 20 --epochs 3 --learning-rate 0 --seed 5 --json --out m";
    let losses = |options: &str, key: &str| -> Vec<f64> {
        let mut lines = folder.run(&format!("{train} {options}")).ok().json();
        assert_eq!(lines.pop().unwrap()["epochs"], 3);
        lines.iter().map(|line| line[key].as_f64().unwrap()).collect()
    };
    let plain = losses("", "train_loss");
    assert!(plain.iter().all(|loss| (loss - plain[0]).abs() < 1e-6), "{plain:?}");
    let tested = losses("", "test_loss");

    let cpu = engine::open::<f32>("cpu").unwrap();
    let (network, info) = model_file::load(folder.join("m"), &cpu).unwrap();
    let digits = data::digits().unwrap();
    let mut split = Split::held_out(digits.samples(), 0.2, 5).unwrap();
    split.train.sort_unstable(); // samples to train on stay in the order of the file
    let train_part = digits.select(&split.train).unwrap();
    let images = Augmentation::new(8, 8).unwrap();
    for (option, augmentation) in [
        // Simard's 34 and 4 for 28 x 28 pixels, and as much of it as 8 x 8 have room for.
        ("elastic", images.clone().elastic(2.78, 1.14)),
        ("elastic(3,1.5)", images.clone().elastic(3.0, 1.5)),
        ("affine", images.clone().rotation(15.0).unwrap().scaling(0.15)),
        ("affine(20,0),elastic(2,1)", images.elastic(2.0, 1.0).unwrap().rotation(20.0)),
    ] {
        let option = format!("--augment {option}");
        assert_eq!(
            losses(&option, "test_loss"),
            tested,
            "{option}: what is held out stays as it is"
        );
        for (epoch, loss) in (0..).zip(losses(&option, "train_loss")) {
            let deformed = augmentation.as_ref().unwrap().apply(&train_part, 5, epoch).unwrap();
            let expected =
                network.evaluate(info.loss, &Samples::new(&cpu, &deformed).unwrap()).unwrap().loss;
            assert!(
                (loss - expected).abs() < 1e-6,
                "{option}, epoch {epoch}: {loss}, by the library {expected}"
            );
            assert!((loss - plain[0]).abs() > 1e-3, "{option}: {loss} beside {}", plain[0]);
        }
    }
}

#[test]
fn deformed_digits_are_learned_and_told() {
    let folder = Folder::new();
    let run = folder
        .run("train digits --augment elastic,affine(10,0.1) --epochs 12 --history h.csv --json")
        .ok();
    assert!(
        run.err.contains("; images deformed by elastic(2.78,1.14),affine(10,0.1); output softmax"),
        "{}",
        run.err
    );
    assert!(run.result()["test_accuracy"].as_f64().unwrap() > 0.93, "{}", run.result());
    let inspected = folder.run("inspect digits.safetensors").ok();
    assert!(
        inspected.out.contains("\naugment: elastic(2.78,1.14),affine(10,0.1)\n"),
        "{}",
        inspected.out
    );
    let folds = folder.run("train digits --augment affine --folds 2 --epochs 2 --json").ok();
    let plain = folder.run("train digits --folds 2 --epochs 2 --json").ok();
    assert!(folds.err.contains("images deformed by affine(15,0.15); 2 folds"), "{}", folds.err);
    assert_ne!(folds.json()[0]["train_loss"], plain.json()[0]["train_loss"]);
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let folder = Folder::new();
    let model = |options: &str| {
        let train =
            "train digits --augment elastic,affine --hidden 256 --batch 128 --epochs 2 --out m";
        folder.run(&format!("{train} {options}")).ok();
        fs::read(folder.join("m")).unwrap()
    };
    let one = model("--threads 1");
    assert!(one == model("--threads 2") && one == model("--threads 3"));
    assert!(one != model("--threads 1 --seed 2"));
}

/// From the middle of an epoch, of which the loss so far must go along, to the end of another.
#[test]
fn a_resumed_training_ends_with_the_same_bytes() {
    let folder = Folder::new();
    let train = "train digits --hidden 16 --label-smoothing 0.1 --augment affine --json";
    let alone = folder.run(&format!("{train} --epochs 4 --out alone")).ok();
    folder.run(&format!("{train} --epochs 2 --checkpoint c --every 50 --out part")).ok();
    // 144 steps an epoch: step 250 is in the second, and the last one at its end.
    fs::remove_file(folder.join("c/step-000000000288.safetensors")).unwrap();
    let resumed = folder
        .run(&format!("{train} --epochs 4 --resume c --every 50 --threads 1 --out part"))
        .ok();
    assert!(fs::read(folder.join("alone")).unwrap() == fs::read(folder.join("part")).unwrap());
    let (alone, resumed) = (alone.json(), resumed.json());
    assert_eq!((alone.len(), resumed.len()), (5, 4));
    for (alone, resumed) in alone[1..4].iter().zip(&resumed) {
        for key in ["epoch", "train_loss", "train_accuracy", "test_loss"] {
            assert_eq!(alone[key], resumed[key], "{key}");
        }
    }
    let other = |options: &str, message: &str| {
        let train = train.replace("--augment affine", options);
        folder
            .run(&format!("{train} --epochs 4 --resume c"))
            .fails(2, &["another training", message]);
    };
    other("", "augment was affine(15,0.15), is none");
    other("--augment affine(15,0.1)", "augment was affine(15,0.15), is affine(15,0.1)");
}

#[test]
fn images_need_not_be_square() {
    let folder = Folder::new();
    // Four images, two pixels high and three wide: a bright row above, or below.
    let images = [
        &[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 3][..],
        &[[255u8, 255, 255, 0, 0, 0], [0, 0, 0, 255, 255, 255]].concat().repeat(2),
    ];
    folder.write("images", images.concat());
    folder.write("labels", [0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1]);
    let run = folder
        .run("train idx:images,labels --held-out 0 --epochs 3 --augment affine --out m --report r")
        .ok();
    assert!(run.err.contains("affine(15,0.15)"), "{}", run.err);
    let page = fs::read_to_string(folder.join("r/report.html")).unwrap();
    assert!(page.contains("alt=\"weights of neuron"), "weights are pictures");
    assert_eq!(folder.run("evaluate m idx:images,labels --json").ok().result()["samples"], 4);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    for (kinds, words) in [
        ("bend", "expected elastic, affine or elastic,affine, found 'bend'"),
        ("elastic,", "found ''"),
        ("affine,elastic,affine", "affine is there twice"),
        ("elastic(3)", "expected elastic(STRENGTH,SMOOTHNESS), found 'elastic(3)'"),
        ("affine(a,b)", "expected affine(DEGREES,SHARE), found 'affine(a,b)'"),
        ("affine(200,0.1)", "0 to 180 degrees, not 200"),
        ("elastic(nan,4)", "strength from 0 to 1e6"),
    ] {
        folder.run(&format!("train digits --augment {kinds}")).fails(2, &["--augment", words]);
    }
    folder.write("t.csv", "1,2,a\n2,1,b\n3,2,a\n1,3,b\n");
    let takes = "is for images: digits, mnist:DIR or idx:IMAGES,LABELS, not for t.csv";
    folder.run("train t.csv --augment affine").fails(2, &["--augment", takes]);
    folder.run("train t.csv --augment affine --folds 2").fails(2, &["--augment", takes]);
    folder.run("train t.csv --augment affine --stream").fails(2, &["--stream", "--augment"]);
}
