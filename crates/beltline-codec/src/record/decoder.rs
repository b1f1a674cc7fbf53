//! The walk over an object.

use super::scan::{self, Scalar};

/// More fields than this are left to the general way: what was seen is kept in one word.
const MAX_FIELDS: usize = 64;

/// Literal bytes longer than this are not worth remembering.
const MAX_LITERAL_BYTES: usize = 256;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// An integer of 64 bits.
    Int,
    /// A number; integers become floats.
    Float,
    /// `true` or `false`.
    Bool,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name in JSON.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether `null` is allowed.
    pub nullable: bool,
    /// Whether a record without it is left to the general way.
    pub required: bool,
}

/// Takes the values of a record.
pub trait RecordSink {
    /// The value of field `index`, of the kind its [`FieldSpec`] says, or `Null` where that is allowed. The same field
    /// may come twice; the last one counts.
    fn field(&mut self, index: usize, value: Scalar<'_>);
}

/// How a decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every value was given to the sink; the bits say which fields there were.
    Done {
        /// Bit `n` is set when field `n` was there.
        seen: u64,
    },
    /// The bytes are no such record, or hold something this decoder leaves to a general one. What the sink was given
    /// does not count.
    General,
}

/// Bytes compared at once.
const WORD_BYTES: usize = 16;

/// What stood before a value of the last record, and which field that was.
#[derive(Clone, Debug, Default)]
struct Step {
    literal: Vec<u8>,
    /// The first bytes of the literal, and which of them there are.
    word: u128,
    mask: u128,
    /// `None`: a field that is skipped.
    field: Option<u32>,
}

impl Step {
    fn new(literal: &[u8], field: Option<u32>) -> Step {
        let (mut word, mut mask) = ([0u8; WORD_BYTES], [0u8; WORD_BYTES]);
        for ((byte, flag), given) in word.iter_mut().zip(&mut mask).zip(literal) {
            (*byte, *flag) = (*given, u8::MAX);
        }
        let (word, mask) = (u128::from_le_bytes(word), u128::from_le_bytes(mask));
        Step { literal: literal.to_vec(), word, mask, field }
    }

    /// Whether the bytes begin with the literal.
    #[inline]
    fn is_next(&self, bytes: &[u8]) -> bool {
        let len = self.literal.len();
        if let Some(chunk) = bytes.first_chunk::<WORD_BYTES>() {
            let same = (u128::from_le_bytes(*chunk) ^ self.word) & self.mask == 0;
            return same && len > 0 && (len <= WORD_BYTES || bytes.starts_with(&self.literal));
        }
        if len <= 8
            && let Some(chunk) = bytes.first_chunk::<8>()
        {
            return (u64::from_le_bytes(*chunk) ^ self.word as u64) & self.mask as u64 == 0 && len > 0;
        }
        len > 0 && bytes.starts_with(&self.literal)
    }
}

/// Decodes flat records of one shape.
///
/// ```
/// use beltline_codec::record::{FieldKind, FieldSpec, Outcome, RecordDecoder, RecordSink, Scalar};
///
/// struct Print(Vec<String>);
///
/// impl RecordSink for Print {
///     fn field(&mut self, index: usize, value: Scalar<'_>) {
///         self.0.push(format!("{index}: {value:?}"));
///     }
/// }
///
/// let amount = FieldSpec { name: "amount".into(), kind: FieldKind::Float, nullable: false, required: true };
/// let mut decoder = RecordDecoder::new(vec![amount]);
/// let mut print = Print(Vec::new());
/// assert_eq!(decoder.decode(br#"{"amount": 2, "note": [1]}"#, &mut print), Outcome::Done { seen: 1 });
/// assert_eq!(print.0, ["0: Float(2.0)"]);
/// assert_eq!(decoder.decode(br#"{"amount": "two"}"#, &mut print), Outcome::General);
/// ```
#[derive(Clone, Debug)]
pub struct RecordDecoder {
    fields: Vec<FieldSpec>,
    required: u64,
    steps: Vec<Step>,
    /// What followed the last value of the last record, and after how many values.
    tail: (usize, Vec<u8>),
}

impl RecordDecoder {
    /// A decoder that has seen nothing yet.
    pub fn new(fields: Vec<FieldSpec>) -> RecordDecoder {
        let required = fields.iter().take(MAX_FIELDS).enumerate().filter(|(_, field)| field.required);
        let required = required.fold(0, |bits, (index, _)| bits | 1 << index);
        RecordDecoder { fields, required, steps: Vec::new(), tail: (usize::MAX, Vec::new()) }
    }

    /// Decodes one record.
    #[inline]
    pub fn decode(&mut self, bytes: &[u8], sink: &mut impl RecordSink) -> Outcome {
        if self.fields.len() > MAX_FIELDS {
            return Outcome::General;
        }
        self.walk(bytes, sink).unwrap_or(Outcome::General)
    }

    #[inline]
    fn walk(&mut self, bytes: &[u8], sink: &mut impl RecordSink) -> Option<Outcome> {
        let (mut at, mut seen, mut position) = (0usize, 0u64, 0usize);
        loop {
            let rest = &bytes[at..];
            if position == self.tail.0 && self.is_tail(rest) {
                return self.finished(seen);
            }
            let field = match self.steps.get(position) {
                Some(step) if step.is_next(rest) => {
                    at += step.literal.len();
                    step.field
                }
                _ => match self.step(bytes, at, position)? {
                    Some((value_at, field)) => {
                        at = value_at;
                        field
                    }
                    None => {
                        self.tail = (position, rest.to_vec());
                        return self.finished(seen);
                    }
                },
            };
            position += 1;
            match field {
                Some(index) => {
                    at = self.value(bytes, at, index as usize, sink)?;
                    seen |= 1 << index;
                }
                None => at = scan::skip(bytes, at, 0)?,
            }
        }
    }

    /// Gives the value at `at` to the sink; returns the place after it.
    #[inline]
    fn value(&self, bytes: &[u8], at: usize, index: usize, sink: &mut impl RecordSink) -> Option<usize> {
        // What the field is most likely to hold first, and without the detour over everything it could be.
        match (self.fields.get(index)?.kind, bytes.get(at)?) {
            (FieldKind::Text, b'"') => {
                let end = scan::plain_end(bytes, at + 1);
                if bytes.get(end) == Some(&b'"') {
                    sink.field(index, Scalar::Ascii(&bytes[at + 1..end]));
                    return Some(end + 1);
                }
            }
            (FieldKind::Int, b'-' | b'0'..=b'9') => {
                if let (Scalar::Int(number), end) = scan::number(bytes, at)? {
                    sink.field(index, Scalar::Int(number));
                    return Some(end);
                }
            }
            (FieldKind::Float, b'-' | b'0'..=b'9') => {
                let (number, end) = match scan::number(bytes, at)? {
                    (Scalar::Float(number), end) => (number, end),
                    (Scalar::Int(number), end) => (number as f64, end),
                    _ => return None,
                };
                sink.field(index, Scalar::Float(number));
                return Some(end);
            }
            _ => {}
        }
        self.other_value(bytes, at, index, sink)
    }

    /// Everything else a field may hold.
    #[cold]
    fn other_value(&self, bytes: &[u8], at: usize, index: usize, sink: &mut impl RecordSink) -> Option<usize> {
        let (value, end) = scan::scalar(bytes, at)?;
        self.give(index, value, sink)?;
        Some(end)
    }

    fn give(&self, index: usize, value: Scalar<'_>, sink: &mut impl RecordSink) -> Option<()> {
        let field = self.fields.get(index)?;
        let fits = match (&value, field.kind) {
            (Scalar::Ascii(_) | Scalar::Text(_), FieldKind::Text)
            | (Scalar::Int(_), FieldKind::Int)
            | (Scalar::Float(_), FieldKind::Float)
            | (Scalar::Bool(_), FieldKind::Bool) => true,
            (Scalar::Int(number), FieldKind::Float) => {
                sink.field(index, Scalar::Float(*number as f64));
                return Some(());
            }
            (Scalar::Null, _) => field.nullable,
            _ => false,
        };
        fits.then(|| sink.field(index, value))
    }

    #[inline]
    fn is_tail(&self, rest: &[u8]) -> bool {
        match (rest, &self.tail.1[..]) {
            ([byte], [known]) => byte == known,
            (rest, known) => rest.len() == known.len() && rest == known,
        }
    }

    fn finished(&self, seen: u64) -> Option<Outcome> {
        (seen & self.required == self.required).then_some(Outcome::Done { seen })
    }

    /// Parses what stands before a value and remembers it. `Some(None)` is the end of the object, and of the bytes.
    #[cold]
    fn step(&mut self, bytes: &[u8], from: usize, position: usize) -> Option<Option<(usize, Option<u32>)>> {
        let mut at = scan::skip_blanks(bytes, from);
        let wanted = if position == 0 { b'{' } else { b',' };
        match bytes.get(at)? {
            b'}' if position > 0 => return self.end(bytes, at),
            byte if *byte == wanted => at = scan::skip_blanks(bytes, at + 1),
            _ => return None,
        }
        if position == 0 && bytes.get(at) == Some(&b'}') {
            return self.end(bytes, at);
        }
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let (name, end) = scan::string(bytes, at)?;
        at = scan::skip_blanks(bytes, end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        at = scan::skip_blanks(bytes, at + 1);
        let name = match &name {
            Scalar::Ascii(name) => name,
            Scalar::Text(name) => name.as_bytes(),
            _ => return None,
        };
        let field = self.fields.iter().position(|field| field.name.as_bytes() == name).map(|index| index as u32);
        self.remember(position, &bytes[from..at], field);
        Some(Some((at, field)))
    }

    /// The closing brace is at `at`: only blanks may follow.
    fn end(&self, bytes: &[u8], at: usize) -> Option<Option<(usize, Option<u32>)>> {
        (scan::skip_blanks(bytes, at + 1) == bytes.len()).then_some(None)
    }

    /// A literal holds for its position alone: the first one begins with a brace, the others with a comma, so what was
    /// right there once is right there again.
    fn remember(&mut self, position: usize, literal: &[u8], field: Option<u32>) {
        if literal.len() > MAX_LITERAL_BYTES || position > 2 * MAX_FIELDS {
            return;
        }
        if self.steps.len() <= position {
            self.steps.resize(position + 1, Step::default());
        }
        self.steps[position] = Step::new(literal, field);
    }
}
