//! `multipart/form-data`, as the Tencent common clients send it (section 1.1).

use crate::fault::{Fault, Rejection};
use crate::request::RawRequest;

/// The most parts that are read: more than any operation has parameters.
const MAX_PARTS: usize = 256;

/// The longest boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// One part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    /// Whether the part carries a file name.
    pub(crate) file: bool,
    /// Whether the part says that it is JSON: lists and objects travel so.
    pub(crate) json: bool,
    pub(crate) data: &'a [u8],
}

fn malformed(why: &str) -> Rejection {
    Rejection::new(
        Fault::MalformedBody,
        format!("malformed multipart body: {why}"),
    )
}

/// Reads every part of the body.
pub(crate) fn parse<'a>(raw: RawRequest<'a>) -> Result<Vec<Part<'a>>, Rejection> {
    let content_type = raw.text("content-type").unwrap_or("");
    let boundary = attribute(content_type, "boundary").ok_or_else(|| malformed("no boundary"))?;
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return Err(malformed("boundary is empty or too long"));
    }
    let opening = format!("--{boundary}");
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = raw
        .body
        .strip_prefix(opening.as_bytes())
        .ok_or_else(|| malformed("it does not begin with its boundary"))?;
    let mut parts = Vec::new();
    loop {
        if let Some(tail) = rest.strip_prefix(b"--") {
            return if tail.is_empty() || tail == b"\r\n" {
                Ok(parts)
            } else {
                Err(malformed("text after the last boundary"))
            };
        }
        if parts.len() == MAX_PARTS {
            return Err(malformed("too many parts"));
        }
        let body = rest
            .strip_prefix(b"\r\n")
            .ok_or_else(|| malformed("no line end after a boundary"))?;
        let end = find(body, delimiter.as_bytes())
            .ok_or_else(|| malformed("the last boundary is missing"))?;
        let (part, tail) = body.split_at(end);
        parts.push(parse_part(part)?);
        rest = tail.strip_prefix(delimiter.as_bytes()).unwrap_or_default();
    }
}

fn parse_part(part: &[u8]) -> Result<Part<'_>, Rejection> {
    let blank = find(part, b"\r\n\r\n").ok_or_else(|| malformed("a part without a blank line"))?;
    let (head, data) = part.split_at(blank);
    let data = data.strip_prefix(b"\r\n\r\n").unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| malformed("a part's head is not UTF-8"))?;
    let mut name = None;
    let mut file = false;
    let mut json = false;
    for line in head.split("\r\n") {
        let Some((key, value)) = line.split_once(':') else {
            return Err(malformed("a part's head line without a colon"));
        };
        if key.eq_ignore_ascii_case("content-disposition") {
            name = attribute(value, "name");
            file = attribute(value, "filename").is_some();
        } else if key.eq_ignore_ascii_case("content-type") {
            let kind = value.split(';').next().unwrap_or(value).trim();
            json = kind.eq_ignore_ascii_case("application/json");
        }
    }
    Ok(Part {
        name: name.ok_or_else(|| malformed("a part without a name"))?,
        file,
        json,
        data,
    })
}

/// An attribute of a header value, with or without quotes.
fn attribute(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, tail)) = rest.split_once(';') {
        rest = tail.trim_start();
        let (key, after) = rest.split_once('=')?;
        if let Some(quoted) = after.strip_prefix('"') {
            let (inner, tail) = quoted.split_once('"')?;
            if key.trim().eq_ignore_ascii_case(name) {
                return Some(inner.to_owned());
            }
            rest = tail;
        } else if key.trim().eq_ignore_ascii_case(name) {
            return Some(after.split(';').next().unwrap_or(after).trim().to_owned());
        }
    }
    None
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Shown = (String, bool, bool, Vec<u8>);

    fn run(content_type: &str, body: &[u8]) -> Result<Vec<Shown>, Fault> {
        let headers = [("Content-Type", content_type.as_bytes())];
        let raw = RawRequest {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body,
        };
        parse(raw)
            .map(|parts| {
                parts
                    .into_iter()
                    .map(|p| (p.name, p.file, p.json, p.data.to_vec()))
                    .collect()
            })
            .map_err(|r| r.fault)
    }

    #[test]
    fn parts() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"A\"\r\n\r\nx\r\n\
            --b\r\nContent-Disposition: form-data; filename=\"f;1\"; name=B\r\nContent-Type: application/json\r\n\r\n[1]\r\n--b--\r\n";
        assert_eq!(
            run("multipart/form-data; boundary=b", body),
            Ok(vec![
                ("A".into(), false, false, b"x".to_vec()),
                ("B".into(), true, true, b"[1]".to_vec()),
            ])
        );
        assert_eq!(
            run("multipart/form-data; boundary=\"b\"", b"--b--"),
            Ok(vec![])
        );
    }

    #[test]
    fn malformed() {
        for (content_type, body) in [
            ("multipart/form-data", &b"--b--"[..]),
            ("multipart/form-data; boundary=", b"----"),
            ("multipart/form-data; boundary=b", b""),
            ("multipart/form-data; boundary=b", b"--b"),
            ("multipart/form-data; boundary=b", b"--b\r\n"),
            ("multipart/form-data; boundary=b", b"--b--x"),
            ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--"),
            (
                "multipart/form-data; boundary=b",
                b"--b\r\nContent-Disposition: form-data; name=\"A\"\r\n\r\nx",
            ),
            (
                "multipart/form-data; boundary=b",
                b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
            ),
            (
                "multipart/form-data; boundary=b",
                b"--b\r\nnonsense\r\n\r\nx\r\n--b--",
            ),
            (
                "multipart/form-data; boundary=b",
                b"--b\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nx\r\n--b--",
            ),
        ] {
            assert_eq!(
                run(content_type, body),
                Err(Fault::MalformedBody),
                "{body:?}"
            );
        }
        let many = "--b\r\nContent-Disposition: form-data; name=\"A\"\r\n\r\nx\r\n".repeat(300);
        assert_eq!(
            run(
                "multipart/form-data; boundary=b",
                format!("{many}--b--").as_bytes()
            ),
            Err(Fault::MalformedBody)
        );
    }
}
