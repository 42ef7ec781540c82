//! What the doctor finds, and that its statements fix it.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use backout_mariadb::doctor::{Finding, Level, examine, worst};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session};
use support::session;

fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|f| f.check == check).unwrap()
}

#[test]
fn a_healthy_server_has_no_findings() {
    let server = PrivateServer::start(&[]);
    let findings = examine(&mut session(&server)).unwrap();
    let bad: Vec<_> = findings.iter().filter(|f| f.level != Level::Ok).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(worst(&findings), Level::Ok);
    assert!(findings.iter().all(|f| f.fix.is_empty()));
}

/// Settings that stand in the way, and with which statement they do not.
#[test]
fn each_setting_is_found_and_its_statement_fixes_it() {
    let server = PrivateServer::start(&[
        "--binlog-format=MIXED",
        "--binlog-row-image=MINIMAL",
        "--binlog-checksum=NONE",
        "--binlog-expire-logs-seconds=3600",
        "--max-allowed-packet=1M",
        "--innodb-file-per-table=0",
        "--read-only",
        "--slave-run-triggers-for-rbr=YES",
    ]);
    let mut session = session(&server);
    let findings = examine(&mut session).unwrap();
    assert_eq!(worst(&findings), Level::Blocker);
    for (check, level) in [
        ("binlog_format", Level::Blocker),
        ("binlog_row_image", Level::Blocker),
        ("binlog_checksum", Level::Warning),
        ("binlog_expire_logs_seconds", Level::Warning),
        ("max_allowed_packet", Level::Warning),
        ("innodb_file_per_table", Level::Warning),
        ("read_only", Level::Warning),
        ("slave_run_triggers_for_rbr", Level::Warning),
    ] {
        let finding = of(&findings, check);
        assert_eq!(finding.level, level, "{finding:?}");
        let statement = finding.fix.split(';').next().unwrap();
        session.exec("fix it", statement).unwrap();
        let findings = examine(&mut session).unwrap();
        assert_eq!(of(&findings, check).level, Level::Ok, "{check}");
    }
    let findings = examine(&mut session).unwrap();
    assert_eq!(worst(&findings), Level::Ok, "{findings:#?}");
}

/// Settings that only the configuration can change.
#[test]
fn each_line_of_the_configuration_fixes_what_it_says() {
    for (args, check) in [
        (&["--skip-log-bin"][..], "log_bin"),
        (&["--binlog-do-db=shop"][..], "binlog_do_db"),
        (&["--binlog-ignore-db=shop"][..], "binlog_ignore_db"),
        (&["--innodb-force-recovery=1"][..], "innodb_force_recovery"),
    ] {
        let server = PrivateServer::start(args);
        let findings = examine(&mut session(&server)).unwrap();
        let finding = of(&findings, check);
        assert_eq!(finding.level, Level::Blocker, "{finding:?}");
        assert!(finding.fix.contains("configuration"), "{finding:?}");
        let others: Vec<_> = findings
            .iter()
            .filter(|f| f.level != Level::Ok && f.check != check)
            .collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

#[test]
fn each_missing_privilege_is_found_with_the_statement_that_grants_it() {
    let server = PrivateServer::start(&[]);
    server.script("CREATE USER 'it''s'@'localhost';\nCREATE DATABASE d;\nGRANT ALL ON d.* TO 'it''s'@'localhost'");
    let url = server.socket_url().replace("root", "it%27s");
    let endpoint = Endpoint::parse(&url).unwrap();
    let mut root = session(&server);
    let mut fixed = 0;
    loop {
        let mut session = Session::open(&endpoint).unwrap();
        let findings = examine(&mut session).unwrap();
        let Some(missing) = findings.iter().find(|f| f.level != Level::Ok) else {
            break;
        };
        assert!(missing.check.starts_with("privilege "), "{missing:?}");
        assert!(!missing.why.is_empty());
        root.exec("grant", &missing.fix).unwrap();
        fixed += 1;
        assert!(fixed < 100);
    }
    assert!(fixed > 15);
}

#[test]
fn tables_of_other_engines_and_without_keys_are_counted() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.a (a INT) ENGINE=MyISAM;\n\
         CREATE TABLE d.b (a INT PRIMARY KEY) ENGINE=Aria;\nCREATE TABLE d.c (a INT, UNIQUE (a));\nCREATE SEQUENCE d.s;\n\
         CREATE TABLE d.p (a INT) PARTITION BY HASH (a) PARTITIONS 3",
    );
    let findings = examine(&mut session(&server)).unwrap();
    assert_eq!(of(&findings, "engines").found, "1 of Aria, 1 of MyISAM");
    assert_eq!(
        of(&findings, "keys").found,
        "2 tables of InnoDB without a key"
    );
    assert_eq!(worst(&findings), Level::Warning);
}
