//! What a call asks: its ids, page and namespace, checked.

use backout_apps::persistence::Page;
use backout_apps::{Asked, Caller, Refusal};
use backout_core::ids::AccountId;
use serde::de::DeserializeOwned;

use super::codes;
use crate::front::{Admitted, Refused};

/// The longest page.
pub const PAGE_MAX: i64 = 1000;

/// A page when none is asked for (contract: `PageSize.default` of
/// `DescribeApplicationInstances`).
pub const PAGE_DEFAULT: i64 = 10;

/// How many ids a call may name.
pub const IDS_MAX: usize = 100;

/// The namespace that has no name of its own at the vendor: its id is the
/// region alone.
pub use backout_apps::DEFAULT_NAMESPACE;

/// A page as it was asked for, from 1 on.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// Its number.
    pub current: i64,
    /// How long it may be.
    pub size: i64,
}

impl Paging {
    /// The same for the store.
    pub fn page(self) -> Page {
        let size = self.size.unsigned_abs();
        Page {
            offset: self
                .current
                .unsigned_abs()
                .saturating_sub(1)
                .saturating_mul(size),
            limit: size,
        }
    }
}

/// The region that ids are read and written in.
#[derive(Clone, Copy)]
pub struct Regions<'a> {
    /// That of the call, or the one that is shown where it names none.
    pub region: &'a str,
}

impl Regions<'_> {
    /// The id of a namespace here, of the vendor's: `region[:short]`. A text
    /// that is no region is a short one itself.
    pub fn namespace(self, text: &str) -> String {
        let text = text.trim();
        match text.split_once(':') {
            Some((_, "")) => DEFAULT_NAMESPACE.to_owned(),
            Some((_, short)) => short.to_owned(),
            None if super::is_region(text, self.region) => DEFAULT_NAMESPACE.to_owned(),
            None => text.to_owned(),
        }
    }
}

/// A call.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The call.
    pub admitted: &'a Admitted,
    /// The region that is shown where the call names none.
    pub home: &'a str,
}

impl<'a> Ask<'a> {
    /// Whose applications are meant.
    pub fn owner(self) -> &'a AccountId {
        &self.admitted.principal.owner
    }

    /// The region of the call.
    pub fn region(self) -> &'a str {
        self.admitted.call.region.as_deref().unwrap_or(self.home)
    }

    /// Who calls.
    pub fn caller(self) -> Caller {
        let principal = &self.admitted.principal;
        Caller {
            account: principal.account.clone(),
            owner: principal.owner.clone(),
            request: self.admitted.request.clone(),
            idempotency: None,
            approval: self.admitted.approval.get().cloned(),
        }
    }

    /// What is answered to a refusal.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is the last step of a map_err"
    )]
    pub fn refused(self, refusal: Refusal) -> Refused {
        codes::refused(&refusal)
    }

    /// The job that the call made, or acted on.
    pub fn did(self, asked: &Asked) {
        if let Some(job) = &asked.job {
            // A call does one thing.
            let _ = self.admitted.job.set(job.clone());
        }
    }

    /// The parameters.
    pub fn params<T: DeserializeOwned>(self) -> Result<T, Refused> {
        Ok(self.admitted.params()?)
    }

    /// Which page.
    pub fn paging(self, current: Option<i64>, size: Option<i64>) -> Result<Paging, Refused> {
        let (current, size) = (current.unwrap_or(1), size.unwrap_or(PAGE_DEFAULT));
        if current < 1 {
            return Err(codes::value("CurrentPage", "pages are counted from 1"));
        }
        if !(1..=PAGE_MAX).contains(&size) {
            let why = format!("give 1 to {PAGE_MAX}");
            return Err(codes::value("PageSize", &why));
        }
        Ok(Paging { current, size })
    }

    /// The id of a namespace here, of the vendor's.
    pub fn namespace(self, text: &str) -> String {
        let region = self.region();
        Regions { region }.namespace(text)
    }

    /// The same where it may be absent.
    pub fn some_namespace(self, text: Option<&str>) -> Option<String> {
        some(text).map(|text| self.namespace(text))
    }

    /// How the vendor writes the id of a namespace.
    pub fn namespace_id(self, id: &str) -> String {
        match id {
            DEFAULT_NAMESPACE => self.region().to_owned(),
            short => format!("{}:{short}", self.region()),
        }
    }
}

/// A text that is not empty.
pub fn some(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// A text that must not be empty.
pub fn required<'a>(parameter: &str, text: &'a str) -> Result<&'a str, Refused> {
    some(Some(text)).ok_or_else(|| codes::empty(parameter))
}

/// Ids that are separated by commas: at least one, and each once.
pub fn ids(parameter: &str, text: &str) -> Result<Vec<String>, Refused> {
    let mut out: Vec<String> = Vec::new();
    for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        if out.iter().any(|known| known == id) {
            return Err(codes::value(parameter, &format!("{id} is named twice")));
        }
        out.push(id.to_owned());
    }
    match out.len() {
        0 => Err(codes::empty(parameter)),
        n if n > IDS_MAX => {
            let why = format!("it names {n}, at most {IDS_MAX} are taken");
            Err(codes::value(parameter, &why))
        }
        _ => Ok(out),
    }
}

/// A number in its range.
pub fn number(
    parameter: &str,
    given: i64,
    range: std::ops::RangeInclusive<u32>,
) -> Result<u32, Refused> {
    u32::try_from(given)
        .ok()
        .filter(|n| range.contains(n))
        .ok_or_else(|| {
            let why = format!("{given} is not in {} to {}", range.start(), range.end());
            codes::value(parameter, &why)
        })
}
