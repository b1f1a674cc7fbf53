//! The command line in real processes: send, work, be killed, and find everything again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(directory: &Path, arguments: &[&str]) -> Command {
    // Cargo builds examples before it runs tests, and puts them here.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = Command::new(path.join("examples/word_count"));
    command.arg("--datadir").arg(directory).args(arguments);
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn table(directory: &Path) -> Vec<(String, u64)> {
    let output = run(directory, &["table", "counts"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut entries: Vec<(String, u64)> = text
        .lines()
        .map(|line| {
            let (word, count) = line.split_once('\t').unwrap();
            (word.to_owned(), count.parse().unwrap())
        })
        .collect();
    entries.sort();
    entries
}

fn worker(directory: &Path) -> Child {
    command(directory, &["worker"]).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits, without a clock of its own, until the other process has made progress: the pause is only politeness.
fn pause(milliseconds: u64) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(std::time::Duration::from_millis(milliseconds));
}

#[test]
fn a_killed_worker_loses_nothing_and_counts_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..2000).map(|number| format!("\"word{} common\"", number % 7)).collect();
    let mut sender = command(directory.path(), &["send", "lines", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut sender.stdin.take().unwrap(), lines.join("\n").as_bytes()).unwrap();
    assert!(sender.wait().unwrap().success());
    for round in 0..6 {
        let mut child = worker(directory.path());
        pause(20 + 25 * round);
        signal(&child, "-KILL");
        child.wait().unwrap();
    }
    let expected = |total: u64| -> Vec<(String, u64)> {
        let mut all: Vec<_> = (0..7u64)
            .map(|word| (format!("word{word}"), (0..total).filter(|line| line % 7 == word).count() as u64))
            .collect();
        all.push(("common".into(), total));
        all.sort();
        all
    };
    // A clean one finishes what is left, however far the others came.
    let mut rounds = 0;
    loop {
        let mut child = worker(directory.path());
        pause(300);
        signal(&child, "-TERM");
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}");
        rounds += 1;
        if table(directory.path()) == expected(2000) {
            break;
        }
        assert!(rounds < 50, "the totals are wrong: {:?}", table(directory.path()));
    }
    // Nothing is left to do, and nothing counts again.
    let mut child = worker(directory.path());
    pause(200);
    signal(&child, "-INT");
    assert!(child.wait().unwrap().success());
    assert_eq!(table(directory.path()), expected(2000));
}

#[test]
fn commands_say_what_is_wrong_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["send", "lines", "no json"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no JSON"));
    let output = run(directory.path(), &["table", "nope"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the app has: counts"));
    let mut child = worker(directory.path());
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("runs on")), "the worker did not start");
    let output = run(directory.path(), &["reset"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(&format!("process {}", child.id())), "{message}");
    assert!(message.contains("stop it first"), "{message}");
    signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
    let output = run(directory.path(), &["topics"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("lines\t8 partitions\t0 records"));
}

#[test]
fn a_second_terminal_sends_and_looks_while_the_worker_runs() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = worker(directory.path());
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("kafka endpoint 127.0.0.1:")), "the worker listens");
    let sent = run(directory.path(), &["send", "lines", "\"one two two\""]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let expected = [("one".to_owned(), 1), ("two".to_owned(), 2)];
    // The worker commits when it is time.
    assert!((0..100).any(|_| table(directory.path()) == expected), "{:?}", table(directory.path()));
    let topics = String::from_utf8(run(directory.path(), &["topics"]).stdout).unwrap();
    assert!(topics.contains("lines\t8 partitions\t1 records"), "{topics}");
    signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
    assert_eq!(table(directory.path()), expected);
}

#[test]
fn a_second_worker_shares_the_directory_and_goes_on_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = worker(directory.path());
    let mut said = BufReader::new(first.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("kafka endpoint 127.0.0.1:")), "the first one listens");
    let mut second = worker(directory.path());
    let mut said = BufReader::new(second.stderr.take().unwrap()).lines();
    let attached = format!("process {}", first.id());
    assert!(said.any(|line| line.unwrap().contains(&attached)), "the second one says whom it is attached to");
    let send = |count: usize| {
        for number in 0..count {
            let sent = run(directory.path(), &["send", "lines", &format!("\"word{number} common\"")]);
            assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        }
    };
    send(8);
    signal(&first, "-KILL");
    first.wait().unwrap();
    assert!(said.any(|line| line.unwrap().contains("this process holds it now")), "the second one takes over");
    send(8);
    let mut expected: Vec<(String, u64)> = (0..8).map(|number| (format!("word{number}"), 2)).collect();
    expected.insert(0, ("common".into(), 16));
    // The second one commits when it is time.
    assert!((0..100).any(|_| table(directory.path()) == expected), "{:?}", table(directory.path()));
    signal(&second, "-TERM");
    assert!(second.wait().unwrap().success());
    assert_eq!(table(directory.path()), expected);
}
