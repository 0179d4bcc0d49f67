//! The exponential functions, cosine and sine: f32 against f64 all over the range, f64 against a table of multiple-precision values.

use super::reference::REFERENCE;
use super::*;
use crate::engine::formula::formula;
use crate::engine::simd::math;

formula!(Exp = "exp", |x, _p| math::exp(x));
formula!(Expm1 = "expm1", |x, _p| math::expm1(x));
formula!(Tanh = "tanh", |x, _p| math::tanh(x));
formula!(Sigmoid = "sigmoid", |x, _p| math::sigmoid(x));
formula!(Softplus = "softplus", |x, _p| math::softplus(x));
formula!(Bell = "bell", |x, _p| math::bell(x));
formula!(NormalCdf = "normal_cdf", |x, _p| math::normal_cdf(x));
formula!(CosTurns = "cos_turns", |x, _p| math::cos_turns(x));
formula!(SinTurns = "sin_turns", |x, _p| math::sin_turns(x));

/// `t - round(t)`, and 0 where f32 has no fractions but halves.
fn fraction(t: f64) -> f64 {
    if t.abs() < 4_194_304.0 { t - t.round_ties_even() } else { t * 0.0 }
}

/// `sin(2 pi a)` for |a| <= 1/2 with its zeros.
fn sine(a: f64) -> f64 {
    libm::sin(std::f64::consts::TAU * a.abs().min(0.5 - a.abs())).copysign(a)
}

struct Case {
    map: Map,
    /// In f64.
    reference: fn(f64) -> f64,
    /// The largest argument that the function is for.
    highest: f64,
    /// Limits at minus and plus infinity.
    limits: [f64; 2],
    /// Bounds in units in the last place, for f32 and f64; the latter against a rounded value, so half a unit more.
    bounds: [f64; 2],
}

/// In the order of the columns of [`REFERENCE`].
fn cases() -> [Case; 9] {
    const MAX: f64 = f64::INFINITY;
    let case =
        |map, reference, highest, limits, bounds| Case { map, reference, highest, limits, bounds };
    [
        case(Map::of::<Exp>(), libm::exp, MAX, [0.0, MAX], [2.0, 2.0]),
        case(Map::of::<Expm1>(), libm::expm1, 80.0, [-1.0, f64::NAN], [2.0, 2.0]),
        case(Map::of::<Tanh>(), libm::tanh, MAX, [-1.0, 1.0], [2.0, 2.0]),
        case(Map::of::<Sigmoid>(), |x| 1.0 / (1.0 + libm::exp(-x)), MAX, [0.0, 1.0], [2.0, 2.0]),
        case(
            Map::of::<Softplus>(),
            |x| x.max(0.0) + libm::log1p(libm::exp(-x.abs())),
            MAX,
            [0.0, MAX],
            [2.0, 2.0],
        ),
        case(Map::of::<Bell>(), |x| libm::exp(-0.5 * x * x), MAX, [0.0, 0.0], [2.0, 2.0]),
        case(
            Map::of::<NormalCdf>(),
            |x| 0.5 * libm::erfc(-x / 2f64.sqrt()),
            MAX,
            [0.0, 1.0],
            [2.0, 2.0],
        ),
        case(
            Map::of::<CosTurns>(),
            |x| sine(0.25 - fraction(x).abs()),
            MAX,
            [f64::NAN; 2],
            [2.5, 3.0],
        ),
        case(Map::of::<SinTurns>(), |x| sine(fraction(x)), MAX, [f64::NAN; 2], [2.5, 3.0]),
    ]
}

/// The distance from one representable number to the next, at x.
fn unit<T: Scalar>(x: f64) -> f64 {
    let (digits, lowest) = if size_of::<T>() == 4 { (23, -149) } else { (52, -1074) };
    let exponent = (x.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    libm::ldexp(1.0, (exponent - digits).max(lowest))
}

fn error<T: Scalar>(is: T, should: f64) -> f64 {
    let is = is.to_f64();
    let rounded = T::from_f64(should).to_f64();
    if is == rounded || is.is_nan() && should.is_nan() {
        0.0
    } else {
        ((is - should) / unit::<T>(should)).abs()
    }
}

fn apply<T: Scalar>(map: &Map, isa: Isa, x: &[T]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    unsafe { map.host::<T>(isa)(x.len(), &[T::default(); 4], x.as_ptr(), y.as_mut_ptr()) };
    y
}

/// Every 8191st of all bit patterns, and more numbers evenly spread where something happens.
fn sweep() -> Vec<f32> {
    let all = (0..=u32::MAX).step_by(8191).map(f32::from_bits);
    let linear =
        |range: f64| (-150_000..=150_000).map(move |n| (f64::from(n) * range / 150_000.0) as f32);
    all.chain(linear(110.0)).chain(linear(3.0)).collect()
}

#[test]
fn f32_all_over_the_range() {
    let all = sweep();
    for case in cases() {
        let x: Vec<f32> =
            all.iter().copied().filter(|x| x.is_nan() || f64::from(*x) <= case.highest).collect();
        let reference: Vec<f64> = x.iter().map(|x| (case.reference)(f64::from(*x))).collect();
        for isa in isas() {
            let y = apply(&case.map, isa, &x);
            let errors = y.iter().zip(&reference).map(|(y, r)| error(*y, *r));
            let (worst, error) = errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            eprintln!("{} f32 {}: {error:.2} ulp at {}", case.map.name, isa.name(), x[worst]);
            // The one function that catches rounding errors with fused multiply-adds, which the portable code has not.
            let without_fma = isa == Isa::Portable && case.map.name == "normal_cdf";
            assert!(
                error <= if without_fma { 3.0 } else { case.bounds[0] },
                "{} {isa:?}",
                case.map.name
            );
        }
    }
}

#[test]
fn f64_against_more_digits() {
    for (column, case) in cases().iter().enumerate() {
        let rows = REFERENCE.iter().filter(|row| row[0] <= case.highest);
        let (x, reference): (Vec<f64>, Vec<f64>) =
            rows.map(|row| (row[0], row[column + 1])).unzip();
        for isa in isas() {
            let y = apply(&case.map, isa, &x);
            let errors = y.iter().zip(&reference).map(|(y, r)| error(*y, *r));
            let (worst, error) = errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            eprintln!("{} f64 {}: {error:.2} ulp at {}", case.map.name, isa.name(), x[worst]);
            assert!(error <= case.bounds[1], "{} {isa:?}", case.map.name);
        }
    }
}

formula!(OverRoot = "over root", |x, square, p| x.over_root(square, p[0]));

#[test]
fn over_roots() {
    let zip = Zip::of::<OverRoot>();
    // Squares of all normal sizes, whose root is small, large or of the offset's size.
    let spread =
        |n: i32| (libm::exp2(f64::from(n) / 700.0) * f64::from(1 + n.rem_euclid(13)) / 13.0) as f32;
    let squares: Vec<f32> =
        (-85_500..=89_000).map(spread).chain([f32::MIN_POSITIVE, f32::MAX]).collect();
    let x: Vec<f32> = (0..squares.len()).map(|n| if n % 2 == 0 { 0.7 } else { -1.3e3 }).collect();
    for offset in [1e-11, 1e-8, 1.0] {
        let p = [offset, 0.0, 0.0, 0.0];
        let exact =
            |x: f32, square: f32| f64::from(x) / (f64::from(square).sqrt() + f64::from(offset));
        for isa in isas() {
            let run = |x: &[f32], squares: &[f32]| {
                let mut y = vec![0.0; x.len()];
                unsafe {
                    zip.host::<f32>(isa)(x.len(), &p, x.as_ptr(), squares.as_ptr(), y.as_mut_ptr())
                };
                y
            };
            let y = run(&x, &squares);
            let errors = y
                .iter()
                .zip(x.iter().zip(&squares))
                .map(|(y, (x, square))| error(*y, exact(*x, *square)));
            let (worst, error) = errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            eprintln!(
                "over root of offset {offset} {}: {error:.2} ulp at {}",
                isa.name(),
                squares[worst]
            );
            assert!(error <= 2.5, "{isa:?}, offset {offset}: {error} ulp at {}", squares[worst]);
            assert!(
                run(&[f32::NAN, 1.0], &[1.0, f32::NAN]).iter().all(|y| y.is_nan()),
                "{isa:?}: NaN goes"
            );
            // The mean of squares of gradients above 1e19.
            let infinite = run(&[0.7, -1.3e3, f32::INFINITY], &[f32::INFINITY; 3]);
            assert_eq!(infinite[..2], [0.0, 0.0], "{isa:?}");
            assert!(infinite[2].is_nan(), "{isa:?}");
        }
    }
}

fn limits<T: Scalar>() {
    for case in cases() {
        for isa in isas() {
            let x = [f64::NAN, f64::NEG_INFINITY, 0.0, -0.0, f64::INFINITY].map(T::from_f64);
            let y: Vec<f64> = apply(&case.map, isa, &x).into_iter().map(Scalar::to_f64).collect();
            assert!(y[0].is_nan(), "{} of NaN is {}", case.map.name, y[0]);
            assert_eq!(error(y[1], case.limits[0]), 0.0, "{} of -inf", case.map.name);
            assert!(
                error(T::from_f64(y[2]), (case.reference)(0.0)) <= 1.0,
                "{} of 0",
                case.map.name
            );
            assert_eq!(y[3], y[2], "{} of -0", case.map.name);
            if case.highest.is_infinite() {
                assert_eq!(error(y[4], case.limits[1]), 0.0, "{} of inf", case.map.name);
            }
        }
    }
}

#[test]
fn limits_and_zeros() {
    limits::<f32>();
    limits::<f64>();
}
