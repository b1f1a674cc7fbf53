//! A topic as Python describes it.

use beltline_types::{Cleanup, TimestampType, TopicSpec};

/// Whether it is compacted, `retention_ms`, `retention_bytes`, whether records carry the time of the append, and further
/// options by Kafka's names: ``beltline.topic_options.TopicOptions``.
pub type TopicOptions = (bool, Option<i64>, Option<u64>, bool, Vec<(String, String)>);

/// The topic for the engine.
pub fn topic_spec(name: String, partitions: u32, options: TopicOptions) -> TopicSpec {
    let (compacted, retention_ms, retention_bytes, append_time, config) = options;
    TopicSpec {
        cleanup: if compacted { Cleanup::Compact } else { Cleanup::Delete },
        retention_ms,
        retention_bytes,
        timestamps: if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        config,
        ..TopicSpec::new(name, partitions)
    }
}
