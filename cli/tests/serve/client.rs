//! The program as a server, and a client that sends exactly the bytes that it is given.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::Folder;

/// A running server, which ends with its test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In lowercase.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The predictions, which the server must have made.
    pub(crate) fn predictions(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["predictions"].as_array().unwrap().clone()
    }

    /// It must be refused so: the status, the field, and parts of what was expected and found.
    pub(crate) fn refused(&self, status: u16, field: &str, expected: &str, found: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        let body = self.json();
        assert_eq!(body["field"], field, "{text}");
        let has =
            |key: &str, part: &str| body[key].as_str().is_some_and(|text| text.contains(part));
        assert!(has("expected", expected) && has("found", found), "{text}");
        assert!(has("error", body["found"].as_str().unwrap()), "{text}");
    }
}

impl Server {
    /// Starts `travertine serve` on a free port.
    pub(crate) fn start(folder: &Folder, arguments: &str) -> Self {
        let log = folder.join("serve.log");
        let mut child = folder
            .command(&format!("serve {arguments} --listen 127.0.0.1:0"))
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().parse();
        let address = address
            .unwrap_or_else(|_| panic!("{arguments}: {line}{}", fs::read_to_string(&log).unwrap()));
        Server { child, address, log }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes and reads the answer.
    pub(crate) fn send(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // A server that refuses early may close before it has read all.
        let _ = stream.write_all(bytes);
        read(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send(&request(path, &format!("content-type: {kind}\r\nconnection: close\r\n"), body))
    }

    pub(crate) fn predict(&self, path: &str, body: &Value) -> Reply {
        self.post(path, "application/json", body.to_string())
    }

    /// The value of a counter, with its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(n, _)| n == name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Sends a signal by the shell's own command, because a small system has no program `kill`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has a text.
    pub(crate) fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(30), "no '{text}' in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end, and returns the exit status.
    pub(crate) fn status(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let log = self.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// The bytes of a POST.
pub(crate) fn request(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Reads one answer.
pub(crate) fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length = head.split("\r\ncontent-length: ").nth(1);
            let length: usize = length.map_or(0, |l| l.lines().next().unwrap().parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Reply { status, head, body: bytes[end + 4..][..length].to_vec() };
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => {
                panic!("no whole answer: {}", String::from_utf8_lossy(&bytes));
            }
            Ok(count) => bytes.extend(&part[..count]),
        }
    }
}

/// A server of one page, which passes all other requests on to `to`. It runs until the test's process ends.
pub(crate) fn proxy(to: SocketAddr, page: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let page = page.clone();
            std::thread::spawn(move || pass_on(client, to, &page));
        }
    });
    address
}

/// Answers one request of a browser.
fn pass_on(mut client: TcpStream, to: SocketAddr, page: &str) -> Option<()> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match client.read(&mut part).ok()? {
            0 => return None,
            count => bytes.extend(&part[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let lower = head.to_lowercase();
    let length = lower.split("content-length: ").nth(1);
    let length: usize = length.map_or(0, |l| l.lines().next().unwrap().parse().unwrap());
    while bytes.len() < end + length {
        let count = client.read(&mut part).ok()?;
        bytes.extend(&part[..count]);
    }
    if head.starts_with("GET / ") {
        let length = page.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        client.write_all(&[head.as_bytes(), page.as_bytes()].concat()).ok()?;
        return Some(());
    }
    let mut server = TcpStream::connect(to).ok()?;
    let closing = head.replace("keep-alive", "close");
    server.write_all(&[closing.as_bytes(), &bytes[end..]].concat()).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    client.write_all(&answer).ok()
}
