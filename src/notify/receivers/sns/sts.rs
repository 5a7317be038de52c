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
        let scope = Scope { service: "sts", region: self.region };
        let form =
            self.form("AssumeRole", role, &[("DurationSeconds", LIFE_SECONDS), ("ExternalId", role.external_id)]);
        let request = self.sts()?.post_signed(form, scope, base, self.sender.now());
        let request = request.ok_or_else(|| unavailable("they hold characters that no HTTP header may have"))?;
        self.fetch_role("AssumeRole", request).await
    }

    pub(super) async fn assume_role_with_token(&self, role: Role<'_>, file: &str) -> Result<Credentials, NotifyError> {
        const ACTION: &str = "AssumeRoleWithWebIdentity";
        let token = read_text_file(file.as_ref()).await;
        let token = token.map_err(|error| unavailable(&format!("web identity token: {error}")))?;
        let request = self.sts()?.post(self.form(ACTION, role, &[("WebIdentityToken", token.trim())]));
        let answered = self.fetch_role(ACTION, request).await;
        // The answer may repeat the token.
        answered.map_err(|error| NotifyError { message: error.message.replace(token.trim(), "<redacted>"), ..error })
    }

    /// `more` without its empty values.
    fn form(&self, action: &str, role: Role<'_>, more: &[(&str, &str)]) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", VERSION);
        form.append_pair("RoleArn", role.arn).append_pair("RoleSessionName", &self.session_name(role));
        form.extend_pairs(more.iter().filter(|(_, value)| !value.is_empty()));
        form.finish()
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
