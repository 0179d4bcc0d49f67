//! The one error of the library.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// `Result` with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong; [`Error::kind`] says which case it is.
///
/// The message names the operation, every operand with its shape, every rule broken and, where one is known, the cure.
/// `Debug` prints the message too.
///
/// ```
/// use travertine::{Matrix, engine, ops};
/// let cpu = engine::open::<f32>("cpu")?;
/// let (a, b) = (Matrix::zeros(&cpu, 4, 3)?, Matrix::zeros(&cpu, 2, 5)?);
/// let mut c = Matrix::zeros(&cpu, 4, 6)?;
/// let error = ops::gemm(1.0, a.view(), b.view(), 0.0, c.view_mut()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "gemm: a is 4x3, b is 2x5, c is 4x6; columns of a must equal rows of b; columns of b must equal columns of c"
/// );
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Error(Box<ErrorKind>);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Operands do not fit each other; `rules` lists every rule that is broken.
    #[error("{operation}: {operands}; {rules}")]
    Shape {
        /// The public operation that was called.
        operation: &'static str,
        /// Each operand and its shape.
        operands: String,
        /// Every broken rule, `; ` between them.
        rules: String,
    },
    /// An argument is out of its range.
    #[error("{operation}: {reason}")]
    Argument {
        /// The public operation that was called.
        operation: &'static str,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// The engine or device is not on this machine.
    #[error("{engine} is not available: {reason}; {cure}")]
    Unavailable {
        /// The requested engine or device.
        engine: String,
        /// Why it cannot be used.
        reason: String,
        /// The cure.
        cure: String,
    },
    /// Memory ran out.
    #[error("{engine}: out of memory, {asked} bytes requested{}", available.map_or(String::new(), |n| format!(", {n} available")))]
    Memory {
        /// The engine whose memory it is.
        engine: String,
        /// The bytes requested.
        asked: u64,
        /// Bytes that were free, where the engine reports them.
        available: Option<u64>,
    },
    /// A device or its driver failed.
    #[error("{engine}: {call} failed with code {code}: {detail}")]
    Device {
        /// The engine.
        engine: String,
        /// The driver's call.
        call: &'static str,
        /// The driver's code.
        code: i64,
        /// Details beyond the code; for kernels the build log.
        detail: String,
    },
    /// A file contains something unexpected.
    #[error("{file}: {place}: expected {expected}, found {found}")]
    Format {
        /// The file, as the caller named it.
        file: String,
        /// Line, byte, column or tensor.
        place: String,
        /// The expected content.
        expected: String,
        /// The content found.
        found: String,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// "read", "create" ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// Training produced a number that is not finite; the parameters are those of the last good epoch.
    #[error(
        "training diverged at step {step} (in epoch {}): {what} layer {layer} is not finite; use a smaller learning rate",
        epoch + 1
    )]
    Diverged {
        /// The first step, counted from 0 over the whole training, whose loss is not finite.
        step: u64,
        /// The epoch of that step, counted from 0; the message counts from 1.
        epoch: u64,
        /// The first layer, counted from 0, that is affected.
        layer: usize,
        /// "the output of", "a parameter of" or "the loss behind".
        what: &'static str,
    },
    /// An error of the caller, which a closure passed to the library; see [`Error::other`].
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// An error of the caller's own, for closures that the library calls: losses, watchers of epochs, sources of data.
    ///
    /// ```
    /// use std::error::Error as _;
    /// let error = travertine::Error::other("the queue is closed");
    /// assert_eq!(error.to_string(), "the queue is closed");
    /// let own = "x".parse::<f64>().map_err(travertine::Error::other).unwrap_err();
    /// assert!(own.source().unwrap().is::<std::num::ParseFloatError>());
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        ErrorKind::Other(error.into()).into()
    }

    /// Whether the cause is the caller's input (a program should exit with status 2) rather than the machine.
    pub fn is_input(&self) -> bool {
        use io::ErrorKind::*;
        match self.kind() {
            ErrorKind::Shape { .. }
            | ErrorKind::Argument { .. }
            | ErrorKind::Unavailable { .. }
            | ErrorKind::Format { .. } => true,
            ErrorKind::Io { source, .. } => {
                matches!(
                    source.kind(),
                    NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidFilename
                )
            }
            ErrorKind::Memory { .. }
            | ErrorKind::Device { .. }
            | ErrorKind::Diverged { .. }
            | ErrorKind::Other(_) => false,
        }
    }

    pub(crate) fn argument(operation: &'static str, reason: impl Into<String>) -> Self {
        ErrorKind::Argument { operation, reason: reason.into() }.into()
    }

    pub(crate) fn format(
        file: impl Into<String>,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        ErrorKind::Format {
            file: file.into(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
        }
        .into()
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        ErrorKind::Io { action, path: path.to_owned(), source }.into()
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error(Box::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

/// The message, so that `unwrap` and a `main` that returns an error print text for people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
