//! The scalars against serde_json and against what Python prints.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use beltline_codec::json::{read_float, read_int, read_string, write_float, write_int, write_string};
use proptest::prelude::*;

fn float(number: f64) -> String {
    let mut out = Vec::new();
    write_float(&mut out, number);
    String::from_utf8(out).unwrap()
}

#[test]
fn floats_look_as_python_prints_them() {
    for (number, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (123456.789, "123456.789"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (9007199254740993.0, "9007199254740992.0"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(float(number), text);
    }
}

#[test]
fn only_the_form_we_write_is_an_integer() {
    assert_eq!(read_int(b"0"), Some(0));
    assert_eq!(read_int(b"-9223372036854775808"), Some(i64::MIN));
    for other in ["", "-", "-0", "01", "1.0", "1e3", " 1", "1 ", "9223372036854775808", "+1", "0x1"] {
        assert_eq!(read_int(other.as_bytes()), None, "{other:?}");
    }
}

#[test]
fn a_broken_string_is_none() {
    for other in
        [r#"""#, r#""a"#, r#""a"b""#, r#""\x""#, r#""\u12""#, r#""\ud800""#, r#""\ud800\u0041""#, "\"\n\"", r#""\""#]
    {
        assert_eq!(read_string(other.as_bytes()), None, "{other:?}");
    }
    assert_eq!(read_string(b"\"\xff\""), None);
}

proptest! {
    #[test]
    fn strings_come_back(text in ".*") {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        prop_assert!(out.is_ascii());
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
        prop_assert_eq!(read_string(&out).unwrap(), text);
    }

    #[test]
    fn what_we_read_serde_reads_too(bytes in "[\"\\\\u0-9a-fA-F.eE+ nt-]{0,24}") {
        let text: Option<String> = serde_json::from_str(&bytes).ok().filter(|_| bytes.trim() == bytes);
        prop_assert_eq!(read_string(bytes.as_bytes()).map(|text| text.into_owned()), text);
        if let Some(number) = read_float(bytes.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<f64>(&bytes).unwrap().to_bits(), number.to_bits());
        }
    }

    #[test]
    fn numbers_come_back(float_bits: u64, int: i64) {
        let number = f64::from_bits(float_bits);
        if number.is_finite() {
            let written = float(number);
            prop_assert_eq!(read_float(written.as_bytes()).unwrap().to_bits(), number.to_bits());
        }
        let mut out = Vec::new();
        write_int(&mut out, int);
        prop_assert_eq!(read_int(&out), Some(int));
    }
}
