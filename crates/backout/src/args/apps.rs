//! `backout apps` and `backout approve`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use backout_core::size::Size;
use clap::{Args, Subcommand};

use super::{Wait, seconds};

#[derive(Debug, Subcommand)]
pub(crate) enum Apps {
    /// List them
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this namespace
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
    },
    /// Show one: what runs, what is being changed, and what to type next
    Show {
        /// Its name or id; NAMESPACE/NAME where several have the name
        #[arg(value_name = "NAME")]
        app: String,
    },
    /// Make one, or deploy a new version of one. What is not said stays as it is
    /// in the version that runs
    Deploy(Box<Deploy>),
    /// Go back to an earlier version, with all that it was: package, command,
    /// environment, files, secrets, number of replicas
    Rollback(Box<RollbackApp>),
    /// List the versions of one, newest first, or show one of them whole
    Versions {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// A version: its number, its label or its id
        version: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Mark a version as one not to go back to
    Bar {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// The version: its number, its label or its id
        version: String,
        /// Why; whoever wants to go back to it is told
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Take that mark off
    Unbar {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// The version: its number, its label or its id
        version: String,
    },
    /// Show what its replicas write
    Logs {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// Only this replica [default: each that there is]
        #[arg(long, value_name = "ID")]
        replica: Option<String>,
        /// How many of the last lines of each
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        lines: u32,
        /// Go on with what is written from now on, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
    },
    /// Show what happened to one, newest first
    Events {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// Only what somebody should look at
        #[arg(long)]
        warnings: bool,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// List change orders, newest first: of one application, or of all
    Orders {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show a change order: the one that changes an application now, or its last
    Order {
        /// Name or id of the application, or id of the order
        #[arg(value_name = "NAME|ORDER")]
        order: String,
    },
    /// Follow a change order to its end
    Watch {
        /// Name or id of the application, or id of the order
        #[arg(value_name = "NAME|ORDER")]
        order: String,
    },
    /// Let the batch go that waits for a word
    Confirm {
        /// Name or id of the application, or id of the order
        #[arg(value_name = "NAME|ORDER")]
        order: String,
        /// This batch, by its number from 1 on [default: the one that waits]
        #[arg(long, value_name = "N")]
        batch: Option<NonZeroU32>,
        /// Do not let it go: end the order, with what was changed as it is
        #[arg(long)]
        end: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// End a change order: begin nothing more, and leave what was changed as it is
    Abort {
        /// Name or id of the application, or id of the order
        #[arg(value_name = "NAME|ORDER")]
        order: String,
        /// Take back what was changed, too
        #[arg(long)]
        back: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Try the batch again that failed
    Retry {
        /// Name or id of the application, or id of the order
        #[arg(value_name = "NAME|ORDER")]
        order: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Start all replicas of one that is stopped
    Start {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        #[command(flatten)]
        go: Go,
    },
    /// Stop all replicas of one
    Stop {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        go: Go,
    },
    /// Start replicas anew, a batch at a time
    Restart {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// Only this replica; may be repeated
        #[arg(long, value_name = "ID")]
        replica: Vec<String>,
        #[command(flatten)]
        how: HowChanged,
        #[command(flatten)]
        go: Go,
    },
    /// Change the number of replicas
    Scale {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// How many
        replicas: u32,
        #[command(flatten)]
        how: HowChanged,
        #[command(flatten)]
        go: Go,
    },
    /// Change how much each replica may take: a new version
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["cpu_millis", "memory"]))]
    Resize {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// Processors, e.g. `2`, `0.5` or `500m`
        #[arg(long = "cpu", value_name = "CPUS", value_parser = cpus)]
        cpu_millis: Option<u32>,
        /// Memory, e.g. `256M` or `1G`
        #[arg(long, value_name = "SIZE")]
        memory: Option<Size>,
        #[command(flatten)]
        how: HowChanged,
        #[command(flatten)]
        go: Go,
    },
    /// Stop all replicas of one and forget it with its versions, for good
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        go: Go,
    },
    /// Rooms for applications
    #[command(subcommand)]
    Namespaces(Namespaces),
    /// Secrets, which releases name and replicas find in their environment
    #[command(subcommand)]
    Secrets(Secrets),
    /// Texts that releases mount as files
    #[command(subcommand)]
    ConfigMaps(ConfigMaps),
    /// Rules by which the number of replicas follows the clock or the load
    #[command(subcommand)]
    Scaling(Scaling),
    /// How much accounts may have, and what stands still: for `admin`
    #[command(subcommand)]
    Settings(AppSettings),
}

/// `backout apps deploy`.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// What to call it, or its name; NAMESPACE/NAME for another namespace
    pub name: String,
    /// The package: a folder, an archive or a program of this host, or an
    /// http(s):// URL. It is kept: the source may go
    #[arg(long, value_name = "DIR|ARCHIVE|FILE|URL", conflicts_with = "image")]
    pub from: Option<String>,
    /// A container image instead
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// What kind of package it is [default: what its name says, else plain]
    #[arg(long, value_parser = ["fat_jar", "war", "python_zip", "php_zip", "plain"], conflicts_with = "image")]
    pub kind: Option<String>,
    /// What is run, in the folder of the package; split as a shell would, and run
    /// without one. The port to listen on is in PORT
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub command: Option<String>,
    /// How many replicas [default: 1]
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,
    /// The port of this host on which the application is reached
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// A replica serves once it answers this path with 200 to 399 [default: once
    /// it takes a connection]
    #[arg(long, value_name = "PATH")]
    pub health: Option<String>,
    /// A replica that does not answer this path any more is started anew
    #[arg(long, value_name = "PATH")]
    pub live: Option<String>,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// A variable, and the secret that is its value (`backout apps secrets`); may
    /// be repeated
    #[arg(long, value_name = "K=SECRET", value_parser = pair)]
    pub secret: Vec<(String, String)>,
    /// Where a replica finds a file, and the file of this host with what is in it
    /// now; may be repeated
    #[arg(long, value_name = "PATH=FILE", value_parser = pair)]
    pub file: Vec<(String, String)>,
    /// Where a replica finds a text of a config map, by the number of that and the
    /// key there; may be repeated
    #[arg(long, value_name = "PATH=NUMBER/KEY", value_parser = mount)]
    pub mount: Vec<(String, u64, String)>,
    /// A variable, secret or file path that the version before had and this one
    /// has not; may be repeated
    #[arg(long, value_name = "K|PATH")]
    pub unset: Vec<String>,
    /// What else it is started with, e.g. `jdk=17`; may be repeated
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub component: Vec<(String, String)>,
    /// Processors of each replica, e.g. `2`, `0.5` or `500m`
    #[arg(long = "cpu", value_name = "CPUS", value_parser = cpus)]
    pub cpu_millis: Option<u32>,
    /// Memory of each replica, e.g. `256M` or `1G`; what needs more is killed
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// How long a replica may take to stop, e.g. `30s`
    #[arg(long = "grace", value_name = "TIME", value_parser = seconds)]
    pub grace_s: Option<u32>,
    /// What to call this version
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    #[command(flatten)]
    pub how: HowChanged,
    #[command(flatten)]
    pub go: Go,
}

/// `backout apps rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackApp {
    /// Its name or id
    #[arg(value_name = "NAME")]
    pub app: String,
    /// The version: its number, its label or its id [default: the newest one
    /// before the present one that may be gone back to]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// Leave the scaling rule off that comes back with the version
    #[arg(long)]
    pub no_scaling: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub how: HowChanged,
    #[command(flatten)]
    pub go: Go,
}

/// How replicas are changed. Nothing said: as many at once as let a quarter of
/// them stay ready.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How")]
pub(crate) struct HowChanged {
    /// In so many batches, one after the other
    #[arg(long, value_name = "N")]
    pub batches: Option<NonZeroU32>,
    /// So many replicas first, to be looked at; then the batches
    #[arg(long, value_name = "N")]
    pub gray: Option<NonZeroU32>,
    /// Each batch but the first waits for `backout apps confirm`
    #[arg(long, conflicts_with = "wait_between_s")]
    pub manual: bool,
    /// How long to wait between two batches, e.g. `30s`
    #[arg(long = "wait-between", value_name = "TIME", value_parser = seconds)]
    pub wait_between_s: Option<u32>,
    /// How many replicas must stay ready the whole time, as a number or in per
    /// cent; 0 interrupts service [default: a quarter]
    #[arg(long, value_name = "N|N%", value_parser = share)]
    pub min_ready: Option<Share>,
    /// How many may run beyond the usual number meanwhile [default: as few as
    /// are needed]
    #[arg(long, value_name = "N|N%", value_parser = share)]
    pub surge: Option<Share>,
    /// Free text, kept with the order
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// Whether and how an order is begun and waited for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Go {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "no_wait")]
    pub dry_run: bool,
    /// Makes a repeated call start nothing twice
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

/// A number of replicas, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Count(u32),
    Percent(u8),
}

/// `backout approve`.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Id of the order, or name or id of its application
    #[arg(value_name = "ORDER")]
    pub order: String,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Namespaces {
    /// List them
    #[command(visible_alias = "ls")]
    List,
    /// Make one
    Create {
        /// Its id: lower-case letters, digits and hyphens
        #[arg(value_name = "ID")]
        namespace: String,
        /// What people call it [default: its id]
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Free text
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Give one another name or description
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["name", "description"]))]
    Set {
        /// Its id
        #[arg(value_name = "ID")]
        namespace: String,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Free text
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Take one away in which no application is
    #[command(visible_alias = "rm")]
    Delete {
        /// Its id
        #[arg(value_name = "ID")]
        namespace: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// List their names; nobody is shown what they are
    #[command(visible_alias = "ls")]
    List {
        /// The namespace they are in [default: the usual one]
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
    },
    /// Set one. Versions that were deployed keep the value they had
    Set {
        /// Its name
        name: String,
        /// The namespace it is in [default: the usual one]
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        /// A file with its value; `-` reads it from stdin, so that no list of
        /// processes shows it
        #[arg(long, value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },
    /// Delete one that no version needs
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name
        name: String,
        /// The namespace it is in [default: the usual one]
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigMaps {
    /// List them
    #[command(visible_alias = "ls")]
    List {
        /// The namespace they are in [default: the usual one]
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
    },
    /// Show one, with its texts
    Show {
        /// Its number
        number: u64,
    },
    /// Make one
    Create {
        /// What to call it
        name: String,
        /// The namespace it is in [default: the usual one]
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        /// A key, and the file with its text; may be repeated
        #[arg(long, value_name = "KEY=FILE", value_parser = pair, required = true)]
        file: Vec<(String, String)>,
    },
    /// Give one other texts. Versions that were deployed keep those they had
    Set {
        /// Its number
        number: u64,
        /// A key, and the file with its text; may be repeated
        #[arg(long, value_name = "KEY=FILE", value_parser = pair, required = true)]
        file: Vec<(String, String)>,
    },
    /// Delete one
    #[command(visible_alias = "rm")]
    Delete {
        /// Its number
        number: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scaling {
    /// List the rules of an application
    #[command(visible_alias = "ls")]
    List {
        /// Its name or id
        #[arg(value_name = "NAME")]
        app: String,
    },
    /// Set a rule: make it, or change it
    Set {
        /// Name or id of the application
        #[arg(value_name = "NAME")]
        app: String,
        /// Name of the rule
        rule: String,
        /// The rule, a JSON document; `-` reads it from stdin
        #[arg(long, value_name = "FILE")]
        rule_file: PathBuf,
    },
    /// Switch a rule on
    Enable {
        /// Name or id of the application
        #[arg(value_name = "NAME")]
        app: String,
        /// Name of the rule
        rule: String,
    },
    /// Switch a rule off
    Disable {
        /// Name or id of the application
        #[arg(value_name = "NAME")]
        app: String,
        /// Name of the rule
        rule: String,
    },
    /// Delete a rule
    #[command(visible_alias = "rm")]
    Delete {
        /// Name or id of the application
        #[arg(value_name = "NAME")]
        app: String,
        /// Name of the rule
        rule: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppSettings {
    /// Show those of an account, and those of the service as a whole
    Show {
        /// The account's name or id [default: your own]
        account: Option<String>,
    },
    /// Change those of an account; what is not said stays as it is
    Account(AccountSettings),
    /// Change those of the service as a whole; what is not said stays as it is
    Service(ServiceSettings),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["in_debt", "replicas_of_app", "replicas", "approval"]))]
pub(crate) struct AccountSettings {
    /// The account's name or id
    pub account: String,
    /// Whether it owes money: nothing is started for it then
    #[arg(long, value_name = "BOOL")]
    pub in_debt: Option<bool>,
    /// How many replicas one of its applications may have
    #[arg(long, value_name = "N")]
    pub replicas_of_app: Option<u32>,
    /// How many replicas its applications may have together
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,
    /// Whose orders wait for `backout approve`, beside those of whom a policy asks
    /// it
    #[arg(long, value_parser = ["nobody", "sub_accounts", "everybody"])]
    pub approval: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["upgrading", "cpu_millis", "memory", "size", "any_size", "unbounded"]))]
pub(crate) struct ServiceSettings {
    /// Whether it is being upgraded: it takes no orders then
    #[arg(long, value_name = "BOOL")]
    pub upgrading: Option<bool>,
    /// How many processors all replicas may have together
    #[arg(long = "cpu", value_name = "CPUS", value_parser = cpus)]
    pub cpu_millis: Option<u32>,
    /// How much memory all replicas may have together
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// Both without a bound
    #[arg(long, conflicts_with_all = ["cpu_millis", "memory"])]
    pub unbounded: bool,
    /// A size that a replica may have, e.g. `500m:1G`; may be repeated, for all
    /// that there are
    #[arg(long, value_name = "CPUS:SIZE", value_parser = replica_size)]
    pub size: Vec<(u32, Size)>,
    /// Let replicas have any size
    #[arg(long, conflicts_with = "size")]
    pub any_size: bool,
}

/// `CPUS:SIZE`.
fn replica_size(text: &str) -> Result<(u32, Size), String> {
    let (cpu, memory) = text
        .split_once(':')
        .ok_or_else(|| "give processors and memory, e.g. 500m:1G".to_owned())?;
    let memory = memory.parse::<Size>().map_err(|e| e.to_string())?;
    Ok((cpus(cpu)?, memory))
}

/// `K=V`: the first equals sign parts the two.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give a name and a value with = between them".to_owned()),
    }
}

/// `PATH=NUMBER/KEY`.
fn mount(text: &str) -> Result<(String, u64, String), String> {
    let wrong = || {
        "give a path, the number of a config map and a key there, e.g. /etc/app.conf=3/app.conf"
            .to_owned()
    };
    let (path, of) = text.split_once('=').ok_or_else(wrong)?;
    let (number, key) = of.split_once('/').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    match path.is_empty() || key.is_empty() {
        true => Err(wrong()),
        false => Ok((path.to_owned(), number, key.to_owned())),
    }
}

/// Processors, as thousandths of one.
fn cpus(text: &str) -> Result<u32, String> {
    let wrong = || "give a number of processors, e.g. 2, 0.5 or 500m".to_owned();
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let millis = match text.strip_suffix('m') {
        Some(millis) => digits(millis).then(|| millis.parse().ok()).flatten(),
        None => {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            if !digits(whole) || !digits(part) || part.len() > 3 {
                return Err(wrong());
            }
            let part: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
            whole
                .parse::<u32>()
                .ok()
                .and_then(|n| n.checked_mul(1000)?.checked_add(part))
        }
    };
    millis.filter(|n| *n > 0).ok_or_else(wrong)
}

/// `N` or `N%`.
fn share(text: &str) -> Result<Share, String> {
    let wrong = || "give a number of replicas, or a share of them such as 50%".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .ok()
            .filter(|p| *p <= 100)
            .map(Share::Percent)
            .ok_or_else(wrong),
        None => text.parse().map(Share::Count).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_in_one_word() {
        assert_eq!(pair("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(pair("A="), Ok(("A".into(), String::new())));
        assert!(pair("=b").is_err() && pair("A").is_err());
        assert_eq!(
            mount("/etc/a=3/a/b"),
            Ok(("/etc/a".into(), 3, "a/b".into()))
        );
        for bad in ["", "/etc/a", "/etc/a=3", "/etc/a=x/y", "=3/y", "/a=3/"] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
        for (text, millis) in [
            ("2", 2000),
            ("0.5", 500),
            ("1.25", 1250),
            ("500m", 500),
            ("0.001", 1),
        ] {
            assert_eq!(cpus(text), Ok(millis), "{text}");
        }
        for bad in [
            "", "0", "0m", "m", ".5", "1.", "+1", "-1", "1.2345", "x", "5000000",
        ] {
            assert!(cpus(bad).is_err(), "{bad:?}");
        }
        assert_eq!(share("3"), Ok(Share::Count(3)));
        assert_eq!(share("50%"), Ok(Share::Percent(50)));
        for bad in ["", "%", "101%", "-1", "a"] {
            assert!(share(bad).is_err(), "{bad:?}");
        }
    }
}
