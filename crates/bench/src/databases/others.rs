//! What an operator has today: flashback, restore and replay; and the floor
//! that nobody is faster than.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::load::Server;
use super::{Digest, Moment};
use crate::child;

/// A plain base backup, as an operator takes it.
pub(crate) struct Base {
    folder: PathBuf,
    pub(crate) position: (String, u64),
}

fn backup(server: &Server) -> Command {
    let mut command = Command::new("mariadb-backup");
    command
        .arg("--no-defaults")
        .arg("--user=root")
        .arg(format!("--socket={}", server.socket().display()));
    command
}

/// Takes it.
pub(crate) fn base(server: &Server, folder: &Path) -> anyhow::Result<Base> {
    let folder = folder.join("base");
    child::done(
        backup(server)
            .arg("--backup")
            .arg(format!("--target-dir={}", folder.display())),
    )?;
    let position = position_of(&folder)?;
    Ok(Base { folder, position })
}

fn position_of(folder: &Path) -> anyhow::Result<(String, u64)> {
    let text = ["mariadb_backup_binlog_info", "xtrabackup_binlog_info"]
        .iter()
        .find_map(|name| std::fs::read_to_string(folder.join(name)).ok())
        .context("find where a backup is in the log")?;
    let mut words = text.split_whitespace();
    let (Some(file), Some(offset)) = (words.next(), words.next()) else {
        bail!("read where a backup is in the log: {text:?}");
    };
    Ok((file.to_owned(), offset.parse()?))
}

fn parts(name: &str) -> anyhow::Result<(&str, &str)> {
    name.split_once('.').context("a table has a database")
}

/// Where flashback leaves a table.
pub(crate) fn flashed(name: &str) -> String {
    format!("flash.{}", name.rsplit('.').next().unwrap_or(name))
}

/// Copies the table, then `mariadb-binlog --flashback` into the client.
pub(crate) fn flashback(
    server: &Server,
    name: &str,
    then: &Moment,
    folder: &Path,
) -> anyhow::Result<Duration> {
    let (database, table) = parts(name)?;
    let end = server.end()?;
    let began = Instant::now();
    let copy = flashed(name);
    server.run(&format!("CREATE TABLE {copy} LIKE {name}"))?;
    let mut session = server.session()?;
    session.exec("bench", "SET SESSION sql_log_bin=0")?;
    session.exec("bench", format!("INSERT INTO {copy} SELECT * FROM {name}"))?;
    drop(session);
    let logs: Vec<PathBuf> = server
        .logs()?
        .into_iter()
        .filter(|(log, _)| *log >= then.position.0 && *log <= end.0)
        .map(|(log, _)| server.data().join(log))
        .collect();
    let temporary = folder.join("flashback");
    std::fs::create_dir_all(&temporary)?;
    let mut reader = Command::new("mariadb-binlog")
        .arg("--no-defaults")
        .arg("--flashback")
        .arg("--disable-log-bin")
        .arg(format!("--database={database}"))
        .arg(format!("--table={table}"))
        .arg(format!("--rewrite-db={database}->flash"))
        .arg(format!("--start-position={}", then.position.1))
        .arg(format!("--stop-position={}", end.1))
        .env("TMPDIR", &temporary)
        .args(&logs)
        .stdout(Stdio::piped())
        .spawn()
        .context("start mariadb-binlog")?;
    let events = reader.stdout.take().context("read mariadb-binlog")?;
    let status = server.client().stdin(events).status()?;
    let read = reader.wait()?;
    anyhow::ensure!(status.success() && read.success(), "flash a table back");
    Ok(began.elapsed())
}

/// Where the replay leaves a table.
pub(crate) fn replayed(name: &str) -> String {
    format!("replay.{}", name.rsplit('.').next().unwrap_or(name))
}

/// Restores the base backup, replays the log up to the instant in a server of
/// its own, and moves the tables.
pub(crate) fn replay(
    server: &Server,
    base: &Base,
    then: &Moment,
    tables: &[&str],
    folder: &Path,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let restored = folder.join("restored");
    std::fs::create_dir_all(&restored)?;
    child::done(
        Command::new("cp")
            .arg("-r")
            .arg(&base.folder)
            .arg(restored.join("data")),
    )?;
    child::done(Command::new("mariadb-backup").args([
        "--no-defaults",
        "--prepare",
        &format!("--target-dir={}", restored.join("data").display()),
    ]))?;
    let scratch = Server::on(&restored)?;
    roll_forward(server, &scratch, &base.position, then)?;
    for name in tables {
        let mut session = scratch.session()?;
        session.exec("bench", format!("FLUSH TABLES {name} FOR EXPORT"))?;
        take_in(server, &scratch.data(), name, &replayed(name))?;
        session.exec("bench", "UNLOCK TABLES")?;
    }
    let took = began.elapsed();
    drop(scratch);
    std::fs::remove_dir_all(&restored)?;
    Ok(took)
}

/// Replays the log of `server` from a place up to the instant in another.
fn roll_forward(
    server: &Server,
    scratch: &Server,
    from: &(String, u64),
    then: &Moment,
) -> anyhow::Result<()> {
    let logs: Vec<PathBuf> = server
        .logs()?
        .into_iter()
        .filter(|(log, _)| *log >= from.0 && *log <= then.position.0)
        .map(|(log, _)| server.data().join(log))
        .collect();
    let mut reader = Command::new("mariadb-binlog")
        .arg("--no-defaults")
        .arg("--database=bench")
        .arg(format!("--start-position={}", from.1))
        .arg(format!("--stop-position={}", then.position.1))
        .args(&logs)
        .stdout(Stdio::piped())
        .spawn()
        .context("start mariadb-binlog")?;
    let events = reader.stdout.take().context("read mariadb-binlog")?;
    let status = scratch.client().stdin(events).status()?;
    anyhow::ensure!(
        status.success() && reader.wait()?.success(),
        "replay the log"
    );
    Ok(())
}

/// A dump by statements, and where in the log it is.
pub(crate) struct Dump {
    folder: PathBuf,
    position: (String, u64),
}

/// Takes one of the tables; `None` when there is no program for it.
pub(crate) fn dump(server: &Server, folder: &Path) -> anyhow::Result<Option<Dump>> {
    if !child::has("mydumper") || !child::has("myloader") {
        return Ok(None);
    }
    let folder = folder.join("dump");
    child::done(
        Command::new("mydumper")
            .args(["--user=root", "--database=bench", "--threads=2"])
            .arg("--trx-consistency-only")
            .arg(format!("--socket={}", server.socket().display()))
            .arg(format!("--outputdir={}", folder.display())),
    )?;
    let text = std::fs::read_to_string(folder.join("metadata"))?;
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(|rest| rest.trim().to_owned())
            .with_context(|| format!("find where a dump is in the log: {text}"))
    };
    let position = (value("Log:")?, value("Pos:")?.parse()?);
    Ok(Some(Dump { folder, position }))
}

/// Loads the dump into a server of its own, and replays the log up to the
/// instant. (The tables are not moved back.)
pub(crate) fn load(
    server: &Server,
    dump: &Dump,
    then: &Moment,
    wanted: &[(&str, Digest)],
    folder: &Path,
) -> anyhow::Result<Duration> {
    let loaded = folder.join("loaded");
    let scratch = Server::empty(&loaded)?;
    let began = Instant::now();
    child::done(
        Command::new("myloader")
            .args(["--user=root", "--threads=2", "--overwrite-tables"])
            .arg(format!("--socket={}", scratch.socket().display()))
            .arg(format!("--directory={}", dump.folder.display())),
    )?;
    roll_forward(server, &scratch, &dump.position, then)?;
    let took = began.elapsed();
    for (name, digest) in wanted {
        anyhow::ensure!(
            Digest::of(&scratch, name)? == *digest,
            "compare {name} of the dump with what it was: they differ"
        );
    }
    drop(scratch);
    std::fs::remove_dir_all(&loaded)?;
    Ok(took)
}

/// Imports exported files of `name` in the data folder `from` as the table
/// `to`.
fn take_in(server: &Server, from: &Path, name: &str, to: &str) -> anyhow::Result<()> {
    server.run(&format!("CREATE TABLE {to} LIKE {name}"))?;
    let mut session = server.session()?;
    session.exec("bench", "SET SESSION sql_log_bin=0")?;
    session.exec("bench", format!("ALTER TABLE {to} DISCARD TABLESPACE"))?;
    for end in ["ibd", "cfg"] {
        let path = |folder: PathBuf, name: &str| -> anyhow::Result<PathBuf> {
            let (database, table) = parts(name)?;
            Ok(folder.join(database).join(format!("{table}.{end}")))
        };
        std::fs::copy(path(from.to_owned(), name)?, path(server.data(), to)?)?;
    }
    session.exec("bench", format!("ALTER TABLE {to} IMPORT TABLESPACE"))?;
    Ok(())
}

/// An online backup of one table, its export, and the import.
pub(crate) fn floor(server: &Server, name: &str, folder: &Path) -> anyhow::Result<Duration> {
    let (database, table) = parts(name)?;
    let to = format!("floor.{table}");
    let folder = folder.join(format!("floor-{table}"));
    let began = Instant::now();
    child::done(
        backup(server)
            .arg("--backup")
            .arg(format!("--tables=^{database}[.]{table}$"))
            .arg(format!("--target-dir={}", folder.display())),
    )?;
    child::done(Command::new("mariadb-backup").args([
        "--no-defaults",
        "--prepare",
        "--export",
        &format!("--target-dir={}", folder.display()),
    ]))?;
    take_in(server, &folder, name, &to)?;
    let took = began.elapsed();
    server.run(&format!("DROP TABLE {to}"))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(took)
}
