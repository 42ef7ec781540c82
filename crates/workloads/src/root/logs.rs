//! Reading the log of an instance, over the files that it is in.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::error::{Error, Result};
use crate::model::{LogChunk, LogFrom, LogPosition};

/// How often files are opened anew when they were moved aside meanwhile.
const TRIES: u32 = 5;

/// One file of a log.
struct Piece {
    file: File,
    id: u64,
    len: u64,
}

/// Reads the log whose newest file is at `path` and has up to `older` others.
pub(crate) fn read(path: &Path, older: u32, from: LogFrom) -> Result<LogChunk> {
    let mut pieces = pieces(path, older)?;
    let max = LogChunk::MAX_BYTES as u64;
    let mut gap = false;
    let (first, offset) = match from {
        LogFrom::LastBytes(bytes) => back(&pieces, bytes.min(max)),
        LogFrom::LastLines(_) => back(&pieces, max),
        LogFrom::After(at) => {
            let found = pieces
                .iter()
                .position(|p| p.id == at.file && p.len >= at.offset);
            gap = found.is_none() && !pieces.is_empty();
            found.map_or((0, 0), |n| (n, at.offset))
        }
    };
    let mut bytes = Vec::new();
    let mut end = None;
    for (n, piece) in pieces.iter_mut().enumerate().skip(first) {
        let begin = if n == first { offset } else { 0 };
        let left = max.saturating_sub(bytes.len() as u64);
        piece
            .file
            .seek(SeekFrom::Start(begin))
            .map_err(|e| Error::io("read", path, e))?;
        let had = bytes.len();
        (&piece.file)
            .take(left)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io("read", path, e))?;
        end = Some(LogPosition {
            file: piece.id,
            offset: begin + (bytes.len() - had) as u64,
        });
        if bytes.len() as u64 >= max {
            break;
        }
    }
    if let LogFrom::LastLines(count) = from {
        keep_last_lines(&mut bytes, count);
    }
    Ok(LogChunk { bytes, end, gap })
}

/// The files, oldest first.
fn pieces(path: &Path, older: u32) -> Result<Vec<Piece>> {
    let mut tries = 0;
    loop {
        let newest = open(path)?;
        let mut pieces = Vec::new();
        for n in (1..=older).rev() {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{n}"));
            pieces.extend(open(Path::new(&name))?);
        }
        pieces.extend(newest);
        tries += 1;
        // When they were moved aside meanwhile, one is there twice or missing.
        let now = open(path)?.map(|p| p.id);
        let distinct: std::collections::BTreeSet<u64> = pieces.iter().map(|p| p.id).collect();
        let steady = pieces.last().map(|p| p.id) == now || now.is_none();
        if (steady && distinct.len() == pieces.len()) || tries >= TRIES {
            return Ok(pieces);
        }
    }
}

fn open(path: &Path) -> Result<Option<Piece>> {
    let failed = |e: std::io::Error| Error::io("read", path, e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let wanted = StatxFlags::INO | StatxFlags::SIZE | StatxFlags::BTIME;
    let facts = statx(&file, "", AtFlags::EMPTY_PATH, wanted).map_err(|e| failed(e.into()))?;
    // The number of a file is given to others later; the time of its birth,
    // where the file system keeps it, is not.
    let born = (facts.stx_btime.tv_sec.cast_unsigned())
        .wrapping_mul(1_000_000_000)
        .wrapping_add(facts.stx_btime.tv_nsec.into());
    Ok(Some(Piece {
        file,
        id: facts.stx_ino.rotate_left(40) ^ born,
        len: facts.stx_size,
    }))
}

/// Where the last `bytes` begin: which file, and how far into it.
fn back(pieces: &[Piece], bytes: u64) -> (usize, u64) {
    let mut left = bytes;
    for (n, piece) in pieces.iter().enumerate().rev() {
        if piece.len >= left {
            return (n, piece.len - left);
        }
        left -= piece.len;
    }
    (0, 0)
}

fn keep_last_lines(bytes: &mut Vec<u8>, count: usize) {
    if count == 0 {
        bytes.clear();
        return;
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let begin = body
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, b)| **b == b'\n')
        .nth(count - 1)
        .map_or(0, |(at, _)| at + 1);
    bytes.drain(..begin);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let cases = [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\n", 5, "a\n"),
            ("\n\n\n", 1, "\n"),
            ("a\nb\n", 0, ""),
        ];
        for (text, count, wanted) in cases {
            let mut bytes = text.as_bytes().to_vec();
            keep_last_lines(&mut bytes, count);
            assert_eq!(
                String::from_utf8(bytes).unwrap(),
                wanted,
                "{text:?} {count}"
            );
        }
    }

    #[test]
    fn a_log_is_read_on_across_files_that_are_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let older = |n: u32| folder.path().join(format!("log.{n}"));
        let none = read(&path, 2, LogFrom::LastLines(5)).unwrap();
        assert_eq!((none.bytes.len(), none.end), (0, None));
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let first = read(&path, 2, LogFrom::LastLines(1)).unwrap();
        assert_eq!(first.bytes, b"two\n");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        std::fs::rename(&path, older(1)).unwrap();
        std::fs::write(&path, "four\n").unwrap();
        let on = read(&path, 2, LogFrom::After(first.end.unwrap())).unwrap();
        assert_eq!(
            (on.bytes.as_slice(), on.gap),
            (&b"three\nfour\n"[..], false)
        );
        let bytes = read(&path, 2, LogFrom::LastBytes(7)).unwrap();
        assert_eq!(bytes.bytes, b"e\nfour\n");
        // What was read last is gone by now.
        std::fs::remove_file(older(1)).unwrap();
        let gap = read(&path, 2, LogFrom::After(first.end.unwrap())).unwrap();
        assert_eq!((gap.bytes.as_slice(), gap.gap), (&b"four\n"[..], true));
    }
}
