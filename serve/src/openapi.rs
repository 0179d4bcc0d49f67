//! `/openapi.json`: the interface in OpenAPI 3.1, with the columns of each model.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::about::{About, Column, Kind};
use crate::app::App;
use crate::fault;

/// `GET /openapi.json`
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Response {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for model in &app.models {
        let version = model.current();
        let name = &model.name;
        schemas.insert(format!("{name}.row"), row(&version.about));
        schemas.insert(format!("{name}.answer"), answer(&version.about));
        paths.insert(format!("/models/{name}/predict"), json!({"post": predict(name)}));
        if app.models.len() == 1 {
            paths.insert("/predict".to_owned(), json!({"post": predict(name)}));
        }
        let infer = json!({"post": operation(
            &format!("Open Inference Protocol v2: predictions of {name}"),
            json!({"application/json": {"schema": {"type": "object"}}, "application/octet-stream": {}}),
            json!({"type": "object"}),
        )});
        paths.insert(format!("/v2/models/{name}/infer"), infer);
        paths.insert(format!("/v2/models/{name}"), get("The tensors of the model", JSON));
        paths.insert(format!("/v2/models/{name}/ready"), get("Whether the model answers", JSON));
    }
    for (path, about) in [
        ("/v2", "The server and its extensions"),
        ("/v2/health/live", "Whether the server runs"),
        ("/v2/health/ready", "Whether the server answers"),
        ("/models", "The models and their columns"),
    ] {
        paths.insert(path.to_owned(), get(about, JSON));
    }
    paths.insert("/metrics".to_owned(), get("Counters for Prometheus", "text/plain"));
    paths.insert("/".to_owned(), get("A page with the columns as a form", "text/html"));
    schemas.insert("error".to_owned(), error());
    let mut components = json!({"schemas": schemas});
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "travertine serve", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
    });
    if app.token.is_some() {
        components["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer"}});
        document["security"] = json!([{"token": []}]);
    }
    document["components"] = components;
    fault::json(&document)
}

const JSON: &str = "application/json";

fn get(summary: &str, media: &str) -> Value {
    let response = json!({"description": summary, "content": {media: {}}});
    json!({"get": {"summary": summary, "responses": {"200": response}}})
}

fn predict(name: &str) -> Value {
    let row = json!({"$ref": format!("#/components/schemas/{name}.row")});
    let rows = json!({"oneOf": [row, {"type": "array", "items": row}]});
    let content =
        json!({"application/json": {"schema": rows}, "text/csv": {"schema": {"type": "string"}}});
    let schema = json!({"$ref": format!("#/components/schemas/{name}.answer")});
    operation(&format!("Predictions of {name} for raw rows"), content, schema)
}

fn operation(summary: &str, content: Value, answer: Value) -> Value {
    let error = json!({"schema": {"$ref": "#/components/schemas/error"}});
    json!({
        "summary": summary,
        "requestBody": {"required": true, "content": content},
        "responses": {
            "200": {"description": "The predictions", "content": {JSON: {"schema": answer}}},
            "4XX": {"description": "What is wrong with the request", "content": {JSON: error}},
        },
    })
}

fn row(about: &About) -> Value {
    let properties: Map<String, Value> =
        about.columns.iter().map(|column| (column.name.clone(), value(column))).collect();
    let required: Vec<&str> = about.columns.iter().map(|column| &*column.name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// The values of a column.
fn value(column: &Column) -> Value {
    let mut schema = match column.kind {
        // A number of percent or of a currency is a text, as in training.
        Kind::Number => json!({"type": ["number", "string", "boolean"]}),
        Kind::Text => {
            json!({"type": ["string", "integer", "boolean"], "examples": column.categories})
        }
        Kind::Date => json!({"type": ["string"]}),
    };
    if let Some(types) = schema["type"].as_array_mut().filter(|_| column.allows_gaps) {
        types.push("null".into());
    }
    schema
}

fn answer(about: &About) -> Value {
    let numbers = |names: &[String]| {
        let number = |name: &String| (name.clone(), json!({"type": "number"}));
        json!({"type": "object", "properties": names.iter().map(number).collect::<Map<_, _>>()})
    };
    let prediction = if about.classes.is_empty() {
        json!({"values": numbers(&about.values)})
    } else if about.gives_probabilities {
        json!({
            "class": {"type": "string", "enum": about.classes},
            "probability": {"type": "number"},
            "probabilities": numbers(&about.classes),
        })
    } else {
        json!({
            "class": {"type": "string", "enum": about.classes},
            "scores": numbers(&about.classes),
        })
    };
    json!({
        "type": "object",
        "required": ["model", "version", "predictions"],
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "predictions": {"type": "array", "items": {"type": "object", "properties": prediction}},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
    })
}

fn error() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["error", "field", "expected", "found"],
        "properties": {"error": text, "field": text, "expected": text, "found": text},
    })
}
