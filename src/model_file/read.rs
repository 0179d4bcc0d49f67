//! From a file to a network.

use std::io::{Read, Seek};
use std::sync::Arc;

use super::header::{Header, tensors_of};
use super::source::Source;
use super::tensors::{self, Tensors};
use super::{LayerDescription, ModelInfo};
use crate::engine::Engine;
use crate::error::Result;
use crate::network::Network;
use crate::scalar::Scalar;

pub(super) fn load<T: Scalar, R: Read + Seek>(
    source: &mut Source<R>,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Network<T>, ModelInfo)> {
    let header = Header::read(source)?;
    let mut tensors = Tensors { source, metadata: &header.tensors, offset: header.offset };
    let mut layers = Vec::with_capacity(header.layers.len());
    for (number, description) in header.layers.iter().enumerate() {
        let &LayerDescription { kind, inputs, outputs, activation } = description;
        let mut layer = kind.layer(engine, (inputs, outputs), activation)?;
        tensors::write(
            &mut *layer,
            &tensors.values((kind, inputs), &tensors_of(number, description))?,
        )?;
        layers.push(layer);
    }
    Ok((Network::from_layers(layers)?, header.info))
}
