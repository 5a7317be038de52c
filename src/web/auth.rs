//! Names and passwords of basic authentication, against bcrypt hashes.
//!
//! A hash takes a tenth of a second of CPU to check, so what was found out is kept (as a digest, never the
//! password), and only one check runs at a time. Good and bad results are kept apart: guesses cannot push
//! out those who know their password. A name that does not exist costs as much as one that does.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

/// How many results of either kind are kept.
const RESULTS_MAX: usize = 100;

/// Checked in place of the hash of a user that does not exist: cost 10, no known password.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

#[derive(Debug, Default)]
pub(super) struct Passwords {
    good: Results,
    bad: Results,
    /// Held during a check.
    busy: tokio::sync::Mutex<()>,
}

type Key = [u8; 32];

#[derive(Debug, Default)]
struct Results(Mutex<HashSet<Key>>);

impl Results {
    fn has(&self, key: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn add(&self, key: Key) {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if results.len() >= RESULTS_MAX
            && let Some(any) = results.iter().next().copied()
        {
            results.remove(&any);
        }
        results.insert(key);
    }
}

impl Passwords {
    /// Whether the request comes from one of `users`.
    pub async fn admit(&self, users: &BTreeMap<String, String>, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else { return false };
        let hash = users.get(&name).map_or(NOBODY, String::as_str);
        let key = digest(&[&name, hash, &password]);
        if let Some(known) = self.known(&key) {
            return known;
        }
        let _turn = self.busy.lock().await;
        // Somebody else may have asked the same meanwhile.
        if let Some(known) = self.known(&key) {
            return known;
        }
        let hash = hash.to_owned();
        let checked = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await;
        let good = checked.unwrap_or(false) && users.contains_key(&name);
        (if good { &self.good } else { &self.bad }).add(key);
        good
    }

    fn known(&self, key: &Key) -> Option<bool> {
        if self.good.has(key) { Some(true) } else { self.bad.has(key).then_some(false) }
    }
}

/// The name that the request gives.
pub(super) fn name(headers: &HeaderMap) -> Option<String> {
    credentials(headers).map(|(name, _)| name)
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(())?;
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Of parts with their lengths, so that no two lists are alike.
fn digest(parts: &[&str]) -> Key {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    #[tokio::test]
    async fn only_the_right_password_is_let_in_each_time() {
        let users = BTreeMap::from([("ann".to_owned(), bcrypt::hash("secret", 4).unwrap())]);
        let passwords = Passwords::default();
        for _ in 0..2 {
            assert!(passwords.admit(&users, &headers("ann", "secret")).await);
            assert!(!passwords.admit(&users, &headers("ann", "wrong")).await);
            assert!(!passwords.admit(&users, &headers("bob", "secret")).await);
            assert!(!passwords.admit(&users, &HeaderMap::new()).await);
        }
        assert_eq!(passwords.good.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_new_hash_ends_what_was_kept() {
        let passwords = Passwords::default();
        let users = |password: &str| BTreeMap::from([("ann".to_owned(), bcrypt::hash(password, 4).unwrap())]);
        assert!(passwords.admit(&users("old"), &headers("ann", "old")).await);
        assert!(!passwords.admit(&users("new"), &headers("ann", "old")).await);
    }

    #[test]
    fn results_are_bounded() {
        let results = Results::default();
        for n in 0..1000 {
            results.add(digest(&[&n.to_string()]));
        }
        assert_eq!(results.0.lock().unwrap().len(), RESULTS_MAX);
    }

    #[test]
    fn the_hash_of_nobody_can_be_checked() {
        assert_eq!(bcrypt::verify("x", NOBODY).ok(), Some(false));
    }
}
