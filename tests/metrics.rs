//! Metrics against scikit-learn's numbers (`tests/metrics.json`, made by `scripts/make-metric-cases.py`), and what is
//! refused.

use serde_json::Value;
use travertine::metrics::{self, ClassScores};

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
        }
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
    }
}

#[test]
fn what_has_no_answer_is_none() {
    assert_eq!(metrics::r2(1, &[2.0, 2.0], &[2.0, 1.0]).unwrap(), None);
    assert_eq!(metrics::r2(2, &[1.0, 2.0], &[0.0, 0.0]).unwrap(), None, "one sample");
    assert_eq!(metrics::roc_auc(&[true, true], &[0.1, 0.2]).unwrap(), None);
    assert_eq!(metrics::roc_auc_one_vs_rest(1, &[0, 0], &[0.1, 0.2]).unwrap(), None);
    assert_eq!(metrics::macro_average(&[]), ClassScores::default());
    let infinite = [f64::INFINITY, 0.0, -0.0, f64::NEG_INFINITY];
    assert_eq!(
        metrics::roc_auc(&[true, true, false, false], &infinite).unwrap(),
        Some(0.875),
        "0 and -0 are equal"
    );
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let refusals: [(travertine::Result<f64>, &str); 10] = [
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
    ];
    for (result, part) in refusals {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
}
