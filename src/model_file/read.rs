//! From a file to a network.

use std::sync::Arc;

use super::header::{Header, tensors_of};
use super::source::Source;
use super::tensors::{self, Tensors};
use super::{LayerDescription, ModelInfo};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layer;
use crate::network::Network;
use crate::scalar::Scalar;

/// The one network of a file.
pub(super) fn load<T: Scalar>(
    source: &mut Source<'_>,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Network<T>, ModelInfo)> {
    let header = Header::read(source)?;
    match header.members {
        1 => Ok((member(source, &header, 0, engine)?, header.info)),
        members => {
            let found = format!("an ensemble of {members}, which Model::load reads");
            Err(Error::format(source.file(), "members", "one network", found))
        }
    }
}

/// All networks of a file.
pub(super) fn load_all<T: Scalar>(
    source: &mut Source<'_>,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Vec<Network<T>>, ModelInfo)> {
    let header = Header::read(source)?;
    let networks = (0..header.members).map(|number| member(source, &header, number, engine));
    Ok((networks.collect::<Result<_>>()?, header.info))
}

fn member<T: Scalar>(
    source: &mut Source<'_>,
    header: &Header,
    number: usize,
    engine: &Arc<dyn Engine<T>>,
) -> Result<Network<T>> {
    let member = (number, header.members);
    let mut tensors = Tensors { source, metadata: &header.tensors, offset: header.offset };
    let mut layers = Vec::with_capacity(header.layers.len());
    for (number, description) in header.layers.iter().enumerate() {
        let &LayerDescription { kind, inputs, outputs, activation, members, ref categories } =
            description;
        let sizes = (inputs, outputs);
        let mut layer = layer::of_kind(kind, engine, sizes, members, activation, categories)?;
        let names = tensors_of(member, number, description);
        tensors::write(&mut *layer, &tensors.values((kind, inputs), &names)?)?;
        layers.push(layer);
    }
    Network::from_layers(layers)
}
