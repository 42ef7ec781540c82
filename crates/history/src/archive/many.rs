//! An archive of a hundred thousand chunks: what is found in it takes a few
//! reads, not one for each page.

use std::sync::{Arc, Mutex};

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::index::{Entry, PAGE_ENTRIES, Page, PageId};
use super::objects::Objects;
use super::scan::Notes;
use super::{Archive, Until, chunk};
use crate::change::{Gtid, Micros, Position};
use crate::error::Error;

const PAGES: usize = 400;
const CHUNKS: usize = PAGES * PAGE_ENTRIES;

/// The pages of which the chunks are there, too.
const WITH_CHUNKS: [usize; 4] = [0, 123, 301, PAGES - 1];

const BEGAN_S: u32 = 1_700_000_000;
const FILE: &str = "bin.000001";

/// Writes down what is read.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    read: Mutex<Vec<String>>,
}

impl std::fmt::Display for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.read.lock().unwrap().push(location.to_string());
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl Counting {
    /// How many pages were read since, how many chunks, and how many others.
    fn reads(&self) -> (usize, usize, usize) {
        let read = std::mem::take(&mut *self.read.lock().unwrap());
        let of = |folder: &str| read.iter().filter(|key| key.starts_with(folder)).count();
        let (pages, chunks) = (of("index/"), of("chunks/"));
        (pages, chunks, read.len() - pages - chunks)
    }
}

fn event(time_s: u32, kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let bytes = u32::try_from(19 + body.len()).unwrap();
    out.extend_from_slice(&time_s.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(body);
}

/// The bytes of chunk `n`: one statement.
fn raw(n: usize) -> Vec<u8> {
    let time_s = BEGAN_S + u32::try_from(n).unwrap();
    let mut out = Vec::new();
    let mut gtid = (n as u64 + 1).to_le_bytes().to_vec();
    // The domain, that the statement stands alone, and what pads.
    gtid.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    event(time_s, 162, &gtid, &mut out);
    let mut query = vec![0; 13];
    query.extend_from_slice(b"\0FLUSH TABLES");
    event(time_s, 2, &query, &mut out);
    out
}

fn gtid(n: usize) -> Gtid {
    Gtid::Triple {
        domain: 0,
        server: 1,
        sequence: n as u64 + 1,
    }
}

fn time(n: usize) -> Micros {
    Micros::from_s(BEGAN_S + u32::try_from(n).unwrap())
}

fn start(n: usize) -> u64 {
    4 + (raw(0).len() * n) as u64
}

fn at(n: usize) -> Position {
    Position {
        file: FILE.to_owned(),
        offset: start(n),
    }
}

fn entry(n: usize) -> Entry {
    let committed = Micros(time(n).0 + 999_999);
    Entry {
        file: FILE.to_owned(),
        start: start(n),
        end: start(n + 1),
        crc: false,
        level: 255,
        gap: None,
        time: Some((committed, committed)),
        notes: Notes {
            groups: 1,
            first: Some(start(n)),
            last: Some(start(n)),
            ids: vec![("0-1".to_owned(), n as u64 + 1, n as u64 + 1)],
            last_id: Some(gtid(n)),
            ..Notes::default()
        },
    }
}

fn filled() -> Arc<Counting> {
    let store = Arc::new(Counting::default());
    let objects = Objects::new(Arc::clone(&store) as Arc<dyn ObjectStore>, "").unwrap();
    for number in 0..PAGES {
        let first = number * PAGE_ENTRIES;
        let page = Page {
            prepared: Vec::new(),
            entries: (first..first + PAGE_ENTRIES).map(entry).collect(),
        };
        let id = PageId {
            incarnation: 0,
            number: 1,
            start: start(first),
        };
        assert!(objects.create(&id.key(7), page.encode().unwrap()).unwrap());
        if !WITH_CHUNKS.contains(&number) {
            continue;
        }
        for (n, entry) in (first..).zip(&page.entries) {
            let stored = chunk::encode(entry.start, &raw(n), &[]).unwrap();
            objects.put(&entry.key(0), stored).unwrap();
        }
    }
    store
}

fn open(store: &Arc<Counting>) -> Archive {
    Archive::open(Arc::clone(store) as Arc<dyn ObjectStore>, "").unwrap()
}

/// What is found around the cut before chunk `n`.
fn check(archive: &Archive, until: &Until, n: usize) {
    let located = archive.locate(until).unwrap();
    assert_eq!(located.position, at(n), "{until}");
    let id = |n: usize| Some(gtid(n));
    assert_eq!(located.undone.unwrap().gtid, id(n), "{until}");
    let kept = located.kept.unwrap();
    assert_eq!((kept.gtid, kept.end), (id(n - 1), at(n)), "{until}");
}

#[test]
fn a_cut_among_a_hundred_thousand_chunks_takes_a_few_reads() {
    const { assert!(CHUNKS > 100_000) };
    let store = filled();
    let first = open(&store);
    assert_eq!(first.windows().unwrap().len(), 1);
    let (pages, ..) = store.reads();
    assert_eq!(pages, PAGES, "nobody had written down what the pages say");
    // As whoever fills a page does.
    first.core().write_summaries().unwrap();
    assert_eq!(store.reads().0, 0, "what is known is not read again");

    // Another process, for each question: it knows nothing.
    let wanted = [
        5,
        123 * PAGE_ENTRIES + 77,
        301 * PAGE_ENTRIES + 200,
        CHUNKS - 3,
    ];
    for n in wanted {
        for until in [
            Until::Time(time(n)),
            Until::Gtid(gtid(n - 1)),
            Until::Position(at(n)),
        ] {
            let cold = open(&store);
            check(&cold, &until, n);
            let (pages, chunks, others) = store.reads();
            assert!(pages <= 3, "{until}: {pages} pages");
            assert!(chunks <= 6, "{until}: {chunks} chunks");
            assert_eq!(others, 1, "{until}");
            // And once more, where only the last page and the one in question
            // are of interest, which are kept.
            check(&cold, &until, n);
            let (pages, _, others) = store.reads();
            assert_eq!((pages, others), (0, 0), "{until}");
        }
    }
    let cold = open(&store);
    let windows = cold.windows().unwrap();
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0].from.position, at(0));
    assert_eq!(windows[0].to.position, at(CHUNKS));
    assert_eq!(windows[0].to.gtid, Some(gtid(CHUNKS - 1)));
    let files = cold.files().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].transactions, CHUNKS as u64);
    assert_eq!((files[0].begin, files[0].end), (start(0), start(CHUNKS)));
    assert!(!files[0].is_whole(), "its first bytes are not there");
    let (pages, chunks, _) = store.reads();
    assert_eq!((pages, chunks), (0, 0));
}

#[test]
fn what_is_purged_is_not_read_and_the_rest_is_found_as_before() {
    let store = filled();
    let archive = open(&store);
    let n = 301 * PAGE_ENTRIES + 200;
    archive.core().write_summaries().unwrap();
    store.reads();
    let cold = open(&store);
    cold.purge_before(&at(n)).unwrap();
    let (pages, chunks, _) = store.reads();
    assert!(pages <= 1, "{pages} pages");
    assert_eq!(chunks, 0);
    let objects = Objects::new(Arc::clone(&store) as Arc<dyn ObjectStore>, "").unwrap();
    assert_eq!(objects.list("index").unwrap().len(), PAGES - 301);
    assert_eq!(
        objects.list("chunks").unwrap().len(),
        2 * PAGE_ENTRIES,
        "those of page 301 and the last"
    );
    for archive in [&cold, &open(&store)] {
        check(archive, &Until::Time(time(n)), n);
        let begin = &archive.windows().unwrap()[0].from.position;
        assert_eq!(*begin, at(301 * PAGE_ENTRIES));
        let gone = Until::Time(time(5));
        assert!(matches!(archive.locate(&gone), Err(Error::Gap { .. })));
    }
    // Nothing is left to purge: nothing is listed, and nothing goes.
    cold.purge_before(&at(n)).unwrap();
    assert_eq!(objects.list("index").unwrap().len(), PAGES - 301);
}

#[test]
fn damaged_summaries_are_made_again() {
    let store = filled();
    let archive = open(&store);
    archive.core().write_summaries().unwrap();
    let objects = Objects::new(Arc::clone(&store) as Arc<dyn ObjectStore>, "").unwrap();
    objects
        .put(super::summary::KEY, b"BOSUMS01 and then nothing".to_vec())
        .unwrap();
    store.reads();
    let n = 123 * PAGE_ENTRIES + 1;
    check(&open(&store), &Until::Time(time(n)), n);
    assert!(store.reads().0 >= PAGES);
}
