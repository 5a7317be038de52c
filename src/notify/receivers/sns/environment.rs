//! What of the process environment counts for AWS, and the endpoints that follow from it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// The variables, read once. An empty one counts as not set.
#[derive(Clone, Default)]
pub(super) struct Environment(BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

impl Environment {
    pub fn from_process() -> Self {
        Environment(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
                    ((name.starts_with("AWS_") || name == "HOME") && !value.is_empty()).then_some((name, value))
                })
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The file named by a variable, else one in the user's `.aws` folder.
    fn file(&self, variable: &str, name: &str) -> Option<PathBuf> {
        let own = self.get(variable).map(PathBuf::from);
        own.or_else(|| self.get("HOME").map(|home| Path::new(home).join(".aws").join(name)))
    }

    pub fn config_file(&self) -> Option<PathBuf> {
        self.file("AWS_CONFIG_FILE", "config")
    }

    pub fn credentials_file(&self) -> Option<PathBuf> {
        self.file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    }

    pub fn sns_endpoint(&self, region: &str) -> String {
        let host = match self.is_true("AWS_USE_FIPS_ENDPOINT") {
            true if !region.starts_with("us-gov-") => "sns-fips",
            _ => "sns",
        };
        self.endpoint("AWS_ENDPOINT_URL_SNS", host, region)
    }

    pub fn sts_endpoint(&self, region: &str, fips: bool) -> String {
        let fips = fips || self.is_true("AWS_USE_FIPS_ENDPOINT");
        let host = if fips && !region.starts_with("us-gov-") { "sts-fips" } else { "sts" };
        self.endpoint("AWS_ENDPOINT_URL_STS", host, region)
    }

    fn endpoint(&self, variable: &str, host: &str, region: &str) -> String {
        let own = self.get(variable).or_else(|| self.get("AWS_ENDPOINT_URL"));
        own.map_or_else(|| format!("https://{host}.{region}.{}", domain(region)), str::to_owned)
    }

    #[cfg(test)]
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

/// The domain of the part of AWS that a region belongs to.
fn domain(region: &str) -> &'static str {
    const DOMAINS: [(&str, &str); 6] = [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
    ];
    DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("amazonaws.com", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_follow_the_region() {
        let plain = Environment::default();
        assert_eq!(plain.sns_endpoint("eu-west-1"), "https://sns.eu-west-1.amazonaws.com");
        assert_eq!(plain.sns_endpoint("cn-north-1"), "https://sns.cn-north-1.amazonaws.com.cn");
        assert_eq!(plain.sts_endpoint("us-east-1", true), "https://sts-fips.us-east-1.amazonaws.com");
        assert_eq!(plain.sts_endpoint("us-gov-west-1", true), "https://sts.us-gov-west-1.amazonaws.com");
        let fips = Environment::of([("AWS_USE_FIPS_ENDPOINT", "true")]);
        assert_eq!(fips.sns_endpoint("us-east-2"), "https://sns-fips.us-east-2.amazonaws.com");
    }

    #[test]
    fn the_environment_may_name_endpoints() {
        let own = Environment::of([("AWS_ENDPOINT_URL", "http://l:1"), ("AWS_ENDPOINT_URL_STS", "http://l:2")]);
        assert_eq!(own.sns_endpoint("eu-west-1"), "http://l:1");
        assert_eq!(own.sts_endpoint("eu-west-1", false), "http://l:2");
    }
}
