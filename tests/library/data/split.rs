//! Which samples are held out.

use travertine::data::{MISSING, Split, Targets, digits};
use travertine::random::{Philox, Purpose};

use super::assert_message;

fn labels(sizes: &[usize]) -> Vec<u32> {
    // Class after class would be too easy.
    let all: Vec<u32> =
        (0..).zip(sizes).flat_map(|(class, &size)| std::iter::repeat_n(class, size)).collect();
    (0..all.len()).map(|i| all[i * 7919 % all.len()]).collect()
}

fn count(labels: &[u32], chosen: &[usize], class: u32) -> usize {
    chosen.iter().filter(|&&i| labels[i] == class).count()
}

fn assert_is_split(split: &Split, samples: usize) {
    let mut all: Vec<usize> = split.train.iter().chain(&split.held_out).copied().collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..samples), "every sample is in one part");
}

#[test]
fn shares_of_classes_are_kept() {
    for sizes in [&[70, 20, 10][..], &[33, 33, 34], &[500, 3], &[97, 2, 1], &[10; 10]] {
        let labels = labels(sizes);
        for fraction in [0.1, 0.2, 0.25, 0.5, 0.9] {
            for seed in 0..5 {
                let split = Split::stratified(&labels, fraction, seed).unwrap();
                assert_is_split(&split, labels.len());
                for (class, &size) in (0..).zip(sizes) {
                    let held_out = count(&labels, &split.held_out, class);
                    let share = size as f64 * fraction;
                    let most = size - 1;
                    let expected =
                        [(share.floor() as usize).min(most), (share.ceil() as usize).min(most)];
                    assert!(
                        expected.contains(&held_out),
                        "{sizes:?} {fraction} {seed}: {held_out} of {size}"
                    );
                }
                assert_eq!(split, Split::stratified(&labels, fraction, seed).unwrap());
            }
            let one = Split::stratified(&labels, fraction, 1).unwrap();
            assert!(labels.len() < 20 || one != Split::stratified(&labels, fraction, 2).unwrap());
        }
    }
    let whole = Split::stratified(&labels(&[70, 20, 10]), 0.2, 1).unwrap();
    assert_eq!(whole.held_out.len(), 20);
}

#[test]
fn every_sample_is_held_out_once() {
    let sizes = [50, 31, 7];
    let labels = labels(&sizes);
    for k in [2, 3, 5, 10, 88] {
        for folds in
            [Split::folds(88, k, 3).unwrap(), Split::stratified_folds(&labels, k, 3).unwrap()]
        {
            assert_eq!(folds.len(), k);
            let mut held_out: Vec<usize> =
                folds.iter().flat_map(|fold| fold.held_out.clone()).collect();
            held_out.sort_unstable();
            assert!(held_out.into_iter().eq(0..88));
            for fold in &folds {
                assert_is_split(fold, 88);
                assert!([88 / k, 88_usize.div_ceil(k)].contains(&fold.held_out.len()));
            }
        }
        for fold in Split::stratified_folds(&labels, k, 3).unwrap() {
            for (class, &size) in (0..).zip(&sizes) {
                let held_out = count(&labels, &fold.held_out, class);
                assert!(
                    [size / k, size.div_ceil(k)].contains(&held_out),
                    "{held_out} of {size} in one of {k} folds"
                );
            }
        }
    }
}

#[test]
fn the_plain_split_is_that_of_data_sets() {
    let digits = digits::<f32>().unwrap();
    let (train, held_out) = digits.split(0.2, 7).unwrap();
    let split = Split::held_out(digits.samples(), 0.2, 7).unwrap();
    assert_eq!(digits.select(&split.train).unwrap(), train);
    assert_eq!(digits.select(&split.held_out).unwrap(), held_out);
    let Targets::Classes { labels, .. } = digits.targets() else { panic!("digits are classes") };
    assert_eq!(Split::stratified(labels, 0.2, 7).unwrap().held_out.len(), 359);
}

#[test]
fn what_leaves_a_part_empty_is_refused() {
    for outcome in [
        Split::held_out(10, 0.0, 1).map(|_| ()),
        Split::held_out(10, 1.0, 1).map(|_| ()),
        Split::held_out(10, f64::NAN, 1).map(|_| ()),
        Split::stratified(&[0, 1, 2], 0.4, 1).map(|_| ()),
        Split::stratified(&[], 0.5, 1).map(|_| ()),
        Split::folds(10, 1, 1).map(|_| ()),
        Split::folds(10, 11, 1).map(|_| ()),
        Split::stratified_folds(&[0, 1], 0, 1).map(|_| ()),
    ] {
        assert!(outcome.is_err());
    }
}

/// Labels may be any numbers: memory depends on how many samples there are. (A table as long as the largest label would have 34 GB.)
#[test]
fn classes_need_no_contiguous_numbers() {
    let dense = labels(&[70, 20, 10, 1]);
    let sparse: Vec<u32> = dense
        .iter()
        .map(|&class| [3, 1 << 20, u32::MAX - 2, u32::MAX - 1][class as usize])
        .collect();
    for seed in 0..5 {
        for fraction in [0.1, 0.25, 0.5] {
            assert_eq!(
                Split::stratified(&sparse, fraction, seed).unwrap(),
                Split::stratified(&dense, fraction, seed).unwrap()
            );
        }
        assert_eq!(
            Split::stratified_folds(&sparse, 4, seed).unwrap(),
            Split::stratified_folds(&dense, 4, seed).unwrap()
        );
    }
    let random = Philox::new(3, Purpose::User, 0);
    let random: Vec<u32> = (0..1000).map(|i| random.words(i)[0] >> 1).collect();
    assert!(Split::stratified(&random, 0.3, 1).is_err(), "no class has two samples");
    assert_is_split(&Split::stratified_folds(&random, 2, 1).unwrap()[0], 1000);
}

#[test]
fn samples_without_a_class_are_refused() {
    let expected = ["label of sample 2", "data::MISSING", "every sample needs a class"];
    let labels = [0, 1, MISSING, 0, 1];
    assert_message(
        Split::stratified(&labels, 0.4, 1),
        &["Split::stratified", expected[0], expected[1], expected[2]],
    );
    assert_message(
        Split::stratified_folds(&labels, 2, 1),
        &["Split::stratified_folds", expected[0], expected[1], expected[2]],
    );
    assert_message(Split::stratified(&[MISSING, 0], 0.5, 1), &["label of sample 0"]);
}

/// A number of samples or folds that memory does not hold is an error, not the end of the process.
#[test]
fn more_samples_than_memory_holds_are_refused() {
    for samples in [usize::MAX, usize::MAX / 16, 1 << 58] {
        for outcome in
            [Split::held_out(samples, 0.5, 1).map(|_| ()), Split::folds(samples, 2, 1).map(|_| ())]
        {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains("out of memory"), "{message}");
        }
    }
}
