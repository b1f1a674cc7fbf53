//! Packs a small log of the present format into one file: the fixture that later versions must still read.
//!
//! `cargo run -p beltline-log --example pack_log -- crates/beltline-log/tests/fixtures/format-1.pack`

use std::path::Path;
use std::sync::Arc;

use beltline_env::{Files, RealFiles, SystemClock};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_types::{
    Append, BatchBuilder, CommitRequest, Error, ErrorKind, Result, TopicPartition, TopicSpec, encode_headers,
};

/// A file is `path length, content length, kept length` as u32, the path, and the kept bytes; zeros follow them.
fn pack(root: &Path, below: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    for name in RealFiles.list(&root.join(below))? {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if RealFiles.list(&root.join(&path)).is_ok() {
            pack(root, &path, out)?;
            continue;
        }
        let bytes = RealFiles.read(&root.join(&path))?;
        let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for length in [path.len(), bytes.len(), kept] {
            out.extend_from_slice(&(length as u32).to_le_bytes());
        }
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(&bytes[..kept]);
    }
    Ok(())
}

fn fill(path: &Path) -> Result<()> {
    let options = LogOptions { sync: SyncPolicy::Always, ..LogOptions::default() };
    let log = EmbeddedLog::open(path, options, Arc::new(SystemClock::default()))?;
    log.create_topics(&[TopicSpec::new("orders", 2), TopicSpec::new("changes", 1).compacted()])?;
    let headers = encode_headers([("trace", Some(&b"7"[..])), ("none", None)]);
    for number in 0..3 {
        let (mut orders, mut changes) = (BatchBuilder::default(), BatchBuilder::default());
        orders.push(Some(b"ada"), Some(format!("order {number}").as_bytes()), &headers, 1000 + number);
        orders.push(None, None, &[], 2000 + number);
        changes.push(Some(b"\"ada\""), Some(number.to_string().as_bytes()), &[], 3000 + number);
        let appends = vec![
            Append { target: TopicPartition::new("orders", 1), records: orders },
            Append { target: TopicPartition::new("changes", 0), records: changes },
        ];
        let offsets = vec![(TopicPartition::new("orders", 1), number)];
        log.commit(CommitRequest { group: "shop".into(), appends, offsets, ..CommitRequest::default() })?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Storage, "packing failed").with_source(error);
    let target = std::env::args().nth(1).unwrap_or_else(|| "format-1.pack".to_owned());
    let directory = Path::new("pack-log-data");
    fill(directory)?;
    let mut bytes = Vec::new();
    pack(directory, "", &mut bytes).map_err(failed)?;
    RealFiles.create(Path::new(&target)).and_then(|mut file| file.write_all(&bytes)).map_err(failed)?;
    RealFiles.remove_directory(directory).map_err(failed)?;
    println!("{target}: {} bytes", bytes.len());
    Ok(())
}
