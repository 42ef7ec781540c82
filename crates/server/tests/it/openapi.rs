//! The document that clients are made from.

use std::path::Path;

/// `UPDATE=1 cargo test -p backout-server openapi` writes it anew.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut now = backout_server::openapi().to_pretty_json().unwrap();
    now.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "docs/openapi.json is not what the code says; run with UPDATE=1 and read the difference"
    );
}

/// Every path of docs/native-api.md is served, and the other way round.
#[test]
fn the_page_and_the_document_have_the_same_paths() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/native-api.md");
    let page = std::fs::read_to_string(page).unwrap();
    for path in backout_server::openapi().paths.paths.keys() {
        // `/v1/jobs/{job}/cancel`, `/retry`, `/undo` stand together.
        let short = path.rsplit_once('/').map_or("", |(_, last)| last);
        let there = page.contains(&format!("{path}`")) || page.contains(&format!("`/{short}`"));
        assert!(there, "{path} is not in docs/native-api.md");
    }
}
