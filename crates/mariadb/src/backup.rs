//! Backups taken online by the server's own tool, which copies the files of
//! tables and the redo log beside, without holding writers up.
//!
//! Three kinds: a *full* base backup, an *incremental* one of what changed
//! since another, and a *copy of tables*, which is made ready for a scratch
//! server at once.
//!
//! | file of a backup's folder | what it is |
//! |---|---|
//! | `manifest.json` | the [`Manifest`]; written last: without it there is no backup |
//! | `data/` | a base backup: each file of the tool's stream, compressed (`.zst`); a copy: a data folder |
//! | `client.cnf` | the password, while the tool runs; for its owner alone |
//! | `log` | what the tool said |
//!
//! Architecture invariants:
//! - every function may be repeated after a crash at any instant: what is not
//!   complete is made anew, what is complete is kept;
//! - a base backup is read only through the checksums that were taken while it
//!   was written;
//! - the tool ends with the thread that runs it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use backout_history::{Position, TableName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::catalog::{self, Reference};
use crate::error::{Error, Result};
use crate::files;
use crate::others::Others;
use crate::scratch::free_memory;
use crate::session::{self, Session};
use crate::stream::{self, Piece};
use crate::tool::Tool;
use crate::{Endpoint, Tls};

const TOOL: &str = "mariadb-backup";
const MANIFEST: &str = "manifest.json";
const DATA: &str = "data";
const CLIENT: &str = "client.cnf";
const LOG: &str = "log";
const LIST: &str = "tables";

/// The shape of [`Manifest`].
const FORMAT: u32 = 1;

/// How often the tool looks for new redo log, in milliseconds. By default it is
/// a second, and commits wait for the last look.
const LOG_COPY_MS: u32 = 50;

/// Fast, and about as good as any on pages of rows.
const ZSTD_LEVEL: i32 = 1;

/// Pieces of the stream that wait for one who compresses: enough to keep it
/// busy, and each is at most [`stream::PIECE_BYTES`].
const QUEUE: usize = 8;

/// How often something is looked at while others work.
const TICK: Duration = Duration::from_millis(20);

/// How much is read between two looks at whether it is still wanted, in bytes.
const STEP_BYTES: usize = 1 << 20;

/// Memory for making a backup ready, in bytes, at least and at most: it holds
/// what the redo log says of pages. Where that does not fit, the log is read
/// several times.
const PREPARE_BYTES: std::ops::RangeInclusive<u64> = 128 << 20..=512 << 20;

/// How a backup is taken or used.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads that copy, at least 1.
    pub threads: usize,
    /// Those for whom copying and making ready make way.
    pub beside: Option<&'a Others>,
    /// Whether it is not wanted any longer.
    pub cancelled: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A base backup of all.
    Full,
    /// What changed since another.
    Incremental,
    /// A copy of tables, ready for a scratch server.
    Tables,
}

/// What is in a backup, and of when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The shape of this file.
    pub format: u32,
    /// What it is.
    pub kind: Kind,
    /// Exactly what was committed before this place is in it; `None` when the
    /// server keeps no binary log.
    pub position: Option<Position>,
    /// The same as the last transaction of each domain, e.g. `0-1-270,1-1-3`;
    /// empty without such.
    pub gtid: String,
    /// The log sequence number that it begins with: 0 unless it is incremental.
    pub lsn_from: u64,
    /// That of its pages: where an incremental one goes on.
    pub lsn_to: u64,
    /// What the server says of its version, e.g. `10.11.6-MariaDB-log`.
    pub server_version: String,
    /// `lower_case_table_names` of the server.
    pub lower_case_table_names: u8,
    /// The backup that this one goes on from, as its [`Manifest::id`].
    pub base: Option<String>,
    /// Its own id: random.
    pub id: String,
    /// Its tables, in order.
    pub tables: Vec<BackedUp>,
    /// Its files, in order: of base backups only.
    pub files: Vec<Stored>,
    /// Which tables of the server refer to which, soon after `position`; `None`
    /// in backups that were taken before that was asked for.
    #[serde(default)]
    pub references: Option<Vec<Reference>>,
}

impl Manifest {
    /// Bytes it takes on disk.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.stored_bytes).sum()
    }

    /// Bytes of its files before they were compressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A table in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Its name.
    pub name: TableName,
    /// Its folder and the begin of its files' names there, as the server
    /// encodes them, e.g. `shop/order@0020lines`.
    pub stem: String,
    /// Its engine, e.g. `InnoDB`.
    pub engine: String,
    /// Bytes of its files in this backup.
    pub bytes: u64,
}

/// A file of a base backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its path in the server's data folder, as the tool named it.
    pub path: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// What it takes compressed, in bytes.
    pub stored_bytes: u64,
    /// SHA-256 of what it holds, in hex.
    pub sha256: String,
    /// The tablespace that it is of, by number.
    pub space: Option<u32>,
}

/// Takes a full base backup into the folder `to`, which is for it alone.
/// Returns what is there when that is complete.
///
/// # Errors
/// [`Error::Tool`], [`Error::Unreachable`], [`Error::Io`], [`Error::Cancelled`].
pub fn full(endpoint: &Endpoint, to: &Path, options: &Options<'_>) -> Result<Manifest> {
    base(endpoint, to, None, options)
}

/// Takes a backup of what changed since the backup in the folder `since`, full
/// or incremental, as [`full`] does.
///
/// # Errors
/// As [`full`]; [`Error::Backup`] when `since` is not complete, or of another
/// version.
pub fn incremental(
    endpoint: &Endpoint,
    to: &Path,
    since: &Path,
    options: &Options<'_>,
) -> Result<Manifest> {
    let since_manifest = complete(since)?;
    if since_manifest.kind == Kind::Tables {
        return Err(Error::Backup {
            folder: since.to_owned(),
            why: "it is a copy of tables; name a base backup".to_owned(),
        });
    }
    base(endpoint, to, Some(&since_manifest), options)
}

/// Reads what is in a backup; `None` when there is none, or not a whole one.
///
/// # Errors
/// [`Error::Io`]; [`Error::Backup`] when it was written by a later version.
pub fn read(folder: &Path) -> Result<Option<Manifest>> {
    let manifest: Option<Manifest> = files::read_json(&folder.join(MANIFEST))?;
    if let Some(manifest) = &manifest
        && manifest.format != FORMAT
    {
        return Err(Error::Backup {
            folder: folder.to_owned(),
            why: format!(
                "its format is {}; use the version that wrote it",
                manifest.format
            ),
        });
    }
    Ok(manifest)
}

fn complete(folder: &Path) -> Result<Manifest> {
    read(folder)?.ok_or_else(|| Error::Backup {
        folder: folder.to_owned(),
        why: "it is not complete; take another".to_owned(),
    })
}

/// Removes a backup, or what there is of one. Fine when there is none.
///
/// # Errors
/// [`Error::Io`].
pub fn discard(folder: &Path) -> Result<()> {
    // First what tells that it is one.
    files::remove_file(&folder.join(MANIFEST))?;
    files::remove_tree(folder)
}

/// Reads a base backup whole and compares it with its checksums.
///
/// # Errors
/// [`Error::Backup`] when it is not complete or not what was written.
pub fn verify(folder: &Path, options: &Options<'_>) -> Result<Manifest> {
    let manifest = complete(folder)?;
    let all: Vec<_> = manifest.files.iter().collect();
    unpack(folder, &all, None, options)?;
    Ok(manifest)
}

/// Where the data folder of a copy of tables is, in its folder.
#[must_use]
pub fn datadir(folder: &Path) -> PathBuf {
    folder.join(DATA)
}

fn wipe(to: &Path) -> Result<()> {
    discard(to)?;
    files::make_way(to)?;
    files::make_folder(&to.join(DATA))
}

fn base(
    endpoint: &Endpoint,
    to: &Path,
    since: Option<&Manifest>,
    options: &Options<'_>,
) -> Result<Manifest> {
    if let Some(manifest) = read(to)? {
        return Ok(manifest);
    }
    wipe(to)?;
    let mut session = Session::open(endpoint)?;
    let server = server(&mut session)?;
    if let Some(since) = since
        && since.server_version != server.version
    {
        return Err(Error::State {
            what: "take an incremental backup".to_owned(),
            why: format!(
                "the server is {} now, and was {} at the backup it would go on from; take a full \
                 backup",
                server.version, since.server_version
            ),
        });
    }
    let known = tables_of(&mut session)?;
    drop(session);
    let mut args = arguments(endpoint, to)?;
    args.push("--backup".to_owned());
    args.push("--stream=mbstream".to_owned());
    args.push(format!("--parallel={}", options.threads.max(1)));
    // Where it puts files of its own while it runs.
    args.push(format!("--target-dir={}", to.join("work").display()));
    if let Some(since) = since {
        args.push(format!("--incremental-lsn={}", since.lsn_to));
    }
    let doing = if since.is_some() {
        "take an incremental backup"
    } else {
        "take a full backup"
    };
    let log = to.join(LOG);
    let mut tool = Tool::start(TOOL, doing, &args, &log, true)?;
    let output = tool.output();
    let stored = receive(output, &to.join(DATA), &mut tool, options)?;
    files::remove_file(&to.join(CLIENT))?;
    files::remove_tree(&to.join("work"))?;

    let facts = Facts::of(to, |name| {
        let file = stored.iter().find(|file| file.path == name)?;
        text_of(to, file).ok()
    })?;
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    for file in &stored {
        *sizes.entry(stem(&file.path)).or_default() += file.bytes;
    }
    let mut tables: Vec<_> = known
        .into_iter()
        .filter_map(|mut table| {
            table.bytes = *sizes.get(table.stem.as_str())?;
            Some(table)
        })
        .collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        references: Some(references(endpoint)?),
        format: FORMAT,
        kind: if since.is_some() {
            Kind::Incremental
        } else {
            Kind::Full
        },
        position: facts.position,
        gtid: facts.gtid,
        lsn_from: facts.lsn_from,
        lsn_to: facts.lsn_to,
        server_version: server.version,
        lower_case_table_names: server.lower_case,
        base: since.map(|since| since.id.clone()),
        id: random_id()?,
        tables,
        files: stored,
    };
    finish(to, &manifest)?;
    Ok(manifest)
}

/// Makes all that is in the folder durable, then says that it is complete.
fn finish(to: &Path, manifest: &Manifest) -> Result<()> {
    if manifest.kind != Kind::Tables {
        let mut folders = BTreeSet::from([to.join(DATA)]);
        for (path, _) in files::list(&to.join(DATA))? {
            let path = to.join(DATA).join(path);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(Error::io("sync", &path))?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        for folder in folders {
            files::sync_folder(&folder)?;
        }
        if let Some(above) = to.parent() {
            files::sync_folder(above)?;
        }
    }
    files::write_json(&to.join(MANIFEST), manifest)
}

/// Copies some tables of a server of this host, as they are at one position,
/// and makes the copy ready: [`datadir`] of `to` is then a data folder for a
/// scratch server. Returns what is there when that is complete.
///
/// # Errors
/// As [`full`]; [`Error::NoTable`]; [`Error::Table`] when a table is not of an
/// engine whose files can be moved, or has no file of its own.
pub fn tables(
    endpoint: &Endpoint,
    wanted: &[TableName],
    to: &Path,
    options: &Options<'_>,
) -> Result<Manifest> {
    if let Some(manifest) = read(to)? {
        return Ok(manifest);
    }
    wipe(to)?;
    let mut session = Session::open(endpoint)?;
    let server = server(&mut session)?;
    let mut known: HashMap<_, _> = tables_of(&mut session)?
        .into_iter()
        .map(|table| (table.name.clone(), table))
        .collect();
    let mut chosen = Vec::new();
    let mut names = String::new();
    for name in wanted {
        let table = known.remove(name).ok_or_else(|| Error::NoTable {
            table: name.clone(),
        })?;
        movable(&table)?;
        names.push_str(&table.stem.replacen('/', ".", 1));
        names.push('\n');
        for part in full_text_parts(&mut session, &table.stem)? {
            names.push_str(&part.replacen('/', ".", 1));
            names.push('\n');
        }
        chosen.push(table);
    }
    // Without these, a server has its statistics of tables nowhere to keep.
    names.push_str("mysql.innodb_table_stats\nmysql.innodb_index_stats\n");
    drop(session);
    files::write(&to.join(LIST), names.as_bytes(), 0o600)?;

    let data = to.join(DATA);
    let log = to.join(LOG);
    let mut args = arguments(endpoint, to)?;
    args.push("--backup".to_owned());
    args.push(format!("--parallel={}", options.threads.max(1)));
    args.push(format!("--tables-file={}", to.join(LIST).display()));
    args.push(format!("--target-dir={}", data.display()));
    Tool::start(TOOL, "copy tables", &args, &log, false)?.wait_beside(
        options.beside,
        may_stand,
        options.cancelled,
    )?;
    files::remove_file(&to.join(CLIENT))?;
    let facts = Facts::of(to, |name| std::fs::read_to_string(data.join(name)).ok())?;
    // The tool asks the kernel to forget what it wrote.
    beside_reading(&data, || {
        prepare(&data, None, &to.join("log.prepare"), options)
    })?;
    forget_links(&data)?;
    measure(&data, &mut chosen)?;
    let manifest = Manifest {
        references: Some(references(endpoint)?),
        format: FORMAT,
        kind: Kind::Tables,
        position: facts.position,
        gtid: facts.gtid,
        lsn_from: facts.lsn_from,
        lsn_to: facts.lsn_to,
        server_version: server.version,
        lower_case_table_names: server.lower_case,
        base: None,
        id: random_id()?,
        tables: chosen,
        files: Vec::new(),
    };
    finish(to, &manifest)?;
    Ok(manifest)
}

/// Whether the tool, which says this so far, may stand still: it copies pages
/// then, and holds nothing that commits wait for.
fn may_stand(said: &str) -> bool {
    said.contains("BACKUP STAGE START") && !said.contains("BACKUP STAGE FLUSH")
}

/// Takes some tables (`None`: all) out of a chain of base backups, a full one
/// first and each incremental one after the one it goes on from, and makes a
/// data folder for a scratch server of them, as [`tables`] does. They are as
/// they were at the last of the chain.
///
/// # Errors
/// [`Error::Backup`] when the chain is none or not what was written;
/// [`Error::NoTable`]; [`Error::Tool`], [`Error::Io`], [`Error::Cancelled`].
pub fn extract(
    chain: &[PathBuf],
    wanted: Option<&[TableName]>,
    to: &Path,
    options: &Options<'_>,
) -> Result<Manifest> {
    if let Some(manifest) = read(to)? {
        return Ok(manifest);
    }
    wipe(to)?;
    let manifests = chain_of(chain)?;
    let (Some(last), Some(first)) = (manifests.last(), chain.first()) else {
        return Err(Error::State {
            what: "take tables out of a backup".to_owned(),
            why: "no backup was named".to_owned(),
        });
    };
    let mut chosen = match wanted {
        None => last.tables.clone(),
        Some(wanted) => {
            let known: HashMap<_, _> = last.tables.iter().map(|t| (&t.name, t)).collect();
            let find = |name: &TableName| {
                known
                    .get(name)
                    .map(|&table| table.clone())
                    .ok_or_else(|| Error::NoTable {
                        table: name.clone(),
                    })
            };
            wanted.iter().map(find).collect::<Result<_>>()?
        }
    };
    let parts = full_text_of(last, &chosen);
    let stems: Option<HashSet<&str>> = wanted.map(|_| {
        let mut stems: HashSet<_> = chosen.iter().map(|t| t.stem.as_str()).collect();
        stems.extend(parts.iter().copied());
        stems.extend(["mysql/innodb_table_stats", "mysql/innodb_index_stats"]);
        stems
    });
    // A table may have had another name in an earlier one.
    let spaces: HashSet<u32> = last
        .files
        .iter()
        .filter(|file| {
            stems
                .as_ref()
                .is_none_or(|stems| stems.contains(stem(&file.path)))
        })
        .filter_map(|file| file.space)
        .filter(|space| *space != 0)
        .collect();
    let is_wanted = |file: &Stored| {
        stems.as_ref().is_none_or(|stems| {
            !file.path.contains('/')
                || stems.contains(stem(&file.path))
                || file.space.is_some_and(|space| spaces.contains(&space))
        })
    };
    let data = to.join(DATA);
    for (n, (folder, manifest)) in chain.iter().zip(&manifests).enumerate() {
        let picked: Vec<_> = manifest
            .files
            .iter()
            .filter(|file| is_wanted(file))
            .collect();
        let log = to.join(format!("log.{n}"));
        if folder == first {
            unpack(folder, &picked, Some(&data), options)?;
            prepare(&data, None, &log, options)?;
        } else {
            let changes = to.join(format!("changes-{n}"));
            unpack(folder, &picked, Some(&changes), options)?;
            prepare(&data, Some(&changes), &log, options)?;
            files::remove_tree(&changes)?;
        }
    }
    forget_links(&data)?;
    measure(&data, &mut chosen)?;
    let manifest = Manifest {
        kind: Kind::Tables,
        lsn_from: 0,
        base: None,
        id: random_id()?,
        tables: chosen,
        files: Vec::new(),
        ..last.clone()
    };
    finish(to, &manifest)?;
    Ok(manifest)
}

/// The foreign keys that there are behind a backup: one that came while it was
/// taken is in no history after it, one that went did nothing any more.
fn references(endpoint: &Endpoint) -> Result<Vec<Reference>> {
    catalog::references(&mut Session::open(endpoint)?)
}

/// Reads the manifests of a chain and sees whether it is one.
fn chain_of(chain: &[PathBuf]) -> Result<Vec<Manifest>> {
    let mut manifests: Vec<Manifest> = Vec::new();
    for folder in chain {
        let manifest = complete(folder)?;
        let fits = match (manifests.last(), manifest.kind) {
            (None, Kind::Full) => true,
            (Some(before), Kind::Incremental) => manifest.base.as_deref() == Some(&before.id),
            _ => false,
        };
        if !fits {
            return Err(Error::Backup {
                folder: folder.clone(),
                why: "it does not go on from the one before; name a full backup and then each \
                      incremental one in order"
                    .to_owned(),
            });
        }
        manifests.push(manifest);
    }
    Ok(manifests)
}

/// Lets the tool apply the redo log to a data folder, and the changes of an
/// incremental backup.
fn prepare(data: &Path, changes: Option<&Path>, log: &Path, options: &Options<'_>) -> Result<()> {
    let mut args = vec![
        "--no-defaults".to_owned(),
        "--prepare".to_owned(),
        format!("--use-memory={}", prepare_bytes()),
        format!("--target-dir={}", data.display()),
    ];
    if let Some(changes) = changes {
        args.push(format!("--incremental-dir={}", changes.display()));
    }
    Tool::start(TOOL, "make the backup ready", &args, log, false)?.wait_beside(
        options.beside,
        |_| true,
        options.cancelled,
    )
}

/// Does something while the kernel reads the files of tables into memory, where
/// there is room for them: for the server that is started on them.
fn beside_reading<T>(data: &Path, work: impl FnOnce() -> T) -> T {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever hinders it here hinders that server, who tells it.
            let _ = files::read_ahead(data, free_memory() / 2, &|| ended.load(Ordering::Relaxed));
        });
        let done = work();
        ended.store(true, Ordering::Relaxed);
        done
    })
}

/// A quarter of the memory that is free, within [`PREPARE_BYTES`].
fn prepare_bytes() -> u64 {
    (free_memory() / 4).clamp(*PREPARE_BYTES.start(), *PREPARE_BYTES.end())
}

/// Removes the notes of where files lay that were not in the data folder: the
/// tool has put these files into it, and a server that follows a note opens
/// those of the live server.
fn forget_links(data: &Path) -> Result<()> {
    for (path, _) in files::list(data)? {
        if path.extension().is_some_and(|end| end == "isl") {
            files::remove_file(&data.join(path))?;
        }
    }
    Ok(())
}

/// Notes how large the files of tables are, and refuses one that has none.
fn measure(data: &Path, tables: &mut [BackedUp]) -> Result<()> {
    let mut sizes: HashMap<String, (u64, bool)> = HashMap::new();
    for (path, facts) in files::list(data)? {
        let Some(path) = path.to_str() else { continue };
        let size = sizes.entry(stem(path).to_owned()).or_default();
        size.0 += facts.len();
        size.1 |= path.ends_with(".ibd") || !path.ends_with(".frm");
    }
    for table in tables {
        match sizes.get(&table.stem) {
            Some((bytes, has_data)) if *has_data || !is_innodb(&table.engine) => {
                table.bytes = *bytes;
            }
            _ => {
                return Err(Error::Table {
                    doing: "copy the files of",
                    table: table.name.clone(),
                    why: "it has no file of its own; run ALTER TABLE ... ENGINE=InnoDB with \
                          innodb_file_per_table=ON, or copy its rows over SQL"
                        .to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn is_innodb(engine: &str) -> bool {
    engine.eq_ignore_ascii_case("InnoDB")
}

/// Whether the files of a table can be moved to another server.
fn movable(table: &BackedUp) -> Result<()> {
    if is_innodb(&table.engine) {
        return Ok(());
    }
    Err(Error::Table {
        doing: "copy the files of",
        table: table.name.clone(),
        why: format!(
            "its engine is {}, and only files of InnoDB tables can be moved; copy its rows over SQL",
            table.engine
        ),
    })
}

/// What of a path is the same for all files of a table: the folder and the
/// begin of the name. Encoded names have neither a dot nor a `#P#` in them.
fn stem(path: &str) -> &str {
    let name_at = path.rfind('/').map_or(0, |at| at + 1);
    let name = path.get(name_at..).unwrap_or_default();
    let end = name.find('.').unwrap_or(name.len());
    let end = name.find("#P#").map_or(end, |at| at.min(end));
    path.get(..name_at + end).unwrap_or(path)
}

/// The files that belong to the full-text indexes of tables: their names have
/// the number of the table, which is only known from where they lie, so all of
/// a database are taken when one of its tables is.
fn full_text_of<'a>(manifest: &'a Manifest, tables: &[BackedUp]) -> Vec<&'a str> {
    let folders: HashSet<_> = tables
        .iter()
        .filter_map(|table| table.stem.split('/').next())
        .collect();
    manifest
        .files
        .iter()
        .map(|file| stem(&file.path))
        .filter(|stem| {
            stem.split_once('/')
                .is_some_and(|(folder, name)| name.starts_with("FTS_") && folders.contains(folder))
        })
        .collect()
}

/// The same from a server: only those of this very table.
fn full_text_parts(session: &mut Session, stem: &str) -> Result<Vec<String>> {
    let doing = "look for full-text indexes";
    let ids: Vec<u64> = session.query(
        doing,
        format!(
            "SELECT TABLE_ID FROM information_schema.INNODB_SYS_TABLES WHERE NAME = {0} OR NAME LIKE \
             CONCAT(REPLACE(REPLACE({0}, '_', '\\_'), '%', '\\%'), '#P#%')",
            session::text(stem)
        ),
    )?;
    let folder = stem.split('/').next().unwrap_or_default();
    let mut parts = Vec::new();
    for id in ids {
        let begin = format!("{folder}/FTS_{id:016x}_");
        parts.extend(session.query::<String>(
            doing,
            format!(
                "SELECT NAME FROM information_schema.INNODB_SYS_TABLES WHERE LEFT(NAME, {}) = {}",
                begin.chars().count(),
                session::text(&begin)
            ),
        )?);
    }
    Ok(parts)
}

struct Server {
    version: String,
    lower_case: u8,
}

fn server(session: &mut Session) -> Result<Server> {
    let doing = "read the version of the server";
    let row: Option<(String, u8)> =
        session.first(doing, "SELECT VERSION(), @@lower_case_table_names")?;
    let (version, lower_case) = row.unwrap_or_default();
    Ok(Server {
        version,
        lower_case,
    })
}

/// The tables of a server, with their names as files have them.
fn tables_of(session: &mut Session) -> Result<Vec<BackedUp>> {
    let rows: Vec<(String, String, String, String, String)> = session.query(
        "list the tables",
        "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, \
         CONVERT(CONVERT(TABLE_SCHEMA USING filename) USING binary), \
         CONVERT(CONVERT(TABLE_NAME USING filename) USING binary) \
         FROM information_schema.TABLES WHERE ENGINE IS NOT NULL AND TABLE_TYPE <> 'VIEW' AND \
         TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')",
    )?;
    Ok(rows
        .into_iter()
        .map(|(schema, table, engine, folder, file)| BackedUp {
            name: TableName::new(schema, table),
            stem: format!("{folder}/{file}"),
            engine,
            bytes: 0,
        })
        .collect())
}

/// What the tool notes about a backup.
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    position: Option<Position>,
    gtid: String,
    lsn_from: u64,
    lsn_to: u64,
}

impl Facts {
    fn of(folder: &Path, read: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let either =
            |new: &str, old: &str| read(&format!("mariadb_backup_{new}")).or_else(|| read(old));
        let checkpoints = either("checkpoints", "xtrabackup_checkpoints").unwrap_or_default();
        let number = |name: &str| {
            checkpoints.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim().parse().ok())?
            })
        };
        let (Some(lsn_from), Some(lsn_to)) = (number("from_lsn"), number("to_lsn")) else {
            return Err(Error::Backup {
                folder: folder.to_owned(),
                why: "the tool did not note where it begins and ends; see its log there".to_owned(),
            });
        };
        let place = either("binlog_info", "xtrabackup_binlog_info").unwrap_or_default();
        let mut place = place.trim_end().split('\t');
        let position = place.next().zip(place.next()).and_then(|(file, offset)| {
            let file = file.rsplit('/').next().filter(|file| !file.is_empty())?;
            Some(Position {
                file: file.to_owned(),
                offset: offset.trim().parse().ok()?,
            })
        });
        Ok(Self {
            position,
            gtid: place.next().unwrap_or_default().trim().to_owned(),
            lsn_from,
            lsn_to,
        })
    }
}

/// The first arguments of the tool: how it reaches the server. The password is
/// in a file for its owner alone, never in the command line.
fn arguments(endpoint: &Endpoint, to: &Path) -> Result<Vec<String>> {
    let mut text = String::from("[client]\n");
    let mut set = |name: &str, value: &str| {
        text.push_str(&format!("{name}={}\n", quoted(value)));
    };
    set("user", &endpoint.user);
    set("password", endpoint.password.expose());
    match &endpoint.socket {
        Some(socket) => set("socket", &socket.to_string_lossy()),
        None => {
            set("host", &endpoint.host);
            set("port", &endpoint.port.to_string());
            set("protocol", "tcp");
            match &endpoint.tls {
                Tls::Off => {}
                Tls::Unchecked => set("ssl", "1"),
                Tls::Public => set("ssl-verify-server-cert", "1"),
                Tls::Authority(path) => {
                    set("ssl-ca", &path.to_string_lossy());
                    set("ssl-verify-server-cert", "1");
                }
            }
        }
    }
    let path = to.join(CLIENT);
    files::write(&path, text.as_bytes(), 0o600)?;
    Ok(vec![
        format!("--defaults-file={}", path.display()),
        format!("--log-copy-interval={LOG_COPY_MS}"),
    ])
}

/// A value for an option file.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn random_id() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("read", Path::new("/dev/urandom")))?;
    Ok(hex::encode(bytes))
}

/// Where a file of the stream is kept.
fn stored_at(data: &Path, path: &str) -> PathBuf {
    data.join(format!("{path}.zst"))
}

/// Takes the tool's stream apart: each file is compressed into one of its own,
/// and its checksum taken, in several threads.
fn receive(
    output: Option<std::process::ChildStdout>,
    data: &Path,
    tool: &mut Tool<'_>,
    options: &Options<'_>,
) -> Result<Vec<Stored>> {
    let Some(output) = output else {
        return Err(Error::State {
            what: "take a backup".to_owned(),
            why: "the tool has no output".to_owned(),
        });
    };
    let threads = options.threads.max(1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut queues = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..threads {
            let (sender, receiver) = sync_channel(QUEUE);
            queues.push(sender);
            workers.push(scope.spawn(|| keep(receiver, data)));
        }
        let reading = scope.spawn(|| split(output, queues, &stop));
        // A tool that is ended closes its output, and so ends the reading.
        let ended = loop {
            if reading.is_finished() {
                break tool.wait(options.cancelled);
            }
            if (options.cancelled)() {
                stop.store(true, Ordering::Relaxed);
                tool.end();
                break Err(Error::Cancelled);
            }
            std::thread::sleep(TICK);
        };
        let lost = || Error::State {
            what: "take a backup".to_owned(),
            why: "a thread of it ended in disorder".to_owned(),
        };
        let read = reading.join().map_err(|_| lost()).flatten();
        let mut stored = Vec::new();
        let mut kept = Ok(());
        for worker in workers {
            match worker.join().map_err(|_| lost()).flatten() {
                Ok(some) => stored.extend(some),
                Err(e) => kept = Err(e),
            }
        }
        // Who cannot write is why the tool cannot either; and what the tool
        // says is why its stream ends early.
        kept?;
        match (ended, read) {
            (Err(e), _) => Err(e),
            (Ok(()), Err(e)) => Err(e),
            (Ok(()), Ok(())) => {
                stored.sort_by(|a, b| a.path.cmp(&b.path));
                Ok(stored)
            }
        }
    })
}

/// Hands the pieces of a stream to those who keep them, all of one file to the
/// same.
fn split(
    output: std::process::ChildStdout,
    queues: Vec<SyncSender<Piece>>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut reader = stream::Reader::new(output);
    let mut of: HashMap<String, usize> = HashMap::new();
    while let Some(piece) = reader.next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let next = of.len() % queues.len().max(1);
        let n = *of.entry(piece.path.clone()).or_insert(next);
        if queues.get(n).is_none_or(|queue| queue.send(piece).is_err()) {
            // It has failed, and says why itself.
            return Ok(());
        }
    }
    Ok(())
}

/// A file that is being kept.
struct Keeping {
    out: zstd::stream::write::Encoder<'static, Counted>,
    hash: Sha256,
    bytes: u64,
    /// The begin of the file, which tells its tablespace.
    head: Vec<u8>,
}

struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// As much of a file as tells its tablespace, in bytes.
const HEAD_BYTES: usize = 256;

fn keep(pieces: Receiver<Piece>, data: &Path) -> Result<Vec<Stored>> {
    let mut open: BTreeMap<String, Keeping> = BTreeMap::new();
    let mut stored = Vec::new();
    for piece in pieces {
        let to = stored_at(data, &piece.path);
        if !open.contains_key(&piece.path) {
            check_path(&piece.path)?;
            if let Some(folder) = to.parent() {
                files::make_folder(folder)?;
            }
            let made = File::create_new(&to)
                .and_then(|file| {
                    zstd::stream::write::Encoder::new(Counted { file, bytes: 0 }, ZSTD_LEVEL)
                })
                .map_err(Error::io("write", &to))?;
            open.insert(
                piece.path.clone(),
                Keeping {
                    out: made,
                    hash: Sha256::new(),
                    bytes: 0,
                    head: Vec::new(),
                },
            );
        }
        let Some(file) = open.get_mut(&piece.path) else {
            continue;
        };
        if let Some(payload) = &piece.payload {
            file.out
                .write_all(payload)
                .map_err(Error::io("write", &to))?;
            file.hash.update(payload);
            file.bytes += payload.len() as u64;
            let missing = HEAD_BYTES
                .saturating_sub(file.head.len())
                .min(payload.len());
            file.head
                .extend_from_slice(payload.get(..missing).unwrap_or_default());
        } else if let Some(file) = open.remove(&piece.path) {
            let space = space(&piece.path, &file.head);
            let out = file.out.finish().map_err(Error::io("write", &to))?;
            stored.push(Stored {
                path: piece.path,
                bytes: file.bytes,
                stored_bytes: out.bytes,
                sha256: hex::encode(file.hash.finalize()),
                space,
            });
        }
    }
    if let Some(path) = open.keys().next() {
        return Err(Error::Tool {
            tool: TOOL,
            doing: "take a backup".to_owned(),
            why: format!("its output ends within {path}; take another"),
            passing: true,
        });
    }
    Ok(stored)
}

/// Refuses a path that leads elsewhere than down.
fn check_path(path: &str) -> Result<()> {
    let down = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if down && !path.is_empty() && !path.contains('\0') {
        return Ok(());
    }
    Err(Error::Tool {
        tool: TOOL,
        doing: "take a backup".to_owned(),
        why: format!("it names a file {path:?}, outside of the data folder"),
        passing: false,
    })
}

/// The number of the tablespace that a file is of, from its first page or, for
/// changed pages, from what the tool notes beside them.
fn space(path: &str, head: &[u8]) -> Option<u32> {
    if path.ends_with(".meta") {
        let text = std::str::from_utf8(head).ok()?;
        return text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "space_id").then(|| value.trim().parse().ok())?
        });
    }
    if !path.ends_with(".ibd") && !path.ends_with(".new") {
        return None;
    }
    let bytes = head.get(34..38)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A small file of a base backup.
fn text_of(folder: &Path, file: &Stored) -> Result<String> {
    let path = stored_at(&folder.join(DATA), &file.path);
    let mut text = String::new();
    File::open(&path)
        .and_then(zstd::stream::read::Decoder::new)
        .and_then(|mut reader| reader.read_to_string(&mut text))
        .map_err(Error::io("read", &path))?;
    Ok(text)
}

/// Unpacks files of a base backup into the folder `to` (`None`: nowhere), and
/// compares them with their checksums, in several threads.
fn unpack(
    folder: &Path,
    wanted: &[&Stored],
    to: Option<&Path>,
    options: &Options<'_>,
) -> Result<()> {
    if let Some(to) = to {
        files::make_folder(to)?;
        let folders: BTreeSet<_> = wanted
            .iter()
            .filter_map(|file| Path::new(&file.path).parent())
            .collect();
        for inner in folders {
            files::make_folder(&to.join(inner))?;
        }
    }
    // The largest first, so that none is left alone with it at the end.
    let mut order: Vec<_> = wanted.to_vec();
    order.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(file) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(e) = unpack_one(folder, file, to, &stop) {
                            stop.store(true, Ordering::Relaxed);
                            return Err(e);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        while !workers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            if (options.cancelled)() {
                stop.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut result = Ok(());
        for worker in workers {
            let one = worker.join().unwrap_or(Err(Error::Cancelled));
            // One that was stopped is not why.
            if matches!(result, Ok(()) | Err(Error::Cancelled)) && one.is_err() {
                result = one;
            }
        }
        result
    })
}

fn unpack_one(folder: &Path, file: &Stored, to: Option<&Path>, stop: &AtomicBool) -> Result<()> {
    check_path(&file.path)?;
    let from = stored_at(&folder.join(DATA), &file.path);
    let damaged = |why: &str| Error::Backup {
        folder: folder.to_owned(),
        why: format!("{} {why}; use another backup", file.path),
    };
    let source = match File::open(&from) {
        Ok(source) => source,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(damaged("is missing")),
        Err(e) => return Err(Error::io("open", &from)(e)),
    };
    let mut reader = zstd::stream::read::Decoder::new(source).map_err(Error::io("read", &from))?;
    let target = to.map(|to| to.join(&file.path));
    let mut out = match &target {
        Some(path) => Some(File::create_new(path).map_err(Error::io("write", path))?),
        None => None,
    };
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0_u8; STEP_BYTES];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let count = reader
            .read(&mut buffer)
            .map_err(|_| damaged("cannot be unpacked"))?;
        let some = buffer.get(..count).unwrap_or_default();
        if some.is_empty() {
            break;
        }
        bytes += some.len() as u64;
        if bytes > file.bytes {
            break;
        }
        hash.update(some);
        if let (Some(out), Some(path)) = (&mut out, &target) {
            out.write_all(some).map_err(Error::io("write", path))?;
        }
    }
    if bytes != file.bytes || hex::encode(hash.finalize()) != file.sha256 {
        return Err(damaged("is not what was written at the time of the backup"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_table() {
        for (path, wanted) in [
            ("shop/orders.ibd", "shop/orders"),
            ("shop/orders.ibd.delta", "shop/orders"),
            ("shop/orders#P#p0#SP#a.ibd", "shop/orders"),
            ("shop/order@0020lines.frm", "shop/order@0020lines"),
            ("shop/db.opt", "shop/db"),
            ("ibdata1", "ibdata1"),
        ] {
            assert_eq!(stem(path), wanted);
        }
    }

    #[test]
    fn what_the_tool_notes_is_read() {
        let read = |name: &str| match name {
            "xtrabackup_checkpoints" => {
                Some("backup_type = incremental\nfrom_lsn = 5\nto_lsn = 77\nlast_lsn = 80\n".into())
            }
            "mariadb_backup_binlog_info" => Some("mysql-bin.000002\t4711\t0-1-5,1-1-2\n".into()),
            _ => None,
        };
        let facts = Facts::of(Path::new("/x"), read).unwrap();
        assert_eq!(
            facts.position,
            Some("mysql-bin.000002:4711".parse().unwrap())
        );
        assert_eq!((facts.lsn_from, facts.lsn_to), (5, 77));
        assert_eq!(facts.gtid, "0-1-5,1-1-2");
        let none = Facts::of(Path::new("/x"), |_| None)
            .unwrap_err()
            .to_string();
        assert!(none.contains("did not note"), "{none}");
    }

    #[test]
    fn values_of_option_files_are_quoted() {
        assert_eq!(quoted("a#b\"c\\d\n"), r#""a#b\"c\\d\n""#);
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        assert!(check_path("a/b.ibd").is_ok());
        for bad in ["../a", "/etc/passwd", "a/../../b", ""] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
