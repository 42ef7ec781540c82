//! The archive, following a real server.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backout_history::archive::pull::{PullFrom, pull};
use backout_history::source::{Block, FileSource, Source};
use backout_history::{
    Archive, Error, Item, Micros, Position, Reader, ReaderOptions, TableName, Txn, Until,
};
use common::Server;
use futures_util::stream::BoxStream;
use mysql::prelude::Queryable;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Micros(i64::try_from(since.as_micros()).unwrap())
}

fn from(server: &Server) -> PullFrom {
    PullFrom {
        host: String::new(),
        port: 0,
        socket: Some(server.socket()),
        user: "root".to_owned(),
        password: String::new(),
        server_id: 4711,
        tls: None,
    }
}

fn end_of(server: &Server) -> Position {
    let (file, offset): (String, u64) = server
        .conn()
        .query_first::<(String, u64, String, String), _>("SHOW MASTER STATUS")
        .unwrap()
        .map(|row| (row.0, row.1))
        .unwrap();
    Position { file, offset }
}

/// Ends what a follower left on the server, which keeps logs from being purged.
fn alone(server: &Server) {
    let mut conn = server.conn();
    let start = std::time::Instant::now();
    loop {
        let ids: Vec<u64> = conn
            .query("SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")
            .unwrap();
        if ids.is_empty() {
            return;
        }
        assert!(start.elapsed() < PATIENCE);
        for id in ids {
            let _ = conn.query_drop(format!("KILL {id}"));
        }
    }
}

/// Follows the server while `work` runs, and until all is archived.
fn following<T>(archive: &Archive, server: &Server, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let from = from(server);
        let stop = &stop;
        let follower =
            scope.spawn(move || pull(archive, &from, &now, &|| stop.load(Ordering::Acquire)));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let result = work();
            let end = end_of(server);
            let there = archive
                .wait_until(&end, PATIENCE, &|| follower.is_finished())
                .unwrap_or(false);
            (result, there)
        }));
        stop.store(true, Ordering::Release);
        let followed = follower.join().unwrap();
        match result {
            Ok((result, there)) => {
                followed.unwrap();
                assert!(there, "not archived in time");
                result
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn catch_up(archive: &Archive, server: &Server) {
    following(archive, server, || ());
}

/// All bytes between two positions, by file.
fn bytes(archive: &Archive, from: &Position, to: &Position) -> BTreeMap<String, Vec<u8>> {
    let mut source = archive.source(from, to, None).unwrap();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut block = Block::default();
    while source.next_block(&mut block).unwrap() {
        let file = files.entry(block.at.file.clone()).or_default();
        if file.is_empty() && block.at.offset == 4 {
            file.extend_from_slice(b"\xfebin");
        }
        assert_eq!(file.len() as u64, block.at.offset, "in {}", block.at.file);
        file.extend_from_slice(&block.raw);
    }
    files
}

fn whole(archive: &Archive) -> (Position, Position) {
    let windows = archive.windows().unwrap();
    assert_eq!(windows.len(), 1, "{windows:?}");
    (
        windows[0].from.position.clone(),
        archive.end().unwrap().unwrap(),
    )
}

/// That the archive has exactly what the server's files have.
fn assert_same(archive: &Archive, server: &Server) {
    let (begin, end) = whole(archive);
    let archived = bytes(archive, &begin, &end);
    let binlogs = server.binlogs();
    assert_eq!(archived.len(), binlogs.len());
    for path in binlogs {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut file = std::fs::read(&path).unwrap();
        // A flag of the first event: the file is written to, or was when the
        // server was killed.
        file[4 + 17] &= !1;
        let ours = &archived[&name];
        if name == end.file {
            // The server notes a checkpoint by itself, at any time.
            file.truncate(ours.len());
        }
        let differs = ours.iter().zip(&file).position(|(a, b)| a != b);
        assert!(
            *ours == file,
            "{name} differs at {differs:?}, {} bytes of {}",
            ours.len(),
            file.len()
        );
    }
}

fn reader<S: Source>(source: S, wanted: Option<HashSet<TableName>>) -> Reader<S> {
    Reader::new(
        source,
        ReaderOptions {
            wanted,
            spill: std::env::temp_dir(),
            xa_memory: 1 << 20,
            lower_case_names: false,
        },
    )
}

/// How often each table was changed, as a reader sees it.
fn changes<S: Source>(
    source: S,
    wanted: &HashSet<TableName>,
) -> (BTreeMap<TableName, u64>, Reader<S>) {
    let mut reader = reader(source, Some(wanted.clone()));
    let mut counts = BTreeMap::new();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Change(change) = item {
            *counts.entry(change.table.name.clone()).or_default() += 1;
        }
    }
    (counts, reader)
}

fn t(name: &str) -> TableName {
    TableName::new("s", name)
}

fn set(names: &[&str]) -> HashSet<TableName> {
    names.iter().map(|name| t(name)).collect()
}

#[test]
fn what_several_writers_wrote_is_archived_byte_for_byte() {
    let server = Server::start(&["--max-binlog-size=4M"]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.a (id BIGINT PRIMARY KEY AUTO_INCREMENT, v LONGBLOB)",
        "CREATE TABLE s.m (id INT) ENGINE=MyISAM",
    ]);
    following(&archive, &server, || {
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let server = &server;
                scope.spawn(move || {
                    let mut conn = server.conn();
                    for i in 0..60 {
                        let size = [10, 300, 9000, 120_000][(i + writer) % 4];
                        conn.query_drop(format!(
                            "INSERT INTO s.a (v) VALUES (REPEAT(CHAR({i}+32), {size})), (UUID())"
                        ))
                        .unwrap();
                        if i % 20 == 0 {
                            conn.query_drop("INSERT INTO s.m VALUES (1), (2)").unwrap();
                        }
                    }
                });
            }
        });
        // One event larger than a chunk.
        server.run_all(&[
            "INSERT INTO s.a (v) VALUES (REPEAT('0123456789abcdef', 600000))",
            "FLUSH BINARY LOGS",
            "DELETE FROM s.a LIMIT 10",
        ]);
    });
    assert!(server.binlogs().len() > 2);
    assert_same(&archive, &server);
    // Another handle, as another process has it, reads the same.
    let other = Archive::local(folder.path()).unwrap();
    assert_same(&other, &server);
    assert_eq!(other.windows().unwrap().len(), 1);
    assert!(archive.caught_up().is_some() && other.caught_up().is_none());
}

#[test]
fn events_without_checksums_and_compressed_events_are_archived_as_they_are() {
    for args in [
        ["--binlog-checksum=NONE", "--log-bin-compress=0"],
        ["--binlog-checksum=CRC32", "--log-bin-compress=1"],
    ] {
        let server = Server::start(&args);
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::local(folder.path()).unwrap();
        server.run_all(&[
            "CREATE DATABASE s",
            "USE s",
            "CREATE TABLE s.a (id INT PRIMARY KEY, v TEXT)",
            "INSERT INTO s.a SELECT seq, REPEAT('x', 500) FROM seq_1_to_1000",
            "SET GLOBAL binlog_checksum=CRC32",
            "UPDATE s.a SET v = REPEAT('y', 600)",
        ]);
        catch_up(&archive, &server);
        assert_same(&archive, &server);
        let (begin, end) = whole(&archive);
        let wanted = set(&["a"]);
        let source = archive.source(&begin, &end, Some(&wanted)).unwrap();
        assert_eq!(changes(source, &wanted).0[&t("a")], 2000);
    }
}

/// A store that dies at a given call that would change something.
#[derive(Debug)]
struct Dying {
    inner: LocalFileSystem,
    /// How many more such calls it lives; negative once it is dead.
    left: Arc<AtomicI64>,
}

impl std::fmt::Display for Dying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

fn dead() -> object_store::Error {
    object_store::Error::Generic {
        store: "dying",
        source: "the process was killed".into(),
    }
}

impl Dying {
    fn writes(left: &AtomicI64) -> object_store::Result<()> {
        if left.fetch_sub(1, Ordering::AcqRel) <= 0 {
            return Err(dead());
        }
        Ok(())
    }

    fn reads(&self) -> object_store::Result<()> {
        if self.left.load(Ordering::Acquire) < 0 {
            return Err(dead());
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl ObjectStore for Dying {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        Self::writes(&self.left)?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Self::writes(&self.left)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(
        &self,
        location: &Key,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.reads()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        use futures_util::StreamExt as _;
        let left = Arc::clone(&self.left);
        let locations = locations.map(move |location| {
            Self::writes(&left)?;
            location
        });
        self.inner.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Key,
        to: &Key,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        Self::writes(&self.left)?;
        self.inner.copy_opts(from, to, options).await
    }
}

fn dying(folder: &Path, left: i64) -> (Archive, Arc<AtomicI64>) {
    let left = Arc::new(AtomicI64::new(left));
    let store = Dying {
        inner: LocalFileSystem::new_with_prefix(folder).unwrap(),
        left: Arc::clone(&left),
    };
    (Archive::open(Arc::new(store), "a/b").unwrap(), left)
}

#[test]
fn killed_between_any_two_writes_it_goes_on_at_the_exact_byte() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.a (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)",
    ]);
    let mut conn = server.conn();
    let mut died = HashSet::new();
    // Each round adds a small chunk, and each sixteenth merges.
    for round in 0..34 {
        conn.query_drop("INSERT INTO s.a (v) VALUES (UUID()), (UUID())")
            .unwrap();
        if round == 32 {
            conn.query_drop("FLUSH BINARY LOGS").unwrap();
        }
        let end = end_of(&server);
        let mut lives = 0;
        loop {
            let (archive, left) = dying(folder.path(), lives);
            let stop = || {
                archive
                    .wait_until(&end, Duration::ZERO, &|| false)
                    .unwrap_or(false)
            };
            let pulled = pull(&archive, &from(&server), &now, &stop);
            if left.load(Ordering::Acquire) >= 0 {
                pulled.unwrap();
                break;
            }
            died.insert(lives);
            lives += 1;
        }
    }
    // The chunk, a merged one, the page, what was merged; some are done already
    // when it comes again.
    assert!(died.len() >= 4, "{died:?}");
    let (archive, _) = dying(folder.path(), 1000);
    assert_same(&archive, &server);
}

#[test]
fn small_chunks_are_merged() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&["CREATE DATABASE s", "CREATE TABLE s.a (id INT PRIMARY KEY)"]);
    following(&archive, &server, || {
        let mut conn = server.conn();
        for i in 0..40 {
            conn.query_drop(format!("INSERT INTO s.a VALUES ({i})"))
                .unwrap();
            assert!(
                archive
                    .wait_until(&end_of(&server), PATIENCE, &|| false)
                    .unwrap()
            );
        }
    });
    let chunks = std::fs::read_dir(folder.path().join("chunks/000000"))
        .unwrap()
        .count();
    assert!(chunks < 20, "{chunks}");
    let pages = std::fs::read_dir(folder.path().join("index/000000"))
        .unwrap()
        .count();
    assert_eq!(pages, 1);
    assert_same(&archive, &server);
}

#[test]
fn history_that_was_purged_while_nobody_followed_is_a_gap() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.a (id INT PRIMARY KEY)",
        "INSERT INTO s.a VALUES (1)",
    ]);
    catch_up(&archive, &server);
    alone(&server);
    let begin = archive.windows().unwrap()[0].from.position.clone();
    server.run_all(&[
        "INSERT INTO s.a VALUES (2)",
        "FLUSH BINARY LOGS",
        "INSERT INTO s.a VALUES (3)",
        "FLUSH BINARY LOGS",
        "INSERT INTO s.a VALUES (4)",
    ]);
    // It keeps what it might need itself for a moment.
    let start = std::time::Instant::now();
    while server.binlogs().len() > 1 {
        server.run_all(&["PURGE BINARY LOGS TO 'bin.000003'"]);
        assert!(start.elapsed() < PATIENCE);
    }
    catch_up(&archive, &server);
    let windows = archive.windows().unwrap();
    assert_eq!(windows.len(), 2, "{windows:?}");
    assert!(windows[0].gap_before.is_none());
    let gap = windows[1].gap_before.as_ref().unwrap();
    assert!(gap.contains("purged"), "{gap}");
    assert_eq!(windows[1].from.position.to_string(), "bin.000003:0");
    let end = archive.end().unwrap().unwrap();
    let error = archive.source(&begin, &end, None).unwrap_err();
    assert!(matches!(error, Error::Gap { .. }), "{error}");
    for window in &windows {
        archive
            .source(&window.from.position, &window.to.position, None)
            .unwrap();
    }
    let lost = Until::Position("bin.000002:400".parse().unwrap());
    assert!(matches!(archive.locate(&lost), Err(Error::Gap { .. })));
}

#[test]
fn reset_logs_begin_history_anew() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.a (id INT PRIMARY KEY)",
        "INSERT INTO s.a VALUES (1)",
        "FLUSH BINARY LOGS",
    ]);
    catch_up(&archive, &server);
    let old = archive.end().unwrap().unwrap();
    // While nobody follows, and again longer than before, in the same file.
    server.run_all(&[
        "RESET MASTER",
        "INSERT INTO s.a VALUES (2)",
        "FLUSH BINARY LOGS",
    ]);
    for i in 10..30 {
        server.run_all(&[&format!("INSERT INTO s.a VALUES ({i})")]);
    }
    assert!(end_of(&server) > old);
    catch_up(&archive, &server);
    let windows = archive.windows().unwrap();
    assert_eq!(windows.len(), 2, "{windows:?}");
    assert_eq!(windows[1].incarnation, 1);
    assert!(windows[1].gap_before.as_ref().unwrap().contains("reset"));
    // The old life can still be read.
    let first = archive.at_incarnation(0);
    assert_eq!(first.end().unwrap().unwrap(), old);
    let wanted = set(&["a"]);
    let read = |archive: &Archive, window: usize| {
        let w = &windows[window];
        let source = archive
            .source(&w.from.position, &w.to.position, Some(&wanted))
            .unwrap();
        changes(source, &wanted).0[&t("a")]
    };
    assert_eq!(read(&first, 0), 1);
    assert_eq!(read(&archive, 1), 21);
    // While somebody follows: the connection may end, then it is called again.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                match pull(&archive, &from(&server), &now, &|| {
                    stop.load(Ordering::Acquire)
                }) {
                    Ok(()) => {}
                    Err(error) => assert!(error.is_passing(), "{error}"),
                }
            }
        });
        let until = |incarnation| {
            let start = std::time::Instant::now();
            while archive.incarnation().unwrap() != incarnation && start.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
        };
        server.run_all(&["INSERT INTO s.a VALUES (100)"]);
        assert!(
            archive
                .wait_until(&end_of(&server), PATIENCE, &|| false)
                .unwrap()
        );
        server.run_all(&["RESET MASTER", "INSERT INTO s.a VALUES (101)"]);
        until(2);
        stop.store(true, Ordering::Release);
        follower.join().unwrap();
    });
    assert_eq!(archive.incarnation().unwrap(), 2);
    catch_up(&archive, &server);
    let windows = archive.windows().unwrap();
    assert_eq!(windows.len(), 3, "{windows:?}");
    // Old lives go with retention.
    archive
        .purge_before(&archive.end().unwrap().unwrap())
        .unwrap();
    assert_eq!(archive.windows().unwrap().len(), 1);
}

#[test]
fn an_instant_an_id_and_a_position_are_found() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&["CREATE DATABASE s", "CREATE TABLE s.a (id INT PRIMARY KEY)"]);
    let mut instants = Vec::new();
    let mut ids = Vec::new();
    following(&archive, &server, || {
        let mut conn = server.conn();
        // Live from here on, and in another second than what was before.
        assert!(
            archive
                .wait_until(&end_of(&server), PATIENCE, &|| false)
                .unwrap()
        );
        let before = now().second();
        while now().second() == before {
            std::thread::yield_now();
        }
        for i in 0..20 {
            conn.query_drop(format!("INSERT INTO s.a VALUES ({i})"))
                .unwrap();
            let gtid: String = conn.query_first("SELECT @@last_gtid").unwrap().unwrap();
            ids.push(gtid);
            let end = end_of(&server);
            assert!(archive.wait_until(&end, PATIENCE, &|| false).unwrap());
            instants.push((now(), end));
        }
    });
    let mut exact = 0;
    for (i, (instant, end)) in instants.iter().enumerate() {
        let located = archive.locate(&Until::Time(*instant)).unwrap();
        assert_eq!(located.position, *end, "{i}");
        let kept = located.kept.unwrap();
        assert_eq!(kept.gtid.as_ref().unwrap().to_string(), ids[i]);
        assert_eq!(kept.end, *end);
        assert_eq!(kept.tables[0].name, t("a"));
        assert_eq!(kept.tables[0].inserts, 1);
        assert!(kept.time < *instant);
        exact += usize::from(located.exact);
        let undone = located.undone.map(|txn| txn.gtid.unwrap().to_string());
        assert_eq!(undone.as_ref(), ids.get(i + 1));
        // By id and by position.
        let by_id = archive
            .locate(&Until::Gtid(ids[i].parse().unwrap()))
            .unwrap();
        assert_eq!((by_id.position, by_id.exact), (end.clone(), true));
        let by_position = archive.locate(&Until::Position(end.clone())).unwrap();
        assert_eq!(
            (by_position.position, by_position.exact),
            (end.clone(), true)
        );
        let within = Position {
            offset: end.offset - 1,
            ..end.clone()
        };
        let by_position = archive.locate(&Until::Position(within)).unwrap();
        let before = i.checked_sub(1).map(|i| instants[i].1.clone());
        if let Some(before) = before {
            assert_eq!((by_position.position, by_position.exact), (before, false));
        }
    }
    // But for those that arrived in the second after the one they committed in.
    assert!(exact >= 10, "{exact}");
    let unknown = Until::Gtid("0-9-999".parse().unwrap());
    assert!(matches!(archive.locate(&unknown), Err(Error::Gap { .. })));
    let early = Until::Time(Micros(1));
    assert!(matches!(archive.locate(&early), Err(Error::Gap { .. })));
    // Without the journal a whole second is still exact.
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    catch_up(&archive, &server);
    let (instant, _) = &instants[10];
    let second = Micros(instant.second() * 1_000_000);
    match archive.locate(&Until::Time(second)) {
        Ok(located) => {
            assert!(located.exact);
            if let Some(undone) = located.undone {
                assert!(undone.time >= second);
            }
        }
        Err(error) => assert!(matches!(error, Error::Gap { .. })),
    }
}

/// 30 MB of noise in many transactions, and in one large one.
fn noise(server: &Server) {
    let mut conn = server.conn();
    conn.query_drop("USE s").unwrap();
    for _ in 0..20 {
        conn.query_drop("INSERT INTO s.noise (v) SELECT REPEAT(UUID(), 30) FROM seq_1_to_1000")
            .unwrap();
    }
    conn.query_drop("UPDATE s.noise SET v = REVERSE(v) WHERE id < 3000")
        .unwrap();
}

#[test]
fn a_quiet_table_is_read_without_the_noise_beside_it() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.quiet (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE s.noise (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)",
        "INSERT INTO s.quiet VALUES (1, 1), (2, 2)",
    ]);
    noise(&server);
    server.run_all(&["UPDATE s.quiet SET v = 3"]);
    noise(&server);
    server.run_all(&["RENAME TABLE s.quiet TO s.calm", "FLUSH BINARY LOGS"]);
    noise(&server);
    // XA: prepared here, ended far behind.
    server.run_all(&[
        "XA START 'x'",
        "INSERT INTO s.calm VALUES (3, 3)",
        "XA END 'x'",
        "XA PREPARE 'x'",
    ]);
    server.run_all(&[
        "XA START 'y'",
        "INSERT INTO s.calm VALUES (4, 4)",
        "XA END 'y'",
        "XA PREPARE 'y'",
    ]);
    let between = end_of(&server);
    noise(&server);
    server.run_all(&["XA COMMIT 'x'", "XA ROLLBACK 'y'"]);
    noise(&server);
    // One transaction that touches both, over more than a chunk.
    server.run_all(&[
        "USE s",
        "BEGIN",
        "INSERT INTO s.noise (v) SELECT REPEAT(UUID(), 30) FROM seq_1_to_12000",
        "DELETE FROM s.calm WHERE id = 2",
        "INSERT INTO s.noise (v) SELECT REPEAT(UUID(), 30) FROM seq_1_to_12000",
        "COMMIT",
    ]);
    catch_up(&archive, &server);
    let (begin, end) = whole(&archive);
    let wanted = set(&["quiet", "calm"]);
    let files = FileSource::open(&server.binlogs()).unwrap();
    let (expected, _) = changes(files, &wanted);
    assert_eq!(expected[&t("quiet")], 4);
    assert_eq!(expected[&t("calm")], 2);
    // Asked for under its present name only: renames are followed.
    let source = archive.source(&begin, &end, Some(&set(&["calm"]))).unwrap();
    let (found, reader) = changes(source, &wanted);
    assert_eq!(found, expected);
    let skipped = reader.source().skipped_bytes();
    let total: u64 = server
        .binlogs()
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(skipped > total / 2, "{skipped} of {total}");
    // Reading begins between XA PREPARE and XA COMMIT.
    let source = archive
        .source(&between, &end, Some(&set(&["calm"])))
        .unwrap();
    let (found, _) = changes(source, &wanted);
    assert_eq!(found, BTreeMap::from([(t("calm"), 2)]));

    assert_eq!(
        archive.names(&begin, &end, &set(&["calm"])).unwrap(),
        set(&["calm", "quiet"])
    );
    let ddl = archive.ddl(&begin, &end, Some(&set(&["quiet"]))).unwrap();
    let texts: Vec<_> = ddl
        .iter()
        .map(|s| String::from_utf8_lossy(&s.text))
        .collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[2].starts_with("RENAME TABLE s.quiet"));
    assert_eq!(archive.ddl(&begin, &end, None).unwrap().len(), 4);
    let crossing = archive
        .crossings(&begin, &end, &set(&["calm"]), &|| false)
        .unwrap()
        .unwrap();
    let counts: Vec<_> = crossing
        .tables
        .iter()
        .map(|c| (c.name.table.as_str(), c.inserts, c.updates, c.deletes))
        .collect();
    assert_eq!(counts, [("calm", 0, 0, 1), ("noise", 24_000, 0, 0)]);
    assert_eq!(
        archive
            .crossings(&begin, &end, &set(&["calm", "noise"]), &|| false)
            .unwrap(),
        None
    );
    // The transactions of the quiet table, by its present name.
    let list = |before, after, around| -> Vec<Txn> {
        archive
            .transactions(Some(&t("calm")), around, before, after)
            .unwrap()
    };
    let behind = Micros(now().0 + 10_000_000);
    let txns = list(10, 10, behind);
    let rows: Vec<u64> = txns
        .iter()
        .map(|txn| {
            txn.tables
                .iter()
                .filter(|c| c.name.table != "noise")
                .map(|c| c.inserts + c.updates + c.deletes)
                .sum()
        })
        .collect();
    let changing: Vec<u64> = rows.iter().copied().filter(|n| *n > 0).collect();
    assert_eq!(changing, [2, 2, 1, 1], "{txns:#?}");
    assert!(txns.is_sorted_by_key(|txn| txn.position.clone()));
    assert_eq!(list(0, 100, Micros(0)), txns);
    assert_eq!(list(1, 0, behind), txns[txns.len() - 1..]);
}

#[test]
fn a_damaged_chunk_is_named_and_shortens_the_window() {
    let server = Server::start(&["--max-binlog-size=1G"]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.noise (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)",
    ]);
    noise(&server);
    catch_up(&archive, &server);
    let (begin, end) = whole(&archive);
    let mut chunks: Vec<_> = std::fs::read_dir(folder.path().join("chunks/000000"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    chunks.sort();
    assert!(chunks.len() > 4);
    let victim = &chunks[2];
    let good = std::fs::read(victim).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(victim, &bad).unwrap();
    let mut source = archive.source(&begin, &end, None).unwrap();
    let mut block = Block::default();
    let error = loop {
        match source.next_block(&mut block) {
            Ok(more) => assert!(more, "the damage went unseen"),
            Err(error) => break error,
        }
    };
    let name = victim.file_name().unwrap().to_string_lossy().into_owned();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    let windows = archive.windows().unwrap();
    assert_eq!(windows.len(), 2, "{windows:?}");
    assert!(windows[1].gap_before.as_ref().unwrap().contains(&name));
    assert!(windows[0].to.position < windows[1].from.position);
    // A lost chunk is the same; one that was put back is whole again.
    std::fs::remove_file(victim).unwrap();
    assert_eq!(archive.windows().unwrap().len(), 2);
    std::fs::write(victim, &good).unwrap();
    assert_eq!(archive.windows().unwrap().len(), 1);
    assert_same(&archive, &server);
    // The last chunk was lost with the machine's power: it is pulled again.
    let last = chunks.last().unwrap();
    std::fs::write(last, b"").unwrap();
    server.run_all(&["INSERT INTO s.noise (v) VALUES ('after')"]);
    catch_up(&archive, &server);
    assert_same(&archive, &server);
}

#[test]
fn a_server_that_is_killed_is_followed_again() {
    let mut server = Server::start(&["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.a (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)",
    ]);
    for _ in 0..2 {
        catch_up(&archive, &server);
        let archived = AtomicU64::new(0);
        let followed = std::thread::scope(|scope| {
            let from = from(&server);
            let (archive, archived) = (&archive, &archived);
            let follower = scope.spawn(move || {
                pull(archive, &from, &now, &|| {
                    archived.fetch_add(1, Ordering::Relaxed);
                    false
                })
            });
            let mut conn = server.conn();
            for _ in 0..50 {
                conn.query_drop("INSERT INTO s.a (v) VALUES (REPEAT('z', 5000))")
                    .unwrap();
            }
            drop(conn);
            server.kill();
            follower.join().unwrap()
        });
        let error = followed.unwrap_err();
        assert!(error.is_passing(), "{error}");
        server.crash();
        server.run_all(&["INSERT INTO s.a (v) VALUES ('back')"]);
    }
    catch_up(&archive, &server);
    assert_same(&archive, &server);
    let (begin, end) = whole(&archive);
    let wanted = set(&["a"]);
    let source = archive.source(&begin, &end, Some(&wanted)).unwrap();
    let (found, _) = changes(source, &wanted);
    assert_eq!(found[&t("a")], 102);
}

#[test]
fn retention_keeps_what_is_needed_to_read_on() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&["CREATE DATABASE s", "CREATE TABLE s.a (id INT PRIMARY KEY)"]);
    // More files than a page has entries.
    let mut conn = server.conn();
    for i in 0..300 {
        conn.query_drop(format!("INSERT INTO s.a VALUES ({i})"))
            .unwrap();
        conn.query_drop("FLUSH BINARY LOGS").unwrap();
    }
    catch_up(&archive, &server);
    assert_same(&archive, &server);
    let (begin, end) = whole(&archive);
    archive
        .purge_before(&"bin.000100:4".parse().unwrap())
        .unwrap();
    assert_eq!(whole(&archive).0, begin, "its page is needed still");
    archive.purge_before(&end).unwrap();
    let (left, same_end) = whole(&archive);
    assert!(left > begin && left < end);
    assert_eq!(same_end, end);
    let wanted = set(&["a"]);
    let source = archive.source(&left, &end, Some(&wanted)).unwrap();
    let (found, _) = changes(source, &wanted);
    assert_eq!(found[&t("a")], 301 - left.number());
    assert!(matches!(
        archive.source(&begin, &end, None),
        Err(Error::Gap { .. })
    ));
    let kept = std::fs::read_dir(folder.path().join("chunks/000000"))
        .unwrap()
        .count();
    assert!(kept < 100, "{kept}");
    // And it goes on.
    server.run_all(&["INSERT INTO s.a VALUES (1000)"]);
    catch_up(&archive, &server);
    assert!(archive.end().unwrap().unwrap() > end);
}

/// What a reader sees in the archive, whatever the way it came.
fn assert_reads(archive: &Archive, expected: u64) {
    let (begin, end) = whole(archive);
    let wanted = set(&["a"]);
    let source = archive.source(&begin, &end, Some(&wanted)).unwrap();
    assert_eq!(changes(source, &wanted).0[&t("a")], expected);
}

#[test]
fn an_encrypted_session_leaves_out_only_the_texts_of_statements() {
    let keys = tempfile::tempdir().unwrap();
    let (key, cert) = (keys.path().join("key"), keys.path().join("cert"));
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Server::start(&[
        "--skip-networking=0",
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        &format!("--ssl-key={}", key.display()),
        &format!("--ssl-cert={}", cert.display()),
    ]);
    server.run_all(&[
        "CREATE USER far@'%' IDENTIFIED BY 'p' REQUIRE SSL",
        "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO far@'%'",
        "CREATE DATABASE s",
        "USE s",
        "CREATE TABLE a (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO a SELECT seq, REPEAT('x', 500) FROM seq_1_to_1000",
        "FLUSH BINARY LOGS",
        "UPDATE a SET v = 'y' WHERE id <= 7",
    ]);
    let from = PullFrom {
        host: "127.0.0.1".to_owned(),
        port,
        socket: None,
        user: "far".to_owned(),
        password: "p".to_owned(),
        server_id: 4712,
        tls: Some(
            mysql::SslOpts::default()
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true),
        ),
    };
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    // Twice, so that it also goes on behind what it has.
    for _ in 0..2 {
        server.run_all(&["USE s", "INSERT INTO a VALUES (-FLOOR(1e8 * RAND()), 'z')"]);
        let end = end_of(&server);
        let stop = || {
            archive
                .wait_until(&end, Duration::ZERO, &|| false)
                .unwrap_or(false)
        };
        pull(&archive, &from, &now, &stop).unwrap();
    }
    let (begin, end) = whole(&archive);
    let archived = bytes(&archive, &begin, &end);
    for path in server.binlogs() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = std::fs::read(&path).unwrap();
        let ours = &archived[&name];
        let mut at = 4;
        while at < ours.len() {
            let length = u32::from_le_bytes(ours[at + 9..at + 13].try_into().unwrap()) as usize;
            const ANNOTATE_ROWS: u8 = 160;
            if file[at + 4] == ANNOTATE_ROWS {
                assert_eq!(file[at + 9..at + 13], ours[at + 9..at + 13]);
            } else if at > 4 {
                assert!(
                    file[at..at + length] == ours[at..at + length],
                    "{name}:{at}"
                );
            }
            at += length;
        }
    }
    assert_reads(&archive, 1009);
    // Without TLS the server refuses, and that does not pass.
    let error = pull(&archive, &PullFrom { tls: None, ..from }, &now, &|| false).unwrap_err();
    assert!(!error.is_passing(), "{error}");
}

#[test]
fn logs_that_the_server_encrypts_on_its_disk_are_archived_plain() {
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("keys");
    std::fs::write(&key, format!("1;{}\n", "0123456789abcdef".repeat(4))).unwrap();
    let server = Server::start(&[
        "--plugin-load-add=file_key_management",
        &format!("--file-key-management-filename={}", key.display()),
        "--encrypt-binlog=1",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::local(folder.path()).unwrap();
    server.run_all(&[
        "CREATE DATABASE s",
        "USE s",
        "CREATE TABLE a (id INT PRIMARY KEY)",
        "INSERT INTO a VALUES (1), (2)",
        "FLUSH BINARY LOGS",
    ]);
    catch_up(&archive, &server);
    server.run_all(&["INSERT INTO s.a VALUES (3)"]);
    catch_up(&archive, &server);
    assert!(FileSource::open(&server.binlogs()).is_err());
    assert_reads(&archive, 3);
}
