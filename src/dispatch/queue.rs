//! The one queue of times that drives all groups. Pure: a heap and nothing else.

use std::{cmp::Reverse, collections::BinaryHeap};

use tokio::time::Instant;

/// Things due at moments, earliest first, in order of arrival among equals.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Slot<T>>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Slot<T> {
    at: Instant,
    arrival: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::new(), arrivals: 0 }
    }
}

impl<T> Queue<T> {
    /// Returns whether it is now the first to come: whoever sleeps until the first has to wake up.
    pub fn push(&mut self, at: Instant, what: T) -> bool {
        let first = self.next_at().is_none_or(|next| at < next);
        self.arrivals += 1;
        self.heap.push(Reverse(Slot { at, arrival: self.arrivals, what }));
        first
    }

    /// The next thing, if it is due by `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(slot)| (slot.at, slot.what))
    }

    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(slot)| slot.at)
    }
}

impl<T> PartialEq for Slot<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.arrival) == (other.at, other.arrival)
    }
}

impl<T> Eq for Slot<T> {}

impl<T> PartialOrd for Slot<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Slot<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.arrival).cmp(&(other.at, other.arrival))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_in_order_of_time_then_of_arrival() {
        let start = crate::clock::Clock::system().monotonic();
        let at = |ms| start + Duration::from_millis(ms);
        let mut queue = Queue::default();
        let firsts: Vec<bool> = [(5, "c"), (3, "a"), (3, "b"), (9, "d")].map(|(ms, x)| queue.push(at(ms), x)).into();
        assert_eq!(firsts, [true, true, false, false]);
        let due: Vec<_> = std::iter::from_fn(|| queue.pop_due(at(5))).map(|(_, x)| x).collect();
        assert_eq!((due, queue.next_at()), (vec!["a", "b", "c"], Some(at(9))));
    }
}
