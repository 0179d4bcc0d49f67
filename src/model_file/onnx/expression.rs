//! What the rows of a graph are: functions of the features, as a chain of operations.
//!
//! An expression is one operation on another expression. Formulas that producers write in several operators, such as
//! `x sigmoid(x)`, become one operation here.

use super::front::Feature;
use crate::activation::Activation;

/// The number of an expression.
pub(super) type Id = usize;

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// The first of a chain.
    Features(Vec<Feature>),
    /// `W x + b`, W row-major, `outputs x inputs`
    Dense {
        weights: Vec<f64>,
        bias: Vec<f64>,
    },
    /// `scale ⊙ x + shift`
    Affine {
        scale: Vec<f64>,
        shift: Vec<f64>,
    },
    Activation(Activation),
    /// `(1 - a) ⊙ x + a ⊙ f(x)`
    Blend {
        f: Activation,
        shares: Vec<f64>,
    },
    /// `(x - mean) / sqrt(variance + epsilon)` of each row
    Normal(f64),
    LogSoftmax,
    /// `[1 - p, p]` of one number
    TwoClasses,
    /// Within bounds
    Clip(f64, f64),
    /// Parts of the formulas above, which are no layers of their own.
    Part(Part),
}

/// A part of a formula; where it has two operands, the second is the number in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Erf,
    /// The mean of each row, one number
    Mean,
    /// `x - mean`
    Centered,
    /// The square of what is centered
    Square,
    /// `sqrt(variance + epsilon)`, one number
    Deviation(f64),
    /// `1 / sqrt(variance + epsilon)`
    Inverse(f64),
    /// The inverse deviation times a factor for each number of the row, which are those of the affine operation behind it
    Spread(f64),
    /// x, times a spread inverse deviation
    TimesInverse(Id),
    /// The mean with the other sign, times a spread inverse deviation
    MeanTimesInverse(Id),
}

#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) op: Op,
    /// What it is a function of; itself for features.
    pub(super) of: Id,
    /// Numbers of a row.
    pub(super) width: usize,
}

/// All expressions of a graph.
pub(super) struct Expressions {
    all: Vec<Expression>,
    /// Numbers that may still be computed.
    budget: usize,
}

/// More was computed than the file's length justifies.
#[derive(Debug)]
pub(super) struct TooMuch;

/// `base` as features of an affine function: `scale ⊙ base + shift`.
struct Parts {
    base: Id,
    scale: Vec<f64>,
    shift: Vec<f64>,
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}

/// The one factor c with `a = c b`, number by number.
fn ratio(a: &[f64], b: &[f64]) -> Option<f64> {
    let place = b.iter().position(|x| *x != 0.0)?;
    let c = a[place] / b[place];
    a.iter().zip(b).all(|(a, b)| close(*a, c * b) || (*a == 0.0 && *b == 0.0)).then_some(c)
}

impl Expressions {
    pub(super) fn new(budget: usize) -> Self {
        Expressions { all: Vec::new(), budget }
    }

    pub(super) fn get(&self, id: Id) -> &Expression {
        &self.all[id]
    }

    /// Takes so many numbers from those that may be computed.
    pub(super) fn spend(&mut self, numbers: usize) -> Result<(), TooMuch> {
        self.budget = self.budget.checked_sub(numbers).ok_or(TooMuch)?;
        Ok(())
    }

    pub(super) fn push(&mut self, of: Id, width: usize, op: Op) -> Result<Id, TooMuch> {
        let numbers = match &op {
            // A feature takes the place of eight numbers.
            Op::Features(features) => 8 * features.len(),
            Op::Dense { weights, bias } => weights.len() + bias.len(),
            Op::Affine { scale, shift } => scale.len() + shift.len(),
            Op::Blend { shares, .. } => shares.len(),
            _ => 8,
        };
        self.spend(numbers + 8)?;
        self.all.push(Expression { op, of, width });
        Ok(self.all.len() - 1)
    }

    pub(super) fn features(&mut self, features: Vec<Feature>) -> Result<Id, TooMuch> {
        let (id, width) = (self.all.len(), features.len());
        self.push(id, width, Op::Features(features))
    }

    pub(super) fn activation(&mut self, of: Id, f: Activation) -> Result<Id, TooMuch> {
        self.push(of, self.all[of].width, Op::Activation(f))
    }

    /// `scale ⊙ x + shift`; one affine operation for several.
    pub(super) fn affine(
        &mut self,
        of: Id,
        scale: Vec<f64>,
        shift: Vec<f64>,
    ) -> Result<Id, TooMuch> {
        if scale.iter().all(|x| *x == 1.0) && shift.iter().all(|x| *x == 0.0) {
            return Ok(of);
        }
        let expression = &self.all[of];
        match &expression.op {
            Op::Features(features) => {
                let scaled = features.iter().zip(scale.iter().zip(&shift));
                let scaled = scaled.map(|(feature, (scale, shift))| feature.scaled(*scale, *shift));
                let scaled = scaled.collect();
                self.features(scaled)
            }
            Op::Affine { scale: own, shift: before } => {
                let shift = before.iter().zip(&scale).zip(&shift).map(|((b, s), t)| b * s + t);
                let shift: Vec<f64> = shift.collect();
                let scale: Vec<f64> = own.iter().zip(&scale).map(|(a, b)| a * b).collect();
                let of = expression.of;
                match scale.iter().all(|x| *x == 1.0) && shift.iter().all(|x| *x == 0.0) {
                    true => Ok(of),
                    false => self.push(of, scale.len(), Op::Affine { scale, shift }),
                }
            }
            _ => self.push(of, expression.width, Op::Affine { scale, shift }),
        }
    }

    /// The same factor for all numbers.
    fn times(&mut self, of: Id, factor: f64) -> Result<Id, TooMuch> {
        let width = self.all[of].width;
        self.affine(of, vec![factor; width], vec![0.0; width])
    }

    fn parts(&mut self, id: Id) -> Result<Parts, TooMuch> {
        let width = self.all[id].width;
        self.spend(2 * width)?;
        Ok(match &self.all[id] {
            Expression { op: Op::Affine { scale, shift }, of, .. } => {
                Parts { base: *of, scale: scale.clone(), shift: shift.clone() }
            }
            _ => Parts { base: id, scale: vec![1.0; width], shift: vec![0.0; width] },
        })
    }

    /// The factor c with `a = c b`, where there is one.
    fn factor(&mut self, a: Id, b: Id) -> Result<Option<f64>, TooMuch> {
        if a == b {
            return Ok(Some(1.0));
        }
        let (a, b) = (self.parts(a)?, self.parts(b)?);
        if a.base != b.base {
            return Ok(None);
        }
        let c = ratio(&a.scale, &b.scale);
        Ok(c.filter(|c| a.shift.iter().zip(&b.shift).all(|(a, b)| close(*a, c * b))))
    }

    /// The product of two expressions, if it is a formula that is known.
    pub(super) fn product(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        for (a, b) in [(a, b), (b, a)] {
            if let Some(product) = self.ordered_product(a, b)? {
                return Ok(Some(product));
            }
        }
        Ok(None)
    }

    fn ordered_product(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        if let Some(product) = self.product_of_normal(a, b)? {
            return Ok(Some(product));
        }
        // b = q g(z), or q (1 + erf(z)).
        let outer = self.parts(b)?;
        let Some(q) = ratio(&outer.scale, &vec![1.0; outer.scale.len()]) else { return Ok(None) };
        let (op, z) = (self.all[outer.base].op.clone(), self.all[outer.base].of);
        let is_plain = outer.shift.iter().all(|x| *x == 0.0);
        let f = match op {
            Op::Activation(Activation::Sigmoid) if is_plain => Activation::Silu,
            Op::Activation(Activation::Tanh) if is_plain => {
                let Op::Activation(Activation::Softplus) = self.all[z].op else { return Ok(None) };
                let z = self.all[z].of;
                let Some(c) = self.factor(a, z)? else { return Ok(None) };
                let mish = self.activation(z, Activation::Mish)?;
                return self.times(mish, c * q).map(Some);
            }
            Op::Part(Part::Erf) if outer.shift.iter().all(|x| close(*x, q)) => Activation::Gelu,
            _ => return Ok(None),
        };
        let Some(c) = self.factor(a, z)? else { return Ok(None) };
        if f == Activation::Silu {
            let silu = self.activation(z, f)?;
            return self.times(silu, c * q).map(Some);
        }
        // z (1 + erf(z)) = sqrt(2) gelu(sqrt(2) z)
        let scaled = self.times(z, std::f64::consts::SQRT_2)?;
        let scaled = self.near_identity(scaled)?;
        let gelu = self.activation(scaled, f)?;
        self.times(gelu, c * q * std::f64::consts::SQRT_2).map(Some)
    }

    /// Without an affine operation that is the identity but for the rounding of its constants.
    fn near_identity(&mut self, id: Id) -> Result<Id, TooMuch> {
        let parts = self.parts(id)?;
        let is_near = parts.scale.iter().all(|x| (x - 1.0).abs() < 1e-6)
            && parts.shift.iter().all(|x| *x == 0.0);
        Ok(if is_near { parts.base } else { id })
    }

    /// Products in the formula of layer normalization.
    fn product_of_normal(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        let width = self.all[a].width;
        if let (true, Op::Part(Part::Centered)) = (a == b, &self.all[a].op) {
            return self.push(a, width, Op::Part(Part::Square)).map(Some);
        }
        let inner = self.parts(b)?;
        match self.all[inner.base].op {
            Op::Part(Part::Inverse(epsilon)) if inner.scale == [1.0] && inner.shift == [0.0] => {
                let x = self.all[inner.base].of;
                let is_centered = matches!(self.all[a].op, Op::Part(Part::Centered));
                if is_centered && self.all[a].of == x {
                    return self.push(x, width, Op::Normal(epsilon)).map(Some);
                }
                Ok(None)
            }
            Op::Part(Part::Spread(_)) if inner.shift.iter().all(|x| *x == 0.0) => {
                let x = self.all[inner.base].of;
                if a == x {
                    return self.push(x, width, Op::Part(Part::TimesInverse(b))).map(Some);
                }
                let mean = self.parts(a)?;
                let is_mean = matches!(self.all[mean.base].op, Op::Part(Part::Mean))
                    && self.all[mean.base].of == x
                    && mean.scale == [-1.0]
                    && mean.shift == [0.0];
                if is_mean {
                    let width = self.all[x].width;
                    return self.push(x, width, Op::Part(Part::MeanTimesInverse(b))).map(Some);
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The inverse deviation of a row times a factor for each of its numbers.
    pub(super) fn spread(&mut self, of: Id, factors: Vec<f64>) -> Result<Option<Id>, TooMuch> {
        let expression = &self.all[of];
        let Op::Part(Part::Inverse(epsilon)) = expression.op else { return Ok(None) };
        let (x, width) = (expression.of, factors.len());
        if self.all[x].width != width {
            return Ok(None);
        }
        let spread = self.push(x, width, Op::Part(Part::Spread(epsilon)))?;
        self.affine(spread, factors, vec![0.0; width]).map(Some)
    }

    /// The sum of two expressions, if it is a formula that is known.
    pub(super) fn sum(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        for (a, b) in [(a, b), (b, a)] {
            if let Some(sum) = self.ordered_sum(a, b)? {
                return Ok(Some(sum));
            }
        }
        Ok(None)
    }

    fn ordered_sum(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        let second = self.parts(b)?;
        match (self.all[a].op.clone(), self.all[second.base].op.clone()) {
            // relu(x) - slope relu(-x)
            (Op::Activation(Activation::Relu), Op::Activation(Activation::Relu))
                if second.shift.iter().all(|x| *x == 0.0) =>
            {
                let (x, negative) = (self.all[a].of, self.all[second.base].of);
                if self.factor(negative, x)? != Some(-1.0) {
                    return Ok(None);
                }
                let shares = second.scale.iter().map(|x| 1.0 + x).collect();
                let blend = Op::Blend { f: Activation::Relu, shares };
                self.push(x, self.all[x].width, blend).map(Some)
            }
            // x inverse + (beta - mean inverse)
            (Op::Part(Part::TimesInverse(one)), Op::Part(Part::MeanTimesInverse(other)))
                if one == other && second.scale.iter().all(|x| *x == 1.0) =>
            {
                let x = self.all[a].of;
                let spread = self.parts(one)?;
                let Op::Part(Part::Spread(epsilon)) = self.all[spread.base].op else {
                    return Ok(None);
                };
                let normal = self.push(x, self.all[x].width, Op::Normal(epsilon))?;
                self.affine(normal, spread.scale, second.shift).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The difference of two expressions, if it is a formula that is known.
    pub(super) fn difference(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        let of = &self.all[b];
        if matches!(of.op, Op::Part(Part::Mean)) && of.of == a {
            let width = self.all[a].width;
            return self.push(a, width, Op::Part(Part::Centered)).map(Some);
        }
        Ok(None)
    }

    /// The quotient of two expressions, if it is a formula that is known.
    pub(super) fn quotient(&mut self, a: Id, b: Id) -> Result<Option<Id>, TooMuch> {
        let (centered, deviation) = (&self.all[a], &self.all[b]);
        match (&centered.op, &deviation.op) {
            (Op::Part(Part::Centered), Op::Part(Part::Deviation(epsilon)))
                if centered.of == deviation.of =>
            {
                let (x, width, epsilon) = (centered.of, centered.width, *epsilon);
                self.push(x, width, Op::Normal(epsilon)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The mean of each row, or the variance where it is the mean of what is centered and squared.
    pub(super) fn mean(&mut self, of: Id) -> Result<Id, TooMuch> {
        self.push(of, 1, Op::Part(Part::Mean))
    }

    /// The square root, if it is that of a variance.
    pub(super) fn root(&mut self, of: Id) -> Result<Option<Id>, TooMuch> {
        let sum = self.parts(of)?;
        if self.all[of].width != 1 || sum.scale != [1.0] {
            return Ok(None);
        }
        let mean = &self.all[sum.base];
        let (Op::Part(Part::Mean), Op::Part(Part::Square)) = (&mean.op, &self.all[mean.of].op)
        else {
            return Ok(None);
        };
        // The mean of the square of x less its mean.
        let x = self.all[self.all[mean.of].of].of;
        self.push(x, 1, Op::Part(Part::Deviation(sum.shift[0]))).map(Some)
    }

    /// One divided by it, if it is a deviation.
    pub(super) fn reciprocal(&mut self, of: Id) -> Result<Option<Id>, TooMuch> {
        let deviation = &self.all[of];
        let Op::Part(Part::Deviation(epsilon)) = deviation.op else { return Ok(None) };
        let x = deviation.of;
        self.push(x, 1, Op::Part(Part::Inverse(epsilon))).map(Some)
    }

    /// Whether `b` is `1 - a`.
    pub(super) fn is_complement(&mut self, a: Id, b: Id) -> Result<bool, TooMuch> {
        let (p, q) = (self.parts(a)?, self.parts(b)?);
        let is = |parts: &Parts, scale: f64, shift: f64| {
            parts.scale == [scale] && parts.shift == [shift]
        };
        Ok(p.base == q.base && is(&p, 1.0, 0.0) && is(&q, -1.0, 1.0))
    }

    /// The chain from the features to an expression.
    pub(super) fn chain(&self, last: Id) -> Vec<Id> {
        let mut chain = vec![last];
        let mut id = last;
        while !matches!(self.all[id].op, Op::Features(_)) {
            id = self.all[id].of;
            chain.push(id);
        }
        chain.reverse();
        chain
    }
}
