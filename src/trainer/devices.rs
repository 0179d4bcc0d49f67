//! The exchange of sums between devices that are connected, in the order of [`Exchange`]: process i gets the i-th part of every matrix of
//! every sum, its device adds them up the rest of the tree, and all gather the parts.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::ops::exchange::{Parcel, exchange};
use crate::processes::Exchange;
use crate::scalar::Scalar;

/// What the exchange needs on the device.
pub(super) struct Devices<T: Scalar> {
    /// This process's part of each sum of each process, `numbers x 1`, in the order of the slices.
    pieces: Vec<Matrix<T>>,
}

impl<T: Scalar> Devices<T> {
    /// `None` where the engines of the processes are not connected. `lengths`: numbers of each matrix, at most. Collective.
    pub(super) fn connect(
        engine: &Arc<dyn Engine<T>>,
        sums: &Exchange<T>,
        lengths: impl Iterator<Item = usize>,
    ) -> Result<Option<Self>> {
        if !engine.connect(sums.group())? {
            return Ok(None);
        }
        let longest = lengths.map(|length| length.div_ceil(sums.group().size())).sum();
        let pieces = sums.owners().map(|_| Matrix::zeros(engine, longest, 1));
        Ok(Some(Devices { pieces: pieces.collect::<Result<_>>()? }))
    }

    pub(super) fn buffers(&self) -> impl Iterator<Item = &Matrix<T>> {
        self.pieces.iter()
    }

    /// Writes the sum of all slices into `to`. `own`: for each of the own subtrees the matrices of its sum, with as many numbers as those
    /// of `to`. Collective.
    ///
    /// # Errors
    /// Matrices with gaps; a device or a connection that fails.
    pub(super) fn sum(
        &mut self,
        sums: &Exchange<T>,
        own: &[Vec<MatrixRef<'_, T>>],
        to: Vec<MatrixMut<'_, T>>,
    ) -> Result<()> {
        let lengths: Vec<usize> =
            to.iter().map(|matrix| matrix.rows() * matrix.columns()).collect();
        let size = sums.group().size();
        let parts_of = |length: &usize| -> Vec<(usize, Range<usize>)> {
            (0..size).map(|rank| (rank, sums.part(*length, rank))).collect()
        };
        let mine =
            consecutive(lengths.iter().map(|length| sums.part(*length, sums.group().rank())));
        let sent = own.iter().flat_map(|own| own.iter().zip(&lengths));
        let sent: Vec<_> = sent
            .map(|(matrix, length)| Parcel { matrix: *matrix, parts: parts_of(length) })
            .collect();
        let mut received: Vec<_> = self
            .pieces
            .iter_mut()
            .zip(sums.owners())
            .map(|(piece, rank)| {
                let parts = mine.iter().map(|part| (rank, part.clone())).collect();
                Parcel { matrix: piece.view_mut(), parts }
            })
            .collect();
        exchange(&sent, &mut received)?;
        let numbers = mine.last().map_or(0, |part| part.end);
        self.add_up(sums, numbers)?;
        let parts = mine.iter().flat_map(|part| (0..size).map(|rank| (rank, part.clone())));
        let sum = Parcel { matrix: self.pieces[0].view(), parts: parts.collect() };
        let mut gathered: Vec<_> = to
            .into_iter()
            .zip(&lengths)
            .map(|(matrix, length)| Parcel { matrix, parts: parts_of(length) })
            .collect();
        exchange(&[sum], &mut gathered)
    }

    /// The first piece becomes this process's part of the sum of all slices.
    fn add_up(&mut self, sums: &Exchange<T>, numbers: usize) -> Result<()> {
        if numbers == 0 {
            return Ok(());
        }
        for [left, right] in sums.additions() {
            let [left, right] = self
                .pieces
                .get_disjoint_mut([left, right])
                .map_err(|_| Error::argument("exchange", "a sum is added to itself"))?;
            let right = right.view().sub_rows(0..numbers)?;
            ops::axpy(T::from_f64(1.0), right, left.view_mut().sub_rows(0..numbers)?)?;
        }
        Ok(())
    }
}

/// Ranges of the same lengths one after the other.
fn consecutive(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut end = 0;
    let place = |range: Range<usize>| {
        let start = end;
        end += range.len();
        start..end
    };
    ranges.map(place).collect()
}
