//! What is stored comes back, and is found by what it is asked for; on both
//! databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backout_core::code::Code;
use backout_core::ids::{AccountId, DatabaseId, JobId, RequestId};
use backout_core::plan::Plan;
use backout_core::time::Timestamp;
use backout_databases::model::{
    Address, Backup, BackupConfig, BackupState, Detail, Facts, Instance, InstanceState, Kind,
    LocalLogs, Method, Renamed, RollbackDetail, Shape, Standing, Strategy, Tag, Task, TaskKind,
    Way,
};
use backout_databases::persistence::{
    self, BackupFilter, Before, End, InstanceFilter, Made, Page, Span, TagFilter, TaskFilter,
};
use backout_history::{Position, TableName};
use backout_jobs::NewJob;
use backout_store::testing::{ALL, on_both, write};
use backout_store::{Error, Migration, Tx, params};

fn migrations() -> Vec<Migration> {
    [backout_jobs::MIGRATIONS, persistence::MIGRATIONS].concat()
}

fn owner(n: u64) -> AccountId {
    format!("acct_{n:012}").parse().unwrap()
}

fn id(n: u64) -> DatabaseId {
    format!("cdb-{n:08}").parse().unwrap()
}

fn job(n: u64) -> JobId {
    format!("job_{n:016}").parse().unwrap()
}

fn instance(n: u64) -> Instance {
    let even = n.is_multiple_of(2);
    Instance {
        id: id(n),
        owner: owner(0),
        name: format!("Shop_{n}"),
        node: "here".into(),
        kind: if even { Kind::Managed } else { Kind::Reached },
        state: InstanceState::Creating,
        address: Address {
            host: format!("db{n}.example"),
            port: 3306,
            user: "backout".into(),
        },
        sealed: vec![0, 255, u8::try_from(n).unwrap()],
        facts: Facts::default(),
        shape: Shape::default(),
        backups: BackupConfig::default(),
        local_logs: LocalLogs::default(),
        tags: vec![Tag {
            key: "env".into(),
            value: if even { "live" } else { "test" }.into(),
        }],
        created: Timestamp(1_000 + i64::try_from(n).unwrap()),
        isolated: None,
    }
}

#[test]
fn instances_are_found_by_what_they_are_asked_for() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            for n in 1..=4 {
                assert!(persistence::insert_instance(tx, &instance(n))?);
            }
            let mut other = instance(5);
            other.name = "Shop_1".into();
            assert!(
                !persistence::insert_instance(tx, &other)?,
                "the name is taken"
            );
            other.owner = owner(1);
            assert!(persistence::insert_instance(tx, &other)?);

            let ask = |tx: &mut dyn Tx, filter: &InstanceFilter| {
                let (total, rows) = persistence::list_instances(tx, &owner(0), filter, ALL)?;
                assert_eq!(total, rows.len() as u64);
                Ok::<_, Error>(rows.iter().map(|i| i.name.clone()).collect::<Vec<_>>())
            };
            let mut f = InstanceFilter::default();
            assert_eq!(ask(tx, &f)?, ["Shop_4", "Shop_3", "Shop_2", "Shop_1"]);
            f.kinds = vec![Kind::Managed];
            assert_eq!(ask(tx, &f)?, ["Shop_4", "Shop_2"]);
            f.ids = vec![id(2).to_string(), id(3).to_string()];
            assert_eq!(ask(tx, &f)?, ["Shop_2"]);
            let search = |text: &str| InstanceFilter {
                text: Some(text.into()),
                ..InstanceFilter::default()
            };
            assert_eq!(ask(tx, &search("shop_3"))?, ["Shop_3"]);
            assert_eq!(ask(tx, &search("DB2.exam"))?, ["Shop_2"]);
            assert_eq!(ask(tx, &search("00004"))?, ["Shop_4"]);
            assert!(ask(tx, &search("%"))?.is_empty());
            assert!(ask(tx, &search("ShopX1"))?.is_empty());
            let tagged = |tag| InstanceFilter {
                tags: vec![tag],
                ..InstanceFilter::default()
            };
            let live = TagFilter::Pair("env".into(), vec!["live".into()]);
            assert_eq!(ask(tx, &tagged(live))?, ["Shop_4", "Shop_2"]);
            let values = TagFilter::Values(vec!["test".into()]);
            assert_eq!(ask(tx, &tagged(values))?, ["Shop_3", "Shop_1"]);
            assert!(ask(tx, &tagged(TagFilter::Keys(vec!["team".into()])))?.is_empty());
            let page = Page {
                offset: 1,
                limit: 2,
            };
            let all = InstanceFilter::default();
            let (total, rows) = persistence::list_instances(tx, &owner(0), &all, page)?;
            let names: Vec<_> = rows.iter().map(|i| i.name.as_str()).collect();
            assert_eq!((total, names), (4, vec!["Shop_3", "Shop_2"]));

            let here = persistence::instances_of_node(tx, "here", Some(&id(2)), 2)?;
            assert_eq!(
                here.iter().map(|i| i.id.clone()).collect::<Vec<_>>(),
                [id(3), id(4)]
            );
            assert_eq!(
                persistence::instance_at(tx, "here", "db3.example", 3306)?,
                Some(id(3))
            );
            assert_eq!(
                persistence::instance_at(tx, "here", "db3.example", 1)?,
                None
            );
            assert_eq!(persistence::count_instances(tx, &owner(0))?, 4);
            Ok(())
        });
    });
}

#[test]
fn an_instance_comes_back_as_it_was_set() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            assert!(persistence::insert_instance(tx, &instance(1))?);
            assert!(persistence::insert_instance(tx, &instance(2))?);
            let facts = Facts {
                version: "10.11.19-MariaDB".into(),
                server_id: 7,
                charset: "utf8mb4".into(),
                zone: "Europe/Berlin".into(),
                datadir: Some("/var/lib/mysql".into()),
                data_bytes: 1 << 40,
            };
            let config = BackupConfig {
                window: (22, 24),
                keep_days: 30,
                ..BackupConfig::default()
            };
            let logs = LocalLogs {
                hours: 6,
                percent: 50,
            };
            let address = Address {
                host: "::1".into(),
                port: 3310,
                user: "it's".into(),
            };
            persistence::set_facts(tx, &id(1), &facts)?;
            persistence::set_backup_config(tx, &id(1), &config)?;
            persistence::set_local_logs(tx, &id(1), logs)?;
            persistence::set_address(tx, &id(1), &address, &[1, 2, 3])?;
            persistence::set_state(tx, &id(1), InstanceState::Isolated)?;
            persistence::set_isolated(tx, &id(1), Some(Timestamp(5)))?;
            let one = persistence::instance_by_id(tx, &id(1))?.unwrap();
            assert!(!persistence::rename_instance(tx, &one, "Shop_2")?);
            assert!(persistence::rename_instance(tx, &one, "cdb-00000002")?);
            let one = persistence::find_instance(tx, &owner(0), id(1).as_str())?.unwrap();
            assert_eq!(one.name, "cdb-00000002");
            assert_eq!(
                (one.facts, one.backups, one.local_logs),
                (facts, config, logs)
            );
            assert_eq!((one.address, one.sealed), (address, vec![1, 2, 3]));
            assert_eq!(
                (one.state, one.isolated),
                (InstanceState::Isolated, Some(Timestamp(5)))
            );
            assert_eq!((one.shape, one.tags.len()), (Shape::default(), 1));
            // A name that looks like the id of another.
            let two = persistence::find_instance(tx, &owner(0), "cdb-00000002")?.unwrap();
            assert_eq!(two.id, id(2));
            assert!(persistence::find_instance(tx, &owner(1), "Shop_2")?.is_none());

            persistence::insert_backup(tx, &backup(1, &id(2), None, 10))?;
            persistence::delete_instance(tx, &id(2))?;
            assert!(persistence::instance_by_id(tx, &id(2))?.is_none());
            assert!(persistence::backup(tx, 1)?.is_none());
            assert!(
                persistence::insert_instance(tx, &instance(2))?,
                "nothing is left"
            );
            Ok(())
        });
    });
}

fn backup(number: u64, instance: &DatabaseId, base: Option<u64>, as_of: i64) -> Backup {
    Backup {
        number,
        instance: instance.clone(),
        owner: owner(0),
        name: format!("backup {number}"),
        way: Way::Automatic,
        method: base.map_or(Method::Full, |_| Method::Incremental),
        state: BackupState::Ready,
        folder: format!("/backups/{number}").into(),
        tables: Vec::new(),
        base,
        position: Some(Position {
            file: format!("bin.{:06}", 9 + number),
            offset: 500,
        }),
        gtid: Some("0-1-5".into()),
        bytes: 1 << 33,
        started: Timestamp(as_of - 5),
        finished: Some(Timestamp(as_of + 5)),
        as_of: Some(Timestamp(as_of)),
        job: None,
    }
}

#[test]
fn backups_are_found_with_what_they_build_on() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            assert_eq!(persistence::next_backup_number(tx)?, 1);
            assert_eq!(persistence::next_backup_number(tx)?, 2);
            assert_eq!(persistence::next_task_number(tx)?, 1);

            let it = id(1);
            persistence::insert_backup(tx, &backup(1, &it, None, 100))?;
            persistence::insert_backup(tx, &backup(2, &it, Some(1), 200))?;
            persistence::insert_backup(tx, &backup(3, &it, Some(2), 300))?;
            let mut partial = backup(4, &it, None, 400);
            partial.method = Method::Partial;
            partial.way = Way::Manual;
            partial.tables = vec![TableName::new("shop", "orders")];
            persistence::insert_backup(tx, &partial)?;
            let mut running = backup(5, &it, None, 500);
            (running.state, running.as_of) = (BackupState::Running, None);
            (running.position, running.gtid, running.finished) = (None, None, None);
            running.job = Some(job(1));
            persistence::insert_backup(tx, &running)?;
            persistence::insert_backup(tx, &backup(6, &id(2), None, 150))?;

            let newest = |tx: &mut dyn Tx, before| {
                let found = persistence::newest_ready_backup_before(tx, &id(1), &before)?;
                Ok::<_, Error>(found.map(|b| b.number))
            };
            assert_eq!(newest(tx, Before::Instant(Timestamp(99)))?, None);
            assert_eq!(newest(tx, Before::Instant(Timestamp(200)))?, Some(2));
            assert_eq!(newest(tx, Before::Instant(Timestamp(900)))?, Some(3));
            let at = |text: &str| Before::Position(text.parse().unwrap());
            assert_eq!(newest(tx, at("bin.000010:499"))?, None);
            assert_eq!(newest(tx, at("bin.000010:500"))?, Some(1));
            assert_eq!(newest(tx, at("bin.000012:499"))?, Some(2));
            assert_eq!(newest(tx, at("bin.1000000:4"))?, Some(3));

            let chain = persistence::chain_of(tx, 3)?;
            assert_eq!(
                chain.iter().map(|b| b.number).collect::<Vec<_>>(),
                [3, 2, 1]
            );
            assert_eq!(persistence::backups_building_on(tx, 1)?, [2]);
            assert!(persistence::backups_building_on(tx, 3)?.is_empty());
            let ready = persistence::ready_backups(tx, &it, 10)?;
            assert_eq!(
                ready.iter().map(|b| b.number).collect::<Vec<_>>(),
                [4, 3, 2, 1]
            );
            assert_eq!(ready[0].tables, [TableName::new("shop", "orders")]);

            let ask = |tx: &mut dyn Tx, filter: &BackupFilter| {
                let (total, rows) = persistence::list_backups(tx, &id(1), filter, ALL)?;
                assert_eq!(total, rows.len() as u64);
                Ok::<_, Error>(rows.iter().map(|b| b.number).collect::<Vec<_>>())
            };
            assert_eq!(ask(tx, &BackupFilter::default())?, [5, 4, 3, 2, 1]);
            let f = BackupFilter {
                states: vec![BackupState::Running],
                ..BackupFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [5]);
            let f = BackupFilter {
                started_from: Some(Timestamp(195)),
                started_to: Some(Timestamp(295)),
                ..BackupFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [3, 2]);
            let f = BackupFilter {
                ways: vec![Way::Manual],
                methods: vec![Method::Full, Method::Partial],
                numbers: vec![4, 5],
                ..BackupFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [4]);
            let scheduled = persistence::newest_scheduled_backup(tx, &it)?.unwrap();
            assert_eq!((scheduled.number, scheduled.job), (5, Some(job(1))));

            let made = Made {
                position: Some("bin.000020:4".parse().unwrap()),
                gtid: None,
                bytes: 77,
                finished: Timestamp(600),
                as_of: Some(Timestamp(590)),
            };
            persistence::set_backup_made(tx, 5, &made)?;
            persistence::set_backup_method(tx, 5, Method::Incremental, Some(3))?;
            persistence::set_backup_state(tx, 5, BackupState::Ready, None)?;
            let five = persistence::backup(tx, 5)?.unwrap();
            assert_eq!((five.bytes, five.job, five.base), (77, None, Some(3)));
            assert_eq!((five.position, five.gtid), (made.position, None));
            assert_eq!(newest(tx, Before::Instant(Timestamp(900)))?, Some(5));
            persistence::delete_backup(tx, 2)?;
            assert!(persistence::backup(tx, 2)?.is_none());
            let broken = persistence::chain_of(tx, 5).unwrap_err();
            assert!(matches!(broken, Error::Corrupt(_)), "{broken:?}");
            Ok(())
        });
    });
}

fn task(number: u64, kind: TaskKind, job_number: u64) -> Task {
    Task {
        number,
        asked: format!("0000000{}-00000000-00000000-00000000", number % 2),
        owner: owner(0),
        operator: owner(9),
        request: RequestId(format!("request {number}")),
        instance: id(1 + number % 2),
        kind,
        detail: Detail::default(),
        job: job(job_number),
        standing: Standing::Waiting,
        percent: 0,
        words: "queued".into(),
        error: None,
        created: Timestamp(1_000 * i64::try_from(number).unwrap()),
        ended: None,
    }
}

fn new_job(n: u64) -> NewJob {
    NewJob {
        id: job(n),
        procedure: "databases.rollback".into(),
        title: "roll back".into(),
        account: owner(0),
        request: RequestId("r".into()),
        node: "here".into(),
        resource: format!("database/{}", id(n)),
        claims: Vec::new(),
        input: serde_json::Value::Null,
        plan: Plan {
            procedure: "databases.rollback".into(),
            title: "roll back".into(),
            claims: Vec::new(),
            steps: Vec::new(),
        },
        undo_of: None,
        idempotency: None,
        background: false,
        now: Timestamp(1),
    }
}

#[test]
fn a_task_stands_as_its_job_does_until_it_has_ended() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            backout_jobs::submit(tx, &new_job(1)).unwrap();
            persistence::insert_task(tx, &task(1, TaskKind::Rollback, 1))?;
            persistence::insert_task(tx, &task(2, TaskKind::Stop, 1))?;
            persistence::insert_task(tx, &task(3, TaskKind::Backup, 99))?;
            let stands = |tx: &mut dyn Tx, number| {
                let task = persistence::task(tx, number)?.unwrap();
                Ok::<_, Error>((task.standing, task.percent, task.words))
            };
            let listed = |tx: &mut dyn Tx, standing| {
                let filter = TaskFilter {
                    standings: vec![standing],
                    ..TaskFilter::default()
                };
                let (total, rows) = persistence::list_tasks(tx, &owner(0), &filter, ALL)?;
                assert_eq!(total, rows.len() as u64);
                assert!(rows.iter().all(|t| t.standing == standing));
                Ok::<_, Error>(rows.iter().map(|t| t.number).collect::<Vec<_>>())
            };
            let now = |tx: &mut dyn Tx, sets: &str| {
                tx.execute(
                    &format!("UPDATE jobs SET {sets} WHERE id = $1"),
                    params![job(1).as_str()],
                )
            };
            assert_eq!(stands(tx, 1)?, (Standing::Waiting, 0, "queued".into()));
            assert_eq!(stands(tx, 3)?.0, Standing::Waiting, "its job is gone");
            now(
                tx,
                "state = 'running', started_ms = 5, percent = 40, words = 'copies'",
            )?;
            assert_eq!(stands(tx, 1)?, (Standing::Running, 40, "copies".into()));
            now(tx, "state = 'queued'")?;
            assert_eq!(stands(tx, 1)?.0, Standing::Running, "between two attempts");
            now(tx, "state = 'running', cancel_requested = 1")?;
            assert_eq!(stands(tx, 1)?.0, Standing::Stopping);
            assert_eq!(stands(tx, 2)?.0, Standing::Running);
            now(tx, "cancel_requested = 0, direction = 'undoing'")?;
            assert_eq!(stands(tx, 1)?.0, Standing::Stopping);
            assert_eq!(listed(tx, Standing::Stopping)?, [1]);
            assert_eq!(listed(tx, Standing::Running)?, [2]);

            // Held: the row is told, but goes on with its job.
            let held = End {
                standing: Standing::Held,
                words: "held".into(),
                error: Some((Code::Internal, "go on".into())),
                at: Timestamp(50),
            };
            persistence::end_task(tx, &job(1), &held)?;
            now(
                tx,
                "state = 'done', outcome = 'held', ended_ms = 50, held_code = 'BO0061', \
                 held_message = 'drop it', next_command = 'backout jobs retry X', \
                 error_code = 'BO0060', error_message = 'reach it'",
            )?;
            let one = persistence::task(tx, 1)?.unwrap();
            assert_eq!(
                (one.standing, one.ended),
                (Standing::Held, Some(Timestamp(50)))
            );
            assert_eq!(one.error, Some((Code::DatabaseRefused, "drop it".into())));
            assert!(one.words.contains("backout jobs retry X"), "{}", one.words);
            assert_eq!(listed(tx, Standing::Held)?, [2, 1]);
            now(tx, "state = 'running', outcome = NULL, ended_ms = NULL")?;
            let one = persistence::task(tx, 1)?.unwrap();
            assert_eq!((one.standing, one.error), (Standing::Stopping, None));
            let running = persistence::running_rollback_of(tx, &id(2))?.unwrap();
            assert_eq!(running.number, 1);
            assert_eq!(persistence::open_task_of(tx, &id(2))?.unwrap().number, 3);

            let stopped = End {
                standing: Standing::Stopped,
                words: "stopped on request".into(),
                error: None,
                at: Timestamp(60),
            };
            for _ in 0..2 {
                persistence::end_task(tx, &job(1), &stopped)?;
            }
            now(tx, "state = 'done', outcome = 'applied'")?;
            let one = persistence::task(tx, 1)?.unwrap();
            assert_eq!(
                (one.standing, one.ended),
                (Standing::Stopped, Some(Timestamp(60)))
            );
            assert_eq!(
                (one.error, one.words.as_str()),
                (None, "stopped on request")
            );
            assert_eq!(stands(tx, 2)?, (Standing::Applied, 100, "stopped".into()));
            assert!(persistence::running_rollback_of(tx, &id(2))?.is_none());
            // Asked to stop when it had just ended, and long ago by now.
            persistence::end_task(tx, &job(99), &stopped)?;
            persistence::insert_task(tx, &task(4, TaskKind::Stop, 99))?;
            assert_eq!(stands(tx, 4)?.0, Standing::Applied);
            tx.execute("DELETE FROM database_tasks WHERE number >= 3", &[])?;
            assert_eq!(listed(tx, Standing::Stopped)?, [1]);
            assert_eq!(listed(tx, Standing::Applied)?, [2]);
            Ok(())
        });
    });
}

#[test]
fn tasks_are_found_by_what_they_are_asked_for() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            for number in 1..=6 {
                let kind = if number < 4 {
                    TaskKind::Backup
                } else {
                    TaskKind::Rewind
                };
                persistence::insert_task(tx, &task(number, kind, number))?;
            }
            let applied = End {
                standing: Standing::Applied,
                words: "done".into(),
                error: None,
                at: Timestamp(9),
            };
            let failed = End {
                standing: Standing::Failed,
                words: "failed".into(),
                error: Some((Code::NoSpace, "write".into())),
                at: Timestamp(9),
            };
            persistence::end_task(tx, &job(1), &applied)?;
            persistence::end_task(tx, &job(2), &failed)?;
            let detail = Detail {
                backup: Some(1),
                ..Detail::default()
            };
            persistence::set_task_detail(tx, &job(1), &detail)?;
            let one = persistence::task(tx, 1)?.unwrap();
            assert_eq!((one.percent, one.detail), (100, detail));
            assert_eq!(
                (one.operator, one.request.0.as_str()),
                (owner(9), "request 1")
            );
            let two = persistence::task(tx, 2)?.unwrap();
            assert_eq!(two.error, Some((Code::NoSpace, "write".into())));

            let ask = |tx: &mut dyn Tx, filter: &TaskFilter| {
                let (total, rows) = persistence::list_tasks(tx, &owner(0), filter, ALL)?;
                assert_eq!(total, rows.len() as u64);
                Ok::<_, Error>(rows.iter().map(|t| t.number).collect::<Vec<_>>())
            };
            assert_eq!(ask(tx, &TaskFilter::default())?, [6, 5, 4, 3, 2, 1]);
            let f = TaskFilter {
                instance: Some(id(1)),
                ..TaskFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [6, 4, 2]);
            let f = TaskFilter {
                kinds: vec![TaskKind::Rewind],
                asked: Some(task(1, TaskKind::Rewind, 1).asked),
                ..TaskFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [5]);
            let f = TaskFilter {
                created_from: Some(Timestamp(2_000)),
                created_to: Some(Timestamp(3_000)),
                ..TaskFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [3, 2]);
            let f = TaskFilter {
                standings: vec![Standing::Failed, Standing::Waiting],
                numbers: vec![1, 2, 3],
                ..TaskFilter::default()
            };
            assert_eq!(ask(tx, &f)?, [3, 2]);
            let page = Page {
                offset: 4,
                limit: 5,
            };
            let all = TaskFilter::default();
            let (total, rows) = persistence::list_tasks(tx, &owner(0), &all, page)?;
            assert_eq!((total, rows.len()), (6, 2));
            let of_call = persistence::tasks_by_asked(tx, &owner(0), &two.asked)?;
            let numbers: Vec<_> = of_call.iter().map(|t| t.number).collect();
            assert_eq!(numbers, [2, 4, 6]);
            assert!(persistence::tasks_by_asked(tx, &owner(1), &two.asked)?.is_empty());
            assert_eq!(persistence::task_of_job(tx, &job(5))?.unwrap().number, 5);
            Ok(())
        });
    });
}

fn rollback_of(databases: usize, tables: usize) -> Detail {
    let renamed = |n: usize| Renamed {
        from: format!("a\"}},{{\"from\":{n}"),
        to: format!("b{n}"),
    };
    let name = |n: usize| TableName::new("a", format!("t{n}"));
    Detail {
        rollback: Some(RollbackDetail {
            strategy: Strategy::Full,
            until_us: Some(1),
            asked: "then".into(),
            databases: (0..databases).map(renamed).collect(),
            tables: (0..tables)
                .map(|n| Renamed {
                    from: name(n),
                    to: name(n + 100),
                })
                .collect(),
            road: None,
            cut: None,
            kept: None,
            undone: None,
            made: None,
            proofs: Vec::new(),
        }),
        ..Detail::default()
    }
}

#[test]
fn rollbacks_of_one_whole_database_are_told_from_the_others() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            for (number, detail) in (1..).zip([
                rollback_of(1, 0),
                rollback_of(2, 0),
                rollback_of(1, 1),
                rollback_of(0, 1),
                Detail::default(),
            ]) {
                let kind = match number {
                    5 => TaskKind::Restart,
                    _ => TaskKind::Rollback,
                };
                let task = Task {
                    detail,
                    ..task(number, kind, number)
                };
                persistence::insert_task(tx, &task)?;
            }
            let ask = |tx: &mut dyn Tx, whole| {
                let filter = TaskFilter {
                    whole,
                    ..TaskFilter::default()
                };
                let (_, rows) = persistence::list_tasks(tx, &owner(0), &filter, ALL)?;
                Ok::<_, Error>(rows.iter().map(|t| t.number).collect::<Vec<_>>())
            };
            for _ in 0..2 {
                assert_eq!(ask(tx, Some(true))?, [5, 1]);
                assert_eq!(ask(tx, Some(false))?, [5, 4, 3, 2]);
                assert_eq!(ask(tx, None)?, [5, 4, 3, 2, 1]);
                // Rows of before are told by their words.
                tx.execute("UPDATE database_tasks SET whole = 0", &[])?;
                let again = persistence::MIGRATIONS[1].sql.split(";\n");
                let update = again.clone().find(|s| s.trim().starts_with("UPDATE"));
                tx.execute(update.unwrap(), &[])?;
            }
            Ok(())
        });
    });
}

/// Local times are those of the zone of each task's instance, also when that is
/// gone.
#[test]
fn tasks_are_found_by_the_clocks_of_their_instances() {
    on_both(&migrations(), |store| {
        write(&store, |tx| {
            for (n, zone) in [(1, "+08:00"), (2, "-05:00"), (3, "+08:00"), (4, "")] {
                let mut there = instance(n);
                there.facts.zone = zone.into();
                assert!(persistence::insert_instance(tx, &there)?);
            }
            let mut elsewhere = instance(5);
            elsewhere.owner = owner(1);
            assert!(persistence::insert_instance(tx, &elsewhere)?);
            for (number, of) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 9)] {
                let task = Task {
                    instance: id(of),
                    created: Timestamp(1_000_000),
                    ..task(number, TaskKind::Restart, number)
                };
                persistence::insert_task(tx, &task)?;
            }
            persistence::delete_instance(tx, &id(3))?;
            persistence::delete_instance(tx, &id(3))?;

            let zones = persistence::zones_of(tx, &owner(0))?;
            let known: Vec<_> = zones
                .iter()
                .map(|(zone, there)| (zone.as_str(), there.clone()))
                .collect();
            assert_eq!(
                known,
                [
                    ("", vec![id(4)]),
                    ("+08:00", vec![id(1)]),
                    ("-05:00", vec![id(2)])
                ]
            );
            let mut told = persistence::told_of(tx, &owner(0), &[id(1), id(3), id(5), id(9)])?;
            told.sort_by(|a, b| a.id.cmp(&b.id));
            let told: Vec<_> = told
                .iter()
                .map(|t| (t.name.as_str(), t.zone.as_str(), t.state))
                .collect();
            assert_eq!(
                told,
                [
                    ("Shop_1", "+08:00", Some(InstanceState::Creating)),
                    ("Shop_3", "+08:00", None)
                ]
            );
            assert!(persistence::told_of(tx, &owner(0), &[])?.is_empty());

            let span = |zone: &str, from_ms, before_ms| Span {
                zone: zone.into(),
                instances: zones.get(zone).cloned().unwrap_or_default(),
                unknown: zone.is_empty(),
                from_ms,
                before_ms,
            };
            let (never, ever) = ((0, 0), (i64::MIN, i64::MAX));
            for (east, west, other, expect) in [
                (ever, ever, ever, vec![5, 4, 3, 2, 1]),
                (ever, never, never, vec![3, 1]),
                (never, ever, never, vec![2]),
                (never, never, ever, vec![5, 4]),
                // The begin counts, the end does not.
                ((1_000_000, 1_000_001), (0, 1_000_000), never, vec![3, 1]),
            ] {
                let spans = vec![
                    span("+08:00", east.0, east.1),
                    span("-05:00", west.0, west.1),
                    span("", other.0, other.1),
                ];
                let filter = TaskFilter {
                    spans: Some(spans),
                    ..TaskFilter::default()
                };
                let (total, rows) = persistence::list_tasks(tx, &owner(0), &filter, ALL)?;
                let found: Vec<_> = rows.iter().map(|t| t.number).collect();
                assert_eq!(found, expect, "{filter:?}");
                assert_eq!(total, expect.len() as u64);
            }
            let filter = TaskFilter {
                spans: Some(Vec::new()),
                ..TaskFilter::default()
            };
            assert_eq!(persistence::list_tasks(tx, &owner(0), &filter, ALL)?.0, 0);
            let filter = TaskFilter {
                jobs: vec![job(2), job(4), job(8)],
                ..TaskFilter::default()
            };
            let (_, rows) = persistence::list_tasks(tx, &owner(0), &filter, ALL)?;
            assert_eq!(rows.iter().map(|t| t.number).collect::<Vec<_>>(), [4, 2]);
            Ok(())
        });
    });
}
