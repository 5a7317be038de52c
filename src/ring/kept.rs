//! What a node knows of itself and of its peers over a restart, for the time in which it sees nobody.
//!
//! *The clock's correction.* A node whose clock is ahead would take posts for ends whose time has long come: it goes on
//! with what it knew of its clock before. Only a correction that makes the clock slower is kept. If the clock has been
//! set right meanwhile, deadlines come later until a peer is seen, and nothing is called over that burns.
//!
//! *Its peers' names.* A node that is alone because it starts behind a split must not conclude that an alert is over
//! because nobody posts it here (reference/decide.md 3.1, "known members").

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::{clock::Correction, cluster::View, store::Disk};

/// Where the data directory keeps the correction, in milliseconds.
const FILE: &str = "carillon.clock";
/// Where it keeps the names, a line each.
const PEERS_FILE: &str = "carillon.peers";
/// More names are not read.
const PEERS_MAX: usize = 1000;
/// Peers of before the start that were not met for so long are gone (`--cluster.reconnect-timeout`'s default).
const GONE_AFTER: Duration = Duration::from_secs(6 * 3600);
/// A kept correction of more is damage.
const MAX: TimeDelta = TimeDelta::days(366);

/// Corrects the clock as before the restart, and keeps what becomes of the correction. What cannot be read counts as
/// none.
pub fn recall_correction(correction: &Correction, disk: &Arc<dyn Disk>) {
    let kept = disk.read(FILE).ok().flatten().and_then(|bytes| parse(&bytes)).unwrap_or_default();
    if !kept.is_zero() {
        let correction_ms = kept.num_milliseconds();
        tracing::info!(component = "cluster", correction_ms, "deadlines are judged as before the restart");
        correction.set(kept);
    }
    let disk = Arc::clone(disk);
    correction.keep_with(move |wanted| keep(&*disk, wanted.min(TimeDelta::zero())));
}

fn parse(bytes: &[u8]) -> Option<TimeDelta> {
    let millis: i64 = std::str::from_utf8(bytes).ok()?.trim_end().parse().ok()?;
    let kept = TimeDelta::try_milliseconds(millis)?;
    (kept <= TimeDelta::zero() && kept >= -MAX).then_some(kept)
}

fn keep(disk: &dyn Disk, correction: TimeDelta) {
    write(disk, FILE, &format!("{}\n", correction.num_milliseconds()));
}

fn write(disk: &dyn Disk, file: &str, text: &str) {
    if let Err(error) = disk.replace(file, &mut |out| out.write_all(text.as_bytes())) {
        tracing::warn!(component = "cluster", err = %error, path = disk.path_of(file),
            "what is known of the cluster cannot be kept for the next start");
    }
}

/// The names of the peers that are known, on disk, and those of before the start as long as nobody was met.
pub(super) struct Acquaintances {
    disk: Arc<dyn Disk>,
    kept: BTreeSet<String>,
    missed: BTreeSet<String>,
    since: Instant,
}

impl Acquaintances {
    pub fn recall(disk: Arc<dyn Disk>, now: Instant) -> Self {
        let bytes = disk.read(PEERS_FILE).ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let kept: BTreeSet<String> =
            text.lines().filter(|name| !name.is_empty()).take(PEERS_MAX).map(str::to_owned).collect();
        Acquaintances { disk, missed: kept.clone(), kept, since: now }
    }

    /// Whoever is alive knows the members, also those that are out of sight: from then on the view says it all.
    pub fn on_view(&mut self, view: &View) {
        if view.live().any(|member| !member.is_self) {
            self.missed.clear();
        } else if !self.missed.is_empty() {
            return;
        }
        let others = view.members.iter().filter(|member| !member.is_self && !member.name.contains('\n'));
        let wanted: BTreeSet<String> = others.map(|member| member.name.clone()).collect();
        if wanted != self.kept {
            let text: String = wanted.iter().flat_map(|name| [name, "\n"]).collect();
            write(&*self.disk, PEERS_FILE, &text);
            self.kept = wanted;
        }
    }

    /// This node has met nobody since its start, and knew others before.
    pub fn are_missed(&self, now: Instant) -> bool {
        !self.missed.is_empty() && now.saturating_duration_since(self.since) < GONE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, Time},
        cluster::{Member, MemberState},
        store::MemoryDisk,
    };

    fn view(others: &[(&str, MemberState)]) -> View {
        let member = |name: &str, state, is_self| Member {
            name: name.to_owned(),
            address: ([127, 0, 0, 1], 9094).into(),
            generation: 1,
            state,
            settled: true,
            is_self,
            last_exchange: None,
            clock_offset: None,
            round_trip: None,
            udp: None,
            tcp: None,
            lag: 0,
            version: String::new(),
        };
        let mut members = vec![member("me", MemberState::Alive, true)];
        members.extend(others.iter().map(|(name, state)| member(name, *state, false)));
        View { members, ..View::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_meets_nobody_after_its_start_misses_those_it_knew() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let now = Clock::simulated(Time::UNIX_EPOCH).monotonic();
        let recall = || Acquaintances::recall(Arc::clone(&disk), now);
        let mut first = recall();
        assert!(!first.are_missed(now), "a new node knows nobody");
        first.on_view(&view(&[("a", MemberState::Alive), ("b", MemberState::Down)]));
        assert!(!first.are_missed(now));

        let mut again = recall();
        again.on_view(&view(&[]));
        assert!(again.are_missed(now));
        assert!(recall().are_missed(now), "a second start forgets nothing");
        again.on_view(&view(&[("a", MemberState::Alive)]));
        assert!(!again.are_missed(now), "from now on the view tells");
        again.on_view(&view(&[]));
        assert!(!recall().are_missed(now), "all have left in good order");
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_are_not_met_for_hours_are_gone() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let now = Clock::simulated(Time::UNIX_EPOCH).monotonic();
        Acquaintances::recall(Arc::clone(&disk), now).on_view(&view(&[("a", MemberState::Alive)]));
        let again = Acquaintances::recall(disk, now);
        assert!(again.are_missed(now) && !again.are_missed(now + GONE_AFTER));
    }

    #[test]
    fn a_clock_that_is_ahead_is_corrected_after_a_restart_too() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let before = Correction::default();
        recall_correction(&before, &disk);
        assert!(before.get().is_zero(), "nothing is known");
        before.set(TimeDelta::seconds(-84));
        let after = Correction::default();
        recall_correction(&after, &disk);
        assert_eq!(after.get(), TimeDelta::seconds(-84));
        after.set(TimeDelta::zero());
        let healthy = Correction::default();
        recall_correction(&healthy, &disk);
        assert!(healthy.get().is_zero());
    }

    #[test]
    fn a_clock_that_is_behind_is_not_put_forward_before_a_peer_is_seen() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let before = Correction::default();
        recall_correction(&before, &disk);
        before.set(TimeDelta::seconds(84));
        let after = Correction::default();
        recall_correction(&after, &disk);
        assert!(after.get().is_zero());
    }

    #[test]
    fn damage_counts_as_nothing_known() {
        for damaged in ["", "x", "84000", "-99999999999999999999", "-9223372036854775808", "-31622400001"] {
            assert_eq!(parse(damaged.as_bytes()), None, "{damaged}");
        }
        assert_eq!(parse(b"-84000\n"), Some(TimeDelta::seconds(-84)));
    }
}
