//! `travertine serve`

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use travertine::{ErrorKind, Result, Scalar};
use travertine_serve::{Engines, Limits, Open, Options};

use crate::args::device::{DeviceArgs, Precision};
use crate::args::values::at_least_one;
use crate::message::{note, wrong};

/// How often files are looked at for a new version.
const WATCH: Duration = Duration::from_secs(1);
/// Parameters of a model below which its rows are computed by one thread: a row takes some tens of microseconds, and other cores are of
/// more use to connections.
const FEW_PARAMETERS: usize = 1 << 20;
/// Bytes of a token: fewer can be guessed.
const LEAST_TOKEN_BYTES: usize = 16;

/// `serve`
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Model files; NAME=FILE gives a model another name than its file
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// Address and port; port 0 is any free one, which is printed
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Predict only for clients that send the token in this file (Authorization: Bearer TOKEN)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Listen on other addresses than those of this machine without a token
    #[arg(long)]
    allow_anyone: bool,
    /// Bytes of a request's body, at most
    #[arg(long, value_parser = at_least_one, default_value_t = Limits::default().body, value_name = "BYTES")]
    max_body: usize,
    /// Rows of a request, at most
    #[arg(long, value_parser = at_least_one, default_value_t = Limits::default().rows, value_name = "ROWS")]
    max_rows: usize,
    /// Open connections, at most
    #[arg(long, value_parser = at_least_one, default_value_t = Limits::default().connections, value_name = "COUNT")]
    max_connections: usize,
    /// Seconds for the head of a request
    #[arg(long, value_parser = seconds, default_value = "10", value_name = "SECONDS")]
    head_time: Duration,
    /// Seconds for the body of a request, and for a client to take a part of an answer
    #[arg(long, value_parser = seconds, default_value = "30", value_name = "SECONDS")]
    body_time: Duration,
    /// Seconds for requests under way after SIGTERM
    #[arg(long, value_parser = seconds, default_value = "30", value_name = "SECONDS")]
    end_time: Duration,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Answers requests until a signal comes.
pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    let token = args.token_file.as_deref().map(token).transpose()?;
    if !args.listen.ip().is_loopback() && token.is_none() && !args.allow_anyone {
        let address = args.listen.ip();
        return Err(wrong(
            "--listen",
            format!(
                "{address} can be reached from other machines: give a --token-file, or --allow-anyone where something else \
                 decides who may ask"
            ),
        ));
    }
    let models = named(&args.models)?;
    let names: Vec<String> = models.iter().map(|(name, _)| name.clone()).collect();
    travertine_serve::run(Options {
        models,
        listen: args.listen,
        token,
        limits: Limits {
            body: args.max_body,
            rows: args.max_rows,
            connections: args.max_connections,
            head_time: args.head_time,
            body_time: args.body_time,
            end_time: args.end_time,
        },
        engines: Engines {
            single: opens(&args.device, Precision::F32),
            double: opens(&args.device, Precision::F64),
        },
        watch: WATCH,
        note,
        ready: Box::new(move |address| {
            // Who started the program may read the address, and may as well not.
            let _ = writeln!(io::stdout(), "{} on http://{address}", names.join(", "));
            let _ = io::stdout().flush();
        }),
    })
}

/// What opens the device for a model.
fn opens<T: Scalar>(args: &DeviceArgs, precision: Precision) -> Open<T> {
    let (given, single) = (args.clone(), args.with_one_thread_unless_given());
    Box::new(move |parameters| {
        if parameters < FEW_PARAMETERS { &single } else { &given }.open(precision)
    })
}

/// The names of models, and their files.
fn named(models: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut seen = HashSet::new();
    let named = |model: &String| {
        // A file may have a = in its name.
        let (name, path) = match model.split_once('=') {
            Some((name, path)) if !Path::new(model).exists() => (name.to_owned(), path),
            _ => {
                let stem = Path::new(model).file_stem().and_then(|stem| stem.to_str());
                (stem.unwrap_or_default().to_owned(), &**model)
            }
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
            return Err(wrong(
                "MODEL",
                format!(
                    "'{name}' cannot be the name of a model in a path, which has letters, digits, - _ and .: write NAME={path}"
                ),
            ));
        }
        if !seen.insert(name.clone()) {
            let reason = format!("two models are named '{name}': write NAME={path}");
            return Err(wrong("MODEL", reason));
        }
        Ok((name, PathBuf::from(path)))
    };
    models.iter().map(named).collect()
}

/// The token in a file: its text without blanks around it.
fn token(path: &Path) -> Result<String> {
    let io = |source| ErrorKind::Io { action: "read", path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(io)?;
    let token = text.trim();
    let fits = token.len() >= LEAST_TOKEN_BYTES && token.chars().all(|c| c.is_ascii_graphic());
    if !fits {
        let expected = format!(
            "{LEAST_TOKEN_BYTES} characters or more of ASCII without blanks, as `openssl rand -hex 32` writes them"
        );
        return Err(wrong("--token-file", format!("expected {expected}")));
    }
    Ok(token.to_owned())
}

/// A time above 0.
fn seconds(text: &str) -> Result<Duration, String> {
    const MOST: f64 = 86_400.0;
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if seconds > 0.0 && seconds <= MOST {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("expected more than 0 and at most {MOST} seconds"))
    }
}
