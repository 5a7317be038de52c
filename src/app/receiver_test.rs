//! Test notifications through one receiver of the running configuration. They are built and sent beside the pipeline:
//! no group, no log, no counters, so that nothing that is owed changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::BUILD;
use crate::{
    alert::{Alert, Labels},
    api::{TEST_TIME_MAX, TestAttempt, TestOrder, TestOutcome, TestReceiver, TestRefused, TestReport},
    clock::Clock,
    config::{IntegrationConfig, Loaded},
    httpconf::{ClientOptions, DialMetrics, ProxyEnvironment, Rehearsal},
    notify::{
        receivers::{self, BuildContext},
        types::{Notification, Notifier, Reason},
    },
    random::Random,
    template::Templates,
};

const ALERTNAME: &str = "CarillonReceiverTest";
/// A second one shows whether a failure passes.
const ATTEMPTS_MAX: usize = 2;
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// What tests are made with.
#[derive(Clone)]
pub(super) struct Tester {
    pub current: Arc<ArcSwap<Loaded>>,
    pub clock: Clock,
    pub random: Random,
    pub external_url: Arc<str>,
}

impl Tester {
    pub fn into_handle(self) -> TestReceiver {
        Arc::new(move |receiver, order| {
            let tester = self.clone();
            Box::pin(async move { tester.run(receiver, &order).await })
        })
    }

    async fn run(&self, name: String, order: &TestOrder) -> Result<TestReport, TestRefused> {
        let loaded = self.current.load_full();
        let receiver = loaded.config.receiver(&name).cloned();
        let receiver = receiver.ok_or_else(|| TestRefused::NoSuchReceiver(name.clone()))?;
        let templates = Templates::load(&loaded.config.templates).map_err(|error| unusable(&error))?;
        let templates = Arc::new(templates.with_clock(self.clock.clone()));
        let notification = self.notification(&name, order);
        tracing::info!(component = "api", receiver = name, dry_run = order.dry_run, "a receiver is tested");
        let tests =
            receiver.integrations.iter().map(|config| self.integration(config, &templates, &notification, order));
        let attempts = join_all(tests).await.concat();
        Ok(TestReport { receiver: name, attempts })
    }

    /// All attempts of one integration.
    async fn integration(
        &self,
        config: &IntegrationConfig,
        templates: &Arc<Templates>,
        notification: &Notification,
        order: &TestOrder,
    ) -> Vec<TestAttempt> {
        let started = self.clock.monotonic();
        let told = |attempt, outcome, message: String| TestAttempt {
            integration: config.kind,
            index: config.index,
            attempt,
            outcome,
            message,
            seconds: (self.clock.monotonic() - started).as_secs_f64(),
        };
        if order.resolved && !config.send_resolved {
            return vec![told(
                1,
                TestOutcome::Skipped,
                "send_resolved is false: it is never told of an end".to_owned(),
            )];
        }
        let rehearsal = order.dry_run.then(Rehearsal::default);
        let notifier = match self.build(config, templates, rehearsal.clone()) {
            Ok(notifier) => notifier,
            Err(error) => return vec![told(1, TestOutcome::Failed, error)],
        };
        let mut attempts = Vec::new();
        for attempt in 1..=ATTEMPTS_MAX {
            let (outcome, message, again) = self.attempt(&*notifier, notification, rehearsal.as_ref(), started).await;
            attempts.push(told(attempt, outcome, message));
            if !again || attempt == ATTEMPTS_MAX {
                break;
            }
            sleep(PAUSE).await;
        }
        attempts
    }

    /// Outcome, message, and whether another attempt may help.
    async fn attempt(
        &self,
        notifier: &dyn Notifier,
        notification: &Notification,
        rehearsal: Option<&Rehearsal>,
        started: Instant,
    ) -> (TestOutcome, String, bool) {
        let left = TEST_TIME_MAX.saturating_sub(self.clock.monotonic() - started);
        match timeout(left.min(ATTEMPT_TIME_MAX), notifier.notify(notification)).await {
            Ok(Ok(_)) => (TestOutcome::Sent, String::new(), false),
            Ok(Err(error)) if rehearsal.is_some_and(Rehearsal::happened) => {
                (TestOutcome::Rehearsed, error.message, false)
            }
            Ok(Err(error)) => (TestOutcome::Failed, error.message, error.retry && rehearsal.is_none()),
            Err(_) => (TestOutcome::Failed, "no answer in time".to_owned(), false),
        }
    }

    fn build(
        &self,
        config: &IntegrationConfig,
        templates: &Arc<Templates>,
        rehearsal: Option<Rehearsal>,
    ) -> Result<Box<dyn Notifier>, String> {
        let http = ClientOptions {
            user_agent: format!("Alertmanager/{}", BUILD.version),
            clock: self.clock.clone(),
            random: self.random.clone(),
            dials: DialMetrics::unregistered().map_err(|error| error.to_string())?,
            proxy_environment: ProxyEnvironment::from_process(),
            rehearsal,
        };
        let context = BuildContext {
            templates: Arc::clone(templates),
            http,
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        receivers::build(config, &context).map_err(|error| error.to_string())
    }

    /// Always of the same group, so that the end of a test closes what its beginning has opened.
    fn notification(&self, receiver: &str, order: &TestOrder) -> Notification {
        let now = self.clock.now();
        let mut labels = order.labels.clone();
        labels.insert("alertname".to_owned(), ALERTNAME.to_owned());
        let mut annotations = BTreeMap::from([
            ("summary".to_owned(), format!("Test of the receiver {receiver:?}: nothing is wrong")),
            ("description".to_owned(), "Somebody has asked this Alertmanager for a test notification.".to_owned()),
        ]);
        annotations.extend(order.annotations.clone());
        let alert = Alert {
            labels: Labels::from_pairs(labels),
            annotations: Labels::from_pairs(annotations),
            generator_url: Arc::clone(&self.external_url),
            starts_at: now,
            ends_at: order.resolved.then_some(now),
            updated_at: now,
            timeout: false,
            period: 1,
            accepted_at: now,
            explicit: order.resolved,
            bounds: None,
        };
        let group_labels = Labels::from_pairs([("alertname", ALERTNAME)]);
        Notification {
            group_key: format!("{{}}:{{alertname={ALERTNAME:?}}}").into(),
            receiver: receiver.into(),
            group_labels,
            route_labels: Labels::default(),
            alerts: vec![alert],
            fingerprints: Vec::new(),
            reason: if order.resolved { Reason::AllAlertsResolved } else { Reason::FirstNotification },
            now,
            external_url: Arc::clone(&self.external_url),
            memory: BTreeMap::new(),
        }
    }
}

fn unusable(error: &dyn std::fmt::Display) -> TestRefused {
    TestRefused::Unusable(format!("failed to parse templates: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{self, LoadOptions},
        httpconf::tests::support::{Answer, Server},
    };

    fn tester(receiver: &str) -> Tester {
        let text = format!("route: {{receiver: r}}\nreceivers:\n- name: r\n{receiver}");
        let loaded = config::parse(&text, Path::new("/"), &LoadOptions::default()).unwrap();
        Tester {
            current: Arc::new(ArcSwap::from_pointee(loaded)),
            clock: Clock::system(),
            random: Random::seeded(1),
            external_url: "http://am.example".into(),
        }
    }

    #[tokio::test]
    async fn a_test_is_really_sent_and_marked() {
        let server = Server::start(|_| Answer::ok()).await;
        let tester = tester(&format!("  webhook_configs: [{{url: '{}'}}]\n", server.url("/hook")));
        let order = TestOrder { labels: BTreeMap::from([("team".into(), "a".into())]), ..TestOrder::default() };
        let report = tester.run("r".into(), &order).await.unwrap();
        assert_eq!(report.attempts.len(), 1);
        assert_eq!(report.attempts[0].outcome, TestOutcome::Sent);
        let body = server.last().body;
        assert!(
            body.contains(ALERTNAME) && body.contains("nothing is wrong") && body.contains(r#""team":"a""#),
            "{body}"
        );
    }

    #[tokio::test]
    async fn a_dry_run_sends_nothing_and_shows_no_secret() {
        let tester = tester(
            "  webhook_configs: [{url: 'http://127.0.0.1:1/token-in-path'}]\n  pagerduty_configs: [{routing_key: key-of-ours}]\n  \
             email_configs: [{to: a@example.org, from: b@example.org, smarthost: '127.0.0.1:1', auth_password: hush-hush}]\n",
        );
        let report = tester.run("r".into(), &TestOrder { dry_run: true, ..TestOrder::default() }).await.unwrap();
        assert_eq!(report.attempts.len(), 3);
        for attempt in &report.attempts {
            assert_eq!(attempt.outcome, TestOutcome::Rehearsed, "{}", attempt.message);
            assert!(attempt.message.contains(ALERTNAME), "{}", attempt.message);
            for secret in ["token-in-path", "key-of-ours", "hush-hush"] {
                assert!(!attempt.message.contains(secret), "{}", attempt.message);
            }
        }
    }

    #[tokio::test]
    async fn the_end_of_a_test_is_for_those_who_hear_of_ends() {
        let tester = tester("  webhook_configs: [{url: 'http://127.0.0.1:1/', send_resolved: false}]\n");
        let report = tester.run("r".into(), &TestOrder { resolved: true, ..TestOrder::default() }).await.unwrap();
        assert_eq!(report.attempts[0].outcome, TestOutcome::Skipped);
        let nobody = tester.run("nobody".into(), &TestOrder::default()).await.unwrap_err();
        assert_eq!(nobody, TestRefused::NoSuchReceiver("nobody".into()));
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_reason() {
        let tester = tester("  webhook_configs: [{url: 'http://127.0.0.1:1/'}]\n");
        let report = tester.run("r".into(), &TestOrder::default()).await.unwrap();
        assert_eq!(report.attempts.len(), ATTEMPTS_MAX);
        assert!(report.attempts[1].message.contains("connection refused"), "{:?}", report.attempts);
    }
}
