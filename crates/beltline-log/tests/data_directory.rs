//! Who may use a directory, and what everybody else is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;

use beltline_env::{Files, RealFiles};
use beltline_log::{DataDirectory, Holder};
use beltline_types::{Error, ErrorKind};

fn put(path: &Path, content: &str) {
    RealFiles.create(path).unwrap().write_all(content.as_bytes()).unwrap();
}

fn refused(path: &Path) -> Error {
    let error = DataDirectory::open(path, "second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataDirectory);
    error
}

#[test]
fn the_second_one_is_told_who_holds_it() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    assert_eq!(DataDirectory::holder(&path), None);
    let first = DataDirectory::open(&path, "shop worker").unwrap();
    let holder = Holder { pid: std::process::id(), command: "shop worker".into() };
    assert_eq!(DataDirectory::holder(&path), Some(holder));
    let error = refused(&path).to_string();
    assert!(error.contains("shop worker") && error.contains(&std::process::id().to_string()), "{error}");
    drop(first);
    assert_eq!(DataDirectory::holder(&path), None);
    DataDirectory::open(&path, "next").unwrap();
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    put(&directory.path().join("thesis.tex"), "years of work");
    let error = refused(directory.path()).to_string();
    assert!(error.contains("thesis.tex"), "{error}");
    assert_eq!(RealFiles.list(directory.path()).unwrap(), ["thesis.tex"]);
}

#[test]
fn a_newer_or_damaged_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(DataDirectory::open(directory.path(), "first").unwrap());
    put(&directory.path().join("beltline-format"), "2\n");
    assert!(refused(directory.path()).to_string().contains("format 2"));
    put(&directory.path().join("beltline-format"), "?");
    assert!(refused(directory.path()).to_string().contains("makes no sense"));
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    put(&directory.path().join("file"), "");
    assert!(refused(&directory.path().join("file")).to_string().contains("cannot be used"));
}

#[test]
fn workers_beside_one_another_have_places_that_they_find_again() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("data");
    let (first, second) =
        (DataDirectory::open_place(&base, "one").unwrap(), DataDirectory::open_place(&base, "two").unwrap());
    assert_eq!((first.path(), second.path()), (&*base.join("worker-0"), &*base.join("worker-1")));
    let names = (first.identity().unwrap(), second.identity().unwrap());
    assert_ne!(names.0, names.1);
    assert_eq!(first.identity().unwrap(), names.0);
    drop(first);
    let again = DataDirectory::open_place(&base, "three").unwrap();
    assert_eq!((again.path(), again.identity().unwrap()), (&*base.join("worker-0"), names.0));
}

#[test]
fn a_place_below_a_foreign_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    RealFiles.create(&directory.path().join("notes.txt")).unwrap();
    let error = DataDirectory::open_place(directory.path(), "one").unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
}
