//! The record on disk: appends blocks to the newest file, lets the oldest go, and reads file by file, newest first.
//!
//! Nothing is synced: this is a record for people, and a loss of power may cost its last seconds. Whatever goes wrong
//! with the disk is said once and costs decisions, never more.

use std::{io, sync::Arc};

use prost::Message as _;

use super::{
    files::{Bounds, DIRECTORY, File, Files},
    frame,
    model::Decision,
    runs::Repeat,
    wire::{Book, Dictionary},
};
use crate::{clock::Time, metrics::Metrics, store::Disk};

pub struct Log {
    disk: Arc<dyn Disk>,
    metrics: Arc<Metrics>,
    node: Arc<str>,
    bytes_max: u64,
    files: Files,
    dictionary: Dictionary,
    /// The disk refused the last write.
    failing: bool,
    /// Damage is said once.
    said_damage: bool,
}

impl Log {
    /// Finds what is there. What cannot be read is left alone.
    pub fn open(disk: Arc<dyn Disk>, metrics: Arc<Metrics>, node: Arc<str>, bounds: Bounds) -> Self {
        let listing = disk.list(DIRECTORY).unwrap_or_else(|error| {
            tracing::warn!(component = "decisions", err = %error, "the old decisions cannot be listed");
            Vec::new()
        });
        let files = Files::of(listing, bounds);
        let dictionary = Dictionary::default();
        let bytes_max = bounds.bytes;
        let log = Log { disk, metrics, node, bytes_max, files, dictionary, failing: false, said_damage: false };
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
            is_damaged |= !book.read(content);
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

    /// Writes these down, in one block.
    pub fn append(&mut self, decisions: &[Decision], repeats: &[Repeat], now: Time) {
        if decisions.is_empty() && repeats.is_empty() {
            return;
        }
        let began = decisions.first().map_or(now, |first| first.at);
        let mut bytes = self.frame(decisions, repeats);
        let (mut file, mut is_new) = self.files.place(bytes.len() as u64, began);
        if is_new {
            self.dictionary.clear();
            bytes = self.frame(decisions, repeats);
        }
        if bytes.len() as u64 > self.bytes_max {
            self.metrics.limit_reached_total.with_label_values(&["decision_size"]).inc();
            return;
        }
        self.make_room(bytes.len() as u64, now);
        let mut written = self.disk.append(&file.name(), &bytes);
        if written.is_err() && self.failing {
            // A new file for each attempt would leave many empty ones.
            is_new = false;
        } else if written.is_err() {
            self.files.close_last();
            self.dictionary.clear();
            bytes = self.frame(decisions, repeats);
            (file, is_new) = self.files.place(bytes.len() as u64, began);
            written = self.disk.append(&file.name(), &bytes);
        }
        self.note(written, bytes.len() as u64, is_new);
    }

    fn note(&mut self, written: io::Result<()>, bytes: u64, is_new: bool) {
        match written {
            Ok(()) => {
                self.files.grown(bytes);
                self.failing = false;
            }
            Err(error) => {
                self.metrics.decisions_write_errors_total.inc();
                self.dictionary.clear();
                if !self.failing || is_new {
                    tracing::warn!(component = "decisions", err = %error,
                        "decisions cannot be written down; the record has a gap until the disk takes them again");
                }
                self.failing = true;
            }
        }
        self.show_size();
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

    fn frame(&mut self, decisions: &[Decision], repeats: &[Repeat]) -> Vec<u8> {
        let block = self.dictionary.block(&self.node, decisions, repeats);
        let mut bytes = Vec::new();
        frame::push(&mut bytes, &block.encode_to_vec());
        bytes
    }

    fn show_size(&self) {
        self.metrics.decisions_size_bytes.set(i64::try_from(self.files.bytes()).unwrap_or(i64::MAX));
    }
}
