//! The calls of networks with members, whose rows stand one below the other.

use super::check::{check, operands};
use super::embedding::is;
use super::fused::{Fold, Indices};
use super::normalize::{self, Forward, Moments};
use crate::engine::{Along, Transfer};
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::scalar::Scalar;

/// The factors of the members, and what makes a normalization a product with them.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a, T: Scalar> {
    /// `members inputs x 1`
    pub factors: MatrixRef<'a, T>,
    /// Means 0 and variances 1, `inputs x 2`
    pub moments: MatrixRef<'a, T>,
    /// `inputs x 1`
    pub zeros: MatrixRef<'a, T>,
}

impl<T: Scalar> Factors<'_, T> {
    fn members(&self) -> usize {
        self.factors.rows() / self.zeros.rows()
    }

    /// `output = r_m ⊙ input` for one member.
    fn scale(
        &self,
        member: usize,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        let inputs = self.zeros.rows();
        normalize::forward(Forward {
            along: Along::Rows,
            weights: self.factors.sub_rows(member * inputs..(member + 1) * inputs)?,
            bias: self.zeros,
            epsilon: 0.0,
            moments: Moments::Given(self.moments),
            input,
            normalized: None,
            transfer: Transfer::Identity,
            z: None,
            output,
        })
    }
}

/// `y_m = r_m ⊙ x` for each member: output `members inputs x samples`.
pub(crate) fn forward<T: Scalar>(
    of: Factors<'_, T>,
    input: MatrixRef<'_, T>,
    mut output: MatrixMut<'_, T>,
) -> Result<()> {
    let fits = is(output.as_ref(), of.factors.rows(), input.columns());
    let rules = [(fits, "output must have the rows of input for each member, contiguous")];
    check("members", &operands!(input, output), &rules)?;
    let inputs = of.zeros.rows();
    for member in 0..of.members() {
        let rows = member * inputs..(member + 1) * inputs;
        of.scale(member, input, output.reborrow().sub_rows(rows)?)?;
    }
    Ok(())
}

/// `out = sum_m r_m ⊙ delta_m` for a layer before with the identity; `part`, of the shape of out, is overwritten.
pub(crate) fn propagate<T: Scalar>(
    of: Factors<'_, T>,
    delta: MatrixRef<'_, T>,
    fold: Fold<'_, T>,
    mut part: MatrixMut<'_, T>,
    mut out: MatrixMut<'_, T>,
) -> Result<()> {
    let inputs = of.zeros.rows();
    let rules = [
        (matches!(fold, Fold::One), "the layer before must have the identity as its activation"),
        (is(out.as_ref(), inputs, delta.columns()), "out must have the rows of the inputs"),
        (is(delta, of.factors.rows(), out.columns()), "delta must have rows for each member"),
    ];
    check("members propagate", &operands!(delta, out), &rules)?;
    for member in 0..of.members() {
        let delta = delta.sub_rows(member * inputs..(member + 1) * inputs)?;
        if member == 0 {
            of.scale(member, delta, out.reborrow())?;
        } else {
            of.scale(member, delta, part.reborrow())?;
            ops::axpy(T::from_f64(1.0), part.as_ref(), out.reborrow())?;
        }
    }
    Ok(())
}

/// `sink = scale gradient + keep sink` with the mean over the samples of `delta_m ⊙ x`.
pub(crate) fn gradient<T: Scalar>(
    delta: MatrixRef<'_, T>,
    input: MatrixRef<'_, T>,
    mut sink: MatrixMut<'_, T>,
    (scale, keep): (f64, f64),
) -> Result<()> {
    let (inputs, samples) = (input.rows(), input.columns());
    let rules = [
        (is(delta, sink.rows(), samples), "delta must have the rows of the factors, contiguous"),
        (input.span().row_stride == 1, "rows of input must be contiguous"),
        (
            sink.rows().is_multiple_of(inputs),
            "there must be a factor for each input of each member",
        ),
    ];
    check("members gradient", &operands!(delta, input, sink), &rules)?;
    let (scale, keep) = (T::from_f64(scale / samples as f64), T::from_f64(keep));
    for member in 0..sink.rows() / inputs {
        let rows = member * inputs..(member + 1) * inputs;
        let (delta, sink) = (delta.sub_rows(rows.clone())?, sink.reborrow().sub_rows(rows)?);
        // SAFETY: shapes and engine are checked; the sink is mutably borrowed and overlaps no other operand.
        unsafe { sink.engine().row_dots(scale, delta.span(), input.span(), keep, sink.span())? }
    }
    Ok(())
}

/// `output = (1 / members) sum_m input_m`: input `members outputs x samples`, output `outputs x samples`.
pub(crate) fn mean<T: Scalar>(input: MatrixRef<'_, T>, mut output: MatrixMut<'_, T>) -> Result<()> {
    let rows = output.rows();
    let rules = [
        (input.columns() == output.columns(), "columns of input must equal columns of output"),
        (input.rows().is_multiple_of(rows), "input must have the rows of output for each member"),
    ];
    check("mean of members", &operands!(input, output), &rules)?;
    let members = input.rows() / rows;
    ops::copy(input.sub_rows(0..rows)?, output.reborrow())?;
    for member in 1..members {
        let next = input.sub_rows(member * rows..(member + 1) * rows)?;
        ops::axpy(T::from_f64(1.0), next, output.reborrow())?;
    }
    ops::scal(T::from_f64(1.0 / members as f64), output)
}

/// Columns once for each member.
pub(crate) struct Repeats<T: Scalar> {
    members: usize,
    /// Number j is `j / members`.
    indices: Indices<T>,
}

impl<T: Scalar> Repeats<T> {
    /// For up to `batch` columns, on the engine of `owner`.
    pub(crate) fn new(members: usize, batch: usize, owner: MatrixRef<'_, T>) -> Result<Self> {
        let Some(columns) = members.checked_mul(batch).and_then(|n| u32::try_from(n).ok()) else {
            let reason = format!("{members} members of {batch} samples are more than 2^32 columns");
            return Err(Error::argument("members", reason));
        };
        let order: Vec<u32> = (0..columns).map(|j| j / members as u32).collect();
        Ok(Repeats { members, indices: Indices::in_order(&order, owner)? })
    }

    /// The indices, whose memory counts.
    pub(crate) fn memory(&self) -> &Matrix<T> {
        self.indices.memory()
    }

    /// Columns `members j` to `members (j + 1) - 1` of `to` become column j of x.
    pub(crate) fn run(&self, x: MatrixRef<'_, T>, to: MatrixMut<'_, T>) -> Result<()> {
        let columns = self.members.saturating_mul(x.columns());
        let rules = [
            (x.rows() == to.rows(), "x and to must have as many rows"),
            (to.columns() == columns, "to must have the columns of x once for each member"),
            (columns <= self.memory().columns(), "x must have no more columns than the batch"),
        ];
        check("repeat for members", &operands!(x, to), &rules)?;
        // SAFETY: shapes and engine are checked, and so the indices that are read are below the columns of x; `to` is mutably borrowed and
        // overlaps no other operand.
        unsafe { to.engine().gather(x.span(), self.indices.handle(), 0, to.span(), 0) }
    }
}
