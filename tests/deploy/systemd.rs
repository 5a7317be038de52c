//! The unit, its environment files, and the three machines.

use std::collections::BTreeMap;

use crate::{deploy, loads, options, output, read, texts, tool, yaml};

pub const FILES: &[&str] = &[
    "systemd/carillon.service",
    "systemd/carillon.env",
    "systemd/three-nodes/carillon.env",
    "systemd/three-nodes/alertmanager.yml",
    "systemd/three-nodes/prometheus.yml",
];

/// Settings of a unit by section and key; a key may stand several times.
fn unit() -> BTreeMap<(String, String), Vec<String>> {
    let mut settings: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in read("systemd/carillon.service").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            settings.entry((section.clone(), key.to_owned())).or_default().push(value.to_owned());
        }
    }
    settings
}

fn service(key: &str) -> String {
    let values = unit().remove(&("Service".to_owned(), key.to_owned())).unwrap_or_else(|| panic!("{key} is not set"));
    values.join("\n")
}

/// The value of `CARILLON_ARGS` in an environment file.
fn flags(path: &str) -> Vec<String> {
    let text = read(path);
    let value = text.lines().find_map(|line| line.strip_prefix("CARILLON_ARGS=\"")).unwrap();
    value.strip_suffix('"').unwrap().split(' ').map(str::to_owned).collect()
}

/// The command line as systemd makes it: the unbraced variable becomes as many words as it has.
fn command_line(environment: &str) -> Vec<String> {
    let mut args: Vec<String> = service("ExecStart").split(' ').skip(1).map(str::to_owned).collect();
    assert_eq!(args.pop().as_deref(), Some("$CARILLON_ARGS"));
    args.extend(flags(environment));
    args
}

#[test]
fn the_units_command_line_is_accepted_with_both_environment_files() {
    assert!(options(&command_line("systemd/carillon.env")).cluster.is_none());
    let options = options(&command_line("systemd/three-nodes/carillon.env"));
    assert_eq!(options.config_file.to_str(), Some("/etc/alertmanager/alertmanager.yml"));
    assert_eq!(options.storage_path.to_str(), Some("/var/lib/alertmanager"));
    assert_eq!(options.cluster.unwrap().peers.len(), 3);
}

#[test]
fn the_unit_gives_the_state_directory_that_the_flags_name_and_takes_the_rest_away() {
    assert_eq!(service("StateDirectory"), "alertmanager");
    assert_eq!((service("Type").as_str(), service("Restart").as_str()), ("notify", "always"));
    for hardening in ["NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "MemoryDenyWriteExecute"] {
        assert_eq!(service(hardening), "yes", "{hardening}");
    }
    assert_eq!((service("ProtectSystem").as_str(), service("CapabilityBoundingSet").as_str()), ("strict", ""));
    // Draining takes 5 s, answering requests 2 s.
    let stop: u64 = service("TimeoutStopSec").trim_end_matches('s').parse().unwrap();
    assert!(stop >= 10);
}

#[test]
fn the_three_machines_are_the_same_for_nodes_and_for_prometheus() {
    loads(&deploy("systemd/three-nodes/alertmanager.yml"));
    let peers = options(&command_line("systemd/three-nodes/carillon.env")).cluster.unwrap().peers;
    let host = |address: &String| address.split(':').next().unwrap().to_owned();
    let hosts: Vec<String> = peers.iter().map(host).collect();
    let prometheus = yaml("systemd/three-nodes/prometheus.yml");
    for list in [&prometheus["alerting"]["alertmanagers"][0], &prometheus["scrape_configs"][0]] {
        let targets = texts(&list["static_configs"][0]["targets"]);
        assert!(targets.iter().all(|target| target.ends_with(":9093")));
        assert_eq!(targets.iter().map(host).collect::<Vec<_>>(), hosts);
    }
}

#[test]
fn systemd_finds_no_fault_and_little_exposure() {
    let Some(mut verify) = tool("systemd-analyze") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("carillon.service");
    // The program must exist for the check.
    let text = read("systemd/carillon.service").replace("/usr/local/bin/carillon", env!("CARGO_BIN_EXE_carillon"));
    std::fs::write(&path, text).unwrap();
    verify.arg("verify").arg(&path);
    let said = output(verify);
    assert!(!said.contains("carillon.service"), "{said}");
    let Some(mut security) = tool("systemd-analyze") else { return };
    // Exposure of at most 2.0 on systemd's scale of 10.
    security.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(&path);
    output(security);
}
