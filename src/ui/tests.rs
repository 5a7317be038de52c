//! Pages as their readers see them, through the server: without a script, as every browser can.

use std::collections::BTreeSet;

use http::header;
use http_body_util::Full;

use super::{
    ask::escaped,
    testing::{Browser, attribute, fields, links, resolved, set, without_values},
};
use crate::{api::testing::text, silence::State, web::WebOptions};

#[tokio::test]
async fn hostile_labels_are_text_on_every_page() {
    let browser = Browser::new();
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'`\u{202e}\u{0}{{x}}";
    browser
        .post_alerts(
            &serde_json::json!([
                {"labels": {"alertname": evil, "dc": evil, "severity": evil},
                 "annotations": {"summary": evil, "link": "javascript:alert(3)", "run": "https://x.example/\"onclick=alert(4)"},
                 "generatorURL": "javascript:alert(5)"},
                {"labels": {"alertname": "VmDown", "dc": evil}}, {"labels": {"alertname": "HostDown", "dc": evil}}
            ])
            .to_string(),
        )
        .await;
    let fingerprint = browser
        .api
        .alerts
        .snapshot()
        .iter()
        .find(|entry| entry.labels().get("severity").is_some())
        .unwrap()
        .fingerprint();
    let new = browser.page(&format!("/silences/new?from={fingerprint}&comment={}", escaped(evil))).await;
    let (action, mut form) = fields(&new, "id=\"ed\"");
    set(&mut form, "author", evil);
    let made = browser.post(&resolved("/silences/new", &action), &form).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let silence = resolved("/silences/new", &made.location.unwrap());
    let id = silence.split('/').next_back().unwrap().split('?').next().unwrap().to_owned();
    let filter = escaped(&super::html::matcher_text(crate::alert::matcher::MatchOp::Equal, "dc", evil));
    for path in [
        "/".to_owned(),
        format!("/alerts?filter={filter}"),
        format!("/alerts?filter={}", escaped(evil)),
        format!("/alerts?view=flat&receiver={}", escaped(evil)),
        format!("/alerts?view=custom&group={}", escaped(evil)),
        "/silences".to_owned(),
        format!("/silences?filter={}", escaped(evil)),
        silence,
        format!("/silences/{id}/edit"),
        format!("/silences/{id}/expire"),
        format!("/silences/new?filter={filter}"),
        format!("/why/{fingerprint}"),
        format!("/why?filter={filter}"),
        format!("/why?filter={}&receiver={}", escaped(evil), escaped("(")),
        "/cluster".to_owned(),
        format!("/routes?labels={}", escaped(&format!("dc={}", crate::alert::text::quote(evil)))),
        "/status".to_owned(),
        "/help".to_owned(),
        format!("/ui/suggest?q={}", escaped("alert")),
        "/ui/live".to_owned(),
        format!("/ui/preview?n=a&o=%3D&v={}&on=0", escaped(evil)),
    ] {
        let seen = browser.get(&path).await;
        assert_eq!(seen.status, 200, "{path}");
        let lower = without_values(&seen.text).to_lowercase();
        for bad in ["<script>", "<img", "href=\"javascript", " onclick=", "\u{202e}", "\u{0}"] {
            assert!(!lower.contains(bad), "{path} has {bad:?}");
        }
        assert!(seen.policy.unwrap().starts_with("default-src 'none'"), "{path}");
        let own_scripts = seen.text.matches("<script").count();
        assert!(own_scripts <= 1 && !seen.text.contains(" style=\""), "{path}");
    }
    assert!(browser.page("/").await.contains("<span class=\"esc\">\\u202e</span>"));
}

#[tokio::test]
async fn alerts_are_grouped_and_what_is_quiet_is_said_with_its_reason() {
    let browser = Browser::new();
    browser
        .post_labels(&[
            &[("alertname", "DiskFull"), ("dc", "a"), ("severity", "critical"), ("instance", "i1")],
            &[("alertname", "DiskFull"), ("dc", "a"), ("severity", "critical"), ("instance", "i2")],
            &[("alertname", "HostDown"), ("dc", "b")],
            &[("alertname", "VmDown"), ("dc", "b")],
            &[("alertname", "Backup"), ("team", "night")],
        ])
        .await;
    let page = browser.page("/alerts").await;
    assert!(page.contains("<h1>3 firing</h1>"), "{page}");
    let loud = page.split("id=\"quiet\"").next().unwrap();
    assert!(
        loud.contains("<bdi>DiskFull</bdi>")
            && loud.contains("2 critical")
            && loud.contains("i1")
            && !loud.contains("<bdi>VmDown</bdi>")
    );
    let quiet = page.split("id=\"quiet\"").nth(1).unwrap();
    assert!(quiet.contains("1 inhibited") && quiet.contains("HostDown") && quiet.contains(", rule 1"));
    assert!(quiet.contains("1 muted by time") && quiet.contains("#intervals\">always"));
    let muted = browser.page("/alerts?state=muted").await;
    assert!(muted.contains("<h1>1 muted by time</h1>") && muted.contains("Backup") && !muted.contains("<bdi>DiskFull"));
    let flat = browser.page("/alerts?view=flat&sort=name").await;
    assert_eq!(flat.matches("<tr data-a=").count(), 5);
    let custom = browser.page("/alerts?view=custom&group=severity").await;
    assert!(custom.contains("data-g=") && custom.contains("severity="));
}

#[tokio::test]
async fn filters_narrow_the_list_and_mistakes_are_told_with_a_way_out() {
    let browser = Browser::new();
    browser.post_labels(&[&[("alertname", "A"), ("team", "web")], &[("alertname", "B"), ("team", "mail")]]).await;
    let page = browser.page("/alerts?filter=team%3D%22web%22").await;
    assert!(page.contains("<h1>1 firing</h1>") && page.contains("aria-label=\"Remove team="));
    assert!(browser.page("/alerts?filter=something").await.contains("<h1>2 firing</h1>"), "a word of the annotations");
    assert!(browser.page("/alerts?receiver=team-web").await.contains("<h1>1 firing</h1>"));
    let typo = browser.page("/alerts?filter=team%3Dwbe").await;
    assert!(
        typo.contains("No alert fits") && typo.contains("Did you mean") && typo.contains("without it: 2"),
        "{typo}"
    );
    let bad = browser.page("/alerts?filter=team%3D~%22(%22").await;
    assert!(bad.contains("Cannot be read") && bad.contains("<h1>2 firing</h1>"));
    assert!(
        browser.page("/ui/suggest?q=web").await.contains("data-filter=\"team=&#34;web&#34;\""),
        "{}",
        browser.page("/ui/suggest?q=web").await
    );
    assert!(browser.page("/ui/suggest?q=team%3D~%22(%22").await.contains("data-wrong"));
    let empty = Browser::new().page("/alerts").await;
    assert!(empty.contains("No alert has reached this node yet."));
}

#[tokio::test]
async fn every_group_is_on_exactly_one_page() {
    let browser = Browser::new();
    let names: Vec<String> = (0..120).map(|n| format!("Alert{n:03}")).collect();
    let labels: Vec<[(&str, &str); 1]> = names.iter().map(|name| [("alertname", name.as_str())]).collect();
    let labels: Vec<&[(&str, &str)]> = labels.iter().map(|labels| &labels[..]).collect();
    browser.post_labels(&labels).await;
    for first in ["/alerts", "/alerts?sort=name", "/alerts?view=flat"] {
        let (mut path, mut seen, mut pages) = (first.to_owned(), Vec::new(), 0);
        loop {
            let page = browser.page(&path).await;
            pages += 1;
            let marks = if first.contains("flat") { "<tr data-a=\"" } else { " data-g=\"" };
            seen.extend(page.split(marks).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
            let next = page.split("<a ").find(|link| link.split('>').next().unwrap().contains("rel=\"next\""));
            let Some(next) = next else { break };
            path = resolved("/alerts", &attribute(&format!(" {next}"), "href").unwrap());
        }
        assert_eq!((pages, seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (3, 120, 120), "{first}");
    }
    assert!(browser.page("/alerts").await.contains("firing in 120 groups"));
}

#[tokio::test]
async fn a_silence_is_made_changed_and_expired_with_plain_forms() {
    let browser = Browser::new();
    browser
        .post_labels(&[
            &[("alertname", "DiskFull"), ("dc", "a"), ("instance", "i1"), ("severity", "critical")],
            &[("alertname", "DiskFull"), ("dc", "a"), ("instance", "i2"), ("severity", "critical")],
            &[("alertname", "DiskFull"), ("dc", "b"), ("instance", "i3")],
        ])
        .await;
    // From the group: its labels are ticked.
    let list = browser.page("/alerts").await;
    let from = links(&list).into_iter().find(|link| link.contains("silences/new?from=g-")).unwrap();
    let path = resolved("/alerts", &from);
    let new = browser.page(&path).await;
    assert!(
        new.contains("Quiets 2 alerts now") && new.contains("without it: 3") && new.contains("changes nothing"),
        "{new}"
    );
    let (action, mut form) = fields(&new, "id=\"ed\"");
    set(&mut form, "comment", "swap, https://tracker.example/1");
    set(&mut form, "author", "mira");
    let made = browser.post(&resolved(&path, &action), &form).await;
    assert_eq!(made.status, 303, "{}", made.text);
    assert_eq!(browser.silences(State::Active), ["alertname=\"DiskFull\",dc=\"a\""]);
    let silence = resolved(&path, &made.location.unwrap());
    let shown = browser.page(&silence).await;
    assert!(
        shown.contains("Silence created; quiets 2 alerts") && shown.contains("href=\"https://tracker.example/1\""),
        "{shown}"
    );
    assert!(browser.page("/alerts").await.contains("2 silenced"));
    assert!(browser.page("/silences").await.contains("quiets <b>2</b> now"));

    // Changed: the end is moved, the author is remembered.
    let edit = format!("{}/edit?extend=2h", silence.split('?').next().unwrap());
    let page = browser.page(&edit).await;
    let (action, form) = fields(&page, "id=\"ed\"");
    assert!(
        form.contains(&("author".to_owned(), "mira".to_owned())) && form.contains(&("d".to_owned(), "x".to_owned()))
    );
    assert_eq!(browser.post(&resolved(&edit, &action), &form).await.status, 303);
    assert_eq!(browser.silences(State::Active).len(), 1, "it kept its id");
    let all = browser.api.silences.all();
    let left = all[0].ends_at - browser.api.clock.now();
    assert!((230..=241).contains(&left.num_minutes()), "{left}");

    // Expired: asked once, naming what comes back.
    let expire = format!("{}/expire", silence.split('?').next().unwrap());
    let question = browser.page(&expire).await;
    assert!(question.contains("2 alerts are told again within 5 min, 2 of them critical"), "{question}");
    let (action, form) = fields(&question, "method=\"post\"");
    let done = browser.post(&resolved(&expire, &action), &form).await;
    assert_eq!(done.status, 303);
    assert_eq!(browser.silences(State::Expired).len(), 1);

    // Undone, and made again from the list of expired ones.
    let page_path = resolved(&expire, &done.location.unwrap());
    let page = browser.page(&page_path).await;
    let (action, form) = fields(&page, "action=\"../silences/new\"");
    assert_eq!(browser.post(&resolved(&page_path, &action), &form).await.status, 303);
    assert_eq!(browser.silences(State::Active), ["alertname=\"DiskFull\",dc=\"a\""]);
    let again = browser.page(&format!("{}/edit", silence.split('?').next().unwrap())).await;
    assert!(again.contains("<h1>Silence again</h1>"));

    // Several at once.
    let ids: Vec<String> = browser
        .api
        .silences
        .query(&crate::silence::Query::default())
        .iter()
        .map(|(silence, _)| format!("id={}", silence.id))
        .collect();
    let path = format!("/silences/expire?{}", ids.join("&"));
    let (action, form) = fields(&browser.page(&path).await, "method=\"post\"");
    let done = browser.post(&resolved(&path, &action), &form).await;
    assert_eq!((done.status, browser.silences(State::Active).len()), (303, 0));
}

#[tokio::test]
async fn one_alert_and_several_are_meant_by_what_it_takes() {
    let browser = Browser::new();
    browser
        .post_labels(&[
            &[("alertname", "X"), ("dc", "a"), ("instance", "i.1"), ("zone", "z")],
            &[("alertname", "X"), ("dc", "a"), ("instance", "i.2"), ("zone", "z")],
            &[("alertname", "X"), ("dc", "a"), ("instance", "i.3"), ("zone", "z")],
        ])
        .await;
    let fingerprint = |instance: &str| {
        browser
            .api
            .alerts
            .snapshot()
            .iter()
            .find(|entry| entry.labels().get("instance") == Some(instance))
            .unwrap()
            .fingerprint()
    };
    let one = browser.page(&format!("/silences/new?from={}", fingerprint("i.1"))).await;
    let ticked = |page: &str| {
        let (_, form) = fields(page, "id=\"ed\"");
        let all = |name: &str| form.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect::<Vec<_>>();
        let (on, n, o, v) = (all("on"), all("n"), all("o"), all("v"));
        on.iter()
            .map(|at| at.parse::<usize>().unwrap())
            .map(|at| format!("{}{}{}", n[at], o[at], v[at]))
            .collect::<Vec<_>>()
    };
    assert_eq!(ticked(&one), ["alertname=X", "dc=a", "instance=i.1"]);
    assert!(one.contains("Quiets 1 alert now"));
    let two = browser.page(&format!("/silences/new?pick={}&pick={}", fingerprint("i.1"), fingerprint("i.2"))).await;
    assert_eq!(ticked(&two), ["alertname=X", "dc=a", "instance=~i\\.1|i\\.2", "zone=z"]);
    assert!(two.contains("Quiets 2 alerts now"));
    let filter = browser
        .page("/silences/new?filter=%7Balertname%3D%22X%22%2C%20dc%3D~%22a.*%22%7D&comment=maintenance&for=8h")
        .await;
    assert_eq!(ticked(&filter), ["alertname=X", "dc=~a.*"]);
    assert!(filter.contains(">maintenance</textarea>") && filter.contains("value=\"8h\" checked"));
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_said_and_what_was_typed_stays() {
    let browser = Browser::new();
    browser.post_labels(&[&[("alertname", "A"), ("x", "1")], &[("alertname", "B")]]).await;
    let (action, form) = fields(&browser.page("/silences/new?filter=alertname%3DA").await, "id=\"ed\"");
    let path = resolved("/silences/new", &action);
    let with = |changes: &[(&str, &str)]| {
        let mut form = form.clone();
        set(&mut form, "author", "mira");
        set(&mut form, "comment", "why <not>");
        changes.iter().for_each(|(name, value)| set(&mut form, name, value));
        form
    };
    for (changes, complaint) in [
        (&[("comment", " ")][..], "A comment is missing"),
        (&[("author", "")], "An author is missing"),
        (&[("on", "7")], "No line is ticked"),
        (&[("v", "("), ("o", "=~")], "missing closing )"),
        (&[("n", "")], "A line has no label name"),
        (&[("v", ".*"), ("o", "=~")], "No ticked line could fail to fit"),
        (&[("v", ".+"), ("o", "=~")], "This quiets everything"),
        (&[("d", "x"), ("ea", "2001-01-01T00:00")], "It would end in the past"),
        (&[("d", "x"), ("ea", "soon")], "The end is no time"),
        (&[("sa", "2096-01-01T00:00"), ("d", "x"), ("ea", "2095-01-01T00:00")], "It would end before it begins"),
    ] {
        let refused = browser.post(&path, &with(changes)).await;
        assert_eq!(refused.status, 422, "{complaint}");
        assert!(refused.text.contains(complaint), "{complaint}: {}", refused.text);
        let kept =
            changes.iter().any(|(name, _)| *name == "comment") || refused.text.contains("why &#60;not&#62;</textarea>");
        assert!(kept, "{complaint}");
    }
    assert_eq!(browser.silences(State::Active).len(), 0);
    // Everything is quieted by who says so twice.
    let sure = with(&[("v", ".+"), ("o", "=~"), ("sure", "1")]);
    assert_eq!(browser.post(&path, &sure).await.status, 303);
    // A start in the future is pending.
    let later = with(&[("sa", "2096-01-01T00:00"), ("d", "1h")]);
    assert_eq!(browser.post(&path, &later).await.status, 303);
    assert_eq!(browser.silences(State::Pending), ["alertname=\"A\""]);
    assert!(browser.page("/silences?state=pending").await.contains("would quiet <b>1</b> now"));
}

#[tokio::test]
async fn a_change_needs_the_token_and_the_own_origin() {
    let browser = Browser::new();
    browser.post_labels(&[&[("alertname", "A")], &[("alertname", "B")]]).await;
    let (_, mut form) = fields(&browser.page("/silences/new?filter=alertname%3DA").await, "id=\"ed\"");
    set(&mut form, "author", "mira");
    set(&mut form, "comment", "keep this text");
    let refused = browser.post_from("/silences/new", &form, "https://evil.example").await;
    assert_eq!((refused.status, refused.text.contains("keep this text")), (403, true));
    let mut without = form.clone();
    without.retain(|(name, _)| name != "token");
    let refused = browser.post("/silences/new", &without).await;
    assert!(
        refused.status == 403
            && refused.text.contains("Nothing was changed")
            && refused.text.contains("keep this text")
    );
    // A token of another browser.
    let other = Browser::with(&WebOptions::default(), "");
    let (_, foreign) = fields(&other.page("/silences/new").await, "id=\"ed\"");
    let mut with_foreign = form.clone();
    set(&mut with_foreign, "token", &foreign.iter().find(|(name, _)| name == "token").unwrap().1);
    browser.cookies.borrow_mut().clear();
    assert_eq!(browser.post("/silences/new", &with_foreign).await.status, 403);
    assert_eq!(browser.silences(State::Active).len(), 0);
    // The form that came back carries a token that is good.
    let refused = browser.post("/silences/new", &without).await;
    let (action, form) = fields(&refused.text, "id=\"ed\"");
    assert_eq!(browser.post(&resolved("/silences/new", &action), &form).await.status, 303);
    // Nor is anything expired by a link.
    let id = browser.api.silences.all()[0].id.to_string();
    assert_eq!(browser.post_from(&format!("/silences/{id}/expire"), &[], "https://evil.example").await.status, 403);
    assert_eq!(browser.silences(State::Active).len(), 1);
    for path in ["/alerts", "/silences", "/status"] {
        assert_eq!(browser.post(path, &[]).await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn pages_work_below_a_prefix_and_name_no_absolute_path() {
    let options = WebOptions { route_prefix: "/am/x".into(), ..WebOptions::default() };
    let browser = Browser::with(&options, "/am/x");
    browser.post_labels(&[&[("alertname", "A"), ("dc", "1")], &[("alertname", "A"), ("dc", "2")]]).await;
    let fingerprint = browser.api.alerts.snapshot()[0].fingerprint();
    let (action, mut form) = fields(&browser.page(&format!("/silences/new?from={fingerprint}")).await, "id=\"ed\"");
    set(&mut form, "author", "mira");
    set(&mut form, "comment", "x");
    let path = resolved("/am/x/silences/new", &action);
    let made = browser.post(path.strip_prefix("/am/x").unwrap(), &form).await;
    let silence = resolved("/am/x/silences/new", &made.location.unwrap());
    let silence = silence.strip_prefix("/am/x").unwrap().to_owned();
    let id = silence.split('/').next_back().unwrap().split('?').next().unwrap();
    for path in [
        "/",
        "/alerts",
        "/silences",
        &silence,
        &format!("/silences/{id}/edit"),
        &format!("/silences/{id}/expire"),
        &format!("/why/{fingerprint}"),
        "/why",
        "/cluster",
        "/routes",
        "/status",
        "/help",
    ] {
        let page = browser.page(path).await;
        for link in links(&page) {
            let here = format!("/am/x{path}");
            let outside = link.starts_with("http") || link.starts_with('#');
            assert!(outside || resolved(&here, &link).starts_with("/am/x/"), "{path}: {link}");
            if !outside {
                let target = resolved(&here, &link);
                let target = browser.get(target.strip_prefix("/am/x").unwrap()).await;
                assert!(matches!(target.status, 200), "{path}: {link} answers {}", target.status);
            }
        }
        for mark in ["href=\"/", "action=\"/", "src=\"/"] {
            assert!(!page.contains(mark), "{path} has {mark}");
        }
        let style = page.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
        let style = resolved(&format!("/am/x{path}"), style);
        assert_eq!(browser.get(style.strip_prefix("/am/x").unwrap()).await.status, 200, "{path}: {style}");
    }
    let bare = Browser { prefix: "", ..Browser::with(&options, "") };
    assert_eq!(bare.get("/am/x").await.location.as_deref(), Some("/am/x/"));
    assert_eq!(bare.get("/am/x/alerts/").await.location.as_deref(), Some("/am/x/alerts"));
    assert_eq!(bare.get("/alerts").await.status, 404);
}

#[tokio::test]
async fn who_is_logged_in_is_the_author_and_who_may_only_read_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let path = dir.path().join("web.yml");
    std::fs::write(&path, format!("basic_auth_users: {{ann: '{hash}', bob: '{hash}'}}\nread_only_users: [bob]\n"))
        .unwrap();
    let options = WebOptions { config_file: Some(path), ..WebOptions::default() };
    let mut browser = Browser::with(&options, "");
    assert_eq!(browser.get("/alerts").await.status, 401);
    browser.login = Some("ann".into());
    browser.post_labels(&[&[("alertname", "A")], &[("alertname", "B")]]).await;
    let (_, mut form) = fields(&browser.page("/silences/new?filter=alertname%3DA").await, "id=\"ed\"");
    set(&mut form, "author", "somebody else");
    set(&mut form, "comment", "x");
    assert_eq!(browser.post("/silences/new", &form).await.status, 303);
    assert_eq!(&*browser.api.silences.all()[0].created_by, "ann");
    browser.login = Some("bob".into());
    for path in ["/alerts", "/silences", "/alerts?view=flat"] {
        let page = browser.page(path).await;
        assert!(!page.contains("silences/new") && !page.contains("/expire") && page.contains("You may read"), "{path}");
    }
    let id = browser.api.silences.all()[0].id.to_string();
    assert_eq!(browser.post(&format!("/silences/{id}/expire"), &form).await.status, 403);
    let delete = browser.request("DELETE", &format!("/api/v2/silence/{id}")).body(Full::default()).unwrap();
    assert_eq!(browser.send(delete).await.status, 403);
    assert_eq!(browser.silences(State::Active).len(), 1);
}

#[tokio::test]
async fn the_script_is_told_only_what_is_new() {
    let browser = Browser::new();
    browser.post_labels(&[&[("alertname", "A")]]).await;
    let page = browser.page("/alerts").await;
    let live = resolved(
        "/alerts",
        &attribute(page.split("<form id=\"alert-list\"").nth(1).unwrap().split('>').next().unwrap(), "data-live")
            .unwrap(),
    );
    let first = browser.page(&live).await;
    let version = first.split("data-version=\"").nth(1).unwrap().split('"').next().unwrap();
    let same = format!("{live}{}have={version}", if live.contains('?') { '&' } else { '?' });
    assert_eq!(browser.get(&same).await.status, 204);
    browser.post_labels(&[&[("alertname", "B")]]).await;
    let news = browser.get(&same).await;
    assert_eq!((news.status, news.text.matches("<li data-g=").count()), (200, 2));
    let group = page.split(" data-g=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(browser.page(&format!("/ui/group?g={group}")).await.contains("data-a="));
    assert_eq!(browser.get("/ui/group?g=1").await.status, 404);
}

#[tokio::test]
async fn routes_show_the_path_of_labels_and_the_week() {
    let browser = Browser::new();
    browser.post_labels(&[&[("alertname", "A"), ("team", "web")]]).await;
    let page = browser.page("/routes?labels=team%3Dweb+alertname%3DA").await;
    assert!(page.contains("ends here: team-web is told") && page.contains("on the path"), "{page}");
    assert!(page.contains("aria-label=\"Mon: 00:00 to 24:00\"") && page.contains("mutes 1 route"));
    assert!(browser.page("/routes?labels=team").await.contains("has no value"));
    let fingerprint = browser.api.alerts.snapshot()[0].fingerprint();
    let why = browser.page(&format!("/why/{fingerprint}")).await;
    let tree = links(&why).into_iter().find(|link| link.contains("routes?labels=")).unwrap();
    assert!(browser.page(&resolved("/why/x", &tree)).await.contains("ends here: team-web is told"));
    assert_eq!(browser.get("/why/zz").await.status, 404);
    assert_eq!(browser.get("/why/0123456789abcdef").await.status, 404);
}

#[tokio::test]
async fn times_are_in_the_readers_zone_and_pages_are_packed() {
    let browser = Browser::new();
    assert!(browser.page("/alerts").await.contains("Times in <span data-zone-name>UTC</span>"));
    browser.cookies.borrow_mut().push(("carillon_tz".into(), "Asia%2FKolkata".into()));
    assert!(browser.page("/alerts").await.contains("Asia/Kolkata (UTC+5:30)"));
    let request = browser.request("GET", "/alerts").header("accept-encoding", "gzip").body(Full::default()).unwrap();
    let answer = browser.server.answer(request).await;
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let head = browser.request("HEAD", "/alerts").body(Full::default()).unwrap();
    assert_eq!(text(browser.server.answer(head).await).await, (200, String::new()));
}
