//! What stands around each page: tabs, the state of the cluster in words, who and when.

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html::{self, number},
    page,
    scene::Scene,
};
use crate::api::{Answer, ClusterStatus};

/// The tabs; [`Tab::None`] is a page beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Alerts,
    Silences,
    Why,
    Cluster,
    Routes,
    Status,
    None,
}

/// For the layout.
pub struct Shell {
    pub title: String,
    pub root: &'static str,
    pub tab: Tab,
    pub assets: String,
    pub firing: String,
    pub silences: String,
    pub health: Health,
    pub login: Option<String>,
    pub read_only: bool,
    pub token: String,
    /// Of this node; none without a cluster.
    pub node: Option<String>,
    pub made: super::when::Moment,
    pub zone: String,
    pub version: &'static str,
}

impl Shell {
    /// For `aria-current`.
    pub fn is(&self, tab: Tab) -> bool {
        self.tab == tab
    }
}

/// Whether everybody is there, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub is_bad: bool,
    pub icon: &'static str,
    pub tint: &'static str,
    pub short: String,
    pub long: String,
}

impl Health {
    pub fn of(cluster: &ClusterStatus, store_is_degraded: bool) -> Self {
        let bad = |icon, short: String, long: String| Health { is_bad: true, icon, tint: "warn", short, long };
        if store_is_degraded {
            return bad("fail", "disk refuses writes".into(), "silences made now may be lost; see Status".into());
        }
        if cluster.name.is_none() {
            return good("1 node", "clustering is off");
        }
        if !cluster.settled {
            return bad("wait", "catching up".into(), "nothing is sent until state was exchanged".into());
        }
        let total = cluster.members.len();
        let gone: Vec<&str> =
            cluster.members.iter().filter(|member| member.state == "down").map(|member| member.name.as_str()).collect();
        match *gone {
            [] if total <= 1 => good("1 node", "no peers"),
            [] => good(&format!("{total} nodes"), "all alive"),
            [name] => bad(
                "half",
                format!("{} of {total} nodes", total - 1),
                format!("{name} is out of sight; notifications go on"),
            ),
            _ => bad(
                "half",
                format!("{} of {total} nodes", total - gone.len()),
                "the others are out of sight; notifications go on".into(),
            ),
        }
    }
}

fn good(short: &str, long: &str) -> Health {
    Health { is_bad: false, icon: "up", tint: "good", short: short.to_owned(), long: long.to_owned() }
}

impl Ui {
    pub(super) fn shell(&self, scene: &Scene, ask: &Ask, tab: Tab, title: impl Into<String>) -> Shell {
        let cluster = (self.api.cluster)();
        Shell {
            title: title.into(),
            root: ask.root,
            tab,
            assets: self.assets.clone(),
            firing: number(scene.firing()),
            silences: number(self.api.silences.counts(scene.now).active),
            health: Health::of(&cluster, self.api.metrics.store_degraded.get() != 0),
            login: ask.visitor.login.clone(),
            read_only: ask.visitor.read_only,
            token: ask.token.clone(),
            node: cluster.name,
            made: ask.when.clock(ask.when.now),
            zone: ask.when.zone_text(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// A page that says why there is nothing else to see.
    pub(super) fn missing(&self, scene: &Scene, ask: &Ask, text: &str) -> Answer {
        let shell = self.shell(scene, ask, Tab::None, "Not found");
        page(StatusCode::NOT_FOUND, &MissingPage { shell, text: text.to_owned() })
    }

    /// The names of the nodes that may have written into the log.
    pub(super) fn node_names(&self) -> Vec<String> {
        (self.api.cluster)().members.into_iter().map(|member| member.name).collect()
    }
}

#[derive(Template)]
#[template(path = "missing.html")]
struct MissingPage {
    shell: Shell,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MemberStatus;

    fn member(name: &str, state: &'static str) -> MemberStatus {
        MemberStatus {
            name: name.into(),
            address: String::new(),
            version: String::new(),
            state,
            is_self: false,
            position: None,
            last_exchange: None,
            round_trip: None,
            clock_offset: None,
            unacknowledged: 0,
            udp: Some(true),
            tcp: Some(true),
        }
    }

    #[test]
    fn the_cluster_is_told_in_words() {
        let of = |settled, members: Vec<MemberStatus>| {
            let name = Some("a".to_owned());
            Health::of(&ClusterStatus { name, settled, peers: vec![], members }, false)
        };
        assert_eq!(Health::of(&ClusterStatus::default(), false).short, "1 node");
        assert!(Health::of(&ClusterStatus::default(), true).is_bad);
        assert_eq!(of(false, vec![]).short, "catching up");
        assert_eq!(of(true, vec![member("a", "alive"), member("b", "suspect")]).short, "2 nodes");
        let one_gone = of(true, vec![member("a", "alive"), member("b", "down"), member("c", "alive")]);
        assert_eq!((one_gone.short.as_str(), one_gone.is_bad), ("2 of 3 nodes", true));
        assert!(one_gone.long.starts_with("b is out of sight"));
    }
}
