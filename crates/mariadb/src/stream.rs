//! The stream in which the backup tool hands out many files at once
//! (`mbstream`): chunks, each of one file, with a checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `XBSTCK01` |
//! | 1 | flags |
//! | 1 | `P` for a payload, `E` for the end of a file |
//! | 4 | length of the path, little endian as all |
//! | n | the path |
//! | 8, 8, 4, n | of a payload: its length, its offset in the file, its CRC-32, itself |

use std::io::Read;

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"XBSTCK01";

/// Longest path in a stream, in bytes; that of the tool itself.
const PATH_MAX: u32 = 512;

/// Longest piece that is handed out, in bytes: the tool's chunks are ten times
/// as long, and several are in memory at a time.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// A piece of a file, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The file's path.
    pub path: String,
    /// The bytes; `None` at the file's end.
    pub payload: Option<Vec<u8>>,
}

/// Reads a stream.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    source: R,
    /// Where each file that has not ended is, in bytes.
    offsets: std::collections::HashMap<String, u64>,
    chunk: Option<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    path: String,
    left: u64,
    crc: crc32fast::Hasher,
    wanted: u32,
}

fn torn(what: impl std::fmt::Display) -> Error {
    Error::Tool {
        tool: "mariadb-backup",
        doing: "take a backup".to_owned(),
        why: format!("its output is not as expected: {what}; take another"),
        passing: true,
    }
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            offsets: std::collections::HashMap::new(),
            chunk: None,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Tool`].
    pub(crate) fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            if let Some(chunk) = &mut self.chunk {
                if chunk.left > 0 {
                    let count = usize::try_from(chunk.left)
                        .unwrap_or(PIECE_BYTES)
                        .min(PIECE_BYTES);
                    let mut payload = vec![0; count];
                    self.source.read_exact(&mut payload).map_err(torn)?;
                    chunk.crc.update(&payload);
                    chunk.left -= count as u64;
                    return Ok(Some(Piece {
                        path: chunk.path.clone(),
                        payload: Some(payload),
                    }));
                }
                if chunk.crc.clone().finalize() != chunk.wanted {
                    return Err(torn(format!("{} has a wrong checksum", chunk.path)));
                }
                self.chunk = None;
            }
            let mut magic = [0_u8; 8];
            let first = self.source.read(&mut magic[..1]).map_err(torn)?;
            if first == 0 {
                return Ok(None);
            }
            self.source.read_exact(&mut magic[1..]).map_err(torn)?;
            if &magic != MAGIC {
                return Err(torn("a chunk does not begin as one"));
            }
            let [_flags, kind] = self.array()?;
            let len = u32::from_le_bytes(self.array()?);
            if len > PATH_MAX {
                return Err(torn("a path is too long"));
            }
            let mut path = vec![0; len as usize];
            self.source.read_exact(&mut path).map_err(torn)?;
            let path = String::from_utf8(path).map_err(torn)?;
            let path = path.trim_start_matches("./").to_owned();
            match kind {
                b'E' => {
                    self.offsets.remove(&path);
                    return Ok(Some(Piece {
                        path,
                        payload: None,
                    }));
                }
                b'P' => {
                    let left = u64::from_le_bytes(self.array()?);
                    let offset = u64::from_le_bytes(self.array()?);
                    let wanted = u32::from_le_bytes(self.array()?);
                    let at = self.offsets.entry(path.clone()).or_default();
                    if *at != offset {
                        return Err(torn(format!("{path} goes on at {offset}, not at {at}")));
                    }
                    *at += left;
                    self.chunk = Some(Chunk {
                        path,
                        left,
                        crc: crc32fast::Hasher::new(),
                        wanted,
                    });
                }
                other => return Err(torn(format!("a chunk is of the unknown kind {other:#x}"))),
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(torn)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(path: &str, offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([0, b'P']);
        out.extend((path.len() as u32).to_le_bytes());
        out.extend(path.as_bytes());
        out.extend((payload.len() as u64).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(crc32fast::hash(payload).to_le_bytes());
        out.extend(payload);
        out
    }

    fn end(path: &str) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([0, b'E']);
        out.extend((path.len() as u32).to_le_bytes());
        out.extend(path.as_bytes());
        out
    }

    fn all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>, bool)>> {
        let mut reader = Reader::new(bytes);
        let mut files: Vec<(String, Vec<u8>, bool)> = Vec::new();
        while let Some(piece) = reader.next()? {
            let at = files.iter().position(|file| file.0 == piece.path);
            let at = at.unwrap_or_else(|| {
                files.push((piece.path.clone(), Vec::new(), false));
                files.len() - 1
            });
            match piece.payload {
                Some(payload) => files[at].1.extend(payload),
                None => files[at].2 = true,
            }
        }
        Ok(files)
    }

    #[test]
    fn files_that_come_in_turns_are_told_apart() {
        let big = vec![7; PIECE_BYTES + 3];
        let mut bytes = chunk("./a/t.ibd", 0, &big);
        bytes.extend(chunk("b", 0, b"hello "));
        bytes.extend(chunk("./a/t.ibd", big.len() as u64, b"tail"));
        bytes.extend(end("./a/t.ibd"));
        bytes.extend(chunk("b", 6, b"world"));
        bytes.extend(end("b"));
        let files = all(&bytes).unwrap();
        assert_eq!(files[0].1.len(), big.len() + 4);
        assert_eq!(files[1], ("b".to_owned(), b"hello world".to_vec(), true));
    }

    #[test]
    fn what_is_torn_or_changed_is_an_error() {
        let mut bytes = chunk("b", 0, b"hello");
        bytes.extend(end("b"));
        assert!(all(&bytes).is_ok());
        for cut in [1, 9, 15, 30, bytes.len() - 1] {
            assert!(all(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut changed = bytes.clone();
        changed[35] ^= 1;
        assert!(all(&changed).is_err());
        assert!(all(&chunk("b", 1, b"x")).is_err());
    }
}
