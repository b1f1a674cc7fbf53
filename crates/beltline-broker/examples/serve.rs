//! An endpoint on a data directory, until standard input ends: `cargo run --example serve -- ./data 9092`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use beltline_broker::{Broker, BrokerOptions, Endpoint};
use beltline_env::SystemClock;
use beltline_log::{DataDirectory, EmbeddedLog, LogOptions};
use beltline_types::Result;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "data".to_owned());
    let port = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(0);
    let directory = DataDirectory::open(Path::new(&path), "serve")?;
    let clock = Arc::new(SystemClock::default());
    let log = Arc::new(EmbeddedLog::open(&directory.log_path(), LogOptions::default(), clock.clone())?);
    let mut options = BrokerOptions::default();
    options.address.set_port(port);
    let broker = Broker::start(log, clock, options)?;
    let _announcement = Endpoint::announce(directory.path(), &broker)?;
    println!("kafka endpoint {}", broker.address());
    // Ends with the other end of the pipe, or with Ctrl-D.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
