//! Swept.
