//! How many attempts may be under way, and whose turn it is: a pure queue discipline.
//!
//! Each integration of each receiver is a lane, served first come first served, with a limit of its own, so
//! that one slow receiver fills its lane and no more. Over all lanes there is another limit; below it lanes
//! take turns. A lane in which nothing runs may always start one: however many receivers hang, the others
//! are served.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::Arc,
};

/// At most so many attempts at once over all lanes (beside the one each lane may always run).
const RUNNING_MAX: usize = 256;
/// At most so many attempts at once to one integration.
const RUNNING_PER_LANE_MAX: usize = 64;

/// Which integration of which receiver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    pub receiver: Arc<str>,
    pub kind: &'static str,
    pub index: usize,
}

#[derive(Debug)]
struct Line<J> {
    waiting: VecDeque<J>,
    running: usize,
    /// The lane stands in the ring of lanes that take turns.
    in_ring: bool,
}

/// Jobs that run or wait. `J` is whatever the caller needs to start one.
#[derive(Debug)]
pub struct Lanes<J> {
    lines: HashMap<Lane, Line<J>>,
    /// Lanes with waiting jobs, each once, in the order of their turns.
    ring: VecDeque<Lane>,
    running: usize,
    running_max: usize,
    per_lane_max: usize,
}

impl<J> Default for Lanes<J> {
    fn default() -> Self {
        Self::with_limits(RUNNING_MAX, RUNNING_PER_LANE_MAX)
    }
}

impl<J> Lanes<J> {
    #[must_use]
    pub fn with_limits(running_max: usize, per_lane_max: usize) -> Self {
        Lanes {
            lines: HashMap::new(),
            ring: VecDeque::new(),
            running: 0,
            running_max,
            per_lane_max: per_lane_max.max(1),
        }
    }

    /// Attempts under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// Starts `job` at once if the limits and the turns allow it: then it is handed back. Otherwise it waits.
    pub fn enter(&mut self, lane: &Lane, job: J) -> Option<J> {
        let line = match self.lines.entry(lane.clone()) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(free) => free.insert(Line { waiting: VecDeque::new(), running: 0, in_ring: false }),
        };
        let allowed = line.running < self.per_lane_max && (self.running < self.running_max || line.running == 0);
        if allowed && line.waiting.is_empty() {
            line.running += 1;
            self.running += 1;
            return Some(job);
        }
        line.waiting.push_back(job);
        if !line.in_ring {
            line.in_ring = true;
            self.ring.push_back(lane.clone());
        }
        None
    }

    /// A job of this lane has ended.
    pub fn leave(&mut self, lane: &Lane) {
        if let Some(line) = self.lines.get_mut(lane) {
            line.running = line.running.saturating_sub(1);
            self.running = self.running.saturating_sub(1);
            if line.running == 0 && line.waiting.is_empty() {
                self.lines.remove(lane);
            }
        }
    }

    /// The next waiting job that may start now, and its lane; it counts as running from here on.
    pub fn start_next(&mut self) -> Option<(Lane, J)> {
        for _ in 0..self.ring.len() {
            let lane = self.ring.pop_front()?;
            let Some(line) = self.lines.get_mut(&lane) else { continue };
            let allowed = line.running < self.per_lane_max && (self.running < self.running_max || line.running == 0);
            let job = if allowed { line.waiting.pop_front() } else { None };
            if job.is_some() {
                line.running += 1;
                self.running += 1;
            }
            line.in_ring = !line.waiting.is_empty();
            if line.in_ring {
                self.ring.push_back(lane.clone());
            }
            if let Some(job) = job {
                return Some((lane, job));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str) -> Lane {
        Lane { receiver: name.into(), kind: "webhook", index: 0 }
    }

    #[test]
    fn a_full_lane_does_not_stop_another() {
        let mut lanes = Lanes::with_limits(100, 2);
        let slow: Vec<_> = (0..5).filter_map(|job| lanes.enter(&lane("slow"), job)).collect();
        assert_eq!(slow, [0, 1]);
        assert_eq!(lanes.enter(&lane("good"), 10), Some(10));
        assert_eq!(lanes.running(), 3);
    }

    #[test]
    fn with_everything_taken_each_idle_lane_may_still_run_one() {
        let mut lanes = Lanes::with_limits(2, 2);
        assert_eq!((lanes.enter(&lane("a"), 1), lanes.enter(&lane("a"), 2)), (Some(1), Some(2)));
        assert_eq!((lanes.enter(&lane("b"), 3), lanes.enter(&lane("b"), 4)), (Some(3), None));
        assert_eq!(lanes.start_next(), None);
        lanes.leave(&lane("b"));
        assert_eq!(lanes.start_next(), Some((lane("b"), 4)));
    }

    #[test]
    fn lanes_take_turns_and_each_is_served_in_order() {
        let mut lanes = Lanes::with_limits(2, 2);
        for (name, job) in [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 5), ("b", 6)] {
            lanes.enter(&lane(name), job);
        }
        // a runs 1 and 2, b runs 5.
        let mut order = Vec::new();
        for done in ["a", "b", "a", "a", "a"] {
            lanes.leave(&lane(done));
            order.extend(std::iter::from_fn(|| lanes.start_next()).map(|(_, job)| job));
        }
        assert_eq!(order.len(), 3);
        assert!(order.iter().position(|j| *j == 3) < order.iter().position(|j| *j == 4));
        assert!(order.contains(&6));
    }

    #[test]
    fn a_lane_that_nobody_uses_is_forgotten() {
        let mut lanes = Lanes::with_limits(2, 2);
        lanes.enter(&lane("a"), 1);
        lanes.leave(&lane("a"));
        assert!(lanes.lines.is_empty() && lanes.running() == 0);
    }
}
