//! What a call names, and every way in which a policy may name it.
//!
//! A caller whose policy is against it is not told whether something exists:
//! what is not found is judged by the name that was given.

use backout_core::ids::{AccountId, BackupId};
use backout_servers::Refusal;
use backout_servers::model::{Blueprint, ManagedDisk, Server, Snapshot, Subject, Usage};

use super::{Call, Kind, Native, NativeError, Result};
use crate::front::REGIONS;

/// A resource, as calls and commands name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// A server, by name or id.
    Server(&'a str),
    /// A data disk by name, or any disk by id.
    Disk(&'a str),
    /// A database, by name or id.
    Database(&'a str),
    /// An application, by name, `NAMESPACE/NAME` or id.
    App(&'a str),
    /// A data engine, by name or id.
    Engine(&'a str),
}

/// `server/NAME`, `disk/NAME`, `database/NAME`, `app/NAME`, `engine/NAME`, or just
/// the NAME of a server. A name with a `/` in it needs the word before it.
pub(super) fn named(resource: &str) -> Result<Named<'_>> {
    let (of, name): (fn(_) -> _, _) = match resource.split_once('/') {
        Some(("server", name)) => (Named::Server, name),
        Some(("disk", name)) => (Named::Disk, name),
        Some(("database", name)) => (Named::Database, name),
        Some(("app" | "application", name)) => (Named::App, name),
        Some(("engine", name)) => (Named::Engine, name),
        Some(_) => (Named::Server, ""),
        None => (Named::Server, resource),
    };
    if name.is_empty() {
        return Err(NativeError::malformed(format!(
            "read the resource {:?}: give server/NAME, disk/NAME, database/NAME, app/NAME, engine/NAME, one of them with an id, or just the name of a server",
            resource.chars().take(80).collect::<String>()
        )));
    }
    Ok(of(name))
}

/// What servers, disks and images are in, in the vendor's ways.
const SERVICE: &str = "lighthouse";

/// The vendor's ways. All regions lead to the same resources, and a call of our
/// own names none: what is denied in one of them is denied here.
pub(super) fn vendor_spellings(
    service: &str,
    owner: &AccountId,
    kind: &str,
    id: &str,
) -> impl Iterator<Item = String> {
    std::iter::once("")
        .chain(REGIONS.iter().copied())
        .map(move |region| format!("qcs::{service}:{region}:uin/{owner}:{kind}/{id}"))
}

/// Every way in which a policy may name a server.
#[must_use]
pub(super) fn spellings(server: &Server) -> Vec<String> {
    let mut out = vec![format!("server/{}", server.name), server.resource()];
    out.extend(vendor_spellings(
        SERVICE,
        &server.owner,
        "instance",
        server.id.as_str(),
    ));
    out
}

/// Every way in which a policy may name a disk; a system disk is its server's.
fn disk_spellings(disk: &ManagedDisk, host: Option<&Server>) -> Vec<String> {
    let id = disk.volume.id.as_str();
    let mut out = match disk.usage {
        Usage::Data => vec![format!("disk/{}", disk.name), format!("disk/{id}")],
        Usage::System => vec![format!("disk/{id}")],
    };
    out.extend(vendor_spellings(SERVICE, &disk.owner, "disk", id));
    if disk.usage == Usage::System {
        out.extend(host.into_iter().flat_map(spellings));
    }
    out
}

/// Every way in which a policy may name an image.
fn image_spellings(image: &Blueprint) -> Vec<String> {
    let id = image.id.as_str();
    let mut out = vec![
        format!("image/{}", image.name),
        format!("image/{id}"),
        format!("blueprint/{id}"),
    ];
    out.extend(vendor_spellings(SERVICE, &image.owner, "blueprint", id));
    out
}

/// Whether a call about a disk is one about the server that uses it, too: what
/// stops or holds up a server must be allowed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touches {
    /// It only looks, or leaves the server alone.
    Disk,
    /// The server feels it.
    ServerToo,
}

/// What was looked for; none when there is none.
pub(super) fn if_there<T>(
    found: std::result::Result<T, impl Into<NativeError>>,
) -> Result<Option<T>> {
    match found.map_err(Into::into) {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

impl Native {
    /// What was looked for, if the caller's policy allows `action` on it, by all
    /// its `spellings`. What is not there is judged by `given`, as it was named.
    pub(super) fn allowed<T>(
        call: &Call,
        action: &str,
        found: std::result::Result<T, impl Into<NativeError>>,
        spellings: impl FnOnce(&T) -> Vec<String>,
        given: String,
    ) -> Result<T> {
        match found.map_err(Into::into) {
            Ok(found) => {
                Self::allow(call, action, &[spellings(&found)])?;
                Ok(found)
            }
            Err(e) if e.kind == Kind::NotFound => {
                Self::allow(call, action, &[vec![given]])?;
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    /// A server of the caller's owner, if its policy allows `action` on it.
    pub(super) async fn allowed_server(
        &self,
        call: &Call,
        action: &str,
        server: &str,
    ) -> Result<Server> {
        let found = self.parts.servers.get(&call.principal.owner, server).await;
        Self::allowed(call, action, found, spellings, format!("server/{server}"))
    }

    /// A disk of the caller's owner, if its policy allows `action` on it.
    pub(super) async fn allowed_disk(
        &self,
        call: &Call,
        action: &str,
        disk: &str,
        touches: Touches,
    ) -> Result<ManagedDisk> {
        match self.parts.servers.disk(&call.principal.owner, disk).await {
            Ok(disk) => {
                Self::allow(call, action, &self.all_of_disk(call, &disk, touches).await?)?;
                Ok(disk)
            }
            Err(e @ Refusal::DiskNotFound(_)) => {
                Self::allow(call, action, &[vec![format!("disk/{disk}")]])?;
                Err(e.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// An image of the caller's owner, if its policy allows `action` on it.
    pub(super) async fn allowed_image(
        &self,
        call: &Call,
        action: &str,
        image: &str,
    ) -> Result<Blueprint> {
        let (owner, servers) = (&call.principal.owner, &self.parts.servers);
        let found = servers.blueprint(owner, image).await;
        let given = format!("image/{image}");
        Self::allowed(call, action, found, image_spellings, given)
    }

    /// The disk that a resource means, if the caller's policy allows `action`
    /// on it.
    pub(super) async fn allowed_target(
        &self,
        call: &Call,
        action: &str,
        resource: &str,
        touches: Touches,
    ) -> Result<Subject> {
        Ok(match named(resource)? {
            Named::Server(name) => {
                Subject::Server(self.allowed_server(call, action, name).await?.id)
            }
            Named::Disk(name) => self
                .allowed_disk(call, action, name, touches)
                .await?
                .subject(),
            Named::App(name) => {
                self.allowed_app(call, action, name).await?;
                return Err(NativeError::malformed(format!(
                    "take an application back to a restore point: it goes back to a version, with: backout apps rollback {name}"
                )));
            }
            Named::Engine(name) => {
                self.allowed_engine(call, action, name).await?;
                return Err(NativeError::malformed(format!(
                    "take a data engine back to a restore point: its image is rolled back, with: backout engines rollback {name}"
                )));
            }
            Named::Database(name) => {
                self.allowed_database(call, action, name).await?;
                return Err(NativeError::malformed(format!(
                    "take a database back as a whole: its tables are, with: backout databases rollback {name}"
                )));
            }
        })
    }

    /// What a policy is asked about a restore point: its id, what it is of, and
    /// when that is felt there, the server that uses the disk.
    pub(super) async fn point_spellings(
        &self,
        call: &Call,
        point: &Snapshot,
    ) -> Result<Vec<String>> {
        let id = point.id.as_str();
        let kind = match point.subject {
            Subject::Server(_) => "snapshot",
            Subject::Disk(_) => "diskBackup",
        };
        let mut all = vec![format!("snapshot/{id}")];
        if id.parse::<BackupId>().is_ok() {
            all.push(format!("backup/{id}"));
        }
        all.extend(self.subject_spellings(call, &point.subject).await?);
        all.extend(vendor_spellings(SERVICE, &point.owner, kind, id));
        Ok(all)
    }

    /// Every way in which a policy may name a server or a disk; just the id for
    /// one that is gone.
    pub(super) async fn subject_spellings(
        &self,
        call: &Call,
        subject: &Subject,
    ) -> Result<Vec<String>> {
        let (owner, servers) = (&call.principal.owner, &self.parts.servers);
        let found = match subject {
            Subject::Server(id) => {
                let server = if_there(servers.get(owner, id.as_str()).await)?;
                server.as_ref().map(spellings)
            }
            Subject::Disk(id) => match if_there(servers.disk(owner, id.as_str()).await)? {
                Some(disk) => {
                    let all = self.all_of_disk(call, &disk, Touches::Disk).await?;
                    all.into_iter().next()
                }
                None => None,
            },
        };
        Ok(found.unwrap_or_else(|| vec![subject.resource()]))
    }

    /// What a policy is asked about a disk: the disk, and the server that feels
    /// it.
    pub(super) async fn all_of_disk(
        &self,
        call: &Call,
        disk: &ManagedDisk,
        touches: Touches,
    ) -> Result<Vec<Vec<String>>> {
        let host = match &disk.server {
            None => None,
            Some(id) => {
                let (owner, servers) = (&call.principal.owner, &self.parts.servers);
                if_there(servers.get(owner, id.as_str()).await)?
            }
        };
        let mut all = vec![disk_spellings(disk, host.as_ref())];
        if touches == Touches::ServerToo && disk.usage == Usage::Data {
            all.extend(host.as_ref().map(spellings));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        for (text, want) in [
            ("web", Some(Named::Server("web"))),
            ("server/web", Some(Named::Server("web"))),
            ("server/a/b", Some(Named::Server("a/b"))),
            ("disk/data", Some(Named::Disk("data"))),
            ("disk/server/x", Some(Named::Disk("server/x"))),
            ("disk", Some(Named::Server("disk"))),
            ("", None),
            ("server/", None),
            ("disk/", None),
            ("database/shop", Some(Named::Database("shop"))),
            ("database/", None),
            ("app/web", Some(Named::App("web"))),
            ("app/test/web", Some(Named::App("test/web"))),
            ("app/", None),
            ("engine/lake", Some(Named::Engine("lake"))),
            ("engine/", None),
            ("apps/web", None),
            ("/web", None),
        ] {
            assert_eq!(named(text).ok(), want, "{text:?}");
        }
    }
}
