//! Tables of an earlier version become those of this one, with what is in them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backout_core::ids::AccountId;
use backout_servers::model::{DiskState, SnapshotKind, Subject, Usage};
use backout_servers::persistence::{self, DiskFilter, MIGRATIONS, Page, SnapshotFilter};
use backout_store::testing::PrivatePostgres;
use backout_store::{Error, Store};

const PAGE: Page = Page {
    offset: 0,
    limit: 10,
};

const EARLIER: [&str; 5] = [
    "INSERT INTO servers (id, owner, name, node, power, tags, created_ms) \
     VALUES ('lhins-aaaaaaaa', 'acct_aaaaaaaaaaaa', 'web', 'here', 'stopped', '[]', 5)",
    "INSERT INTO disks (id, server, node, head, format, driver, size_bytes) \
     VALUES ('lhdisk-aaaaaaaa', 'lhins-aaaaaaaa', 'here', '/disks/web.img', 'raw', 'copy', 4096)",
    "INSERT INTO snapshots (id, owner, server, disk, kind, name, state, point_file, point_format, size_bytes, tags, created_ms) \
     VALUES ('lhsnap-aaaaaaaa', 'acct_aaaaaaaaaaaa', 'lhins-aaaaaaaa', 'lhdisk-aaaaaaaa', 'user', 'first', 'normal', \
     'point-lhsnap-aaaaaaaa.raw', 'raw', 4096, '[]', 6)",
    "INSERT INTO snapshots (id, owner, server, disk, kind, name, state, point_file, point_format, size_bytes, tags, created_ms) \
     VALUES ('lhsnap-bbbbbbbb', 'acct_aaaaaaaaaaaa', 'lhins-aaaaaaaa', 'lhdisk-aaaaaaaa', 'safety', 'before', 'normal', \
     'point-lhsnap-bbbbbbbb.raw', 'raw', 4096, '[]', 7)",
    "INSERT INTO safety_points (job, safety) VALUES ('job_aaaaaaaaaaaaaaaa', 'lhsnap-bbbbbbbb')",
];

fn check(open: impl Fn(&[backout_store::Migration]) -> Store) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let earlier = open(&MIGRATIONS[..1]);
        earlier
            .write::<_, Error>(|tx| {
                for sql in EARLIER {
                    tx.execute(sql, &[])?;
                }
                Ok(())
            })
            .await
            .unwrap();
        drop(earlier);
        let store = open(MIGRATIONS);
        store
            .read::<_, Error>(|tx| {
                let owner: AccountId = "acct_aaaaaaaaaaaa".parse().unwrap();
                let server = persistence::find_server(tx, &owner, "web")?.unwrap();
                assert_eq!(server.disk.head.to_str(), Some("/disks/web.img"));
                assert!(!server.made && server.machine.is_none() && server.schedule.is_none());
                let (total, disks) =
                    persistence::list_disks(tx, &owner, &DiskFilter::default(), PAGE)?;
                assert_eq!((total, disks.len()), (1, 1));
                assert_eq!(
                    (disks[0].usage, disks[0].state, disks[0].name.as_str()),
                    (Usage::System, DiskState::Attached, "web")
                );
                let users = SnapshotFilter {
                    usage: Some(Usage::System),
                    safety: Some(false),
                    ..SnapshotFilter::default()
                };
                let (total, points) = persistence::list_snapshots(tx, &owner, &users, PAGE)?;
                assert_eq!((total, points.len()), (1, 1));
                assert_eq!(points[0].subject, Subject::Server(server.id.clone()));
                let job = "job_aaaaaaaaaaaaaaaa".parse().unwrap();
                let safety = persistence::safety_point_of(tx, &job)?.unwrap();
                assert_eq!(safety.kind, SnapshotKind::Safety);
                assert_eq!(persistence::points_of(tx, &points[0].subject)?.len(), 2);
                Ok(())
            })
            .await
            .unwrap();
    });
}

#[test]
fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    check(|migrations| Store::open_sqlite(&folder.path().join("state.db"), migrations).unwrap());
}

#[test]
fn postgres() {
    let server = PrivatePostgres::start();
    let url = server.database("migrations");
    check(|migrations| Store::open_postgres(&url, 2, migrations).unwrap());
}
