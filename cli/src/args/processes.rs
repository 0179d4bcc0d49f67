//! Options of a training by several processes, and the group of them.

use std::hash::{DefaultHasher, Hasher};
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{env, fs, iter, thread};

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use travertine::processes::{Group, abort_launched, default_slices, launched};
use travertine::{Error, Result, Scalar, TrainerBuilder};

use crate::args::device::DeviceArgs;
use crate::args::values::at_least_one;
use crate::message::{self, be_silent, counted, warn, wrong};

/// The time that the other processes have to fail as well. Process 0 often says the same.
const PATIENCE: Duration = Duration::from_secs(3);
/// The time that process 0 has to print an error and end all.
const FIRST_PRINTS: Duration = Duration::from_millis(1500);
/// The time that a launcher has to pass an error on before it ends all processes.
const PASSED_ON: Duration = Duration::from_millis(500);

/// The time after which process 0 says what it waits for while MPI begins.
const WAIT: Duration = Duration::from_secs(10);
/// The time after which each further process says the same, in case those before it have not begun MPI.
const NEXT_WAIT: Duration = Duration::from_secs(5);

/// Options that each process may have of its own: what their files hold, and what devices there are, is compared later.
const OWN: [&str; 6] = ["DATA", "--test", "--labels", "--init", "--device", "--threads"];
/// The program's file, without its ending.
const PROGRAM: &str = "travertine";

/// How processes that `mpiexec` or `srun` has started share a training.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProcessesArgs {
    /// Parts of a step's samples whose gradients are computed one by one and added up in a fixed order; the number of processes divides
    /// it. The bytes of a model depend on it, and not on the number of processes [default: 8 under mpiexec, else 1]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    slices: Option<usize>,
    /// Refuse to train without MPI
    #[arg(long)]
    require_mpi: bool,
    /// The options of the command line and their values, as they were given.
    #[arg(skip)]
    pub(crate) options: Vec<(String, String)>,
    /// This process alone, until it has joined the others.
    #[arg(skip = Group::alone())]
    pub(crate) group: Group,
}

impl ProcessesArgs {
    /// Finds the processes that the launcher has started together with this one. Of these, process 0 prints and writes files.
    fn join(&mut self) -> Result<()> {
        let launched = launched();
        if launched.by.is_none() && self.require_mpi {
            let reason = match env::var_os("TRAVERTINE_MPI").is_some_and(|value| value == "off") {
                true => "the environment variable TRAVERTINE_MPI is `off`",
                false => {
                    "no launcher has started this program; begin the command with `mpiexec -n 4` or `srun`"
                }
            };
            return Err(wrong("--require-mpi", reason));
        }
        if launched.rank > 0 {
            be_silent();
        }
        // Of one process without MPI there is nothing to connect.
        if launched.by.is_none() || launched.size == Some(1) && !self.require_mpi && !self.has_mpi()
        {
            return Ok(());
        }
        let waiting = say_what_is_waited_for(launched.rank);
        self.group = Group::mpi()?;
        drop(waiting);
        if !self.group.is_first() {
            be_silent();
        }
        self.agree_on_command()?;
        let (sharers, cores) = (self.sharers()?, cores());
        if sharers > cores {
            warn(&format!(
                "{sharers} processes share {}, and each waits for the others by computing: start at most {cores} here",
                counted(cores, "core", "cores")
            ));
        }
        Ok(())
    }

    /// Joins the other processes for a command whose device is `device`. `Some` is the exit status where this process cannot.
    pub(crate) fn start(&mut self, device: &mut DeviceArgs) -> Result<Option<ExitCode>> {
        if let Err(error) = self.join() {
            if launched().by.is_none() {
                return Err(error);
            }
            let status = if error.is_input() { 2 } else { 1 };
            end_all(status, || message::fault(&message::with_options(&error)));
            return Ok(Some(ExitCode::from(status)));
        }
        device.share(self.group.on_this_host().0, self.sharers()?);
        Ok(None)
    }

    /// Refuses another program or other options in another process, before anything follows from them. Collective.
    fn agree_on_command(&self) -> Result<()> {
        if self.group.size() == 1 {
            return Ok(());
        }
        let version = ("version of the program".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let build = build().map(|build| ("fingerprint of the program".to_owned(), build));
        let mut facts: Vec<_> = iter::once(version).chain(build).collect();
        let options = self.options.iter().filter(|(name, _)| !OWN.contains(&&**name));
        facts.extend(options.cloned());
        self.group.agree("processes", &facts)
    }

    /// How many processes run on the same cores as this one. Collective.
    fn sharers(&self) -> Result<usize> {
        if self.group.size() == 1 {
            return Ok(1);
        }
        let host = self.group.host(self.group.rank()).unwrap_or_default();
        let own = format!("{host} {}", allowed_cores());
        let all = self.group.all_gather(own.as_bytes())?;
        Ok(all.iter().filter(|other| **other == own.as_bytes()).count())
    }

    fn has_mpi(&self) -> bool {
        travertine::processes::mpi_library().is_ok()
    }

    /// Ends the training in every process, where it has failed in this one. What fails in all is printed by process 0 alone.
    pub(crate) fn end(
        &self,
        done: Result<ExitCode>,
        explain: impl Fn(&Error) -> String,
    ) -> Result<ExitCode> {
        let error = match done {
            Err(error) if self.group.size() > 1 => error,
            done => return done,
        };
        let (text, status) = (explain(&error), if error.is_input() { 2 } else { 1 });
        if self.group.is_first() {
            message::fault(&text);
        }
        if self.group.have_all_failed(PATIENCE) {
            return Ok(ExitCode::from(status));
        }
        if !self.group.is_first() {
            message::speak();
            message::fault(&format!("{}: {text}", self.group.describe(self.group.rank())));
        }
        thread::sleep(PASSED_ON);
        self.group.abort(status.into())
    }

    /// What each process has, by rank. Collective.
    pub(crate) fn exchange<S: Serialize + DeserializeOwned>(&self, own: S) -> Result<Vec<S>> {
        if self.group.size() == 1 {
            return Ok(vec![own]);
        }
        let broken = |error: serde_json::Error| wrong("processes", error.to_string());
        let own = serde_json::to_vec(&own).map_err(broken)?;
        let all = self.group.all_gather(&own)?;
        all.iter().map(|bytes| serde_json::from_slice(bytes).map_err(broken)).collect()
    }

    /// Where each network is a task of one process: what its trainer is built from.
    pub(crate) fn of_task(&self) -> Self {
        ProcessesArgs { group: Group::alone(), ..self.clone() }
    }

    /// The number of slices of a batch, where it is not 1.
    pub(crate) fn slices(&self, batch: usize) -> Option<usize> {
        let default = self.group.is_mpi().then(|| default_slices(batch));
        self.slices.or(default).filter(|slices| *slices > 1)
    }

    /// Adds the group and the slices to a trainer.
    pub(crate) fn of_trainer<'n, T: Scalar>(
        &self,
        trainer: TrainerBuilder<'n, T>,
    ) -> TrainerBuilder<'n, T> {
        trainer.slices(self.slices).processes(&self.group)
    }
}

/// Says after some time that this process waits for others, until what is returned is dropped.
fn say_what_is_waited_for(rank: usize) -> Sender<()> {
    let (joined, is_joined) = mpsc::channel();
    let patience = NEXT_WAIT.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
    let patience = WAIT.saturating_add(patience);
    thread::spawn(move || {
        if is_joined.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            // The others of this group may be silent as well.
            eprintln!(
                "process {rank} has waited {} s for others to begin MPI: all that the launcher starts must be this program with this command, \
                 and none of them have TRAVERTINE_MPI=off",
                patience.as_secs()
            );
        }
    });
    joined
}

/// The fingerprint of the program's file, as two builds of one version may compute other bits. `None` in a program that runs this one as
/// a part of its own.
fn build() -> Option<String> {
    let path = env::current_exe().ok().filter(|path| path.file_stem() == Some(PROGRAM.as_ref()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(path).ok()?);
    Some(format!("{:016x}", hasher.finish()))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The cores that the launcher has bound this process to, as Linux lists them: "0-7". Elsewhere nothing is known.
fn allowed_cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap_or_default().trim().to_owned()
}

/// Ends all processes of the launcher from one that has not joined them. Process 0 prints its error first, and the others only if it had none.
pub(crate) fn end_all(status: u8, print: impl FnOnce()) {
    let rank = launched().rank;
    if rank > 0 {
        thread::sleep(FIRST_PRINTS);
        // As far as it is known without MPI.
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let on = if host.is_empty() { String::new() } else { format!(" on {}", host.trim()) };
        eprint!("process {rank}{on}: ");
    }
    message::speak();
    print();
    if launched().by.is_some() {
        thread::sleep(PASSED_ON);
        abort_launched(status.into());
    }
}

/// Whether this process is not the first of those that a launcher has started, for a command that one process does alone.
pub(crate) fn is_superfluous() -> bool {
    launched().rank > 0 && env::var_os("TRAVERTINE_MPI").is_none_or(|value| value != "off")
}
