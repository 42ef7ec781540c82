//! What this host can do, found out without a server.

use std::path::Path;

use backout_core::size::Size;
use backout_disks::{Format, choose, probe};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure, Outcome};

/// Tries what can be done in `folder`.
pub(crate) fn look(folder: &Path) -> Outcome<Value> {
    let found = probe(folder).map_err(|e| Failure::coded(Exit::Failed, e.code(), e.to_string()))?;
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let driver = |format| choose(&found, format, None).map_or("none", |d| d.as_str());
    let check = |name: String, good: bool, message: String, fix: &str| {
        json!({
            "name": name,
            "status": if good { "ok" } else { "warn" },
            "message": message,
            "fix": if good { None } else { Some(fix) },
        })
    };
    let machines = backout_machines::capabilities(None);
    let space = format!(
        "{} of {} are free",
        Size(found.free_bytes),
        Size(found.total_bytes)
    );
    let checks = [
        check(
            format!("folder {}", path.display()),
            true,
            format!("{}, {space}", found.filesystem),
            "",
        ),
        check(
            "raw disks".to_owned(),
            found.reflink,
            format!("snapshots by {}", driver(Format::Raw)),
            "this file system shares no blocks, so a snapshot takes longer for a larger disk; for constant time put the disks on XFS (mkfs.xfs -m reflink=1) or btrfs, or add them with --driver qcow2",
        ),
        check(
            "qcow2 disks".to_owned(),
            driver(Format::Qcow2) != "copy",
            format!("snapshots by {}", driver(Format::Qcow2)),
            "overlays need qemu-img: install qemu-utils",
        ),
        check(
            "qemu-img".to_owned(),
            found.qemu_img.is_some(),
            found
                .qemu_img
                .clone()
                .unwrap_or_else(|| "not installed".to_owned()),
            "install qemu-utils",
        ),
        check(
            "machines".to_owned(),
            machines.qemu.is_some(),
            match (&machines.qemu, &machines.qemu_why) {
                (Some(version), _) => format!("QEMU {version}"),
                (None, why) => why.clone().unwrap_or_default(),
            },
            "servers with a machine of their own need QEMU: install qemu-system-x86",
        ),
        check(
            "acceleration".to_owned(),
            machines.accelerator.as_deref() == Some("kvm"),
            match (&machines.accelerator, &machines.kvm_why) {
                (Some(_), Some(why)) => format!("machines are emulated by software: {why}"),
                (Some(_), None) => "KVM; a trial guest ran on it".to_owned(),
                (None, _) => "no QEMU".to_owned(),
            },
            "machines are much faster on a host with hardware virtualisation whose /dev/kvm works",
        ),
    ];
    Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "healthy": true, "checks": checks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_at_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let report = look(folder.path()).unwrap();
        assert_eq!(report["checks"].as_array().map(Vec::len), Some(6));
        let failure = look(&folder.path().join("none")).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("BO0020"));
    }
}
