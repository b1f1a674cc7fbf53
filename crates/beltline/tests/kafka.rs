//! The app of an example on a real broker: two workers share its partitions, one is killed, and every word counts once.
#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]

#[path = "../../beltline-kafka/tests/broker/broker.rs"]
#[expect(dead_code, reason = "this test stops no broker")]
mod broker;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What is not there by then does not come.
const LIMIT: Duration = Duration::from_secs(90);

struct App {
    name: String,
    url: String,
}

impl App {
    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        // Cargo builds examples before it runs tests, and puts them here.
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        let mut command = Command::new(path.join("examples/words_on_kafka"));
        command.env("APP_ID", &self.name).env("BROKER_URL", &self.url).arg("--datadir").arg(directory).args(arguments);
        command
    }

    fn run(&self, directory: &Path, arguments: &[&str]) -> Output {
        self.command(directory, arguments).output().unwrap()
    }

    fn worker(&self, directory: &Path) -> Child {
        self.command(directory, &["worker"]).stderr(Stdio::null()).spawn().unwrap()
    }

    fn counts(&self, directory: &Path) -> BTreeMap<String, u64> {
        let output = self.run(directory, &["table", "counts"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let entries = text.lines().map(|line| line.split_once('\t').unwrap());
        entries.map(|(word, count)| (word.to_owned(), count.parse().unwrap())).collect()
    }

    fn send(&self, directory: &Path, lines: &[String]) {
        let topic = format!("{}-lines", self.name);
        let mut sender = self.command(directory, &["send", &topic, "-"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut sender.stdin.take().unwrap(), lines.join("\n").as_bytes()).unwrap();
        assert!(sender.wait().unwrap().success());
    }

    /// Waits until the table holds this.
    fn wait_for(&self, directory: &Path, wanted: &BTreeMap<String, u64>) {
        let begun = Instant::now();
        loop {
            let found = self.counts(directory);
            if found == *wanted {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "still {found:?}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("\"common word{}\"", number % 5)).collect()
}

fn expected(count: u64) -> BTreeMap<String, u64> {
    let words = (0..5).map(|number| (format!("word{number}"), count / 5));
    words.chain([("common".to_owned(), count)]).collect()
}

#[test]
fn workers_share_the_partitions_and_every_word_counts_once() {
    let name = format!("rust-words-{}", std::process::id());
    let app = App { name, url: format!("kafka://{}", broker::servers()) };
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    app.send(&place("sender"), &lines(500));
    let (mut first, mut second) = (app.worker(&place("one")), app.worker(&place("two")));
    app.wait_for(&place("looking"), &expected(500));
    // A crash: the other one takes over when the session has expired.
    first.kill().unwrap();
    first.wait().unwrap();
    app.send(&place("sender"), &lines(250));
    app.wait_for(&place("looking"), &expected(750));
    assert!(Command::new("kill").arg(second.id().to_string()).status().unwrap().success());
    assert!(second.wait().unwrap().success());
}

#[test]
fn brokers_that_do_not_answer_are_named() {
    let app = App { name: "nobody".to_owned(), url: "kafka://127.0.0.1:1".to_owned() };
    let directory = tempfile::tempdir().unwrap();
    let output = app.run(directory.path(), &["topics"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("127.0.0.1:1"), "{said}");
}
