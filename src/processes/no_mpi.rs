//! The place of MPI in a build without the feature `mpi`.

use super::unavailable;
use crate::error::{Error, Result};

/// There is none.
pub(super) enum Mpi {}

fn missing() -> Error {
    unavailable("this build leaves it out", "build with the feature `mpi`")
}

impl Mpi {
    pub(super) fn open() -> Result<Self> {
        Err(missing())
    }

    pub(super) fn find() -> Result<String> {
        Err(missing())
    }

    pub(super) fn rank(&self) -> usize {
        match *self {}
    }

    pub(super) fn size(&self) -> usize {
        match *self {}
    }

    pub(super) fn library(&self) -> &str {
        match *self {}
    }

    pub(super) fn host(&self) -> Result<String> {
        match *self {}
    }

    pub(super) fn all_gather(&self, _bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        match *self {}
    }

    pub(super) fn any(&self, _here: bool) -> Result<bool> {
        match *self {}
    }

    pub(super) fn all_to_all(
        &self,
        _from: &[u8],
        _parts: &[std::ops::Range<usize>],
        _to: &mut [u8],
        _received: &[usize],
    ) -> Result<()> {
        match *self {}
    }

    pub(super) fn complete(&self, _to: &mut [u8], _lengths: &[usize]) -> Result<()> {
        match *self {}
    }

    pub(super) fn have_all_failed(&self, _patience: std::time::Duration) -> bool {
        match *self {}
    }

    pub(super) fn abort(&self, _status: i32) {
        match *self {}
    }
}
