//! The public mathematics.
//!
//! Every operation checks its operands once and names every broken rule in one message; the engine, which it then calls, checks
//! nothing. Nothing is allocated. Operations that BLAS has are called as in BLAS.

pub(crate) mod blend;
mod check;
pub(crate) mod embedding;
pub(crate) mod exchange;
pub(crate) mod fused;
pub(crate) mod lookup;
pub(crate) mod members;
pub(crate) mod network;
pub(crate) mod normalize;
pub(crate) mod regularize;
pub(crate) mod update;

use crate::engine::formula::{COPY, formula};
use check::{check, operands};

use crate::engine::{Map, Reduction, Span, Zip};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::random::Philox;
use crate::scalar::Scalar;

fn same_shape(x: Span, y: Span) -> bool {
    (x.rows, x.columns) == (y.rows, y.columns)
}

formula!(Constant = "fill", |_x, p| p[0], "p0");
formula!(Scale = "scal", |x, p| p[0] * x, "p0 * x");
formula!(Axpby = "axpby", |x, y, p| p[0].mul_add(x, p[1] * y), "fma(p0, x, p1 * y)");
formula!(Axpy = "axpy", |x, y, p| p[0].mul_add(x, y), "fma(p0, x, y)");
formula!(Hadamard = "hadamard", |x, y, _p| x * y, "x * y");
formula!(
    LinearFrac = "linear_frac",
    |x, y, p| p[0].mul_add(x, p[1]) / p[2].mul_add(y, p[3]),
    "fma(p0, x, p1) / fma(p2, y, p3)"
);
static CONSTANT: Map = Map::of::<Constant>();
static SCALE: Map = Map::of::<Scale>();
static AXPBY: Zip = Zip::of::<Axpby>();
static AXPY: Zip = Zip::of::<Axpy>();
static HADAMARD: Zip = Zip::of::<Hadamard>();
static LINEAR_FRAC: Zip = Zip::of::<LinearFrac>();

/// Element (i, j) of y becomes number `i + j rows` of [`Philox::uniform_f32`], uniform in [0, 1), with the same bits on every engine.
///
/// ```
/// use travertine::random::{Philox, Purpose};
/// use travertine::{Matrix, engine, ops};
/// let cpu = engine::open::<f64>("cpu")?;
/// let (stream, mut y) = (Philox::new(1, Purpose::User, 0), Matrix::zeros(&cpu, 2, 2)?);
/// ops::uniform(&stream, y.view_mut())?;
/// assert_eq!(y.view().get(1, 1)?, f64::from(stream.uniform_f32(3)));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// A device that fails.
pub fn uniform<T: Scalar>(stream: &Philox, y: MatrixMut<'_, T>) -> Result<()> {
    // SAFETY: y is mutably borrowed.
    unsafe { y.engine().uniform(stream, y.span()) }
}

/// Functions of vector mathematics, for [`map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function {
    /// `exp(x)`
    Exp,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `ln(1 + exp(x))`
    Softplus,
    /// The distribution function of the normal distribution, `(1 + erf(x / sqrt 2)) / 2`
    NormalCdf,
    /// `sqrt(x)`
    Sqrt,
    /// `|x|`
    Abs,
}

impl Function {
    /// Every function.
    pub const ALL: [Function; 7] = [
        Function::Exp,
        Function::Tanh,
        Function::Sigmoid,
        Function::Softplus,
        Function::NormalCdf,
        Function::Sqrt,
        Function::Abs,
    ];

    fn formula(self) -> &'static Map {
        use crate::engine::simd::math;
        formula!(Exp = "exp", |x, _p| math::exp(x), "exp(x)");
        formula!(Tanh = "tanh", |x, _p| math::tanh(x), "hyperbolic_tangent(x)");
        formula!(Sigmoid = "sigmoid", |x, _p| math::sigmoid(x), "sigmoid(x)");
        formula!(Softplus = "softplus", |x, _p| math::softplus(x), "softplus(x)");
        formula!(NormalCdf = "normal_cdf", |x, _p| math::normal_cdf(x), "normal_cdf(x)");
        formula!(Sqrt = "sqrt", |x, _p| x.sqrt(), "sqrt(x)");
        formula!(Abs = "abs", |x, _p| x.abs(), "fabs(x)");
        static EXP: Map = Map::of::<Exp>();
        static TANH: Map = Map::of::<Tanh>();
        static SIGMOID: Map = Map::of::<Sigmoid>();
        static SOFTPLUS: Map = Map::of::<Softplus>();
        static NORMAL_CDF: Map = Map::of::<NormalCdf>();
        static SQRT: Map = Map::of::<Sqrt>();
        static ABS: Map = Map::of::<Abs>();
        match self {
            Function::Exp => &EXP,
            Function::Tanh => &TANH,
            Function::Sigmoid => &SIGMOID,
            Function::Softplus => &SOFTPLUS,
            Function::NormalCdf => &NORMAL_CDF,
            Function::Sqrt => &SQRT,
            Function::Abs => &ABS,
        }
    }
}

/// `y = x`
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn copy<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixMut<'_, T>) -> Result<()> {
    check(
        "copy",
        &operands!(x, y),
        &[(same_shape(x.span(), y.span()), "x and y must have one shape")],
    )?;
    // SAFETY: shapes and engine are checked; y is mutably borrowed and does not overlap x.
    unsafe { y.engine().map(&COPY, [0.0; 4], x.span(), y.span()) }
}

/// `y_ij = value`
///
/// # Errors
/// A device that fails.
pub fn fill<T: Scalar>(value: T, y: MatrixMut<'_, T>) -> Result<()> {
    // SAFETY: y is mutably borrowed, and a map may write its operand.
    unsafe { y.engine().map(&CONSTANT, [value.to_f64(), 0.0, 0.0, 0.0], y.span(), y.span()) }
}

/// `y = alpha y`
///
/// # Errors
/// A device that fails.
pub fn scal<T: Scalar>(alpha: T, y: MatrixMut<'_, T>) -> Result<()> {
    // SAFETY: y is mutably borrowed, and a map may write its operand.
    unsafe { y.engine().map(&SCALE, [alpha.to_f64(), 0.0, 0.0, 0.0], y.span(), y.span()) }
}

/// `y = alpha x + y`
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn axpy<T: Scalar>(alpha: T, x: MatrixRef<'_, T>, y: MatrixMut<'_, T>) -> Result<()> {
    check(
        "axpy",
        &operands!(x, y),
        &[(same_shape(x.span(), y.span()), "x and y must have one shape")],
    )?;
    // SAFETY: shapes and engine are checked; y is mutably borrowed, and a zip may write an operand.
    unsafe { y.engine().zip(&AXPY, [alpha.to_f64(), 0.0, 0.0, 0.0], x.span(), y.span(), y.span()) }
}

/// `y = alpha x + beta y`
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn axpby<T: Scalar>(alpha: T, x: MatrixRef<'_, T>, beta: T, y: MatrixMut<'_, T>) -> Result<()> {
    check(
        "axpby",
        &operands!(x, y),
        &[(same_shape(x.span(), y.span()), "x and y must have one shape")],
    )?;
    let p = [alpha.to_f64(), beta.to_f64(), 0.0, 0.0];
    // SAFETY: shapes and engine are checked; y is mutably borrowed, and a zip may write an operand.
    unsafe { y.engine().zip(&AXPBY, p, x.span(), y.span(), y.span()) }
}

/// `z = x ⊙ y`, element by element.
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn hadamard<T: Scalar>(
    x: MatrixRef<'_, T>,
    y: MatrixRef<'_, T>,
    z: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (same_shape(x.span(), y.span()), "x and y must have one shape"),
        (same_shape(x.span(), z.span()), "x and z must have one shape"),
    ];
    check("hadamard", &operands!(x, y, z), &rules)?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { z.engine().zip(&HADAMARD, [0.0; 4], x.span(), y.span(), z.span()) }
}

/// `y = (a x + b) / (c y + d)`, element by element, with coefficients `[a, b, c, d]`, as in the article.
///
/// `linear_frac([0.5, 0.5, 0.0, 1.0], x, y)` is `y = 0.5 x + 0.5`, if all elements of y are finite.
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn linear_frac<T: Scalar>(
    coefficients: [T; 4],
    x: MatrixRef<'_, T>,
    y: MatrixMut<'_, T>,
) -> Result<()> {
    check(
        "linear_frac",
        &operands!(x, y),
        &[(same_shape(x.span(), y.span()), "x and y must have one shape")],
    )?;
    // SAFETY: shapes and engine are checked; y is mutably borrowed, and a zip may write an operand.
    unsafe {
        y.engine().zip(&LINEAR_FRAC, coefficients.map(T::to_f64), x.span(), y.span(), y.span())
    }
}

/// `y = f(x)`, element by element.
///
/// ```
/// use travertine::{Matrix, engine, ops::{self, Function}};
/// let cpu = engine::open::<f64>("cpu")?;
/// let x = Matrix::from_slice(&cpu, 3, 1, &[-1.0, 0.0, 1.0])?;
/// let mut y = Matrix::zeros(&cpu, 3, 1)?;
/// ops::map(Function::Tanh, x.view(), y.view_mut())?;
/// assert!((y.view().get(2, 0)? - 1f64.tanh()).abs() < 1e-15);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn map<T: Scalar>(f: Function, x: MatrixRef<'_, T>, y: MatrixMut<'_, T>) -> Result<()> {
    check(
        "map",
        &operands!(x, y),
        &[(same_shape(x.span(), y.span()), "x and y must have one shape")],
    )?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { y.engine().map(f.formula(), [0.0; 4], x.span(), y.span()) }
}

/// `y = f(y)`, element by element.
///
/// # Errors
/// A device that fails.
pub fn map_in_place<T: Scalar>(f: Function, y: MatrixMut<'_, T>) -> Result<()> {
    // SAFETY: y is mutably borrowed, and a map may write its operand.
    unsafe { y.engine().map(f.formula(), [0.0; 4], y.span(), y.span()) }
}

/// `C = alpha A B + beta C`. To transpose an operand, pass its [`t`](MatrixRef::t). C is not read if beta is 0. Subnormal
/// elements of A and B, and those whose product with alpha is subnormal, may count as 0.
///
/// ```
/// use travertine::{Matrix, engine, ops};
/// let cpu = engine::open::<f32>("cpu")?;
/// let a = Matrix::from_slice(&cpu, 2, 2, &[1.0, 2.0, 3.0, 4.0])?;
/// let mut c = Matrix::zeros(&cpu, 2, 2)?;
/// ops::gemm(1.0, a.view(), a.view().t(), 0.0, c.view_mut())?;
/// assert_eq!(c.to_vec()?, [10.0, 14.0, 14.0, 20.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not match; a device that fails.
pub fn gemm<T: Scalar>(
    alpha: T,
    a: MatrixRef<'_, T>,
    b: MatrixRef<'_, T>,
    beta: T,
    c: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (a.span().columns == b.span().rows, "columns of a must equal rows of b"),
        (a.span().rows == c.span().rows, "rows of a must equal rows of c"),
        (b.span().columns == c.span().columns, "columns of b must equal columns of c"),
    ];
    check("gemm", &operands!(a, b, c), &rules)?;
    // SAFETY: shapes and engine are checked; c is mutably borrowed and does not overlap a or b.
    unsafe { c.engine().gemm(alpha, a.span(), b.span(), beta, c.span()) }
}

/// `y = alpha A x + beta y` with vectors as one-column matrices.
///
/// # Errors
/// Shapes that do not match; a device that fails.
pub fn gemv<T: Scalar>(
    alpha: T,
    a: MatrixRef<'_, T>,
    x: MatrixRef<'_, T>,
    beta: T,
    y: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (a.span().columns == x.span().rows, "columns of a must equal rows of x"),
        (a.span().rows == y.span().rows, "rows of a must equal rows of y"),
        (x.span().columns == 1 && y.span().columns == 1, "x and y must have one column"),
    ];
    check("gemv", &operands!(a, x, y), &rules)?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { y.engine().gemm(alpha, a.span(), x.span(), beta, y.span()) }
}

/// `A = alpha x y^T + A` with vectors as one-column matrices.
///
/// # Errors
/// Shapes that do not match; a device that fails.
pub fn ger<T: Scalar>(
    alpha: T,
    x: MatrixRef<'_, T>,
    y: MatrixRef<'_, T>,
    a: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (x.span().rows == a.span().rows, "rows of x must equal rows of a"),
        (y.span().rows == a.span().columns, "rows of y must equal columns of a"),
        (x.span().columns == 1 && y.span().columns == 1, "x and y must have one column"),
    ];
    check("ger", &operands!(x, y, a), &rules)?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { a.engine().gemm(alpha, x.span(), y.span().t(), T::from_f64(1.0), a.span()) }
}

/// `sum_ij x_ij y_ij`, accumulated in f64.
///
/// # Errors
/// Shapes that differ; a device that fails.
pub fn dot<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixRef<'_, T>) -> Result<f64> {
    check(
        "dot",
        &operands!(x, y),
        &[(same_shape(x.span(), y.span()), "x and y must have one shape")],
    )?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { x.engine().reduce(Reduction::Dot, x.span(), y.span()) }
}

/// `sum_ij |x_ij|`, accumulated in f64.
///
/// # Errors
/// A device that fails.
pub fn asum<T: Scalar>(x: MatrixRef<'_, T>) -> Result<f64> {
    // SAFETY: x is borrowed.
    unsafe { x.engine().reduce(Reduction::Asum, x.span(), x.span()) }
}

/// `max_ij |x_ij|`; NaN if an element is NaN.
///
/// # Errors
/// A device that fails.
pub fn amax<T: Scalar>(x: MatrixRef<'_, T>) -> Result<f64> {
    // SAFETY: x is borrowed.
    unsafe { x.engine().reduce(Reduction::Amax, x.span(), x.span()) }
}

/// `sqrt(sum_ij x_ij^2)`, accumulated in f64. Squares of f64 beyond 1e154 overflow to infinity.
///
/// # Errors
/// A device that fails.
pub fn nrm2<T: Scalar>(x: MatrixRef<'_, T>) -> Result<f64> {
    // SAFETY: x is borrowed.
    Ok(unsafe { x.engine().reduce(Reduction::Dot, x.span(), x.span())? }.sqrt())
}

/// `y_i = sum_j x_ij`: the sum of the columns, `rows x 1`.
///
/// # Errors
/// Shapes that do not match; a device that fails.
pub fn sum_columns<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixMut<'_, T>) -> Result<()> {
    let rules = [
        (x.span().rows == y.span().rows, "rows of x must equal rows of y"),
        (y.span().columns == 1, "y must have one column"),
    ];
    check("sum_columns", &operands!(x, y), &rules)?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { y.engine().row_sums(T::from_f64(1.0), x.span(), T::from_f64(0.0), y.span()) }
}

/// `y_j = sum_i x_ij`: the sum of the rows, `1 x columns`.
///
/// # Errors
/// Shapes that do not match; a device that fails.
pub fn sum_rows<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixMut<'_, T>) -> Result<()> {
    let rules = [
        (x.span().columns == y.span().columns, "columns of x must equal columns of y"),
        (y.span().rows == 1, "y must have one row"),
    ];
    check("sum_rows", &operands!(x, y), &rules)?;
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { y.engine().row_sums(T::from_f64(1.0), x.span().t(), T::from_f64(0.0), y.span().t()) }
}
