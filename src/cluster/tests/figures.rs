//! Figures for people, in virtual time, as a table for README: `cargo test figures -- --ignored --nocapture`.
//!
//! Datagrams and segments take 1 to 3 ms each way. Bytes are what nodes hand to their sockets, without the heads of IP,
//! UDP and TCP. The burst: 1,000 new records of 300 bytes at once on one node. The stream: 100 such records a second.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::lab::{Lab, TestNode, all_see, until, with_seeds};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const RECORD_BYTES: usize = 300;

/// How much of each is measured.
struct Effort {
    nodes: u8,
    seeds: u64,
    deltas: usize,
    kills: usize,
}

const EFFORTS: [Effort; 5] = [
    Effort { nodes: 3, seeds: 20, deltas: 50, kills: 1 },
    Effort { nodes: 5, seeds: 15, deltas: 50, kills: 2 },
    Effort { nodes: 7, seeds: 10, deltas: 50, kills: 3 },
    Effort { nodes: 15, seeds: 3, deltas: 50, kills: 5 },
    Effort { nodes: 50, seeds: 1, deltas: 30, kills: 5 },
];

#[derive(Default)]
struct Figures {
    deltas: Vec<Duration>,
    /// Processes that die, and machines that hang.
    kills: Vec<Duration>,
    hangs: Vec<Duration>,
    bursts: Vec<Duration>,
    idle: Vec<u64>,
    packets: Vec<u64>,
    stream: Vec<u64>,
    burst_bytes: Vec<u64>,
}

/// Waits as `until` does, but looks more often.
async fn took(limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}");
        sleep(MILLI).await;
    }
    began.elapsed()
}

/// Bytes for each node, and packets for all, since then.
fn sent(lab: &Lab, before: &super::super::sim::Traffic, nodes: u8) -> (u64, u64) {
    let now = lab.net.traffic();
    let bytes = now.datagram_bytes + now.stream_bytes - before.datagram_bytes - before.stream_bytes;
    (bytes / u64::from(nodes), now.datagrams - before.datagrams)
}

async fn measure(mut lab: Lab, effort: &Effort, figures: &Mutex<Figures>) {
    let mut nodes = lab.cluster(effort.nodes).await;
    until("all see all", 60 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
    until("all are settled", 60 * SECOND, || nodes.iter().all(|node| node.cluster.is_settled())).await;
    sleep(90 * SECOND).await;
    let mut found = Figures::default();

    let before = lab.net.traffic();
    sleep(60 * SECOND).await;
    let (bytes, packets) = sent(&lab, &before, effort.nodes);
    found.idle.push(bytes / 60);
    found.packets.push(packets * 10 / 60 / u64::from(effort.nodes));

    for number in 0..effort.deltas {
        let from = &nodes[number % nodes.len()];
        from.put(&format!("delta {number}"), 1, RECORD_BYTES);
        let holds = || nodes.iter().all(|node| node.state.len() == number + 1);
        found.deltas.push(took(30 * SECOND, holds).await);
        sleep(Duration::from_millis(700)).await;
    }

    sleep(5 * SECOND).await;
    let before = lab.net.traffic();
    (0..1000).for_each(|number| nodes[0].put(&format!("burst {number}"), 1, RECORD_BYTES));
    let all = effort.deltas + 1000;
    found.bursts.push(took(60 * SECOND, || nodes.iter().all(|node| node.state.len() == all)).await);
    sleep(5 * SECOND).await;
    found.burst_bytes.push(sent(&lab, &before, effort.nodes).0);

    let before = lab.net.traffic();
    for number in 0..1000 {
        nodes[0].put(&format!("stream {number}"), 1, RECORD_BYTES);
        sleep(10 * MILLI).await;
    }
    found.stream.push(sent(&lab, &before, effort.nodes).0 / 10);
    sleep(10 * SECOND).await;

    for number in 0..effort.kills {
        found.kills.push(lose(&lab, &mut nodes, false, number).await);
    }
    found.hangs.push(lose(&lab, &mut nodes, true, 0).await);
    let mut all = figures.lock().unwrap();
    all.deltas.append(&mut found.deltas);
    all.kills.append(&mut found.kills);
    all.hangs.append(&mut found.hangs);
    all.bursts.append(&mut found.bursts);
    all.idle.append(&mut found.idle);
    all.packets.append(&mut found.packets);
    all.stream.append(&mut found.stream);
    all.burst_bytes.append(&mut found.burst_bytes);
}

/// One node less: until the last of the others has noticed.
async fn lose(lab: &Lab, nodes: &mut Vec<TestNode>, hangs: bool, number: usize) -> Duration {
    sleep(Duration::from_millis(1000 + 370 * u64::try_from(number).unwrap() + 37 * lab.seed)).await;
    let victim = nodes.remove(0);
    if hangs {
        lab.net.darken(victim.ip);
    } else {
        lab.net.kill(victim.ip);
    }
    let took = took(60 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
    drop(victim);
    took
}

fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

fn mean(values: &[u64]) -> u64 {
    values.iter().sum::<u64>() / values.len() as u64
}

fn shown(duration: Duration) -> String {
    if duration < SECOND { format!("{} ms", duration.as_millis()) } else { format!("{:.1} s", duration.as_secs_f64()) }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_clusters_of_several_sizes() {
    println!(
        "| nodes | one record on all, p50 / p99 | 1,000 at once on all | process dead, seen by all, p50 / max | machine \
         hangs, p50 / max | idle, bytes/s (packets/s) a node | 100 records/s, bytes/s a node | 1,000 at once, kB a node |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for effort in &EFFORTS {
        let figures: Arc<Mutex<Figures>> = Arc::default();
        with_seeds(0..effort.seeds, |lab| {
            let figures = Arc::clone(&figures);
            async move { measure(lab, effort, &figures).await }
        });
        let mut f = figures.lock().unwrap();
        let (deltas, kills, hangs) = (&mut f.deltas.clone(), &mut f.kills.clone(), &mut f.hangs.clone());
        println!(
            "| {} | {} / {} | {} | {} / {} | {} / {} | {} ({}.{}) | {} | {} |",
            effort.nodes,
            shown(percentile(deltas, 50)),
            shown(percentile(deltas, 99)),
            shown(percentile(&mut f.bursts, 50)),
            shown(percentile(kills, 50)),
            shown(percentile(kills, 100)),
            shown(percentile(hangs, 50)),
            shown(percentile(hangs, 100)),
            mean(&f.idle),
            mean(&f.packets) / 10,
            mean(&f.packets) % 10,
            mean(&f.stream),
            mean(&f.burst_bytes) / 1000,
        );
    }
}
