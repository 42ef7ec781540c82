//! `backout engines`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Go;

#[derive(Debug, Subcommand)]
pub(crate) enum Engines {
    /// List them
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this kind
        #[arg(long)]
        kind: Option<String>,
    },
    /// Show one: what it runs, where it answers, what holds it
    Show {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
    },
    /// Make one, and start it
    Create(Box<CreateEngine>),
    /// Say whether the last change of its image can be taken back, and to what
    Check {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
    },
    /// Give one another version, beside the one that answers where memory allows.
    /// What becomes of parameters is told first
    Switch {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// The version, by name or id; of a major version the newest minor one
        #[arg(long, value_name = "VERSION")]
        image: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Give one the newest minor version of its major version
    Upgrade {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Take the last change of its image back: the version and the parameters of
    /// the record before
    Rollback {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// List what was done to the image of one, newest first
    Log {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show what happened to one, newest first: also what failed, and why
    Events {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show what its instance wrote last
    Output {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// How many lines
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        lines: u32,
    },
    /// List its parameters, or set some: it is started anew with them
    Set {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// What to set
        #[arg(value_name = "PARAMETER=VALUE", value_parser = pair)]
        parameters: Vec<(String, String)>,
        /// Take a parameter off, so that the default of the version holds; may be
        /// repeated
        #[arg(long, value_name = "PARAMETER")]
        unset: Vec<String>,
        #[command(flatten)]
        sure: Sure,
    },
    /// Change the size of one; it is only noted where nothing of the version
    /// depends on it
    Resize {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// Compute units, of one processor and 4 GiB
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        size: u32,
        #[command(flatten)]
        sure: Sure,
    },
    /// Change what is said about one
    Describe {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// Free text
        text: String,
    },
    /// Stop one; it keeps its endpoint, its version and its data
    Suspend {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Start one that is suspended
    Resume {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        #[command(flatten)]
        go: Go,
    },
    /// Start one anew, beside the instance that answers where memory allows
    Restart {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// At once, without waiting for statements that run
        #[arg(long)]
        forced: bool,
        #[command(flatten)]
        go: Go,
    },
    /// Take one away, with its log and the data that it keeps, for good
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Ask one a statement, from this machine: for engines that speak HTTP
    Query {
        /// Its name or id
        #[arg(value_name = "NAME")]
        engine: String,
        /// The statement
        sql: String,
    },
    /// List the versions that engines can have
    Images {
        /// Only those for engines of this kind
        #[arg(long)]
        kind: Option<String>,
    },
    /// One version of the catalogue
    #[command(subcommand)]
    Image(EngineImage),
}

/// `backout engines image`.
#[derive(Debug, Subcommand)]
pub(crate) enum EngineImage {
    /// Add a version, or replace the one of the same name. What is wrong with it
    /// is told
    Add {
        /// A TOML file, see docs/engines.md; `-` is stdin
        file: PathBuf,
    },
    /// Show one with its parameters and its entry
    Show {
        /// Its name or id
        #[arg(value_name = "VERSION")]
        image: String,
    },
}

/// `backout engines create`.
#[derive(Debug, Args)]
pub(crate) struct CreateEngine {
    /// What to call it
    pub name: String,
    /// What kind: SparkSQL, PrestoSQL, SparkBatch, StandardSpark, StandardPresto or
    /// DuckDB
    #[arg(long)]
    pub kind: String,
    /// Its version, by name or id [default: the newest of its kind]
    #[arg(long, value_name = "VERSION")]
    pub image: Option<String>,
    /// A parameter of the version; may be repeated
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = pair, requires = "image")]
    pub parameters: Vec<(String, String)>,
    /// The port of its endpoint on the host of Backout [default: a free one]
    #[arg(long)]
    pub port: Option<u16>,
    /// Compute units, of one processor and 4 GiB [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub size: Option<u32>,
    /// What it executes [default: what is usual for its kind]
    #[arg(long, value_parser = ["SQL", "BATCH"])]
    pub exec_type: Option<String>,
    /// How it is shared and paid for [default: pay_as_you_go]
    #[arg(long, value_parser = ["shared", "pay_as_you_go", "monthly"])]
    pub mode: Option<String>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    #[command(flatten)]
    pub go: Go,
}

/// A change that is asked about first.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sure {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub go: Go,
}

/// `NAME=VALUE`; the value may be empty.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give PARAMETER=VALUE".to_owned()),
    }
}
