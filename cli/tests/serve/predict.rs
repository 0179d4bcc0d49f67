//! `POST /predict`: the answers are those of `travertine predict`.

use serde_json::{Value, json};

use crate::client::Server;
use crate::run::Folder;
use crate::{flowers, predicted};

/// Rows with texts and gaps, a text that training did not see, and a number far outside.
const ROWS: &str = "sepal,petal,city,day\n5.1,0.4,Bern,2026-03-04\n,1.7,,2026-01-31\n7.9,3.6,Lyon,2026-09-01\n\
    6.5,2.0,Atlantis,2026-05-05\n1e6,3,Oslo,2026-02-02\n";

/// The rows as JSON objects.
fn records() -> Value {
    json!([
        {"sepal": 5.1, "petal": 0.4, "city": "Bern", "day": "2026-03-04"},
        {"sepal": null, "petal": 1.7, "city": null, "day": "2026-01-31"},
        {"sepal": 7.9, "petal": 3.6, "city": "Lyon", "day": "2026-09-01", "garden": [1, {"a": 2}]},
        {"day": "2026-05-05", "city": "Atlantis", "petal": 2, "sepal": 6.5},
        {"sepal": 1e6, "petal": 3, "city": "Oslo", "day": "2026-02-02"},
    ])
}

/// What a prediction says, without what only the server or only the program says.
fn essence(prediction: &Value) -> Value {
    json!([prediction["class"], prediction["probability"], prediction["probabilities"]])
}

#[test]
fn objects_lists_and_csv_have_the_answers_of_the_program() {
    let folder = Folder::new();
    flowers(&folder);
    let program = predicted(&folder, "flowers.safetensors", ROWS, "--probabilities");
    assert_eq!(program.len(), 5);
    let classes: Vec<&str> = program.iter().map(|line| line["class"].as_str().unwrap()).collect();
    assert_eq!(classes[..3], ["setosa", "versicolor", "virginica"], "the model has learned");
    let expected: Vec<Value> = program.iter().map(essence).collect();
    let server = Server::start(&folder, "flowers.safetensors");

    let records = records();
    let together = server.predict("/predict", &records);
    let found: Vec<Value> = together.predictions().iter().map(essence).collect();
    assert_eq!(found, expected);
    let body = together.json();
    assert_eq!((&body["model"], &body["version"]), (&json!("flowers"), &json!("1")));
    let warnings = body["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].as_str().unwrap().contains("'sepal'"), "{warnings:?}");
    assert!(warnings[1].as_str().unwrap().contains("'city'"), "{warnings:?}");

    for (record, expected) in records.as_array().unwrap().iter().zip(&expected) {
        let alone = server.predict("/models/flowers/predict", record).predictions();
        assert_eq!((alone.len(), &essence(&alone[0])), (1, expected));
    }
    let csv = server.post("/predict", "text/csv; charset=utf-8", ROWS);
    assert_eq!(csv.predictions().iter().map(essence).collect::<Vec<_>>(), expected);
    assert_eq!(csv.json()["warnings"].as_array().unwrap().len(), 2);
    // Columns in another order, and one that the model does not have.
    let csv =
        server.post("/predict", "text/csv", "day,x,city,petal,sepal\n2026-03-04,9,Bern,0.4,5.1\n");
    assert_eq!(csv.predictions().iter().map(essence).collect::<Vec<_>>(), expected[..1]);

    let list = json!([[5.1, 0.4, "Bern", "2026-03-04"], [null, 1.7, null, "2026-01-31"]]);
    let lists = server.predict("/predict", &list).predictions();
    assert_eq!(lists.iter().map(essence).collect::<Vec<_>>(), expected[..2]);
    assert_eq!(server.predict("/predict", &json!([])).predictions(), [] as [Value; 0]);
}

#[test]
fn values_come_in_the_units_of_the_training_by_name() {
    let folder = Folder::new();
    let rows: String =
        (0..60).map(|i| format!("{i},{},{}\n", i % 7, 1000 + 30 * i - 5 * (i % 7))).collect();
    folder.write("flats.csv", format!("area,rooms,price\n{rows}"));
    for precision in ["f32", "f64"] {
        folder
            .run(&format!(
                "train flats.csv --epochs 40 --hidden 8 --seed 2 --precision {precision} --out {precision}.safetensors"
            ))
            .ok();
        let text = "area,rooms\n10,3\n55.5,1\n";
        let program = predicted(&folder, &format!("{precision}.safetensors"), text, "");
        let server = Server::start(&folder, &format!("price={precision}.safetensors"));
        let found = server.post("/models/price/predict", "text/csv", text).predictions();
        assert_eq!(found.len(), 2);
        for (found, line) in found.iter().zip(&program) {
            assert_eq!(*found, json!({"values": {"price": line["output"][0]}}));
            let price = found["values"]["price"].as_f64().unwrap();
            assert!((500.0..3500.0).contains(&price), "{price}");
        }
    }
}

#[test]
fn quantiles_and_several_targets_have_names() {
    let folder = Folder::new();
    let rows: String = (0..60).map(|i| format!("{i},{}\n", 3 * i + i % 5)).collect();
    folder.write("t.csv", format!("x,y\n{rows}"));
    folder.run("train t.csv --epochs 20 --hidden 8 --quantiles 0.1,0.9 --out t.safetensors").ok();
    let line = predicted(&folder, "t.safetensors", "x\n7\n", "").remove(0);
    let server = Server::start(&folder, "t.safetensors");
    let found = server.predict("/predict", &json!({"x": 7})).predictions();
    let expected = json!({"y_q0.1": line["output"][0], "y_q0.9": line["output"][1]});
    assert_eq!(found, [json!({"values": expected})]);
}

#[test]
fn wrong_rows_are_refused_with_field_expected_and_found() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let good = records()[0].clone();
    let with = |key: &str, value: Value| {
        let mut record = good.clone();
        record[key] = value;
        server.predict("/predict", &json!([good, record]))
    };
    let place = |column: &str| format!("record 1 (counted from 0), column '{column}'");
    with("sepal", json!("long")).refused(400, &place("sepal"), "a finite number", "\"long\"");
    with("petal", Value::Null).refused(400, &place("petal"), "no gaps", "no value");
    with("city", json!(["Bern"])).refused(400, &place("city"), "a single value", "a sequence");
    with("city", json!({"a": 1})).refused(400, &place("city"), "a single value", "a map");
    with("city", json!(1.5)).refused(400, &place("city"), "a text", "1.5");
    with("day", json!("yesterday")).refused(400, &place("day"), "a date", "yesterday");
    with("sepal", json!(1e308)).refused(400, &place("sepal"), "near those", "overflows");
    let predict = |body: &str| server.post("/predict", "application/json", body);
    predict("{\"sepal\": 1}").refused(
        400,
        "record 0 (counted from 0), column 'petal'",
        "a value",
        "2 more columns",
    );
    let twice = "{\"sepal\":1,\"sepal\":2,\"petal\":1,\"city\":\"Bern\",\"day\":\"2026-01-01\"}";
    predict(twice).refused(
        400,
        "record 0 (counted from 0), column 'sepal'",
        "one value",
        "a second one",
    );
    predict("[[1, 2, \"Bern\"]]").refused(
        400,
        "row 0 (counted from 0), length",
        "4, one value",
        "3",
    );
    predict("[1, 2]").refused(400, "body", "a JSON object", "integer");
    predict("7").refused(400, "body", "a JSON object", "integer");
    predict("{\"sepal\": NaN}").refused(400, "body", "a JSON object", "column 11");
    predict("{\"sepal\": 1e999}").refused(400, "body", "a JSON object", "out of range");
    predict("").refused(400, "body", "a JSON object", "EOF");
    let csv = |body: &str| server.post("/predict", "text/csv", body);
    csv("sepal,petal\n1,2\n").refused(400, "text, line 1", "\"city\"", "sepal");
    csv("sepal,petal,city,day\n1,two,Bern,2026-01-01\n").refused(
        400,
        "text, line 2, column 2 (petal)",
        "a finite number",
        "two",
    );
    let two = csv("sepal,petal,city,day\n1,two,Bern,2026-01-01\n");
    assert!(!two.text().contains("TableOptions"), "clients have no such options: {}", two.text());
    csv("").refused(400, "text, line 1", "a header", "the end");
    server.post("/predict", "text/html", "x").refused(
        415,
        "content-type",
        "application/json or text/csv",
        "'text/html'",
    );
}

#[test]
fn several_models_are_told_apart_by_name() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors other=flowers.safetensors");
    let record = records()[0].clone();
    for name in ["flowers", "other"] {
        let reply = server.predict(&format!("/models/{name}/predict"), &record);
        assert_eq!(reply.json()["model"], name);
    }
    server.predict("/predict", &record).refused(404, "path", "flowers, other", "/predict");
    server.predict("/models/x/predict", &record).refused(404, "model", "flowers, other", "'x'");
    let models = server.get("/models").json();
    assert_eq!((&models[0]["name"], &models[1]["name"]), (&json!("flowers"), &json!("other")));
    assert_eq!(models[0]["columns"][2]["categories"], json!(["Bern", "Lyon", "Oslo"]));
    drop(server);
    let twice = folder.run("serve flowers.safetensors flowers.safetensors");
    twice.fails(2, &["two models are named 'flowers'", "NAME=flowers.safetensors"]);
    folder.run("serve a/b=flowers.safetensors").fails(2, &["'a/b'", "NAME="]);
    folder.run("serve none.safetensors").fails(2, &["none.safetensors"]);
}

#[test]
fn models_of_images_say_how_pixels_become_numbers() {
    let folder = Folder::new();
    folder.run("train digits --hidden none --epochs 1").ok();
    let server = Server::start(&folder, "digits.safetensors");
    let models = server.get("/models").text();
    assert!(models.contains("\"pixels\":\"0 (white) to 16 (black), divided by 16\""), "{models}");
}
