//! A kernel's text as text for a C compiler: it is preprocessed, `asm` of PTX becomes calls, and behind it come functions
//! that launch each kernel. Deliberate faults are put into the text first.

use std::fmt::Write as _;

use super::compiler::{CHECKS, HOST, pipe};
use super::{CHECK, setting};

/// The end of what a bracket at `start` encloses.
fn closed(text: &str, start: usize) -> usize {
    let mut depth = 0;
    let mut in_string = false;
    for (i, c) in text[start..].char_indices() {
        match c {
            '"' => in_string = !in_string,
            '(' if !in_string => depth += 1,
            ')' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return start + i;
                }
            }
            _ => {}
        }
    }
    text.len() - 1
}

/// `asm("name %0, %1;" : "=h"(to) : "f"(from))` becomes `ptx_name(to, from)`.
fn without_ptx(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("asm(") {
        let end = closed(rest, at + 3);
        let inside = &rest[at + 4..end];
        let mut operands = Vec::new();
        let name_end = 1 + inside[1..].find('"').unwrap();
        let name = inside[1..name_end].split_whitespace().next().unwrap().replace('.', "_");
        let mut from = name_end + 1;
        while let Some(open) = inside[from..].find('(') {
            let last = closed(inside, from + open);
            operands.push(inside[from + open..=last].to_owned());
            from = last + 1;
        }
        let _ = write!(out, "{}ptx_{name}({})", &rest[..at], operands.join(", "));
        rest = &rest[end + 1..];
    }
    out + rest
}

/// A kernel in a preprocessed text.
struct Kernel {
    name: String,
    /// Most threads of a block.
    bound: u32,
    /// Types of its parameters, and the letters by which the driver knows them.
    types: Vec<String>,
    letters: String,
}

fn kernels(text: &str) -> Vec<Kernel> {
    let mut all = Vec::new();
    for part in text.split("__global__").skip(1) {
        let bound = part.split_once("__launch_bounds__(").map_or("1024", |(_, rest)| rest);
        let number: String = bound.trim_start().chars().take_while(char::is_ascii_digit).collect();
        let Some(start) = part.find("void ").map(|at| at + 5) else { continue };
        let open = start + part[start..].find('(').unwrap();
        let parameters = part[open + 1..closed(part, open)].split(',');
        // The name of a parameter is its last word.
        let types: Vec<String> = parameters
            .map(|parameter| {
                let parameter = parameter.trim();
                let name = parameter.rfind(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
                parameter[..=name].to_owned()
            })
            .collect();
        let letter = |kind: &String| match kind.trim() {
            kind if kind.ends_with('*') => 'p',
            "float" => 'f',
            "double" => 'd',
            "int" | "WORD" => 'i',
            "INDEX" => 'q',
            kind => panic!("a parameter of type {kind}"),
        };
        let letters = types.iter().map(letter).collect();
        all.push(Kernel {
            name: part[start..open].trim().to_owned(),
            bound: number.parse().unwrap_or(1024),
            types,
            letters,
        });
    }
    all
}

pub fn translated(source: &str) -> Result<String, String> {
    let text = pipe(&["-E", "-P", "-x", "c", "-"], source)?;
    let kernels = kernels(&text);
    let waits = u8::from(text.contains("__syncthreads"));
    let text = without_ptx(&text).replace("extern \"C\" ", "");
    let text = text
        .replace("#pragma unroll", "#pragma GCC unroll 64")
        .replace("_Pragma(\"unroll\")", "_Pragma(\"GCC unroll 64\")");
    let checks = if *CHECK { CHECKS } else { "static void host_forget_shared(void) {}\n" };
    let mut all = format!("{HOST}{checks}{text}\n");
    for Kernel { name, bound, types, letters } in kernels {
        let arguments: Vec<String> =
            types.iter().enumerate().map(|(i, kind)| format!("*({kind} *)a[{i}]")).collect();
        let _ = writeln!(
            all,
            "__attribute__((no_sanitize(\"thread\"))) static void host_body_{name}(void *const *a) {{ {name}({}); }}\n\
             void host_run_{name}(host_launch *launch) {{ host_run(launch, host_body_{name}, {waits}); }}\n\
             const char host_types_{name}[] = \"{letters}\"; const unsigned host_bound_{name} = {bound};",
            arguments.join(", ")
        );
    }
    Ok(all)
}

/// The text with a deliberate fault: without barrier HOST_DROP behind the words HOST_DROP_IN; or with HOST_EDIT=from=>to.
pub fn spoiled(source: &str) -> String {
    let edited = match std::env::var("HOST_EDIT") {
        Ok(edit) => {
            edit.split_once("=>").map_or(source.to_owned(), |(from, to)| source.replace(from, to))
        }
        Err(_) => source.to_owned(),
    };
    let (drop, within) = (setting("DROP", -1), std::env::var("HOST_DROP_IN").unwrap_or_default());
    let (true, Some(start)) = (drop >= 0, edited.find(&within)) else { return edited };
    let (before, rest) = edited.split_at(start);
    let mut number = 0;
    let mut out = before.to_owned();
    for line in rest.lines() {
        let mut rest = line;
        while let Some(at) = rest.find("BARRIER") {
            let start = if rest[..at].ends_with("FULL_") { at - 5 } else { at };
            out += &rest[..start];
            out += if number == drop { "(void)0" } else { &rest[start..at + 7] };
            number += 1;
            rest = &rest[at + 7..];
        }
        out += rest;
        out.push('\n');
    }
    out
}
