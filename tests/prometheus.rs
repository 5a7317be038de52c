//! A real Prometheus with two rules, our server, a webhook receiver and a mail server: firing, grouping,
//! silencing and resolving, end to end. Skipped where `CARILLON_PEER_DIR` names no folder with `prometheus`.

#![allow(clippy::disallowed_methods, reason = "the real programs run in real time")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    Server, dir_with,
    hook::Hook,
    pass, peer,
    smtp::{Offer, Smtp},
    wait_for,
};

/// An application with one number to scrape: 1 while it is broken.
struct App {
    address: String,
    broken: Arc<AtomicBool>,
}

impl App {
    fn start() -> App {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let broken = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&broken);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    line.clear();
                }
                let body = format!("app_broken {}\n", u8::from(state.load(Ordering::SeqCst)));
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        App { address, broken }
    }
}

struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_prometheus(program: &Path, dir: &Path, app: &str, alertmanager: &str) -> Prometheus {
    let rules = "
groups:
- name: app
  rules:
  - alert: AppBroken
    expr: app_broken == 1
    labels: {severity: critical}
    annotations: {summary: 'broken: {{ $labels.instance }}'}
  - alert: AppNeedsCare
    expr: app_broken == 1
    labels: {severity: warning}
    annotations: {summary: 'needs care'}
";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let config = format!(
        "
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{app}']}}]}}]
"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let child = Command::new(program)
        .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--rules.alert.resend-delay=1s", "--log.level=warn"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Prometheus(child)
}

#[test]
fn alerts_of_a_real_prometheus_are_grouped_silenced_and_resolved_by_webhook_and_mail() {
    let Some(program) = peer("prometheus") else { return };
    let (hook, smtp, app) = (Hook::start(), Smtp::start(Offer::default()), App::start());
    let dir = dir_with(&format!(
        "
global: {{smtp_smarthost: '{}', smtp_from: 'am@example.org', smtp_require_tls: false}}
route:
  receiver: team
  group_by: [job]
  group_wait: 2s
  group_interval: 2s
receivers:
- name: team
  webhook_configs: [{{url: '{}'}}]
  email_configs: [{{to: 'ops@example.org', send_resolved: true}}]
",
        smtp.address,
        hook.url()
    ));
    let server = Server::start(dir.path(), &[]);
    let _prometheus = start_prometheus(&program, dir.path(), &app.address, &server.address);

    // Firing: both rules in one notification, by both ways.
    app.broken.store(true, Ordering::SeqCst);
    let first = hook.wait("the first notification", |told| told.first().cloned());
    assert_eq!(
        (first.alerts("alertname"), first.status()),
        (vec!["AppBroken".to_owned(), "AppNeedsCare".to_owned()], "firing")
    );
    assert_eq!(first.json["groupLabels"], json!({"job": "app"}));
    let mail = smtp.wait("the first mail", |mails| mails.first().cloned());
    assert!(mail.text.contains("[FIRING:2]"), "{}", mail.text);

    // Silenced: the other alert alone is told as resolved in the end.
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "AppNeedsCare", "isRegex": false}],
        "startsAt": now.to_rfc3339(), "endsAt": (now + chrono::TimeDelta::hours(1)).to_rfc3339(),
        "createdBy": "test", "comment": "known",
    });
    assert_eq!(server.post("/api/v2/silences", &silence).unwrap().0, 200);
    let state = |name: &str| {
        let alerts = server.get("/api/v2/alerts");
        alerts.as_array()?.iter().find(|a| a["labels"]["alertname"] == name).map(|a| a["status"]["state"].clone())
    };
    assert_eq!(
        (state("AppNeedsCare"), state("AppBroken")),
        (Some(Value::from("suppressed")), Some(Value::from("active")))
    );
    let before = hook.told().len();
    pass(Duration::from_secs(5));
    assert_eq!(hook.told().len(), before, "nothing new, nothing told: Prometheus refreshed the alerts each second");

    app.broken.store(false, Ordering::SeqCst);
    let last = hook.wait("the end is told", |told| told.iter().find(|t| t.status() == "resolved").cloned());
    assert_eq!(last.alerts("alertname"), ["AppBroken"]);
    smtp.wait("the end is mailed", |mails| mails.iter().any(|m| m.text.contains("[RESOLVED]")).then_some(()));
    wait_for("nothing is left", Duration::from_secs(20), || {
        server.get("/api/v2/alerts").as_array()?.is_empty().then_some(())
    });
}
