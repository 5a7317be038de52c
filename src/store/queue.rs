//! What waits to be written: keyed, bounded, no I/O.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use tokio::sync::oneshot;

use super::{Changes, Table, Value, WriteError};

/// Bytes that may wait. Reached only when the disk does not take them: a table that loses a change is
/// written anew from memory once it does.
const BYTES_MAX: usize = 64 << 20;
/// Cost of a queued record beside its bytes.
const RECORD_OVERHEAD: usize = 96;
/// Alerts in one transaction: bounds how long a silence waits behind them.
const LATER_BATCH_MAX: usize = 4_096;

pub(super) type Waiter = oneshot::Sender<Result<(), WriteError>>;

/// One transaction's worth.
#[derive(Default)]
pub(super) struct Batch {
    /// In order of table and key.
    pub changes: Vec<(Table, Box<[u8]>, Value)>,
    /// Tables to be written anew from their source, before the changes.
    pub stale: Vec<Table>,
    pub waiters: Vec<Waiter>,
}

#[derive(Default)]
pub(super) struct Queue {
    urgent: HashMap<(Table, Box<[u8]>), Value>,
    /// In order of keys, so that a part of it is written to one place.
    later: BTreeMap<Box<[u8]>, Value>,
    bytes: usize,
    stale: Vec<Table>,
    waiters: Vec<Waiter>,
    /// These wait for `later` too.
    flushers: Vec<Waiter>,
}

impl Queue {
    pub fn has_urgent(&self) -> bool {
        !self.urgent.is_empty() || !self.waiters.is_empty()
    }

    pub fn has_later(&self) -> bool {
        !self.later.is_empty() || !self.flushers.is_empty() || !self.stale.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        !self.has_urgent() && !self.has_later()
    }

    pub fn len(&self) -> usize {
        self.urgent.len() + self.later.len()
    }

    /// Queues changes; a later one of a key replaces an earlier one. Returns how many found no room: their
    /// table is stale from then on.
    pub fn put(&mut self, table: Table, changes: Changes) -> usize {
        let mut refused = 0;
        for (key, value) in changes {
            if self.bytes > BYTES_MAX {
                refused += 1;
                self.mark_stale(table);
            } else {
                self.insert(table, key, value);
            }
        }
        refused
    }

    fn insert(&mut self, table: Table, key: Box<[u8]>, value: Value) {
        self.bytes += size(&key, &value);
        let key_len = key.len();
        let old = if table == Table::Alerts {
            self.later.insert(key, value)
        } else {
            self.urgent.insert((table, key), value)
        };
        if let Some(old) = old {
            self.bytes = self.bytes.saturating_sub(key_len + value_size(&old) + RECORD_OVERHEAD);
        }
    }

    pub fn mark_stale(&mut self, table: Table) {
        if !self.stale.contains(&table) {
            self.stale.push(table);
        }
    }

    pub fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    pub fn wait_for_all(&mut self, waiter: Waiter) {
        self.flushers.push(waiter);
    }

    /// Everybody who waits, to be told of a failure.
    pub fn take_waiters(&mut self) -> Vec<Waiter> {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.append(&mut self.flushers);
        waiters
    }

    /// The next transaction: what is urgent, and with `later` what is not (a bounded part of it, unless
    /// somebody waits for all).
    pub fn take(&mut self, later: bool) -> Batch {
        let mut batch = Batch { waiters: std::mem::take(&mut self.waiters), ..Batch::default() };
        batch.changes.extend(self.urgent.drain().map(|((table, key), value)| (table, key, value)));
        if later {
            self.take_later(&mut batch);
        }
        let taken: usize = batch.changes.iter().map(|(_, key, value)| size(key, value)).sum();
        let all_taken = self.urgent.is_empty() && self.later.is_empty();
        self.bytes = if all_taken { 0 } else { self.bytes.saturating_sub(taken) };
        batch.changes.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        batch
    }

    fn take_later(&mut self, batch: &mut Batch) {
        batch.stale.append(&mut self.stale);
        let mut taken = std::mem::take(&mut self.later);
        if self.flushers.is_empty()
            && let Some(first_left) = taken.keys().nth(LATER_BATCH_MAX).cloned()
        {
            self.later = taken.split_off(&first_left);
        } else {
            batch.waiters.append(&mut self.flushers);
        }
        batch.changes.extend(taken.into_iter().map(|(key, value)| (Table::Alerts, key, value)));
    }

    /// Puts a batch back that could not be written; newer changes of a key stay.
    pub fn put_back(&mut self, batch: Batch) {
        batch.stale.into_iter().for_each(|table| self.mark_stale(table));
        for (table, key, value) in batch.changes {
            let is_newer_queued = if table == Table::Alerts {
                self.later.contains_key(&key)
            } else {
                matches!(self.urgent.entry((table, key.clone())), Entry::Occupied(_))
            };
            if !is_newer_queued {
                self.insert(table, key, value);
            }
        }
    }
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Record(_) | Value::Deleted => 0,
    }
}

fn size(key: &[u8], value: &Value) -> usize {
    key.len() + value_size(value) + RECORD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Box<[u8]> {
        Box::from(n.to_be_bytes())
    }

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.as_bytes().into())
    }

    fn texts(batch: &Batch) -> Vec<(Table, u32, String)> {
        let text = |value: &Value| match value {
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        batch.changes.iter().map(|(t, k, v)| (*t, u32::from_be_bytes(k[..].try_into().unwrap()), text(v))).collect()
    }

    #[test]
    fn the_last_change_of_a_key_is_the_one_that_is_written() {
        let mut queue = Queue::default();
        queue.put(Table::Log, vec![(key(2), bytes("a")), (key(1), bytes("b")), (key(2), Value::Deleted)]);
        let want = vec![(Table::Log, 1, "b".to_owned()), (Table::Log, 2, "deleted".to_owned())];
        assert_eq!(texts(&queue.take(false)), want);
        assert_eq!((queue.bytes, queue.is_empty()), (0, true));
    }

    #[test]
    fn alerts_wait_until_asked_for() {
        let mut queue = Queue::default();
        queue.put(Table::Alerts, vec![(key(1), bytes("a"))]);
        assert!(queue.take(false).changes.is_empty() && queue.has_later());
        assert_eq!(queue.take(true).changes.len(), 1);
    }

    #[test]
    fn many_alerts_are_taken_in_parts_unless_somebody_waits_for_all() {
        let mut queue = Queue::default();
        queue.put(Table::Alerts, (0..10_000).map(|n| (key(n), bytes("a"))).collect());
        assert_eq!(queue.take(true).changes.len(), LATER_BATCH_MAX);
        queue.wait_for_all(oneshot::channel().0);
        assert_eq!(queue.take(true).changes.len(), 10_000 - LATER_BATCH_MAX);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_failed_batch_goes_back_under_what_came_since() {
        let mut queue = Queue::default();
        queue.put(Table::Log, vec![(key(1), bytes("old")), (key(2), bytes("old"))]);
        let failed = queue.take(true);
        queue.put(Table::Log, vec![(key(2), bytes("new"))]);
        queue.put_back(failed);
        let want = vec![(Table::Log, 1, "old".to_owned()), (Table::Log, 2, "new".to_owned())];
        assert_eq!(texts(&queue.take(true)), want);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_full_queue_refuses_and_marks_the_table_to_be_written_anew() {
        let mut queue = Queue::default();
        let big = || Value::Bytes(vec![0; 40 << 20].into());
        assert_eq!(queue.put(Table::Log, vec![(key(1), big()), (key(2), big()), (key(3), big())]), 1);
        let batch = queue.take(true);
        assert_eq!((batch.changes.len(), batch.stale), (2, vec![Table::Log]));
    }
}
