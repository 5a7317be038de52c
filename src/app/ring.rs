//! The cluster's part of starting: who this node is, from flags and the data directory, and what the API shows of it.

use std::{io, path::PathBuf, sync::Arc};

use super::State;
use crate::{
    api::{AskOutlooks, ClusterStatus, MemberStatus, Outlook, PeerStatus, Sight},
    cli::ClusterOptions,
    cluster::{ClusterConfig, ClusterTls, KeyError, MemberState, SecretKey, tls::TlsFileError},
    random::Random,
    replica::Replica,
    ring::Ring,
    store::{Disk, Store},
};

/// Where the data directory keeps the node's name and generation.
const FILE: &str = "carillon.node";

/// Why the cluster's flags cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path} is damaged; remove it to start under a new name")]
    Damaged { path: String },
    #[error("--cluster.secret-file {}: {source}", path.display())]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("--cluster.secret-file {}: {source}", path.display())]
    Secret { path: PathBuf, source: KeyError },
    #[error("--cluster.tls-config: {0}")]
    Tls(#[from] TlsFileError),
}

/// Who this node is, for as long as its data directory lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub name: String,
    /// The highest one that was ever used; 0: none.
    pub generation: u64,
}

impl Identity {
    /// The name of the flag, or else what the data directory has kept, or else a new one, which is kept.
    pub fn of(options: &ClusterOptions, store: &Store, random: &Random) -> Result<Self, RingError> {
        let disk = store.disk();
        let path = || disk.path_of(FILE);
        let kept = disk.read(FILE).map_err(|source| RingError::Read { path: path(), source })?;
        let kept = match kept {
            Some(bytes) => Some(Self::parse(&bytes).ok_or_else(|| RingError::Damaged { path: path() })?),
            None => None,
        };
        let generation = kept.as_ref().map_or(0, |kept| kept.generation);
        let name = options.peer_name.clone().or_else(|| kept.as_ref().map(|kept| kept.name.clone()));
        let identity = Identity { name: name.unwrap_or_else(|| random.uuid_v4()), generation };
        if kept.as_ref() != Some(&identity) {
            identity.keep(&**disk);
        }
        Ok(identity)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        Some(Identity { name: value("name")?.to_owned(), generation: value("generation")?.parse().ok()? })
    }

    fn keep(&self, disk: &dyn Disk) {
        let text = format!("name {}\ngeneration {}\n", self.name, self.generation);
        let written = disk.replace(FILE, &mut |out| out.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::error!(component = "cluster", err = %error, path = disk.path_of(FILE),
                "the node's name and generation cannot be kept; after a restart it counts as another node");
        }
    }
}

/// The flags, as the cluster takes them.
pub(super) fn config(options: &ClusterOptions, identity: &Identity, store: &Store) -> Result<ClusterConfig, RingError> {
    let (name, disk) = (identity.name.clone(), Arc::clone(store.disk()));
    let keys = match &options.secret_file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|source| RingError::SecretFile { path: path.clone(), source })?;
            SecretKey::parse(&text).map_err(|source| RingError::Secret { path: path.clone(), source })?
        }
        None => Vec::new(),
    };
    Ok(ClusterConfig {
        advertise: options.advertise_address.map(|(ip, port)| std::net::SocketAddr::new(ip, port)),
        allow_public_address: options.allow_public_address_discovery,
        peers: options.peers.clone(),
        label: options.label.clone(),
        keys,
        tls: options.tls_config.as_deref().map(ClusterTls::load).transpose()?,
        generation: identity.generation,
        save_generation: Arc::new(move |generation| Identity { name: name.clone(), generation }.keep(&*disk)),
        peers_resolve_timeout: options.peers_resolve_timeout,
        gossip_interval: options.gossip_interval,
        push_pull_interval: options.push_pull_interval,
        tcp_timeout: options.tcp_timeout,
        probe_timeout: options.probe_timeout,
        probe_interval: options.probe_interval,
        settle_timeout: options.settle_timeout,
        reconnect_interval: options.reconnect_interval,
        reconnect_timeout: options.reconnect_timeout,
        ..ClusterConfig::new(identity.name.clone(), options.listen_address.clone())
    })
}

/// The state as peers see it.
pub(super) fn replica(state: &State) -> Replica {
    Replica {
        silences: Arc::clone(&state.silences),
        nflog: Arc::clone(&state.nflog),
        alerts: Arc::clone(&state.alerts),
        keeper: state.keeper.clone(),
    }
}

/// What `/api/v2/status` says.
pub(super) fn status(ring: Option<&Ring>) -> Arc<dyn Fn() -> ClusterStatus + Send + Sync> {
    let Some(ring) = ring.cloned() else { return Arc::new(ClusterStatus::default) };
    Arc::new(move || {
        let (Some(view), Some((name, _))) = (ring.view(), ring.own()) else { return ClusterStatus::default() };
        let peers =
            view.live().map(|member| PeerStatus { name: member.name.clone(), address: member.address.to_string() });
        let mut position = 0;
        let members = view.members.iter().map(|member| {
            let place = member.is_live().then_some(position);
            position += u64::from(member.is_live());
            MemberStatus {
                name: member.name.clone(),
                address: member.address.to_string(),
                version: member.version.clone(),
                state: word(member.state),
                is_self: member.is_self,
                position: place,
                last_exchange: member.last_exchange,
                round_trip: member.round_trip,
                clock_offset: member.clock_offset,
                unacknowledged: member.lag as u64,
                udp: member.udp,
                tcp: member.tcp,
            }
        });
        ClusterStatus {
            name: Some(name),
            settled: ring.is_settled(),
            peers: peers.collect(),
            members: members.collect(),
        }
    })
}

/// What `/api/v2/carillon/reachability` says.
pub(super) fn outlooks(ring: &Ring) -> AskOutlooks {
    let ring = ring.clone();
    Arc::new(move || {
        let ring = ring.clone();
        Box::pin(async move {
            let sight = |sight: crate::ring::Sight| Sight {
                name: sight.name,
                state: word(sight.state),
                udp: sight.udp,
                tcp: sight.tcp,
            };
            let all = ring.outlooks().await.into_iter();
            all.map(|outlook| Outlook {
                node: outlook.node,
                sees: outlook.sees.map(|sees| sees.into_iter().map(sight).collect()),
            })
            .collect()
        })
    })
}

fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Alive => "alive",
        MemberState::Suspect => "suspect",
        MemberState::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_as_it_was_written() {
        let identity = Identity { name: "a b".to_owned(), generation: 17 };
        assert_eq!(Identity::parse(b"name a b\ngeneration 17\n"), Some(identity));
        for damaged in ["", "name a", "generation 1\n", "name a\ngeneration x\n"] {
            assert_eq!(Identity::parse(damaged.as_bytes()), None, "{damaged}");
        }
    }
}
