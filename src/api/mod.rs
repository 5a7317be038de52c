//! The HTTP API, version 2, as Alertmanager speaks it (reference/server.md 4 and 5).
//!
//! In comes a request whose path lies below `/api/v2`, out goes an [`Answer`]. The handlers ask the parts of
//! the program through the handles in [`Handles`]; sockets, TLS, authentication, the prefix and the limits
//! on requests are `web`'s. JSON is read and written by hand: alerts come and go by the hundred thousand.
//!
//! What is promised by a 200: a silence is on disk when its answer is sent, and when the disk refuses it, the
//! answer is a 500 that says so. Alerts are taken into memory and written behind the answer: they are notified
//! with or without a disk, and senders repeat them. While nothing can be written, the answer to posted alerts
//! carries a `Warning` header.

mod alerts;
mod answer;
mod body;
mod cors;
mod decisions;
mod filter;
mod gotime;
mod groups;
mod ingest;
mod json;
mod list;
mod media;
mod posted;
mod query;
mod reachability;
mod reader;
mod receiver_test;
mod receivers;
mod silence_body;
mod silences;
mod status;
mod uri;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header, request::Parts};
use hyper::body::Body as HttpBody;
use percent_encoding::percent_decode_str;

pub use answer::{Answer, Body};
pub use body::{BODIES_BYTES_MAX, BODY_BYTES_MAX};
pub(crate) use query::valid_escapes;
pub use reachability::{AskOutlooks, Outlook, Sight};
pub use receiver_test::{
    Authenticated, ReceiverTests, TEST_TIME_MAX, TestAttempt, TestOrder, TestOutcome, TestReceiver, TestRefused,
    TestReport,
};
pub use status::{ClusterStatus, MemberStatus, PeerStatus};

use self::{
    answer::Fault,
    body::{BodyBudget, ReadBody},
    ingest::Counters,
    query::Query,
    reachability::Outlooks,
    status::StatusText,
};
use crate::{
    alert::matcher::ParseMode,
    alerts::Alerts,
    clock::{Clock, Time},
    config::Loaded,
    decisions::Reader,
    dispatch::Dispatcher,
    events::Events,
    inhibit::Inhibitor,
    metrics::{BuildInfo, Metrics},
    otlp::{self, Tracer},
    replica::AlertKeeper,
    silence::Silences,
};

/// What the handlers ask and tell.
pub struct Handles {
    pub clock: Clock,
    pub started_at: Time,
    pub build: BuildInfo,
    pub mode: ParseMode,
    pub metrics: Arc<Metrics>,
    /// Replaced by a reload.
    pub config: Arc<ArcSwap<Loaded>>,
    pub alerts: Arc<Alerts>,
    /// Replaced by a reload.
    pub inhibitor: Arc<ArcSwap<Inhibitor>>,
    pub silences: Arc<Silences>,
    pub dispatcher: Dispatcher,
    pub records: AlertKeeper,
    pub decisions: Reader,
    pub events: Events,
    pub tracer: Tracer,
    /// Asked at each `GET /status`.
    pub cluster: Arc<dyn Fn() -> ClusterStatus + Send + Sync>,
}

/// See the module.
pub struct Api {
    handles: Handles,
    budget: BodyBudget,
    counters: Counters,
    status_text: StatusText,
    receiver_tests: OnceLock<ReceiverTests>,
    outlooks: Outlooks,
}

impl std::ops::Deref for Api {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.handles
    }
}

/// A place of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'p> {
    Status,
    Receivers,
    Alerts,
    Groups,
    Silences,
    Decisions,
    Reachability,
    /// With the receiver's name as it stands in the path.
    ReceiverTest(&'p str),
    /// With the id as it stands in the path.
    Silence(&'p str),
}

impl<'p> Place<'p> {
    /// `path` is what follows `/api/v2`, escapes and all. One slash at its end is ignored.
    fn of(path: &'p str) -> Option<Self> {
        match path.strip_suffix('/').unwrap_or(path) {
            "/status" => Some(Place::Status),
            "/receivers" => Some(Place::Receivers),
            "/alerts" => Some(Place::Alerts),
            "/alerts/groups" => Some(Place::Groups),
            "/silences" => Some(Place::Silences),
            "/carillon/decisions" => Some(Place::Decisions),
            "/carillon/reachability" => Some(Place::Reachability),
            path => {
                let of_receiver = path.strip_prefix("/carillon/receivers/").and_then(|rest| rest.strip_suffix("/test"));
                if let Some(name) = of_receiver {
                    return (!name.is_empty() && !name.contains('/')).then_some(Place::ReceiverTest(name));
                }
                let id = path.strip_prefix("/silence/")?;
                (!id.is_empty() && !id.contains('/')).then_some(Place::Silence(id))
            }
        }
    }

    /// Label `handler` of the request metrics.
    fn label(self) -> &'static str {
        match self {
            Place::Status => "/api/v2/status",
            Place::Receivers => "/api/v2/receivers",
            Place::Alerts => "/api/v2/alerts",
            Place::Groups => "/api/v2/alerts/groups",
            Place::Silences => "/api/v2/silences",
            Place::Decisions => "/api/v2/carillon/decisions",
            Place::Reachability => "/api/v2/carillon/reachability",
            Place::ReceiverTest(_) => "/api/v2/carillon/receivers/{name}/test",
            Place::Silence(_) => "/api/v2/silence/{silenceID}",
        }
    }

    /// Name of the span of a request.
    fn handler(self, method: &Method) -> &'static str {
        match (self, method) {
            (Place::Status, _) => "api.getStatusHandler",
            (Place::Receivers, _) => "api.getReceiversHandler",
            (Place::Alerts, &Method::POST) => "api.postAlertsHandler",
            (Place::Alerts, _) => "api.getAlertsHandler",
            (Place::Groups, _) => "api.getAlertGroupsHandler",
            (Place::Silences, &Method::POST) => "api.postSilencesHandler",
            (Place::Silences, _) => "api.getSilencesHandler",
            (Place::Silence(_), &Method::DELETE) => "api.deleteSilenceHandler",
            (Place::Silence(_), _) => "api.getSilenceHandler",
            (Place::Decisions, _) => "api.getDecisionsHandler",
            (Place::Reachability, _) => "api.getReachabilityHandler",
            (Place::ReceiverTest(_), _) => "api.postReceiverTestHandler",
        }
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Place::Alerts | Place::Silences => &[Method::GET, Method::POST],
            Place::Silence(_) => &[Method::DELETE, Method::GET],
            Place::ReceiverTest(_) => &[Method::POST],
            _ => &[Method::GET],
        }
    }
}

/// Label `handler` of the request metrics. Unknown paths share one, so that nobody can make series at will.
#[must_use]
pub fn handler_label(path: &str) -> &'static str {
    Place::of(path).map_or("/api/v2/{unknown}", Place::label)
}

impl Api {
    #[must_use]
    pub fn new(handles: Handles) -> Arc<Self> {
        let budget = BodyBudget::new(&handles.metrics);
        let counters = Counters::new(&handles.metrics);
        Arc::new(Api {
            handles,
            budget,
            counters,
            status_text: StatusText::default(),
            receiver_tests: OnceLock::new(),
            outlooks: Outlooks::default(),
        })
    }

    /// Answers a request; `path` is what follows `/api/v2` in its path, `full_path` the path that the client sees.
    pub async fn handle<B>(self: &Arc<Self>, path: &str, full_path: &str, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        if let Some(answer) = cors::preflight(&parts.method, &parts.headers) {
            return answer;
        }
        let place = if self.tracer.is_on() { Place::of(path) } else { None };
        let span = place.map_or_else(Default::default, |place| otlp::child(place.handler(&parts.method)));
        let answer = span.enter(self.answer(path, full_path, &parts, body)).await;
        let mut answer = answer.unwrap_or_else(|fault| {
            span.fail(&fault.message);
            fault.answer()
        });
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        cors::mark(&mut answer, &parts.method, cors::has_origin(&parts.headers));
        answer
    }

    async fn answer<B>(self: &Arc<Self>, path: &str, full_path: &str, parts: &Parts, body: B) -> Result<Answer, Fault>
    where
        B: HttpBody<Data = Bytes>,
    {
        let place = Place::of(path).ok_or_else(|| Fault::new(404, format!("path {full_path} was not found")))?;
        if !place.methods().contains(&parts.method) {
            return Ok(not_allowed(&parts.method, place.methods()));
        }
        if body.is_end_stream() {
            media::check_accept(&parts.headers)?;
        } else {
            media::check_content_type(&parts.headers)?;
        }
        let query = parts.uri.query().unwrap_or_default();
        let query = || Query::parse(query);
        Ok(match (place, &parts.method) {
            (Place::Status, _) => self.status(),
            (Place::Receivers, _) => self.receivers(&query()).unwrap_or_else(|bad| bad.answer()),
            (Place::Groups, _) => self.groups(&query()).await.unwrap_or_else(|bad| bad.answer()),
            (Place::Alerts, &Method::POST) => self.post_alerts(&self.budget.read(body).await?)?,
            (Place::Alerts, _) => self.alerts(&query()).await.unwrap_or_else(|bad| bad.answer()),
            (Place::Silences, &Method::POST) => self.post_silence(&self.budget.read(body).await?).await?,
            (Place::Silences, _) => self.silences(&query()).unwrap_or_else(|bad| bad.answer()),
            (Place::Decisions, _) => self.decisions(&query()).await.unwrap_or_else(|bad| bad.answer()),
            (Place::Reachability, _) => self.reachability().await,
            (Place::ReceiverTest(name), _) => self.test_receiver(name, parts, &self.budget.read(body).await?).await?,
            (Place::Silence(id), &Method::DELETE) => self.delete_silence(&silence_id(id)?).await,
            (Place::Silence(id), _) => self.silence(&silence_id(id)?),
        })
    }
}

/// The id in the path of one silence: a UUID in one of its spellings, made the usual one.
fn silence_id(escaped: &str) -> Result<String, Fault> {
    let id = percent_decode_str(escaped).decode_utf8_lossy();
    let parsed = uuid::Uuid::try_parse(&id).ok().filter(|_| !id.starts_with(['{', 'u']));
    parsed.map(|uuid| uuid.to_string()).ok_or_else(|| {
        let quoted = crate::alert::text::quote(&id);
        Fault::new(601, format!("silenceID in path must be of type uuid: {quoted}"))
    })
}

fn not_allowed(method: &Method, allowed: &[Method]) -> Answer {
    let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
    let mut answer = Fault::new(405, format!("method {method} is not allowed, but [{allowed}] are")).answer();
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// The body as text; what is no UTF-8 in it becomes U+FFFD, as Go reads it.
fn body_text(body: &ReadBody) -> std::borrow::Cow<'_, str> {
    // The plain check is several times as fast as the mending one.
    std::str::from_utf8(&body.bytes).map_or_else(|_| String::from_utf8_lossy(&body.bytes), Into::into)
}
