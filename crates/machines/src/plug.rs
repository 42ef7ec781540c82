//! What is done to the disks of a running machine, over its monitor.

use std::path::Path;
use std::time::{Duration, Instant};

use backout_disks::{Format, Progress};
use qapi::{Any, qmp};
use serde_json::json;

use crate::command_line::{self, port};
use crate::error::{Error, Result};
use crate::model::{DATA_VOLUMES_MAX, Volume};
use crate::nodes::{self, Below, device, top_node};
use crate::qmp::{
    BlockdevAdd, BlockdevReopen, DeviceAdd, Monitor, QueryBlock, QueryNamedBlockNodes, QueryPci,
};

/// How often something is asked that cannot be waited for.
const TICK: Duration = Duration::from_millis(20);

/// After what time a guest is asked again for a disk. One that is just booting
/// does not hear the first call; one that hears two within 5 s takes the second
/// as a no.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// How long an image may be in use after what used it is gone.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the image that a device has.
struct Top {
    /// Its block node.
    node: String,
    /// How many layers are below it.
    layers_below: u64,
}

/// The image that the device of volume `name` has; `None` without the device.
fn top(monitor: &mut Monitor, name: &str) -> Result<Option<Top>> {
    let blocks = monitor.run("look at the disks of", &QueryBlock(json!({})))?;
    let part = format!("/peripheral/{}/", device(name));
    for block in blocks.as_array().into_iter().flatten() {
        let qdev = block.get("qdev").and_then(Any::as_str).unwrap_or_default();
        // Its own name, or that of what is inside it.
        if qdev != device(name) && !format!("{qdev}/").contains(&part) {
            continue;
        }
        let inserted = block.get("inserted");
        let node = inserted
            .and_then(|inserted| inserted.get("node-name"))
            .and_then(Any::as_str);
        let layers_below = inserted
            .and_then(|inserted| inserted.get("backing_file_depth"))
            .and_then(Any::as_u64);
        if let (Some(node), Some(layers_below)) = (node, layers_below) {
            return Ok(Some(Top {
                node: node.to_owned(),
                layers_below,
            }));
        }
    }
    Ok(None)
}

fn must_top(monitor: &mut Monitor, id: &str, what: &'static str, volume: &Volume) -> Result<Top> {
    top(monitor, &volume.name)?.ok_or_else(|| Error::State {
        id: id.to_owned(),
        what,
        why: format!("no disk {} is plugged in; attach it", volume.name),
    })
}

/// Names of all block nodes.
fn nodes(monitor: &mut Monitor) -> Result<Vec<String>> {
    let flat = QueryNamedBlockNodes(json!({ "flat": true }));
    let found = monitor.run("look at the disks of", &flat)?;
    Ok(found
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node.get("node-name")?.as_str())
        .map(str::to_owned)
        .collect())
}

/// Closes the images that nothing uses: QEMU holds what it was once given until
/// it is told otherwise, and refuses for what is in use.
pub(crate) fn sweep(monitor: &mut Monitor) -> Result<()> {
    let mut ours = nodes(monitor)?;
    ours.retain(|node| nodes::is_ours(node));
    // A file is in use as long as its image is.
    ours.sort_by_key(|node| node.starts_with('f'));
    for node_name in ours {
        match monitor.run("tidy up", &qmp::blockdev_del { node_name }) {
            Ok(_) | Err(Error::Refused { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Closes what nothing uses, and sees to it that `node` is closed: what used it
/// lets go of it a moment after it is gone itself.
fn close(monitor: &mut Monitor, id: &str, what: &'static str, node: &str) -> Result<()> {
    let until = Instant::now() + CLOSE_PATIENCE;
    loop {
        sweep(monitor)?;
        let there = nodes(monitor)?;
        if !there
            .iter()
            .any(|n| n == node || *n == nodes::file_node(node))
        {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::State {
                id: id.to_owned(),
                what,
                why: format!("QEMU still uses the image {node}; try again"),
            });
        }
        std::thread::sleep(TICK);
    }
}

/// Opens the image of `volume`, unless that was done.
fn open(
    monitor: &mut Monitor,
    what: &'static str,
    volume: &Volume,
    below: Below,
) -> Result<String> {
    let node = top_node(&volume.path)?;
    let there = nodes(monitor)?;
    if !there.contains(&nodes::file_node(&node)) {
        monitor.run(what, &BlockdevAdd(nodes::file(volume)?))?;
    }
    if !there.contains(&node) {
        monitor.run(what, &BlockdevAdd(nodes::image(volume, below)?))?;
    }
    Ok(node)
}

/// QEMU goes by what is open, not by names, except where it opens a file anew
/// by the name that it once had. So what was written to is not left to become
/// a layer by itself: the layer is opened by its present name, for reading, and
/// takes the place of that.
pub(crate) fn switch_head(
    monitor: &mut Monitor,
    id: &str,
    volume: &Volume,
    layer: &Path,
) -> Result<()> {
    const WHAT: &str = "switch a disk of";
    let refuse = |why: String| Error::State {
        id: id.to_owned(),
        what: WHAT,
        why,
    };
    if volume.format != Format::Qcow2 {
        return Err(refuse(format!(
            "{} is {}, and only qcow2 has layers; take a copy of it instead",
            volume.name, volume.format
        )));
    }
    let now = must_top(monitor, id, WHAT, volume)?;
    let (head, old) = (top_node(&volume.path)?, top_node(layer)?);
    let written_to_layer = now.node == old;
    if !written_to_layer && now.node != head {
        return Err(refuse(format!(
            "it writes neither to {:?} nor to {layer:?}; stop it, and start it again",
            volume.path
        )));
    }
    if !written_to_layer && !nodes(monitor)?.contains(&old) {
        return Ok(());
    }
    if monitor.run(WHAT, &qmp::query_status {})?.running {
        return Err(refuse("it is not paused; pause it first".to_owned()));
    }
    if written_to_layer {
        let overlay = open(monitor, WHAT, volume, Below::Nothing)?;
        let node = now.node;
        let snapshot = qmp::BlockdevSnapshot { node, overlay };
        monitor.run(WHAT, &qmp::blockdev_snapshot(snapshot))?;
    }
    let below = nodes::layer_node(layer)?;
    if !nodes(monitor)?.contains(&below) {
        monitor.run(WHAT, &BlockdevAdd(nodes::layer(layer)?))?;
    }
    let image = nodes::image(volume, Below::Node(&below))?;
    let options = json!({ "options": [image] });
    monitor.run(WHAT, &BlockdevReopen(options))?;
    close(monitor, id, WHAT, &old)
}

pub(crate) fn stream(
    monitor: &mut Monitor,
    id: &str,
    volume: &Volume,
    progress: &dyn Progress,
) -> Result<()> {
    const WHAT: &str = "shorten the chain of a disk of";
    let job_id = format!("stream-{}", volume.name);
    let mut cancelling = false;
    loop {
        let jobs = monitor.run(WHAT, &qmp::query_jobs {})?;
        let Some(job) = jobs.into_iter().find(|job| job.id == job_id) else {
            let now = must_top(monitor, id, WHAT, volume)?;
            if now.layers_below == 0 {
                return sweep(monitor);
            }
            if cancelling || progress.cancelled() {
                return Err(Error::Cancelled { id: id.to_owned() });
            }
            begin(monitor, WHAT, &job_id, now.node)?;
            continue;
        };
        if job.status == qmp::JobStatus::concluded {
            // Only now may it be forgotten: its end was read.
            monitor.run(WHAT, &qmp::job_dismiss { id: job_id.clone() })?;
            match job.error {
                Some(why) if !cancelling => return Err(of_job(id, WHAT, volume, why)),
                // Cancelled; or done, which the chain tells.
                _ => continue,
            }
        }
        progress.at(
            u64::try_from(job.current_progress).unwrap_or_default(),
            u64::try_from(job.total_progress).unwrap_or_default(),
        );
        if !cancelling && progress.cancelled() {
            cancelling = true;
            let cancel = qmp::block_job_cancel {
                device: job_id.clone(),
                force: None,
            };
            match monitor.run(WHAT, &cancel) {
                // It has just ended.
                Ok(_) | Err(Error::Refused { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        std::thread::sleep(TICK);
    }
}

fn begin(monitor: &mut Monitor, what: &'static str, job_id: &str, node: String) -> Result<()> {
    monitor.run(
        what,
        &qmp::block_stream {
            device: node,
            job_id: Some(job_id.to_owned()),
            // It stays on the list until its end was read, also by the one who
            // comes after a crash.
            auto_dismiss: Some(false),
            auto_finalize: Some(true),
            backing_file: None,
            backing_mask_protocol: None,
            base: None,
            base_node: None,
            bottom: None,
            filter_node_name: None,
            on_error: None,
            speed: None,
        },
    )?;
    Ok(())
}

fn of_job(id: &str, what: &'static str, volume: &Volume, why: String) -> Error {
    if why.contains("No space left") {
        return Error::io(
            "shorten the chain of",
            &volume.path,
            std::io::Error::from(std::io::ErrorKind::StorageFull),
        );
    }
    Error::Refused {
        id: id.to_owned(),
        what,
        why,
    }
}

/// What is there may be about to go: QEMU tells nobody that a [`detach`] which
/// failed is pending. When it has gone, its image may be open yet, and is used
/// again.
pub(crate) fn attach(monitor: &mut Monitor, id: &str, volume: &Volume) -> Result<()> {
    const WHAT: &str = "plug a disk into";
    let node = top_node(&volume.path)?;
    if plugged(monitor, &volume.name)? {
        let now = top(monitor, &volume.name)?;
        if now.is_some_and(|now| now.node == node) {
            return Ok(());
        }
        return Err(Error::State {
            id: id.to_owned(),
            what: WHAT,
            why: format!(
                "another file is plugged in as {}; detach that first",
                volume.name
            ),
        });
    }
    let bus = free_port(monitor)?.ok_or_else(|| Error::State {
        id: id.to_owned(),
        what: WHAT,
        why: format!("all {DATA_VOLUMES_MAX} slots are taken; detach a disk first"),
    })?;
    open(monitor, WHAT, volume, Below::AsWritten)?;
    let mut disk = command_line::disk(&volume.name, &node);
    disk["bus"] = bus.into();
    let added = monitor.run(WHAT, &DeviceAdd(disk));
    if let Err(Error::Refused { .. }) = added {
        sweep(monitor)?;
    }
    added.map(drop)
}

/// A slot that nothing is in.
fn free_port(monitor: &mut Monitor) -> Result<Option<String>> {
    let buses = monitor.run("look at the slots of", &QueryPci(json!({})))?;
    let is_taken = |bus: &str| {
        buses
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|root| root.get("devices")?.as_array())
            .flatten()
            .filter(|device| device.get("qdev_id").and_then(Any::as_str) == Some(bus))
            .any(|device| {
                device
                    .get("pci_bridge")
                    .and_then(|bridge| bridge.get("devices")?.as_array())
                    .is_some_and(|devices| !devices.is_empty())
            })
    };
    Ok((0..DATA_VOLUMES_MAX).map(port).find(|bus| !is_taken(bus)))
}

/// Whether there is a device of that volume.
fn plugged(monitor: &mut Monitor, name: &str) -> Result<bool> {
    let list = qmp::qom_list {
        path: "/machine/peripheral".to_owned(),
    };
    let found = monitor.run("look at the disks of", &list)?;
    Ok(found.iter().any(|child| child.name == device(name)))
}

/// QEMU only passes on a request, which stays with it when the guest does not
/// act on it: the device goes when the guest lets go later, or is reset.
pub(crate) fn detach(
    monitor: &mut Monitor,
    id: &str,
    name: &str,
    image: Option<&Path>,
    patience: Duration,
) -> Result<()> {
    const WHAT: &str = "unplug a disk of";
    let until = Instant::now() + patience;
    let mut ask = Instant::now();
    // Without the device, as a crash may leave it, by the file on record.
    let node = match (top(monitor, name)?, image) {
        (Some(top), _) => Some(top.node),
        (None, Some(image)) => top_node(image).ok(),
        (None, None) => None,
    };
    while plugged(monitor, name)? {
        if Instant::now() >= ask {
            ask = Instant::now() + ASK_AGAIN;
            match monitor.run(WHAT, &qmp::device_del { id: device(name) }) {
                // Asked for before; or gone since.
                Ok(_) | Err(Error::Refused { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        if Instant::now() >= until {
            return Err(Error::Disobeyed {
                id: id.to_owned(),
                what: WHAT,
                why: format!(
                    "the guest did not let go of {name} within {} s; see whether it has booted, \
                     unmount the disk there, and try again. QEMU cannot take the request back: a \
                     guest that restarts by itself loses {name} then; a reboot from here keeps it",
                    patience.as_secs()
                ),
            });
        }
        std::thread::sleep(TICK);
    }
    match node {
        Some(node) => close(monitor, id, WHAT, &node),
        None => sweep(monitor),
    }
}
