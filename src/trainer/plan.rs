//! What training will need, told before it begins.

use std::fmt;

/// One buffer of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// `"layers.0.activation"`
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// Its bytes.
    pub bytes: usize,
}

/// Every buffer that a trainer has allocated, the network's own parameters not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The buffers.
    pub buffers: Vec<Buffer>,
}

impl Plan {
    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.bytes).sum()
    }
}

/// A line a buffer, and the sum.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Buffer { name, rows, columns, bytes } in &self.buffers {
            let shape = format!("{rows}x{columns}");
            writeln!(f, "{name:<28}{shape:>16}{bytes:>14} bytes")?;
        }
        write!(f, "{:<28}{:>16}{:>14} bytes", "all", "", self.bytes())
    }
}
