//! Why a native call is refused, apart from any transport.

use backout_accounts::{Error as AccountsError, KeyError, Throttled};
use backout_core::code::Code;
use backout_faults::Error as FaultsError;
use backout_jobs::JobsError;
use backout_servers::Refusal;
use backout_store::Error as StoreError;

/// What kind of refusal it is: a transport's statuses follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed.
    Malformed,
    /// The caller is not known.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path does not have this method.
    MethodNotAllowed,
    /// In the way of something else, or not in a state for it.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// Too many calls.
    Throttled,
    /// Our fault.
    Internal,
    /// The store cannot be reached.
    Unavailable,
}

/// A refusal, ready to be shown. The message is a lower-case fragment that fits
/// "failed to ..." and says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NativeError {
    /// Our stable code.
    pub code: Code,
    /// What kind of refusal it is.
    pub kind: Kind,
    /// What the caller is told.
    pub message: String,
}

impl NativeError {
    /// A refusal of the kind that usually goes with `code`.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            kind: kind_of(code),
            message: message.into(),
        }
    }

    /// A malformed request.
    #[must_use]
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// Nothing of this name.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// The policy is against it.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Code::Denied, message)
    }

    /// The caller could not be told.
    #[must_use]
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, message)
    }

    /// A fault of ours. The details are logged, not shown.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// The body is longer than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self {
            code: Code::BadRequest,
            kind: Kind::TooLarge,
            message: format!("read the body: it is larger than {limit} bytes"),
        }
    }

    /// The path does not have this method.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        Self {
            code: Code::BadRequest,
            kind: Kind::MethodNotAllowed,
            message: format!(
                "{method} {path}: this path does not have that method, see /openapi.json"
            ),
        }
    }
}

/// The kind that goes with a code.
const fn kind_of(code: Code) -> Kind {
    match code {
        Code::BadRequest | Code::LocalTime => Kind::Malformed,
        Code::Unauthenticated => Kind::Unauthenticated,
        Code::Denied => Kind::Forbidden,
        Code::Throttled => Kind::Throttled,
        Code::NotFound => Kind::NotFound,
        Code::Internal => Kind::Internal,
        Code::Store => Kind::Unavailable,
        // What stands in the way of an operation that was well asked for.
        _ => Kind::Conflict,
    }
}

/// A store that does not answer is named; what it said is for the log.
fn store_error(e: &StoreError) -> NativeError {
    match e {
        StoreError::Unavailable { .. } | StoreError::Contended(_) => {
            tracing::warn!(error = %e, "the store did not answer a native call");
            NativeError::new(
                Code::Store,
                "reach the state: the store does not answer; try again",
            )
        }
        _ => {
            tracing::error!(error = %e, "the store failed a native call");
            NativeError::internal(
                "read or write the state: look for this request id in the log of the server",
            )
        }
    }
}

impl From<StoreError> for NativeError {
    fn from(e: StoreError) -> Self {
        store_error(&e)
    }
}

impl From<JobsError> for NativeError {
    fn from(e: JobsError) -> Self {
        match e {
            JobsError::Store(e) => store_error(&e),
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<FaultsError> for NativeError {
    fn from(e: FaultsError) -> Self {
        match e {
            FaultsError::Store(e) => store_error(&e),
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<Refusal> for NativeError {
    fn from(e: Refusal) -> Self {
        match e {
            Refusal::Store(e) => store_error(&e),
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<backout_databases::Refusal> for NativeError {
    fn from(e: backout_databases::Refusal) -> Self {
        match e {
            backout_databases::Refusal::Store(e) => store_error(&e),
            other if other.code() == Code::Internal => {
                tracing::error!(error = %other, "the databases failed a native call");
                Self::internal(
                    "use the database: look for this request id in the log of the server",
                )
            }
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<backout_apps::Refusal> for NativeError {
    fn from(e: backout_apps::Refusal) -> Self {
        match e {
            backout_apps::Refusal::Store(e) => store_error(&e),
            other if other.code() == Code::Internal => {
                tracing::error!(error = %other, "the applications failed a native call");
                Self::internal(
                    "use the application: look for this request id in the log of the server",
                )
            }
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<backout_engines::Refusal> for NativeError {
    fn from(e: backout_engines::Refusal) -> Self {
        match e {
            backout_engines::Refusal::Store(e) => store_error(&e),
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<AccountsError> for NativeError {
    fn from(e: AccountsError) -> Self {
        match e {
            AccountsError::Store(e) => store_error(&e),
            // The outer text does not repeat its source, which says what to
            // correct.
            AccountsError::Policy(e) => Self::malformed(format!("accept the policy: {e}")),
            other if other.code() == Code::Internal => {
                tracing::error!(error = %other, "accounts failed a native call");
                Self::internal(
                    "use the accounts: look for this request id in the log of the server",
                )
            }
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<KeyError> for NativeError {
    fn from(e: KeyError) -> Self {
        match e {
            KeyError::Store(e) => store_error(&e),
            other => Self::unauthenticated(other.to_string()),
        }
    }
}

impl From<Throttled> for NativeError {
    fn from(e: Throttled) -> Self {
        Self::new(
            Code::Throttled,
            format!(
                "call this so often: at most {} a second; try again in {} ms",
                e.limit, e.wait_ms
            ),
        )
    }
}
