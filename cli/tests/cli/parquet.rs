//! Parquet files from the command line.

use std::fs;

use crate::run::Folder;

fn people(folder: &Folder) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/library/data/files/people.parquet");
    folder.write("people.parquet", fs::read(file).unwrap());
}

#[test]
#[cfg(feature = "parquet")]
fn parquet_files_are_trained_evaluated_and_predicted() {
    let folder = Folder::new();
    people(&folder);
    folder.run("train people.parquet --categorical zip --epochs 5 --held-out 0 --json").ok();
    let inspected = folder.run("inspect people.safetensors --json").ok().result();
    assert_eq!(inspected["columns"].as_array().unwrap().len(), 5);
    folder.run("evaluate people.safetensors people.parquet --json").ok();
    let from_parquet = folder.run("predict people.safetensors people.parquet").ok();
    // The same table as text.
    let csv = "age,color,zip,weight,tall\n31,red,8001,70.5,1\n,blue,10115,,0\n45,,8001,81.25,\n22,green,20095,66,1\n\
               ,red,10115,90.125,1\n38,blue,,59.5,0\n";
    folder.write("people.csv", csv);
    assert_eq!(folder.run("predict people.safetensors people.csv").ok().out, from_parquet.out);
    let out = "predict people.safetensors people.parquet --id age --probabilities --out p.parquet";
    folder.run(out).ok();
    let columns =
        folder.run("inspect p.parquet --label none --json").ok().result()["columns"].clone();
    let names: Vec<&str> =
        columns.as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["age", "class", "probability"]);
    assert_eq!(names.len(), 5);
    folder.run("train people.parquet --header").fails(2, &["--header", "people.parquet"]);
    folder.run("train people.parquet --stream --categorical zip --held-out 0 --epochs 5").ok();
}

#[test]
#[cfg(not(feature = "parquet"))]
fn a_program_without_parquet_tells_how_to_get_it() {
    let folder = Folder::new();
    people(&folder);
    folder.run("train people.parquet").fails(2, &["people.parquet", "--features parquet"]);
    folder.run("train digits --hidden none --epochs 1 --out m").ok();
    folder.run("predict m digits --out p.parquet").fails(2, &["--out", "--features parquet"]);
}

/// Beside the test above, which also needs a program without a feature.
#[cfg(not(feature = "serve"))]
#[test]
fn a_program_without_parquet_or_its_server_says_how_to_get_the_server() {
    let folder = Folder::new();
    for arguments in ["serve m.safetensors --listen 127.0.0.1:0", "serve", "serve --help"] {
        folder.run(arguments).fails(2, &["without its server", "--features serve"]);
    }
}
