//! The pages outside of API version 2, and the plain answers of the server itself.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::{
    api::{Answer, Body},
    metrics::Metrics,
};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const METRICS_TEXT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");

const FAVICON: &[u8] = include_bytes!("favicon.svg");
const V1_GONE: &str = concat!(
    r#"{"status":"deprecated","error":"The Alertmanager v1 API was deprecated in version 0.16.0 and is removed"#,
    r#" as of version 0.27.0 - please use the equivalent route in the v2 API"}"#,
    "\n"
);

fn answer(status: StatusCode, content_type: HeaderValue, body: impl Into<bytes::Bytes>) -> Answer {
    let mut answer = Response::new(Body::whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

/// `OK` for probes; no body for HEAD.
pub(super) fn ok(method: &Method) -> Answer {
    if method == Method::HEAD {
        return Response::new(Body::empty());
    }
    answer(StatusCode::OK, TEXT, "OK")
}

/// What went wrong, in plain text with a newline.
pub(super) fn error(status: StatusCode, text: &str) -> Answer {
    let mut answer = answer(status, TEXT, format!("{text}\n"));
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

pub(super) fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "404 page not found")
}

/// Plain text without the header that errors have.
pub(super) fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Answer {
    answer(status, TEXT, text)
}

pub(super) fn empty_ok() -> Answer {
    Response::new(Body::empty())
}

/// OPTIONS on a known path gets its methods, any other method that it has not a refusal.
pub(super) fn methods(method: &Method, allowed: &[&str]) -> Answer {
    let mut answer = match *method {
        Method::OPTIONS => empty_ok(),
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    };
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// A redirect to a path of this server. Only GET and HEAD get a page to read.
pub(super) fn redirect(status: StatusCode, method: &Method, path: &str, query: Option<&str>) -> Answer {
    let location = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut answer = if [Method::GET, Method::HEAD].contains(method) {
        let phrase = status.canonical_reason().unwrap_or_default();
        let page = format!("<a href=\"{}\">{phrase}</a>.\n\n", html_escaped(&location));
        answer(status, HTML, page)
    } else {
        let mut answer = empty_ok();
        *answer.status_mut() = status;
        answer
    };
    if let Ok(value) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(header::LOCATION, value);
    }
    answer
}

fn html_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

pub(super) fn v1_gone() -> Answer {
    answer(StatusCode::GONE, HeaderValue::from_static("application/json"), V1_GONE)
}

pub(super) fn favicon() -> Answer {
    uncached(answer(StatusCode::OK, HeaderValue::from_static("image/svg+xml"), FAVICON))
}

fn uncached(mut answer: Answer) -> Answer {
    let headers: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::EXPIRES, "0"),
    ];
    answer.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

/// The metrics, compressed if the client takes that.
pub(super) fn metrics(metrics: &Metrics, headers: &HeaderMap) -> Answer {
    let text = match metrics.scrape() {
        Ok(text) => text,
        Err(why) => {
            metrics.promhttp_requests_total.with_label_values(&["500"]).inc();
            tracing::error!(err = %why, "Collecting metrics failed");
            return error(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("An error has occurred while serving metrics:\n\n{why}"),
            );
        }
    };
    metrics.promhttp_requests_total.with_label_values(&["200"]).inc();
    match takes_gzip(headers).then(|| gzipped(&text)).flatten() {
        Some(packed) => {
            let mut answer = answer(StatusCode::OK, METRICS_TEXT, packed);
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        }
        None => answer(StatusCode::OK, METRICS_TEXT, text),
    }
}

pub(super) fn gzipped(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

/// The answer in compressed form, if that is worth it.
pub(super) async fn packed(answer: Answer) -> Answer {
    const WORTH: usize = 1_024;
    if answer.body().known_len().is_none_or(|length| length < WORTH) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    // It is whole, so that it is there at once.
    let Ok(whole) = body.collect().await;
    let whole = whole.to_bytes();
    match gzipped(&whole) {
        Some(packed) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            Response::from_parts(parts, Body::whole(packed))
        }
        None => Response::from_parts(parts, Body::whole(whole)),
    }
}

pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        named && parts.filter_map(|p| p.strip_prefix("q=")).all(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &'static str) -> bool {
        takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
    }

    #[test]
    fn gzip_is_used_only_when_it_is_asked_for() {
        assert!(accepts("gzip") && accepts("deflate, GZIP;q=0.5") && accepts("*"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("x-gzip"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_redirect_keeps_the_query_and_has_a_page_only_for_get() {
        let to = redirect(StatusCode::MOVED_PERMANENTLY, &Method::GET, "/metrics", Some("a=<b>"));
        assert_eq!(to.headers()[header::LOCATION], "/metrics?a=<b>");
        assert_eq!(to.body().known_len(), Some("<a href=\"/metrics?a=&lt;b&gt;\">Moved Permanently</a>.\n\n".len()));
        assert_eq!(redirect(StatusCode::TEMPORARY_REDIRECT, &Method::POST, "/x", None).body().known_len(), Some(0));
    }

    #[test]
    fn the_allowed_methods_are_told() {
        let refusal = methods(&Method::PUT, &["GET", "OPTIONS"]);
        assert_eq!(
            (refusal.status().as_u16(), &refusal.headers()[header::ALLOW]),
            (405, &HeaderValue::from_static("GET, OPTIONS"))
        );
        assert_eq!(methods(&Method::OPTIONS, &["GET"]).status(), 200);
    }
}
