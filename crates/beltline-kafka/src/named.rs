//! Options by name, as another face has them: librdkafka's names, with a prefix where they are meant for one handle only.

use std::str::FromStr;
use std::time::Duration;

use beltline_types::{Error, ErrorKind, Result};

use crate::options::{KafkaOptions, StartPolicy};

impl KafkaOptions {
    /// Takes an option by librdkafka's name; with the prefix `consumer.` or `producer.` it is for that handle only. What
    /// has a field of its own goes there.
    ///
    /// ```
    /// let mut options = beltline_kafka::KafkaOptions::new("localhost:9092", "orders");
    /// options.set("consumer.session.timeout.ms", "6000")?;
    /// options.set("producer.compression.type", "lz4")?;
    /// assert_eq!(options.session_timeout.as_secs(), 6);
    /// assert!(options.set("producer.linger.ms", "soon").is_err());
    /// # Ok::<(), beltline_types::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Usage` for a value that cannot be read. Options that would break a promise are refused by
    /// [`KafkaOptions::check`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "bootstrap.servers" => self.bootstrap_servers = value.to_owned(),
            "client.id" => self.client_id = value.to_owned(),
            "consumer.group.instance.id" => self.group_instance_id = Some(value.to_owned()),
            "consumer.auto.offset.reset" => {
                self.start = match value {
                    "latest" | "largest" | "end" => StartPolicy::Latest,
                    _ => StartPolicy::Earliest,
                }
            }
            "consumer.session.timeout.ms" => self.session_timeout = milliseconds(name, value)?,
            "consumer.heartbeat.interval.ms" => self.heartbeat_interval = milliseconds(name, value)?,
            "consumer.max.poll.interval.ms" => self.rebalance_timeout = milliseconds(name, value)?,
            "producer.linger.ms" => self.linger = milliseconds(name, value)?,
            "producer.batch.size" => self.batch_bytes = Some(number(name, value)?),
            "producer.compression.type" => self.compression = value.to_owned(),
            "producer.acks" => self.acks = if value == "all" { -1 } else { number(name, value)? },
            // It follows from acks.
            "producer.enable.idempotence" => {}
            "producer.message.timeout.ms" => self.commit_timeout = milliseconds(name, value)?,
            _ => self.extra.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    let wrong =
        |_| Error::new(ErrorKind::Usage, format!("the Kafka option {name} is to be {value:?}, but takes a number"));
    value.trim().parse().map_err(wrong)
}

fn milliseconds(name: &str, value: &str) -> Result<Duration> {
    Ok(Duration::from_millis(number(name, value)?))
}
