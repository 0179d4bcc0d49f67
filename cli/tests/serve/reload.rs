//! New versions of a model while requests are answered.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use serde_json::{Value, json};

use crate::client::{Server, read, request};
use crate::predicted;
use crate::run::Folder;

const ROW: &str = "x,y\n3,4\n";

/// Models `0.safetensors`, `1.safetensors`... of the same columns, and what the program says with each of [`ROW`].
fn versions(folder: &Folder, count: usize) -> Vec<Value> {
    let rows: String = (0..50).map(|i| format!("{i},{},{}\n", i % 7, ["a", "b"][i % 2])).collect();
    folder.write("t.csv", format!("x,y,class\n{rows}"));
    let version = |i: usize| {
        folder
            .run(&format!("train t.csv --epochs 2 --hidden 5 --seed {i} --out {i}.safetensors"))
            .ok();
        predicted(folder, &format!("{i}.safetensors"), ROW, "--probabilities").remove(0)["probabilities"].clone()
    };
    let answers: Vec<Value> = (0..count).map(version).collect();
    assert!((1..count).all(|i| answers[i] != answers[0]), "the versions differ");
    answers
}

/// Replaces the served file as `train` does: in one step.
fn replace(folder: &Folder, by: &str) {
    fs::copy(folder.join(by), folder.join("next")).unwrap();
    fs::rename(folder.join("next"), folder.join("m.safetensors")).unwrap();
}

fn ask(server: &Server) -> (Value, Value) {
    let reply = server.predict("/predict", &json!({"x": 3, "y": 4}));
    let probabilities = reply.predictions()[0]["probabilities"].clone();
    (reply.json()["version"].clone(), probabilities)
}

#[test]
fn a_changed_file_or_a_signal_brings_the_new_version() {
    let folder = Folder::new();
    let answers = versions(&folder, 2);
    replace(&folder, "0.safetensors");
    let server = Server::start(&folder, "m.safetensors");
    assert_eq!(ask(&server), (json!("1"), answers[0].clone()));
    replace(&folder, "1.safetensors");
    server.wait_for("version 2 answers from now on");
    assert_eq!(ask(&server), (json!("2"), answers[1].clone()));
    assert_eq!(server.metric("travertine_model_version{model=\"m\"}"), 2.0);
    assert_eq!(server.get("/v2/models/m").json()["versions"], json!(["2"]));
    server.get("/v2/models/m/versions/1").refused(404, "version", "2, the current", "'1'");
    server.signal("HUP");
    server.wait_for("version 3 answers from now on");
    assert_eq!(ask(&server), (json!("3"), answers[1].clone()));

    // Files that are no models: the old version stays, and log and counters say so.
    let good = fs::read(folder.join("0.safetensors")).unwrap();
    let broken: [&[u8]; 4] = [b"", b"no model", &good[..good.len() - 1], &good[..20]];
    for (i, bytes) in broken.into_iter().enumerate() {
        folder.write("broken", bytes);
        replace(&folder, "broken");
        let failures =
            |server: &Server| server.metric("travertine_reload_errors_total{model=\"m\"}");
        while failures(&server) < (i + 1) as f64 {
            thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(ask(&server), (json!("3"), answers[1].clone()));
    }
    server.wait_for("version 3 stays: ");
    fs::remove_file(folder.join("m.safetensors")).unwrap();
    server.signal("HUP");
    server.wait_for("version 3 stays: cannot read m.safetensors");
    assert_eq!(ask(&server).0, json!("3"));
    // A model of other columns is another interface, which is said.
    folder.write("o.csv", "z,class\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n");
    folder.run("train o.csv --epochs 2 --hidden 3 --out o.safetensors").ok();
    replace(&folder, "o.safetensors");
    server.wait_for("version 4 answers from now on; its columns or answers are others");
    server.predict("/predict", &json!({"x": 3, "y": 4})).refused(
        400,
        "record 0 (counted from 0), column 'z'",
        "a value",
        "no field",
    );
}

#[test]
fn no_request_fails_while_versions_change() {
    const VERSIONS: usize = 4;
    let folder = Folder::new();
    let answers = versions(&folder, VERSIONS);
    replace(&folder, "0.safetensors");
    let server = Server::start(&folder, "m.safetensors");
    let stop = AtomicBool::new(false);
    let bytes = request("/predict", "content-type: application/json\r\n", "{\"x\":3,\"y\":4}");
    let seen: Vec<Vec<u64>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut stream, mut seen) = (server.connect(), Vec::new());
                    while !stop.load(Relaxed) {
                        stream.write_all(&bytes).unwrap();
                        let reply = read(&mut stream);
                        let predictions = reply.predictions();
                        let version: u64 =
                            reply.json()["version"].as_str().unwrap().parse().unwrap();
                        // The whole answer is of one version.
                        assert_eq!(
                            predictions[0]["probabilities"],
                            answers[(version - 1) as usize % VERSIONS]
                        );
                        seen.push(version);
                    }
                    seen
                })
            })
            .collect();
        for number in 2..=8 {
            replace(&folder, &format!("{}.safetensors", (number - 1) % VERSIONS));
            server.signal("HUP");
            server.wait_for(&format!("version {number} answers"));
        }
        stop.store(true, Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for seen in seen {
        assert!(seen.is_sorted() && *seen.last().unwrap() >= 7, "{:?}", seen.last());
        assert!(seen.len() > 20, "{} requests", seen.len());
    }
}
