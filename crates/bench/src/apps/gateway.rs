//! Requests through the gateway, beside HAProxy, and straight to a backend.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backout_core::fence::Fence;
use backout_gateway::{Backend, Client, Desired, Settings};

use crate::baseline::{self, Canned};
use crate::child::{self, Owned, START_WAIT};
use crate::load::{self, Target};
use crate::table::{self, Rounds, Table};

/// Rounds, and how long each measures each.
const ROUNDS: usize = 7;
const LONG: Duration = Duration::from_millis(2000);
const WARM_UP: Duration = Duration::from_secs(1);
/// Connections of clients.
const CONNECTIONS: usize = 64;
/// Instances, and what each answers with, in bytes.
const BACKENDS: usize = 2;
const BODY_BYTES: usize = 1024;
/// Threads of the gateway and of HAProxy.
const THREADS: u16 = 2;

/// What must be reached.
const OF_HAPROXY: f64 = 0.7;

#[derive(Default)]
struct Measured {
    rates: Rounds,
    p99_us: Rounds,
    cpu_us: Rounds,
}

impl Measured {
    fn round(&mut self, server: &Owned, target: &Target) -> anyhow::Result<()> {
        let (cpu, began) = (server.cpu(), Instant::now());
        let seen = load::measure(target, CONNECTIONS, LONG)?;
        let count = seen.rate * began.elapsed().as_secs_f64();
        self.cpu_us.push((server.cpu() - cpu) * 1e6 / count);
        self.rates.push(seen.rate);
        self.p99_us.push(seen.p99_us);
        Ok(())
    }
}

pub(super) fn run() -> anyhow::Result<bool> {
    table::title(
        "The gateway: GET, 1 KiB, keep-alive, two instances, beside HAProxy",
        "gateway",
    );
    if !child::has("haproxy") {
        println!("  not measured: there is no haproxy (apt-get install haproxy)\n");
        return Ok(true);
    }
    let folder = child::scratch()?;
    let reply = folder.path().join("reply.json");
    let canned = Canned {
        headers: Vec::new(),
        body: "x".repeat(BODY_BYTES),
    };
    std::fs::write(&reply, serde_json::to_vec(&canned)?)?;
    let mut backends = Vec::new();
    for _ in 0..BACKENDS {
        let mut command = child::this(baseline::CHILD)?;
        let (backend, address) = Owned::ready(command.arg(&reply), "ready ")?;
        let address: SocketAddr = address.parse().context("read the address")?;
        backends.push((backend, address));
    }
    let addresses: Vec<SocketAddr> = backends.iter().map(|(_, address)| *address).collect();
    let (gateway, ours) = start_gateway(folder.path(), &addresses)?;
    let (haproxy, theirs) = start_haproxy(folder.path(), &addresses)?;

    let mut gateways = Measured::default();
    let mut haproxies = Measured::default();
    let mut straight = Measured::default();
    load::rate(&get(ours), CONNECTIONS, WARM_UP)?;
    load::rate(&get(theirs), CONNECTIONS, WARM_UP)?;
    for _ in 0..ROUNDS {
        gateways.round(&gateway, &get(ours))?;
        haproxies.round(&haproxy, &get(theirs))?;
        let (backend, address) = backends.first().context("start a backend")?;
        straight.round(backend, &get(*address))?;
    }
    let mut table = Table::new(&["", "requests/s", "rounds", "p99 us", "CPU us/request"]);
    for (name, measured) in [
        ("backout gateway", &gateways),
        ("HAProxy, leastconn", &haproxies),
        ("straight to one instance", &straight),
    ] {
        table.row(vec![
            name.to_owned(),
            table::number(measured.rates.median()),
            measured.rates.spread(),
            table::number(measured.p99_us.median()),
            table::number(measured.cpu_us.median()),
        ]);
    }
    table.print();
    println!(
        "  {THREADS} threads each, {CONNECTIONS} connections, {ROUNDS} rounds of {} s",
        LONG.as_secs_f64()
    );
    let reached = table::at_least(
        "requests a second: gateway / HAProxy",
        gateways.rates.ratio(&haproxies.rates),
        OF_HAPROXY,
    );
    println!(
        "  p99: gateway / HAProxy: {}",
        table::number(gateways.p99_us.ratio(&haproxies.p99_us))
    );
    println!(
        "  processor time a request: gateway / HAProxy: {}\n",
        table::number(gateways.cpu_us.ratio(&haproxies.cpu_us))
    );
    Ok(reached)
}

fn get(address: SocketAddr) -> Target {
    Target {
        address,
        request: format!("GET / HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n").into_bytes(),
        never: "no instance",
    }
}

/// An address that was free a moment ago.
pub(super) fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until requests are answered there.
fn serves(what: &mut Owned, address: SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        match load::once(&get(address)) {
            Ok(answer) if answer.body.len() == BODY_BYTES => return Ok(()),
            Ok(answer) => bail!("use the proxy at {address}: it answers {}", answer.head),
            Err(e) if began.elapsed() > START_WAIT || !what.is_running() => {
                return Err(e.context("start a proxy"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn start_gateway(folder: &Path, backends: &[SocketAddr]) -> anyhow::Result<(Owned, SocketAddr)> {
    let dir = folder.join("gateway");
    std::fs::create_dir(&dir)?;
    let settings = Settings {
        threads: THREADS,
        ..Settings::default()
    };
    std::fs::write(dir.join("settings.json"), serde_json::to_vec(&settings)?)?;
    let (mut gateway, _) = Owned::ready(
        Command::new(child::backout()?)
            .args(["gateway", "--dir"])
            .arg(&dir),
        "process ",
    )?;
    let address = free()?;
    let entries = backends.iter().enumerate();
    let desired = Desired {
        fence: Fence(1),
        generation: 1,
        listen: vec![address],
        backends: entries
            .map(|(n, backend)| Backend::ready(n.to_string(), *backend))
            .collect(),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(Client::new(&dir)?.apply(&desired))?;
    serves(&mut gateway, address)?;
    Ok((gateway, address))
}

fn start_haproxy(folder: &Path, backends: &[SocketAddr]) -> anyhow::Result<(Owned, SocketAddr)> {
    let address = free()?;
    let mut config = format!(
        "global\n  nbthread {THREADS}\n  maxconn 4000\n\
         defaults\n  mode http\n  option forwardfor\n  balance leastconn\n\
         \x20 timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n\
         frontend in\n  bind {address}\n  default_backend out\n\
         backend out\n"
    );
    for (n, backend) in backends.iter().enumerate() {
        config.push_str(&format!("  server s{n} {backend}\n"));
    }
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, config)?;
    // Debian has it where only administrators look.
    let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("haproxy");
    let mut haproxy = Owned::start(
        Command::new(program)
            .arg("-db")
            .arg("-f")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    serves(&mut haproxy, address)?;
    Ok((haproxy, address))
}
