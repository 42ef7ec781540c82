//! Fetching a package over HTTP.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the answer may take to begin, and how long all of it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(3600);

/// A store behind a load balancer, behind a short link.
const REDIRECTS_MAX: u32 = 5;

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Fetches `url` to `to`; returns the name of the file as the URL has it.
pub(super) fn fetch(url: &str, to: &Path, max_bytes: u64) -> Result<String> {
    let from = without_secrets(url);
    let unreachable = |why: String| Error::PackageUnreachable {
        from: from.clone(),
        why,
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(unreachable(
            "the URL begins with neither http:// nor https://".to_owned(),
        ));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_PATIENCE))
        .timeout_recv_response(Some(ANSWER_PATIENCE))
        .timeout_global(Some(PATIENCE))
        .max_redirects(REDIRECTS_MAX)
        .build()
        .into();
    let answer = agent
        .get(url)
        .call()
        // Some errors repeat the URL.
        .map_err(|e| unreachable(e.to_string().replace(url, &from)))?;
    let mut body = answer
        .into_body()
        .into_with_config()
        .limit(u64::MAX)
        .reader();
    let mut out = File::create_new(to).map_err(|e| Error::io("write", to, e))?;
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    let mut had: u64 = 0;
    loop {
        let count = body
            .read(&mut chunk)
            .map_err(|e| unreachable(format!("it broke off after {had} bytes: {e}; try again")))?;
        if count == 0 {
            break;
        }
        had += count as u64;
        if had > max_bytes {
            return Err(Error::PackageRefused {
                from,
                why: format!("it is larger than {max_bytes} bytes"),
            });
        }
        out.write_all(chunk.get(..count).unwrap_or_default())
            .map_err(|e| Error::io("write", to, e))?;
    }
    Ok(name(url))
}

/// The last part of the path, as a name of a file.
fn name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = match path.split_once('/') {
        Some((_, path)) => path.rsplit('/').next().unwrap_or_default(),
        None => "",
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let name: String = last
        .chars()
        .map(|c| if fine(c) { c } else { '_' })
        .take(200)
        .collect();
    match name.trim_matches('.') {
        "" => "package".to_owned(),
        _ => name,
    }
}

/// A URL as it may be shown: what is before an `@` or behind a `?` may be a
/// password or a signature.
pub(super) fn without_secrets(url: &str) -> String {
    let short = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = short.split_once("://") else {
        return short.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        let cases = [
            ("http://h/a/b.tgz?sig=1", "http://h/a/b.tgz", "b.tgz"),
            ("https://u:p@h:8/x y", "https://h:8/x y", "x_y"),
            ("http://h", "http://h/", "package"),
            ("http://h/..", "http://h/..", "package"),
            ("http://h/a/", "http://h/a/", "package"),
        ];
        for (url, shown, file) in cases {
            assert_eq!(without_secrets(url), shown);
            assert_eq!(name(url), file, "{url}");
        }
    }
}
