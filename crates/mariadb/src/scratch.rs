//! A throwaway server on a copy of tables: rows are changed there as fast as
//! memory allows, and what comes out is moved elsewhere.
//!
//! It keeps no promise: nothing is synced, there is no binary log and no
//! account, and nobody but us reaches it, by a socket in its folder. So when it
//! ends in any other way than through [`transport::export`](crate::transport::export),
//! its files are worth nothing, and [`Scratch::start`] says so.
//!
//! | file | what it is |
//! |---|---|
//! | run folder | that of the shim |
//! | `DATA/backout-used` | a server was started on the data folder |
//! | `DATA/backout-init.sql` | statements with which one starts that looks after accounts; there only meanwhile |
//! | `DATA/s` | the socket |
//! | `DATA/error.log` | what the server says |

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backout_shim::{Exit, Restart, Shim, Signal, State};
use zeroize::Zeroizing;

use crate::daemon::{Daemon, endpoint, give};
use crate::error::{Error, Result};
use crate::files;
use crate::process::Account;
use crate::session::{Session, text};
use crate::{Endpoint, Password};

const USED: &str = "backout-used";
const INIT: &str = "backout-init.sql";

/// How long it may take to write back what it has, and to end: with as much
/// memory as it is given, minutes on a slow disk.
const STOP_PATIENCE: Duration = Duration::from_secs(600);

/// How a scratch server is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Memory for pages, in bytes.
    pub pool_bytes: u64,
    /// Room for redo log, in bytes: changes up to about as much need no page to
    /// be written in between.
    pub redo_bytes: u64,
    /// `lower_case_table_names` of the server that the tables are of.
    pub lower_case_table_names: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pool_bytes: 256 << 20,
            redo_bytes: 512 << 20,
            lower_case_table_names: 0,
        }
    }
}

/// Memory that is free, or would be if it were needed, in bytes; 0 where the
/// kernel does not tell.
#[must_use]
pub fn free_memory() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .map_or(0, |kib: u64| kib << 10)
}

/// A scratch server, running or not. All that is known of it lies in its
/// folders, so a later process finds it with the same call.
#[derive(Clone, Debug)]
pub struct Scratch {
    run: PathBuf,
    data: PathBuf,
    shim: Shim,
}

impl Scratch {
    /// The one with the run folder `run`, on the data folder `data` (see
    /// [`backup::datadir`](crate::backup::datadir)); both absolute.
    #[must_use]
    pub const fn new(run: PathBuf, data: PathBuf, shim: Shim) -> Self {
        Self { run, data, shim }
    }

    /// Its data folder.
    #[must_use]
    pub fn datadir(&self) -> &Path {
        &self.data
    }

    /// How it is reached while it runs. Everybody is everything there.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        endpoint(self.data.join("s"), 0, "root", Password::new(""))
    }

    fn daemon(&self) -> Daemon<'_> {
        Daemon {
            what: "the scratch server",
            run: &self.run,
            shim: &self.shim,
            log: self.data.join("error.log"),
        }
    }

    /// Has the kernel read the files of its tables ahead, as far as there is
    /// memory for them: the server itself asks for one page after another, and
    /// waits for each.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read_ahead(&self, cancelled: &dyn Fn() -> bool) -> Result<()> {
        files::read_ahead(&self.data, free_memory() / 2, cancelled)
    }

    /// Has the server write changed pages from now on while it works, so that few
    /// are left when tables are exported: for rows that are changed in the order
    /// of their pages.
    ///
    /// # Errors
    /// As [`Session::open`] and [`Session::exec`].
    pub fn write_along(&self) -> Result<()> {
        Session::open(&self.endpoint())?
            .exec(
                "have the scratch server write changed pages",
                "SET GLOBAL innodb_max_dirty_pages_pct=0",
            )
            .map(drop)
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// [`Error::Process`].
    pub fn is_on(&self) -> Result<bool> {
        Ok(!matches!(self.daemon().state()?, State::Off { .. }))
    }

    /// Whether a server was started on its files, and did not [finish](Self::finish).
    #[must_use]
    pub fn was_started(&self) -> bool {
        self.data.join(USED).exists()
    }

    /// Starts it, and returns when it answers. Fine when it runs.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when one ran on these files and has ended: they
    /// must be made anew. [`Error::State`] when it does not start,
    /// [`Error::Process`], [`Error::Cancelled`].
    pub fn start(&self, options: &Options, cancelled: &dyn Fn() -> bool) -> Result<Endpoint> {
        let endpoint = self.endpoint();
        self.start_as(&endpoint, &["--skip-grant-tables"], options, cancelled)?;
        Ok(endpoint)
    }

    /// As [`Scratch::start`], but a server that looks after accounts, plugins
    /// and events as any other, on files that have all of these. It is reached
    /// as `user`, who may do everything, and is made for that.
    ///
    /// # Errors
    /// As [`Scratch::start`]; [`Error::Unreachable`] when that user was not
    /// made.
    pub fn start_whole(
        &self,
        user: &str,
        password: &Password,
        options: &Options,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Endpoint> {
        let endpoint = Endpoint {
            user: user.to_owned(),
            password: password.clone(),
            ..self.endpoint()
        };
        let init = self.data.join(INIT);
        let name = format!("{}@localhost", text(user));
        let statements = Zeroizing::new(format!(
            "CREATE OR REPLACE USER {name} IDENTIFIED BY {};\n\
             GRANT ALL PRIVILEGES ON *.* TO {name} WITH GRANT OPTION;\n",
            text(password.expose())
        ));
        files::write(&init, statements.as_bytes(), 0o600)?;
        let argument = format!("--init-file={}", init.display());
        let started = self.start_as(&endpoint, &[&argument], options, cancelled);
        files::remove_file(&init)?;
        started.map(|()| endpoint)
    }

    fn start_as(
        &self,
        endpoint: &Endpoint,
        more: &[&str],
        options: &Options,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let account = Account::for_folder(&self.data);
        if !self.is_on()? {
            if self.was_started() {
                return Err(Error::Interrupted {
                    what: "start the scratch server".to_owned(),
                    why: "one ran on these files before, and what it left is not whole".to_owned(),
                });
            }
            give(&self.data, account)?;
            files::write(&self.data.join(USED), b"", 0o600)?;
        }
        // Waits until it answers.
        self.launch(endpoint, more, account, options, cancelled)?;
        self.be_as_nice();
        Self::settle(endpoint)
    }

    /// Where the kernel shares the processors out among sessions first (sched(7),
    /// "autogroup"), it matters how nice a session is, and the server has one of
    /// its own: it is to be as nice as whoever starts it.
    fn be_as_nice(&self) {
        let nice = rustix::process::getpriority_process(None).unwrap_or(0);
        if let Ok(State::On { pid, .. }) = self.daemon().state()
            && nice > 0
        {
            // Where there are no such sessions, its own niceness is enough.
            let _ = std::fs::write(format!("/proc/{pid}/autogroup"), nice.to_string());
        }
    }

    /// Rolls back what was prepared and not committed when the pages were
    /// copied: history has it where it was committed, and here it would hold its
    /// locks for ever.
    fn settle(endpoint: &Endpoint) -> Result<()> {
        let doing = "roll back what was prepared when the pages were copied";
        let mut session = Session::open(endpoint)?;
        let prepared: Vec<(i64, i64, i64, String)> =
            session.query(doing, "XA RECOVER FORMAT='SQL'")?;
        for (.., xid) in prepared {
            session.exec(doing, format!("XA ROLLBACK {xid}"))?;
        }
        Ok(())
    }

    fn launch(
        &self,
        endpoint: &Endpoint,
        more: &[&str],
        account: Account,
        options: &Options,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let data = self.data.display();
        let mut args: Vec<String> = [
            "--no-defaults",
            "--skip-networking",
            "--skip-log-bin",
            "--skip-slave-start",
            // What is defined here lies here, whatever DATA DIRECTORY says, and
            // no rows are sent to where the originals have them.
            "--skip-symbolic-links",
            "--loose-plugin-connect=OFF",
            "--loose-plugin-federated=OFF",
            "--loose-plugin-federatedx=OFF",
            "--loose-plugin-s3=OFF",
            "--loose-plugin-spider=OFF",
            // Where history is laid that is to be replayed.
            "--relay-log=relay",
            "--skip-name-resolve",
            "--event-scheduler=OFF",
            "--performance-schema=0",
            "--default-time-zone=+00:00",
            "--max-allowed-packet=1G",
            "--max-connections=100",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
            // Its files are in the kernel's memory, mostly: to ask for each page
            // and be woken for it costs more than the page.
            "--innodb-use-native-aio=0",
            "--innodb-read-ahead-threshold=0",
            "--innodb-stats-persistent=0",
            "--innodb-adaptive-hash-index=0",
            "--loose-innodb-change-buffering=none",
            "--innodb-buffer-pool-dump-at-shutdown=0",
            "--innodb-buffer-pool-load-at-startup=0",
            "--innodb-max-dirty-pages-pct=90",
            "--innodb-max-dirty-pages-pct-lwm=0",
            "--innodb-io-capacity=10000",
            // Rows that were deleted are to be gone soon after: see `transport::export`.
            "--innodb-purge-batch-size=5000",
            "--loose-innodb-purge-rseg-truncate-frequency=1",
            "--innodb-lock-wait-timeout=600",
            // Names of ours reach it from whoever made the tables.
            "--character-set-server=utf8mb4",
            "--innodb-strict-mode=0",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(format!("--datadir={data}"));
        args.push(format!("--tmpdir={data}"));
        args.push(format!("--socket={data}/s"));
        args.push(format!("--pid-file={data}/pid"));
        args.push(format!("--log-error={data}/error.log"));
        args.push(format!("--innodb-buffer-pool-size={}", options.pool_bytes));
        args.push(format!("--innodb-log-file-size={}", options.redo_bytes));
        args.push(format!(
            "--lower-case-table-names={}",
            options.lower_case_table_names
        ));
        let layout = self.layout()?;
        args.extend(
            layout
                .iter()
                .map(|(name, value)| format!("--{name}={value}")),
        );
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        self.daemon()
            .start(account, args, Restart::default(), endpoint, cancelled)
    }

    /// How the files are laid out, as the backup tool noted it: names and values
    /// of settings that a server on them needs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn layout(&self) -> Result<Vec<(String, String)>> {
        const WANTED: [&str; 3] = [
            "innodb_page_size",
            "innodb_data_file_path",
            "innodb_undo_tablespaces",
        ];
        let path = self.data.join("backup-my.cnf");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        Ok(text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| WANTED.contains(&name.trim()))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect())
    }

    /// Ends it in an orderly way, so that its data folder is one that any server
    /// can be started on: all that was changed is in its files and on the disk,
    /// and what was for it alone is gone. Fine when that was done.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when it ended in any other way; [`Error::Process`],
    /// [`Error::Io`].
    pub fn finish(&self) -> Result<()> {
        if !self.was_started() && self.data.is_dir() {
            return Ok(());
        }
        let on = self.is_on()?;
        self.daemon().stop(Signal::Term, STOP_PATIENCE)?;
        let ended = self.daemon().state()?;
        let orderly = State::Off {
            exit: Some(Exit::Code { code: 0 }),
        };
        if !on || ended != orderly {
            return Err(Error::Interrupted {
                what: "end the scratch server".to_owned(),
                why: format!("it ended by itself; see {}", self.daemon().log.display()),
            });
        }
        let mut folders = BTreeSet::from([self.data.clone()]);
        for (path, _) in files::list(&self.data)? {
            if is_for_it_alone(&path) {
                files::remove_file(&self.data.join(path))?;
                continue;
            }
            let path = self.data.join(path);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(Error::io("sync", &path))?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        for folder in folders {
            files::sync_folder(&folder)?;
        }
        // Last: from now on they are whole.
        files::remove_file(&self.data.join(USED))?;
        files::sync_folder(&self.data)
    }

    /// Ends it at once. Fine when it does not run.
    ///
    /// # Errors
    /// [`Error::Process`].
    pub fn kill(&self) -> Result<()> {
        self.daemon().kill()
    }

    /// Ends it and removes its folders. Fine when there is nothing.
    ///
    /// # Errors
    /// [`Error::Process`], [`Error::Io`].
    pub fn discard(&self) -> Result<()> {
        self.kill()?;
        files::remove_tree(&self.data)?;
        files::remove_tree(&self.run)
    }
}

/// Whether a file of a data folder, by its path there, is of no use to another
/// server: what the backup tool noted, and what a replay left.
fn is_for_it_alone(path: &Path) -> bool {
    const NAMES: [&str; 5] = ["s", "pid", "error.log", "multi-master.info", INIT];
    const BEGINS: [&str; 4] = ["relay", "master-", "xtrabackup_", "mariadb_backup_"];
    let name = path.to_string_lossy();
    // Tables lie in folders.
    !name.contains('/')
        && (NAMES.contains(&name.as_ref()) || BEGINS.iter().any(|begin| name.starts_with(begin)))
}
