//! Which address peers shall use (reference/cluster.md 1).

use std::net::{IpAddr, SocketAddr};

use super::ClusterError;

/// The flag; else the address that is listened on, if it says which; else the machine's own private one. A public
/// one only if that is allowed.
pub(super) fn advertised(
    flag: Option<SocketAddr>,
    listening: SocketAddr,
    own: &[IpAddr],
    allow_public: bool,
) -> Result<SocketAddr, ClusterError> {
    if let Some(flag) = flag {
        let port = if flag.port() == 0 { listening.port() } else { flag.port() };
        return Ok(SocketAddr::new(flag.ip(), port));
    }
    if !listening.ip().is_unspecified() {
        return Ok(listening);
    }
    let usable = |ip: &&IpAddr| !ip.is_unspecified() && !ip.is_loopback();
    let found = own.iter().filter(usable).find(|ip| is_private(**ip));
    let found = found.or_else(|| own.iter().find(|ip| allow_public && usable(ip)));
    let found = found.map_or_else(|| Err(ClusterError::NoAddress), |ip| Ok(*ip));
    found.map(|ip| SocketAddr::new(ip, listening.port()))
}

/// Not routed in the public network (RFC 6890).
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xC0 == 64) || (a == 198 && b & 0xFE == 18)
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_private(IpAddr::V4(ip)),
            None => ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

/// `--cluster.peer` values that a node which says "call me at a loopback address" will hardly be reached by.
pub(super) fn peers_cannot_reach(advertised: SocketAddr, peers: &[SocketAddr]) -> bool {
    let own = advertised.ip();
    (own.is_loopback() || own.is_unspecified()) && peers.iter().any(|peer| !peer.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(flag: Option<&str>, listening: &str, own: &[&str], public: bool) -> Option<String> {
        let own: Vec<IpAddr> = own.iter().map(|ip| ip.parse().unwrap()).collect();
        let flag = flag.map(|flag| flag.parse().unwrap());
        advertised(flag, listening.parse().unwrap(), &own, public).ok().map(|address| address.to_string())
    }

    #[test]
    fn the_flag_wins_then_the_address_listened_on_then_a_private_one() {
        assert_eq!(choose(Some("1.2.3.4:5"), "0.0.0.0:9094", &["10.0.0.1"], false).as_deref(), Some("1.2.3.4:5"));
        assert_eq!(choose(None, "127.0.0.1:9094", &["10.0.0.1"], false).as_deref(), Some("127.0.0.1:9094"));
        assert_eq!(choose(None, "0.0.0.0:9094", &["8.8.8.8", "10.0.0.1"], false).as_deref(), Some("10.0.0.1:9094"));
        assert_eq!(choose(None, "[::]:9094", &["fd00::1"], false).as_deref(), Some("[fd00::1]:9094"));
    }

    #[test]
    fn a_public_address_is_found_only_when_allowed() {
        assert_eq!(choose(None, "0.0.0.0:9094", &["8.8.8.8"], false), None);
        assert_eq!(choose(None, "0.0.0.0:9094", &["8.8.8.8"], true).as_deref(), Some("8.8.8.8:9094"));
        assert_eq!(choose(None, "0.0.0.0:9094", &["127.0.0.1"], true), None);
    }
}
