//! When what goes wrong: a plan made from the seed before the run.

use crate::{
    chance::Rng,
    receiver::Mood,
    scenario::{Ms, SECOND, Scenario, Trouble},
    senders::Said,
};

/// Something that happens to the nodes and their surroundings.
#[derive(Clone, Debug)]
pub enum Act {
    Start(usize),
    Kill(usize),
    Stop(usize),
    GoOn(usize),
    /// A clean stop, and a start this long after.
    Restart(usize, Ms),
    /// Nothing passes from the first to the second of each pair.
    Cut(usize, Vec<(usize, usize)>),
    Mend(usize),
    Loss(bool),
    BlockUdp(bool),
    Lag(bool),
    Reload(usize),
    Silence {
        alert: usize,
        node: usize,
        lasts: Ms,
    },
    /// Somebody ends the oldest silence at this node.
    Unsilence(usize),
    Fall(Mood),
    Recover(Mood),
    /// All troubles are over.
    Calm,
    /// Senders say what they have to say.
    Post,
    Deliver {
        node: usize,
        said: Vec<Said>,
        again: bool,
    },
    /// Looks whether a node that was told to stop has stopped, to start it this long after.
    Left(usize, Ms),
}

pub struct Plan<'a> {
    scenario: &'a Scenario,
    rng: Rng,
    acts: Vec<(Ms, Act)>,
    cuts: usize,
}

/// Everything that will happen by itself, in no order.
pub fn plan(scenario: &Scenario) -> Vec<(Ms, Act)> {
    let mut plan = Plan { scenario, rng: Rng::new(scenario.seed, 4), acts: Vec::new(), cuts: 0 };
    for trouble in scenario.class.troubles {
        plan.add(*trouble);
    }
    plan.acts.push((scenario.calm_from, Act::Calm));
    plan.acts
}

impl Plan<'_> {
    fn add(&mut self, trouble: Trouble) {
        // Of many troubles each is rarer.
        let pace = 40 * SECOND * (1 + self.scenario.class.troubles.len() as u64 / 3);
        let mut at = 15 * SECOND + self.rng.between(0, pace);
        while at + 5 * SECOND < self.scenario.calm_from {
            let lasts = self.one(trouble, at);
            at += lasts + self.rng.between(pace / 4, pace * 2);
        }
    }

    /// Returns how long it lasts.
    fn one(&mut self, trouble: Trouble, at: Ms) -> Ms {
        let nodes = self.scenario.nodes;
        let rng = &mut self.rng;
        let node = rng.below(nodes);
        let other = (node + 1 + rng.below(nodes - 1)) % nodes;
        let short = rng.between(SECOND, 40 * SECOND);
        let long = rng.between(5 * SECOND, 120 * SECOND);
        let pair = |from: Act, to: Act, lasts: Ms| (vec![(0, from), (lasts, to)], lasts);
        let (acts, lasts) = match trouble {
            Trouble::Kill => pair(Act::Kill(node), Act::Start(node), short),
            // Done when something is sent.
            Trouble::KillSender => (vec![], long),
            Trouble::KillAll => {
                let kill = (0..nodes).map(|i| (0, Act::Kill(i)));
                let start = (0..nodes).map(|i| (short / 2 + rng.between(0, 3 * SECOND), Act::Start(i)));
                (kill.chain(start).collect(), short + 30 * SECOND)
            }
            Trouble::Pause => pair(Act::Stop(node), Act::GoOn(node), short),
            Trouble::Rolling => {
                let restart = |i: usize| (i as u64 * 20 * SECOND, Act::Restart(i, rng.between(SECOND / 2, 5 * SECOND)));
                ((0..nodes).map(restart).collect(), 20 * SECOND * nodes as u64)
            }
            Trouble::Split => {
                let mut side: Vec<bool> = (0..nodes).map(|_| rng.chance(50)).collect();
                (side[node], side[other]) = (true, false);
                let pairs = pairs(nodes).filter(|(a, b)| side[*a] != side[*b]).collect();
                self.cuts += 1;
                pair(Act::Cut(self.cuts, pairs), Act::Mend(self.cuts), long)
            }
            Trouble::Bridge => {
                self.cuts += 1;
                pair(Act::Cut(self.cuts, vec![(node, other), (other, node)]), Act::Mend(self.cuts), long)
            }
            Trouble::OneWay => {
                self.cuts += 1;
                pair(Act::Cut(self.cuts, vec![(node, other)]), Act::Mend(self.cuts), long)
            }
            Trouble::Loss => pair(Act::Loss(true), Act::Loss(false), long),
            Trouble::UdpBlocked => pair(Act::BlockUdp(true), Act::BlockUdp(false), long),
            Trouble::Lag => pair(Act::Lag(true), Act::Lag(false), long),
            Trouble::Reload => ((0..nodes).map(|i| (rng.between(0, 2 * SECOND), Act::Reload(i))).collect(), short),
            Trouble::Silence => {
                let alert = rng.below(self.scenario.groups * self.scenario.alerts_per_group);
                let mut acts = vec![(0, Act::Silence { alert, node, lasts: long })];
                if rng.chance(50) {
                    acts.push((rng.between(SECOND, long), Act::Unsilence(other)));
                }
                (acts, short)
            }
            Trouble::Slow => pair(Act::Fall(Mood::Slow), Act::Recover(Mood::Slow), long),
            Trouble::Refuse => pair(Act::Fall(Mood::Refuse), Act::Recover(Mood::Refuse), long),
            Trouble::Hang => pair(Act::Fall(Mood::Hang), Act::Recover(Mood::Hang), long),
            Trouble::Ambiguous => pair(Act::Fall(Mood::Ambiguous), Act::Recover(Mood::Ambiguous), long),
            Trouble::NoConnection => {
                pair(Act::Fall(Mood::NoConnection(node)), Act::Recover(Mood::NoConnection(node)), long)
            }
            Trouble::NodeHang => pair(Act::Fall(Mood::NodeHang(node)), Act::Recover(Mood::NodeHang(node)), long),
        };
        self.acts.extend(acts.into_iter().map(|(after, act)| (at + after, act)));
        lasts
    }
}

fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |a| (0..nodes).map(move |b| (a, b))).filter(|(a, b)| a != b)
}
