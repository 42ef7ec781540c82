//! What is stored comes back, and is found by what it is asked for; on both
//! databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backout_core::ids::{AccountId, EngineId, ImageId, JobId, RecordId, RequestId};
use backout_core::time::Timestamp;
use backout_engines::catalogue::{Entry, Level};
use backout_engines::model::{
    Change, Config, Drive, Driver, Engine, EngineState, Health, Kind, Launch, Mode, Operation,
    Record, Setup, Tag, Uses, Wanted,
};
use backout_engines::persistence::{
    self as rows, EVENTS_KEPT, EngineFilter, EngineOrder, MIGRATIONS, Page, TagFilter,
};
use backout_engines::{Damage, Refusal};
use backout_rollout::{Gate, Limits, Plan, Release, Rollout, Scope, Standing};
use backout_store::testing::{self, ALL, PrivatePostgres};
use backout_store::{Store, Tx, params};

/// A case by its name.
type Case = (&'static str, fn(&Store));

/// Each on a store of its own. In one test: a PostgreSQL takes longer to start than
/// all of them take.
const CASES: &[Case] = &[
    (
        "engines_come_back_and_are_found",
        engines_come_back_and_are_found,
    ),
    (
        "versions_and_settings_are_replaced_and_met_when_damaged",
        versions_and_settings_are_replaced_and_met_when_damaged,
    ),
    (
        "the_log_grows_by_one_a_job_and_its_end_is_found",
        the_log_grows_by_one_a_job_and_its_end_is_found,
    ),
    (
        "changes_come_back_with_how_far_they_are_and_are_forgotten",
        changes_come_back_with_how_far_they_are_and_are_forgotten,
    ),
    (
        "events_are_listed_by_time_and_the_oldest_forgotten",
        events_are_listed_by_time_and_the_oldest_forgotten,
    ),
    (
        "entries_are_added_once_and_replaced_by_their_owner",
        entries_are_added_once_and_replaced_by_their_owner,
    ),
    (
        "an_engine_that_goes_leaves_only_the_change_that_took_it_away",
        an_engine_that_goes_leaves_only_the_change_that_took_it_away,
    ),
];

#[test]
fn what_is_stored_is_found_on_both_databases() {
    let folder = tempfile::tempdir().unwrap();
    let server = PrivatePostgres::start();
    for (n, (name, case)) in CASES.iter().enumerate() {
        let file = folder.path().join(format!("{n}.db"));
        case(&Store::open_sqlite(&file, MIGRATIONS).unwrap());
        let database = server.database(&format!("case_{n}"));
        let store = Store::open_postgres(&database, 4, MIGRATIONS);
        case(&store.unwrap_or_else(|e| panic!("{name}: {e}")));
    }
}

fn write<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&mut dyn Tx) -> Result<T, Refusal> + Send + 'static,
) -> T {
    testing::write(store, |tx| Ok(work(tx))).unwrap()
}

fn uuid(kind: u32, n: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{n:012x}")
}

fn engine_id(n: u64) -> EngineId {
    format!("DataEngine-{n:08}").parse().unwrap()
}

fn image_id(n: u64) -> ImageId {
    uuid(1, n).parse().unwrap()
}

fn record_id(n: u64) -> RecordId {
    uuid(2, n).parse().unwrap()
}

fn job(n: u64) -> JobId {
    format!("job_{n:016}").parse().unwrap()
}

fn owner(n: u64) -> AccountId {
    format!("acct_{n:012}").parse().unwrap()
}

fn at(n: u64) -> Timestamp {
    Timestamp(1_000 + n.cast_signed())
}

fn engine(n: u64) -> Engine {
    let even = n.is_multiple_of(2);
    Engine {
        id: engine_id(n),
        owner: owner(0),
        creator: owner(1),
        name: format!("engine_{n}"),
        node: if even { "here" } else { "there" }.to_owned(),
        kind: if even { Kind::DuckDb } else { Kind::SparkSql },
        exec_type: "SQL".to_owned(),
        mode: if even {
            Mode::PayAsYouGo
        } else {
            Mode::Monthly
        },
        pay_mode: i64::from(!even),
        state: EngineState::Running,
        description: "asks".to_owned(),
        size: 4,
        clusters: (1, 2),
        port: 15_000 + u16::try_from(n).unwrap(),
        instance: even.then(|| format!("i-{n}")),
        changes: 3,
        tags: vec![Tag {
            key: "team".to_owned(),
            value: if even { "a" } else { "b" }.to_owned(),
        }],
        kept: [("x".to_owned(), serde_json::json!([1, "ü"]))].into(),
        created: at(n),
        updated: at(100 - n),
    }
}

fn uses() -> Uses {
    Uses {
        parent: image_id(1),
        child: Some(image_id(2)),
        python: Some(image_id(3)),
    }
}

fn config() -> Config {
    Config {
        cluster: [("a.b".to_owned(), "1".to_owned())].into(),
        session: [("c".to_owned(), "ü".to_owned())].into(),
        template: Some(serde_json::json!({"size": "small"})),
    }
}

fn setup() -> Setup {
    Setup {
        uses: uses(),
        config: config(),
        size: 4,
        launch: Launch {
            version: "v".to_owned(),
            driver: Driver::Http,
            command: vec!["true".to_owned()],
            health: Health::Sql("SELECT 1".to_owned()),
            client: None,
            start_ms: 1000,
            memory_bytes: Some(1 << 40),
            cluster: config().cluster,
            session: config().session,
        },
    }
}

fn insert(store: &Store, count: u64) {
    write(store, move |tx| {
        for n in 0..count {
            rows::insert_engine(tx, &engine(n), &uses(), &config())?;
        }
        Ok(())
    });
}

fn engines_come_back_and_are_found(store: &Store) {
    insert(store, 4);
    let found = write(store, |tx| {
        Ok((
            rows::engine_by_id(tx, &engine_id(1))?,
            rows::find_engines(tx, &owner(0), "engine_2")?,
            rows::find_engines(tx, &owner(1), "engine_2")?,
            rows::find_engines(tx, &owner(0), engine_id(3).as_str())?,
            rows::count_engines(tx, &owner(0))?,
            rows::ports_of_node(tx, "there")?,
            rows::engines_of_node(tx, "here", Some(&engine_id(0)), 10)?,
        ))
    });
    assert_eq!(found.0.unwrap(), engine(1));
    assert_eq!(found.1, [engine(2)]);
    assert!(found.2.is_empty(), "another's");
    assert_eq!(found.3, [engine(3)]);
    assert_eq!(found.4, 4);
    assert_eq!(found.5, [15_001, 15_003]);
    assert_eq!(found.6, [engine(2)]);

    let list = |filter: EngineFilter, order, page| {
        let listed = write(store, move |tx| {
            Ok(rows::list_engines(tx, &owner(0), &filter, order, page)?)
        });
        let ids: Vec<_> = listed.1.into_iter().map(|e| e.id).collect();
        (listed.0, ids)
    };
    let ids = |some: &[u64]| some.iter().map(|n| engine_id(*n)).collect::<Vec<_>>();
    let newest = (EngineOrder::Created, false);
    let usual = EngineFilter::default;
    assert_eq!(list(usual(), newest, ALL), (4, ids(&[3, 2, 1, 0])));
    let page = Page {
        offset: 1,
        limit: 2,
    };
    assert_eq!(list(usual(), newest, page), (4, ids(&[2, 1])));
    for order in [
        EngineOrder::Updated,
        EngineOrder::Name,
        EngineOrder::Kind,
        EngineOrder::State,
    ] {
        assert_eq!(list(usual(), (order, true), ALL).0, 4, "{order:?}");
    }
    for (filter, expected) in [
        (
            EngineFilter {
                ids: vec![engine_id(1).to_string(), engine_id(9).to_string()],
                ..usual()
            },
            ids(&[1]),
        ),
        (
            EngineFilter {
                names: vec!["engine_0".to_owned(), "engine_1".to_owned()],
                kinds: vec![Kind::SparkSql],
                ..usual()
            },
            ids(&[1]),
        ),
        (
            EngineFilter {
                modes: vec![Mode::Monthly],
                exec_types: vec!["SQL".to_owned()],
                ..usual()
            },
            ids(&[3, 1]),
        ),
        (
            EngineFilter {
                states: vec![EngineState::Failed],
                ..usual()
            },
            ids(&[]),
        ),
        (
            EngineFilter {
                text: Some("NGINE_2".to_owned()),
                ..usual()
            },
            ids(&[2]),
        ),
        (
            EngineFilter {
                tags: vec![TagFilter::Pair("team".to_owned(), vec!["b".to_owned()])],
                ..usual()
            },
            ids(&[3, 1]),
        ),
        (
            EngineFilter {
                nothing: true,
                ..usual()
            },
            ids(&[]),
        ),
    ] {
        let (total, found) = list(filter.clone(), newest, ALL);
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(total, expected.len() as u64, "{filter:?}");
    }

    let mut other = engine(0);
    other.state = EngineState::Suspended;
    other.instance = None;
    (other.size, other.clusters, other.changes) = (9, (3, 4), 7);
    other.description = "says".to_owned();
    other.kept.clear();
    other.updated = at(500);
    let expected = other.clone();
    let found = write(store, move |tx| {
        rows::update_engine(tx, &other)?;
        rows::set_setup(tx, &other.id, &setup())?;
        Ok((
            rows::engine_by_id(tx, &other.id)?,
            rows::setup(tx, &other.id)?,
            rows::setup(tx, &engine_id(1))?,
        ))
    });
    assert_eq!(found, (Some(expected), Some(setup()), None));
}

fn versions_and_settings_are_replaced_and_met_when_damaged(store: &Store) {
    insert(store, 2);
    let found = write(store, |tx| {
        let before = (
            rows::uses(tx, &engine_id(0))?,
            rows::config(tx, &engine_id(0))?,
        );
        let less = Uses {
            parent: image_id(9),
            child: None,
            python: None,
        };
        rows::set_uses(tx, &engine_id(0), &less)?;
        rows::set_config(tx, &engine_id(0), &Config::default())?;
        let after = (
            rows::uses(tx, &engine_id(0))?,
            rows::config(tx, &engine_id(0))?,
        );
        Ok((before, after, rows::uses(tx, &engine_id(1))?))
    });
    assert_eq!(found.0, (uses(), config()));
    assert_eq!(
        (found.1.0.parent, found.1.1),
        (image_id(9), Config::default())
    );
    assert_eq!(found.2, uses(), "those of another stay");

    let id = "DataEngine-00000000";
    let damage = |sql: &'static str, back: &'static str| {
        write(store, move |tx| {
            tx.execute(sql, params![id])?;
            let (uses, config) = (
                rows::uses(tx, &engine_id(0)).err(),
                rows::config(tx, &engine_id(0)).err(),
            );
            tx.execute(back, params![id])?;
            match (uses, config) {
                (Some(Refusal::Record { damage, .. }), None)
                | (None, Some(Refusal::Record { damage, .. })) => Ok(damage),
                other => unreachable!("{sql}: {other:?}"),
            }
        })
    };
    let twice = "INSERT INTO engine_configs (engine, cluster) VALUES ($1, '{}')";
    let once = "DELETE FROM engine_configs WHERE engine = $1";
    assert_eq!(damage(twice, once), Damage::ConfigTwice);
    assert_eq!(damage(once, twice), Damage::ConfigMissing);
    let twice = "INSERT INTO engine_session_configs (engine, session) VALUES ($1, '{}')";
    let once = "DELETE FROM engine_session_configs WHERE engine = $1";
    assert_eq!(damage(twice, once), Damage::SessionConfigTwice);
    assert_eq!(damage(once, twice), Damage::SessionConfigMissing);
    let seven = "UPDATE engine_uses SET type = 7 WHERE engine = $1";
    let one = "UPDATE engine_uses SET type = 1 WHERE engine = $1";
    assert_eq!(damage(seven, one), Damage::UseKind(7));
    let three = "UPDATE engine_uses SET type = 3 WHERE engine = $1";
    assert!(matches!(damage(three, one), Damage::Uses(_)));
    let broken = "UPDATE engine_configs SET cluster = '{' WHERE engine = $1";
    let whole = "UPDATE engine_configs SET cluster = '{}' WHERE engine = $1";
    assert!(matches!(damage(broken, whole), Damage::Config(_)));
}

fn record(n: u64, operation: Operation) -> Record {
    Record {
        id: record_id(n),
        engine: engine_id(0),
        number: 0,
        operation,
        before: None,
        restored: (operation == Operation::RollbackImage).then(|| record_id(1)),
        uses: uses(),
        config: config(),
        size: 4,
        job: job(n),
        at: at(n),
    }
}

fn the_log_grows_by_one_a_job_and_its_end_is_found(store: &Store) {
    let all = write(store, |tx| {
        assert_eq!(rows::last_records(tx, &engine_id(0))?, (None, None));
        for (n, operation) in (1..).zip(Operation::ALL) {
            rows::append_record(tx, record(n, *operation))?;
            let (last, before) = rows::last_records(tx, &engine_id(0))?;
            let heads = (last.map(|r| r.head()), before.map(|r| r.head()));
            assert_eq!(rows::last_heads(tx, &engine_id(0))?, heads);
            // The same job again, as after a crash.
            let again = Record {
                id: record_id(n + 50),
                ..record(n, *operation)
            };
            rows::append_record(tx, again)?;
        }
        let (last, before) = rows::last_records(tx, &engine_id(0))?;
        let page = Page {
            offset: 1,
            limit: 2,
        };
        Ok((
            last.unwrap(),
            before.unwrap(),
            rows::list_records(tx, &engine_id(0), ALL)?,
            rows::list_records(tx, &engine_id(0), page)?,
            rows::record(tx, &engine_id(0), &record_id(4))?.unwrap(),
            rows::record(tx, &engine_id(1), &record_id(4))?,
        ))
    });
    let (last, before, (total, list), (_, page), fourth, others) = all;
    assert_eq!((last.number, last.id.clone()), (5, record_id(5)));
    assert_eq!(last.before, Some(record_id(4)));
    assert_eq!(before, fourth);
    assert_eq!(total, 5);
    let operations: Vec<_> = list.iter().rev().map(|r| r.operation).collect();
    assert_eq!(operations, Operation::ALL);
    assert_eq!(list.last().unwrap().before, None);
    assert_eq!(page, &list[1..3]);
    assert!(others.is_none(), "of another engine");
    let first = Record {
        number: 1,
        ..record(1, Operation::InitImage)
    };
    assert_eq!(list[4], first);

    // A word that is none is met, by who goes there.
    let read = write(store, |tx| {
        let spoil = "UPDATE engine_log SET operation = 'None' WHERE number = $1";
        tx.execute(spoil, params![4_i64])?;
        let last = rows::last_records(tx, &engine_id(0))?;
        let (head, none) = rows::last_heads(tx, &engine_id(0))?;
        assert_eq!((head, none), (last.0.as_ref().map(Record::head), None));
        let before = rows::record(tx, &engine_id(0), &record_id(4));
        tx.execute(spoil, params![5_i64])?;
        Ok((
            last,
            before.err(),
            rows::last_records(tx, &engine_id(0)).err(),
            rows::last_heads(tx, &engine_id(0)).err(),
        ))
    });
    assert_eq!(read.0, (Some(last), None));
    for refusal in [read.1, read.2, read.3] {
        let Some(Refusal::Record { damage, .. }) = refusal else {
            unreachable!("{refusal:?}");
        };
        assert_eq!(damage, Damage::Operation("None".to_owned()));
    }
}

fn change(n: u64) -> Change {
    let wanted = [
        Wanted::Create,
        Wanted::Delete,
        Wanted::Switch {
            image: "v".to_owned(),
        },
        Wanted::Upgrade,
        Wanted::Rollback {
            from: Some("f".to_owned()),
            to: None,
        },
        Wanted::Undo { job: job(99) },
        Wanted::Modify {
            config: Some(config()),
            size: Some(7),
        },
        Wanted::Suspend,
        Wanted::Resume,
        Wanted::Restart { forced: true },
        Wanted::Mend,
    ];
    Change {
        job: job(n),
        engine: engine_id(n % 2),
        number: n,
        wanted: wanted[usize::try_from(n).unwrap() % wanted.len()].clone(),
        request: RequestId(format!("request-{}", n / 3)),
        state_before: EngineState::Running,
        from: None,
        to: Some(setup()),
        restores: None,
        drive: None,
        created: at(n),
        ended: None,
    }
}

fn drive() -> Drive {
    let limits = Limits {
        ready_ms: 1,
        drain_ms: 2,
        stop_ms: 3,
    };
    let standing = [Standing {
        release: Release(0),
        ready: true,
    }];
    let plan = Plan {
        batches: Vec::new(),
        floor: 1,
        surge: 1,
        gate: Gate::Auto { wait_s: 0 },
    };
    let rollout = Rollout::new(plan, limits, &standing, Release(1), 1, &Scope::Others);
    Drive {
        rollout,
        standing: vec!["i-0".to_owned()],
        round: 2,
        trouble: Some("it ended".to_owned()),
    }
}

fn changes_come_back_with_how_far_they_are_and_are_forgotten(store: &Store) {
    insert(store, 2);
    let found = write(store, |tx| {
        let mut back = Vec::new();
        for n in 0..11 {
            rows::insert_change(tx, &change(n))?;
            back.push(rows::change(tx, &job(n))?.unwrap());
        }
        Ok((
            back,
            rows::open_change(tx, &engine_id(0))?.unwrap(),
            rows::changes_of_request(tx, &RequestId("request-1".to_owned()))?,
            rows::last_asked(tx, &engine_id(1))?,
            rows::change(tx, &job(77))?,
        ))
    });
    let all: Vec<_> = (0..11).map(change).collect();
    assert_eq!(found.0, all);
    assert_eq!(found.1, change(10));
    assert_eq!(found.2, all[3..6]);
    assert_eq!(found.3, Some(at(9)));
    assert_eq!(found.4, None);

    let found = write(store, |tx| {
        let course = (Some(&setup()), None);
        rows::set_course(tx, &job(10), course, Some(&record_id(1)), &drive())?;
        let mut further = drive();
        further.round = 3;
        rows::set_drive(tx, &job(10), &further)?;
        rows::end_change(tx, &job(10), Some(at(20)))?;
        Ok((
            rows::change(tx, &job(10))?.unwrap(),
            rows::open_change(tx, &engine_id(0))?.unwrap(),
        ))
    });
    assert_eq!(
        (found.0.from, found.0.to, found.0.restores, found.0.ended),
        (Some(setup()), None, Some(record_id(1)), Some(at(20)))
    );
    assert_eq!(found.0.drive.unwrap().round, 3);
    assert_eq!(found.1.number, 8);

    // Some at a time; that which has not ended stays, and the last of an
    // engine that is there.
    let found = write(store, |tx| {
        for n in 0..10 {
            let ended = (n != 9).then(|| at(n));
            rows::end_change(tx, &job(n), ended)?;
        }
        // Engine 0 has had its eighth change last, engine 1 its eleventh.
        let last = "UPDATE engines SET changes = $2 WHERE id = $1";
        tx.execute(last, params![engine_id(0).as_str(), 8_i64])?;
        tx.execute(last, params![engine_id(1).as_str(), 11_i64])?;
        let batches = [
            rows::forget_changes(tx, at(7), 3)?,
            rows::forget_changes(tx, at(7), 100)?,
            rows::forget_changes(tx, at(100), 100)?,
        ];
        let mut left = Vec::new();
        for n in 0..11 {
            left.extend(rows::change(tx, &job(n))?.map(|c| c.number));
        }
        Ok((batches, left))
    });
    assert_eq!(found.0, [3, 4, 1]);
    assert_eq!(found.1, [8, 9, 10]);
}

fn events_are_listed_by_time_and_the_oldest_forgotten(store: &Store) {
    let found = write(store, |tx| {
        for n in 0..EVENTS_KEPT + 5 {
            rows::record_event(tx, &engine_id(0), "SwitchImage", "done", at(n))?;
        }
        rows::record_event(tx, &engine_id(1), "Suspend", "ü", at(0))?;
        let some = Page {
            offset: 0,
            limit: 2,
        };
        Ok((
            rows::list_events(tx, &engine_id(0), (None, None), some)?,
            rows::list_events(tx, &engine_id(0), (None, Some(at(7))), ALL)?,
            rows::list_events(tx, &engine_id(0), (Some(at(8)), Some(at(9))), ALL)?,
            rows::list_events(tx, &engine_id(1), (None, None), ALL)?,
        ))
    });
    assert_eq!(found.0.0, EVENTS_KEPT);
    assert_eq!(found.0.1[0].at, at(EVENTS_KEPT + 4));
    assert_eq!(found.1.0, 3, "the first five are forgotten");
    assert_eq!(found.2.0, 2);
    assert_eq!(found.3.1[0].message, "ü");
}

fn entry(n: u64, version: &str, parent: Option<&str>) -> Entry {
    Entry {
        id: image_id(n),
        owner: owner(0),
        level: match parent {
            Some(_) => Level::Child,
            None => Level::Parent,
        },
        version: version.to_owned(),
        parent: parent.map(str::to_owned),
        text: format!("version = {version:?}"),
        number: 0,
        created: at(n),
        updated: at(n),
    }
}

fn entries_are_added_once_and_replaced_by_their_owner(store: &Store) {
    let found = write(store, |tx| {
        let (first, new) = rows::put_entry(tx, &entry(1, "p", None))?;
        assert!(new);
        rows::put_entry(tx, &entry(2, "c", Some("p")))?;
        rows::put_entry(tx, &entry(3, "c", Some("q")))?;
        let mut others = entry(4, "p", None);
        others.owner = owner(1);
        rows::put_entry(tx, &others)?;
        let mut again = entry(5, "p", None);
        again.text = "other".to_owned();
        let (same, new) = rows::put_entry(tx, &again)?;
        assert!(!new);
        assert_eq!((&same.id, same.number), (&first.id, first.number));
        Ok((
            rows::entry(tx, &image_id(1))?.unwrap(),
            rows::entries(tx)?,
            rows::entries_named(tx, "p")?,
            rows::entries_under(tx, "p")?,
            rows::count_entries(tx)?,
            rows::entry(tx, &image_id(5))?,
        ))
    });
    assert_eq!((found.0.text.as_str(), found.0.updated), ("other", at(5)));
    assert_eq!(found.0.created, at(1));
    let ids = |entries: &[Entry]| entries.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        ids(&found.1),
        [image_id(4), image_id(3), image_id(2), image_id(1)]
    );
    assert_eq!(ids(&found.2), [image_id(1), image_id(4)]);
    assert_eq!(ids(&found.3), [image_id(2)]);
    assert_eq!((found.4, found.5), (4, None));
}

fn an_engine_that_goes_leaves_only_the_change_that_took_it_away(store: &Store) {
    insert(store, 2);
    let left = write(store, |tx| {
        for n in 0..4 {
            rows::insert_change(tx, &change(n))?;
        }
        rows::append_record(tx, record(1, Operation::InitImage))?;
        rows::record_event(tx, &engine_id(0), "InitImage", "done", at(1))?;
        rows::delete_engine(tx, &engine_id(0), &job(2))?;
        let mut left = Vec::new();
        for table in [
            "engines",
            "engine_uses",
            "engine_configs",
            "engine_session_configs",
            "engine_log",
            "engine_events",
            "engine_tags",
            "engine_changes",
        ] {
            let sql = format!("SELECT COUNT(*) FROM {table}");
            let row = backout_store::query_one(tx, &sql, params![])?.unwrap();
            left.push(row.get::<i64>(0)?);
        }
        Ok((left, rows::change(tx, &job(2))?.is_some()))
    });
    // Of the other all is left: three rows say which versions it uses.
    assert_eq!(left, (vec![1, 3, 1, 1, 0, 0, 1, 3], true));
}
