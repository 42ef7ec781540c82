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

/// Whether a block node is the top of an image that was given by us.
pub(crate) fn is_ours(node: &str) -> bool {
    node.starts_with('t') && node.contains('-')
}

/// Name of the device of a volume.
pub(crate) fn device(name: &str) -> String {
    format!("disk-{name}")
}

/// Which layers are under an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// Those in its header.
    AsWritten,
    /// None yet: it is put onto a running machine's image.
    Nothing,
}

/// Options of the block node of an image. The format is never guessed: the
/// bytes of a raw disk are the guest's, and may look like anything.
pub(crate) fn node(volume: &Volume, below: Below) -> Result<Any> {
    let top = top_node(&volume.path)?;
    let mut node = json!({
        "driver": volume.format.as_str(),
        "node-name": top,
        "discard": "unmap",
        // Zeroes that a guest writes take no space, as in its snapshots.
        "detect-zeroes": "unmap",
        "file": {
            "driver": "file",
            "node-name": format!("f{}", top.trim_start_matches('t')),
            "filename": volume.path,
            "locking": "on",
            "discard": "unmap",
            // Once it is a layer it is held open for reading only.
            "auto-read-only": true,
        },
    });
    if below == Below::Nothing
        && volume.format == Format::Qcow2
        && let Some(node) = node.as_object_mut()
    {
        node.insert("backing".to_owned(), Any::Null);
    }
    Ok(node)
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
