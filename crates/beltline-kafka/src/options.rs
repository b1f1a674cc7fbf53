//! What a user may set, and what librdkafka is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Error, ErrorKind, Result};

use crate::raw::client::Role;

/// What a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Guarantee {
    /// Outputs first, then the positions: after a failure some outputs may be there twice.
    #[default]
    AtLeastOnce,
    /// Outputs and positions in one transaction.
    ExactlyOnce,
}

/// Where a group begins to read a partition it has no position in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StartPolicy {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// With the next one written.
    Latest,
}

/// An access token for SASL OAUTHBEARER.
#[derive(Clone)]
pub struct AccessToken {
    /// The token itself; never shown.
    pub value: String,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at_ms: i64,
    /// Whose it is.
    pub principal: String,
    /// SASL extensions (RFC 7628): what else the brokers are told, by name; never shown.
    pub extensions: Vec<(String, String)>,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccessToken {{ principal: {:?}, expires_at_ms: {} }}", self.principal, self.expires_at_ms)
    }
}

/// Makes access tokens; called at the start and whenever one is about to end, from a thread of the client's own.
pub trait TokenSource: Send + Sync {
    /// A fresh token.
    ///
    /// # Errors
    /// A sentence without secrets; it is tried again later.
    fn token(&self) -> std::result::Result<AccessToken, String>;
}

/// Hears, while a log is being connected, that no broker answers yet.
pub trait Patience: Send + Sync {
    /// Called every two seconds or more often with a sentence that names each address and what is wrong there; `false` ends the wait.
    fn goes_on(&self, silence: &str) -> bool;
}

/// How to reach Kafka and what to promise. Every wait has its limit here.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// Name of this client in the brokers' logs.
    pub client_id: String,
    /// The group whose positions are kept.
    pub group_id: String,
    /// Makes the member a static one: it keeps its partitions over a restart shorter than the session.
    pub group_instance_id: Option<String>,
    /// What a commit promises.
    pub guarantee: Guarantee,
    /// Needed for exactly-once: stable over restarts and used by one worker at a time.
    pub transactional_id: Option<String>,
    /// A member that is silent for so long loses its partitions.
    pub session_timeout: Duration,
    /// How often a member says that it is alive; a rebalance is noticed by it.
    pub heartbeat_interval: Duration,
    /// How long a member may take to give partitions back.
    pub rebalance_timeout: Duration,
    /// How long a member may take to say good-bye; after it others take over when the session has expired.
    pub leave_timeout: Duration,
    /// How long a record may wait for others to be sent with, outside of commits.
    pub linger: Duration,
    /// Most bytes of one produced batch; `None` leaves it to librdkafka.
    pub batch_bytes: Option<usize>,
    /// Brokers that must have a record before it counts: −1 is all in sync, which exactly-once needs.
    pub acks: i16,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// Limit of a question to the brokers: topics, offsets, positions.
    pub request_timeout: Duration,
    /// Limit of the wait for a first answer when connecting; `None` is `request_timeout`.
    pub connect_timeout: Option<Duration>,
    /// Hears of that wait.
    pub patience: Option<Arc<dyn Patience>>,
    /// Limit of a commit.
    pub commit_timeout: Duration,
    /// An open transaction of a dead worker is aborted by the brokers after this time, and ten seconds of theirs.
    pub transaction_timeout: Duration,
    /// Bytes read ahead per partition.
    pub queued_bytes_per_partition: usize,
    /// Where to begin without a position.
    pub start: StartPolicy,
    /// Replicas of topics that are created; `None` leaves it to the brokers.
    pub replication_factor: Option<i32>,
    /// Reads everything without being a member of the group, and moves no position of it: for looking at tables.
    pub observes: bool,
    /// Whether this member keeps tables of others warm.
    pub keeps_standbys: bool,
    /// Partition numbers whose tables lie on this machine's disk already, from an earlier run.
    pub warm_partitions: Vec<u32>,
    /// Makes tokens for `sasl.mechanisms=OAUTHBEARER`.
    pub tokens: Option<Arc<dyn TokenSource>>,
    /// Any other option of librdkafka; with the prefix `consumer.` or `producer.` for those handles alone.
    pub extra: Vec<(String, String)>,
}

impl KafkaOptions {
    /// Options for a group on these servers; everything else is as it has proved good.
    pub fn new(bootstrap_servers: impl Into<String>, group_id: impl Into<String>) -> KafkaOptions {
        let group_id = group_id.into();
        KafkaOptions {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: group_id.clone(),
            group_id,
            group_instance_id: None,
            guarantee: Guarantee::default(),
            transactional_id: None,
            // Brokers that come back after longer than this know a member that is no more, and nobody reads until they
            // give it up; eight seconds are as much as keeps that below ten.
            session_timeout: Duration::from_secs(8),
            heartbeat_interval: Duration::from_millis(500),
            rebalance_timeout: Duration::from_secs(60),
            leave_timeout: Duration::from_secs(5),
            linger: Duration::from_millis(5),
            batch_bytes: None,
            acks: -1,
            compression: "none".into(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: None,
            patience: None,
            commit_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(10),
            queued_bytes_per_partition: 16 << 20,
            start: StartPolicy::default(),
            replication_factor: None,
            observes: false,
            keeps_standbys: true,
            warm_partitions: Vec::new(),
            tokens: None,
            extra: Vec::new(),
        }
    }

    /// Refuses what could not keep the promises.
    ///
    /// # Errors
    /// `Usage`, naming the option and what to do.
    pub fn check(&self) -> Result<()> {
        let refuse = |sentence: String| Err(Error::new(ErrorKind::Usage, sentence));
        for (full_name, value) in &self.extra {
            let name = bare(full_name);
            if let Some((_, reason)) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == name) {
                return refuse(format!("the Kafka option {name} cannot be set: {reason}"));
            }
            let is_mechanism = name == "sasl.mechanisms" || name == "sasl.mechanism";
            if is_mechanism && value.eq_ignore_ascii_case("GSSAPI") && !cfg!(feature = "gssapi") {
                return refuse(
                    "Kerberos (sasl.mechanisms=GSSAPI) is not in this build of beltline; use SCRAM, OAUTHBEARER or TLS \
                     certificates, or build beltline-kafka with its feature gssapi"
                        .into(),
                );
            }
        }
        if self.bootstrap_servers.trim().is_empty() {
            return refuse("no Kafka broker is named; bootstrap_servers wants host:port".into());
        }
        if self.guarantee == Guarantee::ExactlyOnce {
            if self.transactional_id.as_deref().unwrap_or("").is_empty() {
                return refuse("exactly-once needs a transactional id that is this worker's alone".into());
            }
            if self.acks != -1 {
                return refuse(format!("exactly-once needs acks=all, not {}", self.acks));
            }
        }
        Ok(())
    }

    /// What librdkafka is told for a handle; later entries win.
    pub(crate) fn settings(&self, role: Role) -> Vec<(String, String)> {
        let mut settings = Settings(Vec::new());
        settings.put("bootstrap.servers", &self.bootstrap_servers);
        settings.put("client.id", &self.client_id);
        // A broker that is gone is asked again within a second when it is back.
        settings.put("reconnect.backoff.max.ms", "1000");
        match role {
            Role::Producer => self.producer_settings(&mut settings),
            Role::Member => {
                self.consumer_settings(&mut settings);
                self.member_settings(&mut settings);
            }
            Role::Reader => self.consumer_settings(&mut settings),
        }
        // What is meant for one kind of handle wins over what is meant for all.
        let (own, foreign) = match role {
            Role::Producer => (PRODUCER, CONSUMER),
            Role::Member | Role::Reader => (CONSUMER, PRODUCER),
        };
        let general = self.extra.iter().filter(|(name, _)| !name.starts_with(own) && !name.starts_with(foreign));
        settings.0.extend(general.cloned());
        let special =
            self.extra.iter().filter_map(|(name, value)| Some((name.strip_prefix(own)?.to_owned(), value.clone())));
        settings.0.extend(special);
        settings.0
    }

    fn producer_settings(&self, settings: &mut Settings) {
        settings.put("linger.ms", self.linger.as_millis());
        settings.put("compression.codec", &self.compression);
        settings.put("acks", self.acks);
        // Idempotence keeps the order and drops repeats of one send; it needs all replicas in sync.
        settings.put("enable.idempotence", self.acks == -1);
        if let Some(bytes) = self.batch_bytes {
            settings.put("batch.size", bytes);
        }
        // The limit of a unit is its bytes; the count must not get in the way of small records.
        settings.put("queue.buffering.max.messages", 1_000_000);
        let mut delivery = self.commit_timeout.as_millis();
        if self.guarantee == Guarantee::ExactlyOnce {
            let transaction = self.transaction_timeout.as_millis();
            settings.put("transactional.id", self.transactional_id.as_deref().unwrap_or(""));
            settings.put("transaction.timeout.ms", transaction);
            // A transaction that begins while the brokers still finish the one before is asked for again.
            settings.put("retry.backoff.ms", 20);
            settings.put("socket.timeout.ms", transaction.min(60_000));
            delivery = delivery.min(transaction);
        }
        settings.put("delivery.timeout.ms", delivery);
    }

    fn consumer_settings(&self, settings: &mut Settings) {
        settings.put("group.id", &self.group_id);
        settings.put("enable.auto.commit", "false");
        settings.put("enable.auto.offset.store", "false");
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "error");
        settings.put("enable.partition.eof", "true");
        settings.put("allow.auto.create.topics", "false");
        settings.put("check.crcs", "true");
        // A topic that is gone is reported, and one that a pattern matches is found, within so long.
        settings.put("topic.metadata.refresh.interval.ms", 10_000);
        settings.put("topic.metadata.propagation.max.ms", 5_000);
        // With the default of a second a fast reader idles four fifths of its time.
        settings.put("fetch.queue.backoff.ms", "20");
        settings.put("fetch.wait.max.ms", "100");
        settings.put("queued.max.messages.kbytes", (self.queued_bytes_per_partition >> 10).max(1));
    }

    fn member_settings(&self, settings: &mut Settings) {
        settings.put("group.protocol", "classic");
        // Ours replaces it after the handle is made; named so that the protocol types agree.
        settings.put("partition.assignment.strategy", "cooperative-sticky");
        settings.put("session.timeout.ms", self.session_timeout.as_millis());
        settings.put("heartbeat.interval.ms", self.heartbeat_interval.as_millis());
        settings.put("max.poll.interval.ms", self.rebalance_timeout.max(self.session_timeout).as_millis());
        if let Some(instance) = &self.group_instance_id {
            settings.put("group.instance.id", instance);
        }
    }
}

/// What the names of options for consuming handles begin with.
const CONSUMER: &str = "consumer.";

/// What the names of options for producing handles begin with.
const PRODUCER: &str = "producer.";

/// The name of an option without the prefix that says for whom it is.
fn bare(name: &str) -> &str {
    name.strip_prefix(CONSUMER).or_else(|| name.strip_prefix(PRODUCER)).unwrap_or(name)
}

struct Settings(Vec<(String, String)>);

impl Settings {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.into(), value.to_string()));
    }
}

/// Options that would break a promise, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("bootstrap.servers", "name the brokers in bootstrap_servers"),
    ("metadata.broker.list", "name the brokers in bootstrap_servers"),
    ("enable.auto.commit", "positions are committed together with what the events did, never on a timer"),
    ("auto.commit.interval.ms", "positions are committed together with what the events did, never on a timer"),
    ("enable.auto.offset.store", "positions are committed together with what the events did, never on their own"),
    ("isolation.level", "records of aborted transactions must stay unseen"),
    ("auto.offset.reset", "use the start policy; a position out of range is reported, never jumped over"),
    ("enable.partition.eof", "positions behind transaction markers are known by it"),
    ("partition.assignment.strategy", "beltline's own assignor keeps partitions with their tables"),
    ("group.protocol", "beltline's own assignor needs the classic protocol"),
    ("group.remote.assignor", "beltline's own assignor needs the classic protocol"),
    ("group.id", "use the group id of the options"),
    ("group.instance.id", "use the group instance id of the options"),
    ("transactional.id", "use the transactional id of the options, which is one worker's alone"),
    ("transaction.timeout.ms", "use the transaction timeout of the options"),
    ("enable.idempotence", "it follows from acks"),
    ("allow.auto.create.topics", "topics are created with their right partitions, or not at all"),
    ("delivery.timeout.ms", "use the commit timeout of the options"),
    ("message.timeout.ms", "use the commit timeout of the options"),
];

/// Whether an option's value must never be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    name.contains("password")
        || name.contains("secret")
        || name.ends_with(".pem")
        || name.contains("oauthbearer")
        || name.contains("jaas")
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra: Vec<(&str, &str)> = self
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "…" } else { value.as_str() }))
            .collect();
        formatter
            .debug_struct("KafkaOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("guarantee", &self.guarantee)
            .field("transactional_id", &self.transactional_id)
            .field("extra", &extra)
            .finish_non_exhaustive()
    }
}
