//! The files of the storage path: Alertmanager's snapshots, and our database with its journal. A start with any content
//! of them ends with what they hold or with an error that says what is wrong.

use std::{fmt::Write as _, sync::OnceLock};

use carillon::{
    alert::{Fingerprint, Labels, text::parse_time},
    clock::Time,
    replica::{AlertKeeper, Kind, Outbox},
    silence::Query,
    store::{Disk as _, MemoryDisk, Table},
};
use tokio::runtime::Runtime;
use xxhash_rust::xxh64::xxh64;

use crate::{
    harness::{Case, Target},
    node::{Ground, runtime},
    protobuf::{Message, Records},
    records::spoiled,
    rng::Rng,
};

/// Alertmanager's files.
pub struct Snapshots(Starter);

impl Target for Snapshots {
    const NAME: &'static str = "snapshots";

    fn new() -> Self {
        Snapshots(Starter::new())
    }

    fn make(rng: &mut Rng) -> Case {
        let (kind, file) = if rng.one_in(2) {
            ("silences", Records(rng).file(Records::silence))
        } else {
            ("nflog", Records(rng).file(Records::log_entry))
        };
        Case { kind, bytes: spoiled(rng, file, 4) }
    }

    fn run(&mut self, case: &Case) -> bool {
        let disk = MemoryDisk::new();
        disk.set_file(case.kind, case.bytes.clone());
        self.0.runtime.block_on(self.0.start(disk))
    }
}

/// Our own files.
pub struct Databases(Starter);

impl Target for Databases {
    const NAME: &'static str = "databases";

    fn new() -> Self {
        Databases(Starter::new())
    }

    fn make(rng: &mut Rng) -> Case {
        if rng.one_in(2) { Case { kind: "journal", bytes: journal(rng) } } else { Case::text("database", patches(rng)) }
    }

    fn run(&mut self, case: &Case) -> bool {
        let disk = MemoryDisk::new();
        if case.kind == "database" {
            disk.set_database(patched(&case.as_text()));
        } else {
            let journal = disk.open_journal().expect("memory does not fail");
            journal.write(0, &case.bytes).and_then(|()| journal.sync_data()).expect("memory does not fail");
        }
        self.0.runtime.block_on(self.0.start(disk))
    }
}

/// Starts nodes on disks.
struct Starter {
    runtime: Runtime,
    ground: Ground,
    labels: Labels,
}

impl Starter {
    fn new() -> Self {
        Starter {
            runtime: runtime(),
            ground: Ground::new(),
            labels: Labels::from_pairs([("alertname", "a"), ("a", "team-a")]),
        }
    }

    /// A start, a look at everything, a maintenance run, and another start.
    async fn start(&self, disk: MemoryDisk) -> bool {
        let Some(found) = self.open(&disk).await else { return false };
        // The disk is as the first start left it; the second one must find the same.
        let again = self.open(&disk).await;
        assert_eq!(again, Some(found), "the next start finds the same");
        true
    }

    /// How many silences, log entries and alerts there are.
    async fn open(&self, disk: &MemoryDisk) -> Option<(usize, usize, usize)> {
        let store = self.ground.store(disk.clone()).ok()?;
        let opened = (self.ground.silences(&store), self.ground.nflog(&store));
        let (Ok(silences), Ok(nflog)) = opened else {
            let _ = store.close().await;
            return None;
        };
        let now = parse_time("1970-01-01T00:00:00Z").expect("a time");
        let alerts = Ground::alerts();
        let loaded = AlertKeeper::new(store.clone(), Outbox::none(), &alerts).load(&nflog, now);
        alerts.restore(loaded.ok()?, now);
        for (silence, _) in silences.query(&Query::default()) {
            let _ = (silence.matches(&self.labels), silences.get(silence.id.as_str()));
        }
        let _ = (silences.silenced_by(Fingerprint(1), &self.labels, now), silences.counts(now), nflog.told_ends());
        // So long ago that only what ends at the edge of the calendar is forgotten.
        silences.maintain(Time::MIN_UTC).expect("memory does not fail");
        nflog.maintain(Time::MIN_UTC, &|_| true).expect("memory does not fail");
        store.close().await.expect("memory does not fail");
        Some((silences.query(&Query::default()).len(), nflog.len(), alerts.len()))
    }
}

/// A journal whose frames have right sums, so that what they hold is read.
fn journal(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let mut number = rng.below(3) as u64;
    for _ in 0..rng.between(1, 4) {
        number = if rng.one_in(10) { rng.next() } else { number + 1 };
        let payload = changes(rng);
        let payload = spoiled(rng, payload, 2);
        let length = payload.len() as u32;
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&xxh64(&payload, number ^ u64::from(length).rotate_left(32)).to_le_bytes());
        out.extend_from_slice(&payload);
    }
    if rng.one_in(4) { spoiled(rng, out, 2) } else { out }
}

fn changes(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..rng.below(3) {
        let (table, record): (u8, Message) = match rng.below(3) {
            0 => (1, Records(rng).silence()),
            1 => (2, Records(rng).log_entry()),
            _ => (rng.below(6) as u8, Records(rng).alert()),
        };
        out.push(table);
        let mut delimited = |bytes: &[u8]| {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        delimited(format!("key{}", rng.below(5)).as_bytes());
        if rng.one_in(4) {
            out.push(0);
        } else {
            out.push(1);
            out.extend_from_slice(&(record.0.len() as u32).to_le_bytes());
            out.extend_from_slice(&record.0);
        }
    }
    out
}

/// A database with records in all tables, closed; the same in every run.
fn whole_database() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        std::thread::spawn(|| {
            let disk = MemoryDisk::new();
            runtime().block_on(async {
                let ground = Ground::new();
                let (store, judge) = (ground.store(disk.clone()).expect("memory does not fail"), ground.replica());
                let mut rng = Rng::of_case(1, 1);
                for number in 0..200_u64 {
                    let (table, kind, record) = match number % 3 {
                        0 => (Table::Silences, Kind::Silence, Records(&mut rng).silence()),
                        1 => (Table::Log, Kind::Log, Records(&mut rng).log_entry()),
                        _ => (Table::Alerts, Kind::Alert, Records(&mut rng).alert()),
                    };
                    if judge.merge(kind, &record.0, ground.clock.now()).is_ok() {
                        drop(store.put(table, number.to_be_bytes().as_slice(), record.0));
                    }
                }
                store.close().await.expect("memory does not fail");
            });
            disk.database_bytes().expect("memory does not fail").unwrap_or_default()
        })
        .join()
        .expect("the database is made")
    })
}

/// Changes of a database file, a line each: where, and the bytes; or its new length.
fn patches(rng: &mut Rng) -> String {
    let size = whole_database().len();
    let mut out = String::new();
    for _ in 0..rng.between(0, 6) {
        // Headers and roots stand in the first pages.
        let at = if rng.one_in(2) { rng.below(size.min(16 << 10)) } else { rng.below(size) };
        match rng.below(6) {
            0 => drop(writeln!(out, "length {at}")),
            1 => drop(writeln!(out, "{at} {}", "00".repeat(512))),
            2 => drop(writeln!(out, "{at} {}", "ff".repeat(rng.between(1, 8)))),
            _ => {
                let bytes: String = (0..rng.between(1, 4)).map(|_| format!("{:02x}", rng.next() as u8)).collect();
                let _ = writeln!(out, "{at} {bytes}");
            }
        }
    }
    out
}

fn patched(patches: &str) -> Vec<u8> {
    let mut bytes = whole_database().to_vec();
    for line in patches.lines() {
        let Some((at, what)) = line.split_once(' ') else { continue };
        if at == "length" {
            bytes.truncate(what.parse().unwrap_or_default());
            continue;
        }
        let at: usize = at.parse().unwrap_or_default();
        for (index, pair) in what.as_bytes().chunks(2).enumerate() {
            let byte = std::str::from_utf8(pair).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
            if let (Some(place), Some(byte)) = (bytes.get_mut(at + index), byte) {
                *place = byte;
            }
        }
    }
    bytes
}
