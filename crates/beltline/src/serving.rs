//! The endpoint of an app without a Kafka client: tools come in, and no other worker does.

use std::path::Path;

use beltline_broker::{BrokerOptions, Endpoint};
use beltline_types::Result;
use beltline_worker::Worker;

/// Listens for other processes where there is a data directory for them to look into.
pub(crate) fn serve(worker: &mut Worker, notices: &mut Vec<String>, port: Option<u16>) -> Result<()> {
    let (Some(port), Some(directory)) = (port, worker.directory().map(Path::to_owned)) else { return Ok(()) };
    let mut options = BrokerOptions::default();
    options.address.set_port(port);
    match Endpoint::serve(worker.log().clone(), worker.clock().clone(), options, Some(&directory)) {
        Ok(serving) => {
            notices.push(format!("kafka endpoint {}", serving.address()));
            worker.accompany(Box::new(serving));
            Ok(())
        }
        // A machine that gives no port at all; the app itself needs none.
        Err(error) if port == 0 => {
            notices.push(format!("nobody can reach this app from outside: {error}"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}
