//! The only room that makes random numbers: seeded from the system in the program, by the test in a test.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// A shared generator. Cryptographically strong, since silence ids must not be guessable.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeded by the operating system.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the random module is where randomness comes from")]
    pub fn system() -> Self {
        let seed = rand::rng().random();
        Random(Arc::new(Mutex::new(StdRng::from_seed(seed))))
    }

    /// The same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Random(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    #[must_use]
    pub fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Uniform in [0, 1).
    #[must_use]
    pub fn unit_f64(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A random (version 4) UUID in its usual text form.
    #[must_use]
    pub fn uuid_v4(&self) -> String {
        let mut bytes = [0u8; 16];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_says_version_4() {
        let id = Random::seeded(1).uuid_v4();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    }
}
