//! Alerts as bytes, and their way to the store and back.
//!
//! Written on change, not on refresh: what a restart needs is that an alert existed, since when and in which
//! period. Its end is stale on disk, which is why an alert that seems to have run out meanwhile gets a grace to
//! be posted again (see [`Alerts::restore`]).
//!
//! An alert's key in the store is a number, given out in the order in which alerts come: what comes together lies
//! together, so that a transaction touches few pages. Fingerprints as keys would touch one for each alert.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use prost::{
    Message,
    encoding::{WireType, encode_varint, message},
};
use prost_types::Timestamp;

use super::Outbox;
use crate::{
    alert::{Alert, Bounds, Change, Entry, Fingerprint, FingerprintMap, Labels},
    alerts::Alerts,
    clock::Time,
    nflog::{AlertHash, Nflog, Resolved},
    store::{
        OpenError, Record, Store, Table, Value,
        snapshot::SnapshotError,
        timestamp::{from_time, to_time},
    },
};

const LABELS: u32 = 1;
const ANNOTATIONS: u32 = 2;
const GENERATOR_URL: u32 = 3;
const STARTS_AT: u32 = 4;
const ENDS_AT: u32 = 5;
const UPDATED_AT: u32 = 6;
const TIMEOUT: u32 = 7;
const PERIOD: u32 = 8;
const ACCEPTED_AT: u32 = 9;
const EXPLICIT: u32 = 10;
const NEWEST_START: u32 = 11;
const ENDED_THROUGH: u32 = 12;
const FIRES_UNTIL: u32 = 13;

/// The schema; used for reading. Names and values alternate in the two lists.
#[derive(Clone, PartialEq, prost::Message)]
struct AlertMessage {
    #[prost(string, repeated, tag = "1")]
    labels: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    annotations: Vec<String>,
    #[prost(string, tag = "3")]
    generator_url: String,
    #[prost(message, optional, tag = "4")]
    starts_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    ends_at: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    updated_at: Option<Timestamp>,
    #[prost(bool, tag = "7")]
    timeout: bool,
    #[prost(uint64, tag = "8")]
    period: u64,
    #[prost(message, optional, tag = "9")]
    accepted_at: Option<Timestamp>,
    #[prost(bool, tag = "10")]
    explicit: bool,
    // Unknown to the first releases, which merge without them.
    #[prost(message, optional, tag = "11")]
    newest_start: Option<Timestamp>,
    #[prost(message, optional, tag = "12")]
    ended_through: Option<Timestamp>,
    #[prost(message, optional, tag = "13")]
    fires_until: Option<Timestamp>,
}

/// Alerts are written by the hundred thousand: straight from the shared text, without a copy as a message.
fn append(alert: &Alert, out: &mut Vec<u8>) {
    append_pairs(LABELS, &alert.labels, out);
    append_pairs(ANNOTATIONS, &alert.annotations, out);
    if !alert.generator_url.is_empty() {
        append_text(GENERATOR_URL, &alert.generator_url, out);
    }
    message::encode(STARTS_AT, &from_time(alert.starts_at), out);
    if let Some(ends_at) = alert.ends_at {
        message::encode(ENDS_AT, &from_time(ends_at), out);
    }
    message::encode(UPDATED_AT, &from_time(alert.updated_at), out);
    append_number(TIMEOUT, u64::from(alert.timeout), out);
    append_number(PERIOD, alert.period, out);
    message::encode(ACCEPTED_AT, &from_time(alert.accepted_at), out);
    append_number(EXPLICIT, u64::from(alert.explicit), out);
    if let Some(bounds) = &alert.bounds {
        append_time(NEWEST_START, bounds.newest_start, out);
        append_time(ENDED_THROUGH, bounds.ended_through, out);
        append_time(FIRES_UNTIL, bounds.fires_until, out);
    }
}

fn append_time(tag: u32, time: Option<Time>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        message::encode(tag, &from_time(time), out);
    }
}

fn append_pairs(tag: u32, labels: &Labels, out: &mut Vec<u8>) {
    for (name, value) in labels.iter() {
        append_text(tag, name, out);
        append_text(tag, value, out);
    }
}

fn append_text(tag: u32, text: &str, out: &mut Vec<u8>) {
    append_key(tag, WireType::LengthDelimited, out);
    append_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn append_number(tag: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        append_key(tag, WireType::Varint, out);
        append_varint(number, out);
    }
}

fn append_key(tag: u32, wire_type: WireType, out: &mut Vec<u8>) {
    append_varint(u64::from(tag << 3) | wire_type as u64, out);
}

/// Nearly all are one byte: those without the general encoder's loop.
fn append_varint(number: u64, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(byte @ 0..0x80) => out.push(byte),
        _ => encode_varint(number, out),
    }
}

/// The record of an alert, for the store and for peers.
#[must_use]
pub fn encode_alert(alert: &Alert) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    append(alert, &mut out);
    out
}

/// Reads a record.
///
/// # Errors
/// When the bytes are no alert.
pub fn decode_alert(bytes: &[u8]) -> Result<Alert, SnapshotError> {
    let message = AlertMessage::decode(bytes).map_err(|error| SnapshotError::Decode(error.to_string()))?;
    let labels = pairs(&message.labels);
    if labels.is_empty() {
        return Err(SnapshotError::InvalidState);
    }
    let time = |at: Option<Timestamp>| at.map(|at| to_time(Some(&at)));
    let bounds = Bounds {
        newest_start: time(message.newest_start),
        ended_through: time(message.ended_through),
        fires_until: time(message.fires_until),
    };
    let mut alert = Alert {
        labels,
        annotations: pairs(&message.annotations),
        generator_url: message.generator_url.into(),
        starts_at: to_time(message.starts_at.as_ref()),
        ends_at: message.ends_at.as_ref().map(|at| to_time(Some(at))),
        updated_at: to_time(message.updated_at.as_ref()),
        timeout: message.timeout,
        period: message.period.max(1),
        accepted_at: to_time(message.accepted_at.as_ref()),
        explicit: message.explicit,
        bounds: Bounds::boxed(bounds),
    };
    alert.tidy_bounds();
    Ok(alert)
}

fn pairs(texts: &[String]) -> Labels {
    let (pairs, _) = texts.as_chunks::<2>();
    pairs.iter().map(|[name, value]| (name, value)).collect()
}

/// Encoded when the writer gets to it, in the state it is in then.
impl Record for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        append(&self.lock(), out);
    }
}

/// The keys of alerts in the store.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<Given>>);

#[derive(Default)]
struct Given {
    last: u64,
    by_alert: FingerprintMap<u64>,
}

impl Numbers {
    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    /// The record of an alert under its number.
    fn record(&mut self, entry: &Arc<Entry>) -> (Box<[u8]>, Value) {
        let number = *self.by_alert.entry(entry.fingerprint()).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        let record: Arc<dyn Record> = Arc::clone(entry) as _;
        (key(number), Value::Record(record))
    }
}

fn key(number: u64) -> Box<[u8]> {
    Box::from(number.to_be_bytes())
}

/// Keeps alerts on disk. Nothing here waits.
#[derive(Clone)]
pub struct AlertKeeper {
    store: Store,
    outbox: Outbox,
    numbers: Numbers,
    alerts: Weak<Alerts>,
}

impl AlertKeeper {
    /// For the alerts of this store. Call [`AlertKeeper::load`] before anything is written.
    #[must_use]
    pub fn new(store: Store, outbox: Outbox, alerts: &Arc<Alerts>) -> Self {
        let numbers = Numbers::default();
        let (source, source_numbers) = (Arc::downgrade(alerts), numbers.clone());
        store.set_source(
            Table::Alerts,
            Box::new(move || {
                let entries = source.upgrade().map_or_else(Vec::new, |alerts| alerts.snapshot());
                let mut given = source_numbers.given();
                entries.iter().map(|entry| given.record(entry)).collect()
            }),
        );
        AlertKeeper { store, outbox, numbers, alerts: Arc::downgrade(alerts) }
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Writes what posts changed, a moment later and in one go with others, and passes it on to the peers.
    pub fn persist_changes(&self, changes: &[(Arc<Entry>, Change)]) {
        let changed = || changes.iter().filter(|(_, change)| *change != Change::Refreshed).map(|(entry, _)| entry);
        for entry in changed() {
            self.outbox.note(entry.fingerprint());
            self.outbox.push_alert(entry);
        }
        self.write(changed());
    }

    /// Writes what a peer's record changed.
    pub fn persist_merged(&self, entry: &Arc<Entry>, change: Change) {
        self.outbox.note(entry.fingerprint());
        if change != Change::Refreshed {
            self.write(std::iter::once(entry));
        }
    }

    /// Writes all of them as they are: before a clean stop, so that the next start knows their true ends.
    pub fn persist_all(&self, entries: &[Arc<Entry>]) {
        self.write(entries.iter());
    }

    fn write<'a>(&self, entries: impl Iterator<Item = &'a Arc<Entry>>) {
        let mut given = self.numbers.given();
        let records: Vec<_> = entries.map(|entry| given.record(entry)).collect();
        // Queued under the lock, so that a removal that comes after is written after.
        if !records.is_empty() {
            self.store.write_unwatched(Table::Alerts, records);
        }
    }

    /// Removes alerts that the alert store has forgotten; one that has come again meanwhile stays.
    pub fn remove(&self, fingerprints: &[Fingerprint]) {
        let alerts = self.alerts.upgrade();
        let is_back =
            |fingerprint: Fingerprint| alerts.as_ref().is_some_and(|alerts| alerts.get(fingerprint).is_some());
        let mut given = self.numbers.given();
        fingerprints.iter().for_each(|fingerprint| self.outbox.note(*fingerprint));
        let gone = fingerprints.iter().filter(|fingerprint| !is_back(**fingerprint));
        let numbers = gone.filter_map(|fingerprint| given.by_alert.remove(fingerprint));
        let changes: Vec<_> = numbers.map(|number| (key(number), Value::Deleted)).collect();
        if !changes.is_empty() {
            self.store.write_unwatched(Table::Alerts, changes);
        }
    }

    /// The alerts on disk, for [`Alerts::restore`].
    ///
    /// # Errors
    /// When the file is damaged. A single record that cannot be read is left out and logged.
    pub fn load(&self, nflog: &Nflog, now: Time) -> Result<Vec<Alert>, OpenError> {
        let ends = nflog.told_ends();
        let mut alerts = Vec::new();
        let mut given = self.numbers.given();
        for (key, bytes) in self.store.load(Table::Alerts)? {
            let number = key.as_slice().try_into().map_or(0, u64::from_be_bytes);
            given.last = given.last.max(number);
            match decode_alert(&bytes) {
                Ok(alert) => {
                    given.by_alert.insert(alert.fingerprint(), number);
                    alerts.push(with_told_end(alert, &ends, now));
                }
                Err(error) => tracing::error!(%error, "an alert on disk cannot be read and is left out"),
            }
        }
        Ok(alerts)
    }
}

/// An alert whose end a receiver has heard of is over, even if it only ran out: it gets no grace, or a restart
/// would tell the receiver that it fires again.
fn with_told_end(alert: Alert, ends: &HashMap<AlertHash, Resolved>, now: Time) -> Alert {
    let is_told = || ends.get(&AlertHash::of(&alert.labels)).is_some_and(|end| end.is_end_of(&alert));
    if alert.resolved_at(now) && is_told() { Alert { explicit: true, ..alert } } else { alert }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        alerts::AlertsConfig,
        clock::Clock,
        metrics::Metrics,
        nflog::{End, LogKey, NflogConfig, Tell, Writer},
        store::{MemoryDisk, WriterMode, testing},
    };

    const RETENTION: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Time {
        Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn alert(name: &str, ends_at: i64) -> Alert {
        Alert {
            labels: [("alertname", name)].into_iter().collect(),
            annotations: Labels::default(),
            generator_url: "".into(),
            starts_at: at(0),
            ends_at: Some(at(ends_at)),
            updated_at: at(0),
            timeout: false,
            period: 1,
            accepted_at: at(0),
            explicit: false,
            bounds: None,
        }
    }

    struct Node {
        store: Store,
        nflog: Arc<Nflog>,
        alerts: Arc<Alerts>,
        keeper: AlertKeeper,
    }

    fn start(disk: &MemoryDisk, now: i64) -> Node {
        let metrics: Arc<Metrics> = testing::metrics();
        let store = Store::on(Arc::new(disk.clone()), Arc::clone(&metrics), WriterMode::Task).unwrap();
        let config = NflogConfig { retention: RETENTION, writer: Writer(1) };
        let nflog = Nflog::open(config, store.clone(), Outbox::none(), Clock::simulated(at(now)), metrics).unwrap();
        let alerts = Arc::new(Alerts::new(AlertsConfig { per_alertname_limit: 0, retention: RETENTION }));
        let keeper = AlertKeeper::new(store.clone(), Outbox::none(), &alerts);
        alerts.restore(keeper.load(&nflog, at(now)).unwrap(), at(now));
        Node { store, nflog, alerts, keeper }
    }

    impl Node {
        fn take_in(&self, alert: &Alert) -> Arc<Entry> {
            let (entry, change) = self.alerts.insert(alert, at(0)).unwrap();
            self.keeper.persist_changes(&[(Arc::clone(&entry), change)]);
            entry
        }

        /// Name of each alert, and whether it is over at `now`.
        fn picture(&self, now: i64) -> Vec<(String, bool)> {
            let entries = self.alerts.snapshot();
            let mut picture: Vec<_> =
                entries.iter().map(|entry| (entry.alert().name().to_owned(), entry.resolved_at(at(now)))).collect();
            picture.sort();
            picture
        }
    }

    #[tokio::test(start_paused = true)]
    async fn alerts_come_back_after_a_loss_of_power_and_removed_ones_do_not() {
        let disk = MemoryDisk::new();
        let node = start(&disk, 10);
        node.take_in(&alert("kept", 1000));
        let gone = node.take_in(&alert("gone", 1000));
        node.store.flush().await.unwrap();
        // Still (or again) in the alert store: it stays.
        node.keeper.remove(&[gone.fingerprint()]);
        assert_eq!(start(&disk, 10).picture(10).len(), 2);
        node.alerts.gc(at(5000), &|entry| entry.fingerprint() != gone.fingerprint());
        node.keeper.remove(&[gone.fingerprint()]);
        node.store.flush().await.unwrap();
        disk.lose_power(|| false);
        let node = start(&disk, 20);
        assert_eq!(node.picture(20), [("kept".to_owned(), false)]);
        // Numbers go on where they were: a new alert does not overwrite an old one.
        node.take_in(&alert("new", 1000));
        node.store.flush().await.unwrap();
        drop(node);
        assert_eq!(start(&disk, 30).picture(30).len(), 2);
    }

    /// A receiver was told at 60 that the first firing of the alert ran out at 50.
    async fn tell_end(node: &Node, alert: &Entry) {
        let end = End { alert: AlertHash::of(alert.labels()), period: 1, explicit: false, ends_at: at(50) };
        let tell = Tell {
            seen: None,
            due: at(60),
            sent: at(60),
            done: at(60),
            firing: Vec::new(),
            resolved: vec![end],
            known: Vec::new(),
            memory: None,
            repeat_interval: RETENTION,
        };
        let key = LogKey { group_key: "g".into(), receiver: "r".into(), integration: "webhook".into(), index: 0 };
        node.nflog.record(&key, &tell).1.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_that_ran_out_meanwhile_has_a_grace_unless_its_end_was_told() {
        let disk = MemoryDisk::new();
        let node = start(&disk, 10);
        node.take_in(&alert("silent", 50));
        let told = node.take_in(&alert("told", 50));
        tell_end(&node, &told).await;
        node.store.flush().await.unwrap();
        drop(node);
        let node = start(&disk, 100);
        assert_eq!(node.picture(101), [("silent".to_owned(), false), ("told".to_owned(), true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_told_end_of_an_earlier_firing_ends_no_later_one_of_the_same_number() {
        let disk = MemoryDisk::new();
        let node = start(&disk, 70);
        let again = node.take_in(&alert("again", 110));
        tell_end(&node, &again).await;
        again.lock().accepted_at = at(70);
        node.keeper.persist_all(&node.alerts.snapshot());
        node.store.flush().await.unwrap();
        drop(node);
        assert_eq!(start(&disk, 120).picture(121), [("again".to_owned(), false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clean_stop_keeps_the_true_ends() {
        let disk = MemoryDisk::new();
        let node = start(&disk, 10);
        let entry = node.take_in(&alert("a", 50));
        entry.lock().ends_at = Some(at(5000));
        node.keeper.persist_all(&node.alerts.snapshot());
        node.store.close().await.unwrap();
        drop(node);
        assert_eq!(start(&disk, 100).alerts.snapshot()[0].alert().ends_at, Some(at(5000)));
    }

    prop_compose! {
        fn an_alert()(
            labels in proptest::collection::btree_map("[a-c]{1,2}", "[x-zü]{1,3}", 1..4),
            annotations in proptest::collection::btree_map("[a-c]{1,2}", ".{0,9}", 0..3),
            url in "[a-z]{0,5}",
            times in proptest::array::uniform4(-70_000_000_000i64..250_000_000_000i64),
            open in any::<bool>(), timeout in any::<bool>(), explicit in any::<bool>(), period in 1..u64::MAX,
            bounds in proptest::array::uniform3(proptest::option::of(-70_000_000_000i64..250_000_000_000i64)),
        ) -> Alert {
            let time = |seconds| Time::from_timestamp(seconds, 123_456_789).unwrap();
            let bounds = Bounds::boxed(Bounds {
                newest_start: bounds[0].map(time),
                ended_through: bounds[1].map(time),
                fires_until: bounds[2].map(time),
            });
            let mut alert = Alert {
                labels: labels.into_iter().collect(),
                annotations: annotations.into_iter().collect(),
                generator_url: url.into(),
                starts_at: time(times[0]),
                ends_at: (!open).then(|| time(times[1])),
                updated_at: time(times[2]),
                timeout,
                period,
                accepted_at: time(times[3]),
                explicit,
                bounds,
            };
            alert.tidy_bounds();
            alert
        }
    }

    /// The record of the first releases.
    #[derive(Clone, PartialEq, prost::Message)]
    struct FirstMessage {
        #[prost(string, repeated, tag = "1")]
        labels: Vec<String>,
        #[prost(message, optional, tag = "4")]
        starts_at: Option<Timestamp>,
        #[prost(message, optional, tag = "5")]
        ends_at: Option<Timestamp>,
        #[prost(uint64, tag = "8")]
        period: u64,
        #[prost(bool, tag = "10")]
        explicit: bool,
    }

    #[test]
    fn the_first_releases_read_our_records_and_we_read_theirs() {
        let bounds = Bounds { newest_start: Some(at(40)), ended_through: Some(at(45)), fires_until: Some(at(90)) };
        let ours = Alert { explicit: true, bounds: Bounds::boxed(bounds), ..alert("a", 44) };
        let first = FirstMessage::decode(&*encode_alert(&ours)).unwrap();
        assert_eq!((to_time(first.ends_at.as_ref()), first.period, first.explicit), (at(44), 1, true));
        let theirs = decode_alert(&first.encode_to_vec()).unwrap();
        assert_eq!((theirs.bounds.as_deref(), theirs.newest_start(), theirs.explicit), (None, at(0), true));
        // As they merge: their end holds over a copy that fires.
        assert!(crate::alert::merge(&theirs, &alert("a", 900)).explicit);
    }

    proptest! {
        #[test]
        fn an_alert_comes_back_from_its_bytes(alert in an_alert()) {
            let bytes = encode_alert(&alert);
            prop_assert_eq!(decode_alert(&bytes).unwrap(), alert);
            // What is written by hand is what the schema says.
            prop_assert_eq!(AlertMessage::decode(&*bytes).unwrap().encode_to_vec(), bytes);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_alert(&bytes);
        }
    }
}
