//! Deformations of images, measured on images whose deformed form is known: a ramp shows where each pixel came from.

use std::ops::ControlFlow;

use travertine::data::{Augmentation, Dataset, Targets};

const SIDE: usize = 41;

/// `samples` images whose pixel in column x and row y is `a x + b y + c`.
fn ramps(samples: usize, (a, b, c): (f64, f64, f64)) -> Dataset<f64> {
    let image = (0..SIDE * SIDE).map(|n| a * (n % SIDE) as f64 + b * (n / SIDE) as f64 + c);
    let features: Vec<f64> = image.cycle().take(samples * SIDE * SIDE).collect();
    Dataset::new(SIDE * SIDE, features, Targets::None).unwrap()
}

fn pixel(data: &Dataset<f64>, sample: usize, x: usize, y: usize) -> f64 {
    data.sample(sample).unwrap()[y * SIDE + x]
}

#[test]
fn no_deformation_changes_nothing() {
    let data = ramps(3, (0.1, -0.7, 3.0));
    assert_eq!(Augmentation::new(SIDE, SIDE).unwrap().apply(&data, 1, 1).unwrap(), data);
    let still = Augmentation::new(SIDE, SIDE).unwrap().elastic(0.0, 4.0).unwrap();
    assert_eq!(still.apply(&data, 1, 1).unwrap(), data);
}

/// A smoothed field of uniform numbers has the deviation `strength / sqrt(3) / (2 sqrt(pi) smoothness)`, and neighbors at
/// distance d have the correlation `exp(-d^2 / 4 smoothness^2)`.
#[test]
fn elastic_fields_have_the_moments_of_their_formula() {
    let (strength, smoothness) = (20.0, 3.0);
    let augmentation =
        Augmentation::new(SIDE, SIDE).unwrap().elastic(strength, smoothness).unwrap();
    for ramp in [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)] {
        let moved = augmentation.apply(&ramps(2000, ramp), 7, 0).unwrap();
        let at = |x: usize, y: usize| -> Vec<f64> {
            let place = if ramp.0 == 1.0 { x } else { y } as f64;
            (0..2000).map(|i| pixel(&moved, i, x, y) - place).collect()
        };
        let mean = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
        };
        let (here, near, far) = (at(20, 20), at(23, 20), at(20, 32));
        let deviation = mean(&here, &here).sqrt();
        let expected = strength / 3f64.sqrt() / (2.0 * std::f64::consts::PI.sqrt() * smoothness);
        assert!((deviation / expected - 1.0).abs() < 0.06, "{deviation} {expected}");
        let correlation = mean(&here, &near) / (mean(&here, &here) * mean(&near, &near)).sqrt();
        assert!(
            (correlation - (-9.0 / (4.0 * smoothness * smoothness)).exp()).abs() < 0.05,
            "{correlation}"
        );
        assert!(mean(&here, &far).abs() < 0.1 * mean(&here, &here));
    }
}

/// The image of a ramp under an affine map is a ramp, whose slopes determine the map.
#[test]
fn affine_maps_stay_within_their_bounds_and_fill_them() {
    let maps = |augmentation: Augmentation| -> Vec<[f64; 4]> {
        let [across, down] = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
            .map(|ramp| augmentation.apply(&ramps(500, ramp), 3, 2).unwrap());
        let slope = |data: &Dataset<f64>, i, (dx, dy): (usize, usize)| {
            pixel(data, i, 20 + dx, 20 + dy) - pixel(data, i, 20, 20)
        };
        (0..500)
            .map(|i| {
                [
                    slope(&across, i, (1, 0)),
                    slope(&across, i, (0, 1)),
                    slope(&down, i, (1, 0)),
                    slope(&down, i, (0, 1)),
                ]
            })
            .collect()
    };
    let rotated = maps(Augmentation::new(SIDE, SIDE).unwrap().rotation(15.0).unwrap());
    let angles: Vec<f64> =
        rotated.iter().map(|[_, _, sine, cosine]| sine.atan2(*cosine).to_degrees()).collect();
    assert!(angles.iter().all(|angle| angle.abs() <= 15.0 + 1e-9));
    assert!(angles.iter().any(|&angle| angle > 14.0) && angles.iter().any(|&angle| angle < -14.0));
    assert!(rotated.iter().all(|[a, b, c, d]| (a - d).abs() < 1e-9 && (b + c).abs() < 1e-9));
    let scaled = maps(Augmentation::new(SIDE, SIDE).unwrap().scaling(0.2).unwrap());
    for side in [0, 3] {
        let sizes: Vec<f64> = scaled.iter().map(|map| 1.0 / map[side]).collect();
        assert!(sizes.iter().all(|size| (0.8 - 1e-9..=1.2 + 1e-9).contains(size)));
        assert!(sizes.iter().any(|&size| size > 1.18) && sizes.iter().any(|&size| size < 0.82));
    }
    assert!(scaled.iter().all(|[_, b, c, _]| b.abs() < 1e-9 && c.abs() < 1e-9));
}

#[test]
fn every_epoch_is_its_own_and_comes_in_order() {
    let data = ramps(5, (1.0, 0.0, 0.0));
    let augmentation = Augmentation::new(SIDE, SIDE).unwrap().elastic(10.0, 2.0).unwrap();
    let mut epochs = Vec::new();
    let keep = |data: &Dataset<f64>| {
        epochs.push(data.features().to_vec());
        Ok(ControlFlow::Continue(()))
    };
    augmentation.each_epoch(&data, (1, 0..3), keep).unwrap();
    assert_eq!(epochs.len(), 3);
    for (epoch, features) in (0..).zip(&epochs) {
        assert_eq!(augmentation.apply(&data, 1, epoch).unwrap().features(), features);
    }
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
    assert!(augmentation.apply(&data, 2, 0).unwrap().features() != epochs[0]);
    // An error of the closure ends the epochs.
    let mut calls = 0;
    let stop = |_: &Dataset<f64>| {
        calls += 1;
        Augmentation::new(0, 1).map(|_| ControlFlow::Continue(()))
    };
    assert!(augmentation.each_epoch(&data, (1, 0..1000), stop).is_err());
    assert_eq!(calls, 1);
    // Or begin later, and have enough.
    let mut later = Vec::new();
    let two = |data: &Dataset<f64>| {
        later.push(data.features().to_vec());
        Ok(if later.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    augmentation.each_epoch(&data, (1, 1..1000), two).unwrap();
    assert_eq!(later, epochs[1..]);
}

#[test]
fn data_knows_that_its_samples_are_images() {
    let data = ramps(2, (1.0, 0.0, 0.0));
    assert_eq!(data.image_size(), None);
    let images = data.clone().with_image_size(SIDE, SIDE).unwrap();
    let deformed =
        Augmentation::new(SIDE, SIDE).unwrap().rotation(5.0).unwrap().apply(&images, 1, 0).unwrap();
    assert_eq!(deformed.select(&[1]).unwrap().image_size(), Some((SIDE, SIDE)));
    assert_eq!(travertine::data::digits::<f32>().unwrap().image_size(), Some((8, 8)));
    let error = data.with_image_size(SIDE, SIDE + 1).unwrap_err().to_string();
    assert!(error.contains("1681 features are no images of 41 x 42 pixels"), "{error}");
}

#[test]
fn nonsense_is_refused() {
    let new = || Augmentation::new(SIDE, SIDE).unwrap();
    let errors = [
        Augmentation::new(0, 28).err(),
        new().elastic(f64::NAN, 4.0).err(),
        new().elastic(1.0, 0.0).err(),
        new().rotation(-1.0).err(),
        new().scaling(1.0).err(),
        Augmentation::new(28, 28).unwrap().apply(&ramps(1, (1.0, 0.0, 0.0)), 1, 0).err(),
    ];
    assert!(errors.iter().all(|error| {
        error.as_ref().is_some_and(|error| error.to_string().contains("augmentation"))
    }));
}
