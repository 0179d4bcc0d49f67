//! The constant answer beside a trained network.

use crate::run::Folder;

#[test]
fn a_constant_answer_is_told_beside_the_network() {
    let folder = Folder::new();
    // Of five training samples three are 'up', of four test samples one is.
    folder.write("classes.csv", "x,y\n1,up\n2,down\n3,up\n4,up\n5,down\n");
    folder.write("classes_test.csv", "x,y\n1,up\n2,down\n5,down\n2,down\n");
    let run = folder.run("train classes.csv --test classes_test.csv --epochs 2 --json").ok();
    assert_eq!(run.result()["constant_test_accuracy"], 0.25);
    let run = folder.run("train classes.csv --test classes_test.csv --epochs 2").ok();
    assert!(run.out.contains("'up' for every sample: accuracy 25.00 %"), "{}", run.out);

    // The mean is 4; squares of distances from it: 4, 16, 0; half of their mean.
    folder.write("values.csv", "x,y\n1,1.5\n2,2.5\n3,3.5\n4,4.5\n5,8\n");
    folder.write("values_test.csv", "x,y\n1,2\n5,8\n3,4\n");
    let train = "train values.csv --test values_test.csv --task values --epochs 2";
    let loss = folder.run(&format!("{train} --json")).ok().result()["constant_test_loss"].as_f64();
    assert!((loss.unwrap() - 10.0 / 3.0).abs() < 1e-6, "{loss:?}");
    let absolute = folder.run(&format!("{train} --loss mean-absolute --json")).ok().result();
    assert!(absolute["constant_test_loss"].is_null(), "the mean is not the answer to this loss");
    let digits = folder.run("train digits --epochs 1 --json").ok().result();
    assert!(digits["constant_test_accuracy"].is_null(), "images are no table");
}

/// The label is noise: nothing that is learned holds for others.
#[test]
fn a_network_that_is_no_better_is_said_to_be_useless() {
    let folder = Folder::new();
    let noise = |i: u64, s: u64| (i.wrapping_mul(0x9e37_79b9).wrapping_add(s) ^ (i << 7)) % 1009;
    let row = |i: u64| format!("{},{},{}\n", noise(i, 1), noise(i, 77), noise(i * i, 5));
    let table: String = (0..120).map(row).collect();
    folder.write("noise.csv", format!("a,b,y\n{table}"));
    let run = folder.run("train noise.csv --task values --epochs 200").ok();
    assert!(
        run.err.contains("warning: on the samples held out the network is no better"),
        "{}",
        run.err
    );
    folder.write(
        "line.csv",
        format!("a,y\n{}", (0..90).map(|i| format!("{i}.5,{i}\n")).collect::<String>()),
    );
    let run = folder.run("train line.csv --task values").ok();
    assert!(!run.err.contains("no better"), "{}", run.err);
}

#[test]
fn the_epoch_kept_is_told() {
    let folder = Folder::new();
    let row = |i: i32| format!("{},{}\n", f64::from(i % 13) / 7.0, f64::from(i % 13 * 3 + i % 2));
    folder.write("values.csv", format!("x,y\n{}", (0..60).map(row).collect::<String>()));
    let run = folder.run("train values.csv --task values --epochs 30 --keep-epoch loss").ok();
    assert!(run.out.contains("30 epochs in"), "{}", run.out);
    assert!(run.out.contains("chosen by the test samples"), "{}", run.out);
    let run = folder.run("train values.csv --task values --epochs 30 --keep-epoch last").ok();
    assert!(!run.out.contains("chosen by"), "{}", run.out);
}
