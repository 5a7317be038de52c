//! Spans of HTTP requests: those that come in, and those that go out. Of addresses only host and port are told, since
//! the paths of webhooks hold tokens.

use http::{HeaderMap, Method, Request, header};

use super::{Extent, Tracer, context::Context, span::Span, wire::Kind};

impl Tracer {
    /// A request comes in. If whoever sent it records its trace, so does this node; `route` is the pattern that the
    /// path matches, if it is known.
    #[must_use]
    pub fn incoming<B>(&self, request: &Request<B>, route: impl FnOnce() -> Option<&'static str>) -> Span {
        let Some(inner) = self.0.as_ref().filter(|_| self.is_on()) else { return Span::default() };
        let parent = Context::of(request.headers());
        let begins = parent.is_none();
        if begins && self.extent() < Extent::Roots as u8 {
            return Span::default();
        }
        let (method, route) = (request.method(), route());
        let name = route.map_or_else(|| method.to_string(), |route| format!("{method} {route}"));
        let start = inner.clock.now();
        let span = match parent {
            Some(parent) => inner.part_of(&parent, true, name, Kind::Server, start),
            None => inner.root(name, Kind::Server, start),
        };
        if span.is_recording() {
            describe(&span, request, route);
        }
        span
    }
}

fn describe<B>(span: &Span, request: &Request<B>, route: Option<&'static str>) {
    span.set("http.request.method", request.method().as_str());
    span.set("url.path", request.uri().path());
    if let Some(route) = route {
        span.set("http.route", route);
    }
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = text(header::HOST) {
        set_server(span, host);
    }
    if let Some(agent) = text(header::USER_AGENT) {
        span.set("user_agent.original", agent);
    }
}

fn set_server(span: &Span, url: &str) {
    let (host, port) = host_and_port(url);
    span.set("server.address", host);
    if let Some(port) = port {
        span.set("server.port", port);
    }
}

/// A request goes out, and its headers say to which trace it belongs.
#[must_use]
pub fn outgoing(method: &Method, url: &str, headers: &mut HeaderMap) -> Span {
    let parent = super::current();
    if parent.is_none() {
        return parent;
    }
    let name = format!("HTTP {method}");
    let span = parent.child(name, Kind::Client);
    span.show(headers);
    if span.is_recording() {
        span.set("http.request.method", method.as_str());
        set_server(&span, url);
    }
    span
}

/// Of a URL, or of what is left of it.
fn host_and_port(url: &str) -> (&str, Option<u16>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().or(usual)),
        _ => (place, usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_host_and_port_are_told() {
        for (url, want) in [
            ("https://user:secret@hooks.example:8443/token?x=1", ("hooks.example", Some(8443))),
            ("https://hooks.example/token", ("hooks.example", Some(443))),
            ("http://[::1]:9/x", ("[::1]", Some(9))),
            ("http://[::1]/x", ("[::1]", Some(80))),
            ("am.example:9093", ("am.example", Some(9093))),
            ("am.example", ("am.example", None)),
        ] {
            assert_eq!(host_and_port(url), want, "{url}");
        }
    }
}
