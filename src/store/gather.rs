//! A database file whose writes are gathered until they are synced.
//!
//! The database writes page by page, in no order. For the file system each such write is an extent of its own, and
//! costs more than the page's content did. Gathered, sorted and joined they are a few long ones.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, IoSlice},
    ops::Bound,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

/// So much is held back at most.
const HELD_MAX: usize = 1 << 20;
/// So many parts go to the file at once.
const RUN_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Gathering {
    /// For its locks, reads and syncs.
    file: FileBackend,
    writes: File,
    held: Mutex<Held>,
}

/// Writes that are not in the file yet, none overlapping another.
#[derive(Debug, Default)]
struct Held {
    /// By offset in the file: start and length in `bytes`.
    parts: BTreeMap<u64, (usize, usize)>,
    bytes: Vec<u8>,
}

impl Gathering {
    pub fn new(file: File) -> io::Result<Self> {
        let writes = file.try_clone()?;
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Gathering { file, writes, held: Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Whatever happened, what is held is whole parts.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, held: &mut Held) -> io::Result<()> {
        let result = held.write_to(&self.writes);
        // After a failure the database is given up and opened anew: what it wanted to write is worth nothing.
        held.parts.clear();
        held.bytes.clear();
        result
    }
}

impl Held {
    fn add(&mut self, offset: u64, data: &[u8]) {
        self.parts.insert(offset, (self.bytes.len(), data.len()));
        self.bytes.extend_from_slice(data);
    }

    fn overlaps(&self, offset: u64, length: usize) -> bool {
        let end = offset.saturating_add(length as u64);
        let last_before = self.parts.range(..end).next_back();
        last_before.is_some_and(|(start, (_, length))| offset < start.saturating_add(*length as u64))
    }

    fn write_to(&self, file: &File) -> io::Result<()> {
        let mut run: Vec<IoSlice<'_>> = Vec::with_capacity(RUN_MAX);
        let (mut start, mut end) = (0, 0);
        for (offset, (at, length)) in &self.parts {
            if *offset != end || run.len() == RUN_MAX {
                write_run(file, &run, start)?;
                run.clear();
                start = *offset;
            }
            end = offset + *length as u64;
            run.push(IoSlice::new(self.bytes.get(*at..at + length).unwrap_or_default()));
        }
        write_run(file, &run, start)
    }
}

/// Writes parts that follow one another.
fn write_run(file: &File, run: &[IoSlice<'_>], start: u64) -> io::Result<()> {
    if run.is_empty() {
        return Ok(());
    }
    let mut written = rustix::io::pwritev(file, run, start)?;
    let mut offset = start;
    // Nearly always there is nothing left.
    for part in run {
        let done = written.min(part.len());
        file.write_all_at(part.get(done..).unwrap_or_default(), offset + done as u64)?;
        written -= done;
        offset += part.len() as u64;
    }
    Ok(())
}

impl StorageBackend for Gathering {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut held = self.held();
        if held.overlaps(offset, out.len()) {
            self.release(&mut held)?;
        }
        drop(held);
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.release(&mut self.held())?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.release(&mut self.held())?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut held = self.held();
        if held.bytes.len() + data.len() > HELD_MAX || held.overlaps(offset, data.len()) {
            self.release(&mut held)?;
        }
        held.add(offset, data);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let written = self.release(&mut self.held());
        self.file.close()?;
        written
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Read(u64, usize),
        Sync,
        Length(u64),
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..60_u64, proptest::collection::vec(any::<u8>(), 1..5)).prop_map(|(at, data)| Step::Write(at, data)),
            2 => (0..60_u64, 1..5_usize).prop_map(|(at, length)| Step::Read(at, length)),
            1 => Just(Step::Sync),
            1 => (64..80_u64).prop_map(Step::Length),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_before_and_after_a_sync(steps in proptest::collection::vec(a_step(), 1..40)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let gathering = Gathering::new(file).unwrap();
            gathering.set_len(64).unwrap();
            let mut model = vec![0; 64];
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        gathering.write(at, &data).unwrap();
                        model[usize::try_from(at).unwrap()..][..data.len()].copy_from_slice(&data);
                    }
                    Step::Read(at, length) => {
                        let mut read = vec![0; length];
                        gathering.read(at, &mut read).unwrap();
                        prop_assert_eq!(&read, &model[usize::try_from(at).unwrap()..][..length]);
                    }
                    Step::Sync => {
                        gathering.sync_data().unwrap();
                        prop_assert_eq!(&std::fs::read(&path).unwrap(), &model);
                    }
                    Step::Length(length) => {
                        gathering.set_len(length).unwrap();
                        model.resize(usize::try_from(length).unwrap(), 0);
                    }
                }
            }
            gathering.close().unwrap();
            prop_assert_eq!(std::fs::read(&path).unwrap(), model);
        }
    }
}
