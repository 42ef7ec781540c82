//! Applications: requests through the gateway beside HAProxy, and a rollback in
//! batches beside the starts that it cannot do without, and beside Swarm.

mod gateway;
mod instances;
mod ours;
mod swarm;

use crate::apps::instances::Instances;
use crate::apps::ours::Ours;
use crate::apps::swarm::Swarm;
use crate::child;
use crate::table::{self, Rounds, Table, number};

/// Instances, and batches of a rollback.
const REPLICAS: usize = 20;
const BATCHES: usize = 5;
const AT_ONCE: usize = REPLICAS / BATCHES;
const ROUNDS: usize = 3;

/// What must be reached.
const OF_STARTS: f64 = 1.5;

/// The two releases: what their instances answer.
const OLD: &str = "one";
const NEW: &str = "two";

pub(crate) fn run() -> anyhow::Result<bool> {
    let fast = gateway::run()?;
    Ok(rollbacks()? && fast)
}

/// Only the gateway.
pub(crate) fn run_gateway() -> anyhow::Result<bool> {
    gateway::run()
}

fn rollbacks() -> anyhow::Result<bool> {
    table::title(
        &format!("A rollback of {REPLICAS} instances in {BATCHES} batches, beside Swarm"),
        "apps",
    );
    if !child::has("busybox") {
        println!("  not measured: there is no busybox (apt-get install busybox-static)\n");
        return Ok(true);
    }
    let folder = child::scratch()?;
    let instances = Instances::new(&folder.path().join("instances"))?;
    let ours = Ours::start(folder.path(), &instances)?;
    let swarm = match swarm::missing() {
        None => Some(Swarm::start(&folder.path().join("swarm"))?),
        Some(why) => {
            println!("  Swarm is not measured: {why}");
            None
        }
    };
    let (mut back, mut starts, mut theirs) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        back.seconds(ours.back()?);
        starts.seconds(instances.slowest_start(AT_ONCE, BATCHES)? * u32::try_from(BATCHES)?);
        if let Some(swarm) = &swarm {
            theirs.seconds(swarm.back()?);
        }
    }
    let mut table = Table::new(&["seconds", "median", "spread"]);
    table.rounds("backout apps rollback", &back);
    table.rounds(
        &format!("{BATCHES} times the slowest of {REPLICAS} starts by hand, {AT_ONCE} at once"),
        &starts,
    );
    if swarm.is_some() {
        table.rounds("docker service rollback", &theirs);
    }
    table.print();
    println!(
        "  {AT_ONCE} at once each, stopped before they are started; an instance takes {} s\n  \
         until it listens; all {REPLICAS} were asked what they are, after each",
        instances::START_S
    );
    let reached = table::at_most_of(
        "a rollback / batches x slowest start",
        &back,
        &starts,
        OF_STARTS,
    );
    if swarm.is_some() {
        println!("  Swarm / ours: {}", number(theirs.ratio(&back)));
    }
    println!();
    Ok(reached)
}
