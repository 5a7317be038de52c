//! `diff`: where alerts go under one configuration and under another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Context,
    args::{DiffArgs, Output},
    error::CtlError,
    routes,
    server::{AlertFilter, Server},
    table::Table,
    terminal::Progress,
};
use crate::{
    alert::{
        Labels,
        text::{format_prometheus_duration, label_set},
    },
    config::{self, LoadOptions, Route},
};

type LabelMap = BTreeMap<String, String>;

/// How one alert is told to one receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Way {
    receiver: String,
    /// The labels that its group is made of.
    group_by: String,
    times: String,
    mutes: String,
}

/// An alert whose ways are not the same.
#[derive(Debug, Serialize)]
struct Changed {
    labels: LabelMap,
    old: Vec<Way>,
    new: Vec<Way>,
    /// The receivers are others, not only groups or times.
    elsewhere: bool,
}

/// # Errors
/// A file or the server's answer cannot be used; or, if so asked, something goes elsewhere.
pub async fn run(args: &DiffArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let server = if args.files.len() < 2 || args.alerts.is_none() { Some(context.server().await?) } else { None };
    let (old, new) = match (args.files.as_slice(), &server) {
        ([old, new, ..], _) => (of_file(old, context)?, of_file(new, context)?),
        ([new], Some(server)) => (of_server(server, context).await?, of_file(new, context)?),
        _ => return Err(CtlError::NoConfig),
    };
    let alerts = match (&args.alerts, &server) {
        (Some(file), _) => of_alerts_file(file)?,
        (None, Some(server)) => active(server).await?,
        (None, None) => return Err(CtlError::NoUrl),
    };
    let all = alerts.len();
    let mut progress = Progress::new("alerts", all, &context.clock);
    let changed: Vec<Changed> = alerts
        .into_iter()
        .filter_map(|labels| {
            progress.step();
            compare(labels, &old, &new)
        })
        .collect();
    drop(progress);
    tell(&changed, all, context.globals.output, out)?;
    let elsewhere = changed.iter().filter(|changed| changed.elsewhere).count();
    if args.exit_code && elsewhere > 0 { Err(CtlError::GoElsewhere(elsewhere)) } else { Ok(()) }
}

fn of_file(path: &Path, context: &Context) -> Result<Arc<Route>, CtlError> {
    Ok(Arc::clone(&config::load(path, &LoadOptions { mode: context.mode })?.config.route))
}

async fn of_server(server: &Server, context: &Context) -> Result<Arc<Route>, CtlError> {
    let status = server.status().await?.value;
    let loaded = config::parse(&status.config.original, Path::new(""), &LoadOptions { mode: context.mode })?;
    Ok(Arc::clone(&loaded.config.route))
}

/// Muted ones too: a mute ends.
async fn active(server: &Server) -> Result<Vec<LabelMap>, CtlError> {
    let filter =
        AlertFilter { active: true, inhibited: true, silenced: true, unprocessed: true, ..AlertFilter::default() };
    Ok(server.alerts(&filter).await?.into_iter().map(|alert| alert.value.labels).collect())
}

fn of_alerts_file(path: &Path) -> Result<Vec<LabelMap>, CtlError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Alert { labels: LabelMap },
        Labels(LabelMap),
    }
    let text = fs::read_to_string(path).map_err(|source| CtlError::Read { path: path.to_owned(), source })?;
    let entries: Vec<Entry> =
        serde_json::from_str(&text).map_err(|source| CtlError::NotAlerts { path: path.to_owned(), source })?;
    Ok(entries
        .into_iter()
        .map(|entry| match entry {
            Entry::Alert { labels } | Entry::Labels(labels) => labels,
        })
        .collect())
}

fn compare(labels: LabelMap, old: &Route, new: &Route) -> Option<Changed> {
    let set = Labels::from_pairs(labels.iter().filter(|(_, value)| !value.is_empty()));
    let (old, new) = (ways(old, &set), ways(new, &set));
    if old == new {
        return None;
    }
    let elsewhere = receivers(&old) != receivers(&new);
    Some(Changed { labels, old, new, elsewhere })
}

/// In no order: two routes to one receiver may change places without anybody noticing.
fn ways(root: &Route, labels: &Labels) -> Vec<Way> {
    let mut ways: Vec<Way> = routes::targets(root, labels).into_iter().map(way).collect();
    ways.sort();
    ways
}

fn way(route: &Route) -> Way {
    let text = format_prometheus_duration;
    let mut group_by = route.group_by.clone();
    group_by.sort();
    Way {
        receiver: route.receiver.to_string(),
        group_by: if route.group_by_all { "...".to_owned() } else { group_by.join(",") },
        times: format!("{}/{}/{}", text(route.group_wait), text(route.group_interval), text(route.repeat_interval)),
        mutes: [&route.mute_time_intervals, &route.active_time_intervals].map(|names| names.join(",")).join(";"),
    }
}

fn receivers(ways: &[Way]) -> BTreeSet<&str> {
    ways.iter().map(|way| way.receiver.as_str()).collect()
}

fn tell(changed: &[Changed], all: usize, form: Output, out: &mut dyn Write) -> Result<(), CtlError> {
    match form {
        Output::Json => {
            let text = serde_json::json!({ "alerts": all, "changed": changed });
            return Ok(writeln!(out, "{text}")?);
        }
        Output::Simple => write!(out, "{}", summary(changed))?,
        Output::Extended => write!(out, "{}", every(changed))?,
    }
    let elsewhere = changed.iter().filter(|changed| changed.elsewhere).count();
    Ok(writeln!(
        out,
        "{elsewhere} of {all} alert(s) go elsewhere, {} to the same receivers in other groups or at other times.",
        changed.len() - elsewhere
    )?)
}

/// A line for each kind of change.
fn summary(changed: &[Changed]) -> String {
    let mut kinds: BTreeMap<(String, String), (usize, &LabelMap)> = BTreeMap::new();
    for change in changed {
        let side = |ways: &[Way]| if change.elsewhere { names(ways) } else { details(ways) };
        let kind = (side(&change.old), side(&change.new));
        kinds.entry(kind).or_insert((0, &change.labels)).0 += 1;
    }
    let mut table = Table::default();
    if !kinds.is_empty() {
        table.row(["Alerts", "Old", "New", "Example"]);
    }
    for ((old, new), (count, example)) in kinds {
        table.row([&*count.to_string(), &old, &new, &text(example)]);
    }
    table.text()
}

fn every(changed: &[Changed]) -> String {
    let mut table = Table::default();
    if !changed.is_empty() {
        table.row(["Labels", "Old", "New"]);
    }
    for change in changed {
        table.row([&*text(&change.labels), &details(&change.old), &details(&change.new)]);
    }
    table.text()
}

fn names(ways: &[Way]) -> String {
    receivers(ways).into_iter().collect::<Vec<_>>().join(",")
}

fn details(ways: &[Way]) -> String {
    let way = |way: &Way| {
        let mutes = if way.mutes == ";" { String::new() } else { format!(" muted {}", way.mutes) };
        format!(
            "{} (by {}; {}{mutes})",
            way.receiver,
            if way.group_by.is_empty() { "-" } else { &way.group_by },
            way.times
        )
    };
    ways.iter().map(way).collect::<Vec<_>>().join(", ")
}

fn text(labels: &LabelMap) -> String {
    label_set(&Labels::from_pairs(labels.iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Arc<Route> {
        let text = format!("{text}\nreceivers: [{{name: r}}, {{name: q}}]\n");
        config::parse(&text, Path::new("/"), &LoadOptions::default()).unwrap().config.route.clone()
    }

    fn labels(pairs: &[(&str, &str)]) -> LabelMap {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_changes_is_told() {
        let old = route("route: {receiver: r, routes: [{matchers: [a=1], receiver: q}]}");
        let new = route("route: {receiver: r, routes: [{matchers: [a=1], receiver: r, group_by: [a]}]}");
        let compare = |labels: &[(&str, &str)]| compare(self::labels(labels), &old, &new);
        assert!(compare(&[("b", "1")]).is_none());
        let changed = compare(&[("a", "1")]).unwrap();
        assert!(changed.elsewhere);
        let mut out = Vec::new();
        tell(&[changed], 2, Output::Simple, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Alerts  Old  New  Example  \n1       q    r    {a=\"1\"}  \n\
             1 of 2 alert(s) go elsewhere, 0 to the same receivers in other groups or at other times.\n"
        );
    }

    #[test]
    fn the_same_receiver_at_other_times_is_not_elsewhere() {
        let old = route("route: {receiver: r, group_by: [a]}");
        let new = route("route: {receiver: r, group_by: [b]}");
        let changed = compare(labels(&[("a", "1")]), &old, &new).unwrap();
        assert!(!changed.elsewhere);
        assert_eq!(
            (details(&changed.old), details(&changed.new)),
            ("r (by a; 30s/5m/4h)".into(), "r (by b; 30s/5m/4h)".into())
        );
    }

    #[test]
    fn alerts_are_read_as_the_query_prints_them_or_bare() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"[{"labels": {"a": "1"}, "status": {}}, {"b": "2"}]"#).unwrap();
        assert_eq!(of_alerts_file(file.path()).unwrap(), [labels(&[("a", "1")]), labels(&[("b", "2")])]);
        fs::write(file.path(), "[1]").unwrap();
        assert!(of_alerts_file(file.path()).is_err());
    }
}
