//! Line charts as SVG: curves that are told apart by color, dashes and their names beside the last value.

use super::escaped;

/// The drawing in its own units; text of 12 is then readable on a telephone as on a desk.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
/// Where the curves are: left, right, top, bottom.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 290.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 214.0;
/// A finer curve is no better to see.
const MOST_POINTS: usize = 800;
/// With more points, marks hide the curve.
const MOST_MARKS: usize = 40;
/// Larger values span more than this on a logarithmic axis.
const LOGARITHMIC: f64 = 30.0;

/// One curve.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Curves over epochs, or other points.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: String,
    /// What stands behind every value: "%" or nothing.
    pub(super) unit: &'static str,
    /// Not joined by lines.
    pub(super) scattered: bool,
    pub(super) series: Vec<Series>,
}

/// Values along an axis: (value, its place between 0 and 1), and how a value gets there.
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Chart {
    /// Nothing where there is nothing to draw.
    pub(super) fn svg(mut self) -> String {
        for series in &mut self.series {
            // Differences of what is left are finite.
            series.points.retain(|(x, y)| x.abs() < 1e300 && y.abs() < 1e300);
        }
        self.series.retain(|series| !series.points.is_empty());
        let of = |pick: fn(&(f64, f64)) -> f64| {
            self.series.iter().flat_map(|series| &series.points).map(pick).collect::<Vec<_>>()
        };
        let (xs, ys) = (of(|point| point.0), of(|point| point.1));
        if xs.is_empty() {
            return String::new();
        }
        let x = if self.scattered { Axis::of(&xs, false) } else { Axis::of_epochs(&xs) };
        let y = Axis::of(&ys, !self.scattered);
        let (title, epochs) = (escaped(&self.title), escaped(&self.x));
        let mut svg = format!(
            "<figure class=\"card\"><figcaption>{title}{}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n",
            if y.logarithmic { " <small>(logarithmic)</small>" } else { "" }
        );
        let at_x = |value: f64| LEFT + x.place(value) * (RIGHT - LEFT);
        let at_y = |value: f64| BOTTOM - y.place(value) * (BOTTOM - TOP);
        for &tick in &y.ticks {
            let (at, text) = (at_y(tick), value(tick, y.step(), self.unit));
            svg += &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.2}\" y2=\"{at:.2}\"/>"
            );
            svg += &format!(
                "<text class=\"tick\" x=\"{}\" y=\"{:.2}\" text-anchor=\"end\">{text}</text>\n",
                LEFT - 6.0,
                at + 4.0
            );
        }
        for &tick in &x.ticks {
            let (at, text) =
                (at_x(tick), value(tick, x.step(), if self.scattered { self.unit } else { "" }));
            svg += &format!(
                "<line class=\"axis\" x1=\"{at:.2}\" x2=\"{at:.2}\" y1=\"{BOTTOM}\" y2=\"{}\"/>",
                BOTTOM + 4.0
            );
            svg += &format!(
                "<text class=\"tick\" x=\"{at:.2}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n",
                BOTTOM + 17.0
            );
        }
        svg += &format!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>"
        );
        let middle = (LEFT + RIGHT) / 2.0;
        svg += &format!(
            "<text class=\"label\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{epochs}</text>\n",
            BOTTOM + 36.0
        );
        if self.scattered {
            let (low, high) = (x.low.max(y.low), x.high.min(y.high));
            let ends = [at_x(low), at_y(low), at_x(high), at_y(high)].map(|at| format!("{at:.2}"));
            svg += &format!(
                "<line class=\"ideal\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
                ends[0], ends[1], ends[2], ends[3]
            );
        }
        let last = |series: &Series| series.points.last().map_or(0.0, |point| at_y(point.1));
        let labels = spread(&self.series.iter().map(last).collect::<Vec<_>>());
        for (i, (series, label)) in self.series.iter().zip(labels).enumerate() {
            let points = thinned(&series.points);
            if self.scattered {
                for &(px, py) in &points {
                    svg += &format!(
                        "<circle class=\"dot\" cx=\"{:.2}\" cy=\"{:.2}\" r=\"2.5\"/>",
                        at_x(px),
                        at_y(py)
                    );
                }
                continue;
            }
            let name = escaped(&series.name);
            let path: Vec<String> =
                points.iter().map(|&(px, py)| format!("{:.2} {:.2}", at_x(px), at_y(py))).collect();
            svg += &format!(
                "<path class=\"curve c{}\" data-name=\"{name}\" d=\"M{}\"/>\n",
                i % 8,
                path.join("L")
            );
            let marked =
                if points.len() <= MOST_MARKS { &points[..] } else { &points[points.len() - 1..] };
            for &(px, py) in marked {
                let tip = format!("{name}, {epochs} {px}: {}", exact(py, self.unit));
                svg += &mark(i, at_x(px), at_y(py), &tip);
            }
            let (px, py) = series.points[series.points.len() - 1];
            let (from, to) = (at_x(px) + 4.0, RIGHT + 10.0);
            svg += &format!(
                "<line class=\"lead\" x1=\"{from:.2}\" y1=\"{:.2}\" x2=\"{to}\" y2=\"{label:.2}\"/>",
                at_y(py)
            );
            let text = format!("{name} {}", exact(py, self.unit));
            svg += &format!(
                "<text class=\"end t{}\" x=\"{}\" y=\"{:.2}\">{text}</text>\n",
                i % 8,
                to + 2.0,
                label + 4.0
            );
        }
        svg + "</svg></figure>\n"
    }
}

/// Circle, square, diamond, triangle in turn: curves differ without color too.
fn mark(series: usize, x: f64, y: f64, tip: &str) -> String {
    let shape = match series % 4 {
        0 => format!("<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"2.6\""),
        1 => format!("<rect x=\"{:.2}\" y=\"{:.2}\" width=\"5\" height=\"5\"", x - 2.5, y - 2.5),
        2 => format!("<path d=\"M{x:.2} {:.2}l3.4 3.4l-3.4 3.4l-3.4 -3.4z\"", y - 3.4),
        _ => format!("<path d=\"M{x:.2} {:.2}l3.4 5.6h-6.8z\"", y - 3.2),
    };
    let kind = if series % 4 < 2 {
        shape.split(' ').next().unwrap_or_default().to_owned()
    } else {
        "<path".to_owned()
    };
    format!("{shape} class=\"mark m{}\"><title>{tip}</title></{}>", series % 8, &kind[1..])
}

/// Labels at these heights, moved apart until none covers another.
fn spread(heights: &[f64]) -> Vec<f64> {
    const APART: f64 = 14.0;
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut placed = heights.to_vec();
    for pair in 1..order.len() {
        let (above, here) = (order[pair - 1], order[pair]);
        placed[here] = placed[here].max(placed[above] + APART);
    }
    let mut limit = BOTTOM;
    for &here in order.iter().rev() {
        placed[here] = placed[here].min(limit);
        limit = placed[here] - APART;
    }
    placed
}

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(MOST_POINTS);
    let mut kept: Vec<_> = points.iter().copied().step_by(every).collect();
    if !(points.len() - 1).is_multiple_of(every) {
        kept.extend(points.last());
    }
    kept
}

impl Axis {
    fn of(values: &[f64], may_be_logarithmic: bool) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if may_be_logarithmic && low > 1e-300 && high / low > LOGARITHMIC {
            return Axis::logarithmic(low, high);
        }
        let (low, high) = match (low, high) {
            // A constant, between 0 and its double.
            _ if high - low < 1e-9 * high.abs().max(1e-290) => {
                ((2.0 * low).min(0.0), if low == 0.0 { 1.0 } else { (2.0 * low).max(0.0) })
            }
            // The way to 0 shows how far it is.
            _ if low > 0.0 && low < 0.4 * high => (0.0, high),
            limits => limits,
        };
        let step = nice_step((high - low) / 5.0);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> =
            (0..=(last - first) as u32).map(|i| (first + f64::from(i)) * step).collect();
        Axis { low: first * step, high: last * step, logarithmic: false, ticks }
    }

    fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor(), high.log10().ceil());
        let every = ((last - first) / 6.0).ceil().max(1.0);
        let decades = (0..=((last - first) / every) as u32).map(|i| first + every * f64::from(i));
        let between: &[f64] = if high / low < 500.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks =
            decades.flat_map(|decade| between.iter().map(move |digit| digit * 10f64.powf(decade)));
        let (low, high) = (10f64.powf(first).max(low / 1.2), 10f64.powf(last).min(high * 1.2));
        let ticks = ticks.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect();
        Axis { low, high, logarithmic: true, ticks }
    }

    /// Whole numbers, without room to the left and right.
    fn of_epochs(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if high - low < 1.0 {
            return Axis { low: low - 1.0, high: high + 1.0, logarithmic: false, ticks: vec![low] };
        }
        let step = nice_step((high - low) / 6.0).max(1.0);
        let inner = (1..)
            .map(|i| (low / step).floor() * step + step * f64::from(i))
            .take_while(|tick| *tick <= high);
        // The first epoch has its number, and none that is too near to it.
        let ticks = [low].into_iter().chain(inner.filter(|tick| tick - low > 0.6 * step)).collect();
        Axis { low, high, logarithmic: false, ticks }
    }

    fn place(&self, value: f64) -> f64 {
        let place = match self.logarithmic {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        place.clamp(0.0, 1.0)
    }

    /// What numbers at the ticks must tell apart.
    fn step(&self) -> Option<f64> {
        match self.ticks[..] {
            [.., before, last] if !self.logarithmic => Some(last - before),
            _ => None,
        }
    }
}

/// 1, 2 or 5 times a power of ten, not less than `x`.
fn nice_step(x: f64) -> f64 {
    let power = 10f64.powf(x.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= 0.999 * x)
        .unwrap_or(10.0 * power)
}

/// A tick with the digits that its axis needs.
fn value(x: f64, step: Option<f64>, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { "\u{a0}" };
    match step {
        Some(step) if x == 0.0 || (1e-4..1e6).contains(&x.abs()) && step >= 1e-5 => {
            let decimals = (-step.log10().floor()).max(0.0) as usize;
            let x = if x.abs() < 1e-6 * step { 0.0 } else { x };
            format!("{x:.decimals$}{space}{unit}")
        }
        _ => exact(x, unit),
    }
}

/// A value with four digits.
pub(super) fn exact(x: f64, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { "\u{a0}" };
    if x == 0.0 {
        return format!("0{space}{unit}");
    }
    let text = match x.abs().log10().floor() {
        power if (-4.0..6.0).contains(&power) => {
            let text = format!("{x:.decimals$}", decimals = (3.0 - power).max(0.0) as usize);
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        _ => format!("{x:.2e}").replace(".00e", "e"),
    };
    format!("{text}{space}{unit}")
}
