//! Names in JSON objects: the same few in every record.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::raw::slots::ascii_text;
use crate::records::text_cache::{Repeats, words};

/// Names kept; a name has exactly one place.
const PLACES: usize = 512;

/// Longer names are made anew each time.
const MAX_BYTES: usize = 64;

#[derive(Default)]
struct Place {
    bytes: Box<[u8]>,
    text: Option<Py<PyString>>,
    repeats: Repeats,
}

/// Names by their bytes, direct-mapped, each with what is known about the texts that go under it.
pub struct Names {
    places: Vec<Place>,
}

impl Names {
    pub fn new() -> Names {
        let mut places = Vec::new();
        places.resize_with(PLACES, Place::default);
        Names { places }
    }

    /// What is known about the texts under a name.
    #[inline]
    pub fn repeats(&mut self, number: usize) -> Option<&mut Repeats> {
        self.places.get_mut(number).map(|place| &mut place.repeats)
    }

    /// The name of ASCII bytes, and its number if it has one.
    #[inline]
    pub fn find<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> (Bound<'py, PyString>, Option<usize>) {
        if bytes.len() > MAX_BYTES {
            return (ascii_text(py, bytes), None);
        }
        let number = place_of(bytes);
        let place = &mut self.places[number];
        if let Some(text) = &place.text
            && *place.bytes == *bytes
        {
            return (text.bind(py).clone(), Some(number));
        }
        let text = ascii_text(py, bytes);
        place.bytes = Box::from(bytes);
        place.repeats = Repeats::default();
        if let Some(old) = place.text.replace(text.clone().unbind()) {
            old.drop_ref(py);
        }
        (text, Some(number))
    }
}

/// Names that differ in the middle only share a place; that costs time and nothing else.
#[inline]
fn place_of(bytes: &[u8]) -> usize {
    let (first, last) = if bytes.len() <= 16 { (bytes, &[][..]) } else { bytes.split_at(bytes.len() - 16) };
    let ([low, high], [low_2, high_2]) = (words(&first[..first.len().min(16)]), words(last));
    let mixed = (low ^ high.rotate_left(29) ^ low_2.rotate_left(13) ^ high_2.rotate_left(43) ^ bytes.len() as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 55) as usize % PLACES
}
