//! A request as it was received.

use crate::fault::{Fault, Rejection};

/// A request before any framework has decoded anything: signatures cover the
/// raw query, the raw body and header values as received (section 7, item 1).
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The path as received, without the query.
    pub path: &'a str,
    /// The query as received, without the question mark.
    pub query: &'a str,
    /// Names (in any case) and values, in the order received.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body as received.
    pub body: &'a [u8],
}

impl std::fmt::Debug for RawRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Query, headers and body may hold tokens, signatures and passwords.
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl<'a> RawRequest<'a> {
    /// Every value of a header, in the order received.
    fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The first value of a header.
    pub(crate) fn header(self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Whether the header is there at all.
    pub(crate) fn has_header(self, name: &str) -> bool {
        self.header(name).is_some()
    }

    /// The first value of a header as trimmed text; `None` when absent or not
    /// UTF-8.
    pub(crate) fn text(self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header(name)?).ok().map(str::trim)
    }

    /// As [`RawRequest::text`], but an empty value counts as absent.
    pub(crate) fn filled(self, name: &str) -> Option<&'a str> {
        self.text(name).filter(|v| !v.is_empty())
    }

    /// The media type without its parameters, lower case.
    pub(crate) fn media_type(self) -> Option<String> {
        let value = self.text("content-type")?;
        let kind = value.split(';').next().unwrap_or(value);
        Some(kind.trim().to_ascii_lowercase())
    }

    /// Refuses a second value of a header on which the outcome depends: one
    /// reader might take the first, the next one the last.
    pub(crate) fn refuse_repeated(self, matters: fn(&str) -> bool) -> Result<(), Rejection> {
        for (i, (name, _)) in self.headers.iter().enumerate() {
            let again = self
                .headers
                .iter()
                .take(i)
                .any(|(earlier, _)| earlier.eq_ignore_ascii_case(name));
            if again && matters(&name.to_ascii_lowercase()) {
                return Err(Rejection::new(
                    Fault::MalformedAuthorization,
                    format!("header {} comes more than once", shown(name)),
                ));
            }
        }
        Ok(())
    }

    /// Every value of a header: trimmed, sorted, joined by commas. `None` when
    /// absent or not UTF-8.
    pub(crate) fn joined(self, name: &str) -> Option<String> {
        let mut values = Vec::new();
        for value in self.values(name) {
            values.push(std::str::from_utf8(value).ok()?.trim());
        }
        if values.is_empty() {
            return None;
        }
        values.sort_unstable();
        Some(values.join(","))
    }
}

/// The most characters of a client's own text that a message repeats.
const SHOWN_CHARS: usize = 80;

/// A client's own text, fit to be shown in a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN_CHARS)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
