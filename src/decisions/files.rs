//! Which files the record lies in, and which of them have to go: numbered, each with the moment of its first decision
//! in its name, so that nothing need be read to know how old it is. Pure.

use std::collections::VecDeque;

use chrono::TimeDelta;

use crate::clock::Time;

/// Where they are, in the storage path.
pub const DIRECTORY: &str = "decisions";
/// A record consists of about so many files.
const FILES: u64 = 16;
const FILE_BYTES_MIN: u64 = 64 << 10;
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The bounds of the record.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes: u64,
    pub age: TimeDelta,
}

impl Bounds {
    fn file_bytes(&self) -> u64 {
        (self.bytes / FILES).clamp(FILE_BYTES_MIN, FILE_BYTES_MAX)
    }

    fn file_age(&self) -> TimeDelta {
        self.age / i32::try_from(FILES).unwrap_or(1)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    number: u64,
    /// Of its first decision, in milliseconds since 1970.
    began: i64,
    pub bytes: u64,
}

impl File {
    #[must_use]
    pub fn name(&self) -> String {
        format!("{DIRECTORY}/{:010}-{}", self.number, self.began)
    }

    /// `name` without the directory. `None`: it is none of ours.
    fn parse(name: &str, bytes: u64) -> Option<Self> {
        let (number, began) = name.split_once('-')?;
        Some(File { number: number.parse().ok()?, began: began.parse().ok()?, bytes })
    }

    #[must_use]
    pub fn began(&self) -> Time {
        Time::from_timestamp_millis(self.began).unwrap_or(Time::UNIX_EPOCH)
    }
}

/// Oldest first.
#[derive(Debug)]
pub struct Files {
    bounds: Bounds,
    list: VecDeque<File>,
    bytes: u64,
}

impl Files {
    /// From a directory's listing.
    #[must_use]
    pub fn of(listing: Vec<(String, u64)>, bounds: Bounds) -> Self {
        let mut list: Vec<File> = listing.iter().filter_map(|(name, bytes)| File::parse(name, *bytes)).collect();
        list.sort_by_key(|file| file.number);
        let bytes = list.iter().map(|file| file.bytes).sum();
        Files { bounds, list: list.into(), bytes }
    }

    /// Whether another file is to follow the last one, once it has so many bytes more.
    #[must_use]
    pub fn is_full_with(&self, bytes: u64, now: Time) -> bool {
        self.list.back().is_some_and(|last| {
            last.bytes + bytes >= self.bounds.file_bytes() || now - last.began() > self.bounds.file_age()
        })
    }

    /// The file to write to: the last one, or a new one that begins at this moment. A last one without anything in it
    /// is new: while the disk refuses, a new file for each attempt would leave many empty ones.
    pub fn last_or_new(&mut self, begins: Option<Time>, now: Time) -> File {
        if let Some(last) = self.list.back().filter(|last| begins.is_none() || last.bytes == 0) {
            return last.clone();
        }
        let number = self.list.back().map_or(1, |last| last.number + 1);
        let file = File { number, began: begins.unwrap_or(now).timestamp_millis(), bytes: 0 };
        self.list.push_back(file.clone());
        file
    }

    /// So much was added to the last file.
    pub fn grown(&mut self, bytes: u64) {
        if let Some(last) = self.list.back_mut() {
            last.bytes += bytes;
            self.bytes += bytes;
        }
    }

    /// Takes out what has to go, oldest first, so that `room` more bytes fit. The last file stays.
    pub fn expire(&mut self, room: u64, now: Time) -> Vec<File> {
        let mut gone = Vec::new();
        while let (Some(_), Some(second)) = (self.list.front(), self.list.get(1)) {
            let too_much = self.bytes + room > self.bounds.bytes;
            // What is in the first ended before the second began.
            let too_old = now - second.began() > self.bounds.age;
            if !too_much && !too_old {
                break;
            }
            if let Some(first) = self.list.pop_front() {
                self.bytes -= first.bytes;
                gone.push(first);
            }
        }
        gone
    }

    /// Newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &File> {
        self.list.iter().rev()
    }

    #[must_use]
    pub fn oldest(&self) -> Option<&File> {
        self.list.front()
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 16 * FILE_BYTES_MIN, age: TimeDelta::hours(16) };

    fn at(minutes: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + 60 * minutes, 0).unwrap()
    }

    /// Returns how many files went, and the number of the one that was written to.
    fn write(files: &mut Files, bytes: u64, now: Time) -> (usize, u64) {
        let begins = files.is_full_with(0, now).then_some(now);
        let gone = files.expire(bytes, now).len();
        let file = files.last_or_new(begins, now);
        files.grown(bytes);
        (gone, file.number)
    }

    #[test]
    fn names_come_back_and_others_are_passed_over() {
        let file = File { number: 7, began: 1_800_000_000_000, bytes: 5 };
        let name = file.name();
        let listing = vec![
            (name.strip_prefix("decisions/").unwrap().to_owned(), 5),
            ("0000000003-12".to_owned(), 1),
            ("readme".to_owned(), 9),
            ("x-y".to_owned(), 9),
        ];
        let files = Files::of(listing, BOUNDS);
        assert_eq!(files.newest_first().map(|file| file.number).collect::<Vec<_>>(), [7, 3]);
        assert_eq!((files.bytes(), files.oldest().map(|file| file.number)), (6, Some(3)));
    }

    #[test]
    fn a_full_or_old_file_is_followed_by_another() {
        let mut files = Files::of(vec![], BOUNDS);
        assert_eq!(write(&mut files, 100, at(0)), (0, 1));
        assert_eq!(write(&mut files, 100, at(60)), (0, 1));
        assert_eq!(write(&mut files, FILE_BYTES_MIN, at(61)), (0, 2), "old");
        assert_eq!(write(&mut files, 1, at(61)), (0, 3), "full");
        assert_eq!(write(&mut files, 1, at(61)), (0, 3));
        assert!(files.is_full_with(FILE_BYTES_MIN, at(61)));
        let begun = |files: &mut Files| files.last_or_new(Some(at(62)), at(62)).number;
        assert_eq!((begun(&mut files), begun(&mut files)), (4, 4), "nothing came into it");
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let mut files = Files::of(vec![], BOUNDS);
        let mut gone = 0;
        for _ in 0..100 {
            gone += write(&mut files, FILE_BYTES_MIN, at(0)).0;
            assert!(files.bytes() <= BOUNDS.bytes);
        }
        assert_eq!((gone, files.newest_first().count()), (84, 16));
    }

    #[test]
    fn the_oldest_goes_when_all_in_it_is_too_old() {
        let mut files = Files::of(vec![], BOUNDS);
        for hour in 0..3 {
            write(&mut files, 1, at(90 * hour));
        }
        assert_eq!(files.expire(0, at(90 + 16 * 60)).len(), 0);
        assert_eq!(files.expire(0, at(91 + 16 * 60)).len(), 1);
        assert_eq!(files.expire(0, at(100_000)).len(), 1, "the last file stays");
    }
}
