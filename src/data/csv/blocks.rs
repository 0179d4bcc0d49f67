//! A CSV file in blocks of whole lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::table::{Table, utf8};
use super::{CsvOptions, dataset_of};
use crate::data::block::Block;
use crate::data::{Dataset, Task};
use crate::{Error, Result, Scalar};

/// What all blocks have in common.
pub(in crate::data) struct CsvBlocks {
    file: String,
    /// The header with its line end, or nothing.
    header: String,
    delimiter: u8,
    pub options: CsvOptions,
}

impl CsvBlocks {
    /// Divides a file into blocks of whole lines, of about `bytes` bytes. Labels are read as classes until all are known.
    pub fn cut(path: &Path, options: &CsvOptions, bytes: usize) -> Result<(Self, Vec<Block>)> {
        super::check(options)?;
        let io = |source| Error::io("read", path, source);
        let file = path.display().to_string();
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
        let (mut line, mut first_lines) = (Vec::new(), Vec::new());
        let (mut blocks, mut start, mut lines) = (Vec::<Block>::new(), 0, 0);
        let mut is_open = false;
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(io)?;
            if length == 0 {
                break;
            }
            // Blank lines do not begin a block, which would have no samples.
            let is_blank = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            if first_lines.len() < 2 && !is_blank {
                first_lines.push(line.clone());
            }
            match blocks
                .last_mut()
                .filter(|block| is_open && (is_blank || block.bytes + length <= bytes))
            {
                Some(block) => block.bytes += length,
                None if is_blank => {}
                None => {
                    blocks.push(Block { start, bytes: length, before: lines, samples: 0 });
                    is_open = true;
                }
            }
            // The first line is a block of its own, because it may be a header.
            is_open = is_open && blocks.len() > 1 || blocks.is_empty();
            start += length as u64;
            lines += 1;
        }
        let head = Table::of_text(&file, utf8(first_lines.concat(), &file)?, options, None, 0)?;
        let mut options = CsvOptions { header: Some(!head.header().is_empty()), ..options.clone() };
        let delimiter = head.delimiter();
        let mut header = String::new();
        if options.header == Some(true) {
            header = utf8(first_lines.swap_remove(0), &file)?;
            if !header.ends_with('\n') {
                header.push('\n');
            }
            blocks.remove(0);
        }
        if blocks.is_empty() {
            return Err(Error::format(
                file,
                "line 2",
                "samples below the header",
                "the end of the file",
            ));
        }
        options.task = Some(Task::Classes);
        Ok((CsvBlocks { file, header, delimiter, options }, blocks))
    }

    pub fn parse<T: Scalar>(&self, block: &Block, bytes: Vec<u8>) -> Result<Dataset<T>> {
        let text = self.header.clone() + &utf8(bytes, &self.file)?;
        let skipped = block.before - usize::from(!self.header.is_empty());
        let table = Table::of_text(&self.file, text, &self.options, Some(self.delimiter), skipped)?;
        dataset_of(&table, &self.options)
    }
}
