//! One exchange of state on a stream of its own: both say what they hold (digests), and each sends what the other
//! lacks.
//!
//! ```text
//! caller  Digests                     Records* Done
//! called          Digests Records* Done            Done
//! ```

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{task::AbortHandle, time::timeout};

use super::{
    Kind, Merge,
    codec::Blob,
    digest::Digest,
    greet::{Env, Event, Frames, GreetError},
    metrics::FULL_STATE,
    wire::{Digests, Hello, Message, Purpose, Records},
};

/// Of the records in one frame.
const FRAME_BYTES: usize = 256 << 10;
/// The whole exchange; one that takes longer has stalled.
const PATIENCE: Duration = Duration::from_secs(120);
/// Records merged before others have their turn.
const MERGE_STEP: usize = 64;

/// Calls `to` and exchanges; the one task hears how it went, unless it ends the attempt itself.
pub(super) fn start(env: &Arc<Env>, to: SocketAddr) -> AbortHandle {
    let env = Arc::clone(env);
    let task = tokio::spawn(async move {
        let started = env.clock.monotonic();
        match timeout(PATIENCE, call(&env, to)).await.unwrap_or(Err(GreetError::Timeout)) {
            Ok((peer, newest, changed)) => {
                env.metrics.exchanges_total.inc();
                let took = env.clock.monotonic().saturating_duration_since(started);
                env.metrics.exchange_seconds.observe(took.as_secs_f64());
                let peer = Box::new(peer);
                env.tell(Event::Exchanged { to: Some(to), peer, newest, changed, started }).await;
            }
            Err(error) => env.tell(Event::ExchangeFailed { to, error }).await,
        }
    });
    task.abort_handle()
}

async fn call(env: &Arc<Env>, to: SocketAddr) -> Result<(Hello, u64, usize), GreetError> {
    let (mut frames, peer) = env.call(to, Purpose::Exchange).await?;
    // Taken before the digests: what is newer than this may be missing in them.
    let newest = env.shared().newest;
    let digests = own_digests(env, &peer.kinds);
    frames.writer.write(&Message::Digests(Digests { digests })).await?;
    let theirs = read_digests(&mut frames).await?;
    let changed = receive(env, &mut frames, &peer).await?;
    send(env, &mut frames, &theirs).await?;
    match frames.reader.read().await? {
        Message::Done => Ok((peer, newest, changed)),
        _ => Err(GreetError::Malformed),
    }
}

/// The other side.
pub(super) async fn answer(env: &Arc<Env>, mut frames: Frames, peer: Hello) {
    let started = env.clock.monotonic();
    let exchange = async {
        let newest = env.shared().newest;
        let theirs = read_digests(&mut frames).await?;
        let digests = own_digests(env, &peer.kinds);
        frames.writer.write(&Message::Digests(Digests { digests })).await?;
        send(env, &mut frames, &theirs).await?;
        let changed = receive(env, &mut frames, &peer).await?;
        frames.writer.write(&Message::Done).await?;
        Ok::<_, GreetError>((newest, changed))
    };
    // One that broke off is the caller's to repeat.
    if let Ok(Ok((newest, changed))) = timeout(PATIENCE, exchange).await {
        env.tell(Event::Exchanged { to: None, peer: Box::new(peer), newest, changed, started }).await;
    }
}

fn own_digests(env: &Env, theirs: &[Kind]) -> Vec<(Kind, Digest)> {
    let common = env.state.kinds().into_iter().filter(|kind| theirs.contains(kind));
    common.map(|kind| (kind, env.state.digest(kind))).collect()
}

async fn read_digests(frames: &mut Frames) -> Result<Vec<(Kind, Digest)>, GreetError> {
    match frames.reader.read().await? {
        Message::Digests(digests) if digests.digests.iter().all(|(_, digest)| digest.is_sound()) => Ok(digests.digests),
        _ => Err(GreetError::Malformed),
    }
}

/// Everything that the holder of `theirs` lacks, then Done.
async fn send(env: &Env, frames: &mut Frames, theirs: &[(Kind, Digest)]) -> Result<(), GreetError> {
    let kinds = env.state.kinds();
    for (kind, digest) in theirs.iter().filter(|(kind, _)| kinds.contains(kind)) {
        let mut records = Vec::new();
        let mut bytes = 0;
        for record in env.state.missing(*kind, digest) {
            bytes += record.len();
            records.push(Blob(record));
            if bytes >= FRAME_BYTES {
                send_records(env, frames, *kind, std::mem::take(&mut records), bytes).await?;
                bytes = 0;
            }
        }
        if !records.is_empty() {
            send_records(env, frames, *kind, records, bytes).await?;
        }
    }
    frames.writer.write(&Message::Done).await
}

async fn send_records(
    env: &Env,
    frames: &mut Frames,
    kind: Kind,
    records: Vec<Blob>,
    bytes: usize,
) -> Result<(), GreetError> {
    env.metrics.messages_sent_total.with_label_values(&[FULL_STATE]).inc();
    env.metrics.messages_sent_size_total.with_label_values(&[FULL_STATE]).inc_by(bytes as u64);
    frames.writer.write(&Message::Records(Records { kind, records })).await
}

/// Merges until Done; how many records were news.
async fn receive(env: &Env, frames: &mut Frames, peer: &Hello) -> Result<usize, GreetError> {
    let mut changed = 0;
    loop {
        let records = match frames.reader.read().await? {
            Message::Records(records) => records,
            Message::Done => return Ok(changed),
            _ => return Err(GreetError::Malformed),
        };
        env.metrics.messages_received_total.with_label_values(&[FULL_STATE]).inc();
        for (count, Blob(record)) in records.records.iter().enumerate() {
            changed += usize::from(merge(env, records.kind, record, &peer.identity.name));
            if count % MERGE_STEP == MERGE_STEP - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

fn merge(env: &Env, kind: Kind, record: &Bytes, from: &str) -> bool {
    env.metrics.messages_received_size_total.with_label_values(&[FULL_STATE]).inc_by(record.len() as u64);
    match env.state.merge(kind, record, from) {
        Merge::News => {
            env.metrics.exchanged_records_total.inc();
            true
        }
        Merge::Known => false,
        Merge::Unreadable => {
            env.metrics.malformed_total.inc();
            false
        }
    }
}
