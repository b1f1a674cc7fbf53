//! Records on their way from a fetch buffer into a batch.

use beltline_types::{BATCH_PADDING, Batch, Offset, Result};

use crate::raw::queue::Message;

/// Null, told apart from empty.
const NULL: u32 = u32::MAX;

/// How far the last record of a batch may reach beyond the bytes wanted, without more memory being needed.
const LAST_RECORD_BYTES: usize = 4096;

/// Collects records in the layout that [`Batch::parse`] reads, gaps between offsets included.
#[derive(Default)]
pub(crate) struct BatchWriter {
    bytes: Vec<u8>,
    base_offset: Offset,
    headers: Vec<u8>,
}

impl BatchWriter {
    /// Begins anew, to collect about so many bytes.
    pub(crate) fn begin(&mut self, max_bytes: usize) {
        if self.bytes.capacity() < max_bytes {
            self.bytes = Batch::memory(max_bytes + LAST_RECORD_BYTES + BATCH_PADDING);
        }
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
        if !message.may_have_headers() {
            return;
        }
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

    /// What was collected, up to where to read on. Memory that is mostly full goes along; a little in a large piece is
    /// copied, or it would keep the piece.
    pub(crate) fn finish(&mut self, next_offset: Offset) -> Result<Batch> {
        let capacity = self.bytes.capacity();
        if self.bytes.len() < capacity / 2 {
            return Batch::parse(self.base_offset, next_offset, &self.bytes);
        }
        let mut bytes = std::mem::replace(&mut self.bytes, Batch::memory(capacity));
        bytes.resize(bytes.len() + BATCH_PADDING, 0);
        Batch::from_padded(self.base_offset, next_offset, bytes)
    }
}
