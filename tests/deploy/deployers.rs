//! The command lines of those who start Alertmanager today: operators, charts, roles (reference/deployers.md 1 to 5).

use crate::options;

fn accepted(args: &str) -> carillon::cli::Options {
    options(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn the_prometheus_operators_arguments_are_accepted() {
    let common = "--config.file=/etc/alertmanager/config_out/alertmanager.env.yaml --storage.path=/alertmanager \
                  --data.retention=120h --web.listen-address=:9093 --web.route-prefix=/ \
                  --web.config.file=/etc/alertmanager/web_config/web-config.yaml --cluster.reconnect-timeout=5m \
                  --cluster.label=monitoring/main --cluster.peer-name=alertmanager-main-0 --dispatch.start-delay=0s \
                  --silences.max-silences=500";
    let one = accepted(&format!(
        "{common} --cluster.listen-address= --cluster.peer=alertmanager-main-0.alertmanager-operated:9094"
    ));
    assert!(one.cluster.is_none());
    let three = accepted(&format!(
        "{common} --cluster.listen-address=[10.1.2.3]:9094 \
         --cluster.peer=alertmanager-main-0.alertmanager-operated.monitoring.svc.cluster.local.:9094 \
         --cluster.peer=alertmanager-main-1.alertmanager-operated.monitoring.svc.cluster.local.:9094 \
         --cluster.peer=alertmanager-main-2.alertmanager-operated.monitoring.svc.cluster.local.:9094 \
         --cluster.tls-config=/etc/alertmanager/cluster_tls_config/cluster-tls-config.yaml"
    ));
    let cluster = three.cluster.unwrap();
    assert_eq!((cluster.peers.len(), cluster.label.as_str()), (3, "monitoring/main"));
    let six = accepted(&format!("{common} --cluster.listen-address=[fd00::7]:9094"));
    assert_eq!(six.cluster.unwrap().listen_address.host, "fd00::7");
}

#[test]
fn the_charts_and_other_operators_arguments_are_accepted() {
    let chart = accepted(
        "--storage.path=/alertmanager --config.file=/etc/alertmanager/alertmanager.yml \
         --cluster.advertise-address=[10.1.2.3]:9094 --cluster.listen-address=0.0.0.0:9094 \
         --cluster.peer=am-0.am-headless:9094 --cluster.peer=am-1.am-headless:9094 --web.external-url=http://am.example.org",
    );
    assert_eq!(chart.cluster.unwrap().advertise_address.unwrap().0.to_string(), "10.1.2.3");
    let victoria = accepted(
        "--cluster.listen-address=[10.1.2.3]:9094 --cluster.peer=vm-0.vm.monitoring:9094 \
         --config.file=/etc/alertmanager/config/alertmanager.yaml --data.retention=120h \
         --enable-feature=utf8-strict-mode --log.format=json --log.level=INFO --storage.path=/alertmanager \
         --web.external-url=http://am --web.listen-address=:9093 --web.route-prefix=/",
    );
    assert!(victoria.features.utf8_strict_mode);
}

#[test]
fn the_arguments_of_bare_metal_are_accepted() {
    let role = accepted(
        "--cluster.listen-address= --config.file=/etc/alertmanager/alertmanager.yml --storage.path=/var/lib/alertmanager \
         --web.listen-address=0.0.0.0:9093 --web.listen-address=127.0.0.1:9095 \
         --web.external-url=http://localhost:9093/ --web.config.file=/etc/alertmanager/web_config.yml",
    );
    assert_eq!(role.web.listen_addresses.len(), 2);
    let separate = accepted(
        "--config.file /tmp/alert-manager-substituted.yaml --storage.path /var/lib/alertmanager --log.level warn \
         --cluster.peer am:9094",
    );
    assert_eq!(separate.cluster.unwrap().peers, ["am:9094"]);
    let swarm = accepted("--cluster.peer=tasks.alertmanager:9094");
    assert_eq!(swarm.cluster.unwrap().peers, ["tasks.alertmanager:9094"]);
}
