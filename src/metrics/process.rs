//! `process_*`: this process as Linux sees it. Read at each scrape; what cannot be read is left out.

use std::{collections::HashMap, fs};

use prometheus::{
    core::{Collector, Desc},
    proto::{self, MetricType},
};

use crate::clock::Time;

/// The kernel gives process times to user space in this unit on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Debug)]
pub(super) struct ProcessMetrics {
    descs: Vec<Desc>,
    started: f64,
}

/// Name, type, help.
const FAMILIES: [(&str, MetricType, &str); 9] = [
    ("process_cpu_seconds_total", MetricType::COUNTER, "User and system CPU time spent, in seconds."),
    ("process_max_fds", MetricType::GAUGE, "Limit of open file descriptors."),
    ("process_network_receive_bytes_total", MetricType::COUNTER, "Bytes received over the network, all interfaces."),
    ("process_network_transmit_bytes_total", MetricType::COUNTER, "Bytes sent over the network, all interfaces."),
    ("process_open_fds", MetricType::GAUGE, "Open file descriptors."),
    ("process_resident_memory_bytes", MetricType::GAUGE, "Resident memory."),
    ("process_start_time_seconds", MetricType::GAUGE, "Start of the process, Unix time."),
    ("process_virtual_memory_bytes", MetricType::GAUGE, "Virtual memory."),
    ("process_virtual_memory_max_bytes", MetricType::GAUGE, "Limit of virtual memory."),
];

impl ProcessMetrics {
    pub(super) fn new(started: Time) -> Self {
        let descs = FAMILIES
            .iter()
            .filter_map(|(name, _, help)| {
                Desc::new((*name).to_owned(), (*help).to_owned(), Vec::new(), HashMap::new()).ok()
            })
            .collect();
        #[allow(clippy::cast_precision_loss, reason = "milliseconds fit")]
        let started = started.timestamp_millis() as f64 / 1e3;
        ProcessMetrics { descs, started }
    }

    fn value(&self, name: &str) -> Option<f64> {
        match name {
            "process_cpu_seconds_total" => cpu_seconds(&fs::read_to_string("/proc/self/stat").ok()?),
            "process_max_fds" => limit(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files"),
            "process_network_receive_bytes_total" => network(&fs::read_to_string("/proc/self/net/dev").ok()?, 0),
            "process_network_transmit_bytes_total" => network(&fs::read_to_string("/proc/self/net/dev").ok()?, 8),
            "process_open_fds" => u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok().map(f64::from),
            "process_resident_memory_bytes" => kib(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:"),
            "process_start_time_seconds" => Some(self.started),
            "process_virtual_memory_bytes" => kib(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:"),
            "process_virtual_memory_max_bytes" => {
                limit(&fs::read_to_string("/proc/self/limits").ok()?, "Max address space")
            }
            _ => None,
        }
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        FAMILIES.iter().filter_map(|(name, kind, help)| Some(family(name, *kind, help, self.value(name)?))).collect()
    }
}

fn family(name: &str, kind: MetricType, help: &str, value: f64) -> proto::MetricFamily {
    let mut metric = proto::Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = proto::MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

/// Fields 14 and 15 of `/proc/PID/stat`; the command in field 2 may hold blanks and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// The soft limit in a line of `/proc/PID/limits`; unlimited is written as the reference writes it.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?;
    #[allow(clippy::cast_precision_loss, reason = "the largest value stands for unlimited")]
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?;
    value.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// Sum of one column of `/proc/PID/net/dev`.
fn network(dev: &str, column: usize) -> Option<f64> {
    let columns = dev
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_ascii_whitespace().nth(column)?.parse::<f64>().ok());
    Some(columns.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_command_with_brackets() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
    }

    #[test]
    fn unlimited_is_a_number() {
        let limits = "Limit  Soft Hard Units\nMax open files            1024                 4096                 files\nMax address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert!(limit(limits, "Max address space").is_some_and(|v| v > 1e19));
    }
}
