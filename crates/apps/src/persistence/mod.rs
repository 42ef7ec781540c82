//! What the store holds about applications.
//!
//! Stored: namespaces, applications, their versions whole, which replicas there
//! are and what each runs, a row for every order with its plan and its machine,
//! and what happened. Not stored: how a replica is (whether it runs and is
//! ready, its port, its log); its driver is asked for that.

mod applications;
mod config_maps;
mod events;
mod orders;
mod scaling;
mod secrets;
mod settings;
mod versions;
mod words;

use backout_store::rows::{Conditions, one, read_u32, read_u64, several};
pub use backout_store::rows::{Page, TagFilter};
use backout_store::{Error, Migration, Tx, Value};

pub use applications::*;
pub use config_maps::*;
pub use events::*;
pub use orders::*;
pub use scaling::*;
pub use secrets::*;
pub use settings::*;
pub use versions::*;
pub use words::*;

/// The condition that a column is one of these; none where there are none.
fn among<V: Into<Value>>(column: &str, these: impl IntoIterator<Item = V>) -> Option<Conditions> {
    let mut w = Conditions {
        sql: "1 = 1".to_owned(),
        params: Vec::new(),
    };
    w.one_of(column, these);
    (!w.params.is_empty()).then_some(w)
}

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[TABLES, WORDS];

const TABLES: Migration = Migration {
    name: "apps-0001",
    sql: "
CREATE TABLE app_namespaces (
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (owner, id)
);
CREATE TABLE apps (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  node TEXT NOT NULL,
  state TEXT NOT NULL,
  replicas BIGINT NOT NULL,
  version TEXT,
  tags TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  UNIQUE (owner, namespace, name)
);
CREATE INDEX apps_listing ON apps (owner, created_ms DESC, id);
CREATE INDEX apps_of_node ON apps (node, id);
CREATE TABLE app_tags (
  resource TEXT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (resource, tag_key)
);
CREATE INDEX app_tags_by_key ON app_tags (tag_key, tag_value, resource);
CREATE TABLE app_versions (
  id TEXT PRIMARY KEY,
  app TEXT NOT NULL,
  number BIGINT NOT NULL,
  release TEXT NOT NULL,
  package TEXT,
  package_version TEXT,
  cpu_millis BIGINT NOT NULL,
  memory_bytes BIGINT NOT NULL,
  port BIGINT,
  label TEXT NOT NULL,
  barred TEXT,
  created_ms BIGINT NOT NULL,
  UNIQUE (app, number)
);
CREATE INDEX app_versions_by_package ON app_versions (package) WHERE package IS NOT NULL;
CREATE TABLE app_replicas (
  id TEXT PRIMARY KEY,
  app TEXT NOT NULL,
  version TEXT NOT NULL,
  order_id TEXT NOT NULL,
  slot BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  UNIQUE (order_id, slot)
);
CREATE INDEX app_replicas_of_app ON app_replicas (app, created_ms, id);
CREATE TABLE app_orders (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  operator TEXT NOT NULL,
  request TEXT NOT NULL,
  app TEXT NOT NULL,
  namespace TEXT NOT NULL,
  kind TEXT NOT NULL,
  job TEXT,
  takes_back TEXT,
  version_from TEXT,
  version_to TEXT,
  replicas_before BIGINT NOT NULL,
  replicas_after BIGINT NOT NULL,
  description TEXT NOT NULL,
  terms TEXT NOT NULL,
  plan TEXT NOT NULL,
  rollout TEXT,
  standing TEXT NOT NULL,
  approval TEXT,
  error_code TEXT, error_message TEXT,
  created_ms BIGINT NOT NULL,
  ended_ms BIGINT
);
CREATE UNIQUE INDEX app_orders_open ON app_orders (app) WHERE ended_ms IS NULL;
CREATE INDEX app_orders_of_app ON app_orders (app, created_ms DESC, id);
CREATE INDEX app_orders_of_namespace ON app_orders (owner, namespace, created_ms DESC, id);
CREATE INDEX app_orders_by_job ON app_orders (job) WHERE job IS NOT NULL;
CREATE INDEX app_orders_by_end ON app_orders (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE TABLE app_batches (
  id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  leg TEXT NOT NULL,
  UNIQUE (order_id, number)
);
CREATE TABLE app_events (
  number BIGINT PRIMARY KEY,
  owner TEXT NOT NULL,
  app TEXT NOT NULL,
  namespace TEXT NOT NULL,
  warning BIGINT NOT NULL,
  object TEXT NOT NULL,
  name TEXT NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL,
  times BIGINT NOT NULL,
  first_ms BIGINT NOT NULL,
  last_ms BIGINT NOT NULL
);
CREATE INDEX app_events_of_app ON app_events (app, number DESC);
CREATE INDEX app_events_of_namespace ON app_events (owner, namespace, number DESC);
CREATE TABLE app_config_maps (
  number BIGINT PRIMARY KEY,
  owner TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  entries TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  UNIQUE (owner, namespace, name)
);
CREATE TABLE app_secrets (
  owner TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  revision BIGINT NOT NULL,
  sealed BYTEA NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (owner, namespace, name, revision)
);
CREATE TABLE app_version_secrets (
  version TEXT NOT NULL,
  app TEXT NOT NULL,
  owner TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (version, name, revision)
);
CREATE INDEX app_version_secrets_of ON app_version_secrets (owner, namespace, name);
CREATE INDEX app_version_secrets_by_app ON app_version_secrets (app);
CREATE TABLE app_scaling_rules (
  app TEXT NOT NULL,
  name TEXT NOT NULL,
  rule TEXT NOT NULL,
  enabled BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  disabled_ms BIGINT,
  scaled_ms BIGINT,
  PRIMARY KEY (app, name)
);
CREATE TABLE app_settings (
  owner TEXT PRIMARY KEY,
  settings TEXT NOT NULL
);
CREATE TABLE app_asked (
  owner TEXT NOT NULL,
  idem_key TEXT NOT NULL,
  idem_hash TEXT NOT NULL,
  order_id TEXT NOT NULL,
  PRIMARY KEY (owner, idem_key)
);
CREATE INDEX app_asked_by_order ON app_asked (order_id);
CREATE TABLE app_numbers (
  kind TEXT PRIMARY KEY,
  last BIGINT NOT NULL
);
INSERT INTO app_numbers (kind, last) VALUES ('event', 0);
INSERT INTO app_numbers (kind, last) VALUES ('config map', 0);",
};

/// From 1 on, each once, in the order of the transactions that draw them.
fn next_number(tx: &mut dyn Tx, kind: &str) -> Result<u64, Error> {
    backout_store::rows::next_number(tx, "app_numbers", kind)
}
