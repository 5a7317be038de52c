//! The record on disk: appends blocks to the newest file, lets the oldest go, and reads file by file, newest first.
//!
//! Nothing is synced: this is a record for people, and a loss of power may cost its last seconds. Whatever goes wrong
//! with the disk is said once and costs decisions, never more.

use std::sync::Arc;

use super::{
    files::{Bounds, DIRECTORY, File, Files},
    frame,
    wire::Book,
};
use crate::{clock::Time, metrics::Metrics, store::Disk};

pub struct Log {
    disk: Arc<dyn Disk>,
    metrics: Arc<Metrics>,
    bytes_max: u64,
    files: Files,
    /// The disk refused the last write.
    failing: bool,
    /// Damage is said once.
    said_damage: bool,
}

impl Log {
    /// Finds what is there. What cannot be read is left alone.
    pub fn open(disk: Arc<dyn Disk>, metrics: Arc<Metrics>, bounds: Bounds) -> Self {
        let listing = disk.list(DIRECTORY).unwrap_or_else(|error| {
            tracing::warn!(component = "decisions", err = %error, "the old decisions cannot be listed");
            Vec::new()
        });
        let files = Files::of(listing, bounds);
        let bytes_max = bounds.bytes;
        let log = Log { disk, metrics, bytes_max, files, failing: false, said_damage: false };
        log.show_size();
        log
    }

    /// The greatest number of a decision, and the moment of the newest one.
    pub fn newest(&mut self) -> Option<(u64, Time)> {
        let files: Vec<File> = self.files.newest_first().cloned().collect();
        files.iter().find_map(|file| {
            let (_, last) = self.read(file)?.decisions.pop()?;
            Some((last.id, last.at()))
        })
    }

    pub fn oldest(&self) -> Option<Time> {
        self.files.oldest().map(File::began)
    }

    pub fn files(&self) -> Vec<File> {
        self.files.newest_first().cloned().collect()
    }

    /// Everything in a file; `None` if it is gone or cannot be read.
    pub fn read(&mut self, file: &File) -> Option<Book> {
        let bytes = self.disk.read(&file.name()).ok().flatten()?;
        let found = frame::find(&bytes);
        let mut book = Book::default();
        let mut is_damaged = found.damaged > 0;
        for content in found.contents {
            is_damaged |= book.read(content).is_err();
        }
        if is_damaged && !self.said_damage {
            self.said_damage = true;
            tracing::warn!(
                component = "decisions",
                file = self.disk.path_of(&file.name()),
                damaged_bytes = found.damaged,
                "a part of the record of decisions is damaged and is passed over"
            );
        }
        Some(book)
    }

    /// Whether the next blocks belong into a new file, when so many bytes are added to this one.
    pub fn is_full_with(&self, bytes: usize, now: Time) -> bool {
        self.files.is_full_with(bytes as u64, now)
    }

    /// Writes blocks down; `begins`: a new file starts with them, at this moment. `false`: they are lost, and the file
    /// may end with a torn one.
    pub fn append(&mut self, blocks: &[u8], begins: Option<Time>, now: Time) -> bool {
        let bytes = blocks.len() as u64;
        let file = self.files.last_or_new(begins, now);
        if file.bytes + bytes > self.bytes_max {
            self.metrics.limit_reached_total.with_label_values(&["decision_size"]).inc();
            return false;
        }
        self.make_room(bytes, now);
        let written = self.disk.append(&file.name(), blocks);
        match &written {
            Ok(()) => {
                self.files.grown(bytes);
                self.failing = false;
            }
            Err(error) => {
                self.metrics.decisions_write_errors_total.inc();
                if !self.failing {
                    tracing::warn!(component = "decisions", err = %error,
                        "decisions cannot be written down; the record has a gap until the disk takes them again");
                }
                self.failing = true;
            }
        }
        self.show_size();
        written.is_ok()
    }

    /// Lets go what is too old.
    pub fn expire(&mut self, now: Time) {
        self.make_room(0, now);
        self.show_size();
    }

    fn make_room(&mut self, bytes: u64, now: Time) {
        for file in self.files.expire(bytes, now) {
            if let Err(error) = self.disk.remove(&file.name()) {
                tracing::warn!(component = "decisions", file = self.disk.path_of(&file.name()), err = %error,
                    "an old file of decisions cannot be removed");
            }
        }
    }

    fn show_size(&self) {
        self.metrics.decisions_size_bytes.set(i64::try_from(self.files.bytes()).unwrap_or(i64::MAX));
    }
}
