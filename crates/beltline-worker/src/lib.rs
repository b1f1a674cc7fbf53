//! Turns the core in the real world: log and store threads, bounded queues, recovery, shutdown.
