//! Compressed events (`log_bin_compress`): a byte that tells the method and how
//! many bytes the length takes, the length (the highest byte first), a zlib
//! stream.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

/// Room that is made at once: a small input that claims to be large gets no
/// more than it fills.
const STEP_BYTES: usize = 1 << 20;

/// Takes compressed bodies apart; its memory is used anew.
pub(crate) struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

impl Inflater {
    /// Fills `out`, which is emptied first, with what `raw` says.
    pub(crate) fn inflate(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        const MALFORMED: &str = "a compressed event is malformed";
        out.clear();
        let (head, rest) = raw.split_first().ok_or(MALFORMED)?;
        if head & 0x80 == 0 {
            return Err(MALFORMED);
        }
        if head & 0x70 != 0 {
            return Err("an event is compressed in an unknown way");
        }
        let digits = usize::from(head & 0x07);
        if !(1..=4).contains(&digits) {
            return Err(MALFORMED);
        }
        let (length, mut rest) = rest.split_at_checked(digits).ok_or(MALFORMED)?;
        let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        self.0.reset(true);
        loop {
            out.reserve((length - out.len()).clamp(1, STEP_BYTES));
            let (read, written) = (self.0.total_in(), out.len());
            let status = self
                .0
                .decompress_vec(rest, out, FlushDecompress::None)
                .map_err(|_| MALFORMED)?;
            let read = usize::try_from(self.0.total_in() - read).map_err(|_| MALFORMED)?;
            rest = rest.get(read..).ok_or(MALFORMED)?;
            if out.len() > length {
                return Err(MALFORMED);
            }
            if status == Status::StreamEnd {
                break;
            }
            if read == 0 && out.len() == written {
                return Err(MALFORMED);
            }
        }
        if out.len() == length {
            Ok(())
        } else {
            Err(MALFORMED)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn packed(text: &[u8], claimed: usize) -> Vec<u8> {
        let mut raw = vec![0x84];
        raw.extend(u32::try_from(claimed).unwrap().to_be_bytes());
        let mut encoder = ZlibEncoder::new(raw, Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let mut inflater = Inflater::default();
        let mut out = Vec::new();
        for length in [0, 1, 255, 256, 70_000, 3 << 20] {
            let text: Vec<u8> = (0..length).map(|i: u32| (i % 251) as u8).collect();
            let raw = packed(&text, text.len());
            inflater.inflate(&raw, &mut out).unwrap();
            assert_eq!(out, text);
        }
    }

    #[test]
    fn a_wrong_length_is_refused_and_makes_no_room() {
        let mut inflater = Inflater::default();
        let mut out = Vec::new();
        for claimed in [99, 101, 0, 0xffff_ffff] {
            let raw = packed(&[7; 100], claimed);
            assert!(inflater.inflate(&raw, &mut out).is_err(), "{claimed}");
            assert!(out.capacity() <= 2 * STEP_BYTES);
        }
    }

    #[test]
    fn what_is_cut_is_refused() {
        let mut inflater = Inflater::default();
        let mut out = Vec::new();
        let raw = packed(&[7; 1000], 1000);
        for length in 0..raw.len() - 4 {
            assert!(inflater.inflate(&raw[..length], &mut out).is_err());
        }
        assert!(inflater.inflate(b"\x91\x01x", &mut out).is_err());
        assert!(inflater.inflate(b"\x01\x01x", &mut out).is_err());
    }
}
