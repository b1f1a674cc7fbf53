//! Whether an object that the garbage collector visits has been made already.

/// A number that memory is not filled with by chance.
const SEAL: u64 = 0x6265_6c74_6c69_6e65;

/// Present in every finished object.
///
/// When Python makes an instance of a Python subclass, it allocates the object, filled with zeros and known to the
/// garbage collector, and then a dictionary for it; that second allocation may start a collection, which visits the
/// object before our part of it was written. Classes that may be inherited from ask this before they show what they hold.
pub struct Made {
    seal: u64,
}

impl Made {
    /// For the constructor.
    pub fn new() -> Made {
        Made { seal: SEAL }
    }

    /// Whether the constructor has run.
    pub fn is_finished(&self) -> bool {
        // Otherwise the compiler could take the only value it ever sees written for granted.
        std::hint::black_box(self.seal) == SEAL
    }
}
