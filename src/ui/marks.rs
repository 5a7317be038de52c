//! The signs of the interface: severities with their shapes and words.

use super::html::{Html, NamedIcon};
use crate::alert::Labels;

/// How bad, by the label `severity`; worst first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Critical,
    Warning,
    Info,
    /// No such label, or a word of one's own.
    None(Option<Box<str>>),
}

impl Severity {
    pub fn of(labels: &Labels) -> Self {
        let Some(value) = labels.get("severity") else { return Severity::None(None) };
        match value {
            "critical" | "page" | "error" | "fatal" => Severity::Critical,
            "warning" | "warn" => Severity::Warning,
            "info" | "none" | "notice" => Severity::Info,
            other => Severity::None(Some(other.into())),
        }
    }

    /// 0 is the worst.
    pub fn rank(&self) -> u8 {
        match self {
            Severity::Critical => 0,
            Severity::Warning => 1,
            Severity::Info => 2,
            Severity::None(_) => 3,
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
            Severity::None(word) => word.as_deref().unwrap_or("no severity"),
        }
    }

    /// The shape, which stands alone.
    pub fn mark(&self) -> Html {
        let (id, class) = match self {
            Severity::Critical => ("crit", "f crit"),
            Severity::Warning => ("warn", "f warn"),
            Severity::Info => ("info", "f info"),
            Severity::None(_) => ("none", "dim"),
        };
        Html::of(NamedIcon(id, class, super::html::shown_text(self.word())))
    }
}

/// The matcher that selects a severity by its rank, in the words that are in use.
pub const SEVERITY_FILTERS: [&str; 4] = [
    "severity=~\"critical|page|error|fatal\"",
    "severity=~\"warning|warn\"",
    "severity=~\"info|none|notice\"",
    "severity!~\"critical|page|error|fatal|warning|warn|info|none|notice\"",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::matcher::{ParseMode, parse_matcher};

    #[test]
    fn each_severity_is_selected_by_its_filter_and_no_other() {
        for value in ["critical", "page", "warn", "warning", "none", "notice", "S1", "", "error"] {
            let labels: Labels = [("severity", value)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let rank = usize::from(Severity::of(&labels).rank());
            for (index, filter) in SEVERITY_FILTERS.iter().enumerate() {
                let matcher = parse_matcher(ParseMode::Fallback, filter).unwrap();
                assert_eq!(matcher.matches(&labels), index == rank, "{value} {filter}");
            }
        }
    }
}
