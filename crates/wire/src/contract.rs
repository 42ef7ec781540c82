//! The operations of the five families, as static tables made from
//! `contract/*.json`.

use std::fmt;

use crate::generated;
use crate::generated::cdb_v2::MODULE_CODES;
use crate::generated::common::{ALIBABA_CODES, TENCENT_CODES};
use crate::generated::sae::ERRORS;

/// The service that an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Tencent Lighthouse.
    Lighthouse,
    /// Tencent CDB (MySQL), API 3.0.
    Cdb,
    /// Tencent Data Lake Compute.
    Dlc,
    /// Alibaba Serverless App Engine.
    Sae,
    /// Tencent CDB, legacy API 2.0.
    CdbV2,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [
        Self::Lighthouse,
        Self::Cdb,
        Self::Dlc,
        Self::Sae,
        Self::CdbV2,
    ];

    /// The name by which the service is told apart here, e.g. `cdb_v2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lighthouse => "lighthouse",
            Self::Cdb => "cdb",
            Self::Dlc => "dlc",
            Self::Sae => "sae",
            Self::CdbV2 => "cdb_v2",
        }
    }

    /// The name in policies: both CDB generations are `cdb`.
    #[must_use]
    pub const fn policy_prefix(self) -> &'static str {
        match self {
            Self::CdbV2 => "cdb",
            other => other.as_str(),
        }
    }

    /// Whether the contract has `code` as an error of this service: of one of
    /// its operations, or common to all services of its vendor. The common ones
    /// of the legacy API are left out: no operation answers them itself.
    #[must_use]
    pub fn has_code(self, code: &str) -> bool {
        self.has_common_code(code)
            || operations_of(self)
                .iter()
                .any(|operation| operation.errors.contains(&code))
    }

    fn has_common_code(self, code: &str) -> bool {
        match self {
            Self::Lighthouse | Self::Cdb | Self::Dlc => TENCENT_CODES.contains(&code),
            Self::Sae => {
                ALIBABA_CODES.iter().any(|(known, _)| *known == code)
                    || ERRORS.iter().any(|(known, _, _)| *known == code)
            }
            Self::CdbV2 => false,
        }
    }

    /// The service of a Tencent API 3.0 version. Neither Host nor the
    /// credential scope names it reliably (PROTOCOL.md section 0).
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        match version {
            "2020-03-24" => Some(Self::Lighthouse),
            "2017-03-20" => Some(Self::Cdb),
            "2021-01-25" => Some(Self::Dlc),
            _ => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The shape of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// Text.
    Text,
    /// A signed 64-bit integer.
    Int,
    /// An unsigned 64-bit integer.
    Uint,
    /// A finite number.
    Float,
    /// True or false.
    Bool,
    /// A list of one type.
    List(&'static Type),
    /// An object with known members.
    Object(&'static [Param]),
    /// An object with any names and text values.
    Map,
}

/// A parameter of an operation, or a member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// The name on the wire.
    pub name: &'static str,
    /// The shape.
    pub ty: Type,
    /// Whether a call without it is refused.
    pub required: bool,
    /// Known only because old clients may send it; accepted and dropped
    /// (PROTOCOL.md section 7, item 7).
    pub disabled: bool,
    /// The greatest number, or the most entries of a list. Not enforced here:
    /// what happens above it (an error, or a clamp) differs per operation.
    pub max: Option<u64>,
    /// The most characters. Not enforced here, as `max`.
    pub max_chars: Option<u64>,
}

impl Param {
    pub(crate) const fn dead(mut self) -> Self {
        self.disabled = true;
        self
    }

    pub(crate) const fn max(mut self, max: u64) -> Self {
        self.max = Some(max);
        self
    }

    pub(crate) const fn max_chars(mut self, max: u64) -> Self {
        self.max_chars = Some(max);
        self
    }
}

pub(crate) const fn opt(name: &'static str, ty: Type) -> Param {
    Param {
        name,
        ty,
        required: false,
        disabled: false,
        max: None,
        max_chars: None,
    }
}

pub(crate) const fn req(name: &'static str, ty: Type) -> Param {
    let mut param = opt(name, ty);
    param.required = true;
    param
}

/// A top-level member of a reply.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name on the wire.
    pub name: &'static str,
    /// Whether the contract says that it is always there.
    pub always_present: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

impl Member {
    pub(crate) const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }
}

pub(crate) const fn maybe(name: &'static str) -> Member {
    Member {
        name,
        always_present: false,
        nullable: false,
    }
}

pub(crate) const fn always(name: &'static str) -> Member {
    let mut member = maybe(name);
    member.always_present = true;
    member
}

/// An operation of the contract.
#[derive(Debug)]
pub struct Operation {
    /// The service.
    pub service: Service,
    /// The API version; empty for the legacy API, which has none.
    pub version: &'static str,
    /// The name, e.g. `ApplyInstanceSnapshot`.
    pub name: &'static str,
    /// Whether it changes anything.
    pub write: bool,
    /// The HTTP method of a ROA operation; empty for Tencent (GET or POST).
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// The parameters, without the common ones.
    pub params: &'static [Param],
    /// The top-level members of the reply.
    pub response: &'static [Member],
    /// The vendor's error codes of this operation; module numbers for the
    /// legacy API.
    pub errors: &'static [&'static str],
}

impl Operation {
    /// The action name in policies, e.g. `lighthouse:ApplyInstanceSnapshot`.
    #[must_use]
    pub fn policy_action(&self) -> String {
        format!("{}:{}", self.service.policy_prefix(), self.name)
    }

    /// Whether the reply has a top-level member of this name.
    #[must_use]
    pub fn answers(&self, member: &str) -> bool {
        self.response.iter().any(|m| m.name == member)
    }

    /// Whether the contract lets this operation answer `code`: one of its own,
    /// or one that is common to all services of its vendor. The common ones of
    /// the legacy API are left out, as in [`Service::has_code`].
    #[must_use]
    pub fn may_answer(&self, code: &str) -> bool {
        self.errors.contains(&code) || self.service.has_common_code(code)
    }

    /// The word (`codeDesc`) that the legacy API has for a module number in this
    /// operation; `None` in any other API, and for a number that is not one of
    /// the operation's.
    #[must_use]
    pub fn module_word(&self, number: &str) -> Option<&'static str> {
        if self.service != Service::CdbV2 {
            return None;
        }
        let number: u32 = number.parse().ok()?;
        MODULE_CODES
            .iter()
            .find(|(operation, known, _)| *operation == self.name && *known == number)
            .map(|(_, _, word)| *word)
    }

    /// The parameter of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'static Param> {
        self.params.iter().find(|p| p.name == name)
    }
}

/// The operations of one service, sorted by name.
#[must_use]
pub fn operations_of(service: Service) -> &'static [Operation] {
    match service {
        Service::Lighthouse => &generated::lighthouse::OPERATIONS,
        Service::Cdb => &generated::cdb::OPERATIONS,
        Service::Dlc => &generated::dlc::OPERATIONS,
        Service::Sae => &generated::sae::OPERATIONS,
        Service::CdbV2 => &generated::cdb_v2::OPERATIONS,
    }
}

/// Every operation of every service.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    Service::ALL.into_iter().flat_map(operations_of)
}

/// The operation of this name.
#[must_use]
pub fn find(service: Service, name: &str) -> Option<&'static Operation> {
    let table = operations_of(service);
    let at = table.binary_search_by(|o| o.name.cmp(name)).ok()?;
    table.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_whole_and_sorted() {
        let counts: Vec<usize> = Service::ALL
            .iter()
            .map(|s| operations_of(*s).len())
            .collect();
        assert_eq!(counts, [32, 39, 27, 53, 10]);
        for service in Service::ALL {
            let table = operations_of(service);
            assert!(table.windows(2).all(|w| w[0].name < w[1].name));
            for operation in table {
                assert_eq!(operation.service, service);
                let found = find(service, operation.name).expect("every operation is found");
                assert!(std::ptr::eq(found, operation));
            }
        }
        assert_eq!(operations().count(), 161);
        assert!(find(Service::Lighthouse, "NoSuchThing").is_none());
    }

    #[test]
    fn codes_are_known_by_service() {
        for (service, code, expect) in [
            (Service::Lighthouse, "UnsupportedOperation.SystemBusy", true),
            (Service::Lighthouse, "InternalError", true),
            (Service::Lighthouse, "RequestLimitExceeded", true),
            (
                Service::Lighthouse,
                "unsupportedoperation.systembusy",
                false,
            ),
            (Service::Lighthouse, "InvalidApplication.NotFound", false),
            (Service::Lighthouse, "NoSuchThing", false),
            (Service::Sae, "Throttling.User", true),
            (Service::Sae, "UnsupportedOperation.SystemBusy", false),
            (Service::CdbV2, "9003", true),
            (Service::CdbV2, "4000", false),
        ] {
            assert_eq!(service.has_code(code), expect, "{service} {code}");
        }
        let operation = find(Service::Lighthouse, "DescribeRegions").expect("known operation");
        for (code, expect) in [
            ("FailedOperation", true),
            ("ResourceNotFound", true),
            ("UnsupportedOperation.SystemBusy", false),
        ] {
            assert_eq!(operation.may_answer(code), expect, "{code}");
        }
    }

    #[test]
    fn words_of_module_numbers_are_the_operation_s() {
        for (name, number, expect) in [
            ("GetCdbRollbackJob", "9590", Some("InternalFailure")),
            ("RollbackCdbDatabaseTables", "9590", Some("OperationDenied")),
            ("QueryCdbDatabases", "9590", None),
            ("GetCdbRollbackJob", "odd", None),
        ] {
            let operation = find(Service::CdbV2, name).expect("known operation");
            assert_eq!(operation.module_word(number), expect, "{name} {number}");
        }
    }

    #[test]
    fn policy_actions() {
        for (service, name, expect) in [
            (
                Service::Lighthouse,
                "ApplyInstanceSnapshot",
                "lighthouse:ApplyInstanceSnapshot",
            ),
            (Service::CdbV2, "GetCdbRollbackJob", "cdb:GetCdbRollbackJob"),
            (
                Service::Sae,
                "RollbackApplication",
                "sae:RollbackApplication",
            ),
        ] {
            let operation = find(service, name).expect("known operation");
            assert_eq!(operation.policy_action(), expect);
        }
    }
}
