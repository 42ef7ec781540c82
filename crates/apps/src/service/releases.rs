//! What is to be deployed: read, checked, its config maps and secrets resolved,
//! its package fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use backout_core::ids::AccountId;
use backout_store::Tx;
use backout_workloads::packages::{Form, Origin};
use backout_workloads::{PackageHash, Probe, Task};

use super::{Apps, blocking, check_text};
use crate::components::{Components, JDK, WEB_CONTAINER, starter};
use crate::model::{
    Artifact, File, PackageKind, Release, SecretRef, ServiceSettings, Size, Version,
};
use crate::persistence;
use crate::refusal::Refusal;

/// The longest label of a version, in characters.
pub const LABEL_MAX_CHARS: usize = 200;

/// The longest name that builders give a package, in characters.
pub const PACKAGE_VERSION_MAX_CHARS: usize = 64;

/// How many files a release may mount.
pub const FILES_MAX: usize = 200;

/// How much all files of a release hold together, in bytes: they are in its row
/// and in the specification of each replica.
const FILES_MAX_BYTES: usize = 1 << 20;

/// How many variables a release may have, and how long all are together, in
/// bytes: what the operating system takes is not much more.
const ENV_MAX: usize = 1000;
const ENV_MAX_BYTES: usize = 256 << 10;

/// How many words a command may have, and how long they are together, in bytes.
const COMMAND_MAX: usize = 1000;
const COMMAND_MAX_BYTES: usize = 64 << 10;

/// The longest time that a replica may be given to stop: an hour.
const GRACE_MAX_MS: u64 = 3_600_000;

/// How many things are kept for being shown again, and how long they are
/// together, in bytes.
const KEPT_MAX: usize = 200;
const KEPT_MAX_BYTES: usize = 256 << 10;

/// The longest path of a file, a volume or a log folder, in bytes.
const PATH_MAX_BYTES: usize = 1024;

/// How much of a processor, and how much memory, a replica may be given at all:
/// more is a slip of the pen, less does not start a process.
const CPU_MILLIS: std::ops::RangeInclusive<u32> = 1..=1_024_000;
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 40);

/// Among what a release is started with, what is no component but a text for
/// one.
const OPTIONS: [&str; 2] = ["java_options", "java_arguments"];

/// Stands for the hash of a package that is not fetched yet. Nothing has it.
const UNFETCHED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is to be deployed. Who names only some things of it begins with the
/// release that is there ([`NewRelease::of`]).
#[derive(Clone, Debug, PartialEq)]
pub struct NewRelease {
    /// What is run.
    pub artifact: NewArtifact,
    /// The program and its arguments; empty where the artifact brings its own.
    pub command: Vec<String>,
    /// What else it is started with, by kind: see [`crate::components`].
    pub components: BTreeMap<String, String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Variables that are secret: by name, the name of the secret, and which
    /// value; without one, the newest.
    pub secrets: BTreeMap<String, (String, Option<u64>)>,
    /// Files that a replica finds.
    pub files: Vec<NewFile>,
    /// How many replicas.
    pub replicas: u32,
    /// Processor time of each, in thousandths of one processor.
    pub cpu_millis: Option<u32>,
    /// Memory of each, in bytes.
    pub memory_bytes: Option<u64>,
    /// Whether it lives.
    pub liveness: Option<Probe>,
    /// Whether it can serve.
    pub readiness: Option<Probe>,
    /// Run after each start.
    pub after_start: Option<Task>,
    /// Run before each stop.
    pub before_stop: Option<Task>,
    /// How long a replica may take to stop, in milliseconds.
    pub grace_ms: u64,
    /// The port on which the application is reached.
    pub port: Option<u16>,
    /// Names of hosts with their addresses; checked, and kept by who gives them.
    pub hosts: Vec<(String, String)>,
    /// Folders in which logs are collected; checked, and kept by who gives them.
    pub log_folders: Vec<String>,
    /// Where volumes are mounted; checked, and kept by who gives them.
    pub volumes: Vec<String>,
    /// What has no effect here and is shown again.
    pub kept: BTreeMap<String, String>,
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq)]
pub enum NewArtifact {
    /// A package that is to be fetched.
    Package {
        /// What kind of package.
        kind: PackageKind,
        /// From where.
        from: Origin,
        /// What it is called by those who build it; may be empty.
        version: String,
    },
    /// A container image.
    Image {
        /// Its name.
        name: String,
    },
    /// What a release has already.
    Kept(Artifact),
}

/// A file that a replica is to find.
#[derive(Clone, Debug, PartialEq)]
pub enum NewFile {
    /// With this content.
    Text {
        /// Where.
        path: String,
        /// What is in it.
        content: String,
    },
    /// From a config map.
    ConfigMap {
        /// Where: the file, or, of all keys, the folder.
        path: String,
        /// The number of the config map.
        number: u64,
        /// Which text; none, all, each in a file of its name.
        key: Option<String>,
    },
    /// One that a release has already, with what was in it.
    Kept(File),
}

impl NewRelease {
    /// One replica of an artifact, and nothing else.
    #[must_use]
    pub fn new(artifact: NewArtifact) -> Self {
        Self {
            artifact,
            command: Vec::new(),
            components: BTreeMap::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            files: Vec::new(),
            replicas: 1,
            cpu_millis: None,
            memory_bytes: None,
            liveness: None,
            readiness: None,
            after_start: None,
            before_stop: None,
            // As the specification of an instance has it.
            grace_ms: 30_000,
            port: None,
            hosts: Vec::new(),
            log_folders: Vec::new(),
            volumes: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    /// All that a release is, once more.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let release = release.clone();
        Self {
            artifact: NewArtifact::Kept(release.artifact),
            command: release.command,
            components: release.components,
            env: release.env,
            secrets: release
                .secrets
                .into_iter()
                .map(|s| (s.variable, (s.secret, Some(s.revision))))
                .collect(),
            files: release.files.into_iter().map(NewFile::Kept).collect(),
            replicas: release.replicas,
            cpu_millis: release.cpu_millis,
            memory_bytes: release.memory_bytes,
            liveness: release.liveness,
            readiness: release.readiness,
            after_start: release.after_start,
            before_stop: release.before_stop,
            grace_ms: release.grace_ms,
            port: release.port,
            hosts: Vec::new(),
            log_folders: Vec::new(),
            volumes: Vec::new(),
            kept: release.kept,
        }
    }

    /// The release, with its config maps and secrets resolved as they are now.
    /// Its package is fetched later; see [`Apps::fetched`].
    pub(super) fn resolved(
        &self,
        tx: &mut dyn Tx,
        owner: &AccountId,
        namespace: &str,
    ) -> Result<Release, Refusal> {
        Ok(Release {
            artifact: self.artifact.unfetched()?,
            command: self.command.clone(),
            components: self.components.clone(),
            env: self.env.clone(),
            secrets: self.secrets_of(tx, owner, namespace)?,
            files: self.files_of(tx, owner, namespace)?,
            replicas: self.replicas,
            cpu_millis: self.cpu_millis,
            memory_bytes: self.memory_bytes,
            liveness: self.liveness.clone(),
            readiness: self.readiness.clone(),
            after_start: self.after_start.clone(),
            before_stop: self.before_stop.clone(),
            grace_ms: self.grace_ms,
            port: self.port,
            scaling: None,
            kept: self.kept.clone(),
        })
    }

    fn secrets_of(
        &self,
        tx: &mut dyn Tx,
        owner: &AccountId,
        namespace: &str,
    ) -> Result<Vec<SecretRef>, Refusal> {
        let mut found = Vec::new();
        for (variable, (secret, revision)) in &self.secrets {
            check_variable(variable)?;
            let revision = match revision {
                Some(revision) => *revision,
                None => persistence::secret_revision(tx, owner, namespace, secret)?,
            };
            if persistence::secret(tx, owner, namespace, secret, revision)?.is_none() {
                return Err(Refusal::SecretNotFound(secret.chars().take(100).collect()));
            }
            found.push(SecretRef {
                variable: variable.clone(),
                secret: secret.clone(),
                revision,
            });
        }
        Ok(found)
    }

    fn files_of(
        &self,
        tx: &mut dyn Tx,
        owner: &AccountId,
        namespace: &str,
    ) -> Result<Vec<File>, Refusal> {
        let mut found = Vec::new();
        for file in &self.files {
            match file {
                NewFile::Text { path, content } => found.push(File {
                    path: path.clone(),
                    content: content.clone(),
                    of: None,
                }),
                NewFile::Kept(file) => found.push(file.clone()),
                NewFile::ConfigMap { path, number, key } => {
                    let map = persistence::config_map(tx, owner, *number)?
                        .filter(|map| map.namespace == namespace)
                        .ok_or(Refusal::ConfigMapNotFound(*number))?;
                    let Some(key) = key else {
                        let folder = path.trim_end_matches('/');
                        found.extend(map.entries.into_iter().map(|(key, content)| File {
                            path: format!("{folder}/{key}"),
                            content,
                            of: Some((*number, key)),
                        }));
                        continue;
                    };
                    let content = map.entries.get(key).cloned();
                    found.push(File {
                        path: path.clone(),
                        content: content.ok_or_else(|| Refusal::ConfigMapKeyNotFound {
                            number: *number,
                            key: key.chars().take(100).collect(),
                        })?,
                        of: Some((*number, key.clone())),
                    });
                }
            }
        }
        check_files(&found)?;
        Ok(found)
    }

    /// All that can be checked by looking at it alone.
    pub(super) fn check(
        &self,
        components: &Components,
        settings: &ServiceSettings,
    ) -> Result<(), Refusal> {
        self.artifact.check()?;
        let words = self.command.iter().map(String::as_str);
        check_bounds("command", words, COMMAND_MAX, COMMAND_MAX_BYTES)?;
        self.check_components(components)?;
        for variable in self.env.keys() {
            check_variable(variable)?;
        }
        if let Some(both) = self.env.keys().find(|v| self.secrets.contains_key(*v)) {
            return Err(Refusal::Parameter {
                name: "environment",
                why: format!("{both} is a secret as well; give it once"),
            });
        }
        check_bounds("environment", pairs(&self.env), ENV_MAX * 2, ENV_MAX_BYTES)?;
        check_bounds(
            "kept values",
            pairs(&self.kept),
            KEPT_MAX * 2,
            KEPT_MAX_BYTES,
        )?;
        check_size(self.cpu_millis, self.memory_bytes, settings)?;
        if self.grace_ms > GRACE_MAX_MS {
            return Err(Refusal::Parameter {
                name: "grace",
                why: format!("give at most {GRACE_MAX_MS} ms"),
            });
        }
        if self.port == Some(0) {
            return Err(Refusal::Parameter {
                name: "port",
                why: "0 is none; give 1 to 65535".to_owned(),
            });
        }
        check_hosts(&self.hosts)?;
        check_folders(&self.log_folders, &self.volumes)
    }

    /// What an artifact needs is named, and is on this host.
    fn check_components(&self, known: &Components) -> Result<(), Refusal> {
        let named = |kind| {
            self.components
                .get(kind)
                .is_some_and(|v: &String| !v.is_empty())
        };
        let missing = |component, kind| Err(Refusal::ComponentMissing { component, kind });
        let kind = self.artifact.kind();
        match kind {
            Some(PackageKind::FatJar) if !named(JDK) => return missing(JDK, "fat_jar"),
            Some(PackageKind::War) if !named(JDK) => return missing(JDK, "war"),
            Some(PackageKind::War) if !named(WEB_CONTAINER) => {
                return missing(WEB_CONTAINER, "war");
            }
            // Whatever is run in a web container runs on Java.
            _ if named(WEB_CONTAINER) && !named(JDK) => return missing(JDK, "web container"),
            _ => {}
        }
        // An image brings its own.
        let Some(kind) = kind else {
            return Ok(());
        };
        let given = self.components.iter().filter(|(_, v)| !v.is_empty());
        for (component, version) in given {
            if OPTIONS.contains(&component.as_str()) {
                continue;
            }
            if known.fitting(component, Some(version)).is_none() {
                return Err(Refusal::ComponentNotFound {
                    component: component.chars().take(100).collect(),
                    version: version.chars().take(100).collect(),
                });
            }
        }
        if kind == PackageKind::PythonZip && self.command.is_empty() {
            return Err(Refusal::Empty("command"));
        }
        match starter(kind, &self.command) {
            Some(component) if known.of(component).is_empty() => {
                Err(Refusal::ComponentNone(component))
            }
            _ => Ok(()),
        }
    }
}

impl NewArtifact {
    /// The kind of a package; none of an image.
    const fn kind(&self) -> Option<PackageKind> {
        match self {
            Self::Package { kind, .. } | Self::Kept(Artifact::Package { kind, .. }) => Some(*kind),
            Self::Image { .. } | Self::Kept(Artifact::Image { .. }) => None,
        }
    }

    /// What builders call it, where it is to be fetched and they call it
    /// anything.
    pub(super) fn new_package_version(&self) -> Option<&str> {
        match self {
            Self::Package { version, .. } if !version.is_empty() => Some(version),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Image { name } if name.trim().is_empty() => Err(Refusal::Empty("image")),
            Self::Image { name } => check_text("image", name, 512),
            Self::Package {
                kind,
                from,
                version,
            } => {
                if version.chars().count() > PACKAGE_VERSION_MAX_CHARS {
                    return Err(Refusal::PackageVersionTooLong {
                        version: version.chars().take(PACKAGE_VERSION_MAX_CHARS).collect(),
                        most: PACKAGE_VERSION_MAX_CHARS,
                    });
                }
                check_text("package version", version, PACKAGE_VERSION_MAX_CHARS)?;
                check_package_name(*kind, from)
            }
        }
    }

    fn unfetched(&self) -> Result<Artifact, Refusal> {
        Ok(match self {
            Self::Kept(artifact) => artifact.clone(),
            Self::Image { name } => Artifact::Image {
                name: name.clone(),
                id: None,
            },
            Self::Package {
                kind,
                from,
                version,
            } => Artifact::Package {
                kind: *kind,
                origin: shown(from),
                version: version.clone(),
                hash: UNFETCHED
                    .parse::<PackageHash>()
                    .map_err(Refusal::Workload)?,
            },
        })
    }
}

impl Apps {
    /// The release with its package, which is kept here from now on, also when
    /// its source is gone. Of the same content one copy is kept.
    pub(super) async fn fetched(
        &self,
        new: &NewArtifact,
        mut release: Release,
    ) -> Result<Release, Refusal> {
        let NewArtifact::Package { kind, from, .. } = new else {
            return Ok(release);
        };
        let origin = shown(from);
        let slow = || Refusal::PackageSlow(origin.clone());
        let (packages, from, form) = (self.runtime.packages.clone(), from.clone(), form(*kind));
        let fetches = std::sync::Arc::clone(&self.fetches);
        let fetch = async move {
            let place = fetches
                .acquire_owned()
                .await
                .map_err(|e| Refusal::Invalid(format!("fetch a package: {e}")))?;
            blocking(move || {
                let put = packages.put(&from, form).map_err(Refusal::Workload);
                // Held until it is done, also when nobody waits any more.
                drop(place);
                put
            })
            .await
        };
        let package = tokio::time::timeout(self.fetch_max, fetch)
            .await
            .map_err(|_| slow())??;
        if let Artifact::Package { hash, .. } = &mut release.artifact {
            *hash = package.hash;
        }
        Ok(release)
    }
}

/// A version that is not written down yet.
pub(super) fn draft(
    id: backout_core::ids::VersionId,
    application: backout_core::ids::ApplicationId,
    number: u64,
    release: Release,
    label: String,
    created: backout_core::time::Timestamp,
) -> Version {
    Version {
        id,
        application,
        number,
        release,
        label,
        barred: None,
        created,
    }
}

/// Refuses a size in which replicas do not come.
pub(super) fn check_size(
    cpu_millis: Option<u32>,
    memory_bytes: Option<u64>,
    settings: &ServiceSettings,
) -> Result<(), Refusal> {
    let bounded = cpu_millis.is_none_or(|n| CPU_MILLIS.contains(&n))
        && memory_bytes.is_none_or(|n| MEMORY_BYTES.contains(&n));
    let listed = match (cpu_millis, memory_bytes) {
        _ if settings.sizes.is_empty() => true,
        (Some(cpu_millis), Some(memory_bytes)) => settings.sizes.contains(&Size {
            cpu_millis,
            memory_bytes,
        }),
        // Where there is a list, a replica without a bound would be larger than
        // all of them.
        _ => false,
    };
    match bounded && listed {
        true => Ok(()),
        false => Err(Refusal::SizeUnsupported {
            cpu_millis,
            memory_bytes,
        }),
    }
}

/// A package is named as its kind is: letters, digits, hyphens, underscores and
/// dots, and the ending of the kind.
fn check_package_name(kind: PackageKind, from: &Origin) -> Result<(), Refusal> {
    let ending = match kind {
        PackageKind::FatJar => ".jar",
        PackageKind::War => ".war",
        PackageKind::PythonZip | PackageKind::PhpZip => ".zip",
        PackageKind::Plain => return Ok(()),
    };
    let name = match from {
        Origin::Path(path) => path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        Origin::Url(url) => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
    };
    let wrong = |why: String| {
        Err(Refusal::PackageName {
            name: name.chars().take(200).collect(),
            why,
        })
    };
    let Some(stem) = name.strip_suffix(ending) else {
        return wrong(format!(
            "packages of type {} end in {ending}; rename it, or give its type",
            kind.as_str()
        ));
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match !stem.is_empty() && stem.bytes().all(known) {
        true => Ok(()),
        false => wrong(
            "give it a name of letters, digits, hyphens, underscores and dots only".to_owned(),
        ),
    }
}

const fn form(kind: PackageKind) -> Form {
    match kind {
        PackageKind::FatJar | PackageKind::War => Form::File,
        PackageKind::PythonZip | PackageKind::PhpZip => Form::Archive,
        PackageKind::Plain => Form::Auto,
    }
}

/// Where a package comes from, without a password that may be in its address.
fn shown(from: &Origin) -> String {
    match from {
        Origin::Path(path) => path.display().to_string(),
        Origin::Url(url) => {
            let Some((scheme, rest)) = url.split_once("://") else {
                return url.clone();
            };
            let (host, path) = match rest.find(['/', '?', '#']) {
                Some(at) => rest.split_at(at),
                None => (rest, ""),
            };
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            // Signatures of addresses that are good for a while are secrets.
            let path = path.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    map.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()])
}

fn check_bounds<'a>(
    name: &'static str,
    texts: impl Iterator<Item = &'a str>,
    most: usize,
    most_bytes: usize,
) -> Result<(), Refusal> {
    let (mut count, mut bytes) = (0, 0);
    for text in texts {
        count += 1;
        bytes += text.len();
        if text.contains('\0') {
            return Err(Refusal::Parameter {
                name,
                why: "a zero byte is in it; take it out".to_owned(),
            });
        }
    }
    match count <= most && bytes <= most_bytes {
        true => Ok(()),
        false => Err(Refusal::Parameter {
            name,
            why: format!(
                "{count} texts of {bytes} bytes are too much; give at most {most} of together {most_bytes} bytes"
            ),
        }),
    }
}

fn check_variable(variable: &str) -> Result<(), Refusal> {
    let fine = !variable.is_empty()
        && variable.len() <= 255
        && !variable.contains(['=', '\0'])
        && !variable.chars().any(char::is_whitespace);
    match fine {
        true => Ok(()),
        false => Err(Refusal::Parameter {
            name: "environment",
            why: format!(
                "{:?} is no name of a variable",
                variable.chars().take(100).collect::<String>()
            ),
        }),
    }
}

fn check_files(files: &[File]) -> Result<(), Refusal> {
    let bytes: usize = files.iter().map(|f| f.content.len()).sum();
    if files.len() > FILES_MAX || bytes > FILES_MAX_BYTES {
        return Err(Refusal::Parameter {
            name: "files",
            why: format!(
                "{} of together {bytes} bytes are too much; give at most {FILES_MAX} of together {FILES_MAX_BYTES} bytes",
                files.len()
            ),
        });
    }
    let mut paths = BTreeSet::new();
    for file in files {
        if !is_plain_path(&file.path) || file.path.ends_with('/') {
            return Err(Refusal::Parameter {
                name: "path of a file",
                why: format!(
                    "{:?} is not absolute, or has dots or blanks for a folder",
                    file.path.chars().take(100).collect::<String>()
                ),
            });
        }
        if !paths.insert(file.path.as_str()) {
            return Err(Refusal::MountConflict(file.path.clone()));
        }
    }
    // In this order what is below another path follows it, other paths that
    // begin alike between them.
    for path in &paths {
        let mut above = Path::new(path).ancestors().skip(1);
        if above.any(|folder| folder.to_str().is_some_and(|f| paths.contains(f))) {
            return Err(Refusal::MountConflict((*path).to_owned()));
        }
    }
    Ok(())
}

fn check_hosts(hosts: &[(String, String)]) -> Result<(), Refusal> {
    for (host, ip) in hosts {
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let named = host.len() <= 253 && host.split('.').all(label);
        if !named || ip.parse::<IpAddr>().is_err() {
            return Err(Refusal::HostInvalid {
                host: host.chars().take(100).collect(),
                ip: ip.chars().take(100).collect(),
            });
        }
    }
    Ok(())
}

/// Log folders can be collected from, and no volume is mounted there.
fn check_folders(log_folders: &[String], volumes: &[String]) -> Result<(), Refusal> {
    for folder in log_folders {
        // The last part may name files by wildcards.
        let (parent, last) = folder.rsplit_once('/').unwrap_or(("", ""));
        if !is_plain_path(folder) || last.is_empty() || parent.contains(['*', '?']) {
            return Err(Refusal::LogFolderInvalid(
                folder.chars().take(100).collect(),
            ));
        }
    }
    for volume in volumes {
        if !is_plain_path(volume) {
            return Err(Refusal::Parameter {
                name: "path of a volume",
                why: format!(
                    "{:?} is not absolute, or has dots or blanks for a folder",
                    volume.chars().take(100).collect::<String>()
                ),
            });
        }
        let at = Path::new(volume);
        let clash = |folder: &String| {
            let folder = Path::new(folder);
            folder.starts_with(at) || at.starts_with(folder)
        };
        if log_folders.iter().any(clash) {
            return Err(Refusal::VolumeConflict(volume.clone()));
        }
    }
    Ok(())
}

/// Whether a path is absolute, and means what it says.
fn is_plain_path(path: &str) -> bool {
    path.len() <= PATH_MAX_BYTES
        && path.starts_with('/')
        && path.len() > 1
        && !path.contains(['\0', '\n'])
        && path
            .trim_end_matches('/')
            .split('/')
            .skip(1)
            .all(|part| !part.is_empty() && part != "." && part != ".." && part.trim() == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::{PHP, PYTHON};
    use std::path::PathBuf;

    fn package(kind: PackageKind, url: &str) -> NewRelease {
        let mut new = NewRelease::new(NewArtifact::Package {
            kind,
            from: Origin::Url(url.to_owned()),
            version: String::new(),
        });
        if matches!(kind, PackageKind::FatJar | PackageKind::War) {
            new.components.insert(JDK.into(), "Open JDK 17".into());
        }
        new
    }

    fn known() -> Components {
        let mut known = Components::default();
        known.add(JDK, "java-17-openjdk", PathBuf::from("/x/java"));
        known.add(WEB_CONTAINER, "tomcat-9", PathBuf::from("/x/tomcat"));
        known
    }

    fn checked(new: &NewRelease) -> Result<(), Refusal> {
        new.check(&known(), &ServiceSettings::default())
    }

    #[test]
    fn what_is_missing_of_a_release_is_told_one_by_one() {
        let jar = || package(PackageKind::FatJar, "http://x.example/a_b-1.2.jar?x=y");
        assert!(checked(&jar()).is_ok());
        let mut no_jdk = jar();
        no_jdk.components.clear();
        assert!(matches!(
            checked(&no_jdk),
            Err(Refusal::ComponentMissing {
                component: JDK,
                kind: "fat_jar"
            })
        ));
        let mut options = jar();
        options
            .components
            .insert("java_options".into(), "-Xmx1g".into());
        assert!(checked(&options).is_ok());
        let mut unknown = jar();
        unknown.components.insert(JDK.into(), "Open JDK 7".into());
        assert!(matches!(
            checked(&unknown),
            Err(Refusal::ComponentNotFound { .. })
        ));
        let mut war = package(PackageKind::War, "http://x.example/a.war");
        assert!(matches!(
            checked(&war),
            Err(Refusal::ComponentMissing {
                component: WEB_CONTAINER,
                kind: "war"
            })
        ));
        war.components
            .insert(WEB_CONTAINER.into(), "Tomcat 9".into());
        assert!(checked(&war).is_ok());
        // What is called first must be there as well.
        let mut plain = package(PackageKind::Plain, "http://x.example/a");
        assert!(checked(&plain).is_ok());
        plain.command = vec!["python3".into(), "main.py".into()];
        assert!(matches!(
            checked(&plain),
            Err(Refusal::ComponentNone(PYTHON))
        ));
        let php = package(PackageKind::PhpZip, "http://x.example/a.zip");
        assert!(matches!(checked(&php), Err(Refusal::ComponentNone(PHP))));
        let mut python = package(PackageKind::PythonZip, "http://x.example/a.zip");
        assert!(matches!(checked(&python), Err(Refusal::Empty("command"))));
        python.command = vec!["./own".into()];
        assert!(checked(&python).is_ok());
        let mut image = NewRelease::new(NewArtifact::Image {
            name: "shop:1".into(),
        });
        assert!(checked(&image).is_ok());
        // What an image says it has in it, this host need not have.
        image.components.insert(PYTHON.into(), "3.9".into());
        assert!(checked(&image).is_ok());
        image
            .components
            .insert(WEB_CONTAINER.into(), "Tomcat 9".into());
        assert!(matches!(
            checked(&image),
            Err(Refusal::ComponentMissing {
                component: JDK,
                kind: "web container"
            })
        ));
    }

    #[test]
    fn packages_are_named_as_their_kind_is() {
        for (kind, url, fine) in [
            (PackageKind::FatJar, "http://x.example/a.jar", true),
            (PackageKind::FatJar, "http://x.example/a.war", false),
            (PackageKind::FatJar, "http://x.example/a%20b.jar", false),
            (PackageKind::FatJar, "http://x.example/.jar", false),
            (PackageKind::PhpZip, "http://x.example/a.zip#b", true),
            (PackageKind::PythonZip, "http://x.example/a.tar", false),
            (PackageKind::Plain, "http://x.example/what ever", true),
        ] {
            let found = checked(&package(kind, url));
            let wrong_name = matches!(found, Err(Refusal::PackageName { .. }));
            assert_eq!(!wrong_name, fine, "{kind:?} {url}: {found:?}");
        }
        let mut long = package(PackageKind::Plain, "http://x.example/a");
        let NewArtifact::Package { version, .. } = &mut long.artifact else {
            unreachable!()
        };
        *version = "1".repeat(PACKAGE_VERSION_MAX_CHARS + 1);
        assert!(matches!(
            checked(&long),
            Err(Refusal::PackageVersionTooLong { .. })
        ));
        assert_eq!(
            shown(&Origin::Url(
                "https://me:word@x.example/a/b.jar?Signature=s".into()
            )),
            "https://x.example/a/b.jar"
        );
    }

    #[test]
    fn sizes_hosts_and_folders() {
        type Spoil = fn(&mut NewRelease);
        type Is = fn(&Refusal) -> bool;
        let plain = || package(PackageKind::Plain, "http://x.example/a");
        let broken: [(Spoil, Is); 9] = [
            (
                |r| r.cpu_millis = Some(0),
                |e| matches!(e, Refusal::SizeUnsupported { .. }),
            ),
            (
                |r| r.hosts = vec![("a.example".into(), "10.0.0.256".into())],
                |e| matches!(e, Refusal::HostInvalid { .. }),
            ),
            (
                |r| r.hosts = vec![("-a".into(), "10.0.0.1".into())],
                |e| matches!(e, Refusal::HostInvalid { .. }),
            ),
            (
                |r| r.log_folders = vec!["var/log".into()],
                |e| matches!(e, Refusal::LogFolderInvalid(_)),
            ),
            (
                |r| {
                    r.log_folders = vec!["/data/log/*.log".into()];
                    r.volumes = vec!["/data/log".into()];
                },
                |e| matches!(e, Refusal::VolumeConflict(_)),
            ),
            (
                |r| {
                    r.log_folders = vec!["/data/log".into()];
                    r.volumes = vec!["/data".into()];
                },
                |e| matches!(e, Refusal::VolumeConflict(_)),
            ),
            (
                |r| r.port = Some(0),
                |e| matches!(e, Refusal::Parameter { name: "port", .. }),
            ),
            (
                |r| {
                    r.env.insert("A=B".into(), String::new());
                },
                |e| matches!(e, Refusal::Parameter { .. }),
            ),
            (
                |r| r.command = vec!["a\0".into()],
                |e| matches!(e, Refusal::Parameter { .. }),
            ),
        ];
        for (number, (spoil, expected)) in broken.into_iter().enumerate() {
            let mut new = plain();
            spoil(&mut new);
            let found = checked(&new).unwrap_err();
            assert!(expected(&found), "{number}: {found:?}");
        }
        let mut fine = plain();
        fine.hosts = vec![("db.example".into(), "::1".into())];
        fine.log_folders = vec!["/data/log/*.log".into()];
        fine.volumes = vec!["/data/files".into(), "/data/logs".into()];
        assert!(checked(&fine).is_ok());
        // Where there is a list of sizes, only those.
        let settings = ServiceSettings {
            sizes: vec![Size {
                cpu_millis: 500,
                memory_bytes: 1 << 30,
            }],
            ..ServiceSettings::default()
        };
        for (cpu, memory, fine) in [
            (Some(500), Some(1 << 30), true),
            (Some(500), Some(2 << 30), false),
            (None, Some(1 << 30), false),
            (None, None, false),
        ] {
            assert_eq!(check_size(cpu, memory, &settings).is_ok(), fine);
        }
    }

    #[test]
    fn two_files_are_never_at_one_place() {
        let file = |path: &str| File {
            path: path.into(),
            content: String::new(),
            of: None,
        };
        for (paths, conflict) in [
            (vec!["/a/b", "/a/c"], false),
            (vec!["/a/b", "/a/b-c"], false),
            (vec!["/a/b", "/a/b"], true),
            (vec!["/a/b", "/a/b-c", "/a/b/d"], true),
        ] {
            let files: Vec<File> = paths.iter().map(|p| file(p)).collect();
            let found = check_files(&files);
            assert_eq!(
                matches!(found, Err(Refusal::MountConflict(_))),
                conflict,
                "{paths:?}"
            );
        }
        for path in ["a", "/", "/a/", "/a/../b", "/a//b", "/a/./b"] {
            assert!(check_files(&[file(path)]).is_err(), "{path}");
        }
    }
}
