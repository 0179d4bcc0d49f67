//! `Dataset`, `Standardization`, and the embedded digits.

use travertine::data::{Dataset, Standardization, Targets, digits};

use super::{assert_message, classes};

fn numbered(samples: usize) -> Dataset<f64> {
    let features = (0..2 * samples).map(|x| x as f64).collect();
    let labels = (0..samples as u32).map(|i| i % 2).collect();
    Dataset::new(2, features, Targets::Classes { labels, names: vec!["even".into(), "odd".into()] })
        .unwrap()
}

fn two_by_two(targets: Targets) -> travertine::Result<Dataset<f64>> {
    Dataset::new(2, vec![1.0, 2.0, 3.0, 4.0], targets)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn holds_what_it_was_given() {
    let targets = Targets::Values { values: vec![5.0, 6.0, 7.0, 8.0], names: names(&["u", "v"]) };
    let data = two_by_two(targets)
        .unwrap()
        .with_feature_names(names(&["a", "b"]))
        .unwrap()
        .with_target_name("t");
    assert_eq!((data.inputs(), data.samples(), data.outputs()), (2, 2, 2));
    assert_eq!(
        (data.sample(0), data.sample(1), data.sample(2)),
        (Some(&[1.0, 2.0][..]), Some(&[3.0, 4.0][..]), None)
    );
    assert_eq!(data.target_columns().unwrap(), [5.0, 6.0, 7.0, 8.0]);
    assert_eq!((data.feature_names(), data.target_name()), (&names(&["a", "b"])[..], Some("t")));
    let bare = two_by_two(Targets::None).unwrap();
    assert_eq!(
        (bare.outputs(), bare.target_columns().unwrap().len(), bare.target_name()),
        (0, 0, None)
    );
}

#[test]
fn refuses_what_does_not_fit() {
    let new = |inputs, features: &[f32]| Dataset::new(inputs, features.to_vec(), Targets::None);
    assert_message(new(0, &[1.0]), &["at least one sample and one feature"]);
    assert_message(new(2, &[]), &["at least one sample and one feature"]);
    assert_message(new(2, &[1.0; 5]), &["5 numbers", "2 features"]);
    assert_message(new(2, &[1.0, 1.0, 1.0, f32::NAN]), &["feature 1 of sample 1", "NaN"]);
    assert_message(new(2, &[f32::INFINITY, 1.0]), &["feature 0 of sample 0", "inf"]);
    let labels = |labels: &[u32], all: &[&str]| {
        two_by_two(Targets::Classes { labels: labels.to_vec(), names: names(all) })
    };
    assert_message(labels(&[0], &["a"]), &["1 labels for 2 samples"]);
    assert_message(labels(&[0, 2], &["a", "b"]), &["label of sample 1 is 2", "2 classes"]);
    assert_message(labels(&[0, 0], &["a", "a"]), &["two classes are named \"a\""]);
    let values = |values: &[f64], all: &[&str]| {
        two_by_two(Targets::Values { values: values.to_vec(), names: names(all) })
    };
    assert_message(values(&[1.0; 3], &["u"]), &["3 target values for 2 samples"]);
    assert_message(values(&[], &[]), &["0 target values"]);
    assert_message(values(&[1.0, f64::NAN], &["u"]), &["target 0 of sample 1", "NaN"]);
    assert_message(numbered(1).with_feature_names(names(&["a"])), &["1 names for 2 features"]);
}

#[test]
fn takes_the_first() {
    let data = numbered(5);
    assert_eq!(data.take(2).unwrap().features(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(data.take(9).unwrap(), data);
    assert_message(data.take(0), &["0 samples"]);
}

#[test]
fn splits_the_same_every_time() {
    let data = numbered(100);
    let (train, held_out) = data.split(0.25, 3).unwrap();
    assert_eq!((train.samples(), held_out.samples()), (75, 25));
    assert_eq!(data.split(0.25, 3).unwrap(), (train.clone(), held_out.clone()));
    assert_ne!(data.split(0.25, 4).unwrap().1, held_out);
    let mut firsts: Vec<f64> =
        [train, held_out].iter().flat_map(check_parity_and_take_firsts).collect();
    firsts.sort_by(f64::total_cmp);
    assert!(firsts.into_iter().eq((0..100).map(|i| 2.0 * i as f64)));
}

/// Samples must travel with their labels.
fn check_parity_and_take_firsts(part: &Dataset<f64>) -> Vec<f64> {
    let firsts: Vec<f64> = part.features().iter().step_by(2).copied().collect();
    for (first, label) in firsts.iter().zip(classes(part).0) {
        assert_eq!((first / 2.0) as u32 % 2, label);
    }
    firsts
}

#[test]
fn both_parts_of_a_split_have_samples() {
    for fraction in [0.0, 0.04, 0.96, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY] {
        assert_message(
            numbered(10).split(fraction, 1),
            &["of 10 samples", "both parts need samples"],
        );
    }
    assert_message(numbered(1).split(0.5, 1), &["of 1 samples"]);
    assert_eq!(numbered(2).split(0.5, 1).unwrap().0.samples(), 1);
}

#[test]
fn standardizes_by_the_training_part() {
    let constant = 0.1_f32; // not a binary fraction: sums of it are rounded
    let features: Vec<f32> = (0..1000).flat_map(|i| [i as f32, constant]).collect();
    let mut data = Dataset::new(2, features, Targets::None).unwrap();
    let fitted = Standardization::fit(&data).unwrap();
    assert_eq!(
        (fitted.mean[0], fitted.mean[1], fitted.deviation[1]),
        (499.5, f64::from(constant), 1.0)
    );
    assert!((fitted.deviation[0] - (999_999.0_f64 / 12.0).sqrt()).abs() < 1e-9);
    fitted.apply(&mut data).unwrap();
    assert_eq!(data.sample(999).unwrap()[1], 0.0);
    let again = Standardization::fit(&data).unwrap();
    assert!(again.mean[0].abs() < 1e-6 && (again.deviation[0] - 1.0).abs() < 1e-6);
    let text = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<Standardization>(&text).unwrap(), fitted);
}

/// Medians and quartiles are those of NumPy's median and percentile; the third and the last column have no quartiles apart.
#[test]
fn robust_scales_are_medians_and_quartiles() {
    let rows = [
        [1.0, 0.0, 5.0, -3.5, 0.0],
        [2.0, 0.0, 5.0, 10.0, 0.0],
        [4.0, 0.0, 5.0, 2.25, 0.0],
        [8.0, 1.0, 5.0, 2.25, 0.0],
        [16.0, 0.0, 5.0, 1e12, 4.0],
    ];
    let fit = |rows: &[[f64; 5]]| {
        let data = Dataset::<f64>::new(5, rows.concat(), Targets::None).unwrap();
        (Standardization::fit_robust(&data).unwrap(), data)
    };
    let (five, mut data) = fit(&rows);
    assert_eq!(five.mean, [4.0, 0.0, 5.0, 2.25, 0.0]);
    // Where the quartiles are equal: half of the range; 1 for a constant.
    assert_eq!(five.deviation, [6.0, 0.5, 1.0, 7.75, 2.0]);
    let four = fit(&rows[..4]).0;
    assert_eq!(four.mean, [3.0, 0.0, 5.0, 2.25, 0.0]);
    assert_eq!(four.deviation, [3.25, 0.25, 1.0, 3.375, 1.0]);
    // z / sqrt(1 + (z / 3)^2), by NumPy.
    five.apply(&mut data).unwrap();
    let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-8, "{value}");
    close(data.sample(1).unwrap()[0], -0.33129458); // z = -1/3
    close(data.sample(3).unwrap()[1], 1.66410059); // z = 2
    close(data.sample(4).unwrap()[3], 3.0); // z = 1.3e11
    assert!(data.features().iter().all(|x| x.abs() <= 3.0));
    let text = serde_json::to_string(&five).unwrap();
    assert_eq!(serde_json::from_str::<Standardization>(&text).unwrap(), five);
    let wide = Dataset::new(1, vec![-1e308, 1e308], Targets::None).unwrap();
    assert_message(Standardization::fit_robust(&wide), &["feature 0", "mean inf"]);
    let none = Standardization { bound: Some(0.0), ..five };
    assert_message(none.apply(&mut data), &["bound", "above 0", "0"]);
}

#[test]
fn unusable_standardizations_leave_the_data_alone() {
    let mut data = numbered(3);
    let before = data.clone();
    let mut apply = |mean: &[f64], deviation: &[f64]| {
        Standardization {
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
            bound: None,
            unscaled: Vec::new(),
        }
        .apply(&mut data)
    };
    assert_message(apply(&[0.0], &[1.0]), &["1 means and 1 deviations for 2 features"]);
    assert_message(apply(&[0.0, 0.0], &[1.0]), &["2 means and 1 deviations"]);
    assert_message(apply(&[0.0, 0.0], &[1.0, 0.0]), &["feature 1", "deviation 0"]);
    assert_message(apply(&[f64::NAN, 0.0], &[1.0, 1.0]), &["feature 0", "mean NaN"]);
    assert_message(apply(&[0.0, 0.0], &[1.0, 1e-320]), &["feature 1 of sample 0", "overflows"]);
    assert_eq!(data, before);
    let wide = Dataset::new(1, vec![-1e200, 1e200], Targets::None).unwrap();
    assert_message(Standardization::fit(&wide), &["feature 0", "deviation inf"]);
}

#[test]
fn embedded_digits() {
    let data = digits::<f64>().unwrap();
    assert_eq!((data.samples(), data.inputs(), data.outputs()), (1797, 64, 10));
    let (labels, names) = classes(&data);
    let count = |digit| labels.iter().filter(|&&label| label == digit).count();
    assert_eq!(
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(count),
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    );
    assert_eq!((labels[0], names[9], data.target_name()), (0, "9", Some("digit")));
    assert_eq!(
        data.sample(0).unwrap()[..8],
        [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0].map(|x| x / 16.0)
    );
    assert!(
        data.features().iter().all(|x| (0.0..=1.0).contains(x)) && data.features().contains(&1.0)
    );
    let columns = data.target_columns().unwrap();
    assert_eq!((columns.len(), columns.iter().sum::<f64>(), columns[0]), (17970, 1797.0, 1.0));
}
