//! What one part of the file takes from another: globals into integrations, relative paths from the file's
//! folder, names that must exist. Works on the file's own structures, so that a dump shows the result.

use std::{
    collections::HashSet,
    path::{Component, Path, PathBuf},
};

use super::{
    schema::{
        chat::{Mattermost, RocketChat, Slack, Telegram, WeChat},
        http::{Authorization, Http, OAuth2, Tls},
        mail::Email,
        paging::{OpsGenie, VictorOps},
        required,
        route::Route,
        top::{File, Global, List, Receiver},
    },
    values::{HttpUrl, SecretText, SecretUrl},
    yaml::decode::{Dump as _, Stop, Structure as _},
};
use crate::alert::text::quote;

/// Completes the file in place.
///
/// # Errors
/// Something is missing, doubled or unknown.
pub fn complete(file: &mut File, dir: &Path) -> Result<(), Stop> {
    let mut global = file.global.take().unwrap_or_else(|| Box::new(Global::initial()));
    global.check_alternatives()?;
    global.http_config.get_or_insert_with(|| Box::new(Http::initial())).join_paths(dir);
    let receivers = complete_receivers(&mut file.receivers, &mut global, dir);
    file.global = Some(global);
    receivers?;
    check_root(file.route.as_deref())?;
    check_references(file)?;
    for template in &mut file.templates {
        join(dir, template);
    }
    complete_event_recorder(file, dir);
    complete_used_headers(file);
    Ok(())
}

/// A relative path, from the file's folder; the text is cleaned of dots and doubled slashes.
/// The same for a block that stands alone.
pub fn complete_http(block: &mut Http, dir: &Path) {
    block.join_paths(dir);
}

fn join(dir: &Path, path: &mut String) {
    if path.is_empty() || Path::new(path).is_absolute() {
        return;
    }
    let mut clean = PathBuf::new();
    for component in dir.join(&*path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match clean.components().next_back() {
                Some(Component::Normal(_)) => drop(clean.pop()),
                Some(Component::RootDir) => {}
                _ => clean.push(".."),
            },
            other => clean.push(other),
        }
    }
    *path = clean.to_string_lossy().into_owned();
}

impl Tls {
    fn join_paths(&mut self, dir: &Path) {
        for path in [&mut self.ca_file, &mut self.cert_file, &mut self.key_file] {
            join(dir, path);
        }
    }
}

impl OAuth2 {
    fn join_paths(&mut self, dir: &Path) {
        // The file of the client's certificate key is not among them.
        join(dir, &mut self.client_secret_file);
        self.tls_config.join_paths(dir);
    }
}

impl Http {
    fn join_paths(&mut self, dir: &Path) {
        if let Some(basic) = &mut self.basic_auth {
            join(dir, &mut basic.username_file);
            join(dir, &mut basic.password_file);
        }
        if let Some(authorization) = &mut self.authorization {
            join(dir, &mut authorization.credentials_file);
        }
        if let Some(oauth2) = &mut self.oauth2 {
            oauth2.join_paths(dir);
        }
        self.tls_config.join_paths(dir);
        for header in self.http_headers.iter_mut().flat_map(|headers| headers.0.values_mut()) {
            for path in &mut header.files {
                join(dir, path);
            }
        }
    }
}

fn complete_receivers(receivers: &mut [Receiver], global: &mut Global, dir: &Path) -> Result<(), Stop> {
    let mut names = HashSet::new();
    for receiver in receivers {
        if !names.insert(receiver.name.clone()) {
            return Err(Stop::because(format!("notification config name {} is not unique", quote(&receiver.name))));
        }
        complete_receiver(receiver, global, dir).map_err(|mut stop| {
            stop.reason = format!("{} (receiver {})", stop.reason, quote(&receiver.name));
            stop
        })?;
    }
    Ok(())
}

/// The entries of a list, none of them null.
fn entries<'a, T>(list: &'a mut List<T>, name: &'static str) -> impl Iterator<Item = Result<&'a mut T, Stop>> {
    list.iter_mut()
        .map(move |entry| entry.as_deref_mut().ok_or_else(|| Stop::because(format!("missing {name} config"))))
}

/// The `http_config` of each entry: its own, its paths joined, or the global one as a whole.
macro_rules! complete_http {
    ($receiver:ident, $global:ident, $dir:ident: $($list:ident $name:literal),* $(,)?) => {$(
        for entry in entries(&mut $receiver.$list, $name) {
            inherit_http(&mut entry?.http_config, $global, $dir);
        }
    )*};
}

fn inherit_http(own: &mut Option<Box<Http>>, global: &Global, dir: &Path) {
    match own {
        Some(own) => own.join_paths(dir),
        None => own.clone_from(&global.http_config),
    }
}

fn complete_receiver(receiver: &mut Receiver, global: &mut Global, dir: &Path) -> Result<(), Stop> {
    complete_http!(receiver, global, dir:
        discord_configs "discord",
        webhook_configs "webhook",
        pushover_configs "pushover",
        sns_configs "sns",
        msteams_configs "msteams",
    );
    for entry in entries(&mut receiver.email_configs, "email") {
        entry?.inherit(global)?;
    }
    for entry in entries(&mut receiver.incidentio_configs, "incidentio") {
        // Paths in its own block are left as they are.
        entry?.http_config.get_or_insert_with(|| global.http_config.clone().unwrap_or_default());
    }
    for entry in entries(&mut receiver.pagerduty_configs, "pagerduty") {
        let entry = entry?;
        inherit_http(&mut entry.http_config, global, dir);
        inherit_url(&mut entry.url, &global.pagerduty_url, "no global PagerDuty URL set")?;
    }
    for entry in entries(&mut receiver.slack_configs, "slack") {
        entry?.inherit(global, dir)?;
    }
    for entry in entries(&mut receiver.opsgenie_configs, "opsgenie") {
        entry?.inherit(global, dir)?;
    }
    for entry in entries(&mut receiver.wechat_configs, "wechat") {
        entry?.inherit(global, dir)?;
    }
    for entry in entries(&mut receiver.victorops_configs, "victorops") {
        entry?.inherit(global, dir)?;
    }
    for entry in entries(&mut receiver.telegram_configs, "telegram") {
        entry?.inherit(global, dir)?;
    }
    for entry in entries(&mut receiver.webex_configs, "webex") {
        let entry = entry?;
        inherit_http(&mut entry.http_config, global, dir);
        inherit_url(&mut entry.api_url, &global.webex_api_url, "no global Webex URL set")?;
    }
    for entry in entries(&mut receiver.msteamsv2_configs, "msteamsv2") {
        let http = &mut entry?.http_config;
        inherit_http(http, global, dir);
        if let (Some(own), Some(common)) = (http, &global.http_config)
            && own.proxy_url.is_none()
        {
            own.proxy_url.clone_from(&common.proxy_url);
        }
    }
    for entry in entries(&mut receiver.jira_configs, "jira") {
        let entry = entry?;
        inherit_http(&mut entry.http_config, global, dir);
        inherit_url(&mut entry.api_url, &global.jira_api_url, "no global Jira Cloud URL set")?;
    }
    for entry in entries(&mut receiver.rocketchat_configs, "rocketchat") {
        entry?.inherit(global, dir)?;
    }
    for entry in entries(&mut receiver.mattermost_configs, "mattermost") {
        entry?.inherit(global, dir)?;
    }
    Ok(())
}

fn inherit_url(own: &mut Option<HttpUrl>, common: &Option<HttpUrl>, missing: &str) -> Result<(), Stop> {
    if own.is_none() {
        own.clone_from(common);
    }
    required(own.is_some(), missing)
}

/// As [`inherit_url`], for addresses to which paths are appended; the global one gets its slash as well.
fn inherit_base(own: &mut Option<HttpUrl>, common: &mut Option<HttpUrl>, missing: &str) -> Result<(), Stop> {
    if own.is_none()
        && let Some(common) = common
    {
        common.0.end_with_slash();
    }
    inherit_url(own, common, missing)?;
    if let Some(own) = own {
        own.0.end_with_slash();
    }
    Ok(())
}

fn inherit_text(own: &mut String, common: &String) {
    if own.is_empty() {
        own.clone_from(common);
    }
}

fn inherit_secret(own: &mut SecretText, common: &SecretText) {
    if own.is_empty() {
        own.clone_from(common);
    }
}

/// Inline and file together: one's own replace both.
fn inherit_pair(own: (&mut SecretText, &mut String), common: (&SecretText, &String)) {
    if own.0.is_empty() && own.1.is_empty() {
        own.0.clone_from(common.0);
        own.1.clone_from(common.1);
    }
}

fn given(inline: &SecretText, file: &str) -> bool {
    !inline.is_empty() || !file.is_empty()
}

impl Email {
    fn inherit(&mut self, global: &Global) -> Result<(), Stop> {
        if self.smarthost.is_zero() {
            required(!global.smtp_smarthost.is_zero(), "no global SMTP smarthost set")?;
            self.smarthost.clone_from(&global.smtp_smarthost);
        }
        inherit_text(&mut self.from, &global.smtp_from);
        required(!self.from.is_empty(), "no global SMTP from set")?;
        inherit_text(&mut self.hello, &global.smtp_hello);
        inherit_text(&mut self.auth_username, &global.smtp_auth_username);
        inherit_pair(
            (&mut self.auth_password, &mut self.auth_password_file),
            (&global.smtp_auth_password, &global.smtp_auth_password_file),
        );
        inherit_secret(&mut self.auth_secret, &global.smtp_auth_secret);
        inherit_text(&mut self.auth_secret_file, &global.smtp_auth_secret_file);
        inherit_text(&mut self.auth_identity, &global.smtp_auth_identity);
        self.require_tls.get_or_insert(global.smtp_require_tls);
        if self.tls_config.is_none() {
            self.tls_config.clone_from(&global.smtp_tls_config);
        }
        self.force_implicit_tls = self.force_implicit_tls.or(global.smtp_force_implicit_tls);
        Ok(())
    }
}

impl Slack {
    fn inherit(&mut self, global: &Global, dir: &Path) -> Result<(), Stop> {
        inherit_url(&mut self.app_url, &global.slack_app_url, "no global Slack App URL set")?;
        let authorized = self.http_config.as_ref().is_some_and(|http| http.authorization.is_some());
        if !self.has_token() && !authorized && self.api_url.is_none() {
            self.app_token.clone_from(&global.slack_app_token);
            self.app_token_file.clone_from(&global.slack_app_token_file);
        }
        inherit_http(&mut self.http_config, global, dir);
        if self.has_token() {
            let http = self.http_config.get_or_insert_with(|| Box::new(Http::initial()));
            required(http.authorization.is_none(), "http authorization can't be set when using Slack App tokens")?;
            let mut credentials_file = self.app_token_file.clone();
            join(dir, &mut credentials_file);
            http.authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials: self.app_token.clone(),
                credentials_file,
                credentials_ref: String::new(),
            });
            self.api_url = self.app_url.as_ref().map(|url| SecretUrl(url.0.clone()));
        }
        if self.api_url.is_none() && self.api_url_file.is_empty() {
            self.api_url.clone_from(&global.slack_api_url);
            self.api_url_file.clone_from(&global.slack_api_url_file);
        }
        required(
            self.api_url.is_some() || !self.api_url_file.is_empty(),
            "no Slack API URL nor App token set either inline or in a file",
        )
    }
}

impl OpsGenie {
    fn inherit(&mut self, global: &mut Global, dir: &Path) -> Result<(), Stop> {
        inherit_http(&mut self.http_config, global, dir);
        inherit_base(&mut self.api_url, &mut global.opsgenie_api_url, "no global OpsGenie URL set")?;
        inherit_secret(&mut self.api_key, &global.opsgenie_api_key);
        inherit_text(&mut self.api_key_file, &global.opsgenie_api_key_file);
        required(given(&self.api_key, &self.api_key_file), "no global OpsGenie API Key set either inline or in a file")
    }
}

impl WeChat {
    fn inherit(&mut self, global: &mut Global, dir: &Path) -> Result<(), Stop> {
        inherit_http(&mut self.http_config, global, dir);
        inherit_base(&mut self.api_url, &mut global.wechat_api_url, "no global Wechat URL set")?;
        inherit_pair(
            (&mut self.api_secret, &mut self.api_secret_file),
            (&global.wechat_api_secret, &global.wechat_api_secret_file),
        );
        required(
            given(&self.api_secret, &self.api_secret_file),
            "no global Wechat Api Secret set either inline or in a file",
        )?;
        inherit_text(&mut self.corp_id, &global.wechat_api_corp_id);
        required(!self.corp_id.is_empty(), "no global Wechat CorpID set")
    }
}

impl VictorOps {
    fn inherit(&mut self, global: &mut Global, dir: &Path) -> Result<(), Stop> {
        inherit_http(&mut self.http_config, global, dir);
        inherit_base(&mut self.api_url, &mut global.victorops_api_url, "no global VictorOps URL set")?;
        inherit_secret(&mut self.api_key, &global.victorops_api_key);
        inherit_text(&mut self.api_key_file, &global.victorops_api_key_file);
        required(given(&self.api_key, &self.api_key_file), "no global VictorOps API Key set")
    }
}

impl Telegram {
    fn inherit(&mut self, global: &Global, dir: &Path) -> Result<(), Stop> {
        inherit_http(&mut self.http_config, global, dir);
        inherit_pair(
            (&mut self.bot_token, &mut self.bot_token_file),
            (&global.telegram_bot_token, &global.telegram_bot_token_file),
        );
        required(
            given(&self.bot_token, &self.bot_token_file),
            "missing bot_token or bot_token_file on telegram_config",
        )?;
        inherit_url(&mut self.api_url, &global.telegram_api_url, "no global Telegram URL set")
    }
}

impl RocketChat {
    fn inherit(&mut self, global: &Global, dir: &Path) -> Result<(), Stop> {
        inherit_http(&mut self.http_config, global, dir);
        inherit_secret(&mut self.token_id, &global.rocketchat_token_id);
        inherit_text(&mut self.token_id_file, &global.rocketchat_token_id_file);
        required(
            given(&self.token_id, &self.token_id_file),
            "no global Rocketchat TokenID set either inline or in a file",
        )?;
        inherit_secret(&mut self.token, &global.rocketchat_token);
        inherit_text(&mut self.token_file, &global.rocketchat_token_file);
        required(given(&self.token, &self.token_file), "no global Rocketchat Token set either inline or in a file")?;
        inherit_url(&mut self.api_url, &global.rocketchat_api_url, "no global Rocketchat URL set")
    }
}

impl Mattermost {
    fn inherit(&mut self, global: &Global, dir: &Path) -> Result<(), Stop> {
        inherit_http(&mut self.http_config, global, dir);
        if self.webhook_url.is_none() && self.webhook_url_file.is_empty() {
            self.webhook_url.clone_from(&global.mattermost_webhook_url);
            self.webhook_url_file.clone_from(&global.mattermost_webhook_url_file);
        }
        required(
            self.webhook_url.is_some() || !self.webhook_url_file.is_empty(),
            "missing webhook_url or webhook_url_file on mattermost_config",
        )
    }
}

fn check_root(route: Option<&Route>) -> Result<(), Stop> {
    let Some(root) = route else { return required(false, "no routes provided") };
    required(!root.receiver.is_empty(), "root route must specify a default receiver")?;
    let unmatched = root.match_equal.is_empty() && root.match_re.0.is_empty() && root.matchers.0.is_empty();
    required(unmatched, "root route must not have any matchers")?;
    required(root.mute_time_intervals.is_empty(), "root route must not have any mute time intervals")?;
    required(root.active_time_intervals.is_empty(), "root route must not have any active time intervals")?;
    required(!root.continue_, "cannot have continue in root route")
}

fn check_references(file: &File) -> Result<(), Stop> {
    let receivers: HashSet<&str> = file.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    each_route(file, &mut |route| match route.receiver.as_str() {
        name if name.is_empty() || receivers.contains(name) => Ok(()),
        name => Err(Stop::because(format!("undefined receiver {} used in route", quote(name)))),
    })?;
    let mut intervals = HashSet::new();
    let named = file.mute_time_intervals.iter().map(|interval| ("mute time interval", &interval.name));
    for (kind, name) in named.chain(file.time_intervals.iter().map(|interval| ("time interval", &interval.name))) {
        if !intervals.insert(name.as_str()) {
            return Err(Stop::because(format!("{kind} {} is not unique", quote(name))));
        }
    }
    each_route(file, &mut |route| {
        let mut used = route.mute_time_intervals.iter().chain(&route.active_time_intervals);
        match used.find(|name| !intervals.contains(name.as_str())) {
            Some(name) => Err(Stop::because(format!("undefined time interval {} used in route", quote(name)))),
            None => Ok(()),
        }
    })
}

/// Every route, parents before children.
fn each_route<'a>(file: &'a File, visit: &mut dyn FnMut(&'a Route) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut waiting: Vec<&Route> = file.route.as_deref().into_iter().collect();
    while let Some(route) = waiting.pop() {
        visit(route)?;
        waiting.extend(route.routes.iter().rev().flatten().map(|child| &**child));
    }
    Ok(())
}

fn complete_event_recorder(file: &mut File, dir: &Path) {
    for output in &mut file.event_recorder.file_outputs {
        join(dir, &mut output.path);
    }
    for http in file.event_recorder.webhook_outputs.iter_mut().filter_map(|output| output.http_config.as_mut()) {
        http.join_paths(dir);
    }
    for tls in file.event_recorder.kafka_outputs.iter_mut().filter_map(|output| output.tls_config.as_mut()) {
        tls.join_paths(dir);
    }
}

/// E-mail headers of receivers that some route uses: the others are never built, and shown as they are.
fn complete_used_headers(file: &mut File) {
    let mut used = HashSet::new();
    let visited = each_route(file, &mut |route| {
        used.insert(route.receiver.clone());
        Ok(())
    });
    debug_assert!(visited.is_ok(), "nothing is refused");
    for receiver in file.receivers.iter_mut().filter(|receiver| used.contains(&receiver.name)) {
        for email in receiver.email_configs.iter_mut().flatten() {
            email.complete_headers();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_folder_and_are_cleaned() {
        for (dir, path, joined) in [
            ("/etc/am", "t/*.tmpl", "/etc/am/t/*.tmpl"),
            ("/etc/am", "./b//../c", "/etc/am/c"),
            ("/etc", "../../x", "/x"),
            ("conf", "../../x", "../x"),
            ("", "x", "x"),
            ("/etc", "/abs/../x", "/abs/../x"),
            ("/etc", "", ""),
        ] {
            let mut text = path.to_owned();
            join(Path::new(dir), &mut text);
            assert_eq!(text, joined, "{dir} {path}");
        }
    }
}
