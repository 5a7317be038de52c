//! Roles: STS gives credentials of limited life for other credentials or for a token.

use url::form_urlencoded::Serializer;

use super::{
    answer::element,
    credentials::{Credentials, Shop, unavailable},
    sign::{Endpoint, Scope},
};
use crate::{
    clock::Time,
    httpconf::{Request, read_text_file},
    notify::{receivers::http_status, types::NotifyError},
};

const VERSION: &str = "2011-06-15";
/// As the SDK asks.
const LIFE_SECONDS: &str = "900";

/// The role to become.
#[derive(Clone, Copy)]
pub(super) struct Role<'a> {
    pub arn: &'a str,
    pub external_id: &'a str,
    pub session_name: &'a str,
}

impl Shop<'_> {
    pub(super) async fn assume_role(&self, role: Role<'_>, base: &Credentials) -> Result<Credentials, NotifyError> {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "AssumeRole").append_pair("Version", VERSION);
        form.append_pair("DurationSeconds", LIFE_SECONDS);
        if !role.external_id.is_empty() {
            form.append_pair("ExternalId", role.external_id);
        }
        form.append_pair("RoleArn", role.arn).append_pair("RoleSessionName", &self.session_name(role));
        let scope = Scope { service: "sts", region: self.region };
        let request = self.sts()?.post_signed(form.finish(), scope, base, self.sender.now());
        let request = request.ok_or_else(|| unavailable("the AWS credentials hold characters that no HTTP header may have"))?;
        self.fetch_role("AssumeRole", request).await
    }

    pub(super) async fn assume_role_with_token(&self, role: Role<'_>, file: &str) -> Result<Credentials, NotifyError> {
        let token = read_text_file(file.as_ref()).await;
        let token = token.map_err(|error| unavailable(&format!("web identity token: {error}")))?;
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "AssumeRoleWithWebIdentity").append_pair("Version", VERSION);
        form.append_pair("RoleArn", role.arn).append_pair("RoleSessionName", &self.session_name(role));
        form.append_pair("WebIdentityToken", &token);
        let request = self.sts()?.post(form.finish());
        self.fetch_role("AssumeRoleWithWebIdentity", request).await
    }

    fn sts(&self) -> Result<Endpoint, NotifyError> {
        let endpoint = self.environment.sts_endpoint(self.region, self.settings.use_fips_sts_endpoint);
        Endpoint::parse(&endpoint).ok_or_else(|| unavailable("the STS endpoint is no URL"))
    }

    fn session_name(&self, role: Role<'_>) -> String {
        match role.session_name {
            "" => format!("carillon-{}", self.sender.now().timestamp_nanos_opt().unwrap_or_default()),
            name => name.to_owned(),
        }
    }

    async fn fetch_role(&self, action: &str, request: Request) -> Result<Credentials, NotifyError> {
        let response = self.sender.exchange(request).await?;
        http_status::check_with(&response, &[], self.sender.now(), super::answer::complaint)
            .map_err(|error| NotifyError { message: format!("STS {action}: {}", error.message), ..error })?;
        let body = String::from_utf8_lossy(&response.body);
        read(&body).ok_or_else(|| unavailable(&format!("STS {action}: the answer holds no credentials")))
    }
}

fn read(body: &str) -> Option<Credentials> {
    Some(Credentials {
        access_key: element(body, "AccessKeyId")?,
        secret_key: element(body, "SecretAccessKey")?,
        session_token: element(body, "SessionToken")?,
        expires: Some(element(body, "Expiration")?.parse::<Time>().ok()?),
    })
}
