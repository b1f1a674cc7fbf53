//! Short texts that come again and again: names, codes, keys.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::raw::slots::ascii_text;

/// Places in the cache; a text has exactly one.
const PLACES: usize = 4096;

/// Longer texts are made anew each time.
const MAX_BYTES: usize = 16;

/// Texts of a field after which it is decided anew whether looking them up is worth it.
const WINDOW: u32 = 512;

/// Hits in a window that make it so.
const GOOD_HITS: u32 = WINDOW / 2;

/// Hits in a window that are a reason to go on trying: a thousand names that come in any order are mostly new at first.
const SOME_HITS: u32 = WINDOW / 16;

/// Windows in a row that may have some hits and not many.
const PATIENCE: u32 = 8;

/// Texts made without a look before another window is tried: data change.
const PAUSE: u32 = 1 << 16;

#[derive(Default)]
struct Place {
    /// The bytes, then zeros, which no plain text of JSON holds.
    bytes: [u64; 2],
    text: Option<Py<PyString>>,
}

/// At most [`MAX_BYTES`] bytes as numbers, the first one lowest.
#[inline]
pub fn words(bytes: &[u8]) -> [u64; 2] {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        // The two overlap: of the last eight bytes those stay that the first eight have not.
        let overlap = 8 * (MAX_BYTES - len) as u32;
        return [u64::from_le_bytes(*first), u64::from_le_bytes(*last).checked_shr(overlap).unwrap_or(0)];
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return [u64::from(first) | (u64::from(last) << (8 * (len - 4))), 0];
    }
    [bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0]
}

/// Texts by their bytes, direct-mapped: a new one takes the place of the one before it.
pub struct TextCache {
    places: Vec<Place>,
}

/// Whether a field's texts repeat: most fields are either names (they do) or ids (they do not).
#[derive(Clone, Copy, Default)]
pub struct Repeats {
    tries: u32,
    hits: u32,
    poor_windows: u32,
    /// Texts that are still made without a look.
    pause: u32,
}

impl Repeats {
    #[inline]
    fn are_likely(&mut self) -> bool {
        if self.pause == 0 {
            return true;
        }
        self.pause -= 1;
        false
    }

    #[inline]
    fn note(&mut self, hit: bool) {
        self.tries += 1;
        self.hits += u32::from(hit);
        if self.tries == WINDOW {
            self.judge();
        }
    }

    #[cold]
    fn judge(&mut self) {
        let poor_windows = if self.hits >= GOOD_HITS { 0 } else { self.poor_windows + 1 };
        let in_vain = self.hits < SOME_HITS || poor_windows > PATIENCE;
        *self = Repeats { poor_windows, ..Repeats::default() };
        if in_vain {
            *self = Repeats { pause: PAUSE, ..Repeats::default() };
        }
    }
}

impl TextCache {
    pub fn new() -> TextCache {
        let mut places = Vec::new();
        places.resize_with(PLACES, Place::default);
        TextCache { places }
    }

    /// The text of ASCII bytes.
    #[inline]
    pub fn text(&mut self, py: Python<'_>, bytes: &[u8], repeats: &mut Repeats) -> Py<PyAny> {
        if bytes.len() > MAX_BYTES || !repeats.are_likely() {
            return ascii_text(py, bytes).into_any().unbind();
        }
        let key = words(bytes);
        let mixed = (key[0] ^ key[1].rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = &mut self.places[(mixed >> 52) as usize % PLACES];
        if let Some(text) = &place.text
            && place.bytes == key
        {
            repeats.note(true);
            return text.clone_ref(py).into_any();
        }
        repeats.note(false);
        let text = ascii_text(py, bytes).unbind();
        place.bytes = key;
        // A text has no destructor that could come back here.
        if let Some(old) = place.text.replace(text.clone_ref(py)) {
            old.drop_ref(py);
        }
        text.into_any()
    }
}
