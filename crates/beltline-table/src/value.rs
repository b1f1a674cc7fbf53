//! Values: numbers unboxed, everything else as the bytes of the changelog.

use beltline_codec::json;

/// How the changelog writes the values of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueForm {
    /// JSON text: numbers are kept unboxed.
    #[default]
    Json,
    /// Bytes of a codec this crate does not know: they are kept as they are.
    Opaque,
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A JSON integer that fits 64 bits.
    Int(i64),
    /// A JSON number with a fraction or an exponent.
    Float(f64),
    /// Anything else, as it stands in the changelog.
    Encoded(Box<[u8]>),
}

impl Value {
    /// Reads the bytes of a changelog record.
    ///
    /// ```
    /// use beltline_table::{Value, ValueForm};
    /// assert_eq!(Value::decode(ValueForm::Json, b"1"), Value::Int(1));
    /// assert_eq!(Value::decode(ValueForm::Json, b"1.0"), Value::Float(1.0));
    /// assert_eq!(Value::decode(ValueForm::Opaque, b"1"), Value::Encoded(Box::from(*b"1")));
    /// ```
    pub fn decode(form: ValueForm, bytes: &[u8]) -> Value {
        if form == ValueForm::Json {
            if let Some(number) = json::read_int(bytes) {
                return Value::Int(number);
            }
            if let Some(number) = json::read_float(bytes) {
                return Value::Float(number);
            }
        }
        Value::Encoded(Box::from(bytes))
    }

    /// Appends the bytes of a changelog record; numbers are written as Python's `json.dumps` writes them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Int(number) => json::write_int(out, *number),
            Value::Float(number) => json::write_float(out, *number),
            Value::Encoded(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Roughly how many bytes the changelog will need, for limits.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        match self {
            Value::Int(_) | Value::Float(_) => size_of::<u64>(),
            Value::Encoded(bytes) => bytes.len(),
        }
    }
}
