//! The notification pipeline: what a group owes to an integration, whether this node may say it now, and
//! how one attempt to say it goes.
//!
//! Delivery is level-triggered. There is no queue of old messages: what *is* (the group's alerts after
//! inhibition, time intervals and silences) is compared with what *was told* (the notification log), and
//! the difference is owed until some node has told it. The rules are pure functions, one file each:
//!
//! * [`mute`]: inhibit → active time → mute time → silence, the stages that take alerts out;
//! * [`owed`]: the difference, and the reason to give for it;
//! * [`decide`](mod@decide): skip, wait, ask the other nodes, or send;
//! * [`retry`]: back-off, time limits and the accounting of failures;
//! * [`lanes`]: how many attempts may be under way, for all and for one integration.
//!
//! [`peer`] is the seam to the cluster; [`receivers`] holds one file an integration. Groups and their
//! timers are `dispatch`'s, which drives all this. Nothing here knows gossip, HTTP routes or disks.

pub mod decide;
pub mod integration;
pub mod lanes;
pub mod mute;
pub mod owed;
pub mod peer;
pub mod receivers;
pub mod retry;
pub mod types;

pub use integration::Integration;
pub use peer::Peer;
pub use types::{
    FailureReason, Memory, MemoryValue, Notification, Notifier, NotifyError, NotifyFuture, Progress, Reason, Receipt,
};
