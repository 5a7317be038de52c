//! The same over sockets of this machine, in real time.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{
    super::{ClusterConfig, ClusterTls, MemberState, SecretKey, network::System},
    lab::{Lab, TestNode, all_see, until},
};

const SECOND: Duration = Duration::from_secs(1);

async fn node(
    lab: &mut Lab,
    name: &str,
    peers: &[&TestNode],
    tweak: impl Fn(ClusterConfig) -> ClusterConfig,
) -> TestNode {
    let peers = peers.iter().map(|peer| peer.cluster.address().to_string()).collect();
    let config = ClusterConfig { peers, ..ClusterConfig::new(name, "127.0.0.1:0".parse().unwrap()) };
    lab.try_start(tweak(config), TimeDelta::zero(), Some(Arc::new(System))).await.unwrap()
}

#[tokio::test]
async fn nodes_on_loopback_join_share_and_notice_a_death() {
    let mut lab = Lab::new(1);
    let a = node(&mut lab, "a", &[], |config| config).await;
    let b = node(&mut lab, "b", &[&a], |config| config).await;
    let c = node(&mut lab, "c", &[&a], |config| config).await;
    until("all see all", 5 * SECOND, || all_see(&[&a, &b, &c])).await;
    for i in 0..200 {
        c.put(&format!("k{i}"), 1, 300);
    }
    until("all hold all", 2 * SECOND, || a.state.len() == 200 && b.state.len() == 200).await;
    drop(c);
    until("the death is seen", 5 * SECOND, || all_see(&[&a, &b])).await;
    assert_eq!(a.member("c").map(|member| member.state), Some(MemberState::Down));
    b.cluster.leave().await;
    until("it left", 2 * SECOND, || a.member("b").is_none()).await;
}

#[tokio::test]
async fn a_sealed_cluster_runs_on_loopback() {
    let mut lab = Lab::new(2);
    let seal = |config| ClusterConfig { keys: vec![SecretKey::new(b"0123456789abcdef").unwrap()], ..config };
    let a = node(&mut lab, "a", &[], seal).await;
    let b = node(&mut lab, "b", &[&a], seal).await;
    until("both see both", 5 * SECOND, || all_see(&[&a, &b])).await;
    a.put("k", 1, 100_000);
    until("both hold it", SECOND, || b.state.len() == 1).await;
}

/// A CA, and for each of two nodes a certificate for 127.0.0.1 with its key.
fn certificates(directory: &std::path::Path) {
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let node = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, text) in [("ca.pem", root.pem()), ("node.pem", node.pem()), ("node.key", key.serialize_pem())] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let file = "tls_server_config:\n  cert_file: node.pem\n  key_file: node.key\n  client_ca_file: ca.pem\n  \
                client_auth_type: RequireAndVerifyClientCert\ntls_client_config:\n  ca_file: ca.pem\n  \
                cert_file: node.pem\n  key_file: node.key\n";
    std::fs::write(directory.join("tls.yml"), file).unwrap();
}

#[tokio::test]
async fn everything_goes_over_mutual_tls_and_nobody_else_gets_in() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let tls = ClusterTls::load(&directory.path().join("tls.yml")).unwrap();
    let with_tls = |config| ClusterConfig { tls: Some(tls.clone()), ..config };
    let mut lab = Lab::new(3);
    let a = node(&mut lab, "a", &[], with_tls).await;
    let b = node(&mut lab, "b", &[&a], with_tls).await;
    let plain = node(&mut lab, "c", &[&a], |config| config).await;
    until("both see both", 5 * SECOND, || all_see(&[&a, &b])).await;
    a.put("small", 1, 100);
    b.put("large", 1, 100_000);
    until("both hold both", 2 * SECOND, || a.state.len() == 2 && b.state.len() == 2).await;
    tokio::time::sleep(3 * SECOND).await;
    assert!(all_see(&[&a, &b]) && all_see(&[&plain]));
    assert!(a.downs.lock().unwrap().is_empty() && a.metrics.packets_sent_total.get() == 0);
    drop(b);
    until("the death is seen", 5 * SECOND, || all_see(&[&a])).await;
}

#[tokio::test]
async fn the_versions_of_both_sides_have_to_meet() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let text = std::fs::read_to_string(directory.path().join("tls.yml")).unwrap();
    let old = text.replace("tls_client_config:\n", "tls_client_config:\n  max_version: TLS12\n");
    let new = text.replace("tls_client_config:\n", "  min_version: TLS13\ntls_client_config:\n");
    let tls = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        ClusterTls::load(&path).unwrap()
    };
    let (old, new) = (tls("old.yml", old), tls("new.yml", new));
    let mut lab = Lab::new(4);
    let a = node(&mut lab, "a", &[], |config| ClusterConfig { tls: Some(new.clone()), ..config }).await;
    let b = node(&mut lab, "b", &[&a], |config| ClusterConfig { tls: Some(old.clone()), ..config }).await;
    tokio::time::sleep(2 * SECOND).await;
    assert!(all_see(&[&a]) && all_see(&[&b]), "b speaks 1.2 when it calls, a takes 1.3 only");
    let c = node(&mut lab, "c", &[&a], |config| ClusterConfig { tls: Some(new.clone()), ..config }).await;
    until("both see both", 5 * SECOND, || all_see(&[&a, &c])).await;
    assert!(c.metrics.tls.stream_connections_sent_total.get() > 0);
    until("packets were counted", 5 * SECOND, || a.metrics.tls.packet_bytes_received_total.get() > 0).await;
}

#[test]
fn a_tls_file_that_cannot_be_followed_says_why() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let path = directory.path().join("tls.yml");
    let both = "cert_file: node.pem, key_file: node.key";
    for (server, client, words) in [
        ("cert_file: a, key_file: b".to_owned(), "", "No such file"),
        ("cert_file: node.pem".to_owned(), "", "tls_server_config: missing one of key or key_file"),
        (String::new(), "", "tls_server_config: missing one of cert or cert_file"),
        (format!("{both}, min_version: TLS14"), "", "tls_server_config: unknown TLS version: TLS14"),
        (format!("{both}, max_version: TLS11"), "", "not supported"),
        (format!("{both}, cipher_suites: [FOO]"), "", "tls_server_config: unknown cipher: FOO"),
        (format!("{both}, curve_preferences: [P1]"), "", "tls_server_config: unknown curve: P1"),
        (format!("{both}, client_ca_file: ca.pem"), "", "without a Client Auth Policy"),
        (both.to_owned(), "max_version: TLS11", "tls_client_config: max_version below TLS12 is not supported"),
        (both.to_owned(), "min_version: TLS13, max_version: TLS12", "max_version is below min_version"),
        (both.to_owned(), "min_version: SSL3", "tls_client_config: unknown TLS version: SSL3"),
        (both.to_owned(), "cert_file: node.pem", "both of cert_file and key_file"),
        (both.to_owned(), "cipher_suites: []", "cipher_suites"),
    ] {
        std::fs::write(&path, format!("tls_server_config: {{{server}}}\ntls_client_config: {{{client}}}\n")).unwrap();
        let error = ClusterTls::load(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{server} {client}: {error}");
    }
    for (text, words) in [
        ("tls_client_config: {}", "missing 'tls_server_config' entry"),
        ("tls_server_config: {cert_file: a, key_file: b}", "missing 'tls_client_config' entry"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = ClusterTls::load(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
