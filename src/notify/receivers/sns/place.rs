//! The role of the place where the program runs: of its container (ECS, EKS), or of its machine (EC2).

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION};

use super::credentials::{Credentials, Shop, unavailable};
use crate::{
    httpconf::{Request, read_text_file},
    notify::types::NotifyError,
};

/// These answer at once, or nobody is there.
const TIME_MAX: Duration = Duration::from_secs(5);
const CONTAINER: &str = "http://169.254.170.2";
const MACHINE: &str = "http://169.254.169.254";
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_LIFE: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

impl Shop<'_> {
    /// Where the container's credentials are, if the environment says so.
    pub(super) fn container(&self) -> Option<Result<String, NotifyError>> {
        if let Some(path) = self.environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Some(Ok(format!("{CONTAINER}{path}")));
        }
        let url = self.environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        Some(match may_ask(url) {
            true => Ok(url.to_owned()),
            false => {
                Err(unavailable("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this host"))
            }
        })
    }

    pub(super) async fn of_container(&self, url: String) -> Result<Credentials, NotifyError> {
        let mut headers = HeaderMap::new();
        let token = match self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => {
                let token = read_text_file(path.as_ref()).await;
                Some(token.map_err(|error| unavailable(&format!("container authorization token: {error}")))?)
            }
            None => self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.trim())
                .map_err(|_| unavailable("the container authorization token is no header value"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let body = self.ask("container", Request { headers, ..Request::get(url) }).await?;
        Credentials::read(&body).ok_or_else(|| unavailable("the container's answer holds no credentials"))
    }

    pub(super) async fn of_machine(&self) -> Result<Credentials, NotifyError> {
        if self.environment.is_true("AWS_EC2_METADATA_DISABLED") {
            return Err(unavailable("none are configured, and AWS_EC2_METADATA_DISABLED is set"));
        }
        let base = self.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(MACHINE).trim_end_matches('/');
        let life = HeaderMap::from_iter([(TOKEN_LIFE, HeaderValue::from_static("21600"))]);
        let request =
            Request { method: Method::PUT, headers: life, ..Request::get(format!("{base}/latest/api/token")) };
        let token = self.ask("EC2 metadata token", request).await?;
        let token = HeaderValue::from_bytes(token.trim_ascii()).map_err(|_| unavailable("no EC2 metadata token"))?;
        let get = |path: &str| Request {
            headers: HeaderMap::from_iter([(TOKEN, token.clone())]),
            ..Request::get(format!("{base}/latest/meta-data/iam/security-credentials/{path}"))
        };
        let roles = self.ask("EC2 role", get("")).await?;
        let roles = String::from_utf8_lossy(&roles);
        let role = roles.lines().next().map(str::trim).filter(|role| !role.is_empty());
        let role = role.ok_or_else(|| unavailable("none are configured, and the EC2 instance has no role"))?;
        let body = self.ask("EC2 role", get(role)).await?;
        Credentials::read(&body).ok_or_else(|| unavailable("the EC2 metadata hold no credentials"))
    }

    async fn ask(&self, what: &str, request: Request) -> Result<bytes::Bytes, NotifyError> {
        let answer = self.local.exchange(Request { timeout: Some(TIME_MAX), ..request }).await;
        let response = answer.map_err(|error| unavailable(&format!("{what}: {}", error.message)))?;
        match response.status {
            200 => Ok(response.body),
            status => Err(unavailable(&format!("{what}: unexpected status code {status}"))),
        }
    }
}

/// Credentials must not be asked for in clear text from far away.
fn may_ask(url: &str) -> bool {
    const NEAR: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    let Ok(url) = url::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_near = host == "localhost"
        || NEAR.contains(&host)
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_near)
}

#[cfg(test)]
mod tests {
    use super::may_ask;

    #[test]
    fn clear_text_stays_on_the_host() {
        for near in
            ["http://127.0.0.1:9/x", "http://[::1]/", "http://169.254.170.23/v1/credentials", "https://far.example"]
        {
            assert!(may_ask(near), "{near}");
        }
        for far in ["http://far.example/", "http://10.0.0.1/", "file:///x", ""] {
            assert!(!may_ask(far), "{far}");
        }
    }
}
