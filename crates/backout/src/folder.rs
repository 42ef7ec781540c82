//! The folder of a server: who has it, and what lies in it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, Mode};

use crate::client::AdminFile;

/// A folder that this process has for itself, until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    // The kernel lets go of the lock when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is missing, mode 0700, and locks it.
    ///
    /// A folder that is there may let others pass (0711), as the servers of
    /// databases have accounts of their own: see [`let_pass`].
    ///
    /// # Errors
    /// When another server has it, or it cannot be made.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| {
                format!(
                    "make the folder {}; check its path and permissions",
                    path.display()
                )
            })?;
        let path = path
            .canonicalize()
            .with_context(|| format!("find the folder {}", path.display()))?;
        let mode = path
            .metadata()
            .map(|m| m.permissions().mode())
            .unwrap_or(0o700);
        if mode & OTHERS_SEE != 0 {
            std::fs::set_permissions(&path, Permissions::from_mode(0o700)).with_context(|| {
                format!(
                    "close the folder {} to others; run: chmod 700 {0}",
                    path.display()
                )
            })?;
        } else if mode & OTHERS_PASS != 0 {
            let_pass(&path)
                .with_context(|| format!("close what is in {} to others", path.display()))?;
        }
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .with_context(|| format!("open {}; check its permissions", lock_path.display()))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let who = io::read_to_string(&lock).unwrap_or_default();
                let who = who
                    .trim()
                    .chars()
                    .filter(char::is_ascii_digit)
                    .take(12)
                    .collect::<String>();
                bail!(
                    "use the folder {}: the server with process id {} has it; stop that one, or give this one a folder of its own",
                    path.display(),
                    if who.is_empty() { "unknown" } else { &who }
                );
            }
            Err(e) => return Err(e).with_context(|| format!("lock {}", lock_path.display())),
        }
        // For people and for the message above; the lock itself is the kernel's.
        let _ = lock.set_len(0);
        let _ = writeln!(lock, "{}", std::process::id());
        Ok(Self { path, _lock: lock })
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// With any of these others list, read or change something.
const OTHERS_SEE: u32 = 0o066;
/// With any of these others get to what is in a folder, if they know its name.
const OTHERS_PASS: u32 = 0o011;
/// The only folder inside that they are to get to.
const PASSABLE: &str = "databases";

/// Lets others pass the folder `path`, and see nothing of what is in it: neither
/// of what is there now, nor of what this process and its children make later.
fn let_pass(path: &Path) -> io::Result<()> {
    let rest = rustix::process::umask(Mode::from_raw_mode(OTHERS_SEE));
    rustix::process::umask(rest | Mode::from_raw_mode(OTHERS_SEE));
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        let closed = match facts.is_dir() && entry.file_name() == PASSABLE {
            true => OTHERS_SEE,
            false => OTHERS_SEE | OTHERS_PASS,
        };
        let mode = facts.permissions().mode();
        if !facts.is_symlink() && mode & closed != 0 {
            std::fs::set_permissions(entry.path(), Permissions::from_mode(mode & !closed))?;
        }
    }
    Ok(())
}

/// Writes the file that tells the command line where the server is and how to
/// sign, so that at every instant the old one is there or the new one, whole.
pub(crate) fn write_admin_file(folder: &Path, file: &AdminFile) -> io::Result<()> {
    let text = serde_json::to_string_pretty(file)?;
    let temporary = folder.join("admin.json.tmp");
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.sync_all()?;
    std::fs::rename(&temporary, folder.join("admin.json"))?;
    File::open(folder)?.sync_all()
}

/// Brings the address in `admin.json` up to date. Says whether there is such a
/// file.
pub(crate) fn refresh_url(folder: &Path, url: &str) -> anyhow::Result<bool> {
    let path = folder.join("admin.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => {
            return Err(e)
                .with_context(|| format!("read {}; check its permissions", path.display()));
        }
    };
    let mut file: AdminFile = serde_json::from_str(&text).with_context(|| {
        format!(
            "read {}; move it away, and start once with --new-admin-key",
            path.display()
        )
    })?;
    if file.url != url {
        url.clone_into(&mut file.url);
        write_admin_file(folder, &file).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = Folder::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let second = format!("{:#}", Folder::open(&path).unwrap_err());
        assert!(second.contains(&std::process::id().to_string()), "{second}");
        drop(first);
        assert!(Folder::open(&path).is_ok());
    }

    #[test]
    fn the_address_follows_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!refresh_url(folder.path(), "http://127.0.0.1:1").unwrap());
        let file = AdminFile {
            secret_id: "a".into(),
            secret_key: "b".into(),
            url: "http://127.0.0.1:1".into(),
        };
        write_admin_file(folder.path(), &file).unwrap();
        assert!(refresh_url(folder.path(), "http://127.0.0.1:2").unwrap());
        let path = folder.path().join("admin.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("127.0.0.1:2").count(), 1);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let members: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&text).unwrap();
        assert_eq!(
            members.keys().map(String::as_str).collect::<Vec<_>>(),
            ["SecretId", "SecretKey", "Url"]
        );
    }
}
