//! Answers that are no numbers: each way to predict refuses them, naming the row and the target.

use serde_json::json;
use travertine::data::{Dataset, Frame, TargetScale, Targets, Values};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Loss, Model, Network};

use super::{cpu, format_parts};

/// One column `n`, whose number is multiplied by 1e20 for each output.
fn model(outputs: usize, activation: Activation, info: ModelInfo) -> Model<f32> {
    let mut network = Network::builder(&cpu(), 1).dense(outputs, activation).build().unwrap();
    network.layers_mut()[0].weights_mut().write(&vec![1e20; outputs]).unwrap();
    Model::new(network, ModelInfo { features: vec!["n".to_owned()], ..info }).unwrap()
}

fn of_price() -> Model<f32> {
    let target = Some("price".to_owned());
    model(1, Activation::Identity, ModelInfo { target, ..ModelInfo::new(Loss::Quadratic) })
}

fn samples(values: &[f32]) -> Dataset<f32> {
    Dataset::new(1, values.to_vec(), Targets::None).unwrap()
}

#[test]
fn the_row_and_the_target_are_named_however_the_row_came() {
    let model = of_price();
    let mut predictor = model.predictor(2).unwrap();
    let error = predictor.predict(&[1e30]).unwrap_err();
    let [row, place, expected, found] = format_parts(&error);
    assert_eq!([row, place, expected], ["row", "answer for 'price'", "a finite number"]);
    assert!(found.starts_with("inf") && found.contains("f32"), "{error}");
    let at = |error: travertine::Error| format_parts(&error)[0].to_owned();
    let error = predictor.predict_batch(&[1.0, -1e30]).unwrap_err();
    assert_eq!(at(error), "row 1 (counted from 0)");
    assert_eq!(at(predictor.predict_record(&json!({"n": 1e30})).unwrap_err()), "record");
    let error = predictor.predict_records(&[json!({"n": 1}), json!({"n": 1e30})]).unwrap_err();
    assert_eq!(at(error), "record 1 (counted from 0)");
    // A predictor goes on after an error.
    assert_eq!(predictor.predict(&[2.0]).unwrap().values(), [f64::from(2e20f32)]);

    // More samples than a batch.
    let mut many = vec![1.0; 5000];
    many[4321] = 1e30;
    for error in [
        model.predict(&samples(&many)).unwrap_err(),
        model.predict_standardized(&samples(&many)).unwrap_err(),
    ] {
        assert!(at(error).ends_with(" 4321 (counted from 0)"));
    }
    let numbers = Values::Numbers(vec![1.0, 1.0, 1e30]);
    let columns = vec![travertine::data::Column { name: "n".to_owned(), values: numbers }];
    let table = model.encode_frame(&Frame::new(columns, Targets::None).unwrap()).unwrap();
    assert_eq!(at(model.predict_table(&table).unwrap_err()), "row 2 (counted from 0)");
}

#[test]
fn rows_of_others_are_spoiled_by_none() {
    let model = of_price();
    let mut predictor = model.predictor(3).unwrap();
    let outputs = predictor.predict_encoded(&[1.0, 1e30, 2.0]).unwrap().outputs().to_vec();
    assert_eq!((outputs[0], outputs[2]), (1e20, 2e20));
    let error = model.decode(&outputs[1..]).unwrap_err();
    assert_eq!(format_parts(&error)[..2], ["row 0 (counted from 0)", "answer for 'price'"]);
    assert_eq!(model.decode(&outputs[2..]).unwrap().len(), 1);
}

#[test]
fn classes_and_bounded_values_hide_no_overflow() {
    let classes = ["no", "yes"].map(str::to_owned).to_vec();
    let of = |loss| ModelInfo { classes: classes.clone(), ..ModelInfo::new(loss) };
    for (outputs, activation, loss, class) in [
        (2, Activation::Softmax, Loss::SoftmaxCrossEntropy, "no"),
        (2, Activation::Identity, Loss::SoftmaxCrossEntropy, "no"),
        (1, Activation::Identity, Loss::BinaryCrossEntropy, "yes"),
        (2, Activation::Identity, Loss::Quadratic, "no"),
    ] {
        let model = model(outputs, activation, of(loss));
        let error = model.predictor(1).unwrap().predict(&[1e30]).map(|_| ()).unwrap_err();
        assert_eq!(format_parts(&error)[1], format!("answer for class '{class}'"), "{loss}");
    }
    // The bounds of a target would make a number of it.
    let scale = TargetScale::fit(&Targets::Values {
        values: vec![1.0, 2.0, 4.0],
        names: vec!["price".to_owned()],
    });
    let scale = scale.unwrap();
    let info = ModelInfo { target_scale: Some(scale), ..ModelInfo::new(Loss::Quadratic) };
    let model = model(1, Activation::Identity, info);
    assert!(model.predictor(1).unwrap().predict(&[1e30]).is_err());
}
