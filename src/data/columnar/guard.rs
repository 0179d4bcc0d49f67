//! Panics of crates that decode files.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

/// Calls `decode`, whose panics become messages: a crate that meets damage may panic.
pub(super) fn guarded<R, E: ToString>(decode: impl FnOnce() -> Result<R, E>) -> Result<R, String> {
    // What a panic may have left half done is dropped with the closure.
    match panic::catch_unwind(AssertUnwindSafe(decode)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(cause) => Err(format!("damage ({})", message(&*cause))),
    }
}

fn message(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}
