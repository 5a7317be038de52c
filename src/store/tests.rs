//! The store on a disk that forgets, fills up, breaks and comes back.

use std::{collections::BTreeMap, io::ErrorKind, sync::Arc};

use super::{testing::metrics, *};
use crate::random::Random;

fn open(disk: &MemoryDisk) -> Result<Store, OpenError> {
    Store::on(Arc::new(disk.clone()), metrics(), WriterMode::Task)
}

fn key(n: u64) -> Box<[u8]> {
    Box::from(n.to_be_bytes())
}

fn content(store: &Store, table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    store.load(table).unwrap().into_iter().collect()
}

fn one(n: u64, value: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    [(key(n).to_vec(), value.to_vec())].into()
}

#[tokio::test(start_paused = true)]
async fn what_is_put_is_there_after_a_restart_and_what_is_deleted_is_not() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    store.put(Table::Log, key(1), vec![1]).await.unwrap();
    store.put(Table::Log, key(2), vec![2]).await.unwrap();
    store.delete(Table::Log, key(1)).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(content(&store, Table::Log), one(2, &[2]));
    assert_eq!(content(&store, Table::Silences), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn alerts_are_written_a_moment_later() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    store.write_unwatched(Table::Alerts, vec![(key(1), Value::Bytes([1].into()))]);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(content(&store, Table::Alerts), BTreeMap::new());
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(content(&store, Table::Alerts), one(1, &[1]));
}

/// Kills the power at a random moment of a random load, many times: whatever was acknowledged is there, and what
/// was not is there whole or not at all. Sectors that were not synced survive by chance.
#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_when_the_power_goes_at_any_moment() {
    let seeds = std::env::var("CARILLON_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    for seed in 0..seeds {
        let random = Random::seeded(seed);
        let disk = MemoryDisk::new();
        let mut acknowledged: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
        for _life in 0..3 {
            let store = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            check(&store, &acknowledged, seed);
            // From some operation on nothing reaches the disk, as if the power were gone at that moment.
            disk.fail(Some(ErrorKind::Other), random.next_u64() % 60);
            load(&store, &random, &mut acknowledged).await;
            // In some lives the disk recovers for a while first.
            if random.next_u64().is_multiple_of(2) {
                disk.fail(None, 0);
                tokio::time::sleep(std::time::Duration::from_secs(random.next_u64() % 8)).await;
                load(&store, &random, &mut acknowledged).await;
                disk.fail(Some(ErrorKind::Other), random.next_u64() % 60);
                load(&store, &random, &mut acknowledged).await;
            }
            disk.lose_power(|| random.next_u64().is_multiple_of(2));
            disk.fail(None, 0);
        }
        check(&open(&disk).unwrap(), &acknowledged, seed);
    }
}

async fn load(store: &Store, random: &Random, acknowledged: &mut BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>) {
    for _ in 0..20 {
        let mut batch = Vec::new();
        for _ in 0..=random.next_u64() % 4 {
            let table = Table::ALL[usize::try_from(random.next_u64() % 3).unwrap()];
            let key = key(random.next_u64() % 12);
            // Small ones go through the journal, many of the large ones past it.
            let size = if random.next_u64().is_multiple_of(8) { 200_000 } else { 3000 };
            let size = usize::try_from(random.next_u64() % size).unwrap();
            let byte = u8::try_from(random.next_u64() % 256).unwrap();
            let value = (!random.next_u64().is_multiple_of(4)).then(|| vec![byte; size]);
            let change = value.clone().map_or(Value::Deleted, |value| Value::Bytes(value.into()));
            batch.push((table, key.clone(), value, store.write(table, vec![(key, change)])));
        }
        let flushed = if random.next_u64().is_multiple_of(2) { Some(store.flush()) } else { None };
        for (table, key, value, durable) in batch {
            let known = (table, key.into_vec());
            // A change that is not acknowledged may or may not be there after the crash.
            acknowledged.remove(&known);
            let is_settled = (table != Table::Alerts || flushed.is_some()) && durable.await.is_ok();
            if is_settled {
                acknowledged.insert(known, value);
            }
        }
    }
}

fn check(store: &Store, acknowledged: &BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>, seed: u64) {
    for table in Table::ALL {
        let content = content(store, table);
        for ((_, key), value) in acknowledged.iter().filter(|((of, _), _)| *of == table) {
            assert_eq!(content.get(key), value.as_ref(), "seed {seed}: {table:?} {key:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_at_once_and_the_change_is_written_when_there_is_room() {
    for failure in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
        let disk = MemoryDisk::new();
        let store = open(&disk).unwrap();
        store.put(Table::Log, key(1), vec![1]).await.unwrap();
        disk.fail(Some(failure), 0);
        let refused = store.put(Table::Log, key(1), vec![2]).await;
        assert!(matches!(refused, Err(WriteError::Disk(_))), "{refused:?}");
        assert!(store.is_degraded());
        // While it lasts nobody waits for the disk.
        assert!(store.put(Table::Silences, key(3), vec![3]).await.is_err());
        store.write_unwatched(Table::Alerts, vec![(key(4), Value::Bytes([4].into()))]);
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        assert!(store.is_degraded());
        disk.fail(None, 0);
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        assert!(!store.is_degraded());
        assert_eq!(content(&store, Table::Log), one(1, &[2]));
        assert_eq!(content(&store, Table::Silences), one(3, &[3]));
        assert_eq!(content(&store, Table::Alerts), one(4, &[4]));
        store.put(Table::Log, key(1), vec![5]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_damaged_while_we_run_is_set_aside_and_written_anew_from_memory() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    store.set_source(Table::Log, Box::new(|| vec![(key(1), Value::Bytes([7].into()))]));
    store.put(Table::Log, key(1), vec![1]).await.unwrap();
    disk.fail(Some(ErrorKind::Other), 0);
    assert!(store.put(Table::Silences, key(3), vec![3]).await.is_err());
    disk.fail(None, 0);
    disk.set_database(vec![0xAA; 20_000]);
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert!(!store.is_degraded());
    assert_eq!(content(&store, Table::Log), one(1, &[7]));
    assert_eq!(content(&store, Table::Silences), one(3, &[3]));
    assert!(disk.read("carillon.redb.damaged").unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_ends_the_start_and_says_what_to_do() {
    for bytes in [vec![0xAA; 20_000], b"short".to_vec()] {
        let disk = MemoryDisk::new();
        disk.set_database(bytes);
        let error = open(&disk).err().unwrap().to_string();
        assert!(error.contains("carillon.redb is damaged") && error.contains("move it away"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_at_start_is_read_and_written_later() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    store.put(Table::Log, key(1), vec![1]).await.unwrap();
    // Killed, so that the file has to be repaired, which needs writing.
    drop(store);
    disk.lose_power(|| true);
    disk.fail(Some(ErrorKind::StorageFull), 0);
    let store = open(&disk).unwrap();
    assert!(store.is_degraded());
    assert_eq!(content(&store, Table::Log), one(1, &[1]));
    assert!(store.put(Table::Log, key(2), vec![2]).await.is_err());
    disk.fail(None, 0);
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(content(&store, Table::Log).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_any_file_that_cannot_be_written_ends_the_start() {
    let disk = MemoryDisk::new();
    disk.fail(Some(ErrorKind::ReadOnlyFilesystem), 0);
    assert!(matches!(open(&disk), Err(OpenError::Unusable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_dies_at_any_moment_can_be_repeated() {
    for moment in 0..12 {
        for seed in 0..3 {
            let random = Random::seeded(seed);
            let disk = MemoryDisk::new();
            disk.fail(Some(ErrorKind::StorageFull), moment);
            drop(open(&disk));
            disk.lose_power(|| random.next_u64().is_multiple_of(2));
            disk.fail(None, 0);
            let store = open(&disk).unwrap_or_else(|error| panic!("moment {moment}, seed {seed}: {error}"));
            store.put(Table::Log, key(1), vec![1]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn on_a_real_directory_two_servers_are_kept_apart_and_files_are_replaced_whole() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("deep").join("er");
    let store = Store::open(&path, metrics()).unwrap();
    store.put(Table::Silences, key(1), vec![1]).await.unwrap();
    let error = Store::open(&path, metrics()).err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    store.disk().replace("silences", &mut |out| out.write_all(b"old")).unwrap();
    store.disk().replace("silences", &mut |out| out.write_all(b"new!")).unwrap();
    let failed = store.disk().replace("silences", &mut |_| Err(ErrorKind::StorageFull.into()));
    assert_eq!(failed.map_err(|error| error.kind()), Err(ErrorKind::StorageFull));
    assert_eq!(store.disk().read("silences").unwrap().as_deref(), Some(&b"new!"[..]));
    store.close().await.unwrap();
    drop(store);
    let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [JOURNAL, DATABASE, "silences"]);
    assert_eq!(content(&Store::open(&path, metrics()).unwrap(), Table::Silences), one(1, &[1]));
}

#[tokio::test]
async fn a_file_in_the_way_of_the_directory_ends_the_start() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(Store::open(&file.join("data"), metrics()), Err(OpenError::Create { .. })));
}
