//! JSON scalars, byte for byte as Python writes them.

use std::borrow::Cow;
use std::ops::Range;

/// Numbers that Python's `repr` writes without an exponent, in the same way as `ryu`.
const PLAIN: Range<f64> = 1e-4..1e16;

/// Writes a string with its quotes, everything beyond ASCII escaped.
///
/// ```
/// let mut out = Vec::new();
/// beltline_codec::json::write_string(&mut out, "né\n");
/// assert_eq!(out, br#""n\u00e9\n""#);
/// ```
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|character| write_character(out, character));
    }
    out.push(b'"');
}

/// Writes a string with its quotes, everything beyond ASCII as it is: the form of orjson and of most other writers.
///
/// ```
/// let mut out = Vec::new();
/// beltline_codec::json::write_string_utf8(&mut out, "né\n");
/// assert_eq!(out, "\"né\\n\"".as_bytes());
/// ```
pub fn write_string_utf8(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        if character < '\u{7f}' {
            write_character(out, character);
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out.push(b'"');
}

fn write_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        ' '..='~' => out.push(character as u8),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                out.extend([12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(*unit >> shift & 15)]));
            }
        }
    }
}

/// Writes an integer.
pub fn write_int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a float as Python's `repr` does: the shortest digits that read back the same, at least one after the
/// point, an exponent of two digits from `1e+16` up and below `0.0001`. What JSON has no word for is written as
/// Python does: `NaN`, `Infinity`, `-Infinity`.
///
/// ```
/// let mut out = Vec::new();
/// beltline_codec::json::write_float(&mut out, 1e16);
/// assert_eq!(out, b"1e+16");
/// ```
pub fn write_float(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    if number.is_infinite() {
        return out.extend_from_slice(b"Infinity");
    }
    if number == 0.0 {
        return out.extend_from_slice(b"0.0");
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(number.abs()).as_bytes();
    if PLAIN.contains(&number.abs()) {
        return out.extend_from_slice(shortest);
    }
    let (digits, point) = digits_and_point(shortest);
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    let exponent = point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    write_int(out, i64::from(exponent.abs()));
}

/// The significant digits of a positive number's shortest form, and how many of them stand before the point.
fn digits_and_point(shortest: &[u8]) -> (Vec<u8>, i32) {
    let (mantissa, exponent) = match shortest.iter().position(|byte| *byte == b'e') {
        Some(at) => (&shortest[..at], signed(&shortest[at + 1..])),
        None => (shortest, 0),
    };
    let whole = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let all: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let leading = all.iter().take_while(|digit| **digit == b'0').count();
    let trailing = all.iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = all[leading..all.len() - trailing].to_vec();
    (digits, whole as i32 - leading as i32 + exponent)
}

fn signed(digits: &[u8]) -> i32 {
    let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    match digits {
        [b'-', rest @ ..] => -number(rest),
        _ => number(digits),
    }
}

/// Reads bytes that are one JSON string and nothing else; `None` when they are not, or are not valid text.
///
/// ```
/// assert_eq!(beltline_codec::json::read_string(br#""n\u00e9""#).as_deref(), Some("né"));
/// ```
pub fn read_string(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let [b'"', inner @ .., b'"'] = bytes else { return None };
    if inner.iter().any(|byte| *byte < b' ') {
        return None;
    }
    let text = std::str::from_utf8(inner).ok()?;
    if !inner.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        plain.push_str(&rest[..at]);
        let escape = rest[at..].strip_prefix('\\')?;
        let (character, length) = read_escape(escape.as_bytes())?;
        plain.push(character);
        rest = &escape[length..];
    }
    plain.push_str(rest);
    Some(Cow::Owned(plain))
}

/// The character behind a backslash, and how many bytes it took.
fn read_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let simple = match bytes.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hexadecimal(bytes.get(1..5)?)?;
            if let Some(character) = char::from_u32(first) {
                return Some((character, 5));
            }
            let second = hexadecimal(bytes.get(5..11)?.strip_prefix(b"\\u")?)?;
            let mut pair = char::decode_utf16([first as u16, second as u16]);
            return Some((pair.next()?.ok()?, 11));
        }
        _ => return None,
    };
    Some((simple, 1))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// Reads bytes that are one integer in the form [`write_int`] gives it; `None` for every other spelling (`-0`,
/// `1.0`, `01`) and beyond 64 bits.
pub fn read_int(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [b'0'] if digits.len() == bytes.len() => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    if digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads bytes that are one JSON number with a point or an exponent; `None` for integers, for everything that is not
/// a JSON number, and for numbers too large for a float.
pub fn read_float(bytes: &[u8]) -> Option<f64> {
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
        return None;
    }
    let mut rest = &unsigned[whole..];
    if rest.is_empty() {
        return None;
    }
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
            return None;
        }
        rest = &[];
    }
    let number: f64 = rest.is_empty().then(|| std::str::from_utf8(bytes).ok()?.parse().ok())??;
    number.is_finite().then_some(number)
}
