//! Sealing with a shared secret (`--cluster.secret-file`): who has no key can neither read nor write.
//!
//! XChaCha20-Poly1305 with random nonces of 24 bytes; the bytes before the body are authenticated along with it. The
//! first key seals, each opens: to change keys, add the new one second everywhere, swap, then remove the old.
//! A sealed packet that was seen before is dropped ([`Replays`]); a frame is bound to its stream, its direction
//! and its place.

use std::{collections::BTreeMap, fmt};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest as _, Sha256};

use crate::random::Random;

const NONCE_BYTES: usize = 24;

/// A secret that nodes share.
#[derive(Clone)]
pub struct SecretKey(XChaCha20Poly1305);

/// A text that is too weak to be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the secret has fewer than 16 bytes")]
    TooShort,
    #[error("there is no secret in the file")]
    None,
    #[error("there are more than two secrets in the file: the first seals, the second is only accepted")]
    TooMany,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// # Errors
    /// Fewer than 16 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < 16 {
            return Err(KeyError::TooShort);
        }
        let key = Sha256::digest([b"carillon cluster key ", secret].concat());
        Ok(SecretKey(XChaCha20Poly1305::new(Key::from_slice(&key))))
    }

    /// The secrets of a file: one a line, one or two; empty lines and `#` comments are skipped.
    ///
    /// # Errors
    /// None, too many, or too short ones.
    pub fn parse(text: &str) -> Result<Vec<Self>, KeyError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(|line| Self::new(line.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(KeyError::None),
            1 | 2 => Ok(keys),
            _ => Err(KeyError::TooMany),
        }
    }
}

/// The keys of a node; without any, nothing is sealed.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    keys: Vec<SecretKey>,
    random: Random,
}

impl Seal {
    pub fn new(keys: Vec<SecretKey>, random: Random) -> Self {
        Seal { keys, random }
    }

    pub fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }

    /// `body` as it goes out; `head` is authenticated with it.
    pub fn seal(&self, head: &[u8], body: Vec<u8>) -> Vec<u8> {
        let Some(SecretKey(key)) = self.keys.first() else { return body };
        let mut nonce = [0u8; NONCE_BYTES];
        for part in nonce.chunks_mut(8) {
            part.copy_from_slice(&self.random.next_u64().to_le_bytes());
        }
        // Only a body of 256 GiB cannot be sealed; nothing is what the reader refuses.
        let sealed = key.encrypt(XNonce::from_slice(&nonce), Payload { msg: &body, aad: head }).unwrap_or_default();
        let mut out = Vec::with_capacity(NONCE_BYTES + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// The body, if one of the keys sealed it together with `head`.
    pub fn open(&self, head: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        if !self.is_on() {
            return Some(sealed.to_vec());
        }
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = || Payload { msg: body, aad: head };
        self.keys.iter().find_map(|SecretKey(key)| key.decrypt(XNonce::from_slice(nonce), payload()).ok())
    }
}

/// Which packets of which senders were seen: a window behind the newest number of each.
#[derive(Debug, Default)]
pub(super) struct Replays {
    senders: BTreeMap<u64, Window>,
    uses: u64,
}

#[derive(Debug, Default)]
struct Window {
    newest: u64,
    /// Bit i: `newest - i` was seen.
    seen: u128,
    used: u64,
}

impl Replays {
    const SENDERS_MAX: usize = 1024;

    /// Whether the packet is new; it counts as seen from now on.
    pub fn is_new(&mut self, sender: u64, number: u64) -> bool {
        self.uses += 1;
        if !self.senders.contains_key(&sender) && self.senders.len() >= Self::SENDERS_MAX {
            let oldest = self.senders.iter().min_by_key(|(_, window)| window.used).map(|(sender, _)| *sender);
            oldest.and_then(|sender| self.senders.remove(&sender));
        }
        let window = self.senders.entry(sender).or_default();
        window.used = self.uses;
        if number > window.newest {
            let shift = number - window.newest;
            window.seen = if shift >= 128 { 0 } else { window.seen << shift };
            window.seen |= 1;
            window.newest = number;
            return true;
        }
        let back = window.newest - number;
        if back >= 128 || window.seen & (1 << back) != 0 {
            return false;
        }
        window.seen |= 1 << back;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secrets: &[&str]) -> Seal {
        let keys = secrets.iter().map(|secret| SecretKey::new(secret.as_bytes()).unwrap()).collect();
        Seal::new(keys, Random::seeded(1))
    }

    #[test]
    fn what_was_sealed_is_opened_only_with_the_key_and_the_head() {
        let (ours, other) = (seal(&["0123456789abcdef"]), seal(&["fedcba9876543210"]));
        let sealed = ours.seal(b"head", b"body".to_vec());
        assert_eq!(ours.open(b"head", &sealed).as_deref(), Some(&b"body"[..]));
        assert_eq!(ours.open(b"heap", &sealed), None);
        assert_eq!(other.open(b"head", &sealed), None);
        assert_eq!(ours.open(b"head", &sealed[..20]), None);
    }

    #[test]
    fn keys_are_changed_without_a_break() {
        let (old, both, new) =
            (seal(&["0123456789abcdef"]), seal(&["fedcba9876543210", "0123456789abcdef"]), seal(&["fedcba9876543210"]));
        assert!(both.open(b"", &old.seal(b"", vec![1])).is_some());
        assert!(new.open(b"", &both.seal(b"", vec![1])).is_some());
    }

    #[test]
    fn a_packet_is_new_once() {
        let mut replays = Replays::default();
        let order = [5, 3, 4, 5, 3, 200, 4, 199, 199];
        let new: Vec<_> = order.iter().map(|number| replays.is_new(7, *number)).collect();
        assert_eq!(new, [true, true, true, false, false, true, false, true, false]);
    }

    #[test]
    fn a_secret_file_has_one_or_two_lines() {
        assert_eq!(SecretKey::parse("# new\n0123456789abcdef\n\nfedcba9876543210\n").unwrap().len(), 2);
        assert_eq!(SecretKey::parse("short").unwrap_err(), KeyError::TooShort);
        assert_eq!(SecretKey::parse("\n").unwrap_err(), KeyError::None);
    }
}
