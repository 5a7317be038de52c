//! Streams for talk: one to each member that something has to be said to over TCP, kept while it is used, and those
//! that others have opened.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    exchange,
    greet::{Env, Event, Frames, From, GreetError},
    network::Listener,
    wire::{Hello, Message, Purpose},
};

/// Messages that wait for a stream. A batch of deltas is one message.
const QUEUE_MAX: usize = 64;
/// A stream that nothing is said on is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Streams opened by others.
const INCOMING_MAX: usize = 512;
/// After an error of accept, as when there are no file handles left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens a stream to `to`; it closes itself, and says so.
pub(super) fn open(env: &Arc<Env>, to: SocketAddr) -> mpsc::Sender<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let (env, own_sender) = (Arc::clone(env), sender.clone());
    tokio::spawn(async move {
        let error = match env.call(to, Purpose::Talk).await {
            Ok((frames, hello)) => talk(&env, frames, &hello, receiver, own_sender).await.err(),
            Err(error) => Some(error),
        };
        env.tell(Event::LinkClosed { to, error }).await;
    });
    sender
}

/// Says what comes out of the queue, and hands on what is heard, until one of them ends.
async fn talk(
    env: &Arc<Env>,
    frames: Frames,
    hello: &Hello,
    mut queue: mpsc::Receiver<Bytes>,
    reply: mpsc::Sender<Bytes>,
) -> Result<(), GreetError> {
    let Frames { mut reader, mut writer } = frames.for_talk();
    let from = From { name: Arc::clone(&hello.identity.name), instance: hello.instance };
    let say = async {
        // Queue closed, or idle.
        while let Ok(Some(message)) = timeout(IDLE, queue.recv()).await {
            writer.write_encoded(message.to_vec()).await?;
        }
        // In good order: else the other side would think that this process has died.
        writer.write(&Message::Done).await
    };
    let hear = async {
        loop {
            let message = reader.read().await?;
            env.tell(Event::Message { from: from.clone(), message, reply: reply.clone() }).await;
        }
    };
    tokio::select! { biased; result = say => result, result = hear => result }
}

/// Takes in streams until the task is ended.
pub(super) async fn serve(env: Arc<Env>, mut listener: Box<dyn Listener>) {
    let room = Arc::new(Semaphore::new(INCOMING_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            env.metrics.limit_reached_total.with_label_values(&["streams"]).inc();
            continue;
        };
        let env = Arc::clone(&env);
        tokio::spawn(async move {
            let _permit = permit;
            // Whoever was refused or a stranger has been counted; broken streams are the caller's to report.
            let Ok((frames, hello)) = env.welcome(stream).await else { return };
            match hello.purpose {
                Purpose::Talk => {
                    let (reply, queue) = mpsc::channel(QUEUE_MAX);
                    if let Err(GreetError::Io(_)) = talk_back(&env, frames, &hello, queue, reply).await {
                        let from = From { name: Arc::clone(&hello.identity.name), instance: hello.instance };
                        env.tell(Event::HungUp(from)).await;
                    }
                }
                Purpose::Exchange => exchange::answer(&env, frames, hello).await,
                Purpose::Probe | Purpose::Unknown => {}
            }
        });
    }
}

/// As [`talk`], but it is the caller that closes an idle stream.
async fn talk_back(
    env: &Arc<Env>,
    frames: Frames,
    hello: &Hello,
    mut queue: mpsc::Receiver<Bytes>,
    reply: mpsc::Sender<Bytes>,
) -> Result<(), GreetError> {
    let Frames { mut reader, mut writer } = frames.for_talk();
    let from = From { name: Arc::clone(&hello.identity.name), instance: hello.instance };
    let say = async {
        while let Some(message) = queue.recv().await {
            writer.write_encoded(message.to_vec()).await?;
        }
        Ok(())
    };
    let hear = async {
        // Longer than the caller's patience, in case it went without a word.
        while let Ok(message) = timeout(2 * IDLE, reader.read()).await {
            let message = message?;
            if matches!(message, Message::Done) {
                return Ok(());
            }
            env.tell(Event::Message { from: from.clone(), message, reply: reply.clone() }).await;
        }
        Err(GreetError::Timeout)
    };
    tokio::select! { biased; result = say => result, result = hear => result }
}
