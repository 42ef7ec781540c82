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
