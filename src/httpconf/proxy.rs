//! Which way a request goes: direct, or through which proxy.
//!
//! Three settings (reference/configuration.md 8.1): `proxy_url` alone sends everything to the proxy;
//! with `no_proxy`, and with `proxy_from_environment`, the rules of Go's `httpproxy` hold: hosts, suffixes, IPs and
//! CIDRs, each with an optional port, and loopback addresses are never proxied.

use std::{fmt, net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

use super::{
    error::{ErrorKind, Failure, HttpConfigError},
    target::Target,
};
use crate::config::model::ProxyConfig;

/// The proxy variables of a process, read once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyEnvironment {
    pub http_proxy: String,
    pub https_proxy: String,
    pub no_proxy: String,
    /// `REQUEST_METHOD` is set: under CGI a client could set `HTTP_PROXY`, so it is not trusted.
    pub cgi: bool,
}

/// Proxy addresses may hold passwords.
impl fmt::Debug for ProxyEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyEnvironment").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

impl ProxyEnvironment {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, or their lower-case forms.
    #[must_use]
    pub fn from_process() -> Self {
        let get = |upper: &str, lower: &str| {
            let value = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
            value(upper).or_else(|| value(lower)).unwrap_or_default()
        };
        ProxyEnvironment {
            http_proxy: get("HTTP_PROXY", "http_proxy"),
            https_proxy: get("HTTPS_PROXY", "https_proxy"),
            no_proxy: get("NO_PROXY", "no_proxy"),
            cgi: std::env::var_os("REQUEST_METHOD").is_some_and(|v| !v.is_empty()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Https,
    Socks5,
}

/// One proxy.
#[derive(PartialEq, Eq)]
pub(super) struct ProxyServer {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    pub user_info: Option<(String, String)>,
    /// `Proxy-Authorization`, from the user info.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyServer").field("kind", &self.kind).field("host", &self.host).finish_non_exhaustive()
    }
}

impl ProxyServer {
    /// An address without a scheme means `http://`.
    fn parse(text: &str) -> Result<Self, HttpConfigError> {
        let fail = |why: &str| HttpConfigError::Proxy(why.to_owned());
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (kind, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 80),
            "https" => (ProxyKind::Https, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            other => return Err(fail(&format!("unsupported scheme {other:?}"))),
        };
        let target = Target::parse(&format!("http://{rest}")).map_err(|failure| fail(&failure.text))?;
        // `Target` fills in port 80: tell a written 80 from a missing port.
        let written = target.authority.rsplit(']').next().is_some_and(|after| after.contains(':'));
        let authorization = target.user_info.as_ref().and_then(|(user, password)| basic(user, password));
        Ok(ProxyServer {
            kind,
            host: target.host,
            port: if written { target.port } else { default_port },
            user_info: target.user_info,
            authorization,
        })
    }
}

/// `Basic …`, marked as sensitive.
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The rules of one `http_config`.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Arc<ProxyServer>>,
    https: Option<Arc<ProxyServer>>,
    /// `None`: everything is proxied, loopback too.
    bypass: Option<NoProxy>,
    cgi: bool,
}

impl Proxies {
    pub(super) fn new(config: &ProxyConfig, environment: &ProxyEnvironment) -> Result<Self, HttpConfigError> {
        let parse = |text: &str| match text {
            "" => Ok(None),
            text => ProxyServer::parse(text).map(|server| Some(Arc::new(server))),
        };
        if config.from_environment {
            return Ok(Proxies {
                http: parse(&environment.http_proxy)?,
                https: parse(&environment.https_proxy)?,
                bypass: Some(NoProxy::parse(&environment.no_proxy)),
                cgi: environment.cgi,
            });
        }
        let server = parse(config.url.as_ref().map_or("", |url| url.0.as_ref()))?;
        let bypass = (!config.no_proxy.is_empty()).then(|| NoProxy::parse(&config.no_proxy));
        Ok(Proxies { http: server.clone(), https: server, bypass, cgi: false })
    }

    /// The proxy for this target, if any.
    pub(super) fn route(&self, target: &Target) -> Result<Option<&Arc<ProxyServer>>, Failure> {
        let server = if target.https { &self.https } else { &self.http };
        let Some(server) = server else { return Ok(None) };
        if self.cgi && !target.https {
            return Err(Failure::new(
                ErrorKind::Proxy,
                "refusing to use HTTP_PROXY value in CGI environment; see golang.org/s/cgihttpproxy",
            ));
        }
        let direct = self.bypass.as_ref().is_some_and(|rules| rules.matches(&target.host, target.port));
        Ok((!direct).then_some(server))
    }
}

/// A parsed `no_proxy` list.
#[derive(Debug, Default, PartialEq, Eq)]
struct NoProxy {
    all: bool,
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
enum Rule {
    Cidr(IpAddr, u8),
    Ip(IpAddr, Option<String>),
    /// Suffix with its leading dot; `exact`: the name without the dot matches too.
    Domain {
        suffix: String,
        exact: bool,
        port: Option<String>,
    },
}

impl NoProxy {
    fn parse(list: &str) -> Self {
        let mut parsed = NoProxy::default();
        for item in list.split(',').map(|item| item.trim().to_ascii_lowercase()) {
            if item == "*" {
                return NoProxy { all: true, rules: Vec::new() };
            }
            parsed.rules.extend(Rule::parse(&item));
        }
        parsed
    }

    /// Loopback is always matched: such targets are never proxied.
    fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.trim().to_ascii_lowercase();
        let ip: Option<IpAddr> = host.parse().ok();
        if self.all || host == "localhost" || ip.is_some_and(is_loopback) {
            return true;
        }
        let port = port.to_string();
        self.rules.iter().any(|rule| rule.matches(&host, &port, ip))
    }
}

/// `::ffff:127.0.0.1` counts.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl Rule {
    fn parse(item: &str) -> Option<Rule> {
        if let Some(cidr) = parse_cidr(item) {
            return Some(cidr);
        }
        let (host, port) = split_port(item);
        if host.is_empty() {
            return None;
        }
        let port = port.filter(|port| !port.is_empty()).map(str::to_owned);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Rule::Ip(ip.to_canonical(), port));
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let exact = !host.starts_with('.');
        let suffix = if exact { format!(".{host}") } else { host.to_owned() };
        Some(Rule::Domain { suffix, exact, port })
    }

    fn matches(&self, host: &str, port: &str, ip: Option<IpAddr>) -> bool {
        let port_fits = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == port);
        match self {
            Rule::Cidr(net, bits) => ip.is_some_and(|ip| in_cidr(ip.to_canonical(), *net, *bits)),
            Rule::Ip(wanted, wanted_port) => {
                ip.is_some_and(|ip| ip.to_canonical() == *wanted) && port_fits(wanted_port)
            }
            Rule::Domain { suffix, exact, port } => {
                let fits = host.ends_with(suffix.as_str()) || (*exact && suffix.get(1..) == Some(host));
                fits && port_fits(port)
            }
        }
    }
}

fn parse_cidr(item: &str) -> Option<Rule> {
    let (ip, bits) = item.split_once('/')?;
    let (ip, bits): (IpAddr, u8) = (ip.parse().ok()?, bits.parse().ok()?);
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Rule::Cidr(ip, bits))
}

fn in_cidr(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let prefix_equal = |a: u128, b: u128, width: u8| {
        let shift = u32::from(width - bits.min(width));
        shift >= 128 || a >> shift == b >> shift
    };
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => prefix_equal(u32::from(ip).into(), u32::from(net).into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => prefix_equal(ip.into(), net.into(), 128),
        _ => false,
    }
}

/// `host:port`, `[v6]:port`, or a lone host, IPv6 included.
fn split_port(item: &str) -> (&str, Option<&str>) {
    if let Some(rest) = item.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => (item, None),
        };
    }
    match item.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (item, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Secret;

    fn route(config: &ProxyConfig, environment: &ProxyEnvironment, url: &str) -> Option<String> {
        let proxies = Proxies::new(config, environment).unwrap();
        proxies.route(&Target::parse(url).unwrap()).unwrap().map(|p| format!("{:?} {}:{}", p.kind, p.host, p.port))
    }

    fn configured(url: &str, no_proxy: &str) -> ProxyConfig {
        ProxyConfig { url: Some(Secret(url.into())), no_proxy: no_proxy.to_owned(), ..ProxyConfig::default() }
    }

    #[test]
    fn a_proxy_url_alone_proxies_everything_loopback_included() {
        let none = ProxyEnvironment::default();
        for url in ["http://a.example/", "https://a.example/", "http://127.0.0.1:1/", "http://localhost/"] {
            assert_eq!(route(&configured("http://p:3128", ""), &none, url).unwrap(), "Http p:3128");
        }
        assert_eq!(route(&configured("socks5://p", ""), &none, "http://a/").unwrap(), "Socks5 p:1080");
        assert_eq!(route(&configured("https://p", ""), &none, "http://a/").unwrap(), "Https p:443");
        assert_eq!(route(&configured("http://p:80", ""), &none, "http://a/").unwrap(), "Http p:80");
    }

    #[test]
    fn no_proxy_knows_names_suffixes_ips_networks_and_ports() {
        let list =
            "exact.org, .suffix.org,*.star.org,10.0.0.0/8,192.168.1.1,[2001:db8::1]:8443,2001:db9::/32,port.org:8080";
        let config = configured("http://p:3128", list);
        for (url, proxied) in [
            ("http://exact.org/", false),
            ("http://sub.exact.org/", false),
            ("http://notexact.org/", true),
            ("http://suffix.org/", true),
            ("http://a.suffix.org/", false),
            ("http://star.org/", true),
            ("http://a.star.org/", false),
            ("http://10.1.2.3/", false),
            ("http://11.1.2.3/", true),
            ("http://192.168.1.1:99/", false),
            ("http://[2001:db8::1]:8443/", false),
            ("http://[2001:db8::1]:8444/", true),
            ("http://[2001:db9::7]/", false),
            ("http://port.org:8080/", false),
            ("http://port.org/", true),
            ("http://127.0.0.1/", false),
            ("https://localhost:1/", false),
            ("http://[::1]/", false),
        ] {
            assert_eq!(route(&config, &ProxyEnvironment::default(), url).is_some(), proxied, "{url}");
        }
    }

    #[test]
    fn a_star_turns_the_proxy_off() {
        assert_eq!(route(&configured("http://p", "a,*"), &ProxyEnvironment::default(), "http://x.org/"), None);
    }

    #[test]
    fn the_environment_has_a_proxy_for_each_scheme() {
        let environment = ProxyEnvironment {
            http_proxy: "plain:1".to_owned(),
            https_proxy: "https://secure".to_owned(),
            no_proxy: "x.org".to_owned(),
            cgi: false,
        };
        let config = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
        assert_eq!(route(&config, &environment, "http://a.org/").unwrap(), "Http plain:1");
        assert_eq!(route(&config, &environment, "https://a.org/").unwrap(), "Https secure:443");
        assert_eq!(route(&config, &environment, "https://x.org/"), None);
        assert_eq!(route(&config, &environment, "http://127.0.0.1/"), None);
        assert_eq!(route(&config, &ProxyEnvironment::default(), "http://a.org/"), None);
    }

    #[test]
    fn under_cgi_the_http_proxy_is_refused() {
        let environment = ProxyEnvironment { http_proxy: "p".to_owned(), cgi: true, ..ProxyEnvironment::default() };
        let config = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
        let proxies = Proxies::new(&config, &environment).unwrap();
        assert!(proxies.route(&Target::parse("http://a/").unwrap()).is_err());
    }

    #[test]
    fn credentials_become_a_header_and_never_show() {
        let proxies = Proxies::new(&configured("http://pu:p%40p@proxy:1", ""), &ProxyEnvironment::default()).unwrap();
        let server = proxies.http.as_ref().unwrap();
        assert_eq!(server.authorization.as_ref().unwrap(), "Basic cHU6cEBw");
        assert!(!format!("{proxies:?}").contains("p@p"));
    }

    #[test]
    fn an_unknown_scheme_fails_the_build() {
        let error = Proxies::new(&configured("ftp://p", ""), &ProxyEnvironment::default()).unwrap_err();
        assert_eq!(error.to_string(), "invalid proxy address: unsupported scheme \"ftp\"");
    }
}
