//! Identifiers, each a type of its own.
//!
//! Ids are opaque outside this file: their forms are fixed here once, since
//! scripts and vendors' clients keep them. What the prefixes are chosen after
//! is told in `docs/SEMANTICS.md`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where randomness comes from.
pub trait Entropy: Send + Sync {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system always has randomness after boot");
    }
}

const BASE36: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// `len` random characters of `[a-z0-9]`.
#[must_use]
pub fn random_base36(entropy: &dyn Entropy, len: usize) -> String {
    let mut out = String::with_capacity(len);
    let mut bytes = [0u8; 64];
    while out.len() < len {
        entropy.fill(&mut bytes);
        for b in bytes {
            // 252 is the largest multiple of 36 that fits a byte: beyond it the
            // remainder would be biased.
            if b < 252 && out.len() < len {
                out.push(char::from(BASE36[usize::from(b % 36)]));
            }
        }
    }
    out
}

/// A random (version 4) UUID in its usual text form.
#[must_use]
pub fn random_uuid(entropy: &dyn Entropy) -> String {
    let mut b = [0u8; 16];
    entropy.fill(&mut b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let n = u128::from_be_bytes(b);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        (n >> 80) & 0xffff,
        (n >> 64) & 0xffff,
        (n >> 48) & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

/// An id text that does not have the form of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {kind} id {text:?}: expected {prefix} and {len} characters of a-z and 0-9")]
pub struct MalformedId {
    /// What kind of id was expected.
    pub kind: &'static str,
    /// The text that was given, cut to 64 characters.
    pub text: String,
    /// The prefix every id of this kind has.
    pub prefix: &'static str,
    /// How many characters follow the prefix.
    pub len: usize,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal + $len:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh random id.
            #[must_use]
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(format!("{}{}", $prefix, random_base36(entropy, $len)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let well_formed = text.strip_prefix($prefix).is_some_and(|rest| {
                    rest.len() == $len
                        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                });
                if well_formed {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(MalformedId {
                        kind: stringify!($name),
                        text: text.chars().take(64).collect(),
                        prefix: $prefix,
                        len: $len,
                    })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A job. Underscore rather than hyphen: a double click selects it whole.
    JobId = "job_" + 16;
    /// An account.
    AccountId = "acct_" + 12;
    /// A rule of the fault switch.
    FaultId = "fault_" + 12;
    /// A server (SEMANTICS section 4: `lhins-` and 8 of `[a-z0-9]`).
    InstanceId = "lhins-" + 8;
    /// A disk.
    DiskId = "lhdisk-" + 8;
    /// A snapshot, or a safety point, of a server's system disk.
    SnapshotId = "lhsnap-" + 8;
    /// A backup, or a safety point, of a data disk.
    BackupId = "lhbak-" + 8;
    /// An image that new disks are made of.
    BlueprintId = "lhbp-" + 8;
    /// A database instance (SEMANTICS section 3: `cdb-` and 8 of `[a-z0-9]`).
    DatabaseId = "cdb-" + 8;
    /// An instance of an application.
    ReplicaId = "inst-" + 16;
    /// A data engine (SEMANTICS section 2).
    EngineId = "DataEngine-" + 8;
}

/// An id text that is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {kind} {text:?}: expected 32 hexadecimal digits in the groups 8-4-4-4-12")]
pub struct MalformedUuid {
    /// What kind of id was expected.
    pub kind: &'static str,
    /// The text that was given, cut to 64 characters.
    pub text: String,
}

/// Whether it is a UUID in its usual text form, in lower case.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

macro_rules! uuids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A fresh random id.
            #[must_use]
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(random_uuid(entropy))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedUuid;

            fn from_str(text: &str) -> Result<Self, MalformedUuid> {
                match is_uuid(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(MalformedUuid {
                        kind: stringify!($name),
                        text: text.chars().take(64).collect(),
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

uuids! {
    /// An application.
    ApplicationId;
    /// A version of an application: one release of it.
    VersionId;
    /// A change order: one change of an application.
    OrderId;
    /// A batch of a change order.
    BatchId;
    /// A version of the image of data engines: an entry of their catalogue.
    ImageId;
    /// A record of what was done to the image of a data engine.
    RecordId;
}

/// A restore point of a disk, whichever kind of disk that is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PointId {
    /// Of a system disk.
    Snapshot(SnapshotId),
    /// Of a data disk.
    Backup(BackupId),
}

impl PointId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Snapshot(id) => id.as_str(),
            Self::Backup(id) => id.as_str(),
        }
    }
}

impl FromStr for PointId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        match text.parse() {
            Ok(id) => Ok(Self::Backup(id)),
            Err(_) => text.parse().map(Self::Snapshot),
        }
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SnapshotId> for PointId {
    fn from(id: SnapshotId) -> Self {
        Self::Snapshot(id)
    }
}

impl From<BackupId> for PointId {
    fn from(id: BackupId) -> Self {
        Self::Backup(id)
    }
}

/// The id of one call, made by the server for every answer, kept with the job,
/// the audit line and the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub String);

impl RequestId {
    /// A fresh one: a random UUID.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(random_uuid(entropy))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form() {
        let id = InstanceId::random(&OsEntropy);
        assert_eq!(id.as_str().parse::<InstanceId>().unwrap(), id);
        for bad in [
            "",
            "lhins-",
            "lhins-k31c771",
            "lhins-K31C771O",
            "lhsnap-k31c771o",
            "lhins-k31c771o ",
        ] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn restore_points_tell_their_disk() {
        let snapshot: PointId = "lhsnap-nv6aqcv6".parse().unwrap();
        assert!(matches!(snapshot, PointId::Snapshot(_)));
        let backup: PointId = "lhbak-nuen5foj".parse().unwrap();
        assert!(matches!(backup, PointId::Backup(_)));
        assert!("lhdisk-nuen5foj".parse::<PointId>().is_err());
        let json = serde_json::to_string(&backup).unwrap();
        assert_eq!(serde_json::from_str::<PointId>(&json).unwrap(), backup);
    }

    #[test]
    fn ids_that_are_uuids() {
        let id = VersionId::random(&OsEntropy);
        assert_eq!(id.as_str().parse::<VersionId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<VersionId>(&json).unwrap(), id);
        for bad in [
            "",
            "017f39b8-dfa4-4e16-a84b-1dcee4b1****",
            "017F39B8-dfa4-4e16-a84b-1dcee4b10000",
            "017f39b8dfa4-4e16-a84b-1dcee4b100000",
            "017f39b8-dfa4-4e16-a84b-1dcee4b10000 ",
        ] {
            assert!(bad.parse::<VersionId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uuids_are_version_4() {
        let u = random_uuid(&OsEntropy);
        assert_eq!(u.len(), 36);
        assert_eq!(&u[14..15], "4");
        assert!(matches!(&u[19..20], "8" | "9" | "a" | "b"));
    }
}
