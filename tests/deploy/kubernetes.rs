//! The kustomize base and the overlay of three nodes. What they say to each other is checked here; that every key is
//! one that Kubernetes knows was checked with its schemas (README beside them).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{deploy, loads, options, output, texts, tool, yaml};

pub const FILES: &[&str] = &[
    "kubernetes/base/kustomization.yaml",
    "kubernetes/base/alertmanager.yml",
    "kubernetes/base/serviceaccount.yaml",
    "kubernetes/base/service.yaml",
    "kubernetes/base/service-headless.yaml",
    "kubernetes/base/statefulset.yaml",
    "kubernetes/base/servicemonitor.yaml",
    "kubernetes/overlays/three-nodes/kustomization.yaml",
    "kubernetes/overlays/three-nodes/statefulset.yaml",
    "kubernetes/overlays/three-nodes/poddisruptionbudget.yaml",
    "kubernetes/overlays/three-nodes/networkpolicy.yaml",
];

fn base(file: &str) -> Value {
    yaml(&format!("kubernetes/base/{file}"))
}

fn overlay(file: &str) -> Value {
    yaml(&format!("kubernetes/overlays/three-nodes/{file}"))
}

fn pod(statefulset: &Value) -> &Value {
    &statefulset["spec"]["template"]["spec"]
}

fn container(statefulset: &Value) -> &Value {
    let containers = pod(statefulset)["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// The values of `key` in a list of objects.
fn values(list: &Value, key: &str) -> BTreeSet<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item[key].as_str().unwrap_or_else(|| panic!("{item} has no {key}")).to_owned()).collect()
}

fn labels() -> Value {
    base("kustomization.yaml")["labels"][0]["pairs"].clone()
}

/// The arguments as the kubelet expands them.
fn args(statefulset: &Value) -> Vec<String> {
    let args = texts(&container(statefulset)["args"]);
    args.iter().map(|arg| arg.replace("$(POD_IP)", "10.1.2.3").replace("$(POD_NAME)", "carillon-0")).collect()
}

#[test]
fn each_kustomization_lists_what_lies_beside_it() {
    for folder in ["base", "overlays/three-nodes"] {
        let kustomization = yaml(&format!("kubernetes/{folder}/kustomization.yaml"));
        let mut listed: BTreeSet<String> = texts(&kustomization["resources"]).into_iter().collect();
        listed.remove("../../base");
        if folder == "base" {
            listed.extend(texts(&kustomization["configMapGenerator"][0]["files"]));
        } else {
            listed.extend(values(&kustomization["patches"], "path"));
        }
        listed.insert("kustomization.yaml".to_owned());
        let entries = std::fs::read_dir(deploy(&format!("kubernetes/{folder}"))).unwrap();
        let found: BTreeSet<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(found, listed, "{folder}");
    }
    assert_eq!(labels().as_object().unwrap().len(), 2);
}

#[test]
fn the_configuration_loads_and_stands_where_the_flags_look_for_it() {
    loads(&deploy("kubernetes/base/alertmanager.yml"));
    let map = &base("kustomization.yaml")["configMapGenerator"][0];
    let statefulset = base("statefulset.yaml");
    let volumes = &pod(&statefulset)["volumes"];
    assert_eq!(volumes[0]["configMap"]["name"], map["name"]);
    for set in [base("statefulset.yaml"), overlay("statefulset.yaml")] {
        let options = options(&args(&set));
        let mounts = container(&statefulset)["volumeMounts"].as_array().unwrap().clone();
        let mount =
            |name: &str| mounts.iter().find(|m| m["name"] == name).unwrap()["mountPath"].as_str().unwrap().to_owned();
        assert_eq!(options.config_file.to_str().unwrap(), format!("{}/alertmanager.yml", mount("config")));
        assert_eq!(options.storage_path.to_str().unwrap(), mount("data"));
    }
}

#[test]
fn mounts_have_volumes_and_ports_have_names() {
    let (plain, patch) = (base("statefulset.yaml"), overlay("statefulset.yaml"));
    let mut volumes = values(&pod(&plain)["volumes"], "name");
    volumes.extend(values(&pod(&patch)["volumes"], "name"));
    let claims = plain["spec"]["volumeClaimTemplates"].as_array().unwrap();
    volumes.extend(claims.iter().map(|claim| claim["metadata"]["name"].as_str().unwrap().to_owned()));
    let mut mounts = values(&container(&plain)["volumeMounts"], "name");
    mounts.extend(values(&container(&patch)["volumeMounts"], "name"));
    assert_eq!(volumes, mounts);

    let ports = values(&container(&plain)["ports"], "name");
    for service in ["service.yaml", "service-headless.yaml"] {
        let targets = values(&base(service)["spec"]["ports"], "targetPort");
        assert!(targets.is_subset(&ports), "{service}");
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let probe = &container(&plain)[probe]["httpGet"];
        assert!(ports.contains(probe["port"].as_str().unwrap()));
        assert!(["/-/healthy", "/-/ready"].contains(&probe["path"].as_str().unwrap()));
    }
    // A pod is scraped once: of its services only one has the port that the monitor asks for.
    let monitored = base("servicemonitor.yaml")["spec"]["endpoints"][0]["port"].clone();
    let has = |file: &str| values(&base(file)["spec"]["ports"], "name").contains(monitored.as_str().unwrap());
    assert_eq!((has("service.yaml"), has("service-headless.yaml")), (true, false));
}

#[test]
fn the_nodes_find_each_other_by_the_headless_service_before_they_are_ready() {
    let headless = base("service-headless.yaml");
    assert_eq!(headless["spec"]["clusterIP"], "None");
    assert_eq!(headless["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(base("statefulset.yaml")["spec"]["serviceName"], headless["metadata"]["name"]);
    let cluster = options(&args(&overlay("statefulset.yaml"))).cluster.unwrap();
    let name = headless["metadata"]["name"].as_str().unwrap();
    assert_eq!(cluster.peers, [format!("{name}:9094")]);
    assert_eq!((cluster.listen_address.port, cluster.peer_name.as_deref()), (9094, Some("carillon-0")));
    let protocols: BTreeSet<_> = headless["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|port| port["port"] == 9094)
        .map(|port| port["protocol"].as_str().unwrap_or("TCP").to_owned())
        .collect();
    assert_eq!(protocols, BTreeSet::from(["TCP".to_owned(), "UDP".to_owned()]));
}

#[test]
fn the_secret_of_the_cluster_is_mounted_where_the_flag_looks_for_it() {
    let patch = overlay("statefulset.yaml");
    let file = options(&args(&patch)).cluster.unwrap().secret_file.unwrap();
    let mount = &container(&patch)["volumeMounts"][0];
    assert_eq!(mount["name"], pod(&patch)["volumes"][0]["name"]);
    assert_eq!(file.parent().unwrap().to_str(), mount["mountPath"].as_str());
    assert_eq!(pod(&patch)["volumes"][0]["secret"]["secretName"], "carillon-cluster");
}

#[test]
fn nodes_are_kept_apart_and_taken_down_one_at_a_time_with_time_to_drain() {
    let patch = overlay("statefulset.yaml");
    assert_eq!(patch["spec"]["replicas"], 3);
    let apart = &pod(&patch)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let budget = overlay("poddisruptionbudget.yaml");
    let policy = overlay("networkpolicy.yaml");
    let spread = &pod(&patch)["topologySpreadConstraints"][0];
    let selectors = [
        &apart["labelSelector"],
        &budget["spec"]["selector"],
        &policy["spec"]["podSelector"],
        &spread["labelSelector"],
        &base("servicemonitor.yaml")["spec"]["selector"],
    ];
    for selector in selectors {
        assert_eq!(selector["matchLabels"], labels());
    }
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let plain = base("statefulset.yaml");
    let pause: u64 = container(&plain)["lifecycle"]["preStop"]["exec"]["command"][1].as_str().unwrap().parse().unwrap();
    // After the pause: 2 s for requests, 5 s for notifications, and the disk.
    assert!(pod(&plain)["terminationGracePeriodSeconds"].as_u64().unwrap() >= pause + 20);
}

#[test]
fn the_pod_can_do_nothing_it_does_not_need() {
    let plain = base("statefulset.yaml");
    let context = &container(&plain)["securityContext"];
    assert_eq!(
        (&context["allowPrivilegeEscalation"], &context["readOnlyRootFilesystem"]),
        (&false.into(), &true.into())
    );
    assert_eq!(texts(&context["capabilities"]["drop"]), ["ALL"]);
    assert_eq!(pod(&plain)["securityContext"]["runAsNonRoot"], true);
    assert_eq!(base("serviceaccount.yaml")["automountServiceAccountToken"], false);
}

#[test]
fn kustomize_builds_both() {
    for (folder, kinds) in [("base", 6), ("overlays/three-nodes", 8)] {
        let Some(mut command) = tool("kubectl") else { return };
        command.arg("kustomize").arg(deploy(&format!("kubernetes/{folder}")));
        let text = output(command);
        assert_eq!(text.lines().filter(|line| line.starts_with("kind: ")).count(), kinds, "{text}");
        assert!(text.contains("image: registry.example.org/carillon:v0.34.0"));
    }
}
