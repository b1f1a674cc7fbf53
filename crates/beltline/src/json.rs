//! Values in JSON, byte for byte as the Python face writes them.

use std::io;

use beltline_codec::json::{write_float, write_string};
use beltline_table::{Value, ValueForm};
use serde::de::value::{F64Deserializer, I64Deserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::ser::Serialize;

/// Compact JSON in ASCII.
pub(crate) fn to_bytes(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Ascii))?;
    Ok(bytes)
}

/// Writes what lies beyond ASCII escaped, and floats as Python prints them.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        write_float(&mut text, number);
        writer.write_all(&text)
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.contains('\u{7f}') {
            return writer.write_all(fragment.as_bytes());
        }
        let mut text = Vec::with_capacity(2 * fragment.len());
        write_string(&mut text, fragment);
        writer.write_all(&text[1..text.len() - 1])
    }
}

/// A table value: numbers unboxed, the rest as JSON.
pub(crate) fn to_value(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Value> {
    Ok(Value::decode(ValueForm::Json, &to_bytes(value)?))
}

/// The way back.
pub(crate) fn from_value<V: DeserializeOwned>(value: &Value) -> serde_json::Result<V> {
    match value {
        Value::Int(number) => {
            let number: I64Deserializer<serde_json::Error> = number.into_deserializer();
            V::deserialize(number)
        }
        Value::Float(number) => {
            let number: F64Deserializer<serde_json::Error> = number.into_deserializer();
            V::deserialize(number)
        }
        Value::Encoded(bytes) => serde_json::from_slice(bytes),
    }
}
