//! Source code where the library refuses: what is no answer has no class.

use std::fs;

use travertine::model_file::{Language, ModelInfo};
use travertine::{Activation, Loss, Model, Network, engine};

use crate::freeze::{STRICT, has, run, rustc};
use crate::tables::folder::Folder;

#[test]
fn scores_that_are_no_numbers_have_no_class() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = Network::builder(&cpu, 2).dense(3, Activation::Softmax).seed(1).build().unwrap();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let model = Model::new(network, info).unwrap();
    let folder = Folder::new();
    fs::write(folder.join("net.c"), model.to_source(Language::C, "net").unwrap()).unwrap();
    fs::write(folder.join("net.rs"), model.to_source(Language::Rust, "net").unwrap()).unwrap();
    let main = "#include <stdio.h>\n#include \"net.c\"\nint main(void)\n{\n    static const float x[4][2] = {{1.0f, 2.0f}, {INFINITY, 1.0f}, {1.0f, NAN}, {-INFINITY, INFINITY}};\n    for (int i = 0; i < 4; i++) {\n        float answers[3];\n        net_predict(x[i], answers);\n        printf(\"%d\\n\", net_class(answers) < 0);\n    }\n    return 0;\n}\n";
    fs::write(folder.join("main.c"), main).unwrap();
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
        let command = [&[compiler], &STRICT[..], &["-O2", "main.c", "-lm", "-o", "program"]];
        run(&folder, &command.concat());
        assert_eq!(run(&folder, &["./program"]), "0\n1\n1\n1\n", "{compiler}");
    }
    let main = "mod net;\nfn main() {\n    let inf = f32::INFINITY;\n    let rows = [[1.0, 2.0], [inf, 1.0], [1.0, f32::NAN], [-inf, inf]];\n    let class = |row| net::class(&net::predict(row));\n    assert_eq!(rows.each_ref().map(|row| class(row).is_none()), [false, true, true, true]);\n}\n";
    fs::write(folder.join("main.rs"), main).unwrap();
    run(&folder, &[&rustc(), "--edition", "2021", "-D", "warnings", "main.rs", "-o", "rust"]);
    run(&folder, &["./rust"]);
}
