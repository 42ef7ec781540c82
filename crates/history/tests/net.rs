//! The net effect against a naive model: random changes, little memory.
#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backout_history::change::{Change, Table};
use backout_history::layout::{Layout, kind, read_table_map};
use backout_history::{Key, NetFiles, NetRow, NetRows, NetSummary, NetTable, Reducer, TableName};
use proptest::prelude::*;

/// A layout of these columns: type, metadata, whether they may be null.
fn layout(columns: &[(u8, &[u8], bool)]) -> Layout {
    let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0, 1, b's', 0, 1, b't', 0];
    body.push(u8::try_from(columns.len()).unwrap());
    body.extend(columns.iter().map(|c| c.0));
    let meta: Vec<u8> = columns.iter().flat_map(|c| c.1.to_vec()).collect();
    body.push(u8::try_from(meta.len()).unwrap());
    body.extend(meta);
    let mut nulls = vec![0; columns.len().div_ceil(8)];
    for (i, column) in columns.iter().enumerate() {
        nulls[i / 8] |= u8::from(column.2) << (i % 8);
    }
    body.extend(nulls);
    read_table_map(&body).unwrap().2
}

/// `id INT, name VARCHAR(1000) NULL`.
fn id_and_name() -> Layout {
    layout(&[(kind::LONG, &[], false), (kind::VARCHAR, &[0xe8, 3], true)])
}

fn row(id: i32, name: Option<&[u8]>) -> Vec<u8> {
    let mut image = vec![if name.is_none() { 2 } else { 0 }];
    image.extend(id.to_le_bytes());
    if let Some(name) = name {
        image.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        image.extend(name);
    }
    image
}

fn table(name: &str, layout: &Layout) -> Arc<Table> {
    Arc::new(Table {
        name: TableName::new("s", name),
        layout: layout.clone(),
    })
}

fn net_table(name: &str, key: Key) -> NetTable {
    NetTable {
        name: TableName::new("s", name),
        key,
        signedness: vec![false, false],
        computed: vec![],
    }
}

type Row = (Option<Vec<u8>>, Option<Vec<u8>>, u64);

fn all(mut rows: NetRows) -> Vec<Row> {
    let mut out = Vec::new();
    while let Some(NetRow {
        first_before,
        last_after,
        count,
    }) = rows.next().unwrap()
    {
        out.push((
            first_before.map(<[u8]>::to_vec),
            last_after.map(<[u8]>::to_vec),
            count,
        ));
    }
    out
}

#[derive(Clone, Debug)]
enum Op {
    /// Puts a row there, or changes it.
    Put(usize, i32, Option<Vec<u8>>),
    /// Takes one away, by its place among those that are there.
    Delete(usize, usize),
    /// Gives one another key.
    Move(usize, usize, i32),
    /// Renames a table, and maybe back.
    Rename(usize),
}

fn name() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::weighted(
        0.9,
        prop_oneof![
            8 => proptest::collection::vec(any::<u8>(), 0..12),
            2 => proptest::collection::vec(any::<u8>(), 0..1000),
        ],
    )
}

fn op(ids: std::ops::Range<i32>) -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..2usize, ids.clone(), name()).prop_map(|(t, id, n)| Op::Put(t, id, n)),
        3 => (0..2usize, any::<usize>()).prop_map(|(t, i)| Op::Delete(t, i)),
        2 => (0..2usize, any::<usize>(), ids).prop_map(|(t, i, id)| Op::Move(t, i, id)),
        1 => (0..2usize).prop_map(Op::Rename),
    ]
}

/// A row: how it was, how it is.
type Model = BTreeMap<i32, (Option<Vec<u8>>, Option<Vec<u8>>)>;

/// Tables with keys, and what became of their rows.
struct World {
    layout: Layout,
    names: [usize; 2],
    tables: [Arc<Table>; 2],
    now: [BTreeMap<i32, Vec<u8>>; 2],
    net: [Model; 2],
}

impl World {
    fn change(
        &mut self,
        reducer: &mut Reducer,
        t: usize,
        before: Option<(i32, Vec<u8>)>,
        after: Option<(i32, Vec<u8>)>,
    ) {
        reducer
            .change(&Change {
                table: &self.tables[t],
                before: before.as_ref().map(|(_, i)| &i[..]),
                after: after.as_ref().map(|(_, i)| &i[..]),
                ends_statement: true,
            })
            .unwrap();
        if let Some((id, image)) = before {
            self.now[t].remove(&id);
            self.net[t].entry(id).or_insert((Some(image), None)).1 = None;
        }
        if let Some((id, image)) = after {
            self.now[t].insert(id, image.clone());
            self.net[t].entry(id).or_insert((None, None)).1 = Some(image);
        }
    }

    fn run(&mut self, reducer: &mut Reducer, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Put(t, id, name) => {
                    let before = self.now[*t].get(id).map(|i| (*id, i.clone()));
                    let after = Some((*id, row(*id, name.as_deref())));
                    self.change(reducer, *t, before, after);
                }
                Op::Delete(t, place) | Op::Move(t, place, _) if self.now[*t].is_empty() => {
                    let _ = place;
                }
                Op::Delete(t, place) => {
                    let place = place % self.now[*t].len();
                    let (id, image) = self.now[*t].iter().nth(place).unwrap();
                    let before = Some((*id, image.clone()));
                    self.change(reducer, *t, before, None);
                }
                Op::Move(t, place, to) => {
                    let place = place % self.now[*t].len();
                    let (id, image) = self.now[*t].iter().nth(place).unwrap();
                    if self.now[*t].contains_key(to) {
                        continue;
                    }
                    let mut moved = image.clone();
                    moved[1..5].copy_from_slice(&to.to_le_bytes());
                    let before = Some((*id, image.clone()));
                    self.change(reducer, *t, before, Some((*to, moved)));
                }
                Op::Rename(t) => {
                    let from = self.tables[*t].name.clone();
                    self.names[*t] += 1;
                    let to = format!("t{t}x{}", self.names[*t]);
                    self.tables[*t] = table(&to, &self.layout);
                    reducer.rename(&from, &self.tables[*t].name);
                }
            }
        }
    }
}

fn start(ids: impl Iterator<Item = i32>) -> World {
    let layout = id_and_name();
    let first: BTreeMap<i32, Vec<u8>> = ids.map(|id| (id, row(id, Some(b"first")))).collect();
    World {
        tables: [table("t0", &layout), table("t1", &layout)],
        layout,
        names: [0, 0],
        now: [first.clone(), first],
        net: [Model::new(), Model::new()],
    }
}

fn expected(model: &Model) -> Vec<Row> {
    model
        .values()
        .filter(|(before, after)| before != after)
        .map(|(before, after)| (before.clone(), after.clone(), 1))
        .collect()
}

fn check_summary(summary: &NetSummary, rows: &[Row]) {
    let count = |f: &dyn Fn(&Row) -> bool| rows.iter().filter(|r| f(r)).map(|r| r.2).sum::<u64>();
    assert_eq!(summary.rows, count(&|_| true));
    assert_eq!(summary.inserted, count(&|r| r.0.is_none()));
    assert_eq!(summary.deleted, count(&|r| r.1.is_none()));
    assert_eq!(summary.updated, count(&|r| r.0.is_some() && r.1.is_some()));
    assert_eq!(summary.broken, 0);
}

fn check_parts(files: &NetFiles, table: usize, whole: &[Row]) {
    for n in [1, 2, 3, 7, 50] {
        let parts = files.parts(table, n).unwrap();
        assert!(parts.len() <= n && !parts.is_empty() || whole.is_empty());
        let parts: Vec<Row> = parts.into_iter().flat_map(all).collect();
        assert_eq!(parts, whole, "{n} parts");
    }
}

fn with_keys(folder: &Path, memory: u64, ops: &[Op]) -> u64 {
    let mut world = start(-20..20);
    let tables = vec![
        net_table("t0", Key::Columns(vec![0])),
        net_table("t1", Key::Columns(vec![0])),
    ];
    let mut reducer = Reducer::new(folder, memory, tables).unwrap();
    world.run(&mut reducer, ops);
    let spilled = reducer.spilled_bytes();
    let summaries = reducer.finish(&|| false).unwrap();
    let files = NetFiles::open(folder).unwrap().unwrap();
    assert_eq!(files.summaries(), summaries);
    for (t, summary) in summaries.iter().enumerate() {
        let wanted = expected(&world.net[t]);
        assert_eq!(all(files.rows(t).unwrap()), wanted);
        assert_eq!(summary.renamed, world.tables[t].name);
        check_summary(summary, &wanted);
        check_parts(&files, t, &wanted);
    }
    spilled
}

/// The same changes, rows told apart as a whole; each name is put again and
/// again, so that rows are equal.
fn without_keys(folder: &Path, memory: u64, ops: &[(bool, i32, u8)]) -> u64 {
    let layout = id_and_name();
    let t = table("t", &layout);
    let tables = vec![net_table("t", Key::WholeRow)];
    let mut reducer = Reducer::new(folder, memory, tables).unwrap();
    let mut model: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    let mut last: Option<Vec<u8>> = None;
    for (come, id, length) in ops {
        let image = row(*id, Some(&vec![b'x'; usize::from(*length) * 3]));
        let (before, after) = match (come, &last) {
            (true, _) => (None, Some(image)),
            (false, None) => (Some(image), None),
            (false, Some(last)) => (Some(last.clone()), Some(image)),
        };
        reducer
            .change(&Change {
                table: &t,
                before: before.as_deref(),
                after: after.as_deref(),
                ends_statement: true,
            })
            .unwrap();
        if let Some(image) = before {
            *model.entry(image).or_default() -= 1;
        }
        if let Some(image) = &after {
            *model.entry(image.clone()).or_default() += 1;
        }
        last = after;
    }
    let spilled = reducer.spilled_bytes();
    let summaries = reducer.finish(&|| false).unwrap();
    let files = NetFiles::open(folder).unwrap().unwrap();
    let wanted: Vec<Row> = model
        .into_iter()
        .filter(|(_, n)| *n != 0)
        .map(|(image, n)| {
            let count = n.unsigned_abs();
            if n < 0 {
                (Some(image), None, count)
            } else {
                (None, Some(image), count)
            }
        })
        .collect();
    assert_eq!(all(files.rows(0).unwrap()), wanted);
    check_summary(&summaries[0], &wanted);
    check_parts(&files, 0, &wanted);
    spilled
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rows_with_keys_as_the_model_has_them(
        few in proptest::collection::vec(op(-20..20), 0..300),
        many in proptest::collection::vec(op(-2000..2000), 0..3000),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for memory in [0, 100_000, 1 << 30] {
            with_keys(folder.path(), memory, &few);
            with_keys(folder.path(), memory, &many);
        }
    }

    #[test]
    fn rows_without_keys_as_the_model_has_them(
        ops in proptest::collection::vec((any::<bool>(), -200..200, any::<u8>()), 0..2000),
    ) {
        let folder = tempfile::tempdir().unwrap();
        without_keys(folder.path(), 0, &ops);
        without_keys(folder.path(), 1 << 30, &ops);
    }
}

/// Numbers that look random, the same each time.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

#[test]
fn a_window_many_times_the_memory_is_merged_in_many_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = numbers(7);
    let ops: Vec<Op> = (0..60_000)
        .map(|_| {
            let id = i32::try_from(next() % 8000).unwrap() - 4000;
            let name = vec![b'n'; usize::try_from(next() % 200).unwrap()];
            match next() % 8 {
                0 => Op::Delete(0, usize::try_from(next()).unwrap()),
                1 => Op::Move(1, usize::try_from(next()).unwrap(), id),
                t => Op::Put(usize::try_from(t % 2).unwrap(), id, Some(name)),
            }
        })
        .collect();
    let spilled = with_keys(folder.path(), 0, &ops);
    assert!(spilled > 64 * 64 * 1024, "{spilled} bytes were spilled");
    let ops: Vec<(bool, i32, u8)> = (0..40_000)
        .map(|_| {
            let id = i32::try_from(next() % 500).unwrap();
            (
                next().is_multiple_of(2),
                id,
                u8::try_from(next() % 64).unwrap(),
            )
        })
        .collect();
    let spilled = without_keys(folder.path(), 0, &ops);
    assert!(spilled > 16 * 64 * 1024, "{spilled} bytes were spilled");
}

#[test]
fn a_change_that_does_not_continue_the_one_before_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    for spill_between in [false, true] {
        let layout = id_and_name();
        let t = table("t", &layout);
        let tables = vec![net_table("t", Key::Columns(vec![0]))];
        let mut reducer = Reducer::new(folder.path(), 0, tables).unwrap();
        let mut change = |before: Option<&[u8]>, after: Option<&[u8]>| {
            reducer
                .change(&Change {
                    table: &t,
                    before,
                    after,
                    ends_statement: true,
                })
                .unwrap();
        };
        let (a, b, c) = (row(1, Some(b"a")), row(1, Some(b"b")), row(1, None));
        change(Some(&a), Some(&b));
        if spill_between {
            for id in 10..2000 {
                change(None, Some(&row(id, Some(&[b'z'; 100]))));
            }
        }
        change(Some(&c), Some(&a));
        assert_eq!(spill_between, reducer.spilled_bytes() > 0);
        let summary = reducer.finish(&|| false).unwrap().remove(0);
        assert_eq!(summary.broken, 1);
        assert_eq!(summary.updated, 0, "the row is as it was");
    }
}

#[test]
fn what_is_computed_when_a_row_is_read_does_not_break_its_history() {
    let folder = tempfile::tempdir().unwrap();
    for (spill_between, computed, broken) in [
        (false, vec![], 1),
        (false, vec![1], 0),
        (true, vec![], 1),
        (true, vec![1], 0),
    ] {
        let layout = id_and_name();
        let t = table("t", &layout);
        let tables = vec![NetTable {
            computed,
            ..net_table("t", Key::Columns(vec![0]))
        }];
        let mut reducer = Reducer::new(folder.path(), 0, tables).unwrap();
        let mut change = |before: Option<&[u8]>, after: Option<&[u8]>| {
            reducer
                .change(&Change {
                    table: &t,
                    before,
                    after,
                    ends_statement: true,
                })
                .unwrap();
        };
        change(None, Some(&row(1, None)));
        if spill_between {
            for id in 10..2000 {
                change(None, Some(&row(id, Some(&[b'z'; 100]))));
            }
        }
        change(Some(&row(1, Some(b"later"))), Some(&row(1, Some(b"x"))));
        assert_eq!(spill_between, reducer.spilled_bytes() > 0);
        let summary = reducer.finish(&|| false).unwrap().remove(0);
        assert_eq!(summary.broken, broken);
    }
}

#[test]
fn names_are_followed_through_a_swap_and_after_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let layout = id_and_name();
    let tables = vec![
        net_table("a", Key::Columns(vec![0])),
        net_table("b", Key::Columns(vec![0])),
    ];
    let mut reducer = Reducer::new(folder.path(), 0, tables).unwrap();
    let put = |reducer: &mut Reducer, name: &str, id| {
        reducer
            .change(&Change {
                table: &table(name, &layout),
                before: None,
                after: Some(&row(id, None)),
                ends_statement: true,
            })
            .unwrap();
    };
    let name = |n| TableName::new("s", n);
    put(&mut reducer, "a", 1);
    put(&mut reducer, "b", 2);
    for (from, to) in [("a", "x"), ("b", "a"), ("x", "b")] {
        reducer.rename(&name(from), &name(to));
    }
    put(&mut reducer, "a", 3);
    put(&mut reducer, "b", 4);
    // Another table takes the name of one: it is not ours.
    reducer.rename(&name("elsewhere"), &name("a"));
    put(&mut reducer, "a", 5);
    reducer.finish(&|| false).unwrap();
    let files = NetFiles::open(folder.path()).unwrap().unwrap();
    let ids = |t| -> Vec<i32> {
        all(files.rows(t).unwrap())
            .iter()
            .map(|r| i32::from_le_bytes(*r.1.as_ref().unwrap()[1..].first_chunk().unwrap()))
            .collect()
    };
    assert_eq!(ids(0), [1, 4]);
    assert_eq!(ids(1), [2, 3]);
}

#[test]
fn other_columns_within_the_window_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tables = vec![net_table("t", Key::Columns(vec![0]))];
    let mut reducer = Reducer::new(folder.path(), 0, tables).unwrap();
    let image = row(1, None);
    let put = |reducer: &mut Reducer, layout: &Layout| {
        reducer.change(&Change {
            table: &table("t", layout),
            before: None,
            after: Some(&image[..]),
            ends_statement: true,
        })
    };
    put(&mut reducer, &id_and_name()).unwrap();
    let other = layout(&[(kind::LONG, &[], false), (kind::VARCHAR, &[0xe9, 3], true)]);
    let error = put(&mut reducer, &other).unwrap_err();
    assert_eq!(error.code(), backout_core::code::Code::HistoryUnsupported);
    let tables = vec![net_table("t", Key::Columns(vec![2]))];
    let mut reducer = Reducer::new(folder.path(), 0, tables).unwrap();
    put(&mut reducer, &id_and_name()).unwrap_err();
}

#[test]
fn keys_are_in_the_order_of_their_columns_in_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let tables = vec![net_table("t", Key::Columns(vec![1, 0]))];
    let layout = layout(&[(kind::LONG, &[], false), (kind::VARCHAR, &[0xe8, 3], false)]);
    let t = table("t", &layout);
    let mut reducer = Reducer::new(folder.path(), 0, tables).unwrap();
    let rows: Vec<Vec<u8>> = [(1, "b"), (-5, "b"), (7, "a"), (2, "ab"), (3, "")]
        .iter()
        .map(|(id, n)| row(*id, Some(n.as_bytes())))
        .collect();
    for image in &rows {
        reducer
            .change(&Change {
                table: &t,
                before: Some(image),
                after: None,
                ends_statement: true,
            })
            .unwrap();
    }
    reducer.finish(&|| false).unwrap();
    let files = NetFiles::open(folder.path()).unwrap().unwrap();
    let found: Vec<_> = all(files.rows(0).unwrap())
        .into_iter()
        .map(|r| r.0.unwrap())
        .collect();
    assert_eq!(found, [4, 2, 3, 1, 0].map(|i| rows[i].clone()));
}

#[test]
fn a_result_is_complete_or_absent_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let tables = || vec![net_table("t", Key::Columns(vec![0]))];
    let fill = |reducer: &mut Reducer| {
        let t = table("t", &id_and_name());
        for id in 0..3000 {
            reducer
                .change(&Change {
                    table: &t,
                    before: None,
                    after: Some(&row(id, Some(b"some text"))),
                    ends_statement: true,
                })
                .unwrap();
        }
    };
    assert!(NetFiles::open(path).unwrap().is_none());
    let mut reducer = Reducer::new(path, 0, tables()).unwrap();
    fill(&mut reducer);
    assert!(reducer.spilled_bytes() > 0);
    reducer.finish(&|| true).unwrap_err();
    assert!(NetFiles::open(path).unwrap().is_none(), "it was cancelled");
    let runs = |path: &Path| {
        std::fs::read_dir(path)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension() == Some("run".as_ref()))
            .count()
    };
    assert_eq!(runs(path), 0);
    let mut reducer = Reducer::new(path, 0, tables()).unwrap();
    fill(&mut reducer);
    reducer.finish(&|| false).unwrap();
    assert_eq!(runs(path), 0);
    let files = NetFiles::open(path).unwrap().unwrap();
    assert_eq!(all(files.rows(0).unwrap()).len(), 3000);
    // A byte in the middle.
    let file = path.join("0.net");
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&file, &bad).unwrap();
    let mut rows = files.rows(0).unwrap();
    let error = loop {
        match rows.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the damage was not seen"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), backout_core::code::Code::HistoryDamaged);
    std::fs::write(&file, &good[..good.len() - 1]).unwrap();
    NetFiles::open(path).unwrap_err();
    std::fs::write(&file, &good).unwrap();
    let manifest = path.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("3000", "3001", 1)).unwrap();
    NetFiles::open(path).unwrap_err();
    // Beginning again leaves nothing of it.
    Reducer::new(path, 0, tables()).unwrap();
    assert!(NetFiles::open(path).unwrap().is_none());
    assert!(!file.exists());
}
