//! Our tool and the real amtool, side by side on the same servers: a real Alertmanager and ours. Every command is
//! called with the same arguments in its three forms; standard output, exit status and the first line of an error
//! must be the same. What differs on purpose is in [`DIFFERENT`], with the reason, and is checked to differ.
//!
//! Skipped where `CARILLON_PEER_DIR` names no folder with `amtool` and `alertmanager`.

mod support;

use std::{
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::json;
use support::{Server, dir_with, http, peer, wait_for};

const CONFIG: &str = "
global: {slack_api_url: 'https://slack.example/secret'}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 50ms
  routes:
  - {matchers: ['x=\"1\"'], continue: true, receiver: r}
  - receiver: q
    matchers: ['x=~\"1|2\"']
    routes: [{matchers: ['deep=\"y\"'], receiver: s}]
  - {matchers: [mute=me], receiver: r, mute_time_intervals: [never]}
receivers:
- name: default
- name: r
- name: q
  webhook_configs: [{url: 'http://127.0.0.1:1/'}]
- name: s
  slack_configs: [{channel: '#c'}]
inhibit_rules:
- {source_matchers: [alertname=source], target_matchers: [alertname=target]}
time_intervals:
- {name: never, time_intervals: [{years: ['1990']}]}
";

/// What only reads: in each of the three forms, on both servers.
const QUERIES: &[&str] = &[
    "alert",
    "alert query",
    "alert query -s",
    "alert query -i",
    "alert -isau",
    "alert query --unprocessed",
    "alert query --no-active -s",
    "alert cpu",
    "alert query cpu node=1",
    "alert query node=~.+ alertname!=disk",
    "alert query node!~[0-9]",
    "alert query -r d.*",
    "alert query --receiver=q",
    "alert query nothing here=true",
    "alert query first second",
    "alert query 日本=語",
    "alert query \"a b\"=c",
    "alert -r (",
    "--date.format=2006-01-02T15:04:05.000Z07:00 alert",
    "--date.format=Mon@Jan@_2@3:04PM@-0700 silence",
    "silence",
    "silence query",
    "silence -q",
    "silence query cpu",
    "silence query cpu node=~n.*",
    "silence query nothing",
    "silence query --expired",
    "silence query --expired --within 1h",
    "silence query --within 30m",
    "silence query --within 60d",
    "silence query --created-by me",
    "silence query --created-by nobody",
    "silence query --id 00000000-0000-4000-8000-000000000000",
    "silence query first second",
    "cluster",
    "cluster show",
    "config",
    "config show",
    "config routes",
    "config routes show",
    "config routes test x=1",
    "config routes test x=1 deep=y",
    "config routes test --tree x=1 deep=y",
    "config routes test --tree x=3",
    "config routes test",
    "config routes test x=1 --verify.receivers=r,q",
    "config routes test x=1 --verify.receivers=q",
    "config routes test x=~1",
    "config routes test x",
    "silence expire",
    "silence expire 00000000-0000-4000-8000-000000000000",
    "silence expire no-uuid",
    "silence update",
    "silence update 00000000-0000-4000-8000-000000000000",
    "silence update no-uuid",
    "silence add",
    "silence add cpu",
    "silence add cpu -c why -d 0s",
    "silence add cpu -c why -d soon",
    "silence add cpu -c why --start tomorrow",
    "silence add cpu -c why --end 2020-01-01T00:00:00Z",
    "silence add cpu disk -c why",
    "silence add cpu a=~( -c why",
    "silence add a= -c why",
    "silence add cpu -c why --annotation nothing",
    "alert add",
    "alert add cpu a=b nothing",
    "alert add cpu a=~b",
    "alert add cpu --annotation nothing",
    "alert add cpu --start today",
    "silence import nowhere.json",
    "silence import bad.yml",
    "template render --template.glob=*.tmpl --template.text={{.Status}}@{{template@\"mine\"@.}}",
    "template render --template.glob=*.tmpl --template.text={{.GroupLabels}}<b> --template.type=html",
    "template render --template.glob=*.tmpl --template.text={{@template@\"none\"@.@}}",
    "check-config alertmanager.yml",
    "check-config alertmanager.yml bad.yml",
    "check-config nowhere.yml",
    "config routes show --config.file=alertmanager.yml",
    "config routes test --config.file=alertmanager.yml --tree x=2",
    "--enable-feature=utf8-strict-mode silence query cpu 日本=語",
    "--enable-feature=classic-mode silence query cpu",
    "--enable-feature=nothing alert",
];

/// What is wrong already on the command line.
const MISTAKES: &[&str] = &[
    "nothing",
    "--nothing",
    "-x",
    "template",
    "template render --template.glob=x",
    "config nothing",
    "config routes nothing",
    "alert --quiet",
    "silence --no-quiet -q",
    "silence query --within soon",
    "--timeout=soon alert",
    "--output=xml alert",
    "--output=json --output=json alert",
    "silence add -d",
    "silence import -w many",
    "--http.config.file=nowhere alert",
];

/// Differences that are meant: the end of the command line after which they show, the servers, the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("extended config", "amtool prints addresses of its memory in place of the values"),
    ("extended config show", "the same"),
    ("silence import bad.yml", "each JSON parser has its own words"),
];

struct Alertmanager {
    child: Child,
    address: String,
}

impl Alertmanager {
    fn start(program: &Path, dir: &Path) -> Alertmanager {
        // Freed at once; nobody else on this machine takes it in between but by a rare accident.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new(program)
            .arg(format!("--config.file={}", dir.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", dir.join("real").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Alertmanager { child, address };
        wait_for("Alertmanager serves", Duration::from_secs(30), || {
            http::request(&server.address, "GET", "/-/ready", None).ok().filter(|answer| answer.status == 200)
        });
        server
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both tools, each under the name `amtool`, in one folder.
struct Tools {
    real: PathBuf,
    own: PathBuf,
    dir: PathBuf,
}

impl Tools {
    fn call(&self, program: &Path, address: &str, args: &[String]) -> Output {
        Command::new(program)
            .arg(format!("--alertmanager.url=http://{address}"))
            .arg("--no-version-check")
            .args(args)
            .current_dir(&self.dir)
            .env_clear()
            .env("HOME", &self.dir)
            .env("USER", "tester")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What differs, if anything.
    fn difference(&self, address: &str, args: &[String]) -> Option<String> {
        let (real, own) = (self.call(&self.real, address, args), self.call(&self.own, address, args));
        let parts = [
            ("exit status", real.status.to_string(), own.status.to_string()),
            ("output", plain(&real.stdout), plain(&own.stdout)),
            ("error", error_of(&real.stderr), error_of(&own.stderr)),
        ];
        let different = parts.into_iter().find(|(_, real, own)| real != own);
        different.map(|(what, real, own)| format!("{what} of {args:?}\n--- amtool\n{real}\n--- carillonctl\n{own}\n"))
    }
}

/// Without what amtool logs about matchers, which we say in other words and on the other stream.
fn plain(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().filter(|line| !line.starts_with("time=")).map(|line| format!("{line}\n")).collect()
}

/// The line of an error: what we say behind it, and warnings of other kinds, are ours.
fn error_of(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().find(|line| line.starts_with("amtool: error:")).unwrap_or_default().to_owned()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(|word| word.replace('@', " ")).collect()
}

fn fill(address: &str) {
    let post = |path: &str, body: serde_json::Value| {
        let answer = http::request(address, "POST", path, Some(&body.to_string())).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let alert = |labels: serde_json::Value, annotations: serde_json::Value, start: &str| {
        json!({"labels": labels, "annotations": annotations, "startsAt": start, "endsAt": "2099-01-01T00:00:00Z",
               "generatorURL": "http://g.example/?a=b&c=<d>"})
    };
    let none = || json!({});
    post(
        "/api/v2/alerts",
        json!([
            alert(
                json!({"alertname": "odd\"name", "t": "a\tb", "lt": "<&>", "u": "ü\nö"}),
                json!({"summary": "one\ntwo", "z": "q\"\\"}),
                "2024-05-06T07:08:09.123456+02:00"
            ),
            alert(
                json!({"alertname": "cpu", "node": "1", "日本": "語"}),
                json!({"summary": "hot"}),
                "2024-05-06T07:08:10Z"
            ),
            alert(json!({"alertname": "cpu", "node": "2", "x": "1"}), none(), "2024-05-06T07:08:11Z"),
            alert(json!({"alertname": "disk", "node": "1", "x": "2", "a b": "c"}), none(), "2024-05-06T07:08:12Z"),
            alert(json!({"alertname": "source"}), none(), "2024-05-06T07:08:13Z"),
            alert(json!({"alertname": "target"}), none(), "2024-05-06T07:08:14Z"),
            alert(json!({"node": "nameless"}), none(), "2024-05-06T07:08:15Z"),
        ]),
    );
    let silence = |matchers: serde_json::Value, end: &str, by: &str, comment: &str| json!({"matchers": matchers, "startsAt": "2024-05-06T07:08:09Z", "endsAt": end, "createdBy": by, "comment": comment});
    let matcher = |name: &str, value: &str, regex: bool, equal: bool| json!({"name": name, "value": value, "isRegex": regex, "isEqual": equal});
    for silence in [
        silence(
            json!([matcher("alertname", "cpu", false, true), matcher("node", "2", false, true)]),
            "2099-01-01T00:00:00.5+01:00",
            "me",
            "because",
        ),
        silence(
            json!([matcher("alertname", "tab\there \"q\"", false, true), matcher("a b", "x.*<", true, false)]),
            "2098-01-01T00:00:00Z",
            "you & <me>",
            "one\ntwo\tthree",
        ),
        silence(
            json!([matcher("alertname", "cpu", false, true), matcher("node", "n.*", true, true)]),
            "2097-01-01T00:00:00Z",
            "me",
            "",
        ),
    ] {
        post("/api/v2/silences", silence);
    }
}

fn start() -> Option<(tempfile::TempDir, Tools, Alertmanager, Server)> {
    let (real, alertmanager) = (peer("amtool")?, peer("alertmanager")?);
    let dir = dir_with(CONFIG);
    let own = dir.path().join("amtool");
    symlink(env!("CARGO_BIN_EXE_carillonctl"), &own).unwrap();
    std::fs::write(dir.path().join("mine.tmpl"), "{{ define \"mine\" }}<{{ .Receiver }}>{{ end }}").unwrap();
    std::fs::write(dir.path().join("bad.yml"), "route: {receiver: nobody}\nreceivers: [{name: r}]\n").unwrap();
    let tools = Tools { real, own, dir: dir.path().to_owned() };
    let real_server = Alertmanager::start(&alertmanager, dir.path());
    let own_server = Server::start(dir.path(), &[]);
    Some((dir, tools, real_server, own_server))
}

#[test]
fn every_query_is_answered_as_amtool_answers_it() {
    let Some((_dir, tools, alertmanager, server)) = start() else { return };
    let mut different = Vec::new();
    let (mut calls, mut expected_differences) = (0, 0);
    for address in [&alertmanager.address, &server.address] {
        fill(address);
        // Groups are made in the background; before that no alert has a state.
        wait_for("all alerts are in a group", Duration::from_secs(10), || {
            let answer = http::request(address, "GET", "/api/v2/alerts", None).ok()?.text();
            (answer.matches("fingerprint").count() == 7 && !answer.contains("unprocessed")).then_some(())
        });
        for form in ["simple", "extended", "json"] {
            for query in QUERIES {
                let line = format!("{form} {query}");
                let args = [vec!["--output".to_owned(), form.to_owned()], words(query)].concat();
                calls += 1;
                match (tools.difference(address, &args), DIFFERENT.iter().any(|(end, _)| line.ends_with(end))) {
                    (Some(_), true) => expected_differences += 1,
                    (Some(difference), false) => different.push(format!("{address}: {difference}")),
                    (None, true) => different.push(format!("{line} was expected to differ\n")),
                    (None, false) => {}
                }
            }
        }
    }
    for mistake in MISTAKES {
        calls += 1;
        different.extend(tools.difference(&server.address, &words(mistake)));
    }
    println!("{calls} calls, {expected_differences} differ as expected, {} otherwise", different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Texts that are new at each call.
fn without_ids_and_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let shape = |sample: &str, text: &str| {
        text.len() >= sample.len()
            && text.is_char_boundary(sample.len())
            && text.bytes().zip(sample.bytes()).all(|(c, s)| match s {
                b'x' => c.is_ascii_hexdigit(),
                b'0' => c.is_ascii_digit(),
                s => c == s,
            })
    };
    while let Some(c) = rest.chars().next() {
        let samples = ["xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "0000-00-00T00:00:00.000Z", "0000-00-00 00:00:00 UTC"];
        match samples.iter().find(|sample| shape(sample, rest)) {
            Some(sample) => {
                out.push_str(sample);
                rest = &rest[sample.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// A life of silences and alerts with one tool; everything it printed.
fn story(tools: &Tools, program: &Path, address: &str) -> String {
    let mut told = String::new();
    let mut call = |line: &str, ids: &[&str]| {
        let mut args = words(line);
        args.extend(ids.iter().map(|id| (*id).to_owned()));
        let output = tools.call(program, address, &args);
        let text = plain(&output.stdout);
        told += &format!("{line}\n{}{text}{}\n", output.status, error_of(&output.stderr));
        text.trim().to_owned()
    };
    call("alert add added a=b node=\"1@2\" --annotation=summary=s --annotation=x=y=z --generator-url=http://g/", &[]);
    call("alert add later --start=2024-01-01T00:00:00+02:00 --end=2098-01-01T00:00:00Z", &[]);
    let one = call("silence add added a=~b.* -c one -a me -d 1w2d --annotation=t=1", &[]);
    let two = call("silence add two!=2 -c two --start=2090-01-01T00:00:00+01:00 --end=2091-01-01T00:00:00Z", &[]);
    call("silence add three --no-require-comment", &[]);
    call("silence query -o json", &[]);
    call("silence query -o extended added", &[]);
    call("silence update -d 2h -c changed", &[&one]);
    call("silence update -o json --end=2095-01-01T00:00:00Z", &[&one, &two]);
    call("silence update --start=2096-01-01T00:00:00Z", &[&one]);
    call("silence update -d 0s", &[&one]);
    call("silence expire", &[&one, &two]);
    call("silence expire", &[&one, "00000000-0000-4000-8000-000000000000", &two]);
    call("silence query --expired -o json added", &[]);
    let file = tools.dir.join("import.json");
    let kept = tools.call(program, address, &words("silence query -o json three")).stdout;
    std::fs::write(&file, &kept).unwrap();
    call("silence import import.json", &[]);
    call("silence import --force -w 2 import.json", &[]);
    let unknown = String::from_utf8_lossy(&kept).replace("\"id\":\"", "\"id\":\"0");
    std::fs::write(&file, unknown).unwrap();
    call("silence import import.json", &[]);
    std::fs::write(&file, "[{\"id\":\"i\",\"nothing\":1}]").unwrap();
    call("silence import import.json", &[]);
    call("silence query three", &[]);
    without_ids_and_times(&told)
}

#[test]
fn what_changes_something_changes_the_same_and_says_the_same() {
    let Some((dir, tools, alertmanager, server)) = start() else { return };
    let _ = &dir;
    let expected = story(&tools, &tools.real, &alertmanager.address);
    // A server that has told the first story must not tell it again: a new one for each.
    let again = dir_with(CONFIG);
    let second = Alertmanager::start(&peer("alertmanager").unwrap(), again.path());
    assert_eq!(story(&tools, &tools.own, &second.address), expected, "carillonctl with Alertmanager");
    assert_eq!(story(&tools, &tools.own, &server.address), expected, "carillonctl with Carillon");
    let third = Server::start(again.path(), &[]);
    assert_eq!(story(&tools, &tools.real, &third.address), expected, "amtool with Carillon");
}
