//! The tensors of a layer, out of a file and into one.

use safetensors::tensor::Metadata;

use super::numbers::from_bytes;
use super::source::Source;
use crate::engine::CATEGORY_NUMBERS;
use crate::error::{Error, Result};
use crate::layer::{
    Categories, EMBEDDING_BIAS, EMBEDDING_WEIGHTS, Layer, LayerKind, embedded, misplaced,
};
use crate::matrix::MatrixMut;
use crate::scalar::Scalar;

/// Names and shapes of a layer's tensors: `{name}.weight` and, where the layer has them, `{name}.bias` and its statistics.
pub(super) fn tensors_of(
    name: &str,
    kind: LayerKind,
    (inputs, outputs): (usize, usize),
    members: usize,
    categories: &[Categories],
) -> Vec<(String, Vec<usize>)> {
    let embedded = embedded(inputs, outputs).unwrap_or_default();
    let parts = match kind {
        LayerKind::Dense => vec![("weight", vec![outputs, inputs]), ("bias", vec![outputs])],
        LayerKind::LayerNorm | LayerKind::Scale => {
            vec![("weight", vec![outputs]), ("bias", vec![outputs])]
        }
        LayerKind::BatchNorm => {
            let names = ["weight", "bias", "running_mean", "running_var"];
            names.map(|name| (name, vec![outputs])).to_vec()
        }
        LayerKind::NumberEmbedding => vec![
            ("weight", vec![embedded, EMBEDDING_WEIGHTS]),
            ("bias", vec![embedded, EMBEDDING_BIAS]),
            ("columns", vec![embedded]),
        ],
        LayerKind::Parametric => vec![("weight", vec![outputs])],
        LayerKind::CategoryEmbedding => {
            let all = categories.iter().map(|feature| feature.count).sum();
            vec![("weight", vec![CATEGORY_NUMBERS, all])]
        }
        LayerKind::Members => vec![("weight", vec![outputs])],
        LayerKind::MemberDense => {
            let rows = outputs / members;
            vec![("weight", vec![rows, inputs / members]), ("bias", vec![rows])]
        }
        LayerKind::MemberHeads => {
            vec![("weight", vec![outputs, inputs / members]), ("bias", vec![outputs])]
        }
        LayerKind::MemberMean => vec![],
    };
    parts.into_iter().map(|(part, shape)| (format!("{name}.{part}"), shape)).collect()
}

/// The values of a layer's tensors, in the order of [`tensors_of`].
pub(super) fn values_of<T: Scalar>(layer: &dyn Layer<T>) -> Result<Vec<Vec<T>>> {
    // Row-major in the file is the transposed matrix column-major.
    let matrices = [layer.weights(), layer.bias()].into_iter().take(layer.kind().matrices());
    let mut values = matrices.map(|x| x.t().to_vec()).collect::<Result<Vec<_>>>()?;
    if let Some(statistics) = layer.statistics() {
        for column in 0..statistics.columns() {
            values.push(statistics.column(column)?.to_vec()?);
        }
    }
    Ok(values)
}

/// Writes what [`Tensors::values`] read into a layer.
pub(super) fn write<T: Scalar>(layer: &mut dyn Layer<T>, values: &[Vec<T>]) -> Result<()> {
    let matrices = layer.kind().matrices();
    if matrices > 0 {
        layer.weights_mut().t().write(&values[0])?;
    }
    if matrices < 2 {
        return Ok(());
    }
    layer.bias_mut().t().write(&values[1])?;
    let statistics = values[2..].concat();
    let write = |mut matrix: MatrixMut<'_, T>| matrix.write(&statistics);
    layer.statistics_mut().map_or(Ok(()), write)
}

/// The tensors of a file.
pub(super) struct Tensors<'s, 'b> {
    pub(super) source: &'s mut Source<'b>,
    pub(super) metadata: &'s Metadata,
    /// Bytes in front of the tensors.
    pub(super) offset: u64,
}

impl Tensors<'_, '_> {
    /// The values of tensors with these names and shapes, as [`tensors_of`] returns them for one layer of this kind and number of inputs.
    pub(super) fn values<T: Scalar>(
        &mut self,
        (kind, inputs): (LayerKind, usize),
        tensors: &[(String, Vec<usize>)],
    ) -> Result<Vec<Vec<T>>> {
        let values: Vec<Vec<T>> =
            tensors.iter().map(|(name, shape)| self.tensor(name, shape)).collect::<Result<_>>()?;
        let Some(last) = values.len().checked_sub(1) else { return Ok(values) };
        let numbers = || T::to_f64s(&values[last]);
        let fault = match kind {
            LayerKind::Dense
            | LayerKind::LayerNorm
            | LayerKind::Scale
            | LayerKind::Parametric
            | LayerKind::CategoryEmbedding
            | LayerKind::Members
            | LayerKind::MemberDense
            | LayerKind::MemberHeads
            | LayerKind::MemberMean => None,
            LayerKind::BatchNorm => numbers()
                .iter()
                .position(|variance| *variance < 0.0)
                .map(|index| (index, "variances not below 0".to_owned())),
            LayerKind::NumberEmbedding => misplaced(&numbers(), inputs),
        };
        match fault {
            Some((index, expected)) => {
                let found = format!("{} at {index}", values[last][index]);
                Err(self.bad(&tensors[last].0, expected, found))
            }
            None => Ok(values),
        }
    }

    fn tensor<T: Scalar>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let Some(info) = self.metadata.info(name) else {
            return Err(self.bad(name, format!("shape {shape:?}"), "no such tensor".to_owned()));
        };
        if info.shape != shape {
            return Err(self.bad(name, format!("shape {shape:?}"), format!("{:?}", info.shape)));
        }
        let (from, to) = info.data_offsets;
        let bytes = self.source.bytes(self.offset + from as u64, (to - from) as u64);
        let bytes = bytes.map_err(|error| self.source.failed(error))?;
        if bytes.len() != to - from {
            return Err(self.bad(name, format!("{} bytes", to - from), bytes.len().to_string()));
        }
        let Some(values) = from_bytes::<T>(info.dtype, &bytes) else {
            let expected = "numbers in F64, F32, F16 or BF16".to_owned();
            return Err(self.bad(name, expected, format!("{:?}", info.dtype)));
        };
        match values.iter().position(|x| !x.is_finite()) {
            Some(i) => {
                Err(self.bad(name, "finite numbers".to_owned(), format!("{} at {i}", values[i])))
            }
            None => Ok(values),
        }
    }

    fn bad(&self, tensor: &str, expected: String, found: String) -> Error {
        Error::format(self.source.file(), format!("tensor {tensor}"), expected, found)
    }
}
