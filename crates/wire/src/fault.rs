//! Why a call is refused before (or instead of) an operation's own answer,
//! and the code that each vendor gives that condition.

use thiserror::Error;

use crate::generated::common::{ALIBABA_CODES, QCLOUD_CODES};
use crate::protocol::Protocol;

/// A refusal that no operation made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Rejection {
    /// The condition.
    pub fault: Fault,
    /// What the caller is told.
    pub message: String,
    /// The parameter that it is about, where it is about one.
    pub parameter: Option<String>,
}

impl Rejection {
    /// A refusal.
    #[must_use]
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            parameter: None,
        }
    }

    /// The same, about this parameter.
    #[must_use]
    pub fn about(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into());
        self
    }
}

/// A condition, told apart from how any vendor names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The authorization is there, but malformed.
    MalformedAuthorization,
    /// A part of the authorization (key, timestamp, nonce ...) is absent.
    MissingAuthorization,
    /// A signature method that is not served (SM3, RSA, bearer).
    UnsupportedSignature,
    /// No such key.
    KeyNotFound,
    /// The key is switched off.
    KeyInactive,
    /// The signature, or a digest that it covers, is wrong.
    SignatureMismatch,
    /// The date is too far from the server's.
    ClockSkew,
    /// The date cannot be read.
    MalformedDate,
    /// The nonce was seen before.
    NonceUsed,
    /// A temporary key came without its token.
    TokenMissing,
    /// The token is not of this key.
    TokenInvalid,
    /// The token has expired.
    TokenExpired,
    /// The policy does not allow the call.
    Denied,
    /// Too many calls.
    Throttled,
    /// No such operation.
    UnknownAction,
    /// No such path.
    UnknownPath,
    /// No such API version.
    UnknownVersion,
    /// The operation is known, but not served here.
    NotServed,
    /// The method is not one of the operation.
    MethodNotAllowed,
    /// The content type is not one of the protocol.
    UnsupportedProtocol,
    /// The region is not served.
    UnsupportedRegion,
    /// A multipart body is malformed.
    MalformedBody,
    /// A needed parameter is absent.
    MissingParameter,
    /// A parameter, or the body as a whole, has the wrong form or type.
    InvalidParameter,
    /// A parameter has a value that is not accepted.
    InvalidParameterValue,
    /// A parameter is not one of the operation.
    UnknownParameter,
    /// Query or body is too large.
    TooLarge,
    /// The server failed.
    Internal,
    /// The server cannot answer now.
    Unavailable,
}

impl Fault {
    /// Every condition.
    pub const ALL: [Self; 29] = [
        Self::MalformedAuthorization,
        Self::MissingAuthorization,
        Self::UnsupportedSignature,
        Self::KeyNotFound,
        Self::KeyInactive,
        Self::SignatureMismatch,
        Self::ClockSkew,
        Self::MalformedDate,
        Self::NonceUsed,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::Denied,
        Self::Throttled,
        Self::UnknownAction,
        Self::UnknownPath,
        Self::UnknownVersion,
        Self::NotServed,
        Self::MethodNotAllowed,
        Self::UnsupportedProtocol,
        Self::UnsupportedRegion,
        Self::MalformedBody,
        Self::MissingParameter,
        Self::InvalidParameter,
        Self::InvalidParameterValue,
        Self::UnknownParameter,
        Self::TooLarge,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The code of Tencent API 3.0.
    #[must_use]
    pub const fn tencent(self) -> &'static str {
        match self {
            Self::MalformedAuthorization | Self::UnsupportedSignature => {
                "AuthFailure.InvalidAuthorization"
            }
            // The vendor says the same of a key that is deleted and one that
            // is switched off.
            Self::KeyNotFound | Self::KeyInactive => "AuthFailure.SecretIdNotFound",
            Self::SignatureMismatch => "AuthFailure.SignatureFailure",
            // There is no code for a used nonce: to the caller a replayed call
            // is one whose signature is no longer good.
            Self::ClockSkew | Self::NonceUsed => "AuthFailure.SignatureExpire",
            Self::TokenMissing | Self::TokenInvalid | Self::TokenExpired => {
                "AuthFailure.TokenFailure"
            }
            Self::Denied => "AuthFailure.UnauthorizedOperation",
            Self::Throttled => "RequestLimitExceeded",
            Self::UnknownAction | Self::UnknownPath | Self::NotServed => "InvalidAction",
            Self::UnknownVersion => "NoSuchVersion",
            Self::MethodNotAllowed | Self::UnsupportedProtocol => "UnsupportedProtocol",
            Self::UnsupportedRegion => "UnsupportedRegion",
            Self::MalformedBody => "InvalidRequest",
            Self::MissingAuthorization | Self::MissingParameter => "MissingParameter",
            Self::MalformedDate | Self::InvalidParameter => "InvalidParameter",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::UnknownParameter => "UnknownParameter",
            Self::TooLarge => "RequestSizeLimitExceeded",
            Self::Internal => "InternalError",
            Self::Unavailable => "ServiceUnavailable",
        }
    }

    /// The common code of the legacy API and its `codeDesc`.
    #[must_use]
    pub fn qcloud(self) -> (u32, &'static str) {
        let code = match self {
            Self::MalformedAuthorization | Self::UnsupportedSignature | Self::SignatureMismatch => {
                4100
            }
            Self::Denied => 4101,
            Self::KeyNotFound | Self::KeyInactive => 4104,
            Self::TokenMissing | Self::TokenInvalid | Self::TokenExpired => 4105,
            Self::Throttled => 4400,
            Self::ClockSkew | Self::NonceUsed => 4500,
            Self::MethodNotAllowed | Self::UnsupportedProtocol => 4600,
            Self::UnknownAction | Self::UnknownPath | Self::UnknownVersion | Self::NotServed => {
                6100
            }
            Self::Internal => 6000,
            Self::Unavailable => 6200,
            Self::MissingAuthorization
            | Self::MalformedDate
            | Self::UnsupportedRegion
            | Self::MalformedBody
            | Self::MissingParameter
            | Self::InvalidParameter
            | Self::InvalidParameterValue
            | Self::UnknownParameter
            | Self::TooLarge => 4000,
        };
        QCLOUD_CODES
            .iter()
            .find(|(known, _)| *known == code)
            .copied()
            .unwrap_or((6000, "InternalError"))
    }

    /// The code of Alibaba Cloud and its HTTP status.
    #[must_use]
    pub fn alibaba(self) -> (&'static str, u16) {
        let code = match self {
            // The contract has no code of its own for a signature method that
            // is not served; the headers are incomplete as a signature.
            Self::MalformedAuthorization | Self::UnsupportedSignature => "IncompleteSignature",
            Self::MissingAuthorization | Self::MissingParameter => "MissingParameter",
            Self::KeyNotFound => "InvalidAccessKeyId.NotFound",
            Self::KeyInactive => "InvalidAccessKeyId.Inactive",
            Self::SignatureMismatch => "SignatureDoesNotMatch",
            Self::ClockSkew => "InvalidTimeStamp.Expired",
            Self::MalformedDate => "InvalidTimeStamp.Format",
            Self::NonceUsed => "SignatureNonceUsed",
            Self::TokenMissing => "InvalidSecurityToken.Malformed",
            Self::TokenInvalid => "InvalidSecurityToken.MismatchWithAccessKey",
            Self::TokenExpired => "InvalidSecurityToken.Expired",
            Self::Denied => "Forbidden.RAM",
            Self::Throttled => "Throttling.User",
            Self::UnknownAction | Self::NotServed => "InvalidAction.NotFound",
            Self::UnknownPath => "InvalidApi.NotFound",
            Self::UnknownVersion => "InvalidVersion",
            Self::MethodNotAllowed => "UnsupportedHTTPMethod",
            Self::UnsupportedProtocol
            | Self::UnsupportedRegion
            | Self::MalformedBody
            | Self::InvalidParameter
            | Self::InvalidParameterValue
            | Self::UnknownParameter
            | Self::TooLarge => "InvalidParameter",
            Self::Internal => "InternalError",
            Self::Unavailable => "ServiceUnavailable",
        };
        let status = ALIBABA_CODES
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(500, |(_, status)| *status);
        // Decided in SEMANTICS.md section 6, where the contract recalls 400.
        let status = if self == Self::Throttled { 429 } else { status };
        (code, status)
    }

    /// The condition that a code of any of the vendors names.
    #[must_use]
    pub fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| {
            fault.tencent() == code
                || fault.alibaba().0 == code
                || fault.qcloud().0.to_string() == code
        })
    }

    /// The code as the protocol writes it.
    #[must_use]
    pub fn code(self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Tc3 | Protocol::TencentV1 => self.tencent().to_owned(),
            Protocol::QcloudV2 => self.qcloud().0.to_string(),
            Protocol::AlibabaRoa | Protocol::Acs3 => self.alibaba().0.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::common::TENCENT_CODES;

    #[test]
    fn every_code_is_one_of_the_contract() {
        for fault in Fault::ALL {
            assert!(TENCENT_CODES.contains(&fault.tencent()), "{fault:?}");
            let (code, _) = fault.alibaba();
            assert!(ALIBABA_CODES.iter().any(|(c, _)| *c == code), "{fault:?}");
            let (number, _) = fault.qcloud();
            let internal = matches!(fault, Fault::Internal);
            assert_eq!(number == 6000, internal, "{fault:?}");
        }
    }

    #[test]
    fn codes_name_their_conditions() {
        for fault in Fault::ALL {
            let named = Fault::named(fault.tencent()).unwrap();
            assert_eq!(named.tencent(), fault.tencent());
            let named = Fault::named(fault.alibaba().0).unwrap();
            assert!(
                named.alibaba().0 == fault.alibaba().0 || named.tencent() == fault.alibaba().0,
                "{fault:?} is {named:?}"
            );
        }
        assert_eq!(Fault::named("4400"), Some(Fault::Throttled));
        assert_eq!(Fault::named("NoSuchCode"), None);
    }
}
