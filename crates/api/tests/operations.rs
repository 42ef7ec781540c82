//! `docs/operations.md` says which operations are served, and is made from the
//! contract and the code: `UPDATE=1 cargo test -p backout-api --test operations`
//! writes it anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::path::Path;

use backout_api::front::Front;
use backout_wire::{Service, operations_of};

fn page() -> String {
    let mut out = String::from(
        "# Operations\n\nMade from the contract and the code by a test of `crates/api`; do not edit. What is not \
         served answers the vendor's own \"no such action\" code.\n",
    );
    for service in Service::ALL {
        let operations = operations_of(service);
        let served = operations.iter().filter(|o| Front::serves(o)).count();
        writeln!(
            out,
            "\n## {service}: {served} of {} served\n\n| operation | served |\n|---|---|",
            operations.len()
        )
        .unwrap();
        for operation in operations {
            let mark = if Front::serves(operation) { "yes" } else { "" };
            writeln!(out, "| `{}` | {mark} |", operation.name).unwrap();
        }
    }
    out
}

#[test]
fn the_page_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/operations.md is out of date: UPDATE=1 cargo test -p backout-api --test operations"
    );
}
