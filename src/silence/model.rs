//! One silence, its states in time, and the pure rules of making and changing one
//! (reference/server.md 5.7 and 5.10).

use std::{cmp::Ordering, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::{
    alert::{
        Labels,
        matcher::{MatchOp, Matcher, MatcherError, ParseMode, valid_label_name},
        text::quote,
    },
    clock::{Time, delta},
};

/// A UUID as text; whatever another program wrote is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(Arc<str>);

impl SilenceId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SilenceId {
    fn from(text: String) -> Self {
        SilenceId(text.into())
    }
}

impl From<&str> for SilenceId {
    fn from(text: &str) -> Self {
        SilenceId(text.into())
    }
}

impl std::borrow::Borrow<str> for SilenceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By time alone; in the order in which lists show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Active,
    Pending,
    Expired,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Pending => "pending",
            State::Expired => "expired",
        }
    }
}

/// A matcher as text, before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherText {
    pub op: MatchOp,
    pub name: String,
    pub value: String,
}

/// What other programs wrote and we do not use, kept so that it is written back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Foreign {
    /// Present if these matchers do not compile: the silence is then neither used nor shown.
    pub broken: Option<Vec<Vec<MatcherText>>>,
    pub receiver_sets: Vec<Vec<MatcherText>>,
}

/// What a silence silences: whatever fits all matchers of any of these sets.
pub type MatcherSets = Arc<[Box<[Matcher]>]>;

/// Whether an alert of these labels is meant.
pub(super) fn fits(sets: &MatcherSets, labels: &Labels) -> bool {
    sets.iter().any(|set| set.iter().all(|matcher| matcher.matches(labels)))
}

/// A silence. Values are never changed: an edit makes a new one under the same id.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    pub id: SilenceId,
    /// API v2 makes and shows one set. Matchers are in the order given.
    pub matcher_sets: MatcherSets,
    pub starts_at: Time,
    pub ends_at: Time,
    pub updated_at: Time,
    /// Garbage from then on.
    pub expires_at: Time,
    pub created_by: Box<str>,
    pub comment: Box<str>,
    pub annotations: BTreeMap<String, String>,
    pub(super) foreign: Option<Box<Foreign>>,
}

#[cfg(test)]
impl Silence {
    /// For tests of those who write silences down.
    pub(crate) fn with_matchers(
        id: &str,
        matchers: Vec<Matcher>,
        starts_at: Time,
        ends_at: Time,
        updated_at: Time,
    ) -> Self {
        Silence {
            id: SilenceId::from(id),
            matcher_sets: Arc::from([matchers.into_boxed_slice()]),
            starts_at,
            ends_at,
            updated_at,
            expires_at: ends_at,
            created_by: "me".into(),
            comment: "c".into(),
            annotations: BTreeMap::new(),
            foreign: None,
        }
    }
}

impl Silence {
    /// As lists show it.
    #[must_use]
    pub fn state(&self, now: Time) -> State {
        if !self.has_begun(now) {
            State::Pending
        } else if now < self.ends_at {
            State::Active
        } else {
            State::Expired
        }
    }

    /// Whether it silences at `now`: to the very end, other than [`Silence::state`] has it.
    #[must_use]
    pub fn silences_at(&self, now: Time) -> bool {
        self.has_begun(now) && now <= self.ends_at
    }

    /// One that began when it was made is in force wherever it is known, also where the clock is behind.
    pub(super) fn has_begun(&self, now: Time) -> bool {
        self.starts_at <= now || self.starts_at <= self.updated_at
    }

    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        fits(&self.matcher_sets, labels)
    }

    /// The matchers, if there is one set of them; `None` cannot be shown by API v2.
    #[must_use]
    pub fn matchers(&self) -> Option<&[Matcher]> {
        match &*self.matcher_sets {
            [set] => Some(set),
            _ => None,
        }
    }

    /// Its matchers compile: it is used and shown.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.foreign.as_ref().is_none_or(|foreign| foreign.broken.is_none())
    }

    /// Whether every filter is literally one of its matchers.
    #[must_use]
    pub fn has_all(&self, filters: &[Matcher]) -> bool {
        filters.iter().all(|filter| self.matcher_sets.iter().any(|set| set.contains(filter)))
    }

    /// Ended at `now` (which for a pending one is its start too).
    pub(super) fn expired(&self, now: Time, retention: Duration) -> Silence {
        let starts_at = self.starts_at.min(now);
        self.touched(now, retention, |silence| {
            silence.starts_at = starts_at;
            silence.ends_at = now;
        })
    }

    /// Changed by `edit`. An edit is newer than what it edits, whatever the clocks say.
    pub(super) fn touched(&self, now: Time, retention: Duration, edit: impl FnOnce(&mut Silence)) -> Silence {
        let mut silence = self.clone();
        edit(&mut silence);
        silence.updated_at = now.max(self.updated_at + chrono::TimeDelta::nanoseconds(1));
        silence.expires_at = end_of_life(silence.ends_at, retention);
        silence
    }
}

/// When a silence that ends at `ends_at` is forgotten.
pub(super) fn end_of_life(ends_at: Time, retention: Duration) -> Time {
    ends_at.checked_add_signed(delta(retention)).unwrap_or(Time::MAX_UTC)
}

/// Those of `silences` that are `wanted`, in the order of lists; what cannot be used is not shown.
pub(super) fn list(
    silences: Vec<Arc<Silence>>,
    now: Time,
    wanted: impl Fn(&Silence, State) -> bool,
) -> Vec<(Arc<Silence>, State)> {
    let usable = silences.into_iter().filter(|silence| silence.is_usable());
    let with_state = usable.map(|silence| {
        let state = silence.state(now);
        (silence, state)
    });
    let mut list: Vec<_> = with_state.filter(|(silence, state)| wanted(silence, *state)).collect();
    list.sort_unstable_by(|a, b| list_order((&a.0, a.1), (&b.0, b.1)));
    list
}

/// Active ones by end, then pending ones by start, then expired ones, the latest end first.
fn list_order(a: (&Silence, State), b: (&Silence, State)) -> Ordering {
    let within = match a.1 {
        State::Active => a.0.ends_at.cmp(&b.0.ends_at),
        State::Pending => a.0.starts_at.cmp(&b.0.starts_at),
        State::Expired => b.0.ends_at.cmp(&a.0.ends_at),
    };
    a.1.cmp(&b.1).then(within).then_with(|| a.0.id.cmp(&b.0.id))
}

/// A silence as somebody wants it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Of the silence to be changed; `None` or empty makes a new one.
    pub id: Option<String>,
    pub matchers: Vec<MatcherText>,
    /// `None` (Go's zero time): now.
    pub starts_at: Option<Time>,
    pub ends_at: Option<Time>,
    pub created_by: String,
    pub comment: String,
    pub annotations: BTreeMap<String, String>,
}

/// What is wrong with a silence's matchers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSilence {
    #[error("at least one matcher required")]
    NoMatchers,
    #[error("invalid label matcher {index} in set 0: invalid label name {}", quote(.name))]
    Name { index: usize, name: String },
    #[error("invalid label matcher {index} in set 0: invalid regular expression {}: {source}", quote(.value))]
    Regex { index: usize, value: String, source: MatcherError },
    #[error("matcher set 0: at least one matcher must not match the empty string")]
    MatchesEverything,
}

/// A draft that passed all checks that need no other silence.
pub(super) struct Checked {
    pub id: Option<String>,
    pub matchers: Box<[Matcher]>,
    pub starts_at: Time,
    pub ends_at: Time,
    pub created_by: Box<str>,
    pub comment: Box<str>,
    pub annotations: BTreeMap<String, String>,
}

/// Why a draft is refused at once.
pub(super) enum Refusal {
    StartNotBeforeEnd,
    EndInPast,
    Invalid(InvalidSilence),
}

/// Checks a draft in the reference's order.
pub(super) fn check(draft: Draft, mode: ParseMode, now: Time) -> Result<Checked, Refusal> {
    let Some(ends_at) = draft.ends_at else { return Err(Refusal::StartNotBeforeEnd) };
    if draft.starts_at.is_some_and(|starts_at| starts_at >= ends_at) {
        return Err(Refusal::StartNotBeforeEnd);
    }
    if ends_at < now {
        return Err(Refusal::EndInPast);
    }
    Ok(Checked {
        id: draft.id.filter(|id| !id.is_empty()),
        matchers: compile(&draft.matchers, mode).map_err(Refusal::Invalid)?,
        starts_at: draft.starts_at.unwrap_or(now),
        ends_at,
        created_by: draft.created_by.into(),
        comment: draft.comment.into(),
        annotations: draft.annotations,
    })
}

fn compile(texts: &[MatcherText], mode: ParseMode) -> Result<Box<[Matcher]>, InvalidSilence> {
    if texts.is_empty() {
        return Err(InvalidSilence::NoMatchers);
    }
    let mut matchers = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        if !valid_label_name(mode, &text.name) {
            return Err(InvalidSilence::Name { index, name: text.name.clone() });
        }
        let matcher = Matcher::new(text.op, text.name.as_str(), text.value.as_str())
            .map_err(|source| InvalidSilence::Regex { index, value: text.value.clone(), source })?;
        matchers.push(matcher);
    }
    // A negation never counts as matching the empty string here.
    if matchers.iter().all(|matcher| matcher.op().is_equal() && matcher.matches_empty()) {
        return Err(InvalidSilence::MatchesEverything);
    }
    Ok(matchers.into())
}

/// Whether this edit of `old` may keep the id.
pub(super) fn keeps_id(old: &Silence, edit: &Checked, now: Time) -> bool {
    let same_matchers = old.matchers().is_some_and(|matchers| *matchers == *edit.matchers);
    same_matchers
        && match old.state(now) {
            State::Active => old.starts_at.timestamp() == edit.starts_at.timestamp() && edit.ends_at >= now,
            State::Pending => edit.starts_at >= now,
            State::Expired => false,
        }
}
