//! A tiny guest for tests, and what they need to start it.
//!
//! The guest is a kernel and an initial RAM disk in the folder that the
//! environment variable `BACKOUT_GUEST` names; `./run test` makes it, with
//! `crates/machines/guest/pack`. It counts on its system disk, and says on its
//! serial console what `crates/machines/guest/init` writes down.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout_shim::Shim;

use crate::model::{Boot, Spec};

/// Where on its disk the guest keeps its counter, in bytes: a text in a block
/// of 4096.
pub const COUNTER_AT: u64 = 4096;

/// Where the guest is found.
pub const GUEST: &str = "BACKOUT_GUEST";

/// Far more than anything of a tiny guest takes, on a host with other work.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A guest that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its kernel.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub initrd: PathBuf,
}

impl Guest {
    /// Finds it.
    ///
    /// # Errors
    /// What is missing, and what to do: a test must not pass without it.
    pub fn prepare() -> Result<Self, String> {
        let folder = std::env::var_os(GUEST).ok_or(format!(
            "find the guest of the tests: {GUEST} is not set; run them by ./run test, which makes \
             it, or set it to the folder .cache/guest that an earlier run made"
        ))?;
        let folder = std::path::absolute(folder).map_err(|e| e.to_string())?;
        let guest = Self {
            kernel: folder.join("kernel"),
            initrd: folder.join("initrd"),
        };
        for file in [&guest.kernel, &guest.initrd] {
            if !file.is_file() {
                return Err(format!("find {file:?}: run ./run test, which makes it"));
            }
        }
        Ok(guest)
    }

    /// A machine that boots it. `words` go onto its command line: `deaf` makes
    /// it ignore the power button, `still` makes it write nothing.
    #[must_use]
    pub fn spec(&self, words: &str) -> Spec {
        Spec {
            cpus: 1,
            memory_bytes: 128 << 20,
            boot: Boot::Kernel {
                kernel: self.kernel.clone(),
                initrd: Some(self.initrd.clone()),
                append: format!("console=ttyS0 quiet panic=-1 {words}"),
            },
            forwards: Vec::new(),
        }
    }
}

/// The supervisor, where a build of the whole workspace has put it.
///
/// # Errors
/// When it was not built: how to do that.
pub fn shim() -> Result<Shim, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let program = own
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("backout-shim"))
        .find(|program| program.is_file())
        .ok_or("find backout-shim: build it with cargo build -p backout-shim")?;
    Ok(Shim {
        program,
        args: Vec::new(),
    })
}

/// What the guest says on its serial console, read as it comes.
#[derive(Debug)]
pub struct Console {
    log: PathBuf,
    read: usize,
}

impl Console {
    /// Reads `log` from its present end on.
    #[must_use]
    pub fn from_now(log: &Path) -> Self {
        let mut console = Self {
            log: log.to_owned(),
            read: 0,
        };
        console.read = console.all().len();
        console
    }

    fn all(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits for the next whole line that begins with `word`, and returns the
    /// rest of it.
    ///
    /// # Errors
    /// All that was said, when it does not come within [`PATIENCE`].
    pub fn wait(&mut self, word: &str) -> Result<String, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let all = self.all();
            let new = all.get(self.read..).unwrap_or_default();
            let mut used = 0;
            for line in new.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
                used += line.len();
                if let Some(rest) = line.strip_prefix(word) {
                    let rest = rest.trim().to_owned();
                    self.read += used;
                    return Ok(rest);
                }
            }
            if Instant::now() >= until {
                return Err(format!("hear {word:?} of the guest; it said:\n{all}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the next number after `word`.
    ///
    /// # Errors
    /// As [`Console::wait`].
    pub fn number(&mut self, word: &str) -> Result<u64, String> {
        let rest = self.wait(word)?;
        rest.parse()
            .map_err(|_| format!("read the number in \"{word}{rest}\""))
    }
}
