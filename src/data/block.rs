//! Parts of a file that are read on their own.

/// Samples that are contiguous in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// The byte where it begins.
    pub start: u64,
    /// Its length.
    pub bytes: usize,
    /// Lines or rows in front of it, the header's included.
    pub before: usize,
    /// 0 until they are counted.
    pub samples: usize,
}
