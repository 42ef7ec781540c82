//! What is to be deployed, as the vendor's calls say it; and what was, as
//! `DescribeApplicationConfig` shows it.
//!
//! A parameter that has an effect here becomes a part of the release, and is
//! shown from there. One that has none is kept with the version as it was given
//! and is shown again (`docs/sae-parameters.md` has them all).

use std::collections::BTreeMap;
use std::path::PathBuf;

use backout_apps::components::{JDK, PHP, PYTHON, WEB_CONTAINER};
use backout_apps::model::{Artifact, PackageKind, Release};
use backout_apps::{NewArtifact, NewFile, NewRelease};
use backout_wire::types::sae as wire;
use backout_workloads::packages::Origin;
use serde_json::{Map, Value};

use super::{asked, codes, texts};
use crate::front::{Refused, count};

/// The parameters of `CreateApplication` and `DeployApplication` that have no
/// effect here. They are kept as they were given and shown again.
pub const KEPT: [&str; 45] = [
    "AcrAssumeRoleArn",
    "AcrInstanceId",
    "AgentVersion",
    "AlbIngressReadinessGate",
    "AppSource",
    "AssociateEip",
    "AutoConfig",
    "BaseAppId",
    "CustomImageNetworkType",
    "DiskSize",
    "EmptyDirDesc",
    "EnableAhas",
    "EnableCpuBurst",
    "EnableEbpf",
    "EnableGreyTagRoute",
    "EnableNamespaceAgentVersion",
    "EnableNamespaceSlsConfig",
    "EnableNewArms",
    "EnablePrometheus",
    "EnableSidecarResourceIsolated",
    "HeadlessPvtzDiscoverySvc",
    "ImagePullSecrets",
    "IsStateful",
    "KafkaConfigs",
    "Labels",
    "LokiConfigs",
    "MicroRegistration",
    "MicroRegistrationConfig",
    "MicroserviceEngineConfig",
    "NewSaeVersion",
    "OidcRoleName",
    "PhpArmsConfigLocation",
    "PhpConfig",
    "PhpConfigLocation",
    "ProgrammingLanguage",
    "RaspConfig",
    "ResourceType",
    "SaeVersion",
    "SecurityGroupId",
    "ServiceTags",
    "SlsLogEnvTags",
    "StartupProbe",
    "SwimlanePvtzDiscoverySvc",
    "VSwitchId",
    "VpcId",
];

/// Those that have a part of their effect only, and are kept for the rest.
const KEPT_BESIDES: [&str; 7] = [
    "CustomHostAlias",
    "Liveness",
    "PvtzDiscoverySvc",
    "Readiness",
    "SlsConfigs",
    "TomcatConfig",
    "Envs",
];

/// Options of the program that runs Java, and arguments of what it runs: how
/// the product names them beside its components.
const JAVA_OPTIONS: &str = "java_options";
const JAVA_ARGUMENTS: &str = "java_arguments";

/// The variable of a time zone.
const ZONE_VARIABLE: &str = "TZ";

/// A variable that stands for all texts of a config map.
const ALL_OF_A_MAP: &str = "sae-sys-configmap-all-";

/// The port that is shown of probes where the application has none.
const USUAL_PORT: u16 = 8080;

/// The kinds of package, by the vendor's names.
const KINDS: [(&str, PackageKind); 5] = [
    ("FatJar", PackageKind::FatJar),
    ("War", PackageKind::War),
    ("PythonZip", PackageKind::PythonZip),
    ("PhpZip", PackageKind::PhpZip),
    ("Plain", PackageKind::Plain),
];

/// A kind that is no package's.
const IMAGE: &str = "Image";

/// What `CreateApplication` and `DeployApplication` say of a release. Both have
/// these parameters; where they differ in a type, the caller has settled it.
pub type Given = wire::DeployApplicationRequest;

/// Reads the shared parameters of `CreateApplication` as those of
/// `DeployApplication`.
pub fn of_create(params: &Map<String, Value>) -> Result<Given, Refused> {
    let mut shared = params.clone();
    // Another type there, and read by the caller.
    shared.remove("Deploy");
    shared.insert("AppId".to_owned(), Value::String(String::new()));
    serde_json::from_value(Value::Object(shared))
        .map_err(|e| codes::form("request", &e.to_string()))
}

/// Where the texts of config maps come from, by number and key; without a key,
/// all of them.
pub type ConfigMaps = BTreeMap<u64, BTreeMap<String, String>>;

/// The config maps that variables of the environment are taken from.
pub fn config_maps_of(given: &Given) -> Result<Vec<u64>, Refused> {
    let envs = texts::read::<Vec<texts::Env>>("Envs", given.envs.as_deref())?;
    let refs = envs.iter().flatten().filter_map(|env| {
        let from = env.value_from.as_ref()?;
        Some(from.config_map_ref.as_ref()?.config_map_id)
    });
    Ok(refs.collect())
}

/// What is to be deployed: what is given, and for all else what `present` has.
pub fn new_release(
    given: &Given,
    params: &Map<String, Value>,
    present: Option<&Release>,
    maps: &ConfigMaps,
) -> Result<NewRelease, Refused> {
    refuse_what_is_not_there(given)?;
    let artifact = artifact(given, present)?;
    let mut new = match present {
        Some(present) => NewRelease {
            artifact,
            ..NewRelease::of(present)
        },
        None => NewRelease::new(artifact),
    };
    command(given, &mut new)?;
    components(given, &mut new);
    environment(given, maps, &mut new)?;
    files(given, &mut new)?;
    checked_only(given, &mut new)?;
    size(given, &mut new)?;
    if let Some(text) = &given.liveness {
        new.liveness = texts::probe("Liveness", Some(text))?;
    }
    if let Some(text) = &given.readiness {
        new.readiness = texts::probe("Readiness", Some(text))?;
    }
    // Looked at, so that what is kept can be read.
    texts::probe("StartupProbe", given.startup_probe.as_deref())?;
    if let Some(text) = &given.post_start {
        new.after_start = texts::hook("PostStart", Some(text))?;
    }
    if let Some(text) = &given.pre_stop {
        new.before_stop = texts::hook("PreStop", Some(text))?;
    }
    if let Some(seconds) = given.termination_grace_period_seconds {
        let name = "TerminationGracePeriodSeconds";
        // The vendor's own bounds.
        new.grace_ms = u64::from(asked::number(name, seconds, 1..=300)?) * 1000;
    }
    if let Some(text) = &given.pvtz_discovery_svc {
        new.port = port(text)?;
    }
    texts::read::<Value>("TomcatConfig", given.tomcat_config.as_deref())?;
    for name in KEPT.iter().chain(&KEPT_BESIDES) {
        match params.get(*name) {
            None => {}
            Some(Value::String(text)) if text.is_empty() => {
                new.kept.remove(*name);
            }
            Some(Value::String(text)) => {
                new.kept.insert((*name).to_owned(), text.clone());
            }
            Some(other) => {
                new.kept.insert((*name).to_owned(), other.to_string());
            }
        }
    }
    Ok(new)
}

/// What would be a promise that is not kept.
fn refuse_what_is_not_there(given: &Given) -> Result<(), Refused> {
    for (there, name, why) in [
        (
            !given.init_containers_config.is_empty(),
            "InitContainersConfig",
            "replicas have no containers beside them; use PostStart, or put it into the release",
        ),
        (
            !given.sidecar_containers_config.is_empty(),
            "SidecarContainersConfig",
            "replicas have no containers beside them; deploy it as an application",
        ),
        (
            asked::some(given.gpu_config.as_deref()).is_some(),
            "GpuConfig",
            "replicas are given no GPU",
        ),
        (
            asked::some(given.python_modules.as_deref()).is_some(),
            "PythonModules",
            "nothing is installed beside a package; put its modules into it",
        ),
        (
            asked::some(given.secret_mount_desc.as_deref()).is_some(),
            "SecretMountDesc",
            "secrets are given as variables: {\"name\":..,\"valueFrom\":{\"secretRef\":{\"secretId\":NAME}}} in Envs",
        ),
    ] {
        if there {
            return Err(codes::value(name, why));
        }
    }
    Ok(())
}

fn artifact(given: &Given, present: Option<&Release>) -> Result<NewArtifact, Refused> {
    let kept = present.map(|release| release.artifact.clone());
    let image = asked::some(given.image_url.as_deref());
    let address = asked::some(given.package_url.as_deref());
    let kind = match asked::some(given.package_type.as_deref()) {
        Some(name) => Some(kind_of(name)?),
        None => None,
    };
    // What is said of neither is what it was.
    let kind = match (kind, &kept) {
        (Some(kind), _) => kind,
        (None, Some(Artifact::Image { .. })) => None,
        (None, Some(Artifact::Package { kind, .. })) => Some(*kind),
        (None, None) => return Err(codes::empty("PackageType")),
    };
    let Some(kind) = kind else {
        return match (image, kept) {
            (Some(name), _) => Ok(NewArtifact::Image {
                name: name.to_owned(),
            }),
            (None, Some(kept @ Artifact::Image { .. })) => Ok(NewArtifact::Kept(kept)),
            (None, _) => Err(codes::empty("ImageUrl")),
        };
    };
    let version = asked::some(given.package_version.as_deref());
    match (address, kept) {
        (Some(address), _) => Ok(NewArtifact::Package {
            kind,
            from: origin(address),
            version: version.unwrap_or_default().to_owned(),
        }),
        (None, Some(kept @ Artifact::Package { .. })) if version.is_none() => {
            Ok(NewArtifact::Kept(kept))
        }
        (None, _) => Err(codes::empty("PackageUrl")),
    }
}

/// The kind of a package; none for an image.
fn kind_of(name: &str) -> Result<Option<PackageKind>, Refused> {
    if name == IMAGE {
        return Ok(None);
    }
    // Kinds of image that the vendor builds PHP and .NET into are named
    // `IMAGE_...`.
    if name.starts_with("IMAGE_") {
        return Ok(None);
    }
    let known = KINDS.iter().find(|(known, _)| *known == name);
    known.map(|(_, kind)| Some(*kind)).ok_or_else(|| {
        let ours = KINDS.map(|(known, _)| known).join(", ");
        codes::error(
            codes::PACKAGE_TYPE,
            &[],
            &format!("There is no {name:?} here: give {IMAGE}, {ours}."),
        )
    })
}

/// An address, or a path on the host.
fn origin(text: &str) -> Origin {
    match text.strip_prefix("file://") {
        Some(path) => Origin::Path(PathBuf::from(path)),
        None if text.starts_with('/') => Origin::Path(PathBuf::from(text)),
        None => Origin::Url(text.to_owned()),
    }
}

fn command(given: &Given, new: &mut NewRelease) -> Result<(), Refused> {
    let words = match given.command.as_deref() {
        None => None,
        Some(text) => Some(
            backout_workloads::split_command(text)
                .map_err(|e| codes::value("Command", &e.to_string()))?,
        ),
    };
    let arguments: Option<Vec<String>> = texts::read("CommandArgs", given.command_args.as_deref())?;
    match (words, arguments) {
        (None, None) => {}
        (Some(words), arguments) => {
            new.command = [words, arguments.unwrap_or_default()].concat();
        }
        // Other arguments for the same program.
        (None, Some(arguments)) => {
            let Some(program) = new.command.first().cloned() else {
                return Err(codes::empty("Command"));
            };
            new.command = [vec![program], arguments].concat();
        }
    }
    Ok(())
}

fn components(given: &Given, new: &mut NewRelease) {
    let options = given.jar_start_options.as_ref();
    for (kind, text) in [
        (JDK, &given.jdk),
        (WEB_CONTAINER, &given.web_container),
        (PYTHON, &given.python),
        (PHP, &given.php),
        ("edas_container", &given.edas_container_version),
        ("html", &given.html),
        ("dotnet", &given.dotnet),
        (
            JAVA_OPTIONS,
            &options.or(given.war_start_options.as_ref()).cloned(),
        ),
        (JAVA_ARGUMENTS, &given.jar_start_args),
    ] {
        match text.as_deref().map(str::trim) {
            None => {}
            Some("") => {
                new.components.remove(kind);
            }
            Some(text) => {
                new.components.insert(kind.to_owned(), text.to_owned());
            }
        }
    }
}

fn environment(given: &Given, maps: &ConfigMaps, new: &mut NewRelease) -> Result<(), Refused> {
    const NAME: &str = "Envs";
    if let Some(text) = &given.envs {
        let envs: Vec<texts::Env> = texts::read(NAME, Some(text))?.unwrap_or_default();
        new.env.clear();
        new.secrets.clear();
        for env in envs {
            variable(env, maps, new)?;
        }
    }
    if let Some(zone) = asked::some(given.timezone.as_deref()) {
        let fine = zone.len() <= 64
            && zone
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
        if !fine {
            return Err(codes::value(
                "Timezone",
                "give a name such as Asia/Shanghai",
            ));
        }
        new.env.insert(ZONE_VARIABLE.to_owned(), zone.to_owned());
    }
    Ok(())
}

fn variable(env: texts::Env, maps: &ConfigMaps, new: &mut NewRelease) -> Result<(), Refused> {
    const NAME: &str = "Envs";
    let twice = |name: &str| codes::value(NAME, &format!("{name} is there twice"));
    let missing = |number: u64| codes::error("NotFound.ConfigMap", &[&number.to_string()], "");
    let mut set = |name: String, value: String| match new.env.contains_key(&name) {
        true => Err(twice(&name)),
        false => {
            new.env.insert(name, value);
            Ok(())
        }
    };
    let from = match (env.value, env.value_from) {
        (Some(_), Some(_)) => {
            let why = format!("{} has both value and valueFrom", env.name);
            return Err(codes::value(NAME, &why));
        }
        (value, None) => return set(env.name, value.unwrap_or_default()),
        (None, Some(from)) => from,
    };
    match (from.config_map_ref, from.secret_ref) {
        (Some(map), None) => {
            let number = map.config_map_id;
            let entries = maps.get(&number).ok_or_else(|| missing(number))?;
            let key = map.key.filter(|key| !key.is_empty());
            let Some(key) = key else {
                if !env.name.starts_with(ALL_OF_A_MAP) {
                    let why = format!("{} names no key of its config map", env.name);
                    return Err(codes::value(NAME, &why));
                }
                for (name, value) in entries {
                    set(name.clone(), value.clone())?;
                }
                return Ok(());
            };
            let value = entries.get(&key).ok_or_else(|| {
                let number = number.to_string();
                codes::error("NotFound.ConfigMapKey", &[&key, &number], "")
            })?;
            set(env.name, value.clone())
        }
        (None, Some(secret)) => {
            let name = match secret.secret_id {
                Value::String(name) => name,
                other => other.to_string(),
            };
            match new.secrets.insert(env.name.clone(), (name, None)) {
                None => Ok(()),
                Some(_) => Err(twice(&env.name)),
            }
        }
        _ => {
            let why = format!("{} is taken from one of config map and secret", env.name);
            Err(codes::value(NAME, &why))
        }
    }
}

fn files(given: &Given, new: &mut NewRelease) -> Result<(), Refused> {
    let text = given.config_map_mount_desc.as_deref();
    let Some(text) = text else {
        return Ok(());
    };
    let mounts: Vec<texts::ConfigMapMount> =
        texts::read("ConfigMapMountDesc", Some(text))?.unwrap_or_default();
    // Those of config maps are replaced, others stay.
    new.files
        .retain(|file| matches!(file, NewFile::Kept(file) if file.of.is_none()));
    for mount in mounts {
        let key = mount.key.trim();
        new.files.push(NewFile::ConfigMap {
            path: mount.path,
            number: mount.config_map,
            // The vendor's word for all of them.
            key: (!key.is_empty() && key != ALL_OF_A_MAP.trim_end_matches('-'))
                .then(|| key.to_owned()),
        });
    }
    Ok(())
}

/// What is checked, as the vendor checks it, and has no effect besides.
fn checked_only(given: &Given, new: &mut NewRelease) -> Result<(), Refused> {
    let aliases: Vec<texts::HostAlias> =
        texts::read("CustomHostAlias", given.custom_host_alias.as_deref())?.unwrap_or_default();
    new.hosts = aliases
        .into_iter()
        .map(|alias| (alias.host_name, alias.ip))
        .collect();
    let logs: Vec<texts::LogConfig> =
        texts::read("SlsConfigs", given.sls_configs.as_deref())?.unwrap_or_default();
    new.log_folders = logs
        .into_iter()
        .filter(|log| log.log_type.as_deref() != Some("stdout"))
        .map(|log| log.log_dir)
        .collect();
    let mut volume = None;
    for (name, text) in [
        ("MountDesc", &given.mount_desc),
        ("NasConfigs", &given.nas_configs),
        ("OssMountDescs", &given.oss_mount_descs),
    ] {
        let mounts: Vec<texts::VolumeMount> =
            texts::read(name, text.as_deref())?.unwrap_or_default();
        if !mounts.is_empty() {
            volume = Some(name);
        }
        new.volumes.extend(mounts.into_iter().map(|m| m.mount_path));
    }
    for (name, text) in [("NasId", &given.nas_id), ("MountHost", &given.mount_host)] {
        if asked::some(text.as_deref()).is_some() {
            volume = volume.or(Some(name));
        }
    }
    // A volume among the log folders is told as that.
    let among_logs = new.volumes.iter().any(|v| new.log_folders.contains(v));
    match volume {
        Some(name) if !among_logs => Err(codes::value(
            name,
            "nothing is mounted here: a replica would not find its data; keep it in a database, or on a path of the host",
        )),
        _ => Ok(()),
    }
}

fn size(given: &Given, new: &mut NewRelease) -> Result<(), Refused> {
    if let Some(replicas) = given.replicas {
        new.replicas = replica_count(replicas)?;
    }
    if let Some(cpu) = given.cpu {
        new.cpu_millis = cpu_millis(cpu, given.memory)?;
    }
    if let Some(memory) = given.memory {
        new.memory_bytes = memory_bytes(given.cpu, memory)?;
    }
    Ok(())
}

/// How many replicas, within what one order may have.
pub fn replica_count(given: i64) -> Result<u32, Refused> {
    asked::number("Replicas", given, 0..=u32::MAX)
}

fn unsupported(cpu: Option<i64>, memory: Option<i64>) -> Refused {
    let text = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    codes::error(
        "InvalidInstanceSpecification.Unsupported",
        &[&text(cpu), &text(memory)],
        "",
    )
}

/// Thousandths of a processor; 0 leaves a replica without a bound.
pub fn cpu_millis(cpu: i64, memory: Option<i64>) -> Result<Option<u32>, Refused> {
    match u32::try_from(cpu) {
        Ok(0) => Ok(None),
        Ok(n) => Ok(Some(n)),
        Err(_) => Err(unsupported(Some(cpu), memory)),
    }
}

/// Memory, given in mebibytes; 0 leaves a replica without a bound.
pub fn memory_bytes(cpu: Option<i64>, memory: i64) -> Result<Option<u64>, Refused> {
    match u64::try_from(memory) {
        Ok(0) => Ok(None),
        Ok(n) => match n.checked_mul(codes::MEBIBYTE) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(unsupported(cpu, Some(memory))),
        },
        Err(_) => Err(unsupported(cpu, Some(memory))),
    }
}

/// The port under which an application is reached.
fn port(text: &str) -> Result<Option<u16>, Refused> {
    const NAME: &str = "PvtzDiscoverySvc";
    let Some(discovery) = texts::read::<texts::Discovery>(NAME, Some(text))? else {
        return Ok(None);
    };
    if discovery.enable == Some(false) {
        return Ok(None);
    }
    let [port] = discovery.port_protocols.as_slice() else {
        return Err(codes::value(NAME, "portProtocols names one port here"));
    };
    let tcp = port
        .protocol
        .as_deref()
        .is_none_or(|protocol| protocol.eq_ignore_ascii_case("TCP"));
    match tcp && port.port > 0 {
        true => Ok(Some(port.port)),
        false => Err(codes::value(
            NAME,
            "the protocol is TCP, the port 1 to 65535",
        )),
    }
}

// ---- what is shown ----

/// The vendor's name of the kind of an artifact.
pub fn package_type(artifact: &Artifact) -> &'static str {
    match artifact {
        Artifact::Image { .. } => IMAGE,
        Artifact::Package { kind, .. } => KINDS
            .iter()
            .find(|(_, known)| known == kind)
            .map_or("", |(name, _)| name),
    }
}

/// The language of an artifact, in the vendor's words.
pub fn language(artifact: &Artifact) -> &'static str {
    match artifact {
        Artifact::Package {
            kind: PackageKind::FatJar | PackageKind::War,
            ..
        } => "java",
        Artifact::Package {
            kind: PackageKind::PhpZip,
            ..
        } => "php",
        _ => "other",
    }
}

/// The address of a package, and what it is called; none of an image.
pub fn package(artifact: &Artifact) -> Option<(&str, &str)> {
    match artifact {
        Artifact::Package {
            origin, version, ..
        } => Some((origin, version)),
        Artifact::Image { .. } => None,
    }
}

/// The name of an image; none of a package.
pub fn image(artifact: &Artifact) -> Option<String> {
    match artifact {
        Artifact::Image { name, .. } => Some(name.clone()),
        Artifact::Package { .. } => None,
    }
}

/// Memory as the vendor shows it, in mebibytes.
pub fn mebibytes(bytes: Option<u64>) -> i64 {
    count(bytes.unwrap_or(0) / codes::MEBIBYTE)
}

/// A release as `DescribeApplicationConfig` shows it.
pub fn config(release: &Release) -> wire::DescribeApplicationConfigData {
    let mut shown = kept(release);
    let component = |kind: &str| release.components.get(kind).cloned();
    let java = |wanted: PackageKind, kind: &str| match &release.artifact {
        Artifact::Package { kind: of, .. } if *of == wanted => component(kind),
        _ => None,
    };
    let (command, arguments) = match release.command.split_first() {
        Some((program, arguments)) => (Some(program.clone()), Some(texts::write(&arguments))),
        None => (None, None),
    };
    let port = release.port.unwrap_or(USUAL_PORT);
    let package = package(&release.artifact);
    shown.command = command;
    shown.command_args = arguments;
    shown.config_map_mount_desc = Some(
        release
            .files
            .iter()
            .filter_map(|file| {
                let (number, key) = file.of.as_ref()?;
                Some(wire::DescribeApplicationConfigDataConfigMapMountDesc {
                    config_map_id: Some(count(*number)),
                    config_map_name: None,
                    key: Some(key.clone()),
                    mount_path: Some(file.path.clone()),
                })
            })
            .collect(),
    );
    shown.cpu = Some(i64::from(release.cpu_millis.unwrap_or(0)));
    shown.memory = Some(mebibytes(release.memory_bytes));
    shown.replicas = Some(i64::from(release.replicas));
    shown.edas_container_version = component("edas_container");
    shown.envs = Some(environment_text(release));
    shown.image_url = image(&release.artifact);
    shown.jar_start_args = java(PackageKind::FatJar, JAVA_ARGUMENTS);
    shown.jar_start_options = java(PackageKind::FatJar, JAVA_OPTIONS);
    shown.war_start_options = java(PackageKind::War, JAVA_OPTIONS);
    shown.jdk = component(JDK);
    shown.web_container = component(WEB_CONTAINER);
    shown.python = component(PYTHON);
    shown.php = component(PHP);
    shown.html = component("html");
    shown.dotnet = component("dotnet");
    shown.package_type = Some(package_type(&release.artifact).to_owned());
    shown.package_url = package.map(|(address, _)| address.to_owned());
    shown.package_version = package.map(|(_, version)| version.to_owned());
    shown.programming_language = shown
        .programming_language
        .or_else(|| Some(language(&release.artifact).to_owned()));
    shown.post_start = release.after_start.as_ref().map(texts::hook_text);
    shown.pre_stop = release.before_stop.as_ref().map(texts::hook_text);
    shown.liveness = probe_shown(release, "Liveness", release.liveness.as_ref(), port);
    shown.readiness = probe_shown(release, "Readiness", release.readiness.as_ref(), port);
    shown.termination_grace_period_seconds = Some(count(release.grace_ms.div_ceil(1000)));
    shown.timezone = release.env.get(ZONE_VARIABLE).cloned();
    shown
}

/// A probe as it was given, if it is still that one.
fn probe_shown(
    release: &Release,
    name: &str,
    probe: Option<&backout_workloads::Probe>,
    port: u16,
) -> Option<String> {
    let probe = probe?;
    let given = release.kept.get(name).filter(|text| {
        texts::probe(name, Some(text)).is_ok_and(|read| read.as_ref() == Some(probe))
    });
    Some(
        given
            .cloned()
            .unwrap_or_else(|| texts::probe_text(probe, port)),
    )
}

/// The environment, without what secrets are.
fn environment_text(release: &Release) -> String {
    let plain = release.env.iter().map(|(name, value)| texts::Env {
        name: name.clone(),
        value: Some(value.clone()),
        value_from: None,
    });
    let secret = release.secrets.iter().map(|secret| texts::Env {
        name: secret.variable.clone(),
        value: None,
        value_from: Some(texts::EnvFrom {
            config_map_ref: None,
            secret_ref: Some(texts::SecretKeyRef {
                secret_id: Value::String(secret.secret.clone()),
                key: None,
            }),
        }),
    });
    texts::write(&plain.chain(secret).collect::<Vec<_>>())
}

/// What was given and has no effect, in the types that it is shown in.
fn kept(release: &Release) -> wire::DescribeApplicationConfigData {
    let mut members = Map::new();
    for (name, text) in &release.kept {
        // Three of them are shown under shorter names.
        let name = name.strip_suffix("Svc").unwrap_or(name);
        let plain = Value::String(text.clone());
        let read: Option<Value> = serde_json::from_str(text).ok();
        let listed = read.clone().map(|value| Value::Array(vec![value]));
        // A value is shown in the first form that the contract has for it.
        let forms = std::iter::once(plain).chain(read).chain(listed);
        for value in forms {
            let one = Map::from_iter([(name.to_owned(), value.clone())]);
            let fits =
                serde_json::from_value::<wire::DescribeApplicationConfigData>(Value::Object(one));
            if fits.is_ok() {
                members.insert(name.to_owned(), value);
                break;
            }
        }
    }
    serde_json::from_value(Value::Object(members)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(params: &Value) -> (Given, Map<String, Value>) {
        let map = params.as_object().unwrap().clone();
        (of_create(&map).unwrap(), map)
    }

    fn code(refused: Refused) -> String {
        match refused {
            Refused::Surface(error) => error.code,
            Refused::Rejected(other) => panic!("{other}"),
        }
    }

    fn release(params: &Value) -> Result<NewRelease, Refused> {
        let mut all = serde_json::json!({
            "PackageType": "PythonZip", "PackageUrl": "http://files/app.zip", "Replicas": 1,
        });
        for (name, value) in params.as_object().unwrap() {
            all[name] = value.clone();
        }
        let (given, map) = given(&all);
        let maps = ConfigMaps::from([(7, BTreeMap::from([("color".into(), "red".into())]))]);
        new_release(&given, &map, None, &maps)
    }

    #[test]
    fn what_is_given_is_read() {
        let new = release(&serde_json::json!({
            "Command": "python -u main.py", "CommandArgs": "[\"--fast\", \"a b\"]",
            "Envs": "[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"C\",\"valueFrom\":{\"configMapRef\":{\"configMapId\":7,\"key\":\"color\"}}},{\"name\":\"P\",\"valueFrom\":{\"secretRef\":{\"secretId\":\"pw\"}}}]",
            "Cpu": 500, "Memory": 1024, "TerminationGracePeriodSeconds": 5, "Timezone": "Asia/Tokyo",
            "PvtzDiscoverySvc": "{\"serviceName\":\"shop\",\"portProtocols\":[{\"port\":18012,\"protocol\":\"TCP\"}],\"enable\":true}",
            "VpcId": "vpc-1", "AssociateEip": true, "Labels": {"a": "b"},
            "ConfigMapMountDesc": "[{\"ConfigMapId\":7,\"Key\":\"color\",\"MountPath\":\"/etc/color\"}]",
        }))
        .unwrap();
        assert_eq!(new.command, ["python", "-u", "main.py", "--fast", "a b"]);
        assert_eq!(new.env["A"], "1");
        assert_eq!(new.env["C"], "red");
        assert_eq!(new.env["TZ"], "Asia/Tokyo");
        assert_eq!(new.secrets["P"], ("pw".to_owned(), None));
        assert_eq!(
            (new.cpu_millis, new.memory_bytes),
            (Some(500), Some(1 << 30))
        );
        assert_eq!((new.grace_ms, new.port), (5000, Some(18012)));
        assert_eq!(new.kept["AssociateEip"], "true");
        assert_eq!(new.kept["Labels"], r#"{"a":"b"}"#);
        assert_eq!(new.files.len(), 1);
    }

    #[test]
    fn what_is_refused() {
        for (params, expect) in [
            (
                serde_json::json!({"PackageType": "Rpm"}),
                codes::PACKAGE_TYPE,
            ),
            (serde_json::json!({"PackageUrl": ""}), codes::EMPTY),
            (
                serde_json::json!({"PackageType": "Image", "PackageUrl": ""}),
                codes::EMPTY,
            ),
            (serde_json::json!({"Envs": "{"}), codes::FORM),
            (
                serde_json::json!({"Envs": "[{\"value\":\"1\"}]"}),
                codes::VALUE,
            ),
            (
                serde_json::json!({"Envs": "[{\"name\":\"A\"},{\"name\":\"A\"}]"}),
                codes::VALUE,
            ),
            (
                serde_json::json!({"Envs": "[{\"name\":\"A\",\"valueFrom\":{\"configMapRef\":{\"configMapId\":8,\"key\":\"a\"}}}]"}),
                "NotFound.ConfigMap",
            ),
            (
                serde_json::json!({"Envs": "[{\"name\":\"A\",\"valueFrom\":{\"configMapRef\":{\"configMapId\":7,\"key\":\"a\"}}}]"}),
                "NotFound.ConfigMapKey",
            ),
            (
                serde_json::json!({"Cpu": -1}),
                "InvalidInstanceSpecification.Unsupported",
            ),
            (
                serde_json::json!({"Memory": i64::MAX}),
                "InvalidInstanceSpecification.Unsupported",
            ),
            (serde_json::json!({"Replicas": -1}), codes::VALUE),
            (serde_json::json!({"GpuConfig": "{}"}), codes::VALUE),
            (
                serde_json::json!({"NasConfigs": "[{\"mountPath\":\"/data\"}]"}),
                codes::VALUE,
            ),
            (serde_json::json!({"Command": "a 'b"}), codes::VALUE),
            (serde_json::json!({"CommandArgs": "[\"a\"]"}), codes::EMPTY),
            (
                serde_json::json!({"TerminationGracePeriodSeconds": 0}),
                codes::VALUE,
            ),
            (serde_json::json!({"Timezone": "a b"}), codes::VALUE),
            (
                serde_json::json!({"PvtzDiscoverySvc": "{\"portProtocols\":[]}"}),
                codes::VALUE,
            ),
        ] {
            let refused = release(&params).unwrap_err();
            assert_eq!(code(refused), expect, "{params}");
        }
    }

    #[test]
    fn what_has_no_effect_is_shown_in_the_types_of_the_contract() {
        let mut kept_values = BTreeMap::new();
        for (name, text) in [
            ("AssociateEip", "true"),
            ("EnableCpuBurst", "true"),
            ("DiskSize", "20"),
            ("Labels", r#"{"a":"b"}"#),
            ("RaspConfig", r#"{"EnableRasp":true}"#),
            ("PvtzDiscoverySvc", r#"{"enable":true}"#),
            ("NobodyKnows", "1"),
        ] {
            kept_values.insert(name.to_owned(), text.to_owned());
        }
        let release = Release {
            artifact: Artifact::Image {
                name: "shop:1".into(),
                id: None,
            },
            command: vec![],
            components: BTreeMap::new(),
            env: BTreeMap::new(),
            secrets: vec![],
            files: vec![],
            replicas: 2,
            cpu_millis: Some(500),
            memory_bytes: Some(1 << 30),
            liveness: None,
            readiness: None,
            after_start: None,
            before_stop: None,
            grace_ms: 30_000,
            port: None,
            scaling: None,
            kept: kept_values,
        };
        let shown = config(&release);
        assert_eq!(shown.associate_eip, Some(true));
        assert_eq!(shown.enable_cpu_burst.as_deref(), Some("true"));
        assert_eq!(shown.disk_size, Some(20));
        assert_eq!(shown.labels.unwrap()["a"], "b");
        assert_eq!(shown.rasp_config.unwrap()[0].enable_rasp, Some(true));
        assert_eq!(shown.pvtz_discovery.as_deref(), Some(r#"{"enable":true}"#));
        assert_eq!((shown.cpu, shown.memory), (Some(500), Some(1024)));
        assert_eq!(shown.image_url.as_deref(), Some("shop:1"));
    }
}
