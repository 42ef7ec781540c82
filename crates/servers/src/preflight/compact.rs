//! Judging the shortening of a chain of layers.

use backout_core::plan::Estimate;
use backout_disks::DriverKind;
use backout_machines::{Machines, State};

use super::{Checked, DiskFacts, Target, holder_names, look};
use crate::model::Power;
use crate::refusal::Refusal;

/// [`look`], with the bytes that one image of all layers takes. Blocks on
/// files, and reads the tables of every layer.
#[must_use]
pub fn look_flat(target: &Target, machines: &Machines) -> DiskFacts {
    let volume = &target.volume;
    let mut facts = look(target, machines, None);
    facts.copy_bytes = backout_disks::driver(volume.driver)
        .space_needed_flat(&volume.spec())
        .ok();
    facts
}

/// Judges the shortening of the chain of layers under a disk.
#[must_use]
pub fn compact(target: &Target, facts: DiskFacts) -> Checked {
    let mut checked = Checked::default();
    checked.target("compact", target);
    let nothing = |why| Refusal::DiskUsage {
        action: "compact",
        disk: target.volume.id.clone(),
        why,
    };
    checked.block_if(target.volume.driver != DriverKind::Qcow2, || {
        nothing("its driver keeps every restore point as a file of its own: there is nothing to do")
    });
    let DiskFacts {
        head,
        holders,
        machine,
        copy_bytes,
        free_bytes,
        ..
    } = facts;
    match head {
        None => checked.elsewhere(&target.node),
        Some(Ok(head)) => checked.block_if(head.layers <= 1, || {
            nothing("it is one file that is built on no other: there is nothing to do")
        }),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    let lives = matches!(machine, Some(Ok(State::On { .. })));
    checked.machine(machine);
    let in_use = |holders: String| Refusal::InUse {
        path: target.volume.head.display().to_string(),
        holders,
    };
    if !holders.is_empty() {
        checked.blockers.push(in_use(holder_names(&holders)));
    } else if let Some(server) = &target.host {
        // What the user's own command started may open the disk at any time.
        checked.block_if(
            !lives && server.machine.is_none() && server.power == Power::Running,
            || in_use(format!("server {}, which runs", server.name)),
        );
    }
    checked.space(&target.volume, copy_bytes, free_bytes);
    // The driver's other work is done in constant time, this is not.
    checked.estimate = Estimate {
        copy_bytes,
        space_bytes: copy_bytes,
        constant_time: false,
    };
    checked
}
