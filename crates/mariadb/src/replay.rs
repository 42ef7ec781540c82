//! Brings a server of ours forward through archived history, as a replica goes:
//! each event in its place, with definition statements, session variables, XA
//! transactions, and what foreign keys cascade.
//!
//! The net effect of history ([`apply`](crate::apply)) costs less, but cannot
//! tell what was never logged: the rows that a foreign key of the engine
//! changes. Nor does it define anything but tables. Here the server's own
//! applier reads what its master would have sent it: the archived events are
//! laid, byte for byte, into files of its relay log, under a connection's name
//! that nothing else has, and its SQL thread is started on them. It never
//! connects to anybody.
//!
//! Architecture invariants:
//! - history ends at the cut: what lies behind it is never on the server's disk;
//! - nothing is skipped: an event that the server cannot apply ends the replay
//!   with the server's words;
//! - it is done when each domain's last id is the last that was laid there;
//! - the target logs nothing of it, and is not told apart from what it was
//!   but by the rows of `mysql.gtid_slave_pos`, which are removed;
//! - it is not taken up again: what was cut off in the middle begins anew on a
//!   fresh copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backout_history::archive::{Archive, ArchiveSource};
use backout_history::body::{GtidEvent, Query};
use backout_history::change::{Ddl, Gtid, StatementKind};
use backout_history::event::{Event, HEADER_BYTES, Header, Kind, MAGIC, split};
use backout_history::{Block, Position, Source as _, TableName, ddl, synth};

use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::files;
use crate::process::Account;
use crate::session::{Session, text};

/// How much of history is laid out at a time, in bytes: files of a log are laid
/// out whole, so it may be one file more.
const BATCH_BYTES: u64 = 512 << 20;

/// How often the server is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How many domains of ids are followed. A server has a few.
const DOMAINS_MAX: usize = 10_000;

/// Numbers of servers, one of which the target takes: it would leave out what
/// is of its own number. Far from those that people choose.
const SERVERS: u32 = 64;

/// The server that is brought forward. Its files are reached from here, and it
/// was started with a name for its relay log, as scratch servers are.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// How it is reached, by an account that may do everything.
    pub endpoint: &'a Endpoint,
    /// Its data folder.
    pub datadir: &'a Path,
}

/// What is replayed.
pub struct Options<'a> {
    /// Only these tables (`None`: all): rows and definitions of others are left
    /// out, and so is what concerns no table, as accounts, views and routines.
    pub tables: Option<&'a [TableName]>,
    /// Whether it is not wanted any longer.
    pub cancelled: &'a dyn Fn() -> bool,
    /// Told now and then how many bytes of history are behind.
    pub progress: &'a mut dyn FnMut(u64),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

/// What was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Up to where.
    pub at: Position,
    /// How many groups: transactions, and statements on their own.
    pub groups: u64,
    /// Bytes of history.
    pub bytes: u64,
}

/// Replays history between two positions, both between groups, on a server
/// whose data is exactly of the first. When it fails, the server's data is
/// worth nothing.
///
/// # Errors
/// [`Error::History`] when not all of it is in the archive;
/// [`Error::Refused`] with the server's number and words when it could not
/// apply an event; [`Error::State`] when history is encrypted, or the server
/// did not get where it should; [`Error::Settings`] when it has no name for its
/// relay log; [`Error::Lost`], [`Error::Io`], [`Error::Cancelled`].
pub fn replay(
    target: &Target<'_>,
    archive: &Archive,
    from: &Position,
    until: &Position,
    options: &mut Options<'_>,
) -> Result<Replayed> {
    let mut session = Session::open(target.endpoint)?;
    let (relay, filter) = prepare(&mut session, options.tables)?;
    let mut layer = Layer {
        source: archive.source(from, until, None)?,
        next: None,
        relay,
        account: Account::for_folder(target.datadir),
        definitions_only_of_tables: options.tables.is_some(),
        last: BTreeMap::new(),
        groups: 0,
        bytes: 0,
    };
    let mut number = 0_u32;
    while let Some(batch) = layer.batch(number, options.cancelled)? {
        run(&mut session, &batch, filter.as_deref(), options.cancelled)?;
        (options.progress)(layer.bytes);
        number += 1;
    }
    arrived(&mut session, &layer.last)?;
    session.exec(
        "forget where the replay was",
        "SET GLOBAL gtid_slave_pos=''",
    )?;
    Ok(Replayed {
        at: until.clone(),
        groups: layer.groups,
        bytes: layer.bytes,
    })
}

const DOING: &str = "replay history";

/// Makes the server ready; returns where its relay logs are and how their names
/// begin, and the list of the tables, as the server reads it.
fn prepare(
    session: &mut Session,
    tables: Option<&[TableName]>,
) -> Result<(PathBuf, Option<String>)> {
    let relay: Option<Option<String>> =
        session.first("ask for the relay log", "SELECT @@relay_log_basename")?;
    let relay = relay.flatten().ok_or_else(|| Error::Settings {
        why: format!("{DOING}: the server has no name for its relay log (relay_log)"),
    })?;
    // A copy of some tables does not have it, but for a note in its tablespace
    // of one that is missing.
    session.exec(
        DOING,
        "CREATE TABLE IF NOT EXISTS mysql.gtid_slave_pos (domain_id INT UNSIGNED NOT NULL, \
         sub_id BIGINT UNSIGNED NOT NULL, server_id INT UNSIGNED NOT NULL, \
         seq_no BIGINT UNSIGNED NOT NULL, PRIMARY KEY (domain_id, sub_id)) ENGINE=MEMORY",
    )?;
    // As the original went: a definition that does not fit is an error, and
    // triggers do nothing, as what they did is in the log.
    for setting in [
        "gtid_slave_pos=''",
        "slave_ddl_exec_mode='STRICT'",
        "slave_exec_mode='STRICT'",
        "slave_run_triggers_for_rbr='NO'",
        "slave_type_conversions=''",
        // With several threads, 10.11.19 ends by a signal when nobody is its
        // master; one is some times faster than a client that is fed statements.
        "slave_parallel_threads=0",
        "slave_max_allowed_packet=1073741824",
        "slave_sql_verify_checksum=ON",
        "relay_log_purge=ON",
    ] {
        session.exec(DOING, format!("SET GLOBAL {setting}"))?;
    }
    let Some(tables) = tables else {
        return Ok((relay.into(), None));
    };
    let mut list = String::new();
    for table in tables {
        let name = table.to_string();
        if table.schema.contains(['.', ',']) || name.contains(',') || name.trim() != name {
            return Err(Error::Table {
                doing: "replay the history of",
                table: table.clone(),
                why: "its name has a comma or a point in it, by which lists of tables are read; \
                      rename it"
                    .to_owned(),
            });
        }
        list.push_str(if list.is_empty() { "" } else { "," });
        list.push_str(&name);
    }
    Ok((relay.into(), Some(list)))
}

/// Files of a relay log, laid out.
struct Batch {
    /// The name of the connection.
    name: String,
    /// The files, in order.
    files: Vec<PathBuf>,
    /// Which of the numbers for the target are of servers in it.
    servers: u64,
}

/// Lays history out.
struct Layer {
    source: ArchiveSource,
    /// Read, and to be laid out next.
    next: Option<Block>,
    /// How the names of files begin.
    relay: PathBuf,
    /// Whose the files are.
    account: Account,
    /// Whether groups that define something else are left out.
    definitions_only_of_tables: bool,
    /// The last id of each domain: server and number.
    last: BTreeMap<u32, (u32, u64)>,
    groups: u64,
    bytes: u64,
}

impl Layer {
    /// Lays the next files out; `None` at the end.
    fn batch(&mut self, number: u32, cancelled: &dyn Fn() -> bool) -> Result<Option<Batch>> {
        let name = format!("backout{number}");
        let mut batch = Batch {
            files: Vec::new(),
            servers: 0,
            name,
        };
        let begin = self.bytes;
        let mut out: Option<(Laid, String)> = None;
        loop {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let mut block = match self.next.take() {
                Some(block) => block,
                None => {
                    let mut block = Block::default();
                    if !self.source.next_block(&mut block)? {
                        break;
                    }
                    block
                }
            };
            let same = out.as_ref().is_some_and(|(_, file)| *file == block.at.file);
            if !same {
                if let Some((laid, _)) = out.take() {
                    laid.finish()?;
                }
                if self.bytes - begin >= BATCH_BYTES {
                    self.next = Some(block);
                    break;
                }
                let path = self.path(&batch, batch.files.len() + 1);
                out = Some((
                    Laid::begin(&path, &block, self.account)?,
                    block.at.file.clone(),
                ));
                batch.files.push(path);
            }
            let Some((laid, _)) = &mut out else { break };
            let carried = std::mem::take(&mut block.carry);
            self.lay(laid, &mut batch, &carried, &block)?;
            let raw = std::mem::take(&mut block.raw);
            self.lay(laid, &mut batch, &raw, &block)?;
        }
        if let Some((laid, _)) = out {
            laid.finish()?;
        }
        if batch.files.is_empty() {
            return Ok(None);
        }
        self.index(&batch)?;
        Ok(Some(batch))
    }

    fn path(&self, batch: &Batch, number: usize) -> PathBuf {
        let mut path = self.relay.clone().into_os_string();
        path.push(format!("-{}.{number:06}", batch.name));
        path.into()
    }

    /// Tells the server which files there are.
    fn index(&self, batch: &Batch) -> Result<()> {
        let mut list = String::new();
        for file in &batch.files {
            // As the server itself notes them.
            list.push_str(&format!("./{}\n", file_name(file)));
        }
        let mut path = self.relay.clone().into_os_string();
        path.push(format!("-{}.index", batch.name));
        let path = PathBuf::from(path);
        files::write(&path, list.as_bytes(), 0o640)?;
        self.account
            .own(&path)
            .map_err(Error::io("give away", &path))
    }

    /// Lays a run of whole events.
    fn lay(&mut self, laid: &mut Laid, batch: &mut Batch, raw: &[u8], block: &Block) -> Result<()> {
        let mut at = 0;
        while let Some(event) = split(&raw[at..], block.checksum, || block.at.clone())? {
            self.event(laid, batch, &event, &block.at)?;
            at += event.raw.len();
        }
        if at == raw.len() {
            return Ok(());
        }
        Err(Error::State {
            what: DOING.to_owned(),
            why: format!("an event behind {} is not whole", block.at),
        })
    }

    fn event(
        &mut self,
        laid: &mut Laid,
        batch: &mut Batch,
        event: &Event<'_>,
        at: &Position,
    ) -> Result<()> {
        let Header { kind, server, .. } = event.header;
        self.bytes += event.raw.len() as u64;
        if let Some(bit) = server.checked_sub(u32::MAX - SERVERS + 1) {
            batch.servers |= 1 << bit;
        }
        match kind {
            Kind::START_ENCRYPTION => {
                return Err(Error::State {
                    what: DOING.to_owned(),
                    why: format!("it is encrypted behind {at}; take another instant"),
                });
            }
            Kind::GTID => return self.group(laid, event),
            Kind::QUERY | Kind::QUERY_COMPRESSED => {
                if let Some(held) = laid.held.take() {
                    if defines_no_table(event) {
                        return Ok(());
                    }
                    laid.write(&held.raw)?;
                    self.passed(held.id)?;
                }
            }
            _ => {
                if let Some(held) = laid.held.take() {
                    laid.write(&held.raw)?;
                    self.passed(held.id)?;
                }
            }
        }
        laid.write(event.raw)
    }

    /// A group begins.
    fn group(&mut self, laid: &mut Laid, event: &Event<'_>) -> Result<()> {
        self.groups += 1;
        let read = GtidEvent::read(&event.header, event.body);
        let id = match &read {
            Some(GtidEvent {
                gtid:
                    Some(Gtid::Triple {
                        domain,
                        server,
                        sequence,
                    }),
                ..
            }) => Some((*domain, *server, *sequence)),
            _ => None,
        };
        let alone = read.is_some_and(|read| read.standalone == Some(true));
        if self.definitions_only_of_tables && alone {
            laid.held = Some(Held {
                id,
                raw: event.raw.to_vec(),
            });
            return Ok(());
        }
        self.passed(id)?;
        laid.write(event.raw)
    }

    fn passed(&mut self, id: Option<(u32, u32, u64)>) -> Result<()> {
        let Some((domain, server, sequence)) = id else {
            return Ok(());
        };
        self.last.insert(domain, (server, sequence));
        if self.last.len() <= DOMAINS_MAX {
            return Ok(());
        }
        Err(Error::State {
            what: DOING.to_owned(),
            why: format!("its ids are of more than {DOMAINS_MAX} domains"),
        })
    }
}

/// Whether a statement defines something else than a table, or nothing.
fn defines_no_table(event: &Event<'_>) -> bool {
    Query::read(event.header.kind, event.body).is_ok_and(|query| {
        let schema = String::from_utf8_lossy(query.schema);
        matches!(
            ddl::classify(&schema, &query.text),
            StatementKind::Other | StatementKind::Ddl(Ddl::Define(_))
        )
    })
}

/// The begin of a group that may be left out.
struct Held {
    id: Option<(u32, u32, u64)>,
    raw: Vec<u8>,
}

/// A file that is being laid out.
struct Laid {
    path: PathBuf,
    out: BufWriter<File>,
    held: Option<Held>,
}

impl Laid {
    /// Begins a file with what tells how its events are made, unless the block
    /// begins with that.
    fn begin(path: &Path, block: &Block, account: Account) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("make", path))?;
        account.own(path).map_err(Error::io("give away", path))?;
        let mut laid = Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
            held: None,
        };
        laid.write(&MAGIC)?;
        let kind = (block.raw.len() >= HEADER_BYTES)
            .then(|| Header::read(&block.raw))
            .flatten()
            .map(|header| header.kind);
        if kind != Some(Kind::FORMAT_DESCRIPTION) || !block.carry.is_empty() {
            laid.write(&synth::format_event(block.checksum))?;
        }
        Ok(laid)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(Error::io("write", &self.path))
    }

    fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(Error::io("write", &self.path))
    }
}

/// Lets the server apply what is laid out.
fn run(
    session: &mut Session,
    batch: &Batch,
    filter: Option<&str>,
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    let name = text(&batch.name);
    let (Some(first), Some(last)) = (batch.files.first(), batch.files.last()) else {
        return Ok(());
    };
    let free = (0..SERVERS)
        .find(|bit| batch.servers & (1 << bit) == 0)
        .ok_or_else(|| Error::State {
            what: DOING.to_owned(),
            why: format!(
                "servers of all the numbers from {} on wrote it",
                u32::MAX - SERVERS + 1
            ),
        })?;
    session.exec(
        DOING,
        format!("SET GLOBAL server_id={}", u32::MAX - SERVERS + 1 + free),
    )?;
    session.exec(
        DOING,
        format!(
            "CHANGE MASTER {name} TO MASTER_HOST='localhost', MASTER_USER='nobody', \
             MASTER_USE_GTID=no, RELAY_LOG_FILE={}, RELAY_LOG_POS={}",
            text(&file_name(first)),
            MAGIC.len()
        ),
    )?;
    if let Some(filter) = filter {
        // Each connection has a list of its own.
        session.exec(
            DOING,
            format!("SET SESSION default_master_connection={name}"),
        )?;
        session.exec(
            DOING,
            format!("SET GLOBAL replicate_do_table={}", text(filter)),
        )?;
        session.exec(DOING, "SET SESSION default_master_connection=''")?;
    }
    session.exec(DOING, format!("START SLAVE {name} SQL_THREAD"))?;
    // An applier that is not through goes with the copy: it would first end the
    // transaction that it is in.
    watch(session, &name, &file_name(last), cancelled)?;
    session.exec(DOING, format!("STOP SLAVE {name}"))?;
    session.exec(DOING, format!("RESET SLAVE {name} ALL"))?;
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Waits until the applier is behind the last file.
fn watch(
    session: &mut Session,
    name: &str,
    last: &str,
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    loop {
        let now = look(session, name)?;
        if now.errno != 0 {
            return Err(Error::Refused {
                doing: format!("{DOING} behind {}:{}", now.file, now.offset),
                number: now.errno,
                why: now.error,
            });
        }
        // The server has begun a file of its own behind the last.
        if now.relay.as_str() > last {
            return Ok(());
        }
        if now.running != "Yes" {
            return Err(Error::State {
                what: DOING.to_owned(),
                why: format!(
                    "the applier ended by itself at {}:{}; see the server's error log",
                    now.file, now.offset
                ),
            });
        }
        if cancelled() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(TICK);
    }
}

/// What the applier says of itself.
#[derive(Default)]
struct Applier {
    relay: String,
    file: String,
    offset: u64,
    running: String,
    errno: u16,
    error: String,
}

fn look(session: &mut Session, name: &str) -> Result<Applier> {
    let mut now = Applier::default();
    session.each(
        "see how far the replay is",
        format!("SHOW SLAVE {name} STATUS"),
        |row| {
            let word = |column: &str| -> String {
                row.get_opt(column)
                    .and_then(std::result::Result::ok)
                    .unwrap_or_default()
            };
            let number = |column: &str| word(column).parse().unwrap_or(0);
            now = Applier {
                relay: word("Relay_Log_File"),
                file: word("Relay_Master_Log_File"),
                offset: number("Exec_Master_Log_Pos"),
                running: word("Slave_SQL_Running"),
                errno: u16::try_from(number("Last_SQL_Errno")).unwrap_or(u16::MAX),
                error: word("Last_SQL_Error"),
            };
            Ok(())
        },
    )?;
    Ok(now)
}

/// Sees that the last id of each domain is the last that was laid out.
fn arrived(session: &mut Session, last: &BTreeMap<u32, (u32, u64)>) -> Result<()> {
    let is: String = session
        .first("see how far the replay is", "SELECT @@gtid_slave_pos")?
        .unwrap_or_default();
    let mut there: Vec<&str> = is.split(',').filter(|id| !id.is_empty()).collect();
    there.sort_unstable();
    let mut wanted: Vec<String> = last
        .iter()
        .map(|(domain, (server, sequence))| format!("{domain}-{server}-{sequence}"))
        .collect();
    wanted.sort_unstable();
    if there == wanted {
        return Ok(());
    }
    Err(Error::State {
        what: DOING.to_owned(),
        why: format!("it is at {is:?} and should be at {:?}", wanted.join(",")),
    })
}
