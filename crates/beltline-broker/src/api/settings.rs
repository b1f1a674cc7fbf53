//! The settings of topics that Kafka 4.1 has: their names, kinds and defaults, and where the log keeps them.
//!
//! From Kafka's documentation, "Topic-Level Configs". `docs/endpoint.md` says which of them make a difference here.

use beltline_types::{Cleanup, TimestampType, TopicSpec};

/// What values a setting takes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Flag,
    /// 32 bits.
    Int {
        min: i64,
    },
    /// 64 bits.
    Long {
        min: i64,
    },
    /// Between 0 and 1.
    Share,
    OneOf(&'static [&'static str]),
    /// Any of these, with commas between them.
    List(&'static [&'static str]),
}

pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// In the place of Kafka's defaults those of this log, where they differ.
    pub(super) default: &'static str,
}

const fn setting(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { name, kind, default }
}

const LONGEST: &str = "9223372036854775807";
const POLICIES: &[&str] = &["compact", "delete"];
const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// By name.
pub(super) const SETTINGS: &[Setting] = &[
    setting("cleanup.policy", Kind::List(POLICIES), "delete"),
    setting("compression.type", Kind::OneOf(CODECS), "uncompressed"),
    setting("delete.retention.ms", Kind::Long { min: 0 }, "86400000"),
    setting("file.delete.delay.ms", Kind::Long { min: 0 }, "60000"),
    setting("flush.messages", Kind::Long { min: 1 }, LONGEST),
    setting("flush.ms", Kind::Long { min: 0 }, LONGEST),
    setting("index.interval.bytes", Kind::Int { min: 0 }, "4096"),
    setting("local.retention.bytes", Kind::Long { min: -2 }, "-2"),
    setting("local.retention.ms", Kind::Long { min: -2 }, "-2"),
    setting("max.compaction.lag.ms", Kind::Long { min: 1 }, LONGEST),
    setting("max.message.bytes", Kind::Int { min: 0 }, "1048588"),
    setting("message.timestamp.after.max.ms", Kind::Long { min: 0 }, LONGEST),
    setting("message.timestamp.before.max.ms", Kind::Long { min: 0 }, LONGEST),
    setting("message.timestamp.type", Kind::OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime"),
    setting("min.cleanable.dirty.ratio", Kind::Share, "0.5"),
    setting("min.compaction.lag.ms", Kind::Long { min: 0 }, "0"),
    setting("min.insync.replicas", Kind::Int { min: 1 }, "1"),
    setting("preallocate", Kind::Flag, "false"),
    setting("remote.storage.enable", Kind::Flag, "false"),
    setting("retention.bytes", Kind::Long { min: i64::MIN }, "-1"),
    setting("retention.ms", Kind::Long { min: -1 }, "-1"),
    setting("segment.bytes", Kind::Int { min: 1 << 20 }, "16777216"),
    setting("segment.index.bytes", Kind::Int { min: 4 }, "10485760"),
    setting("segment.jitter.ms", Kind::Long { min: 0 }, "0"),
    setting("segment.ms", Kind::Long { min: 1 }, "604800000"),
    setting("unclean.leader.election.enable", Kind::Flag, "false"),
];

/// The setting of this name, if Kafka has one.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// The parts of a list.
    pub(super) fn parts(value: &str) -> impl Iterator<Item = &str> {
        value.split(',').map(str::trim).filter(|part| !part.is_empty())
    }

    fn takes(&self, value: &str) -> bool {
        let number = |min: i64, max: i64| value.trim().parse().is_ok_and(|number: i64| (min..=max).contains(&number));
        match self.kind {
            Kind::Flag => matches!(&*value.trim().to_ascii_lowercase(), "true" | "false"),
            Kind::Int { min } => number(min, i64::from(i32::MAX)),
            Kind::Long { min } => number(min, i64::MAX),
            Kind::Share => value.trim().parse().is_ok_and(|share: f64| (0.0..=1.0).contains(&share)),
            Kind::OneOf(all) => all.contains(&value),
            Kind::List(all) => {
                Self::parts(value).next().is_some() && Self::parts(value).all(|part| all.contains(&part))
            }
        }
    }

    /// Kafka's number of the kind in answers.
    pub(super) fn kind_number(&self) -> i8 {
        match self.kind {
            Kind::Flag => 1,
            Kind::OneOf(_) => 2,
            Kind::Int { .. } => 3,
            Kind::Long { .. } => 5,
            Kind::Share => 6,
            Kind::List(_) => 7,
        }
    }

    /// The value that a topic was given; `None` where it has the default.
    pub(super) fn given(&self, spec: &TopicSpec) -> Option<String> {
        match self.name {
            "cleanup.policy" => match spec.cleanup {
                Cleanup::Delete => None,
                Cleanup::Compact => Some("compact".to_owned()),
                Cleanup::CompactAndDelete => Some("compact,delete".to_owned()),
            },
            "message.timestamp.type" => {
                (spec.timestamps == TimestampType::LogAppendTime).then(|| "LogAppendTime".to_owned())
            }
            "retention.ms" => spec.retention_ms.map(|time| time.to_string()),
            "retention.bytes" => spec.retention_bytes.map(|bytes| bytes.to_string()),
            name => spec.config.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
        }
    }

    /// Gives a topic a value; `None` is the default.
    ///
    /// # Errors
    /// A sentence when the value makes no sense.
    pub(super) fn apply(&self, spec: &mut TopicSpec, value: Option<&str>) -> Result<(), String> {
        if let Some(value) = value
            && !self.takes(value)
        {
            return Err(format!("Invalid value {value} for configuration {}", self.name));
        }
        let set = value.unwrap_or(self.default).trim();
        match self.name {
            "cleanup.policy" => {
                let has = |policy| Self::parts(set).any(|part| part == policy);
                spec.cleanup = match (has("compact"), has("delete")) {
                    (true, true) => Cleanup::CompactAndDelete,
                    (true, false) => Cleanup::Compact,
                    (false, _) => Cleanup::Delete,
                };
            }
            "message.timestamp.type" => {
                spec.timestamps = match set {
                    "LogAppendTime" => TimestampType::LogAppendTime,
                    _ => TimestampType::CreateTime,
                };
            }
            "retention.ms" => spec.retention_ms = set.parse().ok().filter(|time| *time >= 0),
            "retention.bytes" => spec.retention_bytes = set.parse().ok(),
            name => {
                spec.config.retain(|(known, _)| known != name);
                spec.config.extend(value.map(|value| (name.to_owned(), value.trim().to_owned())));
            }
        }
        Ok(())
    }
}
