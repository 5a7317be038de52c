//! The record on a disk in memory that tears, fills up and breaks, and on a real one.

use std::{collections::HashMap, io::ErrorKind, sync::Arc, time::Duration};

use super::*;
use crate::{
    alert::{
        Fingerprint, Labels,
        matcher::{ParseMode, parse_matcher},
    },
    clock::Clock,
    store::{Directory, MemoryDisk, testing::metrics},
};

const CONFIG: DecisionsConfig = DecisionsConfig { bytes_max: 4 << 20, age_max: Duration::from_secs(120 * 3600) };

/// A node's record, in virtual time.
struct Bench {
    disk: MemoryDisk,
    clock: Clock,
    metrics: Arc<Metrics>,
    decisions: Decisions,
    reader: Reader,
    runs: Mutex<HashMap<String, Run>>,
}

impl Bench {
    fn new(config: DecisionsConfig) -> Self {
        let clock = Clock::simulated(Time::from_timestamp(1_800_000_000, 0).unwrap());
        Self::on(MemoryDisk::new(), clock, config)
    }

    fn on(disk: MemoryDisk, clock: Clock, config: DecisionsConfig) -> Self {
        let metrics = metrics();
        let seam: Arc<dyn Disk> = Arc::new(disk.clone());
        let decisions = Decisions::open(config, "n1", &seam, &clock, &metrics, WriterMode::Task);
        let reader = Reader::new(decisions.clone(), "n1", None);
        Bench { disk, clock, metrics, decisions, reader, runs: Mutex::default() }
    }

    /// After `kill -9`.
    fn restarted(self) -> Self {
        Self::on(self.disk, self.clock, CONFIG)
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// An attempt that was taken.
    fn tell(&self, name: &str) {
        self.decisions.record(lock(&self.runs).entry(name.to_owned()).or_default(), || Box::new(told(name)));
    }

    /// A look after which nothing was due.
    fn idle(&self, name: &str) {
        let mut runs = lock(&self.runs);
        let run = runs.entry(name.to_owned()).or_default();
        self.decisions.note(run, Signature::new().with_text(name), self.clock.now(), || {
            let decision = Decision { outcome: Outcome::NotDue, why: Why::NothingNew, ..told(name) };
            Box::new(Decision { attempt: None, log: None, ..decision })
        });
    }

    async fn find(&self, query: Query) -> Vec<String> {
        names(&self.reader.local(&query).await)
    }

    async fn all(&self) -> Vec<String> {
        self.find(Query { limit: 500, ..Query::default() }).await
    }

    fn files(&self) -> Vec<(String, u64)> {
        self.disk.list("decisions").unwrap()
    }
}

fn labels(name: &str) -> Labels {
    [("alertname", name), ("job", "test")].into_iter().collect()
}

fn told(name: &str) -> Decision {
    let group = Group {
        key: format!("{{}}:{{alertname={name:?}}}").into(),
        labels: [("alertname", name)].into_iter().collect(),
        route: "{}".into(),
    };
    let alert = Alert {
        fingerprint: labels(name).fingerprint(),
        labels: Some(labels(name)),
        status: Status::Firing,
        told: true,
        muted: None,
    };
    let at = Time::from_timestamp(1_800_000_000, 0).unwrap();
    Decision {
        integration: Some(Slot { kind: "webhook".into(), index: 0 }),
        alerts: vec![alert],
        totals: Totals { firing: 1, ..Totals::default() },
        attempt: Some(Attempt {
            number: 1,
            sent: at,
            took: Duration::from_millis(20),
            error: None,
            kind: None,
            handed_over: false,
        }),
        log: Some(Logged { tells: 1, at }),
        ..Decision::new(Outcome::Told, Why::FirstNotification, "team".into(), Arc::new(group))
    }
}

/// `outcome alertname ×count` of each.
fn names(page: &Page) -> Vec<String> {
    let line = |decision: &Decision| {
        let name = decision.group.labels.get("alertname").unwrap_or("?");
        let times = if decision.count == 1 { String::new() } else { format!(" x{}", decision.count) };
        format!("{} {name}{times}", decision.outcome.as_str())
    };
    page.decisions.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_found_whole_newest_first_also_after_a_restart() {
    let bench = Bench::new(CONFIG);
    bench.tell("a");
    bench.pass(5).await;
    bench.tell("b");
    assert_eq!(bench.all().await, ["told b", "told a"]);
    let bench = bench.restarted();
    bench.tell("c");
    let page = bench.reader.local(&Query::default()).await;
    assert_eq!(names(&page), ["told c", "told b", "told a"]);
    let ids: Vec<u64> = page.decisions.iter().map(|decision| decision.id).collect();
    assert_eq!(ids, [3, 2, 1]);
    let b = &page.decisions[1];
    let at = Time::from_timestamp(1_800_000_005, 0).unwrap();
    assert_eq!(*b, Decision { node: "n1".into(), id: 2, at, last: at, ..told("b") });
    assert_eq!(page.nodes.len(), 1);
    assert_eq!((page.nodes[0].state, page.nodes[0].newest), (Answered::Yes, Some(at)));
}

#[tokio::test(start_paused = true)]
async fn quiet_groups_do_not_fill_the_record() {
    let bench = Bench::new(CONFIG);
    for _ in 0..36 {
        for group in 0..200 {
            bench.idle(&format!("g{group}"));
        }
        bench.pass(300).await;
    }
    let page = bench.reader.local(&Query { limit: 500, ..Query::default() }).await;
    assert_eq!(page.decisions.len(), 200);
    assert!(page.decisions.iter().all(|decision| decision.count == 36));
    let (first, last) = (page.decisions[0].at, page.decisions[0].last);
    assert_eq!((last - first).num_minutes(), 35 * 5);
    assert_eq!(bench.metrics.decisions_recorded_total.get(), 200);
}

#[tokio::test(start_paused = true)]
async fn counts_survive_a_clean_stop_and_otherwise_up_to_the_last_hour() {
    let bench = Bench::new(CONFIG);
    for _ in 0..15 {
        bench.idle("a");
        bench.pass(300).await;
        // Written down when there is something to write anyway, or every ten minutes.
        bench.tell("z");
    }
    let bench = bench.restarted();
    let of_a = Query { fingerprint: Some(labels("a").fingerprint()), ..Query::default() };
    assert_eq!(
        bench.find(of_a.clone()).await,
        ["not_due a x12"],
        "as of one hour after the first, when it was written down"
    );
    bench.idle("b");
    bench.idle("b");
    bench.decisions.close().await;
    let bench = bench.restarted();
    assert_eq!(bench.all().await[..1], ["not_due b x2"]);
    assert_eq!(bench.find(of_a).await, ["not_due a x12"]);
}

#[tokio::test(start_paused = true)]
async fn something_else_between_ends_the_count() {
    let bench = Bench::new(CONFIG);
    for act in [Bench::idle, Bench::idle, Bench::tell, Bench::idle, Bench::idle, Bench::idle] {
        act(&bench, "a");
        bench.pass(60).await;
    }
    assert_eq!(bench.all().await, ["not_due a x3", "told a", "not_due a x2"]);
}

#[tokio::test(start_paused = true)]
async fn filters_select_by_alert_receiver_outcome_and_time() {
    let bench = Bench::new(CONFIG);
    for name in ["a", "b", "c"] {
        bench.tell(name);
        bench.pass(60).await;
        bench.idle(name);
        bench.pass(60).await;
    }
    let matchers = |text: &str| vec![parse_matcher(ParseMode::Utf8, text).unwrap()];
    let with = |matcher: &str| Query { matchers: matchers(matcher), ..Query::default() };
    assert_eq!(bench.find(with("alertname=\"a\"")).await, ["not_due a", "told a"]);
    assert_eq!(bench.find(with("alertname=~\"a|c\"")).await, ["not_due c", "told c", "not_due a", "told a"]);
    assert_eq!(bench.find(with("none!=\"\"")).await, [""; 0]);
    let fingerprint = Some(labels("b").fingerprint());
    assert_eq!(bench.find(Query { fingerprint, ..Query::default() }).await, ["not_due b", "told b"]);
    let outcomes = vec![Outcome::Told];
    assert_eq!(bench.find(Query { outcomes, ..Query::default() }).await, ["told c", "told b", "told a"]);
    let receiver = |text: &str| Query { receiver: Some(Pattern::new(text).unwrap()), ..Query::default() };
    assert_eq!((bench.find(receiver("te.m")).await.len(), bench.find(receiver("te")).await.len()), (6, 0));
    let at = |seconds: i64| Time::from_timestamp(1_800_000_000 + seconds, 0);
    let between = Query { since: at(100), until: at(190), ..Query::default() };
    assert_eq!(bench.find(between).await, ["not_due b", "told b"]);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_found_by_its_last_time() {
    let bench = Bench::new(CONFIG);
    for _ in 0..20 {
        bench.idle("a");
        bench.pass(600).await;
    }
    let since = Some(bench.clock.now() - TimeDelta::minutes(15));
    assert_eq!(bench.find(Query { since, ..Query::default() }).await, ["not_due a x20"]);
    let since = Some(bench.clock.now() - TimeDelta::minutes(5));
    assert_eq!(bench.find(Query { since, ..Query::default() }).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other_without_gap_while_new_lines_come() {
    let bench = Bench::new(CONFIG);
    for number in 0..25 {
        bench.tell(&format!("g{number}"));
        bench.pass(1).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = bench.reader.local(&Query { limit: 10, cursor, ..Query::default() }).await;
        seen.extend(names(&page));
        bench.tell("new");
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
        if cursor.is_none() {
            break;
        }
    }
    let want: Vec<String> = (0..25).rev().map(|number| format!("told g{number}")).collect();
    assert_eq!(seen, want);
}

#[tokio::test(start_paused = true)]
async fn alerts_of_a_huge_group_that_are_only_counted_are_found_by_its_labels() {
    let bench = Bench::new(CONFIG);
    let decision = told("a");
    let totals = Totals { firing: 1_000, ..Totals::default() };
    bench.decisions.record(&mut Run::default(), || Box::new(Decision { totals, ..decision }));
    let hidden: Labels = [("alertname", "a"), ("job", "hidden")].into_iter().collect();
    let query = |labels: &Labels| Query {
        fingerprint: Some(labels.fingerprint()),
        labels: Some(labels.clone()),
        ..Query::default()
    };
    assert_eq!(bench.find(query(&hidden)).await.len(), 1);
    let other: Labels = [("alertname", "b"), ("job", "hidden")].into_iter().collect();
    assert_eq!(bench.find(query(&other)).await.len(), 0);
    let unknown = Query { fingerprint: Some(Fingerprint(1)), ..Query::default() };
    assert_eq!(bench.find(unknown).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_record_stays_within_its_size_and_the_oldest_goes_first() {
    let config = DecisionsConfig { bytes_max: 1 << 20, ..CONFIG };
    let bench = Bench::new(config);
    for number in 0..20_000 {
        bench.tell(&format!("g{number}"));
        let size: u64 = bench.files().iter().map(|(_, bytes)| bytes).sum();
        assert!(size <= 1 << 20, "{size} bytes after {number}");
    }
    let page = bench.reader.local(&Query::default()).await;
    assert_eq!(names(&page)[0], "told g19999");
    let outcomes = vec![Outcome::Told];
    let oldest =
        Query { matchers: vec![parse_matcher(ParseMode::Utf8, "alertname=g0").unwrap()], outcomes, ..Query::default() };
    assert!(bench.find(oldest).await.is_empty());
    assert!(bench.metrics.decisions_size_bytes.get() > 900_000);
}

#[tokio::test(start_paused = true)]
async fn the_record_stays_within_its_age() {
    let bench = Bench::new(DecisionsConfig { age_max: Duration::from_secs(16 * 3600), ..CONFIG });
    for hour in 0..30 {
        bench.tell(&format!("h{hour}"));
        bench.pass(3600).await;
    }
    let all = bench.all().await;
    assert_eq!((all.first().unwrap().as_str(), all.last().unwrap().as_str()), ("told h29", "told h14"));
    assert!(bench.files().len() <= 18, "{:?}", bench.files());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_loses_only_its_damaged_part() {
    let bench = Bench::new(CONFIG);
    for name in ["a", "b", "c"] {
        bench.tell(name);
    }
    let [(file, _)] = bench.files().try_into().unwrap();
    let name = format!("decisions/{file}");
    let whole = bench.disk.read(&name).unwrap().unwrap();
    let third = whole.len() / 3;
    let damaged = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xFF;
        bytes
    };
    for (place, want) in
        [(10, ["told c", "told b"]), (third + 10, ["told c", "told a"]), (2 * third + 30, ["told b", "told a"])]
    {
        bench.disk.set_file(&name, damaged(place));
        assert_eq!(bench.all().await, want, "{place}");
    }
    // Torn in the middle of the last block, then written on after a restart.
    bench.disk.set_file(&name, whole[..whole.len() - 5].to_vec());
    let bench = bench.restarted();
    bench.tell("d");
    assert_eq!(bench.all().await, ["told d", "told b", "told a"]);
    bench.disk.set_file(&name, vec![0xCA; 100_000]);
    assert_eq!(bench.restarted().all().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_costs_decisions_and_nothing_else() {
    let bench = Bench::new(CONFIG);
    bench.tell("a");
    bench.disk.fail(Some(ErrorKind::StorageFull), 0);
    bench.tell("b");
    bench.tell("c");
    assert_eq!(bench.metrics.decisions_write_errors_total.get(), 2);
    bench.disk.fail(None, 0);
    bench.tell("d");
    assert_eq!(bench.all().await, ["told d", "told a"]);
    assert_eq!(bench.restarted().all().await, ["told d", "told a"]);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_keeps_nothing_and_says_so() {
    let bench = Bench::new(DecisionsConfig { bytes_max: 0, ..CONFIG });
    bench.tell("a");
    bench.idle("a");
    let page = bench.reader.local(&Query::default()).await;
    assert!(page.decisions.is_empty() && !bench.reader.is_on() && bench.files().is_empty());
    assert_eq!(page.nodes[0].state, Answered::Off);
    let never = DecisionsConfig { age_max: Duration::ZERO, ..CONFIG };
    assert!(!Bench::new(never).reader.is_on());
}

/// A reader whose peers are these benches, and one that never answers.
fn reader_among(own: &Bench, peers: Vec<(&'static str, Option<Reader>)>) -> Reader {
    let ask: AskPeers = Arc::new(move |subject, question, _| {
        let peers = peers.clone();
        Box::pin(async move {
            let mut answers = Vec::new();
            for (name, reader) in peers {
                let answer = match reader {
                    Some(reader) => reader.answer(subject, question(name)).await,
                    None => None,
                };
                answers.push((Arc::from(name), answer));
            }
            answers
        })
    });
    Reader::new(own.decisions.clone(), "n1", Some(ask))
}

#[tokio::test(start_paused = true)]
async fn nodes_are_asked_and_their_answers_merged_and_the_silent_ones_named() {
    let clock = Clock::simulated(Time::from_timestamp(1_800_000_000, 0).unwrap());
    let own = Bench::on(MemoryDisk::new(), clock.clone(), CONFIG);
    let other = Bench::on(MemoryDisk::new(), clock.clone(), CONFIG);
    let off = Bench::on(MemoryDisk::new(), clock, DecisionsConfig { bytes_max: 0, ..CONFIG });
    for number in 0..20 {
        let bench = if number % 3 == 0 { &own } else { &other };
        bench.tell(&format!("g{number}"));
        own.pass(1).await;
    }
    let peers = vec![("n2", Some(other.reader.clone())), ("n3", None), ("n4", Some(off.reader.clone()))];
    let reader = reader_among(&own, peers);
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.everywhere(&Query { limit: 7, cursor, ..Query::default() }).await;
        let states: Vec<(&str, Answered)> = page.nodes.iter().map(|node| (&*node.node, node.state)).collect();
        assert_eq!(states, [("n1", Answered::Yes), ("n2", Answered::Yes), ("n3", Answered::No), ("n4", Answered::Off)]);
        seen.extend(names(&page));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let want: Vec<String> = (0..20).rev().map(|number| format!("told g{number}")).collect();
    assert_eq!(seen, want);
    assert_eq!(names(&reader.local(&Query::default()).await).len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_question_keeps_its_meaning_on_the_way() {
    let bench = Bench::new(CONFIG);
    bench.tell("a");
    bench.idle("a");
    bench.tell("b");
    let matchers = ["alertname=~\"a|b\"", "job!=\"x\"", "nothing!~\".+\""];
    let query = Query {
        matchers: matchers.map(|text| parse_matcher(ParseMode::Utf8, text).unwrap()).to_vec(),
        fingerprint: Some(labels("a").fingerprint()),
        labels: Some(labels("a")),
        receiver: Some(Pattern::new("te.*").unwrap()),
        outcomes: vec![Outcome::Told, Outcome::Left],
        since: Some(bench.clock.now() - TimeDelta::seconds(1)),
        until: Some(bench.clock.now()),
        limit: 5,
        cursor: None,
    };
    let bytes = inquiry::write_query(&query, "n1");
    let (read, below) = inquiry::read_query(&bytes).unwrap();
    assert_eq!((&read.matchers, &read.labels, read.since, below), (&query.matchers, &query.labels, query.since, None));
    assert_eq!(inquiry::write_query(&read, "n1"), bytes);
    assert_eq!(names(&bench.reader.local(&read).await), ["told a"]);
}

#[tokio::test]
async fn on_a_real_disk_it_is_written_in_the_background() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Directory::create(directory.path()).unwrap());
    let open = || Decisions::open(CONFIG, "n1", &disk, &Clock::system(), &metrics(), WriterMode::Thread);
    let decisions = open();
    for number in 0..2_000 {
        decisions.record(&mut Run::default(), || Box::new(told(&format!("g{number}"))));
    }
    let reader = Reader::new(decisions.clone(), "n1", None);
    let page = reader.local(&Query { limit: 500, ..Query::default() }).await;
    assert_eq!((page.decisions.len(), names(&page)[0].as_str()), (500, "told g1999"));
    decisions.close().await;
    assert!(directory.path().join("decisions").is_dir());
    let reader = Reader::new(open(), "n1", None);
    let page = reader.local(&Query::default()).await;
    assert_eq!((page.decisions[0].id, names(&page)[0].as_str()), (2_000, "told g1999"));
}

/// A look that left these alerts out because of these silences: name, silences, whether it fires.
fn quiet(name: &str, alerts: &[(&str, &[&str], bool)]) -> Decision {
    let base = told(name);
    let alert = |(alert, silences, fires): &(&str, &[&str], bool)| Alert {
        fingerprint: labels(alert).fingerprint(),
        labels: Some(labels(alert)),
        status: if *fires { Status::Firing } else { Status::Resolved },
        told: false,
        muted: Some(Arc::new(Muted::Silences(silences.iter().map(|id| (*id).into()).collect()))),
    };
    Decision {
        outcome: Outcome::Quiet,
        why: Why::Muted,
        integration: None,
        alerts: alerts.iter().map(alert).collect(),
        totals: Totals { muted: u32::try_from(alerts.len()).unwrap(), ..Totals::default() },
        attempt: None,
        log: None,
        ..base
    }
}

impl Bench {
    fn look(&self, name: &str, alerts: &[(&str, &[&str], bool)]) {
        self.decide(name, 1, || quiet(name, alerts));
    }

    /// `kind`: what makes it the decision of before, or another one.
    fn decide(&self, name: &str, kind: u64, make: impl FnOnce() -> Decision) {
        let mut runs = lock(&self.runs);
        let run = runs.entry(name.to_owned()).or_default();
        self.decisions.note(run, Signature::new().with(kind), self.clock.now(), || Box::new(make()));
    }

    /// How many seconds ago, and how many alerts.
    async fn quieted(&self, id: &str) -> Option<(i64, u32, bool)> {
        let found = self.reader.quieted(&[id.into()]).await;
        found.get(id).map(|last| ((self.clock.now() - last.at).num_seconds(), last.alerts, last.or_more))
    }

    async fn known_since(&self) -> i64 {
        (self.clock.now() - self.reader.quieted(&[]).await.since.unwrap()).num_seconds()
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_look_that_a_silence_kept_quiet_is_known_through_repeats_and_restarts() {
    let bench = Bench::new(CONFIG);
    let alerts: [(&str, &[&str], bool); 4] =
        [("a", &["s1"], true), ("b", &["s1", "s2"], true), ("c", &["s1"], true), ("d", &["s1"], false)];
    bench.look("g", &alerts);
    assert_eq!([bench.quieted("s1").await, bench.quieted("s2").await], [Some((0, 3, false)), Some((0, 1, false))]);
    // The same again is counted only, and is a look all the same.
    bench.pass(30).await;
    bench.look("g", &alerts);
    bench.pass(5).await;
    assert_eq!([bench.quieted("s1").await, bench.quieted("s3").await], [Some((5, 3, false)), None]);
    // A look of another group, and one that the silence has nothing to do with.
    bench.look("h", &[("x", &["s1"], true)]);
    bench.pass(5).await;
    bench.tell("i");
    assert_eq!([bench.quieted("s1").await, bench.quieted("s2").await], [Some((5, 1, false)), Some((10, 1, false))]);
    // The run of `g` ends, is swept, and is not forgotten.
    bench.decide("g", 2, || told("g"));
    bench.pass(601).await;
    bench.tell("i");
    assert_eq!([bench.quieted("s1").await, bench.quieted("s2").await], [Some((606, 1, false)), Some((611, 1, false))]);
    bench.decisions.close().await;
    let bench = bench.restarted();
    assert_eq!([bench.quieted("s1").await, bench.quieted("s2").await], [Some((606, 1, false)), Some((611, 1, false))]);
    assert_eq!(bench.known_since().await, 641, "as far as the files reach");
}

#[tokio::test(start_paused = true)]
async fn what_a_silence_keeps_quiet_in_a_large_group_is_at_least_what_is_listed() {
    let bench = Bench::new(CONFIG);
    bench.decide("g", 1, || Decision {
        totals: Totals { muted: 300, ..Totals::default() },
        ..quiet("g", &[("a", &["s"], true), ("b", &["s"], true)])
    });
    assert_eq!(bench.quieted("s").await, Some((0, 2, true)));
    assert_eq!(bench.restarted().quieted("s").await, Some((0, 2, true)));
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_record_is_forgotten_and_the_page_knows_since_when() {
    let bench = Bench::new(CONFIG);
    bench.look("g", &[("a", &["s"], true)]);
    bench.tell("b");
    lock(&bench.runs).clear();
    bench.pass(119 * 3600).await;
    bench.tell("b");
    assert_eq!(bench.quieted("s").await, Some((119 * 3600, 1, false)));
    bench.pass(2 * 3600).await;
    bench.tell("b");
    assert_eq!((bench.quieted("s").await, bench.known_since().await), (None, 120 * 3600));
}

#[tokio::test(start_paused = true)]
async fn what_silences_kept_quiet_is_asked_of_all_and_the_newest_counts() {
    let clock = Clock::simulated(Time::from_timestamp(1_800_000_000, 0).unwrap());
    let own = Bench::on(MemoryDisk::new(), clock.clone(), CONFIG);
    own.look("g", &[("a", &["s1"], true)]);
    own.pass(10).await;
    let other = Bench::on(MemoryDisk::new(), clock.clone(), CONFIG);
    other.look("g", &[("a", &["s1", "s2"], true), ("b", &["s1"], true)]);
    let off = Bench::on(MemoryDisk::new(), clock, DecisionsConfig { bytes_max: 0, ..CONFIG });
    own.pass(1).await;
    let peers = vec![("n2", Some(other.reader.clone())), ("n3", None), ("n4", Some(off.reader.clone()))];
    let reader = reader_among(&own, peers);
    // More than one question's worth.
    let mut ids: Vec<Arc<str>> = (0..2_500).map(|number| format!("none-{number}").into()).collect();
    ids.extend(["s1".into(), "s2".into()]);
    let found = reader.quieted(&ids).await;
    let (s1, s2) = (found.get("s1").unwrap(), found.get("s2").unwrap());
    assert_eq!(((s1.at, s1.alerts), (s2.at, s2.alerts)), ((s2.at, 2), (own.clock.now() - TimeDelta::seconds(1), 1)));
    assert_eq!(found.get("none-1"), None);
    assert_eq!(found.silent.iter().map(|name| &**name).collect::<Vec<_>>(), ["n3"]);
    // n2 knows of nothing before it began.
    assert_eq!(found.since, Some(own.clock.now() - TimeDelta::seconds(1)));
    assert_eq!(off.reader.quieted(&ids).await, LastQuieted::default());
}

#[test]
fn what_cannot_be_understood_of_silences_is_no_answer() {
    let ids: Vec<Arc<str>> = vec!["a".into(), "b".into()];
    assert_eq!(quieted::read_question(&quieted::write_question(&ids)), Some(ids.clone()));
    let many: Vec<Arc<str>> = vec!["a".into(); quieted::IDS_MAX + 1];
    assert_eq!(
        (quieted::read_question(&quieted::write_question(&many)), quieted::read_question(b"\xff")),
        (None, None)
    );
    let at = Time::from_timestamp(1_800_000_000, 0).unwrap();
    let known = Known { last: vec![None, Some(Last { at, alerts: 3, or_more: true })], since: at };
    let bytes = quieted::write_answer(Some(&known));
    assert_eq!(quieted::read_answer(&bytes, &ids), Some(Some(known)));
    // Places that were not asked for are passed over.
    assert_eq!(quieted::read_answer(&bytes, &ids[..1]), Some(Some(Known { last: vec![None], since: at })));
    assert_eq!(quieted::read_answer(&quieted::write_answer(None), &ids), Some(None));
    assert_eq!(quieted::read_answer(b"\xff", &ids), None);
}
