//! The Log trait on Apache Kafka.
mod assignment;
mod raw;
mod signal;
