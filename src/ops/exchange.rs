//! Messages of numbers between the engines of processes.

use std::ops::Range;

use super::check::{check, operand};
use crate::engine::{Message, Span};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// Parts of a matrix that go to processes or come from them. Numbers are counted column after column.
pub(crate) struct Parcel<M> {
    pub matrix: M,
    /// The process and the range of numbers of each message. Empty ranges are no message.
    pub parts: Vec<(usize, Range<usize>)>,
}

/// Sends and receives all parcels at once. The n-th message from one process to another has the same length in both. Only for engines that
/// [`Engine::connect`](crate::engine::Engine::connect) has connected. Collective.
///
/// # Errors
/// Nothing to send or to receive; matrices of several engines or with gaps between columns; ranges beyond a matrix, or that overlap where
/// they are received; a device or a connection that fails.
pub(crate) fn exchange<T: Scalar>(
    sent: &[Parcel<MatrixRef<'_, T>>],
    received: &mut [Parcel<MatrixMut<'_, T>>],
) -> Result<()> {
    let from =
        sent.iter().map(|parcel| operand("sent", parcel.matrix.span(), parcel.matrix.engine()));
    let to = received.iter();
    let to = to.map(|parcel| operand("received", parcel.matrix.span(), parcel.matrix.engine()));
    let operands: Vec<_> = from.chain(to).collect();
    let parts = |span: Span, parts: &[(usize, Range<usize>)]| {
        parts.iter().all(|(_, part)| part.end <= span.rows * span.columns)
    };
    let fit = sent.iter().all(|parcel| parts(parcel.matrix.span(), &parcel.parts))
        && received.iter().all(|parcel| parts(parcel.matrix.span(), &parcel.parts));
    let engine = received.first().map(|parcel| parcel.matrix.engine());
    let Some(engine) = engine.filter(|_| !sent.is_empty()) else {
        return Err(crate::Error::argument("exchange", "there is nothing to exchange"));
    };
    check(
        "exchange",
        &operands,
        &[
            (
                operands.iter().all(|operand| operand.span.is_contiguous()),
                "columns must follow one another without gaps",
            ),
            (fit, "parts must be within their matrix"),
            (
                received.iter().all(|parcel| are_disjoint(&parcel.parts)),
                "received parts of a matrix must not overlap",
            ),
        ],
    )?;
    let sent: Vec<Message> =
        sent.iter().flat_map(|parcel| messages::<T>(parcel.matrix.span(), &parcel.parts)).collect();
    let received: Vec<Message> = received
        .iter()
        .flat_map(|parcel| messages::<T>(parcel.matrix.span(), &parcel.parts))
        .collect();
    // SAFETY: ranges, gaps and engine are checked; what is received is mutably borrowed and does not overlap.
    unsafe { engine.exchange(&sent, &received) }
}

fn are_disjoint(parts: &[(usize, Range<usize>)]) -> bool {
    let mut ranges: Vec<_> =
        parts.iter().map(|(_, part)| part).filter(|part| !part.is_empty()).collect();
    ranges.sort_by_key(|part| part.start);
    ranges.windows(2).all(|pair| pair[0].end <= pair[1].start)
}

/// Parts of a matrix without gaps, as messages.
fn messages<T: Scalar>(
    span: Span,
    parts: &[(usize, Range<usize>)],
) -> impl Iterator<Item = Message> {
    parts.iter().filter(|(_, part)| !part.is_empty()).map(move |(process, part)| Message {
        process: *process,
        handle: span.handle,
        offset: (span.offset + part.start) * size_of::<T>(),
        bytes: part.len() * size_of::<T>(),
    })
}
