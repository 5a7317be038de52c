//! Wall times as protobuf writes them.

use prost_types::Timestamp;

use crate::clock::Time;

/// Exact for every time that a [`Time`] can hold.
#[must_use]
pub fn from_time(at: Time) -> Timestamp {
    // Leap seconds (over 999,999,999 nanoseconds) are no valid timestamp; no clock of ours makes them.
    let nanos = at.timestamp_subsec_nanos().min(999_999_999);
    Timestamp { seconds: at.timestamp(), nanos: i32::try_from(nanos).unwrap_or(0) }
}

/// A missing timestamp is 1970, as in protobuf's own libraries; one out of range goes to the edge.
#[must_use]
pub fn to_time(timestamp: Option<&Timestamp>) -> Time {
    let Some(Timestamp { seconds, nanos }) = timestamp else { return Time::UNIX_EPOCH };
    let nanos = u32::try_from(*nanos).unwrap_or(0).min(999_999_999);
    let edge = if *seconds < 0 { Time::MIN_UTC } else { Time::MAX_UTC };
    Time::from_timestamp(*seconds, nanos).unwrap_or(edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_exactly() {
        for text in ["2026-01-02T03:04:05.123456789Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"] {
            let at: Time = text.parse().unwrap();
            assert_eq!(to_time(Some(&from_time(at))), at);
        }
    }

    #[test]
    fn a_time_beyond_all_calendars_goes_to_the_edge() {
        assert_eq!(to_time(Some(&Timestamp { seconds: i64::MAX, nanos: -1 })), Time::MAX_UTC);
        assert_eq!(to_time(None), Time::UNIX_EPOCH);
    }
}
