//! NumPy archives (`.npz`): the arrays inside are unpacked into temporary files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};
use tempfile::NamedTempFile;

use super::array::Array;
use crate::data::text::listed;
use crate::{Error, Result};

/// Names of arrays with samples, and with labels; in any case of letters.
const SAMPLES: [&str; 5] = ["x", "data", "features", "samples", "images"];
const LABELS: [&str; 5] = ["y", "labels", "label", "target", "targets"];

/// The samples of an archive, and its labels if it has some.
pub(super) fn open(path: &Path) -> Result<(Array, Option<Array>)> {
    let names = names(path)?;
    let find = |known: &[&str]| {
        let mut found =
            names.iter().filter(|name| known.iter().any(|k| k.eq_ignore_ascii_case(name)));
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    let (samples, labels) = match (&names[..], find(&SAMPLES), find(&LABELS)) {
        ([only], ..) => (only.clone(), None),
        ([_, _], Some(samples), labels @ Some(_)) => (samples, labels),
        _ => {
            let expected = "one array, or x and y alone; save the others elsewhere";
            let found = listed(&names);
            return Err(Error::format(path.display().to_string(), "the archive", expected, found));
        }
    };
    let open = |name: &String| Array::of_archive(path, name, unpack(path, name)?);
    Ok((open(&samples)?, labels.as_ref().map(open).transpose()?))
}

fn damaged(path: &Path, error: impl ToString) -> Error {
    let expected = "a NumPy archive (zip)";
    Error::format(path.display().to_string(), "the archive", expected, error.to_string())
}

/// The names of the arrays, without `.npy`.
fn names(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    each_entry(path, |name, _| {
        names.push(name.to_owned());
        Ok(())
    })?;
    Ok(names)
}

/// An array's file in a temporary file.
fn unpack(path: &Path, wanted: &str) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new().map_err(|source| Error::io("unpack", path, source))?;
    each_entry(path, |name, reader| {
        if name == wanted {
            io::copy(reader, file.as_file_mut()).map_err(|error| damaged(path, error))?;
        }
        Ok(())
    })?;
    file.flush().map_err(|source| Error::io("unpack", path, source))?;
    Ok(file)
}

/// Calls `visit` with the name of each array and its bytes, which are checked against the archive's sizes and sums.
fn each_entry(path: &Path, mut visit: impl FnMut(&str, &mut dyn Read) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(|source| Error::io("read", path, source))?;
    let (mut buffer, mut names) =
        (vec![0; RECOMMENDED_BUFFER_SIZE], vec![0; RECOMMENDED_BUFFER_SIZE]);
    let bad = |error: rawzip::Error| damaged(path, error);
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(bad)?;
    let mut entries = archive.entries(&mut names);
    while let Some(entry) = entries.next_entry().map_err(bad)? {
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let Some(name) = name.strip_suffix(".npy") else { continue };
        let (method, size) = (entry.compression_method(), entry.uncompressed_size_hint());
        let found = archive.get_entry(entry.wayfinder()).map_err(bad)?;
        match method {
            CompressionMethod::STORE => {
                visit(
                    name,
                    &mut found.verifying_reader(found.reader()).take(size.saturating_add(1)),
                )?;
            }
            CompressionMethod::DEFLATE => {
                let unpacked = DeflateDecoder::new(found.reader());
                visit(name, &mut found.verifying_reader(unpacked).take(size.saturating_add(1)))?;
            }
            other => {
                return Err(damaged(path, format!("array '{name}' packed by {other:?}")));
            }
        }
    }
    Ok(())
}
