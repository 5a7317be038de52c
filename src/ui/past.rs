//! What a silence kept quiet last, in words: the newest look of a group, on any node that answers, that left firing
//! alerts out because of it. A silence that fits firing alerts may have kept nothing quiet yet: nobody was about to be told.

use std::sync::Arc;

use super::{
    Ui,
    html::{Html, Shown, count},
    when::When,
};
use crate::{
    decisions::{Last, LastQuieted},
    silence::{Silence, State},
};

/// For some silences; by default nothing is known, and nothing said.
#[derive(Default)]
pub struct Past(LastQuieted);

impl Ui {
    /// Asks all nodes.
    pub(super) async fn past<'s>(&self, silences: impl Iterator<Item = &'s Silence>) -> Past {
        let ids: Vec<Arc<str>> = silences.map(|silence| silence.id.as_str().into()).collect();
        Past(self.api.decisions.quieted(&ids).await)
    }
}

impl Past {
    /// Behind what it quiets now. Empty: there is nothing to say.
    pub fn remark(&self, when: &When, silence: &Silence, state: State) -> String {
        let last = self.0.get(silence.id.as_str());
        match (state, last, self.0.since) {
            (State::Pending, ..) | (_, None, None) => String::new(),
            (State::Active, Some(last), _) => format!(", last {} ago: {}", when.ago(last.at), alerts(last)),
            (State::Expired, Some(last), _) => {
                format!("kept quiet last {} ago: {}", when.ago(last.at), alerts(last))
            }
            (State::Active, None, Some(since)) if since <= silence.starts_at => {
                " and has quieted nothing yet".to_owned()
            }
            (State::Expired, None, Some(since)) if since <= silence.starts_at => "kept nothing quiet".to_owned(),
            (State::Active, None, Some(since)) => format!(" and has quieted nothing since {}", when.short(since)),
            (State::Expired, None, Some(since)) => format!("kept nothing quiet since {}", when.short(since)),
        }
    }

    /// The same at length.
    pub fn fact(&self, when: &When, silence: &Silence, state: State) -> Option<Html> {
        if state == State::Pending {
            return None;
        }
        let mut words = match (self.0.get(silence.id.as_str()), self.0.since) {
            (Some(last), _) => format!(
                "{}, {} ago: {} of one group. <span class=\"two\">The newest look of a group, on any node, that left firing alerts out because of this silence.</span>",
                when.clock(last.at),
                when.ago(last.at),
                alerts(last)
            ),
            (None, Some(since)) if since <= silence.starts_at => {
                "never: no look of a group has left a firing alert out because of this silence.".to_owned()
            }
            (None, Some(since)) => {
                format!("not since {}; what was before is not in the decision log any more.", when.clock(since))
            }
            (None, None) => "not known: no decision log is kept.".to_owned(),
        };
        if !self.0.silent.is_empty() {
            let names: Vec<String> = self.0.silent.iter().map(|name| format!("<bdi>{}</bdi>", Shown(name))).collect();
            words += &format!(" Without {}, which did not answer.", names.join(", "));
        }
        Some(Html(words))
    }
}

fn alerts(last: Last) -> String {
    let words = count(usize::try_from(last.alerts).unwrap_or(usize::MAX), "alert", "alerts");
    if last.or_more { format!("{words} or more") } else { words }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{clock::Time, decisions::Known};

    #[test]
    fn what_was_kept_quiet_is_told_with_when_and_how_many() {
        let now = Time::from_timestamp(1_800_000_000, 0).unwrap();
        let when = When::new(now, None);
        let silence = Silence::with_matchers("s", vec![], now - TimeDelta::days(10), now + TimeDelta::days(1), now);
        let past = |since: i64, last: Option<(i64, u32, bool)>| {
            let last = last.map(|(days, alerts, or_more)| Last { at: now - TimeDelta::days(days), alerts, or_more });
            let known = Known { last: vec![last], since: now - TimeDelta::days(since) };
            Past(LastQuieted::of(Some(known), &["s".into()]))
        };
        let remark = |past: Past, state| past.remark(&when, &silence, state);
        assert_eq!(remark(past(20, Some((6, 3, false))), State::Active), ", last 6 d ago: 3 alerts");
        assert_eq!(remark(past(5, Some((3, 1, true))), State::Expired), "kept quiet last 3 d ago: 1 alert or more");
        assert_eq!(remark(past(20, None), State::Active), " and has quieted nothing yet");
        assert_eq!(remark(past(20, None), State::Expired), "kept nothing quiet");
        assert!(remark(past(5, None), State::Active).starts_with(" and has quieted nothing since <time"));
        assert!(remark(past(5, None), State::Expired).starts_with("kept nothing quiet since <time"));
        assert_eq!(remark(past(5, None), State::Pending) + &remark(Past::default(), State::Active), "");
        let fact = |past: Past| past.fact(&when, &silence, State::Active).unwrap().0;
        assert!(fact(past(20, Some((6, 3, false)))).contains(", 6 d ago: 3 alerts of one group."));
        assert!(fact(past(20, None)).starts_with("never: ") && fact(past(5, None)).starts_with("not since <time"));
        let mut unheard = LastQuieted::default();
        unheard.add(&"<n2>".into(), None, &[]);
        assert_eq!(
            fact(Past(unheard)),
            "not known: no decision log is kept. Without <bdi>&lt;n2&gt;</bdi>, which did not answer."
        );
    }
}
