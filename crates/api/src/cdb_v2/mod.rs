//! Tencent CDB, the legacy API 2.0 (seed 002).
//!
//! Everything that the vendor names is named here and in [`crate::cdb`], and
//! nowhere below. What the documentation leaves open is decided in SEMANTICS
//! section 3.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | the family: which operations |
//! | `rollbacks` | the ways back, and how they stand |
//! | `lists` | instances, databases, tables, tasks of all kinds |

mod lists;
mod rollbacks;

use backout_databases::Databases;
use backout_wire::{Fault, Rejection};

use crate::cdb::asked::Ask;
use crate::front::{Admitted, Refused};
use crate::kept::{Body, Kept, body};

/// The operations that are served.
const SERVED: [&str; 8] = [
    "DescribeCdbInstances",
    "GetCdbJobList",
    "GetCdbRollbackJob",
    "GetCdbRollbackJobTask",
    "QueryCdbDatabaseTables",
    "QueryCdbDatabases",
    "QueryCdbRollbackRangeTime",
    "RollbackCdbDatabaseTables",
];

/// Whether the operation `name` of this family is served.
#[must_use]
pub fn serves(name: &str) -> bool {
    SERVED.contains(&name)
}

/// The family.
pub struct CdbV2 {
    databases: Databases,
    kept: Kept,
}

impl CdbV2 {
    /// The family, over `databases`.
    #[must_use]
    pub fn new(databases: Databases) -> Self {
        Self {
            databases,
            kept: Kept::default(),
        }
    }

    /// Does what an admitted call asks, and gives the members of its answer.
    ///
    /// # Errors
    /// The operation's own number, or a common one.
    pub async fn act(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let ask = Ask(admitted);
        let kept = self.kept.at_unlimited(admitted, self.databases.version());
        match admitted.call.operation.name {
            "DescribeCdbInstances" => kept.or(self.describe_cdb_instances(ask)).await,
            "GetCdbJobList" => kept.or(self.get_cdb_job_list(ask)).await,
            "GetCdbRollbackJob" => kept.or(self.get_cdb_rollback_job(ask)).await,
            "GetCdbRollbackJobTask" => kept.or(self.get_cdb_rollback_job_task(ask)).await,
            "QueryCdbDatabaseTables" => body(&self.query_cdb_database_tables(ask).await?),
            "QueryCdbDatabases" => body(&self.query_cdb_databases(ask).await?),
            "QueryCdbRollbackRangeTime" => body(&self.query_cdb_rollback_range_time(ask).await?),
            "RollbackCdbDatabaseTables" => body(&self.rollback_cdb_database_tables(ask).await?),
            other => Err(Rejection::new(Fault::NotServed, format!("{other} is not served")).into()),
        }
    }
}
