//! Charts as SVG: curves that differ in color, dashes and marks, with their names beside the last value; or dots beside a
//! line that says where they should be.

use maud::{Markup, html};

use super::plain;

/// Size of the drawing in its own units; text of 12 is then readable on a telephone and on a desk.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
/// Limits of the curves.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 290.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 214.0;
/// Where the labels of curves begin.
const LABELS: f64 = RIGHT + 10.0;
/// A finer curve looks the same.
const MOST_POINTS: usize = 800;
/// With more points, marks hide the curve.
const MOST_MARKS: usize = 40;
/// A larger ratio of values has a logarithmic axis.
const LOGARITHMIC: f64 = 30.0;
/// Colors of curves.
const COLORS: usize = 8;

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
    pub(super) form: Form,
    pub(super) series: Vec<Series>,
}

/// How points are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Joined by lines.
    Curves,
    /// Each by itself, beside a dashed line.
    Dots(Guide),
}

/// Where dots should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guide {
    /// Both values are equal.
    Equal,
    /// The upright value is 0.
    Zero,
}

/// Values along an axis, and their ticks.
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

/// Where values are in the drawing.
struct Plot {
    x: Axis,
    y: Axis,
}

impl Chart {
    /// The drawing, or nothing without points.
    pub(super) fn svg(mut self) -> Markup {
        for series in &mut self.series {
            // Differences of what is left are finite.
            series.points.retain(|(x, y)| x.abs() < 1e300 && y.abs() < 1e300);
        }
        self.series.retain(|series| !series.points.is_empty());
        let Some(plot) = Plot::of(&self) else { return html! {} };
        let title = plain(&self.title);
        html! {
            figure.card {
                figcaption { (title) @if plot.y.logarithmic { " " small { "(logarithmic)" } } }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                    (plot.grid(self.unit))
                    @match self.form {
                        Form::Curves => { (plot.x_axis(&plain(&self.x), "")) (plot.curves(&self)) }
                        Form::Dots(guide) => {
                            (plot.x_axis(&plain(&self.x), self.unit))
                            (plot.guide(guide))
                            (plot.dots(&self.series))
                        }
                    }
                }
            }
        }
    }
}

impl Plot {
    fn of(chart: &Chart) -> Option<Self> {
        let of = |pick: fn(&(f64, f64)) -> f64| {
            chart.series.iter().flat_map(|series| &series.points).map(pick).collect::<Vec<_>>()
        };
        let (xs, ys) = (of(|point| point.0), of(|point| point.1));
        let are_curves = chart.form == Form::Curves;
        let x = if are_curves { Axis::of_epochs(&xs) } else { Axis::of(&xs, false) };
        (!xs.is_empty()).then(|| Plot { x, y: Axis::of(&ys, are_curves) })
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.y.place(value) * (BOTTOM - TOP)
    }

    /// Horizontal lines at the ticks of the values, and their numbers.
    fn grid(&self, unit: &str) -> Markup {
        html! {
            @for (&tick, at) in self.y.ticks.iter().zip(self.y.ticks.iter().map(|&tick| self.y(tick))) {
                line.grid x1=(LEFT) x2=(RIGHT) y1=(fixed(at)) y2=(fixed(at)) {}
                text.tick x=(LEFT - 6.0) y=(fixed(at + 4.0)) text-anchor="end" {
                    (value(tick, self.y.step(), unit))
                }
            }
        }
    }

    fn x_axis(&self, label: &str, unit: &str) -> Markup {
        html! {
            @for (&tick, at) in self.x.ticks.iter().zip(self.x.ticks.iter().map(|&tick| self.x(tick))) {
                line.axis x1=(fixed(at)) x2=(fixed(at)) y1=(BOTTOM) y2=(BOTTOM + 4.0) {}
                text.tick x=(fixed(at)) y=(BOTTOM + 17.0) text-anchor="middle" {
                    (value(tick, self.x.step(), unit))
                }
            }
            line.axis x1=(LEFT) x2=(RIGHT) y1=(BOTTOM) y2=(BOTTOM) {}
            text.label x=((LEFT + RIGHT) / 2.0) y=(BOTTOM + 36.0) text-anchor="middle" { (label) }
        }
    }

    /// The line where the dots should be, as far as the axes go.
    fn guide(&self, guide: Guide) -> Markup {
        let (low, high) = match guide {
            Guide::Equal => (self.x.low.max(self.y.low), self.x.high.min(self.y.high)),
            Guide::Zero => (self.x.low, self.x.high),
        };
        let [left, right] = match guide {
            Guide::Equal => [low, high],
            Guide::Zero => [0.0, 0.0],
        };
        if low > high || !(self.y.low..=self.y.high).contains(&left) {
            return html! {};
        }
        let [x1, x2] = [low, high].map(|at| fixed(self.x(at)));
        let [y1, y2] = [left, right].map(|at| fixed(self.y(at)));
        html! { line.ideal x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} }
    }

    fn dots(&self, series: &[Series]) -> Markup {
        html! {
            @for (x, y) in series.iter().flat_map(|series| thinned(&series.points)) {
                circle.dot cx=(fixed(self.x(x))) cy=(fixed(self.y(y))) r="2.5" {}
            }
        }
    }

    fn curves(&self, chart: &Chart) -> Markup {
        let last = |series: &Series| series.points.last().map_or(0.0, |point| self.y(point.1));
        let labels = spread(&chart.series.iter().map(last).collect::<Vec<_>>());
        html! {
            @for ((i, series), label) in chart.series.iter().enumerate().zip(labels) {
                (self.curve(i, series, &plain(&chart.x), chart.unit))
                (self.end(i, series, label, chart.unit))
            }
        }
    }

    /// A curve, and marks at its points, or at the last of many.
    fn curve(&self, i: usize, series: &Series, x: &str, unit: &str) -> Markup {
        let (points, name) = (thinned(&series.points), plain(&series.name));
        let at = |&(x, y): &(f64, f64)| format!("{:.2} {:.2}", self.x(x), self.y(y));
        let path = points.iter().map(at).collect::<Vec<_>>().join("L");
        let marked =
            if points.len() <= MOST_MARKS { &points[..] } else { &points[points.len() - 1..] };
        html! {
            path class={"curve c" (i % COLORS)} data-name=(name) d={"M" (path)} {}
            @for &(px, py) in marked {
                (mark(i, self.x(px), self.y(py), &format!("{name}, {x} {px}: {}", exact(py, unit))))
            }
        }
    }

    /// The name of a curve and its last value, at the height `label`.
    fn end(&self, i: usize, series: &Series, label: f64, unit: &str) -> Markup {
        let (x, y) = series.points.last().copied().unwrap_or_default();
        html! {
            line.lead x1=(fixed(self.x(x) + 4.0)) y1=(fixed(self.y(y))) x2=(LABELS) y2=(fixed(label)) {}
            text class={"end t" (i % COLORS)} x=(LABELS + 2.0) y=(fixed(label + 4.0)) {
                (plain(&series.name)) " " (exact(y, unit))
            }
        }
    }
}

/// A coordinate with two decimals.
fn fixed(x: f64) -> String {
    format!("{x:.2}")
}

/// Circle, square, diamond, triangle in turn: curves differ without color too.
fn mark(series: usize, x: f64, y: f64, tip: &str) -> Markup {
    let class = format!("mark m{}", series % COLORS);
    let path = |from: f64, lines: &str| format!("M{x:.2} {:.2}{lines}z", y - from);
    let tip = html! { title { (tip) } };
    html! {
        @match series % 4 {
            0 => circle cx=(fixed(x)) cy=(fixed(y)) r="2.6" class=(class) { (tip) },
            1 => rect x=(fixed(x - 2.5)) y=(fixed(y - 2.5)) width="5" height="5" class=(class) { (tip) },
            2 => path d=(path(3.4, "l3.4 3.4l-3.4 3.4l-3.4 -3.4")) class=(class) { (tip) },
            _ => path d=(path(3.2, "l3.4 5.6h-6.8")) class=(class) { (tip) },
        }
    }
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
            // An axis from 0 shows the proportions.
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

    /// Whole numbers, without margins to the left and right.
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
        // The first epoch has its tick, and no other tick is too close to it.
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

    /// The difference of two ticks, which their numbers must show.
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
