//! Base backups and their plan.

use std::collections::HashMap;

use backout_core::ids::JobId;
use backout_databases::model::{
    Backup, BackupConfig, BackupState, Instance, Method, Task, TaskKind, Way,
};
use backout_databases::persistence::{BackupFilter, Page, TaskFilter};
use backout_databases::{KEEP_DAYS_MAX, NewBackup, Zone};
use backout_history::TableName;
use backout_wire::types::cdb as wire;

use super::asked::{Ask, PAGE_DEFAULT};
use super::{Cdb, codes, find, words};
use crate::front::{Refused, count};

/// Days that backups and logs can be kept.
const KEEP_DAYS: std::ops::RangeInclusive<u32> = 1..=KEEP_DAYS_MAX;
/// Days of the plan that is not here (contract: `BackupPeriodSaveDays.max`).
const PERIOD_DAYS: std::ops::RangeInclusive<u32> = 0..=3650;
/// Who made a backup that nobody asked for, in the vendor's word.
const SYSTEM: &str = "SYSTEM";

/// How a backup is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Of everything: `physical`.
    Physical,
    /// `logical`, which may name tables.
    Logical,
    /// `snapshot`.
    Snapshot,
}

const METHODS: [(&str, Asked); 3] = [
    ("physical", Asked::Physical),
    ("logical", Asked::Logical),
    ("snapshot", Asked::Snapshot),
];

impl Cdb {
    /// Every backup here is one of files, whatever it was asked to be: it is as
    /// consistent as one of statements, and restored faster. What `logical`
    /// adds is the choice of tables.
    pub(super) async fn create_backup(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateBackupResponse, Refused> {
        let asked: wire::CreateBackupRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        let how = METHODS
            .iter()
            .find(|(word, _)| *word == asked.backup_method)
            .map(|(_, how)| *how)
            .ok_or_else(|| {
                ask.error(
                    codes::VALUE,
                    "BackupMethod takes one of physical, logical, snapshot",
                )
            })?;
        ask.not_here(
            how == Asked::Snapshot,
            "there are no snapshots of disks below a database here; take a physical backup",
        )?;
        let encrypted = ask.word(
            "EncryptionFlag",
            asked.encryption_flag.as_deref(),
            &[("on", true), ("off", false)],
            false,
        )?;
        ask.not_here(
            encrypted,
            "backups are not encrypted by Backout; keep their folder on an encrypted disk",
        )?;
        let name = ask.name("ManualBackupName", asked.manual_backup_name)?;
        let list = asked.backup_db_table_list;
        if how == Asked::Physical && !list.is_empty() {
            return Err(ask.error(
                codes::VALUE,
                "BackupDBTableList is for logical backups only",
            ));
        }
        if list.iter().any(|item| item.db.is_empty()) {
            return Err(ask.error(codes::VALUE, "a database has an empty name"));
        }
        find::instance(&self.databases, ask, &id).await?;
        let new = NewBackup {
            instance: id.to_string(),
            name,
            method: match list.is_empty() {
                true => Method::Full,
                false => Method::Partial,
            },
            tables: list
                .into_iter()
                .map(|item| TableName::new(item.db, item.table.unwrap_or_default()))
                .collect(),
        };
        let (number, made) = self
            .databases
            .backup(&ask.caller(), new)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did([&made]);
        Ok(wire::CreateBackupResponse { backup_id: number })
    }

    pub(super) async fn delete_backup(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteBackupResponse, Refused> {
        let asked: wire::DeleteBackupRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        let number = backup_number(ask, "BackupId", asked.backup_id)?;
        find::instance(&self.databases, ask, &id).await?;
        // Only manual ones can be deleted (SEMANTICS section 3).
        let made = self
            .databases
            .delete_backup(&ask.caller(), id.as_str(), number, true)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did([&made]);
        Ok(wire::DeleteBackupResponse {})
    }

    pub(super) async fn describe_backups(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeBackupsResponse, Refused> {
        let asked: wire::DescribeBackupsRequest = ask.params()?;
        // The vendor's own sample of this call has a Limit of 0.
        let limit = asked.limit.filter(|limit| *limit != 0);
        let page = ask.page(asked.offset, limit, PAGE_DEFAULT)?;
        let id = ask.id(&asked.instance_id)?;
        let instance = find::instance(&self.databases, ask, &id).await?;
        let zone = words::zone(&instance);
        let filter = BackupFilter {
            started_from: ask.timestamp("MinStartTime", asked.min_start_time.as_deref(), &zone)?,
            // The vendor's times have whole seconds: all of the last one is
            // meant.
            started_to: ask
                .timestamp("MaxStartTime", asked.max_start_time.as_deref(), &zone)?
                .map(|t| t.plus_ms(999)),
            ..BackupFilter::default()
        };
        let (total, found) = self
            .databases
            .backups(ask.owner(), id.as_str(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        let making = self.making(ask, &instance, &found).await?;
        Ok(wire::DescribeBackupsResponse {
            total_count: count(total),
            items: found
                .iter()
                .map(|b| backup(ask, &zone, b, making.get(&b.number)))
                .collect(),
        })
    }

    /// The tasks that make, or made, these backups, by the number of the backup.
    async fn making(
        &self,
        ask: Ask<'_>,
        instance: &Instance,
        backups: &[Backup],
    ) -> Result<HashMap<u64, Task>, Refused> {
        let jobs: Vec<JobId> = backups.iter().filter_map(|b| b.job.clone()).collect();
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        let page = Page {
            offset: 0,
            limit: jobs.len() as u64,
        };
        let filter = TaskFilter {
            instance: Some(instance.id.clone()),
            kinds: vec![TaskKind::Backup],
            jobs,
            ..TaskFilter::default()
        };
        let (_, found) = self
            .databases
            .tasks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        Ok(found
            .into_iter()
            .filter_map(|task| Some((task.detail.backup?, task)))
            .collect())
    }

    pub(super) async fn describe_backup_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeBackupConfigResponse, Refused> {
        let asked: wire::DescribeBackupConfigRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        let config = find::instance(&self.databases, ask, &id).await?.backups;
        let off = || "off".to_owned();
        Ok(wire::DescribeBackupConfigResponse {
            start_time_min: Some(config.window.0.into()),
            start_time_max: Some(config.window.1.into()),
            backup_expire_days: config.keep_days.into(),
            backup_method: "physical".to_owned(),
            binlog_expire_days: config.history_days.into(),
            backup_time_window: window(&config),
            // There is one plan, and one place where backups are.
            enable_backup_period_save: off(),
            backup_period_save_days: 0,
            backup_period_save_interval: "monthly".to_owned(),
            backup_period_save_count: 0,
            start_backup_period_save_date: words::NO_TIME.to_owned(),
            enable_backup_archive: off(),
            backup_archive_days: 0,
            enable_binlog_archive: off(),
            binlog_archive_days: 0,
            enable_backup_standby: off(),
            backup_standby_days: 0,
            enable_binlog_standby: off(),
            binlog_standby_days: 0,
        })
    }

    pub(super) async fn modify_backup_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ModifyBackupConfigResponse, Refused> {
        let asked: wire::ModifyBackupConfigRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        for (parameter, given) in [
            ("EnableBackupPeriodSave", &asked.enable_backup_period_save),
            (
                "EnableBackupPeriodLongTermSave",
                &asked.enable_backup_period_long_term_save,
            ),
            ("EnableBackupArchive", &asked.enable_backup_archive),
            ("EnableBinlogArchive", &asked.enable_binlog_archive),
            ("EnableBackupStandby", &asked.enable_backup_standby),
            ("EnableBinlogStandby", &asked.enable_binlog_standby),
        ] {
            let on = ask.word(
                parameter,
                given.as_deref(),
                &[("on", true), ("off", false)],
                false,
            )?;
            ask.not_here(
                on,
                &format!("{parameter} cannot be on: backups are kept in one place, for as long as ExpireDays says"),
            )?;
        }
        details_of_plans(ask, &asked)?;
        ask.word(
            "BackupMethod",
            asked.backup_method.as_deref(),
            &[("physical", ())],
            (),
        )?;
        let mut config = find::instance(&self.databases, ask, &id).await?.backups;
        if let Some(days) = asked.expire_days {
            config.keep_days = ask.number("ExpireDays", days, KEEP_DAYS)?;
        }
        if let Some(days) = asked.binlog_expire_days {
            config.history_days = ask.number("BinlogExpireDays", days, KEEP_DAYS)?;
        }
        if let Some(text) = asked.start_time.filter(|t| !t.is_empty()) {
            config.window = hours(ask, "StartTime", &text)?;
            config.days = [true; 7];
            config.enabled = true;
        }
        if let Some(window) = &asked.backup_time_window {
            plan(ask, window, &mut config)?;
        }
        self.databases
            .set_backup_config(ask.owner(), id.as_str(), config)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ModifyBackupConfigResponse {})
    }
}

/// Checks what is said of plans that cannot be switched on here. It has no
/// effect, as at the vendor while they are off.
fn details_of_plans(ask: Ask<'_>, asked: &wire::ModifyBackupConfigRequest) -> Result<(), Refused> {
    for (parameter, given) in [
        ("BackupPeriodSaveDays", asked.backup_period_save_days),
        ("BackupPeriodSaveCount", asked.backup_period_save_count),
        ("BackupArchiveDays", asked.backup_archive_days),
        ("BinlogArchiveDays", asked.binlog_archive_days),
        ("BackupStandbyDays", asked.backup_standby_days),
        ("BinlogStandbyDays", asked.binlog_standby_days),
    ] {
        if let Some(days) = given {
            ask.number(parameter, days, PERIOD_DAYS)?;
        }
    }
    ask.word(
        "BackupPeriodSaveInterval",
        asked.backup_period_save_interval.as_deref(),
        &[
            ("weekly", ()),
            ("monthly", ()),
            ("quarterly", ()),
            ("yearly", ()),
        ],
        (),
    )?;
    ask.timestamp(
        "StartBackupPeriodSaveDate",
        asked.start_backup_period_save_date.as_deref(),
        &Zone::UTC,
    )?;
    Ok(())
}

/// The number of a backup.
pub(super) fn backup_number(ask: Ask<'_>, parameter: &str, given: i64) -> Result<u64, Refused> {
    u64::try_from(given)
        .map_err(|_| ask.error(codes::VALUE, format!("{parameter} cannot be negative")))
}

fn backup(ask: Ask<'_>, zone: &Zone, backup: &Backup, making: Option<&Task>) -> wire::BackupInfo {
    let manual = backup.way == Way::Manual;
    // One that nobody named ends with its time.
    let named = manual
        && !backup
            .name
            .ends_with(&format!("-{}", backup.started.iso8601()));
    wire::BackupInfo {
        name: backup.name.clone(),
        size: count(backup.bytes),
        date: words::time(zone, backup.as_of.or(Some(backup.started))),
        // Nothing here hands out backups.
        intranet_url: String::new(),
        internet_url: String::new(),
        type_: "physical".to_owned(),
        backup_id: count(backup.number),
        status: match backup.state {
            BackupState::Running => "RUNNING",
            // One that is being deleted is usable until it is gone.
            BackupState::Ready | BackupState::Deleting => "SUCCESS",
            BackupState::Failed => "FAILED",
        }
        .to_owned(),
        finish_time: words::time(zone, backup.finished),
        creator: match manual {
            // Of one that is being deleted, or that could not be, it is not
            // known any more which of the owner's accounts it was.
            true => words::uin(making.map_or(&backup.owner, |task| &task.operator)),
            false => SYSTEM.to_owned(),
        },
        start_time: words::time(zone, Some(backup.started)),
        method: match backup.method {
            // With what it builds on it holds everything.
            Method::Full | Method::Incremental => "full",
            Method::Partial => "partial",
        }
        .to_owned(),
        way: match backup.way {
            Way::Manual => "manual",
            Way::Automatic => "automatic",
        }
        .to_owned(),
        manual_backup_name: match named {
            true => backup.name.clone(),
            false => String::new(),
        },
        save_mode: "save_mode_regular".to_owned(),
        region: ask.region().to_owned(),
        remote_info: Vec::new(),
        cos_storage_type: 0,
        instance_id: backup.instance.to_string(),
        progress: match backup.state {
            BackupState::Running => making.map_or(0, |task| task.percent.into()),
            // Nothing of it is there.
            BackupState::Failed => 0,
            BackupState::Ready | BackupState::Deleting => 100,
        },
        encryption_flag: "off".to_owned(),
        executed_gtid_set: backup.gtid.clone(),
        md5: None,
    }
}

/// The window of each day; an empty one where there is none.
fn window(config: &BackupConfig) -> wire::CommonTimeWindow {
    let (from, to) = config.window;
    let text = format!("{from:02}:00-{to:02}:00");
    let on = |day: usize| {
        let due = config.enabled && config.days.get(day).copied().unwrap_or(false);
        Some(if due { text.clone() } else { String::new() })
    };
    wire::CommonTimeWindow {
        monday: on(0),
        tuesday: on(1),
        wednesday: on(2),
        thursday: on(3),
        friday: on(4),
        saturday: on(5),
        sunday: on(6),
        backup_period_strategy: Some("weekly".to_owned()),
        ..wire::CommonTimeWindow::default()
    }
}

/// The days of a plan. All days have the same window here.
fn plan(
    ask: Ask<'_>,
    given: &wire::CommonTimeWindow,
    config: &mut BackupConfig,
) -> Result<(), Refused> {
    let monthly = ask.word(
        "BackupPeriodStrategy",
        given.backup_period_strategy.as_deref(),
        &[("weekly", false), ("monthly", true)],
        false,
    )?;
    let period_time = given
        .backup_period_time
        .as_deref()
        .is_some_and(|t| !t.is_empty());
    ask.not_here(
        monthly || !given.days.is_empty() || period_time,
        "there is no monthly plan here; give the days of the week",
    )?;
    let days = [
        ("Monday", &given.monday),
        ("Tuesday", &given.tuesday),
        ("Wednesday", &given.wednesday),
        ("Thursday", &given.thursday),
        ("Friday", &given.friday),
        ("Saturday", &given.saturday),
        ("Sunday", &given.sunday),
    ];
    if days.iter().all(|(_, text)| text.is_none()) {
        return Ok(());
    }
    let mut window = None;
    for (at, (day, text)) in days.iter().enumerate() {
        let text = text.as_deref().filter(|t| !t.is_empty());
        if let Some(due) = config.days.get_mut(at) {
            *due = text.is_some();
        }
        let Some(text) = text else { continue };
        let hours = hours(ask, day, text)?;
        if window.is_some_and(|known| known != hours) {
            return Err(ask.error(
                codes::VALUE,
                "the days have different windows; here all days have the same",
            ));
        }
        window = Some(hours);
    }
    config.enabled = window.is_some();
    config.window = window.unwrap_or(config.window);
    Ok(())
}

/// `02:00-06:00`, in whole hours.
fn hours(ask: Ask<'_>, parameter: &str, text: &str) -> Result<(u8, u8), Refused> {
    let hour = |text: &str| -> Option<u8> {
        let (hour, minute) = text.trim().split_once(':')?;
        let whole = minute == "00" && hour.len() == 2;
        let whole = whole && hour.bytes().all(|b| b.is_ascii_digit());
        hour.parse().ok().filter(|h| whole && *h <= 24)
    };
    let parsed = text.split_once('-').and_then(|(from, to)| {
        let (from, to) = (hour(from)?, hour(to)?);
        // Midnight is the end of a day as well.
        let to = if to == 0 { 24 } else { to };
        (from < to).then_some((from, to))
    });
    parsed.ok_or_else(|| {
        ask.error(
            codes::VALUE,
            format!("{parameter} takes whole hours of one day, e.g. 02:00-06:00"),
        )
    })
}
