//! The parameters by which alerts are selected (reference/server.md 5.3, 5.4).

use std::sync::Arc;

use http::StatusCode;

use super::{
    answer::{Answer, refused},
    query::Query,
};
use crate::{
    alert::{
        Labels,
        matcher::{Matcher, ParseMode, parse_matcher},
        re2::Anchored,
    },
    config::Receiver,
};

/// Which alerts are wanted.
pub(super) struct AlertFilter {
    matchers: Vec<Matcher>,
    receivers: ReceiverFilter,
    pub active: bool,
    pub silenced: bool,
    pub inhibited: bool,
}

impl AlertFilter {
    pub fn parse(query: &Query<'_>, mode: ParseMode) -> Result<Self, BadParameter> {
        Ok(AlertFilter {
            matchers: matchers(query, "filter", mode).map_err(BadParameter)?,
            receivers: ReceiverFilter::parse(query, mode)?,
            active: query.flag("active", true),
            silenced: query.flag("silenced", true),
            inhibited: query.flag("inhibited", true),
        })
    }

    pub fn accepts_labels(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// What the receivers of an alert must be; nothing is asked of them where this is `None`.
    pub fn receivers(&self) -> Option<&ReceiverFilter> {
        (!self.receivers.is_open()).then_some(&self.receivers)
    }
}

/// Which receivers are wanted: by name and by labels.
#[derive(Default)]
pub(super) struct ReceiverFilter {
    name: Option<Anchored>,
    matchers: Vec<Matcher>,
}

impl ReceiverFilter {
    /// By `receiver` and `receiver_matchers`.
    pub fn parse(query: &Query<'_>, mode: ParseMode) -> Result<Self, BadParameter> {
        let name = query.last("receiver").map(Anchored::new).transpose();
        let name = name.map_err(|error| BadParameter(format!("failed to parse receiver param: {error}")))?;
        Ok(ReceiverFilter { name, ..Self::parse_matchers(query, mode)? })
    }

    /// By `receiver_matchers` alone.
    pub fn parse_matchers(query: &Query<'_>, mode: ParseMode) -> Result<Self, BadParameter> {
        let matchers = matchers(query, "receiver_matchers", mode);
        let matchers =
            matchers.map_err(|text| BadParameter(format!("failed to parse receiver_matchers param: {text}")))?;
        Ok(ReceiverFilter { name: None, matchers })
    }

    fn is_open(&self) -> bool {
        self.name.is_none() && self.matchers.is_empty()
    }

    pub fn accepts_name(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }

    pub fn accepts_labels(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// The names of `all` receivers that fit by name, and of those that fit by labels.
    pub fn select(&self, all: &[Arc<Receiver>]) -> WantedReceivers {
        let names =
            |fits: &dyn Fn(&Receiver) -> bool| all.iter().filter(|r| fits(r)).map(|r| Arc::clone(&r.name)).collect();
        WantedReceivers {
            by_name: names(&|receiver| self.accepts_name(&receiver.name)),
            by_labels: names(&|receiver| self.accepts_labels(&receiver.labels)),
        }
    }
}

/// The receivers of the configuration that a filter wants. They are few.
pub(super) struct WantedReceivers {
    by_name: Vec<Arc<str>>,
    by_labels: Vec<Arc<str>>,
}

impl WantedReceivers {
    /// Whether an alert with these receivers is wanted: one must fit by name, one (maybe another) by labels.
    pub fn any_of<'a>(&self, receivers: impl Iterator<Item = &'a str> + Clone) -> bool {
        let any = |wanted: &[Arc<str>]| receivers.clone().any(|name| wanted.iter().any(|w| **w == *name));
        any(&self.by_name) && any(&self.by_labels)
    }

    /// Whether this one receiver fits both ways.
    pub fn has(&self, receiver: &str) -> bool {
        self.any_of(std::iter::once(receiver))
    }
}

/// The matchers that parameter `name` gives, or the complaint about the first bad one.
pub(super) fn matchers(query: &Query<'_>, name: &str, mode: ParseMode) -> Result<Vec<Matcher>, String> {
    query.all(name).map(|text| parse_matcher(mode, text).map_err(|error| error.to_string())).collect()
}

/// A parameter cannot be read; the text is the answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadParameter(pub String);

impl BadParameter {
    /// 400 with the bare text.
    pub fn answer(&self) -> Answer {
        refused(StatusCode::BAD_REQUEST, &self.0)
    }
}
