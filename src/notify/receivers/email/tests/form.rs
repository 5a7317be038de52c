//! What a mail looks like, whatever the templates print.

use std::collections::BTreeMap;

use chrono::Local;
use proptest::prelude::*;

use super::{moment, notification, settings, templates};
use crate::{
    config::model::{EmailConfig, EmailThreading},
    notify::receivers::email::message::{Message, Occasion, compose},
    random::Random,
    template::Templates,
};

fn mail(templates: &Templates, config: &EmailConfig, job: &str) -> Message {
    let notification = notification(job);
    let random = Random::seeded(7);
    let occasion =
        Occasion { templates, notification: &notification, now: moment(), random: &random, hostname: "node-1" };
    compose(config, &occasion).unwrap()
}

/// Headers by name, and what follows the empty line.
fn parsed(text: &str) -> (Vec<(&str, &str)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split("\r\n").map(|line| line.split_once(": ").unwrap()).collect(), body)
}

fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (headers, _) = parsed(text);
    headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

#[test]
fn a_whole_mail() {
    let config = EmailConfig { text: "{{ .CommonLabels.job }} is höt ".into(), ..settings() };
    let text = mail(&templates(), &config, "a<pi").text;
    let boundary = header(&text, "Content-Type").unwrap().strip_prefix("multipart/alternative;  boundary=").unwrap();
    assert!(boundary.len() == 60 && boundary.bytes().all(|b| b.is_ascii_hexdigit()));
    let id = header(&text, "Message-Id").unwrap();
    let (nanos, rest) = id.strip_prefix('<').unwrap().split_once('.').unwrap();
    let (random, host) = rest.split_once('@').unwrap();
    assert_eq!((nanos, host), ("1714979289000000000", "node-1>"));
    assert!(random.parse::<u64>().is_ok());
    let date = moment().with_timezone(&Local).format("%a, %d %b %Y %H:%M:%S %z");
    let expected = format!(
        "Subject: High a<pi\r\n\
         To: ops@example.org\r\n\
         From: am@example.org\r\n\
         Message-Id: {id}\r\n\
         Date: {date}\r\n\
         Content-Type: multipart/alternative;  boundary={boundary}\r\n\
         MIME-Version: 1.0\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         Content-Type: text/plain; charset=UTF-8\r\n\
         \r\n\
         a<pi is h=C3=B6t=20\r\n\
         --{boundary}\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         Content-Type: text/html; charset=UTF-8\r\n\
         \r\n\
         <p>a&lt;pi</p>\r\n\
         --{boundary}--"
    );
    assert_eq!(text, expected);
}

#[test]
fn the_shipped_subject_is_used_when_none_is_configured() {
    let config = EmailConfig { headers: BTreeMap::new(), ..settings() };
    assert_eq!(header(&mail(&templates(), &config, "api").text, "Subject"), Some("[FIRING:1] High (api)"));
}

#[test]
fn configured_headers_replace_ours() {
    let headers = [("Message-Id", "<mine@x>"), ("To", "Team <{{ .CommonLabels.job }}@x.org>"), ("X-Job", "über")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mail = mail(&templates(), &EmailConfig { headers, ..settings() }, "api");
    let (headers, _) = parsed(&mail.text);
    assert_eq!(headers.iter().filter(|(name, _)| *name == "Message-Id").count(), 1);
    assert_eq!(header(&mail.text, "To"), Some("Team <api@x.org>"));
    assert_eq!(header(&mail.text, "X-Job"), Some("=?utf-8?q?=C3=BCber?="));
    assert_eq!(mail.to[0].for_smtp(true).to_string(), "ops@example.org", "the envelope goes by `to`");
}

#[test]
fn threads_are_named_after_the_group_and_the_day() {
    let day = moment().with_timezone(&Local).format("%Y-%m-%d").to_string();
    for (threading, day) in [(EmailThreading::Daily, day), (EmailThreading::None, String::new())] {
        let text = mail(&templates(), &EmailConfig { threading: Some(threading), ..settings() }, "api").text;
        let root = header(&text, "References").unwrap();
        assert_eq!(root, format!("<alert-f3d6947c9c15e6b3-{day}@alertmanager>"));
        assert_eq!(header(&text, "In-Reply-To"), Some(root));
    }
    assert_eq!(header(&mail(&templates(), &settings(), "api").text, "References"), None);
}

#[test]
fn a_mail_without_parts_is_still_multipart() {
    let text = mail(&templates(), &EmailConfig { html: String::new(), ..settings() }, "api").text;
    let (_, body) = parsed(&text);
    assert!(body.starts_with("\r\n--") && body.ends_with("--"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_that_a_template_prints_changes_the_form(job in "(?s)(.|[\r\n:.=-]){0,120}") {
        let templates = templates();
        let value = "{{ .CommonLabels.job }}".to_owned();
        let headers = [("Subject".to_owned(), value.clone()), ("X-Job".to_owned(), value.clone())].into();
        let config = EmailConfig { headers, text: value.clone(), html: value, ..settings() };
        let text = mail(&templates, &config, &job).text;
        prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n')));
        prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        let (headers, body) = parsed(&text);
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        prop_assert_eq!(names, ["Subject", "X-Job", "To", "From", "Message-Id", "Date", "Content-Type", "MIME-Version"]);
        let boundary = header(&text, "Content-Type").unwrap().rsplit('=').next().unwrap();
        prop_assert_eq!(body.matches(boundary).count(), 3);
    }
}
