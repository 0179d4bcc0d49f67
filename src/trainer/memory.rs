//! The memory of a trainer.

use std::fmt;

use super::Trainer;
use super::collected::Collected;
use super::slices::Slices;
use super::step::Stepper;
use crate::matrix::Matrix;
use crate::scalar::Scalar;

/// One buffer of a [`MemoryPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// `"layers.0.activation"`
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// Its bytes.
    pub bytes: usize,
}

/// Every buffer that a trainer has allocated, without the network's own parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The buffers.
    pub buffers: Vec<Buffer>,
}

impl MemoryPlan {
    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.bytes).sum()
    }

    fn add<T: Scalar>(&mut self, name: impl Into<String>, matrix: &Matrix<T>) {
        let (rows, columns, bytes) = (matrix.rows(), matrix.columns(), matrix.bytes());
        self.buffers.push(Buffer { name: name.into(), rows, columns, bytes });
    }
}

/// One line for each buffer, then the sum.
impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Buffer { name, rows, columns, bytes } in &self.buffers {
            let shape = format!("{rows}x{columns}");
            writeln!(f, "{name:<28}{shape:>16}{bytes:>14} bytes")?;
        }
        write!(f, "{:<28}{:>16}{:>14} bytes", "all", "", self.bytes())
    }
}

impl<T: Scalar> Trainer<'_, T> {
    /// Every buffer of this trainer. Steps allocate none; [`Trainer::evaluate`] may add two rows.
    pub fn memory_plan(&self) -> MemoryPlan {
        let mut plan = MemoryPlan { buffers: Vec::new() };
        plan.add("batch.inputs", &self.x);
        plan.add("batch.targets", &self.t);
        plan.add("batch.losses", &self.losses);
        self.stepper.first_by_row.iter().for_each(|levels| plan.add("loss.levels", levels));
        for i in 0..self.stepper.layers.len() {
            self.add_layer(i, &mut plan);
        }
        let stepper = &self.stepper;
        let collected = stepper.collected.iter().flat_map(Collected::buffers);
        let members = stepper.members.iter().flat_map(|members| members.buffers());
        let members = members.map(|(name, matrix)| (name.to_owned(), matrix));
        let slices = stepper.slices.iter().flat_map(Slices::buffers);
        let others = collected.chain(stepper.regularization_buffers()).chain(members).chain(slices);
        others.for_each(|(name, matrix)| plan.add(name, matrix));
        for (name, row) in self.evaluation.iter().flat_map(|scores| scores.buffers()) {
            plan.add(format!("evaluation.{name}"), row);
        }
        plan
    }

    /// The buffers of layer i, with the optimizer's states and the last good values.
    fn add_layer(&self, i: usize, plan: &mut MemoryPlan) {
        for (name, matrix) in self.stepper.layers[i].buffers() {
            plan.add(format!("layers.{i}.{name}"), matrix);
        }
        let (last_good, statistics) = self.last_good.of_layer(i);
        for (kind, name) in ["weight", "bias"].into_iter().enumerate() {
            for (k, state) in self.stepper.states[i][kind].iter().enumerate() {
                plan.add(format!("layers.{i}.{name}.state.{k}"), state);
            }
            for (k, matrix) in last_good[kind].iter().enumerate() {
                plan.add(format!("layers.{i}.{name}.last_good.{k}"), matrix);
            }
        }
        if let Some(statistics) = statistics {
            plan.add(format!("layers.{i}.statistics.last_good"), statistics);
        }
    }
}

impl<T: Scalar> Stepper<'_, T> {
    /// Names and matrices of the memory for dropout and max-norm.
    fn regularization_buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        let dropouts = self.dropouts.iter().enumerate();
        let dropouts = dropouts.filter_map(|(i, dropout)| Some((i, dropout.as_ref()?)));
        let dropped = dropouts.flat_map(|(i, dropout)| {
            dropout.buffers().map(|(name, matrix)| (format!("layers.{i}.{name}"), matrix))
        });
        let norms = self.max_norm.iter().flat_map(|max_norm| max_norm.buffers());
        dropped.chain(norms.map(|(name, matrix)| (name.to_owned(), matrix)))
    }
}
