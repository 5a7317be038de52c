//! `cluster show`.

use std::{cmp::Ordering, io::Write, net::SocketAddr};

use super::{Context, args::Output, error::CtlError, model::Cluster, output, table::Table};

/// # Errors
/// The server does not answer as it should.
pub async fn show(context: &Context, out: &mut dyn Write) -> Result<(), CtlError> {
    let status = context.server().await?.status().await?.value;
    if context.globals.output == Output::Json {
        return output::json(&status.cluster, out);
    }
    let cluster = status.cluster().unwrap_or_default();
    let mut table = Table::default();
    table.open_row(&["Cluster Status:", &cluster.status]);
    table.open_row(&["Node Name:", &cluster.name]);
    write!(out, "{}", table.text())?;
    if context.globals.output == Output::Extended {
        peers(cluster, out)?;
    }
    Ok(())
}

fn peers(mut cluster: Cluster, out: &mut dyn Write) -> Result<(), CtlError> {
    cluster.peers.sort_by(|a, b| by_address(&a.address, &b.address));
    let mut table = Table::default();
    table.open_row(&["Address", "Name"]);
    for peer in &cluster.peers {
        table.row([&*peer.address, &peer.name]);
    }
    Ok(write!(out, "\n{}", table.text())?)
}

fn by_address(a: &str, b: &str) -> Ordering {
    match (a.parse::<SocketAddr>(), b.parse::<SocketAddr>()) {
        (Ok(a), Ok(b)) => (a.ip(), a.port()).cmp(&(b.ip(), b.port())),
        _ => a.cmp(b),
    }
}
