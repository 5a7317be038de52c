//! One configuration, made ready for dispatch: the router, and for each route its receiver's integrations,
//! its time intervals, and what else a flush needs. Replaced as a whole by a reload.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::tree::{RouteIndex, Router};
use crate::{
    config::model::{Config, Receiver, Route},
    inhibit::Inhibitor,
    metrics::Metrics,
    nflog::LogKey,
    notify::{Integration, integration::Counters, lanes::Lane, mute::Intervals},
    template::Templates,
    timeinterval::TimeInterval,
};

/// What dispatch needs of one configuration, and what the application built from it.
pub struct Plan {
    pub route: Arc<Route>,
    /// In the order of the file, unused ones included.
    pub receivers: Vec<Arc<Receiver>>,
    pub time_intervals: BTreeMap<String, Arc<TimeInterval>>,
    pub inhibitor: Arc<Inhibitor>,
    pub templates: Arc<Templates>,
    /// By receiver name, in the order of the configuration. A receiver that is not here delivers nothing.
    pub integrations: HashMap<Arc<str>, Vec<Integration>>,
}

impl Plan {
    #[must_use]
    pub fn new(
        config: &Config,
        inhibitor: Arc<Inhibitor>,
        templates: Arc<Templates>,
        integrations: HashMap<Arc<str>, Vec<Integration>>,
    ) -> Self {
        Plan {
            route: config.route.clone(),
            receivers: config.receivers.clone(),
            time_intervals: config.time_intervals.clone(),
            inhibitor,
            templates,
            integrations,
        }
    }
}

/// See the module's head.
pub(super) struct Epoch {
    pub number: u64,
    pub router: Router,
    /// In the order of [`RouteIndex`].
    pub routes: Vec<Arc<RouteInfo>>,
    pub inhibitor: Arc<Inhibitor>,
}

/// One route with all that a flush of its groups needs.
pub(super) struct RouteInfo {
    pub index: RouteIndex,
    pub route: Arc<Route>,
    pub receiver: Arc<Receiver>,
    pub integrations: Arc<[Arc<Ready>]>,
    pub intervals: Intervals,
    pub inhibitor: Arc<Inhibitor>,
    pub templates: Arc<Templates>,
}

/// An integration with the names it goes by.
pub(super) struct Ready {
    pub integration: Integration,
    pub counters: Counters,
    pub lane: Lane,
    kind: Arc<str>,
}

impl Epoch {
    /// Also sets the gauges that count receivers and integrations in use.
    pub fn new(plan: &Plan, number: u64, metrics: &Metrics) -> Self {
        let router = Router::new(&plan.route);
        let used = used_receivers(plan, &router);
        count(plan, &used, metrics);
        let mut ready: HashMap<Arc<str>, Arc<[Arc<Ready>]>> = HashMap::new();
        for receiver in &used {
            let integrations = plan.integrations.get(&receiver.name).map_or(&[][..], Vec::as_slice);
            let made = integrations.iter().map(|i| Arc::new(Ready::new(i, receiver, metrics)));
            ready.insert(receiver.name.clone(), made.collect());
        }
        let by_name: HashMap<&str, &Arc<Receiver>> = used.iter().map(|r| (&*r.name, r)).collect();
        let info = |(index, route): (usize, &Arc<Route>)| {
            // The configuration was checked: every route has a receiver that exists.
            let receiver = by_name.get(&*route.receiver).map_or_else(|| nobody(&route.receiver), |r| (*r).clone());
            Arc::new(RouteInfo {
                index: RouteIndex(u32::try_from(index).unwrap_or(u32::MAX)),
                route: route.clone(),
                integrations: ready.get(&route.receiver).cloned().unwrap_or_else(|| Arc::from([])),
                receiver,
                intervals: Intervals::of(route, &plan.time_intervals),
                inhibitor: plan.inhibitor.clone(),
                templates: plan.templates.clone(),
            })
        };
        let routes = router.routes().iter().enumerate().map(info).collect();
        Epoch { number, router, routes, inhibitor: plan.inhibitor.clone() }
    }

    /// The route at `index`.
    pub fn route(&self, index: RouteIndex) -> Option<&Arc<RouteInfo>> {
        self.routes.get(index.0 as usize)
    }

    /// The route that goes on where `old` was: the same place in the tree, the same groups.
    pub fn successor(&self, old: &RouteInfo) -> Option<&Arc<RouteInfo>> {
        self.routes.iter().find(|new| {
            let (new, old) = (&new.route, &old.route);
            new.id == old.id
                && new.receiver == old.receiver
                && new.group_by_all == old.group_by_all
                && new.group_by == old.group_by
        })
    }
}

fn used_receivers(plan: &Plan, router: &Router) -> Vec<Arc<Receiver>> {
    let is_used = |receiver: &&Arc<Receiver>| router.routes().iter().any(|route| route.receiver == receiver.name);
    plan.receivers.iter().filter(is_used).cloned().collect()
}

fn count(plan: &Plan, used: &[Arc<Receiver>], metrics: &Metrics) {
    let of = |receiver: &Arc<Receiver>| plan.integrations.get(&receiver.name).map_or(&[][..], Vec::as_slice);
    let integrations: usize = used.iter().map(|receiver| of(receiver).len()).sum();
    metrics.receivers.set(i64::try_from(used.len()).unwrap_or(i64::MAX));
    metrics.integrations.set(i64::try_from(integrations).unwrap_or(i64::MAX));
    metrics.reset_notifications(used.iter().flat_map(|r| of(r).iter().map(|i| (i.kind, &*r.name))));
}

fn nobody(name: &Arc<str>) -> Arc<Receiver> {
    let labels = [("name", &**name)].into_iter().collect();
    Arc::new(Receiver { name: name.clone(), labels, integrations: Vec::new() })
}

impl Ready {
    fn new(integration: &Integration, receiver: &Receiver, metrics: &Metrics) -> Self {
        let (kind, index) = (integration.kind, integration.index);
        Ready {
            counters: Counters::new(metrics, kind, &receiver.name),
            lane: Lane { receiver: receiver.name.clone(), kind, index },
            kind: Arc::from(kind),
            integration: integration.clone(),
        }
    }

    /// The key of the notification log for a group and this integration.
    pub fn log_key(&self, group_key: &Arc<str>) -> LogKey {
        LogKey {
            group_key: group_key.clone(),
            receiver: self.lane.receiver.clone(),
            integration: self.kind.clone(),
            index: u32::try_from(self.lane.index).unwrap_or(u32::MAX),
        }
    }

    /// `webhook`, shared.
    pub fn kind(&self) -> &Arc<str> {
        &self.kind
    }

    /// As in messages: `team/webhook[0]`.
    pub fn name(&self) -> String {
        format!("{}/{}[{}]", self.lane.receiver, self.lane.kind, self.lane.index)
    }
}
