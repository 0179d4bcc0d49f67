//! What a file may make a program allocate.
//!
//! A message of two bytes becomes a structure of a hundred and more. So the messages of a file are counted before it is decoded.

/// Structures that a file may have, beside one for every 64 bytes of it: a graph of 20 000 nodes.
const MOST_MESSAGES: usize = 1 << 16;
const BYTES_PER_MESSAGE: usize = 64;
/// Numbers that reading may compute, beside two for every byte of the file.
const MOST_NUMBERS: usize = 1 << 20;
const NUMBERS_PER_BYTE: usize = 2;

/// Fields that are messages or texts, in each of the messages that have such: of a model, its graph, a node, an attribute, a tensor, an
/// input's description and so on. What is not listed is one structure at most.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Info,
    Type,
    TensorType,
    Shape,
    Leaf,
}

impl Kind {
    /// The kind of the message in a field; `None` for a field that is skipped or a number.
    fn field(self, number: u64) -> Option<Kind> {
        Some(match (self, number) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 8 | 14 | 25) => Kind::Leaf,
            (Kind::Graph, 1) => Kind::Node,
            (Kind::Graph, 5) => Kind::Tensor,
            (Kind::Graph, 11 | 12) => Kind::Info,
            (Kind::Graph, 15) => Kind::Leaf,
            (Kind::Node, 1 | 2) => Kind::Leaf,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::Attribute, 5) => Kind::Tensor,
            (Kind::Attribute, 9) => Kind::Leaf,
            (Kind::Tensor, 6 | 13) => Kind::Leaf,
            (Kind::Info, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::TensorType,
            (Kind::TensorType, 2) => Kind::Shape,
            (Kind::Shape, 1) => Kind::Leaf,
            _ => return None,
        })
    }
}

/// Refuses bytes with more messages than a file of their length has; `Err` has the reason.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let most = MOST_MESSAGES + bytes.len() / BYTES_PER_MESSAGE;
    let mut count = 0;
    walk(bytes, Kind::Model, &mut count, most)
}

/// How many numbers reading a file of so many bytes may compute.
pub(super) fn numbers(bytes: usize) -> usize {
    MOST_NUMBERS + NUMBERS_PER_BYTE * bytes
}

fn walk(mut bytes: &[u8], kind: Kind, count: &mut usize, most: usize) -> Result<(), String> {
    let cut = || "a message that ends within a field".to_owned();
    while !bytes.is_empty() {
        let key = varint(&mut bytes).ok_or_else(cut)?;
        let length = match key & 7 {
            0 => {
                varint(&mut bytes).ok_or_else(cut)?;
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut bytes).ok_or_else(cut)?,
            // Groups, which ONNX has none of.
            wire => return Err(format!("a field of type {wire}, which ONNX does not have")),
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
        let (field, rest) = bytes.split_at(length.ok_or_else(cut)?);
        bytes = rest;
        if let Some(inner) = kind.field(key >> 3).filter(|_| key & 7 == 2) {
            *count += 1;
            if *count > most {
                return Err(format!("more than {most} messages"));
            }
            if !matches!(inner, Kind::Leaf) {
                walk(field, inner, count, most)?;
            }
        }
    }
    Ok(())
}

/// A number of 7 bits a byte; `None` where it is cut off or too long.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
