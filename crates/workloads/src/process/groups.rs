//! Control groups, version 1 and 2: what an instance may take, and which
//! processes are its.
//!
//! An instance has one group in each hierarchy that matters here and can be
//! written to, `<own>/<name>/<id>`, below the group that Backout itself is in:
//! limits of its own hold for all it runs. Which version a controller has is
//! looked at for each by itself, since hosts mix them.

use std::fmt::Display;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::model::Limits;

/// The period over which processor time is shared out, in microseconds: the
/// kernel's own default.
const PERIOD_US: u64 = 100_000;

/// The least share of it that the kernel takes, in thousandths of a processor.
pub(crate) const CPU_MIN_MILLIS: u32 = 10;

/// The least memory with which a process can be started at all, in bytes.
pub(crate) const MEMORY_MIN_BYTES: u64 = 1 << 20;

/// The name of the leaf that Backout is put into where version 2 is used, so
/// that the group above it may have children with limits: what
/// `DelegateSubgroup=` of the systemd unit says.
const OWN_LEAF: &str = "control";

/// How long killed processes may take to leave a group: the kernel takes back
/// their memory.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How often a group is looked at meanwhile.
const TICK: Duration = Duration::from_millis(5);

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Memory,
    Cpu,
    Tasks,
    /// Nothing; processor time is counted there. Version 2 does that anywhere.
    Usage,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::Tasks, Self::Usage];
    const LIMITS: [Self; 3] = [Self::Memory, Self::Cpu, Self::Tasks];

    const fn controller(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Tasks => "pids",
            Self::Usage => "cpuacct",
        }
    }

    /// A file that a group has when this is limited, or counted, in it.
    const fn file(self, v2: bool) -> &'static str {
        match (self, v2) {
            (Self::Memory, false) => "memory.limit_in_bytes",
            (Self::Memory, true) => "memory.max",
            (Self::Cpu, false) => "cpu.cfs_quota_us",
            (Self::Cpu, true) => "cpu.max",
            (Self::Tasks, _) => "pids.max",
            (Self::Usage, _) => "cpuacct.usage",
        }
    }

    const fn asked(self, limits: &Limits) -> bool {
        match self {
            Self::Memory => limits.memory_bytes.is_some(),
            Self::Cpu => limits.cpu_millis.is_some(),
            Self::Tasks => limits.tasks.is_some(),
            Self::Usage => false,
        }
    }
}

/// One group of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Its folder.
    pub path: PathBuf,
    /// Of version 2.
    pub v2: bool,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// What of the hierarchy is mounted.
    root: PathBuf,
    point: PathBuf,
    v2: bool,
    /// Version 1: its controllers.
    options: Vec<String>,
}

/// The groups of all instances of one driver.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// The folder below which those of the instances lie.
    name: String,
    /// Held while that is made or removed.
    lock: PathBuf,
}

impl Groups {
    pub(crate) fn new(name: String, lock: PathBuf) -> Self {
        Self { name, lock }
    }

    fn locked(&self) -> Result<File, String> {
        let said = |e: &dyn Display| format!("lock {}: {e}", self.lock.display());
        let file = crate::root::lock::open(&self.lock).map_err(|e| said(&e))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|e| said(&e))?;
        Ok(file)
    }

    /// Makes the groups of an instance anew, and limits them. Returns what was
    /// made, and why not all is limited that was to be. None of its processes
    /// may be left.
    pub(crate) fn make(&self, id: &str, limits: &Limits) -> (Vec<Group>, Option<String>) {
        let mut groups: Vec<Group> = Vec::new();
        let _lock = match self.locked() {
            Ok(lock) => lock,
            Err(why) => return (groups, limits.any().then_some(why)),
        };
        let mut missing = Vec::new();
        for kind in Kind::ALL {
            let made = self.group(kind, id).and_then(|group| {
                if !groups.contains(&group) {
                    remove(&group.path)?;
                    make_folder(&group.path)?;
                    groups.push(group.clone());
                }
                limit(kind, &group, limits)
            });
            if let (Err(why), true) = (made, kind.asked(limits)) {
                missing.push(format!("{}: {why}", kind.controller()));
            }
        }
        let missing = (!missing.is_empty()).then(|| missing.join("; "));
        (groups, missing)
    }

    fn group(&self, kind: Kind, id: &str) -> Result<Group, String> {
        let (base, v2) = self.base(kind)?;
        let path = base.join(id);
        Ok(Group { path, v2 })
    }

    /// Why limits cannot be enforced here.
    pub(crate) fn missing(&self) -> Option<String> {
        let why: Vec<String> = self
            .describe()
            .into_iter()
            .filter_map(|(controller, how)| Some(format!("{controller}: {}", how.err()?)))
            .collect();
        (!why.is_empty()).then(|| why.join("; "))
    }

    /// How limits are enforced here, or why they cannot be; for people.
    pub(crate) fn describe(&self) -> Vec<(&'static str, Result<String, String>)> {
        let lock = self.locked();
        Kind::LIMITS
            .into_iter()
            .map(|kind| {
                let base = match &lock {
                    Ok(_) => self.base(kind),
                    Err(why) => Err(why.clone()),
                };
                let how = base.map(|(base, v2)| {
                    // Unless groups of instances are in it.
                    let _ = std::fs::remove_dir(&base);
                    let version = if v2 { 2 } else { 1 };
                    format!("control groups version {version}, below {}", base.display())
                });
                (kind.controller(), how)
            })
            .collect()
    }

    /// Removes groups, and the folders above them where those are empty then.
    pub(crate) fn forget(&self, groups: &[Group]) -> Result<(), String> {
        let _lock = self.locked()?;
        for group in groups {
            remove(&group.path)?;
            if let Some(above) = group.path.parent() {
                let _ = std::fs::remove_dir(above);
            }
        }
        Ok(())
    }

    /// The folder in which groups for `kind` can be made, and whether it is of
    /// version 2. It is made.
    fn base(&self, kind: Kind) -> Result<(PathBuf, bool), String> {
        let read =
            |path: &str| std::fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"));
        let mounts = mounts(&read("/proc/self/mountinfo")?);
        let own = read("/proc/self/cgroup")?;
        let name = kind.controller();
        let mount = mounts
            .iter()
            .find(|m| !m.v2 && m.options.iter().any(|o| o == name))
            .or_else(|| mounts.iter().find(|m| m.v2))
            .ok_or("no control groups are mounted; mount them")?;
        let own = own_group(&own, mount, name)
            .ok_or("this process is in no group that is mounted here")?;
        let base = match mount.v2 {
            false => own.join(&self.name),
            true => {
                // A group with processes gives its children no controllers.
                let above = match (own.file_name(), own.parent()) {
                    (Some(leaf), Some(above)) if leaf == OWN_LEAF => above,
                    _ => &own,
                };
                enable(above, name)?;
                let base = above.join(&self.name);
                make_folder(&base)?;
                enable(&base, name)?;
                base
            }
        };
        make_folder(&base)?;
        // A trial, since a read-only mount looks as any other until then.
        let trial = base.join(format!("trial-{}", std::process::id()));
        make_folder(&trial)?;
        let there = trial.join(kind.file(mount.v2)).exists();
        remove(&trial)?;
        if !there {
            return Err(format!(
                "groups below {} have no {}",
                base.display(),
                kind.file(mount.v2)
            ));
        }
        Ok((base, mount.v2))
    }
}

/// Lets the children of a version 2 group have a controller.
fn enable(group: &Path, controller: &str) -> Result<(), String> {
    let file = group.join("cgroup.subtree_control");
    let has = std::fs::read_to_string(&file).unwrap_or_default();
    if has.split_whitespace().any(|c| c == controller) {
        return Ok(());
    }
    std::fs::write(&file, format!("+{controller}")).map_err(|e| {
        let hint = match e.kind() {
            ErrorKind::ResourceBusy => {
                "; processes are in that group: run Backout in one below it that is called \
                 \"control\" (DelegateSubgroup=control in a systemd unit)"
            }
            ErrorKind::NotFound | ErrorKind::InvalidInput => {
                "; the controller is not passed on to that group (Delegate=yes in a systemd unit)"
            }
            _ => "",
        };
        format!("write {}: {e}{hint}", file.display())
    })
}

fn make_folder(path: &Path) -> Result<(), String> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(format!("create {}: {e}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a group. Killed processes leave it a moment after they have ended.
fn remove(path: &Path) -> Result<(), String> {
    let until = Instant::now() + KILL_PATIENCE;
    loop {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() != ErrorKind::ResourceBusy || Instant::now() >= until => {
                return Err(format!("remove {}: {e}", path.display()));
            }
            Err(_) => std::thread::sleep(TICK),
        }
    }
}

/// Limits a group, and looks whether the kernel has taken it.
fn limit(kind: Kind, group: &Group, limits: &Limits) -> Result<(), String> {
    let path = || group.path.clone();
    let said = |e: &dyn Display| e.to_string();
    match kind {
        Kind::Memory => {
            let Some(bytes) = limits.memory_bytes else {
                return Ok(());
            };
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let memory = MemController::new(path(), PathBuf::new(), group.v2);
            memory.set_limit(bytes).map_err(|e| said(&e))?;
            // Or it takes swap instead. Hosts without swap accounting have no
            // such file.
            let swap = match group.v2 {
                true => ("memory.swap.max", 0),
                false => ("memory.memsw.limit_in_bytes", bytes),
            };
            if group.path.join(swap.0).exists() {
                memory.set_memswap_limit(swap.1).map_err(|e| said(&e))?;
            }
            // It is kept in whole pages.
            let has = number(&group.path.join(kind.file(group.v2)));
            let page = rustix::param::page_size() as u64;
            agree(
                kind,
                group,
                has,
                u64::try_from(bytes).unwrap_or(0) / page * page,
            )
        }
        Kind::Cpu => {
            let Some(millis) = limits.cpu_millis else {
                return Ok(());
            };
            let quota = i64::from(millis) * (PERIOD_US as i64 / 1000);
            let cpu = CpuController::new(path(), PathBuf::new(), group.v2);
            cpu.set_cfs_period(PERIOD_US).map_err(|e| said(&e))?;
            cpu.set_cfs_quota(quota).map_err(|e| said(&e))?;
            let has = cpu.cfs_quota().ok().and_then(|n| u64::try_from(n).ok());
            agree(kind, group, has, u64::try_from(quota).unwrap_or(0))
        }
        Kind::Tasks => {
            let Some(most) = limits.tasks else {
                return Ok(());
            };
            PidController::new(path(), PathBuf::new(), group.v2)
                .set_pid_max(MaxValue::Value(most.into()))
                .map_err(|e| said(&e))?;
            let has = number(&group.path.join(kind.file(group.v2)));
            agree(kind, group, has, most.into())
        }
        Kind::Usage => Ok(()),
    }
}

fn agree(kind: Kind, group: &Group, has: Option<u64>, wanted: u64) -> Result<(), String> {
    if has == Some(wanted) {
        return Ok(());
    }
    Err(format!(
        "{} of {} is {has:?} after {wanted} was written",
        kind.file(group.v2),
        group.path.display()
    ))
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What is mounted, from `/proc/self/mountinfo`.
fn mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(3);
            let (root, point) = (before.next()?, before.next()?);
            let mut after = after.split(' ');
            let v2 = match after.next()? {
                "cgroup" => false,
                "cgroup2" => true,
                _ => return None,
            };
            let options = after.nth(1)?.split(',').map(str::to_owned).collect();
            Some(Mount {
                root: root.into(),
                point: point.into(),
                v2,
                options,
            })
        })
        .collect()
}

/// The folder of the group that a process is in, from its `/proc/PID/cgroup`.
fn own_group(text: &str, mount: &Mount, controller: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is = match mount.v2 {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|c| c == controller),
        };
        is.then_some(path)
    })?;
    // Out of sight of a process in a namespace of its own.
    if path.starts_with("/..") {
        return None;
    }
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    Some(mount.point.join(below))
}

/// The files by which a process joins the groups.
pub(crate) fn joins(groups: &[Group]) -> Vec<PathBuf> {
    groups.iter().map(|g| g.path.join("cgroup.procs")).collect()
}

/// What the processes in the groups take, in bytes.
pub(crate) fn memory_bytes(groups: &[Group]) -> Option<u64> {
    groups.iter().find_map(|group| {
        let file = match group.v2 {
            true => "memory.current",
            false => "memory.usage_in_bytes",
        };
        number(&group.path.join(file))
    })
}

/// How much processor time the processes in the groups have taken, in
/// milliseconds.
pub(crate) fn cpu_ms(groups: &[Group]) -> Option<u64> {
    groups.iter().find_map(|group| match group.v2 {
        true => {
            let text = std::fs::read_to_string(group.path.join("cpu.stat")).ok()?;
            let line = text.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
            Some(line.trim().parse::<u64>().ok()? / 1000)
        }
        false => Some(number(&group.path.join("cpuacct.usage"))? / 1_000_000),
    })
}

/// The groups in which what a process of somebody else's takes is counted;
/// those that can be seen from here.
pub(crate) fn of_process(pid: u32) -> Vec<Group> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mounts = mounts(&read("/proc/self/mountinfo"));
    let all = read(&format!("/proc/{pid}/cgroup"));
    let group = |kind: Kind| {
        let name = kind.controller();
        let mount = mounts
            .iter()
            .find(|m| !m.v2 && m.options.iter().any(|o| o == name))
            .or_else(|| mounts.iter().find(|m| m.v2))?;
        Some(Group {
            path: own_group(&all, mount, name)?,
            v2: mount.v2,
        })
    };
    [Kind::Memory, Kind::Usage]
        .into_iter()
        .filter_map(group)
        .collect()
}

/// How many processes in the groups were killed for want of memory.
pub(crate) fn memory_kills(groups: &[Group]) -> u64 {
    let count = groups.iter().find_map(|group| {
        let file = match group.v2 {
            true => "memory.events",
            false => "memory.oom_control",
        };
        let text = std::fs::read_to_string(group.path.join(file)).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("oom_kill "))?;
        line.trim().parse().ok()
    });
    count.unwrap_or_default()
}

/// Kills every process in the groups, also those that are started meanwhile.
/// Whether none is left.
pub(crate) fn kill_all(groups: &[Group]) -> bool {
    let until = Instant::now() + KILL_PATIENCE;
    loop {
        let left: Vec<(&Group, u32)> = groups
            .iter()
            .flat_map(|group| members(group).into_iter().map(move |pid| (group, pid)))
            .collect();
        if left.is_empty() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        for (group, pid) in left {
            kill_member(group, pid);
        }
        std::thread::sleep(TICK);
    }
}

fn members(group: &Group) -> Vec<u32> {
    let text = std::fs::read_to_string(group.path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Kills a process, if it is still in the group once there is a handle of it.
fn kill_member(group: &Group, pid: u32) {
    let handle = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(handle) = handle
        && members(group).contains(&pid)
    {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
25 24 0:22 / /sys/fs/cgroup ro,nosuid shared:3 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 master:2 - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 /pod/a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";

    #[test]
    fn the_own_group_is_found_in_each_hierarchy() {
        let mounts = mounts(MOUNTS);
        assert_eq!(mounts.len(), 3);
        let own = "5:memory:/pod/a/b\n4:cpu,cpuacct:/x\n0::/unit/control\n";
        let cases = [
            (0, "memory", Some("/sys/fs/cgroup/unified/unit/control")),
            (1, "cpu", Some("/sys/fs/cgroup/cpu,cpuacct/x")),
            (2, "memory", Some("/sys/fs/cgroup/memory/b")),
            (1, "pids", None),
        ];
        for (n, controller, wanted) in cases {
            let found = own_group(own, &mounts[n], controller);
            assert_eq!(found.as_deref(), wanted.map(Path::new), "{n} {controller}");
        }
        assert_eq!(
            own_group("5:memory:/elsewhere\n", &mounts[2], "memory"),
            None
        );
        assert_eq!(own_group("0::/../x\n", &mounts[0], "memory"), None);
    }

    #[test]
    fn what_a_group_counts_is_read_in_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        for (v2, files) in [
            (
                false,
                [
                    ("memory.usage_in_bytes", "4096\n"),
                    (
                        "memory.oom_control",
                        "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
                    ),
                ],
            ),
            (
                true,
                [
                    ("memory.current", "4096\n"),
                    ("memory.events", "low 0\noom 4\noom_kill 3\n"),
                ],
            ),
        ] {
            let path = folder.path().join(v2.to_string());
            std::fs::create_dir(&path).unwrap();
            for (name, text) in files {
                std::fs::write(path.join(name), text).unwrap();
            }
            let groups = [Group { path, v2 }];
            assert_eq!(memory_bytes(&groups), Some(4096));
            assert_eq!(memory_kills(&groups), 3);
        }
    }

    #[test]
    fn limits_are_written_as_each_version_has_them() {
        let limits = Limits {
            cpu_millis: Some(250),
            memory_bytes: Some((64 << 20) + 5),
            tasks: Some(30),
            or_without: false,
        };
        let folder = tempfile::tempdir().unwrap();
        // Plain files stand in for the kernel's, which round; so the memory is
        // one that is not rounded.
        let even = Limits {
            memory_bytes: Some(64 << 20),
            ..limits
        };
        let group = |v2: bool| {
            let path = folder.path().join(v2.to_string());
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("cpu.max"), "max 100000\n").unwrap();
            std::fs::write(path.join("memory.swap.max"), "max\n").unwrap();
            Group { path, v2 }
        };
        for v2 in [false, true] {
            let group = group(v2);
            for kind in Kind::ALL {
                limit(kind, &group, &even).unwrap();
            }
            let read = |name: &str| std::fs::read_to_string(group.path.join(name)).unwrap();
            match v2 {
                false => {
                    assert_eq!(read("memory.limit_in_bytes"), "67108864");
                    assert_eq!(read("cpu.cfs_quota_us"), "25000");
                    assert_eq!(read("cpu.cfs_period_us"), "100000");
                }
                true => {
                    assert_eq!(read("memory.max"), "67108864");
                    assert_eq!(read("memory.swap.max"), "0");
                    assert_eq!(read("cpu.max"), "25000 100000");
                }
            }
            assert_eq!(read("pids.max"), "30");
            // What the kernel has not taken as it was written is no limit.
            assert!(limit(Kind::Memory, &group, &limits).is_err());
        }
    }
}
