//! Random tables that the crate `csv` writes, read back cell by cell.

use std::fmt::Write;

use travertine::data::{Delimiter, Label, MISSING, Role, Table, TableOptions, Values};
use travertine::random::{Philox, Purpose};

use super::folder::Folder;

const TABLES: u64 = 300;

/// Numbers from a seed, one after the other.
struct Dice(Philox, u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.1 += 1;
        self.0.below(self.1, bound as u64) as usize
    }

    fn uniform(&mut self) -> f64 {
        self.1 += 1;
        self.0.uniform(self.1)
    }

    /// A text of pieces that readers stumble on; never a number, nor a word for a missing value.
    fn text(&mut self) -> String {
        const PIECES: [&str; 20] = [
            "\"", "\"\"", ",", ";", "\t", "|", "\n", "\r\n", " ", "  ", "ä", "東京", "'", "#", "a",
            "B", "7", ".", "\u{a0}", "\\",
        ];
        let mut text = String::from("t");
        for _ in 0..self.below(6) {
            text.push_str(PIECES[self.below(PIECES.len())]);
        }
        text
    }
}

/// A table as it is written, and what its cells are.
struct Written {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    is_text: Vec<bool>,
}

fn table(dice: &mut Dice) -> Written {
    let (columns, rows) = (2 + dice.below(5), 6 + dice.below(40));
    // The last column has numbers without gaps, so that there is a header and no row is empty.
    let is_text: Vec<bool> = (0..columns).map(|c| c + 1 < columns && dice.below(2) == 0).collect();
    let texts: Vec<String> = (0..5).map(|_| dice.text()).collect();
    let cell = |dice: &mut Dice, column: usize| match is_text[column] {
        _ if column + 1 < columns && dice.below(10) == 0 => String::new(),
        true => texts[dice.below(texts.len())].clone(),
        false => (2e3 * dice.uniform() - 1e3).to_string(),
    };
    let rows = (0..rows).map(|_| (0..columns).map(|c| cell(dice, c)).collect()).collect();
    let names = (0..columns).map(|c| format!("{} {c}", dice.text())).collect();
    Written { names, rows, is_text }
}

impl Written {
    fn save(&self, dice: &mut Dice, with_header: bool) -> Vec<u8> {
        let delimiter = [Delimiter::Comma, Delimiter::Semicolon, Delimiter::Tab, Delimiter::Bar];
        let style = [csv::QuoteStyle::Necessary, csv::QuoteStyle::Always];
        let end = [csv::Terminator::Any(b'\n'), csv::Terminator::CRLF];
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter[dice.below(4)].byte())
            .quote_style(style[dice.below(2)])
            .terminator(end[dice.below(2)])
            .from_writer(Vec::new());
        if with_header {
            writer.write_record(&self.names).unwrap();
        }
        self.rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    }

    /// What differs in the columns that were read.
    fn differences(&self, columns: &[travertine::data::Column], with_header: bool) -> String {
        let mut found = String::new();
        for (place, column) in columns.iter().enumerate() {
            if with_header && column.name != self.names[place].trim() {
                let _ = writeln!(found, "{:?} not {:?}", column.name, self.names[place]);
            }
            for (row, cells) in self.rows.iter().enumerate() {
                let expected = cells[place].trim();
                let same = match &column.values {
                    Values::Texts { codes, .. } if codes[row] == MISSING => expected.is_empty(),
                    Values::Texts { codes, names } => names[codes[row] as usize] == expected,
                    Values::Numbers(values) if values[row].is_nan() => expected.is_empty(),
                    Values::Numbers(values) => {
                        !self.is_text[place] && expected.parse() == Ok(values[row])
                    }
                    Values::Dates(_) => false,
                };
                if !same {
                    let _ = writeln!(found, "row {row}, column {place}: not {expected:?}");
                }
            }
        }
        found
    }
}

#[test]
fn whatever_is_written_is_read_back() {
    let folder = Folder::new();
    let path = folder.join("table.csv");
    for seed in 0..TABLES {
        let mut dice = Dice(Philox::new(seed, Purpose::User, 0), 0);
        let written = table(&mut dice);
        let with_header = dice.below(4) > 0;
        let text = written.save(&mut dice, with_header);
        std::fs::write(&path, &text).unwrap();
        let text = String::from_utf8_lossy(&text);
        let options = TableOptions { label: Label::None, ..TableOptions::default() };
        let schema = Table::open(&path, &options);
        let schema = schema.unwrap_or_else(|e| panic!("{seed}: {e}\n{text}")).schema().clone();
        assert_eq!(schema.columns.len(), written.names.len(), "{seed}: {schema}\n{text}");
        let keep = schema.with_role(Role::LeftOut).map(|place| format!("#{}", place + 1));
        let options = TableOptions { keep: keep.collect(), ..options };
        let frame = Table::open(&path, &options).and_then(|table| table.read());
        let frame = frame.unwrap_or_else(|e| panic!("{seed}: {e}\n{text}"));
        assert_eq!(frame.samples(), written.rows.len(), "{seed}: {schema}\n{text}");
        let differences = written.differences(frame.columns(), with_header);
        assert!(differences.is_empty(), "{seed}: {schema}\n{text}\n{differences}");
    }
}
