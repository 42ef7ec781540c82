//! What of a server stands in the way of taking things back, and the very
//! statement that fixes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Flavour};
use crate::error::{Error, Result, number};
use crate::session::Session;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Something is slower, or not possible, because of it.
    Warning,
    /// Nothing can be promised before it is fixed.
    Blocker,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at, e.g. `binlog_format`, `privilege BINLOG REPLAY`.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub wanted: String,
    /// Why it matters; one sentence.
    pub why: String,
    /// The statement, or the lines of the server's configuration, that fixes
    /// it; empty when all is well.
    pub fix: String,
}

/// The oldest server whose logs and expressions were tried: older ones have no
/// `CRC32C`, which proofs are made with.
const VERSION_MIN: (u16, u16, u16) = (10, 8, 0);

/// A statement of row events has half of the packet, and one row may be longer.
const PACKET_BYTES_WANTED: u64 = 16 << 20;

/// A day: whoever purges sooner may do so while the archiver is down.
const EXPIRE_S_WANTED: u64 = 86_400;

/// The privileges, all on `*.*`, with how bad it is to be without, and why they
/// are needed.
const PRIVILEGES: [(&str, Level, &str); 23] = [
    (
        "SELECT",
        Level::Blocker,
        "tables and their definitions are read",
    ),
    (
        "REPLICATION SLAVE",
        Level::Blocker,
        "the binary log is followed as a replica does",
    ),
    (
        "BINLOG MONITOR",
        Level::Blocker,
        "the end of the binary log is asked for",
    ),
    (
        "CREATE",
        Level::Blocker,
        "tables are made under their new names",
    ),
    ("INSERT", Level::Blocker, "rows are copied into new tables"),
    ("ALTER", Level::Blocker, "new tables get their final names"),
    (
        "DROP",
        Level::Blocker,
        "what was made in vain is removed again",
    ),
    (
        "UPDATE",
        Level::Blocker,
        "rows are brought to another state",
    ),
    (
        "DELETE",
        Level::Blocker,
        "rows are brought to another state",
    ),
    (
        "INDEX",
        Level::Blocker,
        "indexes are added to tables that were brought from elsewhere",
    ),
    (
        "BINLOG REPLAY",
        Level::Warning,
        "row events are applied; without it, statements are, which takes longer, and nothing can \
         be taken back in place",
    ),
    (
        "RELOAD",
        Level::Warning,
        "base backups are made with it; without them only what is in the binary log can be taken \
         back",
    ),
    (
        "PROCESS",
        Level::Blocker,
        "the tables that refer to a table are found with it, and base backups are made",
    ),
    (
        "LOCK TABLES",
        Level::Warning,
        "base backups are made with it",
    ),
    (
        "SUPER",
        Level::Warning,
        "tables that come back as files survive a crash of the server from its next checkpoint \
         on, which is asked for with it; without it rows are copied by statements where they can \
         be, which takes longer",
    ),
    (
        "CONNECTION ADMIN",
        Level::Warning,
        "base backups are made with it, and the connection of a worker that hangs is ended",
    ),
    (
        "REFERENCES",
        Level::Warning,
        "tables with foreign keys are made",
    ),
    (
        "TRIGGER",
        Level::Warning,
        "triggers are seen and carried over",
    ),
    (
        "SHOW VIEW",
        Level::Warning,
        "views are seen and carried over",
    ),
    ("CREATE VIEW", Level::Warning, "views are carried over"),
    (
        "CREATE ROUTINE",
        Level::Warning,
        "procedures and functions are carried over",
    ),
    ("EVENT", Level::Warning, "events are seen and carried over"),
    (
        "SET USER",
        Level::Warning,
        "what is carried over keeps its definer",
    ),
];

/// Looks at everything, and tells each finding, those that are well included,
/// in a fixed order. Nothing is changed.
///
/// # Errors
/// As [`Session::exec`].
pub fn examine(session: &mut Session) -> Result<Vec<Finding>> {
    let variables: BTreeMap<String, String> = session
        .query::<(String, String)>("read the settings", "SHOW GLOBAL VARIABLES")?
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let mut doctor = Doctor {
        variables,
        findings: Vec::new(),
    };
    let server = catalog::server(session)?;
    doctor.version(&server);
    let privileges = privileges(session)?;
    doctor.log();
    doctor.filters(session)?;
    doctor.replica(session)?;
    doctor.sizes();
    doctor.writes();
    doctor.zone(&server);
    doctor.tables(session)?;
    doctor.privileges(&privileges);
    Ok(doctor.findings)
}

/// The worst level of the findings.
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    findings
        .iter()
        .map(|finding| finding.level)
        .max()
        .unwrap_or(Level::Ok)
}

struct Doctor {
    variables: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl Doctor {
    fn value(&self, name: &str) -> String {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        let value = self.variables.get(name)?;
        // Some are decimals, e.g. binlog_expire_logs_seconds' older sister.
        value.split('.').next()?.parse().ok()
    }

    /// Adds a finding; without a fix when all is well.
    fn add(
        &mut self,
        check: &str,
        level: Level,
        found: impl Into<String>,
        wanted: &str,
        why: &str,
        fix: &str,
    ) {
        self.findings.push(Finding {
            check: check.to_owned(),
            level,
            found: found.into(),
            wanted: wanted.to_owned(),
            why: why.to_owned(),
            fix: match level {
                Level::Ok => String::new(),
                _ => fix.to_owned(),
            },
        });
    }

    /// Compares a setting; one that the server does not have passes.
    fn setting(
        &mut self,
        name: &str,
        holds: impl Fn(&str) -> bool,
        wanted: &str,
        otherwise: Level,
        why: &str,
        fix: &str,
    ) {
        let Some(found) = self.variables.get(name).cloned() else {
            return;
        };
        let level = if holds(&found) { Level::Ok } else { otherwise };
        self.add(name, level, found, wanted, why, fix);
    }

    fn version(&mut self, server: &catalog::Server) {
        let old = server.number < VERSION_MIN;
        let level = match server.flavour {
            Flavour::MariaDb if !old => Level::Ok,
            _ => Level::Blocker,
        };
        self.add(
            "version",
            level,
            server.version.clone(),
            "MariaDB 10.8 or later",
            "the statements that copy, apply and prove are those of MariaDB, and proofs need its \
             function CRC32C",
            "upgrade the server to MariaDB 10.11",
        );
    }

    fn log(&mut self) {
        let on = |value: &str| value.eq_ignore_ascii_case("ON") || value == "1";
        let off = |value: &str| value.eq_ignore_ascii_case("OFF") || value == "0";
        self.setting(
            "log_bin",
            on,
            "ON",
            Level::Blocker,
            "the binary log is the history that things are taken back by",
            "in the server's configuration, then start it again:\n[mariadbd]\nlog_bin=mysql-bin",
        );
        self.setting(
            "binlog_format",
            |value| value.eq_ignore_ascii_case("ROW"),
            "ROW",
            Level::Blocker,
            "only rows can be taken back; statements do not tell which rows they changed",
            "SET GLOBAL binlog_format='ROW'; and in the server's configuration:\n[mariadbd]\n\
             binlog_format=ROW\n(connections that are open keep the old one until they are closed)",
        );
        self.setting(
            "binlog_row_image",
            |value| value.eq_ignore_ascii_case("FULL"),
            "FULL",
            Level::Blocker,
            "without whole rows, what a row was before its change is not in the history",
            "SET GLOBAL binlog_row_image='FULL'; and in the server's configuration:\n[mariadbd]\n\
             binlog_row_image=FULL\n(connections that are open keep the old one until they are \
             closed)",
        );
        self.setting(
            "encrypt_binlog",
            off,
            "OFF",
            Level::Blocker,
            "encrypted logs cannot be read",
            "in the server's configuration, then start it again:\n[mariadbd]\nencrypt_binlog=OFF",
        );
        self.setting(
            "binlog_checksum",
            |value| value.eq_ignore_ascii_case("CRC32"),
            "CRC32",
            Level::Warning,
            "a log without checksums may be damaged without anyone noticing",
            "SET GLOBAL binlog_checksum='CRC32'; and in the server's configuration:\n[mariadbd]\n\
             binlog_checksum=CRC32",
        );
        let expire_s = self
            .number("binlog_expire_logs_seconds")
            .filter(|s| *s > 0)
            .or_else(|| self.number("expire_logs_days").map(|days| days * 86_400))
            .unwrap_or(0);
        let level = if expire_s == 0 || expire_s >= EXPIRE_S_WANTED {
            Level::Ok
        } else {
            Level::Warning
        };
        self.add(
            "binlog_expire_logs_seconds",
            level,
            match expire_s {
                0 => "never".to_owned(),
                s => format!("{s} s"),
            },
            "a day or more",
            "logs that are removed while the archiver is down leave a gap in the history",
            "SET GLOBAL binlog_expire_logs_seconds=259200; and in the server's configuration:\n\
             [mariadbd]\nbinlog_expire_logs_seconds=259200",
        );
        self.setting(
            "log_bin_compress",
            |_| true,
            "ON or OFF",
            Level::Ok,
            "compressed events are read as well",
            "",
        );
        self.setting(
            "slave_run_triggers_for_rbr",
            |value| value.eq_ignore_ascii_case("NO"),
            "NO",
            Level::Warning,
            "triggers would fire for rows that are taken back in place",
            "SET GLOBAL slave_run_triggers_for_rbr='NO'",
        );
        self.setting(
            "wsrep_on",
            off,
            "OFF",
            Level::Blocker,
            "in a Galera cluster, locks and logs of one node do not hold for all",
            "add a replica of the cluster, and give its URL",
        );
    }

    fn filters(&mut self, session: &mut Session) -> Result<()> {
        let doing = "ask what is logged";
        let row: Option<mysql::Row> = match session.first(doing, "SHOW MASTER STATUS") {
            // Told as a missing privilege.
            Err(e) if is_denied(&e) => return Ok(()),
            row => row?,
        };
        for (i, name) in [(2, "binlog_do_db"), (3, "binlog_ignore_db")] {
            let found = row
                .as_ref()
                .and_then(|row| row.get_opt::<Option<String>, _>(i)?.ok()?)
                .unwrap_or_default();
            let level = if found.is_empty() {
                Level::Ok
            } else {
                Level::Blocker
            };
            let fix = format!(
                "remove every line {name}=... from the server's configuration, then start it again"
            );
            self.add(
                name,
                level,
                found,
                "nothing",
                "changes that are not logged cannot be taken back",
                &fix,
            );
        }
        Ok(())
    }

    fn replica(&mut self, session: &mut Session) -> Result<()> {
        let status: Option<mysql::Row> =
            match session.first("ask whether it is a replica", "SHOW SLAVE STATUS") {
                // Then it is not known, and not asked for: few are replicas.
                Err(e) if is_denied(&e) => None,
                row => row?,
            };
        if status.is_some() {
            self.setting(
                "log_slave_updates",
                |value| value.eq_ignore_ascii_case("ON"),
                "ON",
                Level::Blocker,
                "a replica that does not log what it receives has no history of it",
                "in the server's configuration, then start it again:\n[mariadbd]\n\
                 log_slave_updates=ON",
            );
        }
        Ok(())
    }

    fn sizes(&mut self) {
        let packet = self.number("max_allowed_packet").unwrap_or(0);
        let level = if packet >= PACKET_BYTES_WANTED {
            Level::Ok
        } else {
            Level::Warning
        };
        self.add(
            "max_allowed_packet",
            level,
            packet.to_string(),
            "16777216 or more",
            "a row event must fit into a statement, in base64: rows that do not cannot be applied",
            "SET GLOBAL max_allowed_packet=67108864; and in the server's configuration:\n\
             [mariadbd]\nmax_allowed_packet=64M",
        );
        self.setting(
            "innodb_file_per_table",
            |value| value.eq_ignore_ascii_case("ON"),
            "ON",
            Level::Warning,
            "only tables with files of their own can be moved as files",
            "SET GLOBAL innodb_file_per_table=ON; and in the server's configuration:\n\
             [mariadbd]\ninnodb_file_per_table=ON",
        );
    }

    fn writes(&mut self) {
        self.setting(
            "read_only",
            |value| value.eq_ignore_ascii_case("OFF"),
            "OFF",
            Level::Warning,
            "nothing can be written to it, under no name; history is archived nevertheless",
            "SET GLOBAL read_only=OFF",
        );
        self.setting(
            "innodb_force_recovery",
            |value| value == "0",
            "0",
            Level::Blocker,
            "InnoDB repairs itself, and lets nobody write",
            "remove innodb_force_recovery from the server's configuration, then start it again",
        );
        let sql_mode = self.value("sql_mode");
        self.add(
            "sql_mode",
            Level::Ok,
            sql_mode,
            "any",
            "our sessions set their own",
            "",
        );
    }

    fn zone(&mut self, server: &catalog::Server) {
        let zone = &server.zone;
        self.add(
            "time_zone",
            Level::Ok,
            format!(
                "{} (now {}{:02}:{:02} from UTC)",
                if zone.setting == "SYSTEM" {
                    format!("SYSTEM: {}", zone.system)
                } else {
                    zone.setting.clone()
                },
                if zone.offset_s < 0 { '-' } else { '+' },
                zone.offset_s.abs() / 3600,
                zone.offset_s.abs() / 60 % 60
            ),
            "any",
            "times without a zone are understood in it",
            "",
        );
    }

    fn tables(&mut self, session: &mut Session) -> Result<()> {
        let doing = "look at all tables";
        let others = "t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND t.TABLE_SCHEMA NOT IN \
             ('information_schema', 'mysql', 'performance_schema', 'sys')";
        let engines: Vec<(Option<String>, u64)> = session.query(
            doing,
            format!(
                "SELECT t.ENGINE, COUNT(*) FROM information_schema.TABLES t WHERE {others} \
                 AND (t.ENGINE IS NULL OR t.ENGINE <> 'InnoDB') GROUP BY t.ENGINE ORDER BY 1"
            ),
        )?;
        let found: Vec<String> = engines
            .into_iter()
            .map(|(engine, n)| format!("{n} of {}", engine.as_deref().unwrap_or("no engine")))
            .collect();
        self.add(
            "engines",
            if found.is_empty() {
                Level::Ok
            } else {
                Level::Warning
            },
            if found.is_empty() {
                "all tables are of InnoDB".to_owned()
            } else {
                found.join(", ")
            },
            "InnoDB",
            "other engines have no transactions and cannot be moved as files: such tables are \
             copied row by row, or refused",
            "ALTER TABLE db.table ENGINE=InnoDB",
        );
        // By InnoDB's dictionary: to list the constraints of all tables while
        // others are dropped may crash the server. It names an index so where
        // it had to make one; sequences have such as well.
        let keyless: Option<u64> = match session.first(
            doing,
            "SELECT GREATEST(0, CAST(COUNT(DISTINCT SUBSTRING_INDEX(t.NAME, '#', 1)) AS SIGNED) - \
             (SELECT COUNT(*) FROM information_schema.TABLES \
             WHERE TABLE_TYPE = 'SEQUENCE' AND ENGINE = 'InnoDB')) \
             FROM information_schema.INNODB_SYS_INDEXES i \
             JOIN information_schema.INNODB_SYS_TABLES t USING (TABLE_ID) \
             WHERE i.NAME = 'GEN_CLUST_INDEX' AND t.NAME NOT LIKE 'mysql/%' \
             AND t.NAME NOT LIKE 'sys/%'",
        ) {
            // Told as a missing privilege.
            Err(e) if is_denied(&e) => return Ok(()),
            count => count?,
        };
        let keyless = keyless.unwrap_or(0);
        self.add(
            "keys",
            if keyless == 0 {
                Level::Ok
            } else {
                Level::Warning
            },
            format!("{keyless} tables of InnoDB without a key"),
            "0",
            "rows without a key are told apart by all that is in them, which takes longer, and \
             are not taken back in place",
            "ALTER TABLE db.table ADD COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY",
        );
        Ok(())
    }

    fn privileges(&mut self, privileges: &Privileges) {
        for (privilege, level, why) in PRIVILEGES {
            let has = privileges.has(privilege);
            let fix = format!("GRANT {privilege} ON *.* TO {}", privileges.user);
            self.add(
                &format!("privilege {privilege}"),
                if has { Level::Ok } else { level },
                if has { "granted" } else { "missing" },
                "granted on *.*",
                why,
                &fix,
            );
        }
    }
}

/// What our user may do everywhere.
struct Privileges {
    /// Our user, as a statement names it.
    user: String,
    /// All that is granted on `*.*`, in capitals.
    global: Vec<String>,
}

impl Privileges {
    fn has(&self, privilege: &str) -> bool {
        self.global
            .iter()
            .any(|p| p == privilege || p == "ALL PRIVILEGES")
    }
}

/// What is granted on `*.*`, by way of the role that is set as well.
fn privileges(session: &mut Session) -> Result<Privileges> {
    let doing = "list our privileges";
    let user: Option<String> = session.first(doing, "SELECT CURRENT_USER()")?;
    let user = user.unwrap_or_default();
    // The host has no @, the name may.
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    let user = format!(
        "{}@{}",
        crate::session::text(name),
        crate::session::text(host)
    );
    let mut global = Vec::new();
    for grant in session.query::<String>(doing, "SHOW GRANTS")? {
        if let Some((privileges, _)) = grant
            .strip_prefix("GRANT ")
            .and_then(|rest| rest.split_once(" ON *.* TO "))
        {
            global.extend(
                privileges
                    .split(',')
                    .map(|privilege| privilege.trim().to_ascii_uppercase()),
            );
        }
    }
    Ok(Privileges { user, global })
}

fn is_denied(error: &Error) -> bool {
    matches!(
        error.number(),
        Some(number::SPECIFIC_ACCESS_DENIED | number::ACCESS_DENIED | number::DBACCESS_DENIED)
    )
}
