//! A node's dispatch in virtual time: real store, log, silences and inhibitor; receivers that write down what
//! they hear and answer as they are told to.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::outside;
use crate::{
    alert::{Alert, Posted, fingerprint_of, matcher::Matchers, sort_pairs},
    alerts::{Alerts, AlertsConfig},
    clock::{Clock, Time, delta},
    config::model::{InhibitRule, Receiver, Route},
    dispatch::{Dispatcher, DispatcherParts, Plan},
    inhibit::Inhibitor,
    metrics::{BuildInfo, Metrics, MetricsOptions},
    nflog::Nflog,
    notify::{FailureReason, Integration, Notification, Notifier, NotifyError, NotifyFuture, Peer, Progress, Receipt},
    otlp::Tracer,
    random::Random,
    silence::Silences,
    store::Store,
    timeinterval::TimeInterval,
};

/// What a receiver does with the next request; when the script is over, it takes everything at once.
#[derive(Clone, Debug)]
pub enum Answer {
    Take,
    TakeAfter(f64),
    Status(u16),
    RetryAfter(u64),
    Hang,
    Panic,
}

/// A request that reached a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Seconds since the start of the world, when the request began.
    pub at: f64,
    pub reason: &'static str,
    pub firing: Vec<String>,
    pub resolved: Vec<String>,
    pub taken: bool,
    pub alerts: Vec<Alert>,
}

pub struct Hook {
    began: Instant,
    clock: Clock,
    script: Mutex<VecDeque<Answer>>,
    heard: Mutex<Vec<Heard>>,
    under_way: Mutex<(usize, usize)>,
}

impl Hook {
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.script.lock().unwrap() = answers.into_iter().collect();
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Most requests at one moment.
    pub fn most_at_once(&self) -> usize {
        self.under_way.lock().unwrap().1
    }

    /// `2.0 first notification: a b / c` for each request that was taken.
    pub fn taken(&self) -> Vec<String> {
        self.heard().iter().filter(|heard| heard.taken).map(Heard::line).collect()
    }
}

impl Heard {
    pub fn line(&self) -> String {
        let resolved = if self.resolved.is_empty() { String::new() } else { format!(" / {}", self.resolved.join(" ")) };
        format!("{:.1} {}: {}{resolved}", self.at, self.reason, self.firing.join(" "))
    }
}

impl Notifier for Hook {
    fn notify<'a>(&'a self, n: &'a Notification) -> NotifyFuture<'a> {
        let names = |resolved: bool| {
            n.alerts.iter().filter(|a| a.resolved_at(n.now) == resolved).map(|a| a.name().to_owned()).collect()
        };
        let heard = Heard {
            at: self.clock.monotonic().duration_since(self.began).as_secs_f64(),
            reason: n.reason.as_str(),
            firing: names(false),
            resolved: names(true),
            taken: false,
            alerts: n.alerts.clone(),
        };
        let place = {
            let mut all = self.heard.lock().unwrap();
            all.push(heard);
            all.len() - 1
        };
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Take);
        Box::pin(async move {
            {
                let mut under_way = self.under_way.lock().unwrap();
                under_way.0 += 1;
                under_way.1 = under_way.1.max(under_way.0);
            }
            let result = self.answer(answer).await;
            self.under_way.lock().unwrap().0 -= 1;
            self.heard.lock().unwrap()[place].taken = result.is_ok();
            result
        })
    }
}

impl Hook {
    async fn answer(&self, answer: Answer) -> Result<Receipt, NotifyError> {
        match answer {
            Answer::Take => Ok(Receipt::default()),
            Answer::TakeAfter(seconds) => {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                Ok(Receipt::default())
            }
            Answer::Status(status) => Err(refused(status, None)),
            Answer::RetryAfter(seconds) => Err(refused(503, Some(Duration::from_secs(seconds)))),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("as the script says"),
        }
    }
}

fn refused(status: u16, retry_after: Option<Duration>) -> NotifyError {
    NotifyError {
        message: format!("unexpected status code {status}"),
        retry: status >= 500,
        reason: FailureReason::from_status(status),
        progress: Progress::Refused,
        retry_after,
    }
}

/// Settings of a world. Times in seconds.
#[derive(Clone)]
pub struct Setup {
    pub wait: f64,
    pub interval: f64,
    pub repeat: f64,
    pub group_by: Vec<&'static str>,
    pub resolve_timeout: f64,
    pub start_delay: f64,
    /// Receiver `team` has one webhook for each: its `send_resolved`.
    pub hooks: Vec<bool>,
    pub inhibit: Vec<InhibitRule>,
    pub mute: Option<TimeInterval>,
    /// Further receivers, each below the root with `continue` and the matcher `to=~".*NAME.*"`.
    pub others: Vec<&'static str>,
    pub tracer: Tracer,
}

impl Setup {
    pub fn new(wait: f64, interval: f64, repeat: f64) -> Self {
        Setup {
            wait,
            interval,
            repeat,
            group_by: vec![],
            resolve_timeout: 3600.0,
            start_delay: 0.0,
            hooks: vec![true],
            inhibit: vec![],
            mute: None,
            others: vec![],
            tracer: Tracer::off(),
        }
    }

    fn route(&self) -> Arc<Route> {
        let seconds = Duration::from_secs_f64;
        let mut root = Route {
            receiver: "team".into(),
            group_by: self.group_by.iter().map(|s| (*s).to_owned()).collect(),
            group_by_all: false,
            matchers: Matchers::default(),
            continue_: false,
            group_wait: seconds(self.wait),
            group_interval: seconds(self.interval),
            repeat_interval: seconds(self.repeat),
            mute_time_intervals: if self.mute.is_some() { vec!["mute".to_owned()] } else { vec![] },
            active_time_intervals: vec![],
            labels: BTreeMap::new(),
            routes: vec![],
            key: "{}".into(),
            id: "{}".into(),
        };
        let child = |(index, name): (usize, &&'static str)| {
            let matchers = outside::matchers(&format!("to=~\".*{name}.*\""));
            let key = format!("{{}}/{matchers}");
            Arc::new(Route {
                receiver: (*name).into(),
                matchers,
                continue_: true,
                routes: vec![],
                id: format!("{key}/{index}").into(),
                key: key.into(),
                ..root.clone()
            })
        };
        root.routes = self.others.iter().enumerate().map(child).collect();
        Arc::new(root)
    }
}

pub struct World {
    pub clock: Clock,
    pub began: Instant,
    pub start: Time,
    pub setup: Setup,
    pub metrics: Arc<Metrics>,
    pub alerts: Arc<Alerts>,
    pub nflog: Arc<Nflog>,
    pub silences: Arc<Silences>,
    pub inhibitor: Arc<Inhibitor>,
    pub dispatcher: Dispatcher,
    hooks: Arc<Mutex<HashMap<String, Arc<Hook>>>>,
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let clock = Clock::simulated(Time::from_timestamp(1_800_000_000, 0).unwrap());
        let build = BuildInfo {
            version: "",
            revision: "",
            branch: "",
            build_user: "",
            build_date: "",
            go_version: "",
            goos: "",
            goarch: "",
            tags: "",
        };
        let metrics = Metrics::new(MetricsOptions::default(), build, &clock);
        let (began, start) = (clock.monotonic(), clock.now());
        let alerts = Arc::new(Alerts::new(config()));
        let store = Store::in_memory(metrics.clone()).unwrap();
        let nflog = outside::nflog(&store, &metrics, &clock);
        let silences = outside::silences(&store, &metrics, &clock);
        Self::assemble(setup, clock, began, start, metrics, alerts, nflog, silences, Arc::default())
    }

    #[allow(clippy::too_many_arguments)]
    fn assemble(
        setup: Setup,
        clock: Clock,
        began: Instant,
        start: Time,
        metrics: Arc<Metrics>,
        alerts: Arc<Alerts>,
        nflog: Arc<Nflog>,
        silences: Arc<Silences>,
        hooks: Arc<Mutex<HashMap<String, Arc<Hook>>>>,
    ) -> Self {
        let inhibitor = Arc::new(Inhibitor::new(&setup.inhibit));
        let plan = plan(&setup, &inhibitor, &hooks, &clock, began);
        let parts = DispatcherParts {
            clock: clock.clone(),
            random: Random::seeded(1),
            metrics: metrics.clone(),
            nflog: nflog.clone(),
            silences: silences.clone(),
            peer: Peer::alone(),
            decisions: crate::decisions::Decisions::off(),
            events: crate::events::Events::off(),
            tracer: setup.tracer.clone(),
            external_url: "http://am".into(),
            start_at: clock.monotonic() + Duration::from_secs_f64(setup.start_delay),
        };
        let dispatcher = Dispatcher::new(parts, &plan);
        dispatcher.start(&|| alerts.snapshot());
        World { clock, began, start, setup, metrics, alerts, nflog, silences, inhibitor, dispatcher, hooks }
    }

    /// A new process over the same disk: alerts, log and silences are kept, everything else is not.
    pub async fn restarted(self) -> Self {
        let alerts = Arc::new(Alerts::new(config()));
        alerts.restore(self.alerts.snapshot().iter().map(|entry| entry.alert()), self.clock.now());
        self.restarted_with(alerts).await
    }

    /// A new process over a disk that Alertmanager wrote: it keeps no alerts.
    pub async fn restarted_without_alerts(self) -> Self {
        self.restarted_with(Arc::new(Alerts::new(config()))).await
    }

    async fn restarted_with(self, alerts: Arc<Alerts>) -> Self {
        self.dispatcher.shutdown(Duration::ZERO).await;
        Self::assemble(
            self.setup,
            self.clock,
            self.began,
            self.start,
            self.metrics,
            alerts,
            self.nflog,
            self.silences,
            self.hooks,
        )
    }

    pub fn reload(&mut self, setup: Setup) {
        self.setup = setup;
        self.inhibitor = Arc::new(Inhibitor::new(&self.setup.inhibit));
        let plan = plan(&self.setup, &self.inhibitor, &self.hooks, &self.clock, self.began);
        self.dispatcher.reload(&plan, &|| self.alerts.snapshot());
    }

    /// Lets time pass until this second of the world.
    pub async fn at(&self, seconds: f64) {
        tokio::time::sleep_until(self.began + Duration::from_secs_f64(seconds)).await;
    }

    pub fn time(&self, seconds: f64) -> Time {
        self.start + delta(Duration::from_secs_f64(seconds))
    }

    /// The hook at this place of receiver `team`.
    pub fn hook(&self, place: usize) -> Arc<Hook> {
        self.hook_of("team", place)
    }

    pub fn hook_of(&self, receiver: &str, place: usize) -> Arc<Hook> {
        self.hooks.lock().unwrap()[&format!("{receiver}/{place}")].clone()
    }

    /// Posts alerts that fire from now on without a known end.
    pub fn fire(&self, names: &[&str]) {
        let posts: Vec<_> = names.iter().map(|name| self.posted(&[("alertname", name)], None, None)).collect();
        self.put(&posts);
    }

    /// Posts that these ended now.
    pub fn resolve(&self, names: &[&str]) {
        let now = self.clock.now();
        let posts: Vec<_> = names
            .iter()
            .map(|name| self.posted(&[("alertname", name)], Some(now - delta(Duration::from_millis(1))), Some(now)))
            .collect();
        self.put(&posts);
    }

    pub fn posted<'a>(&self, labels: &[(&'a str, &'a str)], starts: Option<Time>, ends: Option<Time>) -> Posted<'a> {
        let mut labels: Vec<(Cow<'a, str>, Cow<'a, str>)> =
            labels.iter().map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v))).collect();
        sort_pairs(&mut labels);
        let now = self.clock.now();
        Posted {
            fingerprint: fingerprint_of(labels.iter().map(|(n, v)| (&**n, &**v))),
            labels,
            annotations: vec![],
            generator_url: Cow::Borrowed(""),
            starts_at: starts.or(ends).unwrap_or(now),
            ends_at: ends.unwrap_or(now + delta(Duration::from_secs_f64(self.setup.resolve_timeout))),
            timeout: ends.is_none(),
            start_given: starts.is_some(),
        }
    }

    pub fn put(&self, posts: &[Posted<'_>]) {
        let outcome = self.alerts.put(posts, self.clock.now());
        for (entry, _) in &outcome.changes {
            self.inhibitor.observe(entry);
        }
        self.dispatcher.observe(&outcome.changes);
    }

    pub fn metric(&self, line_start: &str) -> u64 {
        let text = String::from_utf8(self.metrics.scrape().unwrap()).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("alertmanager_{line_start} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// `total requests failed_requests failed_notifications{reason}` of webhooks.
    pub fn counts(&self, reason: &str) -> [u64; 4] {
        [
            self.metric("notifications_total{integration=\"webhook\"}"),
            self.metric("notification_requests_total{integration=\"webhook\"}"),
            self.metric("notification_requests_failed_total{integration=\"webhook\"}"),
            self.metric(&format!("notifications_failed_total{{integration=\"webhook\",reason=\"{reason}\"}}")),
        ]
    }

    pub fn groups(&self) -> u64 {
        self.metric("dispatcher_aggregation_groups")
    }
}

fn plan(
    setup: &Setup,
    inhibitor: &Arc<Inhibitor>,
    hooks: &Mutex<HashMap<String, Arc<Hook>>>,
    clock: &Clock,
    began: Instant,
) -> Plan {
    let mut integrations = HashMap::new();
    let mut receivers = Vec::new();
    let team = std::iter::once(("team", setup.hooks.as_slice()));
    for (name, webhooks) in team.chain(setup.others.iter().map(|name| (*name, &[true][..]))) {
        let made = webhooks.iter().enumerate().map(|(index, send_resolved)| {
            let hook = || {
                Arc::new(Hook {
                    began,
                    clock: clock.clone(),
                    script: Mutex::default(),
                    heard: Mutex::default(),
                    under_way: Mutex::default(),
                })
            };
            let hook = hooks.lock().unwrap().entry(format!("{name}/{index}")).or_insert_with(hook).clone();
            Integration { kind: "webhook", index, send_resolved: *send_resolved, notifier: hook }
        });
        integrations.insert(Arc::from(name), made.collect());
        let labels = [("name", name)].into_iter().collect();
        receivers.push(Arc::new(Receiver { name: name.into(), labels, integrations: vec![] }));
    }
    let time_intervals = setup.mute.iter().map(|interval| ("mute".to_owned(), Arc::new(interval.clone()))).collect();
    Plan {
        route: setup.route(),
        receivers,
        time_intervals,
        inhibitor: inhibitor.clone(),
        templates: outside::templates(),
        integrations,
    }
}

fn config() -> AlertsConfig {
    AlertsConfig { per_alertname_limit: 0, retention: outside::RETENTION }
}
