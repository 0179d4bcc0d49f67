//! Batches, the token, where the server listens, counters, and how it ends.

use std::io::{Read, Write};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Server, read, request};
use crate::run::Folder;
use crate::{flowers, predicted};

/// A row of digits, different for each number.
fn row(number: usize) -> Vec<f64> {
    (0..64).map(|i| ((i * 7 + number * 13) % 17) as f64 / 16.0).collect()
}

#[test]
fn requests_that_wait_are_computed_together_and_answered_alike() {
    let folder = Folder::new();
    let rows: Vec<String> = (0..400)
        .map(|i| {
            let numbers: Vec<String> = row(i).iter().map(f64::to_string).collect();
            format!("{},{}\n", numbers.join(","), i % 3)
        })
        .collect();
    let names: Vec<String> = (0..64).map(|i| format!("x{i}")).collect();
    let header = format!("{},y\n", names.join(","));
    folder.write("wide.csv", format!("{header}{}", rows.concat()));
    // So wide that computing takes longer than reading a request.
    folder.run("train wide.csv --hidden 2000,2000 --epochs 1 --label y --task classes --out w.safetensors").ok();
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 10;
    let asked: String = (0..CLIENTS * REQUESTS)
        .map(|i| row(i).iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    let program = predicted(
        &folder,
        "w.safetensors",
        &format!("{}\n{asked}", names.join(",")),
        "--probabilities",
    );
    let server = Server::start(&folder, "w.safetensors");
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (server, program, start) = (&server, &program, &start);
            scope.spawn(move || {
                let mut stream = server.connect();
                start.wait();
                let own = program.iter().enumerate().skip(client * REQUESTS).take(REQUESTS);
                for (number, expected) in own {
                    let body = json!([row(number)]).to_string();
                    let json = "content-type: application/json\r\n";
                    stream.write_all(&request("/predict", json, body)).unwrap();
                    let found = &read(&mut stream).predictions()[0];
                    // To the last bit: the shares are written with all their digits.
                    assert_eq!(found["probabilities"], expected["probabilities"]);
                }
            });
        }
    });
    let all = server.metric("travertine_batch_rows_count{model=\"w\"}");
    assert_eq!(server.metric("travertine_rows_total{model=\"w\"}"), (CLIENTS * REQUESTS) as f64);
    assert!(all < (CLIENTS * REQUESTS) as f64 / 1.5, "{all} batches");
}

#[test]
fn a_token_is_asked_for_and_compared() {
    let folder = Folder::new();
    flowers(&folder);
    folder.write("token", "0123456789abcdef\n");
    let server = Server::start(&folder, "flowers.safetensors --token-file token");
    for path in ["/", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in
        ["/models", "/metrics", "/openapi.json", "/v2", "/v2/models/flowers", "/predict", "/x"]
    {
        let reply = server.get(path);
        reply.refused(401, "authorization", "Bearer", "none");
        assert!(reply.head.contains("www-authenticate: bearer"), "{}", reply.head);
    }
    let with = |token: &str| {
        let headers = format!("authorization: {token}\r\ncontent-type: application/json\r\n");
        let body = json!({"sepal": 5, "petal": 1, "city": "Bern", "day": "2026-01-01"}).to_string();
        server.send(&request("/predict", &headers, body))
    };
    // The scheme's case does not matter (RFC 9110, 11.1).
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(with(&format!("{scheme} 0123456789abcdef")).status, 200, "{scheme}");
    }
    with("Bearer0123456789abcdef").refused(401, "authorization", "Bearer", "none");
    for wrong in ["Bearer 0123456789abcdee", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg"] {
        with(wrong).refused(401, "authorization", "the token", "another token");
    }
    with("Basic 0123456789abcdef").refused(401, "authorization", "Bearer", "none");
    folder.write("short", "secret");
    folder
        .run("serve flowers.safetensors --token-file short")
        .fails(2, &["--token-file", "16 characters"]);
    folder.run("serve flowers.safetensors --token-file no").fails(2, &["cannot read no"]);
}

#[test]
fn other_machines_are_let_in_only_where_that_is_said() {
    let folder = Folder::new();
    flowers(&folder);
    for address in ["0.0.0.0:0", "[::]:0"] {
        folder.run(&format!("serve flowers.safetensors --listen {address}")).fails(
            2,
            &["--listen", "can be reached from other machines", "--token-file", "--allow-anyone"],
        );
    }
    let server = Server::start(&folder, "flowers.safetensors --allow-anyone");
    assert_eq!(server.get("/v2").status, 200);
}

#[test]
fn counters_are_what_was_asked() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let record = json!({"sepal": 5, "petal": 1, "city": "Bern", "day": "2026-01-01"});
    for count in [1, 2, 5] {
        assert_eq!(server.predict("/predict", &vec![record.clone(); count].into()).status, 200);
    }
    assert_eq!(server.predict("/predict", &json!({})).status, 400);
    assert_eq!(server.get("/invented/by/a/client").status, 404);
    let metric = |name: &str| server.metric(&format!("travertine_{name}"));
    assert_eq!(metric("requests_total{route=\"/predict\",status=\"200\"}"), 3.0);
    assert_eq!(metric("requests_total{route=\"/predict\",status=\"400\"}"), 1.0);
    assert_eq!(metric("errors_total{route=\"/predict\"}"), 1.0);
    assert_eq!(metric("errors_total{route=\"unknown\"}"), 1.0);
    assert_eq!(metric("rows_total{model=\"flowers\"}"), 8.0);
    assert_eq!(metric("batch_rows_sum{model=\"flowers\"}"), 8.0);
    assert_eq!(metric("batch_rows_count{model=\"flowers\"}"), 3.0);
    assert_eq!(metric("batch_rows_bucket{model=\"flowers\",le=\"1\"}"), 1.0);
    assert_eq!(metric("batch_rows_bucket{model=\"flowers\",le=\"2\"}"), 2.0);
    assert_eq!(metric("batch_rows_bucket{model=\"flowers\",le=\"+Inf\"}"), 3.0);
    assert_eq!(metric("request_seconds_count{of=\"predictions\"}"), 4.0);
    assert_eq!(metric("queue_requests{model=\"flowers\"}"), 0.0);
    assert_eq!(metric("model_version{model=\"flowers\"}"), 1.0);
    // As Prometheus' text format has it: a name, labels in braces, a number.
    for line in server.get("/metrics").text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(
            name.starts_with("travertine_") && name.matches('"').count().is_multiple_of(2),
            "{line}"
        );
        assert!(!name.contains("{,"), "{line}");
    }
}

#[test]
fn the_interface_is_described() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let api = server.get("/openapi.json").json();
    assert_eq!(api["openapi"], "3.1.0");
    let row = &api["components"]["schemas"]["flowers.row"];
    assert_eq!(row["required"], json!(["sepal", "petal", "city", "day"]));
    assert_eq!(row["properties"]["sepal"]["type"], json!(["number", "string", "boolean", "null"]));
    assert_eq!(row["properties"]["petal"]["type"], json!(["number", "string", "boolean"]));
    assert_eq!(row["properties"]["city"]["examples"], json!(["Bern", "Lyon", "Oslo"]));
    // Every reference leads somewhere, and every path is answered.
    let text = api.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap())
    {
        assert!(api.pointer(reference).is_some(), "{reference}");
    }
    for (path, methods) in api["paths"].as_object().unwrap() {
        let is_get = methods.get("get").is_some();
        let status =
            if is_get { server.get(path).status } else { server.predict(path, &json!(1)).status };
        assert_eq!(status, if is_get { 200 } else { 400 }, "{path}");
    }
}

#[test]
fn a_signal_ends_the_server_after_the_requests_under_way() {
    let folder = Folder::new();
    flowers(&folder);
    for signal in ["TERM", "INT"] {
        let server = Server::start(&folder, "flowers.safetensors");
        let body = json!({"sepal": 5, "petal": 1, "city": "Bern", "day": "2026-01-01"}).to_string();
        let bytes = request("/predict", "content-type: application/json\r\n", body);
        let mut under_way = server.connect();
        under_way.write_all(&bytes[..bytes.len() - 5]).unwrap();
        let mut idle = server.connect();
        idle.write_all(&bytes).unwrap();
        read(&mut idle).predictions();
        server.signal(signal);
        server.wait_for("requests under way are answered");
        // The idle connection is closed at once.
        assert_eq!(idle.read(&mut [0; 8]).unwrap(), 0);
        under_way.write_all(&bytes[bytes.len() - 5..]).unwrap();
        let reply = read(&mut under_way);
        reply.predictions();
        assert!(reply.head.contains("connection: close"), "{}", reply.head);
        assert_eq!(server.status(), Some(0), "{signal}");
    }
    // A client that never ends its request is cut off in time.
    let server = Server::start(&folder, "flowers.safetensors --end-time 0.2");
    let mut endless = server.connect();
    endless.write_all(b"POST /predict HTTP/1.1\r\ncontent-length: 10\r\n\r\n{").unwrap();
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    server.signal("TERM");
    server.wait_for("cut");
    assert_eq!(server.status(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let reply = server.get("/");
    assert!(reply.head.contains("content-security-policy: default-src 'none'"), "{}", reply.head);
    let page: Value = reply.text().into();
    for outside in ["http:", "https:", "src=", "@import", "url(", "innerHTML"] {
        assert!(!page.as_str().unwrap().contains(outside), "{outside}");
    }
}
