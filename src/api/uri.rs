//! Whether a text is a URI that Go's `ParseRequestURI` takes: the rule for `generatorURL`.

use super::query::valid_escapes;

/// An absolute URI, an opaque one (`mailto:x`), an absolute path or `*`. The empty text is none.
pub(super) fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 || byte == 0x7F) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = split_scheme(text) else { return false };
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    if !rest.starts_with('/') {
        // Opaque after a scheme; without one it would be a relative reference.
        return scheme;
    }
    match rest.strip_prefix("//") {
        Some(rest) if scheme => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            is_authority(authority) && valid_escapes(path)
        }
        _ => valid_escapes(rest),
    }
}

/// Whether there is a scheme, and what follows it; `None` if there is a colon with nothing before it.
fn split_scheme(text: &str) -> Option<(bool, &str)> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return None,
            b':' => return Some((true, &text[at + 1..])),
            _ => break,
        }
    }
    Some((false, text))
}

fn is_authority(text: &str) -> bool {
    let (user, host) = text.rsplit_once('@').map_or((None, text), |(user, host)| (Some(user), host));
    user.is_none_or(is_user_info) && is_host(host)
}

fn is_user_info(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte))
        && valid_escapes(text)
}

fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        let Some((address, port)) = inner.rsplit_once(']') else { return false };
        return is_optional_port(port)
            && is_host_text(address.split_once("%25").map_or(address, |(address, _)| address));
    }
    let (host, port) = text.rfind(':').map_or((text, ""), |at| text.split_at(at));
    is_optional_port(port) && is_host_text(host)
}

/// Nothing, or a colon and digits.
fn is_optional_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Characters of a host; escapes may only stand for bytes beyond ASCII.
fn is_host_text(text: &str) -> bool {
    let plain = |byte: u8| byte >= 0x80 || byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~%".contains(&byte);
    let beyond_ascii =
        |rest: &str| rest.starts_with(['8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'A', 'B', 'C', 'D', 'E', 'F']);
    text.bytes().all(plain) && valid_escapes(text) && text.split('%').skip(1).all(beyond_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_is_taken() {
        for text in [
            "/foo",
            "//",
            "*",
            "http:",
            "mailto:x",
            "http://x",
            "http://x/a b",
            "http://x:1/",
            "http://[::1]:9/",
            "http://[fe80::1%25eth0]/",
            "http://u:p@x/?a=%zz",
            "http://x/%20",
            "http://%C3%BC/",
            "http://ü/",
            "a+b.c-d:e",
            "http://x/#a",
            "http://prom:9090/graph?g0.expr=up%3D1",
        ] {
            assert!(is_request_uri(text), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "foo",
            "not a url",
            "http://a b/c",
            "http://x/%zz",
            "http://[::1",
            "http://x:abc/",
            ":foo",
            "1http:x",
            "http://x/\u{1}",
            "http://x%20/",
            "http://a^b/",
            "http://u ser@x/",
            "http://x/%2",
        ] {
            assert!(!is_request_uri(text), "{text}");
        }
    }
}
