//! Short texts that come again and again: names, codes, keys.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::raw::slots::ascii_text;

/// Places in the cache; a text has exactly one.
const PLACES: usize = 4096;

/// Longer texts are made anew each time.
const MAX_BYTES: usize = 16;

/// Texts looked up before it is decided whether looking is worth it.
const SAMPLE: u32 = 512;

#[derive(Default)]
struct Place {
    bytes: [u8; MAX_BYTES],
    len: u8,
    text: Option<Py<PyString>>,
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
}

impl Repeats {
    #[inline]
    fn are_likely(&self) -> bool {
        self.tries < SAMPLE || self.hits >= SAMPLE / 2
    }

    #[inline]
    fn note(&mut self, hit: bool) {
        if self.tries < SAMPLE {
            self.tries += 1;
            self.hits += u32::from(hit);
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
        let mut key = [0u8; MAX_BYTES];
        key[..bytes.len()].copy_from_slice(bytes);
        let words = u128::from_le_bytes(key);
        let mixed = (words as u64 ^ ((words >> 64) as u64).rotate_left(29) ^ bytes.len() as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = &mut self.places[(mixed >> 52) as usize % PLACES];
        if let Some(text) = &place.text
            && place.bytes == key
            && usize::from(place.len) == bytes.len()
        {
            repeats.note(true);
            return text.clone_ref(py).into_any();
        }
        repeats.note(false);
        let text = ascii_text(py, bytes).unbind();
        // A text has no destructor that could come back here.
        (place.bytes, place.len) = (key, bytes.len() as u8);
        if let Some(old) = place.text.replace(text.clone_ref(py)) {
            old.drop_ref(py);
        }
        text.into_any()
    }
}
