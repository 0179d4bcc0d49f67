//! Weights under the names of another program, as PyTorch's state dictionaries have them.

use std::path::Path;

use super::numbers::to_bytes;
use super::replace_file;
use super::source::Source;
use super::tensors::{self, Tensors};
use super::write::to_safetensors;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerKind};
use crate::network::Network;
use crate::scalar::Scalar;

impl<T: Scalar> Network<T> {
    /// Replaces all parameters by those of a safetensors file that another program wrote, such as PyTorch. `names` has one
    /// name for each layer: layer i is read from the tensors `{name}.weight` and `{name}.bias` and, for batch normalization,
    /// `{name}.running_mean` and `{name}.running_var`, for embeddings of numbers `{name}.columns`, for parametric activations from
    /// `{name}.weight` alone, with PyTorch's shapes (weights of dense layers `outputs x inputs`,
    /// row-major). Numbers may be f64, f32, f16 or bf16. Tensors of other names are ignored. An ONNX file counts as the model file that
    /// it is read as, with the names `layers.0` and so on.
    ///
    /// ```no_run
    /// use travertine::{Activation, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let mut network = Network::builder(&cpu, 784)
    ///     .dense(300, Activation::Relu)
    ///     .dense(10, Activation::Softmax)
    ///     .build()?;
    /// // torch.nn.Sequential(Linear(784, 300), ReLU(), Linear(300, 10))
    /// network.load_weights("sequential.safetensors", &["0", "2"])?;
    /// // A module with the attributes fc1 and fc2.
    /// network.load_weights("module.safetensors", &["fc1", "fc2"])?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of names than layers; a file that is not safetensors; a tensor that is missing, or has another shape,
    /// a type that is no floating-point number, or a value that is not finite: the tensor is named, and no parameter has changed.
    pub fn load_weights<S: AsRef<str>>(
        &mut self,
        path: impl AsRef<Path>,
        names: &[S],
    ) -> Result<()> {
        check_names("load_weights", self, names)?;
        let path = path.as_ref();
        match super::imported(path)? {
            Some(bytes) => self.weights_of(&mut Source::of_bytes(&bytes), names),
            None => self.weights_of(&mut Source::open(path)?, names),
        }
    }

    fn weights_of<S: AsRef<str>>(&mut self, source: &mut Source<'_>, names: &[S]) -> Result<()> {
        let (metadata, offset, _) = source.metadata()?;
        let mut file = Tensors { source, metadata: &metadata, offset };
        let layers = self.layers().iter().zip(names);
        let values: Vec<Vec<Vec<T>>> = layers
            .map(|(layer, name)| {
                let of_layer = (layer.kind(), layer.inputs());
                file.values(of_layer, &tensors_of(&**layer, name.as_ref()))
            })
            .collect::<Result<_>>()?;
        for (layer, values) in self.layers_mut().iter_mut().zip(values) {
            tensors::write(&mut **layer, &values)?;
        }
        Ok(())
    }
}

/// Writes the parameters of a network to a safetensors file under the names of another program: those that
/// [`Network::load_weights`] reads, in the network's own precision. PyTorch's `load_state_dict` accepts them under the names of
/// [`sequential_names`]; [`save`](super::save) writes models, which need no names.
///
/// ```
/// use travertine::{Activation, Network, engine, model_file};
/// let cpu = engine::open::<f32>("cpu")?;
/// let network = Network::builder(&cpu, 4)
///     .dense(8, Activation::Relu)
///     .dense(3, Activation::Softmax)
///     .build()?;
/// let names = model_file::sequential_names(&network);
/// assert_eq!(names, ["0", "2"]);
/// let path = std::env::temp_dir().join(format!("travertine-weights-{}.safetensors", std::process::id()));
/// model_file::save_weights(&path, &network, &names)?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// Another number of names than layers, or a name twice; a folder that is missing, full or not writable; a device that fails.
pub fn save_weights<T: Scalar, S: AsRef<str>>(
    path: impl AsRef<Path>,
    network: &Network<T>,
    names: &[S],
) -> Result<()> {
    check_names("save_weights", network, names)?;
    let mut tensors = Vec::new();
    for (layer, name) in network.layers().iter().zip(names) {
        let values = tensors::values_of(&**layer)?;
        let bytes = values.iter().map(|values| to_bytes(values));
        tensors.extend(tensors_of(&**layer, name.as_ref()).into_iter().zip(bytes));
    }
    replace_file(path, &to_safetensors::<T>("save_weights", &tensors, None)?)
}

/// The names of a network's layers in PyTorch's `torch.nn.Sequential`, where each activation but the identity is a module of
/// its own: `["0", "2", "4"]` for three dense layers with activations between them. A parametric activation is one module.
pub fn sequential_names<T: Scalar>(network: &Network<T>) -> Vec<String> {
    let positions = network.layers().iter().scan(0, |next, layer| {
        let position = *next;
        let is_apart =
            layer.kind() != LayerKind::Parametric && layer.activation() != Activation::Identity;
        *next += 1 + usize::from(is_apart);
        Some(position.to_string())
    });
    positions.collect()
}

fn check_names<T: Scalar, S: AsRef<str>>(
    operation: &'static str,
    network: &Network<T>,
    names: &[S],
) -> Result<()> {
    let (layers, count) = (network.layers().len(), names.len());
    if layers != count {
        let reason = format!("{count} names for {layers} layers; give one name for each layer");
        return Err(Error::argument(operation, reason));
    }
    let twice =
        |i: &usize| names[..*i].iter().any(|earlier| earlier.as_ref() == names[*i].as_ref());
    match (0..count).find(twice) {
        Some(i) => {
            let reason = format!("the name '{}' stands for two layers", names[i].as_ref());
            Err(Error::argument(operation, reason))
        }
        None => Ok(()),
    }
}

fn tensors_of<T: Scalar>(layer: &dyn Layer<T>, name: &str) -> Vec<(String, Vec<usize>)> {
    let sizes = (layer.inputs(), layer.outputs());
    tensors::tensors_of(name, layer.kind(), sizes, layer.members(), layer.categories())
}
