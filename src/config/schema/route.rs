//! `route`, `inhibit_rules` and the time intervals.

use std::collections::BTreeMap;

use super::required;
use crate::{
    alert::{
        matcher::{ParseMode, valid_label_name},
        text::quote,
    },
    config::{
        values::{MatcherList, Pattern, PromDuration},
        yaml::{
            NodeId,
            decode::{Decode, Decoder, Dump, Stop},
            emit::Doc,
            structure::structure,
        },
    },
    timeinterval::{self, Field, Location, TimeRange},
};

/// In `group_by`: all labels.
pub const ALL_LABELS: &str = "...";

structure! {
    Route "route" checked {
        receiver: String;
        group_by: GroupBy;
        match_equal as "match": BTreeMap<String, String>;
        match_re: Patterns;
        matchers: MatcherList;
        mute_time_intervals: Vec<String>;
        active_time_intervals: Vec<String>;
        continue_ as "continue": bool, always;
        routes: Vec<Option<Box<Route>>>;
        group_wait: Option<PromDuration>;
        group_interval: Option<PromDuration>;
        repeat_interval: Option<PromDuration>;
        labels: BTreeMap<String, String>;
    }
}

impl Route {
    fn check(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Stop> {
        let mode = decoder.context.mode;
        check_classic_names(self.match_equal.keys())?;
        self.check_group_by(mode)?;
        let zero = |interval: &Option<PromDuration>| interval.is_some_and(|interval| interval.is_zero());
        required(!zero(&self.group_interval), "group_interval cannot be zero")?;
        required(!zero(&self.repeat_interval), "repeat_interval cannot be zero")?;
        if let Some(name) = self.labels.keys().find(|name| !valid_label_name(mode, name)) {
            return Err(Stop::because(format!("invalid label name {} in route labels", quote(name))));
        }
        required(!self.routes.iter().any(Option::is_none), "missing route in routes")
    }

    fn check_group_by(&self, mode: ParseMode) -> Result<(), Stop> {
        let names = self.group_by.0.as_deref().unwrap_or_default();
        let mut seen: Vec<&str> = Vec::new();
        for name in names.iter().map(String::as_str).filter(|name| *name != ALL_LABELS) {
            if !valid_label_name(mode, name) {
                return Err(Stop::because(format!("invalid label name {} in group_by list", quote(name))));
            }
            if seen.contains(&name) {
                return Err(Stop::because(format!("duplicated label {} in group_by", quote(name))));
            }
            seen.push(name);
        }
        required(
            seen.is_empty() || seen.len() == names.len(),
            "cannot have wildcard group_by (`...`) and other labels at the same time",
        )
    }
}

/// The old keys take only names of the classic kind, whatever the mode.
fn check_classic_names<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Stop> {
    match names.find(|name| !valid_label_name(ParseMode::Classic, name)) {
        Some(name) => Err(Stop::because(format!("invalid label name {}", quote(name)))),
        None => Ok(()),
    }
}

/// `None`: inherited. An empty list is not, but prints as if it were, as in the reference.
#[derive(Clone, Debug, Default)]
pub struct GroupBy(pub Option<Vec<String>>);

impl Decode for GroupBy {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        self.0.decode(decoder, id)
    }
}

impl Dump for GroupBy {
    fn dump(&self) -> Doc {
        self.0.dump()
    }

    fn is_zero(&self) -> bool {
        self.0.as_ref().is_none_or(Vec::is_empty)
    }
}

/// `match_re` and its like.
#[derive(Clone, Debug, Default)]
pub struct Patterns(pub BTreeMap<String, Pattern>);

impl Decode for Patterns {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        if !self.0.decode(decoder, id)? {
            return Ok(false);
        }
        check_classic_names(self.0.keys()).map_err(|stop| decoder.at(stop, id))?;
        match self.0.iter().find(|(_, pattern)| pattern.0.is_none()) {
            Some((name, _)) => Err(decoder.at(Stop::because(format!("invalid regexp value for {}", quote(name))), id)),
            None => Ok(true),
        }
    }
}

impl Dump for Patterns {
    fn dump(&self) -> Doc {
        self.0.dump()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

structure! {
    InhibitRule "inhibit_rules" checked {
        name: String;
        source_match: BTreeMap<String, String>;
        source_match_re: Patterns;
        source_matchers: MatcherList;
        target_match: BTreeMap<String, String>;
        target_match_re: Patterns;
        target_matchers: MatcherList;
        equal: Vec<String>;
    }
}

impl InhibitRule {
    fn check(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Stop> {
        check_classic_names(self.source_match.keys())?;
        check_classic_names(self.target_match.keys())?;
        match self.equal.iter().find(|name| !valid_label_name(decoder.context.mode, name)) {
            Some(name) => Err(Stop::because(format!("invalid label name {} in equal list", quote(name)))),
            None => Ok(()),
        }
    }
}

structure! {
    Interval "time_intervals" checked {
        name: String, always;
        time_intervals: Vec<Spec>, always;
    }
}

impl Interval {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.name.is_empty(), "missing name in time interval")
    }
}

structure! {
    MuteInterval "mute_time_intervals" checked {
        name: String, always;
        time_intervals: Vec<Spec>, always;
    }
}

impl MuteInterval {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.name.is_empty(), "missing name in mute time interval")
    }
}

structure! {
    Spec "time interval" {
        times: Ranges<Times>;
        weekdays: Ranges<Weekdays>;
        days_of_month: Ranges<DaysOfMonth>;
        months: Ranges<Months>;
        years: Ranges<Years>;
        location: Option<Zone>;
    }
}

impl Spec {
    #[must_use]
    pub fn model(&self) -> timeinterval::Spec {
        timeinterval::Spec {
            times: self.times.0.as_ref().map(|times| times.iter().map(|range| range.0).collect()),
            weekdays: self.weekdays.0.as_ref().map(|list| list.iter().map(|range| range.0).collect()),
            days_of_month: self.days_of_month.0.as_ref().map(|list| list.iter().map(|range| range.0).collect()),
            months: self.months.0.as_ref().map(|list| list.iter().map(|range| range.0).collect()),
            years: self.years.0.as_ref().map(|list| list.iter().map(|range| range.0).collect()),
            location: self.location.as_ref().map(|zone| zone.0),
        }
    }
}

/// A list that, given but empty, is not the same as absent: it never matches.
#[derive(Clone, Debug)]
pub struct Ranges<T>(pub Option<Vec<T>>);

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Ranges(None)
    }
}

impl<T: Decode + Default> Decode for Ranges<T> {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        self.0.decode(decoder, id)
    }
}

impl<T: Dump> Dump for Ranges<T> {
    fn dump(&self) -> Doc {
        let items: Vec<Doc> = self.0.iter().flatten().map(Dump::dump).collect();
        // Maps stand in block style, single values in one line.
        if items.iter().any(|item| matches!(item, Doc::Map(_))) { Doc::List(items) } else { Doc::FlowList(items) }
    }

    fn is_zero(&self) -> bool {
        self.0.as_ref().is_none_or(Vec::is_empty)
    }
}

structure! {
    TimesText "times" {
        start_time: String;
        end_time: String;
    }
}

#[derive(Clone, Debug, Default)]
pub struct Times(pub TimeRange);

impl Decode for Times {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        let mut text = TimesText::default();
        if decoder.is_null(id) {
            self.0 = TimeRange::default();
            return Ok(true);
        }
        if !text.decode(decoder, id)? {
            return Ok(false);
        }
        self.0 = TimeRange::parse(&text.start_time, &text.end_time)
            .map_err(|error| decoder.at(Stop::because(error.to_string()), id))?;
        Ok(true)
    }
}

impl Dump for Times {
    fn dump(&self) -> Doc {
        Doc::Map(vec![
            (Doc::from("start_time"), Doc::Text(self.0.start_text())),
            (Doc::from("end_time"), Doc::Text(self.0.end_text())),
        ])
    }

    fn is_zero(&self) -> bool {
        false
    }
}

macro_rules! range_of {
    ($($name:ident)*) => {$(
        #[derive(Clone, Debug, Default)]
        pub struct $name(pub timeinterval::Range);

        impl Decode for $name {
            fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
                if decoder.is_null(id) {
                    self.0 = timeinterval::Range::default();
                    return Ok(true);
                }
                let mut text = String::new();
                if !text.decode(decoder, id)? {
                    return Ok(false);
                }
                self.0 = Field::$name
                    .parse(&text)
                    .map_err(|error| decoder.at(Stop::because(error.to_string()), id))?;
                Ok(true)
            }
        }

        impl Dump for $name {
            fn dump(&self) -> Doc {
                Doc::Text(Field::$name.show(self.0))
            }

            fn is_zero(&self) -> bool {
                false
            }
        }
    )*};
}

range_of!(Weekdays DaysOfMonth Months Years);

#[derive(Clone, Copy, Debug, Default)]
pub struct Zone(pub Location);

impl Decode for Zone {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        let mut name = String::new();
        if !name.decode(decoder, id)? {
            return Ok(false);
        }
        self.0 = Location::parse(&name).map_err(|error| decoder.at(Stop::because(error.to_string()), id))?;
        Ok(true)
    }
}

impl Dump for Zone {
    fn dump(&self) -> Doc {
        Doc::Text(self.0.to_string())
    }

    fn is_zero(&self) -> bool {
        false
    }
}
