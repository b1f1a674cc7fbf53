//! Memory of batches that are gone, for those that come.
//!
//! Batches are large, are made by one thread and dropped by another. The allocator gives such memory back to the system
//! each time, and the system clears every page of it again: that costs more than filling it.

use std::sync::{Mutex, PoisonError};

/// Smaller pieces are the allocator's business.
const MIN_BYTES: usize = 64 << 10;

/// Bytes kept in all.
const MAX_BYTES: usize = 16 << 20;

/// A piece is used again for what needs at least this part of it.
const MIN_USE: usize = 4;

/// Pieces that nobody uses.
struct Spare {
    pieces: Vec<Vec<u8>>,
    /// The fewest there were since [`release_spare`]: so many have lain here all the time.
    fewest: usize,
}

static SPARE: Mutex<Spare> = Mutex::new(Spare { pieces: Vec::new(), fewest: 0 });

/// Gives the allocator what has not been used again since the last call. For somebody to call every few seconds, so that a
/// process at rest does not hold on to what it needed under load.
pub fn release_spare() {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    let unused = spare.fewest;
    let released: Vec<Vec<u8>> = spare.pieces.drain(..unused).collect();
    spare.fewest = spare.pieces.len();
    drop(spare);
    drop(released);
}

/// A vector with room for so many bytes, and in it whatever was there before: who reads into it needs no zeros first.
pub(crate) fn take(capacity: usize) -> Vec<u8> {
    if capacity >= MIN_BYTES / MIN_USE {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |piece: &Vec<u8>| piece.capacity() >= capacity && piece.capacity() / MIN_USE <= capacity;
        if let Some(index) = spare.pieces.iter().position(fits) {
            let piece = spare.pieces.swap_remove(index);
            spare.fewest = spare.fewest.min(spare.pieces.len());
            return piece;
        }
    }
    Vec::with_capacity(capacity)
}

/// Keeps a vector for later, if it is worth it and there is room.
pub(crate) fn give(piece: Vec<u8>) {
    if piece.capacity() < MIN_BYTES {
        return;
    }
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if spare.pieces.iter().map(Vec::capacity).sum::<usize>() + piece.capacity() <= MAX_BYTES {
        spare.pieces.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).pieces.iter().map(Vec::capacity).sum()
    }

    // One test: the memory is one for all threads.
    #[test]
    fn memory_is_used_again_within_the_limit_and_released_when_nobody_uses_it() {
        for _ in 0..100 {
            give(Vec::with_capacity(1 << 20));
        }
        assert!(kept() <= MAX_BYTES);
        let again = take((1 << 20) - 5);
        assert!(again.capacity() >= (1 << 20) - 5);
        assert!(take(1 << 17).capacity() < 1 << 20);

        give(again);
        release_spare();
        let before = kept();
        assert!(before >= 1 << 20, "what came since the last call stays");
        let used = take((1 << 20) - 5);
        give(used);
        release_spare();
        assert!((1 << 20..=before).contains(&kept()), "what was used meanwhile stays");
        release_spare();
        assert_eq!(kept(), 0);
    }
}
