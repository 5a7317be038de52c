//! Deltas, state, questions and news.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    super::{Urgency, Via},
    lab::{KIND, TestNode, all_see, ip, until, with_seeds},
};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

async fn joined(nodes: &[TestNode]) {
    until("all see all", 10 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
    until("all are settled", 10 * SECOND, || nodes.iter().all(|node| node.cluster.is_settled())).await;
    sleep(2 * SECOND).await;
}

#[test]
fn a_delta_is_everywhere_after_one_hop() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        nodes[0].put("k", 1, 300);
        until("all hold it", 10 * MILLI, || nodes.iter().all(|node| node.state.len() == 1)).await;
        sleep(2 * SECOND).await;
        assert_eq!(nodes[0].metrics.deltas_resent_total.get(), 0);
        assert!(nodes[0].cluster.members().iter().all(|member| member.lag == 0));
    });
}

#[test]
fn a_burst_of_a_thousand_is_everywhere_within_a_second() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        for i in 0..1000 {
            nodes[0].put(&format!("k{i}"), 1, 300);
        }
        until("all hold all", SECOND, || nodes.iter().all(|node| node.state.len() == 1000)).await;
        sleep(3 * SECOND).await;
        assert!(nodes[0].cluster.members().iter().all(|member| member.lag == 0));
    });
}

#[test]
fn a_burst_under_loss_arrives_whole() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.set_loss(0.2);
        for i in 0..1000 {
            nodes[0].put(&format!("k{i}"), 1, 300);
            if i % 100 == 0 {
                sleep(MILLI).await;
            }
        }
        // The simulated stream waits for each lost segment in turn, which real ones do not.
        until("all hold all", 8 * SECOND, || nodes.iter().all(|node| node.state.len() == 1000)).await;
    });
}

#[test]
fn a_large_record_goes_over_tcp_at_once() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        nodes[0].put("k", 1, 200_000);
        until("all hold it", 200 * MILLI, || nodes.iter().all(|node| node.state.len() == 1)).await;
    });
}

#[test]
fn blocked_udp_costs_a_second_and_no_delta() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.block_udp(true);
        nodes[0].put("k", 1, 300);
        until("all hold it", 1500 * MILLI, || nodes.iter().all(|node| node.state.len() == 1)).await;
        nodes[0].put_with("l", 1, 300, Urgency::AtOnce);
        until("all hold it", 100 * MILLI, || nodes.iter().all(|node| node.state.len() == 2)).await;
    });
}

#[test]
fn of_many_versions_of_a_key_the_newest_arrives() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.set_loss(0.3);
        for version in 1..=200 {
            nodes[0].put("k", version, 100);
            sleep(2 * MILLI).await;
        }
        until("all hold it", 3 * SECOND, || nodes.iter().all(|node| node.state.version("k") == Some(200))).await;
    });
}

#[test]
fn seven_nodes_hold_a_delta_within_a_moment() {
    with_seeds(0..3, |mut lab| async move {
        let nodes = lab.cluster(7).await;
        joined(&nodes).await;
        nodes[3].put("k", 1, 300);
        until("all hold it", 300 * MILLI, || nodes.iter().all(|node| node.state.len() == 1)).await;
    });
}

#[test]
fn who_was_cut_off_gets_what_it_missed() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.partition(&[&[ip(1)], &[ip(2), ip(3)]]);
        sleep(10 * SECOND).await;
        for i in 0..500 {
            nodes[0].put(&format!("a{i}"), 1, 300);
            nodes[1].put(&format!("b{i}"), 1, 300);
        }
        sleep(20 * SECOND).await;
        assert_eq!((nodes[0].state.len(), nodes[2].state.len()), (500, 500));
        lab.net.heal();
        until("all hold all", 15 * SECOND, || nodes.iter().all(|node| node.state.len() == 1000)).await;
    });
}

#[test]
fn two_nodes_without_a_path_hear_by_way_of_the_third() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.cut(ip(1), ip(2));
        sleep(SECOND).await;
        for i in 0..50 {
            nodes[0].put(&format!("k{i}"), 1, 2000);
        }
        until("all hold all", 20 * SECOND, || nodes.iter().all(|node| node.state.len() == 50)).await;
    });
}

#[test]
fn a_newcomer_holds_everything_when_it_is_settled() {
    with_seeds(0..5, |mut lab| async move {
        let a = lab.start("a", 1, &["10.0.0.2:9094"]).await;
        for i in 0..5000 {
            a.state.put(&format!("k{i}"), 1, &[1; 100]);
        }
        let b = lab.start("b", 2, &["10.0.0.1:9094"]).await;
        b.cluster.settled().await;
        assert_eq!(b.state.len(), 5000);
    });
}

#[test]
fn a_delta_of_an_unknown_kind_is_passed_on_and_harms_nobody() {
    with_seeds(0..3, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        nodes[0].cluster.broadcast(KIND + 77, b"k", 1, Bytes::from_static(b"later"), Urgency::AtOnce);
        sleep(3 * SECOND).await;
        assert!(nodes.iter().all(|node| node.metrics.malformed_total.get() == 0 && node.state.len() == 0));
        assert!(nodes[0].cluster.members().iter().all(|member| member.lag == 0));
    });
}

async fn answers(node: &TestNode, payload: &[u8], limit: Duration) -> (usize, Duration) {
    let peers: Vec<String> = node.cluster.members().into_iter().map(|member| member.name).collect();
    let (started, mut count) = (Instant::now(), 0);
    let mut answers = node.cluster.call(peers, Bytes::copy_from_slice(payload), limit);
    while let Some((from, answer)) = answers.next().await {
        assert!(answer.starts_with(from.as_bytes()));
        count += 1;
    }
    (count, started.elapsed())
}

#[test]
fn a_question_is_answered_by_all_in_one_round_trip() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        let (count, took) = answers(&nodes[0], b"?", SECOND).await;
        assert!(count == 2 && took <= 10 * MILLI, "{count} in {took:?}");
        let (count, took) = answers(&nodes[0], &[7; 100_000], SECOND).await;
        assert!(count == 2 && took <= 100 * MILLI, "{count} in {took:?}");
    });
}

#[test]
fn a_question_goes_over_tcp_when_udp_does_not_work_and_is_handled_once() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.block_udp(true);
        let (count, took) = answers(&nodes[0], b"?", SECOND).await;
        assert!(count == 2 && took <= 400 * MILLI, "{count} in {took:?}");
        lab.net.block_udp(false);
        lab.net.cut_udp_one_way(ip(2), ip(1));
        answers(&nodes[0], b"?", SECOND).await;
        assert_eq!(*nodes[1].echo.asked.lock().unwrap(), 2);
    });
}

#[test]
fn a_question_to_the_dead_ends_when_its_time_is_over() {
    with_seeds(0..3, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        lab.net.darken(nodes[2].ip);
        let (count, took) = answers(&nodes[0], b"?", SECOND).await;
        assert!(count == 1 && took <= 1010 * MILLI, "{count} in {took:?}");
    });
}

#[test]
fn news_are_told_once_by_whatever_way() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        joined(&nodes).await;
        nodes[0].cluster.tell(Bytes::from_static(b"both"), Via::UdpAndTcp);
        sleep(SECOND).await;
        lab.net.block_udp(true);
        nodes[0].cluster.tell(Bytes::from_static(b"tcp"), Via::UdpAndTcp);
        sleep(SECOND).await;
        for node in &nodes[1..] {
            let told = node.echo.told.lock().unwrap().clone();
            assert_eq!(told, [("a".into(), Bytes::from_static(b"both")), ("a".into(), Bytes::from_static(b"tcp"))]);
        }
    });
}
