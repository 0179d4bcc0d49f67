//! The thread that computes a model's rows: those of all requests that wait, at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use tokio::sync::{mpsc, oneshot};
use travertine::{Error, Model, Predictor, Result, Scalar};

use crate::metrics::ModelMetrics;

/// Rows that are computed at once, at most. The weights of large networks are read once for so many; more rows gain little.
pub(crate) const BATCH: usize = 256;

/// Outputs of the rows of a request; or why there are none.
type Reply<T> = oneshot::Sender<Result<Vec<T>, Arc<Error>>>;

/// The encoded rows of a request.
pub(crate) struct Job<T> {
    pub(crate) features: Vec<T>,
    pub(crate) rows: usize,
    pub(crate) reply: Reply<T>,
}

/// Starts the thread of a model, which ends when all senders are gone.
pub(crate) fn start<T: Scalar>(
    model: &Model<T>,
    name: &str,
    capacity: usize,
    metrics: Arc<ModelMetrics>,
) -> Result<mpsc::Sender<Job<T>>> {
    let predictor = model.predictor(BATCH)?;
    let outputs = model.network().outputs();
    let inputs = model.network().inputs();
    let (sender, jobs) = mpsc::channel(capacity);
    let run = move || Computer { predictor, metrics, inputs, outputs }.run(jobs);
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::other)?;
    Ok(sender)
}

struct Computer<T: Scalar> {
    predictor: Predictor<T>,
    metrics: Arc<ModelMetrics>,
    /// Features of a row.
    inputs: usize,
    /// Outputs of a row.
    outputs: usize,
}

impl<T: Scalar> Computer<T> {
    fn run(mut self, mut jobs: mpsc::Receiver<Job<T>>) {
        let mut taken = Vec::new();
        while let Some(first) = jobs.blocking_recv() {
            let mut rows = first.rows;
            taken.push(first);
            // What waits by now is computed together. Nothing is waited for.
            while rows < BATCH
                && let Ok(next) = jobs.try_recv()
            {
                rows += next.rows;
                taken.push(next);
            }
            self.metrics.queue.fetch_sub(taken.len() as i64, Relaxed);
            // The answer to a client that has gone is not computed.
            taken.retain(|job| !job.reply.is_closed());
            self.answer(&mut taken);
        }
    }

    fn answer(&mut self, jobs: &mut Vec<Job<T>>) {
        let together: Vec<T>;
        let features = match &jobs[..] {
            [] => return,
            [job] => &job.features,
            jobs => {
                together = jobs.iter().flat_map(|job| &job.features).copied().collect();
                &together
            }
        };
        match self.compute(features) {
            Ok(outputs) => {
                let mut rest = &outputs[..];
                for job in jobs.drain(..) {
                    let (own, others) = rest.split_at(job.rows * self.outputs);
                    rest = others;
                    // A client may have gone meanwhile.
                    let _ = job.reply.send(Ok(own.to_vec()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for job in jobs.drain(..) {
                    let _ = job.reply.send(Err(Arc::clone(&error)));
                }
            }
        }
    }

    fn compute(&mut self, features: &[T]) -> Result<Vec<T>> {
        let mut outputs = Vec::with_capacity(features.len() / self.inputs * self.outputs);
        for part in features.chunks(self.inputs * BATCH) {
            outputs.extend_from_slice(self.predictor.predict_encoded(part)?.outputs());
            self.metrics.add_batch(part.len() / self.inputs);
        }
        Ok(outputs)
    }
}
