//! Which files are disks or images already. No file may be both: an image must
//! not change, and is removed when it is deleted, a disk does change, and is
//! removed with its server.

use std::path::Path;

use backout_core::ids::AccountId;
use backout_store::{Error, Row, Tx, params, query_one};

use super::path_text;
use crate::model::Usage;

/// What a file is already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUser {
    /// Whose that is.
    pub owner: AccountId,
    /// What it is: `disk` or `image`.
    pub kind: &'static str,
    /// The same with its id: `server lhins-k31c771o's disk`.
    pub what: String,
}

/// What the file at `path`, which has no links in it, is on host `node` when it
/// may not become a disk.
pub fn user_of_disk_file(
    tx: &mut dyn Tx,
    node: &str,
    path: &Path,
) -> Result<Option<FileUser>, Error> {
    match disk_at(tx, node, path)? {
        Some(disk) => Ok(Some(disk)),
        None => image_at(tx, node, path, ""),
    }
}

/// As [`user_of_disk_file`], when it may not become an image. An existing file
/// may be several images: only one that Backout made is removed.
pub fn user_of_image_file(
    tx: &mut dyn Tx,
    node: &str,
    path: &Path,
) -> Result<Option<FileUser>, Error> {
    match disk_at(tx, node, path)? {
        Some(disk) => Ok(Some(disk)),
        None => image_at(tx, node, path, "AND made = 1"),
    }
}

fn disk_at(tx: &mut dyn Tx, node: &str, path: &Path) -> Result<Option<FileUser>, Error> {
    let sql = "SELECT owner, usage, id, server FROM disks WHERE node = $1 AND head = $2";
    let Some(row) = query_one(tx, sql, params![node, path_text(path)?])? else {
        return Ok(None);
    };
    let what = match row.parse(1, Usage::parse)? {
        Usage::System => format!("server {}'s disk", row.text(3)?),
        Usage::Data => format!("data disk {}", row.text(2)?),
    };
    user(&row, "disk", what).map(Some)
}

fn image_at(
    tx: &mut dyn Tx,
    node: &str,
    path: &Path,
    and: &str,
) -> Result<Option<FileUser>, Error> {
    let sql = format!(
        "SELECT owner, id FROM blueprints WHERE node = $1 AND file = $2 {and} \
         ORDER BY created_ms, id LIMIT 1"
    );
    let Some(row) = query_one(tx, &sql, params![node, path_text(path)?])? else {
        return Ok(None);
    };
    let what = format!("image {}", row.text(1)?);
    user(&row, "image", what).map(Some)
}

fn user(row: &Row, kind: &'static str, what: String) -> Result<FileUser, Error> {
    Ok(FileUser {
        owner: row.parse(0, |t| t.parse().ok())?,
        kind,
        what,
    })
}
