//! A seeded world of faults around the real core. Not shipped.
