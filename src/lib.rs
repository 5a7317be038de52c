//! Carillon: a highly available Prometheus Alertmanager. README says what it does and how it is built;
//! `main` is the server.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used)]

pub mod alert;
pub mod alerts;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod ctl;
pub mod decisions;
pub mod dispatch;
pub mod events;
pub mod httpconf;
pub mod inhibit;
pub mod logging;
pub mod metrics;
pub mod nflog;
pub mod notify;
pub mod otlp;
pub mod random;
pub mod replica;
pub mod ring;
pub mod silence;
pub mod store;
pub mod template;
pub mod timeinterval;
pub mod ui;
pub mod web;
