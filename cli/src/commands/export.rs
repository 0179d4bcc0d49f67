//! `travertine export`

use std::path::{Path, PathBuf};

use clap::Args;
use travertine::model_file::{self, Language, OnnxOptions};
use travertine::{ErrorKind, Model, Result, Scalar, engine};

use crate::message::{note, wrong};
use crate::output::file;

/// `export`
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Model file, or an ONNX file
    model: PathBuf,
    /// The file to write, by its ending: .onnx, or source code without dependencies, .c (C99) or .rs (Rust)
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Version of ONNX's operators, 13 to 23 [default: 17]
    #[arg(long, value_name = "N")]
    opset: Option<u32>,
    /// One input of numbers that are encoded and standardized already, without the columns of the table; the class comes out
    /// as a number from 0; for .onnx
    #[arg(long)]
    numbers_only: bool,
    /// What names in C begin with; of the module in Rust [default: the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// What is written.
#[derive(Clone, Copy)]
enum Format {
    Onnx,
    Source(Language),
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "onnx" => Some(Format::Onnx),
            "c" => Some(Format::Source(Language::C)),
            "rs" => Some(Format::Source(Language::Rust)),
            _ => None,
        }
    }
}

/// Writes a model for other programs.
pub(crate) fn run(args: &ExportArgs) -> Result<()> {
    let Some(format) = Format::of(&args.to) else {
        let reason = "the name of the file must end in .onnx, .c or .rs, as model.onnx";
        return Err(wrong("--to", reason));
    };
    args.check(format)?;
    file::check_is_not("--to", &args.to, std::slice::from_ref(&args.model))?;
    match model_file::describe(&args.model)?.precision {
        "f64" => export::<f64>(args, format),
        _ => export::<f32>(args, format),
    }
}

impl ExportArgs {
    /// Refuses options of other formats.
    fn check(&self, format: Format) -> Result<()> {
        let given = match format {
            Format::Onnx => [(self.name.is_some(), "--name"), (false, "")],
            Format::Source(_) => {
                [(self.opset.is_some(), "--opset"), (self.numbers_only, "--numbers-only")]
            }
        };
        match (given.into_iter().find(|(is_given, _)| *is_given), format) {
            (None, _) => Ok(()),
            (Some((_, option)), Format::Onnx) => Err(wrong(option, "is for .c and .rs files")),
            (Some((_, option)), Format::Source(_)) => Err(wrong(option, "is for .onnx files")),
        }
    }

    /// The name in source code: what was given, else what can be made of the file's name.
    fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let stem = self.to.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let name: String = stem.chars().map(letter).collect();
        let name = name.trim_matches('_');
        if name.starts_with(|c: char| c.is_ascii_lowercase()) {
            name.to_owned()
        } else {
            format!("model_{name}").trim_end_matches('_').to_owned()
        }
    }
}

fn export<T: Scalar>(args: &ExportArgs, format: Format) -> Result<()> {
    let model = Model::<T>::load(&args.model, &engine::open("cpu")?)?;
    let bytes = match format {
        Format::Onnx => onnx(args, &model)?,
        Format::Source(language) => {
            let (name, is_given) = (args.name(), args.name.is_some());
            let stem = args.to.file_stem().and_then(|stem| stem.to_str());
            if !is_given && language == Language::C && stem != Some(name.as_str()) {
                note(&format!(
                    "names in {} begin with {name}_; --name chooses another",
                    args.to.display()
                ));
            }
            // In the words of this command.
            let text = model.to_source(language, &name).map_err(|error| match error.kind() {
                ErrorKind::Argument { reason, .. } if reason.starts_with(&format!("'{name}'")) => {
                    wrong("--name", reason)
                }
                _ => error,
            });
            text?.into_bytes()
        }
    };
    file::check("--to", &args.to, bytes.len())?;
    file::write_whole(&args.to, &bytes)
}

fn onnx<T: Scalar>(args: &ExportArgs, model: &Model<T>) -> Result<Vec<u8>> {
    let default = OnnxOptions::default();
    let opset = args.opset.unwrap_or(default.opset);
    let bytes = model.to_onnx_bytes(&OnnxOptions { opset, numbers_only: args.numbers_only });
    bytes.map_err(|error| match error.kind() {
        // In the words of this command.
        ErrorKind::Argument { reason, .. } => {
            let reason = reason.replace("(numbers_only)", "by --numbers-only");
            ErrorKind::Argument { operation: "export", reason }.into()
        }
        _ => error,
    })
}
