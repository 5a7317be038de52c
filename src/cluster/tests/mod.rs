//! Whole clusters in virtual time over the simulated network. Each test runs with several seeds; a failure names
//! the seed.

mod delivery;
mod discovery;
mod figures;
mod heal;
mod hostile;
mod lab;
mod membership;
mod real;
mod versions;
