//! Holds the invariants of ARCHITECTURE.md that can be read off the source:
//! arrows point down, only `server` knows HTTP, only `wire` and `api` know a
//! vendor, every error code has its page.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every crate with the crates of the house that it may use, and whether it may
/// know HTTP. A new crate must be given its floor here.
const HOUSE: &[(&str, &[&str], bool)] = &[
    ("core", &[], false),
    ("store", &[], false),
    ("wire", &["core"], false),
    ("disks", &["core"], false),
    ("rollout", &["core"], false),
    ("shim", &["core"], false),
    // It is a server of its own, and knows HTTP as such.
    ("gateway", &["core", "shim"], true),
    ("machines", &["core", "disks", "shim"], false),
    // It fetches packages, and speaks to container engines.
    ("workloads", &["core", "shim"], true),
    ("history", &["core"], false),
    ("mariadb", &["core", "history", "shim"], false),
    ("accounts", &["core", "store"], false),
    ("jobs", &["core", "store"], false),
    ("faults", &["core", "store", "jobs"], false),
    (
        "servers",
        &["core", "store", "jobs", "disks", "machines", "shim"],
        false,
    ),
    (
        "databases",
        &["core", "store", "jobs", "history", "mariadb", "shim"],
        false,
    ),
    (
        "apps",
        &["core", "store", "jobs", "rollout", "workloads", "gateway"],
        false,
    ),
    (
        "engines",
        &[
            "core",
            "store",
            "jobs",
            "rollout",
            "shim",
            "workloads",
            "gateway",
        ],
        false,
    ),
    (
        "api",
        &[
            "core",
            "store",
            "jobs",
            "faults",
            "disks",
            "machines",
            "servers",
            "history",
            "mariadb",
            "databases",
            "rollout",
            "workloads",
            "apps",
            "engines",
            "accounts",
            "wire",
        ],
        false,
    ),
    ("server", &["core", "jobs", "wire", "accounts", "api"], true),
    (
        "backout",
        &[
            "core",
            "store",
            "wire",
            "disks",
            "shim",
            "gateway",
            "machines",
            "history",
            "mariadb",
            "workloads",
            "apps",
            "engines",
            "accounts",
            "jobs",
            "faults",
            "servers",
            "databases",
            "api",
            "server",
        ],
        true,
    ),
    // Not part of the house: they look at it from outside.
    (
        "bench",
        &[
            "core",
            "store",
            "wire",
            "disks",
            "shim",
            "gateway",
            "accounts",
            "jobs",
            "servers",
            "history",
            "mariadb",
            "databases",
            "workloads",
            "engines",
            "api",
            "backout",
        ],
        true,
    ),
    ("xtask", &[], false),
];

/// Libraries that speak HTTP.
const HTTP: &[&str] = &[
    "axum",
    "http",
    "http-body-util",
    "hyper",
    "hyper-util",
    "ureq",
    "reqwest",
];

/// Crates that must not name a vendor, outside comments and tests.
const VENDORLESS: &[&str] = &[
    "core",
    "store",
    "disks",
    "rollout",
    "shim",
    "gateway",
    "machines",
    "workloads",
    "history",
    "mariadb",
    "accounts",
    "jobs",
    "faults",
    "servers",
    "databases",
    "apps",
    "engines",
];

const VENDORS: &[&str] = &["tencent", "alibaba", "aliyun", "qcloud", "lighthouse"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names in `[dependencies]` of a crate.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest =
        std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn arrows_point_down() {
    let house: BTreeMap<&str, _> = HOUSE
        .iter()
        .map(|(name, may, http)| (*name, (may, *http)))
        .collect();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (may, http) = house
            .get(name.as_str())
            .unwrap_or_else(|| panic!("give crate {name} its floor in this test"));
        for dependency in dependencies(&name) {
            if let Some(inner) = dependency.strip_prefix("backout-") {
                assert!(may.contains(&inner), "{name} must not use {inner}");
            }
            assert!(
                *http || !HTTP.contains(&dependency.as_str()),
                "{name} must not know HTTP ({dependency})"
            );
        }
        seen.insert(name);
    }
    assert_eq!(
        seen.len(),
        HOUSE.len(),
        "a crate of this test is gone: {seen:?}"
    );
}

#[test]
fn only_wire_and_api_name_a_vendor() {
    let mut files = Vec::new();
    for name in VENDORLESS {
        sources(&root().join("crates").join(name).join("src"), &mut files);
    }
    assert!(files.len() > 30, "the sources were found");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            // Comments and the texts of messages may give an example.
            let line = line
                .split("//")
                .next()
                .unwrap()
                .split('"')
                .step_by(2)
                .collect::<String>()
                .to_lowercase();
            for vendor in VENDORS {
                assert!(
                    !line.contains(vendor),
                    "{}:{} names {vendor}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn every_error_code_has_its_page() {
    let source = std::fs::read_to_string(root().join("crates/core/src/code.rs")).unwrap();
    let index = std::fs::read_to_string(root().join("docs/errors/README.md")).unwrap();
    let codes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.split_once(" = \"BO").map(|(_, rest)| &rest[..4]))
        .collect();
    assert!(codes.len() > 20);
    for digits in codes {
        let page = format!("BO{digits}.md");
        let text =
            std::fs::read_to_string(root().join("docs/errors").join(&page)).unwrap_or_default();
        assert!(
            text.contains("**What to do.**"),
            "docs/errors/{page} is missing or says not what to do"
        );
        assert!(
            index.contains(&page),
            "docs/errors/README.md does not list {page}"
        );
    }
}
