//! Records of peers: what is accepted is merged, and merged once more changes nothing.

use std::sync::Arc;

use carillon::{
    cluster::Digest,
    replica::{Kind, Merged, Replica, decode_alert, encode_alert},
};
use tokio::runtime::Runtime;

use crate::{
    harness::{Case, Target},
    mutate::Words,
    node::{Ground, runtime},
    protobuf,
    rng::Rng,
};

pub struct Records {
    runtime: Runtime,
    ground: Ground,
    replica: Arc<Replica>,
    merged: usize,
}

/// The replica begins anew before it has grown large.
const AGE_MAX: usize = 400;

/// Bytes of a record, spoiled in half of the cases.
pub fn spoiled(rng: &mut Rng, bytes: Vec<u8>, most: usize) -> Vec<u8> {
    let words = Words {
        corpus: &["\u{a}\u{4}\u{8}\u{1}"],
        tokens: &["\u{a}", "\u{12}\u{0}", "\u{8}\u{7f}", "\u{1a}", "\u{0}"],
    };
    let mut bytes = bytes;
    if rng.one_in(2) {
        for _ in 0..rng.between(1, most) {
            words.mutate(rng, &mut bytes);
        }
    }
    bytes
}

impl Target for Records {
    const NAME: &'static str = "records";

    fn new() -> Self {
        let (runtime, ground) = (runtime(), Ground::new());
        let replica = Arc::new(runtime.block_on(async { ground.replica() }));
        Records { runtime, ground, replica, merged: 0 }
    }

    fn make(rng: &mut Rng) -> Case {
        let (kind, record) = match rng.below(3) {
            0 => ("silence", protobuf::Records(rng).silence()),
            1 => ("log entry", protobuf::Records(rng).log_entry()),
            _ => ("alert", protobuf::Records(rng).alert()),
        };
        Case { kind, bytes: spoiled(rng, record.0, 3) }
    }

    fn run(&mut self, case: &Case) -> bool {
        if self.merged >= AGE_MAX {
            self.replica = Arc::new(self.runtime.block_on(async { self.ground.replica() }));
            self.merged = 0;
        }
        self.merged += 1;
        let kind = match case.kind {
            "silence" => Kind::Silence,
            "log entry" => Kind::Log,
            _ => Kind::Alert,
        };
        if let Ok(alert) = decode_alert(&case.bytes) {
            assert_eq!(decode_alert(&encode_alert(&alert)).as_ref(), Ok(&alert), "an alert comes back");
        }
        let now = self.ground.clock.now();
        let replica = &self.replica;
        self.runtime.block_on(async {
            if replica.merge(kind, &case.bytes, now).is_err() {
                return false;
            }
            let again = replica.merge(kind, &case.bytes, now).expect("it was read before");
            assert!(matches!(again, Merged::Known), "{kind:?}: what was merged is known");
            if self.merged.is_multiple_of(50) {
                let is_guess = |_, _| false;
                for record in replica.missing(kind, &Digest::default(), now, &is_guess) {
                    let known = replica.merge(kind, &record, now).expect("our own records are read");
                    assert!(matches!(known, Merged::Known), "{kind:?}: our own record is known");
                }
                let own = replica.digest(kind, now, &is_guess);
                assert!(replica.missing(kind, &own, now, &is_guess).is_empty(), "{kind:?}: nothing is missing to us");
                replica.silences.maintain(now).expect("memory does not fail");
                replica.nflog.maintain(now, &|_| false).expect("memory does not fail");
                replica.alerts.gc(now, &|_| false);
            }
            true
        })
    }
}
