//! Which of Arrow's types can be learned from, and their values.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};

use crate::data::table::{Cell, DAY};

/// Longer values of a fixed length are no texts.
pub(super) const MAX_FIXED_BYTES: i32 = 4096;

/// The values of a column, by row.
pub(super) type Cells<'a> = Box<dyn Fn(usize) -> Cell<'a> + 'a>;

/// The name of values that cannot be learned from, or `None`.
pub(super) fn unreadable(data_type: &DataType) -> Option<String> {
    use DataType::*;
    let name = match data_type {
        Null | Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => {
            return None;
        }
        Date32 | Date64 | Timestamp(..) => return None,
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => return None,
        numbers if numbers.is_numeric() => return None,
        Dictionary(_, values) => return unreadable(values),
        FixedSizeBinary(bytes) if *bytes <= MAX_FIXED_BYTES => return None,
        FixedSizeBinary(bytes) => return Some(format!("byte arrays of {bytes} bytes")),
        List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_) => "lists",
        Struct(_) => "structs",
        Map(..) => "maps",
        Union(..) => "unions",
        Time32(_) | Time64(_) => "times of day",
        Duration(_) => "durations",
        Interval(_) => "intervals",
        other => return Some(format!("values of type {other}")),
    };
    Some(name.to_owned())
}

/// The values of an array; `None` if its type cannot be learned from.
pub(super) fn cells<'a>(array: &'a dyn Array) -> Option<Cells<'a>> {
    let present = present(array)?;
    Some(match array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
        None => present,
        Some(nulls) => {
            Box::new(move |row| if nulls.is_null(row) { Cell::Missing } else { present(row) })
        }
    })
}

/// The values of an array whose missing values have any value.
fn present<'a>(array: &'a dyn Array) -> Option<Cells<'a>> {
    Some(match array.data_type() {
        DataType::Null => Box::new(|_| Cell::Missing),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            Box::new(|row| Cell::Truth(values.value(row)))
        }
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Float16 => numbers::<Float16Type>(array, |x| x.to_f64()),
        DataType::Float32 => numbers::<Float32Type>(array, f64::from),
        DataType::Float64 => numbers::<Float64Type>(array, |x| x),
        DataType::Dictionary(..) => return dictionary(array),
        other => return dates(array).or_else(|| decimals(array, other)).or_else(|| texts(array)),
    })
}

fn integers<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> Cells<'a>
where
    T::Native: Into<i128>,
{
    let values = array.as_primitive::<T>().values();
    Box::new(|row| Cell::Integer(values[row].into()))
}

fn numbers<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    number: impl Fn(T::Native) -> f64 + 'a,
) -> Cells<'a> {
    let values = array.as_primitive::<T>().values();
    Box::new(move |row| Cell::Number(number(values[row])))
}

fn texts<'a>(array: &'a dyn Array) -> Option<Cells<'a>> {
    fn text(text: &str) -> Cell<'_> {
        Cell::Text(text.trim())
    }
    fn bytes(bytes: &[u8]) -> Cell<'_> {
        std::str::from_utf8(bytes).map_or(Cell::Bytes, text)
    }
    macro_rules! values {
        ($array:expr, $cell:ident) => {{
            let array = $array;
            Box::new(|row| $cell(array.value(row)))
        }};
    }
    Some(match array.data_type() {
        DataType::Utf8 => values!(array.as_string::<i32>(), text),
        DataType::LargeUtf8 => values!(array.as_string::<i64>(), text),
        DataType::Utf8View => values!(array.as_string_view(), text),
        DataType::Binary => values!(array.as_binary::<i32>(), bytes),
        DataType::LargeBinary => values!(array.as_binary::<i64>(), bytes),
        DataType::BinaryView => values!(array.as_binary_view(), bytes),
        DataType::FixedSizeBinary(_) => values!(array.as_fixed_size_binary(), bytes),
        _ => return None,
    })
}

fn dates<'a>(array: &'a dyn Array) -> Option<Cells<'a>> {
    fn moments<'a, T: ArrowPrimitiveType<Native = i64>>(
        array: &'a dyn Array,
        per_second: i64,
    ) -> Cells<'a> {
        let values = array.as_primitive::<T>().values();
        Box::new(move |row| {
            let (whole, part) =
                (values[row].div_euclid(per_second), values[row].rem_euclid(per_second));
            Cell::Date(whole as f64 + part as f64 / per_second as f64)
        })
    }
    Some(match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().values();
            Box::new(|row| Cell::Date(f64::from(days[row]) * DAY))
        }
        DataType::Date64 => moments::<Date64Type>(array, 1000),
        DataType::Timestamp(TimeUnit::Second, _) => moments::<TimestampSecondType>(array, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            moments::<TimestampMillisecondType>(array, 1000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            moments::<TimestampMicrosecondType>(array, 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            moments::<TimestampNanosecondType>(array, 1_000_000_000)
        }
        _ => return None,
    })
}

fn decimals<'a>(array: &'a dyn Array, data_type: &DataType) -> Option<Cells<'a>> {
    let values = match *data_type {
        DataType::Decimal32(_, scale) => {
            decimal::<Decimal32Type>(array, |x| quotient(x.into(), scale))
        }
        DataType::Decimal64(_, scale) => {
            decimal::<Decimal64Type>(array, |x| quotient(x.into(), scale))
        }
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, |x| quotient(x, scale)),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array, |_| None),
        _ => return None,
    };
    Some(Box::new(move |row| Cell::Number(values[row])))
}

/// The digits are read as a text is, where there is no `quotient`.
fn decimal<T: DecimalType>(
    array: &dyn Array,
    quotient: impl Fn(T::Native) -> Option<f64>,
) -> Vec<f64> {
    let array = array.as_primitive::<T>();
    let number = |row| {
        if array.is_null(row) {
            return f64::NAN;
        }
        let parsed = || array.value_as_string(row).parse().unwrap_or(f64::NAN);
        quotient(array.value(row)).unwrap_or_else(parsed)
    };
    (0..array.len()).map(number).collect()
}

/// A whole number by a power of ten, where both are exact.
fn quotient(x: i128, scale: i8) -> Option<f64> {
    const EXACT: u128 = 1 << 53;
    let is_exact = x.unsigned_abs() < EXACT && (0..=22).contains(&scale);
    is_exact.then(|| x as f64 / 10f64.powi(i32::from(scale)))
}

/// Values that are numbers of an array of different values.
fn dictionary<'a>(array: &'a dyn Array) -> Option<Cells<'a>> {
    let array = array.as_any_dictionary_opt()?;
    let different = cells(&**array.values())?;
    if array.values().is_empty() {
        return Some(Box::new(|_| Cell::Missing));
    }
    let keys = array.normalized_keys();
    Some(Box::new(move |row| different(keys[row])))
}
