//! The tracer against collectors on the loopback interface, and what other rooms test their spans with.

mod collector;
mod export;
mod reload;
mod requests;

use std::{collections::BTreeMap, sync::Arc};

use prometheus::Registry;

use super::{
    Context, Extent, Service, Tracer,
    context::Share,
    queue::Queue,
    wire::{self, Value},
};
use crate::{clock::Clock, random::Random};

use std::sync::atomic::Ordering;

/// A span as the collector would get it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub name: String,
    pub trace: Vec<u8>,
    pub span: Vec<u8>,
    pub parent: Vec<u8>,
    pub kind: i32,
    /// In seconds.
    pub took: f64,
    /// As text.
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Its parent is in another process.
    pub is_remote: bool,
    pub state: String,
}

impl Told {
    pub fn is_part_of(&self, other: &Told) -> bool {
        self.trace == other.trace && self.parent == other.span
    }

    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

impl From<wire::Span> for Told {
    fn from(span: wire::Span) -> Self {
        let text = |attribute: wire::KeyValue| {
            let value = match attribute.value.unwrap().value.unwrap() {
                Value::Text(text) => text,
                Value::Bool(is) => is.to_string(),
                Value::Int(number) => number.to_string(),
            };
            (attribute.key, value)
        };
        Told {
            name: span.name,
            trace: span.trace_id,
            span: span.span_id,
            parent: span.parent_span_id,
            kind: span.kind,
            took: (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9,
            attributes: span.attributes.into_iter().map(text).collect(),
            events: span.events.into_iter().map(|event| event.name).collect(),
            failure: span.status.map(|status| status.message),
            is_remote: span.flags & 1 << 9 != 0,
            state: span.trace_state,
        }
    }
}

/// The spans of a tracer that has no collector.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Queue>);

impl Kept {
    /// Those that ended, in that order. They are forgotten.
    pub fn take(&self) -> Vec<Told> {
        self.0.take(usize::MAX).into_iter().map(Told::from).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.take().into_iter().map(|told| told.name).collect()
    }
}

/// A tracer that keeps what it records.
pub(crate) fn keeping(clock: &Clock, fraction: f64) -> (Tracer, Kept) {
    let tracer = tracer(clock, &Registry::new());
    let queue = Arc::new(Queue::default());
    let inner = tracer.0.as_ref().unwrap();
    inner.queue.store(Some(Arc::clone(&queue)));
    inner.share.store(Arc::new(Share::of(fraction)));
    let extent = if fraction > 0.0 { Extent::Roots } else { Extent::Parents };
    inner.extent.store(extent as u8, Ordering::Release);
    (tracer, Kept(queue))
}

pub(super) fn tracer(clock: &Clock, registry: &Registry) -> Tracer {
    Tracer::new(Service { version: "1.2.3", instance: "node-a" }, clock, &Random::seeded(3), registry)
}

/// A span of another process.
pub(crate) fn foreign(sampled: bool) -> Context {
    Context { trace: [7; 16], span: [8; 8], sampled, state: None }
}

#[tokio::test(start_paused = true)]
async fn spans_within_spans_make_a_tree() {
    let clock = Clock::simulated(crate::clock::Time::from_timestamp(1_800_000_000, 0).unwrap());
    let (tracer, kept) = keeping(&clock, 1.0);
    let root = tracer.root("root", clock.now());
    root.set("count", 3_usize);
    root.enter(async {
        let part = super::child("part");
        part.event("halfway");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        part.enter(async {
            let leaf = super::child("leaf");
            leaf.fail("no luck");
        })
        .await;
    })
    .await;
    drop(root);
    assert!(super::current().is_none());
    let [leaf, part, root] = kept.take().try_into().unwrap();
    assert_eq!((leaf.name.as_str(), part.name.as_str(), root.name.as_str()), ("leaf", "part", "root"));
    assert!(leaf.is_part_of(&part) && part.is_part_of(&root) && root.parent.is_empty());
    assert_eq!((leaf.failure.as_deref(), &*leaf.events), (Some("no luck"), &["exception".to_owned()][..]));
    assert_eq!((part.took, &*part.events, root.attribute("count")), (2.0, &["halfway".to_owned()][..], "3"));
}

#[tokio::test]
async fn nothing_is_recorded_where_no_section_says_so() {
    let clock = Clock::system();
    for tracer in [Tracer::off(), tracer(&clock, &Registry::new())] {
        assert!(!tracer.is_on());
        assert!(tracer.root("root", clock.now()).is_none());
        assert!(tracer.part_of(None, "part").is_none());
        assert!(tracer.call("call").is_none());
        let request = http::Request::builder().header("traceparent", shown(&foreign(true))).body(()).unwrap();
        assert!(tracer.incoming(&request, || None).is_none());
        assert!(tracer.root("root", clock.now()).enter(async { super::child("child").is_none() }).await);
    }
}

#[tokio::test]
async fn without_a_share_only_what_others_began_is_recorded() {
    let clock = Clock::system();
    let (tracer, kept) = keeping(&clock, 0.0);
    assert!(tracer.root("root", clock.now()).is_none());
    let request = |parent: Option<Context>| {
        let mut request = http::Request::new(());
        if let Some(parent) = parent {
            parent.show(request.headers_mut());
        }
        request
    };
    assert!(tracer.incoming(&request(None), || None).is_none());
    let unsampled = tracer.incoming(&request(Some(foreign(false))), || None);
    assert!(!unsampled.is_none() && !unsampled.is_recording());
    drop(tracer.incoming(&request(Some(foreign(true))), || Some("/api/v2/alerts")));
    let [told] = kept.take().try_into().unwrap();
    assert_eq!((told.name.as_str(), told.kind), ("GET /api/v2/alerts", 2));
    assert_eq!((told.trace.as_slice(), told.parent.as_slice(), told.is_remote), (&[7; 16][..], &[8; 8][..], true));
    // Whoever is called is told that the trace is not recorded.
    let call = tracer.call("call");
    assert!(!call.context().unwrap().sampled);
    drop(call);
    assert_eq!(kept.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_share_of_what_begins_here_is_recorded_whole() {
    let clock = Clock::system();
    let (tracer, kept) = keeping(&clock, 0.25);
    for _ in 0..400 {
        let root = tracer.root("root", clock.now());
        drop(root.child("part", super::Kind::Internal));
    }
    let told = kept.take();
    let roots = told.iter().filter(|told| told.name == "root").count();
    assert!((60..140).contains(&roots), "{roots}");
    assert_eq!(told.len(), 2 * roots);
}

#[tokio::test]
async fn long_texts_are_cut() {
    let clock = Clock::system();
    let (tracer, kept) = keeping(&clock, 1.0);
    let root = tracer.root("root", clock.now());
    root.set("text", "ä".repeat(5000));
    root.fail(&"x".repeat(5000));
    drop(root);
    let [told] = kept.take().try_into().unwrap();
    assert_eq!((told.attribute("text").len(), told.failure.unwrap().len()), (4096, 4096));
}

#[tokio::test]
async fn requests_that_go_out_show_their_span_and_tell_no_path() {
    let clock = Clock::system();
    let (tracer, kept) = keeping(&clock, 1.0);
    let mut headers = http::HeaderMap::new();
    drop(super::outgoing(&http::Method::POST, "http://h/", &mut headers));
    assert!(headers.is_empty(), "nothing is shown where nothing is traced");
    let root = tracer.root("root", clock.now());
    root.enter(async {
        let span = super::outgoing(&http::Method::POST, "https://hooks.example/secret", &mut headers);
        span.answered(http::StatusCode::BAD_REQUEST);
    })
    .await;
    drop(root);
    let [call, root] = kept.take().try_into().unwrap();
    assert_eq!((call.name.as_str(), call.kind, call.failure.as_deref()), ("HTTP POST", 3, Some("")));
    assert!(call.is_part_of(&root));
    let context = Context::of(&headers).unwrap();
    assert_eq!((context.span.as_slice(), context.sampled), (call.span.as_slice(), true));
    assert!(!format!("{call:?}").contains("secret"), "{call:?}");
    assert_eq!((call.attribute("server.address"), call.attribute("server.port")), ("hooks.example", "443"));
}

fn shown(context: &Context) -> http::HeaderValue {
    let mut headers = http::HeaderMap::new();
    context.show(&mut headers);
    headers["traceparent"].clone()
}
