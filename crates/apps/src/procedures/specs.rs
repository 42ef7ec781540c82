//! How a replica of a release is run.

use std::collections::BTreeMap;
use std::path::Path;

use backout_core::ids::{AccountId, ReplicaId};
use backout_store::{Error as StoreError, Tx};
use backout_workloads::{
    Ask, InstanceSpec, Limits, MountedFile, PortWish, Probe, Restart, Secrets, Source, When,
    split_command,
};

use crate::components::{Component, JDK, PHP, WEB_CONTAINER, starter};
use crate::model::{Artifact, PackageKind, Release, SealedSecret};
use crate::persistence;
use crate::refusal::Refusal;
use crate::runtime::{Runtime, instance};

/// How often a replica with a port and no probe is asked whether it takes
/// connections, in milliseconds: a start is seen soon, and costs little.
const CONNECT_EVERY_MS: u64 = 200;

/// Options of the Java machine, among the components of a release.
const JAVA_OPTIONS: &str = "java_options";
/// Arguments of a Java program, among the components of a release.
const JAVA_ARGUMENTS: &str = "java_arguments";

/// Why a replica cannot be run as its release says.
type Result<T> = std::result::Result<T, Refusal>;

/// The sealed values that a release wants, with their variables.
pub(crate) fn sealed(
    tx: &mut dyn Tx,
    owner: &AccountId,
    namespace: &str,
    release: &Release,
) -> std::result::Result<Vec<(String, Option<SealedSecret>)>, StoreError> {
    let mut found = Vec::new();
    for wanted in &release.secrets {
        let value = persistence::secret(tx, owner, namespace, &wanted.secret, wanted.revision)?;
        found.push((wanted.variable.clone(), value));
    }
    Ok(found)
}

/// Opens what [`sealed`] found.
pub(crate) fn opened(
    runtime: &Runtime,
    sealed: &[(String, Option<SealedSecret>)],
) -> Result<Secrets> {
    let mut values = BTreeMap::new();
    for (variable, secret) in sealed {
        let Some(secret) = secret else {
            return Err(Refusal::Invalid(format!(
                "give a replica {variable}: the value that it was deployed with is gone; deploy anew with another secret"
            )));
        };
        let bound_to = SealedSecret::bound_to(
            &secret.owner,
            &secret.namespace,
            &secret.name,
            secret.revision,
        );
        let value = runtime
            .secrets
            .open(&bound_to, &secret.sealed)
            .map_err(Refusal::Secret)?;
        values.insert(variable.clone(), value);
    }
    Ok(Secrets(values))
}

/// How a replica is run. Blocking: looks into the unpacked package.
pub(crate) fn spec(
    runtime: &Runtime,
    replica: &ReplicaId,
    release: &Release,
    secrets: Secrets,
) -> Result<InstanceSpec> {
    let (command, home) = command(runtime, release)?;
    let mut env = release.env.clone();
    if let Some(home) = home {
        env.entry("JAVA_HOME".to_owned()).or_insert(home);
    }
    let mut spec = InstanceSpec::new(instance(replica), command);
    spec.source = match &release.artifact {
        Artifact::Package { hash, .. } => Source::Package { hash: hash.clone() },
        Artifact::Image { name, id } => Source::Image {
            name: id.as_ref().unwrap_or(name).clone(),
        },
    };
    spec.env = env;
    spec.secrets = secrets;
    // Also where no gateway leads to it: its probes may ask there.
    spec.port = PortWish::Free;
    spec.files = release
        .files
        .iter()
        .map(|file| MountedFile {
            path: file.path.clone(),
            content: file.content.clone().into_bytes(),
            executable: false,
        })
        .collect();
    spec.limits = Limits {
        cpu_millis: release.cpu_millis,
        memory_bytes: release.memory_bytes,
        tasks: None,
        or_without: runtime.without_limits,
    };
    spec.liveness.clone_from(&release.liveness);
    spec.readiness = readiness(release);
    spec.after_start.clone_from(&release.after_start);
    spec.before_stop.clone_from(&release.before_stop);
    spec.grace_ms = release.grace_ms;
    spec.restart = Restart {
        when: When::Always,
        ..Restart::default()
    };
    Ok(spec)
}

/// When a replica can serve: where nobody said, once it takes connections.
fn readiness(release: &Release) -> Option<Probe> {
    let connects = || Probe {
        period_ms: CONNECT_EVERY_MS,
        ..Probe::new(Ask::Tcp { port: 0 })
    };
    let asked = release.readiness.clone();
    asked.or_else(|| release.port.is_some().then(connects))
}

/// The program with its arguments, and where Java is, if that is used.
fn command(runtime: &Runtime, release: &Release) -> Result<(Vec<String>, Option<String>)> {
    let Artifact::Package { kind, hash, .. } = &release.artifact else {
        return Ok((release.command.clone(), None));
    };
    let unpacked = || runtime.packages.unpacked(hash).map_err(Refusal::Workload);
    let mut command = release.command.clone();
    let asked = |part: &str| release.components.get(part).map_or("", String::as_str);
    if command.is_empty() {
        command = match kind {
            PackageKind::FatJar => {
                let mut java = vec!["java".to_owned()];
                java.extend(words(asked(JAVA_OPTIONS))?);
                java.extend(["-jar".to_owned(), only_file(&unpacked()?, ".jar")?]);
                java.extend(words(asked(JAVA_ARGUMENTS))?);
                java
            }
            PackageKind::War => {
                let container = component(runtime, release, WEB_CONTAINER)?;
                let archive = only_file(&unpacked()?, ".war")?;
                vec![text(&container.program), archive]
            }
            PackageKind::PhpZip => {
                let php = text(&component(runtime, release, PHP)?.program);
                // The port is known to the process only.
                let serve = "exec \"$0\" -S \"127.0.0.1:$PORT\"".to_owned();
                vec!["sh".to_owned(), "-c".to_owned(), serve, php]
            }
            PackageKind::PythonZip => {
                return Err(Refusal::Invalid(
                    "start a package of Python sources: say by which command, such as \
                     python3 main.py"
                        .to_owned(),
                ));
            }
            PackageKind::Plain => vec![format!("./{}", only_file(&unpacked()?, "")?)],
        };
    }
    if let (Some(wanted), Some(program)) = (starter(*kind, &command), command.first_mut()) {
        *program = text(&component(runtime, release, wanted)?.program);
    }
    let java = matches!(kind, PackageKind::FatJar | PackageKind::War)
        || release.components.contains_key(JDK);
    let home = match java {
        true => java_home(&component(runtime, release, JDK)?.program),
        false => None,
    };
    Ok((command, home))
}

/// What a release is started with.
fn component<'a>(
    runtime: &'a Runtime,
    release: &Release,
    part: &'static str,
) -> Result<&'a Component> {
    let asked = release.components.get(part).map(String::as_str);
    let found = runtime.components.fitting(part, asked);
    found.ok_or_else(|| match asked {
        Some(version) => Refusal::ComponentNotFound {
            component: part.to_owned(),
            version: version.to_owned(),
        },
        None => Refusal::ComponentNone(part),
    })
}

/// The folder of the Java whose program this is: two above it.
fn java_home(program: &Path) -> Option<String> {
    // By the name that the program has in its own folder, not in /usr/bin.
    let program = program.canonicalize().ok()?;
    Some(text(program.parent()?.parent()?))
}

/// The only file of a package with this end of its name.
fn only_file(folder: &Path, end: &str) -> Result<String> {
    let unreadable = |e: std::io::Error| {
        Refusal::Invalid(format!(
            "look into the package at {}: {e}",
            folder.display()
        ))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name.ends_with(end) {
            found.push(name);
        }
    }
    match <[String; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(others) => Err(Refusal::Invalid(format!(
            "find out what to start: the package has {} files{}; say by which command it is started",
            others.len(),
            if end.is_empty() {
                String::new()
            } else {
                format!(" that end with {end}")
            },
        ))),
    }
}

fn words(line: &str) -> Result<Vec<String>> {
    match line.trim().is_empty() {
        true => Ok(Vec::new()),
        false => split_command(line).map_err(Refusal::Workload),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
