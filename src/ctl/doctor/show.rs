//! The doctor's findings, for people and for scripts.

use std::{collections::BTreeSet, io::Write};

use serde_json::json;

use super::{Member, Node, Seen, examine::Problem};
use crate::ctl::{error::CtlError, table::Table, terminal::Paint};

pub(super) fn json(seen: &[Seen], problems: &[Problem], out: &mut dyn Write) -> Result<(), CtlError> {
    let nodes: Vec<_> = seen
        .iter()
        .map(|seen| match &seen.answer {
            Ok(node) => json!({ "url": seen.url, "node": node }),
            Err(error) => json!({ "url": seen.url, "error": error }),
        })
        .collect();
    Ok(writeln!(out, "{}", json!({ "nodes": nodes, "problems": problems }))?)
}

pub(super) fn text(
    seen: &[Seen],
    problems: &[Problem],
    details: bool,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    write!(out, "{}", nodes(seen))?;
    let answers: Vec<&Node> = seen.iter().filter_map(|seen| seen.answer.as_ref().ok()).collect();
    if answers.iter().any(|node| node.members.len() > 1) {
        writeln!(out, "\nWhat each node (row) gets from the others:\n{}", reach(&answers).trim_end_matches('\n'))?;
        if details {
            write!(out, "\n{}", pairs(&answers))?;
        }
    }
    let unasked = unasked(&answers);
    if !unasked.is_empty() {
        writeln!(out, "\nNot asked: {}. Give their addresses to see their side.", unasked.join(", "))?;
    }
    if problems.is_empty() {
        return Ok(writeln!(out, "\n{}", paint.good("No problem found."))?);
    }
    writeln!(out, "\n{}", paint.bad(&format!("{} problem(s):", problems.len())))?;
    for Problem { what, advice } in problems {
        writeln!(out, "- {}.\n  {advice}", paint.strong(what))?;
    }
    Ok(())
}

fn nodes(seen: &[Seen]) -> String {
    let mut table = Table::default();
    table.row(["Node", "URL", "State", "Position", "Members", "Version", "Config"]);
    for Seen { url, answer } in seen {
        let Ok(node) = answer else {
            table.row(["?", url, "no answer", "", "", "", ""]);
            continue;
        };
        let position = node.members.iter().find(|member| member.is_self).and_then(|own| own.position);
        let version = match node.revision.strip_prefix("carillon-") {
            Some(own) => format!("{} (Carillon {own})", node.version),
            None => node.version.clone(),
        };
        let hash = node.config_hash.as_deref().unwrap_or("?");
        let (position, members) = (shown(position), node.members.len().to_string());
        table.row([&*node.name, url, &node.status, &position, &members, &version, hash]);
    }
    table.text()
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A row for each node that was asked, a column for each that is known.
fn reach(nodes: &[&Node]) -> String {
    let known: BTreeSet<&str> =
        nodes.iter().flat_map(|node| node.members.iter().map(|member| member.name.as_str())).collect();
    let mut table = Table::default();
    table.row(std::iter::once("").chain(known.iter().copied()));
    for node in nodes.iter().filter(|node| !node.name.is_empty()) {
        let cells = known.iter().map(|name| {
            let member = node.members.iter().find(|member| member.name == **name);
            member.map_or_else(|| "unknown".to_owned(), cell)
        });
        let cells: Vec<String> = std::iter::once(node.name.clone()).chain(cells).collect();
        table.row(cells.iter().map(String::as_str));
    }
    table.text()
}

fn cell(member: &Member) -> String {
    if member.is_self {
        return "itself".to_owned();
    }
    match (member.state.as_str(), member.udp, member.tcp) {
        ("down" | "suspect", ..) => member.state.clone(),
        (_, None, None) => "known".to_owned(),
        (_, udp, tcp) => {
            let way = |works: Option<bool>, name: &str| match works {
                Some(true) => name.to_owned(),
                Some(false) => format!("no-{name}"),
                None => format!("{name}-untried"),
            };
            format!("{} {}", way(udp, "udp"), way(tcp, "tcp"))
        }
    }
}

/// Everything that one node says of another.
fn pairs(nodes: &[&Node]) -> String {
    let mut table = Table::default();
    table.row([
        "From",
        "To",
        "Address",
        "State",
        "Clock offset",
        "Round trip",
        "Last exchange",
        "Unacknowledged",
        "Version",
    ]);
    for node in nodes {
        for member in node.members.iter().filter(|member| !member.is_self) {
            table.row([
                &*node.name,
                &member.name,
                &member.address,
                if member.state.is_empty() { "-" } else { &member.state },
                &shown(member.clock_offset_milliseconds.map(|ms| format!("{ms:+} ms"))),
                &shown(member.round_trip_seconds.map(|seconds| format!("{:.1} ms", seconds * 1000.0))),
                &shown(member.last_exchange_seconds.map(|seconds| format!("{seconds:.1} s"))),
                &shown(member.unacknowledged_deltas),
                if member.version.is_empty() { "-" } else { &member.version },
            ]);
        }
    }
    table.text()
}

fn unasked<'a>(nodes: &[&'a Node]) -> Vec<&'a str> {
    let all: BTreeSet<&str> =
        nodes.iter().flat_map(|node| node.members.iter().map(|member| member.name.as_str())).collect();
    all.into_iter().filter(|name| !nodes.iter().any(|node| node.name == *name)).collect()
}
