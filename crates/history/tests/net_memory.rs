//! The memory that a reduction takes, as the allocator counts it. Alone in its
//! file, since all tests of a process would be counted together.

use std::alloc::System;
use std::sync::Arc;

use backout_history::change::{Change, Table};
use backout_history::layout::read_table_map;
use backout_history::{Key, NetFiles, NetTable, Reducer, TableName};
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What it may take beyond what it was given.
const BEYOND: usize = 1 << 20;

#[test]
fn a_reduction_takes_what_it_is_given() {
    // id INT, text VARCHAR(60000).
    let body = [
        &[1, 0, 0, 0, 0, 0, 1, 0, 1, b's', 0, 1, b't', 0][..],
        &[2, 3, 15, 2, 0x60, 0xea, 0],
    ]
    .concat();
    let (_, name, layout) = read_table_map(&body).unwrap();
    let table = Arc::new(Table { name, layout });
    let mut image = Vec::with_capacity(70_000);
    // Ascending, since the allocator keeps the greatest of all.
    for (memory, key, text) in [
        (64 << 10, Key::Columns(vec![0]), 100),
        (4 << 20, Key::Columns(vec![0]), 10),
        (4 << 20, Key::Columns(vec![1, 0]), 300),
        (4 << 20, Key::WholeRow, 100),
        (4 << 20, Key::Columns(vec![0]), 50_000),
        (12 << 20, Key::Columns(vec![0]), 150),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let before = ALLOCATOR.allocated();
        let tables = vec![NetTable {
            name: TableName::new("s", "t"),
            key: key.clone(),
            signedness: vec![],
            computed: vec![],
        }];
        let mut reducer = Reducer::new(folder.path(), memory as u64, tables).unwrap();
        let mut peak = 0;
        let mut seed = 5u32;
        let rows = 6 * memory / (text + 100) + 100;
        for i in 0..2 * rows {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Each key comes twice, far apart, and its text gets longer.
            let id = u32::try_from(i % rows).unwrap().wrapping_mul(0x9e37_79b1);
            let length = text / 2 + (seed >> 8) as usize % text / 2 + i / rows;
            image.clear();
            image.push(0);
            image.extend_from_slice(&id.to_le_bytes());
            image.extend_from_slice(&u16::try_from(length).unwrap().to_le_bytes());
            image.resize(image.len() + length, b'x');
            let (before_image, after) = if i < rows {
                (None, Some(&image[..]))
            } else {
                (Some(&image[..]), None)
            };
            reducer
                .change(&Change {
                    table: &table,
                    before: before_image,
                    after,
                    ends_statement: true,
                })
                .unwrap();
            if i % 64 == 0 {
                peak = peak.max(ALLOCATOR.allocated() - before);
            }
        }
        assert!(reducer.spilled_bytes() > 2 * memory as u64);
        reducer.finish(&|| false).unwrap();
        let mut rows = NetFiles::open(folder.path())
            .unwrap()
            .unwrap()
            .rows(0)
            .unwrap();
        while rows.next().unwrap().is_some() {}
        let used = ALLOCATOR.max_allocated() - before;
        assert!(
            used <= memory + BEYOND + 8 * text,
            "{used} bytes for {memory}, {key:?}, {text}"
        );
        assert!(
            peak > memory / 4,
            "{peak} of {memory} is hardly a use of it"
        );
    }
}
