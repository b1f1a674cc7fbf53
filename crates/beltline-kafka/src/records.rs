//! Records on their way from a fetch buffer into a batch.

use beltline_types::{Batch, Offset, Result};

use crate::raw::queue::Message;

/// Null, told apart from empty.
const NULL: u32 = u32::MAX;

/// Collects records in the layout that [`Batch::parse`] reads, gaps between offsets included.
#[derive(Default)]
pub(crate) struct BatchWriter {
    bytes: Vec<u8>,
    base_offset: Offset,
    headers: Vec<u8>,
}

impl BatchWriter {
    /// Begins anew; the memory is kept.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a record fits: a batch counts offsets from its first one in 32 bits.
    pub(crate) fn takes(&self, offset: Offset) -> bool {
        self.is_empty() || offset - self.base_offset < Offset::from(u32::MAX)
    }

    /// Copies a record.
    #[inline]
    pub(crate) fn push(&mut self, message: &Message<'_>) {
        if self.bytes.is_empty() {
            self.base_offset = message.offset();
        }
        let size = |part: Option<&[u8]>| part.map_or(NULL, |part| part.len() as u32);
        self.encode_headers(message);
        let (key, value) = (message.key(), message.value());
        let delta = (message.offset() - self.base_offset) as u32;
        let mut head = [0u8; 24];
        head[0..4].copy_from_slice(&delta.to_le_bytes());
        head[4..8].copy_from_slice(&size(key).to_le_bytes());
        head[8..12].copy_from_slice(&size(value).to_le_bytes());
        head[12..16].copy_from_slice(&(self.headers.len() as u32).to_le_bytes());
        head[16..24].copy_from_slice(&message.timestamp().to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.bytes.extend_from_slice(&self.headers);
    }

    fn encode_headers(&mut self, message: &Message<'_>) {
        let headers = &mut self.headers;
        headers.clear();
        let mut count = 0u32;
        message.for_each_header(|name, value| {
            if count == 0 {
                headers.extend_from_slice(&[0; 4]);
            }
            count += 1;
            // Names are texts in Kafka; one that is none is shown as well as it can be.
            let name = String::from_utf8_lossy(name);
            headers.extend_from_slice(&(name.len() as u32).to_le_bytes());
            headers.extend_from_slice(&value.map_or(NULL, |value| value.len() as u32).to_le_bytes());
            headers.extend_from_slice(name.as_bytes());
            headers.extend_from_slice(value.unwrap_or_default());
        });
        if count > 0 {
            headers[..4].copy_from_slice(&count.to_le_bytes());
        }
    }

    /// What was collected, up to where to read on.
    pub(crate) fn finish(&self, next_offset: Offset) -> Result<Batch> {
        Batch::parse(self.base_offset, next_offset, &self.bytes)
    }
}
