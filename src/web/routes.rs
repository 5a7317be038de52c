//! Which page a path means, outside of API version 2, and what is said of paths that are nearly right.
//!
//! A path with a slash too many or too few, with doubled slashes or dots, or in another case is redirected;
//! a known path with another method is refused with the methods that it has (reference/server.md 2).

use std::borrow::Cow;

use http::Method;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::{
    api::{self, valid_escapes},
    ui::Place,
};

/// A page outside of API version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Favicon,
    Metrics,
    Healthy,
    Ready,
    Reload,
    V1Gone,
}

/// Path, label `handler` of the request metrics, page, methods. One `*` at the end stands for one segment.
const PAGES: [(&str, &str, Page, &[Method]); 10] = [
    ("/favicon.ico", "/favicon.ico", Page::Favicon, &[Method::GET]),
    ("/metrics", "/metrics", Page::Metrics, &[Method::GET]),
    ("/-/healthy", "/-/healthy", Page::Healthy, &[Method::GET, Method::HEAD]),
    ("/-/ready", "/-/ready", Page::Ready, &[Method::GET, Method::HEAD]),
    ("/-/reload", "/-/reload", Page::Reload, &[Method::POST]),
    ("/api/v1/status", "/status", Page::V1Gone, &[Method::GET]),
    ("/api/v1/receivers", "/receivers", Page::V1Gone, &[Method::GET]),
    ("/api/v1/alerts", "/alerts", Page::V1Gone, &[Method::GET, Method::POST]),
    ("/api/v1/silences", "/silences", Page::V1Gone, &[Method::GET, Method::POST]),
    ("/api/v1/silence/*", "/silence/:sid", Page::V1Gone, &[Method::GET, Method::DELETE]),
];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'p> {
    /// API version 2, and what follows `/api/v2` in the path, escapes and all.
    Api(&'p str),
    /// A page for people.
    Ui(Place<'p>),
    /// With the label for metrics.
    Page(Page, &'static str),
    /// The path was not in its clean form; every method is sent there.
    Moved(String),
    /// A near miss: GET is sent there for good, other methods for now.
    Near(String),
    /// `/` above the prefix.
    Prefix(String),
    /// OPTIONS, or a method that the path does not have: the methods it has.
    Methods(Vec<&'static str>),
    NotFound,
    /// It does not start with a slash, or holds a broken escape.
    Malformed,
}

/// Routes below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    /// Without a slash at its end; empty for none.
    prefix: String,
}

impl Routes {
    /// `prefix` as in `--web.route-prefix`, slashes at its ends or not.
    pub fn new(prefix: &str) -> Self {
        let trimmed = prefix.trim_matches('/');
        Routes { prefix: if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") } }
    }

    /// `path` as in the request line, still escaped.
    pub fn target<'p>(&self, method: &Method, path: &'p str) -> Target<'p> {
        if !path.starts_with('/') || !valid_escapes(path) {
            return Target::Malformed;
        }
        if let Some(rest) = path.strip_prefix(self.prefix.as_str()).and_then(|rest| rest.strip_prefix("/api/v2")) {
            if rest.is_empty() {
                return Target::Moved(format!("{}/api/v2/", self.prefix));
            }
            if rest.starts_with('/') && is_clean(rest) {
                return Target::Api(rest);
            }
        }
        if let Some(place) = path.strip_prefix(self.prefix.as_str()).and_then(Place::of) {
            return Target::Ui(place);
        }
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let clean = cleaned(&decoded);
        if *clean != *decoded {
            return Target::Moved(escaped(&clean));
        }
        if let Some((page, label, methods)) = self.find(&decoded)
            && methods.contains(method)
        {
            return Target::Page(page, label);
        }
        if !self.prefix.is_empty() && *decoded == *"/" && method == Method::GET {
            return Target::Prefix(self.prefix.clone());
        }
        if let Some(near) = self.near(method, &decoded) {
            return Target::Near(escaped(&near));
        }
        self.methods(&decoded).map_or(Target::NotFound, Target::Methods)
    }

    /// The pattern that a path matches, as in metrics, if it is that of a page or of the API.
    pub fn label(&self, method: &Method, path: &str) -> Option<&'static str> {
        match self.target(method, path) {
            Target::Api(path) => Some(api::handler_label(path)),
            Target::Ui(place) => Some(place.label()),
            Target::Page(_, label) => Some(label),
            _ => None,
        }
    }

    fn find(&self, path: &str) -> Option<(Page, &'static str, &'static [Method])> {
        let path = path.strip_prefix(self.prefix.as_str())?;
        let hit = PAGES.iter().find(|(pattern, ..)| match pattern.strip_suffix('*') {
            Some(stem) => path.strip_prefix(stem).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
            None => path == *pattern,
        });
        hit.map(|(_, label, page, methods)| (*page, *label, *methods))
    }

    /// The path that was meant, if one that has `method` differs only in the last slash or in case.
    fn near(&self, method: &Method, path: &str) -> Option<String> {
        let has = |path: &str| self.find(path).is_some_and(|(.., methods)| methods.contains(method));
        let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        if [Method::GET, Method::HEAD].contains(method) && self.is_for_people(&other) {
            return Some(other);
        }
        [path, &other].into_iter().find_map(|path| {
            let known = PAGES.iter().find_map(|(pattern, ..)| {
                let stem = format!("{}{}", self.prefix, pattern.trim_end_matches('*'));
                let head = path.get(..stem.len())?;
                let tail = path.get(stem.len()..)?;
                (head.eq_ignore_ascii_case(&stem) && (tail.is_empty() != pattern.ends_with('*'))).then(|| stem + tail)
            })?;
            has(&known).then_some(known)
        })
    }

    fn is_for_people(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str()).and_then(Place::of).is_some()
    }

    /// The methods of a known path with OPTIONS, sorted.
    fn methods(&self, path: &str) -> Option<Vec<&'static str>> {
        let (.., methods) = self.find(path)?;
        let mut names: Vec<&str> = methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect();
        names.sort_unstable();
        Some(names)
    }
}

fn is_clean(path: &str) -> bool {
    !path.contains("//") && !path.split('/').any(|segment| segment == "." || segment == "..")
}

/// Without doubled slashes and dots; a slash at the end stays.
fn cleaned(path: &str) -> Cow<'_, str> {
    if path.starts_with('/') && is_clean(path) {
        return Cow::Borrowed(path);
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", segments.join("/")))
}

/// As a path in a `Location`.
fn escaped(path: &str) -> String {
    const UNSAFE: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(path, UNSAFE).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Target<'_> {
        Routes::new("/").target(&Method::GET, path)
    }

    fn near(path: &str) -> Target<'static> {
        Target::Near(path.to_owned())
    }

    #[test]
    fn pages_and_the_api_are_found() {
        assert_eq!(get("/metrics"), Target::Page(Page::Metrics, "/metrics"));
        assert_eq!(get("/%6detrics"), Target::Page(Page::Metrics, "/metrics"));
        assert_eq!(get("/api/v1/silence/x"), Target::Page(Page::V1Gone, "/silence/:sid"));
        assert_eq!(get("/api/v2/alerts/"), Target::Api("/alerts/"));
        assert_eq!(get("/api/v2/"), Target::Api("/"));
        for path in [
            "/nosuch",
            "/Api/v2/alerts",
            "/api/v1/nosuch",
            "/api/v3",
            "/api/v1/silence",
            "/index.html",
            "/-/",
            "/assets/x",
        ] {
            assert_eq!(get(path), Target::NotFound, "{path}");
        }
    }

    #[test]
    fn near_misses_are_redirected() {
        for (path, to) in [
            ("/-/healthy/", "/-/healthy"),
            ("/Metrics", "/metrics"),
            ("/METRICS/", "/metrics"),
            ("/metrics%2f", "/metrics"),
            ("/API/v1/Silence/X", "/api/v1/silence/X"),
        ] {
            assert_eq!(get(path), near(to), "{path}");
        }
        assert_eq!(Routes::new("").target(&Method::POST, "/-/Reload"), near("/-/reload"));
        assert_eq!(Routes::new("").target(&Method::POST, "/metrics/"), Target::NotFound);
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, to) in [
            ("//metrics", "/metrics"),
            ("/-/../metrics", "/metrics"),
            ("/..", "/"),
            ("/./", "/"),
            ("/api/v2//alerts", "/api/v2/alerts"),
            ("/api/v2", "/api/v2/"),
            ("//a b/", "/a%20b/"),
        ] {
            assert_eq!(get(path), Target::Moved(to.to_owned()), "{path}");
        }
    }

    #[test]
    fn other_methods_are_told_those_that_there_are() {
        let methods = |method, path| Routes::new("/").target(method, path);
        assert_eq!(methods(&Method::HEAD, "/metrics"), Target::Methods(vec!["GET", "OPTIONS"]));
        assert_eq!(methods(&Method::OPTIONS, "/-/ready"), Target::Methods(vec!["GET", "HEAD", "OPTIONS"]));
        assert_eq!(methods(&Method::GET, "/-/reload"), Target::Methods(vec!["OPTIONS", "POST"]));
        assert_eq!(methods(&Method::HEAD, "/-/ready"), Target::Page(Page::Ready, "/-/ready"));
    }

    #[test]
    fn below_a_prefix_everything_moves() {
        let routes = Routes::new("am/");
        let get = |path| routes.target(&Method::GET, path);
        assert_eq!(get("/am/api/v2/status"), Target::Api("/status"));
        assert_eq!(get("/am/metrics"), Target::Page(Page::Metrics, "/metrics"));
        assert_eq!(get("/"), Target::Prefix("/am".into()));
        assert_eq!(get("/am"), near("/am/"));
        assert_eq!(get("/AM/Metrics"), near("/am/metrics"));
        assert_eq!(get("/metrics"), Target::NotFound);
        assert_eq!(get("/api/v2/status"), Target::NotFound);
    }

    #[test]
    fn malformed_paths_are_refused() {
        for path in ["*", "", "/%zz", "/api/v2/alerts%"] {
            assert_eq!(get(path), Target::Malformed, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_goes_somewhere(path in any::<String>(), near in "(/|%2[fF]|\\.|api|v2|v1|silence|-|METRICS|ü|%){0,9}") {
            for prefix in ["", "/ü", "/a/b"] {
                for method in [Method::GET, Method::POST] {
                    let _ = (Routes::new(prefix).target(&method, &path), Routes::new(prefix).target(&method, &near));
                }
            }
        }
    }
}
