//! Files that this library wrote: the model that they were made of.
//!
//! Such a file has the description of a model file in its metadata, and the parameters under their names. Whether the graph is still the one
//! that belongs to them is certain: the model is written once more, and the graphs must be the same.

use prost::bytes::Bytes;
use safetensors::Dtype;

use super::OnnxOptions;
use super::export::{COLUMNS, INPUTS_KEY, model};
use super::message::{Graph, Model, Tensor, data_type};
use super::tensor::{Constant, Data, Place, constant};
use crate::error::{Error, ErrorKind, Result};
use crate::model_file::header::{Header, KEY, tensors_of};
use crate::model_file::numbers::bytes_of;
use crate::model_file::source::Source;
use crate::model_file::write::{Parts, of_dtype};

/// The bytes of the model file; `None` where the file is another program's, or was changed.
pub(super) fn read(file: &Model, place: &Place) -> Option<Vec<u8>> {
    let entry = |key: &str| {
        file.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone())
    };
    let (json, inputs) = (entry(KEY)?, entry(INPUTS_KEY)?);
    let graph = file.graph.as_ref()?;
    let is_parameter = |tensor: &&Tensor| {
        let inner = tensor.name.strip_prefix("members.").and_then(|name| name.split_once('.'));
        let name = inner.map_or(&*tensor.name, |(_, name)| name);
        name.starts_with("layers.") && !name.contains('/')
    };
    let parameters: Vec<&Tensor> = graph.initializer.iter().filter(is_parameter).collect();
    let kind = parameters.first()?.data_type?;
    let dtype = match kind {
        data_type::FLOAT => Dtype::F32,
        data_type::DOUBLE => Dtype::F64,
        _ => return None,
    };
    let mut tensors = Vec::new();
    for tensor in parameters {
        if tensor.data_type != Some(kind) {
            return None;
        }
        let Constant { shape, data: Data::Numbers(values) } = constant(tensor, place).ok()? else {
            return None;
        };
        tensors.push(((tensor.name.clone(), shape), bytes_of(dtype, &values)));
    }
    let metadata = [(KEY.to_owned(), json)].into();
    let bytes = of_dtype("load", dtype, &tensors, Some(metadata)).ok()?;
    let header = Header::read(&mut Source::of_bytes(&bytes)).ok()?;
    let opset = file.opset_import.iter().find(|set| set.domain.is_empty())?.version?;
    let options = OnnxOptions {
        opset: u32::try_from(opset).ok().filter(|opset| (13..=23).contains(opset))?,
        numbers_only: inputs != COLUMNS && header.info.encoder.is_some(),
    };
    // A model without columns has the same input either way; whether it is standardized inside the graph is tried.
    let tries = match header.info.encoder {
        Some(_) => vec![options],
        None => [false, true].map(|numbers_only| OnnxOptions { numbers_only, ..options }).to_vec(),
    };
    let parts = in_order(&header, dtype, tensors)?;
    let own = with_raw_data(graph, place)?;
    let is_same = |options: &OnnxOptions| -> Result<bool> {
        let again = model(&parts, &header.info, options)?;
        Ok(again.graph.is_some_and(|again| again == own))
    };
    tries.iter().any(|options| is_same(options).unwrap_or(false)).then_some(bytes)
}

/// Whether this library wrote a file.
pub(super) fn is_own(file: &Model) -> bool {
    file.metadata_props.iter().any(|entry| entry.key == KEY)
}

/// Why a file of this library that was changed is not read.
pub(super) fn changed(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Format { file, place, expected, found } => {
            let why = "travertine wrote this file, and its graph was changed since then, so that it is read as another program's";
            Error::format(file.clone(), place.clone(), expected.clone(), format!("{found}; {why}"))
        }
        _ => error,
    }
}

/// The parameters in the order in which they are written.
fn in_order(
    header: &Header,
    dtype: Dtype,
    tensors: Vec<crate::model_file::write::Tensor>,
) -> Option<Parts> {
    let mut named: std::collections::HashMap<_, _> = tensors.into_iter().collect();
    let mut ordered = Vec::new();
    for member in 0..header.members {
        for (number, layer) in header.layers.iter().enumerate() {
            for tensor in tensors_of((member, header.members), number, layer) {
                let bytes = named.remove(&tensor)?;
                ordered.push((tensor, bytes));
            }
        }
    }
    let (layers, members) = (header.layers.clone(), header.members);
    Some(Parts { dtype, layers, members, tensors: ordered })
}

/// The graph with all its numbers as raw data, as this library writes them: other programs keep them in other fields, or in other files.
fn with_raw_data(graph: &Graph, place: &Place) -> Option<Graph> {
    let mut graph = graph.clone();
    for tensor in &mut graph.initializer {
        let bytes: Vec<u8> = match constant(tensor, place).ok()?.data {
            Data::Texts(_) => continue,
            Data::Integers(values) if tensor.data_type == Some(data_type::INT64) => {
                values.iter().flat_map(|x| x.to_le_bytes()).collect()
            }
            Data::Integers(_) => return None,
            Data::Numbers(values) => match tensor.data_type? {
                data_type::FLOAT => bytes_of(Dtype::F32, &values),
                data_type::DOUBLE => bytes_of(Dtype::F64, &values),
                _ => return None,
            },
        };
        let (name, dims, data_type) = (tensor.name.clone(), tensor.dims.clone(), tensor.data_type);
        let raw_data = Some(Bytes::from(bytes));
        *tensor = Tensor { name, dims, data_type, raw_data, ..Tensor::default() };
    }
    Some(graph)
}
