//! The handle to a running cluster.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use chrono::TimeDelta;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    ClusterConfig, ClusterError, ClusterMetrics, Handler, Kind, Member, NAME_LENGTH_MAX, Network, State, Urgency, Via,
    View, address,
    digest::Digest,
    link,
    network::Datagrams,
    node::{Command, Node},
};
use crate::{clock::Clock, random::Random};

/// Deltas and questions that the one task has not taken yet.
const COMMANDS_MAX: usize = 65_536;

/// A node of a cluster. Clones are the same node; it runs until [`Cluster::leave`], or until all are dropped.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    name: String,
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
    view: Arc<ArcSwap<View>>,
    changed: watch::Receiver<u64>,
    beat: Arc<Notify>,
    metrics: ClusterMetrics,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Answers of peers, as they come; ends when all have answered or the time is over.
pub struct Answers(mpsc::Receiver<(String, Bytes)>);

impl Answers {
    /// The next answer, and whose it is.
    pub async fn next(&mut self) -> Option<(String, Bytes)> {
        self.0.recv().await
    }
}

impl Cluster {
    /// Listens, calls the configured peers for a moment, and runs from then on.
    ///
    /// # Errors
    /// A configuration that cannot work, an address that cannot be used, or a name that a live node has.
    #[allow(clippy::too_many_arguments, reason = "each is a seam of its own")]
    pub async fn start(
        config: ClusterConfig,
        network: Arc<dyn Network>,
        clock: Clock,
        random: Random,
        metrics: ClusterMetrics,
        state: Arc<dyn State>,
        handler: Arc<dyn Handler>,
    ) -> Result<Cluster, ClusterError> {
        if config.name.is_empty() || config.name.len() > NAME_LENGTH_MAX {
            return Err(ClusterError::Name(config.name));
        }
        let (listener, udp, advertised) = listen(&config, &*network).await?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (node, running) =
            Node::new(config, network, clock, random, metrics, state, handler, advertised, udp, receiver)?;
        let (name, env) = (node.name().to_owned(), node.env());
        let metrics = env.metrics.clone();
        metrics.peer_info.with_label_values(&[&name]).set(1);
        let tasks = vec![tokio::spawn(link::serve(env, listener)), tokio::spawn(node.run())];
        let inner = Inner {
            name,
            address: advertised,
            commands,
            view: running.view,
            changed: running.changed,
            beat: running.beat,
            metrics,
            tasks,
        };
        let cluster = Cluster(Arc::new(inner));
        match running.first_round.await {
            Ok(Err(error)) => Err(error),
            // Or the task has ended, which only a leaving node's does.
            Ok(Ok(())) | Err(_) => Ok(cluster),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The address that peers use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Everything, as of a moment ago.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.view.load_full()
    }

    /// Where views appear, without keeping the node alive.
    #[cfg(test)]
    pub(super) fn view_source(&self) -> Arc<ArcSwap<View>> {
        Arc::clone(&self.0.view)
    }

    /// Known members, this node included: live, or out of sight but not gone in good order. In order of names.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.view().members.clone()
    }

    /// Index of this node among the live members.
    #[must_use]
    pub fn position(&self) -> usize {
        self.view().position()
    }

    /// What to add to the own clock; see [`View::clock_correction`].
    #[must_use]
    pub fn clock_correction(&self) -> TimeDelta {
        self.view().clock_correction()
    }

    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.view().settled
    }

    /// Ends when state has been exchanged with all peers in reach, or the time for that is over.
    pub async fn settled(&self) {
        let mut changed = self.watch();
        while !self.is_settled() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Changes with members, their states, settling and gaps; then look at [`Cluster::view`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        let mut changed = self.0.changed.clone();
        changed.mark_unchanged();
        changed
    }

    /// Ends about twice a second, with whatever else this node has to do, so that regular work of others wakes the
    /// process no more often. For one task.
    pub async fn beat(&self) {
        self.0.beat.notified().await;
    }

    /// Sends a changed record to all members. Call it *after* the change is in the [`State`].
    /// Of two of one key, the higher version takes the place of the lower one.
    pub fn broadcast(&self, kind: Kind, key: &[u8], version: u64, record: Bytes, urgency: Urgency) {
        let key = Digest::hash(key);
        self.command(Command::Broadcast { kind, key, version, record, urgency });
    }

    /// Asks these members, and takes answers for so long. Members that are out of sight are asked as well.
    #[must_use]
    pub fn call(&self, peers: impl IntoIterator<Item = String>, payload: Bytes, limit: Duration) -> Answers {
        let mut peers: BTreeSet<String> = peers.into_iter().collect();
        peers.remove(&self.0.name);
        let (answers, receiver) = mpsc::channel(peers.len().max(1));
        if !peers.is_empty() {
            self.command(Command::Call { peers, payload, limit, answers });
        }
        Answers(receiver)
    }

    /// Tells all live members.
    pub fn tell(&self, payload: Bytes, via: Via) {
        self.command(Command::Tell { payload, via });
    }

    /// Leaves in good order: the others know at once. The node is no member afterwards.
    pub async fn leave(&self) {
        let (done, left) = oneshot::channel();
        self.command(Command::Leave { done });
        // An error means that it has left already.
        let _ = left.await;
    }

    /// Stands still, as a process that is stopped does. For simulations.
    #[doc(hidden)]
    pub fn stall(&self, time: Duration) {
        self.command(Command::Stall(time));
    }

    fn command(&self, command: Command) {
        if self.0.commands.try_send(command).is_err() {
            // Comparing states brings a lost delta; a question without an answer is open when split.
            self.0.metrics.limit_reached_total.with_label_values(&["commands"]).inc();
        }
    }
}

type Listening = (Box<dyn super::network::Listener>, Option<Box<dyn Datagrams>>, SocketAddr);

async fn listen(config: &ClusterConfig, network: &dyn Network) -> Result<Listening, ClusterError> {
    let wanted = listen_address(config, network).await?;
    let failed = |source| ClusterError::Listen { address: wanted.to_string(), source };
    let listener = network.listen(wanted).await.map_err(failed)?;
    // Port 0 means any: the same for both.
    let bound = listener.local().map_err(failed)?;
    let udp = match &config.tls {
        Some(_) => None,
        None => Some(network.bind(bound).await.map_err(failed)?),
    };
    let own = network.own_addresses();
    let advertised = match address::advertised(config.advertise, bound, &own, config.allow_public_address) {
        // A node that has nobody to tell its address to needs none.
        Err(ClusterError::NoAddress) if config.peers.is_empty() => SocketAddr::from(([127, 0, 0, 1], bound.port())),
        other => other?,
    };
    Ok((listener, udp, advertised))
}

async fn listen_address(config: &ClusterConfig, network: &dyn Network) -> Result<SocketAddr, ClusterError> {
    let listen = &config.listen;
    if listen.host.is_empty() {
        return Ok(SocketAddr::from(([0, 0, 0, 0], listen.port)));
    }
    if let Some(ip) = listen.ip() {
        return Ok(SocketAddr::new(ip, listen.port));
    }
    let found = timeout(config.peers_resolve_timeout, network.lookup(&listen.host, listen.port)).await;
    let first = found.ok().and_then(Result::ok).and_then(|found| found.into_iter().next());
    first.ok_or_else(|| ClusterError::ListenAddress(listen.host.clone()))
}
