//! L-BFGS: descent by gradients of the whole data set, with what earlier gradients say about the curvature.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::not_negative;
use crate::error::{Error, Result};

const NAME: &str = "l-bfgs";
/// A step must lower the cost by this share of what its slope promises (Armijo), ...
const DECREASE: f64 = 1e-3;
/// ... and leave at most this share of the slope (strong Wolfe).
const CURVATURE: f64 = 0.9;
/// Evaluations in one line search.
const TRIALS: u64 = 20;
/// The next trial is this many times as far, where the slope still descends.
const FARTHER: f64 = 4.0;
/// Trials keep this share of the interval from its ends.
const MARGIN: f64 = 0.1;

/// Limited-memory BFGS (Liu and Nocedal 1989): the method for small data sets and smooth losses, which it brings to a minimum with no
/// learning rate to choose. It needs the gradient of all samples for each iteration, so that it has a method of its own,
/// [`Lbfgs::train`], and is no [`Optimizer`](super::Optimizer).
///
/// The direction is `-H g`, where H is made of the last [`memory`](Lbfgs::memory) pairs of steps and changes of the gradient. A
/// line search along it ends where the strong Wolfe conditions hold, `C(w + a d) <= C(w) + 0.001 a d^T g` and
/// `|d^T g(w + a d)| <= 0.9 |d^T g|`. What is minimized is the mean loss, weighted where samples have weights, and a penalty of the
/// weights, not of biases, as scikit-learn's `alpha` has it:
///
/// ```text
/// C = sum_j w_j loss_j / sum_j w_j + l2 / 2 * sum W^2 / sum_j w_j
/// ```
///
/// It ends as scipy's L-BFGS-B does: where the largest element of the gradient is at most
/// [`gradient_tolerance`](Lbfgs::gradient_tolerance), where an iteration lowers C by at most [`change`](Lbfgs::change) times
/// `max(C before, C after, 1)`, or after so many [`iterations`](Lbfgs::iterations) or [`evaluations`](Lbfgs::evaluations). The
/// defaults are 10 pairs, 1e-4, 2.2e-9, 200 and 15,000, as scikit-learn calls it.
///
/// Its arithmetic is in f64 on the host, whatever the engine: the bits depend on the engine's gradients alone, and these not on the
/// number of threads. In f32, a cost has seven digits; it then often ends with [`LbfgsEnd::NoProgress`], as near the minimum as the
/// precision allows.
///
/// ```
/// use travertine::{Activation, Loss, Network, Samples, data, engine, optimizer::{Lbfgs, LbfgsEnd}};
/// let cpu = engine::open::<f64>("cpu")?;
/// let mut samples = Samples::from_dataset(&cpu, data::digits()?.take(100)?)?;
/// let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).seed(1).build()?;
/// let minimum = Lbfgs::new().l2(1.0)?.train(&mut network, Loss::SoftmaxCrossEntropy, &mut samples)?;
/// assert_eq!(minimum.end, LbfgsEnd::Gradient);
/// assert!(network.evaluate(Loss::SoftmaxCrossEntropy, &samples)?.accuracy.unwrap() > 0.9);
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lbfgs {
    memory: usize,
    iterations: u64,
    evaluations: u64,
    gradient: f64,
    change: f64,
    l2: f64,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Lbfgs {
            memory: 10,
            iterations: 200,
            evaluations: 15_000,
            gradient: 1e-4,
            change: 1e7 * f64::EPSILON,
            l2: 0.0,
        }
    }
}

impl Lbfgs {
    /// With the defaults.
    pub fn new() -> Self {
        Lbfgs::default()
    }

    /// The most pairs that it keeps; each needs the memory of two gradients in f64.
    ///
    /// # Errors
    /// No pair.
    pub fn memory(self, pairs: usize) -> Result<Self> {
        if pairs == 0 {
            return Err(Error::argument(NAME, "0 pairs; at least 1 is needed"));
        }
        Ok(Lbfgs { memory: pairs, ..self })
    }

    /// The most iterations; with 0, nothing but the cost is computed.
    #[must_use]
    pub fn iterations(self, most: u64) -> Self {
        Lbfgs { iterations: most, ..self }
    }

    /// The most evaluations of cost and gradient; the iteration in which they are reached is completed.
    #[must_use]
    pub fn evaluations(self, most: u64) -> Self {
        Lbfgs { evaluations: most, ..self }
    }

    /// The largest element of a gradient at which it ends.
    ///
    /// # Errors
    /// A tolerance that is negative or not finite.
    pub fn gradient_tolerance(self, tolerance: f64) -> Result<Self> {
        Ok(Lbfgs { gradient: not_negative(NAME, "gradient tolerance", tolerance)?, ..self })
    }

    /// The relative decrease of the cost in an iteration at which it ends.
    ///
    /// # Errors
    /// A change that is negative or not finite.
    pub fn change(self, change: f64) -> Result<Self> {
        Ok(Lbfgs { change: not_negative(NAME, "change", change)?, ..self })
    }

    /// The factor of the penalty of weights.
    ///
    /// # Errors
    /// A factor that is negative or not finite.
    pub fn l2(self, l2: f64) -> Result<Self> {
        Ok(Lbfgs { l2: not_negative(NAME, "l2", l2)?, ..self })
    }

    /// `l2`
    pub(crate) fn penalty(&self) -> f64 {
        self.l2
    }
}

/// Why [`Lbfgs`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LbfgsEnd {
    /// The gradient is as small as [`Lbfgs::gradient_tolerance`].
    Gradient,
    /// An iteration changed the cost as little as [`Lbfgs::change`].
    Change,
    /// The most iterations are done, without convergence.
    Iterations,
    /// The most evaluations are done, without convergence.
    Evaluations,
    /// No step along the gradient lowers the cost: the precision is at its end.
    NoProgress,
    /// The caller broke off.
    Stopped,
}

impl LbfgsEnd {
    /// Whether this is a minimum, as far as the tolerances and the precision go.
    pub fn is_converged(self) -> bool {
        matches!(self, LbfgsEnd::Gradient | LbfgsEnd::Change | LbfgsEnd::NoProgress)
    }
}

/// Where [`Lbfgs`] is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LbfgsProgress {
    /// Iterations done.
    pub iterations: u64,
    /// Evaluations of cost and gradient.
    pub evaluations: u64,
    /// C: the mean loss and the penalty.
    pub cost: f64,
    /// The largest element of its gradient, without sign.
    pub gradient: f64,
}

/// Where [`Lbfgs`] ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LbfgsReport {
    /// Why.
    pub end: LbfgsEnd,
    /// At the parameters that the network has now.
    pub last: LbfgsProgress,
}

/// Writes the gradient at x and returns the cost; x is rounded to the precision in which they are computed.
pub(crate) type Evaluate<'a> = dyn FnMut(&mut [f64], &mut [f64]) -> Result<f64> + 'a;
/// Called after each iteration.
pub(crate) type Watch<'a> = dyn FnMut(LbfgsProgress) -> Result<ControlFlow<()>> + 'a;

/// A place, with cost and gradient.
struct Point {
    x: Vec<f64>,
    gradient: Vec<f64>,
    cost: f64,
}

impl Point {
    fn at(mut x: Vec<f64>, evaluate: &mut Evaluate<'_>) -> Result<Point> {
        let mut gradient = vec![0.0; x.len()];
        let cost = evaluate(&mut x, &mut gradient)?;
        Ok(Point { x, gradient, cost })
    }

    fn is_finite(&self) -> bool {
        self.cost.is_finite() && self.gradient.iter().all(|x| x.is_finite())
    }
}

/// Moves x to a minimum. Whatever happens, x is the best place so far. Not generic, so that no user's crate compiles it.
pub(crate) fn minimize(
    settings: &Lbfgs,
    x: &mut [f64],
    evaluate: &mut Evaluate<'_>,
    watch: &mut Watch<'_>,
) -> Result<LbfgsReport> {
    let (mut iterations, mut evaluations) = (0, 1);
    let mut now = Point::at(x.to_vec(), evaluate)?;
    if !now.is_finite() {
        let reason = "the cost of the first parameters, or its gradient, is not finite; standardize the features";
        return Err(Error::argument(NAME, reason));
    }
    let mut pairs = Pairs { most: settings.memory, pairs: VecDeque::new() };
    let end = loop {
        if largest(&now.gradient) <= settings.gradient {
            break LbfgsEnd::Gradient;
        }
        if iterations >= settings.iterations {
            break LbfgsEnd::Iterations;
        }
        if evaluations >= settings.evaluations {
            break LbfgsEnd::Evaluations;
        }
        let Some(next) = search(&now, &pairs, &mut evaluations, evaluate)? else {
            if pairs.pairs.is_empty() {
                break LbfgsEnd::NoProgress;
            }
            // The direction may be at fault: once more along the gradient.
            pairs.pairs.clear();
            continue;
        };
        pairs.add(&now, &next);
        let change = (now.cost - next.cost) / now.cost.abs().max(next.cost.abs()).max(1.0);
        now = next;
        x.copy_from_slice(&now.x);
        iterations += 1;
        if watch(progress(iterations, evaluations, &now))?.is_break() {
            break LbfgsEnd::Stopped;
        }
        if change <= settings.change && largest(&now.gradient) > settings.gradient {
            break LbfgsEnd::Change;
        }
    };
    Ok(LbfgsReport { end, last: progress(iterations, evaluations, &now) })
}

fn progress(iterations: u64, evaluations: u64, now: &Point) -> LbfgsProgress {
    LbfgsProgress { iterations, evaluations, cost: now.cost, gradient: largest(&now.gradient) }
}

/// Steps and changes of the gradient, the oldest first.
struct Pairs {
    most: usize,
    pairs: VecDeque<Pair>,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    product: f64,
}

impl Pairs {
    /// Adds a pair, unless it has no positive curvature, as H must.
    fn add(&mut self, from: &Point, to: &Point) {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let (step, change) = (minus(&to.x, &from.x), minus(&to.gradient, &from.gradient));
        let product = dot(&step, &change);
        if product > f64::EPSILON * dot(&change, &change) {
            self.pairs.push_back(Pair { step, change, product });
            if self.pairs.len() > self.most {
                self.pairs.pop_front();
            }
        }
    }

    /// `-H g`, by the two loops of Nocedal (1980).
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut d: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for Pair { step, change, product } in self.pairs.iter().rev() {
            let share = dot(step, &d) / product;
            add(-share, change, &mut d);
            shares.push(share);
        }
        if let Some(Pair { change, product, .. }) = self.pairs.back() {
            let scale = product / dot(change, change);
            d.iter_mut().for_each(|d| *d *= scale);
        }
        for (Pair { step, change, product }, share) in self.pairs.iter().zip(shares.iter().rev()) {
            add(share - dot(change, &d) / product, step, &mut d);
        }
        d
    }
}

/// A place on the line of a search.
#[derive(Clone, Copy)]
struct Trial {
    step: f64,
    cost: f64,
    slope: f64,
}

/// A place along the direction for which the strong Wolfe conditions hold, or at least the first of them; none if no trial lowers
/// the cost (Nocedal and Wright 2006, algorithms 3.5 and 3.6).
fn search(
    now: &Point,
    pairs: &Pairs,
    evaluations: &mut u64,
    evaluate: &mut Evaluate<'_>,
) -> Result<Option<Point>> {
    let direction = pairs.direction(&now.gradient);
    let first = Trial { step: 0.0, cost: now.cost, slope: dot(&direction, &now.gradient) };
    if first.slope.is_nan() || first.slope >= 0.0 {
        return Ok(None);
    }
    let has_scale = !pairs.pairs.is_empty();
    let mut step = if has_scale { 1.0 } else { 1.0 / dot(&direction, &direction).sqrt() };
    // The lowest trial, and one beyond which the minimum is not.
    let (mut low, mut high, mut best) = (first, None, None);
    for _ in 0..TRIALS {
        let mut x = now.x.clone();
        add(step, &direction, &mut x);
        let point = Point::at(x, evaluate)?;
        *evaluations += 1;
        if point.x == now.x {
            break;
        }
        let trial = Trial { step, cost: point.cost, slope: dot(&direction, &point.gradient) };
        let decreases = trial.cost <= first.cost + DECREASE * step * first.slope;
        if !point.is_finite() || !decreases || trial.cost > low.cost {
            high = Some(trial);
        } else if trial.slope.abs() <= CURVATURE * first.slope.abs() {
            return Ok(Some(point));
        } else {
            let toward_high = high.map_or(1.0, |high: Trial| high.step - low.step);
            if trial.slope * toward_high >= 0.0 {
                high = Some(low);
            }
            (low, best) = (trial, Some(point));
        }
        step = high.map_or(FARTHER * step, |high| between(low, high));
    }
    Ok(best)
}

/// The minimum of the cubic through both, away from the ends; the middle where there is none.
fn between(low: Trial, high: Trial) -> f64 {
    let width = high.step - low.step;
    let a = low.slope + high.slope - 3.0 * (high.cost - low.cost) / width;
    let b = (a * a - low.slope * high.slope).sqrt().copysign(width);
    let share = 1.0 - (high.slope + b - a) / (high.slope - low.slope + 2.0 * b);
    let share = if share.is_finite() { share.clamp(MARGIN, 1.0 - MARGIN) } else { 0.5 };
    low.step + share * width
}

/// Eight sums side by side, whose order is always the same.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest
}

/// `y = a x + y`
fn add(a: f64, x: &[f64], y: &mut [f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

/// The largest number, without sign.
fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most, x| most.max(x.abs()))
}
