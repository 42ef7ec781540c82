//! Lists of restore points: right in every page, by index, and counted rightly
//! whatever happens at once; on both databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicU64, Ordering};

use backout_core::ids::{AccountId, JobId};
use backout_core::time::Timestamp;
use backout_servers::model::{Snapshot, SnapshotKind, SnapshotState, Subject, Tag, Usage};
use backout_servers::persistence::{
    self, MIGRATIONS, Page, SnapshotFilter, TagFilter, list_snapshots,
};
use backout_store::testing::{PrivatePostgres, on_both};
use backout_store::{Dialect, Error, Row, Store, Tx, Value, params};

/// Deterministic, and good enough to mix things up.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

fn owner(n: u64) -> AccountId {
    format!("acct_{n:012}").parse().unwrap()
}

/// Server `n`, or data disk `n` when it is odd.
fn subject(n: u64) -> Subject {
    match n % 2 {
        0 => Subject::Server(format!("lhins-{n:08}").parse().unwrap()),
        _ => Subject::Disk(format!("lhdisk-{n:08}").parse().unwrap()),
    }
}

fn subject_id(subject: &Subject) -> String {
    match subject {
        Subject::Server(id) => id.to_string(),
        Subject::Disk(id) => id.to_string(),
    }
}

/// Restore point `n`: everything about it follows from the number.
fn point(n: u64) -> Snapshot {
    let mut dice = Dice(n);
    let of = dice.roll(6);
    let subject = subject(of);
    let word = match subject {
        Subject::Server(_) => "lhsnap",
        Subject::Disk(_) => "lhbak",
    };
    let kind = match dice.roll(4) {
        0 => SnapshotKind::Safety,
        1 => SnapshotKind::Scheduled,
        _ => SnapshotKind::User,
    };
    let state = match dice.roll(12) {
        0 => SnapshotState::Creating,
        1 => SnapshotState::RollingBack,
        2 => SnapshotState::Deleting,
        _ => SnapshotState::Normal,
    };
    let mut tags = Vec::new();
    for key in ["env", "team"] {
        if dice.roll(5) == 0 {
            tags.push(Tag {
                key: key.to_owned(),
                value: format!("v{}", dice.roll(3)),
            });
        }
    }
    Snapshot {
        id: format!("{word}-{n:08}").parse().unwrap(),
        owner: owner(of / 3),
        disk: match &subject {
            Subject::Server(_) => format!("lhdisk-{:08}", 100 + of).parse().unwrap(),
            Subject::Disk(id) => id.clone(),
        },
        subject,
        kind,
        name: format!("name {}", dice.roll(50)),
        state,
        point: None,
        size_bytes: 1 << 20,
        latest: None,
        job: None,
        // Several in one millisecond.
        created: Timestamp(1_000 + i64::try_from(dice.roll(40)).unwrap()),
        expires: None,
        tags,
    }
}

fn has(tags: &[Tag], filter: &TagFilter) -> bool {
    tags.iter().any(|tag| match filter {
        TagFilter::Keys(keys) => keys.contains(&tag.key),
        TagFilter::Values(values) => values.contains(&tag.value),
        TagFilter::Pair(key, values) => *key == tag.key && values.contains(&tag.value),
    })
}

fn matches(s: &Snapshot, owner: &AccountId, f: &SnapshotFilter) -> bool {
    let one_of = |list: &[String], word: &str| list.is_empty() || list.iter().any(|l| l == word);
    let usage = match s.subject {
        Subject::Server(_) => Usage::System,
        Subject::Disk(_) => Usage::Data,
    };
    s.owner == *owner
        && s.state != SnapshotState::Deleting
        && !f.nothing
        && one_of(&f.ids, s.id.as_str())
        && one_of(&f.subjects, &subject_id(&s.subject))
        && one_of(&f.disks, s.disk.as_str())
        && one_of(&f.names, &s.name)
        && f.usage.is_none_or(|u| u == usage)
        && f.safety
            .is_none_or(|safety| safety == (s.kind == SnapshotKind::Safety))
        && (f.states.is_empty() || f.states.contains(&s.state))
        && f.tags.iter().all(|tag| has(&s.tags, tag))
}

/// Filters of every kind, alone and mixed.
fn filter(dice: &mut Dice, points: u64) -> SnapshotFilter {
    let mut f = SnapshotFilter::default();
    let mut some = |make: &mut dyn FnMut(&mut Dice) -> String, sides: u64| -> Vec<String> {
        match dice.roll(sides) {
            0 => (0..=dice.roll(3)).map(|_| make(dice)).collect(),
            _ => Vec::new(),
        }
    };
    f.ids = some(&mut |d| point(d.roll(points)).id.to_string(), 6);
    f.subjects = some(&mut |d| subject_id(&subject(d.roll(7))), 3);
    f.disks = some(&mut |d| point(d.roll(points)).disk.to_string(), 4);
    f.names = some(&mut |d| format!("name {}", d.roll(55)), 6);
    f.usage = [None, None, Some(Usage::System), Some(Usage::Data)][dice.roll(4) as usize];
    f.safety = [None, Some(false), Some(true)][dice.roll(3) as usize];
    for state in [
        SnapshotState::Creating,
        SnapshotState::Normal,
        SnapshotState::RollingBack,
    ] {
        if dice.roll(6) == 0 {
            f.states.push(state);
        }
    }
    match dice.roll(9) {
        0 => f.tags.push(TagFilter::Keys(vec!["env".into()])),
        1 => f
            .tags
            .push(TagFilter::Values(vec!["v1".into(), "v2".into()])),
        2 => f
            .tags
            .push(TagFilter::Pair("team".into(), vec!["v0".into()])),
        _ => {}
    }
    f.nothing = dice.roll(30) == 0;
    f
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

async fn insert(store: &Store, points: std::ops::Range<u64>) {
    store
        .write::<_, Error>(move |tx| {
            points
                .into_iter()
                .try_for_each(|n| persistence::insert_snapshot(tx, &point(n)))
        })
        .await
        .unwrap();
}

#[test]
fn every_page_is_what_a_plain_look_would_give() {
    const POINTS: u64 = 400;
    on_both(MIGRATIONS, |store| {
        block_on(async {
            insert(&store, 0..POINTS).await;
            let mut all: Vec<Snapshot> = (0..POINTS).map(point).collect();
            all.sort_by(|a, b| (b.created, a.id.as_str()).cmp(&(a.created, b.id.as_str())));
            let mut dice = Dice(7);
            for round in 0..600 {
                let owner = owner(dice.roll(2));
                let filter = filter(&mut dice, POINTS);
                let page = Page {
                    offset: dice.roll(POINTS / 2) / (1 + dice.roll(20)),
                    limit: dice.roll(30),
                };
                let want: Vec<&Snapshot> =
                    all.iter().filter(|s| matches(s, &owner, &filter)).collect();
                let (asked, f) = (owner.clone(), filter.clone());
                let (total, got) = store
                    .read::<_, Error>(move |tx| list_snapshots(tx, &asked, &f, page))
                    .await
                    .unwrap();
                assert_eq!(total, want.len() as u64, "{round}: {owner} {filter:?}");
                let want: Vec<&str> = want
                    .iter()
                    .skip(usize::try_from(page.offset).unwrap())
                    .take(usize::try_from(page.limit).unwrap())
                    .map(|s| s.id.as_str())
                    .collect();
                let got: Vec<&str> = got.iter().map(|s| s.id.as_str()).collect();
                assert_eq!(got, want, "{round}: {owner} {filter:?} {page:?}");
            }
        });
    });
}

/// Writes down what is asked.
struct Listening<'a> {
    inner: &'a mut dyn Tx,
    asked: Vec<(String, Vec<Value>)>,
}

impl Tx for Listening<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.inner.execute(sql, params)
    }
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.asked.push((sql.to_owned(), params.to_vec()));
        self.inner.query(sql, params)
    }
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }
}

/// What the planner makes of a statement, a line for each part of it.
fn explain(tx: &mut dyn Tx, sql: &str, params: &[Value]) -> Vec<String> {
    match tx.dialect() {
        Dialect::Sqlite => tx
            .query(&format!("EXPLAIN QUERY PLAN {sql}"), params)
            .unwrap()
            .iter()
            .map(|row| row.get(3).unwrap())
            .collect(),
        Dialect::Postgres => {
            let mut whole = sql.to_owned();
            for (n, value) in params.iter().enumerate().rev() {
                let text = match value {
                    Value::Int(n) => n.to_string(),
                    Value::Text(t) => format!("'{t}'"),
                    Value::Null | Value::Bytes(_) => "NULL".to_owned(),
                };
                whole = whole.replace(&format!("${}", n + 1), &text);
            }
            tx.query(
                &format!("EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) {whole}"),
                &[],
            )
            .unwrap()
            .iter()
            .map(|row| row.get(0).unwrap())
            .collect()
        }
    }
}

/// The number behind `word` in a line of a plan.
fn number_behind(line: &str, word: &str) -> f64 {
    line.split_once(word).map_or(0.0, |(_, rest)| {
        rest.chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect::<String>()
            .parse()
            .unwrap()
    })
}

/// No filter reads a table from end to end, and on PostgreSQL, which tells, no
/// statement touches more rows than match and are skipped.
#[test]
fn every_filter_goes_by_an_index() {
    const POINTS: u64 = 12_000;
    /// Rows that a page may touch: those of the page, and those of one label or
    /// name, in twelve thousand.
    const FEW: f64 = 700.0;
    let first = Page {
        offset: 0,
        limit: 20,
    };
    let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let plain = SnapshotFilter::default;
    let system = || SnapshotFilter {
        usage: Some(Usage::System),
        safety: Some(false),
        ..SnapshotFilter::default()
    };
    let filters = [
        plain(),
        system(),
        SnapshotFilter {
            subjects: vec![subject_id(&subject(0))],
            ..plain()
        },
        SnapshotFilter {
            subjects: vec![subject_id(&subject(0)), subject_id(&subject(2))],
            ..system()
        },
        SnapshotFilter {
            disks: list(&["lhdisk-00000100"]),
            ..system()
        },
        SnapshotFilter {
            ids: vec![point(0).id.to_string(), point(9).id.to_string()],
            ..system()
        },
        SnapshotFilter {
            names: list(&["name 7"]),
            ..system()
        },
        SnapshotFilter {
            tags: vec![TagFilter::Pair("rare".into(), list(&["yes"]))],
            ..system()
        },
        SnapshotFilter {
            tags: vec![TagFilter::Values(list(&["yes"]))],
            ..system()
        },
        SnapshotFilter {
            states: vec![SnapshotState::Normal],
            ..system()
        },
        SnapshotFilter {
            states: vec![SnapshotState::Creating],
            ..system()
        },
    ];
    on_both(MIGRATIONS, |store| {
        let filters = filters.clone();
        block_on(async {
            for part in 0..12 {
                let from = part * (POINTS / 12);
                store
                    .write::<_, Error>(move |tx| {
                        for n in from..from + POINTS / 12 {
                            let mut one = point(n);
                            // Jobs work on few of them.
                            if one.state != SnapshotState::Normal && n % 97 != 0 {
                                one.state = SnapshotState::Normal;
                            }
                            if n % 300 == 0 {
                                one.tags.push(Tag {
                                    key: "rare".into(),
                                    value: "yes".into(),
                                });
                            }
                            persistence::insert_snapshot(tx, &one)?;
                        }
                        Ok(())
                    })
                    .await
                    .unwrap();
            }
            if store.dialect() == Dialect::Postgres {
                store
                    .write::<_, Error>(|tx| tx.execute("ANALYZE", &[]))
                    .await
                    .unwrap();
            }
            store
                .read::<_, Error>(move |tx| {
                    for filter in filters {
                        let mut listening = Listening {
                            inner: tx,
                            asked: Vec::new(),
                        };
                        let (total, _) = list_snapshots(&mut listening, &owner(0), &filter, first)?;
                        assert!(total > 0, "{filter:?}");
                        let last = Page {
                            offset: total.saturating_sub(20),
                            limit: 20,
                        };
                        list_snapshots(&mut listening, &owner(0), &filter, last)?;
                        for (sql, params) in listening.asked {
                            for line in explain(tx, &sql, &params) {
                                let whole = line.contains("SCAN snapshots")
                                    || line.contains("SCAN server_tags")
                                    || line.contains("SCAN t ")
                                    || line.contains("Seq Scan on snapshots")
                                    || line.contains("Seq Scan on server_tags")
                                    || number_behind(&line, "actual rows=") > FEW
                                    || number_behind(&line, "Rows Removed by Filter: ") > FEW;
                                assert!(!whole, "{filter:?}\n{sql}\n{line}");
                            }
                        }
                    }
                    Ok(())
                })
                .await
                .unwrap();
        });
    });
}

/// The counts that are kept, and the same counted.
async fn both_counts(store: &Store) -> (Vec<String>, Vec<String>) {
    store
        .read::<_, Error>(|tx| {
            let mut lists = Vec::new();
            for sql in [
                "SELECT owner, scope, usage, CAST(SUM(points) AS BIGINT), CAST(SUM(safety) AS BIGINT) \
                 FROM snapshot_counts GROUP BY owner, scope, usage",
                "SELECT owner, scope, usage, CAST(SUM(1 - safety) AS BIGINT), CAST(SUM(safety) AS BIGINT) FROM ( \
                 SELECT owner, '' AS scope, usage, safety FROM snapshots WHERE state <> 'deleting' \
                 UNION ALL SELECT owner, subject, usage, safety FROM snapshots WHERE state <> 'deleting' \
                 UNION ALL SELECT owner, disk, usage, safety FROM snapshots WHERE state <> 'deleting' AND disk <> subject \
                 ) every GROUP BY owner, scope, usage",
            ] {
                let mut lines = Vec::new();
                for row in tx.query(sql, &[])? {
                    let counts: (i64, i64) = (row.get(3)?, row.get(4)?);
                    if counts != (0, 0) {
                        lines.push(format!("{} {} {} {counts:?}", row.text(0)?, row.text(1)?, row.text(2)?));
                    }
                }
                lines.sort();
                lists.push(lines);
            }
            let counted = lists.pop().unwrap();
            Ok((lists.pop().unwrap(), counted))
        })
        .await
        .unwrap()
}

/// Creations, deletions, and those that are taken back, all at once, from two
/// processes' worth of connections.
fn at_once(stores: &[Store]) {
    const TASKS: u64 = 16;
    const EACH: u64 = 40;
    block_on(async {
        let again = std::sync::Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            let store = stores[usize::try_from(task).unwrap() % stores.len()].clone();
            let again = again.clone();
            tasks.push(tokio::spawn(async move {
                let mut dice = Dice(task);
                let job: JobId = format!("job_{task:016}").parse().unwrap();
                for n in task * EACH..(task + 1) * EACH {
                    let what = dice.roll(6);
                    // Another transaction may be in the way of two rows at once.
                    loop {
                        let done = store
                            .write::<_, Error>(move |tx| {
                                let one = point(n);
                                persistence::insert_snapshot(tx, &one)?;
                                if what == 0 {
                                    return Err(Error::corrupt("taken back"));
                                }
                                Ok(())
                            })
                            .await;
                        match done {
                            Err(Error::Contended(_)) => {
                                again.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(Error::Corrupt(_)) => break,
                            done => {
                                done.unwrap();
                                break;
                            }
                        }
                    }
                    let steps: &[SnapshotState] = match what {
                        1 => &[SnapshotState::Deleting],
                        2 => &[SnapshotState::Deleting, SnapshotState::Normal],
                        3 => &[SnapshotState::RollingBack, SnapshotState::Normal],
                        _ => &[],
                    };
                    for state in steps {
                        let (state, job) = (*state, job.clone());
                        store
                            .write::<_, Error>(move |tx| {
                                let id = point(n).id;
                                match state {
                                    SnapshotState::Normal => {
                                        persistence::end_snapshot_operation(tx, &id, None)
                                    }
                                    state => persistence::begin_snapshot_operation(
                                        tx, &id, state, &job, None,
                                    ),
                                }
                            })
                            .await
                            .unwrap();
                    }
                    if matches!(what, 1 | 4) {
                        store
                            .write::<_, Error>(move |tx| {
                                persistence::delete_snapshot(tx, &point(n).id)
                            })
                            .await
                            .unwrap();
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let (kept, counted) = both_counts(&stores[0]).await;
        assert_eq!(kept, counted);
        assert!(!counted.is_empty());
        // All of one disk at once.
        stores[0]
            .write::<_, Error>(|tx| persistence::delete_points_of(tx, &subject(0)))
            .await
            .unwrap();
        let (kept, counted) = both_counts(&stores[0]).await;
        assert_eq!(kept, counted);
        let rows = stores[0]
            .read::<_, Error>(|tx| {
                tx.query(
                    "SELECT 1 FROM snapshot_counts WHERE scope = $1",
                    params![subject_id(&subject(0))],
                )
            })
            .await
            .unwrap();
        assert_eq!(rows.len(), 0);
    });
}

#[test]
fn counts_are_right_after_all_at_once_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(&folder.path().join("state.db"), MIGRATIONS).unwrap();
    at_once(&[store]);
}

#[test]
fn counts_are_right_after_all_at_once_postgres() {
    let server = PrivatePostgres::start();
    let url = server.database("counts");
    let open = || Store::open_postgres(&url, 6, MIGRATIONS).unwrap();
    at_once(&[open(), open()]);
}
