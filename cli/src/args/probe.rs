//! Which devices there are. Drivers are asked in a process for each engine, because a broken one may end or stop the process that asks.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use travertine::ErrorKind;
use travertine::engine::{self, Device};

/// The time that the drivers of an engine have to answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// Pauses between two looks at a process.
const PAUSE: Duration = Duration::from_millis(5);

/// A device, as a line of `devices --json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeviceLine {
    pub(crate) device: String,
    pub(crate) name: String,
    pub(crate) usable: bool,
    pub(crate) reason: Option<String>,
    pub(crate) cure: Option<String>,
    pub(crate) threads: Option<usize>,
    pub(crate) memory: Option<u64>,
    pub(crate) driver: Option<String>,
    pub(crate) fp64: bool,
}

impl From<Device> for DeviceLine {
    fn from(device: Device) -> Self {
        let (reason, cure) = device.missing.map(|missing| (missing.reason, missing.cure)).unzip();
        DeviceLine {
            device: device.name,
            name: device.description,
            usable: reason.is_none(),
            reason,
            cure,
            threads: device.threads,
            memory: device.memory,
            driver: device.driver,
            fp64: device.fp64,
        }
    }
}

impl DeviceLine {
    fn broken(engine: &str, name: String, reason: String, cure: &str) -> Self {
        let missing = (Some(reason), Some(cure.to_owned()));
        DeviceLine {
            device: engine.to_owned(),
            name,
            usable: false,
            reason: missing.0,
            cure: missing.1,
            threads: None,
            memory: None,
            driver: None,
            fp64: false,
        }
    }
}

/// What connects processes, which is asked for as an engine is.
pub(crate) const MPI: &str = "mpi";

/// The library of MPI, as a line of `devices`.
fn mpi() -> DeviceLine {
    let missing = match travertine::processes::mpi_library() {
        Ok(name) => {
            return DeviceLine {
                usable: true,
                reason: None,
                cure: None,
                fp64: true,
                ..DeviceLine::broken(MPI, name, String::new(), "")
            };
        }
        Err(error) => error,
    };
    let (reason, cure) = match missing.kind() {
        ErrorKind::Unavailable { reason, cure, .. } => (reason.clone(), cure.as_str()),
        _ => (missing.to_string(), ""),
    };
    DeviceLine::broken(MPI, "training by several processes".to_owned(), reason, cure)
}

/// The devices of one engine, asked in this process.
pub(crate) fn here(engine: &str) -> Vec<DeviceLine> {
    if engine == MPI {
        return vec![mpi()];
    }
    engine::probe_one(engine).into_iter().map(DeviceLine::from).collect()
}

/// The devices of one engine, asked in another process unless it is the CPU's.
pub(crate) fn apart(engine: &str, limit: Duration) -> Vec<DeviceLine> {
    if engine == "cpu" {
        return here(engine);
    }
    let failure = match Asked::start(engine, None).map(|asked| asked.answer(limit)) {
        Ok(Ok(lines)) => return lines,
        // Without a second process the drivers are asked in this one.
        Err(_) => return here(engine),
        Ok(Err(failure)) => failure,
    };
    let lines = if engine == "opencl" { one_by_one(limit) } else { Vec::new() };
    if lines.iter().any(|line| line.reason.as_ref().is_some_and(|reason| reason.contains(FAULT))) {
        return lines;
    }
    let cure = "look for the driver's own messages, or install another version of it";
    vec![DeviceLine::broken(engine, engine.to_owned(), failure, cure)]
}

/// What drivers are accused of.
const FAULT: &str = "the process that asked its driver";

/// Every OpenCL driver by itself. Those that answer are told to be usable without the others.
fn one_by_one(limit: Duration) -> Vec<DeviceLine> {
    let ask = |file: PathBuf| (alone(&file), file);
    let all: Vec<_> = engine::opencl_drivers().into_iter().map(ask).collect();
    let mut lines = Vec::new();
    for (asked, file) in all {
        let name = file.display().to_string();
        let Ok((asked, _folder)) = asked else { continue };
        match asked.answer(limit) {
            Err(failure) => {
                let cure = "remove this file or install its driver anew: every program that uses OpenCL fails";
                lines.push(DeviceLine::broken("opencl", name, failure, cure));
            }
            Ok(devices) => {
                lines.extend(devices.into_iter().map(|line| DeviceLine {
                    device: "opencl".to_owned(),
                    usable: false,
                    reason: line.reason.or_else(|| {
                        Some("it works, but not beside a driver that fails".to_owned())
                    }),
                    cure: line.cure.or_else(|| Some(format!("set OCL_ICD_VENDORS={name}"))),
                    ..line
                }))
            }
        }
    }
    lines
}

/// Asks one driver, whose file is the only one of a folder, because not every loader takes a file. The folder is removed with the result.
fn alone(file: &Path) -> std::io::Result<(Asked, TempDir)> {
    let folder = tempfile::tempdir()?;
    std::fs::copy(file, folder.path().join("driver.icd"))?;
    Ok((Asked::start("opencl", Some(folder.path()))?, folder))
}

/// The words that begin this program, where its file alone does not: those of Python and its module.
static PROGRAM: OnceLock<Vec<OsString>> = OnceLock::new();

/// Sets [`PROGRAM`], once, to at least one word.
pub(crate) fn set_program(words: Vec<OsString>) {
    if !words.is_empty() {
        let _ = PROGRAM.set(words);
    }
}

/// A process that asks the drivers of an engine.
struct Asked {
    child: Child,
    begin: Instant,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
}

impl Asked {
    fn start(engine: &str, vendors: Option<&Path>) -> std::io::Result<Self> {
        let own = || std::env::current_exe().map(|path| vec![path.into_os_string()]);
        let words = PROGRAM.get().map_or_else(own, |words| Ok(words.clone()))?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["devices", "--json", "--ask", engine]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(vendors) = vendors {
            command.env("OCL_ICD_VENDORS", vendors);
        }
        let mut child = command.spawn()?;
        let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
        Ok(Asked { child, begin: Instant::now(), out, err })
    }

    /// What it printed; or what became of it.
    fn answer(mut self, limit: Duration) -> Result<Vec<DeviceLine>, String> {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if self.begin.elapsed() < limit => thread::sleep(PAUSE),
                _ => break None,
            }
        };
        let Some(status) = status else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            return Err(format!("{FAULT} got no answer within {} s", limit.as_secs_f64()));
        };
        let text = |reader: JoinHandle<String>| reader.join().unwrap_or_default();
        let (out, err) = (text(self.out), text(self.err));
        if status.success() {
            let lines: Result<_, _> = out.lines().map(serde_json::from_str).collect();
            return lines.map_err(|error| format!("{FAULT} gave a wrong answer: {error}"));
        }
        let last = err.lines().map(str::trim).rfind(|line| !line.is_empty());
        let words = last.map_or(String::new(), |line| format!(": {line}"));
        Err(format!("{FAULT} ended with {}{words}", ending(status)))
    }
}

fn reader(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// "signal 6 (SIGABRT)", "status 1"
fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => " (SIGILL)",
            6 => " (SIGABRT)",
            8 => " (SIGFPE)",
            9 => " (SIGKILL)",
            11 => " (SIGSEGV)",
            _ => "",
        };
        return format!("signal {signal}{name}");
    }
    status.code().map_or("no status".to_owned(), |code| format!("status {code}"))
}

/// Answers the process that asked. Drivers may crash while the process ends, so it ends without their clean-up.
pub(crate) fn reply(engine: &str) -> ! {
    let mut out = std::io::stdout().lock();
    for line in here(engine) {
        let _ = serde_json::to_string(&line).map(|line| writeln!(out, "{line}"));
    }
    let _ = out.flush();
    std::process::exit(0)
}
