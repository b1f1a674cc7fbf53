//! A real Kafka broker: the one that `BELTLINE_TEST_KAFKA=host:port` names, or one started from Maven's jars.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Where the broker of this run listens.
pub fn servers() -> String {
    static BROKER: OnceLock<(String, Option<Child>)> = OnceLock::new();
    let (servers, _) = BROKER.get_or_init(|| match std::env::var("BELTLINE_TEST_KAFKA") {
        Ok(servers) => (servers, None),
        Err(_) => {
            let (servers, child) = start();
            (servers, Some(child))
        }
    });
    servers.clone()
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/kafka")
}

/// The jars, fetched once.
fn jars() -> PathBuf {
    let libs = cache().join("rust-libs");
    let complete = libs.join("complete");
    if !complete.exists() {
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker/pom.xml");
        let status = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", libs.display()))
            .status()
            .expect("Maven (mvn) fetches the broker's jars");
        assert!(status.success(), "Maven could not fetch the broker's jars");
        std::fs::write(complete, "").unwrap();
    }
    libs
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a broker in a directory of its own. It ends when this process ends in whatever way: a shell beside it waits for
/// the end of its input, which this process holds open.
fn start() -> (String, Child) {
    let libs = jars();
    let home = cache().join(format!("rust-broker-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let (port, controller) = (free_port(), free_port());
    let properties = home.join("server.properties");
    std::fs::write(&properties, settings(&home, port, controller)).unwrap();
    let script = r#"
        cp="$1/*"; properties="$2"; home="$3"
        java -cp "$cp" kafka.tools.StorageTool format -t bWFkZS1mb3ItdGVzdHMtMQ -c "$properties" || exit 1
        java -Xmx512m -cp "$cp" kafka.Kafka "$properties" & broker=$!
        cat >/dev/null
        kill "$broker"; wait "$broker"; rm -rf "$home"
    "#;
    let log = std::fs::File::create(cache().join("rust-broker.log")).unwrap();
    let child = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([&libs, &properties, &home])
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let servers = format!("127.0.0.1:{port}");
    let begun = Instant::now();
    while std::net::TcpStream::connect(&servers).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the broker does not listen: see {}", log_text());
        std::thread::sleep(Duration::from_millis(100));
    }
    (servers, child)
}

fn log_text() -> String {
    let mut text = String::new();
    let _ = std::fs::File::open(cache().join("rust-broker.log")).and_then(|mut file| file.read_to_string(&mut text));
    text
}

fn settings(home: &Path, port: u16, controller: u16) -> String {
    let data = home.join("data");
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
         group.min.session.timeout.ms=1000\n",
        data.display()
    )
}
