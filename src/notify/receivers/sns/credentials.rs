//! Whose name a request is signed with: the search that AWS's SDK makes, in its order.
//!
//! 1. keys in `sigv4`;
//! 2. the profile named in `sigv4`;
//! 3. keys in the environment;
//! 4. a web identity in the environment (EKS);
//! 5. the profile of the environment, or `default`;
//! 6. the container's or the machine's own role.
//!
//! On top of what is found, `sigv4.role_arn` is assumed. Credentials that end are kept until shortly before;
//! others are looked up anew each time, so that changed files count.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    environment::Environment,
    profile::{Profile, Profiles},
    sts::Role,
};
use crate::{
    clock::{Time, delta},
    config::model::SigV4Config,
    notify::{
        receivers::sender::Sender,
        types::{FailureReason, NotifyError, Progress},
    },
};

/// Credentials are given up this long before they end.
const RESERVE: Duration = Duration::from_secs(60);
/// Profiles may refer to others, but not for ever.
const PROFILES_MAX: usize = 8;
const PROCESS_TIME_MAX: Duration = Duration::from_secs(60);
const DEFAULT_PROFILE: &str = "default";

/// A key pair, perhaps with the token of a session.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    /// Empty: none.
    pub session_token: String,
    /// `None`: they do not end.
    pub expires: Option<Time>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// How containers, machines and processes write credentials.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default, alias = "SessionToken")]
    token: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
}

impl Credentials {
    /// Keys that do not end; `None` unless both are there.
    fn lasting(access_key: Option<&str>, secret_key: Option<&str>, session_token: Option<&str>) -> Option<Self> {
        Some(Credentials {
            access_key: access_key?.to_owned(),
            secret_key: secret_key?.to_owned(),
            session_token: session_token.unwrap_or_default().to_owned(),
            expires: None,
        })
    }

    /// From JSON.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(json).ok()?;
        Some(Credentials {
            access_key: written.access_key_id,
            secret_key: written.secret_access_key,
            session_token: written.token.unwrap_or_default(),
            expires: match written.expiration {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            },
        })
    }

    fn good_at(&self, now: Time) -> bool {
        self.expires.is_none_or(|end| now + delta(RESERVE) < end)
    }
}

/// No credentials, so nothing was sent; it may be different the next time.
pub(super) fn unavailable(message: &str) -> NotifyError {
    NotifyError {
        message: format!("failed to retrieve AWS credentials: {message}"),
        retry: true,
        reason: FailureReason::Other,
        progress: Progress::NotSent,
        retry_after: None,
    }
}

/// Where credentials are got from, for one notification.
pub(super) struct Shop<'a> {
    /// For STS.
    pub sender: &'a Sender,
    /// For the addresses of the own machine: no proxy, no headers.
    pub local: &'a Sender,
    pub settings: &'a SigV4Config,
    pub environment: &'a Environment,
    pub profiles: &'a Profiles,
    pub region: &'a str,
}

/// The last credentials that end.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Credentials>>);

type Found<'f> = Pin<Box<dyn Future<Output = Result<Credentials, NotifyError>> + Send + 'f>>;

impl Kept {
    pub async fn or_from(&self, shop: &Shop<'_>) -> Result<Credentials, NotifyError> {
        let mut kept = self.0.lock().await;
        if let Some(credentials) = &*kept
            && credentials.good_at(shop.sender.now())
        {
            return Ok(credentials.clone());
        }
        let found = shop.find().await.map_err(|error| NotifyError { progress: Progress::NotSent, ..error })?;
        *kept = found.expires.is_some().then(|| found.clone());
        Ok(found)
    }

    /// The other side did not accept them.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl Shop<'_> {
    async fn find(&self) -> Result<Credentials, NotifyError> {
        let base = self.base().await?;
        match self.settings.role_arn.as_str() {
            "" => Ok(base),
            arn => {
                let role = Role { arn, external_id: &self.settings.external_id, session_name: "" };
                self.assume_role(role, &base).await
            }
        }
    }

    async fn base(&self) -> Result<Credentials, NotifyError> {
        let SigV4Config { access_key, secret_key, profile, .. } = self.settings;
        if let Some(secret) = secret_key {
            return Ok(Credentials {
                access_key: access_key.clone(),
                secret_key: secret.0.as_ref().to_owned(),
                session_token: String::new(),
                expires: None,
            });
        }
        if !profile.is_empty() {
            return self.of_profile(profile, 0).await;
        }
        if let Some(keys) = self.of_environment() {
            return Ok(keys);
        }
        if let Some(token_file) = self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let arn = self.environment.get("AWS_ROLE_ARN").ok_or_else(|| unavailable("AWS_ROLE_ARN is not set"))?;
            let session_name = self.environment.get("AWS_ROLE_SESSION_NAME").unwrap_or_default();
            return self.assume_role_with_token(Role { arn, external_id: "", session_name }, token_file).await;
        }
        match self.environment.get("AWS_PROFILE") {
            Some(name) => self.of_profile(name, 0).await,
            None if self.profiles.get(DEFAULT_PROFILE).is_some() => self.of_profile(DEFAULT_PROFILE, 0).await,
            None => self.of_place().await,
        }
    }

    fn of_environment(&self) -> Option<Credentials> {
        let get = |name| self.environment.get(name);
        let access = get("AWS_ACCESS_KEY_ID").or_else(|| get("AWS_ACCESS_KEY"));
        let secret = get("AWS_SECRET_ACCESS_KEY").or_else(|| get("AWS_SECRET_KEY"));
        Credentials::lasting(access, secret, get("AWS_SESSION_TOKEN"))
    }

    /// The container, else the machine.
    async fn of_place(&self) -> Result<Credentials, NotifyError> {
        match self.container() {
            Some(container) => self.of_container(container?).await,
            None => self.of_machine().await,
        }
    }

    fn of_profile<'s>(&'s self, name: &'s str, depth: usize) -> Found<'s> {
        Box::pin(async move {
            if depth >= PROFILES_MAX {
                return Err(unavailable("profiles refer to one another in a circle"));
            }
            let profile = self.profiles.get(name);
            let profile = profile.ok_or_else(|| unavailable(&format!("there is no shared config profile {name:?}")))?;
            let role = Role {
                arn: profile.get("role_arn").unwrap_or_default(),
                external_id: profile.get("external_id").unwrap_or_default(),
                session_name: profile.get("role_session_name").unwrap_or_default(),
            };
            if let Some(token_file) = profile.get("web_identity_token_file") {
                return self.assume_role_with_token(role, token_file).await;
            }
            let base = self.base_of_profile(name, profile, depth).await?;
            if role.arn.is_empty() { Ok(base) } else { self.assume_role(role, &base).await }
        })
    }

    async fn base_of_profile(&self, name: &str, profile: &Profile, depth: usize) -> Result<Credentials, NotifyError> {
        let get = |key| profile.get(key);
        if let Some(source) = get("source_profile").filter(|source| *source != name) {
            return self.of_profile(source, depth + 1).await;
        }
        let keys = (get("aws_access_key_id"), get("aws_secret_access_key"), get("aws_session_token"));
        if let Some(keys) = Credentials::lasting(keys.0, keys.1, keys.2) {
            return Ok(keys);
        }
        match get("credential_source") {
            None => {}
            Some("Environment") => {
                return self.of_environment().ok_or_else(|| unavailable("the environment holds no keys"));
            }
            Some("Ec2InstanceMetadata") => return self.of_machine().await,
            Some("EcsContainer") => return self.of_place().await,
            Some(other) => return Err(unavailable(&format!("unknown credential_source {other:?}"))),
        }
        if get("sso_session").is_some() || get("sso_start_url").is_some() {
            return Err(unavailable(&format!(
                "profile {name:?} uses SSO, which is for people: give it keys or a role"
            )));
        }
        match get("credential_process") {
            Some(command) => of_process(command).await,
            None => self.of_place().await,
        }
    }
}

/// A program of the operator's that prints credentials.
async fn of_process(command: &str) -> Result<Credentials, NotifyError> {
    let command = command.to_owned();
    let run = tokio::task::spawn_blocking(move || std::process::Command::new("sh").arg("-c").arg(command).output());
    let output = match tokio::time::timeout(PROCESS_TIME_MAX, run).await {
        Ok(Ok(Ok(output))) => output,
        Ok(_) => return Err(unavailable("credential_process could not be started")),
        Err(_) => return Err(unavailable("credential_process took too long")),
    };
    if !output.status.success() {
        return Err(unavailable(&format!("credential_process failed ({})", output.status)));
    }
    Credentials::read(&output.stdout).ok_or_else(|| unavailable("credential_process printed no credentials"))
}
