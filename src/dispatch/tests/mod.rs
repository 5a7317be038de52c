//! Behaviour of dispatch and delivery in virtual time.

mod delivery;
mod lasting;
mod outside;
mod timelines;
mod traces;
mod truth;
mod world;
