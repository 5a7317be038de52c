//! The rules of claims, one by one.

use super::{claims::*, *};
use crate::clock::Clock;

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> Instant {
    Clock::system().monotonic() + Duration::from_secs(100_000)
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn key() -> LogKey {
    LogKey { group_key: "{}:{}".into(), receiver: "team".into(), integration: "webhook".into(), index: 0 }
}

fn id() -> KeyId {
    KeyId::of(&key())
}

fn circle(me: &str) -> Circle {
    let all = ["a", "b", "c"].map(Name::from).to_vec();
    Circle { me: me.into(), live: all.clone(), ready: all, step: secs(2.0) }
}

/// Three nodes' claims.
struct Three(Vec<(Circle, Claims)>);

impl Three {
    fn new() -> Self {
        Three(["a", "b", "c"].iter().map(|name| (circle(name), Claims::new(0))).collect())
    }

    fn ask(&mut self, place: usize, now: Instant) -> Claim {
        self.0[place].1.ask(id(), 0, MINUTE, now)
    }

    fn answer(&mut self, place: usize, asker: &str, claim: &Claim, now: Instant) -> Reply {
        let (circle, claims) = &mut self.0[place];
        claims.answer(&asker.into(), claim, 0, circle, now)
    }

    fn begin(&mut self, place: usize, now: Instant) -> bool {
        let (circle, claims) = &mut self.0[place];
        claims.begin(id(), 0, circle, now)
    }

    fn others(&mut self, place: usize, base: Instant, now: Instant) -> Others {
        let (circle, claims) = &mut self.0[place];
        claims.others(&key(), 0, base, circle, now)
    }
}

#[test]
fn turns_go_by_name_in_steps() {
    let (now, mut three) = (now(), Three::new());
    let turns: Vec<_> = (0..3).map(|place| three.others(place, now, now).turn - now).collect();
    assert_eq!(turns, [secs(0.0), secs(2.0), secs(4.0)]);
}

#[test]
fn of_two_that_ask_at_once_the_earlier_name_sends() {
    let (now, mut three) = (now(), Three::new());
    let (a, b) = (three.ask(0, now), three.ask(1, now));
    assert!(!three.answer(0, "b", &b, now).yes, "a asks and comes first");
    assert!(three.answer(1, "a", &a, now).yes, "b gives way");
    assert!(three.answer(2, "a", &a, now).yes && three.answer(2, "b", &b, now).yes);
    assert!(three.begin(0, now) && !three.begin(1, now));
}

#[test]
fn a_question_from_before_the_log_moved_on_has_to_be_asked_again() {
    let (now, mut three) = (now(), Three::new());
    three.ask(0, now);
    let (circle, claims) = &mut three.0[0];
    assert!(!claims.begin(id(), 1, circle, now), "whoever has the entry takes the question for settled");
    claims.step_back(id(), now);
    claims.ask(id(), 1, MINUTE, now);
    assert!(claims.begin(id(), 1, circle, now));
}

#[test]
fn turns_after_a_failure_count_from_one_moment_however_often_it_is_heard_of() {
    let (now, mut three) = (now(), Three::new());
    let failing = |retry_at| Failing { retry_at, hand_over: true, limit: MINUTE, tells: 0 };
    three.ask(1, now);
    let failed = three.0[1].1.fail(id(), failing(now), now);
    three.0[2].1.hear(&"b".into(), &failed, Duration::ZERO, now);
    let turn = three.others(2, now, now).turn;
    for second in 1..10 {
        let at = now + secs(f64::from(second));
        let question = three.0[2].1.ask(id(), 0, MINUTE, at);
        let reply = three.answer(1, "c", &question, at);
        three.0[2].1.hear(&"b".into(), &reply.own.unwrap(), Duration::ZERO, at);
        assert_eq!(three.others(2, now, at).turn, turn, "the same moment, said again");
    }
}

#[test]
fn a_later_asker_heard_of_from_a_third_node_does_not_stand_in_the_way() {
    let (now, mut three) = (now(), Three::new());
    let (a, b) = (three.ask(0, now), three.ask(1, now));
    three.answer(2, "b", &b, now);
    three.answer(1, "a", &a, now);
    three.0[2].1.consulted(&"b".into(), id(), None, now);
    let reply = three.answer(2, "a", &a, now);
    let (holder, claim, age) = &reply.others[0];
    three.0[0].1.hear(&Name::from(&**holder), claim, Duration::from_millis(*age), now);
    assert!(reply.yes && three.begin(0, now), "c knows that b gave way");
    assert!(!three.begin(1, now));
}

#[test]
fn a_node_between_two_that_do_not_see_each_other_passes_the_question_on_before_it_says_yes_again() {
    let (now, mut three) = (now(), Three::new());
    let rivals = |three: &mut Three, claim: &Claim, tells| {
        let (circle, claims) = &mut three.0[2];
        claims.rivals(&"a".into(), claim, tells, circle, now)
    };
    let b = three.ask(1, now);
    assert!(three.answer(2, "b", &b, now).yes);
    // b has a second without a to answer it, and is sending by then.
    assert!(three.begin(1, now));
    let a = three.ask(0, now);
    assert_eq!(rivals(&mut three, &a, 0), [Name::from("b")]);
    assert!(rivals(&mut three, &a, 1).is_empty(), "the log tells that b is done");
    assert!(!three.answer(2, "a", &a, now).yes, "b has not answered");
    let reply = three.answer(1, "a", &a, now);
    assert!(!reply.yes);
    three.0[2].1.consulted(&"b".into(), id(), reply.own.as_ref(), now);
    let reply = three.answer(2, "a", &a, now);
    let (holder, claim, age) = &reply.others[0];
    three.0[0].1.hear(&Name::from(&**holder), claim, Duration::from_millis(*age), now);
    assert!(!three.begin(0, now), "c has told that b is sending");
}

#[test]
fn a_sender_says_no_until_it_is_overdue() {
    let (start, mut three) = (now(), Three::new());
    three.ask(0, start);
    assert!(three.begin(0, start));
    for (at, yes) in [(2.0, false), (69.0, false), (70.0, true)] {
        let now = start + secs(at);
        let b = three.ask(1, now);
        let reply = three.answer(0, "b", &b, now);
        assert_eq!((reply.yes, reply.own.map(|own| own.phase)), (yes, Some(Phase::Sending)), "{at}");
    }
}

#[test]
fn a_claim_falls_four_seconds_after_it_was_last_heard() {
    let (start, mut three) = (now(), Three::new());
    let a = three.ask(0, start);
    three.answer(1, "a", &a, start);
    assert_eq!(three.others(1, start, start).claim_until, Some(start + secs(4.0)));
    assert!(three.begin(0, start));
    let renewal = three.0[0].1.renewals(start + secs(1.0))[0];
    three.0[1].1.hear(&"a".into(), &renewal, Duration::ZERO, start + secs(1.0));
    assert_eq!(three.others(1, start, start + secs(2.0)).claim_until, Some(start + secs(5.0)));
    assert_eq!(three.others(1, start, start + secs(5.0)).claim_until, None);
    // What a third node heard earlier is as old as it says.
    three.0[2].1.hear(&"a".into(), &renewal, secs(3.5), start + secs(4.5));
    assert_eq!(three.others(2, start, start + secs(4.5)).claim_until, Some(start + secs(5.0)));
}

#[test]
fn the_log_entry_releases_the_claim() {
    let (now, mut three) = (now(), Three::new());
    let a = three.ask(0, now);
    three.answer(1, "a", &a, now);
    let (circle, claims) = &mut three.0[1];
    assert!(claims.others(&key(), 0, now, circle, now).claim_until.is_some());
    assert!(claims.others(&key(), 1, now, circle, now).claim_until.is_none());
}

#[test]
fn an_old_claim_does_not_overtake_a_newer_one() {
    let (now, mut three) = (now(), Three::new());
    let asking = three.ask(0, now);
    let dropped = three.0[0].1.step_back(id(), now).unwrap();
    three.0[1].1.hear(&"a".into(), &dropped, Duration::ZERO, now);
    three.0[1].1.hear(&"a".into(), &asking, Duration::ZERO, now);
    assert_eq!(three.others(1, now, now).claim_until, None);
}

#[test]
fn an_incumbent_retries_and_others_stand_behind_its_retry() {
    let (now, mut three) = (now(), Three::new());
    three.ask(1, now);
    let failing = Failing { retry_at: now + secs(5.0), hand_over: false, limit: MINUTE, tells: 0 };
    let claim = three.0[1].1.fail(id(), failing, now);
    three.0[0].1.hear(&"b".into(), &claim, Duration::ZERO, now);
    assert_eq!(three.others(0, now, now).turn, now + secs(7.0));
    assert_eq!(three.others(1, now + secs(5.0), now).turn, now + secs(5.0));
    // Out of sight it holds nobody up.
    three.0[0].0.live.retain(|name| &**name != "b");
    three.0[0].0.ready.retain(|name| &**name != "b");
    assert_eq!(three.others(0, now, now).turn, now);
}

#[test]
fn a_node_that_is_starting_has_no_turn() {
    let (now, mut three) = (now(), Three::new());
    assert_eq!(three.others(2, now, now).turn, now + secs(4.0));
    three.0[2].0.ready.remove(0);
    assert_eq!(three.others(2, now, now).turn, now + secs(2.0));
}

#[test]
fn what_is_handed_over_goes_to_the_next_at_once_and_takes_the_longer_limit_along() {
    let (now, mut three) = (now(), Three::new());
    three.others(1, now, now);
    let asking = three.ask(0, now);
    assert_eq!(three.0[1].1.hear(&"a".into(), &asking, Duration::ZERO, now), None);
    assert!(three.others(1, now, now).claim_until.is_some());
    let failing = Failing { retry_at: now + secs(9.0), hand_over: true, limit: 2 * MINUTE, tells: 0 };
    let claim = three.0[0].1.fail(id(), failing, now);
    assert_eq!(three.0[1].1.hear(&"a".into(), &claim, Duration::ZERO, now), Some(key()), "it waited and is woken");
    assert_eq!(three.others(1, now, now), Others { claim_until: None, turn: now });
    assert_eq!(three.0[1].1.limit(id()), Some(2 * MINUTE));
}

#[test]
fn a_holder_out_of_sight_is_asked_for_a_minute() {
    let (now, mut three) = (now(), Three::new());
    let a = three.ask(0, now);
    three.answer(1, "a", &a, now);
    let (circle, claims) = &mut three.0[1];
    circle.live.remove(0);
    let unseen = |after: f64| claims.unseen_holders(id(), 0, circle, now + secs(after)).len();
    assert_eq!((unseen(0.0), unseen(59.0), unseen(60.0)), (1, 1, 0));
    assert!(claims.unseen_holders(id(), 1, circle, now).is_empty(), "told meanwhile");
}

#[test]
fn a_no_counts_even_if_its_claim_does_not_stand() {
    let (now, mut three) = (now(), Three::new());
    three.ask(1, now);
    three.0[1].1.refused(id(), now);
    assert!(!three.begin(1, now));
    assert_eq!(three.others(1, now, now).claim_until, Some(now + secs(1.0)));
}

#[test]
fn whoever_stood_still_while_asking_does_not_send() {
    let (now, mut three) = (now(), Three::new());
    three.ask(0, now);
    three.0[0].1.distrust(id());
    assert!(!three.begin(0, now));
}

#[test]
fn nothing_is_kept_for_ever() {
    let (now, mut three) = (now(), Three::new());
    let a = three.ask(0, now);
    three.answer(1, "a", &a, now);
    three.0[0].1.release(id(), false, now);
    for (_, claims) in &mut three.0 {
        claims.sweep(now + secs(120.0));
        assert!(claims.is_empty());
    }
}
