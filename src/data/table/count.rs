//! A whole table, counted block by block on all cores.

use super::cell::Cell;
use super::draft::ColumnDraft;
use super::number::Plain;
use super::parallel::in_order;
use super::rows::Fields;
use super::source::{ColumnCells, Source};
use super::survey::{ColumnSurvey, Field, NumberRun, Spot, may_be_code};
use crate::Result;

/// What stands in a table.
pub(super) struct Counted {
    pub(super) columns: Vec<ColumnSurvey>,
    pub(super) rows: usize,
    /// Rows of empty fields, which are left out.
    pub(super) empty_rows: usize,
    /// The columns, if they are kept.
    pub(super) drafts: Option<Vec<ColumnDraft>>,
}

impl Counted {
    /// Counts what stands in all columns; `keep`: keeps the columns as well, where all values are fields of a text.
    pub(super) fn new(source: &dyn Source, missing: &[String], keep: bool) -> Result<Self> {
        let width = source.width();
        let can_be_read = |column: &usize| source.unreadable(*column).is_none();
        let columns: Vec<usize> = (0..width).filter(can_be_read).collect();
        let blocks: Vec<usize> = (0..source.blocks()).collect();
        let mut all = Counted::empty(width, keep);
        let count = |&block: &usize| {
            let mut counted = Counted::empty(width, keep);
            let Counted { columns: surveys, rows, drafts, .. } = &mut counted;
            let mut drafts = drafts.as_mut();
            counted.empty_rows = source.visit(block, &columns, &mut |place, cells| {
                let column = columns[place];
                let survey = &mut surveys[column];
                let draft = drafts.as_mut().map(|drafts| &mut drafts[column]);
                *rows = match cells {
                    ColumnCells::Fields(fields) => {
                        count_fields(fields, block, survey, draft, missing);
                        fields.len()
                    }
                    ColumnCells::Typed(_) => cells.each(|row, cell| {
                        survey.add(cell, Spot { block, row }, missing);
                        Ok(())
                    })?,
                };
                Ok(())
            })?;
            Ok(counted)
        };
        in_order(&blocks, count, |_, counted| {
            all.append(counted);
            Ok(())
        })?;
        Ok(all)
    }

    fn empty(width: usize, keep: bool) -> Self {
        let columns = vec![ColumnSurvey::default(); width];
        let drafts = keep.then(|| columns.iter().map(|_| ColumnDraft::new()).collect());
        Counted { columns, rows: 0, empty_rows: 0, drafts }
    }

    /// Adds what stands below.
    fn append(&mut self, below: Counted) {
        let columns = self.columns.iter_mut().zip(below.columns);
        columns.for_each(|(all, survey)| all.merge(survey));
        let drafts = self.drafts.iter_mut().flatten().zip(below.drafts.into_iter().flatten());
        drafts.for_each(|(all, draft)| all.append(draft));
        self.rows += below.rows;
        self.empty_rows += below.empty_rows;
    }

    /// The same with a row in front.
    pub(super) fn with_first_row(self, first: &[String], missing: &[String]) -> Self {
        let mut all = Counted::empty(self.columns.len(), self.drafts.is_some());
        for (field, survey) in first.iter().zip(&mut all.columns) {
            survey.add(Cell::Text(field), Spot::default(), missing);
        }
        for (field, draft) in first.iter().zip(all.drafts.iter_mut().flatten()) {
            draft.add(&Field::new(field, missing));
        }
        all.rows = 1;
        all.append(self);
        all
    }
}

/// Counts the fields of a column, and keeps them.
fn count_fields(
    fields: &Fields<'_>,
    block: usize,
    survey: &mut ColumnSurvey,
    mut draft: Option<&mut ColumnDraft>,
    missing: &[String],
) {
    // Where only the values of numbers matter, as in most columns, they are counted many at a time.
    let mut run = NumberRun::new();
    let mut in_run = false;
    let text = fields.text();
    for (row, place) in fields.places() {
        if in_run
            && let Some(plain) = Plain::short_in(text.as_bytes(), place.clone())
                .or_else(|| Plain::of(&text[place.clone()]))
            && !may_be_code(&plain, &text[place.clone()])
        {
            run.push(plain);
            if run.is_full() {
                end_run(&mut run, survey, &mut draft);
            }
            continue;
        }
        end_run(&mut run, survey, &mut draft);
        let field = Field::new(&text[place], missing);
        survey.add_field(&field, Spot { block, row });
        if let Some(draft) = &mut draft {
            draft.add(&field);
        }
        in_run = missing.is_empty()
            && survey.many_numbers
            && draft.as_ref().is_none_or(|draft| draft.keeps_no_texts());
    }
    end_run(&mut run, survey, &mut draft);
}

fn end_run(run: &mut NumberRun, survey: &mut ColumnSurvey, draft: &mut Option<&mut ColumnDraft>) {
    if run.values().is_empty() {
        return;
    }
    survey.add_run(run);
    if let Some(draft) = draft {
        draft.add_run(run.values());
    }
    run.clear();
}
