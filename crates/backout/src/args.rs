//! The command line, as clap sees it. Its form is fixed: scripts rely on it.

mod apps;
mod databases;
mod engines;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use backout_core::size::Size;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use apps::{
    AppSettings, Approve, Apps, ConfigMaps, Deploy, Go, HowChanged, Namespaces, RollbackApp,
    Scaling, Secrets, Share,
};
pub(crate) use databases::{
    CloneDatabase, DatabaseSchedule, Databases, HowApplied, RollbackDatabase, Url,
};
pub(crate) use engines::{CreateEngine, EngineImage, Engines, Sure};

const AFTER_HELP: &str = "\
Where the server is, and who calls:
  --data DIR, else BACKOUT_URL with BACKOUT_SECRET_ID and BACKOUT_SECRET_KEY
  (and BACKOUT_TOKEN for temporary keys), else BACKOUT_DATA. A folder is the one
  that `backout serve --data DIR` was given; its admin.json is read.
  BACKOUT_CA_FILE: a PEM file with the authority of an https:// server.

Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  refused: preflight found a blocker, or another job is in the way
  4  the job was reverted: everything is as before
  5  the job is held: nothing moves, `backout jobs show` says what to type
  6  the server cannot be reached
  7  not authenticated, or not allowed by policy";

/// Takes applications, databases, servers and data engines back to an earlier
/// state, and that back again.
#[derive(Debug, Parser)]
#[command(name = "backout", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Folder of the server: where it keeps its state, and where its address
    /// and key pair are found [env: BACKOUT_DATA]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub data: Option<PathBuf>,
    /// Print exactly one JSON value on stdout
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<Serve>),
    /// Servers whose disks can be taken back
    #[command(subcommand)]
    Servers(Servers),
    /// Data disks, which servers can be given and deprived of
    #[command(subcommand)]
    Disks(Disks),
    /// Images that servers are made of
    #[command(subcommand)]
    Images(Images),
    /// Restore points of servers and data disks
    #[command(subcommand)]
    Snapshots(Snapshots),
    /// Databases whose tables can be taken back to any instant
    #[command(subcommand)]
    Databases(Databases),
    /// Applications, which can be taken back to an earlier version
    #[command(subcommand)]
    Apps(Box<Apps>),
    /// Data engines, whose image can be switched and taken back
    #[command(subcommand)]
    Engines(Box<Engines>),
    /// Approve a change order that somebody else asked for
    Approve(Approve),
    /// List everything that is managed
    Resources,
    /// Say what stands in the way of a rollback, and what to know before it
    Check(Target),
    /// Show the steps that a rollback would run
    Plan(Target),
    /// Take a resource back to a restore point
    Rollback(Rollback),
    /// Take an applied rollback back, to the safety point that it left
    Undo(Undo),
    /// Running and ended work
    #[command(subcommand)]
    Jobs(Jobs),
    /// Who may call
    #[command(subcommand)]
    Accounts(Accounts),
    /// Faults on demand, for tests of runbooks: on a server that was started
    /// with --faults
    #[command(subcommand)]
    Faults(Faults),
    /// What a call was, by the id in its answer
    #[command(subcommand)]
    Requests(Requests),
    /// Say what this host can do, and what it takes for constant time
    Doctor(Doctor),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version, and the server's when it is known where that is
    Version,
    /// Carry the traffic of one application: the server runs this, nobody else
    /// should
    #[command(hide = true)]
    Gateway {
        /// The folder of the gateway
        #[arg(long)]
        dir: PathBuf,
    },
    /// Keep one managed process: the server runs this, nobody else should
    #[command(hide = true)]
    Shim {
        /// The run folder of the process
        folder: PathBuf,
    },
    /// Keep one container, or work in it: its shim runs this, nobody else should
    #[command(hide = true)]
    Container {
        /// What to do, and for which
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// The most days that safety points are kept: ten years is as good as for ever,
/// and an instant that far away can still be written down.
pub(crate) const SAFETY_DAYS_MAX: u32 = 3660;

/// `backout serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:7780]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Listen on an address that other machines reach, without TLS. What is
    /// signed there can be replayed for five minutes by whoever sees it
    #[arg(long)]
    pub insecure_listen: bool,
    /// Where to listen for TLS, beside the plain listener
    #[arg(long, value_name = "ADDR", requires = "tls_cert", requires = "tls_key")]
    pub tls_listen: Option<SocketAddr>,
    /// Certificate chain, in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key, in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where the state is: sqlite://FILE or postgres://USER:PASSWORD@HOST:PORT/DB
    /// [default: DIR/state.db]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// A TOML file with the same settings; the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this host among those that share a store [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// How many jobs run at once
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Calls that an account may make in a second, for each action [default: 20]
    #[arg(long, value_name = "N")]
    pub rate_limit: Option<NonZeroU32>,
    /// For how many days what a rollback replaced is kept, so that it can be
    /// undone [default: 7]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SAFETY_DAYS_MAX)))]
    pub safety_days: Option<u32>,
    /// Where the container engine listens that runs images
    /// [default: /var/run/docker.sock]
    #[arg(long, value_name = "SOCKET")]
    pub container_engine: Option<PathBuf>,
    /// The address that the ports of applications are opened on [default: 0.0.0.0]
    #[arg(long, value_name = "IP")]
    pub apps_listen: Option<IpAddr>,
    /// What runs Java web archives: its name, and a program that is called with
    /// the archive and finds JAVA_HOME and PORT in its environment; may be repeated
    #[arg(long, value_name = "NAME=PROGRAM")]
    pub web_container: Vec<String>,
    /// The address that data engines answer on, which ask nobody who they are
    /// [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub engines_listen: Option<IpAddr>,
    /// For how many seconds a switch of a data engine waits for statements that
    /// run before it cuts them [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub engines_drain: Option<u32>,
    /// Run applications without their limits of processor and memory where this
    /// host cannot enforce them, instead of refusing
    #[arg(long)]
    pub without_limits: bool,
    /// A host name that clients sign, when a proxy in front changes it; may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    pub public_host: Vec<String>,
    /// A region that calls may name; may be repeated [default: the vendors' own]
    #[arg(long, value_name = "REGION")]
    pub region: Vec<String>,
    /// With the fault switch (`backout faults`), for tests of runbooks: calls and
    /// steps can be made to fail. Never where it matters
    #[arg(long)]
    pub faults: bool,
    /// Give `admin` another key pair and write it to DIR/admin.json: for a lost
    /// file, or for a further folder on a shared store
    #[arg(long)]
    pub new_admin_key: bool,
    /// What to log, e.g. `info,backout_jobs=debug` [env: RUST_LOG]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Servers {
    /// List them
    #[command(visible_alias = "ls")]
    List,
    /// Take an existing disk image under management, in place
    Add(Box<AddServer>),
    /// Make one, or several, of an image
    Create(CreateServers),
    /// Show one
    Show {
        /// Its name or id
        #[arg(value_name = "NAME")]
        server: String,
    },
    /// Start those that are stopped, all of them or none
    Start {
        /// Their names or ids
        #[arg(value_name = "NAME", required = true)]
        servers: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop those that run, all of them or none: by the power button, and when
    /// the guest does not obey, by force
    Stop {
        /// Their names or ids
        #[arg(value_name = "NAME", required = true)]
        servers: Vec<String>,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop those that run and start them again, all of them or none
    Reboot {
        /// Their names or ids
        #[arg(value_name = "NAME", required = true)]
        servers: Vec<String>,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give them back: they are stopped for good, and wait to be terminated
    Isolate {
        /// Their names or ids
        #[arg(value_name = "NAME", required = true)]
        servers: Vec<String>,
        /// Detach their data disks now, rather than when they are terminated
        #[arg(long)]
        with_disks: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Remove those that were given back. A disk that was made of an image goes
    /// with its restore points; a file of yours, and data disks, stay
    Terminate {
        /// Their names or ids
        #[arg(value_name = "NAME", required = true)]
        servers: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Make the system disk of one anew of an image; `backout undo` brings the
    /// old one back
    Reset {
        /// Its name or id
        #[arg(value_name = "NAME")]
        server: String,
        /// Id or name of the image [default: the one that it was made of]
        #[arg(long)]
        image: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give one another name
    Rename {
        /// Its name or id
        #[arg(value_name = "NAME")]
        server: String,
        /// What to call it
        #[arg(value_name = "NEW")]
        name: String,
    },
    /// Change the commands that start and stop one, at any time: a job that is held
    /// for a wrong one can be retried then
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["start_cmd", "stop_cmd"]))]
    Set {
        /// Its name or id
        #[arg(value_name = "NAME")]
        server: String,
        /// Command, for `sh -c`, that starts what runs on the disk; an empty text
        /// takes it away
        #[arg(long, value_name = "COMMAND")]
        start_cmd: Option<String>,
        /// Command, for `sh -c`, that stops it, and returns when it let the disk
        /// go; an empty text takes it away
        #[arg(long, value_name = "COMMAND")]
        stop_cmd: Option<String>,
    },
    /// Shorten the chain of layers under the disk of one, while it runs or not
    Compact {
        /// Its name or id
        #[arg(value_name = "NAME")]
        server: String,
        #[command(flatten)]
        compact: CompactHow,
    },
    /// Have snapshots of one taken by themselves, or no longer
    Schedule(Schedule),
    /// List the sizes that servers are made in
    Sizes,
    /// Take one out of management; its disk and its restore points stay
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name or id
        #[arg(value_name = "NAME")]
        server: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddServer {
    /// What to call it
    pub name: String,
    /// The image file: raw or qcow2. Its path and format stay as they are
    #[arg(long, value_name = "FILE")]
    pub disk: PathBuf,
    /// The format of that file [default: what it looks like]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// How snapshots are taken [default: the fastest that keeps the format]
    #[arg(long, value_enum)]
    pub driver: Option<Driver>,
    /// Command, for `sh -c`, that starts what runs on the disk
    #[arg(long, value_name = "COMMAND")]
    pub start_cmd: Option<String>,
    /// Command, for `sh -c`, that stops it, and returns when it let the disk go
    #[arg(long, value_name = "COMMAND")]
    pub stop_cmd: Option<String>,
    /// It runs now
    #[arg(long, requires = "stop_cmd")]
    pub running: bool,
    /// Run it as a virtual machine
    #[arg(long, conflicts_with_all = ["start_cmd", "stop_cmd", "running"])]
    pub machine: bool,
    /// Virtual CPUs of the machine [default: 1]
    #[arg(long, value_name = "N", requires = "machine")]
    pub cpus: Option<NonZeroU32>,
    /// Memory of the machine, e.g. `512M` or `2G` [default: 512M]
    #[arg(long, value_name = "SIZE", requires = "machine")]
    pub memory: Option<Size>,
    #[command(flatten)]
    pub boot: Boot,
    /// A port of 127.0.0.1 that leads into the machine, e.g. `2222:22`; may be
    /// repeated
    #[arg(long, value_name = "HOST:GUEST", value_parser = forward, requires = "machine")]
    pub forward: Vec<(u16, u16)>,
    #[command(flatten)]
    pub wait: Wait,
}

/// What a machine boots, when it is not what its disk has.
#[derive(Debug, Default, Args)]
pub(crate) struct Boot {
    /// Kernel to boot, instead of what the disk has
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Initial RAM disk for that kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// Command line for that kernel
    #[arg(
        long,
        value_name = "TEXT",
        requires = "kernel",
        allow_hyphen_values = true
    )]
    pub append: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateServers {
    /// What to call it; `-1`, `-2` and so on follow it when there are several
    pub name: String,
    /// Id or name of the image
    #[arg(long)]
    pub image: String,
    /// One of `backout servers sizes`
    #[arg(long)]
    pub size: String,
    /// How many
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::MIN)]
    pub count: NonZeroU32,
    /// A port of 127.0.0.1 that leads into the machine, e.g. `2222:22`; may be
    /// repeated
    #[arg(long, value_name = "HOST:GUEST", value_parser = forward)]
    pub forward: Vec<(u16, u16)>,
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "no_wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub wait: Wait,
}

/// How a machine is stopped.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct How {
    /// By force at once: for the guest, a power cut
    #[arg(long, conflicts_with = "soft")]
    pub hard: bool,
    /// By the power button alone: fails when the guest does not obey
    #[arg(long)]
    pub soft: bool,
}

impl How {
    pub(crate) const fn as_str(self) -> &'static str {
        match (self.hard, self.soft) {
            (true, _) => "hard",
            (false, true) => "soft",
            (false, false) => "soft_first",
        }
    }
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("when").required(true).args(["every_s", "off"]))]
pub(crate) struct Schedule {
    /// Its name or id
    #[arg(value_name = "NAME")]
    pub server: String,
    /// From one snapshot to the next, e.g. `24h` or `7d`
    #[arg(long = "every", value_name = "TIME", value_parser = seconds, requires = "keep")]
    pub every_s: Option<u32>,
    /// How many of them are kept; the oldest goes first
    #[arg(long, value_name = "N", conflicts_with = "off")]
    pub keep: Option<u32>,
    /// No more; those that were taken stay
    #[arg(long)]
    pub off: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CompactHow {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "no_wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Disks {
    /// List them
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this server
        #[arg(long)]
        server: Option<String>,
        /// The servers' system disks, too
        #[arg(long)]
        all: bool,
    },
    /// Show one
    Show {
        /// Its name or id
        disk: String,
    },
    /// Make a blank one, or take an existing image under management, in place
    Add(AddDisk),
    /// Give one to a server, while that runs or not
    Attach {
        /// Its name or id
        disk: String,
        /// Name or id of the server
        server: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Take one from its server, while that runs or not
    Detach {
        /// Its name or id
        disk: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Shorten the chain of layers under one
    Compact {
        /// Its name or id
        disk: String,
        #[command(flatten)]
        compact: CompactHow,
    },
    /// Take one out of management. One that was made blank goes with its restore
    /// points; a file of yours stays
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name or id
        disk: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["file", "size"]))]
pub(crate) struct AddDisk {
    /// What to call it
    pub name: String,
    /// An existing image: raw or qcow2. Its path and format stay as they are
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// The format of that file [default: what it looks like]
    #[arg(long, value_enum, requires = "file")]
    pub format: Option<Format>,
    /// A blank disk of this size, e.g. `10G`
    #[arg(long)]
    pub size: Option<Size>,
    /// How restore points are taken [default: the fastest that fits]
    #[arg(long, value_enum)]
    pub driver: Option<Driver>,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// List them
    #[command(visible_alias = "ls")]
    List,
    /// Show one
    Show {
        /// Its id or name
        image: String,
    },
    /// Refer to an existing image file, in place: nobody may write to it any
    /// more
    Add {
        /// What to call it
        name: String,
        /// The image file: raw or qcow2
        #[arg(long)]
        file: PathBuf,
        /// The format of that file [default: what it looks like]
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// Free text
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        boot: Boot,
    },
    /// Make one of a server's system disk
    Create {
        /// What to call it
        name: String,
        /// Name or id of the server
        #[arg(long)]
        server: String,
        /// Free text
        #[arg(long)]
        description: Option<String>,
        /// Stop a server that runs, and start it again after
        #[arg(long)]
        force_stop: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Forget one. One that was made of a server is removed, a file of yours
    /// stays
    Delete {
        /// Its id
        #[arg(value_name = "ID")]
        image: String,
        #[command(flatten)]
        wait: Wait,
    },
}

/// `HOST:GUEST`, two ports.
fn forward(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<u16>().ok().filter(|port| *port > 0),
        false => None,
    };
    text.split_once(':')
        .and_then(|(host, guest)| port(host).zip(port(guest)))
        .ok_or_else(|| "give two ports, e.g. 2222:22".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// Shared blocks: constant time, on XFS and btrfs
    Reflink,
    /// Overlays by qemu-img: constant time, anywhere
    Qcow2,
    /// A sparse copy: time grows with the contents, anywhere
    Copy,
}

impl Driver {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Qcow2 => "qcow2",
            Self::Copy => "copy",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The bytes of the disk, one after the other
    Raw,
    /// QEMU's own; a file below it is opened as well
    Qcow2,
}

impl Format {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshots {
    /// List those of a server or of a data disk, or of all
    #[command(visible_alias = "ls")]
    List {
        /// Of what: `server/NAME`, `disk/NAME`, or just the name of a server
        resource: Option<String>,
    },
    /// Take one
    Create {
        /// Of what: `server/NAME`, `disk/NAME`, or just the name of a server
        resource: String,
        /// What to call it [default: the name of what it is of, and the time]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give one another name
    Rename {
        /// Its id
        #[arg(value_name = "ID")]
        snapshot: String,
        /// What to call it
        name: String,
    },
    /// Delete one; the present contents of the disk stay
    Delete {
        /// Its id
        #[arg(value_name = "ID")]
        snapshot: String,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Target {
    /// What: `server/NAME`, `disk/NAME`, or just the name or id of a server
    pub resource: String,
    /// Back to which restore point: id or name of a snapshot
    #[arg(long, value_name = "POINT")]
    pub to: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub target: Target,
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with_all = ["yes", "no_wait"])]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Makes a repeated call start nothing twice
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Undo {
    /// The job to take back
    pub job: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List them, newest first
    #[command(visible_alias = "ls")]
    List {
        /// Only those in this state, or that ended so
        #[arg(long, value_parser = ["queued", "running", "done", "applied", "reverted", "held"])]
        state: Option<String>,
        /// Only those of this resource
        #[arg(long)]
        resource: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show one, with its steps
    Show {
        /// Its id
        job: String,
    },
    /// Follow one to its end
    Watch {
        /// Its id
        job: String,
    },
    /// Stop one and take back what it did
    Cancel {
        /// Its id
        job: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Go on with a held one
    Retry {
        /// Its id
        job: String,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Accounts {
    /// List them
    #[command(visible_alias = "ls")]
    List,
    /// Make one; prints its key pair, this once
    Create {
        /// Its name
        name: String,
        /// A policy in the vendors' JSON form: then it works on your resources,
        /// within that policy. Without one it has resources of its own
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Show one, with its keys
    Show {
        /// Its name or id
        account: String,
    },
    /// Refuse all its keys, and its sub-accounts', until it is enabled again
    Disable {
        /// Its name or id
        account: String,
    },
    /// Accept it again
    Enable {
        /// Its name or id
        account: String,
    },
    /// Delete it and its keys; one that owns resources stays
    Delete {
        /// Its name or id
        account: String,
    },
    /// Give it another policy
    Policy {
        /// Its name or id
        account: String,
        /// The policy; `-` reads it from stdin
        #[arg(value_name = "FILE")]
        policy: PathBuf,
    },
    /// Its keys
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make another pair; prints it, this once
    Add {
        /// The account's name or id
        account: String,
    },
    /// Refuse a key until it is enabled again
    Disable {
        /// The account's name or id
        account: String,
        /// The SecretId
        key: String,
    },
    /// Accept a key again
    Enable {
        /// The account's name or id
        account: String,
        /// The SecretId
        key: String,
    },
    /// Delete a key for good
    Delete {
        /// The account's name or id
        account: String,
        /// The SecretId
        key: String,
    },
    /// Make a temporary pair with a token; prints it, this once
    Token {
        /// The account's name or id
        account: String,
        /// How long it lives
        #[arg(long, default_value_t = 3600)]
        seconds: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Faults {
    /// Let calls be answered with an error, or a step of a job fail
    Add(Box<AddFault>),
    /// List them, in the order in which they are tried
    #[command(visible_alias = "ls")]
    List,
    /// Take one away
    #[command(visible_alias = "rm")]
    Remove {
        /// Its id
        #[arg(value_name = "ID")]
        fault: String,
    },
    /// Take all of them away
    Clear,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["action", "step"]))]
pub(crate) struct AddFault {
    /// Which calls, as policies name them, e.g. `lighthouse:ApplyInstanceSnapshot`
    /// or `lighthouse:*`
    #[arg(long, requires = "code")]
    pub action: Option<String>,
    /// The code that those calls answer; one that their service has
    #[arg(long, requires = "action")]
    pub code: Option<String>,
    /// Which step of which kind of job, e.g. `servers.apply_snapshot/swap`
    #[arg(long, value_name = "PROCEDURE/STEP")]
    pub step: Option<String>,
    /// The undo of the step: the job is held
    #[arg(long, conflicts_with = "action")]
    pub undo: bool,
    /// Where in the step [default: after-intent]
    #[arg(long, value_enum, conflicts_with = "action")]
    pub moment: Option<Moment>,
    /// What the caller, or the job, is told
    #[arg(long)]
    pub message: Option<String>,
    /// Only calls that name this, or jobs on it: `server/NAME`, a name or an id
    #[arg(long)]
    pub resource: Option<String>,
    /// How often [default: no limit]
    #[arg(long, value_name = "N")]
    pub count: Option<NonZeroU32>,
    /// For how long, e.g. `90s`, `10m`, `2h` or `1d` [default: no limit]
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub lasts_s: Option<u32>,
}

/// A number with its unit, as seconds.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "give a number with its unit, e.g. 90s, 10m, 2h or 1d".to_owned();
    for (unit, unit_s) in [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600)] {
        let Some(digits) = text.strip_suffix(unit) else {
            continue;
        };
        // `+5` parses as a number, too.
        let number: Option<u32> = match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().ok(),
            false => None,
        };
        return number.and_then(|n| n.checked_mul(unit_s)).ok_or_else(wrong);
    }
    Err(wrong())
}

/// An instant in the life of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Moment {
    /// Before it is written down that it starts
    BeforeIntent,
    /// That is written down, and nothing is done
    AfterIntent,
    /// It is done, and that is not written down
    AfterEffect,
    /// It is done and written down
    AfterRecord,
}

impl Moment {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before_intent",
            Self::AfterIntent => "after_intent",
            Self::AfterEffect => "after_effect",
            Self::AfterRecord => "after_record",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Requests {
    /// Show what is known of one
    Show {
        /// The RequestId of an answer
        request: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Look at this folder, here, without a server
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_in_pairs() {
        assert_eq!(forward("2222:22"), Ok((2222, 22)));
        for bad in [
            "", "22", ":22", "22:", "0:1", "1:0", "+1:1", "65536:1", "1:2:3",
        ] {
            assert!(forward(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, want) in [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(seconds(text), Ok(want));
        }
        for bad in ["", "s", "10", "10 m", "-1s", "1.5h", "99999999d", "10ü"] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }
}
