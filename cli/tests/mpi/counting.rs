//! A library between the program and its MPI that counts the bytes which sums of gradients send, for `cli/processes.rs`. What it does not
//! define is found in the MPI that it is linked with.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

type Handle = *mut c_void;
type Counts = *const isize;

const COMM_WORLD: Handle = 0x101 as Handle;
const IN_PLACE: *const c_void = 1 as *const c_void;

static SENT: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn MPI_Comm_rank(comm: Handle, rank: *mut c_int) -> c_int;
    fn MPI_Comm_size(comm: Handle, size: *mut c_int) -> c_int;
    fn PMPI_Finalize() -> c_int;
    fn PMPI_Allgatherv_c(
        from: *const c_void, count: isize, of: Handle, to: *mut c_void, counts: Counts, places: Counts, what: Handle, comm: Handle,
    ) -> c_int;
    fn PMPI_Alltoallv_c(
        from: *const c_void, sent: Counts, from_places: Counts, of: Handle, to: *mut c_void, received: Counts, to_places: Counts,
        what: Handle, comm: Handle,
    ) -> c_int;
}

fn rank_and_size() -> (usize, usize) {
    let (mut rank, mut size) = (0, 0);
    unsafe { (MPI_Comm_rank(COMM_WORLD, &mut rank), MPI_Comm_size(COMM_WORLD, &mut size)) };
    (rank as usize, size as usize)
}

fn count(counts: Counts, index: usize) -> usize {
    unsafe { *counts.add(index) as usize }
}

/// Each process sends its part to every other one. A gather that is not in place is of something else than a sum.
#[unsafe(no_mangle)]
unsafe extern "C" fn MPI_Allgatherv_c(
    from: *const c_void, own: isize, of: Handle, to: *mut c_void, counts: Counts, places: Counts, what: Handle, comm: Handle,
) -> c_int {
    let (rank, size) = rank_and_size();
    if from == IN_PLACE {
        SENT.fetch_add(count(counts, rank) * (size - 1), SeqCst);
    }
    unsafe { PMPI_Allgatherv_c(from, own, of, to, counts, places, what, comm) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn MPI_Alltoallv_c(
    from: *const c_void, sent: Counts, from_places: Counts, of: Handle, to: *mut c_void, received: Counts, to_places: Counts,
    what: Handle, comm: Handle,
) -> c_int {
    SENT.fetch_add((0..rank_and_size().1).map(|other| count(sent, other)).sum(), SeqCst);
    unsafe { PMPI_Alltoallv_c(from, sent, from_places, of, to, received, to_places, what, comm) }
}

/// Writes the bytes that this process has sent to a file, `sent-RANK`.
#[unsafe(no_mangle)]
unsafe extern "C" fn MPI_Finalize() -> c_int {
    let file = format!("sent-{}", rank_and_size().0);
    std::fs::write(file, SENT.load(SeqCst).to_string()).expect("the folder is that of the test");
    unsafe { PMPI_Finalize() }
}
