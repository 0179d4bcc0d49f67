//! The page at `/` in a browser: a form of the model's columns, and the prediction while a person types.

use serde_json::{Value, json};

use crate::browser::chromium;
use crate::client::Server;
use crate::run::Folder;
use crate::{flowers, predicted};

/// What runs in the page: it types as a person does, and puts what it sees into the title.
const TYPE: &str = r#"<script>
(async () => {
  const until = async test => { for (let i = 0; i < 400 && !test(); i++) await new Promise(done => setTimeout(done, 20)); };
  const look = () => ({
    state: document.body.dataset.state, result: by('result').textContent, error: by('error').textContent,
    warnings: by('warnings').textContent,
    bars: [...document.querySelectorAll('.bar')].map(bar => [bar.querySelector('b').textContent, bar.querySelector('span').textContent,
      bar.querySelector('i').style.width]),
    wrong: [...document.querySelectorAll('.wrong')].map(input => input.dataset.column),
  });
  const type = async (column, text) => {
    const input = inputs().find(input => input.dataset.column === column);
    input.value = text;
    const before = asked;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    await until(() => asked > before && by('fields').dataset.shown === String(asked));
    return look();
  };
  await until(() => document.body.dataset.state);
  const first = look();
  const fields = [...document.querySelectorAll('#fields label')].map(label => [label.firstChild.textContent, label.lastChild.tagName, label.lastChild.value]);
  await type('petal', '0.4'); await type('city', 'Bern'); await type('day', '2026-03-04');
  const small = await type('sepal', '5.1');
  const wrong = await type('petal', 'long');
  await type('petal', '3.6'); await type('city', ''); await type('day', '2026-09-01');
  const large = await type('sepal', '');
  const far = await type('sepal', '1000000');
  const beyond = document.documentElement.scrollWidth - innerWidth;
  document.title = 'SEEN' + JSON.stringify({ first, fields, small, wrong, large, far, beyond }) + 'END';
})();
</script>"#;

#[test]
fn a_person_types_and_sees_the_prediction() {
    let folder = Folder::new();
    flowers(&folder);
    let asked = "sepal,petal,city,day\n5.1,0.4,Bern,2026-03-04\n,3.6,,2026-09-01\n";
    let program = predicted(&folder, "flowers.safetensors", asked, "--probabilities");
    let server = Server::start(&folder, "flowers.safetensors");
    // The page as it is served, with what types in it, from a server of this test that passes all else on.
    let page = server.get("/").text().replace("</body>", &format!("{TYPE}</body>"));
    let proxy = crate::client::proxy(server.address, page);
    let width = ["--dump-dom", "--window-size=420,900"];
    let address = format!("http://{proxy}/");
    let Some(dom) = chromium(&folder, &[width[0], width[1], &address]) else { return };
    let title =
        dom.split("SEEN").nth(1).unwrap_or_else(|| panic!("the page did not answer: {dom}"));
    let seen: Value = serde_json::from_str(title.split("END").next().unwrap()).unwrap();

    let fields: Vec<&Value> = seen["fields"].as_array().unwrap().iter().collect();
    assert_eq!(fields.len(), 4);
    assert!(fields[0][0].as_str().unwrap().starts_with("sepal ("), "{}", fields[0]);
    let tags: Vec<&Value> = fields.iter().map(|field| &field[1]).collect();
    assert_eq!(tags, ["INPUT", "INPUT", "SELECT", "INPUT"]);
    // The form is filled with usual values, and answered at once.
    assert_eq!(seen["first"]["state"], "answered", "{seen}");
    assert_eq!(seen["first"]["bars"].as_array().unwrap().len(), 3);
    for (state, line) in ["small", "large"].into_iter().zip(&program) {
        let state = &seen[state];
        assert_eq!((&state["result"], &state["error"]), (&line["class"], &json!("")), "{state}");
        for bar in state["bars"].as_array().unwrap() {
            let share = 100.0 * line["probabilities"][bar[0].as_str().unwrap()].as_f64().unwrap();
            assert_eq!(bar[1], format!("{share:.2} %"));
            let width: f64 = bar[2].as_str().unwrap().trim_end_matches('%').parse().unwrap();
            assert!((width - share).abs() < 0.01, "{width} for {share}");
        }
    }
    assert_eq!(seen["wrong"]["wrong"], json!(["petal"]), "{seen}");
    assert_eq!((&seen["wrong"]["result"], &seen["wrong"]["bars"]), (&json!(""), &json!([])));
    assert!(
        seen["wrong"]["error"].as_str().unwrap().contains("expected a finite number"),
        "{seen}"
    );
    assert!(seen["far"]["warnings"].as_str().unwrap().contains("'sepal'"), "{seen}");
    assert!(seen["beyond"].as_i64().unwrap() <= 0, "wider than a telephone: {seen}");
    // A picture with the color of the first bar.
    let shot = folder.join("page.png");
    chromium(
        &folder,
        &[&format!("--screenshot={}", shot.display()), "--window-size=1000,700", &address],
    );
    assert!(std::fs::metadata(shot).unwrap().len() > 10_000);
}
