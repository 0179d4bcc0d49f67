//! A text file as a table.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::file::{TextBlock, TextFile};
use super::repeats::{self, Repeats};
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
    /// Rows that equal the header, where that is certain or possible.
    repeats: Option<Repeats>,
    /// Whether such a row is an error.
    refuses_repeats: bool,
    /// What a reader should know about this file, where it is read as the schema of another says.
    pub(super) notes: Vec<String>,
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
            repeats: None,
            refuses_repeats: false,
            notes: Vec::new(),
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

    /// Takes the first row for a header, until all rows below it are counted.
    pub(super) fn try_header(&mut self) -> Result<()> {
        self.set_header(true)?;
        self.refuses_repeats = false;
        Ok(())
    }

    /// Whether the first row names the columns.
    pub(super) fn set_header(&mut self, has_header: bool) -> Result<()> {
        self.dialect.header = has_header;
        let first = has_header.then(|| self.first_row()).transpose()?;
        self.repeats = first.as_deref().and_then(Repeats::of);
        self.refuses_repeats = true;
        self.names = first.map(|first| {
            let unnamed = self.dialect.row_names.then(String::new);
            column_names(unnamed.into_iter().chain(first))
        });
        Ok(())
    }

    /// The first row that equals the header, and how many there are, where all rows were read behind [`TextSource::try_header`].
    pub(super) fn repeats(&self) -> Option<(Spot, usize)> {
        self.repeats.as_ref().and_then(Repeats::found)
    }

    /// The error for a row that equals the header.
    pub(super) fn repeated_header(&self, spot: Spot) -> Error {
        Error::format(self.file.name(), self.line(spot), "a sample", repeats::FOUND)
    }

    /// Looks for the header among the rows below it.
    fn check_repeats(&self, block: usize, rows: &Rows, first: usize) -> Result<()> {
        let Some(repeats) = &self.repeats else { return Ok(()) };
        for row in (first..rows.len()).filter(|&row| repeats.is_header(rows.fields(row))) {
            let spot = Spot { block, row: rows.start(row) };
            if self.refuses_repeats {
                return Err(self.repeated_header(spot));
            }
            repeats.add(spot);
        }
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
        match rows.stray {
            None => Ok(rows),
            Some(stray) => {
                let text = self.file.read(&self.blocks[block], String::new())?;
                Err(stray.error(&self.name(), self.line(Spot { block, row: stray.at }), &text))
            }
        }
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
            let spot = Spot { block, row: rows.start(row) };
            if repeats::is_rule(self.width, rows.fields(row)) {
                let place = self.line(spot);
                return Err(Error::format(self.file.name(), place, "a sample", repeats::DASHES));
            }
            self.check_width(spot, rows.width(row))?;
        }
        self.check_repeats(block, &rows, skipped)?;
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
