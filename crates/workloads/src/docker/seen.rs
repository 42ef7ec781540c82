//! What the keeper of a container says of it, in a file of the run folder.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::root::{read_json, write_json};

const FILE: &str = "container.json";

/// What one keeper has seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Its pid: what another has seen is not said of this run.
    pub keeper: u32,
    pub run: Run,
    /// How many runs so far ended for want of memory.
    pub memory_kills: u64,
}

/// How the container is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "snake_case")]
pub(crate) enum Run {
    /// It was started.
    Runs {
        /// Its first process.
        pid: Option<u32>,
    },
    /// It could not be started.
    Failed {
        /// What the engine said.
        why: String,
    },
    /// Somebody has removed it.
    Gone,
}

impl Seen {
    pub(crate) fn read(run_folder: &Path) -> Result<Option<Self>> {
        read_json(&run_folder.join(FILE))
    }

    pub(crate) fn write(&self, run_folder: &Path) -> Result<()> {
        write_json(run_folder, FILE, self)
    }

    /// Forgets what was seen of an earlier container.
    pub(crate) fn clear(run_folder: &Path) -> Result<()> {
        let path = run_folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }
}
