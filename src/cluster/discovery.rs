//! Who is configured as a peer, and at which addresses: every record of a host name is one. Pure.

use std::{collections::BTreeSet, io, net::SocketAddr};

use super::ClusterError;
use crate::cli::HostPort;

/// Addresses taken of one name.
const ADDRESSES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Discovery {
    peers: Vec<Configured>,
    /// Addresses of records that are there no more.
    vanished: BTreeSet<SocketAddr>,
}

#[derive(Debug)]
struct Configured {
    host: String,
    port: u16,
    addresses: BTreeSet<SocketAddr>,
    /// Looked up with success at least once, or needs no look-up.
    resolved: bool,
    failing: bool,
}

impl Discovery {
    pub fn new(peers: &[String]) -> Result<Self, ClusterError> {
        let mut discovery = Discovery::default();
        for peer in peers {
            let parsed: HostPort = peer.parse().map_err(|source| ClusterError::Peer { peer: peer.clone(), source })?;
            let fixed = parsed.ip().map(|ip| SocketAddr::new(ip, parsed.port));
            discovery.peers.push(Configured {
                host: parsed.host,
                port: parsed.port,
                addresses: fixed.into_iter().collect(),
                resolved: fixed.is_some(),
                failing: false,
            });
        }
        Ok(discovery)
    }

    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// What has to be looked up: index, host, port.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str, u16)> {
        let by_name = |peer: &Configured| peer.host.parse::<std::net::IpAddr>().is_err();
        self.peers.iter().enumerate().filter(move |(_, peer)| by_name(peer)).map(|(i, p)| (i, p.host.as_str(), p.port))
    }

    /// A look-up ended. What was known stays when it failed. True when that is worth a line in the log.
    pub fn found(&mut self, index: usize, result: &io::Result<Vec<SocketAddr>>) -> bool {
        let Some(peer) = self.peers.get_mut(index) else { return false };
        let was_failing = peer.failing;
        peer.failing = result.is_err();
        let Ok(addresses) = result else { return !was_failing };
        peer.resolved |= !addresses.is_empty();
        let addresses: BTreeSet<_> = addresses.iter().copied().map(plain).take(ADDRESSES_MAX).collect();
        let gone = std::mem::replace(&mut peer.addresses, addresses);
        self.vanished.extend(gone);
        let listed = self.addresses();
        self.vanished.retain(|address| !listed.contains(address));
        while self.vanished.len() > 4 * ADDRESSES_MAX {
            self.vanished.pop_first();
        }
        false
    }

    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.peers.iter().flat_map(|peer| peer.addresses.iter().copied()).collect()
    }

    /// Was a record once, and is one no more.
    pub fn has_vanished(&self, address: SocketAddr) -> bool {
        self.vanished.contains(&address)
    }

    /// Every name has had an answer.
    pub fn is_resolved(&self) -> bool {
        self.peers.iter().all(|peer| peer.resolved)
    }
}

/// `::ffff:10.0.0.1` is 10.0.0.1.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_record_is_a_peer_until_it_vanishes() {
        let peers = ["10.0.0.9:1".to_owned(), "am-headless.ns.svc.:9094".to_owned()];
        let mut discovery = Discovery::new(&peers).unwrap();
        assert!(!discovery.is_resolved());
        assert_eq!(discovery.names().collect::<Vec<_>>(), [(1, "am-headless.ns.svc.", 9094)]);
        discovery.found(1, &Ok(addresses(&["10.0.0.1:9094", "10.0.0.2:9094"])));
        assert_eq!(discovery.addresses().len(), 3);
        discovery.found(1, &Err(io::ErrorKind::Other.into()));
        assert_eq!(discovery.addresses().len(), 3);
        discovery.found(1, &Ok(addresses(&["10.0.0.2:9094", "10.0.0.3:9094"])));
        assert!(discovery.has_vanished(addresses(&["10.0.0.1:9094"])[0]));
        assert!(!discovery.has_vanished(addresses(&["10.0.0.9:1"])[0]));
    }

    #[test]
    fn a_peer_without_a_port_is_an_error() {
        assert!(matches!(Discovery::new(&["a".to_owned()]), Err(ClusterError::Peer { .. })));
    }
}
