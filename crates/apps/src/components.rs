//! What there is on this host that releases are started with: Java, web
//! containers, interpreters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::PackageKind;

/// The kind of what runs Java archives.
pub const JDK: &str = "jdk";
/// The kind of what runs Java web archives. Its program is called with the
/// archive, `JAVA_HOME` and `PORT`.
pub const WEB_CONTAINER: &str = "web_container";
/// The kind of what runs Python sources.
pub const PYTHON: &str = "python";
/// The kind of what runs PHP sources.
pub const PHP: &str = "php";

/// Where Java is installed by the usual packages, a folder each.
const JVM_FOLDERS: &[&str] = &["/usr/lib/jvm", "/opt/java"];

/// Where programs are looked for.
const PATH: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin"];

/// The most that are found of one kind: a host has a few.
const FOUND_MAX: usize = 64;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name or version, as it is asked for: `java-17-openjdk-amd64`.
    pub version: String,
    /// The program: an absolute path.
    pub program: PathBuf,
}

/// All that there is, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Components(BTreeMap<String, Vec<Component>>);

impl Components {
    /// Looks what is installed in the usual places. Blocking.
    #[must_use]
    pub fn find() -> Self {
        let mut all = Self::default();
        for folder in JVM_FOLDERS {
            let mut homes: Vec<PathBuf> = std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .take(FOUND_MAX)
                .collect();
            homes.sort();
            for home in homes {
                let program = home.join("bin/java");
                if let Some(name) = home.file_name().filter(|_| is_program(&program)) {
                    all.add(JDK, &name.to_string_lossy(), program);
                }
            }
        }
        for (kind, program) in [(JDK, "java"), (PYTHON, "python3"), (PHP, "php")] {
            let found = PATH.iter().map(|folder| Path::new(folder).join(program));
            if let Some(path) = found.into_iter().find(|path| is_program(path)) {
                all.add(kind, "default", path);
            }
        }
        all
    }

    /// Adds one. The first of those that fit is taken.
    pub fn add(&mut self, kind: &str, version: &str, program: PathBuf) {
        let of_kind = self.0.entry(kind.to_owned()).or_default();
        of_kind.push(Component {
            version: version.to_owned(),
            program,
        });
    }

    /// All of a kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> &[Component] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }

    /// All, by kind.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[Component])> {
        self.0
            .iter()
            .map(|(kind, of)| (kind.as_str(), of.as_slice()))
    }

    /// The one that fits what was asked for: of that very name, else of the same
    /// main version (`Open JDK 17` and `java-17-openjdk-amd64`; `1.8` is 8).
    /// Where nothing was asked for, the first.
    #[must_use]
    pub fn fitting(&self, kind: &str, asked: Option<&str>) -> Option<&Component> {
        let all = self.of(kind);
        let Some(asked) = asked.map(str::trim).filter(|asked| !asked.is_empty()) else {
            return all.first();
        };
        let named = all.iter().find(|c| c.version == asked);
        named.or_else(|| {
            let wanted = main_version(asked)?;
            all.iter()
                .find(|c| main_version(&c.version) == Some(wanted))
        })
    }
}

/// The kind of what starts a package: what the command calls first, or, where
/// there is none, what its own kind is started with. None of what brings its
/// own.
#[must_use]
pub fn starter(kind: PackageKind, command: &[String]) -> Option<&'static str> {
    match (command.first().map(String::as_str), kind) {
        (Some("java"), _) | (None, PackageKind::FatJar) => Some(JDK),
        (Some("python" | "python3"), _) => Some(PYTHON),
        (Some("php"), _) | (None, PackageKind::PhpZip) => Some(PHP),
        (None, PackageKind::War) => Some(WEB_CONTAINER),
        (Some(_), _) | (None, PackageKind::PythonZip | PackageKind::Plain) => None,
    }
}

/// The first number in a name; of `1.8` the second.
fn main_version(name: &str) -> Option<u32> {
    let mut numbers = name
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(str::parse::<u32>);
    match (numbers.next()?.ok()?, numbers.next()) {
        (1, Some(Ok(second))) => Some(second),
        (first, _) => Some(first),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_what_was_asked_for() {
        let mut all = Components::default();
        for version in ["java-17-openjdk-amd64", "java-1.8.0-openjdk", "default"] {
            all.add(JDK, version, PathBuf::from("/x").join(version));
        }
        for (asked, found) in [
            (None, Some("java-17-openjdk-amd64")),
            (Some(""), Some("java-17-openjdk-amd64")),
            (Some("Open JDK 17"), Some("java-17-openjdk-amd64")),
            (Some("Open JDK 8"), Some("java-1.8.0-openjdk")),
            (Some("1.8"), Some("java-1.8.0-openjdk")),
            (Some("default"), Some("default")),
            (Some("Open JDK 7"), None),
            (Some("newest"), None),
        ] {
            let got = all.fitting(JDK, asked).map(|c| c.version.as_str());
            assert_eq!(got, found, "{asked:?}");
        }
        assert_eq!(all.fitting(PHP, None), None);
    }
}
