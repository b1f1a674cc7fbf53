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

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A vector with room for so many bytes, and in it whatever was there before: who reads into it needs no zeros first.
pub(crate) fn take(capacity: usize) -> Vec<u8> {
    if capacity >= MIN_BYTES / MIN_USE {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |piece: &Vec<u8>| piece.capacity() >= capacity && piece.capacity() / MIN_USE <= capacity;
        if let Some(index) = spare.iter().position(fits) {
            return spare.swap_remove(index);
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
    if spare.iter().map(Vec::capacity).sum::<usize>() + piece.capacity() <= MAX_BYTES {
        spare.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_for_what_fits_and_kept_within_the_limit() {
        for _ in 0..100 {
            give(Vec::with_capacity(1 << 20));
        }
        let kept: usize = SPARE.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::capacity).sum();
        assert!(kept <= MAX_BYTES);
        let again = take((1 << 20) - 5);
        assert!(again.capacity() >= (1 << 20) - 5);
        assert!(take(1 << 17).capacity() < 1 << 20);
    }
}
