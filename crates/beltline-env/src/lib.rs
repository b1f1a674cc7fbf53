//! The outside world as small traits: clock, random, files, threads; one real and one simulated set.
