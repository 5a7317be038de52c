//! Each integration against a mock of its vendor, in virtual time: what is sent when alerts fire, change and
//! resolve, what refusals and silence lead to, and that secrets show nowhere. What goes out to the byte is
//! compared with the reference elsewhere (the golden suite).

mod conduct;
mod fixture;
#[path = "../support/mod.rs"]
mod support;
mod tunnel;
mod vendor;

mod discord;
mod incidentio;
mod jira;
mod mattermost;
mod msteams;
mod msteamsv2;
mod opsgenie;
mod pagerduty;
mod pushover;
mod restart;
mod rocketchat;
mod slack;
mod sns;
mod telegram;
mod victorops;
mod webex;
mod webhook;
mod wechat;
