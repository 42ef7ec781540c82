//! Signed calls a second: the real server, a bare handler of the same HTTP
//! stack that returns the same bytes, and moto's server.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backout_core::time::{Clock as _, SystemClock};
use backout_wire::sign;
use serde::Deserialize;

use crate::baseline::{self, Canned};
use crate::child::{self, Owned, START_WAIT};
use crate::load::{self, Answer, Target};
use crate::table::{self, Rounds, Table};

/// A page of `DescribeSnapshots`, and how many snapshots there are.
const SNAPSHOTS: usize = 20;
/// Rounds, and how long each measures each.
const ROUNDS: usize = 5;
const LONG: Duration = Duration::from_millis(2000);
const WARM_UP: Duration = Duration::from_secs(1);
/// Connections, and so calls under way at once: few, as most clients are, and
/// many, so that the load and the kernel cost least beside the server.
const FEW: usize = 2;
const CONNECTIONS: usize = 32;
/// Of moto, which starts a thread for each call and runs one of them at a time.
const MOTO_CONNECTIONS: usize = 4;
/// The limiter is on, and never says no.
const RATE_LIMIT: &str = "100000000";
/// How small the disk is whose snapshots are listed.
const DISK_BYTES: u64 = 1 << 20;

/// What must be reached.
const OF_BASELINE: f64 = 0.4;
const OF_MOTO: f64 = 30.0;

/// The key pair of the first account.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Admin {
    secret_id: String,
    secret_key: String,
}

impl Admin {
    /// That of the server whose folder is `data`.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(
            data.join("admin.json"),
        )?)?)
    }
}

/// A call of the vendor's.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a str,
    pub(crate) version: &'a str,
    pub(crate) action: &'a str,
    pub(crate) body: &'a str,
}

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Signed calls: DescribeSnapshots, TC3, one page of 20, SQLite, keep-alive",
        "calls",
    );
    let folder = child::scratch()?;
    let data = folder.path().join("data");
    let backout = child::backout()?;
    let (server, url) = Owned::ready(
        Command::new(&backout)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--rate-limit",
                RATE_LIMIT,
            ])
            .args(["--log", "warn", "--data"])
            .arg(&data),
        "ready http://",
    )?;
    let address: SocketAddr = url.parse().context("read the address of the server")?;
    fill(&backout, &data, folder.path())?;
    let admin = Admin::read(&data)?;

    let answer = load::once(&signed(&admin, address))?;
    check_page(&answer)?;
    let reply = folder.path().join("reply.json");
    std::fs::write(&reply, serde_json::to_vec(&canned(&answer)?)?)?;
    let (bare, bare_address) = Owned::ready(child::this(baseline::CHILD)?.arg(&reply), "ready ")?;
    let bare_address: SocketAddr = bare_address.parse().context("read the address")?;
    let same = load::once(&signed(&admin, bare_address))?;
    if same.body != answer.body {
        bail!("measure the baseline: its answer is another one");
    }
    let moto = start_moto()?;

    let mut ours = Measured::default();
    let mut theirs = Measured::default();
    let mut motos = Measured::default();
    let mut ours_few = Measured::default();
    let mut theirs_few = Measured::default();
    load::rate(&signed(&admin, address), CONNECTIONS, WARM_UP)?;
    load::rate(&signed(&admin, bare_address), CONNECTIONS, WARM_UP)?;
    for _ in 0..ROUNDS {
        // Signed anew each time: a signature is good for five minutes.
        ours.round(&server, &signed(&admin, address), CONNECTIONS)?;
        theirs.round(&bare, &signed(&admin, bare_address), CONNECTIONS)?;
        ours_few.round(&server, &signed(&admin, address), FEW)?;
        theirs_few.round(&bare, &signed(&admin, bare_address), FEW)?;
        if let Some((moto, address)) = &moto {
            motos.round(moto, &describe_volumes(*address), MOTO_CONNECTIONS)?;
        }
    }
    // So that nothing that was measured was an error in disguise.
    check_page(&load::once(&signed(&admin, address))?)?;

    let mut rates = Table::new(&["", "connections", "calls/s", "rounds", "server CPU us/call"]);
    for (name, connections, measured) in [
        ("backout serve, verified", CONNECTIONS, &ours),
        ("same stack, same bytes, no work", CONNECTIONS, &theirs),
        ("backout serve, verified", FEW, &ours_few),
        ("same stack, same bytes, no work", FEW, &theirs_few),
        (
            "moto_server, empty describe_volumes",
            MOTO_CONNECTIONS,
            &motos,
        ),
    ] {
        if moto.is_some() || !name.starts_with("moto") {
            rates.row(vec![
                name.to_owned(),
                connections.to_string(),
                table::number(measured.rates.median()),
                measured.rates.spread(),
                table::number(measured.cpu_us.median()),
            ]);
        }
    }
    rates.print();
    println!(
        "  answer: {} bytes; {ROUNDS} rounds of {} s each",
        answer.body.len(),
        LONG.as_secs_f64()
    );
    let cpu = theirs.cpu_us.ratio(&ours.cpu_us);
    println!(
        "  of the processor time of both servers alone, without the load: {}",
        table::number(cpu)
    );
    let mut reached = table::at_least(
        &format!("backout / same stack, {CONNECTIONS} connections"),
        ours.rates.ratio(&theirs.rates),
        OF_BASELINE,
    );
    println!(
        "  backout / same stack, {FEW} connections: {}",
        table::number(ours_few.rates.ratio(&theirs_few.rates))
    );
    match moto {
        Some(_) => {
            let ratio = ours.rates.ratio(&motos.rates);
            reached &= table::at_least("backout / moto", ratio, OF_MOTO);
        }
        None => println!("  backout / moto: not measured, there is no moto_server (see help)"),
    }
    println!();
    Ok(reached)
}

#[derive(Default)]
struct Measured {
    rates: Rounds,
    cpu_us: Rounds,
}

impl Measured {
    fn round(&mut self, server: &Owned, target: &Target, connections: usize) -> anyhow::Result<()> {
        let (cpu, began) = (server.cpu(), Instant::now());
        let rate = load::rate(target, connections, LONG)?;
        let count = rate * began.elapsed().as_secs_f64();
        self.cpu_us.push((server.cpu() - cpu) * 1e6 / count);
        self.rates.push(rate);
        Ok(())
    }
}

/// A disk under management, with its snapshots, by the command line.
fn fill(backout: &Path, data: &Path, folder: &Path) -> anyhow::Result<()> {
    let disk = folder.join("disk.img");
    std::fs::write(&disk, b"a disk")?;
    std::fs::File::options()
        .write(true)
        .open(&disk)?
        .set_len(DISK_BYTES)?;
    let command = || {
        let mut command = Command::new(backout);
        command.arg("--data").arg(data);
        command
    };
    child::done(
        command()
            .args(["servers", "add", "web", "--disk"])
            .arg(&disk),
    )?;
    for n in 0..SNAPSHOTS {
        child::done(command().args([
            "snapshots",
            "create",
            "web",
            "--name",
            &format!("before-{n}"),
        ]))?;
    }
    Ok(())
}

/// The call whose rate is measured.
fn signed(admin: &Admin, address: SocketAddr) -> Target {
    let call = Call {
        service: "lighthouse",
        version: "2020-03-24",
        action: "DescribeSnapshots",
        body: r#"{"Offset": 0, "Limit": 20}"#,
    };
    Target {
        address,
        request: request(admin, address, &call),
        never: "\"Error\"",
    }
}

/// A call, as the official Python client makes it.
pub(crate) fn request(admin: &Admin, address: SocketAddr, call: &Call<'_>) -> Vec<u8> {
    let body = call.body;
    let host = address.to_string();
    let mut headers = sign::tc3(
        &admin.secret_id,
        &admin.secret_key,
        None,
        "POST",
        "/",
        "",
        &host,
        "application/json",
        body.as_bytes(),
        call.service,
        SystemClock.now(),
    );
    for (name, value) in [
        ("X-TC-Action", call.action),
        ("X-TC-Version", call.version),
        ("X-TC-Region", "ap-guangzhou"),
        ("X-TC-RequestClient", "SDK_PYTHON_3.0.1000"),
    ] {
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut text = String::from("POST / HTTP/1.1\r\n");
    for (name, value) in &headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// That the answer is what is to be measured.
fn check_page(answer: &Answer) -> anyhow::Result<()> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let response = &body["Response"];
    let listed = response["SnapshotSet"].as_array().map_or(0, Vec::len);
    if listed != SNAPSHOTS || response["TotalCount"] != SNAPSHOTS {
        bail!("list {SNAPSHOTS} snapshots: {listed} came: {body}");
    }
    Ok(())
}

fn canned(answer: &Answer) -> anyhow::Result<Canned> {
    let headers = answer
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        // These two hyper adds, there as here.
        .filter(|(name, _)| name != "date" && name != "content-length")
        .collect();
    Ok(Canned {
        headers,
        body: String::from_utf8(answer.body.clone())?,
    })
}

/// moto's server, when it is installed.
fn start_moto() -> anyhow::Result<Option<(Owned, SocketAddr)>> {
    let program = std::env::var_os("BACKOUT_MOTO")
        .map_or_else(|| ".cache/venv-bench/bin/moto_server".into(), PathBuf::from);
    if !program.exists() {
        return Ok(None);
    }
    // It takes no port 0. This one was free a moment ago.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let mut moto = Owned::start(
        Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    let began = Instant::now();
    loop {
        match load::once(&describe_volumes(address)) {
            Ok(answer) if String::from_utf8_lossy(&answer.body).contains("volumeSet") => break,
            Ok(answer) => bail!("use moto: it answers {}", answer.head),
            Err(e) if began.elapsed() > START_WAIT || !moto.is_running() => {
                return Err(e.context("start moto"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    Ok(Some((moto, address)))
}

/// moto reads the service from the signature, and does not verify it.
fn describe_volumes(address: SocketAddr) -> Target {
    let body = "Action=DescribeVolumes&Version=2016-11-15";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
         X-Amz-Date: 20260101T000000Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/ec2/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={:064}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        0,
        body.len()
    );
    Target {
        address,
        request: request.into_bytes(),
        never: "<Error",
    }
}
