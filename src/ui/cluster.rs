//! Cluster: is everybody there, who reaches whom, who tells next, and whether this node is ready, in words.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html::{self, Html, Icon, Shown, count, cut},
    matrix::Matrix,
    page,
    scene::{Group, Scene},
    shell::{Shell, Tab},
    when::{When, span},
};
use crate::{
    alert::Fingerprint,
    api::{Answer, ClusterStatus, MemberStatus},
    clock::delta,
    dispatch::Hearing,
    notify::peer::claims::Phase,
};

/// From this many nodes on, cards become a table.
const TABLE_FROM: usize = 8;
/// Groups that are offered.
const GROUPS_MAX: usize = 200;

struct NodeView {
    name: Html,
    place: String,
    tag: Html,
    is_bad: bool,
    facts: Vec<(&'static str, Html)>,
}

#[derive(Template)]
#[template(path = "cluster.html")]
struct ClusterPage {
    shell: Shell,
    verdict: Verdict,
    nodes: Vec<NodeView>,
    as_table: bool,
    matrix: Matrix,
    groups: Vec<(String, String, bool)>,
    turns: Vec<(String, Html)>,
    ready: Vec<(&'static str, Html)>,
    is_alone: bool,
}

struct Verdict {
    class: &'static str,
    icon: Icon,
    title: String,
    texts: Vec<Html>,
}

impl Ui {
    pub(super) async fn cluster_page(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let outlooks = self.api.outlooks().await;
        let cluster = (self.api.cluster)();
        let chosen = ask.query.text("group").and_then(|id| u64::from_str_radix(id, 16).ok()).map(Fingerprint);
        let mut groups: Vec<&Group> = scene.groups.iter().collect();
        groups.sort_by(|a, b| {
            (a.name(), &a.look.labels, &a.look.receiver.name).cmp(&(b.name(), &b.look.labels, &b.look.receiver.name))
        });
        let chosen = chosen.and_then(|id| scene.group(id)).or_else(|| groups.first().copied());
        let offered = groups.iter().take(GROUPS_MAX).map(|group| {
            let is_chosen = chosen.is_some_and(|chosen| chosen.id == group.id);
            (group.id.to_string(), group_words(group), is_chosen)
        });
        let page_ = ClusterPage {
            shell: self.shell(scene, ask, Tab::Cluster, "Cluster"),
            verdict: verdict(&cluster),
            as_table: cluster.members.len() >= TABLE_FROM,
            nodes: cluster.members.iter().map(|member| node(member, &ask.when)).collect(),
            matrix: Matrix::of(&outlooks, &cluster, cluster.members.len() >= TABLE_FROM),
            groups: offered.collect(),
            turns: chosen.map(|group| self.turns(group, ask)).unwrap_or_default(),
            ready: self.readiness(&cluster, ask),
            is_alone: cluster.members.len() <= 1,
        };
        page(StatusCode::OK, &page_)
    }

    /// Who tells a group next, integration by integration.
    fn turns(&self, group: &Group, ask: &Ask) -> Vec<(String, Html)> {
        let hearings = self.api.dispatcher.hearings(&group.look);
        hearings
            .iter()
            .map(|hearing| (format!("{}/{}", hearing.kind, hearing.index), turn(hearing, &ask.when)))
            .collect()
    }

    fn readiness(&self, cluster: &ClusterStatus, ask: &Ask) -> Vec<(&'static str, Html)> {
        let good = |words: &str| Html(format!("<span class=\"tag good\">{}{words}</span>", Icon("ok", "")));
        let wait = |words: &str| Html(format!("<span class=\"tag warn\">{}{words}</span>", Icon("wait", "")));
        let metrics = &self.api.metrics;
        let mut facts = vec![(
            "this node",
            match (&cluster.name, cluster.settled) {
                (None, _) => good("ready: the configuration is loaded"),
                (Some(_), true) => {
                    good("ready: the configuration is loaded, and state was exchanged with every node in reach")
                }
                (Some(_), false) => {
                    wait("not ready: state has not been exchanged with every node in reach; nothing is sent until then")
                }
            },
        )];
        if let Some(name) = &cluster.name {
            facts.push(("name", Html(format!("<bdi>{}</bdi>", Shown(name)))));
        }
        facts.push((
            "up since",
            Html(format!("{}, {}", ask.when.clock(self.api.started_at), ask.when.ago(self.api.started_at))),
        ));
        facts.push((
            "disk",
            if metrics.store_degraded.get() == 0 {
                good("takes every write")
            } else {
                Html(format!("<span class=\"tag crit\">{}refuses writes</span> silences are in effect, but would not survive a restart", Icon("fail", "")))
            },
        ));
        facts
    }
}

fn group_words(group: &Group) -> String {
    let labels: Vec<String> =
        group.look.labels.iter().filter(|(name, _)| *name != "alertname").map(|(_, value)| cut(value, 40)).collect();
    let name = group.name().map_or_else(|| "all alerts".to_owned(), |name| cut(name, 60));
    let rest = if labels.is_empty() { String::new() } else { format!(", {}", cut(&labels.join(", "), 80)) };
    html::shown_text(&format!("{name}{rest} → {}", group.look.receiver.name))
}

fn turn(hearing: &Hearing, when: &When) -> Html {
    let mut out = String::from("<ol class=\"order\">");
    for (place, name) in hearing.order.iter().enumerate() {
        let holds = hearing.holder.as_ref().filter(|(holder, _)| holder == name).map(|(_, phase)| match phase {
            Phase::Asking => format!("<span class=\"tag info\">{}asks the others</span>", Icon("wait", "")),
            Phase::Sending => format!("<span class=\"tag info\">{}holds the claim, sending</span>", Icon("in", "")),
            Phase::Failing => format!("<span class=\"tag crit\">{}failed, tries again</span>", Icon("fail", "")),
            Phase::None => String::new(),
        });
        out.push_str(&format!(
            "<li><b>{}</b><span><bdi>{}</bdi> {}</span></li>",
            place + 1,
            Shown(name),
            holds.unwrap_or_default()
        ));
    }
    out.push_str("</ol>");
    let mut says: Vec<String> = Vec::new();
    match &hearing.debt {
        Some(debt) => {
            let doing = if debt.is_running {
                "is being told by this node".to_owned()
            } else {
                format!("owed since {}", when.clock(debt.since))
            };
            let error = debt.error.as_ref().map(|error| format!(": {}", Shown(&cut(error, 120)))).unwrap_or_default();
            let next = debt
                .next_try
                .map(|next| format!("; this node looks again at {}", when.clock(next)))
                .unwrap_or_default();
            says.push(format!("{doing}{error}{next}"));
        }
        None => says.push("nothing is owed now".to_owned()),
    }
    if let Some((at, _)) = hearing.told {
        says.push(format!("told last at {}", when.clock(at)));
    }
    Html(format!("{out}<p class=\"two s\">{}.</p>", says.join("; ")))
}

fn verdict(cluster: &ClusterStatus) -> Verdict {
    let Some(name) = &cluster.name else {
        return Verdict {
            class: "",
            icon: Icon("up", "good"),
            title: "One node, clustering is off.".into(),
            texts: vec![Html(
                "If this node stops, nobody is told. For more, start a second one with <code>--cluster.peer</code>."
                    .into(),
            )],
        };
    };
    let total = cluster.members.len();
    let gone: Vec<&MemberStatus> = cluster.members.iter().filter(|member| member.state == "down").collect();
    let names = |members: &[&MemberStatus]| {
        members
            .iter()
            .take(5)
            .map(|member| format!("<b><bdi>{}</bdi></b>", Shown(&member.name)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !cluster.settled {
        return Verdict {
            class: " w",
            icon: Icon("wait", "warn"),
            title: format!("{} is catching up.", html::shown_text(name)),
            texts: vec![Html("Alerts are shown; nothing is sent until state was exchanged with the nodes in reach, or the time for that is over.".into())],
        };
    }
    if total <= 1 {
        return Verdict {
            class: "",
            icon: Icon("up", "good"),
            title: "One node; it knows of no other.".into(),
            texts: vec![Html("If this node stops, nobody is told.".into())],
        };
    }
    if gone.len() + 1 == total {
        return Verdict {
            class: " c",
            icon: Icon("fail", "crit"),
            title: format!("{} is alone: it reaches none of {}.", html::shown_text(name), count(gone.len(), "other node", "other nodes")),
            texts: vec![Html("It tells everything itself. If the others are alive, people hear twice. Silences that are made here are not known there yet.".into())],
        };
    }
    if gone.is_empty() {
        let behind = cluster.members.iter().map(|member| member.unacknowledged).max().unwrap_or_default();
        let step = if behind == 0 {
            "everybody is in step".to_owned()
        } else {
            format!(
                "at most {} on their way",
                count(usize::try_from(behind).unwrap_or(usize::MAX), "change is", "changes are")
            )
        };
        return Verdict {
            class: "",
            icon: Icon("up", "good"),
            title: format!("{total} of {total} nodes are alive."),
            texts: vec![Html(format!("Notifications go on; {step}."))],
        };
    }
    let alive = total - gone.len();
    Verdict {
        class: " w",
        icon: Icon("half", "warn"),
        title: format!("{alive} of {total} nodes are alive. Notifications go on."),
        texts: vec![
            Html(format!(
                "{} out of sight. If it is alive but cut off, it tells too: people may hear twice.",
                names(&gone) + if gone.len() == 1 { " is" } else { " are" }
            )),
            Html(format!("Nothing is lost: silences and the log are on {}.", count(alive, "live node", "live nodes"))),
        ],
    }
}

fn node(member: &MemberStatus, when: &When) -> NodeView {
    let tag = match member.state {
        "alive" => format!("<span class=\"tag good\">{}alive</span>", Icon("up", "")),
        "suspect" => format!("<span class=\"tag warn\">{}does not answer, maybe down</span>", Icon("half", "")),
        _ => format!("<span class=\"tag crit\">{}out of sight</span>", Icon("down", "")),
    };
    let mut facts = vec![("address", Html(Shown(&member.address).to_string()))];
    let version =
        if member.version.is_empty() { "not known yet".to_owned() } else { Shown(&member.version).to_string() };
    facts.push(("version", Html(if member.is_self { format!("{version}, this node") } else { version })));
    if let Some(offset) = member.clock_offset.filter(|_| !member.is_self) {
        let ms = offset.num_milliseconds();
        let far = if ms.abs() >= 1_000 { " class=\"warn\"" } else { "" };
        facts.push(("clock", Html(format!("<span{far}>{}{} ms</span>", if ms < 0 { "−" } else { "+" }, ms.abs()))));
    }
    if !member.is_self {
        let waits = usize::try_from(member.unacknowledged).unwrap_or(usize::MAX);
        facts.push((
            "in step",
            Html(if member.state == "down" {
                "not known".to_owned()
            } else if waits == 0 {
                "yes".to_owned()
            } else {
                format!("{} not acknowledged yet", count(waits, "change", "changes"))
            }),
        ));
        let exchange = member.last_exchange.map_or_else(
            || "not yet".to_owned(),
            |ago| format!("{} ago, {}", span(delta(ago)), when.clock(when.now - delta(ago))),
        );
        facts.push(("last exchange", Html(exchange)));
        if let Some(time) = member.round_trip {
            facts.push(("round trip", Html(format!("{:.1} ms", time.as_secs_f64() * 1e3))));
        }
    }
    let place = match member.position {
        Some(0) => "first in the order".to_owned(),
        Some(n) => format!("number {} in the order", n + 1),
        None => "out of the order".to_owned(),
    };
    NodeView {
        name: Html(format!("<bdi>{}</bdi>", Shown(&member.name))),
        place,
        tag: Html(tag),
        is_bad: member.state == "down",
        facts,
    }
}
