//! Names, records that come and go, and peers that are never there.

use std::time::Duration;

use tokio::time::sleep;

use super::lab::{all_see, ip, until, with_seeds};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_record_of_a_headless_service_is_a_peer() {
    with_seeds(0..5, |mut lab| async move {
        lab.net.set_name("am.ns.svc", &[ip(1), ip(2), ip(3)]);
        let mut nodes = Vec::new();
        for (name, host) in [("a", 1), ("b", 2), ("c", 3)] {
            nodes.push(lab.start(name, host, &["am.ns.svc.:9094"]).await);
        }
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        // Scaled up: the new one knows the old ones, and they need not know of it.
        lab.net.set_name("am.ns.svc", &[ip(1), ip(2), ip(3), ip(4)]);
        nodes.push(lab.start("d", 4, &["am.ns.svc.:9094"]).await);
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
    });
}

#[test]
fn a_name_that_resolves_later_is_found() {
    with_seeds(0..5, |mut lab| async move {
        let a = lab.start("a", 1, &["am:9094"]).await;
        let b = lab.start("b", 2, &["am:9094"]).await;
        sleep(5 * SECOND).await;
        assert!(!a.cluster.is_settled());
        lab.net.set_name("am", &[ip(1), ip(2)]);
        until("all see all", 20 * SECOND, || all_see(&[&a, &b])).await;
        until("settled", 5 * SECOND, || a.cluster.is_settled() && b.cluster.is_settled()).await;
    });
}

#[test]
fn a_dead_member_whose_record_has_vanished_is_forgotten() {
    with_seeds(0..1, |mut lab| async move {
        lab.net.set_name("am", &[ip(1), ip(2), ip(3)]);
        let mut nodes = Vec::new();
        for (name, host) in [("a", 1), ("b", 2), ("c", 3)] {
            nodes.push(lab.start(name, host, &["am:9094"]).await);
        }
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        sleep(20 * SECOND).await;
        lab.kill(nodes.remove(2));
        sleep(120 * SECOND).await;
        assert!(nodes[0].member("c").is_some(), "its record is still there");
        lab.net.set_name("am", &[ip(1), ip(2)]);
        sleep(120 * SECOND).await;
        assert!(nodes.iter().all(|node| node.member("c").is_none()));
        sleep(120 * SECOND).await;
        assert!(nodes.iter().all(|node| node.member("c").is_none()));
        assert_eq!(nodes[0].metrics.failed_peers.get(), 0);
    });
}

#[test]
fn a_peer_that_is_never_there_delays_settling_by_five_seconds() {
    with_seeds(0..3, |mut lab| async move {
        let a = lab.start("a", 1, &["10.0.0.1:9094", "10.0.0.9:9094"]).await;
        let took = until("settled", 10 * SECOND, || a.cluster.is_settled()).await;
        assert!(took >= 2 * SECOND, "{took:?}");
        assert_eq!(a.metrics.failed_peers.get(), 1);
    });
}

#[test]
fn a_peer_behind_a_service_address_is_one_member() {
    with_seeds(0..3, |mut lab| async move {
        // The address that is configured is a name for this very node, and for the other.
        lab.net.set_name("self", &[ip(1)]);
        lab.net.set_name("other", &[ip(2)]);
        let a = lab.start("a", 1, &["self:9094", "other:9094", "10.0.0.2:9094"]).await;
        let b = lab.start("b", 2, &[]).await;
        until("both see both", 5 * SECOND, || all_see(&[&a, &b])).await;
        assert_eq!(a.cluster.members().len(), 2);
        until("settled", 10 * SECOND, || a.cluster.is_settled()).await;
    });
}

#[test]
fn a_pod_that_comes_back_with_a_new_address_is_the_same_member_and_the_old_address_is_given_up() {
    with_seeds(0..5, |mut lab| async move {
        lab.net.set_name("am", &[ip(1), ip(2), ip(3)]);
        let mut nodes = Vec::new();
        for (name, host) in [("a", 1), ("b", 2), ("c", 3)] {
            nodes.push(lab.start(name, host, &["am:9094"]).await);
        }
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        sleep(20 * SECOND).await;
        lab.kill(nodes.remove(2));
        lab.net.darken(ip(3));
        sleep(5 * SECOND).await;
        // The name still leads to the old address; the others do not know the new one.
        let again = lab.start("c", 9, &["am:9094"]).await;
        let moved = || nodes.iter().all(|n| n.member("c").is_some_and(|c| c.is_live() && c.address.ip() == ip(9)));
        until("it is back", 3 * SECOND, moved).await;
        lab.net.set_name("am", &[ip(1), ip(2), ip(9)]);
        let given_up = || nodes.iter().all(|node| node.metrics.failed_peers.get() == 0);
        until("nobody calls the old address any more", 60 * SECOND, given_up).await;
        assert!(all_see(&[&nodes[0], &nodes[1], &again]) && nodes[0].cluster.members().len() == 3);
    });
}

#[test]
fn a_pod_that_knows_nobody_is_found_by_its_record() {
    with_seeds(0..5, |mut lab| async move {
        lab.net.set_name("am", &[ip(1), ip(2)]);
        let a = lab.start("a", 1, &["am:9094"]).await;
        let b = lab.start("b", 2, &["am:9094"]).await;
        until("both see both", 5 * SECOND, || all_see(&[&a, &b])).await;
        let c = lab.start("c", 3, &[]).await;
        sleep(20 * SECOND).await;
        assert!(all_see(&[&a, &b]) && all_see(&[&c]));
        lab.net.set_name("am", &[ip(1), ip(2), ip(3)]);
        until("its record is seen", 20 * SECOND, || all_see(&[&a, &b, &c])).await;
    });
}

#[test]
fn who_left_in_good_order_is_not_missed_and_may_come_back() {
    with_seeds(0..3, |mut lab| async move {
        lab.net.set_name("am", &[ip(1), ip(2), ip(3)]);
        let mut nodes = Vec::new();
        for (name, host) in [("a", 1), ("b", 2), ("c", 3)] {
            nodes.push(lab.start(name, host, &["am:9094"]).await);
        }
        until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
        let gone = nodes.remove(2);
        gone.cluster.leave().await;
        lab.kill(gone);
        until("it has left", SECOND, || nodes.iter().all(|node| node.member("c").is_none())).await;
        sleep(60 * SECOND).await;
        assert!(nodes.iter().all(|node| node.downs.lock().unwrap().is_empty()));
        let again = lab.start("c", 3, &["am:9094"]).await;
        until("it is back", 3 * SECOND, || all_see(&[&nodes[0], &nodes[1], &again])).await;
    });
}
