//! Whether a launcher has started this process together with others, from the environment variables that launchers set.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;

/// The variable that names the library of MPI, or is `off` where this process works alone.
pub(super) const LIBRARY: &str = "TRAVERTINE_MPI";

/// Variables that only a launcher sets: of the rank and, where there is one, of the number of processes.
const VARIABLES: [(&str, &str, Option<&str>); 4] = [
    // Hydra (MPICH, Intel MPI, MVAPICH), and srun with `--mpi=pmi2`.
    ("PMI", "PMI_RANK", Some("PMI_SIZE")),
    ("Open MPI", "OMPI_COMM_WORLD_RANK", Some("OMPI_COMM_WORLD_SIZE")),
    // PRRTE, and srun with `--mpi=pmix`.
    ("PMIx", "PMIX_RANK", None),
    // Of a step of several tasks alone: a batch script has SLURM_PROCID as well.
    ("Slurm", "SLURM_PROCID", Some("SLURM_STEP_NUM_TASKS")),
];

/// How this process was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Launched {
    /// The launcher, or the interface by which it is known; `None` without any.
    pub by: Option<&'static str>,
    /// The number of this process, from 0.
    pub rank: usize,
    /// The number of processes, where the launcher says it.
    pub size: Option<usize>,
}

/// How this process was started.
pub fn launched() -> Launched {
    if env::var_os(LIBRARY).is_some_and(|value| value == OsStr::new("off")) {
        return Launched::default();
    }
    let number = |name: &str| env::var(name).ok()?.parse::<usize>().ok();
    launched_by(number)
}

/// Asks the launcher to end all processes that it has started, from one that cannot join them: they may wait for it for ever. Only Hydra's
/// interface (PMI) can be asked without MPI; it is a line on the file descriptor that the launcher has given.
pub fn abort_launched(status: i32) {
    #[cfg(unix)]
    if let Some(descriptor) = env::var("PMI_FD").ok().and_then(|text| text.parse().ok()) {
        use std::os::fd::FromRawFd;
        // SAFETY: the launcher has opened it for this process, which ends after this line and uses it for nothing else.
        let mut launcher = unsafe { File::from_raw_fd(descriptor) };
        drop(writeln!(launcher, "cmd=abort exitcode={status}"));
    }
}

/// `number`: the value of a variable.
fn launched_by(number: impl Fn(&str) -> Option<usize>) -> Launched {
    for (by, rank, size) in VARIABLES {
        let Some(rank) = number(rank) else { continue };
        let size = size.map(&number);
        let is_started = match (by, size) {
            ("Slurm", size) => size.flatten().is_some_and(|size| size > 1),
            _ => true,
        };
        if is_started {
            return Launched { by: Some(by), rank, size: size.flatten() };
        }
    }
    Launched::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, usize)]) -> Launched {
        launched_by(|name| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| *value))
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        assert_eq!(of(&[]), Launched::default());
        let mpiexec = of(&[("PMI_RANK", 1), ("PMI_SIZE", 4)]);
        assert_eq!((mpiexec.by, mpiexec.rank, mpiexec.size), (Some("PMI"), 1, Some(4)));
        let pmix = of(&[("PMIX_RANK", 2), ("SLURM_PROCID", 2)]);
        assert_eq!((pmix.by, pmix.rank, pmix.size), (Some("PMIx"), 2, None));
    }

    #[test]
    fn a_batch_script_of_slurm_is_one_process() {
        assert_eq!(of(&[("SLURM_PROCID", 0)]), Launched::default());
        assert_eq!(of(&[("SLURM_PROCID", 0), ("SLURM_STEP_NUM_TASKS", 1)]), Launched::default());
        let step = of(&[("SLURM_PROCID", 3), ("SLURM_STEP_NUM_TASKS", 8)]);
        assert_eq!((step.by, step.rank, step.size), (Some("Slurm"), 3, Some(8)));
    }
}
