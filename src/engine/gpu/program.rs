//! Kernels: one neutral text for all APIs, put together at run time with options, a dialect and formulas in front of it. So an activation is
//! inlined into the epilogue of the product, and an API is a dialect of some fifteen lines.

use std::collections::HashMap;
use std::fmt::Write;

use super::driver::Driver;
use crate::error::Result;

/// The files of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Text {
    Elements,
    Gather,
    Random,
    Sums,
    Blend,
    Columns,
    Embedding,
    LookUp,
    Network,
    Normalize,
    Product,
    Peak,
    Train,
    Update,
    Halve,
}

impl Text {
    fn source(self) -> &'static str {
        match self {
            Text::Elements => include_str!("../kernels/elements.kernel"),
            Text::Gather => include_str!("../kernels/gather.kernel"),
            Text::Random => include_str!("../kernels/random.kernel"),
            Text::Sums => include_str!("../kernels/sums.kernel"),
            Text::Blend => concat!(
                include_str!("../kernels/lines.kernel"),
                include_str!("../kernels/blend.kernel")
            ),
            Text::Columns => include_str!("../kernels/columns.kernel"),
            Text::Embedding => include_str!("../kernels/embedding.kernel"),
            Text::LookUp => include_str!("../kernels/lookup.kernel"),
            Text::Network => include_str!("../kernels/network.kernel"),
            Text::Normalize => concat!(
                include_str!("../kernels/lines.kernel"),
                include_str!("../kernels/normalize.kernel")
            ),
            Text::Product => include_str!("../kernels/product.kernel"),
            Text::Peak => include_str!("../kernels/peak.kernel"),
            Text::Train => {
                concat!(
                    include_str!("../kernels/network.kernel"),
                    include_str!("../kernels/train.kernel")
                )
            }
            Text::Update => include_str!("../kernels/update.kernel"),
            Text::Halve => include_str!("../kernels/halve.kernel"),
        }
    }
}

/// A formula as a device function of this name, with the number of its operands; 0 for the statements of an optimizer's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Function {
    pub name: &'static str,
    pub operands: usize,
    pub expression: &'static str,
}

/// Everything that determines a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub text: Text,
    pub kernel: &'static str,
    pub functions: [Option<Function>; Key::FUNCTIONS],
    options: [(&'static str, usize); Key::OPTIONS],
    count: usize,
}

impl Key {
    /// No text has more.
    const OPTIONS: usize = 24;
    /// Two for each layer of a network, two for its loss.
    const FUNCTIONS: usize = 10;

    pub fn new(text: Text, kernel: &'static str) -> Self {
        Key {
            text,
            kernel,
            functions: [None; Key::FUNCTIONS],
            options: [("", 0); Key::OPTIONS],
            count: 0,
        }
    }

    pub fn with(mut self, options: &[(&'static str, usize)]) -> Self {
        for &option in options {
            self.options[self.count] = option;
            self.count += 1;
        }
        self
    }

    pub fn with_function(
        mut self,
        name: &'static str,
        operands: usize,
        expression: &'static str,
    ) -> Self {
        let free = self.functions.iter_mut().find(|function| function.is_none());
        *free.expect("no kernel has more formulas") = Some(Function { name, operands, expression });
        self
    }

    pub fn with_rule(self, name: &'static str, statements: &'static str) -> Self {
        self.with_function(name, 0, statements)
    }

    /// The source: options, scalar, dialect, functions, formulas, text.
    pub fn source(&self, dialect: &str) -> String {
        let mut source = String::new();
        for (name, value) in &self.options[..self.count] {
            let _ = writeln!(source, "#define {name} {value}");
        }
        source += include_str!("../kernels/real.h");
        source += dialect;
        source += include_str!("../kernels/functions.kernel");
        for Function { name, operands, expression } in self.functions.iter().flatten() {
            let p = "REALV p0, REALV p1, REALV p2, REALV p3";
            let _ = match operands {
                0 => writeln!(
                    source,
                    "DEVICE void {name}(REALV *w, REALV g, REALV *m, REALV *v, {p}, REALV p4, REALV p5, REALV p6, REALV p7) \
                     {{ {expression} }}"
                ),
                1 => {
                    writeln!(source, "DEVICE REALV {name}(REALV x, {p}) {{ return {expression}; }}")
                }
                _ => writeln!(
                    source,
                    "DEVICE REALV {name}(REALV x, REALV y, {p}) {{ return {expression}; }}"
                ),
            };
        }
        source + self.text.source()
    }
}

/// Compiled kernels by their keys.
pub(super) struct Programs<D: Driver>(HashMap<Key, D::Kernel>);

impl<D: Driver> Programs<D> {
    pub fn new() -> Self {
        Programs(HashMap::new())
    }

    /// The kernel, which is made when it is first requested.
    pub fn get(
        &mut self,
        key: &Key,
        make: impl FnOnce() -> Result<D::Kernel>,
    ) -> Result<&D::Kernel> {
        if !self.0.contains_key(key) {
            self.0.insert(*key, make()?);
        }
        Ok(&self.0[key])
    }
}
