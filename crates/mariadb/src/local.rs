//! A database server of ours on this host, with a data folder of its own.
//!
//! | file | what it is |
//! |---|---|
//! | `my.cnf` | its settings, without a secret |
//! | `data/` | its data folder; also its socket `s`, `pid` and `error.log` |
//! | `run/` | the run folder of its shim |
//! | `local.json` | the [`Options`], without a secret; written last: without it there is no server |

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backout_shim::{Restart, Shim, Signal, State, When};
use serde::{Deserialize, Serialize};

use crate::daemon::{Daemon, endpoint, give};
use crate::error::{Error, Result};
use crate::files;
use crate::process::{Account, program};
use crate::{Endpoint, Password};

const DATA: &str = "data";
const RUN: &str = "run";
const CONFIG: &str = "my.cnf";
const RECORD: &str = "local.json";

/// How long a server may take to write back what it has, and to end.
const STOP_PATIENCE: Duration = Duration::from_secs(300);

/// How a managed server is made and run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Its port.
    pub port: u16,
    /// The address it listens on, e.g. `127.0.0.1`.
    pub bind: String,
    /// Tells it apart in binary logs.
    pub server_id: u32,
    /// Memory for pages, in bytes.
    pub pool_bytes: u64,
    /// `default_time_zone`, e.g. `+08:00`; empty for that of the host.
    pub time_zone: String,
    /// How long it keeps its binary logs, in seconds; 0 for ever.
    pub binlog_expire_s: u64,
    /// The character set of new databases, e.g. `utf8mb4`.
    pub character_set: String,
    /// What files that were not made by it need: empty for those that were.
    #[serde(default)]
    pub inherited: Inherited,
}

/// What a server must be told of files that another made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// `lower_case_table_names`, 0 to 2.
    pub lower_case_table_names: u8,
    /// The collation of new databases, e.g. `utf8mb4_bin`; empty for the usual
    /// one of the character set.
    pub collation: String,
    /// How the files are laid out: names and values of settings, as
    /// [`Scratch::layout`](crate::scratch::Scratch::layout) tells them.
    pub layout: Vec<(String, String)>,
}

impl Inherited {
    fn config(&self, plain: &dyn Fn(&str, &str) -> Result<()>) -> Result<String> {
        let mut lines = String::new();
        if self.lower_case_table_names != 0 {
            lines.push_str(&format!(
                "lower-case-table-names={}\n",
                self.lower_case_table_names
            ));
        }
        if !self.collation.is_empty() {
            plain("collation", &self.collation)?;
            lines.push_str(&format!("collation-server={}\n", self.collation));
        }
        for (name, value) in &self.layout {
            plain("setting", name)?;
            plain("value of a setting", value)?;
            lines.push_str(&format!("{name}={value}\n"));
        }
        Ok(lines)
    }
}

impl Options {
    fn config(&self, server: &Server) -> Result<String> {
        let plain = |what: &str, text: &str| {
            let fine = text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-:._/;".contains(&b));
            if fine {
                return Ok(());
            }
            Err(Error::Settings {
                why: format!("make a database server: {text:?} is no {what}; use another"),
            })
        };
        plain("address", &self.bind)?;
        plain("time zone", &self.time_zone)?;
        plain("character set", &self.character_set)?;
        let folder = server.folder.display().to_string();
        if folder.contains(['\n', '\r', '"', '\\', '#']) {
            return Err(Error::State {
                what: "make a database server".to_owned(),
                why: format!(
                    "the path {folder:?} cannot be in a settings file; use another folder"
                ),
            });
        }
        let inherited = self.inherited.config(&plain)?;
        let zone = if self.time_zone.is_empty() {
            "SYSTEM"
        } else {
            &self.time_zone
        };
        Ok(format!(
            "# Made anew at each start: changes here are lost.\n\
             [mysqld]\n\
             datadir=\"{folder}/{DATA}\"\n\
             # Not one that others use: a server that starts removes what is there.\n\
             tmpdir=\"{folder}/{DATA}\"\n\
             socket=\"{folder}/{DATA}/s\"\n\
             pid-file=\"{folder}/{DATA}/pid\"\n\
             log-error=\"{folder}/{DATA}/error.log\"\n\
             port={}\n\
             bind-address={}\n\
             server-id={}\n\
             default-time-zone={zone}\n\
             character-set-server={}\n\
             innodb-buffer-pool-size={}\n\
             # What it takes to take tables back to any instant.\n\
             log-bin=mysql-bin\n\
             binlog-format=ROW\n\
             binlog-row-image=FULL\n\
             binlog-row-metadata=FULL\n\
             binlog-checksum=CRC32\n\
             binlog-expire-logs-seconds={}\n\
             gtid-strict-mode=1\n\
             innodb-file-per-table=1\n\
             sync-binlog=1\n\
             innodb-flush-log-at-trx-commit=1\n\
             max-allowed-packet=64M\n\
             skip-name-resolve\n\
             {inherited}",
            self.port,
            self.bind,
            self.server_id,
            self.character_set,
            self.pool_bytes,
            self.binlog_expire_s
        ))
    }
}

/// A managed server, running or not.
#[derive(Clone, Debug)]
pub struct Server {
    folder: PathBuf,
    run: PathBuf,
    shim: Shim,
}

impl Server {
    /// The one in `folder`, an absolute path.
    #[must_use]
    pub fn new(folder: PathBuf, shim: Shim) -> Self {
        let run = folder.join(RUN);
        Self { folder, run, shim }
    }

    /// Its data folder.
    #[must_use]
    pub fn datadir(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    /// What it was made with; `None` when it was not.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn options(&self) -> Result<Option<Options>> {
        files::read_json(&self.folder.join(RECORD))
    }

    /// How it is reached, over its socket.
    #[must_use]
    pub fn endpoint(&self, port: u16, user: &str, password: Password) -> Endpoint {
        endpoint(self.datadir().join("s"), port, user, password)
    }

    fn daemon(&self) -> Daemon<'_> {
        Daemon {
            what: "the database server",
            run: &self.run,
            shim: &self.shim,
            log: self.datadir().join("error.log"),
        }
    }

    /// Makes its data folder, with `root` on this host and from elsewhere under
    /// this password. Fine when that was done; what a crash left of an earlier
    /// try is made anew.
    ///
    /// # Errors
    /// [`Error::Tool`], [`Error::Settings`], [`Error::Io`].
    pub fn create(&self, options: &Options, root: &Password) -> Result<()> {
        if self.options()?.is_some() {
            return Ok(());
        }
        options.config(self)?;
        files::remove_tree(&self.folder)?;
        files::make_way(&self.folder)?;
        let log = self.folder.join("install.log");
        self.install(&log)?;
        self.set_password(root, &log)?;
        files::write_json(&self.folder.join(RECORD), options)
    }

    /// Takes a data folder that is there already for its own, by moving it: one
    /// that a server has left in an orderly way, as
    /// [`Scratch::finish`](crate::scratch::Scratch::finish) does. Fine when that
    /// was done. The folder of this server must be on the same file system.
    ///
    /// # Errors
    /// [`Error::State`] when there is none; [`Error::Settings`], [`Error::Io`].
    pub fn adopt(&self, data: &Path, options: &Options) -> Result<()> {
        if self.options()?.is_some() {
            return Ok(());
        }
        options.config(self)?;
        if data.is_dir() {
            files::remove_tree(&self.folder)?;
            files::make_way(&self.folder)?;
            std::fs::rename(data, self.datadir()).map_err(Error::io("move", data))?;
            files::sync_folder(&self.folder)?;
        } else if !self.datadir().is_dir() {
            return Err(Error::State {
                what: "make a database server of files".to_owned(),
                why: format!("there are none in {}", data.display()),
            });
        }
        files::write_json(&self.folder.join(RECORD), options)
    }

    fn install(&self, log: &Path) -> Result<()> {
        let mut args = [
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-buffer-pool-size=32M",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(format!("--datadir={}", self.datadir().display()));
        // Not one that others use: a server that starts removes what is there.
        args.push(format!("--tmpdir={}", self.datadir().display()));
        // Which makes everything as whoever we are; given away at the start.
        args.extend(Account::OWN.argument().map(str::to_owned));
        crate::tool::Tool::start(
            "mariadb-install-db",
            "make a data folder",
            &args,
            log,
            false,
        )?
        .wait(&|| false)
    }

    /// By a server that only reads statements and ends: the password is in no
    /// file and no command line.
    fn set_password(&self, root: &Password, log: &Path) -> Result<()> {
        let failed = |why: String| Error::Tool {
            tool: "mariadbd",
            doing: "set the password of root".to_owned(),
            why,
            passing: false,
        };
        let daemon = program("mariadbd").map_err(|e| failed(e.to_string()))?;
        let said = std::fs::File::create(log).map_err(Error::io("write", log))?;
        let (program, first) = Account::OWN.command(&daemon, true);
        let mut child = Command::new(program)
            .args(first)
            .args([
                "--no-defaults",
                "--bootstrap",
                "--skip-log-bin",
                "--skip-networking",
            ])
            .args(["--innodb-buffer-pool-size=32M", "--performance-schema=0"])
            .args(Account::OWN.argument())
            .arg(format!("--datadir={}", self.datadir().display()))
            .arg(format!("--tmpdir={}", self.datadir().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        // One statement in each line.
        let password = crate::session::text(root.expose());
        let mut text = zeroize::Zeroizing::new(String::from("FLUSH PRIVILEGES;\n"));
        // Anonymous accounts take logins that are meant for others.
        text.push_str("DELETE FROM mysql.global_priv WHERE User='';\nFLUSH PRIVILEGES;\n");
        for host in ["localhost", "127.0.0.1", "::1", "%"] {
            text.push_str(&format!(
                "CREATE OR REPLACE USER root@'{host}' IDENTIFIED BY {password};\n\
                 GRANT ALL PRIVILEGES ON *.* TO root@'{host}' WITH GRANT OPTION;\n"
            ));
        }
        let fed = child
            .stdin
            .take()
            .map_or(Ok(()), |mut to| to.write_all(text.as_bytes()));
        let status = child.wait().map_err(|e| failed(e.to_string()))?;
        if status.success() && fed.is_ok() {
            return Ok(());
        }
        Err(failed(format!(
            "it ended with {status}: {}",
            crate::tool::last_words(log)
                .lines()
                .last()
                .unwrap_or_default()
        )))
    }

    /// Starts it, and returns when it answers; from then on it is started again
    /// whenever it ends by itself. Fine when it runs.
    ///
    /// # Errors
    /// [`Error::State`] when it was not made, or does not start;
    /// [`Error::Unreachable`] when `root` is not its password;
    /// [`Error::Process`].
    pub fn start(&self, root: &Password, cancelled: &dyn Fn() -> bool) -> Result<Endpoint> {
        self.start_as("root", root, cancelled)
    }

    /// As [`Server::start`], known to answer by another account that there is.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_as(
        &self,
        user: &str,
        password: &Password,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Endpoint> {
        let options = self.options()?.ok_or_else(|| Error::State {
            what: "start the database server".to_owned(),
            why: format!("there is none in {}; make one", self.folder.display()),
        })?;
        let account = Account::for_folder(&self.datadir());
        let config = self.folder.join(CONFIG);
        if matches!(self.daemon().state()?, State::Off { .. }) {
            files::write(&config, options.config(self)?.as_bytes(), 0o644)?;
            give(&self.datadir(), account)?;
        }
        let restart = Restart {
            when: When::Always,
            ..Restart::default()
        };
        let endpoint = self.endpoint(options.port, user, password.clone());
        let args = vec![format!("--defaults-file={}", config.display())];
        self.daemon()
            .start(account, args, restart, &endpoint, cancelled)?;
        Ok(endpoint)
    }

    /// Whether it runs, as its shim says.
    ///
    /// # Errors
    /// [`Error::Process`].
    pub fn state(&self) -> Result<State> {
        self.daemon().state()
    }

    /// Stops it in an orderly way; fine when it does not run.
    ///
    /// # Errors
    /// [`Error::Process`].
    pub fn stop(&self) -> Result<()> {
        self.daemon().stop(Signal::Term, STOP_PATIENCE)
    }

    /// Ends it, and removes all that it had. Fine when there is nothing.
    ///
    /// # Errors
    /// [`Error::Process`], [`Error::Io`].
    pub fn remove(&self) -> Result<()> {
        self.daemon().kill()?;
        files::remove_file(&self.folder.join(RECORD))?;
        files::remove_tree(&self.folder)
    }
}
