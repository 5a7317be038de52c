//! The client: one request out, redirects followed, one answer back.

use std::{
    borrow::Cow,
    error::Error as _,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, HOST, LOCATION,
        PROXY_AUTHORIZATION, USER_AGENT,
    },
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{
    ClientOptions, Request, Response,
    auth::{Auth, CustomHeaders, is_sensitive},
    connect::{Connector, Dials},
    error::{ErrorKind, Failure, HttpConfigError, HttpError, io_text},
    pool::{Key, Lease, Pool, Sender},
    proxy::{Proxies, ProxyKind, ProxyServer, basic},
    rehearsal::{self, Rehearsal},
    target::Target,
    tls::{TlsNow, TlsSetup},
    verify::{alert, is_handshake_refusal},
};
use crate::{clock::Clock, config::model::HttpConfig, otlp};

/// Requests of one client under way at once; more wait for their turn.
const IN_FLIGHT_MAX: usize = 64;
/// Requests made for one, the first included, as in Go.
pub(super) const REQUESTS_MAX: usize = 10;
/// Kept of an answer's body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Read of a body that nobody wants, so that its connection can be used again.
const DRAIN_BYTES_MAX: usize = 1 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// For a body after its status: the status alone decides most things, so a stalled body must not hold it back.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A client for one `http_config`. Cloning shares its connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    clock: Clock,
    auth: Auth,
    headers: CustomHeaders,
    proxies: Proxies,
    connector: Connector,
    pool: Arc<Pool>,
    slots: Arc<Semaphore>,
    follow_redirects: bool,
    rehearsal: Option<Rehearsal>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("auth", &self.0.auth)
            .field("headers", &self.0.headers)
            .field("proxies", &self.0.proxies)
            .finish_non_exhaustive()
    }
}

/// One hop of an exchange, and what is carried to the next.
struct Hop {
    target: Target,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    /// Still at the first host or below it: credentials may be sent.
    trusted: bool,
}

/// How a target is reached.
struct Way<'a> {
    via: Option<&'a Arc<ProxyServer>>,
    tls: Option<TlsNow>,
    key: Key,
}

/// An answer whose body is still to be read.
struct Answer {
    response: http::Response<Incoming>,
    sent_secrets: Vec<HeaderValue>,
    lease: Lease,
    permit: OwnedSemaphorePermit,
}

impl Client {
    /// `name` labels the dialer metrics: the integration.
    ///
    /// # Errors
    /// Certificates, keys, proxies or headers that cannot be used.
    pub fn new(config: &HttpConfig, name: &'static str, options: &ClientOptions) -> Result<Self, HttpConfigError> {
        if config.has_secret_ref {
            return Err(HttpConfigError::SecretRef);
        }
        let bad_agent = |_| HttpConfigError::HeaderName(USER_AGENT.to_string());
        let connector = Connector {
            dials: Dials::new(&options.dials, name),
            user_agent: HeaderValue::from_str(&options.user_agent).map_err(bad_agent)?,
            tunnel_headers: tunnel_headers(&config.proxy.connect_header)?,
            tls: TlsSetup::new(&config.tls, config.enable_http2)?,
        };
        Ok(Client(Arc::new(Inner {
            clock: options.clock.clone(),
            auth: Auth::new(config, name, options)?,
            headers: CustomHeaders::new(&config.headers)?,
            proxies: Proxies::new(&config.proxy, &options.proxy_environment)?,
            connector,
            pool: Pool::new(options.clock.clone()),
            slots: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            follow_redirects: config.follow_redirects,
            rehearsal: options.rehearsal.clone(),
        })))
    }

    /// Sends a request. Any status is an answer; an error means there is none.
    ///
    /// Dropping the future abandons the exchange; whether the request was written is then unknown.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.send_within(request, BODY_BYTES_MAX, BODY_TIME_MAX).await
    }

    /// As [`Client::send`], for answers that may be large: up to `body_bytes_max` of the body are kept, and it may take
    /// as long as the request.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn fetch(&self, request: Request, body_bytes_max: usize) -> Result<Response, HttpError> {
        let body_time_max = request.timeout.unwrap_or(BODY_TIME_MAX);
        self.send_within(request, body_bytes_max, body_time_max).await
    }

    async fn send_within(
        &self,
        request: Request,
        body_bytes_max: usize,
        body_time_max: Duration,
    ) -> Result<Response, HttpError> {
        if let Some(rehearsal) = &self.0.rehearsal {
            return Err(self.0.rehearse(&request, rehearsal));
        }
        let Request { method, url, mut headers, body, timeout: limit, body_wanted } = request;
        let span = otlp::outgoing(&method, &url, &mut headers);
        let sent = AtomicBool::new(false);
        let deadline = limit.map(|limit| self.0.clock.monotonic() + limit);
        let exchange = self.0.exchange(&method, &url, headers, body, &sent);
        let outcome = match deadline {
            Some(deadline) => timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(timed_out())),
            None => exchange.await,
        };
        match outcome {
            Ok(answer) => {
                span.answered(answer.response.status());
                let latest = self.0.clock.monotonic() + body_time_max;
                let until = deadline.map_or(latest, |deadline| deadline.min(latest));
                Ok(self.0.finish(answer, body_wanted, body_bytes_max, until).await)
            }
            Err(failure) => {
                span.fail(&failure.text);
                Err(HttpError::new(&method, failure, sent.load(Ordering::Relaxed)))
            }
        }
    }
}

fn timed_out() -> Failure {
    Failure::new(ErrorKind::Timeout, "context deadline exceeded")
}

fn tunnel_headers(
    configured: &[(String, Vec<crate::config::model::Secret>)],
) -> Result<Vec<(HeaderName, HeaderValue)>, HttpConfigError> {
    let mut headers = Vec::new();
    for (name, values) in configured {
        let bad = || HttpConfigError::HeaderName(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        for value in values {
            headers.push((parsed.clone(), HeaderValue::from_str(&value.0).map_err(|_| bad())?));
        }
    }
    Ok(headers)
}

impl Inner {
    /// What would be sent, as an error.
    fn rehearse(&self, request: &Request, rehearsal: &Rehearsal) -> HttpError {
        rehearsal.note();
        let authorization = Some(AUTHORIZATION).filter(|name| {
            !self.auth.is_none() && (self.auth.replaces_existing() || !request.headers.contains_key(name))
        });
        let added: Vec<HeaderName> = authorization.into_iter().chain(self.headers.names()).collect();
        HttpError { kind: ErrorKind::Rehearsed, message: rehearsal::script(request, &added), sent: false }
    }

    /// The whole way to the final answer's status. `sent` is set as soon as anything may have left.
    async fn exchange(
        &self,
        method: &Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        sent: &AtomicBool,
    ) -> Result<Answer, Failure> {
        let closed = |_| Failure::new(ErrorKind::Exchange, "the client is closed");
        let mut permit = Arc::clone(&self.slots).acquire_owned().await.map_err(closed)?;
        let target = Target::parse(url)?;
        let mut origin = None;
        let mut here = Cow::Borrowed(url);
        let mut hop = Hop { target, method: method.clone(), headers, body, trusted: true };
        for _ in 0..REQUESTS_MAX {
            let (response, sent_secrets, lease) = self.one_request(&hop, sent).await?;
            let answer = Answer { response, sent_secrets, lease, permit };
            let location = answer.response.headers().get(LOCATION).filter(|_| self.follow_redirects);
            let keeps_body = match answer.response.status().as_u16() {
                301..=303 => false,
                307 | 308 => true,
                _ => return Ok(answer),
            };
            let Some(location) = location else { return Ok(answer) };
            here = resolve(&here, location)?.into();
            let origin = origin.get_or_insert_with(|| hop.target.host.clone());
            hop = hop.follow(Target::parse(&here)?, keeps_body, origin);
            self.discard(answer);
            permit = Arc::clone(&self.slots).acquire_owned().await.map_err(closed)?;
        }
        Err(Failure::new(ErrorKind::Redirect, format!("stopped after {REQUESTS_MAX} redirects")))
    }

    /// One request to one server, on a kept connection or a new one. Also returned: what it showed the server in
    /// headers that nobody else may see.
    async fn one_request(
        &self,
        hop: &Hop,
        sent: &AtomicBool,
    ) -> Result<(http::Response<Incoming>, Vec<HeaderValue>, Lease), Failure> {
        let way = self.way(&hop.target).await?;
        let mut headers = self.headers_for(hop).await?;
        let secrets = headers.values().filter(|value| value.is_sensitive()).cloned().collect();
        loop {
            let mut lease = self.lease(&hop.target, &way).await?;
            let request = hop.request(headers, lease.sender.is_http2(), way.via)?;
            let sent_before = sent.swap(true, Ordering::Relaxed);
            let mut error = match lease.sender.try_send(request).await {
                Ok(response) => {
                    if response.status() == 401 {
                        self.auth.rejected().await;
                    }
                    return Ok((response, secrets, lease));
                }
                Err(error) => error,
            };
            let unwritten = error.take_message();
            let error = error.into_error();
            if unwritten.is_some() || io_source(&error).is_some_and(is_handshake_refusal) {
                sent.store(sent_before, Ordering::Relaxed);
            }
            match unwritten {
                // A kept connection had ended meanwhile: nothing was written, so a new one may be tried.
                Some(request) if lease.reused => headers = request.into_parts().0.headers,
                _ => return Err(broken(&error)),
            }
        }
    }

    async fn way(&self, target: &Target) -> Result<Way<'_>, Failure> {
        let via = self.proxies.route(target)?;
        let needs_tls = target.https || via.is_some_and(|proxy| proxy.kind == ProxyKind::Https);
        let tls = if needs_tls { Some(self.connector.tls.current().await?) } else { None };
        let key = Key::new(target, via, tls.as_ref().map_or(0, |now| now.generation));
        Ok(Way { via, tls, key })
    }

    /// A connection that is ready for a request: a kept one if any is alive, else a new one.
    async fn lease(&self, target: &Target, way: &Way<'_>) -> Result<Lease, Failure> {
        while let Some(mut lease) = self.pool.checkout(&way.key) {
            if lease.sender.ready().await.is_ok() {
                return Ok(lease);
            }
        }
        // Apart, since it is seldom needed, and would make every request's future several times larger.
        let connecting = Box::pin(self.connector.connect(target, way.via.map(AsRef::as_ref), way.tls.as_ref()));
        let connection = connecting.await?;
        if let Some(tls) = &way.tls {
            self.pool.forget_before(tls.generation);
        }
        let mut lease = Lease { key: way.key.clone(), sender: Sender::open(connection).await?, reused: false };
        lease.sender.ready().await.map_err(|error| broken(&error))?;
        self.pool.share(&lease);
        Ok(lease)
    }

    async fn headers_for(&self, hop: &Hop) -> Result<HeaderMap, Failure> {
        let mut headers = hop.headers.clone();
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, self.connector.user_agent.clone());
        }
        if !headers.contains_key(AUTHORIZATION)
            && let Some((user, password)) = &hop.target.user_info
            && let Some(value) = basic(user, password)
        {
            headers.insert(AUTHORIZATION, value);
        }
        if hop.trusted
            && (self.auth.replaces_existing() || !headers.contains_key(AUTHORIZATION))
            && let Some(value) = self.auth.header().await?
        {
            headers.insert(AUTHORIZATION, value);
        }
        self.headers.add_to(&mut headers, hop.trusted).await?;
        Ok(headers)
    }

    /// Reads the body as far as it matters. From here on there is an answer, whatever happens to its body.
    async fn finish(&self, mut answer: Answer, body_wanted: bool, bytes_max: usize, until: Instant) -> Response {
        let status = answer.response.status();
        if status.is_success() && !body_wanted {
            let headers = std::mem::take(answer.response.headers_mut());
            let sent_secrets = std::mem::take(&mut answer.sent_secrets);
            let body_complete = answer.response.body().is_end_stream();
            self.discard(answer);
            return Response { status: status.as_u16(), headers, body: Bytes::new(), body_complete, sent_secrets };
        }
        let Answer { response, sent_secrets, lease, permit } = answer;
        let (parts, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let whole = timeout_at(until, read_up_to(&mut incoming, bytes_max, &mut body)).await;
        let body_complete = matches!(whole, Ok(true));
        if body_complete {
            self.pool.give_back(lease);
        } else if incoming.size_hint().upper().is_some_and(|left| left <= DRAIN_BYTES_MAX as u64) {
            self.drain(incoming, lease, permit);
        }
        Response { status: status.as_u16(), headers: parts.headers, body: body.freeze(), body_complete, sent_secrets }
    }

    /// Makes the connection free again without keeping anybody waiting.
    fn discard(&self, answer: Answer) {
        let body = answer.response.into_body();
        if body.is_end_stream() {
            self.pool.give_back(answer.lease);
        } else {
            self.drain(body, answer.lease, answer.permit);
        }
    }

    /// Reads the rest in the background; what is too long or too slow costs its connection.
    fn drain(&self, mut body: Incoming, lease: Lease, permit: OwnedSemaphorePermit) {
        let pool = Arc::downgrade(&self.pool);
        tokio::spawn(async move {
            let mut left = DRAIN_BYTES_MAX;
            let drained = timeout(DRAIN_TIME_MAX, async {
                while let Some(frame) = body.frame().await {
                    let length = frame.ok()?.data_ref().map_or(0, Bytes::len);
                    left = left.checked_sub(length)?;
                }
                Some(())
            });
            if let (Ok(Some(())), Some(pool)) = (drained.await, pool.upgrade()) {
                pool.give_back(lease);
            }
            drop(permit);
        });
    }
}

impl Hop {
    /// The next hop, as Go's client makes it.
    fn follow(self, target: Target, keeps_body: bool, origin: &str) -> Hop {
        let trusted = self.trusted && is_host_or_below(&target.host, origin);
        let mut headers = self.headers;
        if !trusted {
            let sensitive: Vec<HeaderName> = headers.keys().filter(|name| is_sensitive(name)).cloned().collect();
            for name in sensitive {
                headers.remove(name);
            }
        }
        if keeps_body {
            return Hop { target, headers, trusted, ..self };
        }
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
            headers.remove(name);
        }
        let method = if self.method == Method::HEAD { Method::HEAD } else { Method::GET };
        Hop { target, method, headers, body: Bytes::new(), trusted }
    }

    fn request(
        &self,
        mut headers: HeaderMap,
        http2: bool,
        via: Option<&Arc<ProxyServer>>,
    ) -> Result<http::Request<Full<Bytes>>, Failure> {
        let target = &self.target;
        let unusable = |_| Failure::new(ErrorKind::Url, "invalid URL");
        let proxied = via.filter(|proxy| !target.https && proxy.kind != ProxyKind::Socks5);
        let uri = if http2 || proxied.is_some() {
            let scheme = if target.https { "https" } else { "http" };
            Uri::builder().scheme(scheme).authority(target.authority.as_str()).path_and_query(&*target.path_and_query)
        } else {
            Uri::builder().path_and_query(&*target.path_and_query)
        };
        if http2 {
            headers.remove(HOST);
        } else if !headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&target.authority);
            headers.insert(HOST, host.map_err(|_| Failure::new(ErrorKind::Url, "invalid URL host"))?);
        }
        if let Some(value) = proxied.and_then(|proxy| proxy.authorization.as_ref()) {
            headers.insert(PROXY_AUTHORIZATION, value.clone());
        }
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.build().map_err(unusable)?;
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// `Location` against where we are.
fn resolve(here: &str, location: &HeaderValue) -> Result<String, Failure> {
    let text = std::str::from_utf8(location.as_bytes()).ok();
    let joined = text.and_then(|text| url::Url::parse(here).and_then(|base| base.join(text)).ok());
    joined.map(String::from).ok_or_else(|| Failure::new(ErrorKind::Redirect, "failed to parse Location header"))
}

fn is_host_or_below(host: &str, origin: &str) -> bool {
    host == origin || host.strip_suffix(origin).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether the body ended within `limit`; what came is in `out`.
async fn read_up_to(body: &mut Incoming, limit: usize, out: &mut BytesMut) -> bool {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(data) = frame.data_ref() else { continue };
        let room = limit - out.len();
        out.extend_from_slice(data.get(..room).unwrap_or(data));
        if data.len() > room {
            return false;
        }
    }
    true
}

fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    error.source().and_then(|source| source.downcast_ref::<io::Error>())
}

/// A connection that failed under a request, in Go's words where there are any.
pub(super) fn broken(error: &hyper::Error) -> Failure {
    let text = if let Some(source) = io_source(error) {
        match alert(source) {
            Some(alert) => format!("remote error: tls: {alert}"),
            None => format!("read tcp: {}", io_text(source)),
        }
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "EOF".to_owned()
    } else if error.is_parse() {
        format!("net/http: malformed HTTP response: {error}")
    } else {
        error.to_string()
    };
    Failure::new(ErrorKind::Exchange, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_is_trusted_a_lookalike_is_not() {
        assert!(is_host_or_below("a.example.org", "example.org"));
        assert!(is_host_or_below("example.org", "example.org"));
        assert!(!is_host_or_below("badexample.org", "example.org"));
        assert!(!is_host_or_below("example.org", "a.example.org"));
    }

    #[test]
    fn a_location_is_resolved_against_the_current_url() {
        let resolve = |location: &'static str| resolve("http://h:8/a/b?x=1", &HeaderValue::from_static(location));
        assert_eq!(resolve("/c").unwrap(), "http://h:8/c");
        assert_eq!(resolve("c?y=2").unwrap(), "http://h:8/a/c?y=2");
        assert_eq!(resolve("//other/c").unwrap(), "http://other/c");
        assert_eq!(resolve("https://x:bad/").unwrap_err().text, "failed to parse Location header");
    }
}
