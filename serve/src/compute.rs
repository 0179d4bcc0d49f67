//! What computes a model's rows: a thread those of all requests that wait, at once; and a request its own, where it is alone.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use travertine::{Error, Model, Predictor, Result, Scalar};

use crate::fault::Fault;
use crate::metrics::ModelMetrics;

/// Rows that are computed at once, at most. The weights of large networks are read once for so many; more rows gain little.
const BATCH: usize = 256;

/// Outputs of the rows of a request; or why there are none.
type Reply<T> = oneshot::Sender<Result<Vec<T>, Arc<Error>>>;

/// The encoded rows of a request.
struct Job<T> {
    features: Vec<T>,
    rows: usize,
    reply: Reply<T>,
}

/// Multiplications that a request may compute by itself where it is alone: some tens of microseconds, less than another thread takes to
/// wake up and answer.
const FEW_PRODUCTS: usize = 1 << 20;

/// What computes the rows of a model's requests.
pub(crate) struct Queue<T: Scalar> {
    jobs: mpsc::Sender<Job<T>>,
    computer: Arc<Mutex<Computer<T>>>,
    metrics: Arc<ModelMetrics>,
    /// Requests that are read, wait or are computed.
    under_way: AtomicUsize,
    /// Rows that a request may compute by itself.
    few_rows: usize,
}

/// A request that is under way, until it goes.
pub(crate) struct UnderWay<'q>(&'q AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl<T: Scalar> Queue<T> {
    /// Starts the thread of a model, which ends with the queue.
    pub(crate) fn start(
        model: &Model<T>,
        name: &str,
        capacity: usize,
        metrics: Arc<ModelMetrics>,
    ) -> Result<Self> {
        let computer = Computer {
            predictor: model.predictor(BATCH)?,
            metrics: Arc::clone(&metrics),
            inputs: model.network().inputs(),
            outputs: model.network().outputs(),
        };
        let computer = Arc::new(Mutex::new(computer));
        let (jobs, received) = mpsc::channel(capacity);
        let (own, counters) = (Arc::clone(&computer), Arc::clone(&metrics));
        let run = move || compute_what_waits(&own, received, &counters);
        thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::other)?;
        let few_rows = FEW_PRODUCTS / model.parameters().max(1);
        Ok(Queue { jobs, computer, metrics, under_way: AtomicUsize::new(0), few_rows })
    }

    /// Counts a request.
    pub(crate) fn enter(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(&self.under_way)
    }

    /// The outputs for the encoded rows of a request.
    pub(crate) async fn outputs(&self, features: Vec<T>, rows: usize) -> Result<Vec<T>, Fault> {
        let failed = |error: &Error| {
            Fault::unavailable("device", "a device that computes", error.to_string())
        };
        // There is nothing to share a batch with.
        if rows <= self.few_rows
            && self.under_way.load(Relaxed) == 1
            && let Ok(mut computer) = self.computer.try_lock()
        {
            return computer.compute(&features).map_err(|error| failed(&error));
        }
        let (reply, answer) = oneshot::channel();
        let place = self.jobs.reserve().await.map_err(|_| no_thread())?;
        self.metrics.queue.fetch_add(1, Relaxed);
        place.send(Job { features, rows, reply });
        answer.await.map_err(|_| no_thread())?.map_err(|error| failed(&error))
    }
}

fn no_thread() -> Fault {
    Fault::unavailable("model", "a thread that computes", "one that has ended")
}

/// Computes the jobs of a queue until it is gone.
fn compute_what_waits<T: Scalar>(
    computer: &Mutex<Computer<T>>,
    mut jobs: mpsc::Receiver<Job<T>>,
    metrics: &ModelMetrics,
) {
    let mut taken = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        let mut computer = computer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = first.rows;
        taken.push(first);
        // What waits by now is computed together. Nothing is waited for.
        while rows < BATCH
            && let Ok(next) = jobs.try_recv()
        {
            rows += next.rows;
            taken.push(next);
        }
        metrics.queue.fetch_sub(taken.len() as i64, Relaxed);
        // The answer to a client that has gone is not computed.
        taken.retain(|job| !job.reply.is_closed());
        computer.answer(&mut taken);
    }
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
