//! What is taken, what is gone, and what is not what it was: the edges at which
//! a call or a job has to say no, or to go on all the same.

use backout_core::ids::{JobId, OsEntropy};
use backout_core::time::Timestamp;
use backout_servers::model::{Holding, OperationKind, Power, SnapshotKind};
use backout_servers::persistence::{Page, SnapshotFilter};
use backout_servers::{Refusal, preflight};

use crate::stage::{SAFETY_DAYS, Stage, caller, owner};

fn stage() -> (tempfile::TempDir, Stage) {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::plain(folder.path());
    (folder, stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_safety_point_of_a_reset_is_kept_as_long_as_others() {
    let (_folder, stage) = stage();
    stage.add("web", false).await;
    stage.image("base").await;
    let reset = stage.servers.reset(&caller(), "web", Some("base")).await;
    stage.finish(&reset.unwrap()).await;
    let filter = SnapshotFilter {
        safety: Some(true),
        ..SnapshotFilter::default()
    };
    let page = Page {
        offset: 0,
        limit: 10,
    };
    let (_, points) = stage
        .servers
        .snapshots(&owner(), filter, page)
        .await
        .unwrap();
    let [(point, _)] = points.as_slice() else {
        unreachable!("{points:?}");
    };
    assert_eq!(point.kind, SnapshotKind::Safety);
    let keep_ms = i64::from(SAFETY_DAYS) * 24 * 3_600_000;
    assert_eq!(point.expires, Some(Timestamp(point.created.0 + keep_ms)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_creation_waits_for_a_person_and_says_so() {
    let (_folder, stage) = stage();
    let mut server = stage.add("web", false).await;
    server.power = Power::Creating;
    let target =
        |holding: &Holding| preflight::Target::system(server.clone(), Some(holding.clone()));
    for held in [false, true] {
        let holding = Holding {
            job: JobId::random(&OsEntropy),
            kind: Some(OperationKind::Adopt),
            held,
        };
        let facts = preflight::DiskFacts::elsewhere();
        for judged in [
            preflight::start(&server, Some(&holding), None),
            preflight::rename(&server, Some(&holding)),
            preflight::create_snapshot(&target(&holding), facts),
        ] {
            let refusal = judged.clear().unwrap_err();
            match &refusal {
                Refusal::ServerCreating(_) => assert!(!held),
                Refusal::ServerBusy {
                    held: true, job, ..
                } => {
                    assert!(held);
                    assert_eq!(*job, holding.job);
                }
                other => unreachable!("{other:?}"),
            }
        }
    }
}
