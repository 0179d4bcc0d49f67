//! From a chain of operations to layers, and to what a model file says beside them.

use super::expression::{Expressions, Id, Op};
use super::front::{Column, Front};
use super::nodes::MOST_SQUARE;
use super::value::{Fault, Found};
use crate::activation::Activation;
use crate::data::TargetScale;
use crate::layer::{EPSILON, LayerKind};
use crate::loss::Loss;
use crate::model_file::{LayerDescription, ModelInfo};

/// A layer with its tensors as a model file has them, row-major.
pub(super) struct Built {
    pub(super) kind: LayerKind,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) activation: Activation,
    /// Weight and, of most kinds, bias
    pub(super) tensors: Vec<Vec<f64>>,
}

impl Built {
    pub(super) fn description(&self) -> LayerDescription {
        LayerDescription {
            kind: self.kind,
            inputs: self.inputs,
            outputs: self.outputs,
            activation: self.activation,
            members: 1,
            categories: Vec::new(),
        }
    }

    fn dense(inputs: usize, weights: Vec<f64>, bias: Vec<f64>) -> Self {
        let outputs = bias.len();
        let (kind, activation) = (LayerKind::Dense, Activation::Identity);
        Built { kind, inputs, outputs, activation, tensors: vec![weights, bias] }
    }

    /// `scale ⊙ x + shift`
    fn scale(scale: Vec<f64>, shift: Vec<f64>) -> Self {
        let (width, activation) = (shift.len(), Activation::Identity);
        let tensors = vec![scale, shift];
        Built { kind: LayerKind::Scale, inputs: width, outputs: width, activation, tensors }
    }

    /// Puts `scale ⊙ y + shift` behind a layer, where it melts into its parameters.
    fn melt(&mut self, scale: &[f64], shift: &[f64]) -> bool {
        let melts = matches!(self.kind, LayerKind::Dense | LayerKind::Scale | LayerKind::LayerNorm);
        let (Activation::Identity, [weights, bias]) = (self.activation, &mut self.tensors[..])
        else {
            return false;
        };
        if !melts {
            return false;
        }
        let of_output = weights.len() / scale.len().max(1);
        weights.iter_mut().enumerate().for_each(|(i, w)| *w *= scale[i / of_output.max(1)]);
        bias.iter_mut().zip(scale.iter().zip(shift)).for_each(|(b, (s, t))| *b = *b * s + t);
        true
    }
}

/// What a graph puts out.
pub(super) struct Outputs {
    pub(super) of: Id,
    /// The name of the output of numbers; none where there are labels alone.
    pub(super) name: Option<String>,
    /// The names of the classes, where there are labels.
    pub(super) classes: Option<Vec<String>>,
}

/// The layers and the description of a model.
pub(super) fn assemble(
    expressions: &mut Expressions,
    outputs: Outputs,
    columns: &[Column],
    are_named: bool,
) -> Found<(Vec<Built>, ModelInfo)> {
    let chain = expressions.chain(outputs.of);
    let mut ops: Vec<(Op, usize)> = chain
        .iter()
        .map(|id| (expressions.get(*id).op.clone(), expressions.get(*id).width))
        .collect();
    // A chain begins with features.
    let (Op::Features(features), _) = ops.remove(0) else {
        return Err(Fault::new("outputs that depend on the inputs", "others"));
    };
    expressions.spend(8 * features.len())?;
    let front = Front::new(&features, columns, are_named);
    let end = End::take(&mut ops);
    let mut layers = first(expressions, &front, &mut ops)?;
    for place in 0..ops.len() {
        let next = ops.get(place + 1);
        let is_dense_next = next.is_some_and(|(op, _)| matches!(op, Op::Dense { .. }));
        add(expressions, &mut layers, &mut ops[place], is_dense_next)?;
        let (done, rest) = ops.split_at_mut(place + 1);
        if let (Some((Op::Dense { weights, bias }, _)), Op::Affine { scale, shift }) =
            (rest.first_mut(), &done[place].0)
            && is_pending(&layers, scale)
        {
            melt_in_front((weights, bias), scale, shift);
        }
    }
    if layers.is_empty() {
        let width = features.len();
        layers.push(Built::scale(vec![1.0; width], vec![0.0; width]));
    }
    check(&layers)?;
    let mut info = end.info(&layers, outputs.classes, front)?;
    if info.classes.is_empty() {
        info.target = outputs.name;
    }
    Ok((layers, info))
}

/// The first layer, where the network's features are not the encoder's one by one.
fn first(
    expressions: &mut Expressions,
    front: &Front,
    ops: &mut [(Op, usize)],
) -> Found<Vec<Built>> {
    if front.is_identity() {
        return Ok(Vec::new());
    }
    let (inputs, count) = (front.inputs, front.map.len());
    if let Some((Op::Dense { weights, bias }, _)) = ops.first_mut() {
        let outputs = bias.len();
        expressions.spend(inputs * outputs)?;
        let mut mapped = vec![0.0; inputs * outputs];
        for output in 0..outputs {
            for (i, (at, scale, shift)) in front.map.iter().enumerate() {
                let weight = weights[output * count + i];
                mapped[output * inputs + at] += weight * scale;
                bias[output] += weight * shift;
            }
        }
        *weights = mapped;
        return Ok(Vec::new());
    }
    if inputs.max(count) > MOST_SQUARE {
        return Err(Fault::new("a dense layer behind the inputs", "another operation"));
    }
    let mut weights = vec![0.0; inputs * count];
    for (i, (at, scale, _)) in front.map.iter().enumerate() {
        weights[i * inputs + at] = *scale;
    }
    let bias = front.map.iter().map(|(_, _, shift)| *shift).collect();
    Ok(vec![Built::dense(inputs, weights, bias)])
}

/// Whether an affine operation has not found a layer in front of it, and waits for the one behind.
fn is_pending(layers: &[Built], scale: &[f64]) -> bool {
    layers.last().is_none_or(|last| {
        last.activation != Activation::Identity || last.kind == LayerKind::Parametric
    }) && !scale.is_empty()
}

/// Puts an affine operation into the dense layer behind it.
fn melt_in_front((weights, bias): (&mut [f64], &mut [f64]), scale: &[f64], shift: &[f64]) {
    let inputs = scale.len();
    for (row, bias) in weights.chunks_exact_mut(inputs).zip(bias) {
        *bias += row.iter().zip(shift).map(|(w, t)| w * t).sum::<f64>();
        row.iter_mut().zip(scale).for_each(|(w, s)| *w *= s);
    }
}

/// Adds an operation to the layers.
fn add(
    expressions: &mut Expressions,
    layers: &mut Vec<Built>,
    (op, width): &mut (Op, usize),
    is_dense_next: bool,
) -> Found<()> {
    let width = *width;
    let identity = || (vec![1.0; width], vec![0.0; width]);
    match op {
        Op::Dense { weights, bias } => {
            let inputs = weights.len() / bias.len();
            layers.push(Built::dense(inputs, std::mem::take(weights), std::mem::take(bias)));
        }
        Op::Affine { scale, shift } => {
            let waits = is_dense_next && is_pending(layers, scale);
            let melts = !waits && layers.last_mut().is_some_and(|last| last.melt(scale, shift));
            if !waits && !melts {
                layers.push(Built::scale(scale.clone(), shift.clone()));
            }
        }
        Op::Activation(Activation::Softmax) => {
            let is_dense = layers.last().is_some_and(|last| {
                (last.kind, last.activation) == (LayerKind::Dense, Activation::Identity)
            });
            if !is_dense {
                if width > MOST_SQUARE {
                    return Err(Fault::new("softmax behind a dense layer", "another operation"));
                }
                expressions.spend(width * width)?;
                let is_same = |i: usize| if i / width == i % width { 1.0 } else { 0.0 };
                let weights = (0..width * width).map(is_same).collect();
                layers.push(Built::dense(width, weights, vec![0.0; width]));
            }
            set(layers, Activation::Softmax);
        }
        Op::Activation(f) => {
            let is_free = layers.last().is_some_and(|last| {
                last.activation == Activation::Identity && last.kind != LayerKind::Parametric
            });
            if !is_free {
                let (scale, shift) = identity();
                layers.push(Built::scale(scale, shift));
            }
            set(layers, *f);
        }
        Op::Blend { f, shares } => layers.push(Built {
            kind: LayerKind::Parametric,
            inputs: width,
            outputs: width,
            activation: *f,
            tensors: vec![shares.clone()],
        }),
        Op::Normal(epsilon) => {
            // (x - mean) / sqrt(variance + e) is that of c x with the library's epsilon, c^2 e = epsilon.
            let c = (EPSILON / *epsilon).sqrt();
            if !c.is_finite() || c <= 0.0 {
                return Err(Fault::new("an epsilon above 0", epsilon.to_string()));
            }
            let is_usual = (c - 1.0).abs() < 1e-6;
            let factors: (Vec<f64>, Vec<f64>) = (vec![c; width], vec![0.0; width]);
            let melts = |last: &mut Built| last.melt(&factors.0, &factors.1);
            if !is_usual && !layers.last_mut().is_some_and(melts) {
                layers.push(Built::scale(factors.0, factors.1));
            }
            let (scale, shift) = identity();
            layers.push(Built { kind: LayerKind::LayerNorm, ..Built::scale(scale, shift) });
        }
        Op::Features(_) | Op::LogSoftmax | Op::TwoClasses | Op::Clip(..) | Op::Part(_) => {
            let found = match op {
                Op::LogSoftmax => "a logarithm of softmax in front of another operation",
                Op::TwoClasses => "1 - p and p in front of another operation",
                Op::Clip(..) => "bounds that are not those of ReLU, in front of another operation",
                _ => "a part of a formula that is not known as a whole",
            };
            let expected = "layers, activations and normalizations";
            return Err(Fault::new(expected, found));
        }
    }
    Ok(())
}

fn set(layers: &mut [Built], activation: Activation) {
    layers.iter_mut().last().into_iter().for_each(|last| last.activation = activation);
}

/// Refuses what a model file cannot hold.
fn check(layers: &[Built]) -> Found<()> {
    let hidden = layers.split_last().map_or(layers, |(_, hidden)| hidden);
    if hidden.iter().any(|layer| layer.activation == Activation::Softmax) {
        return Err(Fault::new("softmax as the last operation", "one in front of another"));
    }
    let is_finite = |layer: &Built| layer.tensors.iter().flatten().all(|x| x.is_finite());
    match layers.iter().position(|layer| !is_finite(layer)) {
        Some(number) => {
            let found = format!("others in layer {number} of the chain");
            Err(Fault::new("finite parameters", found))
        }
        None => Ok(()),
    }
}

/// What stands behind the last layer.
#[derive(Default)]
struct End {
    /// One number is the probability of the second of two classes.
    has_two_classes: bool,
    is_log_softmax: bool,
    /// Factors, summands and bounds of values.
    scale: Option<TargetScale>,
}

impl End {
    /// Takes it off the operations.
    fn take(ops: &mut Vec<(Op, usize)>) -> Self {
        let mut end = End::default();
        match &ops[..] {
            [.., (Op::TwoClasses, _)] => {
                end.has_two_classes = true;
                ops.pop();
            }
            [.., (Op::LogSoftmax, _)] => {
                end.is_log_softmax = true;
                ops.pop();
            }
            [.., (Op::Clip(least, most), width)] => {
                let bounds = vec![[least.max(f64::MIN), most.min(f64::MAX)]; *width];
                let (mean, deviation) = (vec![0.0; *width], vec![1.0; *width]);
                end.scale = Some(TargetScale::of(mean, deviation, bounds));
                ops.pop();
            }
            [.., (Op::Clip(least, most), _), (Op::Affine { scale, shift }, _)]
                if scale.iter().all(|x| *x > 0.0) =>
            {
                let bound = |x: f64, (s, t): (&f64, &f64)| (s * x + t).clamp(f64::MIN, f64::MAX);
                let each = || scale.iter().zip(shift);
                let bounds = each().map(|at| [bound(*least, at), bound(*most, at)]).collect();
                end.scale = Some(TargetScale::of(shift.clone(), scale.clone(), bounds));
                ops.truncate(ops.len() - 2);
            }
            _ => {}
        }
        end
    }

    fn info(
        self,
        layers: &[Built],
        classes: Option<Vec<String>>,
        front: Front,
    ) -> Found<ModelInfo> {
        let last = layers.last().map_or(Activation::Identity, |last| last.activation);
        let outputs = layers.last().map_or(0, |last| last.outputs);
        let is_softmax = self.is_log_softmax || last == Activation::Softmax;
        let classes = match classes {
            Some(classes) => classes,
            // A distribution over classes, whose names the file does not have.
            None if is_softmax && outputs > 1 => (0..outputs).map(|i| i.to_string()).collect(),
            None if self.has_two_classes => vec!["0".to_owned(), "1".to_owned()],
            None => Vec::new(),
        };
        let scores = if self.has_two_classes { 2 } else { outputs };
        if !classes.is_empty() && classes.len() != scores {
            let found = classes.len().to_string();
            return Err(Fault::new(format!("{scores} names of classes"), found));
        }
        if let (Some(_), false) = (&self.scale, classes.is_empty()) {
            return Err(Fault::new("scores of classes without bounds", "bounds"));
        }
        let loss = match last {
            _ if is_softmax => Loss::SoftmaxCrossEntropy,
            Activation::Sigmoid if !classes.is_empty() => Loss::BinaryCrossEntropy,
            _ => Loss::Quadratic,
        };
        let mut info = ModelInfo::new(loss);
        info.classes = classes;
        info.features = front.names;
        (info.encoder, info.standardization) = (front.encoder, front.standardization);
        info.target_scale = self.scale;
        Ok(info)
    }
}
