//! DATA: the argument that names where samples come from.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use travertine::{ErrorKind, Result};

/// The forms of DATA.
const KINDS: &str = "digits, mnist:DIR, idx:IMAGES,LABELS, or a file with a table";

/// Where samples come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The digits inside the library.
    Digits,
    /// A folder with the four files of MNIST.
    Mnist(PathBuf),
    /// A pair of IDX files.
    Idx(PathBuf, PathBuf),
    /// A file with a table: of text, NumPy's, Parquet or Arrow.
    Table(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "digits" {
            return Ok(Source::Digits);
        }
        match text.split_once(':') {
            Some(("mnist", folder)) => return Ok(Source::Mnist(folder.into())),
            Some(("idx", pair)) => {
                let (images, labels) = pair.split_once(',').ok_or("expected idx:IMAGES,LABELS")?;
                return Ok(Source::Idx(images.into(), labels.into()));
            }
            _ => {}
        }
        match text {
            "" => Err(format!("expected {KINDS}")),
            path => Ok(Source::Table(path.into())),
        }
    }
}

impl Source {
    /// The name without folder and ending: the model file's default name.
    pub(crate) fn stem(&self) -> String {
        match self {
            Source::Digits => "digits".to_owned(),
            Source::Mnist(_) => "mnist".to_owned(),
            Source::Idx(path, _) | Source::Table(path) => path
                .file_stem()
                .map_or("model".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        }
    }

    /// The files that are read, as far as the command line names them.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Source::Digits | Source::Mnist(_) => Vec::new(),
            Source::Idx(images, labels) => vec![images, labels],
            Source::Table(path) => vec![path],
        }
    }

    /// The name in the model file, without folders, which are private.
    pub(crate) fn short_name(&self) -> String {
        match self {
            Source::Digits | Source::Mnist(_) => self.stem(),
            _ => {
                let names = self.files().into_iter().filter_map(Path::file_name);
                names.map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(",")
            }
        }
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::Digits => "digits".to_owned(),
            Source::Mnist(folder) => format!("mnist:{}", folder.display()),
            Source::Idx(images, labels) => format!("idx:{},{}", images.display(), labels.display()),
            Source::Table(path) => path.display().to_string(),
        }
    }

    /// How the pixels of images become features.
    pub(crate) fn pixels(&self) -> Option<&'static str> {
        match self {
            Source::Digits => Some("0 (white) to 16 (black), divided by 16"),
            Source::Mnist(_) | Source::Idx(..) => Some("0 to 255, divided by 255"),
            Source::Table(_) => None,
        }
    }

    /// Whether it is a table of measurements, whose features have different scales.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self, Source::Table(_))
    }

    /// The error that the data is not as expected.
    pub(crate) fn unexpected(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> travertine::Error {
        let (place, expected, found) = (place.into(), expected.into(), found.into());
        ErrorKind::Format { file: self.name(), place, expected, found }.into()
    }
}
