//! `cluster doctor`: what the nodes of a cluster say of each other, side by side, and what is wrong with it.
//!
//! Each node is asked for its status and its metrics; nothing is changed. `examine` judges, and knows no network;
//! here the nodes are asked and the answers shown. A real Alertmanager can be asked too: it tells its peers only.

mod examine;
mod show;

use std::{collections::BTreeMap, io::Write};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    Context,
    args::{DoctorArgs, Output},
    error::CtlError,
    server::Server,
    terminal::Paint,
};

/// What one address said.
#[derive(Debug)]
pub(super) struct Seen {
    pub url: String,
    pub answer: Result<Node, String>,
}

/// A node as it tells itself.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    pub name: String,
    /// `ready`, `settling`, `disabled`.
    pub status: String,
    pub version: String,
    pub revision: String,
    /// Of the file as it was read; `None` where metrics are not to be had.
    pub config_hash: Option<String>,
    pub store_degraded: bool,
    /// All it knows, itself included.
    pub members: Vec<Member>,
}

/// A node as another one sees it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Member {
    pub name: String,
    pub address: String,
    /// Empty: an Alertmanager does not tell more than name and address.
    pub state: String,
    pub version: String,
    #[serde(rename = "self")]
    pub is_self: bool,
    pub position: Option<u64>,
    pub last_exchange_seconds: Option<f64>,
    pub round_trip_seconds: Option<f64>,
    pub clock_offset_milliseconds: Option<i64>,
    pub unacknowledged_deltas: Option<u64>,
    /// Packets of it arrive.
    pub udp: Option<bool>,
    /// Connections to it can be made.
    pub tcp: Option<bool>,
}

/// # Errors
/// No address is given; or something is wrong with the cluster, which has been told then.
pub async fn run(args: &DoctorArgs, context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let urls = if args.urls.is_empty() { context.globals.url.clone().into_iter().collect() } else { args.urls.clone() };
    if urls.is_empty() {
        return Err(CtlError::NoUrl);
    }
    let servers = urls.iter().map(|url| Server::at(url, &context.globals)).collect::<Result<Vec<_>, _>>()?;
    let seen = join_all(servers.iter().map(ask)).await;
    let problems = examine::problems(&seen);
    match context.globals.output {
        Output::Json => show::json(&seen, &problems, out)?,
        form => show::text(&seen, &problems, form == Output::Extended, Paint::of_output(), out)?,
    }
    if problems.is_empty() { Ok(()) } else { Err(CtlError::Told) }
}

async fn ask(server: &Server) -> Seen {
    let url = server.shown().to_owned();
    let answer = match server.status().await {
        Ok(status) => Ok(node(&status.value, server.metrics().await.unwrap_or_default())),
        Err(error) => Err(error.to_string()),
    };
    Seen { url, answer }
}

fn node(status: &super::model::Status, metrics: BTreeMap<String, String>) -> Node {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Cluster {
        name: String,
        status: String,
        peers: Vec<Member>,
        members: Vec<Member>,
    }
    let cluster: Cluster = serde_json::from_str(status.cluster.get()).unwrap_or_default();
    let mut members = if cluster.members.is_empty() { cluster.peers } else { cluster.members };
    for member in &mut members {
        member.is_self |= member.name == cluster.name;
    }
    Node {
        name: cluster.name,
        status: cluster.status,
        version: status.version.version.clone(),
        revision: status.version.revision.clone(),
        config_hash: metrics.get("alertmanager_config_hash").map(String::as_str).map(whole),
        store_degraded: metrics.get("alertmanager_store_degraded").is_some_and(|value| value == "1"),
        members,
    }
}

/// A number without the exponent that Go writes.
fn whole(number: &str) -> String {
    number.parse::<f64>().map_or_else(|_| number.to_owned(), |number| format!("{number:.0}"))
}
