//! The pages that tell what a family does with codes and parameters, held
//! against the contract and the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backout_api::front::Front;
use backout_wire::{Param, Service, operations_of};

/// The folder of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the project.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All files of a folder of sources.
fn sources(folder: &str) -> String {
    let mut out = String::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        out += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    out
}

/// The cells of a row of a table.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// What stands in backquotes.
fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The tables of a page of parameters: the operations, and what has no effect in
/// them.
fn without_effect(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in read(page).lines().filter(|line| line.starts_with("| `")) {
        let [operations, parameters, why] = cells(line)[..] else {
            panic!("{line} has three cells");
        };
        assert!(!why.is_empty(), "{line} says why");
        for operation in names(operations) {
            out.entry(operation).or_default().extend(names(parameters));
        }
    }
    out
}

/// The name by which the code reads a parameter: `BackupDBTableList` is
/// `.backup_db_table_list`.
fn read_as(param: &Param) -> String {
    let letters: Vec<char> = param.name.chars().collect();
    let mut out = String::from(".");
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let begins = before.is_some_and(|b| !b.is_ascii_uppercase())
            || (before.is_some() && after.is_some_and(char::is_ascii_lowercase));
        if letter.is_ascii_uppercase() && begins {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Every parameter of every operation that is served is read by the code in
/// `folders`, or the page says why it has no effect; none is dropped without a
/// word, and the page names none that there is not.
pub fn every_parameter_is_read_or_told(services: &[Service], page: &str, folders: &[&str]) {
    let code: String = folders.iter().map(|folder| sources(folder)).collect();
    let mut told = without_effect(page);
    let mut silent = Vec::new();
    for operation in services.iter().flat_map(|s| operations_of(*s)) {
        if !Front::serves(operation) {
            continue;
        }
        let of_page = told.remove(operation.name).unwrap_or_default();
        for name in &of_page {
            assert!(
                operation.param(name).is_some(),
                "{} has no parameter {name}",
                operation.name
            );
        }
        for param in operation.params.iter().filter(|p| !p.disabled) {
            let known = of_page.iter().any(|name| name == param.name);
            if !known && !code.contains(&read_as(param)) {
                silent.push(format!("{} of {}", param.name, operation.name));
            }
        }
    }
    assert!(silent.is_empty(), "neither read nor on {page}: {silent:#?}");
    assert!(told.is_empty(), "no operations: {told:?}");
}

/// The rows of a page of codes: each code, and the cell that tells its cause.
pub fn causes(page: &str) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for line in read(page).lines().filter(|line| line.starts_with("| `")) {
        let [code, cause] = cells(line)[..] else {
            panic!("{line} has two cells");
        };
        assert!(!cause.is_empty(), "{code} has a cause");
        for code in names(code) {
            assert!(
                rows.insert(code.clone(), cause.to_owned()).is_none(),
                "{code} is there twice"
            );
        }
    }
    rows
}

/// The page has a row for each code of the contracts, with its cause or why it
/// has none here, and no row besides.
pub fn every_code_is_told(services: &[Service], page: &str) {
    let written = causes(page);
    let contract: BTreeSet<&str> = services
        .iter()
        .flat_map(|service| operations_of(*service))
        .flat_map(|operation| operation.errors.iter().copied())
        .collect();
    let missing: Vec<&&str> = contract
        .iter()
        .filter(|code| !written.contains_key(**code))
        .collect();
    assert!(missing.is_empty(), "missing on {page}: {missing:?}");
    for code in written.keys() {
        assert!(
            services.iter().any(|service| service.has_code(code)),
            "{code} is no code of this family"
        );
    }
}

/// What is produced by a cause is on the page with that cause: a code of which it
/// says `Never.` is not in the table of codes, all others are. Those of `besides`
/// come from elsewhere.
pub fn no_cause_is_made_up(page: &str, table: &str, besides: &[&str]) {
    let source = read(table);
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut never = 0;
    for (code, cause) in causes(page) {
        let known = source.contains(&format!("{code:?}"));
        if cause.starts_with("Never.") {
            never += 1;
            assert!(
                !known,
                "{code} is in {table}, so the page must tell its cause"
            );
        } else if !cause.starts_with("Before the operation") && !besides.contains(&code.as_str()) {
            assert!(
                known,
                "the page has a cause of {code}, which {table} does not know"
            );
        }
    }
    assert!(never > 0, "{page} says of some code that it never comes");
}
