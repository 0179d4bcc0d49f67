//! Arrow files and streams as tables, Feather files among them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::MetadataVersion;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_schema::Schema;

use super::column::Columns;
use super::guard::guarded;
use super::ipc::{ArrowFile, Contents, Place, message};
use crate::data::table::{ColumnCells, Source, Spot, Visit, VisitCell};
use crate::{Error, Result};

/// An Arrow file; a block is a batch of it.
pub(super) struct ArrowSource {
    path: PathBuf,
    schema: Arc<Schema>,
    version: MetadataVersion,
    columns: Columns,
    dictionaries: HashMap<i64, ArrayRef>,
    batches: Vec<Batch>,
}

struct Batch {
    place: Place,
    rows: usize,
    /// The number of the first row in the file.
    first: usize,
}

impl ArrowSource {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = ArrowFile::open(path).map_err(|source| Error::io("read", path, source))?;
        let unsound = |found: String| {
            Error::format(path.display().to_string(), "metadata", "a sound Arrow file", found)
        };
        let contents = guarded(|| file.contents()).map_err(unsound)?;
        let dictionaries = guarded(|| dictionaries(&file, &contents)).map_err(unsound)?;
        let (mut batches, mut first) = (Vec::new(), 0);
        for place in contents.batches {
            let rows = guarded(|| file.rows(place)).map_err(unsound)?;
            if rows > 0 {
                batches.push(Batch { place, rows, first });
            }
            first += rows;
        }
        Ok(ArrowSource {
            path: path.to_owned(),
            columns: Columns::new(path, &contents.schema),
            schema: contents.schema,
            version: contents.version,
            dictionaries,
            batches,
        })
    }

    /// Decodes these columns of a batch.
    fn read(&self, batch: &Batch, columns: &[usize]) -> Result<RecordBatch, String> {
        let file = ArrowFile::open(&self.path).map_err(|error| error.to_string())?;
        let bytes = file.message(batch.place)?;
        let message = message(&bytes)?;
        let values = message.header_as_record_batch().ok_or("a message without a batch")?;
        read_record_batch(
            &bytes.slice(batch.place.metadata_bytes),
            values,
            self.schema.clone(),
            &self.dictionaries,
            Some(columns),
            &self.version,
        )
        .map_err(|error| error.to_string())
    }
}

fn dictionaries(file: &ArrowFile, contents: &Contents) -> Result<HashMap<i64, ArrayRef>, String> {
    let mut dictionaries = HashMap::new();
    for &place in &contents.dictionaries {
        let bytes = file.message(place)?;
        let message = message(&bytes)?;
        let values =
            message.header_as_dictionary_batch().ok_or("a message without a dictionary")?;
        let body = bytes.slice(place.metadata_bytes);
        read_dictionary(&body, values, &contents.schema, &mut dictionaries, &contents.version)
            .map_err(|error| error.to_string())?;
    }
    Ok(dictionaries)
}

impl Source for ArrowSource {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn names(&self) -> Option<Vec<String>> {
        Some(self.columns.names())
    }

    fn width(&self) -> usize {
        self.columns.width()
    }

    fn blocks(&self) -> usize {
        self.batches.len()
    }

    fn unreadable(&self, column: usize) -> Option<String> {
        self.columns.unreadable(column)
    }

    fn visit(&self, block: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize> {
        columns.iter().try_for_each(|&column| self.columns.check(column))?;
        let batch = &self.batches[block];
        let mut read = columns.to_vec();
        read.sort_unstable();
        read.dedup();
        let decoded = guarded(|| self.read(batch, &read)).map_err(|found| {
            let place = format!("the batch from row {}", batch.first + 1);
            Error::format(self.name(), place, "sound values that can be read", found)
        })?;
        for (place, &column) in columns.iter().enumerate() {
            let found = read.binary_search(&column).unwrap_or_default();
            let each = |visit: &mut VisitCell<'_>| {
                let values = &**decoded.column(found);
                let rows = self.columns.visit(column, values, batch.first, visit)?;
                if rows != batch.rows {
                    let found = format!("{rows} values for {} rows", batch.rows);
                    return Err(self.columns.unsound(column, &found));
                }
                Ok(())
            };
            visit(place, &ColumnCells::Typed(&each))?;
        }
        Ok(0)
    }

    fn place(&self, spot: Spot, column: usize) -> String {
        format!("row {}, column {}", spot.row + 1, column + 1)
    }
}
