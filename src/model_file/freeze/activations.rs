//! Activations and the mathematics that they take. C has it in `math.h`; for Rust without `std` it is written here.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Language;
use super::answers::Answer;
use super::columns::Input;
use super::writer::{Kind, SourceWriter};
use crate::activation::{Activation, NORMAL_TAIL};
use crate::layer::LayerKind;
use crate::model_file::LayerDescription;

/// Terms behind 1 + x in the series of exp that double precision takes within ln(2) / 2.
const EXP_TERMS: u32 = 12;
/// Terms of the series of sin that double precision takes within a quarter turn.
const SINE_TERMS: u32 = 12;
/// Terms of the series of atanh that double precision takes within a third.
const ATANH_TERMS: u32 = 17;

/// The function of an activation.
pub(super) fn name(activation: Activation) -> String {
    let text = activation.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    text.trim_end_matches('_').to_owned()
}

/// `y[i] = f(y[i])` for so many numbers of y, from an offset on.
pub(super) fn apply(writer: &mut SourceWriter, activation: Activation, count: usize) {
    match activation {
        Activation::Identity => {}
        Activation::Softmax => {
            let kind = writer.number;
            super::answers::softmax(writer, "y", kind, 0, count);
        }
        _ => {
            let of = call(writer, activation, "y[i]");
            writer.for_each("i", count, &[&format!("y[i] = {of};")]);
        }
    }
}

/// The activation of an expression.
pub(super) fn call(writer: &SourceWriter, activation: Activation, x: &str) -> String {
    match activation {
        Activation::Identity | Activation::Softmax => x.to_owned(),
        _ => format!("{}({x})", writer.name(&name(activation))),
    }
}

/// The functions that a model takes.
pub(super) fn declare(
    writer: &mut SourceWriter,
    layers: &[LayerDescription],
    input: &Input<'_>,
    answer: &Answer<'_>,
) {
    let mut activations: Vec<Activation> = Vec::new();
    for layer in layers {
        if !activations.contains(&layer.activation) {
            activations.push(layer.activation);
        }
    }
    let is_there = |kind| layers.iter().any(|layer| layer.kind == kind);
    let mut needed: BTreeSet<&'static str> = BTreeSet::new();
    for activation in &activations {
        needed.extend(needs(*activation));
    }
    if is_there(LayerKind::NumberEmbedding) || input.has_cycles() {
        needed.extend(["floor", "sine"]);
    }
    if is_there(LayerKind::LayerNorm) || input.has_bound() {
        needed.insert("sqrt");
    }
    if answer.has_exp() {
        needed.insert("exp");
    }
    if writer.language == Language::Rust {
        mathematics(writer, &needed);
    }
    if input.has_cycles() || (is_there(LayerKind::NumberEmbedding) && !writer.is_c()) {
        turns(writer);
    }
    if input.has_bound() {
        bounded(writer);
    }
    for activation in activations {
        if let Some([c, rust]) = body(activation) {
            function(writer, &name(activation), [&c, &rust]);
        }
    }
}

/// The functions that Rust has in `std` alone.
fn needs(activation: Activation) -> &'static [&'static str] {
    match activation {
        Activation::Sigmoid | Activation::Silu | Activation::Mish | Activation::Softmax => {
            &["exp", "floor"]
        }
        Activation::Tanh | Activation::Elu(_) | Activation::Selu => &["exp", "expm1", "floor"],
        Activation::Gelu => &["exp", "floor", "normal_cdf"],
        Activation::Softplus => &["exp", "floor", "log1p"],
        Activation::Identity | Activation::Relu | Activation::LeakyRelu(_) => &[],
    }
}

/// The value of an activation at z, in C and in Rust. `$t` is the type in C, `$f` ends the names of its functions and `$l` its literals;
/// Rust computes in double precision, which no single-precision number notices.
fn body(activation: Activation) -> Option<[String; 2]> {
    let (alpha, [lambda, lambda_alpha]) = match activation {
        Activation::LeakyRelu(p) | Activation::Elu(p) => (p, [0.0; 2]),
        _ => (0.0, crate::activation::SELU),
    };
    let texts = match activation {
        Activation::Identity | Activation::Softmax => return None,
        // For z < 0 as exp(z) / (1 + exp(z)), which has one rounding error less. The quotient is in double precision, so that the
        // result has two rounding errors in all.
        Activation::Sigmoid => [
            "const $t e = exp$f(z < 0.0$l ? z : -z); return ($t)((z < 0.0$l ? e : 1.0) / (1.0 + e))".to_owned(),
            "1.0 / (1.0 + exp(-z))".to_owned(),
        ],
        Activation::Tanh => [
            "tanh$f(z)".to_owned(),
            "{ let e = expm1(2.0 * if z < 0.0 { -z } else { z }); let t = if e > 1e17 { 1.0 } else { e / (e + 2.0) }; if z < 0.0 { -t } else { t } }".to_owned(),
        ],
        Activation::Relu => ["0.0$l > z ? 0.0$l : z".to_owned(), "if 0.0 > z { 0.0 } else { z }".to_owned()],
        Activation::LeakyRelu(_) => [
            format!("0.0$l < z ? z : {alpha:?}$l * z"),
            format!("if 0.0 < z {{ z }} else {{ {alpha:?} * z }}"),
        ],
        Activation::Elu(_) => [
            format!("0.0$l < z ? z : {alpha:?}$l * expm1$f(z)"),
            format!("if 0.0 < z {{ z }} else {{ {alpha:?} * expm1(z) }}"),
        ],
        Activation::Gelu => [
            // In double precision: in the tail, an error of z would be a hundred times as large in the result.
            format!("($t)(z * (0.5 * erfc(-z * {:?})))", std::f64::consts::FRAC_1_SQRT_2),
            "z * normal_cdf(z)".to_owned(),
        ],
        Activation::Silu => [
            "const $t e = exp$f(z < 0.0$l ? z : -z); return ($t)(z * ((z < 0.0$l ? e : 1.0) / (1.0 + e)))".to_owned(),
            "z / (1.0 + exp(-z))".to_owned(),
        ],
        Activation::Selu => [
            format!("0.0$l < z ? {lambda:?}$l * z : {lambda_alpha:?}$l * expm1$f(z)"),
            format!("if 0.0 < z {{ {lambda:?} * z }} else {{ {lambda_alpha:?} * expm1(z) }}"),
        ],
        // With e = exp(z): tanh(ln(1 + e)) = u / (u + 2), u = e (e + 2), which is 1 from z = 20 on.
        Activation::Mish => [
            "const $t e = exp$f(z > 20.0$l ? 20.0$l : z); const double u = e * (e + 2.0); return ($t)(z * (u / (u + 2.0)))".to_owned(),
            "{ let e = exp(if z > 20.0 { 20.0 } else { z }); let u = e * (e + 2.0); z * (u / (u + 2.0)) }".to_owned(),
        ],
        Activation::Softplus => [
            "(z > 0.0$l ? z : 0.0$l) + log1p$f(exp$f(-fabs$f(z)))".to_owned(),
            "(if z > 0.0 { z } else { 0.0 }) + log1p(exp(if z > 0.0 { -z } else { z }))".to_owned(),
        ],
    };
    Some(texts)
}

/// A function of a number of the network.
fn function(writer: &mut SourceWriter, name: &str, [c, rust]: [&str; 2]) {
    let (own, of) = (writer.name(name), writer.type_name(writer.number));
    let is_single = writer.number == Kind::Single;
    writer.line("");
    match writer.language {
        Language::C => {
            let end = if is_single { "f" } else { "" };
            let text = c.replace("$f", end).replace("$l", end).replace("$t", of);
            // One statement a line; the last one returns.
            let text = text.replace("; ", ";\n    ");
            let text = if text.contains("return ") { text } else { format!("return {text}") };
            writer.raw(&format!("static {of} {own}({of} z)\n{{\n    {text};\n}}\n"));
        }
        Language::Rust if is_single => writer.raw(&format!(
            "fn {own}(z: f32) -> f32 {{\n    let z = f64::from(z);\n    ({rust}) as f32\n}}\n"
        )),
        Language::Rust => writer.raw(&format!("fn {own}(z: f64) -> f64 {{\n    {rust}\n}}\n")),
    }
}

/// `bound y / sqrt(y^2 + bound^2)`
fn bounded(writer: &mut SourceWriter) {
    let name = writer.name("bounded");
    writer.line("");
    // Beyond 1e150 the result is the bound, and the square does not overflow.
    match writer.language {
        Language::C => writer.raw(&format!(
            "static double {name}(double y, double bound)\n{{\n    y = y > 1e150 ? 1e150 : y < -1e150 ? -1e150 : y;\n    return bound * (y / sqrt(y * y + bound * bound));\n}}\n"
        )),
        Language::Rust => writer.raw(&format!(
            "fn {name}(y: f64, bound: f64) -> f64 {{\n    let y = if y > 1e150 {{ 1e150 }} else if y < -1e150 {{ -1e150 }} else {{ y }};\n    bound * (y / sqrt(y * y + bound * bound))\n}}\n"
        )),
    }
}

/// Sine and cosine of angles in turns.
fn turns(writer: &mut SourceWriter) {
    match writer.language {
        Language::C => {
            for wave in ["sin", "cos"] {
                let name = writer.name(&format!("{wave}_turns"));
                writer.raw(&format!(
                    "\nstatic double {name}(double t)\n{{\n    return {wave}({:?} * (t - floor(t)));\n}}\n",
                    std::f64::consts::TAU
                ));
            }
        }
        Language::Rust => writer.raw(
            "\nfn sin_turns(t: f64) -> f64 {\n    let r = t - floor(t + 0.5);\n    let size = if r < 0.0 { -r } else { r };\n    let s = sine(if size > 0.25 { 0.5 - size } else { size });\n    if r < 0.0 { -s } else { s }\n}\n\nfn cos_turns(t: f64) -> f64 {\n    let r = t - floor(t + 0.5);\n    sine(0.25 - if r < 0.0 { -r } else { r })\n}\n",
        ),
    }
}

/// Functions of `std`, for Rust.
fn mathematics(writer: &mut SourceWriter, needed: &BTreeSet<&'static str>) {
    if needed.is_empty() {
        return;
    }
    writer.raw("\n// Functions that `core` does not have, in double precision.\n");
    let factorial = |n: u32| (1..=n).fold(1.0, |product, k| product * f64::from(k));
    let has = |name: &str| needed.contains(name);
    if has("floor") || has("exp") {
        writer.raw("\nfn floor(x: f64) -> f64 {\n    if !(x > -4e15 && x < 4e15) {\n        return x;\n    }\n    let whole = x as i64 as f64;\n    if whole > x { whole - 1.0 } else { whole }\n}\n");
    }
    if has("exp") || has("expm1") {
        let terms = (2..2 + EXP_TERMS).map(|k| 1.0 / factorial(k));
        writer.raw(&format!(
            "\n/// `exp(r) - 1` for |r| <= ln(2) / 2.\nfn expm1_reduced(r: f64) -> f64 {{\n    r * r * polynomial(r, &[{}]) + r\n}}\n",
            list(terms)
        ));
        writer.raw("\nfn polynomial(x: f64, terms: &[f64]) -> f64 {\n    terms.iter().rev().fold(0.0, |sum, term| sum * x + term)\n}\n");
        writer.raw("\n/// n and r of `x = n ln 2 + r`.\nfn reduce(x: f64) -> (i64, f64) {\n    let n = floor(x * core::f64::consts::LOG2_E + 0.5);\n    (n as i64, (x - n * 6.931471803691238e-1) - n * 1.9082149292705877e-10)\n}\n");
        writer.raw("\nfn power_of_two(n: i64) -> f64 {\n    f64::from_bits(((1023 + n) as u64) << 52)\n}\n");
        writer.raw("\nfn exp(x: f64) -> f64 {\n    let (n, r) = reduce(if x > 710.0 { 710.0 } else if x < -746.0 { -746.0 } else { x });\n    // In two factors, as 2^n may be no normal number.\n    (1.0 + expm1_reduced(r)) * power_of_two(n / 2) * power_of_two(n - n / 2)\n}\n");
    }
    if has("expm1") {
        writer.raw("\n/// `exp(x) - 1`\nfn expm1(x: f64) -> f64 {\n    let (n, r) = reduce(if x > 700.0 { 700.0 } else if x < -80.0 { -80.0 } else { x });\n    let scale = power_of_two(n);\n    expm1_reduced(r) * scale + (scale - 1.0)\n}\n");
    }
    if has("log1p") {
        let terms = (0..ATANH_TERMS).map(|k| 2.0 / f64::from(2 * k + 1));
        writer.raw(&format!(
            "\n/// `ln(1 + x)` from 0 to 1, as `2 atanh(x / (2 + x))`.\nfn log1p(x: f64) -> f64 {{\n    let s = x / (2.0 + x);\n    s * polynomial(s * s, &[{}])\n}}\n",
            list(terms)
        ));
    }
    if has("normal_cdf") {
        writer.raw(&format!(
            "\n/// The distribution function of the normal distribution.\nfn normal_cdf(x: f64) -> f64 {{\n    let u = if x < 0.0 {{ -x }} else {{ x }};\n    let u = if u > 100.0 {{ 100.0 }} else {{ u }};\n    let t = 4.0 / (4.0 + u);\n    let tail = exp(-0.5 * u * u) * t * polynomial(2.0 * t - 1.0, &[{}]);\n    if x < 0.0 {{ tail }} else {{ 1.0 - tail }}\n}}\n",
            list(NORMAL_TAIL.iter().copied())
        ));
    }
    if has("sqrt") {
        writer.raw("\nfn sqrt(x: f64) -> f64 {\n    if !(x > 0.0) || x == f64::INFINITY {\n        return if x < 0.0 { f64::NAN } else { x };\n    }\n    // Half the exponent, and Newton's steps.\n    let first = f64::from_bits((x.to_bits() >> 1) + (511 << 52) + (1 << 51));\n    (0..5).fold(first, |y, _| 0.5 * (y + x / y))\n}\n");
    }
    if has("sine") {
        let terms = (0..SINE_TERMS).map(|k| {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sign / factorial(2 * k + 1)
        });
        let polynomial = if has("exp") || has("expm1") {
            ""
        } else {
            "\nfn polynomial(x: f64, terms: &[f64]) -> f64 {\n    terms.iter().rev().fold(0.0, |sum, term| sum * x + term)\n}\n"
        };
        writer.raw(polynomial);
        writer.raw(&format!(
            "\n/// `sin(2 pi a)` within a quarter turn.\nfn sine(a: f64) -> f64 {{\n    let x = core::f64::consts::TAU * a;\n    x * polynomial(x * x, &[{}])\n}}\n",
            list(terms)
        ));
    }
}

fn list(terms: impl Iterator<Item = f64>) -> String {
    let mut out = String::new();
    for (i, term) in terms.enumerate() {
        let _ = write!(out, "{}{term:?}", if i == 0 { "" } else { ", " });
    }
    out
}
