//! Whether a change was asked for on a page of ours.
//!
//! Two conditions, both needed. The browser must not say that the request comes from elsewhere: `Sec-Fetch-Site`
//! has to be `same-origin`, and where a browser does not send that, `Origin` has to be this server (the `Host` of the
//! request, or `--web.external-url`). And the form must carry the token of the browser's cookie, which no other
//! site can read. The token is masked anew on each page, so that compressed pages do not give it away bit by bit.
//! Every node accepts the forms of every other: nothing is kept on the server.

use http::{HeaderMap, header};

use super::ask::cookie;
use crate::random::Random;

/// Kept by the browser; `Lax`, so that a link from a chat does not make a new one and the open forms useless.
pub const COOKIE: &str = "carillon_csrf";

/// What the cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    #[must_use]
    pub fn new(random: &Random) -> Self {
        Secret(u128_of(random))
    }

    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        unhex(cookie(headers, COOKIE)?).map(Secret)
    }

    /// The value of `Set-Cookie`.
    #[must_use]
    pub fn cookie(&self) -> String {
        format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", hex(&self.0))
    }

    /// For one page.
    #[must_use]
    pub fn token(&self, random: &Random) -> String {
        let pad = u128_of(random);
        hex(&pad) + &hex(&xor(pad, self.0))
    }

    #[must_use]
    pub fn accepts(&self, token: &str) -> bool {
        let halves = token.split_at_checked(32);
        let read = halves.and_then(|(pad, masked)| Some(xor(unhex(pad)?, unhex(masked)?)));
        // Compared without stopping early.
        read.is_some_and(|read| read.iter().zip(self.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
    }
}

fn u128_of(random: &Random) -> [u8; 16] {
    (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).to_be_bytes()
}

fn xor(mut a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// Whether the browser says, or does not deny, that the request comes from a page of this server.
#[must_use]
pub fn is_same_origin(headers: &HeaderMap, external_origin: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let own = origin.split_once("://").is_some_and(|(_, rest)| host == Some(rest));
            own || origin == external_origin
        }
        // Neither: an old browser or no browser. The token decides.
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_token_is_accepted_by_its_secret_alone_and_never_the_same_twice() {
        let random = Random::seeded(1);
        let (mine, other) = (Secret::new(&random), Secret::new(&random));
        let (one, two) = (mine.token(&random), mine.token(&random));
        assert!(mine.accepts(&one) && mine.accepts(&two) && one != two);
        assert!(!other.accepts(&one));
        for bad in ["", "x", &one[1..], &one.replace(&one[..1], "ü"), &format!("{one}0")] {
            assert!(!mine.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_read_back_from_its_cookie() {
        let secret = Secret::new(&Random::seeded(2));
        let cookie = secret.cookie();
        let value = HeaderValue::from_str(cookie.split(';').next().unwrap()).unwrap();
        assert_eq!(Secret::of(&HeaderMap::from_iter([(header::COOKIE, value)])), Some(secret));
        assert_eq!(Secret::of(&headers(&[("cookie", "carillon_csrf=zz")])), None);
    }

    #[test]
    fn other_sites_are_told_by_either_header() {
        let external = "https://am.example";
        for (pairs, want) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://h:1"), ("host", "h:1")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://h:1"), ("host", "h:1")], true),
            (&[("origin", "https://am.example"), ("host", "10.0.0.1:9093")], true),
            (&[("origin", "https://evil.example"), ("host", "h:1")], false),
            (&[("origin", "null"), ("host", "h:1")], false),
            (&[], true),
        ] {
            assert_eq!(is_same_origin(&headers(pairs), external), want, "{pairs:?}");
        }
    }
}
