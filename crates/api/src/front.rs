//! The way of a vendor's call.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use backout_accounts::{
    Accounts, KeyError, Limiter, NonceError, Nonces, Permission, Principal, Unique,
};
use backout_apps::Apps;
use backout_core::ids::{AccountId, Entropy, JobId, RequestId};
use backout_core::time::Clock;
use backout_databases::Databases;
use backout_engines::Engines;
use backout_faults::Faults;
use backout_jobs::Caller;
use backout_servers::Servers;
use backout_store::Store;
use backout_wire::{
    Call, Fault, Operation, Protocol, RawRequest, Rejection, Reply, Service, SurfaceError,
    encode_rejection, encode_success, encode_surface_error, parse, trace_id,
};
use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;

use crate::audit;
use crate::cdb::{self, Cdb};
use crate::cdb_v2::{self, CdbV2};
use crate::dlc::{self, Dlc};
use crate::kept::Body;
use crate::lighthouse::{self, Lighthouse};
use crate::sae::{self, Sae};

/// What the operator decided about vendors' calls.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The regions that are served. A call that names another is refused.
    pub regions: Vec<String>,
    /// Names by which a reverse proxy in front of us is called, and which
    /// clients therefore sign.
    pub public_hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            regions: REGIONS.iter().map(|r| (*r).to_owned()).collect(),
            public_hosts: Vec::new(),
        }
    }
}

/// The vendors' public regions, with the short names of the legacy API. All of
/// them lead to the same resources: a runbook need not be rewritten.
pub const REGIONS: &[&str] = &[
    "ap-bangkok",
    "ap-beijing",
    "ap-chengdu",
    "ap-chongqing",
    "ap-guangzhou",
    "ap-hongkong",
    "ap-jakarta",
    "ap-mumbai",
    "ap-nanjing",
    "ap-seoul",
    "ap-shanghai",
    "ap-singapore",
    "ap-tokyo",
    "eu-frankfurt",
    "eu-moscow",
    "na-ashburn",
    "na-siliconvalley",
    "na-toronto",
    "sa-saopaulo",
    "gz",
    "bj",
    "sh",
    "cd",
    "cq",
    "hk",
    "sg",
    "th",
    "kr",
    "jp",
    "de",
    "in",
    "ca",
    "usw",
    "use",
    "cn-beijing",
    "cn-chengdu",
    "cn-guangzhou",
    "cn-hangzhou",
    "cn-hongkong",
    "cn-huhehaote",
    "cn-nanjing",
    "cn-qingdao",
    "cn-shanghai",
    "cn-shenzhen",
    "cn-wulanchabu",
    "cn-zhangjiakou",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-5",
    "eu-central-1",
    "us-east-1",
    "us-west-1",
];

/// Every way in which a policy may write the region of a resource: none, any of
/// the vendors', and the call's own, which may be one of the operator's. All of
/// them lead to the same resources, so what is denied in one is denied in all.
pub(crate) fn spelled_regions(region: &str) -> impl Iterator<Item = &str> {
    let own = !region.is_empty() && !REGIONS.contains(&region);
    std::iter::once("")
        .chain(REGIONS.iter().copied())
        .chain(own.then_some(region))
}

/// The codes that operations have of their own for what a policy does not allow.
const NO_PERMISSION: [&str; 3] = [
    "UnauthorizedOperation.NoPermission",
    "OperationDenied.UserHasNoStrategy",
    // Spelled so.
    "Resouce.no.permission",
];

/// What one call was, for the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLog {
    /// The id that the answer carries.
    pub request: RequestId,
    /// Who signed, once that is certain.
    pub account: Option<String>,
    /// The protocol.
    pub protocol: &'static str,
    /// The action, once it is known, e.g. `lighthouse:DescribeSnapshots`.
    pub action: Option<String>,
    /// The vendor's code of a refusal; absent when the call succeeded.
    pub code: Option<String>,
}

/// What [`Front`] is made of.
pub struct Parts {
    /// The accounts.
    pub accounts: Accounts,
    /// Bounds how often a call is let through.
    pub limiter: Arc<Limiter>,
    /// Sees to it that a call is let through once.
    pub nonces: Arc<Nonces>,
    /// The state, for the audit trail.
    pub store: Store,
    /// The servers.
    pub servers: Servers,
    /// The databases.
    pub databases: Databases,
    /// The fault switch, where there is one.
    pub faults: Option<Faults>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What the operator decided.
    pub settings: Settings,
}

/// Answers vendors' calls.
pub struct Front {
    accounts: Accounts,
    limiter: Arc<Limiter>,
    nonces: Arc<Nonces>,
    store: Store,
    lighthouse: Lighthouse,
    cdb: Cdb,
    cdb_v2: CdbV2,
    sae: Option<Sae>,
    dlc: Option<Dlc>,
    faults: Option<Faults>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A call that has been let in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What is asked.
    pub call: Call,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// The id that the answer will carry.
    pub request: RequestId,
    /// The job that it made, or acted on, once that is so: for the audit trail.
    pub job: Arc<OnceLock<JobId>>,
    /// The rule by which what it asks for waits for approval, once that is known.
    pub approval: OnceLock<String>,
}

impl Admitted {
    /// The operation.
    pub fn operation(&self) -> &'static Operation {
        self.call.operation
    }

    /// Whose resources are meant.
    pub fn owner(&self) -> &AccountId {
        &self.principal.owner
    }

    /// Who calls.
    pub fn caller(&self) -> Caller {
        Caller {
            account: self.principal.account.clone(),
            owner: self.principal.owner.clone(),
            request: self.request.clone(),
            idempotency: None,
        }
    }

    /// The parameters.
    ///
    /// # Errors
    /// They were checked against the contract, which the type was made from; what
    /// still fails is a value that no contract type has.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        T::deserialize(MapDeserializer::new(self.call.params.clone().into_iter())).map_err(|e| {
            Rejection::new(
                Fault::InvalidParameter,
                format!("the parameters do not fit: {e}"),
            )
        })
    }
}

/// Why a call was not answered as asked: by us, or by the operation.
#[derive(Debug)]
pub enum Refused {
    /// Before any operation saw it.
    Rejected(Rejection),
    /// By the operation, with one of its own codes.
    Surface(SurfaceError),
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<SurfaceError> for Refused {
    fn from(error: SurfaceError) -> Self {
        Self::Surface(error)
    }
}

impl Front {
    /// Composes the way from its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            accounts: parts.accounts,
            limiter: parts.limiter,
            nonces: parts.nonces,
            store: parts.store,
            lighthouse: Lighthouse::new(parts.servers, &parts.settings.regions),
            cdb: Cdb::new(parts.databases.clone()),
            cdb_v2: CdbV2::new(parts.databases),
            sae: None,
            dlc: None,
            faults: parts.faults,
            clock: parts.clock,
            entropy: parts.entropy,
            settings: parts.settings,
        }
    }

    /// With applications. Without any, what asks for some is not served.
    #[must_use]
    pub fn with_apps(mut self, apps: Apps) -> Self {
        self.sae = Some(Sae::new(apps, &self.settings.regions));
        self
    }

    /// With data engines. Without any, what asks for some is not served.
    #[must_use]
    pub fn with_engines(mut self, engines: Engines) -> Self {
        self.dlc = Some(Dlc::new(engines));
        self
    }

    /// Whether an operation of the contract is served here.
    #[must_use]
    pub fn serves(operation: &Operation) -> bool {
        match operation.service {
            Service::Lighthouse => lighthouse::serves(operation.name),
            Service::Cdb => cdb::serves(operation.name),
            Service::CdbV2 => cdb_v2::serves(operation.name),
            Service::Sae => sae::serves(operation.name),
            Service::Dlc => dlc::serves(operation.name),
        }
    }

    /// Answers one call. `too_large` says that the body was longer than
    /// [`Protocol::body_limit`] and is not all there.
    pub async fn handle(
        &self,
        protocol: Protocol,
        raw: RawRequest<'_>,
        too_large: bool,
    ) -> (Reply, CallLog) {
        let request = RequestId::random(self.entropy.as_ref());
        let trace = trace_of(protocol, raw, &request);
        let mut log = CallLog {
            request: request.clone(),
            account: None,
            protocol: protocol.as_str(),
            action: None,
            code: None,
        };
        // A fault of ours must answer in the vendor's form, and spare the
        // connection.
        let answered = AssertUnwindSafe(self.answer(
            protocol,
            raw,
            too_large,
            &request,
            trace.as_deref(),
            &mut log,
        ))
        .catch_unwind()
        .await;
        let refused = match answered {
            Ok(Ok(reply)) => return (reply, log),
            Ok(Err(refused)) => refused,
            Err(_panic) => {
                tracing::error!(request = %request, action = ?log.action, "a call panicked");
                Rejection::new(
                    Fault::Internal,
                    format!("the call failed inside; report request {request}"),
                )
                .into()
            }
        };
        let reply = match &refused {
            Refused::Rejected(rejection) => {
                log.code = Some(rejection.fault.code(protocol));
                encode_rejection(protocol, &request.0, trace.as_deref(), rejection)
            }
            Refused::Surface(error) => {
                log.code = Some(error.code.clone());
                encode_surface_error(protocol, &request.0, trace.as_deref(), error)
            }
        };
        (reply, log)
    }

    async fn answer(
        &self,
        protocol: Protocol,
        raw: RawRequest<'_>,
        too_large: bool,
        request: &RequestId,
        trace: Option<&str>,
        log: &mut CallLog,
    ) -> Result<Reply, Refused> {
        if too_large {
            return Err(Rejection::new(
                Fault::TooLarge,
                format!(
                    "the body is larger than {} bytes",
                    protocol.body_limit(raw.method)
                ),
            )
            .into());
        }
        let admitted = self.admit(protocol, raw, request, log).await?;
        let operation = admitted.call.operation;
        let result = self.decide(&admitted).await;
        if operation.write {
            let code = match &result {
                Ok(_) => None,
                Err(Refused::Rejected(r)) => Some(r.fault.code(protocol)),
                Err(Refused::Surface(e)) => Some(e.code.clone()),
            };
            let line = audit::Line {
                at: self.clock.now(),
                account: admitted.principal.account.clone(),
                owner: admitted.principal.owner.clone(),
                request: request.clone(),
                action: operation.policy_action(),
                resource: named_ids(&admitted.call).join(" "),
                job: self.job_of(&admitted, code.is_none()).await,
                refused: code,
            };
            if let Err(e) = audit::record(&self.store, line).await {
                tracing::error!(request = %request, error = %e, "an audit line could not be written");
            }
        }
        let body = result?;
        Ok(encode_success(
            protocol, operation, &request.0, trace, &body,
        ))
    }

    /// The job that a call made, or acted on; none of one that was refused.
    async fn job_of(&self, admitted: &Admitted, accepted: bool) -> Option<JobId> {
        if !accepted {
            return None;
        }
        if let Some(job) = admitted.job.get() {
            return Some(job.clone());
        }
        let request = admitted.request.clone();
        let found = self
            .store
            .read(move |tx| backout_jobs::of_request(tx, &request))
            .await;
        found.unwrap_or_else(|e| {
            tracing::warn!(request = %admitted.request, error = %e, "the job of a call could not be looked up for its audit line");
            None
        })
    }

    /// Does what an admitted call asks, if policy is for it and no fault is to
    /// answer it.
    async fn decide(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let (call, principal) = (&admitted.call, &admitted.principal);
        if principal.is_limited() {
            let resources = match call.operation.service {
                Service::Cdb | Service::CdbV2 => cdb::policy_resources(call, &principal.owner),
                Service::Sae => match &self.sae {
                    Some(sae) => Some(sae.policy_resources(call, &principal.owner).await),
                    None => None,
                },
                Service::Dlc => match &self.dlc {
                    Some(dlc) => Some(dlc.policy_resources(call, &principal.owner).await),
                    None => None,
                },
                Service::Lighthouse => Some(lighthouse::policy_resources(call, &principal.owner)),
            };
            // Where there are none yet, the operation asks.
            if let Some(resources) = resources {
                permitted(admitted, &resources)?;
            }
        }
        self.let_fail(admitted).await?;
        match call.operation.service {
            Service::Lighthouse => self.lighthouse.act(admitted).await,
            Service::Cdb => self.cdb.act(admitted).await,
            Service::CdbV2 => self.cdb_v2.act(admitted).await,
            Service::Sae => match &self.sae {
                Some(sae) => sae.act(admitted).await,
                None => Err(not_served(call.operation).into()),
            },
            Service::Dlc => match &self.dlc {
                Some(dlc) => dlc.act(admitted).await,
                None => Err(not_served(call.operation).into()),
            },
        }
    }

    /// Refuses a call that the fault switch is to answer: in the place of the
    /// operation, which then does nothing.
    async fn let_fail(&self, admitted: &Admitted) -> Result<(), Refused> {
        let Some(faults) = &self.faults else {
            return Ok(());
        };
        let call = &admitted.call;
        let hit = faults
            .on_call(
                &admitted.principal.owner,
                &call.operation.policy_action(),
                &named_ids(call),
            )
            .await
            .map_err(|e| {
                tracing::warn!(request = %admitted.request, error = %e, "the store did not answer the fault switch");
                Rejection::new(Fault::Unavailable, "the state cannot be read; try again")
            })?;
        let Some(hit) = hit else {
            return Ok(());
        };
        let operation = call.operation;
        // Meant for several vendors, and the code is another's: its own for the
        // same condition.
        if !operation.service.has_code(&hit.code) {
            let fault = Fault::named(&hit.code).unwrap_or(Fault::Internal);
            return Err(Rejection::new(fault, hit.message).into());
        }
        let code = match operation.service {
            Service::CdbV2 => cdb::codes::spelled(operation, &hit.code),
            _ => hit.code,
        };
        Err(SurfaceError {
            code,
            message: hit.message,
            status: None,
        }
        .into())
    }

    /// Lets a call in, or says why not.
    async fn admit(
        &self,
        protocol: Protocol,
        raw: RawRequest<'_>,
        request: &RequestId,
        log: &mut CallLog,
    ) -> Result<Admitted, Refused> {
        let signed = parse(protocol, raw)?;
        let key = self
            .accounts
            .authenticate_key(signed.key_id(), signed.token())
            .await
            .map_err(|e| key_refused(&e))?;
        signed.verify(
            key.secret.expose(),
            self.clock.now(),
            &self.settings.public_hosts,
        )?;
        let principal = key.principal;
        log.account = Some(principal.account.to_string());
        if let Some(nonce) = signed.nonce() {
            let unique = match protocol {
                Protocol::TencentV1 | Protocol::QcloudV2 => Unique::NonceAndTimestamp,
                Protocol::Tc3 | Protocol::AlibabaRoa | Protocol::Acs3 => Unique::Nonce,
            };
            self.nonces
                .claim(
                    signed.key_id(),
                    nonce,
                    signed.timestamp(),
                    signed.nonce_window_s() * 1000,
                    unique,
                )
                .map_err(|e| match e {
                    NonceError::Used => Rejection::new(Fault::NonceUsed, e.to_string()),
                    NonceError::NonceCacheFull => Rejection::new(Fault::Throttled, e.to_string()),
                })?;
        }
        let call = match (protocol, signed.decode()) {
            (Protocol::QcloudV2, Err(e)) => return Err(cdb::codes::legacy_parameter(e)),
            (Protocol::AlibabaRoa | Protocol::Acs3, Err(e)) => {
                return Err(sae::codes::parameter(e));
            }
            (Protocol::Tc3 | Protocol::TencentV1, Err(e)) => {
                let operation = signed.operation();
                let dlc = operation.filter(|o| o.service == Service::Dlc);
                return Err(dlc::codes::parameter(dlc, e));
            }
            (_, decoded) => decoded?,
        };
        let action = call.operation.policy_action();
        log.action = Some(action.clone());
        self.limiter.check(&principal.owner, &action).map_err(|e| {
            Rejection::new(
                Fault::Throttled,
                format!(
                    "at most {} calls of {action} a second; try again in {} ms",
                    e.limit, e.wait_ms
                ),
            )
        })?;
        if !Self::serves(call.operation) {
            return Err(not_served(call.operation).into());
        }
        self.check_region(&call)?;
        Ok(Admitted {
            call,
            principal,
            request: request.clone(),
            job: Arc::default(),
            approval: OnceLock::new(),
        })
    }

    /// Lighthouse calls may leave their region out (seed 004), those of the
    /// legacy API too; others of this vendor must have one (SEMANTICS section 4).
    fn check_region(&self, call: &Call) -> Result<(), Rejection> {
        match &call.region {
            None if matches!(call.operation.service, Service::Cdb | Service::Dlc) => Err(
                Rejection::new(Fault::MissingParameter, "the call names no region"),
            ),
            Some(region) if !self.settings.regions.contains(region) => Err(Rejection::new(
                Fault::UnsupportedRegion,
                format!("region {region:?} is not served here"),
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses a call that the caller's policy is against, and one that would wait
/// for approval where there is nothing that could wait.
fn permitted(admitted: &Admitted, resources: &[Vec<String>]) -> Result<(), Refused> {
    let (operation, principal) = (admitted.call.operation, &admitted.principal);
    match principal.permission(&operation.policy_action(), resources) {
        Permission::Granted => Ok(()),
        Permission::AfterApproval(rule)
            if operation.service == Service::Sae && sae::makes_orders(operation.name) =>
        {
            // Asked once a call.
            let _ = admitted.approval.set(rule);
            Ok(())
        }
        Permission::AfterApproval(_) | Permission::Denied => Err(denied(principal, operation)),
    }
}

/// The client's own id of a call, to be echoed. Answers of one vendor have one
/// always (SEMANTICS section 6): of a call without, the id of the call stands
/// there, in the form that the vendor's have.
fn trace_of(protocol: Protocol, raw: RawRequest<'_>, request: &RequestId) -> Option<String> {
    let own = trace_id(raw).map(str::to_owned);
    match protocol {
        Protocol::AlibabaRoa | Protocol::Acs3 => {
            Some(own.unwrap_or_else(|| request.0.replace('-', "")))
        }
        Protocol::Tc3 | Protocol::TencentV1 | Protocol::QcloudV2 => own,
    }
}

/// A count as the contracts have it.
pub(crate) fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// That a policy is against a call.
pub(crate) fn denied(principal: &Principal, operation: &Operation) -> Refused {
    let message = format!(
        "the policy of account {} does not allow {} on this",
        principal.name,
        operation.policy_action()
    );
    // Operations that have a code of their own for this use it (seed 004 does).
    let own = NO_PERMISSION
        .iter()
        .chain(&dlc::codes::NO_PERMISSION)
        .find(|code| operation.errors.contains(*code));
    match own {
        Some(code) => SurfaceError {
            code: (*code).to_owned(),
            message,
            status: None,
        }
        .into(),
        None => Rejection::new(Fault::Denied, message).into(),
    }
}

/// The ids that a call names.
fn named_ids(call: &Call) -> Vec<String> {
    match call.operation.service {
        Service::Cdb | Service::CdbV2 => cdb::named_ids(call),
        Service::Sae => sae::named_ids(call),
        Service::Dlc => dlc::named_ids(call),
        Service::Lighthouse => lighthouse::named_ids(call),
    }
}

fn not_served(operation: &Operation) -> Rejection {
    Rejection::new(
        Fault::NotServed,
        format!(
            "{} is known, but this version of Backout does not serve it; docs/operations.md lists what it serves",
            operation.name
        ),
    )
}

fn key_refused(e: &KeyError) -> Rejection {
    let fault = match e {
        KeyError::NotFound => Fault::KeyNotFound,
        KeyError::Inactive | KeyError::AccountDisabled => Fault::KeyInactive,
        KeyError::TokenMissing => Fault::TokenMissing,
        KeyError::TokenInvalid | KeyError::TokenMalformed => Fault::TokenInvalid,
        KeyError::TokenExpired => Fault::TokenExpired,
        KeyError::Store(_) => Fault::Unavailable,
    };
    Rejection::new(fault, e.to_string())
}
