//! Nodes of neighbouring releases in one cluster: a rolling upgrade. The other release is one of ours behind a network
//! that makes of each message what that release would: fields and kinds more, or fewer.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, split},
    time::sleep,
};

use super::{
    super::{
        Kind, Network, Urgency,
        network::{Datagrams, Listener, Stream},
    },
    lab::{KIND, Lab, TestNode, all_see, config, ip, until, with_seeds},
};

const SECOND: Duration = Duration::from_secs(1);
/// Records that only the newer release knows.
const LATER_KIND: Kind = 9;
const PREFACE_BYTES: usize = 29;
/// Before the message in a packet.
const PACKET_BYTES: usize = 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// Speaks this version and the next: more fields, more kinds of messages.
    Newer,
    /// Knows nothing of settling, of knocking and of beats.
    Older,
}

impl Release {
    /// What it sends in place of a message of ours.
    fn says(self, message: &[u8]) -> Vec<Vec<u8>> {
        let kind = message.first().copied().unwrap_or(0);
        match (self, kind) {
            // foca's, which cannot change, and the end of a list.
            (_, 1 | 2) => vec![message.to_vec()],
            (Release::Newer, _) => vec![b"\xC8something else".to_vec(), [message, b"more fields"].concat()],
            (Release::Older, 15..=17) => Vec::new(),
            // Phase and features, a byte each.
            (Release::Older, 11) => vec![message[..message.len() - 2].to_vec()],
            (Release::Older, 8 | 9) => vec![message[..message.len() - 1].to_vec()],
            (Release::Older, _) => vec![message.to_vec()],
        }
    }

    fn understands(self, message: &[u8]) -> bool {
        self == Release::Newer || !matches!(message.first(), Some(15..=17))
    }

    fn version_max(self) -> u8 {
        if self == Release::Newer { 2 } else { 1 }
    }
}

/// The network of a node of that release.
struct Foreign {
    net: Arc<dyn Network>,
    release: Release,
}

impl Network for Foreign {
    fn bind(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = self.net.bind(at).await?;
            Ok(Box::new(ForeignUdp { socket, release: self.release }) as Box<dyn Datagrams>)
        })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.net.listen(at).await?;
            Ok(Box::new(ForeignListener { listener, release: self.release }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move { Ok(translated(self.net.connect(to).await?, self.release)) })
    }

    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.net.lookup(host, port)
    }

    fn own_addresses(&self) -> Vec<IpAddr> {
        self.net.own_addresses()
    }
}

struct ForeignUdp {
    socket: Box<dyn Datagrams>,
    release: Release,
}

impl Datagrams for ForeignUdp {
    fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let (head, message) = bytes.split_at(PACKET_BYTES);
        self.release.says(message).into_iter().try_for_each(|message| self.socket.send(to, &[head, &message].concat()))
    }

    fn receive<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            loop {
                let (length, from) = self.socket.receive(buffer).await?;
                if self.release.understands(&buffer[PACKET_BYTES..length]) {
                    return Ok((length, from));
                }
            }
        })
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local()
    }
}

struct ForeignListener {
    listener: Box<dyn Listener>,
    release: Release,
}

impl Listener for ForeignListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((translated(stream, self.release), from))
        })
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.listener.local()
    }
}

/// The end of a stream that the node holds, which speaks its release's words at the other.
fn translated(stream: Box<dyn Stream>, release: Release) -> Box<dyn Stream> {
    let (near, far) = duplex(64 << 10);
    let ((mut said, mut hears), (mut heard, mut says)) = (split(far), split(stream));
    let outwards = async move {
        let mut preface = [0; PREFACE_BYTES];
        said.read_exact(&mut preface).await?;
        preface[3] = release.version_max();
        says.write_all(&preface).await?;
        loop {
            for message in release.says(&frame(&mut said).await?) {
                write_frame(&mut says, &message).await?;
            }
        }
    };
    let inwards = async move {
        let mut preface = [0; PREFACE_BYTES];
        heard.read_exact(&mut preface).await?;
        hears.write_all(&preface).await?;
        loop {
            let message = frame(&mut heard).await?;
            if release.understands(&message) {
                write_frame(&mut hears, &message).await?;
            }
        }
    };
    tokio::spawn(async move {
        let _: io::Result<()> = tokio::select! { biased; ended = outwards => ended, ended = inwards => ended };
    });
    Box::new(near)
}

async fn frame(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32_le().await?;
    let mut message = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_frame(to: &mut (impl AsyncWriteExt + Unpin), message: &[u8]) -> io::Result<()> {
    to.write_all(&u32::try_from(message.len()).unwrap().to_le_bytes()).await?;
    to.write_all(message).await?;
    to.flush().await
}

/// Three nodes, of which the last ones are of another release.
async fn cluster(lab: &mut Lab, release: Release, ours: u8) -> Vec<TestNode> {
    let peers = ["10.0.0.1:9094", "10.0.0.2:9094", "10.0.0.3:9094"];
    let mut nodes = Vec::new();
    for (host, name) in [(1, "a"), (2, "b"), (3, "c")] {
        let is_ours = host <= ours;
        lab.kinds = if is_ours || release == Release::Older { vec![KIND] } else { vec![KIND, LATER_KIND] };
        let net = lab.net.host(ip(host));
        let net = if is_ours { net } else { Arc::new(Foreign { net, release }) };
        nodes.push(lab.try_start(config(name, ip(host), &peers), TimeDelta::zero(), Some(net)).await.unwrap());
    }
    until("all see all", 5 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
    until("all are settled", 10 * SECOND, || nodes.iter().all(|node| node.cluster.is_settled())).await;
    sleep(2 * SECOND).await;
    nodes
}

/// Records, small, large and many, travel from each to each, and nobody takes offence.
async fn works_as_one(lab: &Lab, nodes: &[TestNode], ours: u8) {
    for node in nodes {
        node.put(&format!("small of {}", node.name), 1, 300);
        node.put(&format!("large of {}", node.name), 1, 50_000);
        node.put_with(&format!("urgent of {}", node.name), 1, 300, Urgency::AtOnce);
        for i in 0..100 {
            node.put(&format!("{i} of {}", node.name), 1, 100);
        }
    }
    let holds = |node: &TestNode| nodes.iter().all(|of| node.state.version(&format!("99 of {}", of.name)).is_some());
    let is_whole = |node: &TestNode| holds(node) && node.state.len() >= 309;
    until("all hold all", 2 * SECOND, || nodes.iter().all(is_whole)).await;
    // A comparison with each, and probes of each by each.
    sleep(30 * SECOND).await;
    assert!(all_see(&nodes.iter().collect::<Vec<_>>()), "seed {}", lab.seed);
    for node in nodes {
        assert!(node.downs.lock().unwrap().is_empty(), "{} saw {:?}", node.name, node.downs);
        assert!(node.cluster.members().iter().all(|member| member.lag == 0 && member.settled));
        if node.ip <= ip(ours) {
            assert_eq!(
                (
                    node.metrics.malformed_total.get(),
                    node.metrics.strangers_total.with_label_values(&["version"]).get()
                ),
                (0, 0)
            );
        }
    }
    let asked = nodes[0].cluster.call(["b".to_owned(), "c".to_owned()], "?".into(), SECOND);
    let mut answers = asked;
    let mut count = 0;
    while answers.next().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 2);
}

/// Each is stopped and started anew by the other release's side, killed, and missed.
async fn comes_and_goes(nodes: &[TestNode]) {
    let leaving = nodes[2].cluster.clone();
    tokio::spawn(async move { leaving.leave().await });
    until("c has left", SECOND, || nodes[0].member("c").is_none() && nodes[1].member("c").is_none()).await;
}

#[test]
fn a_newer_node_among_ours_is_a_member_like_any_other() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = cluster(&mut lab, Release::Newer, 2).await;
        nodes[2].put_of(LATER_KIND, "later");
        works_as_one(&lab, &nodes, 2).await;
        assert!(nodes[..2].iter().all(|node| node.state.version_of(LATER_KIND, "later").is_none()));
        comes_and_goes(&nodes).await;
    });
}

#[test]
fn one_of_ours_carries_what_it_does_not_know_between_newer_ones() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = cluster(&mut lab, Release::Newer, 1).await;
        works_as_one(&lab, &nodes, 1).await;
        lab.net.cut(ip(2), ip(3));
        nodes[1].put_of(LATER_KIND, "later");
        until("it is carried", SECOND, || nodes[2].state.version_of(LATER_KIND, "later").is_some()).await;
        lab.net.heal();
        // Among themselves they exchange it as well.
        nodes[2].state.put_of(LATER_KIND, "unsaid", 1, &[1; 10]);
        until("it is exchanged", 60 * SECOND, || nodes[1].state.version_of(LATER_KIND, "unsaid").is_some()).await;
        assert_eq!(nodes[0].metrics.malformed_total.get(), 0);
    });
}

#[test]
fn older_nodes_and_ours_are_one_cluster() {
    with_seeds(0..5, |mut lab| async move {
        for ours in [2, 1] {
            let nodes = cluster(&mut lab, Release::Older, ours).await;
            works_as_one(&lab, &nodes, ours).await;
            comes_and_goes(&nodes).await;
        }
    });
}

#[test]
fn a_split_from_an_older_node_heals() {
    with_seeds(0..5, |mut lab| async move {
        let nodes = cluster(&mut lab, Release::Older, 2).await;
        lab.net.partition(&[&[ip(1), ip(2)], &[ip(3)]]);
        sleep(20 * SECOND).await;
        assert!(all_see(&[&nodes[0], &nodes[1]]));
        lab.net.heal();
        until("all see all again", 15 * SECOND, || all_see(&nodes.iter().collect::<Vec<_>>())).await;
    });
}
