//! Decompression. A few bytes can claim to be gigabytes, so every way out has a limit.

use std::borrow::Cow;
use std::io::Read;

/// What xerial's framing of snappy begins with; the Java client writes it, librdkafka does not.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";

/// Magic, version and compatible version of that framing.
const XERIAL_HEAD: usize = 16;

/// Gives the records of a batch with this codec number; `None` when the bytes make no sense, the codec is unknown, or
/// more than `limit` bytes would come out.
pub(super) fn decompress(codec: u8, bytes: &[u8], limit: usize) -> Option<Cow<'_, [u8]>> {
    match codec {
        0 => Some(Cow::Borrowed(bytes)),
        1 => read_all(flate2::read::MultiGzDecoder::new(bytes), limit).map(Cow::Owned),
        2 => snappy(bytes, limit).map(Cow::Owned),
        3 => read_all(lz4_flex::frame::FrameDecoder::new(bytes), limit).map(Cow::Owned),
        4 => zstd(bytes, limit).map(Cow::Owned),
        _ => None,
    }
}

fn read_all(reader: impl Read, limit: usize) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut output).ok()?;
    (output.len() <= limit).then_some(output)
}

fn zstd(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    // The decoder itself refuses windows above 100 MiB; a producer's are 8 MiB at most.
    let decoder = ruzstd::decoding::StreamingDecoder::new(bytes).ok()?;
    read_all(decoder, limit)
}

fn snappy(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    if !bytes.starts_with(XERIAL_MAGIC) {
        snappy_block(bytes, limit, &mut output)?;
        return Some(output);
    }
    let mut rest = bytes.get(XERIAL_HEAD..)?;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (block, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        snappy_block(block, limit, &mut output)?;
        rest = tail;
    }
    Some(output)
}

fn snappy_block(block: &[u8], limit: usize, output: &mut Vec<u8>) -> Option<()> {
    let start = output.len();
    let claimed = snap::raw::decompress_len(block).ok()?;
    // Snappy makes at most about 21 bytes out of one, so a larger claim is a lie and is given no memory.
    let possible = block.len().saturating_mul(24).saturating_add(64);
    if claimed > possible || start.checked_add(claimed)? > limit {
        return None;
    }
    output.resize(start + claimed, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut output[start..]).ok()?;
    output.truncate(start + written);
    Some(())
}
