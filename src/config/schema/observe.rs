//! What the program tells of itself: `tracing` and `event_recorder`.

use super::{
    http::{Headers, Http, Tls},
    required,
};
use crate::config::{
    values::{PromDuration, SecretUrl},
    yaml::{
        NodeId,
        decode::{Decode, Decoder, Dump, Stop, Structure},
        emit::Doc,
        structure::structure,
    },
};

structure! {
    Tracing "tracing" checked {
        client_type: String = "grpc".to_owned();
        endpoint: String;
        sampling_fraction: f64;
        insecure: bool;
        tls_config: Option<Box<Tls>>;
        headers: Option<Headers>;
        compression: String;
        timeout: PromDuration;
    }
}

impl Tracing {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        if !matches!(self.client_type.as_str(), "grpc" | "http") {
            return Err(Stop::because(format!(
                "expected tracing client type to be http or grpc, but got {}",
                self.client_type
            )));
        }
        required(!self.endpoint.is_empty(), "tracing endpoint must be set")?;
        if !matches!(self.compression.as_str(), "" | "gzip") {
            return Err(Stop::because(format!(
                "invalid compression type {} provided, valid options: gzip",
                self.compression
            )));
        }
        Ok(())
    }
}

structure! {
    EventRecorder "event_recorder" {
        file_outputs: Vec<FileOutput>;
        webhook_outputs: Vec<WebhookOutput>;
        kafka_outputs: Vec<KafkaOutput>;
        stdout_outputs: Vec<StdoutOutput>;
    }
}

structure! {
    FileOutput "file_outputs" checked {
        path: String, always;
    }
}

impl FileOutput {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.path.is_empty(), "event_recorder file output requires a path")
    }
}

structure! {
    WebhookOutput "webhook_outputs" checked {
        url: Option<SecretUrl>;
        http_config: Option<Box<Http>>;
        timeout: PromDuration;
        workers: i64;
        max_retries: i64;
        retry_backoff: PromDuration;
        batch: bool;
        batch_max_events: i64;
        batch_max_bytes: i64;
        batch_flush_interval: PromDuration;
    }
}

impl WebhookOutput {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        let Some(url) = &self.url else { return required(false, "event_recorder webhook output requires a url") };
        required(!url.is_zero(), "event_recorder webhook output requires an absolute http(s) url")?;
        required(
            self.batch_max_events >= 0 && self.batch_max_bytes >= 0,
            "event_recorder webhook output: batch_max_events and batch_max_bytes must not be negative",
        )?;
        let batch_keys =
            self.batch_max_events != 0 || self.batch_max_bytes != 0 || !self.batch_flush_interval.is_zero();
        required(self.batch || !batch_keys, "event_recorder webhook output: batch_* keys require batch: true")
    }
}

structure! {
    KafkaOutput "kafka_outputs" checked {
        brokers: Vec<String>, always;
        topic: String, always;
        client_id: String;
        format: String;
        acks: String;
        compression: String;
        buffer_size: i64;
        tls_config: Option<Box<Tls>>;
    }
}

impl KafkaOutput {
    fn check(&mut self, _: &mut Decoder<'_>) -> Result<(), Stop> {
        required(!self.brokers.is_empty(), "event_recorder kafka output requires at least one of brokers")?;
        required(!self.brokers.iter().any(String::is_empty), "event_recorder kafka output: empty entry in brokers")?;
        required(!self.topic.is_empty(), "event_recorder kafka output requires a topic")?;
        let known = [
            ("format", &self.format, &["", "json", "protobuf"][..]),
            ("acks", &self.acks, &["", "none", "leader", "all"]),
            ("compression", &self.compression, &["", "none", "gzip", "snappy", "lz4", "zstd"]),
        ];
        for (key, value, allowed) in known {
            if !allowed.contains(&value.as_str()) {
                return Err(Stop::because(format!("event_recorder kafka output: unknown {key} {value}")));
            }
        }
        Ok(())
    }
}

/// A map without keys.
#[derive(Clone, Debug, Default)]
pub struct StdoutOutput;

impl Structure for StdoutOutput {
    const LABEL: &'static str = "stdout_outputs";
    const KEYS: &'static [&'static str] = &[];

    fn initial() -> Self {
        StdoutOutput
    }

    fn decode_field(&mut self, _: usize, _: &mut Decoder<'_>, _: NodeId) -> Result<bool, Stop> {
        Ok(false)
    }
}

impl Decode for StdoutOutput {
    fn decode(&mut self, decoder: &mut Decoder<'_>, id: NodeId) -> Result<bool, Stop> {
        decoder.enter(
            id,
            |decoder, view, line| {
                if view.is_null() { Ok(true) } else { decoder.structure(&view, line, self) }
            },
        )
    }
}

impl Dump for StdoutOutput {
    fn dump(&self) -> Doc {
        Doc::Map(Vec::new())
    }

    fn is_zero(&self) -> bool {
        true
    }
}
