//! Pages of restore points.
//!
//! A page costs the same however many restore points there are:
//!
//! | conditions | rows | total |
//! |---|---|---|
//! | none, or subjects or disks only | a range of an index in the list's order, one for each value, read from the nearer end | `snapshot_counts` |
//! | the same and states, "normal" among them | as before | as before, less those few in the other states |
//! | ids, names, labels, or passing states | those that match, by their index | counted |

use backout_core::ids::AccountId;
use backout_store::rows::{Conditions, Page, count};
use backout_store::{Error, Tx};

use super::counts::counted;
use super::snapshots::{SNAPSHOT_COLUMNS, read_snapshot};
use super::{SnapshotFilter, by_index};
use crate::model::{Snapshot, SnapshotState, Usage};

/// How many values of a condition are read as ranges: as many as the longest
/// list of ids that an operation takes (contract). Twice as many stay below the
/// 500 parts that SQLite puts together.
const RANGES_MAX: usize = 100;

/// One page of an owner's snapshots, newest first, and how many match.
pub fn list_snapshots(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
    page: Page,
) -> Result<(u64, Vec<Snapshot>), Error> {
    if filter.nothing {
        return Ok((0, Vec::new()));
    }
    let few = !filter.ids.is_empty()
        || !filter.names.is_empty()
        || !filter.tags.is_empty()
        || !(filter.subjects.is_empty() || filter.disks.is_empty())
        || filter.subjects.len().max(filter.disks.len()) > RANGES_MAX;
    let passing = !filter.states.is_empty() && !filter.states.contains(&SnapshotState::Normal);
    if few || passing {
        matching(tx, owner, filter, page)
    } else {
        ranges(tx, owner, filter, page)
    }
}

/// The rows that some of the conditions leave over, by an index of those.
fn matching(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
    page: Page,
) -> Result<(u64, Vec<Snapshot>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    let mut tags = filter.tags.as_slice();
    let from = if !filter.ids.is_empty() {
        "snapshots".to_owned()
    } else if !filter.names.is_empty() {
        format!("snapshots{}", by_index(tx, "snapshots_of_name"))
    } else if let Some((first, others)) = tags.split_first() {
        tags = others;
        // Not a join by ON: this order is what is meant.
        let tagged = w.tagged("server_tags", first);
        w.sql.push_str(" AND id = tagged.resource");
        let tagged = tagged.replacen("SELECT", "SELECT DISTINCT", 1);
        format!("({tagged}) tagged CROSS JOIN snapshots")
    } else if !filter.states.is_empty() {
        w.sql.push_str(" AND state <> 'normal'");
        format!("snapshots{}", by_index(tx, "snapshots_unsettled"))
    } else if !filter.subjects.is_empty() {
        format!("snapshots{}", by_index(tx, "snapshots_of_subject"))
    } else {
        format!("snapshots{}", by_index(tx, "snapshots_of_disk"))
    };
    w.sql.push_str(" AND state <> 'deleting'");
    w.one_of("id", filter.ids.iter().map(String::as_str));
    w.one_of("name", filter.names.iter().map(String::as_str));
    w.one_of("subject", filter.subjects.iter().map(String::as_str));
    w.one_of("disk", filter.disks.iter().map(String::as_str));
    w.one_of("usage", filter.usage.iter().map(|u| u.as_str()));
    w.one_of("state", filter.states.iter().map(|s| s.as_str()));
    if let Some(safety) = filter.safety {
        let mark = w.bind(i64::from(safety));
        w.sql.push_str(&format!(" AND safety = {mark}"));
    }
    w.tags("id", "server_tags", tags);
    let total = count(tx, &from, &w)?;
    if page.offset >= total {
        return Ok((total, Vec::new()));
    }
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM {from} WHERE {} \
         ORDER BY created_ms DESC, id LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    let snapshots = rows.iter().map(read_snapshot).collect::<Result<_, _>>()?;
    Ok((total, snapshots))
}

/// The rows of a few ranges, each of which lies in an index as it is listed.
fn ranges(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
    page: Page,
) -> Result<(u64, Vec<Snapshot>), Error> {
    let excluded = excluded(&filter.states);
    let mut total = counted(tx, owner, filter)?;
    if !excluded.is_empty() {
        total = total.saturating_sub(count_passing(tx, owner, filter, &excluded)?);
    }
    if page.offset >= total || page.limit == 0 {
        return Ok((total, Vec::new()));
    }
    let wanted = page.limit.min(total - page.offset);
    let after = total - page.offset - wanted;
    // From the nearer end: what is skipped is walked over.
    let (way, back, skip) = if after < page.offset {
        ("ASC", "DESC", after)
    } else {
        ("DESC", "ASC", page.offset)
    };
    let (index, column, mut values) = if !filter.subjects.is_empty() {
        ("snapshots_of_subject", "subject", filter.subjects.clone())
    } else if !filter.disks.is_empty() {
        ("snapshots_of_disk", "disk", filter.disks.clone())
    } else {
        let usages = filter
            .usage
            .as_ref()
            .map_or(Usage::ALL, std::slice::from_ref);
        let words = usages.iter().map(|u| u.as_str().to_owned()).collect();
        ("snapshots_listing", "usage", words)
    };
    values.sort_unstable();
    values.dedup();
    let kinds: &[u8] = match filter.safety {
        None => &[0, 1],
        Some(false) => &[0],
        Some(true) => &[1],
    };

    let mut w = Conditions::new("owner", owner.as_str());
    w.sql.push_str(" AND state <> 'deleting'");
    for state in &excluded {
        let mark = w.bind(state.as_str());
        w.sql.push_str(&format!(" AND state <> {mark}"));
    }
    if column != "usage" {
        w.one_of("usage", filter.usage.iter().map(|u| u.as_str()));
    }
    let by = by_index(tx, index);
    let mut parts = Vec::new();
    for value in values {
        let mark = w.bind(value);
        for kind in kinds {
            parts.push(format!(
                "SELECT id AS pick, created_ms AS at FROM snapshots{by} \
                 WHERE {} AND {column} = {mark} AND safety = {kind} \
                 ORDER BY created_ms {way}, id {back}",
                w.sql
            ));
        }
    }
    if parts.len() > 1 {
        let up_to = w.bind((skip + wanted).cast_signed());
        let several: Vec<String> = parts
            .iter()
            .map(|one| format!("SELECT pick, at FROM ({one} LIMIT {up_to}) part"))
            .collect();
        parts = vec![format!(
            "SELECT pick, at FROM ({}) parts ORDER BY at {way}, pick {back}",
            several.join(" UNION ALL ")
        )];
    }
    let limit = w.bind(wanted.cast_signed());
    let offset = w.bind(skip.cast_signed());
    let sql = format!(
        "SELECT {SNAPSHOT_COLUMNS} FROM ({} LIMIT {limit} OFFSET {offset}) picked CROSS JOIN snapshots \
         WHERE id = picked.pick ORDER BY created_ms DESC, id",
        parts.concat()
    );
    let rows = tx.query(&sql, &w.params)?;
    let snapshots = rows.iter().map(read_snapshot).collect::<Result<_, _>>()?;
    Ok((total, snapshots))
}

/// The visible states that are not asked for; none when any will do.
fn excluded(asked: &[SnapshotState]) -> Vec<SnapshotState> {
    let visible = SnapshotState::ALL
        .iter()
        .copied()
        .filter(|s| *s != SnapshotState::Deleting);
    visible
        .filter(|s| !asked.is_empty() && !asked.contains(s))
        .collect()
}

/// How many are in one of `states`, which are such as a job works on.
fn count_passing(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &SnapshotFilter,
    states: &[SnapshotState],
) -> Result<u64, Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.sql
        .push_str(" AND state <> 'normal' AND state <> 'deleting'");
    w.one_of("state", states.iter().map(|s| s.as_str()));
    w.one_of("subject", filter.subjects.iter().map(String::as_str));
    w.one_of("disk", filter.disks.iter().map(String::as_str));
    w.one_of("usage", filter.usage.iter().map(|u| u.as_str()));
    if let Some(safety) = filter.safety {
        let mark = w.bind(i64::from(safety));
        w.sql.push_str(&format!(" AND safety = {mark}"));
    }
    let from = format!("snapshots{}", by_index(tx, "snapshots_unsettled"));
    count(tx, &from, &w)
}
