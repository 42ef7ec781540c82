//! Whether an instance can be made of another's past.

use backout_core::code::Code;
use backout_core::plan::{Estimate, Preflight};
use backout_history::Position;
use backout_history::archive::{Archive, Located};
use backout_mariadb::backup::{self, Manifest};
use backout_mariadb::doctor::{self, Level};
use backout_mariadb::{Session, catalog};

use super::{Findings, Sight, meant, newest_base, now_us};
use crate::model::{Backup, Method};
use crate::refusal::Refusal;
use crate::request::{CloneTo, FoundClone, Until};
use crate::runtime::CATCH_UP;

/// How much of a statement is shown, in characters.
const SHOWN_CHARS: usize = 80;

/// Engines whose rows are in the files of the server, or nowhere.
const LOCAL: [&str; 8] = [
    "InnoDB",
    "Aria",
    "MyISAM",
    "MRG_MyISAM",
    "ARCHIVE",
    "BLACKHOLE",
    "CSV",
    "SEQUENCE",
];

/// What a passed preflight leads to.
#[derive(Clone, Debug)]
pub(crate) struct CloneChoice {
    /// Which life of the server's logs the cut is of.
    pub(crate) incarnation: u32,
    /// The number of the base backup.
    pub(crate) base: u64,
    /// Up to where history is replayed; `None`: not at all.
    pub(crate) cut: Option<Position>,
    /// What the new server is told as the source was.
    pub(crate) settings: Settings,
}

/// Settings of a server that no backup holds, and that tell what its data mean.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `time_zone`; empty for that of the host.
    pub(crate) zone: String,
    /// `character_set_server`.
    pub(crate) charset: String,
    /// `collation_server`; empty for the usual one of the character set.
    pub(crate) collation: String,
    /// `lower_case_table_names`.
    pub(crate) lower_case: u8,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct CheckedClone {
    pub(crate) preflight: Preflight,
    pub(crate) found: Option<FoundClone>,
    /// There when nothing stands in the way.
    pub(crate) choice: Option<CloneChoice>,
}

/// Looks whether an instance can be made of the past of another; `installed` is
/// the version of the server that would run it. The source need not be reached:
/// its backups and its history are here.
///
/// # Errors
/// What made it impossible to look; what stands in the way is found instead.
pub(crate) fn clone(
    sight: &Sight<'_>,
    to: &CloneTo,
    installed: &str,
) -> Result<CheckedClone, Refusal> {
    let mut findings = Findings::default();
    let archive = (*sight.runtime.archive(&sight.instance.id)?).clone();
    let told = ask(sight, to, &archive, &mut findings)?;
    let past = match to {
        CloneTo::Backup(number) => of_backup(sight, *number, &mut findings)?,
        CloneTo::Until(until) => at(sight, &archive, until, &mut findings)?,
        CloneTo::Newest => {
            let end = archive.end().map_err(Refusal::History)?;
            match end {
                Some(end) => at(sight, &archive, &Until::Position(end), &mut findings)?,
                None => {
                    findings.block(
                        Code::HistoryGap,
                        format!(
                            "find the newest state of {}: nothing of its history is archived",
                            sight.instance.name
                        ),
                    );
                    None
                }
            }
        }
    };
    let Some(past) = past else {
        return Ok(checked(findings, None, None));
    };
    let Some(manifest) = base(&past, installed, &mut findings)? else {
        return Ok(checked(findings, None, None));
    };
    replayable(&archive, &past, &manifest, &mut findings)?;
    let cut = past.located.as_ref().map(|l| l.position.clone());
    let found = FoundClone {
        instance: sight.instance.id.clone(),
        until_us: past.until_us,
        until: past.until,
        cut: cut.clone(),
        kept: past.located.as_ref().and_then(|l| l.kept.clone()),
        undone: past.located.as_ref().and_then(|l| l.undone.clone()),
        exact: past.located.as_ref().is_none_or(|l| l.exact),
        backup: past.base.number,
        from: past.base.position.clone(),
        bytes: manifest.bytes(),
    };
    let choice = CloneChoice {
        incarnation: past.located.map_or(0, |l| l.incarnation),
        base: past.base.number,
        cut,
        settings: Settings {
            lower_case: manifest.lower_case_table_names,
            ..told
        },
    };
    Ok(checked(findings, Some(found), Some(choice)))
}

fn checked(
    findings: Findings,
    found: Option<FoundClone>,
    choice: Option<CloneChoice>,
) -> CheckedClone {
    let bytes = found.as_ref().map(|f| f.bytes);
    CheckedClone {
        choice: choice.filter(|_| findings.blockers.is_empty()),
        preflight: Preflight {
            blockers: findings.blockers,
            warnings: findings.warnings,
            estimate: Estimate {
                copy_bytes: bytes,
                space_bytes: bytes,
                constant_time: false,
            },
        },
        found,
    }
}

/// Asks the source for what no backup holds, and sees to it that the archive
/// has what it has written until now. What is not told by a source that is not
/// reached is as it was when it was last looked at.
fn ask(
    sight: &Sight<'_>,
    to: &CloneTo,
    archive: &Archive,
    findings: &mut Findings,
) -> Result<Settings, Refusal> {
    let endpoint = sight.runtime.endpoint(sight.instance)?;
    let mut session = match Session::open(&endpoint) {
        Ok(session) => session,
        Err(e @ backout_mariadb::Error::Unreachable { .. }) => {
            findings.warn(
                e.code(),
                format!("{e}; what it wrote last may not be archived"),
            );
            let facts = &sight.instance.facts;
            return Ok(Settings {
                zone: String::new(),
                charset: facts.charset.clone(),
                collation: String::new(),
                lower_case: 0,
            });
        }
        Err(e) => return Err(Refusal::Database(e)),
    };
    if !matches!(to, CloneTo::Backup(_)) {
        catch_up(sight, archive, &mut session, findings)?;
    }
    let row: Option<(String, String, String, u64)> = session
        .first(
            "read the settings of the server",
            "SELECT IF(@@global.time_zone = 'SYSTEM', '', @@global.time_zone), \
             @@global.character_set_server, @@global.collation_server, \
             (SELECT COUNT(*) FROM information_schema.EVENTS)",
        )
        .map_err(Refusal::Database)?;
    let (zone, charset, collation, events) = row.unwrap_or_default();
    if events > 0 {
        findings.warn(
            Code::TableUnsupported,
            "scheduled events do not run in the clone, as its event_scheduler is off; those that were defined since the backup come disabled",
        );
    }
    Ok(Settings {
        zone,
        charset,
        collation,
        lower_case: 0,
    })
}

fn catch_up(
    sight: &Sight<'_>,
    archive: &Archive,
    session: &mut Session,
    findings: &mut Findings,
) -> Result<(), Refusal> {
    // Whatever else the doctor finds, history is what is needed of the server.
    for finding in doctor::examine(session).map_err(Refusal::Database)? {
        let filters = ["binlog_do_db", "binlog_ignore_db"];
        if finding.level == Level::Blocker && filters.contains(&finding.check.as_str()) {
            findings.block(
                Code::DatabaseSettings,
                format!("{}: {}", finding.why, finding.fix),
            );
        }
    }
    let Some(end) = catalog::binlog_end(session).map_err(Refusal::Database)? else {
        findings.block(
            Code::DatabaseSettings,
            format!(
                "read the history of database {}: its server keeps no binary log (log_bin); clone a backup",
                sight.instance.id
            ),
        );
        return Ok(());
    };
    let there = archive
        .wait_until(&end, CATCH_UP, &|| false)
        .map_err(Refusal::History)?;
    if !there {
        findings.block(
            Code::HistoryGap,
            format!(
                "read the history up to now: the archive is behind the server's {end}; see \"backout databases range {}\" and try again",
                sight.instance.name
            ),
        );
    }
    Ok(())
}

/// A past that there is.
struct Past<'a> {
    until_us: Option<i64>,
    until: String,
    /// Where history is cut; `None`: the backup as it is.
    located: Option<Located>,
    base: &'a Backup,
}

fn of_backup<'a>(
    sight: &Sight<'a>,
    number: u64,
    findings: &mut Findings,
) -> Result<Option<Past<'a>>, Refusal> {
    let base = sight
        .backups
        .iter()
        .find(|b| b.number == number)
        .ok_or(Refusal::BackupNotFound(number))?;
    if base.method == Method::Partial {
        findings.block(
            Code::BackupState,
            format!(
                "make an instance of backup {number}: it has some tables only; name a full one"
            ),
        );
        return Ok(None);
    }
    Ok(Some(Past {
        until_us: base.as_of.map(|at| at.0.saturating_mul(1000)),
        until: format!("backup {number}"),
        located: None,
        base,
    }))
}

fn at<'a>(
    sight: &Sight<'a>,
    archive: &Archive,
    until: &Until,
    findings: &mut Findings,
) -> Result<Option<Past<'a>>, Refusal> {
    let zone = sight
        .instance
        .facts
        .zone
        .parse()
        .map_err(|e| Refusal::Failed(format!("use the zone of the database: {e}")))?;
    let (until, until_us, text) = meant(until, &zone)?;
    let located = match archive.locate(&until) {
        Ok(located) => located,
        Err(e @ backout_history::Error::Gap { .. }) => {
            findings.block(e.code(), e.to_string());
            return Ok(None);
        }
        Err(e) => return Err(Refusal::History(e)),
    };
    if located.undone.is_none() && until_us.is_some_and(|us| us > now_us()) {
        findings.block(
            Code::HistoryGap,
            format!("make an instance of {text}: that is in the future"),
        );
    }
    let whole = |b: &Backup| b.method != Method::Partial;
    match newest_base(sight, archive, &located, whole)? {
        Ok(base) => Ok(Some(Past {
            until_us,
            until: text,
            located: Some(located),
            base,
        })),
        Err(finding) => {
            findings.blockers.push(finding);
            Ok(None)
        }
    }
}

/// What is in the base backup, when a server that is installed here can be
/// started on it.
fn base(
    past: &Past<'_>,
    installed: &str,
    findings: &mut Findings,
) -> Result<Option<Manifest>, Refusal> {
    let number = past.base.number;
    let Some(manifest) = backup::read(&past.base.folder).map_err(Refusal::Database)? else {
        findings.block(
            Code::BackupState,
            format!("read backup {number}: its files are not complete; name another"),
        );
        return Ok(None);
    };
    if series(&manifest.server_version) != series(installed) {
        findings.block(
            Code::DatabaseSettings,
            format!(
                "run the files of backup {number}: they are of version {}, and {installed} is installed here",
                manifest.server_version
            ),
        );
    }
    for table in &manifest.tables {
        if catalog::is_system(&table.name.schema) {
            continue;
        }
        let is = |engine: &&str| table.engine.eq_ignore_ascii_case(engine);
        if is(&"MEMORY") {
            findings.block(
                Code::TableUnsupported,
                format!(
                    "clone the rows of {}: it is kept in memory, so that no backup holds them; give it another engine, take a backup, and clone an instant after that",
                    table.name
                ),
            );
        } else if !LOCAL.iter().any(is) {
            findings.block(
                Code::TableUnsupported,
                format!(
                    "clone {}: its engine is {}, whose rows need not be in the files of the server, and a clone must not write to where they are; drop it, or give it another engine, take a backup, and clone an instant after that",
                    table.name, table.engine
                ),
            );
        }
    }
    Ok(Some(manifest))
}

/// `10.11` of `10.11.6-MariaDB`: files move between servers of one series.
fn series(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map(|(at, _)| at);
    version
        .get(..end.unwrap_or(version.len()))
        .unwrap_or(version)
}

/// Refuses history that a replay does not repeat exactly.
fn replayable(
    archive: &Archive,
    past: &Past<'_>,
    manifest: &Manifest,
    findings: &mut Findings,
) -> Result<(), Refusal> {
    let (Some(located), Some(from)) = (&past.located, &manifest.position) else {
        return Ok(());
    };
    let archive = archive.at_incarnation(located.incarnation);
    let text = match archive.first_text(from, &located.position, &|| false) {
        Ok(text) => text,
        Err(e @ backout_history::Error::Gap { .. }) => {
            findings.block(e.code(), e.to_string());
            return Ok(());
        }
        Err(e) => return Err(Refusal::History(e)),
    };
    if let Some(statement) = text {
        let shown: String = String::from_utf8_lossy(&statement.text)
            .chars()
            .take(SHOWN_CHARS)
            .collect();
        findings.block(
            Code::TableUnsupported,
            format!(
                "replay history from {from} on: the statement at {} is logged by its text, and may change other rows when it runs again ({shown}); set binlog_format=ROW, take a backup, and clone an instant after that",
                statement.at
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn files_are_of_a_series() {
        for (version, is) in [
            ("10.11.6-MariaDB-log", "10.11"),
            ("10.11.19-MariaDB-0+deb12u1", "10.11"),
            ("11.4", "11.4"),
            ("", ""),
        ] {
            assert_eq!(series(version), is);
        }
    }
}
