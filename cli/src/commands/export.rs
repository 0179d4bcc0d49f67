//! `travertine export`

use std::path::PathBuf;

use clap::Args;
use travertine::model_file::{self, OnnxOptions};
use travertine::{ErrorKind, Model, Result, Scalar, engine};

use crate::message::{note, wrong};
use crate::output::file;

/// `export`
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Model file, or an ONNX file
    model: PathBuf,
    /// The file to write, an ONNX file by its ending .onnx
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Version of ONNX's operators, 13 to 23 [default: 17]
    #[arg(long, value_name = "N")]
    opset: Option<u32>,
    /// One input of numbers that are encoded and standardized already, without the columns of the table
    #[arg(long)]
    numbers_only: bool,
}

/// Writes a model for other programs.
pub(crate) fn run(args: &ExportArgs) -> Result<()> {
    if !args.to.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx")) {
        return Err(wrong("--to", "the name of the file must end in .onnx, as model.onnx"));
    }
    file::check_is_not("--to", &args.to, std::slice::from_ref(&args.model))?;
    match model_file::describe(&args.model)?.precision {
        "f64" => export::<f64>(args),
        _ => export::<f32>(args),
    }
}

fn export<T: Scalar>(args: &ExportArgs) -> Result<()> {
    let model = Model::<T>::load(&args.model, &engine::open("cpu")?)?;
    let default = OnnxOptions::default();
    let opset = args.opset.unwrap_or(default.opset);
    let bytes = model.to_onnx_bytes(&OnnxOptions { opset, numbers_only: args.numbers_only });
    let bytes = bytes.map_err(|error| match error.kind() {
        // In the words of this command.
        ErrorKind::Argument { reason, .. } => {
            let reason = reason.replace("(numbers_only)", "by --numbers-only");
            ErrorKind::Argument { operation: "export", reason }.into()
        }
        _ => error,
    })?;
    file::check("--to", &args.to, bytes.len())?;
    if args.to.exists() {
        note(&format!("replaces {}", args.to.display()));
    }
    model_file::replace_file(&args.to, &bytes)
}
