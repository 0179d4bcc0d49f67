//! The arguments of `evaluate` and `predict`.

use std::path::PathBuf;

use clap::Args;
use travertine::{Model, Result, Scalar, model_file};

use crate::args::device::{DeviceArgs, Precision};
use crate::args::source::Source;
use crate::args::table::DialectArgs;
use crate::message::wrong;

/// A model, and the data that it is used on.
#[derive(Args, Debug)]
pub(crate) struct UseArgs {
    /// Model file, or an ONNX file
    pub(crate) model: PathBuf,
    /// digits, mnist:DIR, idx:IMAGES,LABELS, or a file with a table
    pub(crate) data: Source,
    #[command(flatten)]
    device: DeviceArgs,
    /// Precision of all numbers [default: the model's]
    #[arg(long, value_enum)]
    precision: Option<Precision>,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
    /// JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl UseArgs {
    /// The precision given, or else the model's own.
    pub(crate) fn precision(&self) -> Result<Precision> {
        match self.precision {
            Some(precision) => Ok(precision),
            None if model_file::describe(&self.model)?.precision == "f64" => Ok(Precision::F64),
            None => Ok(Precision::F32),
        }
    }

    /// The model in the device's memory.
    pub(crate) fn load<T: Scalar>(&self) -> Result<Model<T>> {
        let model = Model::load(&self.model, &self.device.open::<T>(self.precision()?)?)?;
        match self.dialect.first_given() {
            Some(option) if !self.data.is_table() => {
                Err(wrong(option, format!("is for tables, not for {}", self.data.name())))
            }
            _ => Ok(model),
        }
    }
}
