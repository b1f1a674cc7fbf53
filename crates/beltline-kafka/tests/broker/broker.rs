//! A real Kafka broker: the one that `BELTLINE_TEST_KAFKA=host:port` names, or one started from Maven's jars.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the broker of this run listens.
pub fn servers() -> String {
    static BROKER: OnceLock<(String, Option<Broker>)> = OnceLock::new();
    let (servers, _) = BROKER.get_or_init(|| match std::env::var("BELTLINE_TEST_KAFKA") {
        Ok(servers) => (servers, None),
        Err(_) => {
            let broker = Broker::start();
            (broker.servers(), Some(broker))
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
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("../beltline-kafka/tests/broker/pom.xml");
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

/// A broker of one's own, to be killed and started again, with a listener that wants a password.
pub struct Broker {
    home: PathBuf,
    port: u16,
    sasl_port: u16,
    guard: Option<Child>,
}

impl Broker {
    pub fn start() -> Broker {
        let mut broker = Broker::plan();
        broker.run(true);
        broker
    }

    fn plan() -> Broker {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = cache().join(format!("rust-broker-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let (port, controller, sasl_port) = (free_port(), free_port(), free_port());
        std::fs::write(home.join("server.properties"), settings(&home, port, controller, sasl_port)).unwrap();
        Broker { home, port, sasl_port, guard: None }
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The listener that wants a password.
    pub fn sasl_servers(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_port)
    }

    /// A shell beside the broker ends it when this process ends in whatever way: it waits for the end of its input, which
    /// this process holds open.
    fn run(&mut self, format: bool) {
        let libs = jars();
        let script = r#"
            cp="$1/*"; home="$2"
            if [ "$3" = format ]; then
                java -cp "$cp" kafka.tools.StorageTool format -t bWFkZS1mb3ItdGVzdHMtMQ -c "$home/server.properties" || exit 1
            fi
            java -Xmx512m -cp "$cp" kafka.Kafka "$home/server.properties" & echo $! > "$home/pid"
            cat >/dev/null
            kill -9 "$(cat "$home/pid")"; wait; rm -rf "$home/data" "$home/pid" "$home/server.properties"
            rmdir "$home"; rm -f "$home.log"
        "#;
        let log = std::fs::File::create(self.log_file()).unwrap();
        let guard = Command::new("sh")
            .args(["-c", script, "sh"])
            .args([&libs, &self.home])
            .arg(if format { "format" } else { "as it is" })
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.guard = Some(guard);
        let begun = Instant::now();
        while std::net::TcpStream::connect(self.servers()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the broker does not listen:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log_file(&self) -> PathBuf {
        self.home.with_extension("log")
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// SIGKILL; its data stay.
    pub fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            // The shell first, so that it does not clear away.
            guard.kill().unwrap();
            guard.wait().unwrap();
            let process = std::fs::read_to_string(self.home.join("pid")).unwrap();
            assert!(Command::new("kill").args(["-9", process.trim()]).status().unwrap().success());
        }
    }

    pub fn start_again(&mut self) {
        self.run(false);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
        let _ = std::fs::remove_dir_all(&self.home);
        let _ = std::fs::remove_file(self.log_file());
    }
}

fn settings(home: &Path, port: u16, controller: u16, sasl_port: u16) -> String {
    let data = home.join("data");
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_poor=\"poor-secret\";";
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"admin\";";
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port}\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT\n\
         listener.name.sasl.sasl.enabled.mechanisms=PLAIN,OAUTHBEARER\n\
         listener.name.sasl.plain.sasl.jaas.config={plain}\n\
         listener.name.sasl.oauthbearer.sasl.jaas.config={oauth}\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:admin\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
         group.min.session.timeout.ms=1000\n",
        data.display()
    )
}
