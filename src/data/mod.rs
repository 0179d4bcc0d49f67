//! Data sets: their sources, and what is done to samples before training.
//!
//! A [`Dataset`] is in host memory. Its features are one vector, one sample after the other: the matrix `features x samples` in column-major
//! order that the rest of the library computes with. Its [`Targets`] are classes, values (regression), or absent (prediction).
//!
//! | source | function |
//! |---|---|
//! | the UCI optical digits, embedded in the library | [`digits`] |
//! | MNIST and other IDX files, plain or gzipped | [`mnist`], [`read_idx`], [`read_images`], [`read_labels`] |
//! | tables: CSV and its relatives, NumPy arrays, with the feature `parquet` also Parquet and Arrow | [`Table`], [`read_frame`], [`Encoder`]; numbers alone: [`read_dataset`] |
//! | tables larger than memory | [`Stream`] |
//! | your own numbers | [`Dataset::new`] |
//! | images, deformed anew for every epoch | [`Augmentation`] |
//!
//! Files are not trusted. A fault in a file is an [`Error`](crate::Error) with the file, the line or byte, what was expected there and what was
//! found. Allocations are bounded by the size of a file, not by sizes that it claims.
//!
//! ```
//! use travertine::data::{self, Standardization};
//! let (mut train, mut held_out) = data::digits::<f32>()?.split(0.2, 1)?;
//! let standardization = Standardization::fit(&train)?;
//! standardization.apply(&mut train)?;
//! standardization.apply(&mut held_out)?; // fitted on the training part
//! assert_eq!((train.samples(), held_out.samples()), (1438, 359));
//! # Ok::<(), travertine::Error>(())
//! ```

mod augment;
mod coding;
#[cfg(feature = "parquet")]
mod columnar;
mod dataset;
mod digits;
mod encoder;
mod encoder_fit;
mod encoder_write;
mod frame;
mod idx;
mod label;
mod npy;
mod split;
mod standardization;
mod stream;
mod stream_share;
mod table;
mod target_scale;
pub(crate) mod text;
mod weights;

pub use augment::Augmentation;
pub use coding::{Coding, Cycle, EncodedColumn};
pub use dataset::{Dataset, Targets};
pub use digits::digits;
pub use encoder::{Encoded, Encoder, EncoderOptions};
pub use frame::{Column, Frame, FrameRows, Unknown, Values};
pub use idx::{Images, mnist, read_idx, read_images, read_labels};
pub use label::{Label, Task};
pub use split::Split;
pub use standardization::Standardization;
pub use stream::{Stream, StreamOptions};
pub use table::{
    ColumnType, DateOrder, Dates, Delimiter, Dialect, NumberFormat, Role, RowReader, Schema,
    SchemaColumn, Table, TableOptions, read_dataset, read_frame,
};
pub(crate) use table::{has_zone, without_zero_decimals};
pub use target_scale::TargetScale;
pub use text::MISSING;
pub(crate) use weights::check_weights;
