//! The core: subscriptions, positions, tables, outbox, commit units; no I/O, no clock, no thread.
