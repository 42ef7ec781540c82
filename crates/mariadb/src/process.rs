//! The programs of the server's packages: where they are, as whom they run.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where packages put programs that are not on everybody's path.
const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The account that packages make for servers.
const SERVER_ACCOUNT: &str = "mysql";

/// A program is not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("find the program {name}: install the package {package}")]
pub struct NotInstalled {
    /// The program.
    pub name: String,
    /// Where it comes from.
    pub package: &'static str,
}

/// The path of a program of the server's packages.
///
/// # Errors
/// [`NotInstalled`].
pub fn program(name: &str) -> Result<PathBuf, NotInstalled> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(FOLDERS.iter().map(PathBuf::from))
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| NotInstalled {
            name: name.to_owned(),
            package: match name {
                "mariadb-backup" | "mbstream" => "mariadb-backup",
                "setpriv" => "util-linux",
                _ => "mariadb-server",
            },
        })
}

/// As whom a server runs. One that is started by root runs as the account that
/// packages make for it, where it can reach its files as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// User and group; `None` is whoever we are.
    other: Option<(u32, u32)>,
}

impl Account {
    /// Whoever runs this process.
    pub const OWN: Self = Self { other: None };

    /// The account of servers when this process is root's and there is one;
    /// its own otherwise.
    #[must_use]
    pub fn of_servers() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self {
            other: is_root.then(server_account).flatten(),
        }
    }

    /// As [`Account::of_servers`], but its own when that account cannot reach
    /// what is in `folder`, since one above it is closed.
    #[must_use]
    pub fn for_folder(folder: &Path) -> Self {
        let account = Self::of_servers();
        let Some((user, group)) = account.other else {
            return account;
        };
        let reaches = |folder: &Path| {
            folder.metadata().is_ok_and(|facts| {
                let mode = facts.mode();
                if facts.uid() == user {
                    mode & 0o100 != 0
                } else if facts.gid() == group {
                    mode & 0o010 != 0
                } else {
                    mode & 0o001 != 0
                }
            })
        };
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        if absolute.ancestors().skip(1).all(reaches) {
            account
        } else {
            Self::OWN
        }
    }

    /// Gives it a file or folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn own(&self, path: &Path) -> std::io::Result<()> {
        match self.other {
            Some((user, group)) => std::os::unix::fs::lchown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    /// Program and first arguments that run `daemon` as this account; it ends
    /// with its parent (`dies_with_parent`), however that ends: the kernel
    /// forgets such a wish when the account changes, so it is made after that.
    #[must_use]
    pub fn command(&self, daemon: &Path, dies_with_parent: bool) -> (PathBuf, Vec<String>) {
        let setpriv = program("setpriv").ok();
        let name = daemon.to_string_lossy().into_owned();
        match (setpriv, self.other) {
            (Some(setpriv), other) if other.is_some() || dies_with_parent => {
                let mut args = Vec::new();
                if let Some((user, group)) = other {
                    args.push(format!("--reuid={user}"));
                    args.push(format!("--regid={group}"));
                    args.push("--init-groups".to_owned());
                }
                if dies_with_parent {
                    args.push("--pdeathsig=KILL".to_owned());
                }
                args.push("--".to_owned());
                args.push(name);
                (setpriv, args)
            }
            _ => (daemon.to_owned(), Vec::new()),
        }
    }

    /// What the server itself must be told: it refuses to run as root otherwise.
    #[must_use]
    pub fn argument(&self) -> Option<&'static str> {
        (self.other.is_none() && rustix::process::geteuid().is_root()).then_some("--user=root")
    }
}

/// User and group of the servers' account.
fn server_account() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        match fields.as_slice() {
            [name, _, user, group, ..] if *name == SERVER_ACCOUNT => {
                Some((user.parse().ok()?, group.parse().ok()?))
            }
            _ => None,
        }
    })
}
