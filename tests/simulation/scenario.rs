//! What a run is made of: classes of faults, and the settings that a seed draws within one.

use crate::{chance::Rng, without::Without};

/// Milliseconds since the start of a run, by the true clock.
pub type Ms = u64;

pub const SECOND: Ms = 1000;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// `kill -9`, and a start a while later.
    Kill,
    /// The same, within 90 ms of the beginning of a send.
    KillSender,
    /// All nodes at once.
    KillAll,
    /// A node is stopped and goes on later.
    Pause,
    /// The nodes fall into two groups.
    Split,
    /// Two nodes do not see each other; the others see both.
    Bridge,
    /// Nothing passes from one node to another; the way back is open.
    OneWay,
    /// A fifth of all packets is lost.
    Loss,
    UdpBlocked,
    /// Clean stop and start of each node in turn.
    Rolling,
    Reload,
    /// Somebody makes a silence; perhaps it is ended early.
    Silence,
    /// The receiver needs 5 to 40 s.
    Slow,
    /// It answers 503.
    Refuse,
    /// It takes the request, or not, and never answers.
    Hang,
    /// A tenth of its answers is lost.
    Ambiguous,
    /// One node cannot connect to it.
    NoConnection,
    /// Requests of one node hang.
    NodeHang,
    /// Round trips of up to 300 ms.
    Lag,
}

/// A kind of run.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub name: &'static str,
    pub troubles: &'static [Trouble],
    /// A load balancer gives each post to one node; otherwise every node gets all.
    pub load_balanced: bool,
    /// A group interval below the peer timeout.
    pub quick: bool,
    /// A clock that is wrong from its node's start.
    pub skew: bool,
}

impl Class {
    /// Requests never fail, nor take long, for the receiver's sake.
    pub fn is_receiver_well(&self) -> bool {
        let ill = [T::Slow, T::Refuse, T::Hang, T::Ambiguous, T::NoConnection, T::NodeHang];
        !self.troubles.iter().any(|trouble| ill.contains(trouble))
    }
}

use Trouble as T;

const fn class(name: &'static str, troubles: &'static [Trouble]) -> Class {
    Class { name, troubles, load_balanced: false, quick: false, skew: false }
}

const fn balanced(class: Class) -> Class {
    Class { load_balanced: true, ..class }
}

const fn quick(class: Class) -> Class {
    Class { quick: true, ..class }
}

const fn skewed(class: Class) -> Class {
    Class { skew: true, ..class }
}

pub const CLASSES: &[Class] = &[
    class("steady", &[]),
    balanced(class("lb", &[])),
    class("kill", &[T::Kill]),
    class("kill-sender", &[T::KillSender]),
    class("kill-all", &[T::KillAll]),
    class("pause", &[T::Pause]),
    class("split", &[T::Split]),
    class("bridge", &[T::Bridge]),
    class("one-way", &[T::OneWay]),
    class("loss", &[T::Loss]),
    class("udp-blocked", &[T::UdpBlocked]),
    class("lag", &[T::Lag]),
    skewed(class("skew", &[])),
    class("silence", &[T::Silence, T::Loss]),
    class("reload", &[T::Reload]),
    class("rolling", &[T::Rolling]),
    class("slow", &[T::Slow]),
    class("refuse", &[T::Refuse]),
    class("hang", &[T::Hang]),
    class("ambiguous", &[T::Ambiguous]),
    class("no-connection", &[T::NoConnection]),
    class("node-hang", &[T::NodeHang]),
    quick(class("quick", &[])),
    quick(class("quick+kill", &[T::Kill])),
    quick(class("quick+slow", &[T::Slow])),
    balanced(class("lb+kill", &[T::Kill])),
    balanced(class("lb+split", &[T::Split])),
    balanced(class("lb+pause", &[T::Pause])),
    class("slow+kill", &[T::Slow, T::Kill]),
    class("slow+pause", &[T::Slow, T::Pause]),
    class("slow+loss", &[T::Slow, T::Loss]),
    class("bridge+slow", &[T::Bridge, T::Slow]),
    skewed(class("skew+split", &[T::Split])),
    class("silence+kill", &[T::Silence, T::Kill]),
    class("silence+split", &[T::Silence, T::Split]),
    class("rolling+slow", &[T::Rolling, T::Slow]),
    class(
        "mixed",
        &[
            T::Kill,
            T::Pause,
            T::Split,
            T::Bridge,
            T::OneWay,
            T::Loss,
            T::UdpBlocked,
            T::Silence,
            T::Slow,
            T::Refuse,
            T::Hang,
            T::Ambiguous,
            T::NoConnection,
            T::NodeHang,
            T::Rolling,
            T::Reload,
            T::Lag,
        ],
    ),
    balanced(skewed(class("mixed+lb+skew", &[T::Kill, T::Pause, T::Split, T::Loss, T::Slow, T::Silence, T::Reload]))),
];

/// How nodes hear of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// Not at all: shows that the checkers see duplicates.
    Not,
    Ring,
    /// With a rule taken away: shows what it is needed for.
    Without(Without),
}

impl Together {
    pub fn name(self) -> String {
        match self {
            Together::Not => "not".to_owned(),
            Together::Ring => "ring".to_owned(),
            Together::Without(rule) => rule.name(),
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        match name {
            "not" => Some(Together::Not),
            "ring" => Some(Together::Ring),
            name => Without::named(name).map(Together::Without),
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub class: Class,
    pub together: Together,
    pub nodes: usize,
    pub group_wait: Ms,
    pub group_interval: Ms,
    pub repeat_interval: Ms,
    /// Senders repeat what fires so often, and say that it lives four times as long.
    pub post_interval: Ms,
    pub groups: usize,
    pub alerts_per_group: usize,
    pub integrations: usize,
    /// Error of each node's clock.
    pub skew: Vec<i64>,
    /// Troubles begin and end before this.
    pub calm_from: Ms,
    pub end: Ms,
}

impl Scenario {
    pub fn drawn(seed: u64, class: Class, together: Together, minutes: u64) -> Self {
        let rng = &mut Rng::new(seed, 1);
        let nodes = rng.pick(&[3, 3, 3, 3, 2, 4, 5]);
        let nodes = if class.troubles.contains(&T::Bridge) { nodes.max(3) } else { nodes };
        let end = minutes * 60 * SECOND;
        let (group_wait, group_interval) = if class.quick {
            (2 * SECOND, 5 * SECOND)
        } else {
            (rng.between(3, 10) * SECOND, rng.between(15, 30) * SECOND)
        };
        let mut skew = vec![0; nodes];
        if class.skew {
            let wrong = rng.below(nodes);
            let error = i64::try_from(rng.between(2, 120) * SECOND).unwrap_or(0);
            // With two, the slower clock counts.
            skew[wrong] = if rng.chance(50) || nodes == 2 { error } else { -error };
        }
        Scenario {
            seed,
            class,
            together,
            nodes,
            group_wait,
            group_interval,
            repeat_interval: if rng.chance(70) { 3600 * SECOND } else { 4 * group_interval },
            post_interval: rng.between(5, 15) * SECOND,
            groups: rng.pick(&[1, 2, 3]),
            alerts_per_group: rng.pick(&[1, 2, 3, 4]),
            integrations: rng.pick(&[1, 1, 2]),
            skew,
            calm_from: end * 11 / 20,
            end,
        }
    }

    pub fn life(&self) -> Ms {
        4 * self.post_interval
    }

    /// Long enough, in the calm, for everything that is owed to be told.
    pub fn patience(&self) -> Ms {
        2 * self.group_interval + self.group_wait + 100 * SECOND
    }

    pub fn configuration(&self) -> String {
        let hooks: String =
            (0..self.integrations).map(|i| format!("  - url: http://hook/{i}\n    send_resolved: true\n")).collect();
        format!(
            "route:\n  receiver: team\n  group_by: [group]\n  group_wait: {}ms\n  group_interval: {}ms\n  \
             repeat_interval: {}ms\nreceivers:\n- name: team\n  webhook_configs:\n{hooks}",
            self.group_wait, self.group_interval, self.repeat_interval
        )
    }
}
