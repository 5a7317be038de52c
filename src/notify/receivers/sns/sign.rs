//! AWS Signature Version 4 for a form that is posted: the only kind of request that SNS and STS need.

use hmac::{Hmac, Mac};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use sha2::{Digest as _, Sha256};

use super::credentials::Credentials;
use crate::{clock::Time, httpconf::Request, notify::receivers::sender::LIBRARY_USER_AGENT};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const FORM: &str = "application/x-www-form-urlencoded";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// For which service of which region a signature is good.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub service: &'a str,
    pub region: &'a str,
}

/// The endpoint as it is signed and as it is sent: the same.
pub(super) struct Endpoint {
    url: url::Url,
}

impl Endpoint {
    /// `None`: not an absolute http or https URL.
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = url::Url::parse(text).ok()?;
        url.set_fragment(None);
        url.set_query(None);
        let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
        usable.then_some(Endpoint { url })
    }

    fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The form, not signed.
    pub fn post(&self, form: String) -> Request {
        let mut request = Request { body_wanted: true, ..Request::post_json(self.url.to_string(), form) };
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        request.headers.insert(http::header::USER_AGENT, HeaderValue::from_static(LIBRARY_USER_AGENT));
        request
    }

    /// The form, signed. `None`: the credentials hold what no header can hold.
    pub fn post_signed(&self, form: String, scope: Scope<'_>, credentials: &Credentials, now: Time) -> Option<Request> {
        let mut request = self.post(form);
        let moment = now.format("%Y%m%dT%H%M%SZ").to_string();
        request.headers.insert(DATE, HeaderValue::from_str(&moment).ok()?);
        if !credentials.session_token.is_empty() {
            request.headers.insert(SECURITY_TOKEN, secret_value(&credentials.session_token)?);
        }
        let authorization = self.authorization(&request, scope, credentials, &moment);
        request.headers.insert(AUTHORIZATION, secret_value(&authorization)?);
        Some(request)
    }

    fn authorization(&self, request: &Request, scope: Scope<'_>, credentials: &Credentials, moment: &str) -> String {
        let (names, lines) = self.signed_headers(&request.headers);
        let canonical =
            format!("POST\n{}\n\n{lines}\n{names}\n{}", self.url.path(), hex(&Sha256::digest(&request.body)));
        let date = moment.get(..8).unwrap_or_default();
        let scope_text = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
        let to_sign = format!("{ALGORITHM}\n{moment}\n{scope_text}\n{}", hex(&Sha256::digest(canonical)));
        let key = format!("AWS4{}", credentials.secret_key).into_bytes();
        let key = [date, scope.region, scope.service, "aws4_request"].iter().fold(key, |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        format!(
            "{ALGORITHM} Credential={}/{scope_text}, SignedHeaders={names}, Signature={signature}",
            credentials.access_key
        )
    }

    /// Names and lines, both in order of the names.
    fn signed_headers(&self, headers: &HeaderMap) -> (String, String) {
        let mut signed = vec![("host", self.host().into())];
        for (text, name) in
            [("content-type", CONTENT_TYPE), ("x-amz-date", DATE), ("x-amz-security-token", SECURITY_TOKEN)]
        {
            signed.extend(headers.get(name).map(|value| (text, String::from_utf8_lossy(value.as_bytes()))));
        }
        signed.sort_unstable_by_key(|(name, _)| *name);
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let lines = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        (names.join(";"), lines)
    }
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is fine");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(token: &str) -> Request {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.to_owned(),
            expires: None,
        };
        let endpoint = Endpoint::parse("https://Example.amazonaws.com:443").unwrap();
        let scope = Scope { service: "service", region: "us-east-1" };
        let form = "Param1=value1".to_owned();
        endpoint.post_signed(form, scope, &credentials, "2015-08-30T12:36:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_posted_form_is_signed_as_in_the_published_test_suite() {
        let request = signed("");
        assert_eq!(request.url, "https://example.amazonaws.com/");
        assert_eq!(
            request.headers[AUTHORIZATION],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let request = signed("token");
        assert_eq!(request.headers["x-amz-security-token"], "token");
        let authorization = request.headers[AUTHORIZATION].to_str().unwrap();
        assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"));
    }

    #[test]
    fn only_absolute_http_urls_are_endpoints() {
        assert!(Endpoint::parse("http://127.0.0.1:4566").is_some());
        for bad in ["", "sns.eu-west-1.amazonaws.com", "ftp://h/", "/path"] {
            assert!(Endpoint::parse(bad).is_none(), "{bad}");
        }
    }
}
