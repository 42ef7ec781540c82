//! Sessions and the catalogue, against a real server.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use backout_core::code::Code;
use backout_history::value::Generated;
use backout_mariadb::catalog::{self, CopyOf, Kind};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Error, Session};
use support::{def, name, session};

#[test]
fn a_table_is_told_whole() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\n\
         CREATE TABLE d.parent (id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, UNIQUE ab (a, b));\n\
         CREATE TABLE d.t (id INT UNSIGNED NOT NULL AUTO_INCREMENT, a VARCHAR(20) CHARACTER SET latin1,
           v INT AS (id * 2) VIRTUAL, s INT AS (p + 1) STORED, p INT DEFAULT 5 CHECK (p > 3),
           body TEXT, pa INT, pb INT, hidden INT INVISIBLE, g POINT NOT NULL,
           PRIMARY KEY (id), UNIQUE u (a), FULLTEXT KEY ft (body), SPATIAL KEY sp (g),
           CONSTRAINT fk FOREIGN KEY (pa, pb) REFERENCES d.parent (a, b) ON DELETE CASCADE,
           CONSTRAINT small CHECK (p < 1000))
           ENGINE=InnoDB AUTO_INCREMENT=77 COMMENT='it''s\\na table';\n\
         CREATE TABLE d.`odd``name` (x INT NOT NULL, y CHAR(3) NOT NULL, z INT, UNIQUE yx (y, x)) ENGINE=InnoDB
           PARTITION BY KEY (y) PARTITIONS 2;\n",
    );
    server.script(
        "CREATE TABLE d.versions (id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING;\n\
         CREATE TABLE d.keyless (a INT, b VARCHAR(10), UNIQUE (a), UNIQUE (b(3)));\n\
         CREATE TRIGGER d.tr BEFORE INSERT ON d.t FOR EACH ROW SET NEW.hidden = 1;\n\
         CREATE VIEW d.vw AS SELECT 1;\n\
         CREATE SEQUENCE d.sq;\n\
         CREATE PROCEDURE d.pr() SELECT 1;\n\
         CREATE FUNCTION d.fn() RETURNS INT DETERMINISTIC RETURN 1;\n\
         CREATE EVENT d.ev ON SCHEDULE EVERY 1 DAY DO SELECT 1;\n\
         CREATE USER shop@'%';\n\
         GRANT SELECT, INSERT ON d.t TO shop@'%';\n\
         GRANT UPDATE (a, p) ON d.t TO shop@'%';\n",
    );
    let session = &mut session(&server);
    let t = def(session, "d.t");
    assert_eq!(t.key, Some(vec![0]));
    assert_eq!(t.key_name.as_deref(), Some("PRIMARY"));
    assert_eq!(t.unique, [vec![1]]);
    assert_eq!(t.engine, "InnoDB");
    assert_eq!(t.auto_increment, Some(77));
    assert_eq!(t.comment, "it's\na table");
    assert!(t.columns[0].unsigned && t.columns[0].auto_increment);
    assert_eq!(t.columns[1].charset.as_deref(), Some("latin1"));
    assert_eq!(t.columns[2].generated, Generated::Virtual);
    assert_eq!(t.columns[3].generated, Generated::Stored);
    assert!(t.columns[8].invisible);
    assert!(t.spatial && !t.system_versioned && t.partitions.is_empty());
    assert_eq!(t.fulltext[0].clause, "FULLTEXT KEY `ft` (`body`)");
    assert_eq!(t.foreign_keys.len(), 1);
    assert_eq!(t.foreign_keys[0].columns, ["pa", "pb"]);
    assert_eq!(t.foreign_keys[0].parent, name("d.parent"));
    assert!(t.foreign_keys[0].cascades());
    assert_eq!(t.triggers.len(), 1);
    assert!(t.triggers[0].sql.as_ref().unwrap().contains("NEW.hidden"));
    assert_eq!(t.checks, ["p", "small"]);
    server.script(
        "CREATE DATABASE `x-é`;\nCREATE TABLE `x-é`.`p$é` (id INT PRIMARY KEY);\n\
         CREATE TABLE d.`c-ß` (a INT, CONSTRAINT k FOREIGN KEY (a) REFERENCES `x-é`.`p$é` (id) ON UPDATE SET NULL);\n",
    );
    let odd_parent = def(session, "x-é.p$é");
    assert_eq!(odd_parent.referenced_by.len(), 1);
    assert_eq!(odd_parent.referenced_by[0].child, name("d.c-ß"));
    assert_eq!(odd_parent.referenced_by[0].on_update, "SET NULL");
    server.script("DROP TABLE d.`c-ß`;\nDROP DATABASE `x-é`");
    let parent = def(session, "d.parent");
    assert_eq!(parent.referenced_by, t.foreign_keys);
    assert_eq!(parent.unique, [vec![1, 2]]);

    let odd = def(session, "d.odd`name");
    assert_eq!(odd.key, Some(vec![1, 0]));
    assert_eq!(odd.key_name.as_deref(), Some("yx"));
    assert_eq!(odd.partitions.len(), 2);
    let versions = def(session, "d.versions");
    assert!(versions.system_versioned);
    assert_eq!(versions.columns.len(), 4);
    assert_eq!(versions.key, Some(vec![0]));
    let keyless = def(session, "d.keyless");
    assert_eq!((keyless.key, keyless.key_name), (None, None));
    assert_eq!(keyless.unique.len(), 2);
    assert!(matches!(
        catalog::table(session, &name("d.none")).unwrap_err(),
        Error::NoTable { .. }
    ));
    assert_eq!(
        catalog::table(session, &name("d.vw")).unwrap_err().code(),
        Code::TableUnsupported
    );
    for (text, there) in [
        ("d.t", true),
        ("d.vw", true),
        ("d.no", false),
        ("no.t", false),
    ] {
        assert_eq!(
            catalog::exists(session, &name(text)).unwrap(),
            there,
            "{text}"
        );
    }

    assert_eq!(catalog::databases(session).unwrap(), ["d"]);
    let tables: Vec<_> = catalog::tables(session, "d")
        .unwrap()
        .into_iter()
        .map(|t| (t.name, t.kind))
        .collect();
    assert_eq!(tables.len(), 6);
    assert!(tables.contains(&("sq".to_owned(), "SEQUENCE".to_owned())));
    let kinds: Vec<_> = catalog::definitions(session, "d")
        .unwrap()
        .into_iter()
        .map(|d| {
            assert!(d.sql.is_some(), "{d:?}");
            (d.kind, d.name)
        })
        .collect();
    let named = |kind, name: &str| (kind, name.to_owned());
    assert_eq!(
        kinds,
        [
            named(Kind::Sequence, "sq"),
            named(Kind::Function, "fn"),
            named(Kind::Procedure, "pr"),
            named(Kind::View, "vw"),
            named(Kind::Event, "ev"),
            named(Kind::Trigger, "tr"),
        ]
    );

    // A definition makes the same table under another name.
    for table in ["d.t", "d.odd`name", "d.versions", "d.keyless"] {
        let original = def(session, table);
        let copy = name("d.the `copy`");
        let what = CopyOf {
            foreign_keys: false,
            fulltext: true,
        };
        session
            .exec("copy", original.create_as(&copy, what).unwrap())
            .unwrap();
        let made = catalog::table(session, &copy).unwrap();
        assert_eq!(made.columns, original.columns);
        assert_eq!(made.key, original.key);
        assert_eq!(made.fulltext, original.fulltext);
        assert_eq!(made.auto_increment, original.auto_increment);
        assert!(made.foreign_keys.is_empty());
        assert_eq!(made.partitions, original.partitions);
        session.exec("drop", "DROP TABLE d.`the ``copy```").unwrap();
    }
    let without = t
        .create_as(
            &name("d.c"),
            CopyOf {
                foreign_keys: false,
                fulltext: false,
            },
        )
        .unwrap();
    assert!(
        !without.contains("FULLTEXT") && !without.contains("FOREIGN"),
        "{without}"
    );

    let grants = catalog::grants(session, &name("d.t")).unwrap();
    assert_eq!(grants.len(), 1, "{grants:?}");
    session
        .exec("grant", grants[0].statement(&name("d.parent")))
        .unwrap_err();
    session.exec("make", "CREATE TABLE d.t2 LIKE d.t").unwrap();
    session
        .exec("grant", grants[0].statement(&name("d.t2")))
        .unwrap();
    assert_eq!(catalog::grants(session, &name("d.t2")).unwrap(), grants);
}

#[test]
fn a_server_tells_its_zone_and_times_in_it() {
    let server = PrivateServer::start(&["--default-time-zone=+05:30"]);
    let session = &mut session(&server);
    let told = catalog::server(session).unwrap();
    assert_eq!(told.flavour, catalog::Flavour::MariaDb);
    assert!(told.number >= (10, 8, 0));
    assert_eq!(told.port, server.port());
    assert_eq!(told.zone.offset_s, 19_800);
    let micros = 1_700_000_000_123_456;
    let local = catalog::local_of(session, micros).unwrap().unwrap();
    assert_eq!(local, "2023-11-15 03:43:20.123456");
    assert_eq!(catalog::instant_of(session, &local).unwrap(), Some(micros));
    assert_eq!(catalog::instant_of(session, "soon").unwrap(), None);
    // And the session is in UTC again.
    let zone: Option<String> = session.first("ask", "SELECT @@session.time_zone").unwrap();
    assert_eq!(zone.as_deref(), Some("+00:00"));
    assert!(catalog::binlog_end(session).unwrap().is_some());
}

#[test]
fn what_cannot_be_reached_is_told_so() {
    let mut server = PrivateServer::start(&[]);
    server.script("CREATE USER u@'127.0.0.1' IDENTIFIED BY 'right'");
    let url = format!("mysql://u:hunter2@127.0.0.1:{}", server.port());
    let error = Session::open(&Endpoint::parse(&url).unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::DatabaseUnreachable);
    assert!(!error.is_passing());
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let right = Endpoint::parse(&url.replace("hunter2", "right")).unwrap();
    let mut session = Session::open(&right).unwrap();
    assert!(!format!("{session:?}").contains("right"));
    // No certificate, and one was wanted.
    let tls = Endpoint::parse(&format!(
        "{}?tls=unchecked",
        url.replace("hunter2", "right")
    ))
    .unwrap();
    let error = Session::open(&tls).unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");

    let killed = session.id();
    server.query(&format!("KILL {killed}"));
    let error = session.exec("do it", "DO 1").unwrap_err();
    assert_eq!(error.code(), Code::DatabaseUnreachable, "{error}");
    assert!(error.is_passing());

    let mut session = Session::open(&right).unwrap();
    server.kill();
    assert!(session.exec("do it", "DO 1").unwrap_err().is_passing());
    let error = Session::open(&right).unwrap_err();
    assert!(error.is_passing(), "{error}");
}

#[test]
fn a_lock_wait_passes_and_a_syntax_error_does_not() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.t (id INT PRIMARY KEY);\nINSERT INTO d.t VALUES (1)",
    );
    let mut a = session(&server);
    let mut b = session(&server);
    a.exec("lock", "START TRANSACTION").unwrap();
    a.exec("lock", "UPDATE d.t SET id = 2").unwrap();
    b.exec("lock", "SET SESSION innodb_lock_wait_timeout=0")
        .unwrap();
    let error = b.exec("lock", "UPDATE d.t SET id = 3").unwrap_err();
    assert_eq!((error.number(), error.is_passing()), (Some(1205), true));
    let error = b.exec("fail", "SELEKT").unwrap_err();
    assert_eq!(
        (error.code(), error.is_passing()),
        (Code::DatabaseRefused, false)
    );
}
