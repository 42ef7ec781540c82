//! What the store holds about data engines.
//!
//! Stored: engines, the versions that each uses, its settings, the log of its
//! image, the catalogue with each entry as it was written, what changes were
//! asked for and how far each is, and what happened. Not stored: how an instance
//! is; its driver is asked for that.
//!
//! The rows about an engine's versions and settings are read whole and checked
//! each time: no constraint hides one that is there twice, so that it is met by
//! name and not by a failed write.

mod changes;
mod engines;
mod events;
mod images;
mod records;

pub use backout_store::rows::{Page, TagFilter};
use backout_store::rows::{one, read_u32, read_u64, several};
use backout_store::{Error, Migration, Tx};

pub use changes::*;
pub use engines::*;
pub use events::*;
pub use images::*;
pub use records::*;

/// The tables of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "engines-0001",
        sql: "
CREATE TABLE engines (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  creator TEXT NOT NULL,
  name TEXT NOT NULL,
  node TEXT NOT NULL,
  kind TEXT NOT NULL,
  exec_type TEXT NOT NULL,
  mode TEXT NOT NULL,
  pay_mode BIGINT NOT NULL,
  state TEXT NOT NULL,
  description TEXT NOT NULL,
  size BIGINT NOT NULL,
  clusters_min BIGINT NOT NULL,
  clusters_max BIGINT NOT NULL,
  port BIGINT NOT NULL,
  instance TEXT,
  setup TEXT,
  changes BIGINT NOT NULL,
  tags TEXT NOT NULL,
  kept TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  UNIQUE (owner, name)
);
CREATE INDEX engines_listing ON engines (owner, created_ms DESC, id);
CREATE INDEX engines_of_node ON engines (node, id);
CREATE TABLE engine_tags (
  resource TEXT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (resource, tag_key)
);
CREATE INDEX engine_tags_by_key ON engine_tags (tag_key, tag_value, resource);
CREATE TABLE engine_uses (
  engine TEXT NOT NULL,
  type BIGINT NOT NULL,
  image TEXT NOT NULL
);
CREATE INDEX engine_uses_of_engine ON engine_uses (engine);
CREATE INDEX engine_uses_of_image ON engine_uses (image);
CREATE TABLE engine_configs (
  engine TEXT NOT NULL,
  cluster TEXT NOT NULL,
  template TEXT
);
CREATE INDEX engine_configs_of_engine ON engine_configs (engine);
CREATE TABLE engine_session_configs (
  engine TEXT NOT NULL,
  session TEXT NOT NULL
);
CREATE INDEX engine_session_configs_of_engine ON engine_session_configs (engine);
CREATE TABLE engine_images (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  level TEXT NOT NULL,
  version TEXT NOT NULL,
  parent TEXT,
  text TEXT NOT NULL,
  number BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL
);
CREATE INDEX engine_images_by_version ON engine_images (version);
CREATE INDEX engine_images_by_parent ON engine_images (parent) WHERE parent IS NOT NULL;
CREATE TABLE engine_log (
  id TEXT PRIMARY KEY,
  engine TEXT NOT NULL,
  number BIGINT NOT NULL,
  operation TEXT NOT NULL,
  before TEXT,
  restored TEXT,
  uses TEXT NOT NULL,
  config TEXT NOT NULL,
  size BIGINT NOT NULL,
  job TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  UNIQUE (engine, number)
);
CREATE TABLE engine_changes (
  job TEXT PRIMARY KEY,
  engine TEXT NOT NULL,
  number BIGINT NOT NULL,
  wanted TEXT NOT NULL,
  request TEXT NOT NULL,
  state_before TEXT NOT NULL,
  setup_from TEXT,
  setup_to TEXT,
  restores TEXT,
  drive TEXT,
  created_ms BIGINT NOT NULL,
  ended_ms BIGINT,
  UNIQUE (engine, number)
);
CREATE INDEX engine_changes_by_end ON engine_changes (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX engine_changes_of_request ON engine_changes (request);
CREATE TABLE engine_events (
  number BIGINT PRIMARY KEY,
  engine TEXT NOT NULL,
  action TEXT NOT NULL,
  message TEXT NOT NULL,
  at_ms BIGINT NOT NULL
);
CREATE INDEX engine_events_of_engine ON engine_events (engine, number DESC);
CREATE TABLE engine_numbers (
  kind TEXT PRIMARY KEY,
  last BIGINT NOT NULL
);
INSERT INTO engine_numbers (kind, last) VALUES ('event', 0);
INSERT INTO engine_numbers (kind, last) VALUES ('image', 0);",
    },
    // The last two records of each engine, with what decides about a way back: a
    // check reads this only, which stays small however long the log is.
    Migration {
        name: "engines-0002",
        sql: "
ALTER TABLE engine_log ADD COLUMN recent BIGINT NOT NULL DEFAULT 0;
UPDATE engine_log SET recent = 1 WHERE number >=
  (SELECT MAX(l.number) FROM engine_log l WHERE l.engine = engine_log.engine) - 1;
CREATE INDEX engine_log_recent
  ON engine_log (engine, recent, number, id, operation, before, uses) WHERE recent = 1;",
    },
    // All that is asked of the versions that an engine uses.
    Migration {
        name: "engines-0003",
        sql: "
DROP INDEX engine_uses_of_engine;
CREATE INDEX engine_uses_of_engine ON engine_uses (engine, type, image);",
    },
];

/// From 1 on, each once, in the order of the transactions that draw them.
fn next_number(tx: &mut dyn Tx, kind: &str) -> Result<u64, Error> {
    backout_store::rows::next_number(tx, "engine_numbers", kind)
}
