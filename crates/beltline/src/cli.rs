//! The app's command line.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beltline_env::{Clock, SystemClock};
use beltline_log::Log;
use beltline_table::Key;
use beltline_types::{
    Append, BatchBuilder, CommitRequest, Error, ErrorKind, RecordView, Result, TopicPartition, TopicSpec, partition_of,
};
use clap::{Parser, Subcommand};

use crate::App;
use crate::runner::Runner;

/// Events in flight may finish for this long after the first Ctrl-C.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// Bytes one read of a topic asks for.
const READ_BYTES: usize = 1 << 20;

#[derive(Parser)]
#[command(about = "Functions on a never-ending conveyor belt of events.", version)]
struct Arguments {
    /// Where the belt is kept; without it, `<app>-data` in the current directory.
    #[arg(long, global = true)]
    datadir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the app until Ctrl-C.
    Worker,
    /// Sends one value in JSON to a topic.
    Send {
        /// Name of the topic; it is created when it does not exist.
        topic: String,
        /// The value; `-` sends every line of the standard input.
        value: String,
        /// The key, as text; without it partitions take turns.
        #[arg(short, long)]
        key: Option<String>,
    },
    /// Prints a table, one entry a line: key, tab, value.
    Table {
        /// Name of the table.
        name: String,
    },
    /// Lists the topics of the belt with partitions and records.
    Topics,
    /// Forgets the app's positions: the next worker reads every topic from its beginning. Tables stay.
    Reset,
}

pub(crate) fn main(mut app: App) -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(directory) = arguments.datadir {
        app.directory = directory;
    }
    match arguments.command {
        Command::Worker => work(app),
        Command::Send { topic, value, key } => send(&app, &topic, &value, key.as_deref()),
        Command::Table { name } => table(app, &name),
        Command::Topics => topics(&app),
        Command::Reset => reset(&app),
    }
}

fn work(app: App) -> Result<()> {
    let signals = Arc::new(AtomicUsize::new(0));
    let seen = signals.clone();
    let on_signal = move || {
        // Who asks twice does not want to wait.
        if seen.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(on_signal).map_err(|error| {
        Error::new(ErrorKind::Usage, "the process has another handler for Ctrl-C").with_source(error)
    })?;
    let local = app.open()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    eprintln!("beltline {}: {} runs on {}", env!("CARGO_PKG_VERSION"), app.name, app.directory.display());
    let mut runner = Runner::start(app, local, clock)?;
    while signals.load(Ordering::SeqCst) == 0 {
        let happened = runner.turn()?;
        tell(&mut runner);
        if !happened {
            runner.wait(STOP_DEADLINE);
        }
    }
    eprintln!("stopping: events in flight are finished and committed");
    runner.stop(STOP_DEADLINE)?;
    tell(&mut runner);
    Ok(())
}

fn tell(runner: &mut Runner) {
    runner.take_notices().iter().for_each(|notice| eprintln!("{notice}"));
}

fn send(app: &App, topic: &str, value: &str, key: Option<&str>) -> Result<()> {
    let lines: Vec<String> = match value {
        "-" => std::io::stdin()
            .lines()
            .collect::<std::io::Result<_>>()
            .map_err(|error| Error::new(ErrorKind::Usage, "the standard input is no text").with_source(error))?,
        value => vec![value.to_owned()],
    };
    let local = app.visit()?;
    let partitions = app.topics.iter().find(|known| &*known.name == topic).map(|known| known.partitions);
    if local.log.topic(topic)?.is_none() {
        let partitions = partitions.unwrap_or_else(|| app.table_partitions());
        local.log.create_topics(&[TopicSpec::new(topic, partitions)])?;
    }
    let partitions = local.log.topic(topic)?.map_or(1, |topic| topic.partitions);
    let appends = appends(topic, partitions, &lines, key)?;
    local.log.commit(CommitRequest { appends, ..CommitRequest::default() })?;
    local.log.sync()?;
    eprintln!("sent {} to {topic}", lines.len());
    Ok(())
}

/// The lines as records, by partition.
fn appends(topic: &str, partitions: u32, lines: &[String], key: Option<&str>) -> Result<Vec<Append>> {
    let mut appends: Vec<Append> = (0..partitions)
        .map(|partition| Append { target: TopicPartition::new(topic, partition), records: BatchBuilder::default() })
        .collect();
    for (index, line) in lines.iter().enumerate() {
        serde_json::from_str::<serde::de::IgnoredAny>(line).map_err(|error| {
            let message = format!("line {}: {line:?} is no JSON; put text in quotes: '\"text\"'", index + 1);
            Error::new(ErrorKind::Usage, message).with_source(error)
        })?;
        let partition = key.map_or(index as u32 % partitions, |key| partition_of(key.as_bytes(), partitions));
        appends[partition as usize].records.push(key.map(str::as_bytes), Some(line.as_bytes()), &[], -1);
    }
    appends.retain(|append| !append.records.is_empty());
    Ok(appends)
}

fn table(mut app: App, name: &str) -> Result<()> {
    let known = app.tables.iter().position(|table| &**table == name).ok_or_else(|| {
        let message = format!("there is no table {name}; the app has: {}", app.tables.join(", "));
        Error::new(ErrorKind::NotFound, message)
    })?;
    let local = app.visit()?;
    // Nothing may run: a table is read, not worked on.
    app.handlers.clear();
    app.timers.clear();
    app.endpoint = None;
    let mut runner = Runner::start(app, local, Arc::new(SystemClock::default()))?;
    while !runner.worker.core.shards_ready() {
        runner.turn()?;
        runner.wait(STOP_DEADLINE);
    }
    let mut out = std::io::stdout().lock();
    let id = runner.shared.tables[known];
    let partitions = runner.worker.core.table_spec(id).map_or(0, |spec| spec.partitions);
    for shard in (0..partitions).filter_map(|partition| runner.worker.core.shard(id, partition)) {
        for (key, value) in shard.iter() {
            let mut line = Vec::new();
            match key {
                Key::Text(text) => line.extend_from_slice(text.as_bytes()),
                key => key.encode(&mut line),
            }
            line.push(b'\t');
            value.encode(&mut line);
            line.push(b'\n');
            // A reader that went away (`| head`) wants no more.
            if out.write_all(&line).is_err() {
                return Ok(());
            }
        }
    }
    drop(out);
    runner.stop(STOP_DEADLINE)
}

fn topics(app: &App) -> Result<()> {
    let local = app.visit()?;
    for topic in local.log.topics()? {
        let mut records = 0;
        for partition in 0..topic.partitions {
            let range = local.log.offsets(&TopicPartition::new(topic.name.clone(), partition))?;
            records += range.end - range.start;
        }
        println!("{}\t{} partitions\t{records} records", topic.name, topic.partitions);
    }
    Ok(())
}

fn reset(app: &App) -> Result<()> {
    // In a data directory nobody else may be; brokers know by themselves whether somebody is in the group.
    let local = if app.is_on_kafka() { app.visit()? } else { app.hold()? };
    local.log.reset_group(&app.name)?;
    local.log.sync()?;
    eprintln!("the positions of {} are forgotten", app.name);
    Ok(())
}

/// Reads a topic from its beginning to its end.
pub(crate) fn read_topic<T>(
    log: &dyn Log,
    topic: &str,
    each: &mut dyn FnMut(RecordView<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    let partitions = log.topic(topic)?.map_or(0, |topic| topic.partitions);
    for partition in 0..partitions {
        let partition = TopicPartition::new(topic, partition);
        let range = log.offsets(&partition)?;
        let mut position = range.start;
        while position < range.end {
            let batches = log.fetch(&partition, position, READ_BYTES)?.batches;
            let Some(last) = batches.last() else { break };
            let next = last.next_offset();
            for batch in &batches {
                for record in batch.iter().filter(|record| record.offset >= position) {
                    found.push(each(record)?);
                }
            }
            position = next;
        }
    }
    Ok(found)
}
