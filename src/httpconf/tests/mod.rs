//! The client against servers and proxies in this process, on loopback.

mod auth;
mod proxies;
mod redirects;
mod requests;
pub(crate) mod support;
mod tls;
