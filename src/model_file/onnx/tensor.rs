//! Constants of a graph, out of the file or of one beside it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::bytes::Bytes;
use safetensors::Dtype;

use super::message::{Tensor, data_type, type_name};
use crate::model_file::numbers::from_bytes;

/// Dimensions of a tensor.
pub(super) const MOST_AXES: usize = 16;

/// A constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Numbers(Vec<f64>),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

/// Where the data of a file's tensors is.
pub(super) struct Place {
    /// The folder of the file; `None` for bytes in memory.
    pub(super) folder: Option<PathBuf>,
}

impl Constant {
    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Numbers(values) => values.len(),
            Data::Integers(values) => values.len(),
            Data::Texts(values) => values.len(),
        }
    }

    pub(super) fn numbers(shape: Vec<usize>, values: Vec<f64>) -> Self {
        Constant { shape, data: Data::Numbers(values) }
    }

    pub(super) fn integers(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Constant { shape, data: Data::Integers(values) }
    }

    /// The values as numbers; `None` for texts.
    pub(super) fn to_numbers(&self) -> Option<Vec<f64>> {
        match &self.data {
            Data::Numbers(values) => Some(values.clone()),
            Data::Integers(values) => Some(values.iter().map(|x| *x as f64).collect()),
            Data::Texts(_) => None,
        }
    }

    /// The values as whole numbers; `None` for others.
    pub(super) fn to_integers(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::Integers(values) => Some(values.clone()),
            _ => None,
        }
    }

    /// The values as texts; `None` for numbers with a fraction.
    pub(super) fn to_texts(&self) -> Option<Vec<String>> {
        match &self.data {
            Data::Texts(texts) => Some(texts.clone()),
            Data::Integers(values) => Some(values.iter().map(i64::to_string).collect()),
            Data::Numbers(values) => values
                .iter()
                .map(|x| (x.fract() == 0.0 && x.abs() < 1e15).then(|| format!("{x:.0}")))
                .collect(),
        }
    }

    /// The one number of a constant; `None` for more or none.
    pub(super) fn scalar(&self) -> Option<f64> {
        match self.to_numbers()?[..] {
            [x] => Some(x),
            _ => None,
        }
    }
}

/// Whether the elements of a tensor are doubles.
pub(super) fn is_double(tensor: &Tensor) -> bool {
    tensor.data_type == Some(data_type::DOUBLE)
}

/// The constant that a tensor is; `Err` has what was expected and what was found.
pub(super) fn constant(tensor: &Tensor, place: &Place) -> Result<Constant, (String, String)> {
    let (mut count, mut most) = (1usize, 1usize);
    let is_small = tensor.dims.len() <= MOST_AXES;
    let mut shape = Vec::with_capacity(tensor.dims.len());
    for &rows in &tensor.dims {
        let rows_in_range = usize::try_from(rows).ok();
        // A dimension of 0 hides none that is too large.
        let product = rows_in_range.and_then(|rows| most.checked_mul(rows.max(1)));
        let (Some(rows), Some(product), true) = (rows_in_range, product, is_small) else {
            let expected = "dimensions that a tensor can have".to_owned();
            return Err((expected, format!("{:?}", tensor.dims)));
        };
        shape.push(rows);
        (count, most) = (count * rows, product);
    }
    let kind = tensor.data_type.unwrap_or_default();
    let data = if kind == data_type::STRING {
        texts(tensor)?
    } else if tensor.data_location == Some(1) {
        let bytes = external(tensor, (count, element_bytes(kind)?), place)?;
        of_bytes(kind, &bytes)?
    } else {
        match &tensor.raw_data {
            Some(bytes) => of_bytes(kind, bytes)?,
            None => of_fields(kind, tensor)?,
        }
    };
    let constant = Constant { shape, data };
    if constant.len() != count {
        let expected = format!("{count} values, as the dimensions {:?} say", tensor.dims);
        return Err((expected, constant.len().to_string()));
    }
    Ok(constant)
}

fn texts(tensor: &Tensor) -> Result<Data, (String, String)> {
    let text = |bytes: &Bytes| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|error| ("texts in UTF-8".to_owned(), error.to_string()))
    };
    tensor.string_data.iter().map(text).collect::<Result<_, _>>().map(Data::Texts)
}

/// Bytes of an element.
fn element_bytes(kind: i32) -> Result<usize, (String, String)> {
    Ok(match kind {
        data_type::DOUBLE | data_type::INT64 => 8,
        data_type::FLOAT | data_type::INT32 => 4,
        data_type::FLOAT16 | data_type::BFLOAT16 => 2,
        data_type::UINT8 | data_type::INT8 | data_type::BOOL => 1,
        _ => return Err(unknown(kind)),
    })
}

fn unknown(kind: i32) -> (String, String) {
    let expected = "elements of type float, double, float16, bfloat16, int8, uint8, int32, int64, bool or string";
    (expected.to_owned(), format!("type {}", type_name(kind)))
}

fn of_bytes(kind: i32, bytes: &[u8]) -> Result<Data, (String, String)> {
    let element = element_bytes(kind)?;
    if !bytes.len().is_multiple_of(element) {
        let expected = format!("elements of {element} bytes");
        return Err((expected, format!("{} bytes", bytes.len())));
    }
    let dtype = match kind {
        data_type::DOUBLE => Dtype::F64,
        data_type::FLOAT => Dtype::F32,
        data_type::FLOAT16 => Dtype::F16,
        data_type::BFLOAT16 => Dtype::BF16,
        _ => {
            let integers = match kind {
                data_type::INT64 => {
                    bytes.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect()
                }
                data_type::INT32 => bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|x| i64::from(i32::from_le_bytes(*x)))
                    .collect(),
                data_type::INT8 => bytes.iter().map(|x| i64::from(x.cast_signed())).collect(),
                _ => bytes.iter().map(|x| i64::from(*x)).collect(),
            };
            return Ok(Data::Integers(integers));
        }
    };
    Ok(Data::Numbers(from_bytes::<f64>(dtype, bytes).unwrap_or_default()))
}

fn of_fields(kind: i32, tensor: &Tensor) -> Result<Data, (String, String)> {
    let small = || tensor.int32_data.iter();
    Ok(match kind {
        data_type::DOUBLE => Data::Numbers(tensor.double_data.clone()),
        data_type::FLOAT => {
            Data::Numbers(tensor.float_data.iter().map(|x| f64::from(*x)).collect())
        }
        data_type::INT64 => Data::Integers(tensor.int64_data.clone()),
        data_type::INT32 | data_type::INT8 | data_type::UINT8 | data_type::BOOL => {
            Data::Integers(small().map(|x| i64::from(*x)).collect())
        }
        data_type::FLOAT16 | data_type::BFLOAT16 => {
            // The bits stand in the lower half.
            let bytes: Vec<u8> = small().flat_map(|x| (*x as u16).to_le_bytes()).collect();
            of_bytes(kind, &bytes)?
        }
        _ => return Err(unknown(kind)),
    })
}

/// The bytes of a tensor in a file beside the model, no more than its shape says.
fn external(
    tensor: &Tensor,
    (count, element): (usize, usize),
    place: &Place,
) -> Result<Vec<u8>, (String, String)> {
    let entry = |key: &str| {
        tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value)
    };
    let beside = || "a file beside the model".to_owned();
    let Some(location) = entry("location") else { return Err((beside(), "none".to_owned())) };
    let Some(folder) = &place.folder else {
        let found = format!("'{location}', which bytes in memory have no folder for");
        return Err((beside(), found));
    };
    let is_inside = Path::new(location)
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let path = folder.join(location);
    // A link may lead elsewhere.
    let real = path.canonicalize().map_err(|error| (beside(), format!("'{location}': {error}")))?;
    let home = folder.canonicalize().map_err(|error| (beside(), error.to_string()))?;
    if !is_inside || !real.starts_with(&home) || !real.is_file() {
        let found = format!("'{location}', which is not in the model's folder");
        return Err((beside(), found));
    }
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            (format!("a whole number as the {key} of external data"), format!("'{text}'"))
        }),
    };
    let bytes = count.saturating_mul(element) as u64;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(bytes));
    let io =
        |error: std::io::Error| ("a readable file".to_owned(), format!("'{location}': {error}"));
    let mut file = File::open(&real).map_err(io)?;
    let in_file = file.metadata().map_err(io)?.len();
    if length != bytes || offset.checked_add(length).is_none_or(|end| end > in_file) {
        let expected = format!("{bytes} bytes from {offset} on in '{location}'");
        return Err((expected, format!("a length of {length}, and a file of {in_file} bytes")));
    }
    let mut data = Vec::new();
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    file.take(length).read_to_end(&mut data).map_err(io)?;
    Ok(data)
}
