//! The form of a chunk: bytes of a log, and a journal that has the microsecond
//! at which each of its groups arrived.
//!
//! ```text
//! BOCHUNK1 | bytes of the log, u64 | bytes of the journal, u64 | zstd(log, journal) | crc32 of all before
//! ```

use crate::change::Micros;

const MAGIC: [u8; 8] = *b"BOCHUNK1";
const HEAD: usize = 8 + 8 + 8;
const SUM: usize = 4;

/// Binary logs are full of zeros and repeated rows: higher levels gain little
/// and would slow down the follower.
const LEVEL: i32 = 1;

/// Up to here the memory for a chunk is taken at once; a larger one (there is
/// such only for an event as large) grows as it is read, so that a forged
/// length costs nothing.
const AT_ONCE: u64 = 64 << 20;

/// When a group arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it begins in its file.
    pub(super) offset: u64,
    /// When it arrived, while the server was followed live.
    pub(super) clock: Micros,
}

/// The bytes of a chunk of `raw`, which begins at byte `start` of its file.
/// Marks are in the order of their offsets.
pub(super) fn encode(start: u64, raw: &[u8], marks: &[Mark]) -> std::io::Result<Vec<u8>> {
    let mut journal = Vec::with_capacity(marks.len() * 4);
    let (mut offset, mut clock) = (start, 0_i64);
    for mark in marks {
        put(&mut journal, mark.offset.wrapping_sub(offset));
        let passed = mark.clock.0.wrapping_sub(clock);
        put(
            &mut journal,
            ((passed << 1) ^ (passed >> 63)).cast_unsigned(),
        );
        (offset, clock) = (mark.offset, mark.clock.0);
    }
    let mut out = Vec::with_capacity(HEAD + raw.len() / 3);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(raw.len() as u64).to_le_bytes());
    out.extend_from_slice(&(journal.len() as u64).to_le_bytes());
    let mut encoder = zstd::Encoder::new(out, LEVEL)?;
    std::io::Write::write_all(&mut encoder, raw)?;
    std::io::Write::write_all(&mut encoder, &journal)?;
    let mut out = encoder.finish()?;
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// Takes a chunk apart that holds `expected` bytes of a log from byte `start`
/// on: they are put into `raw`. What is wrong, in words, otherwise.
pub(super) fn decode(
    start: u64,
    expected: u64,
    stored: &[u8],
    raw: &mut Vec<u8>,
) -> Result<Vec<Mark>, &'static str> {
    const NOT: &str = "its checksum does not hold";
    raw.clear();
    let at = stored.len().checked_sub(SUM).ok_or("it is cut off")?;
    let (covered, sum) = stored.split_at(at);
    if crc32fast::hash(covered).to_le_bytes() != *sum {
        return Err(NOT);
    }
    let head: &[u8; HEAD] = covered.first_chunk().ok_or("it is cut off")?;
    if head[..8] != MAGIC {
        return Err("it is not a chunk");
    }
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (log, journal) = (number(8), number(16));
    // A mark has at least two bytes, and a group more than that.
    if log != expected || journal > expected.saturating_mul(2) {
        return Err("it does not hold what the index says");
    }
    let total = log.saturating_add(journal);
    let cut = usize::try_from(log).map_err(|_| NOT)?;
    if total <= AT_ONCE {
        let total = usize::try_from(total).map_err(|_| NOT)?;
        raw.reserve(total);
        zstd::bulk::Decompressor::new()
            .and_then(|mut d| d.decompress_to_buffer(&covered[HEAD..], raw))
            .map_err(|_| "it cannot be decompressed")?;
    } else {
        let decoder =
            zstd::Decoder::new(&covered[HEAD..]).map_err(|_| "it cannot be decompressed")?;
        std::io::Read::read_to_end(
            &mut std::io::Read::take(decoder, total.saturating_add(1)),
            raw,
        )
        .map_err(|_| "it cannot be decompressed")?;
    }
    if raw.len() as u64 != total {
        return Err("it does not hold what the index says");
    }
    let mut rest = &raw[cut..];
    let mut marks = Vec::new();
    let (mut offset, mut clock) = (start, 0_i64);
    while !rest.is_empty() {
        let step = take(&mut rest).ok_or("its journal is malformed")?;
        let passed = take(&mut rest).ok_or("its journal is malformed")?;
        offset = offset.wrapping_add(step);
        clock = clock.wrapping_add((passed >> 1).cast_signed() ^ -(passed & 1).cast_signed());
        marks.push(Mark {
            offset,
            clock: Micros(clock),
        });
    }
    raw.truncate(cut);
    Ok(marks)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_as_it_was_and_never_otherwise() {
        let raw: Vec<u8> = (0..100_000_u32)
            .flat_map(|i| (i / 7).to_le_bytes())
            .collect();
        let marks: Vec<Mark> = (0..100)
            .map(|i| Mark {
                offset: 1000 + i * 17,
                clock: Micros(1_700_000_000_000_000 - i64::try_from(i).unwrap() * 3 + 90),
            })
            .collect();
        let stored = encode(1000, &raw, &marks).unwrap();
        assert!(stored.len() < raw.len());
        let mut back = Vec::new();
        let length = raw.len() as u64;
        assert_eq!(decode(1000, length, &stored, &mut back).unwrap(), marks);
        assert_eq!(back, raw);
        assert!(decode(1000, length - 1, &stored, &mut back).is_err());
        for at in (0..stored.len()).step_by(211).chain([stored.len() - 1]) {
            let mut bad = stored.clone();
            bad[at] ^= 0x10;
            assert!(decode(1000, length, &bad, &mut back).is_err(), "{at}");
            assert!(
                decode(1000, length, &stored[..at], &mut back).is_err(),
                "{at}"
            );
        }
    }

    #[test]
    fn a_forged_length_takes_no_memory() {
        let mut stored = encode(0, b"abc", &[]).unwrap();
        let huge = 1_u64 << 50;
        stored[8..16].copy_from_slice(&huge.to_le_bytes());
        let at = stored.len() - SUM;
        let sum = crc32fast::hash(&stored[..at]);
        stored[at..].copy_from_slice(&sum.to_le_bytes());
        let mut raw = Vec::new();
        assert!(decode(0, huge, &stored, &mut raw).is_err());
        assert!(raw.capacity() < 1 << 20);
    }
}
