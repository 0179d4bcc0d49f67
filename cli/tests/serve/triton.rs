//! NVIDIA's client of the protocol, `tritonclient` of PyPI, on a running server.

use std::process::Command;

use crate::client::Server;
use crate::run::Folder;
use crate::{flowers, predicted};

const SCRIPT: &str = r#"
import json, sys
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("flowers")
assert client.is_model_ready("flowers", "1") and not client.is_model_ready("roses")
assert client.get_server_metadata()["name"] == "travertine"
declared = client.get_model_metadata("flowers")
answers = []
columns = {
    "sepal": np.array([[5.1], [np.nan], [7.9]]),
    "petal": np.array([[0.4], [1.7], [3.6]]),
    "city": np.array([["Bern"], [""], ["Lyon"]], dtype=object),
    "day": np.array([["2026-03-04"], ["2026-01-31"], ["2026-09-01"]], dtype=object),
}
for binary in (True, False):
    inputs = []
    for tensor in declared["inputs"]:
        data = columns[tensor["name"]]
        if not binary and tensor["name"] == "sepal":
            continue  # JSON has no NaN
        one = http.InferInput(tensor["name"], data.shape, tensor["datatype"])
        one.set_data_from_numpy(data, binary_data=binary)
        inputs.append(one)
    if not binary:
        one = http.InferInput("sepal", [3, 1], "FP64")
        one.set_data_from_numpy(columns["sepal"], binary_data=True)
        inputs.append(one)
    outputs = [http.InferRequestedOutput(t["name"], binary_data=binary) for t in declared["outputs"]]
    result = client.infer("flowers", inputs, outputs=outputs, request_id="7", model_version="1")
    assert result.get_response()["id"] == "7"
    classes = [c.decode() if isinstance(c, bytes) else c for c in result.as_numpy("class")]
    answers.append([classes, result.as_numpy("probabilities").tolist()])
# All outputs, as bytes by default.
result = client.infer("flowers", inputs)
assert result.as_numpy("probabilities").shape == (3, 3)
one = http.InferInput("input", [1, 2], "FP32")
one.set_data_from_numpy(np.array([[7, 0.5]], dtype=np.float32))
assert [c.decode() for c in client.infer("numbers", [one]).as_numpy("class")] == ["true"]
try:
    client.infer("flowers", inputs[:2])
    raise SystemExit("a request without columns must fail")
except InferenceServerException as error:
    assert "expected a tensor" in error.message(), error.message()
print(json.dumps(answers))
"#;

#[test]
fn tritonclient_has_the_answers_of_the_program() {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let find = Command::new(&python).args(["-c", "import tritonclient.http"]).output();
    if !find.is_ok_and(|output| output.status.success()) {
        let must = std::env::var("TRAVERTINE_ENSURE_TRITON").is_ok();
        assert!(!must, "{python} has no tritonclient, and TRAVERTINE_ENSURE_TRITON is set");
        eprintln!("LEFT OUT: requests of tritonclient; {python} has no tritonclient");
        return;
    }
    let folder = Folder::new();
    flowers(&folder);
    let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 8, i % 5, i % 8 > 3)).collect();
    folder.write("n.csv", format!("a,b,c\n{rows}"));
    folder.run("train n.csv --epochs 20 --hidden 6 --out numbers.safetensors").ok();
    let csv = "sepal,petal,city,day\n5.1,0.4,Bern,2026-03-04\n,1.7,,2026-01-31\n7.9,3.6,Lyon,2026-09-01\n";
    let program = predicted(&folder, "flowers.safetensors", csv, "--probabilities");
    let server = Server::start(&folder, "flowers.safetensors numbers.safetensors");
    let output =
        Command::new(&python).args(["-c", SCRIPT, &server.address.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = ["setosa", "versicolor", "virginica"];
    for (form, answer) in ["bytes", "JSON"].into_iter().zip(answers.as_array().unwrap()) {
        for (i, line) in program.iter().enumerate() {
            assert_eq!(answer[0][i], line["class"], "{form}");
            for (j, name) in names.iter().enumerate() {
                assert_eq!(answer[1][i][j], line["probabilities"][name], "{form}");
            }
        }
    }
}
