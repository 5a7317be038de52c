//! One run: nodes, a sender, a receiver, and what was done to them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use serde_json::json;

use crate::{
    judge::{Deed, Verdict, judge},
    net::{self, Net},
    relay::{Weather, relay},
    sender::{Aim, Sender},
    support::{
        hook::Hook,
        pass,
        ring::{self, Node},
        wait_for,
    },
};

pub const NODES: usize = 3;
/// `group_wait` and `group_interval` of the configuration.
pub const WAIT: Duration = Duration::from_secs(1);
pub const INTERVAL: Duration = Duration::from_secs(3);

/// What lies between the nodes.
#[derive(Clone, Copy, PartialEq)]
pub enum Between {
    Loopback,
    Relays,
    Namespaces,
}

pub struct World {
    pub nodes: Vec<Node>,
    pub hook: Hook,
    pub sender: Sender,
    pub weather: Arc<Weather>,
    pub net: Option<Net>,
    /// Where the state of each node is.
    pub homes: Vec<PathBuf>,
    deeds: Vec<Deed>,
    quiet: BTreeMap<String, Instant>,
    dice: AtomicU64,
    _dir: tempfile::TempDir,
}

impl World {
    /// Three nodes that have found each other; `before_start` gets each node's directory.
    pub fn new(between: Between, aim: Aim, before_start: impl Fn(&Path)) -> World {
        let dir = tempfile::tempdir().unwrap();
        let net = (between == Between::Namespaces).then(|| Net::new(NODES));
        let host = if net.is_some() { net::ROUTER } else { "127.0.0.1" };
        let hook = Hook::start_at(&format!("{host}:0"));
        let weather = Arc::new(Weather::default());
        let homes: Vec<PathBuf> = (0..NODES).map(|i| dir.path().join(format!("n{i}"))).collect();
        let nodes = nodes(between, &homes, &weather);
        for home in &homes {
            ring::prepare(home, &config(&hook));
            before_start(home);
        }
        nodes.iter().for_each(Node::start);
        ring::wait_formed(&nodes);
        let targets: Vec<String> = nodes.iter().map(|node| node.web.clone()).collect();
        let sender = Sender::start(&targets, aim);
        let (deeds, quiet) = (Vec::new(), BTreeMap::new());
        World { nodes, hook, sender, weather, net, homes, deeds, quiet, dice: AtomicU64::new(seed()), _dir: dir }
    }

    pub fn below(&self, limit: usize) -> usize {
        let old = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
        let mixed = (old ^ (old >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from(mixed >> 33).unwrap() % limit
    }

    /// The node whose turn it is first.
    pub fn first(&self) -> usize {
        let found = self.nodes.iter().position(|node| node.metric("alertmanager_peer_position") == Some(0.0));
        found.unwrap_or_default()
    }

    pub fn kill(&mut self, node: usize) {
        let at = Instant::now();
        self.nodes[node].kill();
        self.deeds.push(Deed { at, killed: Some(self.nodes[node].name.clone()), until: at });
    }

    /// All at once.
    pub fn kill_all(&mut self) {
        (0..NODES).for_each(|node| self.kill(node));
    }

    pub fn formed(&self) {
        ring::wait_formed(&self.nodes);
    }

    /// Cuts the paths between these pairs for `time`.
    pub fn split(&mut self, pairs: &[(usize, usize)], time: Duration, meanwhile: impl FnOnce(&mut World)) {
        let at = Instant::now();
        for (a, b) in pairs {
            self.net.as_ref().unwrap().cut(*a, *b);
        }
        meanwhile(self);
        pass(time.saturating_sub(at.elapsed()));
        for (a, b) in pairs {
            self.net.as_ref().unwrap().heal(*a, *b);
        }
        self.formed();
        self.deeds.push(Deed { at, killed: None, until: Instant::now() });
    }

    /// Silences a group at one node.
    pub fn silence(&mut self, node: usize, group: &str) -> String {
        let silence = json!({
            "matchers": [{"name": "alertname", "value": group, "isRegex": false}], "createdBy": "test", "comment": "",
            "startsAt": Utc::now().to_rfc3339(), "endsAt": (Utc::now() + TimeDelta::hours(1)).to_rfc3339(),
        });
        let id = self.nodes[node].post_silence(&silence).unwrap_or_else(|| panic!("n{node} takes a silence"));
        self.quiet.insert(group.to_owned(), Instant::now());
        id
    }

    /// Waits until every group has been told in this state.
    pub fn told(&self, groups: &[String], fires: bool) {
        let status = if fires { "firing" } else { "resolved" };
        let wanted = |group: &String| !self.quiet.contains_key(group);
        let missing = || {
            let told = self.hook.told();
            let has = |group: &String| {
                told.iter().any(|t| t.status() == status && t.json["groupLabels"]["alertname"] == **group)
            };
            groups.iter().filter(|group| wanted(group) && !has(group)).count()
        };
        let end = Instant::now() + Duration::from_secs(60);
        while missing() > 0 && Instant::now() < end {
            pass(Duration::from_millis(50));
        }
    }

    /// Lets what may still come come, and compares.
    pub fn verdict(self) -> Verdict {
        pass(2 * INTERVAL);
        let verdict = judge(&self.hook.told(), &self.sender.truth(), &self.deeds, &self.quiet);
        if std::env::var_os("CARILLON_KEEP").is_some() {
            for node in &self.nodes {
                println!("--- log of {}\n{}", node.name, node.log());
            }
        }
        verdict
    }

    pub fn wait<T>(&self, text: &str, what: impl FnMut() -> Option<T>) -> T {
        wait_for(text, Duration::from_secs(60), what)
    }
}

pub fn groups(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{name}{i}")).collect()
}

pub fn seed() -> u64 {
    std::env::var("CARILLON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124)
}

fn config(hook: &Hook) -> String {
    format!(
        "
route:
  receiver: hook
  group_by: [alertname]
  group_wait: {}s
  group_interval: {}s
  repeat_interval: 4h
receivers: [{{name: hook, webhook_configs: [{{url: '{}'}}]}}]
",
        WAIT.as_secs(),
        INTERVAL.as_secs(),
        hook.url()
    )
}

fn nodes(between: Between, homes: &[PathBuf], weather: &Arc<Weather>) -> Vec<Node> {
    let ports = ring::free_ports(2 * NODES);
    let in_namespaces = between == Between::Namespaces;
    let host = |i: usize| if in_namespaces { net::address(i) } else { "127.0.0.1".to_owned() };
    let web: Vec<String> = (0..NODES).map(|i| format!("{}:{}", host(i), ports[i])).collect();
    let mesh: Vec<String> = (0..NODES).map(|i| format!("{}:{}", host(i), ports[NODES + i])).collect();
    let called: Vec<String> = mesh
        .iter()
        .map(|address| match between {
            Between::Relays => format!("127.0.0.1:{}", relay(address.parse::<SocketAddr>().unwrap(), weather)),
            _ => address.clone(),
        })
        .collect();
    (0..NODES)
        .map(|i| {
            let name = format!("n{i}");
            let mut command = if in_namespaces { net::prefix(i) } else { Vec::new() };
            command.extend(ring::command(&homes[i], &name, &web[i]));
            command.push(format!("--cluster.listen-address={}", mesh[i]));
            command.push(format!("--cluster.advertise-address={}", called[i]));
            command.extend(called.iter().map(|peer| format!("--cluster.peer={peer}")));
            Node::new(&name, &web[i], &homes[i], command)
        })
        .collect()
}
