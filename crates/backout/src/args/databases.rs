//! `backout databases`.

use backout_core::size::Size;
use clap::{Args, Subcommand};

use super::Wait;

#[derive(Debug, Subcommand)]
pub(crate) enum Databases {
    /// List them
    #[command(visible_alias = "ls")]
    List,
    /// Take an existing server under management. What stands in the way is
    /// looked at first, and told with the statement that mends it
    Add {
        /// What to call it
        name: String,
        #[command(flatten)]
        url: Url,
        #[command(flatten)]
        wait: Wait,
    },
    /// Make a server on the host of Backout, which runs it
    Create {
        /// What to call it
        name: String,
        /// Memory, e.g. `512M` or `2G`: half of it goes to the buffer pool
        #[arg(long, value_name = "SIZE")]
        memory: Option<Size>,
        /// Its port [default: a free one]
        #[arg(long)]
        port: Option<u16>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show one
    Show {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
    },
    /// Say what stands in the way of taking one back, and what mends it
    Doctor {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
    },
    /// Change how one is reached, e.g. when its password was changed
    Set {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        #[command(flatten)]
        url: Url,
    },
    /// Give one another name
    Rename {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// What to call it
        #[arg(value_name = "NEW")]
        name: String,
    },
    /// Restart one that Backout runs
    Restart {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop one that Backout runs, or leave one alone that others run: its
    /// history ends there, until it is released
    Isolate {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Bring an isolated one back
    Release {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Remove an isolated one, with its history and its backups. A server that
    /// others run stays as it is
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// Keep the files of its history and its backups
        #[arg(long)]
        keep_history: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Say how far back one can be taken
    Range {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
    },
    /// List the databases on one, or the tables of such a database
    Tables {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// A database on it; all databases are listed when it is left out
        #[arg(value_name = "DATABASE")]
        schema: Option<String>,
    },
    /// List the binary logs that its server or the archive has, newest first
    Binlogs {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Say how long its server keeps its own binary logs; the archive's copies
    /// stay as long as `schedule` says
    KeepBinlogs {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// How many hours, 6 to 168
        #[arg(long, value_name = "N")]
        hours: u32,
        /// How much of the disk they may take, in per cent, 30 to 50
        #[arg(long, value_name = "N")]
        percent: u32,
    },
    /// Set when base backups are taken by themselves, and how long they and the
    /// history are kept. What is not said stays as it is. Backups that you take
    /// yourself stay until you delete them
    Schedule(DatabaseSchedule),
    /// Show transactions around an instant, to find the one to go back to
    History {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// Only those that changed this table
        #[arg(long, value_name = "DB.TABLE")]
        table: Option<String>,
        /// Around when: `2026-11-21 02:14:07` in the zone of the database, or
        /// with a zone, `2026-11-21T02:14:07+01:00` [default: now]
        #[arg(long, value_name = "TIME")]
        around: Option<String>,
        /// At most so many on each side
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Take tables or databases back to an instant: under new names, beside what
    /// is there, or in place
    Rollback(Box<RollbackDatabase>),
    /// Undo transactions in place, and nothing that came after them
    UndoTransaction {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// The transaction's id; may be repeated
        #[arg(long, value_name = "GTID", required = true)]
        gtid: Vec<String>,
        /// Only what it changed in this table; may be repeated
        #[arg(long, value_name = "DB.TABLE")]
        table: Vec<String>,
        /// Accept it when that tears transactions
        #[arg(long)]
        torn: bool,
        #[command(flatten)]
        how: HowApplied,
    },
    /// Make a server of one's past on the host of Backout, which runs it: with
    /// everything, as it was at an instant or in a base backup [default: now]
    Clone(CloneDatabase),
    /// Stop the rollback that runs on one; all will be as before
    Stop {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// List what was asked of one, newest first
    Tasks {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Take a base backup of one
    Backup {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
        /// What to call the backup [default: the name of the database, and the
        /// time]
        #[arg(long)]
        name: Option<String>,
        /// Only what changed since the newest one
        #[arg(long)]
        incremental: bool,
        /// Only this table (`db.*`: the tables of a database); may be repeated
        #[arg(long, value_name = "DB.TABLE", conflicts_with = "incremental")]
        table: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// List the base backups of one, newest first
    Backups {
        /// Its name or id
        #[arg(value_name = "NAME")]
        database: String,
    },
    /// Delete a base backup
    DeleteBackup {
        /// Name or id of the database
        #[arg(value_name = "NAME")]
        database: String,
        /// The backup's number
        #[arg(value_name = "NUMBER")]
        backup: u64,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Where a server is, and as whom to come.
#[derive(Debug, Args)]
pub(crate) struct Url {
    /// `mysql://USER:PASSWORD@HOST:PORT`; `-` reads it from stdin, so that no
    /// list of processes shows the password [env: BACKOUT_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `backout databases rollback`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["table", "database"]))]
pub(crate) struct RollbackDatabase {
    /// Its name or id
    #[arg(value_name = "NAME")]
    pub instance: String,
    /// To when: a time (`2026-11-21 02:14:07` in the zone of the database, or
    /// with a zone), the id of the last transaction to keep, or FILE:BYTE in the
    /// binary logs
    #[arg(long, value_name = "TIME|GTID|FILE:POS")]
    pub to: String,
    /// A table and its new name, `db.t=db.t2`; with --in-place just `db.t`. May
    /// be repeated
    #[arg(long, value_name = "DB.T=DB.T2")]
    pub table: Vec<String>,
    /// A whole database and its new name, `a=b`; may be repeated
    #[arg(long, value_name = "A=B", conflicts_with = "in_place")]
    pub database: Vec<String>,
    /// Take the tables themselves back, rather than make others beside them. It
    /// can be undone
    #[arg(long)]
    pub in_place: bool,
    /// How much of history is read [default: table, or db when only databases
    /// are named]
    #[arg(long, value_parser = ["table", "db", "full"], conflicts_with = "in_place")]
    pub strategy: Option<String>,
    /// Accept halves of transactions: those that changed something else, too
    #[arg(long)]
    pub torn: bool,
    /// The way [default: the faster one that can be gone]
    #[arg(long, value_parser = ["undo", "restore"], conflicts_with = "in_place")]
    pub road: Option<String>,
    #[command(flatten)]
    pub how: HowApplied,
}

/// `backout databases clone`.
#[derive(Debug, Args)]
pub(crate) struct CloneDatabase {
    /// Its name or id
    #[arg(value_name = "NAME")]
    pub database: String,
    /// What to call the new one
    #[arg(value_name = "NEW")]
    pub name: String,
    /// To when: a time (`2026-11-21 02:14:07` in the zone of the database, or
    /// with a zone), the id of the last transaction to keep, or FILE:BYTE in the
    /// binary logs
    #[arg(long, value_name = "TIME|GTID|FILE:POS")]
    pub to: Option<String>,
    /// What this base backup holds
    #[arg(long, value_name = "NUMBER", conflicts_with = "to")]
    pub backup: Option<u64>,
    /// Memory, e.g. `512M` or `2G`: half of it goes to the buffer pool [default:
    /// that of the source]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// Its port [default: a free one]
    #[arg(long)]
    pub port: Option<u16>,
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "no_wait")]
    pub dry_run: bool,
    /// Makes a repeated call start nothing twice
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

/// How something is done that takes rows back.
#[derive(Debug, Args)]
pub(crate) struct HowApplied {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with_all = ["yes", "no_wait"])]
    pub dry_run: bool,
    /// With a dry run of what is done in place: show some of the rows, as they
    /// are and as they would be
    #[arg(long, requires = "dry_run")]
    pub rows: bool,
    /// Do not ask. Only what is done in place is asked about
    #[arg(long, short)]
    pub yes: bool,
    /// Makes a repeated call start nothing twice
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct DatabaseSchedule {
    /// Its name or id
    #[arg(value_name = "NAME")]
    pub database: String,
    /// Within which hours of the day one begins, in the zone of the database,
    /// e.g. `2-6`
    #[arg(long, value_name = "FROM-TO", value_parser = hours, group = "what")]
    pub between: Option<(u8, u8)>,
    /// On which days of the week, 1 (Monday) to 7, e.g. `1,3,5`
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=7), group = "what")]
    pub days: Vec<u8>,
    /// How many days backups of the schedule are kept
    #[arg(long, value_name = "N", group = "what")]
    pub keep_days: Option<u32>,
    /// How many days the history is kept
    #[arg(long, value_name = "N", group = "what")]
    pub history_days: Option<u32>,
    /// Whether only what changed is copied where that can be: `true` or `false`
    #[arg(long, value_name = "BOOL", group = "what")]
    pub incremental: Option<bool>,
    /// Begin again after --off
    #[arg(long, conflicts_with = "off", group = "what")]
    pub on: bool,
    /// No more; those that were taken, and the history, stay
    #[arg(long, group = "what")]
    pub off: bool,
}

/// `FROM-TO`, in hours of the day.
fn hours(text: &str) -> Result<(u8, u8), String> {
    let wanted =
        || format!("{text:?} is no stretch of hours of one day: give two from 0 to 24, e.g. 2-6");
    let (from, to) = text.split_once('-').ok_or_else(wanted)?;
    let from: u8 = from.trim().parse().map_err(|_| wanted())?;
    let to: u8 = to.trim().parse().map_err(|_| wanted())?;
    (from < to && to <= 24)
        .then_some((from, to))
        .ok_or_else(wanted)
}
