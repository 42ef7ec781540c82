//! The log of a managed process, in files of bounded size and number.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, PipeReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

/// A pipe holds as much by default, so one read can empty it.
const CHUNK_BYTES: usize = 64 << 10;

/// A file that is moved aside when it is full.
struct Log {
    path: PathBuf,
    max_bytes: u64,
    /// How many older files are kept.
    older: u32,
    file: Option<(File, u64)>,
}

impl Log {
    /// Writes, or loses, `bytes`: what happens to a log must not stop the
    /// process that writes it.
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(CHUNK_BYTES) {
            if self.write_piece(piece).is_err() {
                self.file = None;
            }
        }
    }

    fn write_piece(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let (file, used) = match self.file.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        let more = bytes.len() as u64;
        let (mut file, used) = if used > 0 && used + more > self.max_bytes {
            // A crash between the two leaves no `log`, and the next start makes
            // one.
            self.move_aside()?;
            open(&self.path)?
        } else {
            (file, used)
        };
        file.write_all(bytes)?;
        self.file = Some((file, used + more));
        Ok(())
    }

    /// Makes `log` to `log.1`, that to `log.2`, and so on; the last is lost.
    fn move_aside(&self) -> std::io::Result<()> {
        for n in (1..self.older).rev() {
            match std::fs::rename(older(&self.path, n), older(&self.path, n + 1)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        std::fs::rename(&self.path, older(&self.path, 1))
    }
}

fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let used = file.metadata()?.len();
    Ok((file, used))
}

fn older(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

/// Copies `from` to the log at `path` until nobody holds the other end, in a
/// thread of its own. The receiver hears when that was.
pub(crate) fn pump(
    mut from: PipeReader,
    path: PathBuf,
    max_bytes: u64,
    older: u32,
) -> Receiver<()> {
    let (done, ended) = channel();
    std::thread::spawn(move || {
        let mut log = Log {
            path,
            // A file must hold at least one chunk, or it would never be full.
            max_bytes: max_bytes.max(CHUNK_BYTES as u64),
            older: older.max(1),
            file: None,
        };
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => log.write(buffer.get(..count).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = done.send(());
    });
    ended
}
