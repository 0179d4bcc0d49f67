//! `--init FILE`: training that goes on from weights.

use std::fs;

use travertine::model_file::{load, save_weights, sequential_names};
use travertine::{Network, engine};

use crate::run::Folder;

const TRAIN: &str = "train digits --hidden 16 --epochs 1 --json";

#[test]
fn weights_of_a_model_and_of_a_sequential_module_are_the_first() {
    let folder = Folder::new();
    folder.run("train digits --hidden 16 --epochs 20 --out trained.safetensors").ok();
    let fresh = folder.run(TRAIN).ok().result();
    // The same weights under the names of torch.nn.Sequential(Linear, ReLU, Linear).
    let cpu = engine::open::<f32>("cpu").unwrap();
    let (network, _): (Network<f32>, _) = load(folder.join("trained.safetensors"), &cpu).unwrap();
    let names = sequential_names(&network);
    assert_eq!(names, ["0", "2"]);
    fs::create_dir(folder.join("torch")).unwrap();
    save_weights(folder.join("torch/trained.safetensors"), &network, &names).unwrap();

    let ours = format!("{TRAIN} --init trained.safetensors --out ours.safetensors");
    let theirs = format!("{TRAIN} --init torch/trained.safetensors --out theirs.safetensors");
    let warm = folder.run(&ours).ok().result();
    folder.run(&theirs).ok();
    let loss = |result: &serde_json::Value| result["train_loss"].as_f64().unwrap();
    assert!(loss(&warm) < 0.5 * loss(&fresh), "{} after {}", loss(&warm), loss(&fresh));
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    assert!(bytes("ours.safetensors") == bytes("theirs.safetensors"));
}

#[test]
fn weights_of_another_network_are_refused() {
    let folder = Folder::new();
    folder.run("train digits --hidden 8 --epochs 1 --out small.safetensors").ok();
    let run = folder.run(&format!("{TRAIN} --init small.safetensors"));
    run.fails(2, &["small.safetensors", "layers.0.weight", "[16, 64]", "[8, 64]"]);
    folder.run(&format!("{TRAIN} --init none.safetensors")).fails(2, &["none.safetensors"]);
    folder.run(&format!("{TRAIN} --init golden")).fails(2, &["--init", "golden"]);
    folder.run("train digits --hidden 8 --epochs 1 --quality best --out five.safetensors").ok();
    folder
        .run("train digits --hidden 8 --init five.safetensors")
        .fails(2, &["--init", "five.safetensors", "5 networks", "--quality fast"]);
}
