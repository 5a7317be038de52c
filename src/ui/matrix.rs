//! Who reaches whom: a row for each node with its own word, a column for each that it is asked about. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::html::{Html, Icon, Shown, count};
use crate::api::{ClusterStatus, Outlook, Sight};

/// Advice is given for so many pairs; a broken network has all of them.
const ADVICE_MAX: usize = 6;

/// For the template.
#[derive(Debug, Default)]
pub struct Matrix {
    /// What it comes to.
    pub words: String,
    /// Empty: there is nothing to look at.
    pub columns: Vec<Html>,
    pub rows: Vec<Row>,
    pub advice: Vec<Html>,
}

#[derive(Debug)]
pub struct Row {
    pub name: Html,
    /// In place of cells: why there are none.
    pub silent: Option<String>,
    pub cells: Vec<Cell>,
}

#[derive(Debug)]
pub struct Cell {
    pub class: &'static str,
    pub content: Html,
}

/// How one node sees another.
#[derive(Clone, Copy)]
enum Pair<'o> {
    Itself,
    Seen(&'o Sight),
    /// It does not know that there is such a node.
    Unknown,
}

impl Pair<'_> {
    fn is_faulty(self) -> bool {
        match self {
            Pair::Itself => false,
            Pair::Seen(sight) => sight.state != "alive" || sight.udp == Some(false) || sight.tcp == Some(false),
            Pair::Unknown => true,
        }
    }

    fn cell(self) -> Cell {
        let dim = |class, words: &str| Cell { class, content: Html(format!("<span class=\"dim\">{words}</span>")) };
        let sight = match self {
            Pair::Itself => return dim("self", "itself"),
            Pair::Unknown => return dim("meh", "does not know it"),
            Pair::Seen(sight) => sight,
        };
        // What was measured last says nothing of a node that is gone.
        let is_up = sight.state != "down";
        let way = |works: Option<bool>, kind: &str| {
            let (class, icon, words) = match works {
                Some(true) if is_up => ("good", Icon("ok", ""), "answers"),
                None if is_up => ("", Icon("wait", ""), "not tried yet"),
                _ => ("crit", Icon("fail", ""), "no answer"),
            };
            format!("<span class=\"tag {class}\">{icon}{kind} {words}</span>")
        };
        let class = match (is_up, sight.udp, sight.tcp) {
            (false, ..) | (_, Some(false), Some(false)) => "bad",
            (_, Some(false), _) | (_, _, Some(false)) => "meh",
            _ => "",
        };
        Cell { class, content: Html(way(sight.udp, "UDP") + &way(sight.tcp, "TCP")) }
    }
}

/// Everything that the nodes said, by names.
struct Said<'o>(BTreeMap<&'o str, Option<&'o [Sight]>>);

impl<'o> Said<'o> {
    /// Nodes that only others know are there without a word of their own.
    fn of(outlooks: &'o [Outlook]) -> Self {
        let mut said: BTreeMap<&str, Option<&[Sight]>> = BTreeMap::new();
        for sight in outlooks.iter().flat_map(|outlook| outlook.sees.iter().flatten()) {
            said.insert(&sight.name, None);
        }
        said.extend(outlooks.iter().map(|outlook| (outlook.node.as_str(), outlook.sees.as_deref())));
        Said(said)
    }

    fn pairs(&self) -> impl Iterator<Item = (&'o str, &'o str, Pair<'o>)> {
        let spoken = self.0.iter().filter_map(|(from, sees)| Some((*from, (*sees)?)));
        spoken.flat_map(|(from, sees)| self.0.keys().map(move |to| (from, *to, pair(from, sees, to))))
    }
}

fn pair<'o>(from: &str, sees: &'o [Sight], to: &str) -> Pair<'o> {
    match sees.iter().find(|sight| sight.name == to) {
        _ if from == to => Pair::Itself,
        Some(sight) => Pair::Seen(sight),
        None => Pair::Unknown,
    }
}

impl Matrix {
    /// `only_faults`: rows and columns in which all is well are counted and left out.
    pub fn of(outlooks: &[Outlook], cluster: &ClusterStatus, only_faults: bool) -> Self {
        let said = Said::of(outlooks);
        let (mut rows, mut columns) = (BTreeSet::new(), BTreeSet::new());
        for (from, to, _) in said.pairs().filter(|(_, _, pair)| !only_faults || pair.is_faulty()) {
            rows.insert(from);
            columns.insert(to);
        }
        let silent = said.0.iter().filter(|(_, sees)| sees.is_none()).map(|(name, _)| *name);
        rows.extend(silent);
        if said.0.len() < 2 {
            return Matrix::default();
        }
        let row = |name: &&str| {
            let sees = said.0.get(name).copied().flatten();
            Row {
                name: row_name(name, cluster),
                silent: sees.is_none().then(|| silence(name, cluster)),
                cells: sees
                    .map_or_else(Vec::new, |sees| columns.iter().map(|to| pair(name, sees, to).cell()).collect()),
            }
        };
        let mut rows: Vec<Row> = rows.iter().map(row).collect();
        if columns.is_empty() && rows.iter().all(|row| row.silent.is_none()) {
            rows.clear();
        }
        Matrix {
            words: words(&said, only_faults, columns.len()),
            columns: columns.iter().map(|name| bdi(name)).collect(),
            rows,
            advice: advice(&said, cluster),
        }
    }
}

fn bdi(name: &str) -> Html {
    Html(format!("<bdi>{}</bdi>", Shown(name)))
}

fn row_name(name: &str, cluster: &ClusterStatus) -> Html {
    let own = if cluster.name.as_deref() == Some(name) { " <span class=\"dim\">this node</span>" } else { "" };
    Html(format!("<bdi>{}</bdi>{own}", Shown(name)))
}

/// Why a node says nothing.
fn silence(name: &str, cluster: &ClusterStatus) -> String {
    match cluster.members.iter().find(|member| member.name == name).map(|member| member.state) {
        None => "not asked: this node does not know it".to_owned(),
        Some("down") => "no answer: it is out of sight".to_owned(),
        Some(_) => "no answer: it is slow, or its version does not know the question".to_owned(),
    }
}

fn words(said: &Said<'_>, only_faults: bool, shown: usize) -> String {
    let silent = said.0.values().filter(|sees| sees.is_none()).count();
    let is_well = said.pairs().all(|(_, _, pair)| match pair {
        Pair::Itself => true,
        Pair::Seen(sight) => sight.state == "alive" && sight.udp == Some(true) && sight.tcp == Some(true),
        Pair::Unknown => false,
    });
    let mut words = match (silent, is_well) {
        (0, true) => "Every node reaches every other, by UDP and by TCP.".to_owned(),
        (0, false) => "Each row is that node's own word.".to_owned(),
        (n, _) => format!("Each row is that node's own word; {} not answer.", count(n, "node did", "nodes did")),
    };
    if only_faults && shown < said.0.len() {
        let well = said.0.len() - shown;
        words += &format!(" {} reached by everybody who answered, and left out.", count(well, "node is", "nodes are"));
    }
    words
}

fn advice(said: &Said<'_>, cluster: &ClusterStatus) -> Vec<Html> {
    let address = |name: &str| {
        let member = cluster.members.iter().find(|member| member.name == name);
        member.map_or_else(|| Shown(name).to_string(), |member| Shown(&member.address).to_string())
    };
    let is_seen_here = |name: &str| {
        cluster.members.iter().any(|member| member.name == name && (member.is_self || member.state == "alive"))
    };
    let mut all = Vec::new();
    for (from, to, pair) in said.pairs() {
        let Pair::Seen(sight) = pair else { continue };
        let (a, b) = (bdi(from), bdi(to));
        if sight.state == "down" {
            // That it is gone for everybody stands above.
            if is_seen_here(to) && is_seen_here(from) && cluster.name.as_deref() != Some(from) {
                all.push(Html(format!("<b>{a} has lost sight of {b}</b>, which is alive as seen from here. Check the network from {} to {}.", address(from), address(to))));
            }
        } else if sight.tcp == Some(false) {
            all.push(Html(format!("<b>TCP from {a} to {b} is not answered.</b> Large changes cannot travel this way. Check the firewall for TCP from {} to {}.", address(from), address(to))));
        } else if sight.udp == Some(false) {
            all.push(Html(format!("<b>UDP from {a} to {b} is not answered.</b> TCP works, so only speed suffers. Check the firewall for UDP from {} to {}.", address(from), address(to))));
        }
    }
    if all.len() > ADVICE_MAX {
        let rest = all.len() - ADVICE_MAX;
        all.truncate(ADVICE_MAX);
        all.push(Html(format!("The same or worse holds for {}.", count(rest, "more pair", "more pairs"))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MemberStatus;

    fn member(name: &str, state: &'static str) -> MemberStatus {
        MemberStatus {
            name: name.into(),
            address: format!("10.0.0.{}:9094", name.len()),
            version: String::new(),
            state,
            is_self: name == "a",
            position: None,
            last_exchange: None,
            round_trip: None,
            clock_offset: None,
            unacknowledged: 0,
            udp: Some(true),
            tcp: Some(true),
        }
    }

    fn cluster(members: &[(&str, &'static str)]) -> ClusterStatus {
        let members = members.iter().map(|(name, state)| member(name, state)).collect();
        ClusterStatus { name: Some("a".into()), settled: true, peers: vec![], members }
    }

    fn sight(name: &str, state: &'static str, udp: Option<bool>, tcp: Option<bool>) -> Sight {
        Sight { name: name.into(), state, udp, tcp }
    }

    fn well(name: &str) -> Sight {
        sight(name, "alive", Some(true), Some(true))
    }

    fn outlook(node: &str, sees: Option<Vec<Sight>>) -> Outlook {
        Outlook { node: node.into(), sees }
    }

    /// Names, then what stands in the cells, without tags.
    fn text(matrix: &Matrix) -> Vec<String> {
        let plain = |html: &Html| {
            let parts = html.0.split('<').map(|part| part.rsplit('>').next().unwrap_or_default());
            parts.filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(", ")
        };
        let head = format!("| {}", matrix.columns.iter().map(plain).collect::<Vec<_>>().join(" | "));
        let row = |row: &Row| {
            let cells = row.cells.iter().map(|cell| format!("{}:{}", cell.class, plain(&cell.content)));
            let cells: Vec<String> = row.silent.clone().into_iter().chain(cells).collect();
            format!("{} | {}", plain(&row.name), cells.join(" | "))
        };
        std::iter::once(head).chain(matrix.rows.iter().map(row)).collect()
    }

    #[test]
    fn three_nodes_that_are_well_are_nine_cells_and_one_sentence() {
        let nodes = ["a", "b", "c"];
        let all: Vec<Outlook> = nodes
            .map(|node| outlook(node, Some(nodes.iter().filter(|to| **to != node).map(|to| well(to)).collect())))
            .into();
        let matrix = Matrix::of(&all, &cluster(&nodes.map(|node| (node, "alive"))), false);
        assert_eq!(
            text(&matrix),
            [
                "| a | b | c",
                "a, this node | self:itself | :UDP answers, TCP answers | :UDP answers, TCP answers",
                "b | :UDP answers, TCP answers | self:itself | :UDP answers, TCP answers",
                "c | :UDP answers, TCP answers | :UDP answers, TCP answers | self:itself"
            ]
        );
        assert_eq!(matrix.words, "Every node reaches every other, by UDP and by TCP.");
        assert!(matrix.advice.is_empty());
    }

    #[test]
    fn whoever_says_nothing_has_a_row_that_says_so() {
        let all = [
            outlook("a", Some(vec![sight("b", "alive", Some(true), None), sight("c", "down", Some(true), Some(true))])),
            outlook("b", None),
            outlook("c", None),
        ];
        let matrix = Matrix::of(&all, &cluster(&[("a", "alive"), ("b", "alive"), ("c", "down")]), false);
        assert_eq!(
            text(&matrix),
            [
                "| a | b | c",
                "a, this node | self:itself | :UDP answers, TCP not tried yet | bad:UDP no answer, TCP no answer",
                "b | no answer: it is slow, or its version does not know the question",
                "c | no answer: it is out of sight"
            ]
        );
        assert_eq!(matrix.words, "Each row is that node's own word; 2 nodes did not answer.");
    }

    #[test]
    fn a_fault_between_two_others_is_seen_and_named_with_its_direction() {
        let all = [
            outlook("a", Some(vec![well("bb"), well("ccc")])),
            outlook("bb", Some(vec![well("a"), sight("ccc", "alive", Some(false), Some(true))])),
            outlook("ccc", Some(vec![well("a"), sight("bb", "down", None, None), well("<d>")])),
        ];
        let matrix = Matrix::of(&all, &cluster(&[("a", "alive"), ("bb", "alive"), ("ccc", "alive")]), false);
        assert_eq!(
            text(&matrix),
            [
                "| &lt;d&gt; | a | bb | ccc",
                "&lt;d&gt; | not asked: this node does not know it",
                "a, this node | meh:does not know it | self:itself | :UDP answers, TCP answers | :UDP answers, TCP answers",
                "bb | meh:does not know it | :UDP answers, TCP answers | self:itself | meh:UDP no answer, TCP answers",
                "ccc | :UDP answers, TCP answers | :UDP answers, TCP answers | bad:UDP no answer, TCP no answer | self:itself"
            ]
        );
        let advice: Vec<&str> = matrix.advice.iter().map(|text| text.0.split("</b>").next().unwrap()).collect();
        assert_eq!(
            advice,
            [
                "<b>UDP from <bdi>bb</bdi> to <bdi>ccc</bdi> is not answered.",
                "<b><bdi>ccc</bdi> has lost sight of <bdi>bb</bdi>"
            ]
        );
        assert!(matrix.advice[0].0.ends_with("from 10.0.0.2:9094 to 10.0.0.3:9094."));
    }

    #[test]
    fn of_many_nodes_only_faults_are_shown_and_the_others_counted() {
        let names: Vec<String> = (0..9).map(|n| format!("n{n}")).collect();
        let look = |from: usize, broken: bool| {
            let sight = |to: usize| match (from, to) {
                (3, 5) if broken => sight(&names[to], "alive", Some(false), Some(true)),
                _ => well(&names[to]),
            };
            outlook(&names[from], Some((0..9).filter(|to| *to != from).map(sight).collect()))
        };
        let all: Vec<Outlook> = (0..9).map(|from| look(from, true)).collect();
        let matrix = Matrix::of(&all, &ClusterStatus::default(), true);
        assert_eq!(text(&matrix), ["| n5", "n3 | meh:UDP no answer, TCP answers"]);
        assert!(matrix.words.ends_with("8 nodes are reached by everybody who answered, and left out."));
        let all: Vec<Outlook> = (0..9).map(|from| look(from, false)).collect();
        let matrix = Matrix::of(&all, &ClusterStatus::default(), true);
        assert_eq!((matrix.rows.len(), matrix.columns.len(), matrix.advice.len()), (0, 0, 0));
    }

    #[test]
    fn a_network_that_is_broken_everywhere_is_told_once() {
        let all: Vec<Outlook> = ["a", "b", "c", "d"]
            .map(|from| {
                let others = ["a", "b", "c", "d"].into_iter().filter(|to| *to != from);
                outlook(from, Some(others.map(|to| sight(to, "alive", Some(false), Some(true))).collect()))
            })
            .into();
        let matrix = Matrix::of(&all, &ClusterStatus::default(), false);
        assert_eq!(matrix.advice.len(), ADVICE_MAX + 1);
        assert_eq!(matrix.advice[ADVICE_MAX].0, "The same or worse holds for 6 more pairs.");
    }
}
