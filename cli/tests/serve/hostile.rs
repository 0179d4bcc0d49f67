//! Clients that are wrong, slow, greedy or hostile: each is refused, and others are answered meanwhile.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Server, read, request};
use crate::flowers;
use crate::run::Folder;

const JSON: &str = "content-type: application/json\r\n";
const GOOD: &str = "{\"sepal\":5,\"petal\":1,\"city\":\"Bern\",\"day\":\"2026-01-01\"}";

/// The server answers a good request.
fn is_well(server: &Server) {
    server.send(&request("/predict", JSON, GOOD)).predictions();
}

#[test]
fn garbage_is_refused_and_never_an_error_of_the_server() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    let deep = format!("{{\"sepal\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let tensors = format!(
        "{{\"inputs\":[{{\"name\":\"input\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":{}}}]}}",
        "[".repeat(100_000)
    );
    let bodies: &[&[u8]] = &[
        b"",
        b"\0",
        b"\xff\xfe{\"sepal\":1}",
        b"{\"sepal\":\"\xff\"}",
        b"{\"sepal\":\"\\ud800\"}",
        b"null",
        b"[null]",
        b"[[]]",
        b"[{}]",
        b"[{},",
        b"{\"inputs\":{}}",
        b"{\"inputs\":[{}]}",
        b"{\"inputs\":[{\"name\":\"sepal\",\"shape\":[],\"datatype\":\"FP32\",\"data\":[]}]}",
        b"{\"inputs\":[{\"name\":\"sepal\",\"shape\":[0,1],\"datatype\":\"FP32\",\"data\":[]}]}",
        b"{\"inputs\":[],\"outputs\":7}",
        b"{\"inputs\":[],\"parameters\":[]}",
        b"sepal,petal,city,day\n\"",
        b"\"\"\"\"\n,,,\n",
        deep.as_bytes(),
        tensors.as_bytes(),
    ];
    let paths = [
        "/predict",
        "/models/flowers/predict",
        "/v2/models/flowers/infer",
        "/v2/models/flowers/versions/1/infer",
    ];
    for body in bodies {
        for path in paths {
            for kind in [JSON, "content-type: text/csv\r\n"] {
                let reply = server.send(&request(path, kind, body));
                let text = String::from_utf8_lossy(&reply.body);
                assert!(
                    (400..500).contains(&reply.status),
                    "{path} {body:?}: {} {text}",
                    reply.status
                );
                for key in ["error", "field", "expected", "found"] {
                    assert!(reply.json()[key].is_string(), "{text}");
                }
            }
        }
    }
    // A body of random bytes, and good ones with a byte changed, from a generator that repeats itself.
    let mut state = 7u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..300 {
        let mut body = GOOD.as_bytes().to_vec();
        let place = random() % body.len();
        body[place] = random() as u8;
        for (path, kind) in
            [("/predict", JSON), ("/predict", "content-type: text/csv\r\n"), (paths[2], JSON)]
        {
            let status = server.send(&request(path, kind, &body)).status;
            assert!(status < 500, "{status}: {body:?}");
        }
    }
    // No HTTP at all: an answer of 400, or a closed connection.
    for bytes in [
        &b"\x16\x03\x01\x02\0\x01\0"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    let mut stream = server.connect();
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    is_well(&server);
}

#[test]
fn bodies_and_rows_have_limits() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors --max-body 2000 --max-rows 3");
    let rows =
        |count: usize| format!("[{}]", vec!["[5,1,\"Bern\",\"2026-01-01\"]"; count].join(","));
    assert_eq!(server.send(&request("/predict", JSON, rows(3))).predictions().len(), 3);
    server.send(&request("/predict", JSON, rows(4))).refused(
        413,
        "rows",
        "at most 3 rows",
        "4 rows",
    );
    let csv =
        |count: usize| format!("sepal,petal,city,day\n{}", "5,1,Bern,2026-01-01\n".repeat(count));
    let kind = "content-type: text/csv\r\n";
    assert_eq!(server.send(&request("/predict", kind, csv(3))).predictions().len(), 3);
    server.send(&request("/predict", kind, csv(4))).refused(
        413,
        "rows",
        "at most 3 rows",
        "4 rows",
    );
    let big = " ".repeat(2001);
    server.send(&request("/predict", JSON, &big)).refused(
        413,
        "body",
        "at most 2000 bytes",
        "2001",
    );
    // Of a huge body only the head is read.
    let head = "POST /predict HTTP/1.1\r\ncontent-length: 99999999999999\r\n\r\n";
    server.send(head.as_bytes()).refused(413, "body", "at most 2000 bytes", "99999999999999");
    let mut chunked = server.connect();
    chunked.write_all(b"POST /predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..3 {
        let _ = chunked.write_all(format!("3e8\r\n{}\r\n", " ".repeat(1000)).as_bytes());
    }
    read(&mut chunked).refused(413, "body", "at most 2000 bytes", "3000");
    let zipped = format!("{JSON}content-encoding: gzip\r\n");
    server.send(&request("/predict", &zipped, GOOD)).refused(
        415,
        "content-encoding",
        "not compressed",
        "gzip",
    );
    is_well(&server);
}

#[test]
fn slow_clients_are_cut_and_others_answered_meanwhile() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(
        &folder,
        "flowers.safetensors --head-time 0.5 --body-time 0.7 --max-connections 8",
    );
    let start = Instant::now();
    let mut heads: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let mut bodies: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let bytes = request("/predict", JSON, GOOD);
    for stream in &mut heads {
        stream.write_all(b"POST /pre").unwrap();
    }
    for stream in &mut bodies {
        stream.write_all(&bytes[..bytes.len() - 3]).unwrap();
    }
    is_well(&server);
    assert!(start.elapsed() < Duration::from_millis(500), "others wait for slow clients");
    for mut stream in heads {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
    }
    for mut stream in bodies {
        read(&mut stream).refused(408, "body", "a whole body within 0.7 s", "a part");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    // An idle connection is closed in time, too.
    let mut idle = server.connect();
    idle.write_all(&bytes).unwrap();
    read(&mut idle).predictions();
    assert_eq!(idle.read(&mut [0; 8]).unwrap_or(0), 0);
    is_well(&server);
}

#[test]
fn a_client_that_takes_no_answer_is_cut() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors --body-time 0.5");
    let mut greedy = server.connect();
    let rows = format!("[{}]", vec!["[5,1,\"Bern\",\"2026-01-01\"]"; 10_000].join(","));
    let bytes = request("/predict", JSON, rows);
    // Answers of a megabyte each, of which none is read.
    let writer = thread::spawn(move || {
        let mut count = 0;
        while count < 200 && greedy.write_all(&bytes).is_ok() {
            count += 1;
        }
        count
    });
    assert!(writer.join().unwrap() < 200, "the connection must have been cut");
    is_well(&server);
}

#[test]
fn connections_have_a_limit() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors --max-connections 4");
    let bytes = request("/predict", JSON, GOOD);
    let mut open: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for stream in &mut open {
        stream.write_all(&bytes).unwrap();
        read(stream).predictions();
    }
    let refused = read(&mut server.connect());
    refused.refused(503, "connections", "fewer than 4 open", "4");
    assert!(refused.head.contains("retry-after"), "{}", refused.head);
    for stream in &mut open {
        stream.write_all(&bytes).unwrap();
        read(stream).predictions();
    }
    drop(open);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let mut stream = server.connect();
        let _ = stream.write_all(&bytes);
        if read(&mut stream).status == 200 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    is_well(&server);
    assert!(server.metric("travertine_refused_connections_total") >= 1.0);
}

#[test]
fn a_wrong_request_spoils_no_other() {
    let folder = Folder::new();
    flowers(&folder);
    let server = Server::start(&folder, "flowers.safetensors");
    thread::scope(|scope| {
        for client in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut stream = server.connect();
                for _ in 0..50 {
                    let body = if client % 2 == 0 {
                        GOOD.to_owned()
                    } else {
                        json!({"sepal": "x"}).to_string()
                    };
                    stream.write_all(&request("/predict", JSON, body)).unwrap();
                    assert_eq!(read(&mut stream).status, if client % 2 == 0 { 200 } else { 400 });
                }
            });
        }
    });
}
