//! A server with real data engines, and whoever asks them.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test binary uses its own part of this, and nothing but tests does"
)]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::common::{PATIENCE, Running, cache, until};

/// The table that engines are asked about: how many rows it has, which are the
/// numbers from 1 on, and what they add up to.
const ROWS: u64 = 100;
pub const SUM: u64 = ROWS * (ROWS + 1) / 2;

/// Askers of a load.
const ASKERS: usize = 3;

/// Where `./run test` installs engines.
fn installed() -> PathBuf {
    std::env::var_os("BACKOUT_ENGINES").map_or_else(|| cache().join("engines"), PathBuf::from)
}

/// The folder of this version of Spark.
fn spark_home(version: &str) -> PathBuf {
    let lib = installed().join(format!("spark-{version}/lib"));
    let python = std::fs::read_dir(&lib)
        .unwrap_or_else(|e| panic!("{}: {e}: ./run test installs it", lib.display()))
        .map(|entry| entry.unwrap().path())
        .find(|path| path.join("site-packages/pyspark").exists());
    python.unwrap().join("site-packages/pyspark")
}

/// A server, and what its engines are made of.
pub struct Rig {
    pub server: Running,
}

impl Rig {
    pub fn start(more: &[&str]) -> Self {
        let rig = Self {
            server: Running::start(more),
        };
        std::fs::create_dir(rig.warehouse()).unwrap();
        let rows: String = (1..=ROWS)
            .map(|n| format!("city {},{n}\n", n % 7))
            .collect();
        let trips = rig.warehouse().join("trips.csv");
        std::fs::write(trips, format!("city,n\n{rows}")).unwrap();
        std::fs::write(rig.table(), rows).unwrap();
        rig
    }

    fn warehouse(&self) -> PathBuf {
        self.server.folder().join("warehouse")
    }

    /// The table without a head, as Spark reads it.
    pub fn table(&self) -> String {
        let path = self.server.folder().join("rows.csv");
        path.to_str().unwrap().to_owned()
    }

    /// An entry of the catalogue for this version of DuckDB.
    pub fn duckdb(&self, version: &str, more: &str) -> String {
        let python = installed().join(format!("duckdb-{version}/bin/python"));
        assert!(
            python.exists(),
            "{}: ./run test installs it",
            python.display()
        );
        let command = json!([
            python,
            "{assets}/duckdb/server.py",
            "--port",
            "{port}",
            "--data",
            self.warehouse()
        ]);
        format!(
            "version = \"DuckDB {version}\"\nkind = \"DuckDB\"\nhealth_sql = \"SELECT 1\"\n\
             command = {command}\n{more}"
        )
    }

    /// The entry `name` for this version of Spark, as small as it can be had.
    pub fn spark(&self, name: &str, version: &str, more: &str) -> String {
        let home = spark_home(version);
        let command = json!([
            "env",
            format!("SPARK_HOME={}", home.display()),
            "SPARK_LOCAL_IP=127.0.0.1",
            home.join("bin/spark-submit"),
            "--master",
            "local[1]",
            "--driver-memory",
            "700m",
            "--driver-java-options",
            "-Djava.io.tmpdir={workdir} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "--conf",
            "spark.ui.enabled=false",
            "--conf",
            "spark.sql.catalogImplementation=in-memory",
            "{conf}",
            "--class",
            "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",
            "spark-internal",
            "--hiveconf",
            "hive.server2.thrift.port={port}",
            "--hiveconf",
            "hive.server2.thrift.bind.host=127.0.0.1"
        ]);
        format!(
            "version = {name:?}\nkind = \"SparkSQL\"\nhealth_sql = \"SELECT version()\"\n\
             start_s = 300\ncommand = {command}\n{more}"
        )
    }

    /// Adds an entry to the catalogue.
    pub fn add(&self, text: &str) {
        let file = self.server.folder().join("entry.toml");
        std::fs::write(&file, text).unwrap();
        self.server
            .ok(&["engines", "image", "add", file.to_str().unwrap()]);
    }

    /// The port that an engine answers at.
    pub fn port(&self, engine: &str) -> u16 {
        let shown = self.server.ok(&["engines", "show", engine]);
        let endpoint = shown["endpoint"].as_str().unwrap();
        endpoint.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Begins a change; its job.
    pub fn begin(&self, words: &[&str]) -> String {
        let asked = self.server.ok(&[words, &["--yes", "--no-wait"]].concat());
        asked["job"].as_str().unwrap().to_owned()
    }

    /// Whether a job has come to its end.
    pub fn is_over(&self, job: &str) -> bool {
        self.server.ok(&["jobs", "show", job])["state"] == "done"
    }

    /// Waits for a job to do what it should.
    pub fn over(&self, job: &str) {
        let ended = self.server.ok(&["jobs", "watch", job]);
        assert_eq!(
            ended["outcome"],
            "applied",
            "{ended:#}\n{}",
            self.server.log()
        );
    }

    /// Waits for the job of a vendor's call.
    pub fn applied(&self, answer: &Value) {
        let request = answer["RequestId"].as_str().unwrap();
        let shown = self.server.ok(&["requests", "show", request]);
        self.over(shown["job"]["id"].as_str().unwrap());
    }

    /// A pipe that a statement reads from: it takes as long as nobody writes.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.server.folder().join(name);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.end_all();
    }
}

/// Asks the endpoint of an engine that speaks HTTP a statement.
pub fn ask(port: u16, sql: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = sql.len();
    write!(
        stream,
        "POST /sql HTTP/1.1\r\nHost: e\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{sql}"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.unwrap_or(0), body.to_owned()))
}

/// The first row of its answer.
pub fn first_row(port: u16, sql: &str) -> Value {
    let (status, text) = ask(port, sql).unwrap();
    assert_eq!(status, 200, "{sql}: {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["rows"][0].clone()
}

/// Waits until this version of DuckDB answers.
pub fn answered_by(port: u16, version: &str) {
    until("the other version answers", || {
        (first_row(port, "SELECT version()") == json!([format!("v{version}")])).then_some(())
    });
}

/// A statement under way that ends at a word.
pub struct Slow {
    go: Sender<()>,
    answer: JoinHandle<io::Result<(u16, String)>>,
}

impl Slow {
    /// Returns when the engine works on it.
    pub fn start(port: u16, fifo: &Path) -> Self {
        let sql = format!(
            "SELECT version(), sum(a) FROM read_csv('{}', columns = {{'a': 'INTEGER'}}, \
             header = false, auto_detect = false)",
            fifo.display()
        );
        let answer = std::thread::spawn(move || ask(port, &sql));
        let (go, told) = mpsc::channel();
        let (opened, is_open) = mpsc::channel();
        let fifo = fifo.to_owned();
        std::thread::spawn(move || feed(&fifo, &opened, &told));
        is_open.recv_timeout(PATIENCE).unwrap();
        Self { go, answer }
    }

    /// Lets it end, and the row that it answers.
    pub fn finish(self) -> Value {
        self.go.send(()).unwrap();
        let (status, text) = self.answer.join().unwrap().unwrap();
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["rows"][0].clone()
    }

    /// What is told when it could not end.
    pub fn broken_off(self) -> (u16, String) {
        self.answer.join().unwrap().unwrap()
    }
}

/// Gives the numbers 1 to 3 to whoever reads the pipe, once told to.
fn feed(fifo: &Path, opened: &Sender<()>, told: &Receiver<()>) {
    // Waits for a reader.
    let pipe = std::fs::OpenOptions::new().write(true).open(fifo);
    let _ = opened.send(());
    if told.recv().is_ok() {
        pipe.and_then(|mut pipe| pipe.write_all(b"1\n2\n3\n"))
            .unwrap();
    }
}

/// Some who ask one statement after the other, whose answers are known.
pub struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    askers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn start(port: u16) -> Self {
        let (over, answered) = (Arc::default(), Arc::default());
        let asker = |_| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            std::thread::spawn(move || asker(port, &over, &answered))
        };
        let askers = (0..ASKERS).map(asker).collect();
        Self {
            over,
            answered,
            askers,
        }
    }

    /// Waits until so many more were answered.
    pub fn wait_for(&self, more: u64) {
        let mark = self.answered.load(Ordering::SeqCst) + more;
        until("statements are answered", || {
            let ended = self.askers.iter().any(JoinHandle::is_finished);
            (ended || self.answered.load(Ordering::SeqCst) >= mark).then_some(())
        });
    }

    /// Asks no more; the versions that each has seen, one after the other.
    pub fn stop(self) -> Vec<Vec<String>> {
        self.over.store(true, Ordering::SeqCst);
        self.askers.into_iter().map(|a| a.join().unwrap()).collect()
    }
}

/// Asks until it is over. No answer is wrong, and none is missing.
fn asker(port: u16, over: &AtomicBool, answered: &AtomicU64) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for n in 1_u64.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let up_to = n % ROWS;
        let sql = format!("SELECT version(), {n}, count(*) FROM trips WHERE n <= {up_to}");
        let row = first_row(port, &sql);
        let version = row[0].as_str().unwrap();
        assert_eq!(row, json!([version, n, up_to]));
        if seen.last().is_none_or(|last| last != version) {
            seen.push(version.to_owned());
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
    seen
}

/// The small client for engines that speak Thrift.
fn thrift_client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engines/assets/ask/thrift_sql.py")
}

/// The first row of an answer to a statement over Thrift, with tabs between the
/// columns.
pub fn thrift(port: u16, sql: &str) -> String {
    let out = Command::new("python3")
        .arg(thrift_client())
        .args([&port.to_string(), sql])
        .output()
        .unwrap();
    assert!(out.status.success(), "{sql}: {out:?}");
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Spark's own client, with a session open.
pub struct Beeline {
    child: Child,
    asks: ChildStdin,
    lines: Receiver<String>,
}

impl Beeline {
    pub fn open(port: u16, spark: &str) -> Self {
        let home = spark_home(spark);
        let mut child = Command::new(home.join("bin/beeline"))
            .args(["-u", &format!("jdbc:hive2://127.0.0.1:{port}")])
            .args(["--silent=true", "--showHeader=false", "--outputformat=tsv2"])
            .env("SPARK_HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in out.lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        Self {
            asks: child.stdin.take().unwrap(),
            child,
            lines,
        }
    }

    /// The version that answers over this session.
    pub fn version(&mut self) -> String {
        writeln!(self.asks, "SELECT concat('it is ', version());").unwrap();
        self.asks.flush().unwrap();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            if let Some(version) = line.strip_prefix("it is ") {
                return version.split(' ').next().unwrap().to_owned();
            }
        }
    }
}

impl Drop for Beeline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
