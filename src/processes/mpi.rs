//! MPI through its standard binary interface (MPI 5.0, chapter "Application Binary Interface"): handles are constants, so that one build
//! works with every library that has the interface. It is opened at run time.

use std::env;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libloading::Library;

use super::launcher::LIBRARY;
use super::unavailable;
use crate::error::{ErrorKind, Result};

/// The names of the library.
const NAMES: [&str; 3] = ["libmpi_abi.so.1", "libmpi_abi.so", "libmpi_abi.dylib"];
const CURE: &str = "install an MPI with the standard binary interface, for example by `pip install mpich` (MPICH from 5.0 on, Open MPI \
                    from 6.0 on), and start this program with the `mpiexec` that comes with it; or name the library in TRAVERTINE_MPI";

/// The major version of the interface that this file is written for.
const ABI_VERSION: c_int = 1;
// Lengths of texts, as the interface fixes them.
const MAX_PROCESSOR_NAME: usize = 256;
const MAX_ERROR_STRING: usize = 512;
const MAX_LIBRARY_VERSION_STRING: usize = 8192;

const THREAD_SERIALIZED: c_int = 2048;

/// Between two looks at a barrier.
const PAUSE: Duration = Duration::from_millis(5);

/// Programs between a launcher and this one, at most.
#[cfg(target_os = "linux")]
const MOST_ANCESTORS: usize = 4;

type Handle = *mut c_void;
/// `MPI_Count` and `MPI_Aint`
type Count = isize;

const fn handle(constant: usize) -> Handle {
    ptr::without_provenance_mut(constant)
}
const COMM_WORLD: Handle = handle(0x101);
const ERRORS_RETURN: Handle = handle(0x143);
const INT: Handle = handle(0x209);
const BYTE: Handle = handle(0x247);
const LOGICAL_OR: Handle = handle(0x31);
const IN_PLACE: *const c_void = ptr::without_provenance(1);

/// Whether this process has opened MPI: it can be begun once.
static IS_OPENED: AtomicBool = AtomicBool::new(false);

/// The functions that are used.
macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*);)*) => {
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            /// Looks all of them up. Returns the name of the first that is missing.
            fn load(library: &Library) -> Result<Self, &'static str> {
                Ok(Functions {
                    // SAFETY: the interface fixes the types of the functions; the library stays open beside them.
                    $($field: unsafe { *library.get($name).map_err(|_| $name)? },)*
                })
            }
        }
    };
}

functions! {
    abi_version = "MPI_Abi_get_version": fn(*mut c_int, *mut c_int);
    library_version = "MPI_Get_library_version": fn(*mut c_char, *mut c_int);
    init = "MPI_Init_thread": fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int);
    set_error_handler = "MPI_Comm_set_errhandler": fn(Handle, Handle);
    error_string = "MPI_Error_string": fn(c_int, *mut c_char, *mut c_int);
    rank = "MPI_Comm_rank": fn(Handle, *mut c_int);
    size = "MPI_Comm_size": fn(Handle, *mut c_int);
    processor_name = "MPI_Get_processor_name": fn(*mut c_char, *mut c_int);
    all_reduce = "MPI_Allreduce": fn(*const c_void, *mut c_void, c_int, Handle, Handle, Handle);
    all_to_all = "MPI_Alltoallv_c": fn(
        *const c_void, *const Count, *const Count, Handle, *mut c_void, *const Count, *const Count, Handle, Handle
    );
    all_gather = "MPI_Allgatherv_c": fn(
        *const c_void, Count, Handle, *mut c_void, *const Count, *const Count, Handle, Handle
    );
    duplicate = "MPI_Comm_dup": fn(Handle, *mut Handle);
    begin_barrier = "MPI_Ibarrier": fn(Handle, *mut Handle);
    test = "MPI_Test": fn(*mut Handle, *mut c_int, *mut c_void);
    abort = "MPI_Abort": fn(Handle, c_int);
    finalize = "MPI_Finalize": fn();
}

/// MPI in this process, from its beginning to its end.
pub(super) struct Mpi {
    functions: Functions,
    /// One call at a time, as is agreed with the library.
    turn: Mutex<()>,
    /// After a call that failed the others may wait for ever: MPI is then not ended in order.
    has_failed: AtomicBool,
    /// For processes that fail: what they exchange there meets nothing else.
    failures: usize,
    rank: usize,
    size: usize,
    version: String,
    /// The code of the functions.
    _library: Library,
}

impl Mpi {
    /// Begins MPI. Collective.
    pub(super) fn open() -> Result<Self> {
        #[cfg(target_os = "linux")]
        let _hangup = Hangup::now();
        let (library, path) = load()?;
        let functions = Functions::load(&library).map_err(|name| lacks(&path, name))?;
        check_version(&functions, &path)?;
        if IS_OPENED.swap(true, Ordering::SeqCst) {
            return Err(unavailable(
                "this process has opened it already",
                "clone the group; MPI can be begun only once",
            ));
        }
        let version = version_of(&functions);
        let mut mpi = Mpi {
            functions,
            turn: Mutex::new(()),
            has_failed: AtomicBool::new(true),
            failures: COMM_WORLD.addr(),
            rank: 0,
            size: 1,
            version,
            _library: library,
        };
        let (mut provided, mut rank, mut size) = (0, 0, 0);
        // SAFETY: both arguments of the program may be null; `provided` is written.
        let begun = unsafe {
            (mpi.functions.init)(ptr::null_mut(), ptr::null_mut(), THREAD_SERIALIZED, &mut provided)
        };
        mpi.check("MPI_Init_thread", begun)?;
        // SAFETY: MPI has begun, and the communicator is its predefined one; the numbers are written.
        unsafe {
            mpi.check(
                "MPI_Comm_set_errhandler",
                (mpi.functions.set_error_handler)(COMM_WORLD, ERRORS_RETURN),
            )?;
            mpi.check("MPI_Comm_rank", (mpi.functions.rank)(COMM_WORLD, &mut rank))?;
            mpi.check("MPI_Comm_size", (mpi.functions.size)(COMM_WORLD, &mut size))?;
        }
        let mut failures = COMM_WORLD;
        // SAFETY: as above; the handle is written.
        let duplicated = unsafe { (mpi.functions.duplicate)(COMM_WORLD, &mut failures) };
        mpi.check("MPI_Comm_dup", duplicated)?;
        mpi.failures = failures.expose_provenance();
        (mpi.rank, mpi.size) = (rank as usize, size as usize);
        if provided < THREAD_SERIALIZED {
            let reason = format!("{} allows calls of one thread only", mpi.version);
            return Err(unavailable(reason, "use a build of it with support of threads"));
        }
        mpi.has_failed = AtomicBool::new(false);
        Ok(mpi)
    }

    /// What the library calls itself, without beginning MPI.
    pub(super) fn find() -> Result<String> {
        let (library, path) = load()?;
        let functions = Functions::load(&library).map_err(|name| lacks(&path, name))?;
        check_version(&functions, &path)?;
        Ok(format!("{} ({})", version_of(&functions), path.display()))
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// What the library calls itself.
    pub(super) fn library(&self) -> &str {
        &self.version
    }

    /// The name of this machine.
    pub(super) fn host(&self) -> Result<String> {
        let mut name = [0; MAX_PROCESSOR_NAME];
        let mut length = 0;
        // SAFETY: the array has the length that the interface demands.
        let code = unsafe { (self.functions.processor_name)(name.as_mut_ptr(), &mut length) };
        self.check("MPI_Get_processor_name", code)?;
        Ok(text(&mut name))
    }

    /// The bytes of every process, by rank.
    pub(super) fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        const WORD: usize = size_of::<u64>();
        let mut lengths = vec![0; WORD * self.size];
        self.all_gather_into(
            &(bytes.len() as u64).to_le_bytes(),
            &mut lengths,
            &vec![WORD; self.size],
        )?;
        let lengths: Vec<usize> = lengths
            .chunks_exact(WORD)
            .map(|word| word.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)))
            .collect();
        let mut all = vec![0; lengths.iter().sum()];
        self.all_gather_into(bytes, &mut all, &lengths)?;
        let mut rest = &*all;
        Ok(lengths
            .iter()
            .map(|&length| {
                let (own, behind) = rest.split_at(length);
                rest = behind;
                own.to_vec()
            })
            .collect())
    }

    /// The bytes of every process one after the other, of lengths that all know.
    fn all_gather_into(&self, own: &[u8], to: &mut [u8], lengths: &[usize]) -> Result<()> {
        assert!(own.len() == lengths[self.rank]);
        self.gather(own.as_ptr().cast(), own.len(), to, lengths)
    }

    /// As [`Mpi::all_gather_into`], where this process's bytes are in their place.
    pub(super) fn complete(&self, to: &mut [u8], lengths: &[usize]) -> Result<()> {
        self.gather(IN_PLACE, 0, to, lengths)
    }

    /// `own`: as many bytes as `count`, or [`IN_PLACE`].
    fn gather(
        &self,
        own: *const c_void,
        count: usize,
        to: &mut [u8],
        lengths: &[usize],
    ) -> Result<()> {
        let (counts, places, end) = places(lengths);
        assert!(counts.len() == self.size && end == to.len());
        let turn = self.turn();
        // SAFETY: the memory of both is as long as the counts say, which is asserted.
        let code = unsafe {
            (self.functions.all_gather)(
                own,
                count as Count,
                BYTE,
                to.as_mut_ptr().cast(),
                counts.as_ptr(),
                places.as_ptr(),
                BYTE,
                COMM_WORLD,
            )
        };
        drop(turn);
        self.check("MPI_Allgatherv", code)
    }

    /// Gives process i the i-th part of `from`, and gets `received_i` bytes of it.
    pub(super) fn all_to_all(
        &self,
        from: &[u8],
        parts: &[Range<usize>],
        to: &mut [u8],
        received: &[usize],
    ) -> Result<()> {
        let sent: Vec<Count> = parts.iter().map(|part| part.len() as Count).collect();
        let sent_places: Vec<Count> = parts.iter().map(|part| part.start as Count).collect();
        let (received, received_places, received_end) = places(received);
        assert!(sent.len() == self.size && received.len() == self.size);
        assert!(parts.iter().all(|part| part.end <= from.len()) && received_end == to.len());
        let turn = self.turn();
        // SAFETY: the memory of both is as long as the counts say, which is asserted.
        let code = unsafe {
            (self.functions.all_to_all)(
                from.as_ptr().cast(),
                sent.as_ptr(),
                sent_places.as_ptr(),
                BYTE,
                to.as_mut_ptr().cast(),
                received.as_ptr(),
                received_places.as_ptr(),
                BYTE,
                COMM_WORLD,
            )
        };
        drop(turn);
        self.check("MPI_Alltoallv", code)
    }

    /// Whether `here` is true in any process.
    pub(super) fn any(&self, here: bool) -> Result<bool> {
        let (here, mut any) = (c_int::from(here), 0);
        let turn = self.turn();
        // SAFETY: one number is read, and one written.
        let code = unsafe {
            let (from, to) = (ptr::from_ref(&here).cast(), ptr::from_mut(&mut any).cast());
            (self.functions.all_reduce)(from, to, 1, INT, LOGICAL_OR, COMM_WORLD)
        };
        drop(turn);
        self.check("MPI_Allreduce", code)?;
        Ok(any != 0)
    }

    /// Whether all processes say within this time that they have failed.
    pub(super) fn have_all_failed(&self, patience: Duration) -> bool {
        let (mut request, mut is_done) = (ptr::null_mut(), 0);
        let failures = ptr::with_exposed_provenance_mut(self.failures);
        let turn = self.turn();
        // SAFETY: MPI has begun, and the communicator is a copy of its own; the request is written.
        if unsafe { (self.functions.begin_barrier)(failures, &mut request) } != 0 {
            return false;
        }
        drop(turn);
        let begin = Instant::now();
        while begin.elapsed() < patience {
            let turn = self.turn();
            // SAFETY: the request is that of the barrier; a status may be null.
            let code =
                unsafe { (self.functions.test)(&mut request, &mut is_done, ptr::null_mut()) };
            drop(turn);
            if code != 0 || is_done != 0 {
                return code == 0;
            }
            std::thread::sleep(PAUSE);
        }
        self.has_failed.store(true, Ordering::SeqCst);
        false
    }

    /// Ends all processes.
    pub(super) fn abort(&self, status: i32) {
        // SAFETY: MPI has begun. A thread that waits in another call does not keep this one from ending the process.
        unsafe { (self.functions.abort)(COMM_WORLD, status) };
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        self.has_failed.store(true, Ordering::SeqCst);
        let mut message = [0; MAX_ERROR_STRING];
        let mut length = 0;
        // SAFETY: the array has the length that the interface demands.
        unsafe { (self.functions.error_string)(code, message.as_mut_ptr(), &mut length) };
        let detail = text(&mut message);
        Err(ErrorKind::Device { engine: "mpi".to_owned(), call, code: i64::from(code), detail }
            .into())
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // After a failure the others may never end MPI, for which this call would wait.
        if !self.has_failed.load(Ordering::SeqCst) && !std::thread::panicking() {
            // SAFETY: MPI has begun and not ended; nothing calls it afterwards.
            unsafe { (self.functions.finalize)() };
        }
    }
}

/// What this process does at SIGHUP, when its terminal is gone. UCX, which MPICH may use, prints its state instead.
#[cfg(target_os = "linux")]
struct Hangup(libc::sigaction);

#[cfg(target_os = "linux")]
impl Hangup {
    /// What is done now, and again when this is dropped.
    fn now() -> Option<Self> {
        // SAFETY: all bits zero are a valid `sigaction`, which is written; a null pointer changes nothing.
        unsafe {
            let mut action = std::mem::zeroed();
            (libc::sigaction(libc::SIGHUP, ptr::null(), &mut action) == 0).then_some(Hangup(action))
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Hangup {
    fn drop(&mut self) {
        // SAFETY: the action was that of this process before.
        unsafe { libc::sigaction(libc::SIGHUP, &self.0, ptr::null_mut()) };
    }
}

/// Opens the library. Returns also its file.
fn load() -> Result<(Library, PathBuf)> {
    let mut reasons = Vec::new();
    for path in candidates() {
        // SAFETY: the file is the user's MPI, whose initializers this process trusts as the launcher does.
        match unsafe { Library::new(&path) } {
            Ok(library) => return Ok((library, path)),
            Err(error) => {
                let cause = std::error::Error::source(&error)
                    .map_or(String::new(), |cause| format!(": {cause}"));
                reasons.push(format!("{error}{cause}"));
            }
        }
    }
    // The first is the file that was meant; where none is named, the others are the same in other words.
    let reason = reasons.into_iter().next().unwrap_or_else(|| "no library was found".to_owned());
    Err(unavailable(format!("its library cannot be opened: {reason}"), CURE))
}

/// Files to try: the one that the user names; else the one beside the launcher, whose processes it knows, then the system's.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = env::var_os(LIBRARY).filter(|path| !path.is_empty() && path != "off") {
        return vec![path.into()];
    }
    let programs = ancestors().into_iter().chain(in_path("mpiexec"));
    let folders = programs.filter_map(|program| Some(program.parent()?.parent()?.to_owned()));
    let folders = folders.flat_map(|folder| [folder.join("lib"), folder.join("lib64")]);
    let beside = folders.flat_map(|folder| NAMES.map(|name| folder.join(name)));
    beside.filter(|path| path.exists()).chain(NAMES.map(PathBuf::from)).collect()
}

/// The programs that have started this one, the nearest first: a launcher's among them, where it has started a script.
#[cfg(target_os = "linux")]
fn ancestors() -> Vec<PathBuf> {
    let parent_of = |process: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().parse::<u32>().ok().filter(|parent| *parent > 1)
    };
    let processes = std::iter::successors(parent_of(&std::process::id()), parent_of);
    let programs = processes.take(MOST_ANCESTORS);
    programs.filter_map(|process| std::fs::read_link(format!("/proc/{process}/exe")).ok()).collect()
}

#[cfg(not(target_os = "linux"))]
fn ancestors() -> Vec<PathBuf> {
    Vec::new()
}

fn in_path(program: &str) -> Option<PathBuf> {
    let found = env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())?;
    found.canonicalize().ok()
}

fn lacks(path: &Path, function: &str) -> crate::Error {
    unavailable(format!("{} lacks {function}", path.display()), CURE)
}

/// Refuses another version of the interface.
fn check_version(functions: &Functions, path: &Path) -> Result<()> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the numbers are written; the function may be called before MPI begins.
    let code = unsafe { (functions.abi_version)(&mut major, &mut minor) };
    if code == 0 && major == ABI_VERSION {
        return Ok(());
    }
    let reason = format!(
        "{} has version {major}.{minor} of the binary interface; {ABI_VERSION} is needed",
        path.display()
    );
    Err(unavailable(reason, CURE))
}

/// The first line of what the library calls itself.
fn version_of(functions: &Functions) -> String {
    let mut version = [0; MAX_LIBRARY_VERSION_STRING];
    let mut length = 0;
    // SAFETY: the array has the length that the interface demands; the function may be called before MPI begins.
    unsafe { (functions.library_version)(version.as_mut_ptr(), &mut length) };
    let version = text(&mut version);
    let first = version.lines().next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text that a function has written, whose end is certain.
fn text(bytes: &mut [c_char]) -> String {
    let last = bytes.len() - 1;
    bytes[last] = 0;
    // SAFETY: the last byte is 0.
    unsafe { CStr::from_ptr(bytes.as_ptr()) }.to_string_lossy().trim().to_owned()
}

/// Counts, the place of each part, and the end of all.
fn places(lengths: &[usize]) -> (Vec<Count>, Vec<Count>, usize) {
    let mut end = 0;
    let place = |length: &usize| {
        let place = end as Count;
        end += length;
        place
    };
    let places = lengths.iter().map(place).collect();
    (lengths.iter().map(|length| *length as Count).collect(), places, end)
}
