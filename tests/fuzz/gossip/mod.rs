//! What comes in at the port of the cluster: datagrams and streams, made by the grammar, overheard and spoiled, repeated,
//! and plain noise; of a cluster with a secret and of one without. Nobody may panic, nothing may grow without bound; and
//! where there is a secret a stranger changes nothing, and is counted.

mod lab;
mod wire;

use std::{net::SocketAddr, time::Duration};

use carillon::cluster::network::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::{
    lab::{Lab, PORT, ip},
    wire::{KINDS, Writer},
};
use crate::{
    harness::{Case, Target, panics_here},
    rng::Rng,
};

const MAGIC: [u8; 2] = [0xCA, 0x52];
const PREFACE_BYTES: usize = 29;
/// After so many inputs the nodes of a cluster with a secret have to show that they still work.
const ROUND: u64 = 500;
/// Those without a secret believe a lot: after so many inputs they have to show that they can be stopped, and are made
/// anew.
const LIFE: u64 = 2_000;
/// Streams that are held open.
const OPEN_MAX: usize = 40;

/// Datagrams.
pub struct Packets<const SEALED: bool>(Attack);

/// Streams.
pub struct Streams<const SEALED: bool> {
    attack: Attack,
    open: Vec<Box<dyn Stream>>,
}

struct Attack {
    lab: Lab,
    inputs: u64,
    is_sealed: bool,
}

fn case(rng: &mut Rng) -> Case {
    let kind = ["made", "made", "made", "overheard and spoiled", "repeated", "noise"][rng.below(6)];
    Case { kind, bytes: rng.next().to_le_bytes().to_vec() }
}

/// The numbers that the input is made of.
fn numbers(case: &Case) -> Rng {
    let seed = case.bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Rng::of_case(seed, 0)
}

fn spoil(rng: &mut Rng, bytes: &mut Vec<u8>, from: usize) {
    for _ in 0..rng.between(1, 4) {
        let length = bytes.len();
        if length <= from {
            return;
        }
        let at = rng.between(from, length - 1);
        match rng.below(5) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
}

impl Attack {
    fn new(is_sealed: bool) -> Self {
        Attack { lab: Lab::new(is_sealed), inputs: 0, is_sealed }
    }

    /// The id of the cluster, as its packets show it to anybody.
    fn cluster_id(&self) -> &[u8] {
        &self.lab.heard.packets[0].1[4..12]
    }

    fn message(&self, rng: &mut Rng) -> Vec<u8> {
        let kind = KINDS[rng.below(KINDS.len())];
        let mut writer = Writer { rng, instances: &self.lab.instances, out: Vec::new() };
        writer.message(kind);
        writer.out
    }

    /// A datagram, and to whom.
    fn packet(&self, case: &Case) -> (SocketAddr, Vec<u8>) {
        let mut rng = numbers(case);
        let overheard = rng.below(self.lab.heard.packets.len());
        let (to, packet) = &self.lab.heard.packets[overheard];
        match case.kind {
            "made" => {
                let to = SocketAddr::new(ip(1 + rng.below(3) as u8), PORT);
                (to, self.made_packet(&mut rng))
            }
            "repeated" => (*to, packet.clone()),
            "noise" => (*to, (0..rng.below(1600)).map(|_| rng.next() as u8).collect()),
            _ => {
                let mut packet = packet.clone();
                let from = if rng.one_in(6) { 0 } else { 12 };
                spoil(&mut rng, &mut packet, from);
                (*to, packet)
            }
        }
    }

    fn made_packet(&self, rng: &mut Rng) -> Vec<u8> {
        let mut packet = MAGIC.to_vec();
        packet.push(if rng.one_in(30) { rng.next() as u8 } else { 1 });
        packet.push(if rng.one_in(30) { rng.next() as u8 } else { u8::from(self.is_sealed) });
        packet.extend_from_slice(self.cluster_id());
        packet.extend_from_slice(&rng.next().to_le_bytes());
        packet.extend_from_slice(&rng.next().to_le_bytes());
        packet.extend(self.message(rng));
        packet
    }

    /// The bytes of a stream.
    fn stream(&self, case: &Case) -> Vec<u8> {
        let mut rng = numbers(case);
        let overheard = &self.lab.heard.streams[rng.below(self.lab.heard.streams.len())];
        match case.kind {
            "made" => self.made_stream(&mut rng),
            "repeated" => overheard.clone(),
            "noise" => (0..rng.below(600)).map(|_| rng.next() as u8).collect(),
            _ => {
                let mut bytes = overheard.clone();
                let from = if rng.one_in(6) { 0 } else { PREFACE_BYTES };
                spoil(&mut rng, &mut bytes, from);
                bytes
            }
        }
    }

    fn made_stream(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let highest = rng.between(1, 3) as u8;
        bytes.extend_from_slice(&[1, highest, u8::from(self.is_sealed)]);
        bytes.extend_from_slice(self.cluster_id());
        bytes.extend_from_slice(&[7; 16]);
        // A greeting first, as a rule, for what the stream shall be.
        if !rng.one_in(5) {
            let purpose = rng.below(4) as u64;
            let mut writer = Writer { rng, instances: &self.lab.instances, out: vec![11] };
            writer.hello(purpose);
            let hello = writer.out;
            frame(rng, &mut bytes, &hello);
        }
        for _ in 0..rng.below(6) {
            let message = self.message(rng);
            frame(rng, &mut bytes, &message);
        }
        bytes
    }

    /// After each input: what has to hold now, and from time to time what takes time to see.
    fn check(&mut self, panics: u64) {
        assert_eq!(panics_here(), panics, "a task of a node has panicked, see above");
        self.inputs += 1;
        self.lab.check();
        if self.is_sealed && self.inputs.is_multiple_of(ROUND) {
            self.lab.check_work(self.inputs);
        }
        if !self.is_sealed && self.inputs.is_multiple_of(LIFE) {
            self.lab.check_leave();
            *self = Attack::new(false);
        }
    }
}

/// With its length, or another one.
fn frame(rng: &mut Rng, bytes: &mut Vec<u8>, message: &[u8]) {
    let length = if rng.one_in(25) { rng.number() as u32 } else { message.len() as u32 };
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(message);
}

impl<const SEALED: bool> Target for Packets<SEALED> {
    const NAME: &'static str = if SEALED { "gossip-packets-sealed" } else { "gossip-packets" };

    fn new() -> Self {
        Packets(Attack::new(SEALED))
    }

    fn make(rng: &mut Rng) -> Case {
        case(rng)
    }

    fn run(&mut self, case: &Case) -> bool {
        let Packets(attack) = self;
        let (to, packet) = attack.packet(case);
        let (counted, strangers, panics) = (attack.lab.counted(), attack.lab.strangers_total(), panics_here());
        attack.lab.inside(async { attack.lab.socket.send(to, &packet) }).expect("the network takes it");
        attack.lab.advance(Duration::from_millis(4));
        let was_counted = attack.lab.counted() > counted;
        if SEALED {
            assert_eq!(attack.lab.strangers_total(), strangers + 1, "{}: each stranger counts as one", case.kind);
        }
        attack.check(panics);
        !was_counted
    }
}

impl<const SEALED: bool> Target for Streams<SEALED> {
    const NAME: &'static str = if SEALED { "gossip-streams-sealed" } else { "gossip-streams" };

    fn new() -> Self {
        Streams { attack: Attack::new(SEALED), open: Vec::new() }
    }

    fn make(rng: &mut Rng) -> Case {
        case(rng)
    }

    fn run(&mut self, case: &Case) -> bool {
        let Streams { attack, open } = self;
        let bytes = attack.stream(case);
        let mut rng = numbers(case);
        let to = SocketAddr::new(ip(1 + rng.below(2) as u8), PORT);
        let (counted, panics) = (attack.lab.counted(), panics_here());
        let stream = attack.lab.inside(async {
            let mut stream = attack.lab.attacker.connect(to).await.ok()?;
            // It may be closed half-way, which is what strangers deserve.
            let _ = stream.write_all(&bytes).await;
            let mut answer = [0; 64];
            let _ = tokio::time::timeout(Duration::from_millis(8), stream.read(&mut answer)).await;
            Some(stream)
        });
        attack.lab.advance(Duration::from_millis(4));
        // Some are left open, without another word.
        if let Some(stream) = stream.filter(|_| rng.one_in(3)) {
            open.push(stream);
        }
        if open.len() > OPEN_MAX {
            open.remove(0);
        }
        let was_counted = attack.lab.counted() > counted;
        attack.check(panics);
        !was_counted
    }
}
