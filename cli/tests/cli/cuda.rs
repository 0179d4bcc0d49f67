//! The command line without CUDA, and with stand-ins for its libraries (`tests/cuda_host`).

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use crate::run::{Folder, Run};

/// The folder of the stand-ins, which are built where they are older than their sources.
pub(crate) static BUILT: LazyLock<Result<String, String>> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cuda-host");
    let built = Command::new("bash").arg(script).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if built.status.success() { Ok(text(&built.stdout)) } else { Err(text(&built.stderr)) }
});

/// A folder with stand-ins for driver and compiler; `None` where they cannot be built.
pub(crate) fn with_driver() -> Option<Folder> {
    let built = BUILT.as_ref().map_err(|error| {
        assert!(std::env::var_os("TRAVERTINE_ENSURE_CUDA").is_none(), "scripts/cuda-host: {error}");
        eprintln!("LEFT OUT: scripts/cuda-host: {error}");
    });
    let (built, folder) = (built.ok()?, Folder::new());
    for library in ["libcuda.so", "libnvrtc.so"] {
        symlink(Path::new(built).join(library), folder.join(library)).unwrap();
    }
    Some(folder)
}

/// A folder with cuBLASLt, too, which is one file with the driver because they share streams.
fn with_library() -> Option<Folder> {
    let folder = with_driver()?;
    let driver = std::fs::read_link(folder.join("libcuda.so")).unwrap();
    symlink(driver, folder.join("libcublasLt.so")).unwrap();
    Some(folder)
}

/// Runs the program with the stand-ins, whose behavior the variables set.
fn compute(folder: &Folder, arguments: &str, behavior: &[(&str, i64)]) -> Run {
    let mut command = folder.command(arguments);
    let kernels = Path::new(BUILT.as_ref().unwrap()).join("kernels");
    command.env("LD_LIBRARY_PATH", folder.to_str().unwrap()).env("HOST_CACHE", kernels);
    let usual = [("COUNTS", 1), ("DEVICES", 2), ("MEMORY", 1 << 30)];
    for (name, value) in usual.iter().chain(behavior) {
        command.env(format!("HOST_{name}"), value.to_string());
    }
    let run = Run::new(arguments, command.output().unwrap());
    assert!(!run.err.contains("driver:"), "{arguments}: {}", run.err);
    run
}

/// The same with kernels that do nothing: for tests of calls, not of numbers.
fn run(folder: &Folder, arguments: &str, behavior: &[(&str, i64)]) -> Run {
    compute(folder, arguments, &[&[("COMPUTE", 0)], behavior].concat())
}

/// The behavior of the stand-ins, and parts of the message that follows from it.
type Fault<'a> = (&'a [(&'a str, i64)], &'a [&'a str]);

const BENCH: &str = "bench forward --network 9-8-7 --batch 6 --no-tune --json --device cuda";

#[test]
fn devices_are_listed_and_used() {
    let Some(folder) = with_driver() else { return };
    let devices = run(&folder, "devices", &[]).ok();
    let line = devices.out.lines().find(|line| line.starts_with("cuda:1")).unwrap();
    for part in [
        "Host ",
        " (compute capability 9.0)",
        "driver CUDA 12.4, NVRTC 12.4",
        "1.1 GB of memory",
        "; usable",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let bench = run(&folder, BENCH, &[]).ok();
    assert!(bench.err.contains("for --gpu-architecture=sm_90"), "{}", bench.err);
    let without_pools = run(&folder, BENCH, &[("POOLS", 0)]).ok();
    assert!(
        !without_pools.err.contains("compiled a kernel"),
        "kernels come from the cache: {}",
        without_pools.err
    );
    let other_driver = run(&folder, BENCH, &[("DRIVER", 12_050)]).ok();
    assert!(
        other_driver.err.contains("compiled a kernel"),
        "not those of another driver: {}",
        other_driver.err
    );
    run(&folder, &format!("{BENCH}:1"), &[]).ok();
}

/// The losses of all epochs, and once more the last one.
fn losses(run: &Run) -> Vec<f64> {
    run.json().iter().filter_map(|line| line["train_loss"].as_f64()).collect()
}

/// A whole training: every kind of call, nothing left behind, and the CPU's losses; layer by layer and a step in one kernel.
#[test]
fn training_is_the_cpus() {
    let Some(folder) = with_driver() else { return };
    let train =
        "train digits --hidden 30 --batch 10 --epochs 2 --no-tune --json --out model.safetensors";
    for (precision, bound) in [("f32", 1e-4), ("f64", 1e-9)] {
        let on = |device: &str| {
            let device = format!("{train} --precision {precision} --device {device}");
            compute(&folder, &device, &[]).ok()
        };
        let cpu = losses(&on("cpu"));
        assert_eq!(cpu.len(), 3);
        let [whole, layers] = ["cuda", "cuda:1 --fusion never"].map(on);
        for cuda in [&whole, &layers] {
            for (ours, reference) in losses(cuda).iter().zip(&cpu) {
                assert!((ours - reference).abs() < bound, "{precision}: {ours} for {reference}");
            }
            assert_eq!(losses(cuda).len(), cpu.len());
        }
        assert!(folder.join("model.safetensors").exists());
        assert_eq!(whole.result()["device"], "cuda:0");
        // Without dropout, clipping and the like a step is a gather, a kernel and an update at most.
        let [whole, layers] = [whole, layers].map(|run| count(&run, "launches"));
        assert!(4 * whole < layers, "{whole} launches, {layers} layer by layer");
    }
}

/// A count that the stand-ins print at their end.
pub(crate) fn count(run: &Run, name: &str) -> u64 {
    let line = run.err.lines().rfind(|line| line.starts_with("counts")).unwrap();
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .unwrap();
    value.parse().unwrap()
}

/// Layer by layer, a driver of CUDA 11 gets every launch by itself, one of CUDA 12 a graph a step; the device sees the same
/// kernels with the same arguments in the same order, and the model has the same bytes.
#[test]
fn steps_are_graphs() {
    let Some(folder) = with_driver() else { return };
    for optimizer in ["sgd", "adam --schedule cosine", "momentum --clip-norm 1"] {
        // 1437 samples: 144 steps an epoch, the last one of them smaller.
        let train = format!(
            "train digits --epochs 3 --no-tune --fusion never --json --device cuda --optimizer {optimizer} --out m.safetensors"
        );
        let model = || std::fs::read(folder.join("m.safetensors")).unwrap();
        let by_graphs = compute(&folder, &train, &[]).ok();
        let graphs_model = model();
        let old = [("DRIVER", 11_080), ("NVRTC", 11_080)];
        let one_by_one = compute(&folder, &train, &old).ok();
        assert!(graphs_model == model(), "{optimizer}: the models differ");
        assert_eq!(
            [&by_graphs, &one_by_one].map(|run| count(run, "graphs")),
            [3 * 144, 0],
            "{optimizer}"
        );
        for same in ["launches", "history", "waits", "allocations"] {
            assert_eq!(count(&by_graphs, same), count(&one_by_one, same), "{optimizer}: {same}");
        }
        let other_rate = run(&folder, &format!("{train} --learning-rate 0.03"), &[]).ok();
        assert_ne!(
            count(&by_graphs, "history"),
            count(&other_rate, "history"),
            "the history depends on arguments"
        );
    }
}

/// A driver of CUDA 11.2 has no call that is newer; who looks for one would panic.
#[test]
fn an_old_driver_is_asked_for_no_newer_call() {
    let Some(folder) = with_driver() else { return };
    let driver = folder.join("libcuda.so");
    let mut code = std::fs::read(&driver).unwrap();
    for name in [
        "cuGraphAddKernelNode_v2",
        "cuGraphExecKernelNodeSetParams_v2",
        "cuGraphInstantiateWithFlags",
        "cuGraphExecChildGraphNodeSetParams",
    ] {
        let places: Vec<usize> = (0..code.len() - name.len())
            .filter(|at| code[*at..].starts_with(name.as_bytes()))
            .collect();
        assert!(!places.is_empty(), "{name}");
        // The engine cannot resolve a symbol of another name.
        places.into_iter().for_each(|at| code[at] = b'x');
    }
    for library in ["libcuda.so", "libnvrtc.so"] {
        std::fs::remove_file(folder.join(library)).unwrap();
    }
    std::fs::write(&driver, code).unwrap();
    symlink(&driver, folder.join("libnvrtc.so")).unwrap();
    let train = "train digits --epochs 1 --no-tune --json --device cuda --out model.safetensors";
    for options in ["--fusion never", "--optimizer adam", "--precision f64 --fusion never"] {
        let old = [("DRIVER", 11_020), ("NVRTC", 11_020)];
        let trained = run(&folder, &format!("{train} {options}"), &old).ok();
        assert_eq!(count(&trained, "graphs"), 0, "{options}");
    }
}

/// Neither waiting nor allocation depends on the number of steps or epochs.
#[test]
fn epochs_neither_wait_nor_allocate() {
    let Some(folder) = with_driver() else { return };
    let train = |options: &str| {
        let train = format!(
            "train digits --no-tune --fusion never --json --device cuda --out m.safetensors {options}"
        );
        run(&folder, &train, &[]).ok()
    };
    let [few, many, longer] =
        ["--epochs 2 --batch 100", "--epochs 2 --batch 10", "--epochs 4 --batch 10"].map(train);
    assert!(count(&many, "launches") > 5 * count(&few, "launches"));
    assert_eq!(count(&few, "waits"), count(&many, "waits"));
    assert_eq!(count(&few, "allocations"), count(&many, "allocations"));
    assert_eq!(count(&many, "allocations"), count(&longer, "allocations"));
}

#[test]
fn faults_are_told_with_their_cures() {
    let Some(folder) = with_driver() else { return };
    let unavailable: [Fault<'_>; 8] = [
        (&[("INIT", 100)], &["cuInit failed with code 100: no CUDA-capable device", "nvidia-smi"]),
        (&[("INIT", 34)], &["code 34", "stub"]),
        (&[("INIT", 803)], &["code 803", "restart the machine"]),
        (&[("DEVICES", 0)], &["no device", "CUDA_VISIBLE_DEVICES"]),
        (
            &[("DRIVER", 10_020)],
            &["the driver is for CUDA 10.2, 11.2 is needed", "newer NVIDIA driver"],
        ),
        (
            &[("NVRTC", 10_010)],
            &["NVRTC is 10.1, 11.2 is needed", "pip install nvidia-cuda-nvrtc-cu12"],
        ),
        (
            &[("CAPABILITY", 61)],
            &["NVRTC 12.4 does not compile for compute capability 6.1", "install NVRTC"],
        ),
        (&[("PROHIBITED", 1)], &["prohibited", "nvidia-smi -i 0 -c DEFAULT"]),
    ];
    for (behavior, parts) in unavailable {
        run(&folder, BENCH, behavior).fails(2, parts);
        let devices = run(&folder, "devices", behavior).ok();
        let line = devices.out.lines().find(|line| line.starts_with("cuda")).unwrap();
        assert!(
            line.contains("not usable") && parts.iter().all(|part| line.contains(part)),
            "{line}"
        );
    }
    let no_such = ["cuda:7 is not available", "there is no such device", "cuda:0 to cuda:1"];
    run(&folder, &format!("{BENCH}:7"), &[]).fails(2, &no_such);
    run(&folder, &format!("{BENCH}:7"), &[("DEVICES", 1)])
        .fails(2, &["the only device here is cuda:0"]);

    let failed: [Fault<'_>; 5] = [
        (
            &[("COMPILE", 6)],
            &["nvrtcCompileProgram failed with code 6", "' does not compile", "line 7: what"],
        ),
        (
            &[("CAPABILITY", 120), ("NVRTC", 12_090), ("LOAD", 222)],
            &[
                "compute_90",
                "cuModuleLoadData failed with code 222",
                "NVRTC is of CUDA 12.9",
                "programs of CUDA 12.4",
            ],
        ),
        (&[("MEMORY", 100)], &["cuda:0: out of memory, ", " bytes requested, 100 available"]),
        (&[("MEMORY", 100), ("POOLS", 0)], &["out of memory"]),
        (
            &[("LOST_AFTER", 2)],
            &["failed with code 700: an illegal memory access", "start the program again"],
        ),
    ];
    for (behavior, parts) in failed {
        let _ = std::fs::remove_dir_all(folder.join("travertine"));
        run(&folder, BENCH, behavior).fails(1, parts);
    }
}

#[test]
fn a_missing_compiler_is_told_with_the_cure() {
    let Some(folder) = with_driver() else { return };
    std::fs::remove_file(folder.join("libnvrtc.so")).unwrap();
    let devices = run(&folder, "devices", &[]).ok();
    let line = devices.out.lines().find(|line| line.starts_with("cuda:0")).unwrap();
    if line.contains("NVRTC ") && line.contains("; usable") {
        eprintln!("LEFT OUT: the system has an NVRTC of its own");
        return;
    }
    let missing = [
        "NVRTC (libnvrtc.so) was not found",
        "pip install nvidia-cuda-nvrtc-cu12",
        "LD_LIBRARY_PATH",
    ];
    assert!(
        line.contains("not usable") && missing.iter().all(|part| line.contains(part)),
        "{line}"
    );
    run(&folder, BENCH, &[]).fails(2, &missing);
}

#[test]
fn a_lost_device_leaves_the_last_model() {
    let Some(folder) = with_driver() else { return };
    let train = "train digits --epochs 2 --no-tune --device cuda --out model.safetensors";
    folder.run("train digits --epochs 1 --out model.safetensors").ok();
    let last_good = std::fs::read(folder.join("model.safetensors")).unwrap();
    let lost = run(&folder, train, &[("LOST_AFTER", 100)]);
    assert_eq!(lost.status, Some(1), "{}", lost.err);
    assert!(lost.err.contains("Synchronize failed with code 700"), "{}", lost.err);
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), last_good);
}

/// A network whose products are large.
const LARGE: &str = "bench train --network 700-600-500 --batch 512 --no-tune --json --device cuda";

#[test]
fn large_products_are_left_to_the_library() {
    let Some(folder) = with_library() else { return };
    let devices = run(&folder, "devices", &[]).ok();
    assert!(devices.out.contains("NVRTC 12.4, cuBLASLt 12.4.5"), "{}", devices.out);
    let with = run(&folder, LARGE, &[]).ok();
    assert!(
        count(&with, "products") > 0
            && with.err.contains("compute 68, factors 0 and 0, result 0, epilogue 6"),
        "{}",
        with.err
    );
    // Forward, backward, gradient; no epilogue but relu and the bias.
    for line in with.err.lines().filter(|line| line.starts_with("planned")) {
        assert!(
            ["epilogue 1", "epilogue 4", "epilogue 6"]
                .iter()
                .any(|epilogue| line.ends_with(epilogue)),
            "{line}"
        );
    }
    for without in [
        run(&folder, &format!("{LARGE} --library never"), &[]),
        run(&folder, LARGE, &[("CUBLASLT", 11_06)]),
        run(&folder, LARGE, &[("CUBLASLT_CUDA", 13_000)]),
        run(&folder, LARGE, &[("CUBLASLT_INIT", 1)]),
        run(&folder, LARGE, &[("CUBLASLT_REFUSES", 1)]),
        run(&folder, BENCH, &[]),
    ] {
        assert_eq!(count(&without.ok(), "products"), 0);
    }
    let small = run(&folder, &format!("{BENCH} --library always"), &[]).ok();
    assert!(count(&small, "products") > 0);
    let double = run(&folder, &format!("{LARGE} --precision f64"), &[]).ok();
    assert!(double.err.contains("compute 70, factors 1 and 1"), "{}", double.err);
}

/// Products in graphs are those that are started one by one, whatever changes from step to step.
#[test]
fn the_library_takes_part_in_graphs() {
    let Some(folder) = with_library() else { return };
    for options in
        ["", "--optimizer adam --schedule cosine", "--schedule cosine", "--precision bf16"]
    {
        let train = format!(
            "train digits --epochs 2 --batch 100 --no-tune --library always --json --device cuda --out m.safetensors {options}"
        );
        let by_graphs = compute(&folder, &train, &[]).ok();
        let old = [("DRIVER", 11_080), ("NVRTC", 11_080), ("CUBLASLT_CUDA", 11_080)];
        let one_by_one = compute(&folder, &train, &old).ok();
        let new_graphs = compute(&folder, &train, &[("CHILD_UPDATE", 1)]).ok();
        // 1437 samples: 15 steps an epoch, the last one of them smaller. The first of a kind goes out by itself.
        assert_eq!(
            [&by_graphs, &one_by_one].map(|run| count(run, "graphs")),
            [2 * 15 - 2, 0],
            "{options}"
        );
        for same in ["launches", "history", "waits", "allocations"] {
            assert_eq!(count(&by_graphs, same), count(&new_graphs, same), "{options}: {same}");
            assert_eq!(count(&by_graphs, same), count(&one_by_one, same), "{options}: {same}");
        }
    }
}

#[test]
fn precisions_are_asked_for_by_name() {
    let Some(folder) = with_library() else { return };
    for (precision, planned) in [
        ("tf32", "compute 77, factors 0 and 0"),
        ("bf16", "compute 68, factors 14 and 14"),
        ("f16", "compute 68, factors 2 and 2"),
    ] {
        let with = run(&folder, &format!("{LARGE} --precision {precision}"), &[]).ok();
        assert!(
            with.err.contains(planned) && !with.err.contains("factors 1 "),
            "{precision}: {}",
            with.err
        );
        assert_eq!(with.result()["precision"], precision);
        // The hidden layer: bias, relu and a mask, and relu's derivative by it; the output, as it is.
        let type_of_factors = &planned[planned.len() - 2..].trim();
        for (result, epilogue) in [(*type_of_factors, 134), (*type_of_factors, 136), ("0", 4)] {
            let reported =
                with.err.contains(&format!("{planned}, result {result}, epilogue {epilogue}\n"));
            assert_eq!(
                reported,
                precision != "tf32" || epilogue == 4,
                "{precision}, {epilogue}: {}",
                with.err
            );
        }
    }
    run(&folder, &format!("{LARGE} --precision bf16"), &[("CAPABILITY", 75)])
        .fails(2, &["cuda:0", "its compute capability is 7.5, bf16 needs 8.0", "use f32"]);
    run(&folder, &format!("{LARGE} --precision f16"), &[("CAPABILITY", 75)]).ok();
    run(&folder, &format!("{LARGE} --precision tf32 --library never"), &[])
        .fails(2, &["tf32 needs the library"]);
    let starts_not = run(&folder, &format!("{LARGE} --precision tf32"), &[("CUBLASLT_INIT", 1)]);
    starts_not.fails(1, &["cublasLtCreate failed with code 1: the library failed"]);
    std::fs::remove_file(folder.join("libcublasLt.so")).unwrap();
    for option in ["--precision tf32", "--precision bf16", "--precision f16", "--library always"] {
        let missing =
            ["cuda:0", "cuBLASLt (libcublasLt.so) was not found", "pip install nvidia-cublas-cu12"];
        run(&folder, &format!("{LARGE} {option}"), &[]).fails(2, &missing);
    }
    for device in ["cpu", "opencl"] {
        let other = LARGE.replace("cuda", device);
        folder
            .run(&format!("{other} --precision tf32"))
            .fails(2, &["does not multiply in tf32", "CUDA"]);
    }
}

/// Whether the library computes a product is measured, kept in the file of tiles, and measured again for another version.
#[test]
fn the_library_is_compared_with_our_kernels() {
    let Some(folder) = with_library() else { return };
    let tuned = run(&folder, "tune --device cuda --precision tf32 --json", &[]).ok();
    let last: serde_json::Value = serde_json::from_str(tuned.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["tile"], &last["precision"]), (&"cuBLASLt 12.4.5".into(), &"tf32".into()));
    let files = std::fs::read_dir(folder.join("travertine/cuda")).unwrap();
    let file = files
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .unwrap();
    let text = || std::fs::read_to_string(&file).unwrap();
    assert!(text().contains("[library.tf32]") && !text().contains("[library.f32]"), "{}", text());
    // The file decides.
    let kept: String = text();
    for (faster, slower, products) in [("library", "ours", true), ("ours", "library", false)] {
        let changed = kept.lines().map(|line| match line.split(" = ").next() {
            Some(key) if key == faster => format!("{key} = 2.0\n"),
            Some(key) if key == slower => format!("{key} = 1.0\n"),
            _ => format!("{line}\n"),
        });
        std::fs::write(&file, changed.collect::<String>()).unwrap();
        let bench = LARGE.replace("--no-tune", "--precision tf32");
        let run = run(&folder, &bench, &[]).ok();
        assert_eq!(run.err.contains("planned a product"), products, "{}", run.err);
    }
    let before = text();
    run(&folder, &LARGE.replace("--no-tune", ""), &[]).ok();
    assert!(
        text().contains("[library.f32]")
            && text().starts_with(&before[..before.find("[library").unwrap()])
    );
    run(&folder, &LARGE.replace("--no-tune", "--precision tf32"), &[("CUBLASLT", 12_09)]).ok();
    assert!(text().contains("version = \"12.9.5\""), "{}", text());
}

/// Weights that go to the device and come back in several pieces are the CPU's; kernels that compute nothing leave them alone.
#[test]
fn transfers_pass_through_pinned_memory() {
    let Some(folder) = with_driver() else { return };
    // 64 x 40000 weights are 10 MB, two pieces and a half.
    let train = "train digits --hidden 40000 --epochs 1 --samples 2 --learning-rate 0 --held-out 0 --no-tune --json";
    let model = |device: &str, behavior: &[(&str, i64)]| {
        run(&folder, &format!("{train} --device {device} --out {device}.safetensors"), behavior)
            .ok();
        let file = std::fs::read(folder.join(format!("{device}.safetensors"))).unwrap();
        let head = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file[8 + head..].to_vec()
    };
    let cpu = model("cpu", &[]);
    assert!(cpu.len() > 12_000_000 && cpu.iter().any(|byte| *byte != 0));
    assert!(model("cuda", &[]) == cpu, "in pieces");
    assert!(model("cuda", &[("PINNED", 0)]) == cpu, "without pinned memory");
}
