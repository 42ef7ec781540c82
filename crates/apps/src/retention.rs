//! Which versions may be forgotten. Pure.

use std::collections::BTreeSet;

use backout_core::ids::VersionId;
use backout_workloads::PackageHash;

use crate::model::Version;

/// How many of an application's versions are kept, the newest ones. With some
/// kilobytes a version, and packages kept once however many versions have them,
/// that is a year of two deploys a week.
pub const VERSIONS_KEPT: usize = 100;

/// The versions that no rollback may need: those beyond the `keep` newest of
/// those that may be gone back to, but none that is `used` (that runs, or that
/// an order goes from or to).
///
/// Barred ones do not count among the newest, so that they never push out one
/// that helps; they go when they are older than all that are kept.
#[must_use]
pub fn removable<'a>(
    versions: &'a [Version],
    used: &BTreeSet<VersionId>,
    keep: usize,
) -> Vec<&'a Version> {
    let mut useful: Vec<u64> = versions
        .iter()
        .filter(|v| v.barred.is_none())
        .map(|v| v.number)
        .collect();
    useful.sort_unstable_by(|a, b| b.cmp(a));
    let Some(oldest_kept) = useful.get(keep.saturating_sub(1)).filter(|_| keep > 0) else {
        return Vec::new();
    };
    versions
        .iter()
        .filter(|v| v.number < *oldest_kept && !used.contains(&v.id))
        .collect()
}

/// The packages that versions need: what is not among them may be forgotten.
pub fn packages<'a>(versions: impl IntoIterator<Item = &'a Version>) -> BTreeSet<PackageHash> {
    versions
        .into_iter()
        .filter_map(|v| v.release.artifact.package().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Artifact, Release};
    use backout_core::time::Timestamp;

    fn version(number: u64, barred: bool) -> Version {
        Version {
            id: format!("00000000-0000-4000-8000-{number:012}")
                .parse()
                .unwrap(),
            application: "00000000-0000-4000-8000-000000000000".parse().unwrap(),
            number,
            release: Release {
                artifact: Artifact::Image {
                    name: "shop".into(),
                    id: None,
                },
                command: vec![],
                components: Default::default(),
                env: Default::default(),
                secrets: vec![],
                files: vec![],
                replicas: 1,
                cpu_millis: None,
                memory_bytes: None,
                liveness: None,
                readiness: None,
                after_start: None,
                before_stop: None,
                grace_ms: 0,
                port: None,
                scaling: None,
                kept: Default::default(),
            },
            label: String::new(),
            barred: barred.then(|| "bad".to_owned()),
            created: Timestamp(0),
        }
    }

    #[test]
    fn what_may_be_forgotten() {
        // (barred ones, used ones, how many to keep, what may go), of 1 to 5.
        for (barred, used, keep, gone) in [
            (vec![], vec![], 5, vec![]),
            (vec![], vec![], 9, vec![]),
            (vec![], vec![], 2, vec![1, 2, 3]),
            (vec![], vec![1, 3], 2, vec![2]),
            // Barred ones are not counted, and stay while they are young.
            (vec![4, 5], vec![], 2, vec![1]),
            (vec![2], vec![], 2, vec![1, 2, 3]),
            (vec![1, 2, 3, 4, 5], vec![], 1, vec![]),
            // None to keep would be a mistake.
            (vec![], vec![], 0, vec![]),
        ] {
            let versions: Vec<Version> = (1..=5).map(|n| version(n, barred.contains(&n))).collect();
            let used: BTreeSet<VersionId> = versions
                .iter()
                .filter(|v| used.contains(&v.number))
                .map(|v| v.id.clone())
                .collect();
            let found: Vec<u64> = removable(&versions, &used, keep)
                .iter()
                .map(|v| v.number)
                .collect();
            assert_eq!(found, gone, "barred {barred:?} used {used:?} keep {keep}");
        }
        assert!(packages(&[version(1, false)]).is_empty());
    }
}
