//! Many bells, one ring: the glue between the cluster, which moves bytes, and the state and pipeline of a node, which
//! know nothing of other nodes. It knows both.
//!
//! * [`records`]: silences, log and alerts as the cluster's replicated maps, and what a peer's record does here;
//! * [`spread`]: own changes on their way to the peers, and alerts that peers have shown already held back;
//! * [`asking`] and [`answering`]: the question before a notification (reference/decide.md 3.2 to 3.6), all of one
//!   moment in one message; [`message`] is what goes over the wire;
//! * [`fresh`]: before an alert runs out here, the peers are asked whether they heard of it later;
//! * [`inquiry`]: what people ask of all nodes; [`decisions`]: questions about decisions, on their way; [`reach`]: who
//!   reaches whom;
//! * [`graces`]: what this node only guesses after a restart; [`kept`]: what it knows of its clock and its peers by then.
//!
//! The rules of claims are `notify::peer`'s. This file wires it, keeps the beat (gaps of the own timers, renewals of
//! claims, the clock's correction) and is the pipeline's [`Neighbours`].

mod answering;
mod asking;
mod decisions;
mod fresh;
mod graces;
mod inquiry;
mod kept;
mod message;
mod reach;
mod records;
mod spread;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use self::{asking::Asking, kept::Acquaintances, message::News, spread::Spread};
pub use self::{
    graces::Graces,
    kept::recall_correction,
    reach::{Outlook, Sight},
};
use crate::{
    clock::{Clock, Correction},
    cluster::{Cluster, ClusterConfig, ClusterError, ClusterMetrics, Member, Network, State, Via, View},
    decisions::Reader,
    dispatch::Dispatcher,
    inhibit::Inhibitor,
    metrics::Metrics,
    nflog::{LogKey, Writer},
    notify::{
        Peer,
        peer::{
            Answers, End, Neighbours, Others, Question,
            claims::{Circle, Claim, Claims, KeyId, Name, Phase},
        },
    },
    random::Random,
    replica::{Outbox, Replica},
    store::Disk,
};

/// How often at least this node looks whether it stood still, and says what it claims; usually with the beat of
/// [`Cluster::beat`], which is quicker.
const BEAT: Duration = Duration::from_millis(750);
/// A notification that comes between two looks at a state would be missed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Timers that are later than this: the node stood still.
const GAP: Duration = Duration::from_secs(1);
/// After a gap the cluster finds out for itself that it has to settle again.
const AFTER_GAP: Duration = Duration::from_millis(500);
/// Renewal of the claims on what is being sent.
const RENEWAL: Duration = Duration::from_secs(1);
/// Renewals that fit in one packet.
const RENEWALS_PER_PACKET: usize = 16;
/// The step between turns at most: the question does the rest.
const STEP_MAX: Duration = Duration::from_secs(2);
/// News of one moment go together.
const NEWS_WINDOW: Duration = Duration::from_millis(2);
/// Clocks that differ by less are left alone.
const CLOCK_NOISE: TimeDelta = TimeDelta::milliseconds(250);
/// A node that was given no peers lets those that know of it call first: so many gossip intervals, and no longer
/// than the time to settle.
const UNCALLED_INTERVALS: u32 = 10;
const UNCALLED_MAX: Duration = Duration::from_secs(3);

/// What a ring is made of.
pub struct RingParts {
    /// The corrected clock that everything else of this node uses.
    pub clock: Clock,
    pub correction: Correction,
    pub metrics: Arc<Metrics>,
    pub replica: Replica,
    /// Into which the replica's parts put their changes.
    pub outbox: Outbox,
    pub graces: Graces,
    /// What peers that ask about decisions are shown.
    pub decisions: Reader,
    /// `--cluster.peer-timeout`.
    pub peer_timeout: Duration,
}

/// This node's place in the ring. Clones are the same.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    me: Weak<Inner>,
    clock: Clock,
    correction: Correction,
    metrics: Arc<Metrics>,
    replica: Replica,
    outbox: Outbox,
    graces: Mutex<Graces>,
    decisions: Reader,
    spread: Spread,
    asking: Asking,
    claims: Mutex<Claims>,
    step: Duration,
    circle: ArcSwap<Circle>,
    cluster: ArcSwapOption<Cluster>,
    acquaintances: Mutex<Option<Acquaintances>>,
    effects: OnceLock<Effects>,
    pace: Mutex<Pace>,
    settled: Notify,
    /// Claims to be told.
    news: Mutex<Vec<Claim>>,
    news_came: Notify,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Who has to hear of what peers know.
struct Effects {
    dispatcher: Dispatcher,
    inhibitor: Arc<ArcSwap<Inhibitor>>,
}

#[derive(Debug)]
struct Pace {
    beat: Instant,
    /// Nothing is sent before.
    hold_until: Instant,
}

impl Ring {
    #[must_use]
    pub fn new(parts: RingParts) -> Self {
        let now = parts.clock.monotonic();
        let seq = parts.clock.now().timestamp_nanos_opt().unwrap_or_default().max(0).cast_unsigned();
        let step = parts.peer_timeout.min(STEP_MAX);
        Ring(Arc::new_cyclic(|me| Inner {
            me: me.clone(),
            clock: parts.clock,
            correction: parts.correction,
            metrics: parts.metrics,
            replica: parts.replica,
            outbox: parts.outbox,
            graces: Mutex::new(parts.graces),
            decisions: parts.decisions,
            spread: Spread::default(),
            asking: Asking::default(),
            claims: Mutex::new(Claims::new(seq)),
            step,
            circle: ArcSwap::from_pointee(Circle { me: "".into(), live: Vec::new(), ready: Vec::new(), step }),
            cluster: ArcSwapOption::empty(),
            acquaintances: Mutex::default(),
            effects: OnceLock::new(),
            pace: Mutex::new(Pace { beat: now, hold_until: now }),
            settled: Notify::new(),
            news: Mutex::default(),
            news_came: Notify::new(),
            tasks: Mutex::default(),
        }))
    }

    /// Recalls who was known before the start, and keeps it from now on. To be called before [`Ring::join`].
    pub fn remember_peers(&self, disk: &Arc<dyn Disk>) {
        *lock(&self.0.acquaintances) = Some(Acquaintances::recall(Arc::clone(disk), self.0.clock.monotonic()));
    }

    /// For the pipeline.
    #[must_use]
    pub fn peer(&self) -> Peer {
        Peer::among(self.neighbours())
    }

    /// The rules that are behind [`Ring::peer`]; a simulation takes one or the other away.
    #[must_use]
    pub fn neighbours(&self) -> Arc<dyn Neighbours> {
        self.0.clone()
    }

    /// Joins the cluster. What peers know reaches these from now on; the dispatcher may be started afterwards.
    ///
    /// # Errors
    /// Why this node cannot be part of the cluster.
    pub async fn join(
        &self,
        config: ClusterConfig,
        network: Arc<dyn Network>,
        own_clock: Clock,
        random: Random,
        metrics: ClusterMetrics,
        effects: (Dispatcher, Arc<ArcSwap<Inhibitor>>),
    ) -> Result<(), ClusterError> {
        let (dispatcher, inhibitor) = effects;
        let _ = self.0.effects.set(Effects { dispatcher, inhibitor });
        if config.peers.is_empty() {
            let wait = (config.gossip_interval * UNCALLED_INTERVALS).min(UNCALLED_MAX).min(config.settle_timeout);
            self.0.pace().hold_until = self.0.clock.monotonic() + wait;
        }
        show_series(&metrics, &config.name, &*self.0);
        let (state, handler) = (self.0.clone(), self.0.clone());
        let cluster = Cluster::start(config, network, own_clock, random, metrics, state, handler).await?;
        self.0.cluster.store(Some(Arc::new(cluster)));
        self.0.on_view();
        let tasks = vec![
            tokio::spawn(watch_members(self.0.clone())),
            tokio::spawn(keep_beat(self.0.clone())),
            tokio::spawn(tell_news(self.0.clone())),
            tokio::spawn(asking::run(self.0.clone())),
            tokio::spawn(spread::run(self.0.clone())),
            tokio::spawn(fresh::run(self.0.clone())),
        ];
        *self.0.tasks() = tasks;
        Ok(())
    }

    /// The cluster as seen from here; `None` before [`Ring::join`].
    #[must_use]
    pub fn view(&self) -> Option<Arc<View>> {
        self.0.cluster.load().as_ref().map(|cluster| cluster.view())
    }

    /// Name and address of this node; `None` before [`Ring::join`].
    #[must_use]
    pub fn own(&self) -> Option<(String, std::net::SocketAddr)> {
        self.0.cluster.load().as_ref().map(|cluster| (cluster.name().to_owned(), cluster.address()))
    }

    /// Whether this node may speak.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        Neighbours::is_settled(&*self.0)
    }

    /// Tells the peers what they do not know yet, and goes. To be called when nothing is sent any more.
    pub async fn leave(&self) {
        self.0.spread_now(true);
        self.0.tell_waiting_news();
        let cluster = self.0.cluster.load_full();
        if let Some(cluster) = cluster {
            cluster.leave().await;
        }
        self.stop();
    }

    /// Ends without a word.
    pub fn stop(&self) {
        self.0.tasks().drain(..).for_each(|task| task.abort());
        self.0.cluster.store(None);
    }

    /// Stands still, as a process that is stopped does. For simulations.
    #[doc(hidden)]
    pub fn stall(&self, time: Duration) {
        if let Some(cluster) = &*self.0.cluster.load() {
            cluster.stall(time);
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("circle", &self.circle.load()).finish_non_exhaustive()
    }
}

/// Series that exist from the start, as dashboards expect.
fn show_series(metrics: &ClusterMetrics, name: &str, state: &dyn State) {
    metrics.alive_messages_total.with_label_values(&[name]);
    let kinds = state.kinds();
    for kind in kinds.iter().map(|kind| state.name(*kind)) {
        metrics.oversized_sent_total.with_label_values(&[kind]);
        metrics.oversized_failure_total.with_label_values(&[kind]);
        metrics.oversized_dropped_total.with_label_values(&[kind]);
    }
}

/// A lock whose holders do not panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        lock(&self.claims)
    }

    fn graces(&self) -> MutexGuard<'_, Graces> {
        lock(&self.graces)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        lock(&self.pace)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        lock(&self.tasks)
    }

    fn look_again(&self, key: &LogKey) {
        if let Some(effects) = self.effects.get() {
            effects.dispatcher.look_again(key);
        }
    }

    /// The timers of this node are late by so much that it must have stood still.
    fn stands_still(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.pace().beat) > GAP
    }

    fn on_view(&self) {
        let Some(cluster) = self.cluster.load_full() else { return };
        let view = cluster.view();
        let name = |member: &Member| Arc::from(member.name.as_str());
        let (live, ready): (Vec<Arc<str>>, Vec<_>) =
            (view.live().map(name).collect(), view.ready().map(name).collect());
        let before = self.circle.load();
        let changed = before.live != live || before.ready != ready;
        if changed {
            self.circle.store(Arc::new(Circle { me: cluster.name().into(), live, ready, step: self.step }));
            let waiting = self.claims().waiting();
            waiting.iter().for_each(|key| self.look_again(key));
        }
        self.correct_clock(&view);
        if let Some(acquaintances) = &mut *lock(&self.acquaintances) {
            acquaintances.on_view(&view);
        }
        if Neighbours::is_settled(self) {
            self.settled.notify_waiters();
        }
    }

    /// Deadlines are judged by what most clocks show; of differences that clocks have anyway nothing is made.
    fn correct_clock(&self, view: &View) {
        if !view.members.iter().any(|member| member.clock_offset.is_some()) {
            // Whatever was known before the start is more than nothing.
            return;
        }
        let (wanted, is) = (view.clock_correction(), self.correction.get());
        let wanted = if wanted.abs() < CLOCK_NOISE { TimeDelta::zero() } else { wanted };
        if (wanted - is).abs() < CLOCK_NOISE && !wanted.is_zero() {
            return;
        }
        if wanted != is {
            tracing::warn!(
                component = "cluster",
                correction_ms = wanted.num_milliseconds(),
                "this node's clock differs from those of most members; deadlines are judged by theirs"
            );
            self.correction.set(wanted);
        }
    }

    fn say(&self, claim: Option<Claim>) {
        if let Some(claim) = claim {
            lock(&self.news).push(claim);
            self.news_came.notify_one();
        }
    }

    fn tell_waiting_news(&self) {
        let claims = std::mem::take(&mut *lock(&self.news));
        if claims.is_empty() {
            return;
        }
        // A failure is told once, and others depend on it.
        self.tell(claims, Via::UdpAndTcp);
    }

    fn tell(&self, claims: Vec<Claim>, via: Via) {
        let claims = claims.into_iter().map(|claim| (None, claim)).collect();
        if let Some(cluster) = &*self.cluster.load() {
            cluster.tell(message::encode(&News { claims }), via);
        }
    }

    fn renew_claims(&self, now: Instant) {
        let claims = self.claims().renewals(now);
        for part in claims.chunks(RENEWALS_PER_PACKET) {
            self.tell(part.to_vec(), Via::Udp);
        }
    }
}

/// Members come and go, the node settles.
async fn watch_members(inner: Arc<Inner>) {
    let Some(mut changed) = inner.cluster.load().as_ref().map(|cluster| cluster.watch()) else { return };
    inner.on_view();
    while changed.changed().await.is_ok() {
        inner.on_view();
    }
}

/// What has to happen regularly.
async fn keep_beat(inner: Arc<Inner>) {
    let mut renewed = inner.clock.monotonic();
    loop {
        let cluster = inner.cluster.load_full();
        match cluster {
            // Late or not, the beat goes on.
            Some(cluster) => drop(tokio::time::timeout(BEAT, cluster.beat()).await),
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
        let now = inner.clock.monotonic();
        inner.replica.alerts.beat(&inner.clock);
        {
            let mut pace = inner.pace();
            let late = now.saturating_duration_since(pace.beat);
            pace.beat = now;
            if late > GAP {
                pace.hold_until = pace.hold_until.max(now + AFTER_GAP);
                drop(pace);
                inner.claims().distrust_all();
            }
        }
        if now.saturating_duration_since(renewed) >= RENEWAL {
            renewed = now;
            inner.renew_claims(now);
            inner.claims().sweep(now);
            inner.graces().expire(inner.clock.now());
        }
        inner.on_view();
    }
}

/// Claims that changed, all of one moment together.
async fn tell_news(inner: Arc<Inner>) {
    loop {
        inner.news_came.notified().await;
        tokio::time::sleep(NEWS_WINDOW).await;
        inner.tell_waiting_news();
    }
}

impl Neighbours for Inner {
    fn is_settled(&self) -> bool {
        let now = self.clock.monotonic();
        let is_settled = self.cluster.load().as_ref().is_some_and(|cluster| cluster.is_settled());
        is_settled && now >= self.pace().hold_until && !self.stands_still(now)
    }

    fn settle(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            while !Neighbours::is_settled(self) {
                // Looked at again: a notification between the two lines would be missed.
                let _ = tokio::time::timeout(LOOK_AGAIN, self.settled.notified()).await;
            }
            true
        })
    }

    fn others(&self, key: &LogKey, tells: u64, base: Instant) -> Others {
        let circle = self.circle.load();
        self.claims().others(key, tells, base, &circle, self.clock.monotonic())
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Answers> {
        self.enqueue(question)
    }

    fn begin(&self, key: &LogKey, tells: u64) -> bool {
        let (now, key) = (self.clock.monotonic(), KeyId::of(key));
        if self.stands_still(now) {
            self.claims().distrust(key);
        }
        let circle = self.circle.load();
        let begins = self.claims().begin(key, tells, &circle, now);
        tracing::trace!(
            component = "cluster", me = %circle.me, at = %self.clock.now(), ?key, tells, begins, "may it begin"
        );
        begins
    }

    fn limit(&self, key: &LogKey) -> Option<Duration> {
        self.claims().limit(KeyId::of(key))
    }

    fn end(&self, key: &LogKey, end: End) {
        let (now, key) = (self.clock.monotonic(), KeyId::of(key));
        let claim = match end {
            End::Told => self.claims().release(key, false, now),
            End::NotOwed => self.claims().release(key, true, now),
            End::SteppedBack => self.claims().step_back(key, now),
            End::Failed(failing) => Some(self.claims().fail(key, failing, now)),
        };
        self.say(claim);
    }

    fn holder(&self, key: &LogKey, tells: u64) -> Option<(Name, Phase)> {
        self.claims().holder(KeyId::of(key), tells, self.clock.monotonic())
    }

    fn order(&self, key: &LogKey, tells: u64) -> Vec<Name> {
        self.claims().order(KeyId::of(key), tells, &self.circle.load())
    }

    fn name_of(&self, writer: Writer) -> Option<Name> {
        let cluster = self.cluster.load_full()?;
        let view = cluster.view();
        let found = view.members.iter().find(|member| Writer::named(&member.name) == writer);
        found.map(|member| member.name.as_str().into())
    }
}
