//! Any events as a binary log: nothing may panic, and how the log is cut into
//! blocks must not matter.
//!
//! Input: events, each one byte for the kind, one for the flags, two for the
//! length of the body (the lowest first), the body. Lengths and positions are
//! right, and there are no checksums, so that more than the first event is
//! reached.

#![no_main]

use backout_history::event::Checksum;
use backout_history::{Block, FileSource, Item, Position, Reader, ReaderOptions, Result, Source};
use libfuzzer_sys::fuzz_target;

struct Blocks {
    events: Vec<Vec<u8>>,
    at: usize,
    offset: u64,
    each: usize,
}

impl Source for Blocks {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        let end = self.events.len().min(self.at + self.each);
        block.raw.clear();
        block.carry.clear();
        for event in &self.events[self.at..end] {
            block.raw.extend_from_slice(event);
        }
        block.at = Position {
            file: "bin.000001".into(),
            offset: self.offset,
        };
        block.checksum = Checksum::None;
        self.offset += block.raw.len() as u64;
        self.at = end;
        Ok(!block.raw.is_empty())
    }
}

fuzz_target!(|data: &[u8]| {
    let events = events(data);
    let whole = read(&events, usize::MAX / 2);
    assert_eq!(read(&events, 1), whole);
    // The same bytes as a file of its own.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bin.000001");
    std::fs::write(&path, data).unwrap();
    if let Ok(source) = FileSource::open(&[path]) {
        let mut reader = Reader::new(source, ReaderOptions::default());
        while let Ok(Some(_)) = reader.next() {}
    }
});

fn events(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut next = 4;
    while let [kind, flags, low, high, rest @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (body, rest) = rest.split_at(length);
        data = rest;
        let bytes = 19 + length;
        next += bytes;
        let mut event = vec![0; 4];
        event.push(*kind);
        event.extend(1_u32.to_le_bytes());
        event.extend((bytes as u32).to_le_bytes());
        event.extend((next as u32).to_le_bytes());
        event.extend([*flags, 0]);
        event.extend_from_slice(body);
        events.push(event);
    }
    events
}

/// What is read, and whether it ended well.
fn read(events: &[Vec<u8>], each: usize) -> (Vec<String>, bool) {
    let source = Blocks {
        events: events.to_vec(),
        at: 0,
        offset: 4,
        each,
    };
    let mut reader = Reader::new(source, ReaderOptions::default());
    let mut read = Vec::new();
    loop {
        match reader.next() {
            Ok(None) => return (read, true),
            Err(_) => return (read, false),
            Ok(Some(Item::Change(change))) => read.push(format!(
                "{:?} {:?} {}",
                change.before, change.after, change.ends_statement
            )),
            Ok(Some(item)) => read.push(format!("{item:?}")),
        }
    }
}
