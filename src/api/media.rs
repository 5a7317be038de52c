//! Content negotiation: what a request may bring and what it must accept (reference/server.md 4).

use http::{HeaderMap, header};

use super::answer::Fault;

/// Whether the body's type is JSON; called only for requests that have a body.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(value) = headers.get(header::CONTENT_TYPE).filter(|value| !value.is_empty()) else {
        return Err(unsupported("application/octet-stream"));
    };
    if value == "application/json" {
        return Ok(());
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let malformed = |why: &str| {
        let quoted = crate::alert::text::quote(&text);
        Fault::new(400, format!("parsing Content-Type header from {quoted} failed, because {why}"))
    };
    let (media, parameters) = text.split_once(';').unwrap_or((&text, ""));
    let media = media.trim().to_ascii_lowercase();
    if media.is_empty() {
        return Err(malformed("mime: no media type"));
    }
    let Some((_, subtype)) = media.split_once('/') else {
        return Err(malformed(&format!("mediatype: malformed: {} has no subtype", crate::alert::text::quote(&media))));
    };
    if !subtype.bytes().all(is_token_byte) {
        return Err(malformed("mime: unexpected content after media subtype"));
    }
    if !are_parameters(parameters) {
        return Err(malformed("mime: invalid media parameter"));
    }
    if media == "application/json" { Ok(()) } else { Err(unsupported(&media)) }
}

fn unsupported(media: &str) -> Fault {
    let quoted = crate::alert::text::quote(media);
    Fault::new(415, format!("unsupported media type {quoted}, only [application/json] are allowed"))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// `a=b; c="d"`, or blank.
fn are_parameters(text: &str) -> bool {
    text.split(';').map(str::trim).enumerate().all(|(index, parameter)| {
        if parameter.is_empty() {
            return index == 0 && !text.contains(';');
        }
        parameter.split_once('=').is_some_and(|(name, value)| {
            let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
            !name.is_empty()
                && name.bytes().all(is_token_byte)
                && !value.is_empty()
                && (quoted || value.bytes().all(is_token_byte))
        })
    })
}

/// Whether the client takes JSON; called only for requests without a body.
pub(super) fn check_accept(headers: &HeaderMap) -> Result<(), Fault> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() || values.any(|value| takes_json(&String::from_utf8_lossy(value.as_bytes()))) {
        return Ok(());
    }
    Err(Fault::new(406, "unsupported media type requested, only [application/json] are available"))
}

fn takes_json(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let named = ["*/*", "application/*", "application/json"].iter().any(|known| media.eq_ignore_ascii_case(known));
        named && parts.filter_map(|p| p.strip_prefix("q=")).all(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn content_type(value: &str) -> Result<(), String> {
        check_content_type(&headers(header::CONTENT_TYPE, value))
            .map_err(|fault| format!("{} {}", fault.code, fault.message))
    }

    #[test]
    fn json_with_parameters_is_taken() {
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/json;",
            "application/json; a=\"b\"",
        ] {
            assert_eq!(content_type(value), Ok(()), "{value}");
        }
    }

    #[test]
    fn other_types_are_refused_in_the_words_of_the_reference() {
        assert_eq!(
            content_type("text/plain"),
            Err("415 unsupported media type \"text/plain\", only [application/json] are allowed".into())
        );
        assert_eq!(
            content_type(""),
            Err("415 unsupported media type \"application/octet-stream\", only [application/json] are allowed".into())
        );
        for (value, why) in [
            ("json", "mediatype: malformed: \"json\" has no subtype"),
            (";", "mime: no media type"),
            ("application/json; x", "mime: invalid media parameter"),
            ("application/json, text/plain", "mime: unexpected content after media subtype"),
        ] {
            assert_eq!(
                content_type(value),
                Err(format!("400 parsing Content-Type header from \"{value}\" failed, because {why}"))
            );
        }
    }

    #[test]
    fn an_accept_header_must_allow_json() {
        for value in [
            "*/*",
            "text/html, */*;q=0.1",
            "application/*",
            "application/json;q=0.5, text/html",
            "application/json; charset=utf-8",
        ] {
            assert!(check_accept(&headers(header::ACCEPT, value)).is_ok(), "{value}");
        }
        for value in ["text/html", "application/json;q=0", "", "foo", "application/vnd.x+json", "*"] {
            assert!(check_accept(&headers(header::ACCEPT, value)).is_err(), "{value}");
        }
        assert!(check_accept(&HeaderMap::new()).is_ok());
    }
}
