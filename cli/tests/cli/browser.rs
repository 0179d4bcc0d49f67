//! A browser that looks at pages.

use std::process::Command;

use crate::run::Folder;

/// What headless Chromium prints, unless there is none: said aloud, and a failure where it must be there.
pub(crate) fn chromium(folder: &Folder, arguments: &[&str]) -> Option<String> {
    let program = std::env::var("TRAVERTINE_CHROMIUM").unwrap_or("chromium".to_owned());
    if Command::new(&program).arg("--version").output().is_err() {
        let must = std::env::var("TRAVERTINE_ENSURE_CHROMIUM").is_ok();
        assert!(!must, "there is no {program}, and TRAVERTINE_ENSURE_CHROMIUM is set");
        eprintln!("LEFT OUT: looking at pages in a browser; there is no {program}");
        return None;
    }
    // A page that answers a person waits for its server; other pages are done long before this budget ends.
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--virtual-time-budget=20000"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
