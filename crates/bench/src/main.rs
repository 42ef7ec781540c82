//! The figures of `docs/figures.md`.
//!
//! Each bench measures two things beside each other, in alternating rounds of
//! one run, and prints the median of each and their ratio: a machine that is
//! slow, or busy, is so for both. Nothing but loopback is talked to, and every
//! process that is ended was started here.

#![expect(
    clippy::print_stdout,
    reason = "a program for people at a terminal: its tables are what it is for"
)]

mod apps;
mod baseline;
mod calls;
mod child;
mod databases;
mod disks;
mod engines;
mod jobs;
mod listing;
mod load;
mod recovery;
mod table;

use std::process::ExitCode;

/// That of `backout`, so that the bare handler has the same stack to the last.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
backout-bench WHAT...
  calls      signed calls a second, beside a bare handler and moto's server
  jobs       durable job creations a second, beside the disk's own fdatasync
  recovery   10,000 jobs in flight at kill -9: until all are claimed or queued
  listing    a page among 1,000 and among 1,000,000 restore points
  disks      snapshot and rollback by driver, beside cp
  apps       requests a second through the gateway, beside HAProxy, and a rollback
             in batches, beside its starts and beside Swarm
  gateway    only the gateway
  engines    whether an image can be rolled back, among few engines and many
  databases  tables back to an instant, beside flashback and replay
  all        all of them

Environment:
  BACKOUT_BIN          the server to measure [default: beside this program]
  BACKOUT_MOTO         moto_server [default: .cache/venv-bench/bin/moto_server]
  BACKOUT_BENCH_DIR    folder for scratch files, on the disk that counts
                       [default: .cache]
  BACKOUT_BENCH_LONG   if set, databases also have a window of 3.1 GB
  BACKOUT_BENCH_SCALE  N: databases are an N-th, to try the bench itself
  BACKOUT_BENCH_STEPS  if set, what each step of databases' jobs took";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        // Children of the benches.
        [baseline::CHILD, reply] => baseline::serve(reply),
        [recovery::CHILD, store] => recovery::work(store),
        ref whats => run(whats),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("a target was missed: see above");
            ExitCode::from(1)
        }
        Err(e) => {
            println!("error: failed to {e:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs what was asked for; says whether all targets were reached.
fn run(whats: &[&str]) -> anyhow::Result<bool> {
    let mut reached = true;
    for what in whats {
        reached &= match *what {
            "calls" => calls::run()?,
            "jobs" => jobs::run()?,
            "recovery" => recovery::run()?,
            "listing" => listing::run()?,
            "disks" => disks::run()?,
            "databases" => databases::run()?,
            "engines" => engines::run()?,
            "apps" => apps::run()?,
            "gateway" => apps::run_gateway()?,
            "all" => run(&[
                "calls",
                "jobs",
                "recovery",
                "listing",
                "disks",
                "apps",
                "engines",
                "databases",
            ])?,
            other => anyhow::bail!("measure {other:?}: there is no such bench\n{USAGE}"),
        };
    }
    Ok(reached)
}
