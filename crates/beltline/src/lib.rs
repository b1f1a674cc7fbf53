//! Functions on a never-ending conveyor belt of events: typed topics, tables and timers.
