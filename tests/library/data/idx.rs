//! IDX files and MNIST.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use travertine::ErrorKind;
use travertine::data::{mnist, read_idx, read_images, read_labels};

use super::{Folder, assert_message, classes, left_out, read_damaged};

/// Magic number and sizes as the format's description has them: big-endian.
fn idx(sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(body);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn plain_and_gzipped_whatever_the_name() {
    let folder = Folder::new();
    let images = idx(&[2, 1, 3], &[0, 51, 255, 1, 2, 3]);
    for (images, labels) in
        [(images.clone(), idx(&[2], &[7, 12])), (gzip(&images), gzip(&idx(&[2], &[7, 12])))]
    {
        let (images, labels) =
            (folder.write("images.any", images), folder.write("labels.any", labels));
        let read = read_images(&images).unwrap();
        assert_eq!(
            (read.count, read.rows, read.columns, &read.pixels[..3]),
            (2, 1, 3, &[0, 51, 255][..])
        );
        assert_eq!(read_labels(&labels).unwrap(), [7, 12]);
        let data = read_idx::<f64>(&images, &labels).unwrap();
        assert_eq!(data.sample(0).unwrap(), [0.0, 0.2, 1.0]);
        assert_eq!(
            (classes(&data).0, data.outputs(), classes(&data).1[12]),
            (vec![7, 12], 13, "12")
        );
    }
}

#[test]
fn damaged_headers() {
    let folder = Folder::new();
    let images = |bytes: &[u8]| read_images(folder.write("x.idx", bytes));
    assert_message(images(b""), &["x.idx", "byte 0", "IDX magic number", "end of the file"]);
    assert_message(images(&[0, 0, 8]), &["byte 3", "end of the file"]);
    assert_message(images(b"PK\x03\x04"), &["byte 0", "two zero bytes", "0x50 0x4b"]);
    assert_message(images(&[0, 0, 13, 3]), &["byte 2", "type code 0x08", "0x0d"]);
    assert_message(
        images(&idx(&[2], &[7, 2])),
        &["byte 3", "3 dimensions, as images have", "found 1"],
    );
    assert_message(
        read_labels(folder.write("y", idx(&[1, 1, 1], &[7]))),
        &["1 dimensions, as labels have", "found 3"],
    );
    assert_message(images(&idx(&[2, 2, 2], &[])[..11]), &["byte 11", "a size", "end of the file"]);
    assert_message(images(&idx(&[0, 2, 2], &[])), &["byte 4", "not empty", "0 x 2 x 2"]);
    assert_message(images(&idx(&[u32::MAX; 3], &[])), &["byte 4", "64 bits", "4294967295 x"]);
}

#[test]
fn bodies_too_short_and_too_long() {
    let folder = Folder::new();
    let images = |bytes: &[u8]| read_images(folder.write("x.idx", bytes));
    assert_message(
        images(&idx(&[2, 1, 3], &[1; 5])),
        &["byte 21", "6 bytes from byte 16", "end of the file"],
    );
    assert_message(
        images(&idx(&[2, 1, 3], &[1; 7])),
        &["byte 22", "expected the end of the file", "more bytes"],
    );
    let promise = [1 << 20, 1 << 20, 1 << 20];
    assert_message(images(&idx(&promise, &[1; 9])), &["byte 25", "1152921504606846976 bytes"]);
    let packed = gzip(&idx(&promise, &[1; 9]));
    assert_message(images(&packed), &["byte 25 of the unpacked file", "1152921504606846976 bytes"]);
    let bomb = gzip(&idx(&[2, 1, 3], &vec![0; 100_000_000]));
    assert_message(images(&bomb), &["byte 22 of the unpacked file", "more bytes"]);
}

#[test]
fn damaged_gzip() {
    let folder = Folder::new();
    let packed = gzip(&idx(&[100], &(0..100).collect::<Vec<u8>>()));
    let labels = |bytes: &[u8]| read_labels(folder.write("x.gz", bytes));
    assert_message(
        labels(&packed[..packed.len() - 20]),
        &["x.gz", "of the unpacked file", "sound gzip data"],
    );
    assert_message(labels(&packed[..packed.len() - 4]), &["sound gzip data"]);
    let mut checksum_wrong = packed.clone();
    let end = packed.len();
    checksum_wrong[end - 8] ^= 1;
    assert_message(labels(&checksum_wrong), &["sound gzip data"]);
    assert_message(labels(&[&packed[..], b"more"].concat()), &["x.gz"]);
    read_damaged("x.gz", &packed, |path| read_labels(path));
    read_damaged("x", &idx(&[2, 1, 3], &[1; 6]), |path| read_images(path));
}

#[test]
fn mnist_by_all_its_names() {
    for (mark, ending) in [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")] {
        let folder = Folder::new();
        let write = |name: &str, rank, bytes: Vec<u8>| {
            let bytes = if ending == ".gz" { gzip(&bytes) } else { bytes };
            folder.write(&format!("{name}{mark}idx{rank}-ubyte{ending}"), bytes);
        };
        write("train-images", 3, idx(&[3, 1, 1], &[1, 2, 3]));
        write("train-labels", 1, idx(&[3], &[0, 1, 0]));
        write("t10k-images", 3, idx(&[1, 1, 1], &[1]));
        write("t10k-labels", 1, idx(&[1], &[1]));
        let (train, test) = mnist::<f32>(&folder.0).unwrap();
        assert_eq!(
            (train.samples(), test.samples(), train.outputs(), test.outputs()),
            (3, 1, 10, 10)
        );
    }
}

#[test]
fn mnist_files_that_do_not_fit_each_other() {
    let folder = Folder::new();
    let error = assert_message(
        mnist::<f32>(&folder.0),
        &["cannot read", "train-images-idx3-ubyte", "not found"],
    );
    assert!(matches!(error.kind(), ErrorKind::Io { .. }));
    folder.write("train-images-idx3-ubyte", idx(&[3, 1, 1], &[1, 2, 3]));
    folder.write("train-labels-idx1-ubyte", idx(&[2], &[0, 1]));
    assert_message(
        mnist::<f32>(&folder.0),
        &["train-labels", "byte 4", "3 labels", "found 2 labels"],
    );
    folder.write("train-labels-idx1-ubyte", idx(&[3], &[0, 1, 11]));
    assert_message(mnist::<f32>(&folder.0), &["t10k-images-idx3-ubyte"]);
    folder.write("t10k-images-idx3-ubyte", idx(&[1, 2, 1], &[1, 2]));
    folder.write("t10k-labels-idx1-ubyte", idx(&[1], &[1]));
    assert_message(
        mnist::<f32>(&folder.0),
        &["t10k-images", "byte 8", "images of 1x1", "images of 2x1"],
    );
    folder.write("t10k-images-idx3-ubyte", idx(&[1, 1, 1], &[1]));
    let (train, test) = mnist::<f32>(&folder.0).unwrap();
    assert_eq!((train.outputs(), test.outputs()), (12, 12));
}

#[test]
fn the_real_mnist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/mnist");
    if !folder.is_dir() {
        return left_out("the_real_mnist", &format!("there is no {}", folder.display()));
    }
    let (train, test) = mnist::<f64>(&folder).unwrap();
    assert_eq!((train.samples(), train.inputs(), train.outputs()), (60_000, 784, 10));
    assert_eq!((test.samples(), test.inputs(), test.outputs()), (10_000, 784, 10));
    assert_eq!((classes(&train).0[..5].to_vec(), classes(&test).0[0]), (vec![5, 0, 4, 1, 9], 7));
    let mean = train.features().iter().sum::<f64>() / train.features().len() as f64;
    assert!((mean - 0.1307).abs() < 0.0001, "{mean}");
}

/// The letters of EMNIST are counted from 1, its files have more in front of their names, and its archive unpacks to a folder in a
/// folder.
#[test]
fn emnist_in_its_folder_with_labels_from_one() {
    let folder = Folder::new();
    let inside = folder.0.join("gzip/letters");
    std::fs::create_dir_all(&inside).unwrap();
    let images = idx(&[2, 1, 2], &[0, 51, 255, 0]);
    for (part, labels) in [("train", [1, 3]), ("test", [2, 3])] {
        let name = |what: &str| inside.join(format!("emnist-letters-{part}-{what}-ubyte.gz"));
        std::fs::write(name("images-idx3"), gzip(&images)).unwrap();
        std::fs::write(name("labels-idx1"), gzip(&idx(&[2], &labels))).unwrap();
    }
    let (train, test) = mnist::<f64>(&*folder.0).unwrap();
    assert_eq!(classes(&train), (vec![0, 2], vec!["1", "2", "3"]));
    assert_eq!(classes(&test), (vec![1, 2], vec!["1", "2", "3"]));
    // A second set beside it is not chosen between.
    std::fs::write(inside.join("emnist-digits-train-images-idx3-ubyte"), &images).unwrap();
    assert_message(mnist::<f64>(&*folder.0), &["one file of the images", "letters", "digits"]);
}

/// QMNIST's labels are tables of eight integers, of which the first is the class.
#[test]
fn qmnist_has_tables_of_integers_as_labels() {
    let folder = Folder::new();
    let table = |labels: [u32; 2]| {
        let words = labels.into_iter().flat_map(|label| [label, 9, 900, 0, 0, 0, 0, 0]);
        let mut bytes = vec![0, 0, 0x0c, 2, 0, 0, 0, 2, 0, 0, 0, 8];
        bytes.extend(words.flat_map(u32::to_be_bytes));
        bytes
    };
    let images = idx(&[2, 1, 2], &[0, 51, 255, 0]);
    for part in ["train", "test"] {
        folder.write(&format!("qmnist-{part}-images-idx3-ubyte"), &images);
        folder.write(&format!("qmnist-{part}-labels-idx2-int"), table([4, 0]));
    }
    let (train, _) = mnist::<f64>(&*folder.0).unwrap();
    assert_eq!(classes(&train).0, [4, 0]);
    assert_eq!(train.outputs(), 10);
    folder.write("qmnist-train-labels-idx2-int", table([4, 256]));
    assert_message(mnist::<f64>(&*folder.0), &["labels from 0 to 255", "256"]);
}
