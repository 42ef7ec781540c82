//! Settings of `backout serve`: the command line, else the file, else what is
//! usual.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::{SAFETY_DAYS_MAX, Serve};
use crate::failure::{Failure, Outcome};

/// Where the server listens when nothing else is said.
pub(crate) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7780);

/// The file that `--config` names. Its members are the long options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    insecure_listen: bool,
    tls_listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    store: Option<String>,
    node: Option<String>,
    workers: Option<NonZeroUsize>,
    rate_limit: Option<NonZeroU32>,
    safety_days: Option<u32>,
    container_engine: Option<PathBuf>,
    apps_listen: Option<IpAddr>,
    web_container: Vec<String>,
    engines_listen: Option<IpAddr>,
    engines_drain: Option<u32>,
    without_limits: bool,
    public_host: Vec<String>,
    region: Vec<String>,
    faults: bool,
    log: Option<String>,
}

/// A TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The certificate chain, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Everything that a server is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// The folder for the state, the master key and `admin.json`.
    pub data: PathBuf,
    /// The plain listener.
    pub listen: SocketAddr,
    /// The TLS listener.
    pub tls: Option<Tls>,
    /// `sqlite://FILE` or `postgres://...`; `DIR/state.db` when absent.
    pub store: Option<String>,
    /// The name of this host.
    pub node: String,
    /// How many jobs run at once.
    pub workers: Option<NonZeroUsize>,
    /// Calls a second, for each account and action.
    pub rate_limit: Option<NonZeroU32>,
    /// For how many days safety points are kept; as usual when absent.
    pub safety_days: Option<u32>,
    /// The socket of the container engine; the usual one when absent.
    pub container_engine: Option<PathBuf>,
    /// The address that the ports of applications are opened on; all of this
    /// host's when absent.
    pub apps_listen: Option<IpAddr>,
    /// What runs Java web archives: names, and programs.
    pub web_containers: Vec<(String, PathBuf)>,
    /// The address that data engines answer on; loopback when absent.
    pub engines_listen: Option<IpAddr>,
    /// For how many seconds a switch waits for statements that run; as usual when
    /// absent.
    pub engines_drain: Option<u32>,
    /// Whether replicas run without their limits where those cannot be enforced.
    pub without_limits: bool,
    /// Host names that a proxy in front is called by.
    pub public_hosts: Vec<String>,
    /// Regions that calls may name; empty: those of the vendors.
    pub regions: Vec<String>,
    /// Whether there is the fault switch, for tests of runbooks.
    pub faults: bool,
    /// Whether to give `admin` another key pair and write it to `admin.json`.
    pub new_admin_key: bool,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address of the store may hold a password.
        f.debug_struct("Settings")
            .field("data", &self.data)
            .field("listen", &self.listen)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// What is usual, in the folder `data`, on a free port of loopback.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::new(LISTEN.ip(), 0),
            tls: None,
            store: None,
            node: host_name(),
            workers: None,
            rate_limit: None,
            safety_days: None,
            container_engine: None,
            apps_listen: None,
            web_containers: Vec::new(),
            engines_listen: None,
            engines_drain: None,
            without_limits: false,
            public_hosts: Vec::new(),
            regions: Vec::new(),
            faults: false,
            new_admin_key: false,
        }
    }

    /// Puts the settings together. Also returns what to log.
    pub(crate) fn resolve(
        data: Option<&Path>,
        environment_data: Option<&Path>,
        args: &Serve,
    ) -> Outcome<(Self, Option<String>)> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let data = data
            .or(file.data.as_deref())
            .or(environment_data)
            .ok_or_else(|| {
                Failure::usage(
                    "serve: give --data DIR, a folder for the state; it is made when it is missing",
                )
            })?
            .to_owned();
        let listen = args.listen.or(file.listen).unwrap_or(LISTEN);
        let insecure = args.insecure_listen || file.insecure_listen;
        if !listen.ip().is_loopback() && !insecure {
            return Err(Failure::usage(format!(
                "listen on {listen} without TLS: whoever sees a call there can repeat it for five minutes; use --tls-listen, or add --insecure-listen"
            )));
        }
        let tls_listen = args.tls_listen.or(file.tls_listen);
        let tls_cert = args.tls_cert.clone().or(file.tls_cert);
        let tls_key = args.tls_key.clone().or(file.tls_key);
        let tls = match (tls_listen, tls_cert, tls_key) {
            (Some(listen), Some(cert), Some(key)) => Some(Tls { listen, cert, key }),
            (None, None, None) => None,
            _ => {
                return Err(Failure::usage(
                    "listen for TLS: give all three of --tls-listen, --tls-cert and --tls-key",
                ));
            }
        };
        let or = |ours: &[String], theirs: Vec<String>| {
            if ours.is_empty() {
                theirs
            } else {
                ours.to_vec()
            }
        };
        let safety_days = args.safety_days.or(file.safety_days);
        // The command line's was checked where it was read.
        if safety_days.is_some_and(|days| !(1..=SAFETY_DAYS_MAX).contains(&days)) {
            return Err(Failure::usage(format!(
                "keep safety points for so many days: give safety-days of 1 to {SAFETY_DAYS_MAX}"
            )));
        }
        let web_containers = or(&args.web_container, file.web_container)
            .iter()
            .map(|text| web_container(text))
            .collect::<Outcome<_>>()?;
        let settings = Self {
            listen,
            tls,
            store: args.store.clone().or(file.store),
            node: args.node.clone().or(file.node).unwrap_or_else(host_name),
            workers: args.workers.or(file.workers),
            rate_limit: args.rate_limit.or(file.rate_limit),
            safety_days,
            container_engine: args.container_engine.clone().or(file.container_engine),
            apps_listen: args.apps_listen.or(file.apps_listen),
            web_containers,
            engines_listen: args.engines_listen.or(file.engines_listen),
            engines_drain: args.engines_drain.or(file.engines_drain),
            without_limits: args.without_limits || file.without_limits,
            public_hosts: or(&args.public_host, file.public_host),
            regions: or(&args.region, file.region),
            faults: args.faults || file.faults,
            new_admin_key: args.new_admin_key,
            ..Self::new(data)
        };
        Ok((settings, args.log.clone().or(file.log)))
    }
}

fn read(path: &Path) -> Outcome<File> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Failure::usage(format!(
            "read the settings {}: {e}; check the path",
            path.display()
        ))
    })?;
    toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        // The whole error would repeat the line, which may hold a password.
        Failure::usage(format!(
            "read the settings {} at line {line}: {}; correct it",
            path.display(),
            e.message()
        ))
    })
}

/// The name of this host.
/// `NAME=PROGRAM`.
fn web_container(text: &str) -> Outcome<(String, PathBuf)> {
    let parts = text.split_once('=');
    let named = parts.filter(|(name, program)| !name.is_empty() && program.starts_with('/'));
    let (name, program) = named.ok_or_else(|| {
        Failure::usage(format!(
            "run web archives by {text:?}: give a name and the path of a program, such as tomcat-10=/opt/tomcat-10/run"
        ))
    })?;
    Ok((name.to_owned(), PathBuf::from(program)))
}

fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backout.toml");
        std::fs::write(
            &path,
            "data = '/srv/backout'\nlisten = '127.0.0.1:1'\nworkers = 3\nsafety-days = 30\nrate-limit = 9\npublic-host = ['a']\nfaults = true\nlog = 'warn'\n",
        )
        .unwrap();
        let args = Serve {
            config: Some(path),
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ..Serve::default()
        };
        let (settings, log) = Settings::resolve(None, Some(Path::new("/env")), &args).unwrap();
        assert_eq!(settings.data, Path::new("/srv/backout"));
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.workers.map(NonZeroUsize::get), Some(3));
        assert_eq!(settings.safety_days, Some(30));
        assert_eq!(settings.public_hosts, ["a"]);
        assert!(settings.faults);
        assert_eq!(log.as_deref(), Some("warn"));
        let (named, _) = Settings::resolve(Some(Path::new("/flag")), None, &args).unwrap();
        assert_eq!(named.data, Path::new("/flag"));
    }

    #[test]
    fn dangerous_and_half_settings_are_refused() {
        let data = Some(Path::new("/d"));
        let open = Serve {
            listen: Some("0.0.0.0:1".parse().unwrap()),
            ..Serve::default()
        };
        assert!(Settings::resolve(data, None, &open).is_err());
        let meant = Serve {
            insecure_listen: true,
            ..open
        };
        let (meant, _) = Settings::resolve(data, None, &meant).unwrap();
        assert!(!meant.faults, "off unless it is asked for");
        let half = Serve {
            tls_listen: Some("127.0.0.1:1".parse().unwrap()),
            ..Serve::default()
        };
        assert!(Settings::resolve(data, None, &half).is_err());
        assert!(Settings::resolve(None, None, &Serve::default()).is_err());
        for (text, good) in [
            ("tomcat=/opt/run", true),
            ("tomcat=run", false),
            ("=/opt/run", false),
            ("tomcat", false),
        ] {
            let archives = Serve {
                web_container: vec![text.to_owned()],
                ..Serve::default()
            };
            assert_eq!(
                Settings::resolve(data, None, &archives).is_ok(),
                good,
                "{text}"
            );
        }
        for (days, good) in [(0, false), (1, true), (SAFETY_DAYS_MAX + 1, false)] {
            let kept = Serve {
                safety_days: Some(days),
                ..Serve::default()
            };
            assert_eq!(Settings::resolve(data, None, &kept).is_ok(), good, "{days}");
        }
    }

    #[test]
    fn a_wrong_file_is_told_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backout.toml");
        std::fs::write(
            &path,
            "listen = '127.0.0.1:1'\nstore = 'postgres://u:hunter2@h/d' x\n",
        )
        .unwrap();
        let args = Serve {
            config: Some(path),
            ..Serve::default()
        };
        let failure = Settings::resolve(Some(Path::new("/d")), None, &args).unwrap_err();
        assert!(
            failure.message.contains("line 2") && !failure.message.contains("hunter2"),
            "{failure}"
        );
    }
}
