//! Damaged tables and model files: an error or a result, never a panic, memory within bounds, and no new files.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use travertine::data::{
    Encoder, Label, RowReader, Schema, Table, TableOptions, Targets, read_frame,
};
use travertine::engine::{self, Settings};
use travertine::model_file::{ModelInfo, OnnxOptions};
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Loss, Model, Network};

/// Damaged files of each kind.
const FILES: u64 = 10_000;
/// Bytes in use at a time, at most: beside the file, the buffers for it and for its translation.
const MOST_BYTES: usize = 48 << 20;

/// Counts the bytes that are in use.
struct CountingAllocator;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all requests are passed on to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A temporary folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("travertine-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Nothing but the file is there.
    fn check_is_alone(&self, file: &Path) {
        let names: Vec<PathBuf> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, [file]);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Numbers from a seed, one after the other.
struct Dice(Philox, u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(Philox::new(seed, Purpose::User, 0), 0)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.1 += 1;
        self.0.below(self.1, bound.max(1) as u64) as usize
    }

    /// Damages some bytes behind `from`: flips, cuts, copies, or what readers stumble on in between.
    fn damage(&mut self, bytes: &mut Vec<u8>, from: usize) {
        const PIECES: [&[u8]; 16] = [
            b"\"",
            b"\"\"",
            b",",
            b";",
            b"\t",
            b"\0",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"#",
            b"sep=;\n",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"1e999",
            b"99999999999999999999",
            b"\xe2\x88\x92",
        ];
        for _ in 0..=self.below(4) {
            let at = from + self.below(bytes.len().saturating_sub(from));
            match self.below(6) {
                _ if at >= bytes.len() => bytes.push(self.below(256) as u8),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + self.below(40)).min(bytes.len()))),
                4 => {
                    let part = bytes[at..(at + self.below(60)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
            }
        }
    }
}

fn good_tables() -> Vec<Vec<u8>> {
    let table = |header: &str, row: &dyn Fn(usize) -> String| {
        let rows: String = (0..25).map(row).collect();
        (header.to_owned() + &rows).into_bytes()
    };
    let class = |i: usize| ["a", "b", "c, d"][i % 3];
    let date = |i: usize| format!("{:02}.{:02}.2024 10:30", i % 28 + 1, i % 12 + 1);
    let utf_16 = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let plain = table("x,y,kind\n", &|i| format!("{i}.5,{},\"{}\"\n", i * i, class(i)));
    vec![
        utf_16(&plain),
        plain,
        table("sep=;\r\nat;pay;ok;k;\r\n", &|i| {
            format!("{};1.{:03},5 €;{};{};\r\n", date(i), i * 7, i % 2 == 0, i % 4)
        }),
        table("\"x\" \"k\"\n", &|i| format!("\"r{i}\" {i}e-3 \"{}\"\n", i % 2)),
        table("# comment\n,a\tb,c\n", &|i| {
            format!("{i},\"line\n{}\",{}\n", i % 2, ["NA", "u", "v"][i % 3])
        }),
    ]
}

/// Everything that reads a table.
fn read_all_ways(path: &Path, bytes: &[u8], schema: &Schema) {
    let _ = Table::open(path, &TableOptions::default()).and_then(|table| table.read());
    let options = TableOptions { label: Label::None, ..TableOptions::default() };
    let _ = Table::open_as(path, schema, None, &options).and_then(|table| table.read());
    let Ok(mut rows) = RowReader::new("input", bytes, schema, &options) else { return };
    while let Ok(Some(_)) = rows.next_rows() {}
}

/// Calls `read` with many damaged files, on two threads.
fn damaged(name: &str, good: &[Vec<u8>], from: usize, read: impl Fn(usize, &Path, &[u8]) + Sync) {
    let part = |seeds: Range<u64>| {
        let folder = Folder::new(&format!("{name}-{}", seeds.start));
        let path = folder.0.join("file.csv");
        for seed in seeds {
            let mut dice = Dice::new(seed);
            let place = dice.below(good.len());
            let mut bytes = good[place].clone();
            dice.damage(&mut bytes, from);
            fs::write(&path, &bytes).unwrap();
            read(place, &path, &bytes);
        }
        folder.check_is_alone(&path);
    };
    thread::scope(|scope| {
        scope.spawn(|| part(0..FILES / 2));
        part(FILES / 2..FILES);
    });
}

#[test]
fn damaged_files_are_read_or_refused() {
    within(MOST_BYTES, damaged_tables);
    // A survey of many columns takes about a thousand bytes for each, on each core.
    within(8 * MOST_BYTES, strange_tables);
    within(MOST_BYTES, damaged_models);
    if cfg!(feature = "onnx") {
        within(MOST_BYTES, damaged_onnx);
        within(2 * MOST_BYTES, strange_onnx);
    }
}

/// Calls `check`, which may use so many bytes.
fn within(bytes: usize, check: fn()) {
    let before = IN_USE.load(Relaxed);
    MOST.store(before, Relaxed);
    let start = Instant::now();
    check();
    let most = MOST.load(Relaxed).saturating_sub(before);
    println!("{:.1} s, {most} bytes at most", start.elapsed().as_secs_f64());
    assert!(most < bytes, "{most} bytes");
}

fn damaged_tables() {
    let good = good_tables();
    let folder = Folder::new("good-tables");
    let schema = |bytes: &Vec<u8>| {
        let path = folder.0.join("good.csv");
        fs::write(&path, bytes).unwrap();
        let table = Table::open(&path, &TableOptions::default());
        table.unwrap_or_else(|e| panic!("{e}")).schema().clone()
    };
    let schemas: Vec<Schema> = good.iter().map(schema).collect();
    damaged("tables", &good, 0, |place, path, bytes| read_all_ways(path, bytes, &schemas[place]));
}

/// Tables that no damage makes.
fn strange_tables() {
    let folder = Folder::new("strange-tables");
    let path = folder.0.join("file.csv");
    let wide = |count: usize| vec!["1"; count].join(",") + "\n";
    let strange: [Vec<u8>; 15] = [
        Vec::new(),
        b"\n".repeat(10_000),
        b"\r".repeat(10_000),
        b"\"".repeat(10_001),
        b",".repeat(10_000),
        b"\0".repeat(100),
        b"\xff\xfe".to_vec(),
        b"\xef\xbb\xbf".to_vec(),
        b"sep=;".to_vec(),
        b"#".repeat(100),
        wide(1_000_000).into_bytes(),
        wide(100_000).repeat(3).into_bytes(),
        format!("{}\n{}", wide(100_000), wide(3)).into_bytes(),
        format!("a,b\n1,{}\n2,x\n", "long ".repeat(200_000)).into_bytes(),
        format!("a,b\n{}", "1,\"x\n".repeat(2_001)).into_bytes(),
    ];
    let bytes = (0..=255).map(|byte| vec![byte]);
    fs::write(&path, "x,y\n1,2\n3,5\n4,8\n").unwrap();
    let schema = Table::open(&path, &TableOptions::default()).unwrap().schema().clone();
    for bytes in bytes.chain(strange) {
        fs::write(&path, &bytes).unwrap();
        read_all_ways(&path, &bytes, &schema);
    }
    folder.check_is_alone(&path);
}

/// The bytes of a model of a table, with its schema.
fn good_model() -> Vec<u8> {
    let folder = Folder::new("good-model");
    let path = folder.0.join("t.csv");
    fs::write(&path, &good_tables()[1]).unwrap();
    let table = Table::open(&path, &TableOptions::default()).unwrap();
    let frame = read_frame(&path, &TableOptions::default()).unwrap();
    let (encoder, standardization) = Encoder::fit_with_standardization(&frame).unwrap();
    let data = encoder.encode::<f32>(&frame, Some(&standardization)).unwrap().data;
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    let network = Network::builder(&cpu, data.inputs())
        .dense(3, Activation::Tanh)
        .dense(data.outputs(), Activation::Softmax)
        .build()
        .unwrap();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    let Targets::Classes { names, .. } = data.targets() else { panic!("no classes") };
    info.classes = names.clone();
    info.features = encoder.feature_names();
    info.encoder = Some(encoder);
    info.standardization = Some(standardization);
    info.schema = Some(table.schema().clone());
    let path = folder.0.join("m.safetensors");
    Model::new(network, info).unwrap().save(&path).unwrap();
    fs::read(&path).unwrap()
}

fn damaged_models() {
    let good = good_model();
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    let folder = Folder::new("model-data");
    let data = folder.0.join("t.csv");
    fs::write(&data, &good_tables()[1]).unwrap();
    let use_model = |path: &Path| {
        let model = Model::<f32>::load(path, &cpu)?;
        let table = model.read_table(&data, &TableOptions::default())?;
        model.predict_table(&table).map(|predictions| predictions.iter().count())
    };
    // The length of the header is damaged in few files, what it says in many.
    damaged("models", std::slice::from_ref(&good), 8, |_, path, _| drop(use_model(path)));
    for length in 0..16 {
        let path = folder.0.join("m.safetensors");
        let mut bytes = good.clone();
        bytes[length / 2] ^= if length % 2 == 0 { 0x80 } else { 1 };
        fs::write(&path, bytes).unwrap();
        let _ = use_model(&path);
    }
}

/// A file of this library, and files of others.
fn damaged_onnx() {
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    let own = Model::load_from_bytes(&good_model(), &cpu).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx");
    let others = ["classifier_script", "classifier_script_13", "images_export", "keras_classifier"];
    let others = others.map(|name| fs::read(folder.join(name).with_extension("onnx")).unwrap());
    let own = own.to_onnx_bytes(&OnnxOptions::default()).unwrap();
    let good: Vec<Vec<u8>> = [own].into_iter().chain(others).collect();
    for bytes in &good {
        Model::load_from_bytes(bytes, &cpu).unwrap_or_else(|error| panic!("{error}"));
    }
    damaged("onnx", &good, 2, |_, path, bytes| {
        // Whatever is read must also answer.
        let Ok(model) = Model::<f32>::load(path, &cpu) else { return };
        let _ = Model::<f32>::load_from_bytes(bytes, &cpu);
        let Ok(mut predictor) = model.predictor(1) else { return };
        let _ = predictor.predict(&vec![0.5; model.columns().len()]);
    });
}

/// A field of a message: its number, and its bytes.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A model of version 8 with opset 17 and this graph.
fn onnx_model(graph: &[u8]) -> Vec<u8> {
    let opset = field(8, &[0x10, 17]);
    [vec![8, 8], field(7, graph), opset].concat()
}

/// An input `[N, columns]` of floats.
fn onnx_input(columns: u64) -> Vec<u8> {
    let dim = |value: u64| field(1, &[vec![8], varint(value)].concat());
    let shape = [field(1, &field(2, b"N")), dim(columns)].concat();
    let kind = field(1, &[vec![8, 1], field(2, &shape)].concat());
    field(11, &[field(1, b"x"), field(2, &kind)].concat())
}

fn onnx_node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
    let node = inputs.chain(field(2, output.as_bytes())).chain(field(4, op.as_bytes()));
    field(1, &node.collect::<Vec<_>>())
}

/// A node that puts a value behind itself, along axis 0.
fn onnx_doubling(input: &str, output: &str) -> Vec<u8> {
    let values =
        [field(1, input.as_bytes()), field(1, input.as_bytes()), field(2, output.as_bytes())];
    // The number 0, of the type INT.
    let axis = [field(1, b"axis"), vec![24, 0, 160, 1, 2]].concat();
    field(1, &[values.concat(), field(4, b"Concat"), field(5, &axis)].concat())
}

/// A constant of floats whose values are elsewhere, or nowhere.
fn onnx_constant(dims: &[u64], location: Option<&str>) -> Vec<u8> {
    let dims = dims.iter().flat_map(|dim| [vec![8], varint(*dim)].concat());
    let mut tensor: Vec<u8> = dims.chain([16, 1]).chain(field(8, b"w")).collect();
    if let Some(location) = location {
        let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
        tensor.extend(field(13, &entry));
        tensor.extend([0x70, 1]);
    }
    field(5, &tensor)
}

/// Files that no damage makes: each is refused, and what it says is not believed.
fn strange_onnx() {
    let folder = Folder::new("strange-onnx");
    let path = folder.0.join("file.onnx");
    let output = field(12, &field(1, b"y"));
    let matmul = onnx_node("MatMul", &["x", "w"], "y");
    let graph = |parts: &[&[u8]]| onnx_model(&[parts.concat(), output.clone()].concat());
    let with_constant = |dims: &[u64], location: Option<&str>| {
        graph(&[&onnx_input(3), &onnx_constant(dims, location), &matmul])
    };
    let relu = onnx_node("Relu", &["x"], "y");
    let names: Vec<String> = (0..60).map(|i| format!("c{i}")).collect();
    let mut doubling = onnx_doubling("w", "c0");
    for pair in names.windows(2) {
        doubling.extend(onnx_doubling(&pair[0], &pair[1]));
    }
    let one = [&[8u8, 1, 16, 1][..], &field(4, &1f32.to_le_bytes()), &field(8, b"w")].concat();
    let mut chain = onnx_input(16_000);
    for i in 0..5_000 {
        let from = if i == 0 { "x".to_owned() } else { format!("v{}", i - 1) };
        chain.extend(onnx_node("Add", &[&from, "w"], &format!("v{i}")));
    }
    let strange: Vec<(Vec<u8>, &str)> = vec![
        (vec![8; 9], "messages"),
        (vec![8, 8], "graph"),
        (onnx_model(&[]), "graph"),
        (onnx_model(&field(1, &[]).repeat(400_000)), "messages"),
        (onnx_model(&field(5, &[]).repeat(400_000)), "messages"),
        (onnx_model(&field(1, &field(5, &[]).repeat(300_000))), "messages"),
        (onnx_model(&field(1, &field(1, &[]).repeat(300_000))), "messages"),
        (graph(&[&onnx_input(1 << 40), &relu]), "features"),
        (graph(&[&onnx_input(u64::MAX), &relu]), "dimensions"),
        (with_constant(&[1 << 40, 1 << 40], None), "dimensions"),
        (with_constant(&[3, 1 << 40], None), "values"),
        (with_constant(&[3, u64::MAX], None), "dimensions"),
        (with_constant(&[3, 2], Some("../secret")), "beside the model"),
        (with_constant(&[3, 2], Some("/etc/passwd")), "not in the model's folder"),
        (with_constant(&[3, 2], Some("missing")), "beside the model"),
        (with_constant(&[3, 2], Some("")), "not in the model's folder"),
        (with_constant(&[3, 2], Some("link")), "not in the model's folder"),
        (with_constant(&[3, 2], Some("short")), "24 bytes"),
        (with_constant(&[3, 1 << 40], Some("short")), "bytes"),
        (graph(&[&onnx_input(3), &field(5, &one), &doubling, &relu]), "numbers"),
        (graph(&[&field(5, &one), &chain]), "numbers"),
    ];
    fs::write(folder.0.join("short"), b"short").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", folder.0.join("link")).unwrap();
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    for (number, (bytes, word)) in strange.into_iter().enumerate() {
        fs::write(&path, &bytes).unwrap();
        let error = Model::<f32>::load(&path, &cpu).err();
        let error = error.unwrap_or_else(|| panic!("{number} is read")).to_string();
        assert!(error.contains(word), "{number}: no '{word}' in: {error}");
    }
    // A graph of many subgraphs within each other is skipped or refused, without a deep stack.
    let mut inner = Vec::new();
    for _ in 0..5_000 {
        inner = field(6, &field(1, &field(5, &inner)));
    }
    fs::write(&path, onnx_model(&field(1, &field(5, &inner)))).unwrap();
    assert!(Model::<f32>::load(&path, &cpu).is_err());
}
