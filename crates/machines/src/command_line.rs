//! QEMU's command line for a machine.

use serde_json::json;

use crate::error::Result;
use crate::model::{Boot, Capabilities, DATA_VOLUMES_MAX, Machine};
use crate::nodes::{self, Below};

/// Monitor for who acts, in the run folder.
pub(crate) const ACT: &str = "qmp";
/// Monitor for who only looks.
pub(crate) const LOOK: &str = "look";

/// Where the root ports begin on the root bus: QEMU puts what has no address of
/// its own from slot 1 on.
const PORTS_SLOT: usize = 0x10;

/// What keeps a guest that broke out of QEMU from getting further.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Name of a slot to plug into.
pub(crate) fn port(number: usize) -> String {
    format!("port{number}")
}

/// The arguments. Whatever comes from outside is in JSON, or an argument of its
/// own: a comma in a path is just a comma.
pub(crate) fn arguments(machine: &Machine, can: &Capabilities) -> Result<Vec<String>> {
    let spec = &machine.spec;
    let mut args: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| {
        args.push(option.to_owned());
        if !value.is_empty() {
            args.push(value);
        }
    };
    add("-name", machine.id.clone());
    add("-nodefaults", String::new());
    add("-no-user-config", String::new());
    if can.sandbox {
        add("-sandbox", SANDBOX.to_owned());
    }
    add("-display", "none".to_owned());
    add("-machine", "q35".to_owned());
    let kvm = can.accelerator.as_deref() == Some("kvm");
    add("-accel", if kvm { "kvm" } else { "tcg" }.to_owned());
    add("-cpu", if kvm { "host" } else { "max" }.to_owned());
    add("-smp", spec.cpus.to_string());
    add("-m", format!("{}M", spec.memory_bytes >> 20));
    // A guest that sleeps would look like one that is off.
    add("-global", "ICH9-LPC.disable_s3=1".to_owned());
    add("-global", "ICH9-LPC.disable_s4=1".to_owned());
    for monitor in [ACT, LOOK] {
        // In the run folder, which is where it runs: the whole path may be too
        // long for a socket.
        add("-qmp", format!("unix:{monitor},server=on,wait=off"));
    }
    // Into the log that the shim keeps within bounds.
    add("-chardev", "file,id=console,path=/dev/stdout".to_owned());
    add("-serial", "chardev:console".to_owned());
    let device = |value: serde_json::Value| ("-device", value.to_string());
    let (option, value) = device(json!({ "driver": "virtio-rng-pci" }));
    add(option, value);
    match &spec.boot {
        Boot::Disk => {
            // Boot loaders of ready-made images want a screen, if nobody looks.
            let (option, value) = device(json!({ "driver": "VGA" }));
            add(option, value);
        }
        Boot::Kernel {
            kernel,
            initrd,
            append,
        } => {
            add("-kernel", kernel.display().to_string());
            if let Some(initrd) = initrd {
                add("-initrd", initrd.display().to_string());
            }
            if !append.is_empty() {
                add("-append", append.clone());
            }
        }
    }
    let forwards: Vec<_> = spec
        .forwards
        .iter()
        .map(|f| json!({ "str": format!("tcp:127.0.0.1:{}-:{}", f.host, f.guest) }))
        .collect();
    // Restricted: else the guest would reach what listens on this host's
    // loopback, Backout included.
    let mut net = json!({ "type": "user", "id": "net0", "restrict": true });
    if !forwards.is_empty() {
        net["hostfwd"] = forwards.into();
    }
    add("-netdev", net.to_string());
    let (option, value) = device(json!({
        "driver": "virtio-net-pci",
        "netdev": "net0",
        "mac": mac(&machine.id),
        // It is not booted from.
        "romfile": "",
    }));
    add(option, value);
    for number in 0..DATA_VOLUMES_MAX {
        let (slot, function) = (PORTS_SLOT + number / 8, number % 8);
        let (option, value) = device(json!({
            "driver": "pcie-root-port",
            "id": port(number),
            "bus": "pcie.0",
            "chassis": number + 1,
            "addr": format!("{slot:#x}.{function}"),
            "multifunction": function == 0,
            // Virtio needs no I/O ports, and there are not enough for so many.
            "io-reserve": 0,
        }));
        add(option, value);
    }
    for (at, volume) in machine.volumes.iter().enumerate() {
        add("-blockdev", nodes::file(volume)?.to_string());
        let image = nodes::image(volume, Below::AsWritten)?;
        add("-blockdev", image.to_string());
        let mut disk = disk(&volume.name, &nodes::top_node(&volume.path)?);
        match at.checked_sub(1) {
            // The system disk cannot be unplugged.
            None => disk["bootindex"] = 1.into(),
            Some(number) => disk["bus"] = port(number).into(),
        }
        let (option, value) = device(disk);
        add(option, value);
    }
    Ok(args)
}

/// Options of the device of a volume.
pub(crate) fn disk(name: &str, node: &str) -> serde_json::Value {
    json!({
        "driver": "virtio-blk-pci",
        "id": nodes::device(name),
        "drive": node,
        "serial": name,
    })
}

/// A hardware address of QEMU's own range that is always the same for a
/// machine, so that the guest finds the card that it knows. (FNV-1a)
fn mac(id: &str) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in id.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let [_, a, b, c] = hash.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}
