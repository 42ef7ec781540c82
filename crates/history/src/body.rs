//! What the bodies of events say: transaction ids, statements, XA.

use std::borrow::Cow;
use std::fmt;

use crate::change::Gtid;
use crate::compressed::Inflater;
use crate::event::{Header, Kind};

/// Takes bytes apart from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// A number of so many bytes, the lowest first.
    pub(crate) fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// The same, where four bytes suffice.
    pub(crate) fn number32(&mut self, bytes: usize) -> Option<u32> {
        u32::try_from(self.number(bytes)?).ok()
    }

    /// The same, as a length.
    pub(crate) fn length(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.number(bytes)?).ok()
    }

    /// A number that tells its own length.
    pub(crate) fn packed(&mut self) -> Option<u64> {
        let bytes = match self.number(1)? {
            n @ ..=250 => return Some(n),
            252 => 2,
            253 => 3,
            254 => 8,
            _ => return None,
        };
        self.number(bytes)
    }
}

/// The name of an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xid {
    /// The format id.
    pub format: u32,
    /// The global part.
    pub global: Vec<u8>,
    /// The branch.
    pub branch: Vec<u8>,
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.global, &self.branch] {
            f.write_str("X'")?;
            for byte in part {
                write!(f, "{byte:02x}")?;
            }
            f.write_str("',")?;
        }
        write!(f, "{}", self.format)
    }
}

/// What a GTID event says. (Those of both families are read.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GtidEvent {
    /// The id; `None` for an anonymous one.
    pub gtid: Option<Gtid>,
    /// Whether the group is one statement without an end of its own. `None`
    /// where the event does not tell, and the group's first statement does:
    /// it is `BEGIN` or `XA START`, or the only one.
    pub standalone: Option<bool>,
    /// What becomes of an XA transaction.
    pub xa: Option<XaPhase>,
    /// Whether the group is a definition statement.
    pub ddl: bool,
    /// Whether it is a first note of an `ALTER` that is told again when it is
    /// through, or the note that such an `ALTER` failed: without effect.
    pub without_effect: bool,
}

/// What a group does to an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XaPhase {
    /// It is prepared: the group is its changes.
    Prepared(Xid),
    /// It is committed or rolled back: the group's statement tells which.
    Completed(Xid),
}

impl GtidEvent {
    /// What the event says; `None` when it is malformed, or not such an event.
    #[must_use]
    pub fn read(header: &Header, body: &[u8]) -> Option<Self> {
        let mut body = Fields::new(body);
        if header.kind == Kind::GTID {
            return Self::read_triple(header.server, &mut body);
        }
        body.take(1)?;
        let source: [u8; 16] = body.take(16)?.try_into().ok()?;
        let number = body.number(8)?;
        Some(Self {
            gtid: match header.kind {
                Kind::SOURCE_GTID => Some(Gtid::Source { source, number }),
                Kind::ANONYMOUS_GTID => None,
                _ => return None,
            },
            standalone: None,
            xa: None,
            ddl: false,
            without_effect: false,
        })
    }

    fn read_triple(server: u32, body: &mut Fields<'_>) -> Option<Self> {
        const STANDALONE: u64 = 1;
        const GROUP_COMMIT: u64 = 2;
        const DDL: u64 = 32;
        const PREPARED: u64 = 64;
        const COMPLETED: u64 = 128;
        const EXTRA_START_ALTER: u64 = 2;
        const EXTRA_ROLLBACK_ALTER: u64 = 8;
        let sequence = body.number(8)?;
        let domain = body.number32(4)?;
        let flags = body.number(1)?;
        if flags & GROUP_COMMIT != 0 {
            body.take(8)?;
        }
        let mut xa = None;
        if flags & (PREPARED | COMPLETED) != 0 {
            let format = body.number32(4)?;
            let (global, branch) = (body.length(1)?, body.length(1)?);
            let xid = Xid {
                format,
                global: body.take(global)?.to_vec(),
                branch: body.take(branch)?.to_vec(),
            };
            xa = Some(if flags & PREPARED != 0 {
                XaPhase::Prepared(xid)
            } else {
                XaPhase::Completed(xid)
            });
        }
        // Events that have nothing more are filled up with zeros, or end here.
        let extra = body.number(1).unwrap_or(0);
        Some(Self {
            gtid: Some(Gtid::Triple {
                domain,
                server,
                sequence,
            }),
            standalone: Some(flags & STANDALONE != 0),
            xa,
            ddl: flags & DDL != 0,
            without_effect: extra & (EXTRA_START_ALTER | EXTRA_ROLLBACK_ALTER) != 0,
        })
    }
}

/// What an `XA PREPARE` event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XaPrepare {
    /// Which transaction.
    pub xid: Xid,
    /// Whether it is committed at once (`XA COMMIT ... ONE PHASE`).
    pub one_phase: bool,
}

impl XaPrepare {
    /// What the event says; `None` when it is malformed.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut body = Fields::new(body);
        let one_phase = body.number(1)? != 0;
        let format = body.number32(4)?;
        let (global, branch) = (body.length(4)?, body.length(4)?);
        Some(Self {
            xid: Xid {
                format,
                global: body.take(global)?.to_vec(),
                branch: body.take(branch)?.to_vec(),
            },
            one_phase,
        })
    }
}

/// A statement as its event tells it.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The database that was current.
    pub schema: &'a [u8],
    /// The text, in the client's character set.
    pub text: Cow<'a, [u8]>,
    /// `sql_mode`, as the server numbers its parts.
    pub sql_mode: u64,
    /// The number of the collation of the client's character set; 0 when the
    /// event does not tell.
    pub charset: u16,
}

impl<'a> Query<'a> {
    /// What the event says; `Err` tells, in words, why it cannot be read. For
    /// [`Kind::QUERY`], [`Kind::QUERY_COMPRESSED`] and
    /// [`Kind::EXECUTE_LOAD_QUERY`].
    ///
    /// # Errors
    /// The words.
    pub fn read(kind: Kind, body: &'a [u8]) -> Result<Self, &'static str> {
        let (mut query, text) = Self::take_apart(kind, body).ok_or("a statement is malformed")?;
        query.text = if kind == Kind::QUERY_COMPRESSED {
            let mut out = Vec::new();
            Inflater::default().inflate(text, &mut out)?;
            Cow::Owned(out)
        } else {
            Cow::Borrowed(text)
        };
        Ok(query)
    }

    fn take_apart(kind: Kind, body: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut body = Fields::new(body);
        body.take(8)?;
        let schema_bytes = body.length(1)?;
        body.take(2)?;
        let status_bytes = body.length(2)?;
        if kind == Kind::EXECUTE_LOAD_QUERY {
            body.take(13)?;
        }
        let status = body.take(status_bytes)?;
        let schema = body.take(schema_bytes)?;
        body.take(1)?;
        let (sql_mode, charset) = status_of(status);
        let query = Self {
            schema,
            text: Cow::Borrowed(b""),
            sql_mode,
            charset,
        };
        Some((query, body.rest()))
    }
}

/// `sql_mode` and the client's collation; the first variable that is not known
/// ends the reading, but these come before any such.
fn status_of(status: &[u8]) -> (u64, u16) {
    let (mut sql_mode, mut charset) = (0, 0);
    let mut status = Fields::new(status);
    let mut read = || -> Option<()> {
        loop {
            match status.number(1)? {
                0 | 3 | 10 => drop(status.take(4)?),
                1 => sql_mode = status.number(8)?,
                2 => {
                    let bytes = status.length(1)?;
                    status.take(bytes + 1)?;
                }
                4 => {
                    charset = u16::try_from(status.number(2)?).ok()?;
                    status.take(4)?;
                }
                5 | 6 => {
                    let bytes = status.length(1)?;
                    status.take(bytes)?;
                }
                7 | 8 => drop(status.take(2)?),
                9 => drop(status.take(8)?),
                _ => return None,
            }
        }
    };
    let _ = read();
    (sql_mode, charset)
}

/// A statement that begins, ends or marks a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `SAVEPOINT`; names are compared without case.
    Savepoint(Vec<u8>),
    /// `ROLLBACK TO`.
    RollbackTo(Vec<u8>),
    /// `XA START`.
    XaStart(Xid),
    /// `XA END`.
    XaEnd,
    /// `XA COMMIT`.
    XaCommit(Xid),
    /// `XA ROLLBACK`.
    XaRollback(Xid),
}

impl Word {
    /// What `text` is; `None` when it is none of them.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        // Most statements are told apart by their first letter.
        if !matches!(
            text.first()?.to_ascii_uppercase(),
            b'B' | b'C' | b'R' | b'S' | b'X'
        ) {
            return None;
        }
        let mut parts = Parts { rest: text };
        let word = match parts.word()?.as_slice() {
            b"BEGIN" => {
                let _ = parts.is("WORK");
                Self::Begin
            }
            b"START" => {
                parts.is("TRANSACTION").then_some(())?;
                return Some(Self::Begin);
            }
            b"COMMIT" => {
                let _ = parts.is("WORK");
                Self::Commit
            }
            b"SAVEPOINT" => Self::Savepoint(parts.name()?),
            b"ROLLBACK" => {
                let _ = parts.is("WORK");
                if parts.is("TO") {
                    let _ = parts.is("SAVEPOINT");
                    Self::RollbackTo(parts.name()?)
                } else {
                    Self::Rollback
                }
            }
            b"XA" => match parts.word()?.as_slice() {
                b"START" | b"BEGIN" => Self::XaStart(parts.xid()?),
                b"END" => return Some(Self::XaEnd),
                b"COMMIT" => {
                    let xid = parts.xid()?;
                    let _ = parts.is("ONE") && parts.is("PHASE");
                    Self::XaCommit(xid)
                }
                b"ROLLBACK" => Self::XaRollback(parts.xid()?),
                _ => return None,
            },
            _ => return None,
        };
        parts.rest.trim_ascii().is_empty().then_some(word)
    }
}

/// Takes the few statements apart that servers write themselves.
struct Parts<'a> {
    rest: &'a [u8],
}

impl Parts<'_> {
    /// The next word, in upper case.
    fn word(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest.trim_ascii_start();
        let end = rest
            .iter()
            .position(|b| !b.is_ascii_alphanumeric() && *b != b'_')
            .unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        self.rest = &rest[end..];
        Some(rest[..end].to_ascii_uppercase())
    }

    /// Goes behind the word, if it comes next.
    fn is(&mut self, word: &str) -> bool {
        let before = self.rest;
        if self.word().is_some_and(|w| w == word.as_bytes()) {
            return true;
        }
        self.rest = before;
        false
    }

    /// A name, quoted or not, in lower case.
    fn name(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest.trim_ascii_start();
        let quote = *rest.first()?;
        if !matches!(quote, b'`' | b'"') {
            let end = rest
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(rest.len());
            self.rest = &rest[end..];
            return Some(rest[..end].to_ascii_lowercase());
        }
        let mut name = Vec::new();
        let mut at = 1;
        loop {
            let byte = *rest.get(at)?;
            if byte == quote {
                if rest.get(at + 1) != Some(&quote) {
                    break;
                }
                at += 1;
            }
            name.push(byte.to_ascii_lowercase());
            at += 1;
        }
        self.rest = &rest[at + 1..];
        Some(name)
    }

    /// `X'61',X'62',1`, the second and third optional; texts as well as
    /// hexadecimals.
    fn xid(&mut self) -> Option<Xid> {
        let global = self.bytes()?;
        let branch = if self.comma() {
            self.bytes()?
        } else {
            Vec::new()
        };
        let format = if self.comma() {
            std::str::from_utf8(&self.word()?).ok()?.parse().ok()?
        } else {
            1
        };
        Some(Xid {
            format,
            global,
            branch,
        })
    }

    fn comma(&mut self) -> bool {
        let rest = self.rest.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b",") else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest.trim_ascii_start();
        let hex = matches!(rest.first()?, b'x' | b'X');
        let rest = &rest[usize::from(hex)..];
        let (quote, rest) = rest.split_first()?;
        if *quote != b'\'' {
            return None;
        }
        let end = rest.iter().position(|b| *b == b'\'')?;
        self.rest = &rest[end + 1..];
        let text = &rest[..end];
        if !hex {
            return Some(text.to_vec());
        }
        if text.len() % 2 != 0 {
            return None;
        }
        text.chunks(2)
            .map(|pair| {
                let digit = |b: u8| char::from(b).to_digit(16);
                u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xid(global: &[u8], branch: &[u8], format: u32) -> Xid {
        Xid {
            format,
            global: global.to_vec(),
            branch: branch.to_vec(),
        }
    }

    #[test]
    fn words_of_transactions_are_told_from_other_statements() {
        let cases: [(&str, Option<Word>); 22] = [
            ("BEGIN", Some(Word::Begin)),
            ("begin work", Some(Word::Begin)),
            ("BEGIN NOT ATOMIC SELECT 1; END", None),
            ("START TRANSACTION", Some(Word::Begin)),
            ("START SLAVE", None),
            ("COMMIT", Some(Word::Commit)),
            ("COMMIT AND CHAIN", None),
            ("ROLLBACK", Some(Word::Rollback)),
            ("SAVEPOINT `a``B`", Some(Word::Savepoint(b"a`b".to_vec()))),
            ("SAVEPOINT x", Some(Word::Savepoint(b"x".to_vec()))),
            ("ROLLBACK TO `S 1`", Some(Word::RollbackTo(b"s 1".to_vec()))),
            (
                "rollback to savepoint q",
                Some(Word::RollbackTo(b"q".to_vec())),
            ),
            (
                "XA START X'61',X'62',7",
                Some(Word::XaStart(xid(b"a", b"b", 7))),
            ),
            ("XA END X'61',X'62',7", Some(Word::XaEnd)),
            (
                "XA COMMIT X'00ff',X'',1",
                Some(Word::XaCommit(xid(&[0, 255], b"", 1))),
            ),
            (
                "XA COMMIT X'61',X'',1 ONE PHASE",
                Some(Word::XaCommit(xid(b"a", b"", 1))),
            ),
            (
                "XA ROLLBACK 'a' , 'b'",
                Some(Word::XaRollback(xid(b"a", b"b", 1))),
            ),
            ("XA COMMIT X'6',X'',1", None),
            ("XA COMMIT X'6g',X'',1", None),
            ("CREATE TABLE t (a INT)", None),
            ("SAVEPOINT `a", None),
            ("", None),
        ];
        for (text, word) in cases {
            assert_eq!(Word::read(text.as_bytes()), word, "{text}");
        }
    }

    #[test]
    fn an_xid_is_shown_as_the_server_shows_it() {
        assert_eq!(xid(b"a", b"", 7).to_string(), "X'61',X'',7");
    }

    fn gtid(body: &[u8]) -> Option<GtidEvent> {
        let header = Header {
            time_s: 0,
            kind: Kind::GTID,
            server: 9,
            bytes: 0,
            next: 0,
            flags: 0,
        };
        GtidEvent::read(&header, body)
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn ids_are_read_as_a_server_wrote_them() {
        let event = gtid(&unhex("01000000000000000000000029000000000000")).unwrap();
        assert_eq!(event.gtid.unwrap().to_string(), "0-9-1");
        assert_eq!(event.standalone, Some(true));
        assert!(event.ddl && !event.without_effect && event.xa.is_none());
        let event = gtid(&unhex("0d00000000000000000000004c070000000101616201ff")).unwrap();
        assert_eq!(event.xa, Some(XaPhase::Prepared(xid(b"a", b"b", 7))));
        assert_eq!(event.standalone, Some(false));
        let event = gtid(&unhex("0e00000000000000000000008d0700000001016162")).unwrap();
        assert_eq!(event.xa, Some(XaPhase::Completed(xid(b"a", b"b", 7))));
        let event = gtid(&unhex("1d000000000000000000000029020000000000")).unwrap();
        assert!(event.without_effect, "START ALTER");
        let event = gtid(&unhex("1e000000000000000000000029041d00000000000000")).unwrap();
        assert!(!event.without_effect, "COMMIT ALTER");
        for length in 0..13 {
            assert_eq!(gtid(&vec![0; length]), None);
        }
    }
}
