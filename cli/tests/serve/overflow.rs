//! Rows whose answers overflow: no path answers null, and no other request is spoiled.

use serde_json::json;

use crate::client::Server;
use crate::run::Folder;

/// Trains `flats.safetensors` without a scale, so that 1e38 overflows.
pub(crate) fn flats(folder: &Folder) {
    let rows: String = (0..60).map(|i| format!("{i},{}\n", 30 * i)).collect();
    folder.write("flats.csv", format!("area,price\n{rows}"));
    folder.run("train flats.csv --epochs 4 --hidden 32 --activation gelu --preset plain --scaling none --seed 2").ok();
}

#[test]
fn answers_that_overflow_are_refused_with_row_and_target() {
    let folder = Folder::new();
    flats(&folder);
    let server = Server::start(&folder, "flats.safetensors");
    let place = "row 1 (counted from 0), answer for 'price'";
    let refused = |reply: crate::client::Reply| {
        reply.refused(400, place, "a finite number", "overflow");
    };
    refused(server.predict("/predict", &json!([{"area": 1}, {"area": 3e38}, {"area": 2}])));
    refused(server.predict("/predict", &json!([[1], [3e38]])));
    refused(server.post("/predict", "text/csv", "area\n1\n3e38\n"));
    let tensor = |name: &str| {
        let data = json!([1.0, 3e38]);
        json!({"inputs": [{"name": name, "shape": [2, 1], "datatype": "FP64", "data": data}]})
    };
    for name in ["area", "input"] {
        refused(server.predict("/v2/models/flats/infer", &tensor(name)));
    }
    let good = server.predict("/predict", &json!({"area": 10})).predictions();
    assert!(good[0]["values"]["price"].is_number(), "{good:?}");
}
