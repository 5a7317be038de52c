//! Cross-origin requests: any origin may read and post, none may delete (reference/server.md 4).

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::answer::{self, Answer};

/// Headers that a preflight may ask for: in order, since browsers send them sorted and lower case.
const HEADERS: [&str; 3] = ["accept", "content-type", "x-requested-with"];
const ANY: HeaderValue = HeaderValue::from_static("*");
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// The answer to a preflight, if `headers` of an OPTIONS request are one.
pub(super) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Answer> {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|value| !value.is_empty())?;
    if method != Method::OPTIONS {
        return None;
    }
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    let out = answer.headers_mut();
    out.insert(header::VARY, PREFLIGHT_VARY);
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let method_allowed = ["GET", "POST", "HEAD", "OPTIONS"].iter().any(|method| wanted == method);
    if has_origin(headers) && method_allowed && asked.is_none_or(are_allowed) {
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
        if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
            out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
    Some(answer)
}

/// What an answer to anything else says.
pub(super) fn mark(answer: &mut Answer, method: &Method, has_origin: bool) {
    let out = answer.headers_mut();
    out.insert(header::VARY, HeaderValue::from_static("Origin"));
    if has_origin && [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS].contains(method) {
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    }
}

pub(super) fn has_origin(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| !origin.is_empty())
}

fn are_allowed(asked: &HeaderValue) -> bool {
    let Ok(text) = asked.to_str() else { return false };
    let mut allowed = HEADERS.iter();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| allowed.any(|known| *known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, asked: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://ui.example"));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_str(method).unwrap());
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_str(asked).unwrap());
        }
        let answer = preflight(&Method::OPTIONS, &headers).unwrap();
        assert_eq!(answer.status(), 204);
        answer.headers().get(header::ACCESS_CONTROL_ALLOW_METHODS).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn reading_and_posting_are_allowed_with_the_known_headers() {
        assert_eq!(ask("POST", Some("accept, content-type")), Some("POST".into()));
        assert_eq!(ask("GET", None), Some("GET".into()));
        assert_eq!(ask("POST", Some("")), Some("POST".into()));
    }

    #[test]
    fn deleting_and_other_headers_are_not() {
        for (method, asked) in [
            ("DELETE", None),
            ("get", None),
            ("POST", Some("authorization")),
            ("POST", Some("content-type,accept")),
            ("POST", Some("Content-Type")),
        ] {
            assert_eq!(ask(method, asked), None, "{method} {asked:?}");
        }
    }

    #[test]
    fn options_without_a_requested_method_is_no_preflight() {
        assert!(preflight(&Method::OPTIONS, &HeaderMap::new()).is_none());
    }
}
