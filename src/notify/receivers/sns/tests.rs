//! The search for credentials: from each of its places, over loopback.

use std::sync::Arc;

use super::*;
use crate::{
    alert::Labels,
    clock::Clock,
    config::model::{Secret, SigV4Config},
    httpconf::tests::support::{self, Answer, Authority, Seen, Server},
    notify::types::Reason,
    template::Templates,
};

const FAR: &str = "2999-01-01T00:00:00Z";

fn json(access: &str, end: &str) -> String {
    format!(
        "{{\"Code\":\"Success\",\"AccessKeyId\":\"{access}\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"{end}\"}}"
    )
}

fn role_xml(access: &str) -> String {
    format!(
        "<C><AccessKeyId>{access}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
         <Expiration>{FAR}</Expiration></C>"
    )
}

fn config(api_url: &str, sigv4: SigV4Config) -> SnsConfig {
    SnsConfig {
        http: support::plain(),
        api_url: api_url.to_owned(),
        sigv4: SigV4Config { region: "eu-west-1".to_owned(), ..sigv4 },
        topic_arn: "arn:t".to_owned(),
        target_arn: String::new(),
        phone_number: String::new(),
        subject: String::new(),
        message: "m".to_owned(),
        attributes: BTreeMap::new(),
        use_aws_http_client: false,
    }
}

fn context() -> BuildContext {
    BuildContext {
        templates: Arc::new(Templates::load(&[]).unwrap()),
        http: support::options(),
        clock: Clock::system(),
        random: Random::seeded(1),
    }
}

fn notification() -> Notification {
    Notification {
        group_key: "{}:{}".into(),
        receiver: "team".into(),
        group_labels: Labels::default(),
        route_labels: Labels::default(),
        alerts: Vec::new(),
        fingerprints: Vec::new(),
        reason: Reason::FirstNotification,
        now: "2024-05-06T09:00:00Z".parse().unwrap(),
        external_url: "http://am".into(),
        memory: Default::default(),
    }
}

/// Publishes once; SNS lives at `/sns`, everything else is `answer`'s.
struct Run {
    server: Server,
    outcome: Result<Receipt, NotifyError>,
}

impl Run {
    async fn new(
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        sigv4: SigV4Config,
        environment: impl FnOnce(&Server) -> Environment,
    ) -> Self {
        let server = Server::start(move |seen| if seen.uri == "/sns" { Answer::ok() } else { answer(seen) }).await;
        let sns = Sns::within(environment(&server), &config(&server.url("/sns"), sigv4), &context()).unwrap();
        let outcome = sns.notify(&notification()).await;
        Run { server, outcome }
    }

    /// The access key with which the message was published.
    fn signer(&self) -> String {
        self.outcome.as_ref().unwrap();
        let seen = self.server.last();
        assert_eq!(seen.uri, "/sns");
        let authorization = seen.header("authorization").unwrap();
        authorization.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
    }

    fn failure(&self) -> &NotifyError {
        let error = self.outcome.as_ref().unwrap_err();
        assert_eq!(error.progress, Progress::NotSent);
        error
    }

    fn form(&self, index: usize) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.server.seen()[index].body.as_bytes()).into_owned().collect()
    }
}

fn nothing(_: &Seen) -> Answer {
    Answer::status(404)
}

#[tokio::test]
async fn configured_keys_win_over_the_environment() {
    let own = SigV4Config { access_key: "OWN".into(), secret_key: Some(Secret("s".into())), ..Default::default() };
    let keys = |_: &Server| Environment::of([("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    assert_eq!(Run::new(nothing, own, keys).await.signer(), "OWN");
    assert_eq!(Run::new(nothing, SigV4Config::default(), keys).await.signer(), "ENV");
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_a_role_without_a_signature() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "web-token\n").unwrap();
    let environment = |server: &Server| {
        Environment::of([
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:web"),
            ("AWS_ROLE_SESSION_NAME", "pod"),
            ("AWS_ENDPOINT_URL_STS", &server.url("/sts")),
        ])
    };
    let run = Run::new(|_| Answer::ok().body(role_xml("WEB")), SigV4Config::default(), environment).await;
    assert_eq!(run.signer(), "WEB");
    let form = run.form(0);
    assert_eq!((form["Action"].as_str(), form["RoleArn"].as_str()), ("AssumeRoleWithWebIdentity", "arn:web"));
    assert_eq!((form["WebIdentityToken"].as_str(), form["RoleSessionName"].as_str()), ("web-token", "pod"));
    assert_eq!(run.server.seen()[0].header("authorization"), None);

    let echo = |seen: &Seen| Answer::status(400).body(seen.body.clone());
    let run = Run::new(echo, SigV4Config::default(), environment).await;
    assert!(!run.failure().message.contains("web-token"), "{}", run.failure());
}

#[tokio::test]
async fn a_container_answers_to_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "pod-token\n").unwrap();
    let environment = |server: &Server| {
        Environment::of([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/v1/credentials").as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        ])
    };
    let run = Run::new(|_| Answer::ok().body(json("POD", FAR)), SigV4Config::default(), environment).await;
    assert_eq!(run.signer(), "POD");
    assert_eq!(run.server.seen()[0].header("authorization"), Some("pod-token"));
    assert_eq!(run.server.last().header("x-amz-security-token"), Some("t"));
}

#[tokio::test]
async fn a_machine_is_asked_for_its_role_with_a_session() {
    let answer = |seen: &Seen| match (seen.method.as_str(), seen.uri.as_str()) {
        ("PUT", "/latest/api/token") => Answer::ok().body("imds"),
        ("GET", "/latest/meta-data/iam/security-credentials/") => Answer::ok().body("my-role"),
        ("GET", "/latest/meta-data/iam/security-credentials/my-role") => Answer::ok().body(json("EC2", FAR)),
        _ => Answer::status(404),
    };
    let environment =
        |server: &Server| Environment::of([("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url("").as_str())]);
    let run = Run::new(answer, SigV4Config::default(), environment).await;
    assert_eq!(run.signer(), "EC2");
    assert_eq!(run.server.seen()[2].header("x-aws-ec2-metadata-token"), Some("imds"));

    let off = |_: &Server| Environment::of([("AWS_EC2_METADATA_DISABLED", "true")]);
    let run = Run::new(nothing, SigV4Config::default(), off).await;
    assert!(run.failure().retry && run.failure().message.contains("none are configured"), "{}", run.failure());
}

#[tokio::test]
async fn a_profile_may_assume_a_role_with_the_keys_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    std::fs::write(
        &path,
        "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = s\n\
         [profile ops]\nrole_arn = arn:ops\nsource_profile = base\n\
         [profile circle]\nrole_arn = r\nsource_profile = circle2\n[profile circle2]\nsource_profile = circle\n\
         [profile run]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"RUN\",\"SecretAccessKey\":\"s\"}'\n\
         [profile sso]\nsso_session = x\n",
    )
    .unwrap();
    let environment = |server: &Server| {
        Environment::of([("AWS_CONFIG_FILE", path.to_str().unwrap()), ("AWS_ENDPOINT_URL_STS", &server.url("/sts"))])
    };
    let profile = |name: &str| SigV4Config { profile: name.to_owned(), ..Default::default() };
    let sts = |_: &Seen| Answer::ok().body(role_xml("OPS"));
    let run = Run::new(sts, profile("ops"), environment).await;
    assert_eq!(run.signer(), "OPS");
    assert!(run.server.seen()[0].header("authorization").unwrap().contains("Credential=BASE/"));
    assert_eq!(run.form(0)["RoleArn"], "arn:ops");
    assert_eq!(Run::new(nothing, profile("run"), environment).await.signer(), "RUN");
    for (name, says) in [("circle", "in a circle"), ("sso", "uses SSO"), ("none", "no shared config profile \"none\"")]
    {
        let run = Run::new(nothing, profile(name), environment).await;
        assert!(run.failure().message.contains(says), "{}", run.failure());
    }
}

#[tokio::test]
async fn credentials_that_end_soon_are_fetched_again_and_refused_ones_forgotten() {
    let now = Clock::system().now();
    for (end, status, fetches) in [
        ((now + chrono::TimeDelta::seconds(30)).to_rfc3339(), 200, 2),
        ((now + chrono::TimeDelta::minutes(10)).to_rfc3339(), 200, 1),
        ((now + chrono::TimeDelta::minutes(10)).to_rfc3339(), 403, 2),
    ] {
        let answer = move |seen: &Seen| match seen.uri.as_str() {
            "/sns" => Answer::status(status),
            _ => Answer::ok().body(json("POD", &end)),
        };
        let server = Server::start(answer).await;
        let environment = Environment::of([("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/c").as_str())]);
        let sns = Sns::within(environment, &config(&server.url("/sns"), Default::default()), &context()).unwrap();
        for _ in 0..2 {
            assert_eq!(sns.notify(&notification()).await.is_ok(), status == 200);
        }
        assert_eq!(server.seen().iter().filter(|seen| seen.uri == "/c").count(), fetches);
    }
}

#[tokio::test]
async fn without_a_region_nothing_is_sent() {
    let own = SigV4Config { access_key: "OWN".into(), secret_key: Some(Secret("s".into())), ..Default::default() };
    let mut config = config("http://127.0.0.1:1/", own);
    config.sigv4.region.clear();
    let send = async |environment: Environment| {
        Sns::within(environment, &config, &context()).unwrap().notify(&notification()).await.unwrap_err()
    };
    let error = send(Environment::default()).await;
    assert!(error.message.contains("missing region") && error.retry, "{error}");
    assert!(send(Environment::of([("AWS_REGION", "eu-west-1")])).await.message.contains("connection refused"));
}

#[tokio::test]
async fn a_ca_bundle_of_the_environment_is_trusted_and_leaves_tls_and_proxy_of_the_http_config() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, authority.pem()).unwrap();
    let http = HttpConfig {
        headers: vec![("X-Env".to_owned(), Vec::new())],
        proxy: support::through("http://proxy:1"),
        tls: TlsConfig { server_name: "n".to_owned(), ..authority.tls() },
        ..support::plain()
    };
    let taken = aws_http(&http, Some(bundle.clone()));
    assert!(taken.headers.is_empty() && taken.proxy == http.proxy && taken.tls.server_name == "n");
    let Some(TextSource::Inline(ca)) = taken.tls.ca else { panic!("both are trusted") };
    assert_eq!(ca.matches("BEGIN CERTIFICATE").count(), 2);
    let plain = aws_http(&support::plain(), Some(bundle.clone()));
    assert_eq!(plain.tls.ca, Some(TextSource::File(bundle)));
    let missing = Environment::of([("AWS_CA_BUNDLE", "/no/bundle")]);
    assert!(Sns::within(missing, &config("", Default::default()), &context()).is_err());
}
