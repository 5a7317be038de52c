//! A summary without quantiles: how often, and how long in all. The library has none.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus::{
    core::{Collector, Desc},
    proto,
};

/// `NAME_sum` in seconds and `NAME_count`. Cheap to clone and to observe.
#[derive(Clone, Debug)]
pub struct Summary {
    desc: Desc,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Summary {
    /// # Errors
    /// When the name is not a valid metric name.
    pub fn new(name: String, help: &str) -> Result<Self, prometheus::Error> {
        let desc = Desc::new(name, help.to_owned(), Vec::new(), std::collections::HashMap::new())?;
        Ok(Summary { desc, state: Arc::default() })
    }

    pub fn observe(&self, duration: std::time::Duration) {
        self.observe_many(1, duration);
    }

    /// `count` observations that took `total` together.
    pub fn observe_many(&self, count: u64, total: std::time::Duration) {
        self.state.count.fetch_add(count, Ordering::Relaxed);
        self.state.nanos.fetch_add(u64::try_from(total.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Collector for Summary {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    #[allow(clippy::cast_precision_loss, reason = "a sum of seconds needs no more than 53 bits")]
    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut summary = proto::Summary::default();
        summary.set_sample_count(self.state.count.load(Ordering::Relaxed));
        summary.set_sample_sum(self.state.nanos.load(Ordering::Relaxed) as f64 / 1e9);
        let mut metric = proto::Metric::default();
        metric.set_summary(summary);
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::SUMMARY);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
