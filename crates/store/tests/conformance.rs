//! One suite, both databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backout_store::testing::{PrivatePostgres, on_both};
use backout_store::{Error, Migration, Store, Tx, params, query_one};

const TABLES: &[Migration] = &[Migration {
    name: "test-0001",
    sql: "CREATE TABLE things (id TEXT PRIMARY KEY, n BIGINT, data BYTEA, note TEXT);\nCREATE INDEX things_n ON things (n);",
}];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn insert(tx: &mut dyn Tx, id: &str, n: i64) -> Result<u64, Error> {
    tx.execute(
        "INSERT INTO things (id, n, data, note) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
        params![id, n, vec![0_u8, 255], None::<String>],
    )
}

async fn count(store: &Store) -> i64 {
    store
        .read::<i64, Error>(|tx| {
            query_one(tx, "SELECT COUNT(*) FROM things", &[])?
                .unwrap()
                .get(0)
        })
        .await
        .unwrap()
}

#[test]
fn conformance() {
    on_both(TABLES, |store| {
        runtime().block_on(async {
            values_come_back(&store).await;
            an_error_leaves_no_trace(&store).await;
            a_panic_spares_the_others(&store).await;
            one_of_many_wins(&store).await;
            placeholders_by_number(&store).await;
            a_bad_statement_is_told(&store).await;
            a_read_sees_one_instant(&store).await;
            a_commit_changes_the_version(&store).await;
        });
    });
}

async fn values_come_back(store: &Store) {
    store
        .write::<_, Error>(|tx| insert(tx, "a", -7))
        .await
        .unwrap();
    let row = store
        .read::<_, Error>(|tx| {
            Ok(query_one(
                tx,
                "SELECT id, n, data, note FROM things WHERE id = $1",
                params!["a"],
            )?
            .unwrap())
        })
        .await
        .unwrap();
    assert_eq!(row.get::<String>(0).unwrap(), "a");
    assert_eq!(row.get::<i64>(1).unwrap(), -7);
    assert_eq!(row.get::<Vec<u8>>(2).unwrap(), vec![0, 255]);
    assert_eq!(row.get::<Option<String>>(3).unwrap(), None);
    assert!(row.get::<i64>(0).is_err());
    assert!(row.get::<i64>(9).is_err());
}

async fn an_error_leaves_no_trace(store: &Store) {
    let before = count(store).await;
    let refused = store
        .write::<(), Error>(|tx| {
            insert(tx, "never", 1)?;
            Err(Error::corrupt("on purpose"))
        })
        .await;
    assert!(matches!(refused, Err(Error::Corrupt(_))));
    assert_eq!(count(store).await, before);
}

async fn a_panic_spares_the_others(store: &Store) {
    let before = count(store).await;
    let writes = (0..20).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write::<u64, Error>(move |tx| {
                    let changed = insert(tx, &format!("p{i}"), i)?;
                    assert!(i != 7, "on purpose");
                    Ok(changed)
                })
                .await
        })
    });
    let mut failures = 0;
    for write in writes.collect::<Vec<_>>() {
        failures += usize::from(write.await.unwrap().is_err());
    }
    assert_eq!(failures, 1);
    assert_eq!(count(store).await, before + 19);
}

async fn one_of_many_wins(store: &Store) {
    let tries = (0..16).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write::<u64, Error>(move |tx| insert(tx, "claimed", i))
                .await
        })
    });
    let mut won = 0;
    for one in tries.collect::<Vec<_>>() {
        won += one.await.unwrap().unwrap();
    }
    assert_eq!(won, 1);
}

async fn placeholders_by_number(store: &Store) {
    let row = store
        .read::<_, Error>(|tx| {
            Ok(query_one(
                tx,
                "SELECT id FROM things WHERE n = $2 AND id = $1",
                params!["a", -7_i64],
            )?
            .is_some())
        })
        .await
        .unwrap();
    assert!(row, "$2 before $1 is bound by number");
    let returned = store
        .write::<_, Error>(|tx| {
            tx.query(
                "UPDATE things SET n = n + 1 WHERE id = $1 RETURNING n",
                params!["a"],
            )
        })
        .await
        .unwrap();
    assert_eq!(returned[0].get::<i64>(0).unwrap(), -6);
}

async fn a_bad_statement_is_told(store: &Store) {
    let refused = store
        .write::<_, Error>(|tx| tx.execute("INSERT INTO nowhere VALUES (1)", &[]))
        .await;
    assert!(matches!(refused, Err(Error::Statement(_))), "{refused:?}");
    // And the store goes on.
    assert!(count(store).await > 0);
}

async fn a_commit_changes_the_version(store: &Store) {
    let Some(before) = store.version() else {
        assert_eq!(store.dialect(), backout_store::Dialect::Postgres);
        return;
    };
    count(store).await;
    assert_eq!(store.version(), Some(before), "reading changes nothing");
    store
        .write::<_, Error>(|tx| insert(tx, "newest", 1))
        .await
        .unwrap();
    assert_ne!(store.version(), Some(before));
}

async fn a_read_sees_one_instant(store: &Store) {
    let writer = store.clone();
    let runtime = tokio::runtime::Handle::current();
    let (first, second) = store
        .read::<_, Error>(move |tx| {
            let count = |tx: &mut dyn Tx| -> Result<i64, Error> {
                query_one(tx, "SELECT COUNT(*) FROM things", &[])?
                    .unwrap()
                    .get(0)
            };
            let first = count(tx)?;
            // Another connection writes, and is done, before the second look.
            std::thread::spawn(move || {
                runtime
                    .block_on(writer.write::<_, Error>(|tx| insert(tx, "meanwhile", 1)))
                    .unwrap();
            })
            .join()
            .unwrap();
            Ok((first, count(tx)?))
        })
        .await
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(count(store).await, first + 1);
}

#[test]
fn a_newer_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(Store::open_sqlite(&path, TABLES).unwrap());
    assert!(matches!(
        Store::open_sqlite(&path, &[]),
        Err(Error::Foreign(_))
    ));
    // Twice with the same list is no change.
    drop(Store::open_sqlite(&path, TABLES).unwrap());
}

#[test]
fn processes_may_start_at_once_on_an_empty_database() {
    let server = PrivatePostgres::start();
    let url = server.database("many");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| Store::open_postgres(&url, 1, TABLES).unwrap());
        }
    });
}

#[test]
fn an_unreachable_server_is_told_without_its_password() {
    let refused =
        Store::open_postgres("postgres://u:secret@127.0.0.1:1/db", 1, TABLES).unwrap_err();
    assert!(matches!(refused, Error::Unavailable { .. }));
    assert!(!format!("{refused} {refused:?}").contains("secret"));
}
