//! What the engine is asked to make of a specification. Pure.

use std::collections::HashMap;

use backout_core::fence::Fence;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::docker::engine::Image;
use crate::error::{Error, Result};
use crate::model::{InstanceSpec, MountedFile, Source};

/// Says which installation a container is of.
pub(crate) const INSTALLATION: &str = "backout.installation";
/// Says which instance it is.
pub(crate) const INSTANCE: &str = "backout.instance";
/// Says with which fence it was made.
pub(crate) const FENCE: &str = "backout.fence";
/// The SHA-256 of the specification it was made of.
pub(crate) const SPEC: &str = "backout.spec";

/// The least memory that the engine takes, in bytes.
const MEMORY_MIN_BYTES: u64 = 6 << 20;

/// The period over which processor time is shared out, in microseconds: the
/// kernel's own default.
const PERIOD_US: i64 = 100_000;

/// The longest name of an image: registries take 255 for the name, 128 for the
/// tag, and 71 for a hash.
const IMAGE_MAX_BYTES: usize = 512;

/// What the engine keeps of the output by itself: what was written while nobody
/// read along is read from there.
const ENGINE_LOG: [(&str, &str); 2] = [("max-size", "1m"), ("max-file", "2")];

/// What a container is made of.
pub(crate) struct Wanted<'a> {
    pub spec: &'a InstanceSpec,
    pub digest: &'a str,
    pub image: &'a Image,
    pub installation: &'a str,
    pub fence: Fence,
    pub ports: Option<Ports>,
}

/// Where an instance is reached, and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// On the loopback interface of the host.
    pub outside: u16,
    /// In the container.
    pub inside: u16,
}

/// Refuses what is fine for a process, and cannot be a container. Returns the
/// name of the image.
pub(crate) fn check(spec: &InstanceSpec) -> Result<&str> {
    let refused = |what, why: String| Error::BadSpec { what, why };
    let Source::Image { name } = &spec.source else {
        let why = "this driver runs images; give packages to the one for processes".to_owned();
        return Err(refused("the source", why));
    };
    check_image(name)?;
    check::check(spec)?;
    if spec
        .limits
        .memory_bytes
        .is_some_and(|n| n < MEMORY_MIN_BYTES)
    {
        let why = format!("the least for a container is {MEMORY_MIN_BYTES} bytes");
        return Err(refused("the memory limit", why));
    }
    if let Some(port) = spec.env.get("PORT")
        && !matches!(port.parse::<u16>(), Ok(1..))
    {
        let why = "PORT is where the container listens, 1 to 65535; name one, or leave it out";
        return Err(refused("the environment", why.to_owned()));
    }
    Ok(name)
}

/// Refuses what is no name of an image.
pub(crate) fn check_image(name: &str) -> Result<()> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
    let begins = |b: &u8| b.is_ascii_alphanumeric();
    if name.len() > IMAGE_MAX_BYTES
        || !name.as_bytes().first().is_some_and(begins)
        || !name.bytes().all(fine)
        // The path of a request is made of it.
        || name.split('/').any(|part| part.is_empty() || part == "..")
    {
        return Err(Error::BadSpec {
            what: "the image",
            why: format!("{name:?} is no name of one; use NAME:TAG or NAME@sha256:HASH"),
        });
    }
    Ok(())
}

/// Where it listens in the container: what its environment says, else the one
/// port that the image names, else the same as outside.
pub(crate) fn inside(spec: &InstanceSpec, image: &Image, outside: u16) -> u16 {
    let told = spec.env.get("PORT").and_then(|port| port.parse().ok());
    match (told, image.ports.as_slice()) {
        (Some(port), _) => port,
        (None, [port]) => *port,
        _ => outside,
    }
}

/// The container, as the engine is told.
pub(crate) fn container(wanted: &Wanted<'_>) -> ContainerCreateBody {
    let spec = wanted.spec;
    let mut command = spec.command.clone().into_iter();
    let program = command.next();
    let labels = [
        (INSTALLATION, wanted.installation.to_owned()),
        (INSTANCE, spec.id.to_string()),
        (FENCE, wanted.fence.0.to_string()),
        (SPEC, wanted.digest.to_owned()),
    ];
    let inside = wanted.ports.map(|p| format!("{}/tcp", p.inside));
    ContainerCreateBody {
        // By its id: the name may be another's by the time it is made.
        image: Some(wanted.image.id.clone()),
        env: Some(environment(wanted)),
        // What the image brings is for its own program.
        cmd: program.is_some().then(|| command.collect()),
        entrypoint: program.map(|program| vec![program]),
        exposed_ports: inside.clone().map(|port| vec![port]),
        labels: Some(labels.map(|(name, text)| (name.to_owned(), text)).into()),
        host_config: Some(HostConfig {
            port_bindings: inside.zip(wanted.ports).map(|(inside, ports)| {
                let binding = PortBinding {
                    host_ip: Some("127.0.0.1".to_owned()),
                    host_port: Some(ports.outside.to_string()),
                };
                HashMap::from([(inside, Some(vec![binding]))])
            }),
            ..host(spec)
        }),
        ..ContainerCreateBody::default()
    }
}

fn environment(wanted: &Wanted<'_>) -> Vec<String> {
    let spec = wanted.spec;
    let own = [
        ("BACKOUT_INSTANCE".to_owned(), spec.id.to_string()),
        // So that a path below it is the same for a process and a container.
        ("BACKOUT_FILES".to_owned(), "/".to_owned()),
    ];
    let port = wanted
        .ports
        .map(|p| ("PORT".to_owned(), p.inside.to_string()));
    let all = spec.env.clone().into_iter().chain(spec.secrets.0.clone());
    let all = all.filter(|(name, _)| name != "PORT" || port.is_none());
    all.chain(own)
        .chain(port.clone())
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What concerns the host: limits, output, and that nobody but its shim starts
/// it again.
fn host(spec: &InstanceSpec) -> HostConfig {
    let bytes = spec
        .limits
        .memory_bytes
        .map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    HostConfig {
        memory: bytes,
        // Or it takes swap instead.
        memory_swap: bytes,
        cpu_period: spec.limits.cpu_millis.map(|_| PERIOD_US),
        cpu_quota: spec
            .limits
            .cpu_millis
            .map(|n| i64::from(n) * PERIOD_US / 1000),
        pids_limit: spec.limits.tasks.map(i64::from),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(ENGINE_LOG.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        }),
        ..HostConfig::default()
    }
}

/// An archive with the mounted files at their paths; `None` without any.
pub(crate) fn archive(files: &[MountedFile]) -> std::io::Result<Option<Vec<u8>>> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let Some(place) = check::place(&file.path) else {
            continue;
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        // Whoever the image runs as must be able to read it.
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, place, file.content.as_slice())?;
    }
    archive.into_inner().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Limits;

    fn spec() -> InstanceSpec {
        let mut spec = InstanceSpec::new("a-1".parse().unwrap(), Vec::new());
        spec.source = Source::Image {
            name: "app:1".to_owned(),
        };
        spec
    }

    fn made(spec: &InstanceSpec, ports: Option<Ports>) -> ContainerCreateBody {
        container(&Wanted {
            spec,
            digest: "d",
            image: &Image {
                id: "sha256:0".to_owned(),
                ports: vec![],
            },
            installation: "i",
            fence: Fence(7),
            ports,
        })
    }

    #[test]
    fn an_image_may_bring_its_own_command_and_a_given_one_replaces_all_of_it() {
        let body = made(&spec(), None);
        assert_eq!((body.entrypoint, body.cmd), (None, None));
        let mut with = spec();
        with.command = vec!["./serve".to_owned(), "-v".to_owned()];
        let body = made(&with, None);
        assert_eq!(body.entrypoint, Some(vec!["./serve".to_owned()]));
        assert_eq!(body.cmd, Some(vec!["-v".to_owned()]));
        with.command.truncate(1);
        assert_eq!(made(&with, None).cmd, Some(vec![]));
    }

    #[test]
    fn secrets_are_in_the_environment_and_in_no_label() {
        let mut spec = spec();
        spec.secrets
            .0
            .insert("KEY".to_owned(), "hunter2".to_owned());
        let body = made(&spec, None);
        let labels = body.labels.unwrap();
        assert_eq!(labels[INSTANCE], "a-1");
        assert_eq!(labels[FENCE], "7");
        assert!(!format!("{labels:?}").contains("hunter2"));
        assert!(body.env.unwrap().contains(&"KEY=hunter2".to_owned()));
    }

    #[test]
    fn ports_are_published_on_loopback_alone() {
        let ports = Ports {
            outside: 20_001,
            inside: 80,
        };
        let mut spec = spec();
        spec.env.insert("PORT".to_owned(), "80".to_owned());
        let body = made(&spec, Some(ports));
        let bindings = body.host_config.unwrap().port_bindings.unwrap();
        let binding = bindings["80/tcp"].as_ref().unwrap();
        assert_eq!(binding[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(binding[0].host_port.as_deref(), Some("20001"));
        let env = body.env.unwrap();
        let port: Vec<_> = env.iter().filter(|v| v.starts_with("PORT=")).collect();
        assert_eq!(port, ["PORT=80"]);
    }

    #[test]
    fn where_it_listens() {
        let image = |ports: &[u16]| Image {
            id: String::new(),
            ports: ports.to_vec(),
        };
        let mut spec = spec();
        assert_eq!(inside(&spec, &image(&[]), 20_000), 20_000);
        assert_eq!(inside(&spec, &image(&[80]), 20_000), 80);
        assert_eq!(inside(&spec, &image(&[80, 443]), 20_000), 20_000);
        spec.env.insert("PORT".to_owned(), "9000".to_owned());
        assert_eq!(inside(&spec, &image(&[80]), 20_000), 9000);
    }

    #[test]
    fn limits_are_those_of_the_specification_without_swap() {
        let mut spec = spec();
        spec.limits = Limits {
            cpu_millis: Some(250),
            memory_bytes: Some(64 << 20),
            tasks: Some(9),
            or_without: false,
        };
        let host = host(&spec);
        assert_eq!(
            (host.cpu_period, host.cpu_quota),
            (Some(100_000), Some(25_000))
        );
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(64 << 20), Some(64 << 20))
        );
        assert_eq!(host.pids_limit, Some(9));
        spec.limits.memory_bytes = Some(1 << 20);
        assert!(check(&spec).unwrap_err().to_string().contains("the least"));
    }

    #[test]
    fn what_is_no_name_of_an_image_is_refused() {
        for name in ["a", "a/b:1", "127.0.0.1:5000/a@sha256:00"] {
            check_image(name).unwrap();
        }
        for name in [
            "",
            "-a",
            "a b",
            "a?b",
            "a/../b",
            "/a",
            "a//b",
            "a\n",
            &"a".repeat(513),
        ] {
            assert!(check_image(name).is_err(), "{name:?}");
        }
    }
}
