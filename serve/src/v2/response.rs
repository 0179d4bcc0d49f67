//! The answer to an inference request: JSON, and binary tensors behind it.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::request::{JSON_LENGTH, Request, parameter, refuse_extensions};
use super::tensor::{CLASS, outputs};
use crate::about::About;
use crate::fault::{self, Fault};
use crate::version::{Answers, Version};

/// A tensor that is asked for, and whether it is sent as bytes.
pub(super) struct Asked {
    name: String,
    is_binary: bool,
}

/// The tensors that a request asks for: all, if it names none.
pub(super) fn asked(request: &mut Request<'_>, about: &About) -> Result<Vec<Asked>, Fault> {
    let parameters = ("request", &request.parameters);
    let bool = "true or false";
    let all_binary = parameter(parameters, "binary_data_output", bool, Value::as_bool)?;
    let all_binary = all_binary.unwrap_or(false);
    let names: Vec<String> = outputs(about).into_iter().map(|(name, ..)| name).collect();
    let Some(outputs) = request.outputs.take() else {
        return Ok(names.into_iter().map(|name| Asked { name, is_binary: all_binary }).collect());
    };
    let mut asked: Vec<Asked> = Vec::new();
    for (i, output) in outputs.into_iter().enumerate() {
        let place = format!("outputs[{i}]");
        refuse_extensions(&place, &output.parameters)?;
        let parameters = (&*place, &output.parameters);
        let is_binary = parameter(parameters, "binary_data", bool, Value::as_bool)?;
        if !names.contains(&output.name) || asked.iter().any(|a| a.name == output.name) {
            let expected = format!("one of {}, each once", names.join(", "));
            let found = format!("'{}'", output.name);
            return Err(Fault::input(format!("{place}.name"), expected, found));
        }
        asked.push(Asked { name: output.name, is_binary: is_binary.unwrap_or(all_binary) });
    }
    Ok(asked)
}

/// The answer.
pub(super) fn response(
    (name, version): (&str, &Version),
    id: Option<String>,
    asked: &[Asked],
    answers: &Answers,
) -> Response {
    let mut bytes = Vec::new();
    let tensors = asked.iter().map(|asked| tensor(asked, &version.about, answers, &mut bytes));
    let tensors: Vec<Value> = tensors.collect();
    let mut body = Map::new();
    body.insert("model_name".into(), name.into());
    body.insert("model_version".into(), version.number.to_string().into());
    if let Some(id) = id {
        body.insert("id".into(), id.into());
    }
    if !answers.warnings.is_empty() {
        // A parameter is a single value.
        body.insert("parameters".into(), json!({"warnings": answers.warnings.join("; ")}));
    }
    body.insert("outputs".into(), tensors.into());
    if !asked.iter().any(|asked| asked.is_binary) {
        return fault::json(&body);
    }
    let mut json = serde_json::to_vec(&body).unwrap_or_default();
    let length = HeaderValue::from(json.len());
    json.extend_from_slice(&bytes);
    let octets = HeaderValue::from_static("application/octet-stream");
    let mut response = ([(header::CONTENT_TYPE, octets)], json).into_response();
    response.headers_mut().insert(JSON_LENGTH, length);
    response
}

/// A tensor of the answer. One that is asked for as bytes is appended to `bytes`.
fn tensor(asked: &Asked, about: &About, answers: &Answers, bytes: &mut Vec<u8>) -> Value {
    let before = bytes.len();
    let class = |&class: &usize| &*about.classes[class];
    let (datatype, shape, data) = if asked.name == CLASS {
        let classes = answers.classes.iter().map(class);
        let data = if asked.is_binary {
            for class in classes {
                bytes.extend_from_slice(&(class.len() as u32).to_le_bytes());
                bytes.extend_from_slice(class.as_bytes());
            }
            None
        } else {
            Some(Value::from(classes.collect::<Vec<_>>()))
        };
        ("BYTES", vec![answers.rows], data)
    } else {
        let (numbers, width) = match about.classes.len() {
            0 => (&answers.values, about.values.len()),
            classes => (&answers.scores, classes),
        };
        let data = if asked.is_binary {
            numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
            None
        } else {
            Some(Value::from(&numbers[..]))
        };
        ("FP64", vec![answers.rows, width], data)
    };
    let size = bytes.len() - before;
    let name = &asked.name;
    match data {
        Some(data) => json!({"name": name, "datatype": datatype, "shape": shape, "data": data}),
        None => {
            let parameters = json!({"binary_data_size": size});
            json!({"name": name, "datatype": datatype, "shape": shape, "parameters": parameters})
        }
    }
}
