//! The table of engines, and how an engine is opened by its name.

use std::path::PathBuf;
use std::sync::Arc;

use super::device::{Device, unavailable};
use super::interface::Engine;
use super::settings::{Library, MatmulPrecision, Settings};
use super::{cpu, cuda, opencl};
use crate::error::{Error, Result};
use crate::scalar::{Family, Scalar};

/// Opens a device by the part of its name behind the colon.
type Opener<T> = fn(&str, &Settings) -> Result<Arc<dyn Engine<T>>>;

/// One row of the table of engines.
struct Row {
    name: &'static str,
    probe: fn() -> Vec<Device>,
    open_f32: Opener<f32>,
    open_f64: Opener<f64>,
    /// Whether the engine can use a library for products, which alone computes in reduced precision.
    has_library: bool,
}

/// The table of engines: a new engine is a room of its own and a row here.
///
/// A `static`, not a `const`: [`open_with`] is generic, so the crate that calls it compiles it, and with a `const` that crate would
/// compile everything that the table refers to, all CPU kernels included. `tests/downstream.rs` counts.
static ENGINES: &[Row] = &[
    Row {
        name: "cpu",
        probe: cpu::probe,
        open_f32: cpu::open,
        open_f64: cpu::open,
        has_library: false,
    },
    Row {
        name: "cuda",
        probe: cuda::probe,
        open_f32: cuda::open,
        open_f64: cuda::open,
        has_library: true,
    },
    Row {
        name: "opencl",
        probe: opencl::probe,
        open_f32: opencl::open,
        open_f64: opencl::open,
        has_library: false,
    },
];

/// Opens an engine by its name with default settings and the user's cache folder.
///
/// ```
/// let cpu = travertine::engine::open::<f32>("cpu")?;
/// assert_eq!(cpu.device().name, "cpu");
/// let error = travertine::engine::open::<f32>("abacus").err().unwrap();
/// assert!(error.to_string().contains("there are: cpu, cuda, opencl"));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// The engine or device is not on this machine ([`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable)), with the reason and the cure.
pub fn open<T: Scalar>(name: &str) -> Result<Arc<dyn Engine<T>>> {
    open_with(name, &Settings { cache: user_cache(), tune: true, ..Settings::default() })
}

/// The user's cache folder for this library, where the system has one: `$XDG_CACHE_HOME/travertine`, `%LOCALAPPDATA%\travertine` or
/// `~/.cache/travertine`.
pub fn user_cache() -> Option<PathBuf> {
    let folder =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".cache"));
    let base = folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")).or_else(home)?;
    Some(base.join("travertine"))
}

/// Opens an engine by its name: `"cpu"`, `"cuda"` (the first device that can be used), `"cuda:1"`, `"opencl"` (the first GPU, or else a
/// CPU), `"opencl:1"`, `"opencl:radeon"` (the only device with this in its name or platform).
///
/// # Errors
/// As [`open`]; settings out of range.
pub fn open_with<T: Scalar>(name: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    struct Open;
    impl Family for Open {
        type Of<T: Scalar> = Opener<T>;
    }
    let (engine, device) = name.split_once(':').unwrap_or((name, ""));
    let Some(row) = ENGINES.iter().find(|row| row.name == engine) else {
        let names: Vec<&str> = ENGINES.iter().map(|row| row.name).collect();
        return Err(unavailable(
            name,
            "no engine has this name",
            format!("there are: {}", names.join(", ")),
        ));
    };
    check_precision::<T>(name, row, settings)?;
    T::pick::<Open>(row.open_f32, row.open_f64)(device, settings)
}

/// Refuses a precision or library for products that the engine does not have.
fn check_precision<T: Scalar>(name: &str, row: &Row, settings: &Settings) -> Result<()> {
    let Settings { matmul, library, .. } = *settings;
    if matmul == MatmulPrecision::Full && (library != Library::Always || row.has_library) {
        return Ok(());
    }
    let precision = matmul.name();
    if !row.has_library {
        let reason = match matmul {
            MatmulPrecision::Full => "it has no library for products".to_owned(),
            _ => format!("it does not multiply in {precision}"),
        };
        return Err(unavailable(name, reason, "use f32 here, or a CUDA device"));
    }
    if size_of::<T>() == 8 {
        return Err(Error::argument(
            "open",
            format!("{precision} is a precision of f32 matrices, not of f64 ones"),
        ));
    }
    if library == Library::Never {
        return Err(Error::argument(
            "open",
            format!("{precision} needs the library, which the settings rule out"),
        ));
    }
    Ok(())
}

/// Every engine and device, including those that cannot be used and why.
///
/// ```
/// for device in travertine::engine::probe() {
///     println!("{}: {}", device.name, device.description);
/// }
/// ```
pub fn probe() -> Vec<Device> {
    ENGINES.iter().flat_map(|row| (row.probe)()).collect()
}

/// The names of all engines.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|row| row.name)
}

/// [`probe`] for one engine. Drivers run in this process, and a broken one may end it: `travertine devices` asks each engine's drivers in
/// a process of its own.
pub fn probe_one(engine: &str) -> Vec<Device> {
    let row = ENGINES.iter().find(|row| row.name == engine);
    row.map_or_else(Vec::new, |row| (row.probe)())
}

/// The files by which OpenCL drivers are installed.
pub fn opencl_drivers() -> Vec<PathBuf> {
    opencl::drivers()
}
