//! The image and the compose file.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{deploy, loads, options, read, root, texts, yaml};

pub const FILES: &[&str] = &[
    "docker/Dockerfile",
    "docker/Dockerfile.dockerignore",
    "docker/compose.yml",
    "docker/alertmanager.yml",
    "docker/prometheus.yml",
    "docker/rules.yml",
];

/// Instructions with their arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("docker/Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{line}")))
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// The arguments of the last `name`.
fn last(name: &str) -> String {
    instructions().into_iter().rfind(|(instruction, _)| instruction == name).unwrap().1
}

#[test]
fn the_image_looks_like_the_well_known_one() {
    let list = |name| serde_json::from_str::<Vec<String>>(&last(name)).unwrap();
    assert_eq!(list("ENTRYPOINT"), ["/bin/alertmanager"]);
    let options = options(&list("CMD"));
    assert_eq!(options.config_file.to_str(), Some("/etc/alertmanager/alertmanager.yml"));
    assert_eq!(options.storage_path.to_str(), Some("/alertmanager"));
    assert_eq!((last("WORKDIR").as_str(), list("VOLUME")), ("/alertmanager", vec!["/alertmanager".to_owned()]));
    // A number, so that a cluster can see that it is not root.
    assert_eq!(last("USER"), "65534:65534");
    assert!(last("EXPOSE").split(' ').any(|port| port == "9093"));
    let build = instructions().into_iter().find(|(name, _)| name == "RUN").unwrap().1;
    for part in [
        "--bin carillon --bin carillonctl",
        "ln -s carillon /out/bin/alertmanager",
        "ln -s carillonctl /out/bin/amtool",
    ] {
        assert!(build.contains(part), "{part}");
    }
}

#[test]
fn what_the_image_copies_exists_and_is_not_ignored() {
    let known = [
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "LABEL",
        "ENV",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    ];
    let ignored: Vec<String> = read("docker/Dockerfile.dockerignore").lines().map(str::to_owned).collect();
    let mut stages = BTreeSet::new();
    for (name, args) in instructions() {
        assert!(known.contains(&name.as_str()), "{name}");
        if let (true, Some((_, stage))) = (name == "FROM", args.split_once(" AS ")) {
            stages.insert(stage.to_owned());
        }
        if name == "COPY" {
            match args.strip_prefix("--from=") {
                Some(from) => assert!(stages.contains(from.split(' ').next().unwrap())),
                None => {
                    let source = args.split(' ').next().unwrap();
                    assert!(root().join(source).exists(), "{source}");
                    assert!(!ignored.iter().any(|line| source.starts_with(line.as_str())), "{source} is ignored");
                }
            }
        }
    }
    for needed in ["Cargo.toml", "Cargo.lock", "src"] {
        assert!(!ignored.iter().any(|line| line == needed), "{needed} is needed to build");
    }
}

fn services(compose: &Value) -> BTreeSet<String> {
    compose["services"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_compose_files_services_find_each_other() {
    let compose = yaml("docker/compose.yml");
    let names = services(&compose);
    let volumes: BTreeSet<&String> = compose["volumes"].as_object().unwrap().keys().collect();
    let nodes: Vec<&String> = names.iter().filter(|name| name.starts_with("alertmanager-")).collect();
    assert_eq!((nodes.len(), names.iter().filter(|name| name.starts_with("prometheus-")).count()), (3, 2));
    for node in nodes {
        let service = &compose["services"][node];
        let options = options(&texts(&service["command"]));
        let peers = options.cluster.unwrap().peers;
        assert!(peers.len() == 3 && peers.iter().all(|peer| names.contains(peer.strip_suffix(":9094").unwrap())));
        assert_eq!(service["build"]["dockerfile"], "deploy/docker/Dockerfile");
    }
    for service in compose["services"].as_object().unwrap().values() {
        for mount in service["volumes"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let source = mount.as_str().unwrap().split(':').next().unwrap();
            let is_there = if source.starts_with('.') {
                deploy("docker").join(source).is_file()
            } else {
                volumes.iter().any(|volume| *volume == source)
            };
            assert!(is_there, "{source}");
        }
    }
}

#[test]
fn mail_and_alerts_go_where_the_services_are() {
    loads(&deploy("docker/alertmanager.yml"));
    let names = services(&yaml("docker/compose.yml"));
    let config = yaml("docker/alertmanager.yml");
    assert!(names.contains(config["global"]["smtp_smarthost"].as_str().unwrap().split(':').next().unwrap()));
    let prometheus = yaml("docker/prometheus.yml");
    let mut lists = vec![&prometheus["alerting"]["alertmanagers"][0]];
    lists.extend(prometheus["scrape_configs"].as_array().unwrap());
    for target in lists.iter().flat_map(|list| texts(&list["static_configs"][0]["targets"])) {
        assert!(names.contains(target.split(':').next().unwrap()), "{target}");
    }
    assert_eq!(yaml("docker/rules.yml")["groups"][0]["rules"][0]["alert"], "InstanceDown");
}
