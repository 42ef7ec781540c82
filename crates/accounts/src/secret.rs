//! Secrets: how they are made, held in memory, and sealed at rest.

use std::fmt;
use std::sync::Arc;

use backout_core::ids::Entropy;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::master::MasterKey;

/// What every secret id of ours begins with.
pub const SECRET_ID_PREFIX: &str = "AKID";
/// How many characters follow the prefix: clients check the form of 36.
pub const SECRET_ID_RANDOM_CHARS: usize = 32;
/// How long a secret key is: 62^32 is 190 bits.
pub const SECRET_KEY_CHARS: usize = 32;
/// How many random bytes a token has; 96 bytes are 128 characters.
const TOKEN_BYTES: usize = 96;
/// How long a token is as text.
pub const TOKEN_CHARS: usize = TOKEN_BYTES / 3 * 4;
/// The longest text that is looked up as a secret id. Ours have 36 characters;
/// what is longer than this is no key of anybody's.
pub const SECRET_ID_CHARS_MAX: usize = 128;

/// The first byte of everything sealed, so that the form can change.
const SEAL_VERSION: u8 = 1;
const SEAL_NONCE_BYTES: usize = 24;

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A secret text: wiped from memory when the last handle goes, never printed.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a text that is to be kept secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The text itself. It must go nowhere but into a signature, or to the one
    /// who is entitled to it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// `len` random characters of `[A-Za-z0-9]`, in memory that is wiped.
fn random_alphanumeric(entropy: &dyn Entropy, len: usize) -> Zeroizing<String> {
    // The capacity is never exceeded, so no unwiped copy is left behind.
    let mut out = Zeroizing::new(String::with_capacity(len));
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while out.len() < len {
        entropy.fill(bytes.as_mut());
        for b in bytes.iter() {
            // 248 is the largest multiple of 62 that fits a byte: beyond it the
            // remainder would be biased.
            if *b < 248 && out.len() < len {
                out.push(char::from(ALPHANUMERIC[usize::from(b % 62)]));
            }
        }
    }
    out
}

pub(crate) fn random_secret_id(entropy: &dyn Entropy) -> String {
    let random = random_alphanumeric(entropy, SECRET_ID_RANDOM_CHARS);
    format!("{SECRET_ID_PREFIX}{}", random.as_str())
}

pub(crate) fn random_secret_key(entropy: &dyn Entropy) -> Secret {
    Secret(Arc::new(random_alphanumeric(entropy, SECRET_KEY_CHARS)))
}

pub(crate) fn random_token(entropy: &dyn Entropy) -> Secret {
    let mut bytes = Zeroizing::new([0_u8; TOKEN_BYTES]);
    entropy.fill(bytes.as_mut());
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
}

/// Whether `text` can be a secret id at all; saves the store from junk.
pub(crate) fn may_be_secret_id(text: &str) -> bool {
    (1..=SECRET_ID_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether `text` has the form of a token of ours.
pub(crate) fn may_be_token(text: &str) -> bool {
    text.len() == TOKEN_CHARS
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What is kept of a token. It has 768 random bits, so a plain hash is enough.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares in constant time.
pub(crate) fn token_matches(token: &str, hash: &[u8]) -> bool {
    token_hash(token).as_slice().ct_eq(hash).into()
}

/// Something sealed does not open: another master key, or a changed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CannotOpen;

/// Seals and opens secrets with XChaCha20-Poly1305 under the master key.
///
/// The `bound_to` text is authenticated with each, so that a sealed secret
/// opens only in the row it was made for.
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(Key::from_slice(master.bytes())))
    }

    pub(crate) fn seal(
        &self,
        entropy: &dyn Entropy,
        bound_to: &str,
        secret: &str,
    ) -> Result<Vec<u8>, CannotOpen> {
        let mut nonce = [0_u8; SEAL_NONCE_BYTES];
        entropy.fill(&mut nonce);
        let sealed = self
            .0
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: secret.as_bytes(),
                    aad: bound_to.as_bytes(),
                },
            )
            .map_err(|_| CannotOpen)?;
        let mut out = Vec::with_capacity(1 + SEAL_NONCE_BYTES + sealed.len());
        out.push(SEAL_VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    pub(crate) fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<Secret, CannotOpen> {
        let (version, rest) = sealed.split_first().ok_or(CannotOpen)?;
        if *version != SEAL_VERSION {
            return Err(CannotOpen);
        }
        let (nonce, sealed) = rest.split_at_checked(SEAL_NONCE_BYTES).ok_or(CannotOpen)?;
        let opened = self
            .0
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg: sealed,
                    aad: bound_to.as_bytes(),
                },
            )
            .map_err(|_| CannotOpen)?;
        let text = String::from_utf8(opened).map_err(|e| {
            drop(Zeroizing::new(e.into_bytes()));
            CannotOpen
        })?;
        Ok(Secret::new(text))
    }
}

/// Seals secrets of other parts of the house under the same master key: they
/// keep what is sealed in their own rows.
#[derive(Clone)]
pub struct Vault(Arc<Sealer>);

/// Something that was sealed does not open, or a secret could not be sealed:
/// another master key, or a changed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "open a secret in the store: start with the key file or the BACKOUT_MASTER_KEY that this store was made with"
)]
pub struct VaultError;

impl Vault {
    /// Under this key.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self(Arc::new(Sealer::new(master)))
    }

    /// Seals `secret`. It opens only with the same `bound_to`, which should name
    /// the row that it is kept in.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        bound_to: &str,
        secret: &str,
    ) -> Result<Vec<u8>, VaultError> {
        self.0
            .seal(entropy, bound_to, secret)
            .map_err(|CannotOpen| VaultError)
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<Secret, VaultError> {
        self.0
            .open(bound_to, sealed)
            .map_err(|CannotOpen| VaultError)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// What the sealed secret of a key is bound to. The account belongs to it:
/// who can write to the store, but has no master key, cannot hand their own
/// key to another account.
pub(crate) fn key_binding(secret_id: &str, account: &str) -> String {
    format!("backout account key\n{secret_id}\n{account}")
}

#[cfg(test)]
mod tests {
    use backout_core::ids::OsEntropy;

    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&MasterKey::from_bytes([byte; 32]))
    }

    #[test]
    fn generated_texts_have_their_form() {
        let id = random_secret_id(&OsEntropy);
        assert_eq!(id.len(), 36);
        assert!(id.starts_with("AKID") && id.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert!(may_be_secret_id(&id));
        let key = random_secret_key(&OsEntropy);
        assert_eq!(key.expose().len(), 32);
        assert!(key.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
        let token = random_token(&OsEntropy);
        assert_eq!(token.expose().len(), TOKEN_CHARS);
        assert!(may_be_token(token.expose()));
        assert!(token_matches(token.expose(), &token_hash(token.expose())));
        assert!(!token_matches("x", &token_hash(token.expose())));
        assert!(!token_matches("x", b""));
        for bad in ["", "a b", "a/b", "é", &"a".repeat(SECRET_ID_CHARS_MAX + 1)] {
            assert!(!may_be_secret_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_place() {
        let sealed = sealer(1).seal(&OsEntropy, "a", "hunter2").unwrap();
        assert_eq!(sealer(1).open("a", &sealed).unwrap().expose(), "hunter2");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        assert!(sealer(2).open("a", &sealed).is_err());
        assert!(sealer(1).open("b", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(sealer(1).open("a", &changed).is_err(), "byte {index}");
            assert!(
                sealer(1).open("a", &sealed[..index]).is_err(),
                "cut at {index}"
            );
        }
    }
}
