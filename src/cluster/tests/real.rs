//! The same over sockets of this machine, in real time.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{
    super::{ClusterConfig, MemberState, SecretKey, network::System},
    lab::{Lab, TestNode, all_see, until},
};

const SECOND: Duration = Duration::from_secs(1);

async fn node(lab: &mut Lab, name: &str, peers: &[&TestNode], tweak: impl Fn(ClusterConfig) -> ClusterConfig) -> TestNode {
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
