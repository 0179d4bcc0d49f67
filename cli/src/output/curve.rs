//! The loss so far, drawn with characters: what `train` shows under its bar where the terminal has room.

use crate::output::text::digits;

/// Lines of the drawing.
const HEIGHT: usize = 6;
/// Characters beside it: the numbers at the axis.
const MARGIN: usize = 10;
const WIDEST: usize = 72;
/// On anything smaller the drawing would take the place of the text.
const SMALLEST_TERMINAL: (usize, usize) = (18, 40);
/// The axis is logarithmic if the highest loss is so many times the lowest.
const LOGARITHMIC: f64 = 30.0;

/// Losses over the whole training, in as many places as the widest drawing has dots.
pub(crate) struct Curve {
    /// (sum over samples, samples)
    places: Vec<(f64, f64)>,
    /// Held-out losses by place.
    tests: Vec<Option<f64>>,
    epochs: usize,
    /// Of all epochs.
    samples: f64,
}

impl Curve {
    /// For so many epochs of so many samples.
    pub(crate) fn new(epochs: usize, samples: usize) -> Self {
        let count = 2 * WIDEST;
        Curve {
            places: vec![(0.0, 0.0); count],
            tests: vec![None; count],
            epochs,
            samples: epochs as f64 * samples as f64,
        }
    }

    /// `loss`: mean over `count` samples, after which `done` of all epochs are done.
    pub(crate) fn train(&mut self, done: f64, count: f64, loss: f64) {
        let place = self.place(done - count / 2.0);
        if loss.is_finite() && count > 0.0 {
            self.places[place].0 += loss * count;
            self.places[place].1 += count;
        }
    }

    /// The held-out loss after `done` samples of all epochs.
    pub(crate) fn test(&mut self, done: f64, loss: f64) {
        let place = self.place(done);
        self.tests[place] = Some(loss).filter(|loss| loss.is_finite());
    }

    fn place(&self, done: f64) -> usize {
        ((done / self.samples * self.places.len() as f64) as usize).min(self.places.len() - 1)
    }

    /// The drawing for a terminal of so many rows and columns, if it has room and there are two places to join.
    pub(crate) fn draw(&self, rows: usize, columns: usize) -> Option<String> {
        if rows < SMALLEST_TERMINAL.0 || columns < SMALLEST_TERMINAL.1 {
            return None;
        }
        let width = (columns - MARGIN - 1).min(WIDEST);
        let losses = self.losses(2 * width);
        let tests: Vec<(usize, f64)> = (0..)
            .zip(&self.tests)
            .filter_map(|(i, test)| Some((i * width / self.tests.len(), (*test)?)))
            .collect();
        let all = || losses.iter().flatten().copied().chain(tests.iter().map(|test| test.1));
        let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| {
            (low.min(loss), high.max(loss))
        });
        if losses.iter().flatten().count() < 2 || high <= low {
            return None;
        }
        let logarithmic = low > 0.0 && high / low > LOGARITHMIC;
        let place = |loss: f64| {
            if logarithmic {
                (loss / low).ln() / (high / low).ln()
            } else {
                (loss - low) / (high - low)
            }
        };
        // From the top.
        let dot = |loss: f64| ((1.0 - place(loss)) * (4 * HEIGHT - 1) as f64).round() as usize;

        let mut cells = vec![vec![0u8; width]; HEIGHT];
        let mut before = None;
        for (x, loss) in losses.iter().enumerate() {
            let Some(y) = loss.map(dot) else { continue };
            let (from, to) = (before.unwrap_or(y).min(y), before.unwrap_or(y).max(y));
            (from..=to).for_each(|y| cells[y / 4][x / 2] |= BRAILLE[x % 2][y % 4]);
            before = Some(y);
        }
        let mut lines: Vec<Vec<char>> =
            cells.iter().map(|row| row.iter().map(|&bits| braille(bits)).collect()).collect();
        tests.iter().for_each(|&(x, loss)| lines[dot(loss) / 4][x] = 'o');
        let label = |row| match row {
            0 => digits(high),
            row if row == HEIGHT - 1 => digits(low),
            _ => String::new(),
        };
        let line = |(row, line): (usize, Vec<char>)| {
            format!("{:>MARGIN$}", label(row) + " │") + &String::from_iter(line)
        };
        let drawing: Vec<String> = lines.into_iter().enumerate().map(line).collect();
        let held_out = if tests.is_empty() { "" } else { ", o held-out" };
        let scale = if logarithmic { ", logarithmic" } else { "" };
        let words = format!("loss over epochs 1 to {}{held_out}{scale}", self.epochs);
        Some(format!(
            "{}\n{:>MARGIN$}{}\n{:>MARGIN$}{words}",
            drawing.join("\n"),
            "└",
            "─".repeat(width),
            ""
        ))
    }

    /// One loss a dot, joined from the first that is known to the last.
    fn losses(&self, width: usize) -> Vec<Option<f64>> {
        let mut dots = vec![(0.0, 0.0); width];
        for (i, (sum, count)) in self.places.iter().enumerate() {
            let dot = &mut dots[i * width / self.places.len()];
            *dot = (dot.0 + sum, dot.1 + count);
        }
        // A few samples are noise: a dot needs half of those that belong to it.
        let enough = 0.5 * self.samples / width as f64;
        let known: Vec<(usize, f64)> = (0..)
            .zip(&dots)
            .filter(|(_, (_, count))| *count >= enough)
            .map(|(x, (sum, count))| (x, sum / count))
            .collect();
        let mut losses = vec![None; width];
        known.iter().for_each(|&(x, loss)| losses[x] = Some(loss));
        for pair in known.windows(2) {
            let ((x, loss), (next, to)) = (pair[0], pair[1]);
            let between = |x: usize, i: usize| (i - x) as f64 / (next - x) as f64;
            (x..next).for_each(|i| losses[i] = Some(loss + between(x, i) * (to - loss)));
        }
        losses
    }
}

/// Bits of the eight dots of a character from U+2800, column by column.
const BRAILLE: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

fn braille(bits: u8) -> char {
    match bits {
        0 => ' ',
        bits => char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' '),
    }
}

#[cfg(test)]
mod tests {
    use super::Curve;

    #[test]
    fn a_falling_loss_falls_from_the_upper_left_to_the_lower_right() {
        let mut curve = Curve::new(4, 100);
        assert_eq!(curve.draw(24, 80), None, "nothing to draw yet");
        (1..=4)
            .for_each(|epoch| curve.train(100.0 * f64::from(epoch), 100.0, 5.0 - f64::from(epoch)));
        curve.test(400.0, 2.5);
        let drawing = curve.draw(24, 60).unwrap();
        let lines: Vec<&str> = drawing.lines().collect();
        assert!(
            lines.len() == 8 && lines.iter().all(|line| line.chars().count() < 60),
            "{drawing}"
        );
        assert!(
            lines[0].starts_with("  4.0000 │") && lines[5].starts_with("  1.0000 │"),
            "{drawing}"
        );
        let first = |line: &str| line.chars().skip(10).position(|c| c != ' ').unwrap();
        assert!(
            first(lines[0]) < first(lines[2]) && first(lines[2]) < first(lines[5]),
            "{drawing}"
        );
        assert!(lines[2].ends_with('o') || lines[3].ends_with('o'), "{drawing}");
        assert_eq!(curve.draw(10, 60), None);
        assert_eq!(curve.draw(24, 30), None);
    }

    #[test]
    fn what_is_not_finite_is_not_drawn() {
        let mut curve = Curve::new(1, 10);
        [f64::NAN, f64::INFINITY, 1.0, 1e308, 0.5].into_iter().enumerate().for_each(|(i, loss)| {
            curve.train(2.0 * (i + 1) as f64, 2.0, loss);
            curve.test(2.0, loss);
        });
        assert!(curve.draw(50, 200).is_some());
    }
}
