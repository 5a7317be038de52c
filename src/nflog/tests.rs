//! The pure rules of entries, and the log on a store.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::{wire::Read, *};
use crate::notify::types::{Memory, MemoryValue};

const HOUR: Duration = Duration::from_secs(3600);
const RETENTION: Duration = Duration::from_secs(120 * 3600);

fn at(seconds: i64) -> Time {
    Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn a_time() -> impl Strategy<Value = Time> {
    (0..8i64).prop_map(|half_seconds| Time::UNIX_EPOCH + TimeDelta::milliseconds(half_seconds * 500))
}

fn a_word() -> impl Strategy<Value = (Time, Time, u64, u64, Option<Time>)> {
    (a_time(), a_time(), 1..3u64, 0..3u64, proptest::option::of(a_time()))
}

prop_compose! {
    fn a_told()(
        fired in proptest::option::of(a_word()),
        resolved in proptest::option::of((a_word(), any::<bool>(), a_time())),
        known in proptest::option::of((1..3u64, any::<bool>(), a_time())),
    ) -> Told {
        Told {
            fired: fired.map(|(sent, done, period, writer, saw)| {
                Fired { done, period, writer: Writer(writer), sent, saw }
            }),
            resolved: resolved.map(|((sent, done, period, writer, saw), explicit, ends_at)| {
                Box::new(Resolved { done, period, writer: Writer(writer), explicit, ends_at, sent, saw })
            }),
            known: known.map(|(period, explicit, ends_at)| Box::new(Known { period, explicit, ends_at })),
        }
    }
}

fn a_memory() -> impl Strategy<Value = Memory> {
    let value = prop_oneof![
        "[a-c]?".prop_map(MemoryValue::Text),
        (0..2i64).prop_map(MemoryValue::Int),
        (0..2u8).prop_map(|n| MemoryValue::Double(f64::from(n) / 2.0)),
    ];
    proptest::collection::btree_map("[ab]", value, 0..2)
}

prop_compose! {
    fn an_entry()(
        tells in 1..4u64,
        told_at in a_time(),
        expires_at in a_time(),
        memory in (a_memory(), a_time()),
        told in proptest::collection::vec((0..4u64, a_told()), 0..5),
    ) -> LogEntry {
        let told = told.into_iter().map(|(hash, told)| (AlertHash(hash), told)).collect();
        LogEntry::new(tells, told_at, expires_at, memory, told)
    }
}

fn joined(a: &LogEntry, b: &LogEntry) -> LogEntry {
    let mut joined = a.clone();
    joined.join(b);
    joined
}

proptest! {
    #[test]
    fn joining_is_commutative(a in an_entry(), b in an_entry()) {
        prop_assert_eq!(joined(&a, &b), joined(&b, &a));
    }

    #[test]
    fn joining_is_associative(a in an_entry(), b in an_entry(), c in an_entry()) {
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
    }

    #[test]
    fn joining_is_idempotent(a in an_entry(), b in an_entry()) {
        prop_assert_eq!(joined(&a, &a), a.clone());
        let both = joined(&a, &b);
        prop_assert_eq!(joined(&both, &b), both);
    }

    #[test]
    fn an_entry_comes_back_from_its_bytes(entry in an_entry()) {
        let bytes = wire::message(&key(), &entry).encode_to_vec();
        let (read_key, read) = wire::read(MeshEntry::decode(&*bytes).unwrap()).unwrap();
        prop_assert_eq!(read_key, key());
        match read {
            Read::Ours(read) => prop_assert_eq!(read, entry),
            Read::Alertmanager(_) => prop_assert!(false, "taken for an entry of Alertmanager"),
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = MeshEntry::decode(&*bytes).map(wire::read);
        let _ = snapshot::decode::<MeshEntry>(&bytes);
    }

    #[test]
    fn whoever_tells_has_the_last_word_on_what_it_knew(
        seen in an_entry(), hash in 0..4u64, fires in any::<bool>(), done in a_time(),
    ) {
        let tell = Tell { seen: Some(Arc::new(seen.clone())), ..tell(done, hash, fires) };
        let after = LogEntry::after(Some(&seen), &tell, Writer(9), RETENTION);
        match after.word(AlertHash(hash)) {
            Word::Fired(_) => prop_assert!(fires),
            Word::Resolved(_) => prop_assert!(!fires),
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(after.tells, seen.tells + 1);
    }
}

fn key() -> LogKey {
    LogKey { group_key: "{}:{a=\"b\"}".into(), receiver: "team".into(), integration: "webhook".into(), index: 1 }
}

fn end(hash: u64, period: u64, ends_at: Time) -> End {
    End { alert: AlertHash(hash), period, explicit: true, ends_at }
}

fn tell(done: Time, hash: u64, fires: bool) -> Tell {
    Tell {
        seen: None,
        due: done,
        sent: done,
        done,
        firing: if fires { vec![(AlertHash(hash), 1)] } else { Vec::new() },
        resolved: if fires { Vec::new() } else { vec![end(hash, 1, done)] },
        known: Vec::new(),
        memory: None,
        repeat_interval: HOUR,
    }
}

fn fired(sent: i64, done: i64, writer: u64, saw: Option<i64>) -> Fired {
    Fired { done: at(done), period: 1, writer: Writer(writer), sent: at(sent), saw: saw.map(at) }
}

fn resolved(sent: i64, done: i64, writer: u64, saw: Option<i64>) -> Resolved {
    let (sent, done, saw, ends_at) = (at(sent), at(done), saw.map(at), at(0));
    Resolved { done, period: 1, writer: Writer(writer), explicit: true, ends_at, sent, saw }
}

fn word_of(fired: Fired, resolved: Resolved) -> &'static str {
    let told = Told { fired: Some(fired), resolved: Some(Box::new(resolved)), known: None };
    match told.last_word() {
        Word::None => "none",
        Word::Fired(_) => "fired",
        Word::Resolved(_) => "resolved",
        Word::Unsure => "unsure",
    }
}

#[test]
fn the_last_word_is_that_of_whoever_knew_of_the_other() {
    // Said first by the clock, but in knowledge of the other.
    assert_eq!(word_of(fired(10, 11, 1, Some(20)), resolved(19, 20, 2, None)), "fired");
    assert_eq!(word_of(fired(19, 20, 1, None), resolved(10, 11, 2, Some(20))), "resolved");
    assert_eq!(word_of(fired(19, 20, 1, Some(5)), resolved(10, 11, 2, None)), "fired");
}

#[test]
fn words_of_two_writers_at_the_same_time_are_unsure() {
    assert_eq!(word_of(fired(10, 50, 1, None), resolved(20, 21, 2, None)), "unsure");
    assert_eq!(word_of(fired(10, 20, 1, None), resolved(21, 22, 2, None)), "unsure");
    assert_eq!(word_of(fired(10, 20, 1, None), resolved(22, 23, 2, None)), "resolved");
    assert_eq!(word_of(fired(10, 20, 1, None), resolved(20, 21, 1, None)), "resolved");
}

#[test]
fn an_alert_hash_is_that_of_the_reference() {
    assert_eq!(AlertHash::of(&[("alertname", "zero")].into_iter().collect()), AlertHash(2_841_707_647_648_535_273));
}

#[test]
fn a_tell_lists_what_alertmanager_reads() {
    let first = LogEntry::after(None, &tell(at(10), 7, true), Writer(1), RETENTION);
    assert_eq!(first.listed(), (vec![7], vec![]));
    let seen = Some(Arc::new(first.clone()));
    let second = LogEntry::after(Some(&first), &Tell { seen, ..tell(at(20), 7, false) }, Writer(1), RETENTION);
    assert_eq!((second.listed(), second.told_at, second.tells), ((vec![], vec![7]), at(20), 2));
}

#[test]
fn an_entry_lives_twice_the_repeat_interval_and_with_a_told_end_as_long_as_the_retention() {
    let firing = LogEntry::after(None, &tell(at(0), 1, true), Writer(1), RETENTION);
    assert_eq!(firing.expires_at, at(2 * 3600));
    let over = LogEntry::after(Some(&firing), &tell(at(10), 1, false), Writer(1), RETENTION);
    assert_eq!(over.expires_at, at(10 + 120 * 3600));
}

#[test]
fn an_entry_of_an_alert_that_still_exists_outlives_its_time() {
    let firing = LogEntry::after(None, &tell(at(0), 1, true), Writer(1), RETENTION);
    let late = at(400 * 3600);
    assert_eq!(kept(&firing, late, RETENTION, &|_| true), Some(firing.clone()));
    assert_eq!(kept(&firing, late, RETENTION, &|_| false), None);
}

#[test]
fn told_ends_are_dropped_after_the_retention_and_open_words_are_not() {
    let firing = LogEntry::after(None, &tell(at(0), 1, true), Writer(1), RETENTION);
    let both = LogEntry::after(Some(&firing), &tell(at(0), 2, false), Writer(1), RETENTION);
    let kept = kept(&both, at(121 * 3600), RETENTION, &|_| true).unwrap();
    assert_eq!(kept.all_told().map(|(hash, _)| hash.0).collect::<Vec<_>>(), [1]);
}

fn batch(timestamp: i64, firing: &[u64], resolved: &[u64]) -> ListedBatch {
    ListedBatch {
        timestamp: at(timestamp),
        expires_at: at(timestamp + 100),
        firing: firing.to_vec(),
        resolved: resolved.to_vec(),
        memory: Memory::new(),
    }
}

#[test]
fn an_entry_of_alertmanager_says_what_it_lists() {
    let entry = LogEntry::from_alertmanager(&batch(50, &[1], &[2]), None);
    assert!(
        matches!(entry.word(AlertHash(1)), Word::Fired(word) if word.period == LOWEST_PERIOD && word.done == at(50))
    );
    assert!(matches!(entry.word(AlertHash(2)), Word::Resolved(word) if word.period == LOWEST_PERIOD));
    assert_eq!((entry.listed(), entry.told_at), ((vec![1], vec![2]), at(50)));
}

#[test]
fn what_alertmanager_told_since_is_taken_up_with_our_periods() {
    let mut ours =
        LogEntry::after(None, &Tell { firing: vec![(AlertHash(1), 4)], ..tell(at(10), 1, true) }, Writer(1), RETENTION);
    ours.join(&LogEntry::after(
        None,
        &Tell { resolved: vec![end(2, 3, at(9))], ..tell(at(10), 2, false) },
        Writer(1),
        RETENTION,
    ));
    let theirs = LogEntry::from_alertmanager(&batch(50, &[2], &[1]), Some(&ours));
    let joined = joined(&ours, &theirs);
    // 1 was firing in its period 4 and is over; 2 was over in period 3, so that it fires in a new one.
    assert!(matches!(joined.word(AlertHash(1)), Word::Resolved(word) if word.period == 4));
    assert!(matches!(joined.word(AlertHash(2)), Word::Fired(word) if word.period == 4));
    // The same file read again changes nothing.
    let again = LogEntry::from_alertmanager(&batch(50, &[2], &[1]), Some(&joined));
    assert_eq!(super::tests::joined(&joined, &again), joined);
}

#[test]
fn what_a_newer_batch_of_alertmanager_does_not_list_has_ended() {
    let first = LogEntry::after(None, &tell(at(10), 1, true), Writer(1), RETENTION);
    let ours = LogEntry::after(Some(&first), &tell(at(10), 2, true), Writer(1), RETENTION);
    let theirs = LogEntry::from_alertmanager(&batch(50, &[2], &[]), Some(&ours));
    assert_eq!(joined(&ours, &theirs).listed(), (vec![2], vec![1]));
    // Our own entry, written back without our fields, says nothing new.
    let same = LogEntry::from_alertmanager(&batch(10, &[2], &[]), Some(&ours));
    assert_eq!(joined(&ours, &same).listed(), (vec![1, 2], vec![]));
}

#[test]
fn an_old_file_of_alertmanager_changes_no_last_word() {
    let ours = LogEntry::after(None, &tell(at(100), 1, false), Writer(1), RETENTION);
    let theirs = LogEntry::from_alertmanager(&batch(50, &[1], &[]), Some(&ours));
    assert!(matches!(joined(&ours, &theirs).word(AlertHash(1)), Word::Resolved(_)));
}

mod on_a_store {
    use super::*;
    use crate::store::{MemoryDisk, WriterMode};

    fn metrics() -> Arc<Metrics> {
        crate::store::testing::metrics()
    }

    fn open(disk: &MemoryDisk) -> Result<Arc<Nflog>, LoadError> {
        let store = Store::on(Arc::new(disk.clone()), metrics(), WriterMode::Task)?;
        let config = NflogConfig { retention: RETENTION, writer: Writer(1) };
        Nflog::open(config, store, Outbox::none(), Clock::simulated(at(1000)), metrics())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_survives_a_loss_of_power() {
        let disk = MemoryDisk::new();
        let log = open(&disk).unwrap();
        let (entry, durable) = log.record(&key(), &tell(at(1000), 1, true));
        durable.await.unwrap();
        disk.lose_power(|| false);
        drop(log);
        assert_eq!(open(&disk).unwrap().all(), [(key(), entry)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_of_alertmanager_is_joined_at_start_and_kept() {
        let disk = MemoryDisk::new();
        let mut file = Vec::new();
        let entry = LogEntry::after(None, &tell(at(900), 1, true), Writer(2), RETENTION);
        snapshot::encode(&wire::message(&key(), &entry), &mut Vec::new(), &mut file).unwrap();
        disk.set_file(SNAPSHOT, file);
        let log = open(&disk).unwrap();
        assert!(matches!(log.entry(&key()).unwrap().word(AlertHash(1)), Word::Fired(_)));
        log.store.flush().await.unwrap();
        disk.set_file(SNAPSHOT, Vec::new());
        drop(log);
        assert_eq!(open(&disk).unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_snapshot_ends_the_start() {
        let disk = MemoryDisk::new();
        disk.set_file(SNAPSHOT, b"not protobuf".to_vec());
        let error = open(&disk).err().unwrap().to_string();
        assert!(error.contains("nflog is damaged: "), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn maintenance_forgets_and_writes_a_snapshot_that_is_read_again() {
        let disk = MemoryDisk::new();
        let log = open(&disk).unwrap();
        let other = LogKey { index: 2, ..key() };
        log.record(&key(), &tell(at(1000), 1, true)).1.await.unwrap();
        log.record(&other, &tell(at(1000), 2, true)).1.await.unwrap();
        log.maintain(at(1000 + 3 * 3600), &|hash| hash == AlertHash(1)).unwrap();
        assert_eq!(log.all().iter().map(|(key, _)| key.index).collect::<Vec<_>>(), [1]);
        let (kept, store) = (log.all(), log.store.clone());
        store.close().await.unwrap();
        drop((log, store));
        disk.set_database(Vec::new());
        assert_eq!(open(&disk).unwrap().all(), kept);
    }
}
