//! What stands in the way of making servers and images, and of starting,
//! stopping and giving back.

use backout_core::code::Code;
use backout_core::plan::Estimate;
use backout_disks::DriverKind;
use backout_machines::{Capabilities, Error as MachineError, State};

use super::{
    BACKUPS_PER_DISK_MAX, Checked, Cleared, DiskFacts, METADATA_ONLY, Target, frees, must_stop,
    too_many_backups,
};
use crate::bundles::Bundle;
use crate::model::{Blueprint, BlueprintState, Holding, Power, Server, Subject};
use crate::refusal::Refusal;

/// How many servers an owner may have: each of them is looked at again and
/// again in the background, and is far more than one host runs.
pub const SERVERS_MAX: u64 = 1_000;

/// How many images an owner may have: ten pages of a list, each image a whole
/// disk.
pub const BLUEPRINTS_MAX: u64 = 1_000;

/// How many snapshots a server may have, safety points not counted: one an hour
/// for more than a year. How many an owner may have follows from it, so that
/// nothing more is to be counted when one is taken.
pub const SNAPSHOTS_PER_SERVER_MAX: u64 = 10_000;

/// What a person types for a server: its name, or its id where a shell, or the
/// command line, would take the name apart.
fn typed(server: &Server) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !server.name.starts_with('-') && server.name.chars().all(is_plain) {
        &server.name
    } else {
        server.id.as_str()
    }
}

impl Cleared {
    /// The same proof for another job of the same call, which was judged as a
    /// whole.
    pub(crate) const fn of_same_call(&self) -> Self {
        Self(())
    }
}

impl Checked {
    /// What a change of power asks of a server: that nobody works on it, and
    /// that its state is one of `from`.
    fn in_state(
        &mut self,
        action: &'static str,
        server: &Server,
        holding: Option<&Holding>,
        from: &[Power],
        hint: &'static str,
    ) {
        match (server.power, holding) {
            (Power::Creating, Some(holding)) if holding.held => self
                .blockers
                .push(Refusal::server_busy(&server.id, holding)),
            (Power::Creating, _) => self
                .blockers
                .push(Refusal::ServerCreating(server.id.clone())),
            (_, Some(holding)) => self
                .blockers
                .push(Refusal::server_busy(&server.id, holding)),
            (power, None) => self.block_if(!from.contains(&power), || Refusal::ServerState {
                action,
                server: server.id.clone(),
                power,
                hint: if power.is_passing() {
                    "wait for its job"
                } else {
                    hint
                }
                .into(),
            }),
        }
    }

    /// That it has a way to be started, on a host that can.
    fn startable(&mut self, action: &'static str, server: &Server, host: Option<&Capabilities>) {
        self.block_if(
            server.machine.is_none() && server.commands.start.is_none(),
            || Refusal::ServerState {
                action,
                server: server.id.clone(),
                power: server.power,
                hint: format!(
                    "it has no start command; give it one with: backout servers set {} --start-cmd ...",
                    typed(server)
                )
                .into(),
            },
        );
        if let Some(host) = host.filter(|_| server.machine.is_some()) {
            self.runs_machines(host);
        }
    }

    /// That it has a way to be stopped.
    fn stoppable(&mut self, action: &'static str, server: &Server) {
        self.block_if(!server.can_stop(), || Refusal::ServerState {
            action,
            server: server.id.clone(),
            power: server.power,
            hint: format!(
                "it has no stop command; give it one with: backout servers set {} --stop-cmd ...",
                typed(server)
            )
            .into(),
        });
    }

    fn runs_machines(&mut self, host: &Capabilities) {
        self.block_if(host.qemu.is_none(), || {
            Refusal::Machine(MachineError::NoQemu {
                why: host
                    .qemu_why
                    .clone()
                    .unwrap_or_else(|| "it is not there: install it".to_owned()),
            })
        });
    }

    /// What a disk of `disk_bytes` on host `node` asks of the image that it is
    /// to be made of.
    fn image(&mut self, blueprint: &Blueprint, node: &str, disk_bytes: u64) {
        self.block_if(blueprint.state != BlueprintState::Normal, || {
            Refusal::BlueprintState {
                blueprint: blueprint.id.clone(),
                state: blueprint.state,
            }
        });
        self.block_if(blueprint.node != node, || {
            Refusal::Invalid(format!(
                "make a disk on host {node} of image {}: it is on host {}; add it on host {node} as well",
                blueprint.id, blueprint.node
            ))
        });
        self.block_if(blueprint.size_bytes > disk_bytes, || {
            Refusal::Disk(backout_disks::Error::ImageTooLarge {
                path: blueprint.file.clone(),
                image_bytes: blueprint.size_bytes,
                disk_bytes,
            })
        });
    }

    /// What copies of `copy_bytes` in all ask of the file system of `path`.
    fn room(&mut self, path: &std::path::Path, copy_bytes: u64, free_bytes: Option<u64>) {
        self.estimate = Estimate {
            copy_bytes: Some(copy_bytes),
            space_bytes: Some(copy_bytes),
            constant_time: false,
        };
        if let Some(free_bytes) = free_bytes {
            self.block_if(copy_bytes > free_bytes, || Refusal::NoSpace {
                path: path.display().to_string(),
                needed_bytes: copy_bytes,
                free_bytes,
            });
        }
    }
}

/// Refuses `more` of what `used` and `max` count.
#[must_use]
pub fn quota(what: &'static str, used: u64, more: u64, max: u64) -> Option<Refusal> {
    (used.saturating_add(more) > max).then_some(Refusal::Quota {
        what,
        max,
        hint: "remove what is not needed any more",
    })
}

/// That `subject`, which has `used` restore points, may have no more.
#[must_use]
pub fn too_many_points(subject: &Subject, used: u64) -> Option<Refusal> {
    match subject {
        Subject::Server(_) => quota("snapshots of one server", used, 1, SNAPSHOTS_PER_SERVER_MAX),
        Subject::Disk(_) => (used >= BACKUPS_PER_DISK_MAX).then(too_many_backups),
    }
}

/// Judges the start of a server. `host` is what its host can do, when that is
/// known.
#[must_use]
pub fn start(server: &Server, holding: Option<&Holding>, host: Option<&Capabilities>) -> Checked {
    let mut checked = Checked::default();
    let (action, hint) = ("start", "only a stopped server can be started");
    checked.in_state(action, server, holding, &[Power::Stopped], hint);
    checked.startable(action, server, host);
    checked
}

/// Judges the stop of a server.
#[must_use]
pub fn stop(server: &Server, holding: Option<&Holding>) -> Checked {
    let mut checked = Checked::default();
    let (action, hint) = ("stop", "only a running server can be stopped");
    checked.in_state(action, server, holding, &[Power::Running], hint);
    checked.stoppable(action, server);
    checked
}

/// Judges the reboot of a server; `host` as for [`start`].
#[must_use]
pub fn reboot(server: &Server, holding: Option<&Holding>, host: Option<&Capabilities>) -> Checked {
    let mut checked = Checked::default();
    let (action, hint) = ("reboot", "only a running server can be rebooted; start it");
    checked.in_state(action, server, holding, &[Power::Running], hint);
    checked.stoppable(action, server);
    checked.startable(action, server, host);
    checked
}

/// Judges giving a server back.
#[must_use]
pub fn isolate(server: &Server, holding: Option<&Holding>) -> Checked {
    let mut checked = Checked::default();
    let (action, hint) = (
        "isolate",
        "it was given back or never came up; terminate it",
    );
    let from = [Power::Running, Power::Stopped];
    checked.in_state(action, server, holding, &from, hint);
    if server.power == Power::Running {
        checked.stoppable(action, server);
        checked.warn(Code::ForcedStop, "stops the server, by force if need be");
    }
    checked
}

/// Judges the removal of a server.
#[must_use]
pub fn terminate(server: &Server, holding: Option<&Holding>) -> Checked {
    let mut checked = Checked::default();
    let from = [Power::Isolated, Power::LaunchFailed];
    checked.in_state("terminate", server, holding, &from, "isolate it first");
    if server.made {
        checked.warn(
            Code::NotReversible,
            "the disk was made here: it is removed for good, with its restore points",
        );
    }
    checked.estimate = METADATA_ONLY;
    checked
}

/// Judges renaming a server.
#[must_use]
pub fn rename(server: &Server, holding: Option<&Holding>) -> Checked {
    let mut checked = Checked::default();
    match (server.power, holding) {
        (Power::Creating, Some(holding)) if holding.held => checked
            .blockers
            .push(Refusal::server_busy(&server.id, holding)),
        (Power::Creating, _) => checked
            .blockers
            .push(Refusal::ServerCreating(server.id.clone())),
        (_, Some(holding)) => checked
            .blockers
            .push(Refusal::server_busy(&server.id, holding)),
        (_, None) => {}
    }
    checked
}

/// What was looked at before servers are made.
#[derive(Debug)]
pub struct Making<'a> {
    /// The host they are made on.
    pub node: &'a str,
    /// Their size.
    pub bundle: &'a Bundle,
    /// Their image.
    pub blueprint: &'a Blueprint,
    /// How many.
    pub count: u64,
    /// A name of theirs that an existing server has.
    pub taken: Option<String>,
    /// How many servers the owner has.
    pub used: u64,
    /// What the host's machines can do.
    pub host: &'a Capabilities,
    /// The driver that the pool's file system is best served with, the bytes
    /// that a disk made of the image takes there, and those that are free.
    pub pool: Result<(DriverKind, u64, u64), backout_disks::Error>,
    /// The folder for disks and images that Backout makes.
    pub folder: &'a std::path::Path,
}

/// Judges the making of servers.
#[must_use]
pub fn create(making: Making<'_>) -> Checked {
    let mut checked = Checked::default();
    checked.image(making.blueprint, making.node, making.bundle.disk_bytes);
    checked.runs_machines(making.host);
    checked
        .blockers
        .extend(quota("servers", making.used, making.count, SERVERS_MAX));
    checked.blockers.extend(making.taken.map(Refusal::Taken));
    match making.pool {
        Ok((_, each_bytes, free_bytes)) => {
            let all = each_bytes.saturating_mul(making.count);
            checked.room(making.folder, all, Some(free_bytes));
        }
        Err(e) => checked.blockers.push(Refusal::Disk(e)),
    }
    checked
}

/// Judges making a server's system disk anew, as large as the present one.
/// `copy_bytes` is what the new disk takes, when that was looked at.
#[must_use]
pub fn reset(
    target: &Target,
    blueprint: &Blueprint,
    facts: DiskFacts,
    copy_bytes: Option<Result<u64, backout_disks::Error>>,
) -> Checked {
    let mut checked = Checked::default();
    checked.target("reset", target);
    let stop = must_stop(target, &facts);
    checked.image(blueprint, &target.node, facts.size_bytes(&target.volume));
    match facts.head {
        None => checked.elsewhere(&target.node),
        Some(Ok(_)) => {}
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    checked.machine(facts.machine);
    match target
        .host
        .as_ref()
        .filter(|s| frees(s, &facts.holders))
    {
        Some(server) if stop => checked.warn(
            Code::ForcedStop,
            format!(
                "stops server {} by force, and starts it again afterwards; what it holds in memory is lost",
                server.name
            ),
        ),
        _ if stop => checked
            .blockers
            .push(Refusal::in_use(&target.volume, &facts.holders)),
        _ => {}
    }
    match copy_bytes {
        None => {}
        Some(Ok(bytes)) => checked.room(&target.volume.head, bytes, facts.free_bytes),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    checked
}

/// Judges making an image of a server's system disk. `used` is how many images
/// the owner has, `copy_bytes` what the image takes and `free_bytes` what is
/// free for it, when that was looked at.
#[must_use]
pub fn create_blueprint(
    target: &Target,
    force_stop: bool,
    used: u64,
    facts: DiskFacts,
    copy_bytes: Option<Result<(u64, u64), backout_disks::Error>>,
    folder: &std::path::Path,
) -> Checked {
    let mut checked = Checked::default();
    let action = "make an image of";
    checked.target(action, target);
    checked
        .blockers
        .extend(quota("images", used, 1, BLUEPRINTS_MAX));
    if let Some(server) = &target.host {
        let on = matches!(facts.machine, Some(Ok(State::On { .. })));
        match (server.power == Power::Running || on, force_stop) {
            (true, false) => checked.blockers.push(Refusal::ServerState {
                action,
                server: server.id.clone(),
                power: server.power,
                hint: "stop it first, or ask for it to be stopped meanwhile".into(),
            }),
            (true, true) => {
                checked.stoppable(action, server);
                checked.block_if(server.can_stop() && !frees(server, &facts.holders), || {
                    Refusal::in_use(&target.volume, &facts.holders)
                });
                checked.warn(
                    Code::ForcedStop,
                    "stops the server while the image is made, by force if need be",
                );
            }
            (false, _) => checked.block_if(!facts.holders.is_empty(), || {
                Refusal::in_use(&target.volume, &facts.holders)
            }),
        }
    }
    match facts.head {
        None => checked.blockers.push(Refusal::Invalid(format!(
            "make an image of {} here: its disk is on host {}, so ask there",
            target.name(),
            target.node
        ))),
        Some(Ok(_)) => {}
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    checked.machine(facts.machine);
    match copy_bytes {
        None => {}
        Some(Ok((bytes, free))) => checked.room(folder, bytes, Some(free)),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    checked
}

/// Judges the deletion of an image.
#[must_use]
pub fn delete_blueprint(blueprint: &Blueprint, user: Option<&Holding>) -> Checked {
    let mut checked = Checked::default();
    let gone_soon = matches!(
        blueprint.state,
        BlueprintState::Creating | BlueprintState::Deleting
    );
    checked.block_if(gone_soon, || Refusal::BlueprintState {
        blueprint: blueprint.id.clone(),
        state: blueprint.state,
    });
    if let Some(holding) = user {
        checked.blockers.push(Refusal::BlueprintUsed {
            blueprint: blueprint.id.clone(),
            job: holding.job.clone(),
        });
    }
    checked.estimate = METADATA_ONLY;
    checked
}
