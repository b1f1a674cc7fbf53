//! One JSON value: its end, and what it is.

use std::borrow::Cow;

use crate::json;

/// Objects and arrays may lie this deep in a field that is skipped.
const MAX_DEPTH: usize = 64;

/// Digits that always fit 64 bits.
const MAX_INT_DIGITS: usize = 18;

/// Powers of ten that a float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Integers up to here are floats without rounding.
const MAX_EXACT_MANTISSA: u64 = 1 << 53;

/// A value that is no object and no array.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Text in ASCII, without escapes.
    Ascii(&'a [u8]),
    /// Any other text.
    Text(Cow<'a, str>),
    /// An integer.
    Int(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// The place after blanks.
#[inline]
pub fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// Reads the scalar at `at`; returns it and the place after it. `None` for anything else, and for what is left to a
/// general parser: `-0`, integers beyond 64 bits, floats that are not finite, lone surrogates.
#[inline]
pub fn scalar(bytes: &[u8], at: usize) -> Option<(Scalar<'_>, usize)> {
    match bytes.get(at)? {
        b'"' => string(bytes, at),
        b'-' | b'0'..=b'9' => number(bytes, at),
        b't' => bytes[at..].starts_with(b"true").then_some((Scalar::Bool(true), at + 4)),
        b'f' => bytes[at..].starts_with(b"false").then_some((Scalar::Bool(false), at + 5)),
        b'n' => bytes[at..].starts_with(b"null").then_some((Scalar::Null, at + 4)),
        _ => None,
    }
}

/// Eight bytes at once: a bit for each byte that ends plain text (a quote, a backslash, a control character, anything
/// beyond ASCII). Bits above the first one may be wrong, as borrows run upwards.
#[inline]
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    has_zero(word ^ (ONES * u64::from(b'"'))) | has_zero(word ^ (ONES * u64::from(b'\\'))) | control | (word & HIGHS)
}

/// The first byte from `at` on that is not plain text.
#[inline(always)]
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| chunk.first_chunk::<8>()) {
        let found = special(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

/// Reads the string whose opening quote is at `at`.
#[inline]
pub(crate) fn string(bytes: &[u8], at: usize) -> Option<(Scalar<'_>, usize)> {
    let end = plain_end(bytes, at + 1);
    if bytes.get(end) == Some(&b'"') {
        return Some((Scalar::Ascii(&bytes[at + 1..end]), end + 1));
    }
    string_with_more(bytes, at, end)
}

/// Strings with escapes, or beyond ASCII.
#[cold]
fn string_with_more(bytes: &[u8], start: usize, mut at: usize) -> Option<(Scalar<'_>, usize)> {
    loop {
        match bytes.get(at)? {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    let text = json::read_string(&bytes[start..=at])?;
    Some((Scalar::Text(text), at + 1))
}

/// Powers of ten for as many digits as are read at once.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Reads the digits from `at` on behind those of `mantissa`, which wraps around; returns it and the place after them.
#[inline(always)]
fn digits(bytes: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        // Digits become 0 to 9; a byte that is none gets its highest bit set.
        let word = u64::from_le_bytes(*chunk) ^ 0x3030_3030_3030_3030;
        let others = (((word & !HIGHS) + 0x7676_7676_7676_7676) | word) & HIGHS;
        let count = (others.trailing_zeros() / 8) as usize;
        if count == 0 {
            return (mantissa, at);
        }
        // Digits are moved to the end of the word, behind zeros, and neighbours joined: to pairs, fours, eight.
        let word = word << (64 - 8 * count);
        let pairs = (word.wrapping_mul(10 * 256 + 1) >> 8) & 0x00ff_00ff_00ff_00ff;
        let fours = (pairs.wrapping_mul(100 * 65_536 + 1) >> 16) & 0x0000_ffff_0000_ffff;
        let eight = fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32;
        mantissa = mantissa.wrapping_mul(POWERS[count]).wrapping_add(eight);
        at += count;
        if count < 8 {
            return (mantissa, at);
        }
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (mantissa, at)
}

#[inline(always)]
pub(crate) fn number(bytes: &[u8], start: usize) -> Option<(Scalar<'_>, usize)> {
    let negative = bytes[start] == b'-';
    let first = start + usize::from(negative);
    let (mut mantissa, mut at) = digits(bytes, first, 0);
    let whole = at - first;
    if whole == 0 || (whole > 1 && bytes[first] == b'0') {
        return None;
    }
    if !matches!(bytes.get(at), Some(b'.' | b'e' | b'E')) {
        // JSON parsers do not agree on what -0 is.
        if negative && mantissa == 0 {
            return None;
        }
        if whole > MAX_INT_DIGITS {
            return json::read_int(&bytes[start..at]).map(|number| (Scalar::Int(number), at));
        }
        let number = mantissa as i64;
        return Some((Scalar::Int(if negative { -number } else { number }), at));
    }
    let mut places = 0;
    if bytes[at] == b'.' {
        at += 1;
        let point = at;
        (mantissa, at) = digits(bytes, point, mantissa);
        places = at - point;
        if places == 0 {
            return None;
        }
    }
    let simple = !matches!(bytes.get(at), Some(b'e' | b'E'));
    if simple && whole + places <= MAX_INT_DIGITS && mantissa <= MAX_EXACT_MANTISSA && places < EXACT_POWERS.len() {
        // One division of two exact floats rounds once, hence correctly (Clinger, 1990).
        let number = mantissa as f64 / EXACT_POWERS[places];
        return Some((Scalar::Float(if negative { -number } else { number }), at));
    }
    let end = float_end(bytes, at);
    json::read_float(&bytes[start..end]).map(|number| (Scalar::Float(number), end))
}

/// The place after an exponent; whether it is a right one is seen when the number is read.
fn float_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b'e' | b'E' | b'+' | b'-' | b'0'..=b'9')) {
        at += 1;
    }
    at
}

/// The place after any value, checked in full; `None` when it is no JSON, or too deep.
pub(crate) fn skip(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'{' | b'[' if depth == MAX_DEPTH => None,
        b'[' => skip_items(bytes, at, depth, b']'),
        b'{' => skip_items(bytes, at, depth, b'}'),
        _ => scalar(bytes, at).map(|(_, end)| end).or_else(|| long_integer_end(bytes, at)),
    }
}

/// The place after an integer that is too long to be a value here.
fn long_integer_end(bytes: &[u8], at: usize) -> Option<usize> {
    let first = at + usize::from(bytes.get(at) == Some(&b'-'));
    let digits = bytes.get(first..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = first + digits;
    let is_long = digits > MAX_INT_DIGITS && bytes[first] != b'0';
    (is_long && !matches!(bytes.get(end), Some(b'.' | b'e' | b'E'))).then_some(end)
}

fn skip_items(bytes: &[u8], at: usize, depth: usize, close: u8) -> Option<usize> {
    let mut at = skip_blanks(bytes, at + 1);
    if bytes.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        if close == b'}' {
            if bytes.get(at) != Some(&b'"') {
                return None;
            }
            at = skip_blanks(bytes, string(bytes, at)?.1);
            if bytes.get(at) != Some(&b':') {
                return None;
            }
            at = skip_blanks(bytes, at + 1);
        }
        at = skip_blanks(bytes, skip(bytes, at, depth + 1)?);
        match bytes.get(at)? {
            b',' => at = skip_blanks(bytes, at + 1),
            byte if *byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}
