//! The spans of flushes and deliveries.

use super::world::{Answer, Setup, World};
use crate::{
    clock::{Clock, Time},
    otlp::tests::{Kept, Told, keeping},
};

fn traced(setup: Setup, fraction: f64) -> (World, Kept) {
    // The clock of the world: it begins at this moment too.
    let clock = Clock::simulated(Time::from_timestamp(1_800_000_000, 0).unwrap());
    let (tracer, kept) = keeping(&clock, fraction);
    (World::new(Setup { tracer, ..setup }), kept)
}

fn named<'t>(told: &'t [Told], name: &str) -> Vec<&'t Told> {
    told.iter().filter(|told| told.name == name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_a_trace_with_a_part_for_each_integration() {
    let (w, kept) = traced(Setup { hooks: vec![true, true], ..Setup::new(1.0, 60.0, 3600.0) }, 1.0);
    w.hook(1).script([Answer::TakeAfter(3.0)]);
    w.fire(&["a", "b"]);
    w.at(2.0).await;
    let mut told = kept.take();
    assert!(named(&told, "dispatch.AggregationGroup.flush").is_empty(), "one integration is still being told");
    w.at(10.0).await;
    told.extend(kept.take());
    let [flush] = named(&told, "dispatch.AggregationGroup.flush").try_into().unwrap();
    assert_eq!((flush.took, flush.parent.len(), flush.failure.as_deref()), (3.0, 0, None));
    assert_eq!(flush.attribute("alerting.aggregation_group.key"), "{}:{}");
    assert_eq!(flush.attribute("alerting.alerts.count"), "2");
    let attempts: [&Told; 2] = named(&told, "notify.RetryStage.Exec").try_into().unwrap();
    for (place, attempt) in attempts.into_iter().enumerate() {
        assert!(attempt.is_part_of(flush));
        assert_eq!(attempt.attribute("alerting.group.name"), "team");
        assert_eq!(attempt.attribute("alerting.integration.name"), "webhook");
        assert_eq!(attempt.attribute("alerting.integration.index"), place.to_string());
        let calls = named(&told, "notify.Integration.Notify");
        let [call] = calls.into_iter().filter(|call| call.is_part_of(attempt)).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((call.took, call.kind, call.failure.as_deref()), ([0.0, 3.0][place], 3, None));
        assert_eq!(call.attribute("alerting.notify.receiver.name"), "team");
        assert_eq!(call.attribute("alerting.notify.reason"), "first notification");
        assert_eq!(call.attribute("alerting.alerts.count"), "2");
        let logged = named(&told, "notify.SetNotifiesStage.Exec");
        assert_eq!(logged.into_iter().filter(|logged| logged.is_part_of(attempt)).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_its_reason_and_later_attempts_belong_to_the_same_trace() {
    let (w, kept) = traced(Setup::new(0.0, 600.0, 3600.0), 1.0);
    w.hook(0).script([Answer::Status(503), Answer::Status(400)]);
    w.fire(&["a"]);
    w.at(60.0).await;
    let told = kept.take();
    let [flush] = named(&told, "dispatch.AggregationGroup.flush").try_into().unwrap();
    assert_eq!((flush.took, flush.failure.as_deref()), (0.0, Some("notification failed")));
    let attempts: [&Told; 2] = named(&told, "notify.RetryStage.Exec").try_into().unwrap();
    let calls: [&Told; 2] = named(&told, "notify.Integration.Notify").try_into().unwrap();
    for (number, (status, recoverable, reason)) in
        [("503", "true", "serverError"), ("400", "false", "clientError")].into_iter().enumerate()
    {
        let (attempt, call) = (attempts[number], calls[number]);
        assert!(attempt.is_part_of(flush) && call.is_part_of(attempt));
        let why = format!("unexpected status code {status}");
        assert_eq!((attempt.failure.as_deref(), call.failure.as_deref()), (Some(&*why), Some(&*why)));
        assert_eq!(call.events, ["exception"]);
        assert_eq!(call.attribute("alerting.notify.error.recoverable"), recoverable);
        assert_eq!(call.attribute("alerting.notify.error.reason"), reason);
        assert_eq!(attempt.attribute("alerting.notify.failures.count"), number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_or_breaks_down_ends_its_spans() {
    let (w, kept) = traced(Setup::new(0.0, 600.0, 3600.0), 1.0);
    w.hook(0).script([Answer::Hang, Answer::Panic]);
    w.fire(&["a"]);
    w.at(700.0).await;
    let told = kept.take();
    let calls = named(&told, "notify.Integration.Notify");
    assert_eq!(calls.len(), 3);
    assert_eq!((calls[0].took, calls[0].attribute("alerting.notify.error.reason")), (60.0, "contextDeadlineExceeded"));
    let attempts = named(&told, "notify.RetryStage.Exec");
    assert_eq!(attempts[1].failure.as_deref(), Some("the integration broke down (a fault of the program)"));
    assert_eq!(attempts[2].failure, None);
}

#[tokio::test(start_paused = true)]
async fn every_flush_is_a_trace_of_its_own_also_if_nothing_is_owed() {
    let (w, kept) = traced(Setup::new(0.0, 10.0, 3600.0), 1.0);
    w.fire(&["a"]);
    w.at(25.0).await;
    let told = kept.take();
    let flushes = named(&told, "dispatch.AggregationGroup.flush");
    assert_eq!(flushes.len(), 3);
    assert!(flushes[0].trace != flushes[1].trace && flushes[1].trace != flushes[2].trace);
    assert_eq!(named(&told, "notify.RetryStage.Exec").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_share_flushes_leave_nothing() {
    let (w, kept) = traced(Setup::new(0.0, 10.0, 3600.0), 0.0);
    w.fire(&["a"]);
    w.at(25.0).await;
    assert_eq!(w.hook(0).taken().len(), 1);
    assert!(kept.take().is_empty());
}
