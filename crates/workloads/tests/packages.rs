//! Packages, well made and ill.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backout_core::code::Code;
use backout_workloads::packages::{Form, Origin, Package, PackageLimits, Packages};
use backout_workloads::{Error, PackageHash};

const LIMITS: PackageLimits = PackageLimits {
    packed_bytes: 1 << 20,
    unpacked_bytes: 4 << 20,
    entries: 100,
};

struct Place {
    folder: tempfile::TempDir,
    store: Packages,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Packages::open(folder.path().join("store"), LIMITS).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn put(&self, path: &Path) -> Result<Package, Error> {
        self.store.put(&Origin::Path(path.to_owned()), Form::Auto)
    }

    /// Puts what must be refused; returns why it was. Nothing of it is left.
    fn refused(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.write(name, bytes);
        let before = files(self.folder.path());
        let error = self.put(&path).unwrap_err();
        assert_eq!(error.code(), Code::PackageRefused, "{name}: {error}");
        assert_eq!(files(self.folder.path()), before, "{name}");
        error.to_string()
    }
}

/// All paths below a folder, without the locks of the store.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    let mut out = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            if !entry.file_name().to_str().unwrap().ends_with("lock") {
                out.insert(entry.path());
            }
        }
    }
    out
}

/// One entry of an archive, with any name and of any kind.
struct Item<'a> {
    kind: tar::EntryType,
    name: &'a [u8],
    target: &'a [u8],
    content: &'a [u8],
    mode: u32,
}

fn file<'a>(name: &'a str, content: &'a [u8]) -> Item<'a> {
    Item {
        kind: tar::EntryType::Regular,
        name: name.as_bytes(),
        target: b"",
        content,
        mode: 0o644,
    }
}

fn link<'a>(kind: tar::EntryType, name: &'a str, target: &'a str) -> Item<'a> {
    Item {
        kind,
        target: target.as_bytes(),
        ..file(name, b"")
    }
}

/// Written by hand, since no good tool makes such archives.
fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        let mut header = tar::Header::new_ustar();
        let raw = header.as_ustar_mut().unwrap();
        raw.name[..item.name.len()].copy_from_slice(item.name);
        raw.linkname[..item.target.len()].copy_from_slice(item.target);
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_size(item.content.len() as u64);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(item.content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 6);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zip_of(items: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content, mode) in items {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        out.start_file(*name, options).unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn the_same_content_is_the_same_package_however_it_comes() {
    let place = Place::new();
    place.write("app/bin/serve", b"#!/bin/sh\n");
    place.write("app/conf/a.txt", b"text");
    let program = place.path("app/bin/serve");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let items = [
        // Written otherwise, in another order, with and without folders.
        file("./conf/a.txt", b"text"),
        Item {
            kind: tar::EntryType::Directory,
            ..file("bin/", b"")
        },
        Item {
            mode: 0o4755,
            ..file("bin/serve", b"#!/bin/sh\n")
        },
    ];
    let tarball = tar(&items);
    let zipped = zip_of(&[
        ("conf/a.txt", b"text", 0o600),
        ("bin/serve", b"#!/bin/sh\n", 0o755),
    ]);
    let sources = [
        place.path("app"),
        place.write("a.tar", &tarball),
        place.write("a.tar.gz", &gzip(&tarball)),
        place.write("no-name-at-all", &gzip(&tarball)),
        place.write("a.txz", &xz(&tarball)),
        place.write("a.tar.zst", &zstd::encode_all(&tarball[..], 1).unwrap()),
        place.write("a.zip", &zipped),
    ];
    let packages: Vec<Package> = sources.iter().map(|s| place.put(s).unwrap()).collect();
    assert!(packages.iter().all(|p| *p == packages[0]), "{packages:?}");
    assert_eq!((packages[0].bytes, packages[0].entries), (14, 4));
    let hash = &packages[0].hash;
    assert_eq!(
        place.store.list(None, 10).unwrap(),
        std::slice::from_ref(hash)
    );
    let tree = place.store.unpacked(hash).unwrap();
    let mode = |name: &str| tree.join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("bin/serve"), mode("conf/a.txt"), mode("bin")),
        (0o555, 0o444, 0o555)
    );
    place.store.verify(hash).unwrap();
    // Other content, another package; and so are other rights.
    place.write("app/conf/a.txt", b"Text");
    assert_ne!(place.put(&place.path("app")).unwrap().hash, *hash);
    place.write("app/conf/a.txt", b"text");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o600)).unwrap();
    assert_ne!(place.put(&place.path("app")).unwrap().hash, *hash);
}

#[test]
fn single_files_are_kept_and_what_runs_packed_stays_so() {
    let place = Place::new();
    let program = place.write("serve", b"\x7fELF and so on");
    let package = place.put(&program).unwrap();
    assert_eq!(package.only_file.as_deref(), Some("serve"));
    let tree = place.store.unpacked(&package.hash).unwrap();
    assert_eq!(tree.join("serve").metadata().unwrap().mode() & 0o777, 0o555);
    let jar = zip_of(&[("META-INF/MANIFEST.MF", b"", 0o644)]);
    for name in ["app.jar", "APP.WAR"] {
        let package = place.put(&place.write(name, &jar)).unwrap();
        assert_eq!(package.only_file.as_deref(), Some(name));
    }
    let path = Origin::Path(place.path("app.jar"));
    let unpacked = place.store.put(&path, Form::Archive).unwrap();
    assert_eq!(unpacked.entries, 2);
    let tarball = place.write("a.tar", &tar(&[file("a", b"1")]));
    let kept = place.store.put(&Origin::Path(tarball), Form::File).unwrap();
    assert_eq!(kept.only_file.as_deref(), Some("a.tar"));
    let none = place.store.put(&Origin::Path(program), Form::Archive);
    assert_eq!(none.unwrap_err().code(), Code::PackageRefused);
    let missing = place.put(&place.path("no/such")).unwrap_err();
    assert_eq!(missing.code(), Code::PackageUnreachable);
}

#[test]
fn nothing_leads_out_of_a_package() {
    use tar::EntryType as T;
    let place = Place::new();
    let deep = "d/".repeat(65) + "f";
    let cases: Vec<(&str, Vec<Item<'_>>, &str)> = vec![
        ("dots", vec![file("../evil", b"1")], ".."),
        ("dots inside", vec![file("a/../../evil", b"1")], ".."),
        ("absolute", vec![file("/tmp/evil", b"1")], "absolute"),
        (
            "link to absolute",
            vec![link(T::Symlink, "a", "/etc/passwd")],
            "leads out",
        ),
        (
            "link upwards",
            vec![link(T::Symlink, "a", "../b")],
            "leads out",
        ),
        (
            "link to nothing",
            vec![link(T::Symlink, "a", "b")],
            "nowhere",
        ),
        (
            "link to itself",
            vec![link(T::Symlink, "a", "a")],
            "nowhere",
        ),
        (
            "through a link",
            vec![link(T::Symlink, "a", "."), file("a/evil", b"1")],
            "a link there",
        ),
        (
            "a link instead of a folder",
            vec![file("a/b", b"1"), link(T::Symlink, "a", ".")],
            "twice",
        ),
        (
            "two links that lead out together",
            vec![
                file("p/q/r/f", b"1"),
                link(T::Symlink, "s", "p/q/r"),
                // By its words it stays: s, and up four from s/x/y/z.
                file("x/y/z/w/f", b"1"),
                link(T::Symlink, "x/y/z/w/l", "../../../../s/../../../../../out"),
            ],
            "leads out",
        ),
        (
            "a second name outside",
            vec![link(T::Link, "a", "/etc/passwd")],
            "absolute",
        ),
        (
            "a second name of nothing",
            vec![link(T::Link, "a", "b")],
            "no file of it",
        ),
        (
            "a second name of a link",
            vec![
                file("f", b"1"),
                link(T::Symlink, "l", "f"),
                link(T::Link, "a", "l"),
            ],
            "no file of it",
        ),
        (
            "a device",
            vec![Item {
                kind: T::Char,
                ..file("a", b"")
            }],
            "device",
        ),
        (
            "a pipe",
            vec![Item {
                kind: T::Fifo,
                ..file("a", b"")
            }],
            "device",
        ),
        (
            "holes",
            vec![Item {
                kind: T::GNUSparse,
                ..file("a", b"")
            }],
            "holes",
        ),
        ("twice", vec![file("a", b"1"), file("./a", b"2")], "twice"),
        (
            "below a file",
            vec![file("a", b"1"), file("a/b", b"2")],
            "a file",
        ),
        (
            "deep",
            vec![Item {
                name: &deep.as_bytes()[..100],
                ..file("", b"1")
            }],
            "",
        ),
        ("nothing", vec![], "nothing is in it"),
    ];
    for (case, items, wanted) in cases {
        if case == "deep" {
            // 50 folders fit in a header, and are fine.
            assert!(place.put(&place.write("deep.tar", &tar(&items))).is_ok());
            continue;
        }
        let why = place.refused(&format!("{case}.tar"), &tar(&items));
        assert!(why.contains(wanted), "{case}: {why}");
    }
    for name in ["../evil", "/tmp/evil", "a\\..\\evil", "a/../../evil"] {
        // The tool for zip makes such names harmless; so they are made ill
        // afterwards, in both places where they stand.
        let good = "x".repeat(name.len());
        let zipped = zip_of(&[(&good, b"1", 0o644)]);
        let ill = replaced(&zipped, good.as_bytes(), name.as_bytes());
        place.refused("ill.zip", &ill);
    }
    let zipped = zip_of(&[("a", b"../../etc/passwd", 0o120_777)]);
    let linked = replaced(
        &zipped,
        &0o100_777_u32.to_le_bytes()[..2],
        &0o120_777_u32.to_le_bytes()[..2],
    );
    let why = place.refused("link.zip", &linked);
    assert!(why.contains("leads out"), "{why}");
    assert!(!Path::new("/tmp/evil").exists());
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(n) = out[at..].windows(from.len()).position(|w| w == from) {
        out[at + n..at + n + to.len()].copy_from_slice(to);
        at += n + to.len();
    }
    out
}

#[test]
fn links_that_stay_inside_are_kept() {
    let place = Place::new();
    place.write("app/lib/v1/f", b"1");
    symlink("v1", place.path("app/lib/now")).unwrap();
    symlink("../lib/now/f", place.path("app/lib/again")).unwrap();
    let package = place.put(&place.path("app")).unwrap();
    let tree = place.store.unpacked(&package.hash).unwrap();
    assert_eq!(std::fs::read(tree.join("lib/again")).unwrap(), b"1");
    let tarball = tar(&[
        link(tar::EntryType::Symlink, "lib/now", "v1"),
        link(tar::EntryType::Symlink, "lib/again", "../lib/now/f"),
        file("lib/v1/f", b"1"),
    ]);
    let packed = place.put(&place.write("a.tar", &tarball)).unwrap();
    assert_eq!(packed.hash, package.hash);
    // A second name is a copy.
    let twice = tar(&[file("a", b"1"), link(tar::EntryType::Link, "b", "a")]);
    let twice = place.put(&place.write("twice.tar", &twice)).unwrap();
    assert_eq!((twice.bytes, twice.entries), (2, 2));
}

#[test]
fn what_takes_too_much_is_refused_before_it_does() {
    let place = Place::new();
    let zeros = vec![0_u8; 5 << 20];
    let bomb = tar(&[file("zeros", &zeros)]);
    for (name, bytes) in [
        ("bomb.tar.gz", gzip(&bomb)),
        ("bomb.tar.xz", xz(&bomb)),
        ("bomb.tar.zst", zstd::encode_all(&bomb[..], 1).unwrap()),
        ("bomb.zip", zip_of(&[("zeros", &zeros, 0o644)])),
    ] {
        assert!(bytes.len() < 100_000, "{name}");
        let why = place.refused(name, &bytes);
        assert!(why.contains("does not fit"), "{why}");
    }
    // Several that only together are too much.
    let third = &zeros[..2 << 20];
    let three = tar(&[file("a", third), file("b", third), file("c", third)]);
    let why = place.refused("three.tar.gz", &gzip(&three));
    assert!(why.contains("does not fit"), "{why}");
    // One that says that it is small.
    let mut liar = zip_of(&[("zeros", &zeros, 0o644)]);
    liar = replaced(&liar, &(5_u32 << 20).to_le_bytes(), &7_u32.to_le_bytes());
    place.refused("liar.zip", &liar);
    let names: Vec<String> = (0..101).map(|n| format!("f{n}")).collect();
    let many: Vec<Item<'_>> = names.iter().map(|name| file(name, b"")).collect();
    let why = place.refused("many.tar", &tar(&many));
    assert!(why.contains("more than 100 entries"), "{why}");
    let many: Vec<(&str, &[u8], u32)> = names.iter().map(|n| (n.as_str(), &b""[..], 0)).collect();
    let why = place.refused("many.zip", &zip_of(&many));
    assert!(why.contains("more than 100 entries"), "{why}");
    let why = place.refused("big", &zeros[..(1 << 20) + 1]);
    assert!(why.contains("larger than"), "{why}");
    // Records about a file are held in memory: of no length that one likes.
    for kind in [
        tar::EntryType::GNULongName,
        tar::EntryType::GNULongLink,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
    ] {
        let long = Item {
            kind,
            ..file("long", &zeros[..(1 << 20) + 1])
        };
        let why = place.refused("long.tar.gz", &gzip(&tar(&[long, file("a", b"1")])));
        assert!(why.contains("too long"), "{why}");
    }
    // And a file whose length is said elsewhere.
    let size = Item {
        kind: tar::EntryType::XHeader,
        ..file("x", b"13 size=4096\n")
    };
    place.refused("size.tar", &tar(&[size, file("a", b"1")]));
}

#[test]
fn long_names_are_read_from_their_records() {
    let place = Place::new();
    let name = format!("{}/{}", "a".repeat(150), "b".repeat(150));
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    gnu.append_data(&mut header, &name, &b"1"[..]).unwrap();
    let gnu = place
        .put(&place.write("gnu.tar", &gnu.into_inner().unwrap()))
        .unwrap();
    let record = format!("path={name}\n");
    let record = format!("{} {record}", record.len() + 4);
    let pax = Item {
        kind: tar::EntryType::XHeader,
        ..file("x", record.as_bytes())
    };
    let pax = place
        .put(&place.write("pax.tar", &tar(&[pax, file("short", b"1")])))
        .unwrap();
    assert_eq!(gnu, pax);
    assert!(place.store.unpacked(&pax.hash).unwrap().join(name).exists());
}

#[test]
fn damaged_archives_are_refused() {
    let place = Place::new();
    let tarball = tar(&[file("a", &[7; 4000]), file("b", &[8; 4000])]);
    let zipped = zip_of(&[("a", &[7; 4000], 0o644)]);
    let packed = gzip(&tarball);
    for (name, whole) in [
        ("a.tar", &tarball),
        ("a.tar.gz", &packed),
        ("a.zip", &zipped),
    ] {
        for cut in [20, whole.len() / 2, whole.len() - 30] {
            if name == "a.tar" && cut == whole.len() - 30 {
                // All of its entries are there.
                continue;
            }
            place.refused(name, &whole[..cut]);
        }
    }
    let mut wrong = tarball.clone();
    wrong[150] ^= 1;
    place.refused("wrong.tar", &wrong);
}

#[test]
fn a_tree_that_was_changed_is_made_again_and_a_damaged_package_is_named() {
    let place = Place::new();
    place.write("app/a", b"1");
    place.write("app/b/c", b"2");
    let hash = place.put(&place.path("app")).unwrap().hash;
    // It does not need its source.
    std::fs::remove_dir_all(place.path("app")).unwrap();
    let tree = place.store.unpacked(&hash).unwrap();
    let inode = || tree.join("a").metadata().unwrap().ino();
    let before = inode();
    assert_eq!(place.store.unpacked(&hash).unwrap(), tree);
    assert_eq!(inode(), before, "nothing was done");
    let write = |name: &str, text: &[u8]| {
        let path = tree.join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, text).unwrap();
    };
    // As one who may write everywhere: the same length, and the same time.
    let time = tree.join("a").metadata().unwrap().modified().unwrap();
    write("a", b"X");
    std::fs::File::open(tree.join("a"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    place.store.unpacked(&hash).unwrap();
    assert_eq!(std::fs::read(tree.join("a")).unwrap(), b"1");
    write("b/more", b"");
    place.store.unpacked(&hash).unwrap();
    assert!(!tree.join("b/more").exists());
    // Half a tree, without its stamp, as after a restore gone wrong.
    let stamp = tree.with_extension("stamp");
    std::fs::remove_file(&stamp).unwrap();
    std::fs::remove_file(tree.join("a")).unwrap();
    place.store.unpacked(&hash).unwrap();
    assert!(tree.join("a").exists() && stamp.exists());

    let blob = place.path(&format!("store/blobs/{hash}.tar.zst"));
    let other = tar(&[file("a", b"evil")]);
    let other = zstd::encode_all(&other[..], 1).unwrap();
    for (case, bytes) in [("other", &other[..]), ("short", &other[..9]), ("none", b"")] {
        std::fs::write(&blob, bytes).unwrap();
        let error = place.store.verify(&hash).unwrap_err();
        assert_eq!(error.code(), Code::PackageMissing, "{case}: {error}");
        write("a", b"X");
        let error = place.store.unpacked(&hash).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{case}: {error}");
    }
    std::fs::remove_file(&blob).unwrap();
    let error = place.store.verify(&hash).unwrap_err();
    assert_eq!(error.code(), Code::PackageMissing);
}

#[test]
fn only_what_nobody_uses_is_removed() {
    let place = Place::new();
    let put = |text: &[u8]| place.put(&place.write("f", text)).unwrap().hash;
    let (a, b) = (put(b"a"), put(b"b"));
    let none = BTreeSet::new();
    let day = Duration::from_secs(86_400);
    assert_eq!(place.store.retain(&none, day).unwrap(), []);
    let in_use: BTreeSet<PackageHash> = [a.clone()].into();
    let removed = place.store.retain(&in_use, Duration::ZERO).unwrap();
    assert_eq!(removed, std::slice::from_ref(&b));
    assert!(place.store.has(&a) && !place.store.has(&b));
    let left = files(&place.path("store/trees"));
    assert!(
        left.iter()
            .all(|p| p.to_str().unwrap().contains(a.as_str())),
        "{left:?}"
    );
    assert_eq!(
        place.store.unpacked(&b).unwrap_err().code(),
        Code::PackageMissing
    );
    // Put again, it is back.
    assert_eq!(put(b"b"), b);
    place.store.unpacked(&b).unwrap();
}

#[test]
fn what_a_crash_left_is_swept() {
    let place = Place::new();
    place.write("store/staging/new-x/tree/a", b"half");
    let sealed = place.path("store/staging/new-x/tree");
    std::fs::set_permissions(&sealed, PermissionsExt::from_mode(0o555)).unwrap();
    let orphan = "0".repeat(64);
    place.write(&format!("store/trees/{orphan}/a"), b"no blob");
    place
        .store
        .retain(&BTreeSet::new(), Duration::ZERO)
        .unwrap();
    assert_eq!(files(&place.path("store/staging")), BTreeSet::new());
    assert_eq!(files(&place.path("store/trees")), BTreeSet::new());
}

#[test]
fn the_same_package_is_put_and_unpacked_by_many_at_once() {
    let place = Place::new();
    place.write("app/a", &[1; 100_000]);
    let hashes: BTreeSet<PackageHash> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let hash = place.put(&place.path("app")).unwrap().hash;
                    let tree = place.store.unpacked(&hash).unwrap();
                    assert_eq!(std::fs::read(tree.join("a")).unwrap().len(), 100_000);
                    hash
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(hashes.len(), 1);
    assert_eq!(files(&place.path("store/staging")), BTreeSet::new());
}

/// Answers each request with the next of `answers`.
fn serve(answers: Vec<Vec<u8>>) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://u:secret@{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                let count = stream.read(&mut piece).unwrap();
                assert!(count > 0, "a request");
                request.extend_from_slice(&piece[..count]);
            }
            // One that hears enough hangs up.
            let _ = stream.write_all(&answer);
        }
    });
    (url, thread)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}

#[test]
fn a_package_is_fetched_over_http() {
    let place = Place::new();
    let packed = gzip(&tar(&[file("a", b"1")]));
    let length = format!("200 OK\r\ncontent-length: {}", packed.len());
    let (url, server) = serve(vec![
        answer(&length, &packed),
        answer("302 Found\r\nlocation: /b.tar.gz\r\ncontent-length: 0", b""),
        answer(&length, &packed),
        answer("404 Not Found\r\ncontent-length: 0", b""),
        answer(&length, &packed[..packed.len() / 2]),
        answer("200 OK\r\ncontent-length: 99999999", &vec![0; 2 << 20]),
    ]);
    let put = |path: &str| {
        let origin = Origin::Url(format!("{url}/{path}"));
        place.store.put(&origin, Form::Auto)
    };
    let package = put("a.tar.gz?sig=secret").unwrap();
    assert_eq!(package.only_file.as_deref(), Some("a"));
    assert_eq!(put("short").unwrap(), package);
    for (code, words) in [
        (Code::PackageUnreachable, "404"),
        (Code::PackageUnreachable, "broke off"),
        (Code::PackageRefused, "larger than"),
    ] {
        let error = put("a.tar.gz?sig=secret").unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    server.join().unwrap();
    // Nobody listens any more.
    assert_eq!(put("a").unwrap_err().code(), Code::PackageUnreachable);
    for url in ["ftp://h/a", "file:///etc/passwd"] {
        let origin = Origin::Url(url.to_owned());
        let error = place.store.put(&origin, Form::Auto).unwrap_err();
        assert_eq!(error.code(), Code::PackageUnreachable, "{error}");
    }
}
