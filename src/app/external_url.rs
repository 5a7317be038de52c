//! `--web.external-url` and the route prefix that follows from it.

use super::hostname;

/// The URL under which people reach this server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ExternalUrl {
    /// Without a trailing slash.
    pub text: String,
    /// With a leading and without a trailing slash; empty for the root.
    path: String,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ExternalUrlError {
    #[error("failed to determine external URL: {url:?} is not a URL: {reason}")]
    Invalid { url: String, reason: String },
    #[error("failed to determine external URL: {0:?}: only http and https are possible")]
    Scheme(String),
}

/// As given, or this machine's name with the port of the first listener.
pub(super) fn external_url(given: Option<&str>, port: u16) -> Result<ExternalUrl, ExternalUrlError> {
    let Some(given) = given else {
        return Ok(ExternalUrl { text: format!("http://{}:{port}", hostname()), path: String::new() });
    };
    // Quotes around the whole value are left by service files and compose files.
    let given = given.trim_matches(['"', '\'']);
    let parsed = url::Url::parse(given)
        .map_err(|error| ExternalUrlError::Invalid { url: given.to_owned(), reason: error.to_string() })?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(ExternalUrlError::Scheme(given.to_owned()));
    }
    let (base, _) = given.split_once(['?', '#']).unwrap_or((given, ""));
    Ok(ExternalUrl { text: base.trim_end_matches('/').to_owned(), path: prefix(parsed.path()) })
}

impl ExternalUrl {
    /// The prefix of all routes: as given, else the path of this URL. Empty for the root.
    pub fn route_prefix(&self, given: Option<&str>) -> String {
        given.map_or_else(|| self.path.clone(), prefix)
    }
}

fn prefix(path: &str) -> String {
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_url_is_the_default_prefix() {
        let url = external_url(Some("http://am.example:1234/sub/path/"), 1).unwrap();
        assert_eq!(url.text, "http://am.example:1234/sub/path");
        assert_eq!(url.route_prefix(None), "/sub/path");
        assert_eq!((url.route_prefix(Some("/")), url.route_prefix(Some("x/"))), (String::new(), "/x".to_owned()));
    }

    #[test]
    fn without_a_url_the_machine_and_the_port_are_named() {
        let url = external_url(None, 9093).unwrap();
        assert!(url.text.starts_with("http://") && url.text.ends_with(":9093"), "{}", url.text);
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        assert_eq!(external_url(Some("ftp://x"), 1), Err(ExternalUrlError::Scheme("ftp://x".into())));
        assert!(external_url(Some(":x"), 1).is_err());
    }
}
