//! The Log trait on Apache Kafka.
