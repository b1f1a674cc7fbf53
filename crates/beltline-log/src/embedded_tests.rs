//! What needs a hand inside of the log: damaged blocks.

use beltline_env::ManualClock;
use beltline_types::Append;

use super::*;

#[test]
fn a_damaged_block_is_named_and_nothing_behind_it_is_read() {
    let log = EmbeddedLog::in_memory(Arc::new(ManualClock::default())).unwrap();
    log.create_topics(&[TopicSpec::new("t", 2)]).unwrap();
    let partition = TopicPartition::new("t", 1);
    for _ in 0..3 {
        let mut records = BatchBuilder::default();
        (0..10).for_each(|_| records.push(None, Some(b"value"), &[], 1));
        let appends = vec![Append { target: partition.clone(), records }];
        log.commit(CommitRequest { appends, ..CommitRequest::default() }).unwrap();
    }
    let key = log.shared.catalog.partition(&partition).unwrap().key.block(10);
    let whole = log.shared.store.get(Space::Blocks, &key).unwrap().unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        log.shared.store.write(vec![Change::put(Space::Blocks, key, damaged)], true).unwrap();
        let before = log.fetch(&partition, 0, 1 << 20).unwrap();
        assert_eq!(before.batches.len(), 1, "only what lies before the damage");
        let error = log.fetch(&partition, 10, 1 << 20).unwrap_err();
        // The first four bytes are the format and padding, which the checksum does not cover.
        if at >= 4 {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
            assert!(error.to_string().contains("t[1]: the block at offset 10"), "{error}");
        }
    }
    log.shared.store.write(vec![Change::put(Space::Blocks, key, whole[..20].to_vec())], true).unwrap();
    assert!(log.fetch(&partition, 10, 1).unwrap_err().to_string().contains("is cut short"));
}
