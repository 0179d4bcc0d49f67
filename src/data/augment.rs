//! Deformed images, drawn anew for every epoch: more training samples than the data set has.

use std::f64::consts::PI;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc;
use std::thread;

use super::Dataset;
use crate::random::{Philox, Purpose};
use crate::{Error, Result, Scalar};

/// Deformations of gray images, drawn anew for every epoch; a function of (seed, epoch, sample).
///
/// * Elastic (Simard, Steinkraus and Platt 2003): each pixel is moved by a field of uniform random numbers, smoothed by a
///   normal distribution and multiplied by a strength.
/// * Affine (Ciresan et al. 2010): a rotation around the center, and a scaling of width and of height.
///
/// A pixel of the new image is interpolated between the four pixels around its source; beyond the border all pixels are 0.
///
/// ```
/// use travertine::data::{self, Augmentation};
/// let digits = data::digits::<f32>()?;
/// let augmentation = Augmentation::new(8, 8)?.elastic(8.0, 2.0)?.rotation(10.0)?.scaling(0.1)?;
/// let deformed = augmentation.apply(&digits, 1, 3)?;
/// assert_eq!((deformed.inputs(), deformed.samples()), (64, 1797));
/// assert_eq!(deformed.targets(), digits.targets());
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Augmentation {
    width: usize,
    height: usize,
    /// In pixels.
    strength: f64,
    /// `exp(-d^2 / 2 smoothness^2)` for d from 0 on, divided by the sum over both sides; empty without elastic deformations.
    kernel: Vec<f64>,
    /// In radians.
    rotation: f64,
    /// As a share of the size.
    scaling: f64,
}

impl Augmentation {
    /// No deformation of images of `width x height` pixels, row after row.
    ///
    /// # Errors
    /// A side of 0 pixels, or of more than 65,535.
    pub fn new(width: usize, height: usize) -> Result<Self> {
        if !(1..=0xffff).contains(&width) || !(1..=0xffff).contains(&height) {
            return Err(wrong(format!(
                "images are 1 to 65535 pixels wide and high, not {width} x {height}"
            )));
        }
        Ok(Augmentation {
            width,
            height,
            strength: 0.0,
            kernel: Vec::new(),
            rotation: 0.0,
            scaling: 0.0,
        })
    }

    /// With elastic deformations; strength and smoothness in pixels. Simard uses 34 and 4 for images of 28 x 28 pixels, which
    /// moves a pixel by 1.4 in each direction on average (root of the mean square).
    ///
    /// # Errors
    /// A strength below 0; a smoothness not above 0 or above 100; numbers that are not finite.
    pub fn elastic(mut self, strength: f64, smoothness: f64) -> Result<Self> {
        if !((0.0..=1e6).contains(&strength) && smoothness > 0.0 && smoothness <= 100.0) {
            let reason = format!(
                "elastic: strength from 0 to 1e6 and smoothness up to 100, not {strength} and {smoothness}"
            );
            return Err(wrong(reason));
        }
        let bell = |d: usize| (-0.5 * (d as f64 / smoothness).powi(2)).exp();
        let reach = (3.0 * smoothness).ceil() as usize;
        let sum = bell(0) + 2.0 * (1..=reach).map(bell).sum::<f64>();
        self.strength = strength;
        self.kernel = (0..=reach).map(|d| bell(d) / sum).collect();
        Ok(self)
    }

    /// With rotations of up to `degrees` in either direction, uniformly distributed.
    ///
    /// # Errors
    /// An angle below 0 or above 180.
    pub fn rotation(mut self, degrees: f64) -> Result<Self> {
        if !(0.0..=180.0).contains(&degrees) {
            return Err(wrong(format!("rotation: 0 to 180 degrees, not {degrees}")));
        }
        self.rotation = degrees * PI / 180.0;
        Ok(self)
    }

    /// With widths and heights that are larger or smaller by up to this share, uniformly distributed.
    ///
    /// # Errors
    /// A share below 0, or of 1 and more.
    pub fn scaling(mut self, share: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&share) {
            return Err(wrong(format!("scaling: from 0 to below 1, not {share}")));
        }
        self.scaling = share;
        Ok(self)
    }

    /// All samples, deformed.
    ///
    /// # Errors
    /// Samples that are not images of this size; numbers whose interpolation overflows.
    pub fn apply<T: Scalar>(&self, data: &Dataset<T>, seed: u64, epoch: u32) -> Result<Dataset<T>> {
        let (width, height) = (self.width, self.height);
        if data.inputs() != width * height {
            let found = data.inputs();
            return Err(wrong(format!(
                "the samples have {found} features; images of {width} x {height} pixels have another number"
            )));
        }
        let stream = Philox::new(seed, Purpose::Augment, epoch);
        let mut scratch = Scratch::new(width * height);
        let mut features = Vec::with_capacity(data.features().len());
        for (i, image) in (0..).zip(data.features().chunks_exact(width * height)) {
            self.deform(&stream, i, image, &mut scratch, &mut features);
        }
        data.with_features(features)
    }

    /// Calls `train` with the data set of each of these epochs, until it breaks. Meanwhile a thread makes the next data set.
    ///
    /// # Errors
    /// As [`Augmentation::apply`]; those of `train`, after which no more epochs follow.
    pub fn each_epoch<T: Scalar>(
        &self,
        data: &Dataset<T>,
        (seed, epochs): (u64, Range<u32>),
        mut train: impl FnMut(&Dataset<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        thread::scope(|scope| {
            // The channel has no room, so that there are at most two data sets besides the original.
            let (sender, receiver) = mpsc::sync_channel(0);
            scope.spawn(move || {
                for epoch in epochs {
                    if sender.send(self.apply(data, seed, epoch)).is_err() {
                        break; // `train` has ended
                    }
                }
            });
            for made in receiver {
                if train(&made?)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn deform<T: Scalar>(
        &self,
        stream: &Philox,
        i: u64,
        image: &[T],
        scratch: &mut Scratch,
        to: &mut Vec<T>,
    ) {
        // Random numbers of a sample, from -1 to 1: three for the affine map, then the two fields.
        let numbers = |n: u64| 2.0 * stream.uniform(i << 34 | n) - 1.0;
        let angle = self.rotation * numbers(0);
        let (sine, cosine) = angle.sin_cos();
        let (wider, higher) = (1.0 + self.scaling * numbers(1), 1.0 + self.scaling * numbers(2));
        if !self.kernel.is_empty() {
            for (axis, field) in (1..).zip(&mut scratch.fields) {
                (0..)
                    .zip(&mut *field)
                    .for_each(|(n, x)| *x = self.strength * numbers(axis << 33 | n));
                smooth(field, &mut scratch.rows, &self.kernel, self.width);
            }
        }
        let (middle_x, middle_y) = ((self.width - 1) as f64 / 2.0, (self.height - 1) as f64 / 2.0);
        for row in 0..self.height {
            for column in 0..self.width {
                let (x, y) = ((column as f64 - middle_x) / wider, (row as f64 - middle_y) / higher);
                let [dx, dy] = [0, 1].map(|axis| scratch.fields[axis][row * self.width + column]);
                let (x, y) =
                    (cosine * x - sine * y + middle_x + dx, sine * x + cosine * y + middle_y + dy);
                to.push(T::from_f64(self.interpolate(image, x, y)));
            }
        }
    }

    /// The value at a point, interpolated between the four pixels around it.
    fn interpolate<T: Scalar>(&self, image: &[T], x: f64, y: f64) -> f64 {
        let (left, top) = (x.floor(), y.floor());
        let (right, below) = (x - left, y - top);
        let pixel = |column: f64, row: f64| {
            let inside = column >= 0.0
                && row >= 0.0
                && column < self.width as f64
                && row < self.height as f64;
            if inside { image[row as usize * self.width + column as usize].to_f64() } else { 0.0 }
        };
        let line = |row: f64| {
            // A pixel of weight 0 is not read, so that a pixel that is not moved keeps its exact value.
            let first = if right < 1.0 { (1.0 - right) * pixel(left, row) } else { 0.0 };
            if right > 0.0 { first + right * pixel(left + 1.0, row) } else { first }
        };
        if below > 0.0 { (1.0 - below) * line(top) + below * line(top + 1.0) } else { line(top) }
    }
}

/// Buffers for one image, `width x height` each.
struct Scratch {
    /// The displacements of pixels, to the right and down.
    fields: [Vec<f64>; 2],
    rows: Vec<f64>,
}

impl Scratch {
    fn new(pixels: usize) -> Scratch {
        Scratch { fields: [vec![0.0; pixels], vec![0.0; pixels]], rows: vec![0.0; pixels] }
    }
}

/// Convolves with the kernel along the rows, then along the columns; beyond the border all values are 0.
fn smooth(field: &mut [f64], rows: &mut [f64], kernel: &[f64], width: usize) {
    let height = field.len() / width;
    rows.fill(0.0);
    for (from, to) in field.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (d, weight) in kernel.iter().enumerate().take(width) {
            (0..width - d).for_each(|j| to[j] += weight * from[j + d]);
            (d.max(1)..width).filter(|_| d > 0).for_each(|j| to[j] += weight * from[j - d]);
        }
    }
    field.fill(0.0);
    for (i, from) in rows.chunks_exact(width).enumerate() {
        for (d, weight) in kernel.iter().enumerate() {
            let (above, below) =
                (i.checked_sub(d).filter(|_| d > 0), Some(i + d).filter(|&row| row < height));
            for row in above.into_iter().chain(below) {
                let to = &mut field[row * width..][..width];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
            }
        }
    }
}

fn wrong(reason: String) -> Error {
    Error::argument("augmentation", reason)
}
