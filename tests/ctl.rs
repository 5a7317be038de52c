//! What `carillonctl` has beyond amtool, with real servers and real shells.

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use support::{Server, dir_with, hook::Hook, ring::Ring, wait_for};

const CTL: &str = env!("CARGO_BIN_EXE_carillonctl");

fn ctl(dir: &Path, args: &[&str]) -> Output {
    Command::new(CTL)
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn url(server: &Server) -> String {
    format!("--alertmanager.url=http://{}", server.address)
}

fn config(hook: &Hook) -> String {
    format!(
        "route: {{receiver: team, group_wait: 1h}}\nreceivers:\n- name: team\n  webhook_configs: [{{url: '{}'}}]\n",
        hook.url()
    )
}

#[test]
fn a_receiver_is_tested_when_the_server_allows_it() {
    let hook = Hook::start();
    let dir = dir_with(&config(&hook));
    let closed = Server::start(dir.path(), &[]);
    let refused = ctl(dir.path(), &[&url(&closed), "receiver", "test", "team"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(error.contains("--web.enable-receiver-test"), "{error}");
    assert!(
        error.contains(&format!("POST http://{}/api/v2/carillon/receivers/team/test answered 403", closed.address)),
        "{error}"
    );
    drop(closed);

    let open = Server::start(dir.path(), &["--web.enable-receiver-test"]);
    let dry = ctl(dir.path(), &[&url(&open), "receiver", "test", "team", "--dry-run"]);
    let shown = text(&dry.stdout);
    assert!(dry.status.success() && shown.contains("webhook[0], attempt 1: would send"), "{shown}");
    assert!(shown.contains("CarillonReceiverTest") && !shown.contains(&hook.url()), "{shown}");
    assert!(hook.told().is_empty());

    let sent = ctl(dir.path(), &[&url(&open), "receiver", "test", "team", "severity=none"]);
    assert!(sent.status.success(), "{}{}", text(&sent.stdout), text(&sent.stderr));
    assert!(text(&sent.stdout).starts_with("webhook[0], attempt 1: sent after "), "{}", text(&sent.stdout));
    assert_eq!(hook.told().len(), 1);
    let nobody = ctl(dir.path(), &[&url(&open), "receiver", "test", "nobody"]);
    assert!(text(&nobody.stderr).contains("there is no receiver"), "{}", text(&nobody.stderr));
}

#[test]
fn the_doctor_finds_nothing_in_a_good_cluster_and_names_what_is_wrong_in_a_bad_one() {
    let plain = "route: {receiver: r}\nreceivers: [{name: r}]\n";
    let ring = Ring::new(2, plain, &[]);
    ring.start();
    let [first, second] = &ring.nodes[..] else { panic!("two nodes") };
    let urls = [format!("http://{}", first.web), format!("http://{}", second.web)];
    let doctor = |form: &str| ctl(&first.dir, &["-o", form, "cluster", "doctor", &urls[0], &urls[1]]);
    wait_for("nothing is wrong", Duration::from_secs(60), || doctor("simple").status.success().then_some(()));
    // Just after the start nobody was tried in every way.
    let good = wait_for("each is tried in both ways", Duration::from_secs(30), || {
        let good = text(&doctor("extended").stdout).to_owned();
        (good.matches("udp tcp").count() == 2).then_some(good)
    });
    for part in ["No problem found.", "udp tcp", "itself", "Clock offset"] {
        assert!(good.contains(part), "{part}\n{good}");
    }
    assert!(!good.contains('\x1b'), "no colours in a pipe");

    let other = plain.replace("receiver: r}", "receiver: r, group_wait: 1s}");
    fs::write(second.dir.join("alertmanager.yml"), other).unwrap();
    second.signal("HUP");
    wait_for("the configurations differ", Duration::from_secs(30), || {
        text(&doctor("simple").stdout).contains("different configurations (n0 / n1)").then_some(())
    });
    second.kill();
    let dead = doctor("json");
    assert_eq!(dead.status.code(), Some(1));
    let dead: Value = serde_json::from_slice(&dead.stdout).unwrap();
    assert!(dead["problems"][0]["what"].as_str().unwrap().contains("does not answer"), "{dead}");
}

#[test]
fn a_diff_tells_what_goes_elsewhere() {
    let old =
        "route:\n  receiver: r\n  routes: [{matchers: [team=a], receiver: q}]\nreceivers: [{name: r}, {name: q}]\n";
    let dir = dir_with(old);
    fs::write(dir.path().join("new.yml"), old.replace("team=a", "team=b")).unwrap();
    let server = Server::start(dir.path(), &[]);
    let alert = |team: &str| json!({"labels": {"alertname": "x", "team": team}});
    server.post_alerts(&json!([alert("a"), alert("b"), alert("c")]));
    let diff = ctl(dir.path(), &[&url(&server), "diff", "--exit-code", "new.yml"]);
    assert_eq!(diff.status.code(), Some(1));
    let told = text(&diff.stdout);
    assert!(told.contains("2 of 3 alert(s) go elsewhere"), "{told}{}", text(&diff.stderr));
    fs::write(dir.path().join("sets.json"), r#"[{"team": "c"}]"#).unwrap();
    let diff = ctl(dir.path(), &["diff", "--alerts=sets.json", "--exit-code", "alertmanager.yml", "new.yml"]);
    assert!(diff.status.success(), "{}{}", text(&diff.stdout), text(&diff.stderr));
}

#[test]
fn a_fault_in_a_file_is_told_with_its_place_beside_amtools_output() {
    let dir = dir_with("route:\n  receiver: nobody\nreceivers: [{name: r}]\n");
    let checked = ctl(dir.path(), &["check-config", "alertmanager.yml"]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(
        text(&checked.stdout),
        "Checking 'alertmanager.yml'  FAILED: undefined receiver \"nobody\" used in route\n\n"
    );
    let told = text(&checked.stderr);
    assert!(
        told.starts_with(
            "alertmanager.yml:2: route.receiver: undefined receiver \"nobody\" used in route\n    allowed: r\n"
        ),
        "{told}"
    );
    fs::write(dir.path().join("odd.yml"), "route: {receiver: r, repeat_interval: 1m}\nreceivers: [{name: r}]\n")
        .unwrap();
    let odd = ctl(dir.path(), &["check-config", "odd.yml"]);
    assert!(
        odd.status.success() && text(&odd.stderr).contains("Warning: odd.yml:1: route.repeat_interval"),
        "{}",
        text(&odd.stderr)
    );
    assert_eq!(ctl(dir.path(), &["check-config", "--strict", "odd.yml"]).status.code(), Some(1));
}

/// What the shell proposes; `None` where there is no such shell.
fn proposed(shell: &str, script: &str) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(CTL, dir.path().join("carillonctl")).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.args(["30", shell, "-f", "-c", script]).env("PATH", path).stdin(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.code() != Some(127));
    let Some(output) = output else {
        eprintln!("skipped: there is no {shell}");
        return None;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).split_whitespace().map(str::to_owned).collect())
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let complete = |words: &str| {
        let script = format!(
            "source <(carillonctl completion bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             $(complete -p carillonctl | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo \"${{COMPREPLY[@]}}\""
        );
        proposed("bash", &script)
    };
    let Some(commands) = complete("carillonctl silence ''") else { return };
    assert_eq!(commands, ["add", "expire", "import", "query", "update"]);
    assert_eq!(complete("carillonctl silence query --with").unwrap(), ["--within"]);
    assert_eq!(complete("carillonctl -o e").unwrap(), ["extended"]);
}

#[test]
fn zsh_completes_commands_flags_and_values() {
    // Completion works only in a widget: one that prints what is proposed, in a terminal of its own.
    let complete = |line: &str| {
        let script = format!(
            "zmodload zsh/zpty; zpty z zsh -f -i; \
             zpty -w z 'autoload -U compinit; compinit -u -D; source <(carillonctl completion zsh); \
             compadd() {{ [[ $1 == -a ]] && print -r -- \"<<${{(P)2}}>>\" }}; \
             zle -C show complete-word _carillonctl; bindkey \"^T\" show; print rea\"\"dy'; \
             zpty -r -m z all '*ready*'; zpty -w -n z $'{line}\\C-t'; \
             zpty -r -m z all '*>>*'; print -r -- \"$all\" | tr -d '\\r' | sed -n 's/.*<<\\(.*\\)>>.*/\\1/p'; zpty -d z"
        );
        proposed("zsh", &script)
    };
    let Some(commands) = complete("carillonctl silence ") else { return };
    assert_eq!(commands, ["add", "expire", "import", "query", "update"]);
    assert!(complete("carillonctl silence query --with").unwrap().contains(&"--within".to_owned()));
    assert_eq!(complete("carillonctl -o ").unwrap(), ["simple", "extended", "json"]);
}
