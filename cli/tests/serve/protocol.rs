//! Open Inference Protocol, version 2.

use serde_json::{Value, json};

use crate::client::{Reply, Server, request};
use crate::run::Folder;
use crate::{flowers, predicted};

const CSV: &str =
    "sepal,petal,city,day\n5.1,0.4,Bern,2026-03-04\n,1.7,,2026-01-31\n7.9,3.6,Lyon,2026-09-01\n";
const INFER: &str = "/v2/models/flowers/infer";

fn tensor(name: &str, datatype: &str, shape: Value, data: Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "data": data})
}

/// The rows of [`CSV`].
fn inputs() -> Vec<Value> {
    vec![
        tensor("sepal", "FP64", json!([3, 1]), json!([5.1, null, 7.9])),
        tensor("petal", "FP64", json!([3]), json!([0.4, 1.7, 3.6])),
        tensor("city", "BYTES", json!([3, 1]), json!([["Bern"], [""], ["Lyon"]])),
        tensor("day", "BYTES", json!([3, 1]), json!(["2026-03-04", "2026-01-31", "2026-09-01"])),
    ]
}

fn infer(server: &Server, inputs: &[Value]) -> Reply {
    server.predict(INFER, &json!({"inputs": inputs}))
}

#[test]
fn server_and_models_describe_themselves() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let v2 = server.get("/v2").json();
    assert_eq!(
        (&v2["name"], &v2["extensions"][0]),
        (&json!("travertine"), &json!("binary_tensor_data"))
    );
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/flowers/ready",
        "/v2/models/flowers/versions/1/ready",
    ] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let model = server.get("/v2/models/flowers").json();
    assert_eq!(model, server.get("/v2/models/flowers/versions/1").json());
    assert_eq!((&model["name"], &model["versions"]), (&json!("flowers"), &json!(["1"])));
    let input =
        |name: &str, datatype: &str| json!({"name": name, "datatype": datatype, "shape": [-1, 1]});
    let expected = [
        input("sepal", "FP64"),
        input("petal", "FP64"),
        input("city", "BYTES"),
        input("day", "BYTES"),
    ];
    assert_eq!(model["inputs"], json!(expected));
    assert_eq!(
        model["outputs"],
        json!([
            {"name": "class", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
        ])
    );
    server.get("/v2/models/x").refused(404, "model", "flowers", "'x'");
    server.get("/v2/models/flowers/versions/2").refused(404, "version", "1, the current", "'2'");
    server.get("/v2/models/flowers/infer").refused(405, "method", "POST", "GET");
    server.get("/v2/models/%ff").refused(400, "path", "UTF-8", "");
}

#[test]
fn tensors_of_columns_have_the_answers_of_the_program() {
    let folder = Folder::new();
    flowers(&folder);
    let program = predicted(&folder, "flowers.safetensors", CSV, "--probabilities");
    let server = Server::start(&folder, "flowers.safetensors");
    let mut asked = inputs();
    asked.reverse();
    let body = json!({"id": "seven", "inputs": asked});
    for path in [INFER, "/v2/models/flowers/versions/1/infer"] {
        let reply = server.predict(path, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let reply = reply.json();
        assert_eq!((&reply["id"], &reply["model_version"]), (&json!("seven"), &json!("1")));
        let [class, shares] = [0, 1].map(|i| reply["outputs"][i].clone());
        assert_eq!(
            class,
            tensor("class", "BYTES", json!([3]), json!(["setosa", "versicolor", "virginica"]))
        );
        let names = ["setosa", "versicolor", "virginica"];
        let expected: Vec<&Value> = program
            .iter()
            .flat_map(|line| names.map(|name| &line["probabilities"][name]))
            .collect();
        assert_eq!(shares, tensor("probabilities", "FP64", json!([3, 3]), json!(expected)));
    }
    let body = json!({"inputs": inputs(), "outputs": [{"name": "class"}]});
    let reply = server.predict(INFER, &body).json();
    assert_eq!(reply["outputs"].as_array().unwrap().len(), 1);
}

#[test]
fn bytes_behind_the_json_are_tensors() {
    let folder = Folder::new();
    let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 8, i % 5, i % 8 > 3)).collect();
    folder.write("n.csv", format!("a,b,c\n{rows}"));
    folder.run("train n.csv --epochs 20 --hidden 6 --out n.safetensors").ok();
    let program = predicted(&folder, "n.safetensors", "a,b\n1,2\n7,0.5\n", "--probabilities");
    let server = Server::start(&folder, "n.safetensors");
    let metadata = server.get("/v2/models/n").json();
    assert_eq!(
        metadata["inputs"],
        json!([{"name": "input", "datatype": "FP64", "shape": [-1, 2]}])
    );
    let numbers = [1.0f32, 2.0, 7.0, 0.5];
    let singles: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let doubles: Vec<u8> = numbers.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
    // As IEEE 754 has them in 16 bits.
    let halves: Vec<u8> =
        [0x3c00u16, 0x4000, 0x4700, 0x3800].iter().flat_map(|x| x.to_le_bytes()).collect();
    for (datatype, bytes) in [("FP32", singles), ("FP64", doubles), ("FP16", halves)] {
        let parameters = json!({"binary_data_size": bytes.len()});
        let json = json!({
            "inputs": [{"name": "input", "datatype": datatype, "shape": [2, 2], "parameters": parameters}],
            "parameters": {"binary_data_output": true},
        })
        .to_string();
        let header = format!("inference-header-content-length: {}\r\n", json.len());
        let body = [json.as_bytes(), &bytes].concat();
        let reply = server.send(&request("/v2/models/n/infer", &header, body));
        assert_eq!(reply.status, 200, "{datatype}: {}", String::from_utf8_lossy(&reply.body));
        let length = reply.head.split("inference-header-content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        let (head, rest) = reply.body.split_at(length);
        let head: Value = serde_json::from_slice(head).unwrap();
        let classes =
            head["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
        assert_eq!(&rest[..classes], b"\x05\0\0\0false\x04\0\0\0true");
        let shares: Vec<f64> = rest[classes..]
            .chunks_exact(8)
            .map(|x| f64::from_le_bytes(x.try_into().unwrap()))
            .collect();
        let expected = program.iter().flat_map(|line| {
            ["false", "true"].map(|name| line["probabilities"][name].as_f64().unwrap())
        });
        assert_eq!(shares, expected.collect::<Vec<_>>(), "{datatype}");
    }
    // The same rows by column, as whole numbers and with decimals.
    let columns = [
        tensor("a", "INT8", json!([2]), json!([1, 7])),
        tensor("b", "FP32", json!([2, 1]), json!([2, 0.5])),
    ];
    let reply = server.predict("/v2/models/n/infer", &json!({"inputs": columns})).json();
    assert_eq!(reply["outputs"][0]["data"], json!(["false", "true"]));
}

#[test]
fn wrong_tensors_are_refused_with_field_expected_and_found() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let with = |i: usize, key: &str, value: Value| {
        let mut inputs = inputs();
        inputs[i][key] = value;
        infer(&server, &inputs)
    };
    with(0, "shape", json!([2, 1])).refused(400, "inputs[0].data", "2 elements", "3");
    with(1, "shape", json!([3, 2])).refused(400, "inputs[1].shape", "[rows, 1]", "[3, 2]");
    with(1, "shape", json!([1u64 << 40])).refused(413, "rows", "10000", "1099511627776");
    with(1, "shape", json!([u64::MAX, 1])).refused(413, "rows", "10000", "18446744073709551615");
    with(1, "shape", json!([-1])).refused(400, "body", "JSON", "-1");
    with(2, "datatype", json!("STRING")).refused(400, "inputs[2].datatype", "BYTES", "'STRING'");
    with(2, "datatype", json!("INT32")).refused(
        400,
        "inputs[2].data, element 0 (counted from 0)",
        "whole",
        "text",
    );
    let small = tensor("petal", "INT8", json!([3]), json!([1, 300, 2]));
    let [sepal, _, city, day] = inputs().try_into().unwrap();
    infer(&server, &[sepal, small, city, day]).refused(
        400,
        "inputs[1].data, element 1 (counted from 0)",
        "from -128 to 127",
        "300",
    );
    with(3, "name", json!("when")).refused(
        400,
        "inputs[3].name",
        "sepal, petal, city, day",
        "'when'",
    );
    with(3, "name", json!("city")).refused(400, "inputs[3].name", "once", "'city' twice");
    with(0, "data", json!([1, 2, {"a": 3}])).refused(400, "body", "JSON", "map");
    with(0, "data", Value::Null).refused(400, "inputs[0]", "binary_data_size", "none of them");
    with(0, "parameters", json!({"binary_data_size": 24})).refused(
        400,
        "inputs[0]",
        "data, or",
        "both",
    );
    let shared = json!({"shared_memory_region": "x"});
    let field = "inputs[0].parameters.shared_memory_region";
    with(0, "parameters", shared).refused(400, field, "no parameter", "one");
    infer(&server, &inputs()[..3]).refused(400, "inputs", "a tensor 'day'", "none");
    infer(&server, &[]).refused(400, "inputs", "a tensor 'sepal'", "none");
    let mut short = inputs();
    short[3] = tensor("day", "BYTES", json!([1]), json!(["2026-01-01"]));
    infer(&server, &short).refused(400, "inputs[3].shape", "3 rows", "1 rows");
    let asked =
        |outputs: Value| server.predict(INFER, &json!({"inputs": inputs(), "outputs": outputs}));
    asked(json!([{"name": "logits"}])).refused(
        400,
        "outputs[0].name",
        "class, probabilities",
        "'logits'",
    );
    let binary = json!([{"name": "class", "parameters": {"binary_data": 1}}]);
    asked(binary).refused(400, "outputs[0].parameters.binary_data", "true or false", "1");
    // Numbers within the datatype, texts that are whole, bytes that belong to one tensor.
    let send = |length: &str, json: &str, bytes: &[u8]| {
        let header = format!("inference-header-content-length: {length}\r\n");
        server.send(&request(INFER, &header, [json.as_bytes(), bytes].concat()))
    };
    let of = |sizes: [u64; 4]| {
        let tensor = |(name, size): (&str, u64)| {
            let datatype = if ["sepal", "petal"].contains(&name) { "FP64" } else { "BYTES" };
            json!({"name": name, "datatype": datatype, "shape": [1], "parameters": {"binary_data_size": size}})
        };
        let names = ["sepal", "petal", "city", "day"];
        json!({"inputs": names.into_iter().zip(sizes).map(tensor).collect::<Vec<_>>()}).to_string()
    };
    let bytes = [&[0; 16], &b"\x04\0\0\0Bern\x0a\0\0\x002026-01-01"[..]].concat();
    let good = of([8, 8, 8, 14]);
    assert_eq!(send(&good.len().to_string(), &good, &bytes).status, 200);
    let broken = |sizes: [u64; 4]| send(&of(sizes).len().to_string(), &of(sizes), &bytes);
    let size = |i: usize| format!("inputs[{i}].parameters.binary_data_size");
    broken([8, 8, 8, 15]).refused(400, &size(3), "at most the 14", "15");
    broken([8, 8, 8, 13]).refused(
        400,
        &format!("{}, element 0 (counted from 0)", size(3)),
        "10 bytes",
        "9",
    );
    broken([8, 8, 8, 1 << 40]).refused(400, &size(3), "at most", "1099511627776");
    broken([u64::MAX, 8, 8, 14]).refused(400, &size(0), "at most", "18446744073709551615");
    broken([4, 12, 8, 14]).refused(400, &size(0), "8 bytes for each of 1", "4 bytes");
    let rest = [&bytes[..], b"more"].concat();
    send(&good.len().to_string(), &good, &rest).refused(400, "body", "no more", "4 more");
    let mut wrong = bytes.clone();
    wrong[20] = 0xff;
    let element = format!("{}, element 0 (counted from 0)", size(2));
    send(&good.len().to_string(), &good, &wrong).refused(400, &element, "UTF-8", "invalid");
    for length in ["-1", "x", "99999999999999999999", "4096"] {
        send(length, &good, &bytes).refused(
            400,
            "inference-header-content-length",
            "a number",
            length,
        );
    }
    send("10", &good, &bytes).refused(400, "body", "JSON", "EOF");
}
