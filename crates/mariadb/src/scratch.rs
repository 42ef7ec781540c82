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
//! | `DATA/s` | the socket |
//! | `DATA/error.log` | what the server says |

use std::path::{Path, PathBuf};

use backout_shim::{Restart, Shim, State};

use crate::daemon::{Daemon, endpoint, give};
use crate::error::{Error, Result};
use crate::files;
use crate::process::Account;
use crate::session::Session;
use crate::{Endpoint, Password};

const USED: &str = "backout-used";

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

    /// Whether it runs.
    ///
    /// # Errors
    /// [`Error::Process`].
    pub fn is_on(&self) -> Result<bool> {
        Ok(!matches!(self.daemon().state()?, State::Off { .. }))
    }

    /// Starts it, and returns when it answers. Fine when it runs.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when one ran on these files and has ended: they
    /// must be made anew. [`Error::State`] when it does not start,
    /// [`Error::Process`], [`Error::Cancelled`].
    pub fn start(&self, options: &Options, cancelled: &dyn Fn() -> bool) -> Result<Endpoint> {
        let used = self.data.join(USED);
        if !self.is_on()? {
            if used.exists() {
                return Err(Error::Interrupted {
                    what: "start the scratch server".to_owned(),
                    why: "one ran on these files before, and what it left is not whole".to_owned(),
                });
            }
            let account = Account::for_folder(&self.data);
            give(&self.data, account)?;
            files::write(&used, b"", 0o600)?;
            self.launch(account, options, cancelled)?;
        } else {
            // Waits until it answers.
            self.launch(Account::for_folder(&self.data), options, cancelled)?;
        }
        self.settle()?;
        Ok(self.endpoint())
    }

    /// Rolls back what was prepared and not committed when the pages were
    /// copied: history has it where it was committed, and here it would hold its
    /// locks for ever.
    fn settle(&self) -> Result<()> {
        let doing = "roll back what was prepared when the pages were copied";
        let mut session = Session::open(&self.endpoint())?;
        let prepared: Vec<(i64, i64, i64, String)> =
            session.query(doing, "XA RECOVER FORMAT='SQL'")?;
        for (.., xid) in prepared {
            session.exec(doing, format!("XA ROLLBACK {xid}"))?;
        }
        Ok(())
    }

    fn launch(
        &self,
        account: Account,
        options: &Options,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let data = self.data.display();
        let mut args: Vec<String> = [
            "--no-defaults",
            "--skip-networking",
            "--skip-grant-tables",
            "--skip-log-bin",
            "--skip-slave-start",
            "--skip-name-resolve",
            "--event-scheduler=OFF",
            "--performance-schema=0",
            "--default-time-zone=+00:00",
            "--max-allowed-packet=1G",
            "--max-connections=100",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
            "--innodb-stats-persistent=0",
            "--innodb-adaptive-hash-index=0",
            "--loose-innodb-change-buffering=none",
            "--innodb-buffer-pool-dump-at-shutdown=0",
            "--innodb-buffer-pool-load-at-startup=0",
            "--innodb-max-dirty-pages-pct=90",
            "--innodb-max-dirty-pages-pct-lwm=0",
            "--innodb-io-capacity=10000",
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
        args.extend(self.layout()?);
        self.daemon().start(
            account,
            args,
            Restart::default(),
            &self.endpoint(),
            cancelled,
        )
    }

    /// How the files are laid out, as the backup tool noted it.
    fn layout(&self) -> Result<Vec<String>> {
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
            .map(|(name, value)| format!("--{}={}", name.trim(), value.trim()))
            .collect())
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
