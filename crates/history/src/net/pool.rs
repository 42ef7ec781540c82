//! The hash table of touched rows, in an arena of bounded size.
//!
//! A record holds a key and what became of its row. Records lie in blocks of
//! equal size, which are used again after a spill; one that is longer has a
//! block of its own. A slot of the table holds 32 bits of the key's hash, and
//! where the record is, counted in units of eight bytes.

use std::hash::{BuildHasher, Hasher};

use super::runs::{Record, Same, Value};

/// Bytes of a record before its key.
const HEAD_BYTES: usize = 24;

/// What a length says of an image that is not there.
const NONE: u32 = u32::MAX;

/// Blocks are as long as this, unless the memory is small: long enough that
/// what is left over at their ends does not matter.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// And not shorter: a block should hold a few rows.
const BLOCK_BYTES_MIN: usize = 4 << 10;
/// Blocks that the memory shall hold at least.
const BLOCKS_MIN: usize = 16;

/// Slots of a new table.
const SLOTS_MIN: usize = 256;

/// What a record costs when it is sorted: a [`Place`].
const SORT_BYTES: usize = size_of::<Place>();

/// More than this cannot be addressed in units of eight bytes by 32 bits; half
/// of that, so that blocks of long records, which begin at a whole block, fit
/// as well.
pub(super) const BUDGET_MAX: usize = 16 << 30;

/// A record to be sorted: its table, where it is, how its key begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    table: u32,
    at: u32,
    prefix: u64,
}

#[derive(Debug)]
pub(super) struct Pool {
    budget: usize,
    /// The binary logarithm of a block's length.
    shift: u32,
    /// A long record's block is followed by empty ones, for the addresses that
    /// it covers beyond its first block.
    blocks: Vec<Box<[u8]>>,
    /// Blocks that are not in use.
    free: Vec<Box<[u8]>>,
    /// Bytes of all blocks.
    block_bytes: usize,
    /// The next free byte, and the end of its block.
    at: usize,
    end: usize,
    /// A power of two; 0 is an empty slot: no record is at 0.
    slots: Vec<u64>,
    count: usize,
    hash: foldhash::quality::RandomState,
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Whole,
    /// The row was not as the change before it had left it.
    Broken,
    /// There is no room: spill, and try again.
    Full,
}

fn round_up(bytes: usize) -> usize {
    bytes.div_ceil(8) * 8
}

/// Lengths fit: an event is shorter than 4 GiB.
fn length(image: Option<&[u8]>) -> u32 {
    image.map_or(NONE, |i| u32::try_from(i.len()).unwrap_or(NONE - 1))
}

impl Pool {
    pub(super) fn new(budget: usize) -> Self {
        let block = (budget / BLOCKS_MIN)
            .clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)
            .next_power_of_two();
        Self {
            budget: budget.min(BUDGET_MAX),
            shift: block.ilog2(),
            blocks: Vec::new(),
            free: Vec::new(),
            block_bytes: 0,
            at: 0,
            end: 0,
            slots: vec![0; SLOTS_MIN],
            count: 0,
            hash: foldhash::quality::RandomState::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes in use, with what sorting will take.
    pub(super) fn used(&self) -> usize {
        self.block_bytes
            + self.slots.len() * size_of::<u64>()
            + (self.blocks.capacity() + self.free.capacity()) * size_of::<Box<[u8]>>()
            + self.count * SORT_BYTES
    }

    /// Takes in a change of a row that has a key. `before` and `after` are the
    /// row at both ends of the change; `same` tells whether two images are of
    /// one state.
    pub(super) fn change(
        &mut self,
        table: u32,
        key: &[u8],
        before: Option<&[u8]>,
        after: Option<&[u8]>,
        same: Same<'_>,
    ) -> Taken {
        let hash = self.hash_of(table, key);
        match self.find(hash, table, key) {
            Ok(at) => self.amend(at, before, after, same),
            Err(_) => {
                let inline =
                    key.len() + before.map_or(0, <[u8]>::len) + after.map_or(0, <[u8]>::len);
                let Some(at) = self.insert(hash, HEAD_BYTES + inline) else {
                    return Taken::Full;
                };
                let record = self.bytes_mut(at);
                put(record, 0, table);
                put(record, 4, length(Some(key)));
                put(record, 8, length(before));
                put(record, 12, length(after));
                put(record, 16, length(after.or(Some(&[]))));
                put(record, 20, 0);
                let mut end = HEAD_BYTES;
                for part in [Some(key), before, after].into_iter().flatten() {
                    record[end..end + part.len()].copy_from_slice(part);
                    end += part.len();
                }
                Taken::Whole
            }
        }
    }

    /// Counts a row of a table without a key: up when it came, down when it
    /// went.
    pub(super) fn count(&mut self, table: u32, image: &[u8], by: i64) -> Taken {
        let hash = self.hash_of(table, image);
        let at = match self.find(hash, table, image) {
            Ok(at) => at,
            Err(_) => {
                let Some(at) = self.insert(hash, HEAD_BYTES + image.len()) else {
                    return Taken::Full;
                };
                let record = self.bytes_mut(at);
                put(record, 0, table);
                put(record, 4, length(Some(image)));
                record[8..16].copy_from_slice(&0i64.to_le_bytes());
                record[HEAD_BYTES..HEAD_BYTES + image.len()].copy_from_slice(image);
                at
            }
        };
        let record = self.bytes_mut(at);
        let count = get_i64(record) + by;
        record[8..16].copy_from_slice(&count.to_le_bytes());
        Taken::Whole
    }

    /// The record at `at`; `counted` tells which kind its table has.
    pub(super) fn record(&self, place: &Place, counted: &[bool]) -> Record<'_> {
        let raw = self.bytes(place.at);
        let key = &raw[HEAD_BYTES..HEAD_BYTES + get(raw, 4) as usize];
        let value = if counted[place.table as usize] {
            Value::Count(get_i64(raw))
        } else {
            let (before, after) = self.ends(raw);
            Value::Ends { before, after }
        };
        Record {
            table: place.table,
            key,
            value,
        }
    }

    fn ends<'a>(&'a self, raw: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        let start = HEAD_BYTES + get(raw, 4) as usize;
        let (before, end) = match get(raw, 8) {
            NONE => (None, start),
            n => (Some(&raw[start..start + n as usize]), start + n as usize),
        };
        let after = match (get(raw, 12), get(raw, 20)) {
            (NONE, _) => None,
            (n, 0) => Some(&raw[end..end + n as usize]),
            (n, moved) => Some(&self.bytes(moved)[..n as usize]),
        };
        (before, after)
    }

    /// All records in order of table and key. Their slots are emptied: what
    /// follows can only be [`Self::record`] and [`Self::clear`].
    pub(super) fn sorted(&mut self) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.count);
        for i in 0..self.slots.len() {
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
            let at = self.slots[i] as u32;
            if at == 0 {
                continue;
            }
            let raw = self.bytes(at);
            let key = &raw[HEAD_BYTES..HEAD_BYTES + get(raw, 4) as usize];
            places.push(Place {
                table: get(raw, 0),
                at,
                prefix: prefix(key),
            });
        }
        places.sort_unstable_by(|a, b| {
            (a.table, a.prefix)
                .cmp(&(b.table, b.prefix))
                .then_with(|| self.key(a.at).cmp(self.key(b.at)))
        });
        places
    }

    /// Forgets all records, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
        self.count = 0;
        let whole = 1usize << self.shift;
        for block in self.blocks.drain(..) {
            if block.len() == whole {
                self.free.push(block);
            } else {
                self.block_bytes -= block.len();
            }
        }
        self.at = 0;
        self.end = 0;
    }

    fn key(&self, at: u32) -> &[u8] {
        let raw = self.bytes(at);
        &raw[HEAD_BYTES..HEAD_BYTES + get(raw, 4) as usize]
    }

    #[expect(clippy::cast_possible_truncation, reason = "32 bits are wanted")]
    fn hash_of(&self, table: u32, key: &[u8]) -> u32 {
        let mut hasher = self.hash.build_hasher();
        hasher.write_u32(table);
        hasher.write(key);
        hasher.finish() as u32
    }

    /// Where the record is, or which slot is free for it.
    fn find(&self, hash: u32, table: u32, key: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut i = hash as usize & mask;
        loop {
            let slot = self.slots[i];
            if slot == 0 {
                return Err(i);
            }
            if slot >> 32 == u64::from(hash) {
                #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
                let at = slot as u32;
                let raw = self.bytes(at);
                if get(raw, 0) == table && self.key(at) == key {
                    return Ok(at);
                }
            }
            i = (i + 1) & mask;
        }
    }

    /// Room for a record of so many bytes, with a slot; `None` when the budget
    /// has no room for it. A pool without records always has.
    fn insert(&mut self, hash: u32, bytes: usize) -> Option<u32> {
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            let wanted = self.slots.len() * 2;
            // For a moment there are both tables.
            if self.used() + wanted * size_of::<u64>() > self.budget && self.count > 0 {
                return None;
            }
            let old = std::mem::replace(&mut self.slots, vec![0; wanted]);
            for slot in old.into_iter().filter(|s| *s != 0) {
                self.put_slot(slot);
            }
        }
        let at = self.allocate(bytes)?;
        self.put_slot(u64::from(hash) << 32 | u64::from(at));
        self.count += 1;
        Some(at)
    }

    fn put_slot(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut i = (slot >> 32) as usize & mask;
        while self.slots[i] != 0 {
            i = (i + 1) & mask;
        }
        self.slots[i] = slot;
    }

    /// Where so many bytes are, in units of eight, from 1.
    fn allocate(&mut self, bytes: usize) -> Option<u32> {
        let bytes = round_up(bytes);
        if bytes > self.end - self.at {
            let whole = 1usize << self.shift;
            if bytes <= whole
                && let Some(block) = self.free.pop()
            {
                self.begin_block(block, whole);
            } else {
                let length = bytes.max(whole);
                if self.used() + SORT_BYTES + length > self.budget && self.count > 0 {
                    return None;
                }
                self.block_bytes += length;
                self.begin_block(vec![0; length].into(), length);
            }
        }
        // No record is at 0, since that is an empty slot.
        let at = u32::try_from(self.at / 8 + 1).ok()?;
        self.at += bytes;
        Some(at)
    }

    fn begin_block(&mut self, block: Box<[u8]>, length: usize) {
        self.at = self.blocks.len() << self.shift;
        self.end = self.at + length;
        self.blocks.push(block);
        let covered = length.div_ceil(1 << self.shift);
        self.blocks
            .resize_with(self.blocks.len() + covered - 1, Box::default);
    }

    /// What is from `at` to the end of its block.
    fn bytes(&self, at: u32) -> &[u8] {
        let at = (at as usize - 1) * 8;
        &self.blocks[at >> self.shift][at & ((1 << self.shift) - 1)..]
    }

    fn bytes_mut(&mut self, at: u32) -> &mut [u8] {
        let at = (at as usize - 1) * 8;
        &mut self.blocks[at >> self.shift][at & ((1 << self.shift) - 1)..]
    }

    fn amend(
        &mut self,
        at: u32,
        before: Option<&[u8]>,
        after: Option<&[u8]>,
        same: Same<'_>,
    ) -> Taken {
        let raw = self.bytes(at);
        let whole = same(get(raw, 0), self.ends(raw).1, before);
        let moved = get(raw, 20);
        if let Some(after) = after {
            if after.len() <= get(raw, 16) as usize {
                let record = self.bytes_mut(at);
                let target = if moved == 0 {
                    let before = match get(record, 8) {
                        NONE => 0,
                        n => n as usize,
                    };
                    let start = HEAD_BYTES + get(record, 4) as usize + before;
                    &mut record[start..]
                } else {
                    self.bytes_mut(moved)
                };
                target[..after.len()].copy_from_slice(after);
            } else {
                let Some(moved) = self.allocate(after.len()) else {
                    return Taken::Full;
                };
                self.bytes_mut(moved)[..after.len()].copy_from_slice(after);
                let record = self.bytes_mut(at);
                put(record, 16, length(Some(after)));
                put(record, 20, moved);
            }
        }
        put(self.bytes_mut(at), 12, length(after));
        if whole { Taken::Whole } else { Taken::Broken }
    }
}

/// The first eight bytes, as a number that compares as they do.
pub(super) fn prefix(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut first = [0; 8];
    first[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(first)
}

fn get(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

fn get_i64(record: &[u8]) -> i64 {
    record[8..16]
        .first_chunk()
        .map_or(0, |b| i64::from_le_bytes(*b))
}

fn put(record: &mut [u8], at: usize, value: u32) {
    record[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
