//! Which protocol a request speaks, and how large it may be.

use std::fmt;

use crate::form;
use crate::request::RawRequest;

/// A vendor's way to sign and send a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Tencent API 3.0 signed with TC3-HMAC-SHA256 (section 1).
    Tc3,
    /// Tencent API 3.0 signed with HmacSHA1 or HmacSHA256 (section 2).
    TencentV1,
    /// Tencent legacy API 2.0 (section 3).
    QcloudV2,
    /// Alibaba ROA, `Authorization: acs` (section 4).
    AlibabaRoa,
    /// Alibaba ACS3-HMAC-SHA256 (section 5).
    Acs3,
}

const KB: usize = 1024;
const MB: usize = 1024 * KB;

/// The longest query of a Tencent call (section 1.1).
const TENCENT_QUERY: usize = 32 * KB;

/// The longest query of an Alibaba call. The vendor states none; twice the
/// other one's holds every parameter of `DeployApplication` and fits the head
/// buffer of the listener.
const ALIBABA_QUERY: usize = 64 * KB;

/// The path of the legacy API.
pub(crate) const V2_PATH: &str = "/v2/index.php";

impl Protocol {
    /// The protocol of a request; `None` when it is not a vendor's call.
    /// More lenient than the table of section 0 where a part is missing: an
    /// unsigned call is answered in its vendor's words.
    #[must_use]
    pub fn detect(raw: &RawRequest<'_>) -> Option<Self> {
        let raw = *raw;
        let authorization = raw.text("authorization").unwrap_or("");
        let word = authorization.split(' ').next().unwrap_or("");
        let action = raw.has_header("x-tc-action");
        if word == "TC3-HMAC-SHA256" || (word == "SKIP" && action) {
            return Some(Self::Tc3);
        }
        let bearer = raw
            .text("x-acs-signature-type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("BEARERTOKEN"));
        if word.starts_with("ACS3-") || bearer {
            return Some(Self::Acs3);
        }
        if word == "acs" {
            return Some(Self::AlibabaRoa);
        }
        if raw.path == V2_PATH {
            return Some(Self::QcloudV2);
        }
        if raw.path == "/" {
            let body = if raw.method == "POST" { raw.body } else { b"" };
            let has = |key| form::has_key(raw.query.as_bytes(), key) || form::has_key(body, key);
            if has("Action") && (has("Signature") || has("SecretId")) {
                return Some(Self::TencentV1);
            }
        }
        if action {
            return Some(Self::Tc3);
        }
        if raw.has_header("x-acs-action") {
            return Some(Self::Acs3);
        }
        None
    }

    /// The most bytes of the body, or for a GET of the query, that are read.
    #[must_use]
    pub fn body_limit(self, method: &str) -> usize {
        if method == "GET" {
            return self.query_limit();
        }
        match self {
            Self::Tc3 | Self::AlibabaRoa | Self::Acs3 => 10 * MB,
            Self::TencentV1 | Self::QcloudV2 => MB,
        }
    }

    /// The most bytes of the query.
    #[must_use]
    pub const fn query_limit(self) -> usize {
        match self {
            Self::Tc3 | Self::TencentV1 | Self::QcloudV2 => TENCENT_QUERY,
            Self::AlibabaRoa | Self::Acs3 => ALIBABA_QUERY,
        }
    }

    /// How far a call's date may be from the server's, in seconds: five
    /// minutes (sections 1.3, 2, 3) or fifteen (sections 4, 5).
    #[must_use]
    pub const fn clock_window_s(self) -> i64 {
        match self {
            Self::Tc3 | Self::TencentV1 | Self::QcloudV2 => 300,
            Self::AlibabaRoa | Self::Acs3 => 900,
        }
    }

    /// Whether this is one of Alibaba Cloud's.
    #[must_use]
    pub const fn is_alibaba(self) -> bool {
        matches!(self, Self::AlibabaRoa | Self::Acs3)
    }

    /// The word in logs and audit lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tc3 => "tc3",
            Self::TencentV1 => "tencent-v1",
            Self::QcloudV2 => "qcloud-v2",
            Self::AlibabaRoa => "alibaba-roa",
            Self::Acs3 => "acs3",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
