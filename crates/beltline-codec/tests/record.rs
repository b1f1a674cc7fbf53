//! The decoder against serde_json: it accepts nothing else, and reads the same values.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use beltline_codec::record::{FieldKind, FieldSpec, Outcome, RecordDecoder, RecordSink, Scalar};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const KINDS: [(&str, FieldKind, bool, bool); 5] = [
    ("text", FieldKind::Text, false, true),
    ("int", FieldKind::Int, false, true),
    ("float", FieldKind::Float, false, true),
    ("bool", FieldKind::Bool, true, false),
    ("note", FieldKind::Text, true, false),
];

fn decoder() -> RecordDecoder {
    let spec = |(name, kind, nullable, required): &(&str, FieldKind, bool, bool)| FieldSpec {
        name: (*name).to_owned(),
        kind: *kind,
        nullable: *nullable,
        required: *required,
    };
    RecordDecoder::new(KINDS.iter().map(spec).collect())
}

#[derive(Default)]
struct Collect(Map<String, Value>);

impl RecordSink for Collect {
    fn field(&mut self, index: usize, value: Scalar<'_>) {
        let value = match value {
            Scalar::Ascii(text) => json!(std::str::from_utf8(text).unwrap()),
            Scalar::Text(text) => json!(text),
            Scalar::Int(number) => json!(number),
            Scalar::Float(number) => json!(number),
            Scalar::Bool(flag) => json!(flag),
            Scalar::Null => Value::Null,
        };
        self.0.insert(KINDS[index].0.to_owned(), value);
    }
}

/// What the decoder must say about these bytes, by way of serde_json.
fn expected(bytes: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(all)) = serde_json::from_slice::<Value>(bytes) else { return None };
    let mut wanted = Map::new();
    for (name, kind, nullable, required) in KINDS {
        let value = match all.get(name) {
            None if required => return None,
            None => continue,
            Some(value) => value,
        };
        let value = match (value, kind) {
            (Value::Null, _) if nullable => value.clone(),
            (Value::String(_), FieldKind::Text) | (Value::Bool(_), FieldKind::Bool) => value.clone(),
            (Value::Number(number), FieldKind::Int) => json!(number.as_i64()?),
            (Value::Number(number), FieldKind::Float) => json!(number.as_f64()?),
            _ => return None,
        };
        wanted.insert(name.to_owned(), value);
    }
    Some(wanted)
}

/// Accepted bytes must be right; `must_accept` also asks that right bytes are accepted.
fn check(decoder: &mut RecordDecoder, bytes: &[u8], must_accept: bool) -> Result<(), TestCaseError> {
    let mut sink = Collect::default();
    let text = String::from_utf8_lossy(bytes).into_owned();
    match (decoder.decode(bytes, &mut sink), expected(bytes)) {
        (Outcome::Done { .. }, wanted) => prop_assert_eq!(Some(sink.0), wanted, "{}", text),
        (Outcome::General, Some(_)) => prop_assert!(!must_accept, "not accepted: {}", text),
        (Outcome::General, None) => {}
    }
    Ok(())
}

#[test]
fn hostile_records_are_left_to_the_general_way() {
    let good = r#"{"text":"a","int":1,"float":1.5}"#;
    let deep = format!(r#"{{"text":"a","int":1,"float":1.5,"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let hostile = [
        "",
        " ",
        "{",
        "}",
        "{}",
        "[]",
        "null",
        "1",
        "\"text\"",
        "{\"",
        "{\"text",
        "{\"text\"",
        "{\"text\":",
        "{\"text\":}",
        r#"{"text":"a","int":1,"float":1.5"#,
        r#"{"text":"a","int":1,"float":1.5}}"#,
        r#"{"text":"a","int":1,"float":1.5}x"#,
        r#"{"text":"a","int":1,"float":1.5,}"#,
        r#"{,"text":"a","int":1,"float":1.5}"#,
        r#"{"text":"a""int":1,"float":1.5}"#,
        r#"{"text":"a","int":1{"float":1.5}"#,
        r#",{"text":"a","int":1,"float":1.5}"#,
        r#"{"text":"a","int":01,"float":1.5}"#,
        r#"{"text":"a","int":-0,"float":1.5}"#,
        r#"{"text":"a","int":1,"float":1.}"#,
        r#"{"text":"a","int":1,"float":.5}"#,
        r#"{"text":"a","int":1,"float":1e}"#,
        r#"{"text":"a","int":1,"float":1e999}"#,
        r#"{"text":"a","int":+1,"float":1.5}"#,
        r#"{"text":"a","int":0x1,"float":1.5}"#,
        r#"{"text":"a","int":9223372036854775808,"float":1.5}"#,
        r#"{"text":"a","int":1.0,"float":1.5}"#,
        r#"{"text":"a","int":"1","float":1.5}"#,
        r#"{"text":1,"int":1,"float":1.5}"#,
        r#"{"text":null,"int":1,"float":1.5}"#,
        r#"{"text":"a","int":1}"#,
        r#"{"text":"a","int":1,"float":NaN}"#,
        r#"{"text":"a","int":1,"float":Infinity}"#,
        r#"{"text":"a","int":true,"float":1.5}"#,
        r#"{"text":"\ud800","int":1,"float":1.5}"#,
        r#"{"text":"\x","int":1,"float":1.5}"#,
        "{\"text\":\"a\nb\",\"int\":1,\"float\":1.5}",
        r#"{'text':"a","int":1,"float":1.5}"#,
        r#"{"text":"a","int":1,"float":1.5,"x":[1,]}"#,
        r#"{"text":"a","int":1,"float":1.5,"x":{"a"}}"#,
        r#"{"text":"a","int":1,"float":1.5,"x":tru}"#,
        &deep,
    ];
    let mut decoder = decoder();
    for text in hostile {
        let mut sink = Collect::default();
        // Both before and after it has learned what a good one looks like.
        for _ in 0..2 {
            assert_eq!(decoder.decode(text.as_bytes(), &mut sink), Outcome::General, "{:.80}", text);
            assert_eq!(decoder.decode(good.as_bytes(), &mut sink), Outcome::Done { seen: 7 });
        }
    }
    for end in 0..good.len() {
        assert_eq!(decoder.decode(&good.as_bytes()[..end], &mut Collect::default()), Outcome::General);
    }
    assert_eq!(
        decoder.decode(b"{\"text\":\"\xff\",\"int\":1,\"float\":1.5}", &mut Collect::default()),
        Outcome::General
    );
}

#[test]
fn the_last_of_two_values_counts() {
    let mut sink = Collect::default();
    let bytes = br#"{"int":1,"text":"a","float":1.5,"int":2}"#;
    assert_eq!(decoder().decode(bytes, &mut sink), Outcome::Done { seen: 7 });
    assert_eq!(sink.0["int"], json!(2));
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-1000i64..1000).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no word for it", |number| number.is_finite()).prop_map(Value::from),
        (-100_000i64..100_000, 1u32..6).prop_map(|(number, places)| json!(number as f64 / 10f64.powi(places as i32))),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        4 => number(),
        1 => ".{0,12}".prop_map(Value::from),
        1 => "[a-z]{0,20}".prop_map(Value::from),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z\"\\\\\u{e9}]{0,4}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn written(pairs: &[(String, Value)], spaced: bool) -> String {
    let gap = if spaced { " " } else { "" };
    let inside: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}{gap}:{gap}{value}", serde_json::to_string(name).unwrap()))
        .collect();
    format!("{gap}{{{gap}{}{gap}}}{gap}", inside.join(&format!("{gap},{gap}")))
}

fn object() -> impl Strategy<Value = String> {
    let name = prop_oneof![5 => prop::sample::select(KINDS.map(|kind| kind.0.to_owned()).to_vec()), 1 => ".{0,5}"];
    (prop::collection::vec((name, any_value()), 0..8), any::<bool>())
        .prop_map(|(pairs, spaced)| written(&pairs, spaced))
}

fn good_object() -> impl Strategy<Value = String> {
    let fields = ("\\PC{0,10}", -(10i64.pow(18) - 1)..10i64.pow(18), number());
    (fields, any::<bool>(), any::<bool>(), prop::option::of(any_value())).prop_map(
        |(fields, spaced, swapped, extra)| {
            let (text, int, float) = fields;
            let float =
                if float.as_i64().is_some_and(|number| number.abs() >= 10i64.pow(18)) { json!(0.5) } else { float };
            let mut pairs = vec![("text".to_owned(), json!(text)), ("int".into(), json!(int)), ("float".into(), float)];
            if swapped {
                pairs.swap(0, 2);
            }
            pairs.extend(extra.map(|value| ("extra".to_owned(), value)));
            written(&pairs, spaced)
        },
    )
}

proptest! {
    #[test]
    fn good_records_are_read_as_serde_json_reads_them(texts in prop::collection::vec(good_object(), 1..8)) {
        let mut decoder = decoder();
        for text in texts {
            check(&mut decoder, text.as_bytes(), true)?;
        }
    }

    #[test]
    fn whatever_is_accepted_is_right(texts in prop::collection::vec(object(), 1..8)) {
        let mut decoder = decoder();
        for text in texts {
            check(&mut decoder, text.as_bytes(), false)?;
        }
    }

    #[test]
    fn damaged_records_are_never_misread(
        text in good_object(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (mut decoder, mut bytes) = (decoder(), text.into_bytes());
        check(&mut decoder, &bytes, true)?;
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
            check(&mut decoder, &bytes, false)?;
        }
    }
}
