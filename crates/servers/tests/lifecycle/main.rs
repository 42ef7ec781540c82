//! The life of servers: made of images, started, stopped, given back, reset;
//! and that of the images.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod edges;
mod guest;
mod matrix;
mod service;
mod stage;
