//! What a request id was.

use backout_core::ids::{AccountId, RequestId};

use super::dto::RequestView;
use super::{Call, Native, NativeError, Result, action};
use crate::audit;

/// The longest request id that is looked up: ours are UUIDs of 36 characters.
const REQUEST_ID_BYTES_MAX: usize = 64;

impl Native {
    /// `GET /v1/requests/{request}`: what its job, its audit lines and the
    /// request log tell. Only of calls on the resources of the caller's owner;
    /// `admin` sees them all.
    ///
    /// # Errors
    /// A refusal.
    pub async fn request(&self, call: &Call, request: &str) -> Result<RequestView> {
        self.admit(call, action::DESCRIBE_REQUESTS)?;
        if request.is_empty()
            || request.len() > REQUEST_ID_BYTES_MAX
            || !request.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(NativeError::malformed(
                "read the request id: give it as the answer had it",
            ));
        }
        let id = RequestId(request.to_owned());
        let principal = &call.principal;
        let mine = |owner: &AccountId| principal.is_admin || *owner == principal.owner;
        let job = self
            .parts
            .jobs
            .find_by_request(&id)
            .await?
            .filter(|job| mine(&job.account));
        let lines: Vec<_> = audit::find_by_request(&self.parts.store, &id)
            .await?
            .into_iter()
            .filter(|line| mine(&line.owner))
            .collect();
        let mut answer = self.parts.requests.find(&id).await.map_err(|e| {
            tracing::error!(error = %e, "the request log could not be read");
            NativeError::internal("read the request log; see the log of the server")
        })?;
        if let Some(account) = answer.as_ref().and_then(|line| line.account.clone()) {
            let visible = match account.parse::<AccountId>() {
                Ok(account) => mine(&account) || self.acts_for_owner(call, &account).await,
                Err(_) => principal.is_admin,
            };
            answer = answer.filter(|_| visible);
        }
        if job.is_none() && lines.is_empty() && answer.is_none() {
            return Err(NativeError::not_found(format!(
                "find request {request}: there is none of this id, or it is no longer kept"
            )));
        }
        Ok(RequestView {
            request_id: request.to_owned(),
            job: job.map(Into::into),
            audit: lines.into_iter().map(Into::into).collect(),
            answer,
        })
    }

    /// Whether `account` acts on the resources of the caller's owner. One that
    /// was deleted does not.
    async fn acts_for_owner(&self, call: &Call, account: &AccountId) -> bool {
        self.parts
            .accounts
            .principal(account)
            .await
            .is_ok_and(|other| other.owner == call.principal.owner)
    }
}
