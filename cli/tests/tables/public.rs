//! Public tables with all defaults but a shorter training: trained, evaluated and predicted from the raw file.

use std::fs;
use std::path::Path;

use super::run::Folder;

#[test]
fn public_tables_are_trained_evaluated_and_predicted_as_they_are() {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tables");
    let Ok(files) = fs::read_dir(&tables) else {
        // `./test` lists this among what it leaves out.
        eprintln!("left out: there are no public tables in {}", tables.display());
        return;
    };
    let mut count = 0;
    for path in files.map(|file| file.unwrap().path()) {
        let folder = Folder::new();
        folder.write("table.csv", fs::read(&path).unwrap());
        let train = folder.run("train table.csv --epochs 12 --samples 4000 --json").ok();
        let loss = |key: &str| train.result()[key].as_f64().unwrap();
        assert!(
            loss("train_loss").is_finite() && loss("test_loss").is_finite(),
            "{}",
            path.display()
        );
        let judged = folder.run("evaluate table.safetensors table.csv --json").ok().result();
        let predicted = folder.run("predict table.safetensors table.csv").ok().out;
        assert_eq!(judged["samples"], predicted.lines().count(), "{}", path.display());
        // Better than the mean, or than the most frequent class of two.
        let good = match judged["r2"].as_f64() {
            Some(r2) => r2 > 0.1,
            None => judged["macro_f1"].as_f64().unwrap() > 0.5,
        };
        assert!(good, "{}: {judged}", path.display());
        count += 1;
    }
    assert!(count >= 14, "{count} tables");
}
