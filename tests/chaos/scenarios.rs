//! What is done to the nodes. Each scenario makes a world, does something to it, and has it judged.

use std::{path::Path, process::Command, time::Duration};

use serde_json::json;

use crate::{
    judge::Verdict,
    sender::Aim,
    support::pass,
    world::{Between, INTERVAL, NODES, WAIT, World, groups},
};

pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    /// Works only in namespaces of its own.
    pub needs_root: bool,
    pub run: fn() -> Verdict,
}

const fn plain(name: &'static str, what: &'static str, run: fn() -> Verdict) -> Scenario {
    Scenario { name, what, needs_root: false, run }
}

const fn rooted(name: &'static str, what: &'static str, run: fn() -> Verdict) -> Scenario {
    Scenario { name, what, needs_root: true, run }
}

pub const SCENARIOS: &[Scenario] = &[
    plain("steady", "50 groups fire and resolve", steady),
    plain("balanced", "each evaluation goes to one node only", balanced),
    plain("kill", "the first node is killed as its turn comes, each in turn", kill),
    plain("kill while sending", "the receiver takes 4 s; the teller is killed after 1 s", kill_while_sending),
    plain("kill all", "all killed 0.5 s after a silence and a notification", kill_all),
    plain("churn", "for 60 s a random node is killed every 5 s", churn),
    plain("rolling restart", "SIGTERM and start, one after the other", rolling_restart),
    plain("pause", "SIGSTOP of the first node for 15 s", pause),
    plain("receiver down", "503 for 20 s, alerts come and go meanwhile", receiver_down),
    plain("slow receiver", "each answer takes 10 s", slow_receiver),
    plain("loss", "20 % of datagrams lost, 100 ms each way", loss),
    plain("no UDP", "all datagrams lost", no_udp),
    rooted("disk full", "all disks full for 10 s", disk_full),
    rooted("split", "one node cut from two for 20 s, alerts on both sides", split),
    rooted("partial split", "two cannot reach each other, the third reaches both", partial_split),
];

fn world() -> World {
    World::new(Between::Loopback, Aim::All, |_: &Path| {})
}

/// Groups fire, `trouble` happens, they resolve.
fn through(mut world: World, count: usize, trouble: impl FnOnce(&mut World)) -> Verdict {
    let all = groups("g", count);
    world.sender.fire(&all, 2);
    trouble(&mut world);
    world.told(&all, true);
    pass(INTERVAL);
    world.sender.resolve(&all);
    world.told(&all, false);
    world.verdict()
}

fn steady() -> Verdict {
    through(world(), 50, |_| pass(2 * INTERVAL))
}

fn balanced() -> Verdict {
    let world = World::new(Between::Loopback, Aim::InTurn, |_: &Path| {});
    through(world, 20, |_| pass(Duration::from_secs(30)))
}

fn kill() -> Verdict {
    let mut world = world();
    for round in 0..NODES {
        let all = groups(&format!("r{round}g"), 20);
        let first = world.first();
        world.sender.fire(&all, 2);
        pass(WAIT - Duration::from_millis(100));
        world.kill(first);
        world.told(&all, true);
        world.nodes[first].start();
        world.formed();
        pass(INTERVAL);
        world.sender.resolve(&all);
        world.told(&all, false);
    }
    world.verdict()
}

fn kill_while_sending() -> Verdict {
    let mut world = world();
    for round in 0..NODES {
        let all = groups(&format!("r{round}g"), 3);
        world.hook.delay(Duration::from_secs(4));
        let before = world.hook.told().len();
        world.sender.fire(&all, 2);
        let message = world.wait("a request has come", || world.hook.told().get(before).cloned());
        pass(Duration::from_secs(1));
        let teller = message.json["externalURL"].as_str().unwrap_or_default().replace("http://n", "");
        let teller: usize = teller.parse().unwrap();
        world.kill(teller);
        pass(Duration::from_secs(6));
        world.hook.delay(Duration::ZERO);
        world.told(&all, true);
        world.nodes[teller].start();
        world.formed();
    }
    world.verdict()
}

fn kill_all() -> Verdict {
    let mut world = world();
    let (loud, quiet) = (groups("g", 10), groups("q", 1));
    let id = world.silence(0, &quiet[0]);
    world.sender.fire(&[loud.clone(), quiet].concat(), 2);
    world.told(&loud, true);
    pass(Duration::from_millis(500));
    world.kill_all();
    world.nodes.iter().for_each(crate::support::ring::Node::start);
    world.formed();
    for node in &world.nodes {
        assert!(node.silences().is_some_and(|silences| silences.contains(&id)), "{} lost the silence", node.name);
    }
    pass(2 * INTERVAL);
    world.sender.resolve(&loud);
    world.told(&loud, false);
    world.verdict()
}

fn churn() -> Verdict {
    let mut world = world();
    for round in 0..12 {
        let all = groups(&format!("r{round}g"), 5);
        world.sender.fire(&all, 2);
        let victim = world.below(NODES);
        pass(Duration::from_millis(u64::try_from(world.below(2500)).unwrap()));
        world.kill(victim);
        pass(Duration::from_secs(2));
        world.nodes[victim].start();
        world.formed();
        if round > 1 {
            world.sender.resolve(&groups(&format!("r{}g", round - 2), 5));
        }
    }
    world.told(&groups("r11g", 5), true);
    world.told(&groups("r9g", 5), false);
    world.verdict()
}

fn rolling_restart() -> Verdict {
    through(world(), 20, |world| {
        for node in &world.nodes {
            pass(Duration::from_millis(700));
            assert_eq!(node.stop(), Some(0));
            node.start();
            world.wait("it is ready", || node.request("GET", "/-/ready", None).ok().filter(|a| a.status == 200));
        }
        world.formed();
    })
}

fn pause() -> Verdict {
    through(world(), 20, |world| {
        let first = world.first();
        pass(WAIT / 2);
        world.nodes[first].signal("STOP");
        pass(Duration::from_secs(5));
        world.sender.fire(&groups("later", 5), 2);
        pass(Duration::from_secs(10));
        world.nodes[first].signal("CONT");
        world.formed();
        world.told(&groups("later", 5), true);
    })
}

fn receiver_down() -> Verdict {
    let world = world();
    let (stay, go) = (groups("stay", 10), groups("go", 10));
    world.hook.answer(503);
    world.sender.fire(&[stay.clone(), go.clone()].concat(), 2);
    pass(Duration::from_secs(8));
    world.sender.resolve(&go);
    pass(Duration::from_secs(12));
    world.hook.answer(200);
    world.told(&stay, true);
    world.told(&go, false);
    world.verdict()
}

fn slow_receiver() -> Verdict {
    let world = world();
    world.hook.delay(Duration::from_secs(10));
    through(world, 10, |_| pass(Duration::from_secs(12)))
}

fn loss() -> Verdict {
    let world = World::new(Between::Relays, Aim::All, |_: &Path| {});
    world.weather.set(20, 100);
    through(world, 30, |_| pass(Duration::from_secs(20)))
}

fn no_udp() -> Verdict {
    let world = World::new(Between::Relays, Aim::All, |_: &Path| {});
    world.weather.set(100, 0);
    through(world, 30, |_| pass(Duration::from_secs(20)))
}

fn disk_full() -> Verdict {
    let small = |home: &Path| {
        let data = home.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "none"]).arg(&data).status().unwrap();
        assert!(mounted.success());
    };
    let world = World::new(Between::Loopback, Aim::All, small);
    through(world, 20, |world| {
        let fillers: Vec<_> = world.homes.iter().map(|home| home.join("data/filler")).collect();
        for filler in &fillers {
            // Until nothing more fits.
            let zeros = vec![0; 64 << 20];
            assert!(std::fs::write(filler, zeros).is_err());
        }
        world.sender.fire(&groups("full", 10), 2);
        let silence = json!({
            "matchers": [{"name": "alertname", "value": "nothing", "isRegex": false}], "createdBy": "test", "comment": "",
            "startsAt": "2024-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
        });
        let refused = world.wait("a silence is refused", || {
            world.nodes[0]
                .request("POST", "/api/v2/silences", Some(&silence))
                .ok()
                .filter(|answer| answer.status != 200)
        });
        assert_eq!(refused.status, 500, "{}", refused.text());
        world.told(&groups("full", 10), true);
        pass(Duration::from_secs(5));
        for filler in &fillers {
            std::fs::remove_file(filler).unwrap();
        }
        for node in &world.nodes {
            world.wait("the disk takes it again", || {
                node.metric("alertmanager_store_degraded").filter(|degraded| *degraded == 0.0)
            });
        }
        let id = world.silence(0, "noted");
        assert!(!id.is_empty());
    })
}

fn split() -> Verdict {
    let world = World::new(Between::Namespaces, Aim::All, |_: &Path| {});
    through(world, 20, |world| {
        pass(2 * INTERVAL);
        world.split(&[(0, 1), (0, 2)], Duration::from_secs(20), |world| {
            pass(Duration::from_secs(5));
            world.sender.fire(&groups("during", 10), 2);
            let id = world.silence(0, "quiet0");
            world.sender.fire(&groups("later", 10), 2);
            assert!(!id.is_empty());
        });
        world.told(&groups("during", 10), true);
        let silences = world.nodes[0].silences().unwrap();
        world.wait("all have the silence", || {
            world.nodes.iter().all(|node| node.silences().as_ref() == Some(&silences)).then_some(())
        });
        world.sender.fire(&groups("quiet", 1), 2);
        pass(2 * INTERVAL);
    })
}

fn partial_split() -> Verdict {
    let world = World::new(Between::Namespaces, Aim::All, |_: &Path| {});
    through(world, 20, |world| {
        pass(2 * INTERVAL);
        world.split(&[(0, 1)], Duration::from_secs(20), |world| {
            pass(Duration::from_secs(3));
            world.sender.fire(&groups("during", 10), 2);
            world.told(&groups("during", 10), true);
        });
    })
}
