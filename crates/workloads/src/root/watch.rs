//! Hearing that something changed, without looking all the time.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::driver::Watch;
use crate::error::Result;

/// A killed shim changes no file, so nobody waits longer than this without
/// looking.
const LONGEST: Duration = Duration::from_millis(500);

/// How long to wait where nothing can be watched.
const TICK: Duration = Duration::from_millis(50);

/// Watches run folders: their shims replace files when something happens.
pub(crate) struct FolderWatch {
    /// `None` when the kernel gives no more of them.
    fd: Option<OwnedFd>,
}

impl FolderWatch {
    pub(crate) fn new<'a>(folders: impl Iterator<Item = &'a Path>) -> Self {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let fd = fd.filter(|fd| {
            folders
                .map(|folder| {
                    let what = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
                    inotify::add_watch(fd, folder, what)
                })
                .all(|added| added.is_ok())
        });
        Self { fd }
    }
}

impl Watch for FolderWatch {
    fn wait(&mut self, patience: Duration) -> Result<()> {
        let Some(fd) = &self.fd else {
            std::thread::sleep(patience.min(TICK));
            return Ok(());
        };
        let patience = patience.min(LONGEST);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: patience.subsec_nanos().into(),
        };
        // A signal ends the wait as well: looking once more does no harm.
        let _ = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout));
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(fd, &mut buffer);
        while events.next().is_ok() {}
        Ok(())
    }
}
