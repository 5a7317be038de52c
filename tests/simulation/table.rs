//! Figures of a run as one line of text, and of many as a table.

use std::{collections::BTreeMap, time::Duration};

use crate::{judge::Verdict, scenario::Scenario};

/// What a run's process tells the one that began it.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub class: String,
    pub seeds: u64,
    pub needed: u64,
    pub attempts: u64,
    pub duplicates: u64,
    pub excused: u64,
    pub stale: u64,
    pub stale_excused: u64,
    pub falses: u64,
    pub unknowing: u64,
    pub silenced: u64,
    pub lost: u64,
    pub coalesced: u64,
    pub late: u64,
    pub violations: u64,
    pub virtual_ms: u64,
    pub processor_ms: u64,
    pub mark: u64,
    /// From when a first notification was due to its arrival.
    pub delays: Vec<u64>,
}

impl Line {
    pub fn of(scenario: &Scenario, verdict: &Verdict, mark: u64, took: Duration) -> Self {
        Line {
            class: scenario.class.name.to_owned(),
            seeds: 1,
            needed: verdict.needed,
            attempts: verdict.attempts,
            duplicates: verdict.duplicates,
            excused: verdict.excused,
            stale: verdict.stale,
            stale_excused: verdict.stale_excused,
            falses: verdict.falses,
            unknowing: verdict.unknowing,
            silenced: verdict.silenced,
            lost: verdict.lost,
            coalesced: verdict.coalesced,
            late: verdict.late,
            violations: verdict.violations.len() as u64,
            virtual_ms: scenario.end,
            processor_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            mark,
            delays: verdict.delays.clone(),
        }
    }

    fn numbers(&mut self) -> [&mut u64; 17] {
        [
            &mut self.seeds,
            &mut self.needed,
            &mut self.attempts,
            &mut self.duplicates,
            &mut self.excused,
            &mut self.stale,
            &mut self.stale_excused,
            &mut self.falses,
            &mut self.unknowing,
            &mut self.silenced,
            &mut self.lost,
            &mut self.coalesced,
            &mut self.late,
            &mut self.violations,
            &mut self.virtual_ms,
            &mut self.processor_ms,
            &mut self.mark,
        ]
    }

    pub fn write(mut self) -> String {
        let numbers: Vec<String> = self.numbers().map(|number| number.to_string()).into();
        let delays: Vec<String> = self.delays.iter().map(u64::to_string).collect();
        format!("{} {} / {}", self.class, numbers.join(" "), delays.join(" "))
    }

    pub fn read(text: &str) -> Option<Self> {
        let (head, delays) = text.split_once('/')?;
        let mut words = head.split_whitespace();
        let mut line = Line { class: words.next()?.to_owned(), ..Line::default() };
        for number in line.numbers() {
            *number = words.next()?.parse().ok()?;
        }
        line.delays = delays.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Some(line)
    }

    fn add(&mut self, other: &Line) {
        let mut other = other.clone();
        for (mine, theirs) in self.numbers().into_iter().zip(other.numbers()) {
            *mine = mine.wrapping_add(*theirs);
        }
        self.delays.append(&mut other.delays);
    }

    fn delay(&self, percent: usize) -> String {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        let place = (delays.len() * percent / 100).min(delays.len().saturating_sub(1));
        delays.get(place).map_or_else(|| "-".to_owned(), |ms| format!("{}.{}", ms / 1000, ms % 1000 / 100))
    }
}

#[derive(Default)]
pub struct Table(BTreeMap<String, Line>);

impl Table {
    pub fn add(&mut self, line: &Line) {
        self.0.entry(line.class.clone()).or_default().add(line);
    }

    pub fn sums(&self) -> Line {
        let mut sums = Line::default();
        self.0.values().for_each(|line| sums.add(line));
        sums
    }

    pub fn text(&self) -> String {
        let mut text = String::from(
            "| class | seeds | needed | attempts | dup | excused | stale | stale exc. | false | unknowing | silenced | \
             lost | coalesced | late | p99, max delay s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let sums = self.sums();
        for (name, line) in self.0.iter().map(|(name, line)| (name.as_str(), line)).chain([("all", &sums)]) {
            text.push_str(&format!(
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {}, {} |\n",
                line.seeds,
                line.needed,
                line.attempts,
                line.duplicates,
                line.excused,
                line.stale,
                line.stale_excused,
                line.falses,
                line.unknowing,
                line.silenced,
                line.lost,
                line.coalesced,
                line.late,
                line.delay(99),
                line.delay(100),
            ));
        }
        let speed = sums.virtual_ms / sums.processor_ms.max(1);
        text.push_str(&format!("{speed} virtual seconds in a second of one processor\n"));
        text
    }
}
