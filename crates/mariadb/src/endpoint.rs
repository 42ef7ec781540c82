//! Where a database server is, and as whom we come.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use backout_history::archive::pull::PullFrom;
use mysql::SslOpts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The port when a URL says none.
pub const PORT: u16 = 3306;

/// The longest URL that is looked at.
const URL_BYTES_MAX: usize = 4096;

/// What need not be escaped in a part of a URL.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'/');

/// A password: wiped from memory with its last handle, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// Takes a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The password itself, for the server and for nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// How the way to a server is protected. Never used on a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    #[default]
    Off,
    /// Encrypted, whatever certificate the server has: protects against who
    /// listens, not against who answers in the server's place.
    Unchecked,
    /// Encrypted, with a certificate that the public authorities vouch for.
    Public,
    /// Encrypted, with a certificate that the authority in this PEM file
    /// vouches for.
    Authority(PathBuf),
}

/// Where a server is, and as whom we come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address of the host.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The path of its socket, which is preferred to TCP when it is given.
    pub socket: Option<PathBuf>,
    /// The account.
    pub user: String,
    /// Its password; empty for none.
    pub password: Password,
    /// How the way is protected.
    pub tls: Tls,
}

impl Tls {
    /// The client's options for it.
    pub(crate) fn options(&self) -> Option<SslOpts> {
        match self {
            Self::Off => None,
            Self::Unchecked => Some(
                SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true),
            ),
            Self::Public => Some(SslOpts::default()),
            Self::Authority(path) => {
                Some(SslOpts::default().with_root_cert_path(Some(path.clone())))
            }
        }
    }
}

impl Endpoint {
    /// How its history is followed, as the replica of this number.
    #[must_use]
    pub fn pull_from(&self, server_id: u32) -> PullFrom {
        PullFrom {
            host: self.host.clone(),
            port: self.port,
            socket: self.socket.clone(),
            user: self.user.clone(),
            password: self.password.expose().to_owned(),
            server_id,
            tls: self.tls.options(),
        }
    }

    /// Reads `mysql://USER:PASSWORD@HOST:PORT[/][?socket=PATH&tls=MODE]` (or
    /// `mariadb://`). User, password and paths are percent-encoded. `MODE` is
    /// `off`, `unchecked`, `public`, or `ca:PATH` for the PEM file of an
    /// authority.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`]; the text never repeats the password.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |why: &str| Error::BadEndpoint {
            why: format!("{why}; give mysql://USER:PASSWORD@HOST:PORT"),
        };
        if url.len() > URL_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"))
            .ok_or_else(|| bad("it does not begin with mysql://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err(bad(
                "it names a database, but a server is wanted (is a / in the password? write %2F)",
            ));
        }
        let (account, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = account.split_once(':').unwrap_or((account, ""));
        let user = decoded(user).ok_or_else(|| bad("the user is not percent-encoded UTF-8"))?;
        if user.is_empty() {
            return Err(bad("it names no user"));
        }
        let password =
            decoded(password).ok_or_else(|| bad("the password is not percent-encoded UTF-8"))?;
        let (host, port) = host_and_port(host).ok_or_else(|| bad("the port is not a number"))?;
        let mut endpoint = Self {
            host,
            port,
            socket: None,
            user,
            password: Password::new(password),
            tls: Tls::Off,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                decoded(value).ok_or_else(|| bad("a value is not percent-encoded UTF-8"))?;
            match name {
                "socket" if value.starts_with('/') => endpoint.socket = Some(value.into()),
                "socket" => return Err(bad("the socket is not an absolute path")),
                "tls" => {
                    endpoint.tls = match value.as_str() {
                        "off" => Tls::Off,
                        "unchecked" => Tls::Unchecked,
                        "public" => Tls::Public,
                        _ => match value.strip_prefix("ca:") {
                            Some(path) if path.starts_with('/') => Tls::Authority(path.into()),
                            _ => {
                                return Err(bad("tls is none of off, unchecked, public, ca:/PATH"));
                            }
                        },
                    }
                }
                _ => return Err(bad("it has a parameter other than socket and tls")),
            }
        }
        if endpoint.host.is_empty() {
            if endpoint.socket.is_none() {
                return Err(bad("it names no host"));
            }
            "localhost".clone_into(&mut endpoint.host);
        }
        Ok(endpoint)
    }

    /// The URL, with the password: to be sealed before it is kept. What
    /// [`Endpoint::parse`] reads as the same.
    #[must_use]
    pub fn to_url(&self) -> Zeroizing<String> {
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let mut url = Zeroizing::new(format!(
            "mysql://{}:{}@{host}:{}",
            part(&self.user),
            part(self.password.expose()),
            self.port,
        ));
        let mut separator = '?';
        let mut add = |name: &str, value: &str| {
            url.push(separator);
            separator = '&';
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, KEPT));
        };
        if let Some(socket) = &self.socket {
            add("socket", &socket.to_string_lossy());
        }
        match &self.tls {
            Tls::Off => {}
            Tls::Unchecked => add("tls", "unchecked"),
            Tls::Public => add("tls", "public"),
            Tls::Authority(path) => add("tls", &format!("ca:{}", path.to_string_lossy())),
        }
        url
    }
}

/// For people: user and place, without the password.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => write!(f, "{}@{}", self.user, socket.display()),
            None if self.host.contains(':') => {
                write!(f, "{}@[{}]:{}", self.user, self.host, self.port)
            }
            None => write!(f, "{}@{}:{}", self.user, self.host, self.port),
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    (!text.contains('\0')).then(|| text.into_owned())
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        match rest {
            "" => (host, None),
            _ => (host, Some(rest.strip_prefix(':')?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => PORT,
    };
    Some((decoded(host)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_alike() {
        for (url, shown) in [
            ("mysql://root@127.0.0.1:3310", "root@127.0.0.1:3310"),
            ("mysql://a%40b:p%2F%3A%3F@db.example", "a@b@db.example:3306"),
            ("mariadb://u:p@[::1]:3307/", "u@[::1]:3307"),
            ("mysql://u:p@/?socket=/run/a b.sock", "u@/run/a b.sock"),
            ("mysql://u:p@h?tls=ca:/etc/ca.pem", "u@h:3306"),
            ("mysql://u:p@h?tls=unchecked&socket=%2Frun%2Fs", "u@/run/s"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(Endpoint::parse(&endpoint.to_url()).unwrap(), endpoint);
        }
        let endpoint = Endpoint::parse("mysql://a%40b:p%2F%3A%3F@db.example").unwrap();
        assert_eq!(endpoint.password.expose(), "p/:?");
        assert!(!format!("{endpoint:?}").contains("p/:?"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_the_password() {
        for url in [
            "",
            "postgres://u:hunter2@h",
            "mysql://:hunter2@h",
            "mysql://u:hunter2@",
            "mysql://u:hunter2@h:x",
            "mysql://u:hunter2@h:0",
            "mysql://u:hunter2@h/shop",
            "mysql://u:hunter2@h?tls=maybe",
            "mysql://u:hunter2@h?socket=run",
            "mysql://u:hunter2@h?compress=1",
            "mysql://u:hunter2%00@h",
            "mysql://u:hunter2%ff@h",
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
