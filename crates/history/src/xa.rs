//! XA transactions between their `XA PREPARE`, which is where their changes are
//! in the log, and their end, which may come much later, or not at all.
//!
//! The events that matter are kept in memory, or in a file without a name when
//! there are too many.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::event::{Checksum, Header};

/// What is written to the file, or read from it, at once.
const RUN_BYTES: usize = 1 << 20;

/// The events of one XA transaction: table maps and rows.
#[derive(Debug)]
pub(crate) struct Kept {
    /// In memory: all of them, or those that are not in the file yet.
    memory: Vec<u8>,
    file: Option<Spilled>,
    /// Names of savepoints, and how many bytes there were.
    savepoints: Vec<(Vec<u8>, u64)>,
    pub(crate) checksum: Checksum,
}

#[derive(Debug)]
struct Spilled {
    file: File,
    folder: PathBuf,
    bytes: u64,
    /// Of what was read back.
    read: u64,
}

impl Kept {
    pub(crate) const fn new(checksum: Checksum) -> Self {
        Self {
            memory: Vec::new(),
            file: None,
            savepoints: Vec::new(),
            checksum,
        }
    }

    /// Bytes in memory.
    pub(crate) const fn memory(&self) -> u64 {
        self.memory.len() as u64
    }

    pub(crate) const fn is_spilled(&self) -> bool {
        self.file.is_some()
    }

    fn bytes(&self) -> u64 {
        self.memory() + self.file.as_ref().map_or(0, |f| f.bytes)
    }

    /// Keeps an event.
    pub(crate) fn push(&mut self, raw: &[u8]) -> Result<()> {
        self.memory.extend_from_slice(raw);
        if self.file.is_some() && self.memory.len() >= RUN_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Moves what is in memory into a file in `folder`.
    pub(crate) fn spill(&mut self, folder: &Path) -> Result<()> {
        if self.file.is_none() {
            let file = std::fs::create_dir_all(folder)
                .and_then(|()| tempfile::tempfile_in(folder))
                .map_err(|source| io("make a file in", folder, source))?;
            self.file = Some(Spilled {
                file,
                folder: folder.to_owned(),
                bytes: 0,
                read: 0,
            });
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        if let Some(to) = &mut self.file {
            to.file
                .write_all(&self.memory)
                .map_err(|source| io("write a file in", &to.folder, source))?;
            to.bytes += self.memory.len() as u64;
            self.memory = Vec::new();
        }
        Ok(())
    }

    pub(crate) fn savepoint(&mut self, name: Vec<u8>) {
        let bytes = self.bytes();
        self.savepoints.retain(|(n, _)| *n != name);
        self.savepoints.push((name, bytes));
    }

    /// Forgets what came after the savepoint. `false` when there is none of
    /// that name.
    pub(crate) fn roll_back_to(&mut self, name: &[u8]) -> Result<bool> {
        let Some(at) = self.savepoints.iter().rposition(|(n, _)| n == name) else {
            return Ok(false);
        };
        let bytes = self.savepoints[at].1;
        self.savepoints.truncate(at + 1);
        match &mut self.file {
            Some(to) if bytes < to.bytes => {
                self.memory.clear();
                to.bytes = bytes;
                to.file
                    .set_len(bytes)
                    .and_then(|()| to.file.seek(SeekFrom::Start(bytes)))
                    .map_err(|source| io("shorten a file in", &to.folder, source))?;
            }
            _ => {
                let in_file = self.file.as_ref().map_or(0, |f| f.bytes);
                let left = usize::try_from(bytes - in_file).unwrap_or(usize::MAX);
                self.memory.truncate(left);
            }
        }
        Ok(true)
    }

    /// Fills `events`, which is emptied first, with the next run of whole
    /// events. `false` at the end. Nothing can be kept after the first call.
    pub(crate) fn next_run(&mut self, events: &mut Vec<u8>) -> Result<bool> {
        let Some(from) = &mut self.file else {
            std::mem::swap(events, &mut self.memory);
            self.memory = Vec::new();
            return Ok(!events.is_empty());
        };
        events.clear();
        if from.read < from.bytes {
            let left = from.bytes - from.read;
            let mut wanted = left.min(RUN_BYTES as u64);
            let mut end = 0;
            while end == 0 {
                let file = &mut from.file;
                events.clear();
                file.seek(SeekFrom::Start(from.read))
                    .and_then(|_| file.take(wanted).read_to_end(events))
                    .map_err(|source| io("read a file in", &from.folder, source))?;
                while let Some(header) = Header::read(&events[end..])
                    && events.len() - end >= header.bytes as usize
                {
                    end += header.bytes as usize;
                }
                if end == 0 {
                    let needed = Header::read(events).map_or(0, |h| u64::from(h.bytes));
                    if needed <= wanted || needed > left {
                        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                        return Err(io("read a file in", &from.folder, source));
                    }
                    wanted = needed;
                }
            }
            events.truncate(end);
            from.read += end as u64;
            return Ok(true);
        }
        std::mem::swap(events, &mut self.memory);
        self.memory = Vec::new();
        Ok(!events.is_empty())
    }
}

fn io(doing: &'static str, folder: &Path, source: std::io::Error) -> Error {
    Error::Io {
        doing,
        path: folder.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::HEADER_BYTES;

    fn event(fill: u8, bytes: usize) -> Vec<u8> {
        let mut raw = vec![fill; bytes];
        raw[9..13].copy_from_slice(&u32::try_from(bytes).unwrap().to_le_bytes());
        raw
    }

    fn all(mut kept: Kept) -> Vec<u8> {
        let (mut out, mut run) = (Vec::new(), Vec::new());
        while kept.next_run(&mut run).unwrap() {
            assert!(Header::read(&run).is_some());
            out.extend_from_slice(&run);
        }
        out
    }

    #[test]
    fn what_is_kept_comes_back_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for spills in [false, true] {
            let mut kept = Kept::new(Checksum::None);
            let mut expected = Vec::new();
            for i in 0..50_u8 {
                let raw = event(i, HEADER_BYTES + usize::from(i) * 3000);
                kept.push(&raw).unwrap();
                expected.extend_from_slice(&raw);
                if spills && i == 3 {
                    kept.spill(&folder.path().join("new")).unwrap();
                }
            }
            // Longer than a run.
            let raw = event(99, 3 * RUN_BYTES);
            kept.push(&raw).unwrap();
            kept.push(&event(1, 40)).unwrap();
            expected.extend_from_slice(&raw);
            expected.extend_from_slice(&event(1, 40));
            assert_eq!(all(kept), expected);
        }
    }

    #[test]
    fn savepoints_forget_what_came_after_them() {
        let folder = tempfile::tempdir().unwrap();
        for spill_at in [None, Some(0), Some(1), Some(2), Some(3)] {
            let mut kept = Kept::new(Checksum::None);
            for i in 0..4_u8 {
                kept.savepoint(vec![i % 3]);
                kept.push(&event(i, 30)).unwrap();
                if spill_at == Some(i) {
                    kept.spill(folder.path()).unwrap();
                }
            }
            assert!(!kept.roll_back_to(b"x").unwrap());
            // 0 was set again, after 1 and 2.
            assert!(kept.roll_back_to(&[0]).unwrap());
            assert!(kept.roll_back_to(&[2]).unwrap());
            assert!(!kept.roll_back_to(&[0]).unwrap());
            kept.push(&event(9, 40)).unwrap();
            let expected = [event(0, 30), event(1, 30), event(9, 40)].concat();
            assert_eq!(all(kept), expected, "{spill_at:?}");
        }
    }
}
