//! `GET /receivers`.

use std::sync::Arc;

use super::{
    Api,
    answer::Answer,
    filter::{BadParameter, ReceiverFilter},
    json::{push_labels, push_string},
    list::list,
    query::Query,
};

impl Api {
    pub(super) fn receivers(&self, query: &Query<'_>) -> Result<Answer, BadParameter> {
        let filter = ReceiverFilter::parse_matchers(query, self.mode)?;
        let config = Arc::clone(&self.config.load().config);
        let count = config.receivers.len();
        let receivers = (0..count).filter_map(move |index| config.receivers.get(index).cloned());
        Ok(list(receivers.filter(move |receiver| filter.accepts_labels(&receiver.labels)), |out, receiver| {
            out.extend_from_slice(b"{\"labels\":");
            push_labels(out, &receiver.labels, push_string);
            out.extend_from_slice(b",\"name\":");
            push_string(out, &receiver.name);
            out.push(b'}');
            true
        }))
    }
}
