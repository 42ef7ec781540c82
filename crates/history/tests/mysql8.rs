//! The shapes that only the family with uuids writes. Its server is not in the
//! packages that these tests may use, so the events are made here, from the
//! documented format.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::HashSet;

use backout_history::change::{Ddl, StatementKind};
use backout_history::event::{Checksum, Kind};
use backout_history::{
    Block, Error, Item, Position, Reader, ReaderOptions, Result, Source, TableName,
};

/// Makes a log, event by event.
#[derive(Default)]
struct Log {
    raw: Vec<u8>,
    /// Events within a payload have no checksum.
    plain: bool,
}

/// Where the log's first event is.
const START: usize = 4;

impl Log {
    fn event(&mut self, kind: Kind, flags: u16, body: &[u8]) -> &mut Self {
        let sum = if self.plain { 0 } else { 4 };
        let bytes = 19 + body.len() + sum;
        let mut raw = Vec::new();
        raw.extend(1_700_000_000_u32.to_le_bytes());
        raw.push(kind.0);
        raw.extend(1_u32.to_le_bytes());
        raw.extend(u32::try_from(bytes).unwrap().to_le_bytes());
        let next = u32::try_from(START + self.raw.len() + bytes).unwrap();
        raw.extend(next.to_le_bytes());
        raw.extend(flags.to_le_bytes());
        raw.extend(body);
        if !self.plain {
            let crc = crc32fast::hash(&raw);
            raw.extend(crc.to_le_bytes());
        }
        self.raw.extend(raw);
        self
    }

    fn gtid(&mut self, kind: Kind, number: u64) -> &mut Self {
        let mut body = vec![1];
        body.extend([0x3e; 16]);
        body.extend(number.to_le_bytes());
        body.extend([2; 17]);
        self.event(kind, 0, &body)
    }

    fn query(&mut self, text: &str) -> &mut Self {
        let mut body = vec![0; 8];
        // The database, no error; then flags, the mode and the character set.
        body.extend([1, 0, 0]);
        let mut status = vec![0, 0, 0, 0, 0, 1];
        status.extend(0_u64.to_le_bytes());
        status.extend([4, 33, 0, 33, 0, 8, 0]);
        body.extend(u16::try_from(status.len()).unwrap().to_le_bytes());
        body.extend(status);
        body.extend(b"d\0");
        body.extend(text.as_bytes());
        self.event(Kind::QUERY, 0, &body)
    }

    /// `d.<name>`: an `INT` and a `VARCHAR` that may be null, with metadata
    /// that is optional.
    fn table(&mut self, id: u8, name: &str) -> &mut Self {
        let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 1];
        body.extend(b"d\0");
        body.push(u8::try_from(name.len()).unwrap());
        body.extend(name.as_bytes());
        body.extend([0, 2, 3, 15, 2, 60, 0, 0b10]);
        body.extend([1, 1, 0x80]);
        self.event(Kind::TABLE_MAP, 0, &body)
    }

    /// A rows event of the second version, with data that are skipped.
    fn rows(&mut self, kind: Kind, id: u8, ends: bool, rows: &[&[u8]]) -> &mut Self {
        let mut body = vec![id, 0, 0, 0, 0, 0, u8::from(ends), 0];
        body.extend([5, 0, 7, 7, 7]);
        body.push(2);
        body.push(0b11);
        if matches!(kind, Kind::UPDATE_ROWS | Kind::PARTIAL_UPDATE_ROWS) {
            body.push(0xff);
        }
        body.extend(rows.concat());
        self.event(kind, 0, &body)
    }

    fn xid(&mut self) -> &mut Self {
        self.event(Kind::XID, 0, &[0; 8])
    }

    fn xa_prepare(&mut self, name: &[u8], one_phase: bool) -> &mut Self {
        let mut body = vec![u8::from(one_phase), 1, 0, 0, 0];
        body.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        body.extend([0; 4]);
        body.extend(name);
        self.event(Kind::XA_PREPARE, 0, &body)
    }

    fn payload(&mut self, inner: &[u8], zstd: bool) -> &mut Self {
        let packed = if zstd {
            zstd::bulk::compress(inner, 3).unwrap()
        } else {
            inner.to_vec()
        };
        let number = |n: usize| {
            let mut raw = vec![253];
            raw.extend(&u32::try_from(n).unwrap().to_le_bytes()[..3]);
            raw
        };
        let mut body = vec![1, 4];
        body.extend(number(packed.len()));
        if zstd {
            body.extend([2, 1, 0]);
        } else {
            body.extend([2, 3, 252, 255, 0]);
        }
        body.extend([3, 4]);
        body.extend(number(inner.len()));
        body.push(0);
        body.extend(packed);
        self.event(Kind::TRANSACTION_PAYLOAD, 0, &body)
    }
}

struct Once(Option<Vec<u8>>);

impl Source for Once {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        let Some(raw) = self.0.take() else {
            return Ok(false);
        };
        block.at = Position {
            file: "binlog.000001".into(),
            offset: START as u64,
        };
        (block.raw, block.checksum) = (raw, Checksum::Crc32);
        Ok(true)
    }
}

/// What is read, a line an item; an error last.
fn read(log: &Log, wanted: Option<&str>) -> (Vec<String>, Option<Error>) {
    let folder = tempfile::tempdir().unwrap();
    let options = ReaderOptions {
        wanted: wanted.map(|table| HashSet::from([TableName::new("d", table)])),
        spill: folder.path().to_owned(),
        xa_memory: 1 << 20,
        lower_case_names: false,
    };
    let mut reader = Reader::new(Once(Some(log.raw.clone())), options);
    let mut lines = Vec::new();
    loop {
        let line = match reader.next() {
            Ok(None) => return (lines, None),
            Err(error) => return (lines, Some(error)),
            Ok(Some(Item::Begin(group))) => {
                let gtid = group.gtid.as_ref().map(ToString::to_string);
                let number = gtid.map(|g| g.rsplit(':').next().unwrap().to_owned());
                format!("begin {} {}", number.unwrap_or_default(), group.standalone)
            }
            Ok(Some(Item::Change(change))) => format!(
                "{} {:?} {:?} {}",
                change.table.name, change.before, change.after, change.ends_statement
            ),
            Ok(Some(Item::Statement(statement))) => {
                String::from_utf8(statement.text.clone()).unwrap()
            }
            Ok(Some(Item::End(end))) => format!("end {}", end.committed),
        };
        lines.push(line);
    }
}

const A: &[u8] = &[0xfc, 1, 0, 0, 0, 1, b'a'];
const B: &[u8] = &[0xfe, 2, 0, 0, 0];

fn transaction(log: &mut Log) -> &mut Log {
    log.query("BEGIN")
        .event(Kind::ROWS_QUERY, 0x80, b"\x05INSERT")
        .table(7, "t")
        .rows(Kind::WRITE_ROWS, 7, false, &[A])
        .rows(Kind::WRITE_ROWS, 7, true, &[B])
        .table(8, "u")
        .rows(Kind::DELETE_ROWS, 8, true, &[A])
        .table(7, "t")
        .rows(Kind::UPDATE_ROWS, 7, true, &[A, B])
        .xid()
}

const OF_TRANSACTION: [&str; 6] = [
    "begin 1 false",
    "d.t None Some([252, 1, 0, 0, 0, 1, 97]) false",
    "d.t None Some([254, 2, 0, 0, 0]) true",
    "d.u Some([252, 1, 0, 0, 0, 1, 97]) None true",
    "d.t Some([252, 1, 0, 0, 0, 1, 97]) Some([254, 2, 0, 0, 0]) true",
    "end true",
];

#[test]
fn transactions_and_definitions() {
    let mut log = Log::default();
    log.event(Kind::PREVIOUS_GTIDS, 0x80, &[0; 8])
        .gtid(Kind::SOURCE_GTID, 1);
    transaction(&mut log)
        .gtid(Kind::ANONYMOUS_GTID, 0)
        .query("TRUNCATE TABLE t")
        .event(Kind::HEARTBEAT_V2, 0, &[1, 2, 3])
        .gtid(Kind::SOURCE_GTID, 2)
        .query("BEGIN")
        .query("COMMIT");
    let (lines, error) = read(&log, None);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(lines[..6], OF_TRANSACTION);
    let rest = [
        "begin  true",
        "TRUNCATE TABLE t",
        "end true",
        "begin 2 false",
        "end true",
    ];
    assert_eq!(lines[6..], rest);
    let (lines, error) = read(&log, Some("u"));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(lines.len(), 8);
}

#[test]
fn the_kind_of_a_statement_is_told() {
    let mut log = Log::default();
    log.gtid(Kind::ANONYMOUS_GTID, 0)
        .query("RENAME TABLE t TO `x`.`y`");
    let options = ReaderOptions::default();
    let mut reader = Reader::new(Once(Some(log.raw)), options);
    let mut kinds = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Statement(statement) = item {
            kinds.push(statement.kind.clone());
        }
    }
    let pair = (TableName::new("d", "t"), TableName::new("x", "y"));
    assert_eq!(kinds, [StatementKind::Ddl(Ddl::Rename(vec![pair]))]);
}

#[test]
fn transactions_that_are_compressed_as_a_whole() {
    let mut inner = Log {
        plain: true,
        ..Log::default()
    };
    transaction(&mut inner);
    for zstd in [true, false] {
        let mut log = Log::default();
        log.gtid(Kind::SOURCE_GTID, 1)
            .payload(&inner.raw, zstd)
            .gtid(Kind::ANONYMOUS_GTID, 0)
            .query("CREATE DATABASE e");
        let (lines, error) = read(&log, None);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(lines[..6], OF_TRANSACTION);
        assert_eq!(lines.len(), 9);
    }
    // One that is cut.
    let cut = &inner.raw[..inner.raw.len() - 40];
    let mut log = Log::default();
    log.gtid(Kind::SOURCE_GTID, 1).payload(cut, true);
    let (_, error) = read(&log, None);
    assert!(matches!(error, Some(Error::Damaged { .. })), "{error:?}");
}

#[test]
fn xa_comes_with_its_commit() {
    let mut log = Log::default();
    for (number, name) in [(1, "61"), (2, "62"), (3, "63")] {
        log.gtid(Kind::SOURCE_GTID, number)
            .query(&format!("XA START X'{name}',X'',1"))
            .table(7, "t")
            .rows(Kind::WRITE_ROWS, 7, true, &[A])
            .query(&format!("XA END X'{name}',X'',1"))
            .xa_prepare(&[0x60 + u8::try_from(number).unwrap()], number == 3);
    }
    log.gtid(Kind::SOURCE_GTID, 4)
        .query("XA ROLLBACK X'61',X'',1")
        .gtid(Kind::SOURCE_GTID, 5)
        .query("XA COMMIT X'62',X'',1");
    let (lines, error) = read(&log, None);
    assert!(error.is_none(), "{error:?}");
    let change = "d.t None Some([252, 1, 0, 0, 0, 1, 97]) true";
    let expected = [
        "begin 3 false",
        change,
        "end true",
        "begin 5 false",
        change,
        "end true",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_statement_may_end_with_an_event_without_rows() {
    for described in [true, false] {
        let mut log = Log::default();
        log.gtid(Kind::SOURCE_GTID, 1)
            .query("BEGIN")
            .table(7, "t")
            .rows(Kind::WRITE_ROWS, 7, false, &[A])
            .event(
                Kind::WRITE_ROWS,
                0,
                &[0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0, 0],
            );
        // Another statement needs a description of its own.
        if described {
            log.table(7, "t");
        }
        log.rows(Kind::WRITE_ROWS, 7, true, &[A]).xid();
        let (lines, error) = read(&log, None);
        if described {
            assert!(error.is_none(), "{error:?}");
            assert_eq!(lines.len(), 4);
        } else {
            assert!(matches!(error, Some(Error::Damaged { .. })), "{error:?}");
        }
    }
}

#[test]
fn what_is_refused_by_name() {
    let in_group = |make: &dyn Fn(&mut Log)| {
        let mut log = Log::default();
        log.gtid(Kind::SOURCE_GTID, 1).query("BEGIN").table(7, "t");
        make(&mut log);
        log.xid();
        log
    };
    let partial = in_group(&|log| {
        log.rows(Kind::PARTIAL_UPDATE_ROWS, 7, true, &[A, B]);
    });
    let columns = in_group(&|log| {
        log.event(
            Kind::DELETE_ROWS,
            0,
            &[7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 1, 0xfe, 1, 0, 0, 0],
        );
    });
    for (log, word) in [(partial, "JSON"), (columns, "binlog_row_image")] {
        let (_, error) = read(&log, Some("t"));
        let error = error.unwrap();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        let (lines, error) = read(&log, Some("u"));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(lines.len(), 2);
    }
    for kind in [
        Kind::INCIDENT,
        Kind::START_ENCRYPTION,
        Kind::TAGGED_GTID,
        Kind(99),
    ] {
        let mut log = Log::default();
        log.event(kind, 0, &[0; 40]);
        let (_, error) = read(&log, Some("u"));
        assert!(
            matches!(error, Some(Error::Unsupported { .. })),
            "{kind:?} {error:?}"
        );
    }
    let mut log = Log::default();
    log.event(Kind(99), 0x80, &[0; 40]);
    assert!(read(&log, None).1.is_none(), "it may be ignored");
}
