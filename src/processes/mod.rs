//! Groups of processes that train one network: who is in it, and how its members exchange bytes.
//!
//! A launcher starts the same program several times (`mpiexec -n 4 program`, `srun program`). [`Group::from_launcher`] finds the others
//! through MPI, whose library is opened at run time. [`TrainerBuilder::processes`](crate::TrainerBuilder::processes) takes the group.
//!
//! Calls that exchange something are *collective*: every process of the group makes the same calls in the same order, and each waits for
//! the others.

mod launcher;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(not(feature = "mpi"))]
#[path = "no_mpi.rs"]
mod mpi;
mod tree;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

pub use launcher::{Launched, abort_launched, launched};
use mpi::Mpi;
pub use tree::Exchange;
pub(crate) use tree::{TreeSum, slices_of, sum_tree};

/// The most slices of a batch where MPI connects the processes and no number is chosen.
const DEFAULT_SLICES: usize = 8;

/// Slices of a batch where MPI connects the processes and no number is chosen: 8, or the largest power of two that is no larger than the
/// batch.
pub fn default_slices(batch: usize) -> usize {
    DEFAULT_SLICES.min(1 << batch.max(1).ilog2())
}

/// The most processes that an error describes.
const LISTED: usize = 8;

/// What helps where processes differ.
const ALIKE: &str = "start all processes as one program with the same options and the same data";

/// Some processes that work together; a value, which is cheap to clone.
///
/// ```
/// use travertine::processes::Group;
/// let group = Group::alone();
/// assert_eq!((group.rank(), group.size()), (0, 1));
/// assert_eq!(group.all_gather(b"abc")?, [b"abc".to_vec()]);
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone)]
pub struct Group {
    rank: usize,
    /// The name of the machine of every process.
    hosts: Arc<[String]>,
    /// `None` for one process without MPI.
    mpi: Option<Arc<Mpi>>,
}

impl Group {
    /// This process by itself.
    pub fn alone() -> Self {
        Group { rank: 0, hosts: Arc::from([String::new()]), mpi: None }
    }

    /// All processes that the launcher has started together with this one, connected by MPI. Collective.
    ///
    /// The library is searched for beside the launcher's program, then where the system keeps libraries, under the names of MPI's standard
    /// binary interface (MPI 5.0; MPICH from 5.0 on, Open MPI from 6.0 on). The environment variable `TRAVERTINE_MPI` names another file.
    /// MPI ends when the last clone of the group is dropped, and cannot begin anew in the same process.
    ///
    /// # Errors
    /// No such library, with the cure; a second group in one process; an MPI that fails, or that does not belong to the launcher.
    pub fn mpi() -> Result<Self> {
        let mpi = Mpi::open()?;
        let (rank, size) = (mpi.rank(), mpi.size());
        if let Some(started) = launched().size.filter(|started| *started != size) {
            let reason = format!(
                "the launcher has started {started} processes, and {} sees {size} of them",
                mpi.library()
            );
            let cure =
                "use the `mpiexec` of the same installation, or name its library in TRAVERTINE_MPI";
            return Err(unavailable(reason, cure));
        }
        let mut group = Group { rank, hosts: Arc::from(vec![String::new(); size]), mpi: None };
        let host = mpi.host()?;
        group.mpi = Some(Arc::new(mpi));
        let hosts = group.all_gather(host.as_bytes())?;
        group.hosts = hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect();
        Ok(group)
    }

    /// [`Group::mpi`] where a launcher has started this process, else [`Group::alone`].
    ///
    /// # Errors
    /// As [`Group::mpi`]: processes that a launcher has started but that cannot find each other would overwrite each other's files.
    pub fn from_launcher() -> Result<Self> {
        if launched().by.is_some() { Group::mpi() } else { Ok(Group::alone()) }
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.hosts.len()
    }

    /// Whether this is process 0, which prints and writes files.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Whether MPI connects the processes, be it only one.
    pub fn is_mpi(&self) -> bool {
        self.mpi.is_some()
    }

    /// What the MPI library calls itself; `None` without MPI.
    pub fn library(&self) -> Option<&str> {
        self.mpi.as_deref().map(Mpi::library)
    }

    /// The number of this process among those on its machine, and their number.
    pub fn on_this_host(&self) -> (usize, usize) {
        let own = &self.hosts[self.rank];
        let before = self.hosts[..self.rank].iter().filter(|host| *host == own).count();
        (before, self.hosts.iter().filter(|host| *host == own).count())
    }

    /// The name of a process's machine; empty without MPI.
    pub fn host(&self, rank: usize) -> Option<&str> {
        self.hosts.get(rank).map(String::as_str)
    }

    /// "process 2 of 4 on node07"
    pub fn describe(&self, rank: usize) -> String {
        let host = self.hosts.get(rank).map_or("", String::as_str);
        let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
        format!("process {rank} of {}{on}", self.size())
    }

    /// The bytes of every process, by rank. Collective.
    ///
    /// # Errors
    /// An MPI that fails, as after the loss of a process.
    pub fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        match self.mpi.as_deref() {
            Some(mpi) => mpi.all_gather(bytes),
            None => Ok(vec![bytes.to_vec()]),
        }
    }

    /// The bytes of process 0. Collective.
    ///
    /// # Errors
    /// As [`Group::all_gather`].
    pub fn broadcast(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let own = if self.is_first() { bytes } else { &[] };
        Ok(self.all_gather(own)?.swap_remove(0))
    }

    /// Whether `here` is true in any process. Collective.
    ///
    /// # Errors
    /// As [`Group::all_gather`].
    pub fn any(&self, here: bool) -> Result<bool> {
        match self.mpi.as_deref() {
            Some(mpi) if self.size() > 1 => mpi.any(here),
            _ => Ok(here),
        }
    }

    /// Refuses to go on where a fact has another value in another process: names and values. Collective; each process gets the same error.
    ///
    /// # Errors
    /// Facts that differ, with the processes; an MPI that fails.
    pub fn agree(&self, operation: &'static str, facts: &[(String, String)]) -> Result<()> {
        if self.size() == 1 {
            return Ok(());
        }
        let words = facts.iter().flat_map(|(name, value)| [name, value]);
        let own: Vec<u8> = words.flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        let all = self.all_gather(&own)?;
        let mut differences = Vec::new();
        for (rank, other) in all.iter().enumerate().skip(1).filter(|(_, other)| **other != all[0]) {
            let found = Self::differences(&all[0], other);
            let (zero, other) = (self.describe(0), self.describe(rank));
            differences.push(format!("{other} differs from {zero}: {}", found.join("; ")));
        }
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(LISTED);
        differences.truncate(LISTED);
        if more > 0 {
            differences.push(format!("{more} more processes differ"));
        }
        differences.push(ALIKE.to_owned());
        Err(Error::argument(operation, differences.join("; ")))
    }

    /// Facts of another process beside those of process 0.
    fn differences(first: &[u8], other: &[u8]) -> Vec<String> {
        let (first, other) = (facts(first), facts(other));
        let value = |facts: &[(String, String)], name: &str| {
            let found = facts.iter().find(|(own, _)| own == name);
            found.map_or("left out".to_owned(), |(_, value)| value.clone())
        };
        let mut names: Vec<&String> = first.iter().chain(&other).map(|(name, _)| name).collect();
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(name);
                true
            }
        });
        let different = names.into_iter().filter_map(|name| {
            let (here, there) = (value(&first, name), value(&other, name));
            (here != there).then(|| format!("{name} is {there}, not {here}"))
        });
        different.collect()
    }

    /// Whether all processes of the group call this within so much time, because all have failed: then each may end by itself. Otherwise
    /// only [`Group::abort`] ends those that wait for this one.
    pub fn have_all_failed(&self, patience: Duration) -> bool {
        self.link().is_none_or(|mpi| mpi.have_all_failed(patience))
    }

    /// Ends every process of the group at once, with this exit status; this one too.
    pub fn abort(&self, status: i32) -> ! {
        if let Some(mpi) = self.mpi.as_deref() {
            mpi.abort(status);
        }
        std::process::exit(status)
    }

    /// The link between the processes, where there are several.
    fn link(&self) -> Option<&Mpi> {
        self.mpi.as_deref().filter(|_| self.size() > 1)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(self.rank))
    }
}

/// What this machine has of MPI: what the library calls itself, or why there is none and what helps.
///
/// # Errors
/// No library of MPI's standard binary interface.
pub fn mpi_library() -> Result<String> {
    Mpi::find()
}

fn unavailable(reason: impl Into<String>, cure: impl Into<String>) -> Error {
    use crate::error::ErrorKind;
    let (reason, cure) = (reason.into(), cure.into());
    ErrorKind::Unavailable { engine: "mpi".to_owned(), reason, cure }.into()
}

/// Names and values, from what [`Group::agree`] sends.
fn facts(bytes: &[u8]) -> Vec<(String, String)> {
    let words: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}
