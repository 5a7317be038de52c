//! Strangers, forgers and noise.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, time::sleep};

use super::{
    super::{ClusterConfig, SecretKey},
    lab::{PORT, all_see, config, ip, until, with_seeds},
};
use crate::random::Random;

const SECOND: Duration = Duration::from_secs(1);

fn sealed(secrets: &'static [&'static str]) -> impl Fn(ClusterConfig) -> ClusterConfig {
    move |config| {
        let keys = secrets.iter().map(|secret| SecretKey::new(secret.as_bytes()).unwrap()).collect();
        ClusterConfig { keys, ..config }
    }
}

#[test]
fn a_sealed_cluster_works_and_takes_nobody_without_the_key() {
    with_seeds(0..3, |mut lab| async move {
        let nodes = lab.cluster_with(3, sealed(&["0123456789abcdef"])).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        nodes[0].put("small", 1, 300);
        nodes[0].put("large", 1, 30_000);
        until("all hold all", SECOND, || nodes.iter().all(|node| node.state.len() == 2)).await;
        let plain = lab.start("d", 4, &["10.0.0.1:9094"]).await;
        let other = sealed(&["fedcba9876543210"])(config("e", ip(5), &["10.0.0.1:9094"]));
        let other = lab.try_start(other, chrono::TimeDelta::zero(), None).await.unwrap();
        sleep(30 * SECOND).await;
        assert!(all_see(&nodes.iter().collect::<Vec<_>>()) && all_see(&[&plain]) && all_see(&[&other]));
        assert!(nodes[0].metrics.strangers_total.with_label_values(&["seal"]).get() > 0);
        assert_eq!((plain.state.len(), other.state.len()), (0, 0));
    });
}

#[test]
fn keys_are_rotated_while_the_cluster_runs() {
    with_seeds(0..3, |mut lab| async move {
        let peers = ["10.0.0.1:9094", "10.0.0.2:9094"];
        let old = sealed(&["0123456789abcdef", "fedcba9876543210"])(config("a", ip(1), &peers));
        let new = sealed(&["fedcba9876543210", "0123456789abcdef"])(config("b", ip(2), &peers));
        let a = lab.try_start(old, chrono::TimeDelta::zero(), None).await.unwrap();
        let b = lab.try_start(new, chrono::TimeDelta::zero(), None).await.unwrap();
        until("both see both", 5 * SECOND, || all_see(&[&a, &b])).await;
        a.put("k", 1, 10);
        until("both hold it", SECOND, || b.state.len() == 1).await;
    });
}

#[test]
fn clusters_of_different_labels_do_not_mix() {
    with_seeds(0..3, |mut lab| async move {
        let peers = ["10.0.0.1:9094", "10.0.0.2:9094"];
        let a = lab.start("a", 1, &peers).await;
        let labelled = ClusterConfig { label: "other".into(), ..config("b", ip(2), &peers) };
        let b = lab.try_start(labelled, chrono::TimeDelta::zero(), None).await.unwrap();
        sleep(30 * SECOND).await;
        assert!(all_see(&[&a]) && all_see(&[&b]));
        assert!(a.metrics.strangers_total.with_label_values(&["label"]).get() > 0);
    });
}

/// Noise, packets of another life with bits turned, and repeats of packets that were seen.
#[test]
fn forged_and_repeated_packets_change_nothing_in_a_sealed_cluster() {
    with_seeds(0..3, |mut lab| async move {
        let nodes = lab.cluster_with(3, sealed(&["0123456789abcdef"])).await;
        let all: Vec<_> = nodes.iter().collect();
        until("all see all", 5 * SECOND, || all_see(&all)).await;
        let generations: Vec<_> = nodes.iter().map(|node| node.cluster.members()[0].generation).collect();
        let (random, attacker) = (Random::seeded(lab.seed), lab.net.host(IpAddr::from([10, 0, 0, 66])));
        let socket = attacker.bind(SocketAddr::new(ip(66), PORT)).await.unwrap();
        let mut packet = plain_packet(&random, 0);
        packet[3] = 1;
        for round in 0..3000u32 {
            let at = usize::try_from(random.next_u64()).unwrap_or(0) % packet.len();
            packet[at.max(12)] = random.next_u64().to_le_bytes()[0];
            socket.send(SocketAddr::new(ip(1), PORT), &packet).unwrap();
            if round % 100 == 0 {
                sleep(SECOND / 10).await;
            }
        }
        sleep(10 * SECOND).await;
        assert!(all_see(&all));
        assert!(nodes.iter().all(|node| node.downs.lock().unwrap().is_empty()));
        let after: Vec<_> = nodes.iter().map(|node| node.cluster.members()[0].generation).collect();
        assert_eq!(generations, after);
        assert_eq!(nodes[0].metrics.strangers_total.with_label_values(&["seal"]).get(), 3000);
    });
}

/// An unsealed packet of the right cluster, with noise for a message of any kind.
fn plain_packet(random: &Random, kind: u8) -> Vec<u8> {
    let mut packet = vec![0xCA, 0x52, 1, 0];
    packet.extend_from_slice(&super::super::wire::cluster_id(""));
    packet.extend_from_slice(&random.next_u64().to_le_bytes());
    packet.extend_from_slice(&random.next_u64().to_le_bytes());
    packet.push(kind);
    let length = random.next_u64() % 200;
    packet.extend((0..length).map(|_| {
        let byte = random.next_u64().to_le_bytes()[0];
        // Small numbers get further: they are tags and lengths.
        if byte & 1 == 0 { byte % 12 } else { byte }
    }));
    packet
}

#[test]
fn no_datagram_makes_a_node_panic() {
    with_seeds(0..4, |mut lab| async move {
        let nodes = lab.cluster(2).await;
        until("both see both", 5 * SECOND, || all_see(&[&nodes[0], &nodes[1]])).await;
        let (random, attacker) = (Random::seeded(lab.seed), lab.net.host(ip(66)));
        let socket = attacker.bind(SocketAddr::new(ip(66), PORT)).await.unwrap();
        for round in 0..4000u64 {
            let kind = u8::try_from(round % 16).unwrap();
            let packet = plain_packet(&random, kind);
            socket.send(SocketAddr::new(ip(1), PORT), &packet).unwrap();
            if round % 500 == 0 {
                sleep(SECOND / 10).await;
            }
        }
        sleep(5 * SECOND).await;
        nodes[1].put("k", 1, 10);
        until("it still works", 3 * SECOND, || nodes[0].state.len() == 1).await;
    });
}

#[test]
fn no_stream_makes_a_node_panic_and_silent_ones_are_closed() {
    with_seeds(0..3, |mut lab| async move {
        let nodes = lab.cluster(2).await;
        until("both see both", 5 * SECOND, || all_see(&[&nodes[0], &nodes[1]])).await;
        let (random, attacker) = (Random::seeded(lab.seed), lab.net.host(ip(66)));
        let mut silent = Vec::new();
        for round in 0..300u64 {
            let mut stream = attacker.connect(SocketAddr::new(ip(1), PORT)).await.unwrap();
            let mut bytes = vec![0xCA, 0x52, 1, 1, 0];
            bytes.extend_from_slice(&super::super::wire::cluster_id(""));
            bytes.extend_from_slice(&[7; 16]);
            let noise = plain_packet(&random, u8::try_from(round % 16).unwrap()).split_off(28);
            bytes.extend_from_slice(&u32::try_from(noise.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&noise);
            if round % 3 == 0 {
                bytes.truncate(usize::try_from(round % 40).unwrap());
            }
            stream.write_all(&bytes).await.unwrap();
            silent.push(stream);
        }
        sleep(10 * SECOND).await;
        nodes[1].put("k", 1, 10_000);
        until("it still works", 3 * SECOND, || nodes[0].state.len() == 1).await;
    });
}
