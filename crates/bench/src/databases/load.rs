//! A server with sysbench-like tables, and what happens to them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use backout_mariadb::{Endpoint, Session};

use crate::child::{self, Owned};

/// How skewed the choice of rows is.
const SKEW: f64 = 0.99;
/// Operations in a transaction, and statements in a message.
const TOGETHER: u64 = 100;
/// How many sessions make the window.
const WRITERS: u64 = 2;

/// A server of our own.
pub(crate) struct Server {
    process: Option<Owned>,
    pub(crate) folder: PathBuf,
    port: u16,
}

impl Server {
    /// Makes and starts one in `folder`, with row logs and a pool of 1 GiB.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        install(folder)?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        let mut server = Self {
            process: None,
            folder: folder.to_owned(),
            port,
        };
        server.launch(&[
            "--log-bin=bin",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--server-id=1",
            "--max-binlog-size=512M",
            "--sync-binlog=1",
            "--innodb-buffer-pool-size=1G",
            "--innodb-log-file-size=512M",
        ])?;
        Ok(server)
    }

    /// Starts another on a data folder that is there, without a log.
    pub(crate) fn on(folder: &Path) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        let mut server = Self {
            process: None,
            folder: folder.to_owned(),
            port,
        };
        server.launch(&["--skip-log-bin", "--innodb-buffer-pool-size=1G"])?;
        Ok(server)
    }

    /// Makes and starts an empty one, without a log.
    pub(crate) fn empty(folder: &Path) -> anyhow::Result<Self> {
        install(folder)?;
        Self::on(folder)
    }

    fn launch(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let at = self.folder.display();
        let mut command = Command::new("mariadbd");
        command
            .arg("--no-defaults")
            .arg("--user=root")
            .arg("--performance-schema=0")
            .arg("--bind-address=127.0.0.1")
            .arg("--skip-slave-start")
            .arg("--skip-name-resolve")
            .arg(format!("--port={}", self.port))
            .arg(format!("--datadir={at}/data"))
            .arg(format!("--socket={at}/s"))
            .arg(format!("--pid-file={at}/pid"))
            .arg(format!("--log-error={at}/log"))
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(Owned::start(&mut command)?);
        let endpoint = self.endpoint()?;
        child::until("a server answers", Duration::from_millis(50), || {
            Ok(Session::open(&endpoint).is_ok())
        })?;
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    pub(crate) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Ok(Endpoint::parse(&self.url())?)
    }

    pub(crate) fn session(&self) -> anyhow::Result<Session> {
        Ok(Session::open(&self.endpoint()?)?)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn run(&self, sql: &str) -> anyhow::Result<()> {
        self.session()?.exec("bench", sql)?;
        Ok(())
    }

    pub(crate) fn number(&self, sql: &str) -> anyhow::Result<u64> {
        Ok(self
            .session()?
            .first::<Option<u64>>("bench", sql)?
            .flatten()
            .unwrap_or(0))
    }

    /// The client's program, connected.
    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command
            .arg("--no-defaults")
            .arg("-uroot")
            .arg("--max-allowed-packet=1G")
            .arg(format!("--socket={}", self.socket().display()));
        command
    }

    /// Its binary logs, oldest first, with their lengths.
    pub(crate) fn logs(&self) -> anyhow::Result<Vec<(String, u64)>> {
        Ok(self.session()?.query("bench", "SHOW BINARY LOGS")?)
    }

    /// Where its log ends.
    pub(crate) fn end(&self) -> anyhow::Result<(String, u64)> {
        let end = backout_mariadb::catalog::binlog_end(&mut self.session()?)?
            .context("ask where the log ends")?;
        Ok((end.file, end.offset))
    }

    /// A sysbench-like table of that many rows.
    pub(crate) fn fill(&self, table: &str, rows: u64) -> anyhow::Result<()> {
        let mut session = self.session()?;
        session.exec(
            "bench",
            format!(
                "CREATE TABLE {table} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, \
                 c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY k_1 (k)) ENGINE=InnoDB"
            ),
        )?;
        let step = 250_000;
        for from in (0..rows).step_by(step) {
            let to = (from + step as u64).min(rows);
            session.exec(
                "bench",
                format!(
                    "INSERT INTO {table} SELECT seq, MOD(seq * 7919, {rows}), \
                     SUBSTR(CONCAT(MD5(seq), MD5(seq + 1), MD5(seq + 2), MD5(seq + 3)), 1, 119), \
                     SUBSTR(CONCAT(MD5(seq + 4), MD5(seq + 5)), 1, 59) FROM {}.seq_{}_to_{to}",
                    table.split('.').next().unwrap_or_default(),
                    from + 1
                ),
            )?;
        }
        Ok(())
    }

    /// `operations` on rows chosen by a Zipf distribution: 80 of 100 update,
    /// 10 delete any row, 10 insert.
    pub(crate) fn work(&self, table: &str, rows: u64, operations: u64) -> anyhow::Result<()> {
        let next = AtomicU64::new(rows + 1 + self.number(&format!("SELECT MAX(id) FROM {table}"))?);
        let failures: Vec<anyhow::Error> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let next = &next;
                    scope.spawn(move || -> anyhow::Result<()> {
                        let mut session = self.session()?;
                        let mut random = Random(writer + 1);
                        let zipf = Zipf::new(rows);
                        let mut left = operations / WRITERS;
                        while left > 0 {
                            let now = left.min(TOGETHER);
                            left -= now;
                            write(&mut session, table, now, &zipf, &mut random, next)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|t| {
                    t.join()
                        .unwrap_or_else(|_| bail!("a writer panicked"))
                        .err()
                })
                .collect()
        });
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// Writers that go on until they are stopped.
    pub(crate) fn writers(&self, table: &str, rows: u64) -> anyhow::Result<Writers> {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let next = Arc::new(AtomicU64::new(
            1_000_000 + self.number(&format!("SELECT MAX(id) FROM {table}"))?,
        ));
        let threads = (0..WRITERS)
            .map(|writer| {
                let (stop, done, next) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&next));
                let endpoint = self.endpoint()?;
                let table = table.to_owned();
                Ok(std::thread::spawn(move || -> anyhow::Result<()> {
                    let mut session = Session::open(&endpoint)?;
                    let mut random = Random(writer + 100);
                    let zipf = Zipf::new(rows);
                    while !stop.load(Ordering::Relaxed) {
                        // A transaction as applications have them.
                        match write(&mut session, &table, 4, &zipf, &mut random, &next) {
                            Ok(()) => {
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                            // Two writers met: as anywhere, again.
                            Err(_) => {
                                let _ = session.exec("bench", "ROLLBACK");
                            }
                        }
                    }
                    Ok(())
                }))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Writers {
            stop,
            done,
            threads,
        })
    }
}

/// Makes the data folder of a server.
fn install(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    child::done(Command::new("mariadb-install-db").args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--user=root",
        &format!("--datadir={}", folder.join("data").display()),
    ]))
}

fn write(
    session: &mut Session,
    table: &str,
    operations: u64,
    zipf: &Zipf,
    random: &mut Random,
    next: &AtomicU64,
) -> anyhow::Result<()> {
    let mut sql = String::from("BEGIN NOT ATOMIC START TRANSACTION;");
    let mut chosen: Vec<(u64, u64)> = (0..operations)
        .map(|_| (zipf.choose(random), random.next() % 100))
        .collect();
    // In one order, so that writers do not wait for each other in circles.
    chosen.sort_unstable();
    for (id, dice) in chosen {
        sql.push_str(&match dice {
            0..40 => format!(
                "UPDATE {table} SET c = CONCAT(MD5({0}),MD5({0}+1),MD5({0}+2)) WHERE id = {id};",
                random.next() >> 16
            ),
            40..80 => format!("UPDATE {table} SET k = k + 1 WHERE id = {id};"),
            // Of any row: what is hot stays.
            80..90 => format!(
                "DELETE FROM {table} WHERE id = {};",
                random.next() % zipf.n + 1
            ),
            _ => {
                let fresh = next.fetch_add(1, Ordering::Relaxed);
                format!("INSERT INTO {table} VALUES ({fresh}, {id}, MD5({fresh}), MD5({id}));")
            }
        });
    }
    sql.push_str("COMMIT; END");
    session.exec("bench", sql)?;
    Ok(())
}

/// Writers that are at work.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Writers {
    /// Transactions so far.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok(())
    }
}

/// xorshift64*: the same choices in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Numbers from 1 to n, the k-th as often as k^-skew says, scattered over the
/// table (Gray et al., "Quickly generating billion-record synthetic databases").
struct Zipf {
    n: u64,
    zeta: f64,
    eta: f64,
    alpha: f64,
}

impl Zipf {
    fn new(n: u64) -> Self {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-SKEW)).sum::<f64>();
        let (of_two, of_n) = (zeta(2), zeta(n));
        Self {
            n,
            zeta: of_n,
            eta: (1.0 - (2.0 / n as f64).powf(1.0 - SKEW)) / (1.0 - of_two / of_n),
            alpha: 1.0 / (1.0 - SKEW),
        }
    }

    fn choose(&self, random: &mut Random) -> u64 {
        let u = random.unit();
        let uz = u * self.zeta;
        let rank = if uz < 1.0 {
            0
        } else if uz < 1.0 + 0.5_f64.powf(SKEW) {
            1
        } else {
            ((self.n as f64) * (self.eta * u - self.eta + 1.0).powf(self.alpha)) as u64
        };
        // Hot rows are not neighbours.
        rank.min(self.n - 1).wrapping_mul(2_654_435_761) % self.n + 1
    }
}
