//! A segment file: a header, then frames, in the order in which they were written.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 4 | format, [`FORMAT`] |
//! | 4 | crc32 of the number |
//! | 8 | the segment's number, also its name |
//!
//! The first frame of every segment is a checkpoint of all facts, so that older segments can go.

use std::io;
use std::path::{Path, PathBuf};

use beltline_env::ReadFile;
use beltline_types::{Error, ErrorKind, Result};

use crate::frame::{self, FrameHeader};
use crate::index::SegmentNumber;

/// Version of everything the log writes.
const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"beltlog\n";

/// Bytes before the first frame.
pub(crate) const HEADER_BYTES: u64 = 24;

const SUFFIX: &str = ".log";

/// Digits in a name, so that names sort as their numbers do.
const DIGITS: usize = 20;

/// Bytes read at once where frames are large: a header and a table of some hundred changes.
const SMALL_WINDOW: usize = 4 << 10;

/// Bytes read at once where frames are small, many frames at a time.
const LARGE_WINDOW: usize = 256 << 10;

/// Where a segment is kept.
pub(crate) fn path(directory: &Path, number: SegmentNumber) -> PathBuf {
    directory.join(format!("{number:0DIGITS$}{SUFFIX}"))
}

/// The number of the segment with this file name.
pub(crate) fn number(name: &str) -> Option<SegmentNumber> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS).then(|| digits.parse().ok()).flatten()
}

/// What a segment begins with.
pub(crate) fn header(number: SegmentNumber) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..].copy_from_slice(&u64::from(number).to_le_bytes());
    let checksum = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads the header of a segment; says whether it is whole.
///
/// # Errors
/// `DataDirectory` for a newer format, `Storage` when the disk refuses.
pub(crate) fn is_whole(file: &dyn ReadFile, path: &Path, expected: SegmentNumber) -> Result<bool> {
    let mut found = [0; HEADER_BYTES as usize];
    match file.read_exact_at(&mut found, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        result => result.map_err(|error| unreadable(path, error))?,
    }
    let format = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    let mut with_our_format = found;
    with_our_format[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let is_ours = with_our_format == header(expected);
    if is_ours && format != FORMAT {
        let message = format!(
            "the log in {} has format {format}, this version of beltline reads format {FORMAT}; use the version that \
             wrote it",
            path.display()
        );
        return Err(Error::new(ErrorKind::DataDirectory, message));
    }
    Ok(is_ours)
}

/// The error for a file that cannot be read.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    let message = format!("the log's file {} cannot be read; look after the disk", path.display());
    Error::new(ErrorKind::Storage, message).with_source(error)
}

/// Walks over the frames of a segment without reading their blocks.
pub(crate) struct Walk<'a> {
    file: &'a dyn ReadFile,
    path: &'a Path,
    length: u64,
    /// Where the next frame begins.
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    window_bytes: usize,
}

/// A frame as the walk finds it.
pub(crate) struct Found<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) changes: Vec<frame::Read<'a>>,
    /// Where it begins.
    pub(crate) position: u64,
    /// Where its blocks begin.
    pub(crate) payload: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(file: &'a dyn ReadFile, path: &'a Path, length: u64) -> Walk<'a> {
        let (position, window_bytes) = (HEADER_BYTES, LARGE_WINDOW);
        Walk { file, path, length, position, window: Vec::new(), window_start: 0, window_bytes }
    }

    /// Where the next frame begins, or would.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the walk has come to the end of the file.
    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.length
    }

    /// The next frame; `None` where there is no whole one, be it the end or damage.
    ///
    /// # Errors
    /// `Storage` when the disk refuses.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>> {
        let position = self.position;
        let Some(head) = self.bytes(position, frame::HEADER_BYTES)? else { return Ok(None) };
        let Some(header) = FrameHeader::parse(head) else { return Ok(None) };
        let end = position + header.frame_bytes();
        if end > self.length {
            return Ok(None);
        }
        let payload = position + frame::HEADER_BYTES as u64 + u64::from(header.table_bytes);
        if self.bytes(position, frame::HEADER_BYTES + header.table_bytes as usize)?.is_none() {
            return Ok(None);
        }
        // Where frames are large, most of a large window would be records.
        self.window_bytes = if header.frame_bytes() > LARGE_WINDOW as u64 / 4 { SMALL_WINDOW } else { LARGE_WINDOW };
        let start = (position - self.window_start) as usize;
        let whole = &self.window[start..start + (payload - position) as usize];
        let Some(changes) = frame::decode(&header, whole) else { return Ok(None) };
        self.position = end;
        Ok(Some(Found { header, changes, position, payload }))
    }

    /// Bytes of the file, from the window where they are in it.
    fn bytes(&mut self, position: u64, count: usize) -> Result<Option<&[u8]>> {
        let end = position + count as u64;
        if end > self.length {
            return Ok(None);
        }
        if position < self.window_start || end > self.window_start + self.window.len() as u64 {
            let wanted = (count.max(self.window_bytes) as u64).min(self.length - position) as usize;
            self.window.resize(wanted, 0);
            self.window_start = position;
            if let Err(error) = self.file.read_exact_at(&mut self.window, position) {
                self.window.clear();
                return Err(unreadable(self.path, error));
            }
        }
        let start = (position - self.window_start) as usize;
        Ok(Some(&self.window[start..start + count]))
    }
}
