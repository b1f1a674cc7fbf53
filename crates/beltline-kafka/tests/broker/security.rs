//! Passwords, tokens and rights.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use beltline_kafka::{AccessToken, KafkaLog, KafkaOptions, TokenSource};
use beltline_log::Log;
use beltline_types::{ErrorKind, TopicSpec};

use crate::broker::Broker;
use crate::support::*;

fn with(broker: &Broker, extra: &[(&str, &str)]) -> KafkaOptions {
    let mut options = options("secure");
    options.bootstrap_servers = broker.sasl_servers();
    options.extra.push(("security.protocol".into(), "SASL_PLAINTEXT".into()));
    options.extra.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    options
}

/// Tokens as Kafka takes them for development: without a signature.
#[derive(Default)]
struct Tokens(AtomicU32);

impl TokenSource for Tokens {
    fn token(&self) -> Result<AccessToken, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"sub":"admin","iat":{now},"exp":{}}}"#, now + 10);
        let value = format!("{}.{}.", base64(br#"{"alg":"none"}"#), base64(claims.as_bytes()));
        let extensions = vec![("cluster".to_owned(), "blue".to_owned()), ("pool".to_owned(), "9".to_owned())];
        Ok(AccessToken { value, expires_at_ms: (now as i64 + 10) * 1000, principal: "admin".into(), extensions })
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(LETTERS[(word >> (18 - 6 * place)) as usize & 63] as char);
        }
    }
    text
}

#[test]
fn passwords_tokens_and_rights() {
    let broker = Broker::start();
    let plain = |password: &str| {
        [("sasl.mechanisms", "PLAIN"), ("sasl.username", "poor"), ("sasl.password", password)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let login = |password: &str| {
        let mut options = with(&broker, &[]);
        options.extra.extend(plain(password));
        KafkaLog::connect(options)
    };

    let begun = Instant::now();
    let error = login("wrong-secret").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "no use in waiting");
    assert!(!error.to_string().contains("wrong-secret"), "{error}");

    let poor = login("poor-secret").unwrap();
    let name = unique("forbidden");
    let error = poor.create_topics(&[TopicSpec::new(&*name, 3).compacted()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    let command = format!("--create --topic {name} --partitions 3 --config cleanup.policy=compact");
    assert!(error.to_string().contains(&command), "{error}");

    let tokens = Arc::new(Tokens::default());
    let mut options = with(&broker, &[("sasl.mechanisms", "OAUTHBEARER")]);
    options.tokens = Some(tokens.clone());
    let rich = connect(options);
    rich.create_topics(&[TopicSpec::new(&*name, 3).compacted()]).unwrap();
    let used = tokens.0.load(Ordering::Relaxed);
    eventually("tokens are made anew before they end", || tokens.0.load(Ordering::Relaxed) > used);
    assert_eq!(rich.topic(&name).unwrap().unwrap().partitions, 3);

    // A right that is missing is named where it is missed.
    let error = poor.join("secure", &[name.into()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}
