//! Moments with a zone, and durations, as Go's `time` shows them.

use std::{fmt, sync::LazyLock};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};

use super::layout;
use crate::{alert::text::format_go_duration, clock::Time};

/// A point in time and the zone it is shown in.
#[derive(Clone, Debug)]
pub struct Moment {
    pub at: Time,
    pub zone: Zone,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Zone {
    Utc,
    Named(Tz),
    /// Seconds east of UTC, and the abbreviation a text gave with it.
    Fixed(i32, String),
    /// The machine's, where it is no zone of the database.
    Machine,
}

/// Go's zero time.
pub fn zero_time() -> Time {
    NaiveDate::from_ymd_opt(1, 1, 1)
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .map_or(DateTime::<Utc>::UNIX_EPOCH, |naive| naive.and_utc())
}

impl Zone {
    /// `time.LoadLocation`.
    pub fn load(name: &str) -> Result<Zone, String> {
        match name {
            "" | "UTC" => Ok(Zone::Utc),
            "Local" => Ok(Zone::local()),
            name => name.parse::<Tz>().map(Zone::Named).map_err(|_| format!("unknown time zone {name}")),
        }
    }

    /// The machine's zone, looked up once.
    pub fn local() -> Zone {
        static LOCAL: LazyLock<Zone> = LazyLock::new(|| {
            let variable = std::env::var("TZ").ok();
            let name = match variable {
                Some(name) => name.trim_start_matches(':').to_owned(),
                None => std::fs::read_link("/etc/localtime")
                    .ok()
                    .and_then(|path| path.to_str().and_then(|p| p.split_once("zoneinfo/")).map(|(_, n)| n.to_owned()))
                    .unwrap_or_else(|| "?".to_owned()),
            };
            match name.as_str() {
                "" | "UTC" | "Etc/UTC" => Zone::Utc,
                name => name.parse::<Tz>().map_or(Zone::Machine, Zone::Named),
            }
        });
        LOCAL.clone()
    }

    /// Seconds east of UTC and abbreviation at a moment.
    fn offset(&self, at: Time) -> (i32, String) {
        match self {
            Zone::Utc => (0, "UTC".to_owned()),
            Zone::Fixed(seconds, name) => (*seconds, name.clone()),
            Zone::Named(tz) => {
                let offset = tz.offset_from_utc_datetime(&at.naive_utc());
                let seconds = offset.fix().local_minus_utc();
                (seconds, offset.abbreviation().map_or_else(|| layout::short_zone(seconds), str::to_owned))
            }
            Zone::Machine => {
                (chrono::Local.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc(), String::new())
            }
        }
    }

    /// What `Location` prints.
    pub fn name(&self) -> String {
        match self {
            Zone::Utc => "UTC".to_owned(),
            Zone::Named(tz) => tz.name().to_owned(),
            Zone::Fixed(_, name) => name.clone(),
            Zone::Machine => "Local".to_owned(),
        }
    }
}

impl Moment {
    pub fn utc(at: Time) -> Self {
        Moment { at, zone: Zone::Utc }
    }

    /// From RFC 3339 with any offset; the offset stays. What has none of UTC keeps no abbreviation, as in Go.
    pub fn from_offset(at: DateTime<FixedOffset>) -> Self {
        let seconds = at.offset().local_minus_utc();
        let zone = if seconds == 0 { Zone::Utc } else { Zone::Fixed(seconds, String::new()) };
        Moment { at: at.with_timezone(&Utc), zone }
    }

    pub fn in_zone(&self, zone: Zone) -> Self {
        Moment { at: self.at, zone }
    }

    /// Date and clock in the zone, seconds east of UTC, abbreviation (numeric where the zone has none).
    pub fn local(&self) -> (DateTime<FixedOffset>, i32, String) {
        let (seconds, mut name) = self.zone.offset(self.at);
        if name.is_empty() {
            name = layout::numeric_zone(seconds);
        }
        let fixed = FixedOffset::east_opt(seconds).unwrap_or_else(|| Utc.fix());
        (self.at.with_timezone(&fixed), seconds, name)
    }

    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }

    pub fn plus(&self, nanos: i64) -> Self {
        let at = self.at.checked_add_signed(TimeDelta::nanoseconds(nanos)).unwrap_or(self.at);
        Moment { at, zone: self.zone.clone() }
    }

    /// `t - other` in nanoseconds; saturates as Go's does.
    pub fn since(&self, other: &Moment) -> i64 {
        let difference = self.at - other.at;
        difference.num_nanoseconds().unwrap_or(if difference < TimeDelta::zero() { i64::MIN } else { i64::MAX })
    }

    pub fn is_zero(&self) -> bool {
        self.at == zero_time()
    }

    /// Towards the zero time, or to the nearest multiple of a duration since it.
    pub fn rounded(&self, unit: i64, nearest: bool) -> Self {
        if unit <= 0 {
            return self.clone();
        }
        let since_zero = self.at - zero_time();
        let unit_wide = i128::from(unit);
        let nanos = i128::from(since_zero.num_seconds()) * 1_000_000_000 + i128::from(since_zero.subsec_nanos());
        let rest = nanos.rem_euclid(unit_wide);
        let shift = if nearest && 2 * rest >= unit_wide { unit_wide - rest } else { -rest };
        self.plus(i64::try_from(shift).unwrap_or(0))
    }

    pub fn add_date(&self, years: i64, months: i64, days: i64) -> Self {
        let (local, seconds, _) = self.local();
        let month_index = i64::from(local.month0()).saturating_add(months);
        let year = i64::from(local.year()).saturating_add(years).saturating_add(month_index.div_euclid(12));
        let month = u32::try_from(month_index.rem_euclid(12) + 1).unwrap_or(1);
        let moved = i32::try_from(year)
            .ok()
            .and_then(|year| NaiveDate::from_ymd_opt(year, month, 1))
            .zip(TimeDelta::try_days(days.saturating_add(i64::from(local.day0()))))
            .and_then(|(first, days)| first.checked_add_signed(days))
            .and_then(|date| date.and_time(local.time()).checked_sub_signed(TimeDelta::seconds(i64::from(seconds))));
        Moment { at: moved.map_or(self.at, |naive| naive.and_utc()), zone: self.zone.clone() }
    }

    /// `GoString`.
    pub fn go_text(&self) -> String {
        let (local, _, _) = self.local();
        let zone = match &self.zone {
            Zone::Utc => "time.UTC".to_owned(),
            Zone::Machine => "time.Local".to_owned(),
            zone => format!("time.Location({})", super::ast::quoted(&zone.name())),
        };
        format!(
            "time.Date({}, time.{}, {}, {}, {}, {}, {}, {zone})",
            local.year(),
            layout::month_name(i64::from(local.month())),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
            local.nanosecond()
        )
    }

    /// RFC 3339 with nanoseconds, as JSON has it; years beyond four digits have no such form.
    pub fn json_text(&self) -> Result<String, String> {
        let (local, _, _) = self.local();
        if !(0..=9999).contains(&local.year()) {
            return Err("Time.MarshalJSON: year outside of range [0,9999]".to_owned());
        }
        Ok(self.format("2006-01-02T15:04:05.999999999Z07:00"))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// `1h0m0s`.
pub fn duration_text(nanos: i64) -> String {
    format_go_duration(TimeDelta::nanoseconds(nanos))
}
