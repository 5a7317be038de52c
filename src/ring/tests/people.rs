//! What people ask of all nodes, through any of them.

use super::{
    super::{
        Outlook, Sight,
        message::{self, Request},
    },
    *,
};
use crate::{
    cluster::{MemberState, codec::Blob},
    decisions::LastQuieted,
};

const ALL: [usize; 3] = [0, 1, 2];

/// How `from` sees `to`, if it answered.
fn sight<'o>(outlooks: &'o [Outlook], from: &str, to: &str) -> Option<&'o Sight> {
    let outlook = outlooks.iter().find(|outlook| outlook.node == from).unwrap();
    outlook.sees.as_ref()?.iter().find(|sight| sight.name == to)
}

#[tokio::test(start_paused = true)]
async fn every_node_says_whom_it_reaches_and_who_is_gone_says_nothing() {
    let mut world = World::new([0; 3]).await;
    world.pass(60.0).await;
    let outlooks = world.node(2).ring.outlooks().await;
    let names: Vec<&str> = outlooks.iter().map(|outlook| outlook.node.as_str()).collect();
    assert_eq!(names, ["n0", "n1", "n2"]);
    for (from, to) in [("n0", "n1"), ("n0", "n2"), ("n1", "n0"), ("n1", "n2"), ("n2", "n0"), ("n2", "n1")] {
        let sight = sight(&outlooks, from, to).unwrap();
        assert_eq!((sight.state, sight.udp, sight.tcp), (MemberState::Alive, Some(true), Some(true)), "{from} {to}");
    }

    // A fault between two others is seen from the third.
    world.net.cut_udp_one_way(ip(0), ip(1));
    world.pass(60.0).await;
    let outlooks = world.node(2).ring.outlooks().await;
    assert_eq!(sight(&outlooks, "n1", "n0").unwrap().udp, Some(false));
    assert_eq!(sight(&outlooks, "n2", "n0").unwrap().udp, Some(true));
    world.net.heal();

    world.kill(0).await;
    world.pass(10.0).await;
    let began = world.clock.monotonic();
    let outlooks = world.node(2).ring.outlooks().await;
    assert!(world.clock.monotonic() - began < secs(0.1), "who is out of sight is not waited for");
    assert_eq!(outlooks[0], Outlook { node: "n0".to_owned(), sees: None });
    assert_eq!(sight(&outlooks, "n1", "n0").unwrap().state, MemberState::Down);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_waited_for_a_second_at_most() {
    let world = World::new([0; 3]).await;
    world.pass(60.0).await;
    world.node(0).ring.stall(secs(5.0));
    let began = world.clock.monotonic();
    let outlooks = world.node(2).ring.outlooks().await;
    assert!(world.clock.monotonic() - began < secs(1.1));
    assert_eq!(outlooks[0].sees, None);
    assert!(sight(&outlooks, "n1", "n0").is_some());
}

#[test]
fn a_release_that_does_not_know_a_question_has_no_answer_to_it() {
    /// As it was before there were these questions.
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    enum Earlier {
        Asks,
        Fresher,
        Passed,
        Decisions(Blob),
    }
    let blob = || Blob(vec![1, 2].into());
    for question in [Request::Outlook, Request::Quieted(blob())] {
        assert!(message::decode::<Earlier>(&message::encode(&question)).is_none());
    }
    let known = message::decode::<Earlier>(&message::encode(&Request::Decisions(blob())));
    assert!(matches!(known, Some(Earlier::Decisions(found)) if found == blob()));
    let places = [Earlier::Asks, Earlier::Fresher, Earlier::Passed].map(|kind| message::encode(&kind)[1]);
    assert_eq!(places, [0, 1, 2]);
}

fn seconds_ago(world: &World, found: &LastQuieted, id: &str) -> Option<(i64, u32)> {
    found.get(id).map(|last| ((world.clock.now() - last.at).num_seconds(), last.alerts))
}

#[tokio::test(start_paused = true)]
async fn what_a_silence_kept_quiet_last_is_asked_of_all_nodes() {
    let mut world = World::new([0; 3]).await;
    world.silence(2, "a").await;
    world.pass(1.0).await;
    let id: Arc<str> = {
        let all = world.node(2).silences.query(&crate::silence::Query::default());
        all[0].0.id.as_str().into()
    };
    let ids = [id.clone(), "none".into()];
    assert_eq!(world.node(1).reader.quieted(&ids).await.get(&id), None, "nothing was there to keep quiet");
    // It fires for a minute: looks at 10 and 40 s, and one that finds it resolved.
    world.fire(&ALL, "a");
    world.pass(45.0).await;
    let found = world.node(1).reader.quieted(&ids).await;
    assert_eq!((seconds_ago(&world, &found, &id), found.get("none")), (Some((5, 1)), None));
    assert!(found.silent.is_empty() && found.since.is_some());

    // Who joined later learns it from the others.
    world.kill(2).await;
    world.disks[2] = MemoryDisk::new();
    world.pass(600.0).await;
    world.restart(2).await;
    world.pass(5.0).await;
    let found = world.node(2).reader.quieted(&ids).await;
    let (ago, alerts) = seconds_ago(&world, &found, &id).unwrap();
    assert!((500..650).contains(&ago) && alerts == 1, "{ago}");
    assert_eq!(seconds_ago(&world, &world.node(2).reader.quieted(&ids[..1]).await, &id).map(|(_, n)| n), Some(1));

    // And says whom it could not ask.
    world.kill(0).await;
    world.pass(10.0).await;
    let found = world.node(2).reader.quieted(&ids).await;
    assert_eq!(found.silent.iter().map(|name| &**name).collect::<Vec<_>>(), ["n0"]);
    assert!(found.get(&id).is_some());
}
