//! travertine
fn main() {}
