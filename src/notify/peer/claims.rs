//! Who is asking or sending what: the claims of this node and of the others, and every rule that follows from them
//! (reference/decide.md 3.2 to 3.7). Pure: moments, names and messages in, verdicts out.
//!
//! A key is known here by a hash of its name only. What others said is kept with the *local* moment at which it was
//! heard; no clock of another node counts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use xxhash_rust::xxh64::Xxh64;

use super::{Failing, Others};
use crate::nflog::LogKey;

/// A claim that was not heard for so long has fallen.
const CLAIM_AGE_MAX: Duration = Duration::from_secs(4);
/// A holder that is out of sight is asked as long as its claim is younger.
const HOLDER_ASKED: Duration = Duration::from_secs(60);
/// Beyond the limit of its attempt a claim stands for so long.
const OVERDUE: Duration = Duration::from_secs(10);
/// After a "no" whose claim does not stand (any more), the next question waits for so long.
const REFUSAL: Duration = Duration::from_secs(1);
/// Failures of others are remembered for so long beyond the moment of the next attempt.
const FAILURE_KEPT: Duration = Duration::from_secs(120);
/// Keys about which something is remembered: about 60 MB. Beyond it claims of others are not taken in.
const KEYS_MAX: usize = 200_000;

/// The name of a node.
pub type Name = Arc<str>;

/// Short for a log key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(u64);

impl KeyId {
    #[must_use]
    pub fn of(key: &LogKey) -> Self {
        let mut hash = Xxh64::new(0);
        for part in [&key.group_key, &key.receiver, &key.integration] {
            hash.update(part.as_bytes());
            hash.update(&[0xFF]);
        }
        hash.update(&key.index.to_be_bytes());
        KeyId(hash.digest())
    }
}

/// How far a node is with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    None,
    Asking,
    Sending,
    Failing,
}

/// What a node says of itself and one key. Times are relative to the moment of saying, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub key: KeyId,
    /// Rises with each claim of the node, over restarts as well.
    pub seq: u64,
    pub phase: Phase,
    /// Of the log entry, when the send began.
    pub tells: u64,
    /// Since the attempt began.
    pub age: u64,
    /// How long the attempt may take.
    pub limit: u64,
    /// Until others may try, when failing.
    pub retry_in: u64,
    pub hand_overs: u32,
    pub incumbent: bool,
}

/// This node and those in sight, in the order of names, as the rules see them.
#[derive(Clone, Debug)]
pub struct Circle {
    pub me: Name,
    /// This node included.
    pub live: Vec<Name>,
    /// Those of them that have settled, and this node: a node that is starting has no turn, and holds nobody up.
    pub ready: Vec<Name>,
    /// Between the turns of nodes.
    pub step: Duration,
}

/// What this node does with a key.
#[derive(Clone, Debug)]
struct Own {
    phase: Phase,
    started: Instant,
    tells: u64,
    limit: Duration,
    /// Another one that comes earlier asked meanwhile, or this node stood still.
    yielded: bool,
    failing: Option<Failed>,
}

/// What is left of a failed attempt.
#[derive(Clone, Copy, Debug)]
struct Failed {
    retry_at: Instant,
    hand_overs: u32,
    incumbent: bool,
}

/// What another node said, and when we heard it.
#[derive(Clone, Debug)]
struct Heard {
    holder: Name,
    seq: u64,
    phase: Phase,
    tells: u64,
    at: Instant,
    started: Instant,
    limit: Duration,
    retry_at: Instant,
    hand_overs: u32,
    incumbent: bool,
    /// We said yes to its question, and have not heard what became of it.
    agreed: bool,
}

#[derive(Debug, Default)]
struct Known {
    own: Option<Own>,
    others: Vec<Heard>,
    refused_until: Option<Instant>,
    /// Somebody here waits for others: to be woken when they give way.
    waiting: Option<LogKey>,
}

/// Place in the order of turns (reference/decide.md 3.5).
type Place<'a> = (bool, u32, &'a str);

impl Heard {
    fn place(&self) -> Place<'_> {
        (!self.incumbent, self.hand_overs, &self.holder)
    }

    fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Asking | Phase::Sending)
    }

    /// The log tells that what was claimed has been told.
    fn is_released(&self, tells: u64) -> bool {
        tells > self.tells
    }

    fn overdue_at(&self) -> Instant {
        self.started + self.limit + OVERDUE
    }

    /// Until when it stands if nothing is heard; `None`: it does not.
    fn stands_until(&self, tells: u64, now: Instant) -> Option<Instant> {
        let falls = (self.at + CLAIM_AGE_MAX).min(self.overdue_at());
        (self.is_active() && !self.is_released(tells) && now < falls).then_some(falls)
    }

    /// As it was said when it was heard.
    fn claim(&self, key: KeyId) -> Claim {
        Claim {
            key,
            seq: self.seq,
            phase: self.phase,
            tells: self.tells,
            age: millis(self.at.saturating_duration_since(self.started)),
            limit: millis(self.limit),
            retry_in: millis(self.retry_at.saturating_duration_since(self.at)),
            hand_overs: self.hand_overs,
            incumbent: self.incumbent,
        }
    }
}

impl Own {
    fn place<'a>(&self, me: &'a str) -> Place<'a> {
        place_of(self.failing, me)
    }
}

fn place_of(failing: Option<Failed>, me: &str) -> Place<'_> {
    match failing {
        Some(failed) => (!failed.incumbent, failed.hand_overs, me),
        None => (true, 0, me),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time that another node sent; nothing of ours lasts longer than a day.
fn span(millis: u64) -> Duration {
    Duration::from_millis(millis.min(86_400_000))
}

/// A claim of a third node, with the time since it was heard in milliseconds.
pub type Rumour = (String, Claim, u64);

/// The answer to a question about one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub yes: bool,
    /// Of the answering node, if it has one.
    pub own: Option<Claim>,
    pub others: Vec<Rumour>,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Claims {
    keys: HashMap<KeyId, Known>,
    seq: u64,
    /// Sending at the moment.
    sending: usize,
}

impl Claims {
    /// `seq_floor` lies above everything this node has ever used.
    #[must_use]
    pub fn new(seq_floor: u64) -> Self {
        Claims { keys: HashMap::new(), seq: seq_floor, sending: 0 }
    }

    /// What stands between this node and a notification that is due since `base`.
    pub fn others(&mut self, key: &LogKey, tells: u64, base: Instant, circle: &Circle, now: Instant) -> Others {
        let Some(known) = self.keys.get_mut(&KeyId::of(key)) else {
            return Others { claim_until: None, turn: base + turn_of(circle, |name| (true, 0, name)) };
        };
        let (claim_until, base) = (known.stands_until(tells, circle, now), known.base(tells, base, circle));
        let place = |name| known.place_of(name, tells, circle);
        let turn = base + turn_of(circle, place);
        if claim_until.is_some() || turn > now {
            known.waiting = Some(key.clone());
        }
        Others { claim_until, turn }
    }

    /// This node begins to ask. Returns the claim that goes with the question.
    pub fn ask(&mut self, key: KeyId, tells: u64, limit: Duration, now: Instant) -> Claim {
        let known = self.keys.entry(key).or_default();
        let failing = known.own.as_ref().and_then(|own| own.failing);
        let own = Own { phase: Phase::Asking, started: now, tells, limit, yielded: false, failing };
        known.waiting = None;
        known.own = Some(own.clone());
        self.next_claim(key, &own, now)
    }

    /// All have answered or the limit has passed: whether this node may send. Its claim is a sending one then.
    ///
    /// Not if the log has moved on since it asked: for whoever has that entry the question is settled, and they may
    /// have agreed to another one since (it has to ask again).
    pub fn begin(&mut self, key: KeyId, tells: u64, circle: &Circle, now: Instant) -> bool {
        let Some(known) = self.keys.get_mut(&key) else { return false };
        let stands = known.stands_until(tells, circle, now).is_some();
        let Some(own) = known.own.as_mut().filter(|own| own.phase == Phase::Asking) else { return false };
        if own.yielded || stands || tells > own.tells {
            return false;
        }
        (own.phase, own.tells, own.started) = (Phase::Sending, tells, now);
        self.sending += 1;
        true
    }

    /// How long the attempt may take, as others learned of this receiver.
    pub fn limit(&self, key: KeyId) -> Option<Duration> {
        self.keys.get(&key)?.others.iter().filter(|heard| heard.phase == Phase::Failing).map(|heard| heard.limit).max()
    }

    /// What was asked for or sent is over, told or no longer owed. Returns what others should hear.
    pub fn release(&mut self, key: KeyId, announce: bool, now: Instant) -> Option<Claim> {
        let own = self.take_own(key)?;
        let told = Own { phase: Phase::None, failing: None, ..own };
        (announce && own_is_announced(own.phase)).then(|| self.next_claim(key, &told, now))
    }

    /// This node steps back for now; what it knows of its failures stays.
    pub fn step_back(&mut self, key: KeyId, now: Instant) -> Option<Claim> {
        let mut own = self.take_own(key)?;
        let was = own.phase;
        own.phase = if own.failing.is_some() { Phase::Failing } else { Phase::None };
        if own.failing.is_some() {
            self.keys.entry(key).or_default().own = Some(own.clone());
        }
        own_is_announced(was).then(|| self.next_claim(key, &own, now))
    }

    /// The attempt failed, or is given up. Returns what others should hear.
    pub fn fail(&mut self, key: KeyId, failing: Failing, now: Instant) -> Claim {
        let before = self.take_own(key).and_then(|own| own.failing);
        let hand_overs = before.map_or(0, |failed| failed.hand_overs);
        let failed = Failed {
            retry_at: failing.retry_at,
            hand_overs: if failing.hand_over { hand_overs.saturating_add(1) } else { hand_overs },
            incumbent: !failing.hand_over,
        };
        let own = Own {
            phase: Phase::Failing,
            started: now,
            tells: 0,
            limit: failing.limit,
            yielded: false,
            failing: Some(failed),
        };
        self.keys.entry(key).or_default().own = Some(own.clone());
        let mut claim = self.next_claim(key, &own, now);
        if failing.hand_over {
            // The next may go at once.
            claim.retry_in = 0;
        }
        claim.tells = failing.tells;
        claim
    }

    fn take_own(&mut self, key: KeyId) -> Option<Own> {
        let known = self.keys.get_mut(&key)?;
        known.waiting = None;
        let own = known.own.take()?;
        if own.phase == Phase::Sending {
            self.sending = self.sending.saturating_sub(1);
        }
        Some(own)
    }

    fn next_claim(&mut self, key: KeyId, own: &Own, now: Instant) -> Claim {
        self.seq += 1;
        let failed = own.failing;
        Claim {
            key,
            seq: self.seq,
            phase: own.phase,
            tells: own.tells,
            age: millis(now.saturating_duration_since(own.started)),
            limit: millis(own.limit),
            retry_in: failed.map_or(0, |failed| millis(failed.retry_at.saturating_duration_since(now))),
            hand_overs: failed.map_or(0, |failed| failed.hand_overs),
            incumbent: failed.is_some_and(|failed| failed.incumbent),
        }
    }

    /// What `asker` may do, and what is known here; `tells` is that of the log here.
    pub fn answer(&mut self, asker: &Name, claim: &Claim, tells: u64, circle: &Circle, now: Instant) -> Reply {
        let has_rivals = !self.rivals(asker, claim, tells, circle, now).is_empty();
        let Some(known) = self.keys.get_mut(&claim.key) else {
            return Reply { yes: true, own: None, others: Vec::new() };
        };
        let theirs: Place<'_> = (!claim.incumbent, claim.hand_overs, asker);
        let yes = match &mut known.own {
            Some(own) if own.phase == Phase::Sending => now >= own.started + own.limit + OVERDUE,
            Some(own) if own.phase == Phase::Asking && !own.yielded => {
                own.yielded = own.place(&circle.me) > theirs;
                own.yielded
            }
            _ => !has_rivals,
        };
        let mut others = Vec::new();
        for heard in &mut known.others {
            if heard.holder == *asker {
                heard.agreed = yes;
                continue;
            }
            let age = now.saturating_duration_since(heard.at);
            if heard.is_active() && age < HOLDER_ASKED {
                others.push((heard.holder.to_string(), heard.claim(claim.key), millis(age)));
            }
        }
        let own = known.own.clone().filter(|own| own.phase != Phase::None);
        let own = own.map(|own| self.next_claim(claim.key, &own, now));
        Reply { yes, own, others }
    }

    /// Whom the question of `asker` has to be passed on to before it can be answered: nodes that come later in the
    /// order and got a "yes" here. The asker may not see them; they may be sending by now, or must give way.
    pub fn rivals(&mut self, asker: &Name, claim: &Claim, tells: u64, circle: &Circle, now: Instant) -> Vec<Name> {
        self.hear(asker, claim, Duration::ZERO, now);
        let theirs: Place<'_> = (!claim.incumbent, claim.hand_overs, asker);
        let Some(known) = self.keys.get(&claim.key) else { return Vec::new() };
        let is_rival = |heard: &&Heard| {
            heard.phase == Phase::Asking
                && heard.agreed
                && heard.holder != *asker
                && heard.place() > theirs
                && heard.stands_until(tells, now).is_some()
                && circle.live.contains(&heard.holder)
        };
        known.others.iter().filter(is_rival).map(|heard| heard.holder.clone()).collect()
    }

    /// `holder` has answered a question that was passed on to it, with what it does itself.
    pub fn consulted(&mut self, holder: &Name, key: KeyId, own: Option<&Claim>, now: Instant) {
        if let Some(claim) = own.filter(|claim| claim.key == key) {
            self.hear(holder, claim, Duration::ZERO, now);
        }
        let heard = self.keys.get_mut(&key).and_then(|known| known.others.iter_mut().find(|h| h.holder == *holder));
        if let Some(heard) = heard {
            heard.agreed = false;
        }
    }

    /// A node said no to this one's question about `key`.
    pub fn refused(&mut self, key: KeyId, now: Instant) {
        if let Some(known) = self.keys.get_mut(&key) {
            known.refused_until = Some(now + REFUSAL);
        }
    }

    /// This node stood still while it asked: the answers are old.
    pub fn distrust(&mut self, key: KeyId) {
        if let Some(own) = self.keys.get_mut(&key).and_then(|known| known.own.as_mut()) {
            own.yielded = true;
        }
    }

    /// This node stood still: whatever it asked for has to be asked anew.
    pub fn distrust_all(&mut self) {
        for own in self.keys.values_mut().filter_map(|known| known.own.as_mut()) {
            own.yielded |= own.phase == Phase::Asking;
        }
    }

    /// Takes in what `holder` said `age` ago. Returns the key to look at again if it gave way to somebody waiting
    /// here.
    pub fn hear(&mut self, holder: &Name, claim: &Claim, age: Duration, now: Instant) -> Option<LogKey> {
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&claim.key) {
            return None;
        }
        let known = self.keys.entry(claim.key).or_default();
        let at = now.checked_sub(age).unwrap_or(now);
        let began = Duration::from_millis(claim.age.min(86_400_000)) + age;
        let heard = Heard {
            holder: holder.clone(),
            seq: claim.seq,
            phase: claim.phase,
            tells: claim.tells,
            at,
            started: now.checked_sub(began).unwrap_or(at),
            limit: span(claim.limit),
            retry_at: at + span(claim.retry_in),
            hand_overs: claim.hand_overs,
            incumbent: claim.incumbent,
            agreed: false,
        };
        match known.others.iter_mut().find(|other| other.holder == *holder) {
            Some(before) if before.seq > heard.seq => return None,
            Some(before) if before.seq == heard.seq => {
                before.at = before.at.max(heard.at);
                return None;
            }
            Some(before) => {
                // A moment that has passed is said as 0: heard again it must not begin anew, or turns that count from
                // it never come.
                let is_same = (before.hand_overs, before.incumbent) == (heard.hand_overs, heard.incumbent);
                let has_passed = claim.retry_in == 0 && is_same;
                let retry_at = if has_passed { before.retry_at.min(heard.retry_at) } else { heard.retry_at };
                let agreed = before.agreed && heard.phase == Phase::Asking;
                *before = Heard { agreed, retry_at, ..heard };
            }
            None => known.others.push(heard),
        }
        let gives_way = matches!(claim.phase, Phase::None | Phase::Failing);
        gives_way.then(|| known.waiting.take()).flatten()
    }

    /// A node is gone for good or new in sight: whoever waits should look again.
    pub fn waiting(&mut self) -> Vec<LogKey> {
        self.keys.values_mut().filter_map(|known| known.waiting.take()).collect()
    }

    /// Holders that may be sending although they are out of sight.
    pub fn unseen_holders(&self, key: KeyId, tells: u64, circle: &Circle, now: Instant) -> Vec<Name> {
        let Some(known) = self.keys.get(&key) else { return Vec::new() };
        let may_send = |heard: &&Heard| {
            heard.is_active()
                && !heard.is_released(tells)
                && now < heard.at + HOLDER_ASKED
                && !circle.live.contains(&heard.holder)
        };
        known.others.iter().filter(may_send).map(|heard| heard.holder.clone()).collect()
    }

    /// For people: whose claim stands longest, and what it claims.
    #[must_use]
    pub fn holder(&self, key: KeyId, tells: u64, now: Instant) -> Option<(Name, Phase)> {
        let standing =
            |heard: &Heard| heard.stands_until(tells, now).map(|until| (until, heard.holder.clone(), heard.phase));
        let (_, holder, phase) =
            self.keys.get(&key)?.others.iter().filter_map(standing).max_by_key(|(until, ..)| *until)?;
        Some((holder, phase))
    }

    /// For people: the nodes that are ready, in the order of their turns.
    #[must_use]
    pub fn order(&self, key: KeyId, tells: u64, circle: &Circle) -> Vec<Name> {
        let mut names = circle.ready.clone();
        if let Some(known) = self.keys.get(&key) {
            names.sort_by(|a, b| known.place_of(a, tells, circle).cmp(&known.place_of(b, tells, circle)));
        }
        names
    }

    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.sending > 0
    }

    /// The claims that are to be renewed: those of requests in flight.
    pub fn renewals(&mut self, now: Instant) -> Vec<Claim> {
        if self.sending == 0 {
            return Vec::new();
        }
        let sending = |(key, known): (&KeyId, &Known)| {
            known.own.clone().filter(|own| own.phase == Phase::Sending).map(|own| (*key, own))
        };
        let own: Vec<_> = self.keys.iter().filter_map(sending).collect();
        own.into_iter().map(|(key, own)| self.next_claim(key, &own, now)).collect()
    }

    /// Forgets what nobody needs any more.
    pub fn sweep(&mut self, now: Instant) {
        self.keys.retain(|_, known| {
            known.others.retain(|heard| heard.is_of_use(now));
            known.refused_until = known.refused_until.filter(|until| *until > now);
            known.own.is_some() || !known.others.is_empty() || known.refused_until.is_some()
        });
        if self.keys.capacity() > 4 * self.keys.len().max(256) {
            self.keys.shrink_to(2 * self.keys.len());
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Whether others were told of an own claim in this phase.
fn own_is_announced(phase: Phase) -> bool {
    matches!(phase, Phase::Asking | Phase::Sending)
}

impl Heard {
    fn is_of_use(&self, now: Instant) -> bool {
        match self.phase {
            Phase::None => now < self.at + CLAIM_AGE_MAX,
            Phase::Asking | Phase::Sending => now < self.at + HOLDER_ASKED,
            Phase::Failing => now < self.retry_at + FAILURE_KEPT,
        }
    }
}

impl Known {
    fn stands_until(&self, tells: u64, circle: &Circle, now: Instant) -> Option<Instant> {
        let asking = self.own.as_ref().filter(|own| own.phase == Phase::Asking && !own.yielded);
        let mine = asking.map(|own| own.place(&circle.me));
        let comes_later = |heard: &Heard| heard.phase == Phase::Asking && mine.is_some_and(|mine| heard.place() > mine);
        let standing = self.others.iter().filter(|heard| !comes_later(heard));
        let claim = standing.filter_map(|heard| heard.stands_until(tells, now)).max();
        claim.max(self.refused_until.filter(|until| *until > now))
    }

    /// Since when turns count: after a failure of a node in sight, since its next attempt.
    fn base(&self, tells: u64, base: Instant, circle: &Circle) -> Instant {
        let failing = |heard: &&Heard| {
            heard.phase == Phase::Failing && !heard.is_released(tells) && circle.live.contains(&heard.holder)
        };
        self.others.iter().filter(failing).map(|heard| heard.retry_at).max().map_or(base, |retry| retry.max(base))
    }

    fn place_of<'a>(&self, name: &'a str, tells: u64, circle: &Circle) -> Place<'a> {
        if name == &*circle.me {
            return place_of(self.own.as_ref().and_then(|own| own.failing), name);
        }
        let heard = self.others.iter().find(|heard| &*heard.holder == name && !heard.is_released(tells));
        heard.map_or((true, 0, name), |heard| (!heard.incumbent, heard.hand_overs, name))
    }
}

/// How long after the base this node's turn is.
fn turn_of<'a>(circle: &'a Circle, place: impl Fn(&'a str) -> Place<'a>) -> Duration {
    let mine = place(&circle.me);
    let before = circle.ready.iter().filter(|name| ***name != *circle.me && place(name) < mine).count();
    circle.step * u32::try_from(before).unwrap_or(u32::MAX)
}
