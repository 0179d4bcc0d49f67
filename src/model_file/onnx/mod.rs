//! ONNX files, in both directions; behind the feature `onnx`.
//!
//! Out: a graph of the network with what is in front of it and behind it ([`export`]). In: whatever a chain of layers is, as a model file
//! in the format of safetensors, which is then read and checked as any other.

#[cfg(feature = "onnx")]
mod activations;
#[cfg(feature = "onnx")]
mod answers;
#[cfg(feature = "onnx")]
mod assemble;
#[cfg(feature = "onnx")]
mod call;
#[cfg(feature = "onnx")]
mod casts;
#[cfg(feature = "onnx")]
mod columns;
#[cfg(feature = "onnx")]
mod constants;
#[cfg(feature = "onnx")]
mod export;
#[cfg(feature = "onnx")]
mod expression;
#[cfg(feature = "onnx")]
mod front;
#[cfg(feature = "onnx")]
mod guard;
#[cfg(feature = "onnx")]
mod layers;
#[cfg(feature = "onnx")]
mod learning;
#[cfg(feature = "onnx")]
mod message;
#[cfg(feature = "onnx")]
mod nodes;
#[cfg(feature = "onnx")]
mod operators;
#[cfg(feature = "onnx")]
mod own;
#[cfg(feature = "onnx")]
mod read;
#[cfg(feature = "onnx")]
mod shapes;
#[cfg(feature = "onnx")]
mod tensor;
#[cfg(feature = "onnx")]
mod value;
#[cfg(feature = "onnx")]
mod writer;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

#[cfg(feature = "onnx")]
pub(super) use self::export::to_bytes;
#[cfg(feature = "onnx")]
pub(super) use self::read::to_safetensors;
#[cfg(not(feature = "onnx"))]
pub(super) use self::without::{to_bytes, to_safetensors};

/// Bytes that tell an ONNX file from a model file.
const START: usize = 9;

/// Whether a file is an ONNX file, by its name or else by its first bytes.
pub(super) fn is_onnx(path: &Path) -> bool {
    match path.extension().and_then(OsStr::to_str) {
        Some(end) if end.eq_ignore_ascii_case("onnx") => true,
        Some(end) if end.eq_ignore_ascii_case("safetensors") => false,
        _ => {
            let mut start = [0; START];
            let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
            read.is_ok() && begins_as_onnx(&start)
        }
    }
}

/// Whether bytes begin with the version of ONNX's format, the first field of its message; a model file begins with the length of a header.
pub(super) fn begins_as_onnx(bytes: &[u8]) -> bool {
    const VERSION_FIELD: u8 = 8;
    const MOST_VERSION: u8 = 100;
    match bytes.get(..START) {
        Some(&[VERSION_FIELD, version, .., last]) => version < MOST_VERSION && last != b'{',
        _ => false,
    }
}

/// How a model becomes an ONNX file; see [`Model::to_onnx`](crate::Model::to_onnx).
///
/// ```
/// use travertine::model_file::OnnxOptions;
/// let options = OnnxOptions { opset: 21, ..OnnxOptions::default() };
/// assert!(!options.numbers_only);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnnxOptions {
    /// The version of ONNX's operators, 13 to 23; 17 by default, which most programs read.
    pub opset: u32,
    /// One input `features`, `[N, inputs]` in the network's precision, in the place of the raw columns: encoded and standardized already,
    /// as [`ModelTable::samples`](crate::ModelTable::samples) has them. Nothing
    /// in such a file is a text: the output `class`, a whole number from 0, takes the place of `label`.
    pub numbers_only: bool,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        OnnxOptions { opset: 17, numbers_only: false }
    }
}

/// A build without the feature.
#[cfg(not(feature = "onnx"))]
mod without {
    use std::path::Path;

    use super::OnnxOptions;
    use crate::error::{Error, Result};
    use crate::model_file::ModelInfo;
    use crate::network::Network;
    use crate::scalar::Scalar;

    pub(in crate::model_file) fn to_bytes<T: Scalar>(
        _networks: &[&Network<T>],
        _info: &ModelInfo,
        _options: &OnnxOptions,
    ) -> Result<Vec<u8>> {
        Err(Error::argument("to_onnx", REASON))
    }

    pub(in crate::model_file) fn to_safetensors(
        _bytes: Vec<u8>,
        _path: Option<&Path>,
    ) -> Result<Vec<u8>> {
        Err(Error::argument("load", REASON))
    }

    const REASON: &str =
        "this build reads and writes no ONNX files; build it with the feature `onnx`";
}
