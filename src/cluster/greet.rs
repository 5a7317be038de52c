//! Streams: the preface, sealed frames, and the greeting with which each stream starts.
//!
//! Who is not of this cluster gets no further than the preface, who has no key no further than the first frame, and
//! a node with the name of another live one no further than the greeting.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    Handler, State,
    codec::MESSAGE_BYTES_MAX,
    core::Verdict,
    identity::Identity,
    metrics::ClusterMetrics,
    network::{Network, Stream},
    seal::Seal,
    tls::ClusterTls,
    wire::{
        ClusterId, FEATURE_BEATS, FLAG_SEALED, Hello, MAGIC, Message, Phase, Purpose, Refused, VERSION_MAX,
        VERSION_MIN, Wall, WireMember,
    },
};
use crate::{clock::Clock, random::Random};

const PREFACE_BYTES: usize = 29;
/// Who connects has so long for preface and greeting.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that is not there by then is tried anew: whatever the kernel's patience with lost packets, the next
/// first packet must not wait for it.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1500);
/// How long the present owner of a name is asked whether it is alive.
const NAME_PATIENCE: Duration = Duration::from_secs(1);
const READ_STEP_BYTES: usize = 64 << 10;

/// What all tasks of a node share.
pub(super) struct Env {
    pub network: Arc<dyn Network>,
    pub tls: Option<ClusterTls>,
    pub seal: Seal,
    pub cluster: ClusterId,
    pub clock: Clock,
    pub random: Random,
    pub metrics: ClusterMetrics,
    pub state: Arc<dyn State>,
    pub handler: Arc<dyn Handler>,
    pub events: mpsc::Sender<Event>,
    pub instance: u64,
    pub version: String,
    pub started: Instant,
    pub tcp_timeout: Duration,
    pub shared: Mutex<Shared>,
}

/// What the one task tells the others.
pub(super) struct Shared {
    pub identity: Identity,
    pub members: Vec<WireMember>,
    /// Number of the newest own delta.
    pub newest: u64,
    pub phase: Phase,
    /// Live members by name: where, and which process, if known.
    pub names: BTreeMap<Arc<str>, (SocketAddr, Option<u64>)>,
    /// Neither refused nor leaving.
    pub open: bool,
}

/// What the tasks tell the one.
#[derive(Debug)]
pub(super) enum Event {
    /// A greeting has succeeded.
    Greeted(Box<Greeting>),
    /// State was exchanged with this process; it holds our deltas up to `newest`, we hold its.
    Exchanged {
        to: Option<SocketAddr>,
        peer: Box<Hello>,
        newest: u64,
        changed: usize,
        started: Instant,
    },
    ExchangeFailed {
        to: SocketAddr,
        error: GreetError,
    },
    Message {
        from: From,
        message: Message,
        reply: mpsc::Sender<Bytes>,
    },
    LinkClosed {
        to: SocketAddr,
        error: Option<GreetError>,
    },
    /// A stream that it had opened broke.
    HungUp(From),
    /// It was called: since it is suspected, or since a stream broke.
    Tried {
        identity: Identity,
        verdict: Verdict,
        is_suspect: bool,
    },
    Found {
        index: usize,
        result: io::Result<Vec<SocketAddr>>,
    },
    /// An answer of the handler.
    Handled {
        from: String,
        nonce: u64,
        answer: Option<Bytes>,
        route: Route,
    },
}

/// Which process a message of a stream is from.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub name: Arc<str>,
    pub instance: u64,
}

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(super) enum Route {
    Udp(SocketAddr),
    Stream(mpsc::Sender<Bytes>),
}

#[derive(Debug)]
pub(super) struct Greeting {
    pub hello: Hello,
    /// The address that was called; `None`: it called us.
    pub called: Option<SocketAddr>,
    /// Round trip, and the peer's clock minus ours in nanoseconds.
    pub measured: Option<(Duration, i64)>,
}

/// Why there is no stream to talk on.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("it is not a node of this cluster ({0})")]
    Stranger(&'static str),
    #[error("its messages cannot be read")]
    Malformed,
    #[error("it refuses this node")]
    Refused(Refused),
}

impl GreetError {
    pub fn is_refused_connection(&self) -> bool {
        matches!(self, GreetError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// Both directions of a stream whose prefaces have matched.
pub(super) struct Frames {
    pub reader: FrameReader,
    pub writer: FrameWriter,
}

pub(super) struct FrameReader {
    io: ReadHalf<Box<dyn Stream>>,
    bind: Binding,
    env: Arc<Env>,
    is_talk: bool,
}

pub(super) struct FrameWriter {
    io: WriteHalf<Box<dyn Stream>>,
    bind: Binding,
    env: Arc<Env>,
    is_talk: bool,
}

impl Frames {
    /// From now on this is a stream for talk: its messages are what packets are elsewhere.
    pub fn for_talk(mut self) -> Self {
        (self.reader.is_talk, self.writer.is_talk) = (true, true);
        self
    }
}

/// Both prefaces, direction, place: what a sealed frame is bound to.
struct Binding {
    bytes: [u8; 2 * PREFACE_BYTES + 9],
    count: u64,
}

impl Binding {
    fn new(client: &[u8; PREFACE_BYTES], server: &[u8; PREFACE_BYTES], from_client: bool) -> Self {
        let mut bytes = [0; 2 * PREFACE_BYTES + 9];
        bytes[..PREFACE_BYTES].copy_from_slice(client);
        bytes[PREFACE_BYTES..2 * PREFACE_BYTES].copy_from_slice(server);
        bytes[2 * PREFACE_BYTES] = u8::from(from_client);
        Binding { bytes, count: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.bytes[2 * PREFACE_BYTES + 1..].copy_from_slice(&self.count.to_le_bytes());
        self.count += 1;
        &self.bytes
    }
}

impl FrameReader {
    /// The next message of a kind that is known; waits for ever for its first byte, and no longer than the limit for
    /// the rest.
    pub async fn read(&mut self) -> Result<Message, GreetError> {
        let mut read = self.read_message().await;
        while matches!(read, Ok(Message::Unknown(_))) {
            read = self.read_message().await;
        }
        let is_end =
            |error: &GreetError| matches!(error, GreetError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof);
        if read.as_ref().is_err_and(|error| !is_end(error)) {
            self.env.metrics.tls.read_errors_total.inc();
        }
        read
    }

    async fn read_message(&mut self) -> Result<Message, GreetError> {
        let mut length = [0u8; 4];
        self.io.read_exact(&mut length).await?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(GreetError::Malformed);
        }
        let body = timeout(self.env.tcp_timeout.max(GREETING_PATIENCE), self.read_body(length));
        let body = body.await.map_err(|_| GreetError::Timeout)??;
        self.env.metrics.stream_received_bytes_total.inc_by(length as u64 + 4);
        if self.is_talk {
            self.env.metrics.tls.packet_bytes_received_total.inc_by(length as u64);
        }
        let body = if self.env.seal.is_on() {
            match self.env.seal.open(self.bind.next(), &body) {
                Some(body) => body,
                None => return Err(self.env.stranger("seal")),
            }
        } else {
            body
        };
        let message = Message::decode(&Bytes::from(body));
        message.map_err(|_| {
            self.env.metrics.malformed_total.inc();
            GreetError::Malformed
        })
    }

    /// Takes memory only for what has come.
    async fn read_body(&mut self, length: usize) -> Result<Vec<u8>, GreetError> {
        let mut body = Vec::new();
        while body.len() < length {
            let start = body.len();
            body.resize((start + READ_STEP_BYTES).min(length), 0);
            self.io.read_exact(body.get_mut(start..).unwrap_or_default()).await?;
        }
        Ok(body)
    }
}

impl FrameWriter {
    pub async fn write(&mut self, message: &Message) -> Result<(), GreetError> {
        self.write_encoded(message.encode()).await
    }

    pub async fn write_encoded(&mut self, body: Vec<u8>) -> Result<(), GreetError> {
        let body = if self.env.seal.is_on() { self.env.seal.seal(self.bind.next(), body) } else { body };
        let length = u32::try_from(body.len()).map_err(|_| GreetError::Malformed)?;
        let mut frame = Vec::with_capacity(body.len() + 4);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&body);
        self.env.metrics.stream_sent_bytes_total.inc_by(frame.len() as u64);
        if self.is_talk {
            self.env.metrics.tls.packet_bytes_sent_total.inc_by(body.len() as u64);
        }
        let written = timeout(self.env.tcp_timeout, async {
            self.io.write_all(&frame).await?;
            self.io.flush().await
        });
        let written = written.await.map_err(|_| GreetError::Timeout).and_then(|written| Ok(written?));
        if written.is_err() {
            let connection = if self.is_talk { "packet" } else { "stream" };
            self.env.metrics.tls.write_errors_total.with_label_values(&[connection]).inc();
        }
        written
    }
}

impl Env {
    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wall(&self) -> Wall {
        self.clock.now().timestamp_nanos_opt().unwrap_or(0)
    }

    /// Counts one.
    pub fn stranger(&self, reason: &'static str) -> GreetError {
        self.metrics.strangers_total.with_label_values(&[reason]).inc();
        GreetError::Stranger(reason)
    }

    /// Tells the one task; a node that ends has none, and needs none.
    pub async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    fn hello(&self, purpose: Purpose) -> Hello {
        let age = self.clock.monotonic().saturating_duration_since(self.started);
        let shared = self.shared();
        Hello {
            purpose,
            identity: shared.identity.clone(),
            instance: self.instance,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            wall: self.wall(),
            version: self.version.clone(),
            kinds: self.state.kinds(),
            newest: shared.newest,
            members: shared.members.clone(),
            phase: shared.phase,
            features: FEATURE_BEATS,
        }
    }

    fn preface(&self) -> [u8; PREFACE_BYTES] {
        let mut preface = [0; PREFACE_BYTES];
        preface[..2].copy_from_slice(&MAGIC);
        preface[2] = VERSION_MIN;
        preface[3] = VERSION_MAX;
        preface[4] = if self.seal.is_on() { FLAG_SEALED } else { 0 };
        preface[5..13].copy_from_slice(&self.cluster);
        preface[13..21].copy_from_slice(&self.random.next_u64().to_le_bytes());
        preface[21..].copy_from_slice(&self.random.next_u64().to_le_bytes());
        preface
    }

    fn check_preface(&self, theirs: &[u8; PREFACE_BYTES]) -> Result<(), GreetError> {
        let own = self.preface();
        if theirs[..2] != MAGIC {
            return Err(self.stranger("foreign"));
        }
        if theirs[2] > VERSION_MAX || theirs[3] < VERSION_MIN {
            return Err(self.stranger("version"));
        }
        if theirs[4] != own[4] {
            return Err(self.stranger("seal"));
        }
        if theirs[5..13] != self.cluster { Err(self.stranger("label")) } else { Ok(()) }
    }

    async fn frames(self: &Arc<Self>, mut stream: Box<dyn Stream>, is_client: bool) -> Result<Frames, GreetError> {
        let own = self.preface();
        let mut theirs = [0; PREFACE_BYTES];
        // Each side says who it is before it hears: two old friends lose no time, and a stranger learns a hash.
        stream.write_all(&own).await?;
        stream.flush().await?;
        stream.read_exact(&mut theirs).await?;
        self.check_preface(&theirs)?;
        let (client, server) = if is_client { (&own, &theirs) } else { (&theirs, &own) };
        let (read, write) = split(stream);
        Ok(Frames {
            reader: FrameReader {
                io: read,
                bind: Binding::new(client, server, !is_client),
                env: Arc::clone(self),
                is_talk: false,
            },
            writer: FrameWriter {
                io: write,
                bind: Binding::new(client, server, is_client),
                env: Arc::clone(self),
                is_talk: false,
            },
        })
    }

    /// Calls a node. Does not look at its name.
    async fn greet(
        self: &Arc<Self>,
        to: SocketAddr,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<(Frames, Greeting), GreetError> {
        let greeting = async {
            let connected = timeout(CONNECT_PATIENCE, self.network.connect(to)).await;
            let stream = connected.map_err(|_| GreetError::Timeout)??;
            let stream = match &self.tls {
                Some(tls) => {
                    self.metrics.tls.stream_connections_sent_total.inc();
                    tls.connect(stream, to).await?
                }
                None => stream,
            };
            let mut frames = self.frames(stream, true).await?;
            let (asked, wall) = (self.clock.monotonic(), self.wall());
            frames.writer.write(&Message::Hello(Box::new(self.hello(purpose)))).await?;
            match frames.reader.read().await? {
                Message::Hello(hello) => {
                    let took = self.clock.monotonic().saturating_duration_since(asked);
                    let half = i64::try_from(took.as_nanos() / 2).unwrap_or(0);
                    let offset = hello.wall.saturating_sub(wall).saturating_sub(half);
                    Ok((frames, Greeting { hello: *hello, called: Some(to), measured: Some((took, offset)) }))
                }
                Message::Refused(refused) => Err(GreetError::Refused(refused)),
                _ => Err(GreetError::Malformed),
            }
        };
        timeout(patience, greeting).await.map_err(|_| GreetError::Timeout)?
    }

    /// Calls a node and, unless only a sign of life is wanted, takes it for a member.
    pub async fn call(self: &Arc<Self>, to: SocketAddr, purpose: Purpose) -> Result<(Frames, Hello), GreetError> {
        let (frames, greeting) = self.greet(to, purpose, self.tcp_timeout.min(GREETING_PATIENCE)).await?;
        self.check_name(&greeting.hello).await.map_err(GreetError::Refused)?;
        let hello = greeting.hello.clone();
        self.tell(Event::Greeted(Box::new(greeting))).await;
        Ok((frames, hello))
    }

    /// Whether a suspected member is alive after all.
    pub async fn probe(self: &Arc<Self>, identity: &Identity, patience: Duration) -> Verdict {
        match self.greet(identity.address, Purpose::Probe, patience).await {
            Ok((_, greeting)) if greeting.hello.identity.name == identity.name => {
                self.tell(Event::Greeted(Box::new(greeting))).await;
                Verdict::Alive
            }
            Err(GreetError::Refused(Refused::NotAMember)) => Verdict::Gone,
            Err(error) if error.is_refused_connection() => Verdict::Gone,
            Ok(_) | Err(_) => Verdict::Unknown,
        }
    }

    /// Greets who has connected.
    pub async fn welcome(self: &Arc<Self>, stream: Box<dyn Stream>) -> Result<(Frames, Hello), GreetError> {
        let greeting = async {
            let stream = match &self.tls {
                Some(tls) => {
                    self.metrics.tls.stream_connections_received_total.inc();
                    tls.accept(stream).await?
                }
                None => stream,
            };
            let mut frames = self.frames(stream, false).await?;
            let Message::Hello(hello) = frames.reader.read().await? else { return Err(GreetError::Malformed) };
            let refused = match self.check_name(&hello).await {
                Err(refused) => Some(refused),
                Ok(()) if !self.shared().open => Some(Refused::NotAMember),
                Ok(()) => None,
            };
            if let Some(refused) = refused {
                frames.writer.write(&Message::Refused(refused.clone())).await?;
                return Err(GreetError::Refused(refused));
            }
            // Taken for a member before it is told what is known of it: a call for refutation must find it.
            let greeting = Greeting { hello: (*hello).clone(), called: None, measured: None };
            frames.writer.write(&Message::Hello(Box::new(self.hello(hello.purpose)))).await?;
            self.tell(Event::Greeted(Box::new(greeting))).await;
            Ok((frames, *hello))
        };
        timeout(GREETING_PATIENCE, greeting).await.map_err(|_| GreetError::Timeout)?
    }

    /// Two live nodes of one name would fight for ever: who came later is told so.
    async fn check_name(self: &Arc<Self>, hello: &Hello) -> Result<(), Refused> {
        let identity = &hello.identity;
        let (own, known) = {
            let shared = self.shared();
            (shared.identity.clone(), shared.names.get(&identity.name).copied())
        };
        if hello.instance == self.instance {
            return Err(Refused::Yourself);
        }
        if identity.name == own.name {
            let age = self.clock.monotonic().saturating_duration_since(self.started).as_millis();
            let older = (age, self.instance) > (u128::from(hello.age_ms), hello.instance);
            // If this node is the younger one, the other will tell it so when called.
            return Err(if older { Refused::NameTaken { address: own.address } } else { Refused::NotAMember });
        }
        let Some((address, instance)) = known else { return Ok(()) };
        // The same process, or the next one at the same place.
        if instance == Some(hello.instance) || address == identity.address {
            return Ok(());
        }
        match self.greet(address, Purpose::Probe, NAME_PATIENCE).await {
            Ok((_, found)) if found.hello.identity.name == identity.name && found.hello.instance != hello.instance => {
                self.metrics.peer_name_conflicts_total.inc();
                Err(Refused::NameTaken { address })
            }
            _ => Ok(()),
        }
    }
}
