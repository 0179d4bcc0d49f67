//! Metrics against scikit-learn's numbers (`tests/library/metrics.json`, made by `scripts/make-metric-cases.py`), and what is
//! refused.

use serde_json::Value;
use travertine::metrics::{self, BalancedThreshold, ClassScores, Interval};
use travertine::random::{Philox, Purpose};

fn cases(kind: &str) -> Vec<Value> {
    let cases: Value = serde_json::from_str(include_str!("metrics.json")).unwrap();
    assert!(cases["source"].as_str().unwrap().starts_with("scikit-learn 1."));
    cases[kind].as_array().unwrap().clone()
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn classes(case: &Value) -> Vec<u32> {
    numbers(case, "truth").into_iter().map(|class| class as u32).collect()
}

#[track_caller]
fn same(name: &str, ours: Option<f64>, theirs: &Value) {
    match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => {
            assert!(
                (ours - theirs).abs() < 1e-12 * theirs.abs().max(1.0),
                "{name}: {ours} {theirs}"
            );
        }
        (ours, theirs) => assert_eq!(ours, theirs, "{name}"),
    }
}

#[test]
fn classes_are_judged_as_by_scikit_learn() {
    for case in &cases("classes") {
        let name = case["name"].as_str().unwrap();
        let (count, truth, scores) =
            (case["classes"].as_u64().unwrap() as usize, classes(case), numbers(case, "scores"));
        let predicted: Vec<u32> =
            scores.chunks_exact(count).map(metrics::predicted_class).collect();
        same(name, metrics::accuracy(&truth, &predicted).ok(), &case["accuracy"]);
        let confusion = metrics::confusion_matrix(count, &truth, &predicted).unwrap();
        assert_eq!(Value::from(confusion), case["confusion"], "{name}");

        let each = metrics::per_class(count, &truth, &predicted).unwrap();
        let column = |of: fn(&ClassScores) -> f64| each.iter().map(of).collect::<Vec<_>>();
        let columns: [(&str, Vec<f64>); 4] = [
            ("precision", column(|scores| scores.precision)),
            ("recall", column(|scores| scores.recall)),
            ("f1", column(|scores| scores.f1)),
            ("support", column(|scores| scores.support as f64)),
        ];
        for (key, ours) in columns {
            assert_eq!(ours.len(), case[key].as_array().unwrap().len());
            ours.iter()
                .zip(case[key].as_array().unwrap())
                .for_each(|(ours, theirs)| same(name, Some(*ours), theirs));
        }
        let all = metrics::macro_average(&each);
        for (ours, theirs) in
            [all.precision, all.recall, all.f1].into_iter().zip(case["macro"].as_array().unwrap())
        {
            same(name, Some(ours), theirs);
        }
        assert_eq!(all.support as usize, truth.len());

        for (k, theirs) in case["top_k"].as_array().into_iter().flatten().enumerate() {
            same(name, metrics::top_k_accuracy(count, &truth, &scores, k + 1).ok(), theirs);
        }
        let top = metrics::top_k_accuracy(count, &truth, &scores, 1).ok();
        assert_eq!(
            top,
            metrics::accuracy(&truth, &predicted).ok(),
            "{name}: of equal scores the first is predicted"
        );
        for (class, theirs) in case["roc_auc"].as_array().unwrap().iter().enumerate() {
            let is_class: Vec<bool> = truth.iter().map(|&t| t as usize == class).collect();
            let of_class: Vec<f64> = scores.iter().skip(class).step_by(count).copied().collect();
            same(name, metrics::roc_auc(&is_class, &of_class).unwrap(), theirs);
            let precision = metrics::average_precision(&is_class, &of_class).unwrap();
            same(name, precision, &case["average_precision"][class]);
        }
        same(name, metrics::log_loss(count, &truth, &scores).ok(), &case["log_loss"]);
        same(
            name,
            metrics::roc_auc_one_vs_rest(count, &truth, &scores).unwrap(),
            &case["roc_auc_ovr"],
        );
    }
}

#[test]
fn values_are_judged_as_by_scikit_learn() {
    for case in &cases("values") {
        let name = case["name"].as_str().unwrap();
        let (truth, predicted) = (numbers(case, "truth"), numbers(case, "predicted"));
        same(name, metrics::root_mean_squared_error(&truth, &predicted).ok(), &case["rmse"]);
        same(name, metrics::mean_absolute_error(&truth, &predicted).ok(), &case["mae"]);
        let outputs = case["outputs"].as_u64().unwrap() as usize;
        same(name, metrics::r2(outputs, &truth, &predicted).unwrap(), &case["r2"]);
        let errors: Vec<f64> = predicted.iter().zip(&truth).map(|(p, t)| p - t).collect();
        let quantiles = cases("quantiles").iter().map(|q| q.as_f64().unwrap()).collect::<Vec<_>>();
        for (i, &quantile) in quantiles.iter().enumerate() {
            let loss = metrics::pinball_loss(quantile, &truth, &predicted).ok();
            same(name, loss, &case["pinball"][i]);
            let value = metrics::quantiles(&errors, &[quantile]).unwrap()[0];
            same(name, Some(value), &case["quantiles"][i]);
        }
    }
}

#[test]
fn calibration_is_that_of_a_loop_over_the_bins() {
    for case in &cases("classes") {
        let name = case["name"].as_str().unwrap();
        let count = case["classes"].as_u64().unwrap() as usize;
        let (truth, scores) = (classes(case), numbers(case, "scores"));
        let calibration = metrics::calibration(count, &truth, &scores, 7).unwrap();
        same(name, Some(calibration.error), &case["calibration"]["error"]);
        let expected = case["calibration"]["bins"].as_array().unwrap();
        assert_eq!(calibration.bins.len(), expected.len());
        for (bin, expected) in calibration.bins.iter().zip(expected) {
            assert_eq!(Some(bin.count), expected[0].as_u64(), "{name}");
            same(name, Some(bin.probability), &expected[1]);
            same(name, Some(bin.hits), &expected[2]);
        }
    }
    // The limits of bins: 0 in the first one, 0.5 in that below it, 1 in the last.
    let scores = [0.0, 0.0, 0.5, 0.5, 1.0, 0.0];
    let calibration = metrics::calibration(2, &[0, 0, 0], &scores, 2).unwrap();
    assert_eq!(calibration.bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((calibration.bins[0].probability, calibration.bins[0].hits), (0.25, 1.0));
    assert_eq!(calibration.error, 0.5);
}

#[test]
fn temperatures_are_those_of_scipy() {
    for case in &cases("temperatures") {
        let name = case["name"].as_str().unwrap();
        let count = case["classes"].as_u64().unwrap() as usize;
        let (truth, logits) = (classes(case), numbers(case, "logits"));
        let found = metrics::temperature(count, &truth, &logits).unwrap();
        let expected = case["temperature"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-6 * expected.max(1.0), "{name}: {found} {expected}");
    }
    // One class, and logits that say nothing.
    assert_eq!(metrics::temperature(1, &[0, 0], &[3.0, -7.0]).unwrap(), 1.0);
    assert_eq!(metrics::temperature(2, &[0, 1], &[3.0, 3.0, 0.0, 0.0]).unwrap(), 1.0);
    // Differences that overflow: right twice, wrong once; always right, by any temperature.
    let huge = [1e308, -1e308].repeat(3);
    assert_eq!(metrics::temperature(2, &[0, 0, 1], &huge).unwrap(), 20.0);
    assert_eq!(metrics::temperature(2, &[0, 0, 0], &huge).unwrap(), 1.0);
}

/// The balanced accuracy of "at least the threshold is positive".
fn balanced_accuracy(truth: &[bool], scores: &[f64], threshold: f64) -> f64 {
    let recall = |class: bool| {
        let of_class = || truth.iter().zip(scores).filter(move |(is, _)| **is == class);
        let right = of_class().filter(|(_, score)| (**score >= threshold) == class).count();
        right as f64 / of_class().count() as f64
    };
    (recall(true) + recall(false)) / 2.0
}

#[test]
fn the_balanced_threshold_is_the_best_of_all() {
    let random = Philox::new(5, Purpose::User, 0);
    for case in 0..200 {
        let (count, base) = (2 + case as usize % 12, 100 * case);
        // Few different scores, so that some are equal; all below or above 0.5 at times.
        let [shift, scale] = [[0.0, 0.1], [0.0, 0.04], [0.55, 0.04]][case as usize % 3];
        let scores: Vec<f64> =
            (0..count as u64).map(|i| shift + scale * random.below(base + i, 11) as f64).collect();
        let mut truth: Vec<bool> =
            (0..count as u64).map(|i| random.uniform(base + 50 + i) < 0.4).collect();
        (truth[0], truth[1]) = (true, false);
        let best = metrics::balanced_threshold(&truth, &scores).unwrap().unwrap();
        let accuracy_at = |threshold| balanced_accuracy(&truth, &scores, threshold);
        assert_eq!(best.balanced_accuracy, accuracy_at(best.threshold), "{truth:?} {scores:?}");
        let middles = scores.iter().flat_map(|a| scores.iter().map(move |b| (a + b) / 2.0));
        let mut tried: Vec<f64> = scores.iter().copied().chain([0.5]).chain(middles).collect();
        tried.retain(|&threshold| accuracy_at(threshold) >= best.balanced_accuracy);
        assert!(tried.iter().all(|&threshold| accuracy_at(threshold) == best.balanced_accuracy));
        if tried.contains(&0.5) {
            assert_eq!(best.threshold, 0.5, "nearest to itself");
        }
    }
    // A gap of one last digit, where nothing is between the scores.
    let (low, high) = (0.7, 0.7f64.next_up());
    let best = metrics::balanced_threshold(&[false, true], &[low, high]).unwrap();
    assert_eq!(best, Some(BalancedThreshold { threshold: high, balanced_accuracy: 1.0 }));
    // Two thresholds of the same balanced accuracy, in the middles 0.2 and 0.6: the nearer one.
    let best = metrics::balanced_threshold(&[false, true, false, true], &[0.1, 0.3, 0.55, 0.65]);
    assert!((best.unwrap().unwrap().threshold - 0.6).abs() < 1e-15);
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let random = Philox::new(9, Purpose::User, 1);
    let (mut covered, studies, samples) = (0, 200, 60);
    for study in 0..studies {
        let values: Vec<f64> =
            (0..samples).map(|i| 3.0 + 2.0 * random.normal(study * samples + i)).collect();
        let interval = metrics::bootstrap_mean_interval(&values, study).unwrap();
        assert!(interval.low < interval.high);
        covered += usize::from((interval.low..=interval.high).contains(&3.0));
    }
    // 190 are expected, with a deviation of 3; percentile intervals of 60 samples are a little narrow.
    assert!((175..=199).contains(&covered), "{covered} of {studies}");
}

#[test]
fn an_interval_of_a_mean_is_that_of_the_general_way() {
    for count in [1, 2, 7, 100] {
        let values: Vec<f64> = (0..count).map(|i| f64::from(i * i % 11)).collect();
        let mean =
            |chosen: &[usize]| chosen.iter().map(|&i| values[i]).sum::<f64>() / chosen.len() as f64;
        let general = metrics::bootstrap_interval(values.len(), 4, mean).unwrap();
        assert_eq!(metrics::bootstrap_mean_interval(&values, 4).unwrap(), general);
        let other = metrics::bootstrap_mean_interval(&values, 5).unwrap();
        assert!(count < 100 || other != general, "another seed, other draws");
    }
    let point = Interval { low: 0.25, high: 0.25 };
    assert_eq!(metrics::bootstrap_mean_interval(&[0.25], 1).unwrap(), point);
    assert_eq!(metrics::bootstrap_mean_interval(&[0.25; 50], 1).unwrap(), point);
    // Fewer resamples of many samples, and still the right width: 2 * 1.96 * 0.5 / sqrt(n).
    let hits: Vec<f64> = (0..50_000).map(|i| f64::from(i % 2)).collect();
    let interval = metrics::bootstrap_mean_interval(&hits, 1).unwrap();
    let width = interval.high - interval.low;
    assert!((width - 1.96 / 50_000f64.sqrt()).abs() < 0.15 * width, "{interval:?}");
}

#[test]
fn what_has_no_answer_is_none() {
    assert_eq!(metrics::r2(1, &[2.0, 2.0], &[2.0, 1.0]).unwrap(), None);
    assert_eq!(metrics::r2(2, &[1.0, 2.0], &[0.0, 0.0]).unwrap(), None, "one sample");
    assert_eq!(metrics::roc_auc(&[true, true], &[0.1, 0.2]).unwrap(), None);
    assert_eq!(metrics::roc_auc_one_vs_rest(1, &[0, 0], &[0.1, 0.2]).unwrap(), None);
    assert_eq!(metrics::macro_average(&[]), ClassScores::default());
    assert_eq!(metrics::average_precision(&[false], &[0.1]).unwrap(), None);
    for truth in [[true, true], [false, false]] {
        assert_eq!(metrics::balanced_threshold(&truth, &[0.1, 0.2]).unwrap(), None);
    }
    let infinite = [f64::INFINITY, 0.0, -0.0, f64::NEG_INFINITY];
    assert_eq!(
        metrics::roc_auc(&[true, true, false, false], &infinite).unwrap(),
        Some(0.875),
        "0 and -0 are equal"
    );
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let nan = f64::NAN;
    let refusals: Vec<(travertine::Result<f64>, &str)> = vec![
        (metrics::accuracy(&[], &[]), "no samples"),
        (metrics::accuracy(&[1], &[1, 2]), "1 true and 2 predicted"),
        (metrics::confusion_matrix(2, &[0, 2], &[0, 0]).map(|_| 0.0), "class 2 of 2"),
        (metrics::confusion_matrix(usize::MAX, &[0], &[0]).map(|_| 0.0), "memory"),
        (metrics::per_class(usize::MAX, &[0], &[0]).map(|_| 0.0), "memory"),
        (metrics::per_class(0, &[0], &[0]).map(|_| 0.0), "class 0 of 0"),
        (metrics::top_k_accuracy(2, &[0], &[0.1, 0.2], 0), "k is 0"),
        (metrics::top_k_accuracy(2, &[0, 1], &[0.1, 0.2, 0.3, f64::NAN], 1), "score 1 of sample 1"),
        (metrics::roc_auc(&[true], &[f64::NAN]).map(|_| 0.0), "NaN"),
        (metrics::r2(2, &[1.0], &[1.0]).map(|_| 0.0), "no whole number of samples"),
        (metrics::log_loss::<f64>(2, &[], &[]), "no samples"),
        (metrics::log_loss(2, &[0], &[0.1]), "1 scores for 1 samples of 2 classes"),
        (metrics::log_loss(2, &[2], &[0.5, 0.5]), "class 2 of 2"),
        (metrics::log_loss(2, &[0], &[nan, 0.5]), "score 0 of sample 0"),
        (metrics::log_loss(2, &[0], &[-0.5, 1.5]), "number 0 of sample 0"),
        (metrics::log_loss(2, &[0, 1], &[0.5, 0.5, 0.5, 0.7]), "sample 1"),
        (metrics::average_precision::<f64>(&[], &[]).map(|_| 0.0), "no samples"),
        (metrics::average_precision(&[true], &[nan]).map(|_| 0.0), "NaN"),
        (metrics::balanced_threshold::<f64>(&[], &[]).map(|_| 0.0), "no samples"),
        (metrics::balanced_threshold(&[true], &[0.1, 0.2]).map(|_| 0.0), "1 true and 2"),
        (metrics::balanced_threshold(&[true], &[f64::INFINITY]).map(|_| 0.0), "not finite"),
        (metrics::balanced_threshold(&[true], &[nan]).map(|_| 0.0), "not finite"),
        (metrics::calibration(2, &[0], &[0.5, 0.5], 0).map(|_| 0.0), "0 bins"),
        (metrics::calibration(2, &[0], &[0.5, 0.5], usize::MAX).map(|_| 0.0), "memory"),
        (metrics::calibration(2, &[0], &[0.5, 1.5], 5).map(|_| 0.0), "no probability"),
        (metrics::calibration::<f64>(0, &[0], &[], 5).map(|_| 0.0), "class 0 of 0"),
        (metrics::temperature::<f64>(2, &[], &[]), "no samples"),
        (metrics::temperature(2, &[0], &[0.0, f64::NEG_INFINITY]), "logit 1 of sample 0"),
        (metrics::temperature(2, &[0], &[nan, 1.0]), "not finite"),
        (metrics::pinball_loss::<f64>(0.5, &[], &[]), "no samples"),
        (metrics::pinball_loss(1.5, &[1.0], &[1.0]), "quantile 1.5"),
        (metrics::pinball_loss(nan, &[1.0], &[1.0]), "quantile NaN"),
        (metrics::quantiles(&[], &[0.5]).map(|_| 0.0), "no values"),
        (metrics::quantiles(&[nan], &[0.5]).map(|_| 0.0), "value 0"),
        (metrics::quantiles(&[1.0], &[-0.5]).map(|_| 0.0), "share -0.5"),
        (metrics::bootstrap_interval(0, 1, |_| 0.0).map(|_| 0.0), "no samples"),
        (metrics::bootstrap_interval(usize::MAX, 1, |_| 0.0).map(|_| 0.0), "memory"),
        (metrics::bootstrap_interval(3, 1, |_| f64::NAN).map(|_| 0.0), "resample 0"),
        (metrics::bootstrap_mean_interval(&[], 1).map(|_| 0.0), "no samples"),
        (metrics::bootstrap_mean_interval(&[1.0, nan], 1).map(|_| 0.0), "value 1"),
    ];
    for (result, part) in refusals {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
}

/// Numbers of scikit-learn 1.9 with `sample_weight`; with weights of 1 they are the metrics without.
#[test]
fn weighted_metrics_are_those_of_scikit_learn() {
    use metrics::weighted;
    let close = |ours: f64, theirs: f64| assert!((ours - theirs).abs() < 1e-14, "{ours} {theirs}");
    let weights = [1.0, 2.0, 0.5, 3.0];
    let truth = [1.0, 2.0, 3.0, -1.0, 0.5, 4.0, 2.0, 2.0];
    let predicted = [1.5, 2.0, 2.0, 0.0, 0.0, 3.0, 2.25, 1.0];
    close(weighted::r2(2, &truth, &predicted, &weights).unwrap().unwrap(), 0.6022296015180265);
    let rmse = weighted::root_mean_squared_error(2, &truth, &predicted, &weights).unwrap();
    close(rmse, 0.7875228934401258);
    let labels = [0, 1, 0, 2];
    let probabilities = [0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.3, 0.3, 0.4, 0.25, 0.5, 0.25];
    close(weighted::log_loss(3, &labels, &probabilities, &weights).unwrap(), 0.944491642614362);
    let classes = [0, 1, 2, 1];
    close(weighted::accuracy(&labels, &classes, &weights).unwrap(), 0.46153846153846156);
    let ones = [1.0; 4];
    close(
        weighted::r2(2, &truth, &predicted, &ones).unwrap().unwrap(),
        metrics::r2(2, &truth, &predicted).unwrap().unwrap(),
    );
    let constant = weighted::r2(1, &[2.0, 2.0, 5.0, 2.0], &[0.0; 4], &[1.0, 1.0, 0.0, 1.0]);
    assert_eq!(constant.unwrap(), None);
    for (result, reason) in [
        (weighted::accuracy(&labels, &classes, &[1.0]), "1 weights for 4 samples"),
        (weighted::accuracy(&labels, &classes, &[0.0; 4]), "all weights are 0"),
        (weighted::log_loss(3, &labels, &probabilities, &[-1.0; 4]), "not -1 as sample 0 has"),
        (weighted::root_mean_squared_error(3, &truth, &truth, &weights), "no whole number"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
