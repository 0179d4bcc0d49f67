//! `POST /predict`: raw rows as JSON or CSV, and their predictions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::about::About;
use crate::app::App;
use crate::fault::{self, Fault};
use crate::rows;
use crate::served::Served;
use crate::version::{Answers, Input, apart};

pub(crate) async fn only(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    predict(&app, app.only()?, headers, body).await
}

pub(crate) async fn named(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let Path(name) = name.map_err(wrong_path)?;
    predict(&app, app.find(&name)?, headers, body).await
}

/// The fault of a path that is no text.
pub(crate) fn wrong_path(rejection: PathRejection) -> Fault {
    Fault::input("path", "a path in UTF-8", rejection.to_string())
}

/// How rows are written.
enum Form {
    Json,
    Csv,
}

async fn predict(
    app: &App,
    model: &Served,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let form = form(&headers)?;
    let body = app.read(&headers, body).await?;
    let version = model.current();
    let max_rows = app.limits.rows;
    let answers = match form {
        Form::Json => {
            let rows = apart(body.len(), || rows::parse(&body, max_rows))?;
            version.predict(Input::Rows(&rows)).await?
        }
        Form::Csv => version.predict(Input::Csv(&body, max_rows)).await?,
    };
    Ok(fault::json(&Answer {
        model: &model.name,
        version: version.number.to_string(),
        predictions: Predictions { about: &version.about, answers: &answers },
        warnings: &answers.warnings,
    }))
}

/// The form that the header names.
fn form(headers: &HeaderMap) -> Result<Form, Fault> {
    let named =
        headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = named.as_deref().map(|text| text.split(';').next().unwrap_or(text).trim());
    match essence.map(str::to_ascii_lowercase).as_deref() {
        None | Some("application/json") => Ok(Form::Json),
        Some("text/csv") => Ok(Form::Csv),
        Some(other) => {
            let expected = "application/json or text/csv";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Fault::new(status, "content-type", expected, format!("'{other}'")))
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    version: String,
    predictions: Predictions<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// One object a row.
struct Predictions<'a> {
    about: &'a About,
    answers: &'a Answers,
}

impl Serialize for Predictions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Predictions { about, answers } = *self;
        let mut list = serializer.serialize_seq(Some(answers.rows))?;
        for row in 0..answers.rows {
            list.serialize_element(&Prediction { about, answers, row })?;
        }
        list.end()
    }
}

struct Prediction<'a> {
    about: &'a About,
    answers: &'a Answers,
    row: usize,
}

impl Serialize for Prediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Prediction { about, answers, row } = *self;
        let mut map = serializer.serialize_map(None)?;
        let Some(&class) = answers.classes.get(row) else {
            let values = part(&answers.values, row, about.values.len());
            map.serialize_entry("values", &Named(&about.values, values))?;
            return map.end();
        };
        let scores = part(&answers.scores, row, about.classes.len());
        map.serialize_entry("class", &about.classes[class])?;
        if about.gives_probabilities {
            map.serialize_entry("probability", &scores[class])?;
        }
        let name = if about.gives_probabilities { "probabilities" } else { "scores" };
        map.serialize_entry(name, &Named(&about.classes, scores))?;
        map.end()
    }
}

fn part(numbers: &[f64], row: usize, width: usize) -> &[f64] {
    &numbers[row * width..][..width]
}

/// Names and numbers.
struct Named<'a>(&'a [String], &'a [f64]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0
            .iter()
            .zip(self.1)
            .try_for_each(|(name, number)| map.serialize_entry(name, number))?;
        map.end()
    }
}
