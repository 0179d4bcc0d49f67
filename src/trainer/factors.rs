//! Learning rates and weight decays of single parameters.

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::network::Network;
use crate::scalar::Scalar;

/// Factors for one parameter of a layer: its weights or its bias.
///
/// ```
/// # use travertine::{Activation, Loss, Network, Trainer, engine, optimizer::Adam};
/// use travertine::trainer::Factors;
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let mut network =
/// #     Network::builder(&cpu, 64).dense(100, Activation::Relu).dense(10, Activation::Softmax).build()?;
/// // Biases learn at a tenth of the rate of the weights, and do not decay.
/// let factors = [Factors::default(), Factors { rate: 0.1, decay: 0.0 }];
/// let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?)
///     .factors(vec![factors; 2])
///     .build()?;
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// Of the learning rate.
    pub rate: f64,
    /// Of the weight decay, which the optimizer multiplies by the rate of the parameter.
    pub decay: f64,
}

impl Default for Factors {
    /// 1 and 1.
    fn default() -> Self {
        Factors { rate: 1.0, decay: 1.0 }
    }
}

impl Factors {
    /// The neural tangent parametrization (Jacot et al. 2018) for [`Adam`](crate::optimizer::Adam), without other layers: in
    /// `z = W x / sqrt(inputs) + b` a step of W changes z by `rate / sqrt(inputs)`. Dense weights get the rate factor
    /// `1 / sqrt(inputs)` and the decay factor `sqrt(inputs)`, so that they decay as W does; biases and other layers get `others`.
    /// Begin with weights of variance `1 / inputs` ([`Init::Lecun`](crate::Init::Lecun)).
    pub fn tangent<T: Scalar>(network: &Network<T>, others: Factors) -> Vec<[Factors; 2]> {
        let pair = |layer: &dyn Layer<T>| {
            if !layer.kind().multiplies() {
                return [others; 2];
            }
            let root = (layer.weights().columns() as f64).sqrt();
            [Factors { rate: 1.0 / root, decay: root }, others]
        };
        network.layers().iter().map(|layer| pair(&**layer)).collect()
    }

    pub(super) fn validate(factors: &[[Factors; 2]], layers: usize) -> Result<()> {
        if factors.len() != layers {
            let reason = format!("{} pairs for {layers} layers", factors.len());
            return Err(Error::argument("factors", reason));
        }
        let numbers = factors.iter().flatten().flat_map(|f| [f.rate, f.decay]);
        match numbers.into_iter().find(|x| !(*x >= 0.0 && x.is_finite())) {
            Some(x) => {
                let reason = format!("a factor must be a finite number not below 0, not {x}");
                Err(Error::argument("factors", reason))
            }
            None => Ok(()),
        }
    }

    /// For the settings of a snapshot: `"0.1 0.1/1 0"`, weights and bias of each layer.
    pub(super) fn describe(factors: &[[Factors; 2]]) -> String {
        let pair = |[w, b]: &[Factors; 2]| format!("{} {}/{} {}", w.rate, w.decay, b.rate, b.decay);
        factors.iter().map(pair).collect::<Vec<_>>().join(", ")
    }
}
