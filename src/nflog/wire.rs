//! Log entries in protobuf: Alertmanager's fields under their numbers, ours from 1001 on
//! (reference/cluster.md 4, reference/decide.md 2.1). The same bytes are in the store, in the snapshot
//! file and between nodes.
//!
//! Alertmanager reads fields 1 to 8, which are derived from ours. When it writes an entry itself ours are
//! missing; that is how one is told from the other.

use std::{collections::BTreeMap, sync::Arc};

use prost_types::Timestamp;

use super::{AlertHash, Fired, Known, ListedBatch, LogEntry, LogKey, Resolved, Told, Writer, entry::clamp};
use crate::{
    clock::Time,
    notify::types::{Memory, MemoryValue},
    store::{
        snapshot::SnapshotError,
        timestamp::{from_time, to_time},
    },
};

#[derive(Clone, PartialEq, prost::Message)]
pub struct MeshEntry {
    #[prost(message, optional, tag = "1")]
    entry: Option<EntryMessage>,
    #[prost(message, optional, tag = "2")]
    expires_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryMessage {
    #[prost(bytes = "vec", tag = "1")]
    group_key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    receiver: Option<ReceiverMessage>,
    #[prost(message, optional, tag = "5")]
    timestamp: Option<Timestamp>,
    #[prost(uint64, repeated, tag = "6")]
    firing_alerts: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    resolved_alerts: Vec<u64>,
    #[prost(btree_map = "string, message", tag = "8")]
    receiver_data: BTreeMap<String, DataMessage>,
    #[prost(uint64, tag = "1001")]
    tells: u64,
    #[prost(message, optional, tag = "1002")]
    told_at: Option<Timestamp>,
    #[prost(message, repeated, tag = "1003")]
    told: Vec<ToldMessage>,
    #[prost(message, optional, tag = "1004")]
    memory_at: Option<Timestamp>,
    #[prost(message, optional, tag = "1005")]
    due_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReceiverMessage {
    #[prost(string, tag = "1")]
    group_name: String,
    #[prost(string, tag = "2")]
    integration: String,
    #[prost(uint32, tag = "3")]
    idx: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DataMessage {
    #[prost(oneof = "DataValue", tags = "1, 2, 3")]
    value: Option<DataValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum DataValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "2")]
    Int(i64),
    #[prost(double, tag = "3")]
    Double(f64),
}

/// Times of words are nanoseconds since 1970: thousands of them are in a large group's entry.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct FiredMessage {
    #[prost(uint64, tag = "1")]
    period: u64,
    #[prost(sfixed64, tag = "2")]
    sent: i64,
    #[prost(sfixed64, tag = "3")]
    done: i64,
    #[prost(fixed64, tag = "4")]
    writer: u64,
    #[prost(sfixed64, optional, tag = "5")]
    saw: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ResolvedMessage {
    #[prost(uint64, tag = "1")]
    period: u64,
    #[prost(sfixed64, tag = "2")]
    sent: i64,
    #[prost(sfixed64, tag = "3")]
    done: i64,
    #[prost(fixed64, tag = "4")]
    writer: u64,
    #[prost(sfixed64, optional, tag = "5")]
    saw: Option<i64>,
    #[prost(bool, tag = "6")]
    explicit: bool,
    #[prost(message, optional, tag = "7")]
    ends_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct KnownMessage {
    #[prost(uint64, tag = "1")]
    period: u64,
    #[prost(bool, tag = "2")]
    explicit: bool,
    #[prost(message, optional, tag = "3")]
    ends_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ToldMessage {
    #[prost(fixed64, tag = "1")]
    hash: u64,
    #[prost(message, optional, tag = "2")]
    fired: Option<FiredMessage>,
    #[prost(message, optional, tag = "3")]
    resolved: Option<ResolvedMessage>,
    #[prost(message, optional, tag = "4")]
    known: Option<KnownMessage>,
}

/// An entry as it was read.
#[derive(Clone, Debug)]
pub enum Read {
    Ours(LogEntry),
    /// Written by Alertmanager: to be understood with [`LogEntry::from_alertmanager`].
    Alertmanager(ListedBatch),
}

/// The key under which the store keeps an entry. 0xFF is in no UTF-8 text.
#[must_use]
pub fn store_key(key: &LogKey) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(key.group_key.len() + key.receiver.len() + key.integration.len() + 7);
    for part in [&key.group_key, &key.receiver, &key.integration] {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0xFF);
    }
    bytes.extend_from_slice(&key.index.to_be_bytes());
    bytes.into()
}

/// Ready to be encoded.
#[must_use]
pub fn message(key: &LogKey, entry: &LogEntry) -> MeshEntry {
    let (firing_alerts, resolved_alerts) = entry.listed();
    MeshEntry {
        entry: Some(EntryMessage {
            group_key: key.group_key.as_bytes().to_vec(),
            receiver: Some(ReceiverMessage {
                group_name: key.receiver.as_ref().to_owned(),
                integration: key.integration.as_ref().to_owned(),
                idx: key.index,
            }),
            timestamp: Some(from_time(entry.told_at)),
            firing_alerts,
            resolved_alerts,
            receiver_data: entry.memory.iter().map(|(name, value)| (name.clone(), data_message(value))).collect(),
            tells: entry.tells,
            told_at: Some(from_time(entry.told_at)),
            told: entry.all_told().map(|(hash, told)| told_message(hash, told)).collect(),
            memory_at: Some(from_time(entry.memory_at)),
            due_at: Some(from_time(entry.due_at)),
        }),
        expires_at: Some(from_time(entry.expires_at)),
    }
}

/// Reads a decoded message.
///
/// # Errors
/// When it has no entry or no receiver.
pub fn read(message: MeshEntry) -> Result<(LogKey, Read), SnapshotError> {
    let entry = message.entry.ok_or(SnapshotError::InvalidState)?;
    let receiver = entry.receiver.ok_or(SnapshotError::InvalidState)?;
    let key = LogKey {
        group_key: String::from_utf8_lossy(&entry.group_key).into(),
        receiver: receiver.group_name.into(),
        integration: Arc::from(receiver.integration),
        index: receiver.idx,
    };
    let expires_at = to_time(message.expires_at.as_ref());
    let memory: Memory =
        entry.receiver_data.into_iter().filter_map(|(name, data)| Some((name, memory_value(data)?))).collect();
    let Some(told_at) = entry.told_at else {
        return Ok((
            key,
            Read::Alertmanager(ListedBatch {
                timestamp: to_time(entry.timestamp.as_ref()),
                expires_at,
                firing: entry.firing_alerts,
                resolved: entry.resolved_alerts,
                memory,
            }),
        ));
    };
    let memory_at = entry.memory_at.as_ref().map_or(Time::MIN_UTC, |at| to_time(Some(at)));
    let told = entry.told.iter().map(read_told).collect();
    let mut ours = LogEntry::new(entry.tells, to_time(Some(&told_at)), expires_at, (memory, memory_at), told);
    if let Some(due_at) = &entry.due_at {
        ours.due_at = to_time(Some(due_at));
    }
    Ok((key, Read::Ours(ours)))
}

fn data_message(value: &MemoryValue) -> DataMessage {
    let value = match value {
        MemoryValue::Text(text) => DataValue::Text(text.clone()),
        MemoryValue::Int(int) => DataValue::Int(*int),
        MemoryValue::Double(double) => DataValue::Double(*double),
    };
    DataMessage { value: Some(value) }
}

fn memory_value(data: DataMessage) -> Option<MemoryValue> {
    Some(match data.value? {
        DataValue::Text(text) => MemoryValue::Text(text),
        DataValue::Int(int) => MemoryValue::Int(int),
        // A value that is not equal to itself would be news for ever.
        DataValue::Double(double) if double.is_nan() => return None,
        DataValue::Double(double) => MemoryValue::Double(double),
    })
}

fn nanos(at: Time) -> i64 {
    // `clamp` made it fit.
    clamp(at).timestamp_nanos_opt().unwrap_or(0)
}

fn time(nanos: i64) -> Time {
    Time::from_timestamp_nanos(nanos)
}

fn told_message(hash: AlertHash, told: &Told) -> ToldMessage {
    ToldMessage {
        hash: hash.0,
        fired: told.fired.map(|word| FiredMessage {
            period: word.period,
            sent: nanos(word.sent),
            done: nanos(word.done),
            writer: word.writer.0,
            saw: word.saw.map(nanos),
        }),
        resolved: told.resolved.as_ref().map(|word| ResolvedMessage {
            period: word.period,
            sent: nanos(word.sent),
            done: nanos(word.done),
            writer: word.writer.0,
            saw: word.saw.map(nanos),
            explicit: word.explicit,
            ends_at: Some(from_time(word.ends_at)),
        }),
        known: told.known.as_ref().map(|known| KnownMessage {
            period: known.period,
            explicit: known.explicit,
            ends_at: Some(from_time(known.ends_at)),
        }),
    }
}

fn read_told(message: &ToldMessage) -> (AlertHash, Told) {
    let fired = message.fired.map(|word| Fired {
        done: time(word.done),
        period: word.period,
        writer: Writer(word.writer),
        sent: time(word.sent),
        saw: word.saw.map(time),
    });
    let resolved = message.resolved.map(|word| {
        Box::new(Resolved {
            done: time(word.done),
            period: word.period,
            writer: Writer(word.writer),
            explicit: word.explicit,
            ends_at: to_time(word.ends_at.as_ref()),
            sent: time(word.sent),
            saw: word.saw.map(time),
        })
    });
    let known = message.known.map(|known| {
        Box::new(Known { period: known.period, explicit: known.explicit, ends_at: to_time(known.ends_at.as_ref()) })
    });
    (AlertHash(message.hash), Told { fired, resolved, known })
}
