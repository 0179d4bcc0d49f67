//! From a file to a network.

use std::io::{Read, Seek};
use std::sync::Arc;

use safetensors::Dtype;

use super::header::{Header, Source, tensors_of};
use super::{LayerDescription, ModelInfo};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::scalar::Scalar;

pub(super) fn load<T: Scalar, R: Read + Seek>(
    source: &mut Source<R>,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Network<T>, ModelInfo)> {
    let header = Header::read(source)?;
    let mut layers = Vec::with_capacity(header.layers.len());
    for (number, description) in header.layers.iter().enumerate() {
        let &LayerDescription { kind, inputs, outputs, activation } = description;
        let mut layer = kind.layer(engine, (inputs, outputs), activation)?;
        let mut read =
            |place: usize| tensor(source, &header, &tensors_of(number, description)[place].0);
        // Row-major in the file is the transposed matrix column-major.
        layer.weights_mut().t().write(&read(0)?)?;
        layer.bias_mut().write(&read(1)?)?;
        if let Some(mut statistics) = layer.statistics_mut() {
            let variance = read(3)?;
            if let Some(index) = variance.iter().position(|x| *x < T::from_f64(0.0)) {
                let (place, found) =
                    (format!("tensor {}", tensors_of(number, description)[3].0), variance[index]);
                return Err(Error::format(
                    &header.file,
                    place,
                    "variances not below 0",
                    format!("{found} at {index}"),
                ));
            }
            statistics.write(&[read(2)?, variance].concat())?;
        }
        layers.push(layer);
    }
    Ok((Network::from_layers(layers)?, header.info))
}

fn tensor<T: Scalar, R: Read + Seek>(
    source: &mut Source<R>,
    header: &Header,
    name: &str,
) -> Result<Vec<T>> {
    let bad = |expected: &str, found: String| {
        Error::format(&header.file, format!("tensor {name}"), expected, found)
    };
    let Some(info) = header.tensors.info(name) else {
        return Err(bad("values", "no such tensor".to_owned()));
    };
    let (from, to) = info.data_offsets;
    let bytes = source.bytes(header.offset + from as u64, (to - from) as u64);
    let bytes = bytes.map_err(|error| source.failed(error))?;
    if bytes.len() != to - from {
        return Err(bad(&format!("{} bytes", to - from), format!("{}", bytes.len())));
    }
    let values: Vec<T> = match header.dtype {
        Dtype::F64 => {
            bytes.as_chunks().0.iter().map(|&b| T::from_f64(f64::from_le_bytes(b))).collect()
        }
        _ => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| T::from_f64(f64::from(f32::from_le_bytes(b))))
            .collect(),
    };
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(bad("finite numbers", format!("{} at {index}", values[index]))),
        None => Ok(values),
    }
}
