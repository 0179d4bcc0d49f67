//! `travertine reproduce`, as far as a minute takes it.

use std::path::Path;

use crate::run::Folder;

/// After one epoch Nielsen's first network is at 91.29 % in his book; ours are other random numbers.
#[test]
fn nielsens_first_epoch() {
    let folder = Folder::new();
    let mnist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/mnist");
    if !mnist.is_dir() {
        // ./test lists what is left out, and fails where it must.
        eprintln!("LEFT OUT: nielsens_first_epoch: there is no {}", mnist.display());
        return;
    }
    let run = folder
        .run(&format!("reproduce nielsen-1 --data {} --epochs 1 --seeds 1 --json", mnist.display()))
        .ok();
    let rows = run.json();
    assert_eq!(rows.len(), 2);
    let ours = rows[0]["ours"].as_f64().unwrap();
    assert!((ours - 91.29).abs() < 2.0, "{ours}");
    assert_eq!(
        (rows[0]["published"].as_f64(), rows[0]["reached"].as_bool()),
        (Some(95.42), Some(false))
    );
}

#[test]
fn data_that_is_not_there() {
    let folder = Folder::new();
    folder.run("reproduce dropout --data nowhere").fails(2, &["nowhere/train-images-idx3-ubyte"]);
    folder.run("reproduce einstein --data .").fails(2, &["einstein", "nielsen-1"]);
}
