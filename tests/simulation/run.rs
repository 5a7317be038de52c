//! One run: the nodes, the network and the receiver, moved together through virtual time in small steps.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use carillon::{
    alert::{Posted, fingerprint_of, matcher::MatchOp, sort_pairs},
    cluster::sim::SimNet,
    nflog::{AlertHash, LogEntry},
    silence::{Draft, MatcherText},
};

use crate::{
    chance::Rng,
    faults::{self, Act},
    judge::{self, Verdict},
    node::{Node, Surrounding, wall},
    receiver::{End, Mood, Receiver},
    scenario::{Ms, SECOND, Scenario, Trouble},
    senders::{self, Accepted, Facts, Said, Silenced, Truth},
};

/// Nodes are moved so far at a time; below the latency of the network.
const STEP: Ms = 10;
const LATENCY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(20));
const LAG: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(150));
/// A sender waits so long for an answer.
const SENDER_TIMEOUT: Ms = 10 * SECOND;
/// Kills of a node that is sending, in one run.
const SENDER_KILLS_MAX: usize = 3;

pub struct Run {
    around: Arc<Surrounding>,
    truth: Truth,
    receiver: Receiver,
    net: SimNet,
    nodes: Vec<Node>,
    now: Ms,
    rng: Rng,
    acts: BTreeMap<(Ms, u64), Act>,
    acts_made: u64,
    cuts: BTreeMap<usize, Vec<(usize, usize)>>,
    /// Posts that a stopped node has in its socket.
    held: Vec<(Ms, usize, Vec<Said>)>,
    /// When each node's sender is free again.
    sender_free: Vec<Ms>,
    sender_kills: usize,
    calm: bool,
    pub trace: Vec<(Ms, String)>,
}

/// What came of a run.
pub struct Outcome {
    pub verdict: Verdict,
    pub trace: Vec<(Ms, String)>,
    /// The same for the same course of events.
    pub mark: u64,
}

pub fn run(scenario: &Scenario) -> Outcome {
    let receiver = Receiver::new(scenario.seed);
    let truth = Truth::drawn(scenario);
    let watched = truth.clone();
    receiver.ear().witness = Some(Box::new(move |heard| watched.facts().witness(heard)));
    let net = SimNet::new(scenario.seed);
    net.set_latency(LATENCY.0, LATENCY.1);
    let nodes = (0..scenario.nodes).map(|i| Node::new(i, scenario.skew[i])).collect();
    let mut run = Run {
        around: Arc::new(Surrounding::new(scenario, &receiver, &net)),
        truth,
        receiver,
        net,
        nodes,
        now: 0,
        rng: Rng::new(scenario.seed, 5),
        acts: BTreeMap::new(),
        acts_made: 0,
        cuts: BTreeMap::new(),
        held: Vec::new(),
        sender_free: vec![0; scenario.nodes],
        sender_kills: 0,
        calm: false,
        trace: Vec::new(),
    };
    run.prepare();
    while run.now < scenario.end {
        run.step();
    }
    run.finish()
}

impl Run {
    fn scenario(&self) -> &Scenario {
        &self.around.scenario
    }

    fn note(&mut self, text: String) {
        self.trace.push((self.now, text));
    }

    fn at(&mut self, at: Ms, act: Act) {
        self.acts_made += 1;
        self.acts.insert((at, self.acts_made), act);
    }

    fn prepare(&mut self) {
        let scenario = self.scenario().clone();
        for i in 0..scenario.nodes {
            let at = self.rng.between(0, 2 * SECOND);
            self.at(at, Act::Start(i));
        }
        for (at, act) in faults::plan(&scenario) {
            self.at(at, act);
        }
        let changes = senders::changes(&self.truth.facts());
        let ticks = (0..).map(|i| i * scenario.post_interval).take_while(|at| *at < scenario.end);
        for at in changes.into_iter().chain(ticks) {
            self.at(at, Act::Post);
        }
        self.network_changed();
    }

    fn step(&mut self) {
        self.now += STEP;
        while let Some(entry) = self.acts.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let act = entry.remove();
            self.act(act);
        }
        self.receiver.ear().advance(self.now);
        for node in &self.nodes {
            if let Some(life) = node.life.as_ref().filter(|life| !life.stopped) {
                let _span = tracing::error_span!("node", name = %node.name, at = self.now).entered();
                life.run_until(self.now);
            }
        }
        let begun = std::mem::take(&mut self.receiver.ear().begun);
        for id in begun {
            self.aim_at_sender(id);
        }
    }

    fn aim_at_sender(&mut self, id: usize) {
        let aims = self.scenario().class.troubles.contains(&Trouble::KillSender) && !self.calm;
        if !aims || self.now < 10 * SECOND || self.sender_kills >= SENDER_KILLS_MAX || !self.rng.chance(20) {
            return;
        }
        self.sender_kills += 1;
        let (node, sent) = {
            let ear = self.receiver.ear();
            (ear.heard[id].node, ear.heard[id].sent)
        };
        let (kill, back) = (self.rng.between(0, 90), self.rng.between(SECOND, 40 * SECOND));
        self.at(sent + kill, Act::Kill(node));
        self.at(sent + kill + back, Act::Start(node));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Post | Act::Deliver { .. } | Act::Left(..) => {}
            _ => self.note(format!("{act:?}")),
        }
        match act {
            Act::Start(node) => self.start(node),
            Act::Kill(node) => self.kill(node),
            Act::Stop(node) => self.stop(node),
            Act::GoOn(node) => self.go_on(node),
            Act::Restart(node, after) => {
                if self.nodes[node].is_running() {
                    self.nodes[node].leave();
                    self.at(self.now + STEP, Act::Left(node, after));
                }
            }
            Act::Left(node, after) => self.left(node, after),
            Act::Cut(id, pairs) => {
                self.cuts.insert(id, pairs);
                self.network_changed();
            }
            Act::Mend(id) => {
                self.cuts.remove(&id);
                self.network_changed();
            }
            Act::Loss(on) => self.net.set_loss(if on { 0.2 } else { 0.0 }),
            Act::BlockUdp(on) => self.net.block_udp(on),
            Act::Lag(on) => {
                let (min, max) = if on { LAG } else { LATENCY };
                self.net.set_latency(min, max);
            }
            Act::Reload(node) => {
                if let Some((life, program)) = self.nodes[node].life.as_ref().zip(self.nodes[node].program()) {
                    life.inside(|| program.reload(&self.around));
                }
            }
            Act::Silence { alert, node, lasts } => self.silence(alert, node, lasts),
            Act::Unsilence(node) => self.unsilence(node),
            Act::Fall(mood) => drop(self.receiver.ear().moods.insert(mood)),
            Act::Recover(mood) => self.receiver.ear().recover(mood),
            Act::Calm => self.calm_down(),
            Act::Post => self.post(),
            Act::Deliver { node, said, again } => self.deliver(node, said, again),
        }
    }

    // Nodes.

    fn start(&mut self, node: usize) {
        if self.nodes[node].life.is_none() {
            self.nodes[node].start(&self.around, self.now);
            self.truth.facts().lives[node] = self.nodes[node].lives;
            self.network_changed();
        }
    }

    fn kill(&mut self, node: usize) {
        if self.nodes[node].life.is_none() {
            return;
        }
        self.find_orphans(node, "killed");
        self.net.kill(self.nodes[node].ip);
        self.receiver.ear().killing = true;
        self.nodes[node].kill(&mut self.rng);
        self.receiver.ear().killing = false;
        self.held.retain(|(_, held, _)| *held != node);
        self.network_changed();
    }

    fn stop(&mut self, node: usize) {
        if self.nodes[node].is_running() {
            self.find_orphans(node, "stopped");
            if let Some(life) = &mut self.nodes[node].life {
                life.stopped = true;
            }
            self.network_changed();
        }
    }

    fn go_on(&mut self, node: usize) {
        let now = self.now;
        let Some(life) = self.nodes[node].life.as_mut().filter(|life| life.stopped) else { return };
        life.go_on(now);
        self.network_changed();
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|(_, of, _)| *of == node);
        self.held = held;
        let due: Vec<(Ms, usize, Vec<Said>)> = due;
        for (_, node, said) in due {
            self.ingest(node, &said);
        }
    }

    fn left(&mut self, node: usize, after: Ms) {
        if self.nodes[node].has_left() {
            self.net.kill(self.nodes[node].ip);
            self.nodes[node].life = None;
            self.network_changed();
            self.note(format!("n{node} has left"));
            self.at(self.now + after, Act::Start(node));
        } else if self.nodes[node].life.is_some() {
            self.at(self.now + STEP, Act::Left(node, after));
        }
    }

    /// Marks the messages that died with the node's knowledge of them.
    fn find_orphans(&mut self, node: usize, how: &str) {
        let now = self.now;
        let program = self.nodes[node].life.as_ref().and_then(|life| life.inside(|| self.nodes[node].program()));
        let peers: Vec<_> = self.nodes.iter().filter(|n| n.index != node).filter_map(Node::program).collect();
        let mut ear = self.receiver.ear();
        let mut notes = Vec::new();
        for (id, heard) in ear.heard.iter_mut().enumerate().rev() {
            if heard.sent + 200 * SECOND < now {
                break;
            }
            if heard.node != node || heard.life != self.nodes[node].lives || heard.orphan {
                continue;
            }
            let told = match heard.ended {
                Some((_, End::Ok)) => {
                    let own = program.as_ref().and_then(|program| program.nflog.peek(&heard.key));
                    let has_all = |entry: &LogEntry, own: &LogEntry| {
                        heard.words.iter().all(|word| covers(entry, own, AlertHash::of(&word.labels), word.firing))
                    };
                    let wrote = own.as_ref().is_some_and(|own| millis(own.told_at) + 1000 >= millis(wall(heard.sent)));
                    wrote
                        && own.is_some_and(|own| {
                            peers
                                .iter()
                                .filter_map(|peer| peer.nflog.peek(&heard.key))
                                .any(|entry| has_all(&entry, &own))
                        })
                }
                Some(_) => continue,
                None => false,
            };
            if !told {
                heard.orphan = true;
                notes.push(format!("  message {id} of n{node}, {how}, is known to nobody else"));
            }
        }
        drop(ear);
        notes.into_iter().for_each(|note| self.note(note));
    }

    // The network.

    fn network_changed(&mut self) {
        self.net.heal();
        for (from, to) in self.cuts.values().flatten() {
            self.net.cut_one_way(self.nodes[*from].ip, self.nodes[*to].ip);
        }
        let running: Vec<bool> = self.nodes.iter().map(Node::is_running).collect();
        let cut: BTreeSet<(usize, usize)> = self.cuts.values().flatten().copied().collect();
        let talks = |a: usize, b: usize| !cut.contains(&(a, b)) && !cut.contains(&(b, a));
        self.truth.facts().paths.change(self.now, &running, talks);
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.cuts.clear();
        self.net.set_loss(0.0);
        self.net.block_udp(false);
        self.net.set_latency(LATENCY.0, LATENCY.1);
        let moods: Vec<Mood> = self.receiver.ear().moods.iter().copied().collect();
        for mood in moods {
            self.receiver.ear().recover(mood);
        }
        for node in 0..self.nodes.len() {
            self.go_on(node);
            self.start(node);
        }
        // What was planned for later and does not mend must not happen any more.
        let is_over = |act: &Act| matches!(act, Act::Post | Act::Deliver { .. } | Act::Left(..) | Act::Start(_));
        self.acts.retain(|_, act| is_over(act));
        self.network_changed();
    }

    // Senders.

    fn post(&mut self) {
        let said = senders::post(&self.truth.facts(), &self.around.scenario, self.now);
        if said.is_empty() {
            return;
        }
        let nodes = self.nodes.len();
        let jitter: Vec<Ms> = (0..nodes).map(|_| self.rng.between(1, 200)).collect();
        if self.scenario().class.load_balanced {
            let free = self.sender_free.iter().copied().max().unwrap_or(0);
            let at = free.max(self.now + jitter[0]);
            self.sender_free[0] = at;
            let node = self.rng.below(nodes);
            self.at(at, Act::Deliver { node, said, again: true });
        } else {
            for (node, jitter) in jitter.into_iter().enumerate() {
                let at = self.sender_free[node].max(self.now + jitter);
                self.sender_free[node] = at;
                self.at(at, Act::Deliver { node, said: said.clone(), again: false });
            }
        }
    }

    fn deliver(&mut self, node: usize, said: Vec<Said>, again: bool) {
        if self.nodes[node].program().is_some() {
            return self.ingest(node, &said);
        }
        let is_stopped = self.nodes[node].life.as_ref().is_some_and(|life| life.stopped);
        if is_stopped {
            self.held.push((self.now, node, said));
            if again {
                // The sender waits, and then gives its next post to another.
                self.sender_free[0] = self.now + SENDER_TIMEOUT;
                self.at(self.now + SENDER_TIMEOUT, Act::Post);
            }
        } else if again {
            let other = self.rng.below(self.nodes.len());
            self.at(self.now + 200, Act::Deliver { node: other, said, again });
        }
    }

    fn ingest(&mut self, node: usize, said: &[Said]) {
        let Some((life, program)) = self.nodes[node].life.as_ref().zip(self.nodes[node].program()) else { return };
        let posts: Vec<Posted<'static>> = said.iter().map(|said| posted(said, &self.truth.facts())).collect();
        life.inside(|| program.api.ingest(&posts, program.clock.now()));
        let (at, lives) = (self.now, self.nodes[node].lives);
        let mut facts = self.truth.facts();
        let mut news = Vec::new();
        for said in said {
            let accepted = Accepted { at, node, life: lives, ends_at: said.ends_at };
            let period = &mut facts.alerts[said.alert].periods[said.period];
            let list = if said.is_end { &mut period.ended } else { &mut period.accepted };
            if list.is_empty() {
                let what = if said.is_end { "is over" } else { "fires" };
                news.push(format!("a{}.{} {what} (posted to n{node})", said.alert, said.period));
            }
            list.push(accepted);
        }
        drop(facts);
        news.into_iter().for_each(|news| self.note(news));
    }

    fn silence(&mut self, alert: usize, node: usize, lasts: Ms) {
        let Some((life, program)) = self.nodes[node].life.as_ref().zip(self.nodes[node].program()) else { return };
        let lasts = lasts.min(self.scenario().calm_from.saturating_sub(self.now));
        let until = self.now + lasts;
        let draft = Draft {
            id: None,
            matchers: vec![MatcherText { op: MatchOp::Equal, name: "number".to_owned(), value: alert.to_string() }],
            starts_at: None,
            ends_at: Some(wall(until)),
            created_by: "somebody".to_owned(),
            comment: "quiet".to_owned(),
            annotations: BTreeMap::new(),
        };
        let (truth, receiver, now) = (self.truth.clone(), self.receiver.clone(), self.now);
        truth.facts().quiet.push((alert, now, until));
        life.spawn(async move {
            if let Ok(id) = program.silences.set(draft).await {
                let acknowledged = receiver.ear().now.max(now);
                let id = id.to_string();
                truth.facts().silences.push(Silenced { id, alert, node, acknowledged, until });
            }
        });
    }

    fn unsilence(&mut self, node: usize) {
        let Some((life, program)) = self.nodes[node].life.as_ref().zip(self.nodes[node].program()) else { return };
        let now = self.now;
        let mut facts = self.truth.facts();
        let Some(silence) = facts.silences.iter_mut().find(|silence| silence.until > now) else { return };
        silence.until = now;
        let id = silence.id.clone();
        drop(facts);
        life.spawn(async move {
            // It may not be known there.
            let _ = program.silences.expire(&id).await;
        });
    }

    fn finish(self) -> Outcome {
        let facts = self.truth.facts();
        let ear = self.receiver.ear();
        let mut verdict = judge::judge(&self.around.scenario, &facts, &ear.heard);
        for silence in facts.silences.iter() {
            for node in &self.nodes {
                if let Some(program) = node.program()
                    && node
                        .life
                        .as_ref()
                        .is_some_and(|life| life.inside(|| program.silences.get(&silence.id).is_none()))
                {
                    verdict.violation(self.now, format!("silence of a{} is not known to {}", silence.alert, node.name));
                    verdict.lost += 1;
                }
            }
        }
        let mut trace = self.trace.clone();
        for (id, heard) in ear.heard.iter().enumerate() {
            trace.extend(judge::lines(id, heard));
        }
        trace.sort_by_key(|(at, _)| *at);
        let mark = trace.iter().fold(0u64, |mark, (at, line)| {
            line.bytes().fold(mark ^ at, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
        });
        Outcome { verdict, trace, mark }
    }
}

fn millis(time: carillon::clock::Time) -> i64 {
    time.timestamp_millis()
}

/// Whether `entry` holds what `own` holds of this word.
fn covers(entry: &LogEntry, own: &LogEntry, alert: AlertHash, firing: bool) -> bool {
    match (entry.told(alert), own.told(alert)) {
        (Some(theirs), Some(ours)) if firing => theirs.fired >= ours.fired,
        (Some(theirs), Some(ours)) => theirs.resolved >= ours.resolved,
        (_, ours) => ours.is_none(),
    }
}

fn posted(said: &Said, facts: &Facts) -> Posted<'static> {
    let life = &facts.alerts[said.alert];
    let text = |n: usize| Cow::<'static, str>::Owned(n.to_string());
    let mut labels: Vec<(Cow<'static, str>, Cow<'static, str>)> = vec![
        ("alertname".into(), format!("a{}", said.alert).into()),
        ("group".into(), text(life.group)),
        ("number".into(), text(said.alert)),
    ];
    sort_pairs(&mut labels);
    Posted {
        fingerprint: fingerprint_of(labels.iter().map(|(name, value)| (&**name, &**value))),
        labels,
        annotations: vec![("period".into(), text(said.period))],
        generator_url: "".into(),
        starts_at: wall(said.starts_at),
        ends_at: wall(said.ends_at),
        timeout: false,
        start_given: true,
    }
}
