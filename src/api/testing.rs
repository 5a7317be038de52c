//! An API with everything behind it, in memory, for tests here and in `web`.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};

use super::{Answer, Api, ClusterStatus, Handles};
use crate::{
    alert::matcher::ParseMode,
    alerts::{Alerts, AlertsConfig},
    clock::Clock,
    config::{self, LoadOptions},
    decisions::{Decisions, Reader},
    dispatch::{Dispatcher, DispatcherParts, Plan},
    inhibit::Inhibitor,
    metrics::{BuildInfo, Metrics, MetricsOptions},
    nflog::{Nflog, NflogConfig, Writer},
    notify::Peer,
    otlp::Tracer,
    random::Random,
    replica::{AlertKeeper, Outbox},
    silence::{Silences, SilencesConfig, Surroundings},
    store::Store,
    template::Templates,
};

pub(crate) const BUILD: BuildInfo = BuildInfo {
    version: "0.34.0",
    revision: "r",
    branch: "b",
    build_user: "u",
    build_date: "d",
    go_version: "g",
    goos: "linux",
    goarch: "amd64",
    tags: "",
};

const RETENTION: Duration = Duration::from_secs(3600);

/// An API over this configuration. Groups do not run.
pub(crate) fn api(config: &str) -> Arc<Api> {
    traced_api(config, &Tracer::off())
}

/// The same, traced.
pub(crate) fn traced_api(config: &str, tracer: &Tracer) -> Arc<Api> {
    let clock = Clock::system();
    let random = Random::seeded(1);
    let metrics = Metrics::new(MetricsOptions::default(), BUILD, &clock);
    let mode = ParseMode::Fallback;
    let loaded = config::parse(config, Path::new("/"), &LoadOptions { mode }).unwrap();
    let store = Store::in_memory(Arc::clone(&metrics)).unwrap();
    let config = SilencesConfig { retention: RETENTION, count_max: 0, size_bytes_max: 0, log_changes: false, mode };
    let around = Surroundings {
        store: store.clone(),
        outbox: Outbox::none(),
        clock: clock.clone(),
        random: random.clone(),
        metrics: Arc::clone(&metrics),
    };
    let silences = Silences::open(config, around).unwrap();
    let nflog_config = NflogConfig { retention: RETENTION, writer: Writer(1) };
    let nflog = Nflog::open(nflog_config, store.clone(), Outbox::none(), clock.clone(), Arc::clone(&metrics)).unwrap();
    let alerts = Arc::new(Alerts::new(AlertsConfig { per_alertname_limit: 0, retention: RETENTION }));
    let inhibitor = Arc::new(Inhibitor::new(&loaded.config.inhibit_rules));
    let templates = Arc::new(Templates::load(&[]).unwrap());
    let plan = Plan::new(&loaded.config, Arc::clone(&inhibitor), templates, HashMap::new());
    let parts = DispatcherParts {
        clock: clock.clone(),
        random,
        metrics: Arc::clone(&metrics),
        nflog,
        silences: Arc::clone(&silences),
        peer: Peer::alone(),
        decisions: Decisions::off(),
        events: crate::events::Events::off(),
        tracer: tracer.clone(),
        external_url: "http://am.example".into(),
        start_at: clock.monotonic(),
    };
    Api::new(Handles {
        started_at: clock.now(),
        build: BUILD,
        mode,
        metrics,
        config: Arc::new(ArcSwap::from_pointee(loaded)),
        records: AlertKeeper::new(store, Outbox::none(), &alerts),
        alerts,
        inhibitor: Arc::new(ArcSwap::new(inhibitor)),
        silences,
        dispatcher: Dispatcher::new(parts, &plan),
        decisions: Reader::new(Decisions::off(), "", None),
        events: crate::events::Events::off(),
        tracer: tracer.clone(),
        cluster: Arc::new(ClusterStatus::default),
        clock,
    })
}

/// Status and body.
pub(crate) async fn text(answer: Answer) -> (u16, String) {
    let (parts, body) = Response::into_parts(answer);
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
}

/// A request with a JSON body, or none.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(path).header("content-type", "application/json");
    builder.body(Full::from(body.to_owned())).unwrap()
}
