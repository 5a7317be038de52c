//! The dispatcher's shared bookkeeping, behind one lock: which groups exist, what comes when, and how far
//! each debt is. Debts that are not being worked on have no entry here: they are found again at the next tick.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{group::Group, queue::Queue, tree::RouteIndex};
use crate::{
    alert::Fingerprint,
    nflog::LogKey,
    notify::{
        lanes::Lanes,
        retry::{Episode, Failures},
    },
    otlp,
};

/// Route, and fingerprint of the group labels.
pub(super) type GroupId = (RouteIndex, Fingerprint);

#[derive(Default)]
pub(super) struct Core {
    pub groups: HashMap<GroupId, Arc<Group>>,
    pub queue: Queue<Event>,
    pub lanes: Lanes<LogKey>,
    pub deliveries: HashMap<LogKey, Delivery>,
    /// No tick and no attempt begins any more.
    pub stopped: bool,
}

/// What the queue brings up.
pub(super) enum Event {
    Tick(Arc<Group>),
    /// A delivery goes on: after a back-off, or after a wait for others.
    Resume(Box<LogKey>),
}

/// A debt to one integration that is being worked on, from the tick that found it until it is told, no longer
/// owed, or given up until the next tick.
pub(super) struct Delivery {
    pub group: Arc<Group>,
    pub stage: Stage,
    /// Since when the turns of nodes count.
    pub since: Instant,
    pub failures: Failures,
    pub episode: Option<Episode>,
    /// The flush that found it, where that is traced.
    pub trace: Option<otlp::Context>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In its lane, until the limits allow an attempt.
    Waiting,
    Running,
    /// In the queue until then.
    Asleep(Instant),
}

impl Core {
    /// After a storm the maps are larger than they need to be.
    pub fn shrink(&mut self) {
        if self.groups.capacity() > 4 * self.groups.len().max(64) {
            self.groups.shrink_to(2 * self.groups.len());
        }
        if self.deliveries.capacity() > 4 * self.deliveries.len().max(64) {
            self.deliveries.shrink_to(2 * self.deliveries.len());
        }
    }

    /// Every delivery that sleeps is due at once. Returns whether there was any.
    pub fn wake_sleepers(&mut self, now: Instant) -> bool {
        let mut woken = false;
        for (key, delivery) in &mut self.deliveries {
            if matches!(delivery.stage, Stage::Asleep(_)) {
                delivery.stage = Stage::Asleep(now);
                delivery.failures.retry_at = Some(now);
                self.queue.push(now, Event::Resume(Box::new(key.clone())));
                woken = true;
            }
        }
        woken
    }
}
