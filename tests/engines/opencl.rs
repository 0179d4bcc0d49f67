//! OpenCL: training compared with the CPU, memory, caches, several engines at a time, errors.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{self, SMALL_DEVICE, engine_if_there, limited, one_hot, random};
use travertine::data::Task;
use travertine::engine::{Counting, Engine, Limits, Settings};
use travertine::optimizer::Sgd;
use travertine::{
    Activation, ErrorKind, Loss, Matrix, Network, Samples, Scalar, Trainer, engine, ops,
};

fn opencl<T: Scalar>() -> Option<Arc<dyn Engine<T>>> {
    engine_if_there("opencl", &Settings::default())
}

/// The parameters after 100 steps.
fn trained<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Vec<common::Layer> {
    let (inputs, outputs, count) = (64, 10, 250);
    let x = Matrix::from_slice(engine, inputs, count, &random(inputs * count, 5)).unwrap();
    let t = Matrix::from_slice(engine, outputs, count, &one_hot(outputs, count)).unwrap();
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let mut network = Network::builder(engine, inputs)
        .dense(50, Activation::Tanh)
        .dense(30, Activation::Gelu)
        .dense(outputs, Activation::Softmax)
        .seed(7)
        .build()
        .unwrap();
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
            .batch(32)
            .seed(7)
            .build()
            .unwrap();
    while trainer.steps() < 100 {
        trainer.epoch(&mut samples).unwrap();
    }
    drop(trainer);
    common::layers(&network)
}

/// Each step adds a few roundings to a parameter, and passes on those of the steps before it, hardly amplified at this
/// learning rate: 100 steps of some 10 units in the last place.
#[test]
fn a_hundred_steps_give_the_weights_of_the_cpu() {
    fn compare<T: Scalar>() {
        let bound =
            1000.0 * if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let reference = trained::<T>(&engine::open("cpu").unwrap());
        let devices = [opencl::<T>(), engine_if_there("opencl", &limited(SMALL_DEVICE))];
        for engine in devices.into_iter().flatten() {
            for (i, (ours, reference)) in trained(&engine).iter().zip(&reference).enumerate() {
                let weights = common::relative(&ours.weights, &reference.weights);
                let bias = common::relative(&ours.bias, &reference.bias);
                assert!(weights < bound && bias < bound, "layer {i}: {weights:e}, {bias:e}");
            }
        }
    }
    compare::<f32>();
    compare::<f64>();
}

#[test]
fn training_repeats_itself_bit_by_bit() {
    let Some(engine) = opencl::<f32>() else { return };
    let bits = |layers: Vec<common::Layer>| -> Vec<u64> {
        layers
            .iter()
            .flat_map(|layer| layer.weights.iter().chain(&layer.bias).map(|x| x.to_bits()))
            .collect()
    };
    assert!(bits(trained(&engine)) == bits(trained(&engine)));
}

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn steps_allocate_nothing_and_all_memory_is_freed() {
    let Some(inner) = opencl::<f32>() else { return };
    let counting = Arc::new(Counting::new(inner));
    let engine: Arc<dyn Engine<f32>> = counting.clone();
    let mut network = Network::builder(&engine, 20)
        .dense(9, Activation::Silu)
        .dense(4, Activation::Softmax)
        .build()
        .unwrap();
    let x = Matrix::from_slice(&engine, 20, 30, &random(600, 1)).unwrap();
    let t = Matrix::from_slice(&engine, 4, 30, &one_hot(4, 30)).unwrap();
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.01).unwrap())
            .batch(8)
            .seed(1)
            .build()
            .unwrap();
    // The first evaluation allocates room for the scores of its samples; later ones use it again.
    trainer.evaluate(&samples).unwrap();
    let before = counting.counts();
    for _ in 0..50 {
        trainer.epoch(&mut samples).unwrap();
    }
    trainer.evaluate(&samples).unwrap();
    let after = counting.counts();
    assert_eq!((before.allocations, before.live_bytes), (after.allocations, after.live_bytes));
    drop((trainer, samples));
    drop(network);
    assert_eq!((counting.counts().live, counting.counts().live_bytes), (0, 0));

    let cycle = || {
        let matrix = Matrix::from_slice(&engine, 300, 300, &vec![1.0; 90_000]).unwrap();
        assert_eq!(matrix.view().get(299, 299).unwrap(), 1.0);
    };
    (0..100).for_each(|_| cycle());
    let before = resident();
    (0..10_000).for_each(|_| cycle());
    // 10,000 of them would be 3.6 GB. Some drivers keep memory for later, Intel's 58 MB.
    assert!(resident() < before + (256 << 20), "{} bytes more", resident() - before);
}

#[test]
fn two_engines_on_two_threads_do_not_disturb_each_other() {
    let Some(engine) = opencl::<f32>() else { return };
    let weights = |layers: Vec<common::Layer>| {
        layers.into_iter().flat_map(|layer| layer.weights).collect::<Vec<_>>()
    };
    let alone = weights(trained(&engine));
    std::thread::scope(|scope| {
        // Two engines of their own, and two threads that share one.
        let own = || weights(trained(&opencl::<f32>().unwrap()));
        let threads = [scope.spawn(own), scope.spawn(own)];
        let shared = [(); 2].map(|()| scope.spawn(|| weights(trained(&engine))));
        for thread in threads.into_iter().chain(shared) {
            assert!(thread.join().unwrap() == alone);
        }
    });
}

#[test]
fn sums_of_two_threads_on_one_engine_do_not_mix() {
    let Some(engine) = opencl::<f32>() else { return };
    std::thread::scope(|scope| {
        for value in [1.0_f32, 2.0] {
            let engine = &engine;
            scope.spawn(move || {
                let x = Matrix::from_slice(engine, 1000, 1, &[value; 1000]).unwrap();
                for _ in 0..500 {
                    assert_eq!(ops::asum(x.view()).unwrap(), f64::from(1000.0 * value));
                }
            });
        }
    });
}

#[test]
fn a_device_without_f64_says_so_and_computes_in_f32() {
    let settings = limited(Limits { fp64: false, ..SMALL_DEVICE });
    let Some(engine) = engine_if_there::<f32>("opencl", &settings) else { return };
    let error = engine::open_with::<f64>("opencl", &settings).err().unwrap();
    assert!(
        error.to_string().contains("no f64") && error.to_string().contains("use f32"),
        "{error}"
    );
    let values: Vec<f32> = (1..=1000).map(|x| x as f32).collect();
    let x = Matrix::from_slice(&engine, 1000, 1, &values).unwrap();
    assert!((ops::asum(x.view()).unwrap() - 500_500.0).abs() < 1.0);
    let reference = trained::<f32>(&engine::open("cpu").unwrap());
    for (ours, reference) in trained(&engine).iter().zip(&reference) {
        assert!(common::relative(&ours.weights, &reference.weights) < 1e-4);
    }
}

#[test]
fn devices_that_are_too_small_are_refused() {
    if opencl::<f32>().is_none() {
        return;
    }
    for limits in [Limits { items: 32, ..SMALL_DEVICE }, Limits { shared: 2 << 10, ..SMALL_DEVICE }]
    {
        let error = engine::open_with::<f32>("opencl", &limited(limits)).err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("need 64 items and 5 KB"), "{error}");
    }
}

#[test]
fn devices_that_are_not_there() {
    if opencl::<f32>().is_none() {
        return;
    }
    for name in ["opencl:77", "opencl:no device has this name"] {
        let error = engine::open::<f32>(name).err().unwrap().to_string();
        assert!(
            error.contains(name) && error.contains("no such device") && error.contains("opencl:0"),
            "{error}"
        );
    }
}

#[test]
fn devices_are_chosen_by_parts_of_their_names() {
    let all: Vec<_> =
        engine::probe_one("opencl").into_iter().filter(|device| device.missing.is_none()).collect();
    let Some(first) = all.first() else { return };
    let name = format!("opencl:{}", first.description.to_uppercase());
    let sharing = all.iter().filter(|device| device.description.contains(&first.description));
    match sharing.count() {
        1 => assert_eq!(
            engine::open_with::<f32>(&name, &Settings::default()).unwrap().device().name,
            first.name
        ),
        _ => {
            let error = engine::open_with::<f32>(&name, &Settings::default()).err().unwrap();
            assert!(error.to_string().contains("several devices"), "{error}");
        }
    }
    // Every description has parentheses.
    if all.len() > 1 {
        let error = engine::open_with::<f32>("opencl:(", &Settings::default()).err().unwrap();
        let error = error.to_string();
        assert!(
            error.contains("several devices") && error.contains(&all[1].description),
            "{error}"
        );
    }
}

/// A folder for caches that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("travertine-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let has = |path: &Path| path.extension().is_some_and(|found| found == extension);
        let entries = fs::read_dir(self.0.join("opencl")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| has(path)).collect()
    }

    fn settings(&self, tune: bool) -> Settings {
        let mut settings = Settings::default();
        (settings.cache, settings.tune) = (Some(self.0.clone()), tune);
        settings
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Warnings that a file was ignored. A busy machine may cause others.
fn ignored(engine: &Arc<dyn Engine<f32>>) -> Vec<String> {
    let warnings = engine.device().warnings.iter();
    warnings.filter(|warning| warning.contains("ignored")).cloned().collect()
}

#[test]
fn tiles_are_measured_once_and_files_that_do_not_fit_are_ignored() {
    let folder = Folder::new("tiles");
    let Some(first) = engine_if_there::<f32>("opencl", &folder.settings(true)) else { return };
    assert!(ignored(&first).is_empty());
    let [file] = &folder.files("toml")[..] else { panic!("one file of tiles") };
    let good = fs::read_to_string(file).unwrap();
    assert!(good.contains("[f32.large.tile]") && good.contains("gflops"), "{good}");

    // Taken as it is, and not measured again.
    let marked = good.replace("gflops = ", "gflops = 1");
    fs::write(file, &marked).unwrap();
    let again = engine::open_with::<f32>("opencl", &folder.settings(true)).unwrap();
    assert!(ignored(&again).is_empty());
    assert_eq!(fs::read_to_string(file).unwrap(), marked);

    let hostile = [
        "\u{0}\u{1}".to_owned(),
        good.replace("vectors = ", "vectors = 999"),
        good.replace("travertine = \"", "travertine = \"0.0.0-"),
        // Of another driver.
        good.replace("OpenCL", "Another"),
        // Cut behind a key.
        good[..good.rfind(" = ").unwrap()].to_owned(),
    ];
    for text in hostile {
        fs::write(file, &text).unwrap();
        let engine = engine::open_with::<f32>("opencl", &folder.settings(true)).unwrap();
        let warnings = ignored(&engine);
        let [warning] = &warnings[..] else { panic!("{warnings:?} for {text}") };
        assert!(warning.contains("toml") && warning.contains("measured again"), "{warning}");
        let repaired = fs::read_to_string(file).unwrap();
        assert!(repaired.contains("[f32.small.tile]") && !repaired.contains("999"), "{repaired}");
    }
}

#[test]
fn compiled_kernels_are_kept_and_spoiled_ones_made_again() {
    let folder = Folder::new("kernels");
    let sum = |settings: &Settings| {
        let engine = engine::open_with::<f32>("opencl", settings).unwrap();
        let x = Matrix::from_slice(&engine, 3, 1, &[1.0, 2.0, 4.0]).unwrap();
        ops::asum(x.view()).unwrap()
    };
    if opencl::<f32>().is_none() {
        return;
    }
    assert_eq!(sum(&folder.settings(false)), 7.0);
    let [file] = &folder.files("bin")[..] else { panic!("one kernel was used") };
    let good = fs::read(file).unwrap();
    let spoiled = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let hostile = [
        Vec::new(),
        good[..good.len() / 2].to_vec(),
        spoiled(3),
        spoiled(20),
        spoiled(good.len() - 9),
    ];
    for bytes in hostile {
        fs::write(file, &bytes).unwrap();
        assert_eq!(sum(&folder.settings(false)), 7.0);
        // A compiler may return other code for the same text, but what it returned is then used again.
        let repaired = fs::read(file).unwrap();
        assert_ne!(repaired, bytes);
        assert_eq!(sum(&folder.settings(false)), 7.0);
        assert!(fs::read(file).unwrap() == repaired);
    }
    // A folder that cannot be written costs time, nothing else.
    let mut settings = folder.settings(true);
    settings.cache = Some(file.join("inside a file"));
    settings.tune = false;
    assert_eq!(sum(&settings), 7.0);
}
