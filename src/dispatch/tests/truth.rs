//! Whatever happens to a node, in the end every receiver believes what is true, and nothing that should have been
//! told stays untold. Random histories, each from a seed.

use std::collections::{HashMap, HashSet};

use super::{
    outside,
    world::{Answer, Hook, Setup, World},
};
use crate::random::Random;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

struct Dice(Random);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn name(&self) -> &'static str {
        NAMES[usize::try_from(self.below(5)).unwrap()]
    }

    fn answers(&self) -> Vec<Answer> {
        (0..self.below(12))
            .map(|_| match self.below(7) {
                0 => Answer::Status(400),
                1 => Answer::TakeAfter(1.0 + f64::from(u32::try_from(self.below(40)).unwrap())),
                2 => Answer::RetryAfter(self.below(30)),
                3 => Answer::Hang,
                4 => Answer::Panic,
                _ => Answer::Status(503),
            })
            .collect()
    }
}

/// What the receiver heard last of each alert: whether it fires.
fn beliefs(hook: &Hook) -> HashMap<String, bool> {
    let mut beliefs = HashMap::new();
    for heard in hook.heard().iter().filter(|heard| heard.taken) {
        beliefs.extend(heard.resolved.iter().map(|name| (name.clone(), false)));
        beliefs.extend(heard.firing.iter().map(|name| (name.clone(), true)));
    }
    beliefs
}

async fn history(seed: u64) {
    let dice = Dice(Random::seeded(seed));
    let setup = Setup { hooks: vec![true, false], ..Setup::new(2.0, 10.0, 1e6) };
    let mut w = World::new(setup.clone());
    let mut firing: HashSet<&str> = HashSet::new();
    let mut now = 0.0;
    for _ in 0..60 {
        now += 0.1 + f64::from(u32::try_from(dice.below(80)).unwrap()) / 10.0 + 0.013;
        w.at(now).await;
        let name = dice.name();
        match dice.below(12) {
            0..=3 => {
                w.fire(&[name]);
                firing.insert(name);
            }
            4..=6 => {
                w.resolve(&[name]);
                firing.remove(name);
            }
            7 => outside::silence(&w.silences, &format!("alertname={name}"), w.time(now + 15.0)).await,
            8 => w.hook(0).script(dice.answers()),
            9 => w.hook(1).script(dice.answers()),
            10 => w.reload(Setup { group_by: if dice.below(2) == 0 { vec![] } else { vec!["zone"] }, ..setup.clone() }),
            _ => w = w.restarted().await,
        }
    }
    w.hook(0).script([]);
    w.hook(1).script([]);
    // A hanging attempt is cut off after a minute, a doubled limit later.
    w.at(now + 3000.0).await;
    let (all, firing_only) = (beliefs(&w.hook(0)), beliefs(&w.hook(1)));
    for name in NAMES {
        if firing.contains(name) {
            assert_eq!(all.get(name), Some(&true), "seed {seed}: {name} fires and the receiver does not know");
            assert_eq!(firing_only.get(name), Some(&true), "seed {seed}: {name} fires and the second does not know");
        } else {
            assert_ne!(all.get(name), Some(&true), "seed {seed}: {name} is over and the receiver does not know");
        }
    }
    for alert in w.dispatcher.groups().iter().flat_map(|group| &group.alerts) {
        let name = alert.entry.alert().name().to_owned();
        assert!(firing.contains(&*name), "seed {seed}: {name} is over and told, and still held");
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_end_every_receiver_believes_what_is_true() {
    for seed in 0..seeds() {
        history(seed).await;
    }
}

/// More of them with `CARILLON_SEEDS`.
fn seeds() -> u64 {
    std::env::var("CARILLON_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(12)
}
