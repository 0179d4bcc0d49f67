//! Every kernel that the engine has, compiled by NVRTC for every architecture; no GPU is needed.
//!
//! The library runs on a driver that records kernels, so that every kernel that it needs is known. `scripts/cuda-check` compiles all for
//! one architecture. For the others, and in every run of the tests for three, every text, scalar and output of the product is
//! compiled, but with one formula each, and the product with the tile that needs most registers: the compiler's front end is
//! the same for all architectures, and its back end sees the same loops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::super::nvrtc::{Nvrtc, Target, compile};
use crate::data::Task;
use crate::engine::gpu::Gpu;
use crate::engine::gpu::tests::{Record, Recorder, every_copy, every_product, gpu_traits};
use crate::engine::*;
use crate::error::Result;
use crate::layer::Categories;
use crate::ops::{self, Function};
use crate::optimizer::{Adam, Clip, Optimizer, RmsProp, Sgd, WeightDecay};
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;
use crate::{Activation, Dropout, Loss, Matrix, Network, Quantiles, Samples, Trainer};

const ALL_KERNELS: i32 = 90;
const ARCHITECTURES: [i32; 7] = [75, 80, 86, 89, 90, 100, 120];
/// Those that every run of the tests compiles for: the oldest, the one that gets all in `scripts/cuda-check`, the newest.
const ALWAYS: [i32; 3] = [75, 90, 120];

/// Shared memory of a group on every architecture, without asking for more.
const SHARED: usize = 48 << 10;

/// Name and source.
type Kernel = (String, String);

/// The kernels of all calls that the library makes to an engine.
fn every_kernel<T: Scalar>() -> BTreeSet<Kernel> {
    let (engine, record) = recording::<T>(Fusion::Never);
    operations(&engine).unwrap();
    for activation in Activation::ALL {
        if activation != Activation::Softmax {
            train(&engine, activation, Activation::Identity, Loss::Quadratic).unwrap();
        }
        for loss in losses_of(activation).chain([quantiles()]) {
            train(&engine, Activation::Relu, activation, loss).unwrap();
        }
    }
    optimizers(&engine).unwrap();
    regularization(&engine).unwrap();
    normalization(&engine).unwrap();
    embedding(&engine).unwrap();
    parametric(&engine).unwrap();
    let mut kernels = std::mem::take(&mut record.lock().unwrap().kernels);
    kernels.extend(every_product::<T>(gpu_traits(SHARED)));
    kernels.extend(every_whole_network::<T>());
    if size_of::<T>() == 4 {
        kernels.extend(every_copy(gpu_traits(SHARED)));
    }
    kernels
}

/// An engine that records its calls, and the record.
fn recording<T: Scalar>(fusion: Fusion) -> (Arc<dyn Engine<T>>, Arc<Mutex<Record>>) {
    let (recorder, record) = Recorder::new(gpu_traits(SHARED));
    let settings = Settings { fusion, ..Settings::default() };
    (Arc::new(Gpu::new(recorder, None, &settings).unwrap()), record)
}

/// The losses that can follow an activation of four outputs and fit in one kernel with it.
fn losses_of(output: Activation) -> impl Iterator<Item = Loss> + Clone {
    Loss::ALL.into_iter().filter(move |loss| loss.refuse_output(output, 4).is_ok())
}

/// The loss with a parameter for each of four outputs.
fn quantiles() -> Loss {
    Loss::Quantiles(Quantiles::new(&[0.1, 0.4, 0.6, 0.9]).unwrap())
}

/// Networks in one kernel: every formula once in a hidden layer, once in the last, once as a loss; and two of the sizes that
/// these kernels are for.
fn every_whole_network<T: Scalar>() -> BTreeSet<Kernel> {
    let (engine, record) = recording::<T>(Fusion::Always);
    for (i, activation) in Activation::ALL.into_iter().enumerate() {
        let hidden = if activation == Activation::Softmax { Activation::Relu } else { activation };
        let loss = losses_of(activation).cycle().nth(i + 1).unwrap();
        train(&engine, hidden, activation, loss).unwrap();
    }
    train(&engine, Activation::Relu, Activation::Softmax, Loss::SoftmaxCrossEntropy).unwrap();
    let builder = Network::builder(&engine, 784).dense(30, Activation::Sigmoid);
    step(builder.dense(10, Activation::Softmax).build().unwrap(), Loss::SoftmaxCrossEntropy, 10)
        .unwrap();
    let builder =
        Network::builder(&engine, 4).dense(64, Activation::Relu).dense(64, Activation::Relu);
    step(builder.dense(1, Activation::Identity).build().unwrap(), Loss::Quadratic, 32).unwrap();
    let mut kernels = std::mem::take(&mut record.lock().unwrap().kernels);
    kernels.retain(|(name, _)| ["infer", "train"].contains(&name.as_str()));
    kernels
}

fn operations<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<()> {
    let one = T::from_f64(1.0);
    let (x, y) = (Matrix::zeros(engine, 5, 5)?, Matrix::zeros(engine, 5, 5)?);
    let (mut z, mut column) = (Matrix::zeros(engine, 5, 5)?, Matrix::zeros(engine, 5, 1)?);
    ops::copy(x.view(), z.view_mut())?;
    ops::fill(one, z.view_mut())?;
    ops::scal(one, z.view_mut())?;
    ops::axpy(one, x.view(), z.view_mut())?;
    ops::axpby(one, x.view(), one, z.view_mut())?;
    ops::hadamard(x.view(), y.view(), z.view_mut())?;
    ops::linear_frac([one; 4], x.view(), z.view_mut())?;
    for function in Function::ALL {
        ops::map(function, x.view(), z.view_mut())?;
    }
    ops::gemm(one, x.view(), y.view(), one, z.view_mut())?;
    ops::sum_columns(x.view(), column.view_mut())?;
    ops::dot(x.view(), y.view())?;
    ops::asum(x.view())?;
    ops::amax(x.view())?;
    ops::uniform(&Philox::new(1, Purpose::User, 0), z.view_mut())?;
    engine.peak_flops();
    // Networks have softmax at their end alone, engines anywhere.
    let (weights, delta) = (x.view().span(), y.view().span());
    unsafe {
        engine.dense_propagate(weights, delta, Derivative::Softmax(delta), z.view_mut().span())
    }
}

fn train<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    hidden: Activation,
    output: Activation,
    loss: Loss,
) -> Result<()> {
    let mut network = Network::builder(engine, 3).dense(5, hidden).dense(4, output).build()?;
    network.infer(Matrix::zeros(engine, 3, 2)?.view())?;
    let mut samples = Samples::from_matrices(
        Matrix::zeros(engine, 3, 2)?,
        Matrix::zeros(engine, 4, 2)?,
        Task::Classes,
    )?;
    let mut trainer =
        Trainer::builder(&mut network, loss, Sgd::new(0.1)?).batch(2).seed(1).build()?;
    trainer.epoch(&mut samples)?;
    trainer.evaluate(&samples)?;
    Ok(())
}

/// A pass forward and a step of a network on zeros.
fn step<T: Scalar>(mut network: Network<T>, loss: Loss, batch: usize) -> Result<()> {
    let x = Matrix::zeros(network.engine(), network.inputs(), batch)?;
    let t = Matrix::zeros(network.engine(), network.outputs(), batch)?;
    network.infer(x.view())?;
    Trainer::builder(&mut network, loss, Sgd::new(0.1)?)
        .batch(batch)
        .seed(1)
        .build()?
        .step(x.view(), t.view())
}

fn optimizers<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<()> {
    let momentum = Sgd::new(0.1)?.momentum(0.9)?;
    let all: [Box<dyn Optimizer<T>>; 6] = [
        Box::new(momentum),
        Box::new(momentum.weight_decay(WeightDecay::L2(0.1))?),
        Box::new(momentum.nesterov(0.9)?),
        Box::new(RmsProp::new(0.1)?),
        Box::new(Adam::new(0.1)?),
        Box::new(Adam::new(0.1)?.weight_decay(WeightDecay::L2(0.1))?),
    ];
    let (x, t) = (Matrix::zeros(engine, 3, 2)?, Matrix::zeros(engine, 4, 2)?);
    for optimizer in all {
        let mut network = Network::builder(engine, 3).dense(4, Activation::Identity).build()?;
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, optimizer)
            .batch(2)
            .clip(Clip::Norm(1.0))
            .build()?;
        trainer.step(x.view(), t.view())?;
    }
    let mut network = Network::builder(engine, 3).dense(4, Activation::Identity).build()?;
    let trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?);
    trainer.batch(2).clip(Clip::Value(1.0)).build()?.step(x.view(), t.view())?;
    Ok(())
}

fn regularization<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<()> {
    let mut network = Network::builder(engine, 3)
        .dense(5, Activation::Relu)
        .dense(4, Activation::Identity)
        .build()?;
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?)
        .batch(2)
        .seed(1)
        .dropout(Dropout { inputs: 0.2, hidden: 0.5 })
        .max_norm(1.0)
        .build()?;
    trainer.step(Matrix::zeros(engine, 3, 2)?.view(), Matrix::zeros(engine, 4, 2)?.view())
}

fn normalization<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<()> {
    let builder =
        Network::builder(engine, 3).dense(5, Activation::Identity).batch_norm(Activation::Relu);
    let mut network =
        builder.dense(4, Activation::Identity).layer_norm(Activation::Identity).build()?;
    // Three samples are a batch of two and a sample alone.
    let mut samples = Samples::from_matrices(
        Matrix::zeros(engine, 3, 3)?,
        Matrix::zeros(engine, 4, 3)?,
        Task::Classes,
    )?;
    network.infer(Matrix::zeros(engine, 3, 3)?.view())?;
    Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?)
        .batch(2)
        .seed(1)
        .build()?
        .epoch(&mut samples)?;
    Ok(())
}

fn embedding<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<()> {
    let builder = Network::builder(engine, 3).embed_numbers(&[0, 2]);
    let builder = builder.embed_categories(&[Categories { feature: 1, count: 2 }]);
    let mut network = builder.dense(4, Activation::Identity).build()?;
    let mut trainer =
        Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?).batch(2).build()?;
    trainer.step(Matrix::zeros(engine, 3, 2)?.view(), Matrix::zeros(engine, 4, 2)?.view())
}

/// Behind a layer with an activation, and behind one without.
fn parametric<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<()> {
    for activation in Activation::ALL.into_iter().filter(|f| *f != Activation::Softmax) {
        let builder = Network::builder(engine, 3).dense(4, Activation::Relu);
        let mut network = builder.parametric(activation).parametric(activation).build()?;
        let mut trainer =
            Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?).batch(2).build()?;
        trainer.step(Matrix::zeros(engine, 3, 2)?.view(), Matrix::zeros(engine, 4, 2)?.view())?;
    }
    Ok(())
}

/// Value of an option in a kernel's source.
fn option(source: &str, name: &str) -> usize {
    let line = source
        .lines()
        .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Items, items across, rows and columns of an item.
fn tile((name, source): &Kernel) -> Option<[usize; 4]> {
    (name == "product").then(|| ["GROUP_X", "TILES_X", "TV", "TN"].map(|name| option(source, name)))
}

/// What stands for a kernel on the architectures that do not get all: its source but for formulas and tiles, with the forms
/// of the product alone.
fn kind(kernel: &Kernel) -> (String, [usize; 3], String) {
    let (name, source) = kernel;
    let formula = |line: &&str| {
        line.starts_with("DEVICE REALV") && line.contains("p3) { return")
            || line.starts_with("DEVICE void rule(")
    };
    match name.as_str() {
        "product" => (
            name.clone(),
            ["DOUBLE", "FORM", "SUMS"].map(|name| option(source, name)),
            String::new(),
        ),
        _ => {
            let rest = source.lines().filter(|line| !formula(line)).collect::<Vec<_>>().join("\n");
            (name.clone(), [0; 3], rest)
        }
    }
}

/// Elements that an item keeps in registers: its tile of C, its share of the next slices of A and B.
fn kept_by_an_item(kernel: &Kernel) -> usize {
    tile(kernel).map_or(0, |[items, across, rows, columns]| {
        rows * columns
            + (rows * across + columns * items / across) * option(&kernel.1, "SLICE") / items
    })
}

/// For each kind the kernel whose items need most registers.
fn representatives(kernels: &BTreeSet<Kernel>) -> Vec<Kernel> {
    let mut all: BTreeMap<_, &Kernel> = BTreeMap::new();
    for kernel in kernels {
        let chosen = all.entry(kind(kernel)).or_insert(kernel);
        if kept_by_an_item(kernel) > kept_by_an_item(chosen) {
            *chosen = kernel;
        }
    }
    all.into_values().cloned().collect()
}

/// The back end's report of a kernel.
#[derive(Clone, Copy, Default)]
struct Usage {
    registers: usize,
    shared: usize,
    spilled: usize,
}

impl Usage {
    fn max(self, other: Usage) -> Usage {
        Usage {
            registers: self.registers.max(other.registers),
            shared: self.shared.max(other.shared),
            spilled: self.spilled.max(other.spilled),
        }
    }
}

/// The number before a word, as in "124 registers".
fn number_before(line: &str, words: &str) -> usize {
    let before = line.split(words).next().filter(|before| before.len() < line.len());
    before.and_then(|before| before.trim_end().rsplit([' ', ',']).next()?.parse().ok()).unwrap_or(0)
}

/// Compiles a kernel, fails if the compiler prints more than its report, and returns the report.
fn usage(kernel: &Kernel, architecture: i32) -> Result<Usage, String> {
    let (name, source) = kernel;
    let compiled = compile(source, Target::Cubin(architecture), &["--ptxas-options=-v"])
        .map_err(|failure| format!("{name} for sm_{architecture}: {failure}"))?;
    if compiled.log.lines().any(|line| {
        !line.is_empty() && !line.starts_with("ptxas info") && !line.starts_with("ptxas    ")
    }) {
        return Err(format!(
            "{name} for sm_{architecture} is not compiled silently:\n{}",
            compiled.log
        ));
    }
    let own = compiled
        .log
        .split("Compiling entry function ")
        .find(|part| part.starts_with(&format!("'{name}'")));
    let own =
        own.ok_or_else(|| format!("{name} for sm_{architecture}: no report in\n{}", compiled.log))?;
    let mut usage = Usage::default();
    for line in own.lines() {
        usage = usage.max(Usage {
            registers: number_before(line, " registers"),
            shared: number_before(line, " bytes smem"),
            spilled: number_before(line, " bytes spill stores")
                + number_before(line, " bytes spill loads"),
        });
    }
    assert!(usage.registers > 0, "no registers in\n{own}");
    Ok(usage)
}

/// As the table calls it.
fn label(kernel: &Kernel) -> String {
    let scalar = if option(&kernel.1, "DOUBLE") == 1 { "f64" } else { "f32" };
    let tile = tile(kernel).map_or(String::new(), |[items, across, rows, columns]| {
        format!(" {items:>3} items, {}x{}", across * rows, items / across * columns)
    });
    format!("{scalar} {}{tile}", kernel.0)
}

fn print_table(all: &BTreeMap<String, BTreeMap<i32, Usage>>) {
    let head: Vec<String> = ARCHITECTURES
        .iter()
        .map(|architecture| format!("{:>7}", format!("sm_{architecture}")))
        .collect();
    eprintln!("registers{:27}{}   shared  spilled", "", head.concat());
    for (label, usages) in all {
        let cells = ARCHITECTURES.iter().map(|architecture| usages.get(architecture));
        let cells: String = cells
            .map(|usage| {
                usage.map_or("      -".to_owned(), |usage| format!("{:>7}", usage.registers))
            })
            .collect();
        let most = usages.values().fold(Usage::default(), |most, usage| most.max(*usage));
        eprintln!("{label:36}{cells}{:>9}{:>9}", most.shared, most.spilled);
    }
}

/// Does the work on every core; kernels do not know of one another.
fn on_all_cores<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (next, cores) =
        (AtomicUsize::new(0), std::thread::available_parallelism().map_or(1, |cores| cores.get()));
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return done;
                }
                done.push((index, work(index)));
            }
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Whether the compiler is there; where it has to be and is not, the test fails. The stand-in of `tests/cuda_host` is none: it
/// compiles for the host.
fn has_compiler() -> bool {
    let left_out = match Nvrtc::find() {
        Err(missing) => format!("LEFT OUT: {}; {}", missing.reason, missing.cure),
        Ok(_) => {
            let nothing = compile("", Target::Ptx(75), &[]).ok();
            if nothing.is_some_and(|compiled| !compiled.image.starts_with(b"HOSTCODE")) {
                return true;
            }
            "LEFT OUT: NVRTC is a stand-in".to_owned()
        }
    };
    assert!(std::env::var_os("TRAVERTINE_ENSURE_NVRTC").is_none(), "{left_out}");
    eprintln!("{left_out}");
    false
}

#[test]
fn every_kernel_compiles_silently_for_every_architecture() {
    if !has_compiler() {
        return;
    }
    let mut kernels = every_kernel::<f32>();
    kernels.extend(every_kernel::<f64>());
    let few = representatives(&kernels);
    let all = std::env::var_os("TRAVERTINE_ALL_ARCHITECTURES").is_some();
    let mut work: Vec<(&Kernel, i32)> = match all {
        true => kernels.iter().map(|kernel| (kernel, ALL_KERNELS)).collect(),
        false => few.iter().map(|kernel| (kernel, ALL_KERNELS)).collect(),
    };
    let architectures = if all { &ARCHITECTURES[..] } else { &ALWAYS };
    for &architecture in architectures.iter().filter(|&&architecture| architecture != ALL_KERNELS) {
        work.extend(few.iter().map(|kernel| (kernel, architecture)));
    }
    // The slowest first, so that no core is left alone with one at the end.
    work.sort_by_key(|(kernel, _)| {
        std::cmp::Reverse(tile(kernel).map_or(0, |tile| tile.into_iter().product::<usize>()))
    });
    let (of_one, few) = (if all { kernels.len() } else { few.len() }, few.len());
    eprintln!("{of_one} kernels for sm_{ALL_KERNELS}, {few} for the others");
    let usages = on_all_cores(work.len(), |index| usage(work[index].0, work[index].1));
    let mut table: BTreeMap<String, BTreeMap<i32, Usage>> = BTreeMap::new();
    let mut faults = Vec::new();
    for ((kernel, architecture), usage) in work.iter().zip(usages) {
        match usage {
            Ok(usage) => {
                if usage.spilled > 0 && ["product", "infer", "train"].contains(&kernel.0.as_str()) {
                    faults.push(format!(
                        "{} spills {} bytes for sm_{architecture}",
                        label(kernel),
                        usage.spilled
                    ));
                }
                let most =
                    table.entry(label(kernel)).or_default().entry(*architecture).or_default();
                *most = most.max(usage);
            }
            Err(fault) => faults.push(fault),
        }
    }
    print_table(&table);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A constant or a function of the wrong type would make f32 kernels compute in f64, slowly and unseen. Reductions, those of softmax
/// among them, do so on purpose.
#[test]
fn f32_means_f32() {
    if !has_compiler() {
        return;
    }
    let kernels = every_kernel::<f32>();
    let kernels: Vec<&Kernel> = kernels
        .iter()
        .filter(|(name, _)| {
            ["elements", "gather", "halve", "infer", "product", "row_sums", "widen"]
                .contains(&name.as_str())
        })
        .filter(|(_, source)| option(source, "SOFTMAX") == 0)
        .collect();
    let texts = on_all_cores(kernels.len(), |index| {
        compile(&kernels[index].1, Target::Ptx(75), &[]).unwrap().image
    });
    for ((name, source), text) in kernels.into_iter().zip(texts) {
        let text = String::from_utf8(text).unwrap();
        let entry =
            text.split(".entry ").find(|entry| entry.starts_with(&format!("{name}("))).unwrap();
        assert!(
            !entry.contains(".f64"),
            "{name} computes in f64:\n{}\n{entry}",
            source.lines().next().unwrap_or("")
        );
        assert!(text.ends_with('\0'), "the driver reads the text up to its closing zero");
    }
}

#[test]
fn the_record_has_every_formula_and_output() {
    let kernels = every_kernel::<f32>();
    let sources: Vec<&str> = kernels.iter().map(|(_, source)| source.as_str()).collect();
    let texts = kernels.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>();
    let names = [
        "blend",
        "blend_gradient",
        "blend_propagate",
        "elements",
        "embed",
        "embed_gradient",
        "gather",
        "halve",
        "hits",
        "infer",
        "look_up",
        "look_up_gradient",
        "loss",
        "normalize_columns",
        "normalize_rows",
        "peak",
        "product",
        "propagate_columns",
        "propagate_rows",
        "reduce",
        "row_dots",
        "row_sums",
        "softmax",
        "softmax_derivative",
        "squares",
        "train",
        "uniform",
        "update",
        "widen",
    ];
    assert_eq!(texts.into_iter().collect::<Vec<_>>(), names);
    for formula in [
        "p0 * expm1(V(1.0) < x",
        "return softplus(x)",
        "x * normal_cdf(x)",
        "x * sigmoid(x)",
        "sqrt(x)",
        "fabs(x - y)",
        "sqrt(*v)",
    ] {
        assert!(sources.iter().any(|source| source.contains(formula)), "{formula}");
    }
    let has = |options: &[(&str, usize)]| {
        kernels.iter().any(|kernel| {
            kernel.0 == "product"
                && options.iter().all(|(name, value)| option(&kernel.1, name) == *value)
        })
    };
    let elements = |from: usize, to: usize| {
        let is =
            |source: &str| option(source, "READ_HALVES") == from && option(source, "HALVES") == to;
        kernels.iter().any(|(name, source)| name == "elements" && is(source))
    };
    assert!(elements(0, 0) && elements(0, 1) && elements(1, 2) && elements(3, 2));
    for (form, keep) in [(0, 0), (1, 0), (1, 1), (2, 0)] {
        assert!(has(&[("FORM", form), ("KEEP_C", keep)]));
    }
    assert!(
        has(&[("BIAS", 1), ("FORM", 0)]) && has(&[("BIAS", 1), ("FORM", 1)]) && has(&[("SUMS", 1)])
    );
}
