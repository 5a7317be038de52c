//! How a split ends.

use std::{net::IpAddr, time::Duration};

use tokio::time::sleep;

use super::lab::{TestNode, all_see, ip, until, with_seeds};

const SECOND: Duration = Duration::from_secs(1);
/// Members and state are whole again so long after the paths are.
const HEALED: Duration = Duration::from_secs(3);

/// Splits a cluster, changes state on both sides, heals it.
async fn split_and_heal(nodes: &[TestNode], net: &super::super::sim::SimNet, groups: &[&[IpAddr]], length: Duration) {
    let all: Vec<_> = nodes.iter().collect();
    until("all see all", 10 * SECOND, || all_see(&all)).await;
    sleep(3 * SECOND).await;
    net.partition(groups);
    sleep(length / 2).await;
    for node in nodes {
        node.put(&format!("of {}", node.name), 1, 300);
    }
    sleep(length / 2).await;
    net.heal();
    let count = nodes.len();
    let whole = || all_see(&all) && nodes.iter().all(|node| node.state.len() == count);
    let took = until("members and state are whole", HEALED, whole).await;
    // And stays so.
    sleep(20 * SECOND).await;
    assert!(all_see(&all), "whole after {took:?}, and then not");
}

/// From shorter than it takes to notice, to long after every growing interval has grown.
fn length(seed: u64) -> Duration {
    let lengths = [1, 3, 5, 8, 13, 20, 33, 60, 125, 400];
    let second = usize::try_from(seed).map_or(1, |seed| lengths[seed % lengths.len()]);
    Duration::from_secs(second) + Duration::from_millis(seed * 37 % 1000)
}

#[test]
fn one_of_three_that_was_cut_off_is_back_within_three_seconds() {
    with_seeds(0..40, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        split_and_heal(&nodes, &lab.net, &[&[ip(1)], &[ip(2), ip(3)]], length(lab.seed)).await;
    });
}

#[test]
fn a_total_split_is_over_within_three_seconds() {
    with_seeds(0..40, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        split_and_heal(&nodes, &lab.net, &[&[ip(1)], &[ip(2)], &[ip(3)]], length(lab.seed)).await;
    });
}

#[test]
fn two_halves_of_seven_are_one_within_three_seconds() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(7).await;
        let groups: [&[IpAddr]; 2] = [&[ip(1), ip(2), ip(3)], &[ip(4), ip(5), ip(6), ip(7)]];
        split_and_heal(&nodes, &lab.net, &groups, length(lab.seed)).await;
    });
}

#[test]
fn a_split_is_over_within_three_seconds_without_udp() {
    with_seeds(0..20, |mut lab| async move {
        lab.net.block_udp(true);
        let nodes = lab.cluster(3).await;
        split_and_heal(&nodes, &lab.net, &[&[ip(1)], &[ip(2), ip(3)]], length(lab.seed)).await;
    });
}

#[test]
fn a_split_is_over_within_three_seconds_for_members_that_nobody_configured() {
    with_seeds(0..20, |mut lab| async move {
        let mut nodes = vec![lab.start("a", 1, &[]).await];
        for (name, host) in [("b", 2), ("c", 3)] {
            nodes.push(lab.start(name, host, &["10.0.0.1:9094"]).await);
        }
        split_and_heal(&nodes, &lab.net, &[&[ip(2)], &[ip(3)], &[ip(1)]], length(lab.seed)).await;
    });
}

#[test]
fn a_split_heals_while_a_tenth_of_the_packets_is_lost() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        lab.net.set_loss(0.1);
        let all: Vec<_> = nodes.iter().collect();
        until("all see all", 10 * SECOND, || all_see(&all)).await;
        lab.net.partition(&[&[ip(1)], &[ip(2), ip(3)]]);
        sleep(length(lab.seed)).await;
        lab.net.heal();
        until("all see all again", 10 * SECOND, || all_see(&all)).await;
    });
}
