//! Which file of a crate uses definitions of which other, from `use` declarations and from paths in the code.
//!
//! A name that a module re-exports counts for the file that defines it, so that an import through the crate root hides
//! nothing. What is for tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A source file of a crate.
pub(crate) struct Source {
    /// Relative to the crate's `src`.
    pub(crate) path: PathBuf,
    /// The text as it stands in the file.
    pub(crate) text: String,
    /// The module that the file defines: `["engine", "cpu"]`; empty for the crate root.
    module: Vec<String>,
    /// Names that items of the file define.
    defined: BTreeSet<String>,
    /// What `use` brings into the module: name there (`*` for all), and path from the crate root.
    exports: Vec<(String, Vec<String>)>,
    /// Paths from the crate root that the file names.
    paths: Vec<Vec<String>>,
}

/// All files of a crate.
pub(crate) struct Crate {
    pub(crate) sources: Vec<Source>,
    by_module: BTreeMap<Vec<String>, usize>,
}

impl Crate {
    /// Reads the files below `root`, the folder `src` of a crate, but for tests.
    pub(crate) fn read(root: &Path) -> Self {
        let mut folders = vec![root.to_owned()];
        let mut sources = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let inside = path.strip_prefix(root).unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") && !is_test(&inside) {
                    sources.push(Source::read(inside, fs::read_to_string(&path).unwrap()));
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        let by_module = sources.iter().zip(0..).map(|(source, i)| (source.module.clone(), i));
        Crate { by_module: by_module.collect(), sources }
    }

    /// For every file, the numbers of those whose definitions it uses. The files of a folder may use what the `mod.rs`
    /// above them defines, and that file is the folder's door: its own arrows into the folder are not counted.
    pub(crate) fn arrows(&self) -> Vec<BTreeSet<usize>> {
        let used_by = |source: &Source| {
            let files = source.paths.iter().filter_map(|path| self.file_of(path, 0));
            let is_inside = |&file: &usize| self.sources[file].module.starts_with(&source.module);
            files.filter(|file| !is_inside(file)).collect()
        };
        self.sources.iter().map(used_by).collect()
    }

    /// The file that defines what a path names.
    fn file_of(&self, path: &[String], depth: usize) -> Option<usize> {
        let module = |length: usize| Some((length, *self.by_module.get(&path[..length])?));
        let (length, file) = (0..=path.len()).rev().find_map(module)?;
        let Some(name) = path.get(length) else { return Some(file) };
        let source = &self.sources[file];
        if source.defined.contains(name) || depth > 8 {
            return Some(file);
        }
        let follow = |export: &[String], rest| self.file_of(&[export, rest].concat(), depth + 1);
        let by_name = source.exports.iter().filter(|(exported, _)| exported == name);
        let by_glob = source.exports.iter().filter(|(exported, _)| exported == "*");
        let named = by_name.filter_map(|(_, export)| follow(export, &path[length + 1..])).next();
        let defines = |&inner: &usize| self.sources[inner].defined.contains(name);
        let globbed =
            || by_glob.filter_map(|(_, export)| follow(export, &path[length..])).find(defines);
        named.or_else(globbed).or(Some(file))
    }

    /// Groups of files that use each other in a circle.
    pub(crate) fn circles(&self) -> Vec<Vec<&Path>> {
        let arrows = self.arrows();
        let reach: Vec<BTreeSet<usize>> =
            (0..arrows.len()).map(|i| reachable(&arrows, i)).collect();
        let circle =
            |i: usize| reach[i].iter().copied().filter(|&j| reach[j].contains(&i)).collect();
        let circles: BTreeSet<Vec<usize>> = (0..arrows.len()).map(circle).collect();
        let names = |circle: &Vec<usize>| circle.iter().map(|&i| &*self.sources[i].path).collect();
        circles.iter().filter(|circle| circle.len() > 1).map(names).collect()
    }
}

/// Tests may use the whole house.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part.to_str().is_some_and(|part| part.starts_with("tests")))
}

/// The files that can be reached over arrows.
fn reachable(arrows: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut open: Vec<usize> = arrows[from].iter().copied().collect();
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(&arrows[next]);
        }
    }
    seen
}

impl Source {
    fn read(path: PathBuf, text: String) -> Self {
        let parts = path.with_extension("");
        let mut module: Vec<String> =
            parts.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if ["mod", "lib", "main"].contains(&module[module.len() - 1].as_str()) {
            module.pop();
        }
        let file =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let defined = file.items.iter().filter_map(name).collect();
        let mut reader = Reader { module: module.clone(), exports: Vec::new(), paths: Vec::new() };
        reader.visit_file(&file);
        Source { path, text, module, defined, exports: reader.exports, paths: reader.paths }
    }

    /// The first folder or file below `src`.
    pub(crate) fn room(&self) -> &str {
        self.path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs")
    }

    /// The code without comments and without what is for tests alone.
    pub(crate) fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().map(|line| line.split("//").next().unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The name that an item defines.
fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Collects the paths of a file.
struct Reader {
    module: Vec<String>,
    exports: Vec<(String, Vec<String>)>,
    paths: Vec<Vec<String>>,
}

impl Reader {
    /// The path from the crate root. One that begins with the name of another crate comes out as one into this module,
    /// where nothing bears that name.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&self.module, &path[1..]].concat()),
            "super" => {
                let base = self.module.len().checked_sub(ups)?;
                Some([&self.module[..base], &path[ups..]].concat())
            }
            _ => Some([&self.module, path].concat()),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if is_for_tests(&item.attrs) {
            return;
        }
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if is_for_tests(&item.attrs) {
            return;
        }
        let mut names = Vec::new();
        expand(&item.tree, &mut Vec::new(), &mut names);
        for (name, path) in names {
            let Some(path) = self.absolute(&path) else { continue };
            // A re-export hands a name on; it does not use it. The modules below also see what is imported here.
            if matches!(item.vis, Visibility::Inherited) {
                self.paths.push(path.clone());
            }
            self.exports.push((name, path));
        }
    }

    /// `pub(in path)` limits who uses the item; it uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.paths.extend(self.absolute(&parts).filter(|_| parts.len() > 1));
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let text = |attribute: &Attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
        _ => String::new(),
    };
    attributes.iter().map(text).any(|text| text == "test" || text.starts_with("all (test"))
}

/// Expands a `use` tree: `a::{b, c as d}` is (b, a::b) and (d, a::c); a glob is (*, a).
fn expand(tree: &UseTree, prefix: &mut Vec<String>, into: &mut Vec<(String, Vec<String>)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            expand(&path.tree, prefix, into);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| expand(tree, prefix, into)),
        UseTree::Glob(_) => into.push(("*".to_owned(), prefix.clone())),
        UseTree::Name(name) if name.ident == "self" => {
            into.push((prefix.last().cloned().unwrap_or_default(), prefix.clone()));
        }
        UseTree::Name(name) => {
            let path = [&prefix[..], &[name.ident.to_string()]].concat();
            into.push((name.ident.to_string(), path));
        }
        UseTree::Rename(rename) => {
            let path = match rename.ident == "self" {
                true => prefix.clone(),
                false => [&prefix[..], &[rename.ident.to_string()]].concat(),
            };
            into.push((rename.rename.to_string(), path));
        }
    }
}
