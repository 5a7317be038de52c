//! How the tests make and move what other rooms own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    alert::matcher::{Matcher, Matchers, ParseMode, parse_matchers},
    clock::{Clock, Time},
    metrics::Metrics,
    nflog::{Nflog, NflogConfig, Writer},
    random::Random,
    replica::Outbox,
    silence::{Draft, MatcherText, Query, Silences, SilencesConfig, Surroundings},
    store::Store,
    template::Templates,
};

pub const RETENTION: Duration = Duration::from_secs(432_000);

pub fn matchers(text: &str) -> Matchers {
    Matchers::new(parse_matchers(ParseMode::Utf8, text).unwrap())
}

pub fn nflog(store: &Store, metrics: &Arc<Metrics>, clock: &Clock) -> Arc<Nflog> {
    let config = NflogConfig { retention: RETENTION, writer: Writer::named("node") };
    Nflog::open(config, store.clone(), Outbox::none(), clock.clone(), metrics.clone()).unwrap()
}

pub fn silences(store: &Store, metrics: &Arc<Metrics>, clock: &Clock) -> Arc<Silences> {
    let config = SilencesConfig {
        retention: RETENTION,
        count_max: 0,
        size_bytes_max: 0,
        log_changes: false,
        mode: ParseMode::Utf8,
    };
    let around = Surroundings {
        store: store.clone(),
        outbox: Outbox::none(),
        clock: clock.clone(),
        random: Random::seeded(2),
        metrics: metrics.clone(),
    };
    Silences::open(config, around).unwrap()
}

pub fn templates() -> Arc<Templates> {
    Arc::new(Templates::load(&[]).unwrap())
}

/// Silences what `matcher` fits from now on.
pub async fn silence(silences: &Silences, matcher: &str, until: Time) {
    let matchers = matchers(matcher);
    let text = |m: &Matcher| MatcherText { op: m.op(), name: m.name().to_owned(), value: m.value().to_owned() };
    let draft = Draft {
        id: None,
        matchers: matchers.iter().map(text).collect(),
        starts_at: None,
        ends_at: Some(until),
        created_by: String::new(),
        comment: String::new(),
        annotations: BTreeMap::new(),
    };
    silences.set(draft).await.unwrap();
}

pub async fn expire_all(silences: &Silences) {
    for (silence, _) in silences.query(&Query::default()) {
        silences.expire(&silence.id.to_string()).await.unwrap();
    }
}
