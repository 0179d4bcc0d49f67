//! The check of operands that precedes every call of an engine.

use std::sync::Arc;

use crate::engine::{Engine, Span};
use crate::error::{ErrorKind, Result};
use crate::scalar::Scalar;

/// An operand of a check: its name in the message, its shape and its engine.
pub(crate) struct Operand<'a> {
    name: &'static str,
    pub span: Span,
    engine: &'a str,
    /// Distinguishes engines with the same name.
    engine_address: *const (),
}

/// The operands of a check, named as the variables: `operands!(a, b, c)`.
macro_rules! operands {
    ($($operand:ident),*) => {
        [$($crate::ops::check::operand(stringify!($operand), $operand.span(), $operand.engine())),*]
    };
}
pub(crate) use operands;

pub(crate) fn operand<'a, T: Scalar>(
    name: &'static str,
    span: Span,
    engine: &'a Arc<dyn Engine<T>>,
) -> Operand<'a> {
    let engine_address = Arc::as_ptr(engine).cast();
    Operand { name, span, engine: &engine.device().name, engine_address }
}

/// Refuses operands that break a rule or belong to different engines. The message names every operand and every broken rule. Nothing is allocated
/// if all is well.
pub(crate) fn check(
    operation: &'static str,
    operands: &[Operand<'_>],
    rules: &[(bool, &str)],
) -> Result<()> {
    let first = operands[0].engine_address;
    let on_one_engine = operands.iter().all(|operand| operand.engine_address == first);
    if on_one_engine && rules.iter().all(|rule| rule.0) {
        return Ok(());
    }
    let mut broken: Vec<&str> = rules.iter().filter(|rule| !rule.0).map(|rule| rule.1).collect();
    if !on_one_engine {
        broken.push("all operands must live on one engine: open it once, and clone its Arc");
    }
    let operands = describe(operands);
    Err(ErrorKind::Shape { operation, operands, rules: broken.join("; ") }.into())
}

/// Names and shapes of operands; with numbered engines if there are several, since two engines can have one name.
fn describe(operands: &[Operand<'_>]) -> String {
    let mut engines: Vec<*const ()> = operands.iter().map(|one| one.engine_address).collect();
    engines.sort_unstable();
    engines.dedup();
    // Numbered in the order of the operands.
    engines.sort_by_key(|engine| operands.iter().position(|one| one.engine_address == *engine));
    let described = operands.iter().map(|Operand { name, span, engine, engine_address }| {
        let shape = format!("{name} is {}x{}", span.rows, span.columns);
        match engines.iter().position(|engine| engine == engine_address) {
            Some(index) if engines.len() > 1 => {
                format!("{shape} on engine {} ({engine})", index + 1)
            }
            _ => shape,
        }
    });
    described.collect::<Vec<_>>().join(", ")
}
