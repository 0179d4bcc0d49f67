//! ONNX files, in both directions; behind the feature `onnx`.
//!
//! Out: a graph of the network with what is in front of it and behind it ([`export`]). In: whatever a chain of layers is, as a model file
//! in the format of safetensors, which is then read and checked as any other.

#[cfg(feature = "onnx")]
mod activations;
#[cfg(feature = "onnx")]
mod answers;
#[cfg(feature = "onnx")]
mod columns;
#[cfg(feature = "onnx")]
mod export;
#[cfg(feature = "onnx")]
mod layers;
#[cfg(feature = "onnx")]
mod message;
#[cfg(feature = "onnx")]
mod writer;

#[cfg(feature = "onnx")]
pub(super) use self::export::to_bytes;
#[cfg(not(feature = "onnx"))]
pub(super) use self::without::to_bytes;

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
    /// as [`ModelTable::samples`](crate::ModelTable::samples) has them. Nothing in such a file is a text but the labels.
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
        let reason = "this build has no ONNX; build it with the feature `onnx`";
        Err(Error::argument("to_onnx", reason))
    }
}
