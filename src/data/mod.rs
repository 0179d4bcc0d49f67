//! Data sets: where samples come from, and what is done to them before training.
//!
//! A [`Dataset`] lives on the host. Its features are one vector, one sample after the other, which is the matrix
//! `features x samples` in column-major order that the rest of the library computes with; its [`Targets`] are classes,
//! values (regression), or nothing at all (prediction).
//!
//! | source | function |
//! |---|---|
//! | the UCI optical digits, embedded in the library | [`digits`] |
//! | MNIST and other IDX files, plain or gzipped | [`mnist`], [`read_idx`], [`read_images`], [`read_labels`] |
//! | CSV, with commas, semicolons or tabs | [`read_csv`]; with texts and gaps [`read_frame`], [`Encoder`] |
//! | NumPy arrays | [`read_npy`] |
//! | Parquet, with the feature `parquet` | `read_parquet`, [`Encoder`] |
//! | CSV and NumPy files larger than memory | [`Stream`] |
//! | your own numbers | [`Dataset::new`] |
//! | images, deformed anew for every epoch | [`Augmentation`] |
//!
//! Files are not trusted. Whatever is wrong with one is told as an [`Error`](crate::Error) with the file, the line or
//! byte, what was expected there and what was found; no size that a file merely claims is ever allocated.
//!
//! ```
//! use travertine::data::{self, Standardization};
//! let (mut train, mut held_out) = data::digits::<f32>()?.split(0.2, 1)?;
//! let standardization = Standardization::fit(&train)?;
//! standardization.apply(&mut train)?;
//! standardization.apply(&mut held_out)?; // by what the training part taught
//! assert_eq!((train.samples(), held_out.samples()), (1438, 359));
//! # Ok::<(), travertine::Error>(())
//! ```

mod augment;
mod block;
mod csv;
mod dataset;
mod digits;
mod encoder;
mod frame;
mod idx;
mod label;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod split;
mod standardization;
mod stream;
mod target_scale;
pub(crate) mod text;

pub use augment::Augmentation;
pub use csv::{CsvOptions, read_csv, read_frame};
pub use dataset::{Dataset, Targets};
pub use digits::digits;
pub use encoder::{Coding, Encoded, EncodedColumn, Encoder, Unknown};
pub use frame::{Column, Frame, Values};
pub use idx::{Images, mnist, read_idx, read_images, read_labels};
pub use label::{Label, Task};
pub use npy::{NpyOptions, read_npy};
#[cfg(feature = "parquet")]
pub use parquet::read_parquet;
pub use split::Split;
pub use standardization::Standardization;
pub use stream::{Stream, StreamOptions};
pub use target_scale::TargetScale;
pub use text::MISSING;
