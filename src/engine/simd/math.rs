//! Exponential functions, cosine and sine on vectors, one text for every instruction set and both scalars.
//!
//! # Method
//!
//! 1. Reduce the argument: `x = n ln 2 + r` with an integer n and |r| <= ln(2)/2 ([`reduce`]).
//! 2. Evaluate a polynomial in r. It is Taylor's: for so small an r the best polynomial is not shorter.
//! 3. Multiply by 2^n, which is built in the exponent's bits ([`Vector::exp2_integer`]).
//! 4. [`tanh`], [`sigmoid`], [`softplus`] and [`normal_cdf`] divide or multiply results of steps 1 to 3. They carry each number in
//!    two parts, value and rounding error ([`Parts`]), so that the errors of the steps do not add up.
//!
//! [`cos_turns`] and [`sin_turns`] take angles in turns: an angle is reduced without an error, by its nearest whole number.
//!
//! # Errors
//!
//! Below 2 units in the last place over the whole range, with infinities, NaN and subnormal numbers (2.5 for [`cos_turns`] and
//! [`sin_turns`], 3 for the f32 [`normal_cdf`] without fused multiply-adds). `cpu/tests/math.rs` holds this against f64 for f32, and against a
//! multiple-precision reference for f64.

use super::vector::Vector;

/// `1 / k!` from k = 2 on: the terms behind 1 + x in the series of exp. For |x| <= ln(2)/2, the first six leave an
/// error below 2^-25, all twelve an error below 2^-55.
const EXP: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
    1.0 / 40320.0,
    1.0 / 362880.0,
    1.0 / 3628800.0,
    1.0 / 39916800.0,
    1.0 / 479001600.0,
    1.0 / 6227020800.0,
];

/// `1 / (2k + 1)`: the series of atanh(s) / s in s^2.
const ATANH: [f64; 17] = [
    1.0,
    1.0 / 3.0,
    1.0 / 5.0,
    1.0 / 7.0,
    1.0 / 9.0,
    1.0 / 11.0,
    1.0 / 13.0,
    1.0 / 15.0,
    1.0 / 17.0,
    1.0 / 19.0,
    1.0 / 21.0,
    1.0 / 23.0,
    1.0 / 25.0,
    1.0 / 27.0,
    1.0 / 29.0,
    1.0 / 31.0,
    1.0 / 33.0,
];

/// `exp(u^2/2) normal_cdf(-u) / t` for u >= 0, `t = 4 / (4 + u)`, as a polynomial in `2t - 1`: interpolated at 100
/// Chebyshev nodes with 60 digits and cut off; relative error 2e-9 (degree 11) and 2e-17 (degree 24).
const TAIL_F32: [f64; 12] = [
    0.18882128262915143,
    0.15197415784155602,
    0.09678434846496078,
    0.046630539959987845,
    0.015099162069501224,
    0.0018844292899209462,
    -0.0008699886593608149,
    -0.00040551002638220375,
    3.341334677356676e-05,
    5.389344407171851e-05,
    -4.3277057535034786e-07,
    -5.295746063847282e-06,
];
pub(crate) const TAIL_F64: [f64; 25] = [
    0.18882128260393788,
    0.15197416049297308,
    0.09678435018555373,
    0.0466304644899092,
    0.015099143722729146,
    0.0018850472418452452,
    -0.0008699230917555253,
    -0.0004077046168353706,
    3.333607728618076e-05,
    5.7773754219412053e-05,
    -4.770611831361659e-07,
    -8.786277453062277e-06,
    1.7916314321746524e-07,
    1.480401321820484e-06,
    -1.5745530325181174e-07,
    -2.5619368720292077e-07,
    6.810927880152391e-08,
    3.9940468792344526e-08,
    -2.1709531911348758e-08,
    -4.4590253162111835e-09,
    5.3519918696909555e-09,
    1.4592531836621225e-10,
    -9.307137001974334e-10,
    3.0159005403117544e-11,
    8.474578558813538e-11,
];

/// `sin(2 pi a) = 4 a + a (c[0] + c[1] a^2 + c[2] a^4 ...)` for |a| <= 1/4: Chebyshev series cut off, relative error 7e-9 and 3e-19.
/// The product with 4 has no rounding error.
const SINE_F32: [f64; 5] = [
    2.283185280261413,
    -41.34168066806317,
    81.60248074286561,
    -76.58128455932848,
    39.76072207550286,
];
const SINE_F64: [f64; 9] = [
    2.2831853071795865,
    -41.341702240399755,
    81.60524927607362,
    -76.70585975282509,
    42.05869392543926,
    -15.094641676478926,
    3.8199281010531383,
    -0.7177338593450135,
    0.10089722381061697,
];

#[inline(always)]
fn is_single<V: Vector>() -> bool {
    size_of::<V::T>() == 4
}

/// `c[0] + c[1] x + c[2] x^2 ...`
#[inline(always)]
fn polynomial<V: Vector>(x: V, c: &[f64]) -> V {
    let mut sum = V::of(c[c.len() - 1]);
    for &c in c[..c.len() - 1].iter().rev() {
        sum = sum.mul_add(x, V::of(c));
    }
    sum
}

/// `(n, r)` of `x = n ln 2 + r` with an integer n and |r| <= ln(2)/2. ln 2 is subtracted in two parts, so that r is exact to the
/// last place (Cody and Waite).
#[inline(always)]
fn reduce<V: Vector>(x: V) -> (V, V) {
    let (high, low) = if is_single::<V>() {
        (0.693_359_375, -2.121_944_400_546_905_8e-4)
    } else {
        (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10)
    };
    let n = (x * V::of(std::f64::consts::LOG2_E)).round();
    let r = n.mul_add(V::of(-high), x);
    (n, n.mul_add(V::of(-low), r))
}

/// The tail of `exp(r) = 1 + r + tail` for |r| <= ln(2)/2.
#[inline(always)]
fn exp_tail<V: Vector>(r: V) -> V {
    let terms = if is_single::<V>() { &EXP[..6] } else { &EXP[..] };
    r * r * polynomial(r, terms)
}

/// `exp(r) - 1` for |r| <= ln(2)/2.
#[inline(always)]
fn expm1_reduced<V: Vector>(r: V) -> V {
    let terms = if is_single::<V>() { &EXP[..6] } else { &EXP[..] };
    (r * r).mul_add(polynomial(r, terms), r)
}

/// A number in two parts: its value and the rounding error of the value.
#[derive(Clone, Copy)]
struct Parts<V>(V, V);

impl<V: Vector> Parts<V> {
    /// `a + b` and its error, for |a| >= |b| (Dekker 1971).
    #[inline(always)]
    fn sum(a: V, b: V) -> Self {
        let sum = a + b;
        Parts(sum, b - (sum - a))
    }

    /// `self + b`, for |b| well below the sum.
    #[inline(always)]
    fn plus(self, b: V) -> Self {
        Parts::sum(self.0, self.1 + b)
    }

    /// `self other`. The rounding error of the product is only found where the instruction set has a fused multiply-add.
    #[inline(always)]
    fn times(self, other: Parts<V>) -> Self {
        let product = self.0 * other.0;
        let error = self.0.mul_add(other.0, -product);
        Parts(product, error + (self.0 * other.1 + self.1 * other.0))
    }

    /// `self / other`, corrected by the rounding error of the quotient.
    #[inline(always)]
    fn over(self, other: Parts<V>) -> Self {
        let inverse = V::of(1.0) / other.0;
        let quotient = self.0 * inverse;
        let rest = (-quotient).mul_add(other.0, self.0) + (self.1 - quotient * other.1);
        Parts(quotient, rest * inverse)
    }
}

/// `exp(x)` for x <= 0 in two parts, as long as it is a normal number.
#[inline(always)]
fn exp_parts<V: Vector>(x: V) -> Parts<V> {
    let lowest = if is_single::<V>() { -105.0 } else { -746.0 };
    let (n, r) = reduce(V::of(lowest).max(x));
    let Parts(high, low) = Parts::sum(V::of(1.0), r).plus(exp_tail(r));
    let half = (n * V::of(0.5)).round();
    let (one, other) = (half.exp2_integer(), (n - half).exp2_integer());
    Parts(high * one * other, low * one * other)
}

/// `exp(x)`; 0 or infinity where it leaves the range of the scalar.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    let (lowest, highest) = if is_single::<V>() { (-105.0, 89.0) } else { (-746.0, 710.0) };
    let (n, r) = reduce(V::of(highest).min(V::of(lowest).max(x)));
    // 2^n in two factors, since n may exceed the exponents of normal numbers.
    let half = (n * V::of(0.5)).round();
    (V::of(1.0) + expm1_reduced(r)) * half.exp2_integer() * (n - half).exp2_integer()
}

/// `exp(x) - 1` for x up to 80, without cancellation near 0.
#[inline(always)]
pub(crate) fn expm1<V: Vector>(x: V) -> V {
    let (n, r) = reduce(V::of(-80.0).max(x));
    let scale = n.exp2_integer();
    expm1_reduced(r).mul_add(scale, scale - V::of(1.0))
}

/// `tanh(x) = e / (e + 2)` with `e = expm1(2|x|)` and the sign of x.
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let (n, r) = reduce(V::of(40.0).min(x.abs() + x.abs()));
    let scale = n.exp2_integer();
    let e = Parts::sum(scale - V::of(1.0), scale * r).plus(scale * exp_tail(r));
    let two = V::of(2.0);
    let Parts(high, low) = e.over(Parts::sum(two.max(e.0), two.min(e.0)).plus(e.1));
    (high + low).copysign(x)
}

/// `1 / (1 + exp(-x))`; where x < 0 as `exp(x) / (1 + exp(x))`, which keeps its digits when 1 + exp(-x) overflows.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    let (one, zero) = (V::of(1.0), V::of(0.0));
    let u = exp_parts(-x.abs());
    let negative = x.less(zero);
    let numerator = Parts(V::select(negative, u.0, one), V::select(negative, u.1, zero));
    let Parts(high, low) = numerator.over(Parts::sum(one, u.0).plus(u.1));
    high + low
}

/// `ln(1 + exp(x)) = max(x, 0) + ln(1 + exp(-|x|))`
#[inline(always)]
pub(crate) fn softplus<V: Vector>(x: V) -> V {
    // ln(1 + u) = 2 atanh(s), s = u / (2 + u) <= 1/3.
    let u = exp_parts(-x.abs());
    let Parts(s, low) = u.over(Parts::sum(V::of(2.0), u.0).plus(u.1));
    let terms = if is_single::<V>() { &ATANH[1..8] } else { &ATANH[1..] };
    let square = s * s;
    let tail = (s * square).mul_add(polynomial(square, terms), low);
    V::of(0.0).max(x) + ((s + s) + (tail + tail))
}

/// `exp(-x^2/2)`, accurate in the tails: it is corrected by the rounding error of the square.
#[inline(always)]
pub(crate) fn bell<V: Vector>(x: V) -> V {
    let Parts(high, low) = bell_parts(x);
    high + low
}

#[inline(always)]
fn bell_parts<V: Vector>(x: V) -> Parts<V> {
    let square = x * x;
    // The rounding error of the square by Dekker's halves, whose products are exact; the portable vectors have no fused
    // multiply-add.
    let split = x * V::of(if is_single::<V>() { 4_097.0 } else { 134_217_729.0 });
    let high = split - (split - x);
    let low = x - high;
    let error = (high * high - square) + (high + high) * low + low * low;
    let bell = exp_parts(square * V::of(-0.5));
    // For an infinite square the error would be infinity - infinity.
    let error = V::select(square.less(V::of(1e4)), error, V::of(0.0));
    Parts(bell.0, (bell.0 * V::of(-0.5)).mul_add(error, bell.1))
}

/// The distribution function of the normal distribution, `(1 + erf(x / sqrt 2)) / 2`.
#[inline(always)]
pub(crate) fn normal_cdf<V: Vector>(x: V) -> V {
    // The tail beyond 100 is 0; an infinite u would give infinity / infinity below.
    let (four, u) = (V::of(4.0), V::of(100.0).min(x.abs()));
    let whole = Parts::sum(four.max(u), four.min(u));
    let (t, Parts(w, low)) =
        (Parts(four, V::of(0.0)).over(whole), Parts(u, V::of(0.0)).over(whole));
    // 2t - 1 without the rounding error of t, which would be largest near 0.
    let y = Parts(V::of(1.0) - (w + w), -(low + low));
    let tail = if is_single::<V>() { tail_parts(y, &TAIL_F32) } else { tail_parts(y, &TAIL_F64) };
    let Parts(below, low) = bell_parts(x).times(t).times(tail);
    V::select(x.less(V::of(0.0)), below + low, V::of(1.0) - (below + low))
}

/// A polynomial whose first coefficient is the largest: its last two steps are computed in two parts.
#[inline(always)]
fn tail_parts<V: Vector>(x: Parts<V>, c: &[f64]) -> Parts<V> {
    let last = Parts(polynomial(x.0, &c[2..]), V::of(0.0)).times(x);
    let next = Parts::sum(V::of(c[1]), last.0).plus(last.1).times(x);
    Parts::sum(V::of(c[0]), next.0).plus(next.1)
}

/// `t - round(t)`, from -1/2 to 1/2, without an error. 0 for magnitudes from 2^22 (f32) and 2^51 (f64) on, where there are whole
/// and half numbers alone; NaN for infinities.
#[inline(always)]
pub(crate) fn fraction<V: Vector>(t: V) -> V {
    let largest = if is_single::<V>() { 4_194_304.0 } else { 2_251_799_813_685_248.0 };
    V::select(t.abs().less(V::of(largest)), t - t.round(), t * V::of(0.0))
}

/// `sin(2 pi a)` for |a| <= 1/4.
#[inline(always)]
fn sine<V: Vector>(a: V) -> V {
    let terms = if is_single::<V>() { &SINE_F32[..] } else { &SINE_F64[..] };
    a.mul_add(polynomial(a * a, terms), a * V::of(4.0))
}

/// `cos(2 pi t)`; see [`fraction`] for large t.
#[inline(always)]
pub(crate) fn cos_turns<V: Vector>(t: V) -> V {
    sine(V::of(0.25) - fraction(t).abs())
}

/// `sin(2 pi t)`; see [`fraction`] for large t.
#[inline(always)]
pub(crate) fn sin_turns<V: Vector>(t: V) -> V {
    let r = fraction(t);
    let size = r.abs();
    sine((V::of(0.5) - size).min(size).copysign(r))
}
