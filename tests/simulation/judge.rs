//! The checkers: what was heard, held against what was true. The invariants are those of the design's first section,
//! the excuses its three and no more:
//!
//! 1. the sender died or was stopped before the log entry reached a peer (and one more message where another node has
//!    said something else meanwhile, since nobody knows which of the two the receiver heard last);
//! 2. the receiver took the message and answered with an error, or not at all;
//! 3. there was no path between the node and those that knew (and one more message of a group for each heal, where
//!    two sides have told the receiver things in an order that nobody knows).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    paths::MARGIN,
    receiver::{End, Heard, Word},
    scenario::{Ms, SECOND, Scenario},
    senders::Facts,
};

#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub needed: u64,
    pub duplicates: u64,
    pub excused: u64,
    pub stale: u64,
    pub stale_excused: u64,
    pub falses: u64,
    /// "Resolved" of what burns, which no node in reach knew.
    pub unknowing: u64,
    /// Never told, or the receiver is left with the wrong last word.
    pub lost: u64,
    pub coalesced: u64,
    /// Repeats that came too late although nothing was wrong.
    pub late: u64,
    pub silenced: u64,
    pub attempts: u64,
    /// From when a first notification was due to its arrival.
    pub delays: Vec<Ms>,
    pub violations: Vec<(Ms, String)>,
}

impl Verdict {
    pub fn violation(&mut self, at: Ms, text: String) {
        self.violations.push((at, text));
    }
}

/// What the receiver believes of one alert.
#[derive(Clone, Copy)]
struct Belief {
    rank: u64,
    /// The message that said so last.
    by: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    SenderGone,
    Ambiguous,
    NoPath,
}

struct Judge<'a> {
    facts: &'a Facts,
    heard: &'a [Heard],
    beliefs: BTreeMap<(usize, usize), Belief>,
    /// For each integration and group: when it last heard anything.
    last: BTreeMap<(usize, usize), usize>,
    healed: BTreeSet<(usize, usize, Ms)>,
    /// Messages that made others uncertain once.
    doubted: BTreeSet<usize>,
    verdict: Verdict,
}

pub fn judge(scenario: &Scenario, facts: &Facts, heard: &[Heard]) -> Verdict {
    let mut judge = Judge {
        facts,
        heard,
        beliefs: BTreeMap::new(),
        last: BTreeMap::new(),
        healed: BTreeSet::new(),
        doubted: BTreeSet::new(),
        verdict: Verdict { attempts: heard.len() as u64, ..Verdict::default() },
    };
    let mut taken: Vec<usize> = (0..heard.len()).filter(|id| heard[*id].taken.is_some()).collect();
    taken.sort_by_key(|id| (heard[*id].taken, *id));
    for id in taken {
        judge.message(scenario, id);
    }
    judge.losses(scenario);
    judge.verdict
}

impl Judge<'_> {
    fn message(&mut self, scenario: &Scenario, id: usize) {
        let message = &self.heard[id];
        let at = message.taken.unwrap_or(message.sent);
        self.content(id);
        let Some(first) = message.words.first() else { return };
        let group = (message.integration, self.facts.alerts[first.alert].group);
        let believed = |alert: usize| self.beliefs.get(&(message.integration, alert)).copied();
        let (mut is_news, mut stale, mut earlier) = (false, Vec::new(), Vec::new());
        for word in &message.words {
            match believed(word.alert) {
                Some(belief) if word.rank() < belief.rank => {
                    stale.push(word.clone());
                    earlier.push(belief.by);
                }
                Some(belief) if word.rank() == belief.rank => earlier.push(belief.by),
                _ => is_news = true,
            }
        }
        let last_sent = self.last.get(&group).map(|last| self.heard[*last].sent);
        let is_firing = message.words.iter().any(|word| word.firing);
        let due = last_sent.filter(|_| is_firing).map(|sent| sent + scenario.repeat_interval);
        let is_repeat = due.is_some_and(|due| message.sent + on_time(scenario) >= due);
        let was_well = last_sent.is_some_and(|sent| scenario.class.is_receiver_well() && sent > scenario.calm_from);
        if let Some(due) = due.filter(|due| !is_news && was_well && message.sent > due + on_time(scenario)) {
            self.verdict.late += 1;
            self.verdict
                .violation(at, format!("LATE message {id}: a repeat that was due {} ms ago", message.sent - due));
        }
        let excuse = if (is_news || is_repeat) && stale.is_empty() { None } else { self.excuse(id, &earlier, group) };
        if !stale.is_empty() {
            if excuse.is_some() {
                self.verdict.stale_excused += 1;
            } else {
                self.verdict.stale += 1;
                let words: Vec<String> = stale.iter().map(|w| format!("a{}.{}", w.alert, w.period)).collect();
                self.verdict.violation(at, format!("STALE message {id}: {} after a newer word", words.join(" ")));
            }
        }
        if is_news || is_repeat {
            self.verdict.needed += 1;
        } else if excuse.is_some() {
            self.verdict.excused += 1;
        } else if stale.is_empty() {
            self.verdict.duplicates += 1;
            self.verdict.violation(at, format!("DUPLICATE message {id}: repeats {}", list(&earlier)));
        }
        for word in &message.words {
            let rank = word.rank();
            let belief = self.beliefs.entry((message.integration, word.alert)).or_insert(Belief { rank, by: id });
            // The receiver believes the last word, whatever it should.
            *belief = Belief { rank, by: id };
        }
        self.last.insert(group, id);
    }

    /// What is wrong with what it says, whoever said it before.
    fn content(&mut self, id: usize) {
        let message = &self.heard[id];
        if !message.known_to_fire.is_empty() {
            self.verdict.falses += 1;
            let text =
                format!("FALSE message {id}: {:?} resolved, and a node in reach knows better", message.known_to_fire);
            self.verdict.violation(message.sent, text);
        } else if !message.burning.is_empty() {
            self.verdict.unknowing += 1;
        }
        if !message.silenced.is_empty() {
            self.verdict.silenced += 1;
            let text = format!("SILENCED message {id}: {:?} firing under an acknowledged silence", message.silenced);
            self.verdict.violation(message.sent, text);
        }
    }

    /// Why the node may not have known one of these earlier messages.
    fn excuse(&mut self, id: usize, earlier: &[usize], group: (usize, usize)) -> Option<Excuse> {
        if let Some(excuse) = earlier.iter().find_map(|by| self.excuse_of(id, *by)) {
            return Some(excuse);
        }
        if let Some(excuse) = earlier.iter().find_map(|by| self.unsure(*by)) {
            return Some(excuse);
        }
        // After a heal the order of what both sides said may be unsure: one more message tells the truth.
        let sent = self.heard[id].sent;
        let heals = self.facts.paths.heals(sent.saturating_sub(120 * SECOND), sent);
        let free = heals.into_iter().find(|heal| self.healed.insert((group.0, group.1, *heal)));
        free.map(|_| Excuse::NoPath)
    }

    /// While this message was under way another one, whose sender stood still or died over it, said something else:
    /// nobody can know what the receiver heard last, and the truth is told once more.
    fn unsure(&mut self, by: usize) -> Option<Excuse> {
        let message = &self.heard[by];
        let ended = |heard: &Heard| heard.ended.map_or(Ms::MAX, |(at, _)| at).saturating_add(MARGIN);
        let says_otherwise = |other: &Heard| {
            let differs = |w: &Word, v: &Word| w.alert == v.alert && w.rank() != v.rank();
            message.words.iter().any(|word| other.words.iter().any(|theirs| differs(word, theirs)))
        };
        let is_such = |other: &Heard| {
            other.orphan
                && other.integration == message.integration
                && other.node != message.node
                && other.sent <= ended(message)
                && message.sent <= ended(other)
                && says_otherwise(other)
        };
        let free = (0..self.heard.len()).find(|id| is_such(&self.heard[*id]) && !self.doubted.contains(id))?;
        self.doubted.insert(free);
        Some(Excuse::SenderGone)
    }

    fn excuse_of(&self, id: usize, by: usize) -> Option<Excuse> {
        let (message, earlier) = (&self.heard[id], &self.heard[by]);
        if earlier.orphan {
            return Some(Excuse::SenderGone);
        }
        match earlier.ended {
            Some((_, End::Died)) => return Some(Excuse::SenderGone),
            Some((at, end)) if end != End::Ok && at <= message.sent => return Some(Excuse::Ambiguous),
            _ => {}
        }
        let paths = &self.facts.paths;
        let told = earlier.ended.map_or(Ms::MAX, |(at, _)| at);
        if told > message.sent {
            // It was being sent, or the other way round: whoever came later could have asked.
            let (later, other) = if earlier.sent <= message.sent { (message, earlier) } else { (earlier, message) };
            let in_reach = paths.in_reach(later.node, later.sent) & (1 << other.node) != 0;
            return (later.node != other.node && !in_reach).then_some(Excuse::NoPath);
        }
        let could_know = paths.spread(1 << earlier.node, told, message.sent);
        let knowing = could_know & (1 << message.node) != 0;
        (message.node != earlier.node && !knowing).then_some(Excuse::NoPath)
    }

    fn losses(&mut self, scenario: &Scenario) {
        let deadline = scenario.end.saturating_sub(scenario.patience());
        for integration in 0..scenario.integrations {
            for alert in 0..self.facts.alerts.len() {
                self.losses_of(scenario, integration, alert, deadline);
            }
        }
    }

    fn losses_of(&mut self, scenario: &Scenario, integration: usize, alert: usize, deadline: Ms) {
        let life = &self.facts.alerts[alert];
        let told = |period: usize| {
            let says = |message: &&Heard| {
                let same = |word: &Word| word.alert == alert && word.period as usize == period;
                message.integration == integration && message.taken.is_some() && message.words.iter().any(same)
            };
            self.heard.iter().filter(says).filter_map(|message| message.taken).min()
        };
        let was_quiet =
            |from: Ms, to: Ms| self.facts.quiet.iter().any(|(of, a, b)| *of == alert && *a < to && from < *b);
        let mut violations = Vec::new();
        let (mut coalesced, mut delays) = (0, Vec::new());
        for (number, period) in life.periods.iter().enumerate() {
            let Some(accepted) = period.accepted.first() else { continue };
            if let Some(first) = told(number) {
                let is_first = number == 0;
                if is_first && !was_quiet(0, first) {
                    delays.push(first.saturating_sub(accepted.at + scenario.group_wait));
                }
                continue;
            }
            let fired_for = period.ends.saturating_sub(accepted.at);
            if fired_for <= scenario.group_wait + 2 * SECOND || was_quiet(period.starts, period.ends) {
                continue;
            }
            if accepted.at > deadline {
                continue;
            }
            if (number + 1..life.periods.len()).any(|later| told(later).is_some()) {
                coalesced += 1;
            } else if period.ends.min(scenario.end) <= deadline || period.ends == Ms::MAX {
                violations.push(format!("LOST a{alert}.{number} was never told to hook {integration}"));
            }
        }
        if let Some((number, period)) = life.periods.iter().enumerate().next_back()
            && let Some(belief) = self.beliefs.get(&(integration, alert))
            && !period.accepted.is_empty()
        {
            let firing = 2 * number as u64;
            let is_wrong = if period.ends == Ms::MAX {
                period.accepted[0].at < deadline && belief.rank != firing
            } else {
                period.is_explicit && !period.ended.is_empty() && period.ends < deadline && belief.rank % 2 == 0
            };
            if is_wrong && !was_quiet(scenario.calm_from, scenario.end) {
                violations.push(format!("WRONG END a{alert}: hook {integration} was left at {}", rank(belief.rank)));
            }
        }
        self.verdict.lost += violations.len() as u64;
        self.verdict.coalesced += coalesced;
        self.verdict.delays.extend(delays);
        violations.into_iter().for_each(|text| self.verdict.violation(scenario.end, text));
    }
}

/// A repeat may be off by so much: the one before may have left later after its tick, for questions and turns.
fn on_time(scenario: &Scenario) -> Ms {
    (scenario.group_interval / 2).min(5 * SECOND) + SECOND
}

fn rank(rank: u64) -> String {
    format!("{} {}", rank / 2, if rank.is_multiple_of(2) { "firing" } else { "resolved" })
}

fn list(ids: &[usize]) -> String {
    ids.iter().map(|id| format!("{id}")).collect::<Vec<_>>().join(", ")
}

/// The life of a request, for the trace.
pub fn lines(id: usize, heard: &Heard) -> Vec<(Ms, String)> {
    let words: Vec<String> = heard
        .words
        .iter()
        .map(|word| format!("a{}.{}{}", word.alert, word.period, if word.firing { "" } else { " resolved" }))
        .collect();
    let head = format!("message {id} n{} hook {}", heard.node, heard.integration);
    let mut lines = vec![(heard.sent, format!("{head} > {} ({})", words.join(", "), heard.reason))];
    lines.extend(heard.taken.map(|at| (at, format!("{head} * taken"))));
    lines.extend(heard.ended.map(|(at, end)| (at, format!("{head} | {end:?}"))));
    lines
}
