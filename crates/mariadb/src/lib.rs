//! The driver for database servers that speak the MySQL protocol.
//!
//! Architecture invariants:
//! - nothing here knows a job, a product or a store;
//! - what a server, its catalogue or its rows say is untrusted: names and values
//!   are quoted, never pasted.
