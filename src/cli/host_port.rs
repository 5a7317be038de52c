//! `host:port` as Go splits it: brackets may stand around anything, an IPv4 address included.

use std::{fmt, net::IpAddr, str::FromStr};

/// A host (name or address, maybe empty) and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    #[error("address {0}: missing port in address")]
    MissingPort(String),
    #[error("address {0}: too many colons in address")]
    TooManyColons(String),
    #[error("address {0}: missing ']' in address")]
    MissingBracket(String),
    #[error("address {0}: {1:?} is not a port")]
    BadPort(String, String),
}

impl HostPort {
    /// The host as an address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = if let Some(inner) = text.strip_prefix('[') {
            let (host, rest) = inner.split_once(']').ok_or_else(|| HostPortError::MissingBracket(text.to_owned()))?;
            (host, rest.strip_prefix(':').ok_or_else(|| HostPortError::MissingPort(text.to_owned()))?)
        } else {
            let (host, port) = text.rsplit_once(':').ok_or_else(|| HostPortError::MissingPort(text.to_owned()))?;
            if host.contains(':') {
                return Err(HostPortError::TooManyColons(text.to_owned()));
            }
            (host, port)
        };
        let number = port.parse().map_err(|_| HostPortError::BadPort(text.to_owned(), port.to_owned()))?;
        Ok(HostPort { host: host.to_owned(), port: number })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_split_as_go_does() {
        for (text, host, port) in
            [(":9093", "", 9093), ("a.b.:1", "a.b.", 1), ("[::1]:2", "::1", 2), ("[10.1.2.3]:3", "10.1.2.3", 3)]
        {
            assert_eq!(text.parse(), Ok(HostPort { host: host.into(), port }));
        }
        for text in ["a", "::1:2", "[::1]", "[::1:2", "a:", "a:b", "a:99999"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }
}
