//! NCCL between processes of one machine. A message is a file in a folder that the unique id names. What a stream has to do before
//! a group is done first; the messages are read when the stream comes to them. What NCCL leaves undefined, or waits for without end, is an error here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use super::memory::is_memory;
use super::work::{Work, stream_of, submit};
use super::{CURRENT, FIRST_CONTEXT, LAUNCH_FAILED, complain, in_context, lock, lose, setting};

const UNHANDLED_CUDA_ERROR: u32 = 1;
const SYSTEM_ERROR: u32 = 2;
const INVALID_ARGUMENT: u32 = 4;
const INVALID_USAGE: u32 = 5;

const ID_BYTES: usize = 128;
/// `ncclInt8` and `ncclUint8`, the only types that are known here.
const BYTES: [c_int; 2] = [0, 1];
/// The longest wait for another process.
const PATIENCE: Duration = Duration::from_secs(100);
const PAUSE: Duration = Duration::from_micros(50);

/// Messages that this process has sent.
pub static SENT: AtomicI64 = AtomicI64::new(0);
/// Groups that have ended.
static GROUPS: AtomicI64 = AtomicI64::new(0);
static IDS: AtomicU32 = AtomicU32::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(2_000_000);
static COMMUNICATORS: LazyLock<Mutex<HashMap<usize, Arc<Communicator>>>> =
    LazyLock::new(Mutex::default);
/// The text of the last error. Texts are never given back, as callers may hold them.
static LAST: Mutex<Option<CString>> = Mutex::new(None);

thread_local! {
    /// Groups that are open, and what was asked for within them.
    static OPEN: RefCell<(u32, Vec<Message>)> = const { RefCell::new((0, Vec::new())) };
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueId([u8; ID_BYTES]);

struct Communicator {
    folder: PathBuf,
    rank: usize,
    size: usize,
    context: usize,
    /// Messages that were asked for, to and from each process.
    counts: Mutex<[Vec<u64>; 2]>,
}

#[derive(Clone)]
pub struct Message {
    communicator: Arc<Communicator>,
    peer: usize,
    is_sent: bool,
    /// How many there were before it between the two in this direction.
    number: u64,
    place: u64,
    bytes: usize,
    stream: usize,
}

impl Message {
    fn path(&self) -> PathBuf {
        let own = self.communicator.rank;
        let (from, to) = if self.is_sent { (own, self.peer) } else { (self.peer, own) };
        self.communicator.folder.join(format!("{from}-{to}-{}", self.number))
    }

    fn overlaps(&self, other: &Message) -> bool {
        self.place < other.place + other.bytes as u64
            && other.place < self.place + self.bytes as u64
    }

    unsafe fn send(&self) -> Result<(), String> {
        let bytes = unsafe { std::slice::from_raw_parts(self.place as *const u8, self.bytes) };
        let (path, new) = (self.path(), self.path().with_extension("new"));
        // A process that has ended may have removed the folder while it was empty.
        let written =
            fs::create_dir_all(&self.communicator.folder).and_then(|()| fs::write(&new, bytes));
        written.and_then(|()| fs::rename(&new, &path)).map_err(|error| error.to_string())?;
        SENT.fetch_add(1, SeqCst);
        Ok(())
    }

    unsafe fn receive(&self) -> Result<(), String> {
        let path = self.path();
        wait_for(|| path.exists())?;
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        let _ = fs::remove_file(&path);
        if bytes.len() != self.bytes {
            return Err(format!(
                "a message of {} bytes for a place of {}",
                bytes.len(),
                self.bytes
            ));
        }
        unsafe { (self.place as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }
}

fn wait_for(is_there: impl Fn() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !is_there() {
        if begun.elapsed() > PATIENCE {
            return Err("a process waits for another one without end".to_owned());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// What a stream does when it comes to messages.
pub unsafe fn receive(messages: &[Message]) {
    stop_at_error(messages.iter().try_for_each(|message| unsafe { message.receive() }));
}

/// Does what comes before a group in its stream, sends, and leaves it to the stream to receive. A GPU goes on by itself; here nothing does
/// while the host waits for another process, which may wait for these messages.
unsafe fn start(messages: Vec<Message>, stream: usize) -> u32 {
    lock(&stream_of(stream)).finish();
    let (sent, received): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.is_sent);
    stop_at_error(sent.iter().try_for_each(|message| unsafe { message.send() }));
    match unsafe { submit(Work::Messages(received), stream) } {
        0 => 0,
        _ => failed(UNHANDLED_CUDA_ERROR, "the stream takes no work"),
    }
}

fn stop_at_error(done: Result<(), String>) {
    if let Err(error) = done {
        complain(&format!("NCCL: {error}"));
        lose(LAUNCH_FAILED);
    }
}

fn failed(code: u32, text: &str) -> u32 {
    *lock(&LAST) = CString::new(text).ok();
    code
}

/// The code that HOST_NCCL_name makes a call fail with.
fn fault(name: &str) -> u32 {
    match setting(&format!("NCCL_{name}"), 0) as u32 {
        0 => 0,
        code => failed(code, "as HOST_NCCL wants it"),
    }
}

/// A message within a group, after checks of what NCCL demands.
unsafe fn ask(
    is_sent: bool,
    (place, bytes, kind): (u64, usize, c_int),
    peer: c_int,
    communicator: usize,
    stream: usize,
) -> u32 {
    let Some(communicator) = lock(&COMMUNICATORS).get(&communicator).cloned() else {
        return failed(INVALID_ARGUMENT, "a communicator that there is not");
    };
    let peer = peer as usize;
    if peer >= communicator.size || !BYTES.contains(&kind) || bytes == 0 {
        return failed(INVALID_ARGUMENT, "a peer, a type or a count that there is not");
    }
    if communicator.context != CURRENT.get() {
        complain("NCCL: the communicator is of another device than the current one");
    }
    if !is_memory(place, bytes as u64) {
        complain("NCCL: a message outside of memory");
        return INVALID_ARGUMENT;
    }
    OPEN.with_borrow_mut(|(open, messages)| {
        if *open == 0 {
            complain("NCCL: a message outside of a group, for which the other process must wait");
            return INVALID_USAGE;
        }
        let count = &mut lock(&communicator.counts)[usize::from(is_sent)][peer];
        let number = *count;
        *count += 1;
        let communicator = communicator.clone();
        messages.push(Message { communicator, peer, is_sent, number, place, bytes, stream });
        0
    })
}

/// Removes what the communicators of this process have left, after the last context.
pub fn leave() {
    for (_, communicator) in lock(&COMMUNICATORS).drain() {
        let _ = fs::remove_file(communicator.folder.join(format!("rank-{}", communicator.rank)));
        // The last process finds it empty.
        let _ = fs::remove_dir(&communicator.folder);
    }
}

/// Waits for all processes of an id, and refuses two with one GPU.
fn join(folder: PathBuf, size: usize, rank: usize, context: usize) -> Result<Communicator, u32> {
    let system = |error: std::io::Error| failed(SYSTEM_ERROR, &error.to_string());
    let file = |rank: usize| folder.join(format!("rank-{rank}"));
    fs::create_dir_all(&folder).map_err(system)?;
    let new = file(rank).with_extension("new");
    fs::write(&new, context.to_string()).map_err(system)?;
    fs::rename(new, file(rank)).map_err(system)?;
    wait_for(|| (0..size).all(|rank| file(rank).exists()))
        .map_err(|text| failed(SYSTEM_ERROR, &text))?;
    let own = context.to_string();
    for other in (0..size).filter(|other| *other != rank) {
        if fs::read_to_string(file(other)).map_err(system)? == own {
            let device = context - FIRST_CONTEXT;
            let text = format!(
                "Duplicate GPU detected : rank {rank} and rank {other} both on CUDA device {device}"
            );
            return Err(failed(INVALID_USAGE, &text));
        }
    }
    let counts = Mutex::new([vec![0; size], vec![0; size]]);
    Ok(Communicator { folder, rank, size, context, counts })
}

super::calls! {
    ncclGetVersion(version: *mut c_int) { *version = setting("NCCL", 22_703) as c_int; 0 }
    ncclGetUniqueId(id: *mut UniqueId) {
        let code = fault("ID");
        if code != 0 { return code; }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let name = format!("host-nccl-{}-{}-{now}", std::process::id(), IDS.fetch_add(1, SeqCst));
        let mut bytes = [0; ID_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        *id = UniqueId(bytes);
        0
    }
    ncclCommInitRank(communicator: *mut usize, size: c_int, id: UniqueId, rank: c_int) {
        let code = fault("INIT");
        if code != 0 { return code; }
        if in_context() != 0 { return failed(UNHANDLED_CUDA_ERROR, "no context is current"); }
        let name: Vec<u8> = id.0.into_iter().take_while(|byte| *byte != 0).collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        if !name.starts_with("host-nccl-") { return failed(INVALID_ARGUMENT, "an id that is none"); }
        match join(std::env::temp_dir().join(name), size as usize, rank as usize, CURRENT.get()) {
            Ok(made) => {
                *communicator = NEXT.fetch_add(1, SeqCst);
                lock(&COMMUNICATORS).insert(*communicator, Arc::new(made));
                0
            }
            Err(code) => code,
        }
    }
    ncclCommGetAsyncError(communicator: usize, code: *mut u32) {
        if !lock(&COMMUNICATORS).contains_key(&communicator) { return INVALID_ARGUMENT; }
        *code = fault("ASYNC");
        0
    }
    ncclGroupStart() { OPEN.with_borrow_mut(|(open, _)| *open += 1); 0 }
    ncclGroupEnd() {
        let messages = OPEN.with_borrow_mut(|(open, messages)| {
            *open = open.checked_sub(1)?;
            Some(if *open == 0 { std::mem::take(messages) } else { Vec::new() })
        });
        let Some(messages) = messages else { return failed(INVALID_USAGE, "no group is open") };
        let Some(first) = messages.first() else { return 0 };
        if GROUPS.fetch_add(1, SeqCst) >= setting("NCCL_AFTER", 0) {
            let code = fault("GROUP");
            if code != 0 { return code; }
        }
        let stream = first.stream;
        for (i, message) in messages.iter().enumerate() {
            if message.stream != stream { complain("NCCL: a group in several streams"); }
            let overlap = |other: &&Message| (!message.is_sent || !other.is_sent) && message.overlaps(other);
            if messages[..i].iter().any(|other| overlap(&other)) { complain("NCCL: messages of a group overlap"); }
        }
        start(messages, stream)
    }
    ncclSend(from: u64, count: usize, kind: c_int, peer: c_int, communicator: usize, stream: usize) {
        ask(true, (from, count, kind), peer, communicator, stream)
    }
    ncclRecv(to: u64, count: usize, kind: c_int, peer: c_int, communicator: usize, stream: usize) {
        ask(false, (to, count, kind), peer, communicator, stream)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetErrorString(code: u32) -> *const c_char {
    match code {
        0 => c"no error",
        UNHANDLED_CUDA_ERROR => c"unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        SYSTEM_ERROR => c"unhandled system error (run with NCCL_DEBUG=INFO for details)",
        INVALID_ARGUMENT => c"invalid argument (run with NCCL_DEBUG=WARN for details)",
        INVALID_USAGE => c"invalid usage (run with NCCL_DEBUG=WARN for details)",
        6 => c"remote process exited or there was a network error",
        _ => c"unknown result code",
    }
    .as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetLastError(_communicator: usize) -> *const c_char {
    lock(&LAST).clone().map_or(ptr::null(), |text| text.into_raw().cast_const())
}
