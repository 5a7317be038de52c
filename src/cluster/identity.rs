//! Who a node is: its stable name, where it listens, and which life of it this is.
//!
//! The name is what foca calls the address: a newer generation of a name replaces the older one at once, wherever it
//! lives now.

use std::{fmt, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The step of [`Identity::renew`] stops growing here: a generation is a time in milliseconds, and this is an hour.
const STEP_MAX: u64 = 1 << 22;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub generation: u64,
    /// By how much the next renewal raises the generation. Grows, so that a node whose generation is far behind
    /// what the others remember catches up in a few rounds.
    #[serde(skip, default = "first_step")]
    step: u64,
}

fn first_step() -> u64 {
    1
}

impl Identity {
    pub fn new(name: &str, address: SocketAddr, generation: u64) -> Self {
        Identity { name: name.into(), address, generation, step: first_step() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.name, self.address, self.generation)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (self.generation, self.address) == (other.generation, other.address) && self.name == other.name
    }
}

impl Eq for Identity {}

impl foca::Identity for Identity {
    type Addr = Arc<str>;

    fn renew(&self) -> Option<Self> {
        Some(Identity {
            generation: self.generation.saturating_add(self.step),
            step: (self.step * 2).min(STEP_MAX),
            ..self.clone()
        })
    }

    fn addr(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.generation, self.address) > (adversary.generation, adversary.address)
    }
}

#[cfg(test)]
mod tests {
    use foca::Identity as _;

    use super::*;

    #[test]
    fn a_node_whose_clock_was_an_hour_ahead_once_catches_up_in_a_few_renewals() {
        let mut identity = Identity::new("a", SocketAddr::from(([127, 0, 0, 1], 1)), 0);
        let mut renewals = 0;
        while identity.generation < 3_600_000 {
            let next = identity.renew().unwrap();
            assert!(next.win_addr_conflict(&identity));
            identity = next;
            renewals += 1;
        }
        assert!(renewals <= 22, "{renewals}");
    }
}
