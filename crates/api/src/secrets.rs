//! The passwords of databases and the secrets of applications are sealed under the
//! same master key as the keys of accounts. None of the crates knows the others;
//! they meet here.

use std::sync::Arc;

use backout_accounts::Vault;
use backout_core::ids::Entropy;
use backout_databases::Secrets;

/// A vault that databases and applications can use.
#[derive(Clone)]
pub struct Sealed {
    vault: Vault,
    entropy: Arc<dyn Entropy>,
}

impl Sealed {
    /// Seals with `vault`.
    #[must_use]
    pub const fn new(vault: Vault, entropy: Arc<dyn Entropy>) -> Self {
        Self { vault, entropy }
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(..)")
    }
}

impl Secrets for Sealed {
    fn seal(&self, bound_to: &str, secret: &str) -> Result<Vec<u8>, String> {
        self.vault
            .seal(self.entropy.as_ref(), bound_to, secret)
            .map_err(|e| e.to_string())
    }

    fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<String, String> {
        self.vault
            .open(bound_to, sealed)
            .map(|secret| secret.expose().to_owned())
            .map_err(|e| e.to_string())
    }
}

impl backout_apps::Secrets for Sealed {
    fn seal(&self, bound_to: &str, secret: &str) -> Result<Vec<u8>, String> {
        Secrets::seal(self, bound_to, secret)
    }

    fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<String, String> {
        Secrets::open(self, bound_to, sealed)
    }
}

#[cfg(test)]
mod tests {
    use backout_accounts::MasterKey;
    use backout_core::ids::OsEntropy;

    use super::*;

    #[test]
    fn what_is_sealed_opens_where_it_belongs_only() {
        let vault = Vault::new(&MasterKey::from_bytes([7; 32]));
        let sealed = Sealed::new(vault, Arc::new(OsEntropy));
        let secret = sealed.seal("a database", "mysql://root:pw@db").unwrap();
        assert_eq!(
            sealed.open("a database", &secret).unwrap(),
            "mysql://root:pw@db"
        );
        assert!(sealed.open("another", &secret).is_err());
        assert!(!String::from_utf8_lossy(&secret).contains("pw"));
    }
}
