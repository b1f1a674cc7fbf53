//! The few JSON scalars a table keeps unboxed, in the bytes Python's `json` writes.

use std::borrow::Cow;
use std::io::Write;

/// Integers as they stand in JSON; longer ones keep their bytes.
const MAX_INT_DIGITS: usize = 20;

/// Writes the decimal digits.
pub(crate) fn write_int(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0u8; MAX_INT_DIGITS];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a float as Python's `repr` does: shortest digits that read back, exponent below 1e-4 and from 1e16.
pub(crate) fn write_float(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if number.is_infinite() {
        return out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let magnitude = number.abs();
    let start = out.len();
    // Writing to a vector cannot fail.
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let _ = write!(out, "{number:e}");
        pad_exponent(out, start);
    } else {
        let _ = write!(out, "{number:?}");
    }
}

/// Turns Rust's `1e16` and `1e-5` into Python's `1e+16` and `1e-05`.
fn pad_exponent(out: &mut Vec<u8>, start: usize) {
    let Some(mark) = out[start..].iter().position(|byte| *byte == b'e').map(|at| start + at) else { return };
    let negative = out.get(mark + 1) == Some(&b'-');
    let digits = out.split_off(mark + 1 + usize::from(negative));
    out.truncate(mark + 1);
    out.push(if negative { b'-' } else { b'+' });
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(&digits);
}

/// Reads a JSON integer that fits 64 bits; `-0` is 0, as in Python.
pub(crate) fn parse_int(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || digits.len() > MAX_INT_DIGITS || leading_zero {
        return None;
    }
    let mut number: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Counting down reaches i64::MIN, which has no positive twin.
        number = number.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if digits.len() == bytes.len() { number.checked_neg() } else { Some(number) }
}

/// Reads an integer that [`write_int`] would write with the same bytes.
pub(crate) fn parse_canonical_int(bytes: &[u8]) -> Option<i64> {
    if bytes == b"-0" { None } else { parse_int(bytes) }
}

/// Reads a JSON number with a fraction or an exponent, or Python's names for what JSON lacks.
pub(crate) fn parse_float(bytes: &[u8]) -> Option<f64> {
    match bytes {
        b"NaN" => return Some(f64::NAN),
        b"Infinity" => return Some(f64::INFINITY),
        b"-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_json_float(bytes))?;
    text.parse().ok()
}

/// Whether the bytes follow JSON's grammar for numbers and have a fraction or an exponent.
fn is_json_float(bytes: &[u8]) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    let mut is_float = false;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        (rest, is_float) = (&fraction[count..], true);
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        let count = digits(exponent);
        if count == 0 {
            return false;
        }
        (rest, is_float) = (&exponent[count..], true);
    }
    rest.is_empty() && is_float
}

#[inline]
fn is_plain(byte: u8) -> bool {
    (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Writes a JSON string in ASCII, as `json.dumps` does.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        let mut units = [0u16; 2];
        for character in text.chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                ' '..='\u{7f}' => out.push(character as u8),
                _ => character.encode_utf16(&mut units).iter().for_each(|unit| {
                    // Writing to a vector cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }),
            }
        }
    }
    out.push(b'"');
}

/// Writes a JSON string with everything outside ASCII left as UTF-8, as orjson does.
pub(crate) fn write_utf8_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x80 && !is_plain(byte) && byte != 0x7f) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let start = out.len();
        write_string(out, &rest[at..=at]);
        // Only the escape is wanted, not the quotes around it.
        out.remove(start);
        out.pop();
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Reads a JSON string that [`write_string`] would write with the same bytes.
pub(crate) fn parse_canonical_string(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let inner = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.iter().copied().all(is_plain) {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let text = unescape(inner)?;
    let mut again = Vec::with_capacity(bytes.len());
    write_string(&mut again, &text);
    (again == bytes).then_some(Cow::Owned(text))
}

fn unescape(inner: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            units.push(first.is_ascii().then_some(u16::from(*first))?);
            continue;
        }
        let (escape, tail) = rest.split_first()?;
        rest = tail;
        units.push(match escape {
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let (hexadecimal, tail) = rest.split_at_checked(4)?;
                rest = tail;
                u16::from_str_radix(std::str::from_utf8(hexadecimal).ok()?, 16).ok()?
            }
            other => u16::from(*other),
        });
    }
    // A lone surrogate is no text in Rust: such a key keeps its bytes.
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(number: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e5, "100000.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1e-100, "1e-100"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (123456789.125, "123456789.125"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in cases {
            assert_eq!(float(number), text);
            let back = parse_float(text.as_bytes()).unwrap();
            assert!(back.to_bits() == number.to_bits() || (back.is_nan() && number.is_nan()), "{text}");
        }
    }

    #[test]
    fn numbers_outside_the_grammar_are_no_numbers() {
        for text in ["", "-", "01", "+1", "1.", ".5", "1e", "1e+", "inf", "nan", "0x1", "1_0", " 1", "1 ", "--1", "1.5.5"] {
            assert_eq!(parse_int(text.as_bytes()), None, "{text}");
            assert_eq!(parse_float(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_float(b"1"), None);
        assert_eq!(parse_float(b"1E5"), Some(1e5));
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_int(b"9223372036854775808"), None);
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_int(b"-9223372036854775809"), None);
        assert_eq!((parse_int(b"-0"), parse_canonical_int(b"-0")), (Some(0), None));
    }

    #[test]
    fn only_canonical_strings_are_text() {
        for text in ["", "plain", "caf\u{e9}", "\u{1F600}", "a\"b\\c/d", "\n\r\t\u{8}\u{c}\u{1}\u{7f}"] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert!(out.is_ascii());
            assert_eq!(parse_canonical_string(&out).as_deref(), Some(text));
        }
        let foreign: [&[u8]; 8] =
            [b"\"", b"\"a", b"\"\\u0061\"", b"\"\\u00E9\"", "\"\u{e9}\"".as_bytes(), b"\"\\/\"", b"\"\\ud800\"", b"\"a\"b\""];
        for bytes in foreign {
            assert_eq!(parse_canonical_string(bytes), None);
        }
    }

    #[test]
    fn utf8_strings_escape_only_what_json_demands() {
        let mut out = Vec::new();
        write_utf8_string(&mut out, "\u{e9}\"\n\u{7f}x");
        assert_eq!(out, "\"\u{e9}\\\"\\n\u{7f}x\"".as_bytes());
    }
}
