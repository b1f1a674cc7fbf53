//! Both sets of files behave alike; only the one in memory forgets and fills up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;

use beltline_env::{Files, MemoryFiles, RealFiles, SeededRandom};

fn behaves(files: &dyn Files, root: &Path) {
    let (one, two) = (root.join("a/one"), root.join("a/two"));
    assert!(files.list(&root.join("a")).is_err());
    files.create_directories(&root.join("a/b")).unwrap();
    let mut file = files.append_to(&one).unwrap();
    assert!(file.is_empty());
    file.write_all(b"hello ").unwrap();
    file.write_all(b"world").unwrap();
    file.sync().unwrap();
    file.truncate(5).unwrap();
    file.write_all(b"!").unwrap();
    assert_eq!((file.len(), files.read(&one).unwrap()), (6, b"hello!".to_vec()));
    assert_eq!(files.append_to(&one).unwrap().len(), 6);
    file.write_parts(&[b"", b"a", b"", b"bc"]).unwrap();
    let reader = files.open(&one).unwrap();
    let mut piece = [0; 3];
    reader.read_exact_at(&mut piece, 5).unwrap();
    assert_eq!((reader.len().unwrap(), &piece), (9, b"!ab"));
    reader.sync().unwrap();
    assert_eq!(reader.read_exact_at(&mut piece, 7).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    files.rename(&one, &two).unwrap();
    assert!(!files.exists(&one) && files.exists(&two) && files.exists(&root.join("a/b")));
    assert_eq!(files.list(&root.join("a")).unwrap(), ["b", "two"]);
    assert!(files.create(&two).unwrap().is_empty());
    files.sync_directory(root).unwrap();
    let mut held = files.lock(&root.join("lock")).unwrap().unwrap();
    held.write(b"me").unwrap();
    assert!(files.lock(&root.join("lock")).unwrap().is_none());
    assert_eq!(files.read(&root.join("lock")).unwrap(), b"me");
    drop(held);
    assert!(files.lock(&root.join("lock")).unwrap().is_some());
    let mut file = files.append_to(&two).unwrap();
    file.write_all(b"last").unwrap();
    let reader = files.open(&two).unwrap();
    files.remove(&two).unwrap();
    // Whoever has it open reads on.
    reader.read_exact_at(&mut piece, 0).unwrap();
    assert_eq!(&piece, b"las");
    assert!(files.remove(&two).is_err() && files.read(&two).is_err());
    files.remove_directory(&root.join("a")).unwrap();
    assert!(!files.exists(&root.join("a")));
}

#[test]
fn real_files() {
    let directory = tempfile::tempdir().unwrap();
    behaves(&RealFiles, directory.path());
}

#[test]
fn files_in_memory() {
    behaves(&MemoryFiles::default(), Path::new("root"));
}

#[test]
fn a_power_failure_takes_what_was_not_synced() {
    let (files, path) = (MemoryFiles::default(), Path::new("log"));
    let mut file = files.create(path).unwrap();
    file.write_all(b"safe").unwrap();
    file.sync().unwrap();
    file.write_all(b" lost").unwrap();
    files.crash_torn(&mut SeededRandom::new(1));
    let torn = files.read(path).unwrap();
    assert!(b"safe lost".starts_with(&torn) && torn.len() >= 4);
    files.create(path).unwrap().write_all(b"lost").unwrap();
    files.crash();
    assert_eq!(files.read(path).unwrap(), b"");
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let (files, path) = (MemoryFiles::default(), Path::new("log"));
    files.set_room(Some(3));
    let error = files.create(path).unwrap().write_all(b"four").unwrap_err();
    assert_eq!((error.kind(), files.read(path).unwrap()), (std::io::ErrorKind::StorageFull, b"fou".to_vec()));
    files.set_room(None);
    files.append_to(path).unwrap().write_all(b"r").unwrap();
    assert_eq!(files.read(path).unwrap(), b"four");
}
