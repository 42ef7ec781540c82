//! The master key: it seals the accounts' secrets and is kept apart from the
//! state, in a file of mode 0600 or in the environment.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use backout_core::ids::{Entropy, random_base36};
use zeroize::Zeroizing;

/// How many bytes a master key has.
const KEY_BYTES: usize = 32;
/// The most that is read of a key file: the key, and blank space around it.
const FILE_BYTES_MAX: u64 = 256;

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not 64 hexadecimal digits. It is not repeated here.
    #[error(
        "read the master key from {from}: it must be 64 hexadecimal digits, make one with `openssl rand -hex 32`"
    )]
    Malformed {
        /// The file, or the environment.
        from: String,
    },
    /// Others than the owner can read or write the file.
    #[error("use the master key file {}: mode {mode:04o} lets others at it, run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is gone, but there are secrets sealed with it.
    #[error("find the master key file {}: the store holds secrets sealed with it, so put the file back, or give the same key in BACKOUT_MASTER_KEY", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be read or made.
    #[error("{what} the master key file {}; check the folder and its permissions", path.display())]
    Io {
        /// `read` or `make`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The key that seals all secrets. Wiped from memory when dropped.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Takes the key itself.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reads the text of `BACKOUT_MASTER_KEY`: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`MasterKeyError::Malformed`].
    pub fn from_env_text(text: &str) -> Result<Self, MasterKeyError> {
        Self::from_hex(text, || "BACKOUT_MASTER_KEY".to_owned())
    }

    fn from_hex(text: &str, from: impl FnOnce() -> String) -> Result<Self, MasterKeyError> {
        let mut key = Self::from_bytes([0; KEY_BYTES]);
        match hex::decode_to_slice(text.trim(), key.0.as_mut()) {
            Ok(()) => Ok(key),
            Err(_) => Err(MasterKeyError::Malformed { from: from() }),
        }
    }

    /// Reads the key file at `path`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`MasterKeyError`]: also when anybody but its owner may read or write
    /// the file.
    pub fn read_file(path: &Path) -> Result<Option<Self>, MasterKeyError> {
        let failed = |source| MasterKeyError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        };
        // Not to wait for a writer, should the path name a pipe.
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(nonblock)
            .open(path)
        {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        // Of the opened file, not of the path: the two could differ by now.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        // All the capacity at once, so that growing leaves no unwiped copy.
        let mut text = Zeroizing::new(String::with_capacity(512));
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Self::from_hex(&text, || path.display().to_string()).map(Some)
    }

    /// Makes a key file at `path`, mode 0600, durable before it is visible. When
    /// another process was faster, its key is read instead.
    fn make_file(path: &Path, entropy: &dyn Entropy) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::Io {
            what: "make",
            path: path.to_owned(),
            source,
        };
        let mut key = Self::from_bytes([0; KEY_BYTES]);
        entropy.fill(key.0.as_mut());
        let mut text = Zeroizing::new([0_u8; KEY_BYTES * 2 + 1]);
        hex::encode_to_slice(key.bytes(), &mut text[..KEY_BYTES * 2])
            .map_err(|e| failed(io::Error::other(e)))?;
        text[KEY_BYTES * 2] = b'\n';

        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", random_base36(entropy, 12)));
        let temporary = path.with_file_name(name);
        let made = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(text.as_ref())?;
            file.sync_all()?;
            // A link, unlike a rename, never replaces a key that is in use.
            std::fs::hard_link(&temporary, path)
        })();
        // Whether it was linked or not, the temporary name is done with.
        let removed = std::fs::remove_file(&temporary);
        match made {
            Ok(()) => {
                removed.map_err(failed)?;
                let folder = match path.parent() {
                    Some(p) if !p.as_os_str().is_empty() => p,
                    _ => Path::new("."),
                };
                File::open(folder)
                    .and_then(|f| f.sync_all())
                    .map_err(failed)?;
                Ok(key)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Self::read_file(path)?.ok_or_else(|| failed(e))
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// The master key of a start: `env_text`, when given, wins; else the file
    /// at `path`, which is made when it is missing and the store is empty
    /// (see [`crate::holds_secrets`]).
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub fn load(
        env_text: Option<&str>,
        path: &Path,
        store_holds_secrets: bool,
        entropy: &dyn Entropy,
    ) -> Result<Self, MasterKeyError> {
        if let Some(text) = env_text {
            return Self::from_env_text(text);
        }
        match Self::read_file(path)? {
            Some(key) => Ok(key),
            None if store_holds_secrets => Err(MasterKeyError::Missing {
                path: path.to_owned(),
            }),
            None => Self::make_file(path, entropy),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use backout_core::ids::OsEntropy;

    use super::*;

    #[test]
    fn a_missing_file_is_made_once_with_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let error = MasterKey::load(None, &path, true, &OsEntropy).unwrap_err();
        assert!(matches!(error, MasterKeyError::Missing { .. }));
        let made = MasterKey::load(None, &path, false, &OsEntropy).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let again = MasterKey::load(None, &path, true, &OsEntropy).unwrap();
        assert_eq!(made.bytes(), again.bytes());
        // Nothing else is left in the folder.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // Made at once by many: one key wins, all have it.
        let path = folder.path().join("shared.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| MasterKey::load(None, &path, false, &OsEntropy).unwrap()))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|k| k.bytes() == keys[0].bytes()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_chmod() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::load(None, &path, false, &OsEntropy).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o660, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = MasterKey::load(None, &path, true, &OsEntropy).unwrap_err();
            let chmod = format!("chmod 600 {}", path.display());
            assert!(error.to_string().contains(&chmod), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(MasterKey::load(None, &path, true, &OsEntropy).is_ok());
    }

    #[test]
    fn malformed_keys_are_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let good = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        assert!(MasterKey::from_env_text(good).is_ok());
        assert!(MasterKey::load(Some(good), &path, true, &OsEntropy).is_ok());
        for bad in ["", "topsecret", &good[1..], &format!("{good}00")] {
            let error = MasterKey::load(Some(bad), &path, true, &OsEntropy).unwrap_err();
            assert!(matches!(error, MasterKeyError::Malformed { .. }));
            assert!(bad.is_empty() || !format!("{error} {error:?}").contains(bad));
            std::fs::write(&path, bad).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let error = MasterKey::read_file(&path).unwrap_err();
            assert!(matches!(error, MasterKeyError::Malformed { .. }));
            assert!(bad.is_empty() || !format!("{error} {error:?}").contains(bad));
        }
        assert!(MasterKey::read_file(folder.path()).is_err());
    }
}
