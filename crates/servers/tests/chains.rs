//! A qcow2 chain does not grow without end.

use backout_core::code::Code;
use backout_disks::{DriverKind, FileId, Format, HeadFacts, MAX_LAYERS};
use backout_servers::model::{Power, PowerCommands, Server, Volume};
use backout_servers::preflight::{DiskFacts, Target, create_snapshot};

fn facts(layers: u32) -> DiskFacts {
    DiskFacts {
        head: Some(Ok(HeadFacts {
            size_bytes: 1 << 30,
            allocated_bytes: 0,
            format: Format::Qcow2,
            layers,
            id: FileId {
                dev: 1,
                ino: 2,
                born_ns: None,
            },
        })),
        holders: Vec::new(),
        machine: None,
        point: None,
        copy_bytes: Some(0),
        free_bytes: Some(1 << 30),
    }
}

#[test]
fn the_last_layer_is_refused_before_it_is_tried() {
    let server = Server {
        id: "lhins-00000000".parse().unwrap(),
        owner: "acct_000000000000".parse().unwrap(),
        name: "web".into(),
        node: "here".into(),
        power: Power::Stopped,
        commands: PowerCommands::default(),
        disk: Volume {
            id: "lhdisk-00000000".parse().unwrap(),
            head: "/nowhere/web.qcow2".into(),
            format: Format::Qcow2,
            driver: DriverKind::Qcow2,
            size_bytes: 1 << 30,
        },
        machine: None,
        made: false,
        bundle: None,
        blueprint: None,
        isolated: None,
        schedule: None,
        latest: None,
        created: backout_core::time::Timestamp(0),
        tags: Vec::new(),
    };
    let target = Target::system(server, None);
    assert!(
        create_snapshot(&target, facts(MAX_LAYERS - 1))
            .view()
            .passed()
    );
    let view = create_snapshot(&target, facts(MAX_LAYERS)).view();
    assert_eq!(view.blockers.len(), 1);
    assert_eq!(view.blockers[0].code, Code::ChainFull);
}
