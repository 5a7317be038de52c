//! What happens to one request, from its head to the answer's: rate, web configuration file (headers,
//! password), concurrent GETs, time, and then the page or the API. Nothing here knows sockets.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use hyper::body::Body as HttpBody;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    ReloadRequest, WebOptions,
    auth::{self, Passwords},
    file::{Settings, WebFile, WebFileError},
    limits::{GetLimit, RateLimit},
    pages,
    routes::{Page, Routes, Target},
};
use crate::{
    alert::text::format_go_duration,
    api::{self, Answer, Api, Body},
    clock::{Clock, delta},
    metrics::Metrics,
    ui::{Ui, Visitor},
};

/// Answers requests, each on its own. Shared by all connections.
pub(super) struct Service {
    api: Arc<Api>,
    ui: Arc<Ui>,
    clock: Clock,
    metrics: Arc<Metrics>,
    routes: Routes,
    gets: GetLimit,
    timeout: Option<Duration>,
    guard: Option<Guard>,
    reload: mpsc::Sender<ReloadRequest>,
}

/// The parts of the web configuration file that concern requests.
struct Guard {
    file: Arc<WebFile>,
    passwords: Passwords,
    rate: Option<RateLimit>,
}

impl Service {
    pub fn new(
        options: &WebOptions,
        file: Option<OpenFile>,
        api: Arc<Api>,
        ui: Arc<Ui>,
        reload: mpsc::Sender<ReloadRequest>,
    ) -> Self {
        let (clock, metrics) = (api.clock.clone(), Arc::clone(&api.metrics));
        let guard = file.map(|(file, settings)| Guard {
            file,
            passwords: Passwords::default(),
            rate: settings.rate.map(|(interval, burst)| RateLimit::new(interval, burst, clock.monotonic())),
        });
        Service {
            routes: Routes::new(&options.route_prefix),
            gets: GetLimit::new(options.get_concurrency, &metrics),
            timeout: options.timeout.filter(|timeout| !timeout.is_zero()),
            guard,
            api,
            ui,
            clock,
            metrics,
            reload,
        }
    }

    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes>,
    {
        let span = self.api.tracer.incoming(&request, || self.routes.label(request.method(), request.uri().path()));
        let mut answer = span.enter(self.admitted(request)).await;
        span.answered(answer.status());
        if span.is_recording() && answer.body().known_len().is_none() {
            answer.body_mut().hold(span);
        }
        answer
    }

    /// Within what the web configuration file says.
    async fn admitted<B>(&self, mut request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes>,
    {
        let Some(guard) = &self.guard else { return self.limited(request).await };
        if guard.rate.as_ref().is_some_and(|rate| !rate.admit(self.clock.monotonic())) {
            self.metrics.http_limit_reached_total.with_label_values(&["rate"]).inc();
            return pages::error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let Ok(settings) = guard.file.current() else {
            return pages::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        };
        let admitted = settings.users.is_empty() || guard.passwords.admit(&settings.users, request.headers()).await;
        let login = auth::name(request.headers()).filter(|_| !settings.users.is_empty());
        let visitor =
            Visitor { read_only: login.as_ref().is_some_and(|name| settings.read_only.contains(name)), login };
        let mut answer = if !admitted {
            unauthorized()
        } else if visitor.read_only && !request.method().is_safe() {
            pages::error(StatusCode::FORBIDDEN, "This login may read only.")
        } else {
            if visitor.login.is_some() {
                request.extensions_mut().insert(api::Authenticated);
            }
            request.extensions_mut().insert(visitor);
            self.limited(request).await
        };
        for (name, value) in &settings.headers {
            answer.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        answer
    }

    /// Within the limits of concurrency and time.
    async fn limited<B>(&self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes>,
    {
        let place = if request.method() == Method::GET {
            match self.gets.enter() {
                Ok(place) => Some(place),
                Err(text) => return pages::error(StatusCode::SERVICE_UNAVAILABLE, &text),
            }
        } else {
            None
        };
        let mut answer = match self.timeout {
            None => self.routed(request).await,
            Some(timeout) => tokio::time::timeout(timeout, self.routed(request)).await.unwrap_or_else(|_| {
                let text = format!("Exceeded configured timeout of {}.\n", format_go_duration(delta(timeout)));
                pages::text(StatusCode::SERVICE_UNAVAILABLE, text)
            }),
        };
        if answer.body().known_len().is_none() {
            answer.body_mut().hold(place);
        }
        answer
    }

    async fn routed<B>(&self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes>,
    {
        let started = self.clock.monotonic();
        let method = request.method().clone();
        let uri = request.uri().clone();
        match self.routes.target(&method, uri.path()) {
            Target::Api(path) => {
                let answer = self.api.handle(path, uri.path(), request).await;
                self.observed(api::handler_label(path), &method, started, answer)
            }
            Target::Ui(place) => {
                let visitor = request.extensions().get::<Visitor>().cloned().unwrap_or_default();
                let packed = pages::takes_gzip(request.headers());
                let (label, answer) = (place.label(), self.ui.handle(place, request, visitor).await);
                let answer = if packed { pages::packed(answer).await } else { answer };
                let size = answer.body().known_len().unwrap_or_default();
                let sizes = self.metrics.http_response_size_bytes.with_label_values(&[label, method_label(&method)]);
                sizes.observe(size as f64);
                self.observed(label, &method, started, without_body(&method, answer))
            }
            Target::Page(page, label) => {
                let (parts, _) = request.into_parts();
                let answer = self.page(page, &parts).await;
                let size = answer.body().known_len().unwrap_or_default();
                let sizes = self.metrics.http_response_size_bytes.with_label_values(&[label, method_label(&method)]);
                sizes.observe(size as f64);
                self.observed(label, &method, started, answer)
            }
            Target::Moved(path) => pages::redirect(StatusCode::MOVED_PERMANENTLY, &method, &path, uri.query()),
            Target::Near(path) => {
                let status =
                    if method == Method::GET { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
                pages::redirect(status, &method, &path, uri.query())
            }
            Target::Prefix(path) => pages::redirect(StatusCode::FOUND, &method, &path, None),
            Target::Methods(allowed) => pages::methods(&method, &allowed),
            Target::NotFound => pages::not_found(),
            Target::Malformed => pages::text(StatusCode::BAD_REQUEST, "400 Bad Request"),
        }
    }

    async fn page(&self, page: Page, parts: &Parts) -> Answer {
        match page {
            Page::Favicon => pages::favicon(),
            Page::Metrics => {
                self.metrics.promhttp_requests_in_flight.inc();
                let answer = pages::metrics(&self.metrics, &parts.headers);
                self.metrics.promhttp_requests_in_flight.dec();
                answer
            }
            Page::Healthy | Page::Ready => pages::ok(&parts.method),
            Page::Reload => self.reload().await,
            Page::V1Gone => pages::v1_gone(),
        }
    }

    /// Asks for a reload and waits for its end.
    async fn reload(&self) -> Answer {
        let (request, result) = oneshot::channel();
        let result = match self.reload.send(request).await {
            Ok(()) => result.await.ok(),
            Err(_) => None,
        };
        match result {
            Some(Ok(())) => pages::empty_ok(),
            Some(Err(why)) => {
                pages::error(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to reload config: {why}"))
            }
            None => {
                pages::error(StatusCode::SERVICE_UNAVAILABLE, "failed to reload config: the server is shutting down")
            }
        }
    }

    /// Counts the request when its answer is made, or when a long one has been written.
    fn observed(&self, handler: &'static str, method: &Method, started: Instant, mut answer: Answer) -> Answer {
        let status = answer.status();
        let labels = [handler, method_label(method), status.as_str()];
        let duration = self.metrics.http_request_duration_seconds.with_label_values(&labels);
        let clock = self.clock.clone();
        let done = Done(move || duration.observe(clock.monotonic().saturating_duration_since(started).as_secs_f64()));
        if answer.body().known_len().is_none() {
            answer.body_mut().hold(done);
        }
        answer
    }
}

/// Does something when it is dropped.
struct Done<F: Fn()>(F);

impl<F: Fn()> Drop for Done<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Label `method`; methods that nobody knows share one.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::DELETE => "delete",
        Method::HEAD => "head",
        Method::OPTIONS => "options",
        Method::PATCH => "patch",
        Method::CONNECT => "connect",
        Method::TRACE => "trace",
        _ => "unknown",
    }
}

/// HEAD gets the head alone.
fn without_body(method: &Method, mut answer: Answer) -> Answer {
    if method == Method::HEAD {
        *answer.body_mut() = Body::empty();
    }
    answer
}

fn unauthorized() -> Answer {
    let mut answer = pages::error(StatusCode::UNAUTHORIZED, "Unauthorized");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    answer
}

/// The web configuration file, and what it said at start.
pub(super) type OpenFile = (Arc<WebFile>, Arc<Settings>);

/// Opens the web configuration file and sees whether it can be used.
pub(super) fn open_file(path: Option<&PathBuf>) -> Result<Option<OpenFile>, WebFileError> {
    let Some(path) = path else { return Ok(None) };
    let file = Arc::new(WebFile::new(path.clone()));
    let settings = file.current()?;
    Ok(Some((file, settings)))
}
