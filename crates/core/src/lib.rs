//! Words that every floor shares: ids, time, sizes, fencing, plans, outcomes,
//! error codes and policies.
//!
//! Architecture invariant: pure. Nothing here does I/O, reads a clock or draws
//! randomness by itself; both are handed in as [`time::Clock`] and
//! [`ids::Entropy`]. Nothing here knows a vendor, a protocol, a database or a
//! driver.

pub mod code;
pub mod fence;
pub mod ids;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod size;
pub mod time;

/// Gives an enum a word for each variant, stored and shown.
#[macro_export]
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word that is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Reads the word back.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
            }
        }
    };
}
