//! A NumPy file in blocks of whole rows.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::array::Array;
use super::header::Header;
use super::{NpyOptions, dataset_of};
use crate::data::block::Block;
use crate::data::{Dataset, Task};
use crate::{Error, Result, Scalar};

/// More than any header has.
const LONGEST_HEADER: u64 = 1 << 20;

/// What all blocks have in common.
pub(in crate::data) struct NpyBlocks {
    file: String,
    header: Header,
    pub options: NpyOptions,
}

impl NpyBlocks {
    /// Finds blocks of about so many bytes. Labels are classes until it is known what they are.
    pub fn cut(path: &Path, options: &NpyOptions, bytes: usize) -> Result<(Self, Vec<Block>)> {
        super::check(options)?;
        let file = path.display().to_string();
        if options.labels.is_some() {
            return Err(Error::argument(
                "stream",
                "labels must be a column of the file that is streamed",
            ));
        }
        let io = |source| Error::io("read", path, source);
        let mut start = Vec::new();
        let opened = File::open(path).map_err(io)?;
        let length = opened.metadata().map_err(io)?.len() as usize;
        opened.take(LONGEST_HEADER).read_to_end(&mut start).map_err(io)?;
        let header = Header::parse(&start)
            .map_err(|e| Error::format(&*file, e.place, e.expected, e.found))?;
        super::array::check_length(&file, &header, length)?;
        if header.fortran_order {
            let expected =
                "rows that lie side by side (C order); save it with numpy.ascontiguousarray";
            return Err(Error::format(file, "header", expected, "Fortran order"));
        }
        let (rows, row) =
            (header.shape[0], header.shape[1..].iter().product::<usize>() * header.size);
        let rows_in_block = (bytes / row).max(1);
        let block = |first: usize| {
            let samples = rows_in_block.min(rows - first);
            Block {
                start: (header.length + first * row) as u64,
                bytes: samples * row,
                before: first,
                samples,
            }
        };
        let blocks = (0..rows).step_by(rows_in_block).map(block).collect();
        let options = NpyOptions { task: Some(Task::Classes), ..options.clone() };
        Ok((NpyBlocks { file, header, options }, blocks))
    }

    pub fn parse<T: Scalar>(&self, block: &Block, bytes: Vec<u8>) -> Result<Dataset<T>> {
        dataset_of(&Array::of_rows(&self.file, &self.header, block.before, bytes), &self.options)
    }
}
