//! NCCL: messages between the GPUs of the processes of a group, which do not pass through the memory of the hosts.
//!
//! Sends and receives alone are used. The order in which NCCL's reductions add up depends on the number of processes; this library's does not.
//!
//! The library is opened here, not by cudarc, which does not know the name `libnccl.so.2` that NVIDIA's packages give it. Result codes are
//! integers, so that those of newer versions are codes without a name, not undefined behavior.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::{mem, ptr};

use cudarc::driver::sys::{self, CUstream};
use libloading::Library;

use super::devices::Found;
use super::failure::device_error;
use super::launch::address;
use crate::engine::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::processes::Group;

/// The names of the library: that of NVIDIA's packages first.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
const CURE: &str = "pip install nvidia-nccl-cu12 (nvidia-nccl-cu13 for CUDA 13) and put the folder of its library into LD_LIBRARY_PATH";
/// The oldest version that is used; as NCCL numbers versions.
const MIN_VERSION: c_int = 21_800;
/// Versions before 2.9 are numbered 1000 major + 100 minor + patch, later ones 10000 major + 100 minor + patch.
const FIRST_LONG_VERSION: c_int = 10_000;
/// Bytes of an id.
const ID_BYTES: usize = 128;
/// Bytes of the text of a GPU's address on the PCI bus.
const BUS_ID_BYTES: usize = 32;
/// `ncclUint8`
const BYTE: c_int = 1;

/// `ncclUniqueId`, by which the processes of a communicator find each other.
#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([u8; ID_BYTES]);

/// `ncclComm_t`
type Communicator = *mut c_void;

/// The functions that are used.
macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            /// Looks all of them up. Returns the name of the first that is missing.
            fn load(library: &Library) -> Result<Self, &'static str> {
                Ok(Functions {
                    // SAFETY: the types are those of `nccl.h`, which has kept them since version 2.13; the library is never closed.
                    $($field: unsafe { *library.get($name).map_err(|_| $name)? },)*
                })
            }
        }
    };
}

functions! {
    version = "ncclGetVersion": fn(*mut c_int) -> c_int;
    unique_id = "ncclGetUniqueId": fn(*mut UniqueId) -> c_int;
    init = "ncclCommInitRank": fn(*mut Communicator, c_int, UniqueId, c_int) -> c_int;
    async_error = "ncclCommGetAsyncError": fn(Communicator, *mut c_int) -> c_int;
    error_string = "ncclGetErrorString": fn(c_int) -> *const c_char;
    last_error = "ncclGetLastError": fn(Communicator) -> *const c_char;
    group_start = "ncclGroupStart": fn() -> c_int;
    group_end = "ncclGroupEnd": fn() -> c_int;
    send = "ncclSend": fn(*const c_void, usize, c_int, c_int, Communicator, CUstream) -> c_int;
    receive = "ncclRecv": fn(*mut c_void, usize, c_int, c_int, Communicator, CUstream) -> c_int;
}

/// The library of this machine.
struct Nccl {
    functions: Functions,
    version: c_int,
}

/// The version of this machine's library, for people; `None` where there is none that can be used.
pub(super) fn find() -> Option<String> {
    Nccl::open().ok().map(|nccl| version_text(nccl.version))
}

impl Nccl {
    /// Opens the library, or says why it is not used.
    fn open() -> Result<Self, String> {
        // SAFETY: loading the library runs nothing but its own set-up.
        let library = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
        let Some(library) = library else {
            return Err(format!("NCCL ({}) was not found: {CURE}", NAMES[0]));
        };
        let functions = Functions::load(&library);
        // NCCL has threads of its own from the first communicator on, so its code stays.
        mem::forget(library);
        let functions = functions.map_err(|name| format!("its NCCL lacks {name}: {CURE}"))?;
        let mut version = 0;
        // SAFETY: `version` is alive and written to.
        let code = unsafe { (functions.version)(&mut version) };
        if code != 0 || version < MIN_VERSION {
            let [here, needed] = [version, MIN_VERSION].map(version_text);
            return Err(format!("its NCCL is {here}, {needed} is needed: {CURE}"));
        }
        Ok(Nccl { functions, version })
    }

    /// The result of a call.
    fn checked(&self, call: &'static str, code: c_int) -> Result<(), Failure> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: NCCL returns a constant text for every code, and keeps that of the last error.
        let [mut detail, last] = unsafe {
            [(self.functions.error_string)(code), (self.functions.last_error)(ptr::null_mut())]
                .map(|text| text_of(text))
        };
        if !last.is_empty() {
            detail += &format!(" ({last})");
        }
        Err(Failure { call, code, detail })
    }

    fn unique_id(&self) -> Result<UniqueId, Failure> {
        let mut id = UniqueId([0; ID_BYTES]);
        // SAFETY: the id is alive and written to.
        self.checked("ncclGetUniqueId", unsafe { (self.functions.unique_id)(&mut id) })?;
        Ok(id)
    }

    /// The communicator of this process. Collective.
    fn begin(&self, group: &Group, id: UniqueId) -> Result<Communicator, Failure> {
        let (size, rank) = (group.size() as c_int, group.rank() as c_int);
        let mut communicator = ptr::null_mut();
        // SAFETY: the context of this process's GPU is current; `communicator` is alive and written to.
        let code = unsafe { (self.functions.init)(&mut communicator, size, id, rank) };
        self.checked("ncclCommInitRank", code)?;
        Ok(communicator)
    }
}

/// The call that failed, its code and NCCL's text.
struct Failure {
    call: &'static str,
    code: c_int,
    detail: String,
}

impl Failure {
    fn of(self, engine: &str) -> Error {
        let Failure { call, code, detail } = self;
        let engine = engine.to_owned();
        ErrorKind::Device { engine, call, code: i64::from(code), detail }.into()
    }
}

/// The connection of a device with those of the other processes.
#[derive(Default)]
pub(super) enum Link {
    /// Not asked for yet.
    #[default]
    Unknown,
    /// The devices cannot be connected.
    Missing,
    Connected(Connected),
}

/// A communicator. It lasts as long as the process: NCCL's calls that end one wait for the other processes, which never answer if they
/// have failed.
pub(super) struct Connected {
    nccl: Nccl,
    communicator: Communicator,
    /// The name of the device.
    device: String,
}

impl Link {
    /// Connects the devices, with the context of this one current; false where they cannot be. Collective.
    pub fn connect(
        &mut self,
        group: &Group,
        found: &Found,
        note: Option<fn(&str)>,
    ) -> Result<bool> {
        let is_missing = false;
        if group.size() == 1 || group.any(is_missing)? {
            return Ok(false);
        }
        // Where one engine is new, all begin again, so that all make the same calls.
        if group.any(matches!(self, Link::Unknown))? {
            *self = Link::new(group, found, note)?;
        }
        Ok(matches!(self, Link::Connected(_)))
    }

    fn new(group: &Group, found: &Found, note: Option<fn(&str)>) -> Result<Self> {
        let nccl = Nccl::open();
        let member = match &nccl {
            Ok(nccl) => format!("{}\n{}", version_text(nccl.version), bus_id(found)?),
            Err(reason) => format!("\n{reason}"),
        };
        let all = group.all_gather(member.as_bytes())?;
        let nccl = match (nccl, obstacle(group, &all)) {
            (Ok(nccl), None) => nccl,
            (_, reason) => {
                if let (Some(note), true) = (note, group.is_first()) {
                    let reason = reason.unwrap_or_default();
                    note(&format!("GPUs exchange gradients through MPI, not NCCL; {reason}"));
                }
                return Ok(Link::Missing);
            }
        };
        let device = found.device.name.clone();
        let begun = shared_id(&nccl, group)?.and_then(|id| nccl.begin(group, id));
        match begun {
            Ok(communicator) => Ok(Link::Connected(Connected { nccl, communicator, device })),
            Err(failure) => Err(failure.of(&device)),
        }
    }

    /// Enqueues messages. Nothing happens where there is no connection.
    ///
    /// # Safety
    /// The context is current, and the memory of the messages is alive until they have arrived.
    pub unsafe fn exchange(
        &self,
        sent: &[Message],
        received: &[Message],
        stream: CUstream,
    ) -> Result<()> {
        let Link::Connected(connected) = self else { return Ok(()) };
        // SAFETY: the caller's promise is the same.
        let done = unsafe { connected.exchange(sent, received, stream) };
        done.map_err(|failure| failure.of(&connected.device))
    }
}

impl Connected {
    /// # Safety
    /// As [`Link::exchange`].
    unsafe fn exchange(
        &self,
        sent: &[Message],
        received: &[Message],
        stream: CUstream,
    ) -> Result<(), Failure> {
        let Connected { nccl, communicator, .. } = self;
        let (functions, mut earlier) = (&nccl.functions, 0);
        let place = |message: &Message| address(message.handle) + message.offset as u64;
        // SAFETY: the communicator is alive, and memory and context are as the caller promises.
        unsafe {
            let code = (functions.async_error)(*communicator, &mut earlier);
            nccl.checked("ncclCommGetAsyncError", code)?;
            // An exchange before has failed after its calls returned.
            nccl.checked("ncclCommGetAsyncError", earlier)?;
            nccl.checked("ncclGroupStart", (functions.group_start)())?;
            let mut done = Ok(());
            for message in sent {
                let (from, peer) = (place(message) as *const c_void, message.process as c_int);
                done = done.and_then(|()| {
                    let code =
                        (functions.send)(from, message.bytes, BYTE, peer, *communicator, stream);
                    nccl.checked("ncclSend", code)
                });
            }
            for message in received {
                let (to, peer) = (place(message) as *mut c_void, message.process as c_int);
                done = done.and_then(|()| {
                    let code =
                        (functions.receive)(to, message.bytes, BYTE, peer, *communicator, stream);
                    nccl.checked("ncclRecv", code)
                });
            }
            // A group that has begun is ended, whatever has failed in it.
            let ended = nccl.checked("ncclGroupEnd", (functions.group_end)());
            done.and(ended)
        }
    }
}

// SAFETY: any thread may use a communicator, one at a time; a lock holds the link.
unsafe impl Send for Link {}

/// The id that process 0 has made, or its failure. Collective.
fn shared_id(nccl: &Nccl, group: &Group) -> Result<Result<UniqueId, Failure>> {
    // The code of the failure, then the id or the text of it.
    let own = match group.is_first().then(|| nccl.unique_id()) {
        Some(Ok(id)) => [&0_i32.to_le_bytes()[..], &id.0].concat(),
        Some(Err(failure)) => [&failure.code.to_le_bytes()[..], failure.detail.as_bytes()].concat(),
        None => Vec::new(),
    };
    let bytes = group.broadcast(&own)?;
    let broken = || Error::argument("connect", "process 0 has sent no id");
    let (code, rest) = bytes.split_first_chunk().ok_or_else(broken)?;
    Ok(match i32::from_le_bytes(*code) {
        0 => Ok(UniqueId(rest.try_into().map_err(|_| broken())?)),
        code => {
            let detail = String::from_utf8_lossy(rest).into_owned();
            Err(Failure { call: "ncclGetUniqueId", code, detail })
        }
    })
}

/// Why devices cannot be connected, by what each process has: the version of NCCL and the GPU's address, or nothing and the reason.
fn obstacle(group: &Group, all: &[Vec<u8>]) -> Option<String> {
    let texts: Vec<_> = all.iter().map(|member| String::from_utf8_lossy(member)).collect();
    let members: Vec<(&str, &str)> =
        texts.iter().map(|text| text.split_once('\n').unwrap_or_default()).collect();
    for (rank, (version, rest)) in members.iter().enumerate() {
        let who = group.describe(rank);
        if version.is_empty() {
            return Some(format!("{who}: {rest}"));
        }
        if *version != members[0].0 {
            let (first, zero) = (members[0].0, group.describe(0));
            return Some(format!("{who} has NCCL {version}, and {zero} has {first}"));
        }
        let has_this_gpu =
            |other: &usize| group.host(*other) == group.host(rank) && members[*other].1 == *rest;
        if let Some(other) = (0..rank).find(has_this_gpu) {
            let other = group.describe(other);
            return Some(format!("{other} and {who} share a GPU, and NCCL wants one for each"));
        }
    }
    None
}

/// The address of a GPU on the PCI bus of its machine.
fn bus_id(found: &Found) -> Result<String> {
    let mut text: [c_char; BUS_ID_BYTES] = [0; BUS_ID_BYTES];
    // SAFETY: the text has the length that is passed; the id is the driver's.
    let result =
        unsafe { sys::cuDeviceGetPCIBusId(text.as_mut_ptr(), BUS_ID_BYTES as c_int, found.id) };
    let refused = |error: cudarc::driver::DriverError| {
        device_error(&found.device.name, "cuDeviceGetPCIBusId", error.0)
    };
    result.result().map_err(refused)?;
    // SAFETY: the driver ends the text with a zero byte.
    Ok(unsafe { text_of(text.as_ptr()) })
}

/// A text of C; empty for none.
///
/// # Safety
/// It is null, or ends with a zero byte.
unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the text ends, as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}

/// "2.27.3"
fn version_text(version: c_int) -> String {
    let unit = if version < FIRST_LONG_VERSION { 1000 } else { FIRST_LONG_VERSION };
    format!("{}.{}.{}", version / unit, version % unit / 100, version % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_two_numberings() {
        assert_eq!(version_text(22_703), "2.27.3");
        assert_eq!(version_text(2804), "2.8.4");
        assert_eq!(version_text(MIN_VERSION), "2.18.0");
    }
}
