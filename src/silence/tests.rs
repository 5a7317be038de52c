//! The rules of silences, and all of them together against a plain reading of the rules.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::{wire::MeshSilence, *};
use crate::{
    alert::matcher::{MatchOp, parse_matchers},
    store::{MemoryDisk, WriterMode, testing},
};

const RETENTION: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Time {
    Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn matchers(text: &str) -> Box<[Matcher]> {
    parse_matchers(ParseMode::Fallback, text).unwrap().into()
}

fn silence(id: &str, text: &str, starts_at: i64, ends_at: i64, updated_at: i64) -> Silence {
    Silence {
        id: id.into(),
        matcher_sets: Arc::from([matchers(text)]),
        starts_at: at(starts_at),
        ends_at: at(ends_at),
        updated_at: at(updated_at),
        expires_at: model::end_of_life(at(ends_at), RETENTION),
        created_by: "me".into(),
        comment: "why".into(),
        annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        foreign: None,
    }
}

fn draft(texts: &[(&str, MatchOp, &str)], starts_at: Option<Time>, ends_at: Option<Time>) -> Draft {
    let text = |(name, op, value): &(&str, MatchOp, &str)| MatcherText {
        op: *op,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    Draft {
        id: None,
        matchers: texts.iter().map(text).collect(),
        starts_at,
        ends_at,
        created_by: "me".to_owned(),
        comment: "why".to_owned(),
        annotations: BTreeMap::new(),
    }
}

fn plain(ends_in: i64) -> Draft {
    draft(&[("a", MatchOp::Equal, "b")], None, Some(at(1000 + ends_in)))
}

fn config() -> SilencesConfig {
    SilencesConfig {
        retention: RETENTION,
        count_max: 0,
        size_bytes_max: 0,
        log_changes: false,
        mode: ParseMode::Fallback,
    }
}

fn open_with(disk: &MemoryDisk, config: SilencesConfig) -> Result<Arc<Silences>, LoadError> {
    let metrics = testing::metrics();
    let store = Store::on(Arc::new(disk.clone()), Arc::clone(&metrics), WriterMode::Task)?;
    let (clock, random) = (Clock::simulated(at(1000)), Random::seeded(1));
    Silences::open(config, Surroundings { store, outbox: Outbox::none(), clock, random, metrics })
}

fn open(disk: &MemoryDisk) -> Arc<Silences> {
    open_with(disk, config()).unwrap()
}

async fn refused(draft: Draft) -> String {
    open(&MemoryDisk::new()).set(draft).await.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_bad_silence_is_refused_in_the_words_of_the_reference() {
    use MatchOp::{Equal, Regex};
    let until = Some(at(2000));
    assert_eq!(
        refused(draft(&[("a", Equal, "b")], Some(at(3000)), until)).await,
        "Failed to create silence: start time must be before end time"
    );
    assert_eq!(
        refused(draft(&[("a", Equal, "b")], until, until)).await,
        "Failed to create silence: start time must be before end time"
    );
    assert_eq!(
        refused(draft(&[("a", Equal, "b")], Some(at(1)), Some(at(2)))).await,
        "Failed to create silence: end time can't be in the past"
    );
    assert_eq!(
        refused(draft(&[("", Equal, "b")], None, until)).await,
        r#"invalid silence: invalid label matcher 0 in set 0: invalid label name """#
    );
    let bad_regex = refused(draft(&[("x", Equal, "y"), ("a", Regex, "[")], None, until)).await;
    assert!(
        bad_regex.starts_with(r#"invalid silence: invalid label matcher 1 in set 0: invalid regular expression "[": "#),
        "{bad_regex}"
    );
    for (op, value) in [(Equal, ""), (Regex, ".*")] {
        assert_eq!(
            refused(draft(&[("a", op, value)], None, until)).await,
            "invalid silence: matcher set 0: at least one matcher must not match the empty string"
        );
    }
    let unknown = Draft { id: Some("nobody".to_owned()), ..plain(100) };
    assert_eq!(refused(unknown).await, "silence not found");
}

#[tokio::test(start_paused = true)]
async fn a_negation_of_the_empty_string_is_accepted() {
    let silences = open(&MemoryDisk::new());
    silences.set(draft(&[("a", MatchOp::NotEqual, "")], None, Some(at(2000)))).await.unwrap();
    assert_eq!(silences.counts(at(1000)), Counts { active: 1, pending: 0, expired: 0 });
}

#[tokio::test(start_paused = true)]
async fn limits_refuse_and_change_nothing() {
    let silences =
        open_with(&MemoryDisk::new(), SilencesConfig { count_max: 2, size_bytes_max: 300, ..config() }).unwrap();
    let first = silences.set(plain(100)).await.unwrap();
    let large = Draft { comment: "x".repeat(1000), ..plain(100) };
    let error = silences.set(large).await.unwrap_err().to_string();
    assert!(
        error.starts_with("silence exceeded maximum size: 1") && error.ends_with(" bytes (limit: 300 bytes)"),
        "{error}"
    );
    silences.set(plain(200)).await.unwrap();
    let text = "exceeded maximum number of silences: 2 (limit: 2)";
    assert_eq!(silences.set(plain(300)).await.unwrap_err().to_string(), text);
    // A replacement counts, and the old one lives on; an edit in place does not count.
    let id = Some(first.to_string());
    let moved = Draft { id: id.clone(), starts_at: Some(at(1050)), ..plain(300) };
    assert_eq!(silences.set(moved).await.unwrap_err().to_string(), text);
    assert_eq!(silences.get(first.as_str()).unwrap().1, State::Active);
    assert_eq!(silences.set(Draft { id, ..plain(300) }).await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn an_active_silence_keeps_its_id_while_matchers_and_start_stay() {
    let silences = open(&MemoryDisk::new());
    let two = [("a", MatchOp::Equal, "b"), ("c", MatchOp::Regex, "d.*")];
    let id = silences.set(draft(&two, None, Some(at(2000)))).await.unwrap();
    let edit = |draft: Draft| Draft { id: Some(id.to_string()), ..draft };
    let start = Some(at(1000) + TimeDelta::milliseconds(900));
    let edited = silences.set(edit(draft(&two, start, Some(at(1500))))).await.unwrap();
    assert_eq!(edited, id);
    assert_eq!(silences.get(id.as_str()).unwrap().0.ends_at, at(1500));
    // The same matchers in another order are others.
    let turned = silences.set(edit(draft(&[two[1], two[0]], start, Some(at(1500))))).await.unwrap();
    assert_ne!(turned, id);
    let (old, state) = silences.get(id.as_str()).unwrap();
    assert_eq!((state, old.ends_at, old.expires_at), (State::Expired, at(1000), at(1000) + TimeDelta::hours(1)));
    // An expired one is left alone.
    let again = silences.set(edit(draft(&two, start, Some(at(1500))))).await.unwrap();
    assert!(again != id && again != turned);
    assert_eq!(silences.get(id.as_str()).unwrap().0, old);
}

#[tokio::test(start_paused = true)]
async fn a_pending_silence_keeps_its_id_while_it_stays_in_the_future() {
    let silences = open(&MemoryDisk::new());
    let id = silences.set(Draft { starts_at: Some(at(1500)), ..plain(1000) }).await.unwrap();
    let edit = |start| Draft { id: Some(id.to_string()), starts_at: Some(at(start)), ..plain(1000) };
    assert_eq!(silences.set(edit(1600)).await.unwrap(), id);
    let new = silences.set(edit(900)).await.unwrap();
    assert_ne!(new, id);
    assert_eq!(silences.get(new.as_str()).unwrap().0.starts_at, at(1000));
    let old = silences.get(id.as_str()).unwrap().0;
    assert_eq!((old.starts_at, old.ends_at), (at(1000), at(1000)));
}

#[tokio::test(start_paused = true)]
async fn expiring_ends_now_and_again_changes_nothing() {
    let silences = open(&MemoryDisk::new());
    let id = silences.set(plain(500)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    silences.expire(id.as_str()).await.unwrap();
    let (ended, state) = silences.get(id.as_str()).unwrap();
    assert_eq!((ended.ends_at, ended.updated_at, state), (at(1010), at(1010), State::Expired));
    silences.expire(id.as_str()).await.unwrap();
    assert_eq!(silences.get(id.as_str()).unwrap().0, ended);
    assert!(matches!(silences.expire("nobody").await, Err(ExpireError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_active_pending_and_expired_ones_in_order() {
    let silences = open(&MemoryDisk::new());
    {
        let mut ledger = silences.ledger();
        for (id, start, end) in
            [("p2", 3000, 9000), ("p1", 2000, 9500), ("a2", 0, 8000), ("a1", 0, 7000), ("x1", 0, 100), ("x2", 0, 200)]
        {
            ledger.put(Arc::new(silence(id, "a=b,c=~d", start, end, 0)), at(1000));
        }
    }
    let ids = |query: &Query| silences.query(query).iter().map(|(s, _)| s.id.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(ids(&Query::default()), "a1 a2 p1 p2 x2 x1");
    assert_eq!(ids(&Query { expired: false, active: false, ..Query::default() }), "p1 p2");
    let filtered = |text| Query { filters: matchers(text).into(), pending: false, expired: false, active: true };
    assert_eq!(ids(&filtered("a=b")), "a1 a2");
    assert_eq!(ids(&filtered("a=b,c=~d")), "a1 a2");
    assert_eq!(ids(&filtered("c=d")), "");
    assert_eq!(silences.counts(at(1000)), Counts { active: 2, pending: 2, expired: 2 });
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_silence_survives_a_loss_of_power() {
    let disk = MemoryDisk::new();
    let silences = open(&disk);
    let id = silences.set(plain(500)).await.unwrap();
    let ended = silences.set(plain(600)).await.unwrap();
    silences.expire(ended.as_str()).await.unwrap();
    let before = silences.query(&Query::default());
    disk.lose_power(|| false);
    drop(silences);
    let silences = open(&disk);
    assert_eq!(silences.query(&Query::default()), before);
    let alert = labels(&[("a", "b")]);
    assert_eq!(silences.silenced_by(alert.fingerprint(), &alert, at(1001)), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_the_disk_does_not_take_is_in_effect_and_says_so() {
    let disk = MemoryDisk::new();
    let silences = open(&disk);
    disk.fail(Some(io::ErrorKind::StorageFull), 0);
    let Err(SetError::NotDurable(error)) = silences.set(plain(500)).await else { panic!("should have failed") };
    assert!(error.to_string().contains("is in effect, but could not be written to disk yet"), "{error}");
    let alert = labels(&[("a", "b")]);
    assert_eq!(silences.silenced_by(alert.fingerprint(), &alert, at(1001)), [error.id]);
    disk.fail(None, 0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    disk.lose_power(|| false);
    drop(silences);
    assert_eq!(open(&disk).counts(at(1001)).active, 1);
}

#[tokio::test(start_paused = true)]
async fn of_store_and_snapshot_the_newer_record_wins() {
    let disk = MemoryDisk::new();
    let silences = open(&disk);
    for (id, updated_at) in [("older", 1), ("newer", 9)] {
        assert!(silences.merge(&wire::encode(&silence(id, "a=b", 0, 5000, updated_at))).unwrap());
    }
    silences.store.flush().await.unwrap();
    drop(silences);
    let mut file = Vec::new();
    for id in ["older", "newer", "unknown"] {
        snapshot::encode(&wire::message(&silence(id, "a=b", 0, 900, 5)), &mut Vec::new(), &mut file).unwrap();
    }
    disk.set_file(SNAPSHOT, file);
    let silences = open(&disk);
    let states = |id| silences.get(id).unwrap().1;
    assert_eq!([states("older"), states("newer"), states("unknown")], [State::Expired, State::Active, State::Expired]);
}

#[tokio::test(start_paused = true)]
async fn maintenance_forgets_after_the_retention_and_writes_what_the_next_start_reads() {
    let disk = MemoryDisk::new();
    let silences = open(&disk);
    let gone = silences.set(plain(10)).await.unwrap();
    let kept = silences.set(plain(100_000)).await.unwrap();
    silences.maintain(at(1000 + 3600)).unwrap();
    assert!(silences.get(gone.as_str()).is_some());
    silences.maintain(at(1010 + 3600)).unwrap();
    assert!(silences.get(gone.as_str()).is_none());
    silences.store.close().await.unwrap();
    drop(silences);
    disk.set_database(Vec::new());
    let silences = open(&disk);
    assert_eq!(silences.query(&Query::default()).iter().map(|(s, _)| s.id.clone()).collect::<Vec<_>>(), [kept]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_snapshot_ends_the_start() {
    let disk = MemoryDisk::new();
    let mut file = Vec::new();
    snapshot::encode(&wire::message(&silence("x", "a=b", 0, 1, 1)), &mut Vec::new(), &mut file).unwrap();
    file.pop();
    disk.set_file(SNAPSHOT, file);
    let error = open_with(&disk, config()).err().unwrap().to_string();
    assert_eq!(error, "silences is damaged: unexpected EOF; move it away to start without it");
}

#[test]
fn a_silence_comes_back_from_its_bytes() {
    let mut original = silence("id", "a=b,c!=d,e=~\"f.*\",g!~h", 10, 20, 15);
    original.matcher_sets = Arc::from([matchers("a=b"), matchers("c=~\"d|e\"")]);
    assert_eq!(wire::decode(&wire::encode(&original)).unwrap(), original);
}

#[test]
fn matchers_that_do_not_compile_are_kept_but_silence_nothing() {
    use prost::Message;
    // MeshSilence { silence { id: "x", matchers: [{ type: REGEXP, name: "a", pattern: "(" }], comments: [{…}] } }
    let bytes = [
        &b"\x0a\x17\x0a\x01x\x12\x08\x08\x01\x12\x01a\x1a\x01(\x3a\x08\x0a\x02me\x12\x02ok"[..],
        &b"\x12\x02\x08\x05"[..],
    ]
    .concat();
    let read = wire::decode(&bytes).unwrap();
    assert!(!read.is_usable() && !read.matches(&labels(&[("a", "(")])));
    assert_eq!((&*read.created_by, &*read.comment, read.expires_at), ("me", "ok", at(5)));
    let again = MeshSilence::decode(&*wire::encode(&read)).unwrap();
    assert_eq!(wire::read(again).unwrap(), read);
}

#[test]
fn an_edit_is_newer_than_what_it_edits_even_if_the_clock_went_back() {
    let old = silence("x", "a=b", 0, 2000, 1500);
    assert!(is_newer(&old.expired(at(1000), RETENTION), &old));
}

#[test]
fn a_silence_that_began_when_it_was_made_is_in_force_where_the_clock_is_behind() {
    let mut ledger = Ledger::default();
    // Made at 100 by a clock that is right, and heard of at 30.
    for made in [silence("now", "a=b", 100, 200, 100), silence("later", "a=b", 150, 200, 100)] {
        ledger.put(Arc::new(made), at(30));
    }
    let active = ledger.silenced_by(Fingerprint(1), &labels(&[("a", "b")]), at(30), &mut Work::default());
    assert_eq!(active.iter().map(|silence| silence.id.as_str()).collect::<Vec<_>>(), ["now"]);
    let counts = ledger.counts(at(30));
    assert_eq!((counts.active, counts.pending), (1, 1));
}

// All silences together, against the plain rule: every silence is asked about every alert.

const NAMES: [&str; 3] = ["a", "b", "c"];

fn a_matcher() -> impl Strategy<Value = String> {
    let value = prop_oneof![Just("x"), Just("y"), Just("x|y"), Just("x.*"), Just("")];
    (0..3usize, prop_oneof![Just("="), Just("!="), Just("=~"), Just("!~")], value)
        .prop_map(|(name, op, value)| format!("{}{op}\"{value}\"", NAMES[name]))
}

fn some_matchers() -> impl Strategy<Value = String> {
    proptest::collection::vec(a_matcher(), 1..4).prop_map(|matchers| matchers.join(","))
}

#[derive(Clone, Debug)]
enum Step {
    Put { id: u8, text: String, starts_at: i64, ends_at: i64 },
    Move(i64),
    Collect,
    Forget(usize),
    Ask(usize),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u8, some_matchers(), 0..40i64, 0..40i64)
            .prop_map(|(id, text, starts_at, length)| Step::Put { id, text, starts_at, ends_at: starts_at + length }),
        2 => (-3..9i64).prop_map(Step::Move),
        1 => Just(Step::Collect),
        1 => (0..9usize).prop_map(Step::Forget),
        4 => (0..9usize).prop_map(Step::Ask),
    ]
}

fn an_alert(number: usize) -> Labels {
    let value = |place: usize| ["", "x", "y"][number / 3usize.pow(u32::try_from(place).unwrap()) % 3];
    NAMES.iter().enumerate().map(|(place, name)| (*name, value(place))).filter(|(_, value)| !value.is_empty()).collect()
}

proptest! {
    #[test]
    fn an_alert_is_silenced_by_exactly_those_that_fit_it_and_are_active(
        steps in proptest::collection::vec(a_step(), 1..60), scanned in any::<bool>(),
    ) {
        let mut ledger = Ledger::default();
        let mut plain: BTreeMap<SilenceId, Silence> = BTreeMap::new();
        let mut now = 10;
        // Fillers make the ledger use its index rather than a scan.
        if !scanned {
            (0..20).for_each(|n| ledger.put(Arc::new(silence(&format!("f{n}"), "z=z", -1000, 1000, 0)), at(now)));
        }
        let fillers = if scanned { 0 } else { 20 };
        for step in steps {
            match step {
                Step::Put { id, text, starts_at, ends_at } => {
                    let new = silence(&id.to_string(), &text, starts_at, ends_at, 0);
                    let new = Silence { expires_at: at(ends_at + 5), ..new };
                    plain.insert(new.id.clone(), new.clone());
                    ledger.put(Arc::new(new), at(now));
                }
                Step::Move(seconds) => now += seconds,
                Step::Collect => {
                    plain.retain(|_, silence| silence.expires_at > at(now));
                    ledger.collect_garbage(at(now));
                }
                Step::Forget(alert) => ledger.forget(an_alert(alert).fingerprint()),
                Step::Ask(alert) => {
                    let labels = an_alert(alert);
                    let found = ledger.silenced_by(labels.fingerprint(), &labels, at(now), &mut Work::default());
                    let mut found: Vec<_> = found.iter().map(|silence| silence.id.clone()).collect();
                    found.sort();
                    let fitting = plain.values().filter(|s| s.silences_at(at(now)) && s.matches(&labels));
                    prop_assert_eq!(found, fitting.map(|s| s.id.clone()).collect::<Vec<_>>());
                }
            }
            let states = |state| plain.values().filter(|s| s.state(at(now)) == state).count();
            let counts = ledger.counts(at(now));
            let want = (states(State::Active) + fillers, states(State::Pending), states(State::Expired));
            prop_assert_eq!((counts.active, counts.pending, counts.expired), want);
        }
    }

    #[test]
    fn of_two_records_both_nodes_keep_the_same(
        a in (some_matchers(), 0..3i64), b in (some_matchers(), 0..3i64),
    ) {
        let (a, b) = (silence("x", &a.0, 0, 10, a.1), silence("x", &b.0, 0, 10, b.1));
        let first = if is_newer(&b, &a) { &b } else { &a };
        let second = if is_newer(&a, &b) { &a } else { &b };
        prop_assert_eq!(first, second);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::decode(&bytes);
    }
}
