//! What is wrong with a cluster, from what its nodes say: a sentence for each problem, and what to do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Member, Node, Seen};

/// Beyond it people's times no longer agree.
const CLOCK_OFFSET_MS_MAX: i64 = 1000;
/// States are compared every few seconds.
const EXCHANGE_S_MAX: f64 = 60.0;
/// Changes travel at once; some are always on their way.
const UNACKNOWLEDGED_MAX: u64 = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::ctl) struct Problem {
    pub what: String,
    pub advice: String,
}

/// All problems, in the order in which to look at them.
pub(in crate::ctl) fn problems(seen: &[Seen]) -> Vec<Problem> {
    let mut found = Found::default();
    found.silent(seen);
    let nodes: Vec<(&str, &Node)> =
        seen.iter().filter_map(|seen| Some((seen.url.as_str(), seen.answer.as_ref().ok()?))).collect();
    found.states(&nodes);
    found.strangers(&nodes);
    for (_, node) in &nodes {
        for member in node.members.iter().filter(|member| !member.is_self) {
            found.path(node, member, &nodes);
        }
    }
    found.clocks(&nodes);
    found.order(&nodes);
    found.versions(&nodes);
    found.configurations(&nodes);
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        let problem = Problem { what: what.into(), advice: advice.into() };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    fn silent(&mut self, seen: &[Seen]) {
        for Seen { url, answer } in seen {
            if let Err(why) = answer {
                self.add(
                    format!("{url} does not answer: {}", why.lines().next().unwrap_or_default()),
                    "See whether the process runs and whether this is its --web.listen-address and prefix.",
                );
            }
        }
    }

    fn states(&mut self, nodes: &[(&str, &Node)]) {
        let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
        for (url, node) in nodes {
            match node.status.as_str() {
                "ready" => {}
                "disabled" => self.add(
                    format!("{url} runs without a cluster"),
                    "Start it with --cluster.listen-address and a --cluster.peer for each other node.",
                ),
                other => self.add(
                    format!("{} is {other}: it does not notify yet", node.name),
                    "Wait a minute; if it stays so, it cannot reach its peers: look at the paths below.",
                ),
            }
            if node.store_degraded {
                self.add(
                    format!("{} cannot write to its disk: what it holds would not survive a restart", named(url, node)),
                    "See whether the disk of --storage.path is full or read-only; the log says why.",
                );
            }
            if node.name.is_empty() {
                continue;
            }
            if let Some(first) = by_name.insert(&node.name, url).filter(|first| first != url) {
                self.add(
                    format!("{first} and {url} are one node, {}", node.name),
                    "Give the doctor each node's own address, not that of a load balancer.",
                );
            }
        }
    }

    /// Nodes that others do not know.
    fn strangers(&mut self, nodes: &[(&str, &Node)]) {
        let clustered = || nodes.iter().filter(|(_, node)| !node.name.is_empty());
        let all: BTreeSet<&str> =
            clustered().flat_map(|(_, node)| node.members.iter().map(|member| member.name.as_str())).collect();
        for (_, node) in clustered() {
            for name in all.iter().filter(|name| !node.members.iter().any(|member| member.name == **name)) {
                self.add(
                    format!("{} does not know {name}", node.name),
                    format!(
                        "Give {} a --cluster.peer with the address of {name}, and see that both have the same \
                         --cluster.secret-file, --cluster.label and --cluster.tls-config.",
                        node.name
                    ),
                );
            }
        }
    }

    /// What one node says of the way to another.
    fn path(&mut self, node: &Node, member: &Member, nodes: &[(&str, &Node)]) {
        let (from, to, at) = (&node.name, &member.name, &member.address);
        let answers = nodes.iter().any(|(_, other)| other.name == *to);
        if member.state == "down" || member.state == "suspect" {
            let advice = if answers {
                format!(
                    "{to} runs, for it answers the doctor: the network between {from} and {at} is cut, or {to} hangs."
                )
            } else {
                format!("Start {to} again. If it is gone for good, nothing needs to be done: it is forgotten in time.")
            };
            return self.add(format!("{from} takes {to} for {}", member.state), advice);
        }
        match (member.udp, member.tcp) {
            (Some(false), Some(false)) => self.add(
                format!("{from} and {to} cannot reach each other, neither by UDP nor by TCP"),
                format!("Allow UDP and TCP between {from} and {at}. Until then both may notify for themselves."),
            ),
            (Some(false), _) => self.add(
                format!("{from} hears nothing of {to} by UDP"),
                format!(
                    "Allow UDP from {to} to the cluster port of {from}. Until then changes go by TCP, a second later."
                ),
            ),
            (_, Some(false)) => self.add(
                format!("{from} cannot connect to {to} by TCP"),
                format!("Allow TCP from {from} to {at}. Without it large changes and comparisons do not get through."),
            ),
            _ => {}
        }
        match member.last_exchange_seconds {
            Some(seconds) if seconds > EXCHANGE_S_MAX => self.add(
                format!("{from} and {to} have not compared states for {seconds:.0} s"),
                "Something keeps their TCP connections from finishing: look at both logs and at the load of both.",
            ),
            _ => {}
        }
        if let Some(lag) = member.unacknowledged_deltas.filter(|lag| *lag > UNACKNOWLEDGED_MAX) {
            self.add(
                format!("{to} lags behind {from} by {lag} changes"),
                format!("See whether {to} has enough CPU and whether its disk and network are fast enough."),
            );
        }
    }

    /// Each pair once.
    fn clocks(&mut self, nodes: &[(&str, &Node)]) {
        let mut told = BTreeSet::new();
        for (_, node) in nodes {
            for member in &node.members {
                let Some(offset) = member.clock_offset_milliseconds.filter(|ms| ms.abs() > CLOCK_OFFSET_MS_MAX) else {
                    continue;
                };
                let (low, high) = (node.name.as_str().min(&member.name), node.name.as_str().max(&member.name));
                if told.insert((low.to_owned(), high.to_owned())) {
                    let seconds = offset.unsigned_abs() / 1000;
                    let (ahead, behind) =
                        if offset > 0 { (&member.name, &node.name) } else { (&node.name, &member.name) };
                    self.add(
                        format!("the clock of {ahead} is {seconds} s ahead of that of {behind}"),
                        "Let both keep their time by NTP; the log of the one that is off says so.",
                    );
                }
            }
        }
    }

    /// Who starts to notify must be the same for all.
    fn order(&mut self, nodes: &[(&str, &Node)]) {
        let mut views: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
        for (_, node) in nodes.iter().filter(|(_, node)| node.members.iter().any(|member| member.position.is_some())) {
            let mut order: Vec<(u64, &str)> =
                node.members.iter().filter_map(|member| Some((member.position?, member.name.as_str()))).collect();
            order.sort_unstable();
            views.entry(order.into_iter().map(|(_, name)| name).collect()).or_default().push(&node.name);
        }
        if views.len() > 1 {
            let views: Vec<String> =
                views.iter().map(|(order, who)| format!("{}: {}", who.join(" and "), order.join(", "))).collect();
            self.add(
                format!("the nodes do not agree who notifies first ({})", views.join("; ")),
                "It follows from who sees whom: mend the paths above, and the order mends itself.",
            );
        }
    }

    fn versions(&mut self, nodes: &[(&str, &Node)]) {
        let mut versions: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (url, node) in nodes {
            let own = format!("{} {}", node.version, node.revision);
            versions.entry(own.trim().to_owned()).or_default().insert(if node.name.is_empty() {
                url
            } else {
                &node.name
            });
        }
        if versions.len() > 1 {
            let versions: Vec<String> =
                versions.iter().map(|(version, who)| format!("{version}: {}", list(who))).collect();
            self.add(
                format!("the nodes run different versions ({})", versions.join("; ")),
                "This is meant to work during an upgrade; bring all to one version afterwards.",
            );
        }
    }

    fn configurations(&mut self, nodes: &[(&str, &Node)]) {
        let mut hashes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (url, node) in nodes {
            if let Some(hash) = &node.config_hash {
                hashes.entry(hash).or_default().insert(if node.name.is_empty() { url } else { &node.name });
            }
        }
        if hashes.len() > 1 {
            let groups: Vec<String> = hashes.values().map(list).collect();
            self.add(
                format!("the nodes have different configurations ({})", groups.join(" / ")),
                "Give all the same file, byte for byte, and reload; until then it depends on the node who is told what.",
            );
        }
    }
}

fn named<'a>(url: &'a str, node: &'a Node) -> &'a str {
    if node.name.is_empty() { url } else { &node.name }
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, is_self: bool, position: u64) -> Member {
        Member {
            name: name.to_owned(),
            address: format!("{name}:9094"),
            state: "alive".to_owned(),
            is_self,
            position: Some(position),
            udp: (!is_self).then_some(true),
            tcp: (!is_self).then_some(true),
            ..Member::default()
        }
    }

    /// Three nodes that are well, the first ones of them asked.
    fn cluster() -> Vec<Seen> {
        let names = ["a", "b", "c"];
        names
            .iter()
            .map(|own| {
                let members =
                    names.iter().zip(0..).map(|(name, position)| member(name, name == own, position)).collect();
                let node = Node {
                    name: (*own).to_owned(),
                    status: "ready".to_owned(),
                    version: "1".to_owned(),
                    config_hash: Some("17".to_owned()),
                    members,
                    ..Node::default()
                };
                Seen { url: format!("http://{own}"), answer: Ok(node) }
            })
            .collect()
    }

    fn told(change: impl FnOnce(&mut Vec<Seen>)) -> Vec<String> {
        let mut seen = cluster();
        change(&mut seen);
        problems(&seen).into_iter().map(|problem| problem.what).collect()
    }

    fn node(seen: &mut [Seen], index: usize) -> &mut Node {
        seen[index].answer.as_mut().unwrap()
    }

    #[test]
    fn a_cluster_that_is_well_has_no_problems() {
        assert_eq!(told(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(
            told(|seen| seen[1].answer = Err("refused\nmore".to_owned())),
            ["http://b does not answer: refused"]
        );
        assert_eq!(told(|seen| node(seen, 0).members[1].udp = Some(false)), ["a hears nothing of b by UDP"]);
        assert_eq!(told(|seen| node(seen, 0).members[1].tcp = Some(false)), ["a cannot connect to b by TCP"]);
        assert_eq!(
            told(|seen| {
                node(seen, 0).members[1].clock_offset_milliseconds = Some(5000);
                node(seen, 1).members[0].clock_offset_milliseconds = Some(-5000);
            }),
            ["the clock of b is 5 s ahead of that of a"]
        );
        assert_eq!(
            told(|seen| node(seen, 2).config_hash = Some("18".to_owned())),
            ["the nodes have different configurations (a, b / c)"]
        );
        assert_eq!(
            told(|seen| node(seen, 2).version = "2".to_owned()),
            ["the nodes run different versions (1: a, b; 2: c)"]
        );
        assert_eq!(
            told(|seen| node(seen, 0).members[2].unacknowledged_deltas = Some(5000)),
            ["c lags behind a by 5000 changes"]
        );
        assert_eq!(
            told(|seen| node(seen, 0).store_degraded = true),
            ["a cannot write to its disk: what it holds would not survive a restart"]
        );
        assert_eq!(
            told(|seen| node(seen, 0).status = "settling".to_owned()),
            ["a is settling: it does not notify yet"]
        );
        assert_eq!(
            told(|seen| {
                let again = node(seen, 0).clone();
                seen.push(Seen { url: "http://lb".to_owned(), answer: Ok(again) });
            }),
            ["http://a and http://lb are one node, a"]
        );
    }

    #[test]
    fn a_member_that_is_not_known_changes_the_order_too() {
        let told = told(|seen| {
            let members = &mut node(seen, 0).members;
            members.remove(1);
            members[1].position = Some(1);
        });
        assert_eq!(
            told,
            ["a does not know b", "the nodes do not agree who notifies first (b and c: a, b, c; a: a, c)"]
        );
    }

    #[test]
    fn who_answers_the_doctor_is_not_dead() {
        let mut seen = cluster();
        node(&mut seen, 0).members[1].state = "down".to_owned();
        let advice = |seen: &[Seen]| problems(seen)[0].advice.clone();
        assert!(advice(&seen).starts_with("b runs"), "{}", advice(&seen));
        seen.remove(1);
        assert!(advice(&seen).starts_with("Start b again"), "{}", advice(&seen));
    }
}
