//! `--report`: one page that needs nothing else, as a browser sees it.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;
use serde_json::Value;

use crate::browser::chromium;
use crate::run::Folder;

/// What the page is like in a frame of a telephone's width and in one of a desk's.
const LOOK: &str = r#"<script>
addEventListener('load', () => {
  const curves = [...document.querySelectorAll('path.curve')].map(path => {
    const box = path.getBBox(), view = path.ownerSVGElement.viewBox.baseVal;
    return { name: path.dataset.name, length: path.getTotalLength(),
      inside: box.x >= 0 && box.y >= 0 && box.x + box.width <= view.width && box.y + box.height <= view.height };
  });
  const images = [...document.images];
  // What leaves its section lies on the next one; what leaves its tile, on its neighbor.
  const spills = [...document.querySelectorAll('section')].filter(section =>
    [...section.querySelectorAll('*')].some(part =>
      part.getBoundingClientRect().bottom > section.getBoundingClientRect().bottom + 1));
  const cut = [...document.querySelectorAll('.tile b')].filter(value => value.scrollWidth > value.clientWidth);
  const wide = [...document.querySelectorAll('.wide')].filter(part => part.scrollWidth > part.clientWidth);
  parent.postMessage({ curves, images: images.length, broken: images.filter(image => !image.naturalWidth).length,
    spills: spills.length, cut: cut.length, wide: wide.length, beyond: document.documentElement.scrollWidth - innerWidth, scripts: document.scripts.length }, '*');
});
</script>"#;

const FRAMES: &str = r#"<!DOCTYPE html><title></title><iframe src="looked-at.html" width="360" height="800"></iframe>
<iframe src="looked-at.html" width="1200" height="800"></iframe><script>
const seen = [];
addEventListener('message', event => {
  seen.push(event.data);
  document.title = 'SEEN' + JSON.stringify(seen) + 'END';
});
</script>"#;

/// What a browser makes of the page: narrow first.
fn seen(folder: &Folder, page: &str) -> Option<Vec<Value>> {
    folder.write("looked-at.html", page.replace("</body>", &format!("{LOOK}</body>")));
    folder.write("frames.html", FRAMES);
    let dom = chromium(
        folder,
        &["--dump-dom", &format!("file://{}", folder.join("frames.html").display())],
    )?;
    let title =
        dom.split("SEEN").nth(1).unwrap_or_else(|| panic!("the page was not loaded: {dom}"));
    let mut seen: Vec<Value> = serde_json::from_str(title.split("END").next().unwrap()).unwrap();
    seen.sort_by_key(|frame| -frame["beyond"].as_i64().unwrap());
    assert_eq!(seen.len(), 2);
    Some(seen)
}

/// The coordinates of every curve in the page's text.
fn curves(page: &str) -> Vec<Vec<f64>> {
    let paths = page.split("<path class=\"curve ").skip(1);
    let numbers = |path: &str| {
        let d = path.split(" d=\"M").nth(1).unwrap().split('"').next().unwrap();
        d.split(['L', ' ']).map(|number| number.parse().unwrap()).collect()
    };
    paths.map(numbers).collect()
}

/// The pixels of a PNG file with 8 bits a channel, `[red, green, blue]` each (<https://www.w3.org/TR/png-3/>).
fn pixels(path: &Path) -> Vec<[u8; 3]> {
    let file = fs::read(path).unwrap();
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (width, channels) = (number(16), if file[25] == 6 { 4 } else { 3 });
    assert_eq!((file[24], file[28]), (8, 0), "8 bits, not interlaced");
    let (mut at, mut packed) = (8, Vec::new());
    while at < file.len() {
        if &file[at + 4..at + 8] == b"IDAT" {
            packed.extend(&file[at + 8..at + 8 + number(at)]);
        }
        at += 12 + number(at);
    }
    let mut rows = Vec::new();
    ZlibDecoder::new(&packed[..]).read_to_end(&mut rows).unwrap();
    let mut above = vec![0u8; width * channels];
    let mut pixels = Vec::new();
    for row in rows.chunks_exact(1 + width * channels) {
        let mut here = row[1..].to_vec();
        for i in 0..here.len() {
            let left = if i < channels { 0 } else { here[i - channels] };
            let corner = if i < channels { 0 } else { above[i - channels] };
            here[i] = here[i].wrapping_add(match row[0] {
                0 => 0,
                1 => left,
                2 => above[i],
                3 => ((u16::from(left) + u16::from(above[i])) / 2) as u8,
                _ => paeth(left, above[i], corner),
            });
        }
        pixels.extend(here.chunks_exact(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]));
        above = here;
    }
    pixels
}

fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i32::from);
    let distance = |x: i32| (a + b - c - x).abs();
    if distance(a) <= distance(b) && distance(a) <= distance(c) {
        left
    } else if distance(b) <= distance(c) {
        above
    } else {
        corner
    }
}

#[test]
fn a_report_on_digits_shows_curves_confusion_weights_and_mistakes() {
    let folder = Folder::new();
    let run = folder.run("train digits --hidden 12 --epochs 4 --seed 3 --report out/first").ok();
    assert!(run.out.contains("report.html"), "{}", run.out);
    let page = fs::read_to_string(folder.join("out/first/report.html")).unwrap();
    assert_eq!(fs::read_dir(folder.join("out/first")).unwrap().count(), 1, "nothing but the page");
    for outside in ["http:", "https:", "<script", "<link", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains(
        "travertine train digits --hidden 12 --epochs 4 --seed 3 --report out/first</pre>"
    ));
    for part in [
        "Loss",
        "Accuracy",
        "Learning rate",
        "Gradient norms",
        "Confusion",
        "Reliability",
        "Expected calibration error",
        "First-layer weights",
        "Worst mistakes",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Losses and accuracies in training and held out, one rate, two layers.
    let curves = curves(&page);
    assert_eq!(curves.iter().map(Vec::len).collect::<Vec<_>>(), [8; 7]);
    for (i, x) in curves.iter().flatten().enumerate() {
        assert!((0.0..=if i % 2 == 0 { 420.0 } else { 260.0 }).contains(x), "{x}");
    }
    assert!(page.contains("class=\"dot\"") && page.contains("class=\"ideal\""));
    assert!(!page.contains("Importance of columns"), "pixels alone say little");
    // The loss falls: its curve ends below its beginning.
    assert!(curves[0][7] > curves[0][1]);
    assert_eq!(page.matches("alt=\"weights of neuron").count(), 12);

    let Some(seen) = seen(&folder, &page) else { return };
    for frame in &seen {
        assert_eq!(
            (frame["broken"].as_u64(), frame["scripts"].as_u64()),
            (Some(0), Some(1)),
            "{frame}"
        );
        assert!(
            frame["images"].as_u64().unwrap() > 12 && frame["beyond"].as_i64().unwrap() <= 0,
            "{frame}"
        );
        let curves = frame["curves"].as_array().unwrap();
        assert!(
            curves.len() == 7 && curves.iter().all(|curve| curve["inside"] == true),
            "{curves:?}"
        );
        assert!(curves.iter().all(|curve| curve["length"].as_f64().unwrap() > 100.0), "{curves:?}");
    }
    let shot = folder.join("shot.png");
    let page = format!("file://{}", folder.join("out/first/report.html").display());
    chromium(
        &folder,
        &[&format!("--screenshot={}", shot.display()), "--window-size=1200,900", &page],
    );
    let pixels = pixels(&shot);
    // The two curves in their own colors, as wide as the charts: thousands of pixels on a light page.
    for color in [[0x1f, 0x5f, 0xd0], [0xc2, 0x50, 0x0a]] {
        let count = pixels
            .iter()
            .filter(|pixel| pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 24))
            .count();
        assert!(count > 800, "{count} pixels of {color:?}");
    }
}

#[test]
fn what_data_says_is_text_in_a_report() {
    let folder = Folder::new();
    let hostile = ["<script>alert(1)</script>", "\"\"><img src=x onerror=alert(1)>", "a & b"];
    let rows: String =
        (0..60).map(|i| format!("{},{},\"{}\"\n", i % 3, i % 7, hostile[i % 3])).collect();
    folder.write("h.csv", format!("<b>x</b>,\"y'\"\"\",\"<i>label\"\n{rows}"));
    folder.run("train h.csv --epochs 3 --report r --hidden 4").ok();
    let page = fs::read_to_string(folder.join("r/report.html")).unwrap();
    for markup in ["<script", "<img src=x", "<b>x", "<i>label"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("a &amp; b"));
    assert!(page.contains("Importance of columns") && page.contains("Reliability"));
    if let Some(seen) = seen(&folder, &page) {
        assert!(
            seen.iter().all(|frame| frame["scripts"] == 1
                && frame["broken"] == 0
                && frame["beyond"].as_i64() <= Some(0)),
            "{seen:?}"
        );
    }
}

#[test]
fn nothing_lies_on_something_else() {
    let folder = Folder::new();
    // Few inputs, few neurons, and a training time of many digits.
    let rows: String =
        (0..60).map(|i| format!("{},{},{}\n", i % 3, i % 7, ["no", "yes"][i % 2])).collect();
    folder.write("two.csv", format!("x,z,y\n{rows}"));
    // As many classes as a matrix shows, with names that only their ends tell apart.
    let rows: String =
        (0..600).map(|i| format!("{},{},class number {}\n", i % 30, i % 7, i % 30)).collect();
    folder.write("thirty.csv", format!("x,z,y\n{rows}"));
    for (name, options) in [("two", "--hidden 16 --epochs 1"), ("thirty", "--hidden 8 --epochs 3")]
    {
        folder.run(&format!("train {name}.csv {options} --report {name}")).ok();
        let page = fs::read_to_string(folder.join(name).join("report.html")).unwrap();
        let Some(seen) = seen(&folder, &page) else { return };
        for frame in &seen {
            assert_eq!(
                (frame["spills"].as_u64(), frame["cut"].as_u64()),
                (Some(0), Some(0)),
                "{name}: {frame}"
            );
        }
        assert_eq!(
            seen.iter().filter(|frame| frame["wide"] == 0).count(),
            1 + usize::from(name == "two"),
            "{seen:?}"
        );
    }
}

#[test]
fn reports_on_values_on_one_epoch_and_on_a_failure() {
    let folder = Folder::new();
    let rows: String = (0..80)
        .map(|i| format!("{},{},{}\n", i % 9, i % 7, 1000.5 * f64::from(i % 9) + 0.25))
        .collect();
    folder.write("v.csv", format!("a,b,price\n{rows}"));
    let run = folder.run("train v.csv --epochs 1 --report r").ok();
    let page = fs::read_to_string(folder.join("r/report.html")).unwrap();
    assert!(
        page.contains("held-out RMSE") && page.contains("price: predicted over true"),
        "{}",
        run.out
    );
    assert_eq!(
        page.matches("class=\"dot\"").count(),
        2 * 16,
        "two charts, a dot a held-out sample"
    );
    assert!(page.contains("price: residual over predicted"));
    assert!(page.contains("The rise of the RMSE") && page.contains("16 of 16 samples (held-out)"));
    assert_eq!(page.matches("<td class=\"bar\">").count(), 2, "a bar a column");
    assert!(page.contains("<title>train, epoch 1:"), "one epoch is a mark");
    assert!(!page.contains("NaN") && !page.contains("inf\""));

    // It diverges late: the page shows the good epochs and the reason why there are no more.
    let diverges =
        "train digits --hidden none --output linear --epochs 30 --learning-rate 0.19 --report d";
    assert_eq!(folder.run(diverges).status, Some(1));
    let page = fs::read_to_string(folder.join("d/report.html")).unwrap();
    assert!(page.contains("class=\"warn\"") && page.contains("diverged at step"));

    folder.write("file", "");
    folder.run("train digits --report file").fails(2, &["--report"]);
}

#[test]
fn a_report_does_not_wait_for_the_importance_of_many_columns() {
    let folder = Folder::new();
    let names: String = (0..501).map(|column| format!("x{column},")).collect();
    let row = |i: usize| -> String {
        let numbers: String =
            (0..501).map(|j| format!("{},", (i * (j % 9 + 1) + j) % 11)).collect();
        format!("{numbers}{}\n", ["no", "yes"][i % 2])
    };
    folder.write("w.csv", format!("{names}y\n{}", (0..40).map(row).collect::<String>()));
    folder.run("train w.csv --hidden 2 --epochs 1 --report w").ok();
    let page = fs::read_to_string(folder.join("w/report.html")).unwrap();
    assert!(page.contains("Not measured for 501 columns"), "{page}");
}

#[test]
fn weights_behind_embeddings_are_shown() {
    let folder = Folder::new();
    // Numbers, and texts of which there are enough for an embedding.
    let row = |i: usize| format!("{}.5,t{},{}\n", i * 7 % 31, i % 12, ["a", "b"][i % 3 % 2]);
    let rows: String = (0..240).map(row).collect();
    folder.write("t.csv", format!("size,text,class\n{rows}"));
    for options in ["", " --preset tabm", " --quality best"] {
        let train = format!("train t.csv --epochs 1 --report r --out m.safetensors{options}");
        folder.run(&train).ok();
        let page = std::fs::read_to_string(folder.join("r/report.html")).unwrap();
        assert!(page.contains("First-layer weights"), "{options}");
        assert!(page.contains("title=\"size\""), "{options}");
    }
}
