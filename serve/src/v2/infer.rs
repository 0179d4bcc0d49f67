//! `POST /v2/models/{name}/infer`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::elements::Datatype;
use super::request::{self, Request, Tensor, parameter, refuse_extensions};
use super::tensor::MATRIX;
use super::{Name, NameAndVersion, find, response};
use crate::about::About;
use crate::app::App;
use crate::fault::Fault;
use crate::predict::wrong_path;
use crate::rows::{self, Cell, Row};
use crate::version::{Input, Version, apart};

pub(crate) async fn infer(
    State(app): State<Arc<App>>,
    name: Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let Path(name) = name.map_err(wrong_path)?;
    answer(&app, (&name, find(&app, &name, None)?), &headers, body).await
}

pub(crate) async fn infer_version(
    State(app): State<Arc<App>>,
    path: NameAndVersion,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let Path((name, version)) = path.map_err(wrong_path)?;
    answer(&app, (&name, find(&app, &name, Some(&version))?), &headers, body).await
}

async fn answer(
    app: &App,
    (name, version): (&str, Arc<Version>),
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let body = app.read(headers, body).await?;
    let max_rows = app.limits.rows;
    let (mut request, rows) = apart(body.len(), || {
        let (mut request, binary) = request::parse(headers, &body)?;
        let rows = rows_of(&mut request, binary, &version.about, max_rows)?;
        Ok::<_, Fault>((request, rows))
    })?;
    let asked = response::asked(&mut request, &version.about)?;
    let answers = match &rows {
        Rows::Numbers(numbers) => version.predict(Input::Numbers(numbers)).await?,
        Rows::Rows(rows) => version.predict(Input::Rows(rows)).await?,
    };
    Ok(response::response((name, &version), request.id, &asked, &answers))
}

/// The rows of a request.
enum Rows<'a> {
    Numbers(Vec<f64>),
    Rows(Vec<Row<'a>>),
}

/// A tensor of a request, whose shape is right.
struct Found<'a> {
    rows: usize,
    width: usize,
    datatype: Datatype,
    content: Content<'a>,
    /// The name of the content, for messages.
    field: String,
}

enum Content<'a> {
    Bytes(&'a [u8]),
    Json(Vec<Cell<'a>>),
}

/// Puts the tensors of a request together to rows.
fn rows_of<'a>(
    request: &mut Request<'a>,
    mut binary: &'a [u8],
    about: &About,
    max_rows: usize,
) -> Result<Rows<'a>, Fault> {
    let columns = about.columns.len();
    if let [tensor] = &mut request.inputs[..]
        && about.is_numeric()
        && tensor.name == MATRIX
    {
        let found = Found::new(0, tensor, columns, &mut binary, max_rows)?;
        check_rest(binary)?;
        return found.matrix();
    }
    let mut places: Vec<Option<Vec<Cell<'a>>>> = (0..columns).map(|_| None).collect();
    let mut rows = None;
    for (i, tensor) in request.inputs.iter_mut().enumerate() {
        let column = about.columns.iter().position(|column| column.name == tensor.name);
        let column = column.ok_or_else(|| unknown(i, &tensor.name, about))?;
        if places[column].is_some() {
            let field = format!("inputs[{i}].name");
            return Err(Fault::input(field, "each name once", format!("'{}' twice", tensor.name)));
        }
        let found = Found::new(i, tensor, 1, &mut binary, max_rows)?;
        if *rows.get_or_insert(found.rows) != found.rows {
            let expected = format!("{} rows, as in the other tensors", rows.unwrap_or_default());
            let field = format!("inputs[{i}].shape");
            return Err(Fault::input(field, expected, format!("{} rows", found.rows)));
        }
        places[column] = Some(found.cells()?);
    }
    check_rest(binary)?;
    let absent = || {
        let missing = places.iter().zip(&about.columns).find(|(place, _)| place.is_none());
        let name = missing.map_or("", |(_, column)| &column.name);
        Fault::input("inputs", format!("a tensor '{name}'"), "none of this name")
    };
    if places.iter().any(Option::is_none) {
        return Err(absent());
    }
    let mut columns: Vec<_> = places.into_iter().flatten().map(Vec::into_iter).collect();
    let row = |_| Row::List(columns.iter_mut().filter_map(Iterator::next).collect());
    Ok(Rows::Rows((0..rows.unwrap_or_default()).map(row).collect()))
}

fn unknown(i: usize, name: &str, about: &About) -> Fault {
    let mut names: Vec<&str> = about.columns.iter().map(|column| &*column.name).collect();
    if about.is_numeric() {
        names.insert(0, MATRIX);
    }
    const SHOWN: usize = 20;
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let expected = format!("one of {}{more}", names.join(", "));
    Fault::input(format!("inputs[{i}].name"), expected, format!("'{name}'"))
}

impl<'a> Found<'a> {
    /// Looks at a tensor of `width` columns; its bytes are taken from the front of `binary`.
    fn new(
        number: usize,
        tensor: &mut Tensor<'a>,
        width: usize,
        binary: &mut &'a [u8],
        max_rows: usize,
    ) -> Result<Self, Fault> {
        let place = format!("inputs[{number}]");
        let rows = rows(&place, &tensor.shape, width, max_rows)?;
        let Some(datatype) = Datatype::named(&tensor.datatype) else {
            let expected = format!("one of {}", Datatype::names());
            let found = format!("'{}'", tensor.datatype);
            return Err(Fault::input(format!("{place}.datatype"), expected, found));
        };
        refuse_extensions(&place, &tensor.parameters)?;
        let bytes = parameter(
            (&place, &tensor.parameters),
            "binary_data_size",
            "a number of bytes",
            |value| value.as_u64(),
        )?;
        let (content, field) = match (bytes, tensor.data.take()) {
            (Some(bytes), None) => {
                let field = format!("{place}.parameters.binary_data_size");
                let own = usize::try_from(bytes).ok().and_then(|n| binary.split_at_checked(n));
                let Some((own, rest)) = own else {
                    let most = binary.len();
                    let expected = format!("at most the {most} bytes that follow the JSON");
                    return Err(Fault::input(field, expected, bytes.to_string()));
                };
                *binary = rest;
                (Content::Bytes(own), field)
            }
            (None, Some(data)) => (Content::Json(data.0), format!("{place}.data")),
            (bytes, _) => {
                let found = if bytes.is_some() { "both" } else { "none of them" };
                let expected = "data, or the parameter binary_data_size";
                return Err(Fault::input(place, expected, found));
            }
        };
        Ok(Found { rows, width, datatype, content, field })
    }

    /// The elements, row by row.
    fn cells(self) -> Result<Vec<Cell<'a>>, Fault> {
        // Both are within limits: the rows by the server's, the columns by the model's.
        let count = self.rows * self.width;
        match self.content {
            Content::Bytes(bytes) => self.datatype.read(&self.field, bytes, count),
            Content::Json(elements) if elements.len() != count => {
                let expected = format!("{count} elements, as the shape says");
                Err(Fault::input(self.field, expected, elements.len().to_string()))
            }
            Content::Json(elements) => {
                let check = |(i, element): (usize, Cell<'a>)| {
                    self.datatype.checked(element).map_err(|(expected, found)| {
                        let field = format!("{}, element {i} (counted from 0)", self.field);
                        Fault::input(field, expected, found)
                    })
                };
                elements.into_iter().enumerate().map(check).collect()
            }
        }
    }

    /// The rows of a tensor of all columns: numbers where none is missing, which are encoded faster.
    fn matrix(self) -> Result<Rows<'a>, Fault> {
        let (rows, width) = (self.rows, self.width);
        if let Content::Bytes(bytes) = self.content
            && let Some(numbers) = self.datatype.numbers(bytes, rows * width)
        {
            return Ok(Rows::Numbers(numbers));
        }
        let cells = self.cells()?;
        if let Some(numbers) = cells.iter().map(Cell::number).collect() {
            return Ok(Rows::Numbers(numbers));
        }
        let mut cells = cells.into_iter();
        let row = |_| Row::List(cells.by_ref().take(width).collect());
        Ok(Rows::Rows((0..rows).map(row).collect()))
    }
}

/// The rows of a shape: `[rows, width]`, or `[rows]` for one column.
fn rows(place: &str, shape: &[u64], width: usize, max_rows: usize) -> Result<usize, Fault> {
    let rows = match *shape {
        [rows, columns] if columns == width as u64 => rows,
        [rows] if width == 1 => rows,
        _ => {
            let expected = format!("[rows, {width}]");
            return Err(Fault::input(format!("{place}.shape"), expected, format!("{shape:?}")));
        }
    };
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    rows::check_count(rows, max_rows)?;
    Ok(rows)
}

/// Refuses bytes that belong to no tensor.
fn check_rest(binary: &[u8]) -> Result<(), Fault> {
    match binary.len() {
        0 => Ok(()),
        rest => {
            let expected = "bytes of the tensors that have a binary_data_size, and no more";
            Err(Fault::input("body", expected, format!("{rest} more")))
        }
    }
}
