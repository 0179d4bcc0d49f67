//! Tables that programs and people write, from the file to the prediction.

mod bins;
mod certainty;
mod columns;
mod complaints;
mod damage;
mod dialects;
mod embedded;
mod freeze;
mod lines;
mod onnx;
mod options;
mod prediction;
mod public;
mod quantiles;
#[path = "../cli/run.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod run;
mod silence;

use run::Folder;
use serde_json::Value;

/// What `inspect` finds in a text: the dialect, and for each column its name, role and type.
struct Found(Value);

impl Found {
    fn columns(&self) -> Vec<String> {
        let column = |column: &Value| {
            let of_type = match &column["type"] {
                Value::String(name) => name.clone(),
                format => format.to_string().replace('"', ""),
            };
            let word = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {of_type}", word("name"), word("role"))
        };
        self.0["columns"].as_array().unwrap().iter().map(column).collect()
    }

    fn column(&self, place: usize) -> &Value {
        &self.0["columns"][place]
    }

    fn note(&self, place: usize) -> &str {
        self.column(place)["note"].as_str().unwrap_or_default()
    }
}

/// Inspects a text as a table; `arguments`: more of them.
fn inspect(text: impl AsRef<[u8]>, arguments: &str) -> Found {
    let folder = Folder::new();
    folder.write("t.csv", text);
    Found(folder.run(&format!("inspect t.csv --json {arguments}")).ok().result())
}

/// A text that is refused with status 2 and all of these in the message.
fn refused(text: impl AsRef<[u8]>, arguments: &str, parts: &[&str]) {
    let folder = Folder::new();
    folder.write("t.csv", text);
    folder.run(&format!("inspect t.csv {arguments}")).fails(2, parts);
}

/// A table with a header of rows that a function makes.
fn rows(header: &str, count: usize, row: impl Fn(usize) -> String) -> String {
    let rows: String = (0..count).map(|i| row(i) + "\n").collect();
    format!("{header}\n{rows}")
}

/// Numbers between 0 and 1 that look like chance.
fn noise(i: usize, stream: usize) -> f64 {
    let x = (i as f64 * 12.9898 + stream as f64 * 78.233).sin() * 43758.5453;
    x - x.floor()
}
