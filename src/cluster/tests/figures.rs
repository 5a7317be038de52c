//! Figures, on demand: `cargo test … -- --ignored --nocapture figures`.

use std::time::Duration;

use tokio::time::sleep;

use super::lab::{all_see, until, with_seeds};

const SECOND: Duration = Duration::from_secs(1);

#[test]
#[ignore = "prints figures"]
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn figures_of_clusters_of_several_sizes() {
    for count in [3u8, 5, 7, 15, 50] {
        let seeds = if count > 10 { 1 } else { 5 };
        with_seeds(0..seeds, move |mut lab| async move {
            let mut nodes = lab.cluster(count).await;
            until("all see all", 30 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
            sleep(10 * SECOND).await;
            let before = lab.net.traffic();
            sleep(30 * SECOND).await;
            let after = lab.net.traffic();
            let per = |a: u64, b: u64| (b - a) / 30 / u64::from(count);
            let (packets, bytes, streams) = (
                per(before.datagrams * 10, after.datagrams * 10),
                per(before.datagram_bytes, after.datagram_bytes),
                per(before.stream_bytes, after.stream_bytes),
            );
            nodes[0].put("k", 1, 300);
            let one = until("a delta", 5 * SECOND, || nodes.iter().all(|node| node.state.len() == 1)).await;
            sleep(3 * SECOND).await;
            let before = lab.net.traffic();
            for i in 0..1000 {
                nodes[0].put(&format!("b{i}"), 1, 300);
            }
            let burst = until("a burst", 20 * SECOND, || nodes.iter().all(|node| node.state.len() == 1001)).await;
            sleep(3 * SECOND).await;
            let after = lab.net.traffic();
            let total = after.datagram_bytes + after.stream_bytes - before.datagram_bytes - before.stream_bytes;
            let victim = nodes.remove(0);
            lab.kill(victim);
            let death = until("a death", 10 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
            println!(
                "{count} nodes, seed {}: idle {:.1} packets/s {bytes} B/s UDP {streams} B/s TCP a node; delta {one:?}; \
                 burst {burst:?}, {} kB a node; death known to all {death:?}",
                lab.seed,
                packets as f64 / 10.0,
                total / 1000 / u64::from(count),
            );
        });
    }
}
