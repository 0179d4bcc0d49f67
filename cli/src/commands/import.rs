//! `travertine import`

use std::path::PathBuf;

use clap::Args;
use travertine::{Model, Result, Scalar, engine, model_file};

use crate::message::{note, wrong};
use crate::output::file;

/// `import`
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// ONNX file
    model: PathBuf,
    /// The model file to write, which ends in .safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the model of an ONNX file as a model file.
pub(crate) fn run(args: &ImportArgs) -> Result<()> {
    if args.out.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx")) {
        let reason = "the name of a model file ends in .safetensors; `export` writes ONNX files";
        return Err(wrong("--out", reason));
    }
    file::check_is_not("--out", &args.out, std::slice::from_ref(&args.model))?;
    match model_file::describe(&args.model)?.precision {
        "f64" => import::<f64>(args),
        _ => import::<f32>(args),
    }
}

fn import<T: Scalar>(args: &ImportArgs) -> Result<()> {
    let model = Model::<T>::load(&args.model, &engine::open("cpu")?)?;
    file::check("--out", &args.out, model.parameters() * size_of::<T>())?;
    file::name_replaced(&args.out);
    model.save(&args.out)?;
    note(&format!("{model}"));
    Ok(())
}
