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
use travertine::model_file::ModelInfo;
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
