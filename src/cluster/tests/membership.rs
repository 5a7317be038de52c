//! Who is a member, and who is not any more.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::{Instant, sleep};

use super::{
    super::{ClusterError, MemberState},
    lab::{Lab, all_see, config, ip, until, with_seeds},
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn three_nodes_find_each_other_and_settle() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        let all: Vec<_> = nodes.iter().collect();
        until("all see all", 3 * SECOND, || all_see(&all)).await;
        until("all are settled", 10 * SECOND, || all.iter().all(|node| node.cluster.is_settled())).await;
        let positions: Vec<_> = nodes.iter().map(|node| node.cluster.position()).collect();
        assert_eq!(positions, [0, 1, 2]);
    });
}

#[test]
fn a_node_without_peers_is_settled_at_once() {
    with_seeds(0..1, |mut lab| async move {
        let node = lab.start("a", 1, &[]).await;
        assert!(node.cluster.is_settled() && node.cluster.position() == 0);
    });
}

#[test]
fn a_killed_node_is_down_within_three_seconds() {
    with_seeds(0..20, |mut lab| async move {
        let mut nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        sleep(Duration::from_millis(1000 + 37 * lab.seed)).await;
        lab.kill(nodes.remove(0));
        let rest: Vec<_> = nodes.iter().collect();
        until("the rest is alone", 3 * SECOND, || all_see(&rest)).await;
        assert_eq!(nodes[0].member("a").unwrap().state, MemberState::Down);
    });
}

#[test]
fn a_machine_that_hangs_is_down_within_four_seconds() {
    with_seeds(0..20, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        sleep(Duration::from_millis(1000 + 37 * lab.seed)).await;
        lab.net.darken(nodes[0].ip);
        until("the rest is alone", 4 * SECOND, || all_see(&[&nodes[1], &nodes[2]])).await;
    });
}

#[test]
fn loss_of_a_fifth_declares_nobody_down() {
    with_seeds(0..1, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        lab.net.set_loss(0.2);
        sleep(600 * SECOND).await;
        for node in &nodes {
            assert!(node.downs.lock().unwrap().is_empty(), "{} saw {:?}", node.name, node.downs);
        }
        assert!(all_see(&nodes.iter().collect::<Vec<_>>()));
    });
}

#[test]
fn without_udp_nobody_is_declared_down() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        lab.net.block_udp(true);
        sleep(120 * SECOND).await;
        for node in &nodes {
            assert!(node.downs.lock().unwrap().is_empty(), "{} saw {:?}", node.name, node.downs);
            assert!(node.cluster.members().iter().all(|m| m.is_self || (m.tcp == Some(true) && m.udp == Some(false))));
        }
    });
}

#[test]
fn a_cluster_forms_without_udp() {
    with_seeds(0..5, |mut lab| async move {
        lab.net.block_udp(true);
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        sleep(60 * SECOND).await;
        assert!(all_see(&nodes.iter().collect::<Vec<_>>()));
    });
}

#[test]
fn a_link_cut_in_one_direction_declares_nobody_down() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        lab.net.cut_one_way(ip(1), ip(2));
        sleep(120 * SECOND).await;
        for node in &nodes {
            assert!(node.downs.lock().unwrap().is_empty(), "{} saw {:?}", node.name, node.downs);
        }
    });
}

#[test]
fn a_total_split_heals_within_twenty_seconds() {
    with_seeds(0..8, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        let all: Vec<_> = nodes.iter().collect();
        until("all see all", 5 * SECOND, || all_see(&all)).await;
        lab.net.partition(&[&[ip(1)], &[ip(2)], &[ip(3)]]);
        until("each is alone", 6 * SECOND, || nodes.iter().all(|node| all_see(&[node]))).await;
        sleep(Duration::from_secs(30 + lab.seed)).await;
        lab.net.heal();
        until("all see all again", 20 * SECOND, || all_see(&all)).await;
        sleep(30 * SECOND).await;
        assert!(all_see(&all));
    });
}

#[test]
fn a_restart_at_the_same_address_is_never_seen_as_a_death() {
    with_seeds(0..10, |mut lab| async move {
        let mut nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        sleep(3 * SECOND).await;
        let before = nodes[1].member("a").unwrap().generation;
        lab.kill(nodes.remove(0));
        sleep(Duration::from_millis(100)).await;
        let again = lab.start("a", 1, &["10.0.0.2:9094", "10.0.0.3:9094"]).await;
        sleep(10 * SECOND).await;
        assert!(all_see(&[&again, &nodes[0], &nodes[1]]));
        assert!(nodes.iter().all(|node| node.downs.lock().unwrap().is_empty()));
        assert!(nodes[0].member("a").unwrap().generation > before);
    });
}

#[test]
fn a_restart_at_a_new_address_takes_the_old_ones_place() {
    with_seeds(0..10, |mut lab| async move {
        let mut nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        lab.kill(nodes.remove(0));
        let again = lab.start("a", 9, &["10.0.0.2:9094", "10.0.0.3:9094"]).await;
        let moved =
            || nodes.iter().all(|node| node.member("a").is_some_and(|a| a.address.ip() == ip(9) && a.is_live()));
        until("the move is seen", 3 * SECOND, moved).await;
        sleep(10 * SECOND).await;
        assert!(all_see(&[&again, &nodes[0], &nodes[1]]));
        assert_eq!(nodes[0].cluster.members().len(), 3);
    });
}

#[test]
fn a_second_live_node_of_a_name_is_refused_and_the_first_stays() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        // Once by way of another node, once by the owner of the name.
        for peer in ["10.0.0.2:9094", "10.0.0.1:9094"] {
            let refused = lab.try_start(config("a", ip(9), &[peer]), TimeDelta::zero(), None).await;
            assert!(matches!(refused, Err(ClusterError::NameTaken { .. })), "by {peer}");
        }
        sleep(20 * SECOND).await;
        assert!(all_see(&nodes.iter().collect::<Vec<_>>()));
        assert!(nodes[1].member("a").unwrap().address.ip() == ip(1));
        assert!(nodes.iter().all(|node| node.downs.lock().unwrap().is_empty()));
    });
}

#[test]
fn of_two_nodes_of_a_name_that_start_at_once_one_remains() {
    with_seeds(0..10, |lab| async move {
        let mut lab = lab;
        let c = lab.start("c", 3, &[]).await;
        let d = lab.start("d", 4, &["10.0.0.3:9094"]).await;
        until("both see both", 5 * SECOND, || all_see(&[&c, &d])).await;
        // Without a word between c and d for a moment, each takes another one in.
        lab.net.cut(ip(3), ip(4));
        let first = lab.try_start(config("a", ip(1), &["10.0.0.3:9094"]), TimeDelta::zero(), None).await.ok();
        let second = lab.try_start(config("a", ip(2), &["10.0.0.4:9094"]), TimeDelta::zero(), None).await.ok();
        lab.net.heal();
        sleep(60 * SECOND).await;
        let both = [first, second];
        let remain: Vec<_> =
            both.iter().flatten().filter(|node| node.cluster.view().refused.is_none()).map(|node| node.ip).collect();
        assert_eq!(remain, [ip(1)]);
        assert!([&c, &d].iter().all(|node| node.member("a").is_some_and(|a| a.is_live() && a.address.ip() == ip(1))));
    });
}

#[test]
fn who_leaves_is_gone_at_once_and_not_missed() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        let left = Instant::now();
        let (leaving, rest) = (nodes[0].cluster.clone(), [&nodes[1], &nodes[2]]);
        tokio::spawn(async move { leaving.leave().await });
        until("the rest is alone", SECOND / 5, || all_see(&rest)).await;
        assert!(left.elapsed() < SECOND / 5);
        assert!(nodes[1].member("a").is_none());
        sleep(10 * SECOND).await;
        assert!(nodes[1].downs.lock().unwrap().is_empty());
    });
}

#[test]
fn a_node_that_stood_still_accuses_nobody_and_settles_again() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        let all: Vec<_> = nodes.iter().collect();
        until("all see all", 5 * SECOND, || all_see(&all)).await;
        until("settled", 10 * SECOND, || nodes[0].cluster.is_settled()).await;
        // The whole process stands still: nothing goes in or out.
        nodes[0].cluster.stall(30 * SECOND);
        lab.net.darken(ip(1));
        sleep(20 * SECOND).await;
        nodes[1].put("k", 1, 10);
        sleep(10 * SECOND).await;
        lab.net.lighten(ip(1));
        let mut watch = nodes[0].cluster.watch();
        while nodes[0].cluster.view().gaps == 0 {
            watch.changed().await.unwrap();
        }
        // It knows what it missed when it calls itself settled.
        nodes[0].cluster.settled().await;
        assert_eq!(nodes[0].state.version("k"), Some(1));
        until("all see all again", 20 * SECOND, || all_see(&all)).await;
        sleep(20 * SECOND).await;
        assert!(nodes[0].downs.lock().unwrap().is_empty());
        assert!(!nodes[1].downs.lock().unwrap().contains_key("c"));
    });
}

#[test]
fn a_clock_two_minutes_ahead_is_outvoted() {
    with_seeds(0..3, |mut lab: Lab| async move {
        let peers = ["10.0.0.1:9094", "10.0.0.2:9094", "10.0.0.3:9094"];
        let ahead = TimeDelta::minutes(2);
        let a = lab.try_start(config("a", ip(1), &peers), ahead, None).await.unwrap();
        let b = lab.try_start(config("b", ip(2), &peers), TimeDelta::zero(), None).await.unwrap();
        let c = lab.try_start(config("c", ip(3), &peers), TimeDelta::zero(), None).await.unwrap();
        until("all see all", 5 * SECOND, || all_see(&[&a, &b, &c])).await;
        sleep(20 * SECOND).await;
        let near = |correction: TimeDelta, wanted: TimeDelta| (correction - wanted).abs() < TimeDelta::milliseconds(20);
        assert!(near(a.cluster.clock_correction(), -ahead), "{:?}", a.cluster.clock_correction());
        assert!(near(b.cluster.clock_correction(), TimeDelta::zero()));
        lab.kill(c);
        lab.kill(b);
        sleep(10 * SECOND).await;
        assert!(near(a.cluster.clock_correction(), -ahead), "what was measured is kept");
    });
}

#[test]
fn one_seed_gives_one_course_of_events() {
    let course = || {
        let traffic = std::sync::Mutex::new(Vec::new());
        with_seeds(7..8, |mut lab| {
            let traffic = &traffic;
            async move {
                lab.net.set_loss(0.2);
                let nodes = lab.cluster(3).await;
                for i in 0..30 {
                    nodes[0].put(&format!("k{i}"), 1, 300);
                    sleep(SECOND).await;
                }
                traffic.lock().unwrap().push(lab.net.traffic());
            }
        });
        traffic.into_inner().unwrap()
    };
    assert_eq!(course(), course());
}

#[test]
fn a_node_that_is_starting_is_seen_as_such_until_it_has_settled() {
    with_seeds(0..10, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        let all_settled = || nodes.iter().all(|node| node.cluster.members().iter().all(|member| member.settled));
        until("all know that all are settled", 6 * SECOND, all_settled).await;
        // One peer of it is never there, for which it waits.
        let slow = lab.start("A", 9, &["10.0.0.1:9094", "10.0.0.77:9094"]).await;
        until("it is seen", 3 * SECOND, || nodes.iter().all(|node| node.member("A").is_some())).await;
        let is_seen_settled = |settled: bool| nodes.iter().all(|node| node.member("A").unwrap().settled == settled);
        assert!(is_seen_settled(false) && !slow.cluster.is_settled());
        let order: Vec<_> = nodes[2].cluster.view().ready().map(|member| member.name.clone()).collect();
        assert_eq!(order, ["a", "b", "c"], "it is the first by name, and has no turn yet");
        slow.cluster.settled().await;
        until("all know that it has settled", SECOND / 5, || is_seen_settled(true)).await;
        assert_eq!(nodes[0].cluster.view().ready().count(), 4);
    });
}

#[test]
fn a_node_that_settles_again_after_a_gap_says_so() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = lab.cluster(3).await;
        until("settled", 10 * SECOND, || nodes.iter().all(|node| node.cluster.is_settled())).await;
        sleep(6 * SECOND).await;
        nodes[0].cluster.stall(3 * SECOND / 2);
        let mut watch = nodes[1].cluster.watch();
        while nodes[1].member("a").is_some_and(|a| a.settled) {
            watch.changed().await.unwrap();
        }
        until("it has settled", 5 * SECOND, || nodes[1].member("a").is_some_and(|a| a.settled)).await;
    });
}
