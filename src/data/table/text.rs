//! A text file as a table.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::file::{TextBlock, TextFile};
use super::rows::{EmptyRows, Rows};
use super::schema::Dialect;
use super::source::{ColumnCells, Source, Visit};
use super::survey::Spot;
use crate::data::text::counted;
use crate::{Error, Result};

/// Columns of a text, at most: what is counted for each takes about a thousand bytes.
const MAX_COLUMNS: usize = 200_000;

/// A text file that is divided into blocks.
pub(super) struct TextSource {
    pub(super) file: TextFile,
    pub(super) dialect: Dialect,
    blocks: Vec<TextBlock>,
    width: usize,
    /// The names of the columns, where there is a header.
    names: Option<Vec<String>>,
    pub(super) on_empty: EmptyRows,
    /// The first block that has rows.
    first_block: usize,
    /// Rows that are no longer needed, whose memory others take.
    spare: Mutex<Vec<Rows>>,
}

impl TextSource {
    /// Divides the file into blocks of about `bytes` bytes.
    pub(super) fn new(file: TextFile, dialect: Dialect, bytes: usize) -> Result<Self> {
        let blocks = file.blocks(&dialect, bytes)?;
        let mut source = TextSource {
            file,
            dialect,
            blocks,
            width: 0,
            names: None,
            first_block: 0,
            spare: Mutex::default(),
            on_empty: EmptyRows::LeaveOut,
        };
        while source.first_block < source.blocks.len()
            && source.rows_of(source.first_block)?.len() == 0
        {
            source.first_block += 1;
        }
        let first = source.first_row()?;
        source.width = first.len() + usize::from(source.dialect.row_names);
        if source.width > MAX_COLUMNS {
            let expected = format!("at most {}", counted(MAX_COLUMNS, "column"));
            return Err(Error::format(
                source.name(),
                "the columns",
                expected,
                source.width.to_string(),
            ));
        }
        Ok(source)
    }

    /// Whether the first row names the columns.
    pub(super) fn set_header(&mut self, has_header: bool) -> Result<()> {
        self.dialect.header = has_header;
        self.names = has_header.then(|| self.first_row()).transpose()?.map(|first| {
            let unnamed = self.dialect.row_names.then(String::new);
            column_names(unnamed.into_iter().chain(first))
        });
        Ok(())
    }

    /// The fields of the first row.
    pub(super) fn first_row(&self) -> Result<Vec<String>> {
        if self.first_block == self.blocks.len() {
            let expected = "a header or a sample";
            return Err(Error::format(self.file.name(), "line 1", expected, "an empty file"));
        }
        Ok(self.rows_of(self.first_block)?.fields(0).map(str::to_owned).collect())
    }

    fn rows_of(&self, block: usize) -> Result<Rows> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut rows = spare.unwrap_or_default();
        let text = self.file.read(&self.blocks[block], rows.take_text())?;
        rows.parse(text, &self.dialect, self.on_empty);
        Ok(rows)
    }

    /// Refuses a row with other fields than the first.
    fn check_width(&self, spot: Spot, found: usize) -> Result<()> {
        if found == self.width {
            return Ok(());
        }
        let expected = format!("{}, as the first row has", counted(self.width, "field"));
        Err(Error::format(self.file.name(), self.line(spot), expected, counted(found, "field")))
    }

    fn line(&self, spot: Spot) -> String {
        match self.file.line(&self.blocks[spot.block], spot.row) {
            Ok(line) => format!("line {line}"),
            Err(_) => format!("byte {} of block {}", spot.row, spot.block),
        }
    }
}

impl Source for TextSource {
    fn name(&self) -> String {
        self.file.name()
    }

    fn names(&self) -> Option<Vec<String>> {
        self.names.clone()
    }

    fn dialect(&self) -> Option<Dialect> {
        Some(self.dialect.clone())
    }

    fn width(&self) -> usize {
        self.width
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn visit(&self, block: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize> {
        let rows = self.rows_of(block)?;
        if self.on_empty == EmptyRows::Keep && self.width == 1 && rows.blank > 0 {
            let expected = "a value in every line, or NA where one is missing";
            return Err(Error::format(self.file.name(), "the rows", expected, "blank lines"));
        }
        let skipped = usize::from(self.dialect.header && block == self.first_block);
        for row in skipped..rows.len() {
            self.check_width(Spot { block, row: rows.start(row) }, rows.width(row))?;
        }
        for (place, &column) in columns.iter().enumerate() {
            visit(place, &ColumnCells::Fields(rows.column(column, skipped..rows.len())))?;
        }
        let empty = rows.empty;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
        Ok(empty)
    }

    fn place(&self, spot: Spot, column: usize) -> String {
        format!("{}, column {}", self.line(spot), column + 1)
    }
}

/// The names in a header: "column N" for one that is empty, and "name #N" for a name that comes again.
pub(super) fn column_names(written: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let name = |(place, written): (usize, String)| {
        let written = if place == 0 { written.trim_start_matches('#').trim() } else { &written };
        let name = match written {
            "" => format!("column {}", place + 1),
            name => name.to_owned(),
        };
        if seen.insert(name.clone()) { name } else { format!("{name} #{}", place + 1) }
    };
    written.enumerate().map(name).collect()
}
