//! How the images of a machine are given to QEMU.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use backout_disks::Format;
use qapi::Any;
use serde_json::json;

use crate::error::{Error, Result};
use crate::model::Volume;

/// Name of the block node whose file `path` is now: `t<device>-<inode>`. It
/// stays the same when the file is renamed. Node names have at most 31 bytes,
/// so the numbers are in base 36.
pub(crate) fn top_node(path: &Path) -> Result<String> {
    let facts = std::fs::metadata(path).map_err(|e| Error::io("look at the image", path, e))?;
    Ok(format!("t{}-{}", base36(facts.dev()), base36(facts.ino())))
}

/// The node of the file itself, below [`top_node`].
pub(crate) fn file_node(top: &str) -> String {
    format!("f{}", top.trim_start_matches('t'))
}

/// The node of an image that was put below another while the machine ran.
pub(crate) fn layer_node(layer: &Path) -> Result<String> {
    Ok(format!("b{}", top_node(layer)?.trim_start_matches('t')))
}

/// Whether a block node is one that was given by us, and not one that QEMU made
/// for a layer.
pub(crate) fn is_ours(node: &str) -> bool {
    node.starts_with(['t', 'f', 'b']) && node.contains('-')
}

/// Name of the device of a volume.
pub(crate) fn device(name: &str) -> String {
    format!("disk-{name}")
}

/// What is under an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below<'a> {
    /// The layers in its header.
    AsWritten,
    /// Nothing yet: it is to be put onto what a machine writes to.
    Nothing,
    /// This node.
    Node(&'a str),
}

/// Options of the block node of the file of an image, which is a node of its
/// own, and not one that may change between reading and writing by itself: for
/// that QEMU opens the file anew, *by its name*, and by then that may be the
/// name of another file.
pub(crate) fn file(volume: &Volume) -> Result<Any> {
    Ok(json!({
        "driver": "file",
        "node-name": file_node(&top_node(&volume.path)?),
        "filename": volume.path,
        "locking": "on",
        "discard": "unmap",
    }))
}

/// Options of the block node of an image, on [`file`]. The format is never
/// guessed: the bytes of a raw disk are the guest's, and may look like anything.
pub(crate) fn image(volume: &Volume, below: Below) -> Result<Any> {
    let top = top_node(&volume.path)?;
    let mut node = json!({
        "driver": volume.format.as_str(),
        "node-name": top,
        "discard": "unmap",
        // Zeroes that a guest writes take no space, as in its snapshots.
        "detect-zeroes": "unmap",
        "file": file_node(&top),
    });
    if volume.format == Format::Qcow2 {
        match below {
            Below::AsWritten => {}
            Below::Nothing => node["backing"] = Any::Null,
            Below::Node(name) => node["backing"] = name.into(),
        }
    }
    Ok(node)
}

/// Options of the block node of an image that is only ever read.
pub(crate) fn layer(layer: &Path) -> Result<Any> {
    Ok(json!({
        "driver": Format::Qcow2.as_str(),
        "node-name": layer_node(layer)?,
        "read-only": true,
        "file": { "driver": "file", "filename": layer, "locking": "on", "read-only": true },
    }))
}

fn base36(mut number: u64) -> String {
    const DIGITS: [u8; 36] = *b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    loop {
        let digit = usize::try_from(number % 36).unwrap_or_default();
        text.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        number /= 36;
        if number == 0 {
            return text.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_fit_and_follow_the_file() {
        assert_eq!(base36(0), "0");
        assert_eq!(base36(36 * 36 + 35), "10z");
        // Two of the largest numbers, and the two characters between.
        assert!(base36(u64::MAX).len() * 2 + 2 <= 31);
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&a, b"x").unwrap();
        let name = top_node(&a).unwrap();
        std::fs::rename(&a, &b).unwrap();
        assert_eq!(top_node(&b).unwrap(), name);
        std::fs::write(&a, b"x").unwrap();
        assert_ne!(top_node(&a).unwrap(), name);
        assert!(is_ours(&name));
    }
}
