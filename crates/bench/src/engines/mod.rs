//! Data engines: how long a switch takes beside the engine's own start, and how
//! long a check takes among few engines and many.

mod checks;
mod switch;

use std::path::Path;
use std::sync::Arc;

use backout_core::ids::{OsEntropy, RequestId};
use backout_core::time::SystemClock;
use backout_engines::service::Caller;
use backout_engines::{Engines, Runtime};
use backout_gateway::Host;
use backout_jobs::Jobs;
use backout_shim::Shim;
use backout_store::Store;
use backout_workloads::process::{Config, Processes};

use crate::child;

const OWNER: &str = "acct_aaaaaaaaaaaa";
const NODE: &str = "here";

pub(crate) fn run() -> anyhow::Result<bool> {
    let switch = switch::run()?;
    Ok(checks::run()? && switch)
}

/// The product on a folder, as the server composes it, without its listeners.
struct House {
    engines: Engines,
    jobs: Jobs,
    runtime: Runtime,
}

impl House {
    fn open(place: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place)?;
        let migrations = [backout_jobs::MIGRATIONS, backout_engines::MIGRATIONS].concat();
        let store = Store::open_sqlite(&place.join("state.db"), &migrations)?;
        let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
        let program = child::backout()?;
        let shim = Shim {
            program: program.clone(),
            args: vec!["shim".into()],
        };
        let processes = Processes::open(Config::new(place.join("processes"), shim.clone()))?;
        let host = Host {
            shim,
            program,
            args: ["gateway", "--dir"].map(str::to_owned).to_vec(),
        };
        let runtime = Runtime::open(&place.join("engines"), Arc::new(processes), host)?;
        let engines = Engines::new(
            store,
            jobs.clone(),
            Arc::new(SystemClock),
            Arc::new(OsEntropy),
            NODE.to_owned(),
            runtime.clone(),
        );
        Ok(Self {
            engines,
            jobs,
            runtime,
        })
    }
}

fn caller() -> anyhow::Result<Caller> {
    Ok(Caller {
        account: OWNER.parse()?,
        owner: OWNER.parse()?,
        request: RequestId::random(&OsEntropy),
        idempotency: None,
    })
}
