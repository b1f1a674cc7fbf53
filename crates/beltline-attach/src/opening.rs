//! Taking the directory, or finding who has it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use beltline_broker::{Endpoint, Serving};
use beltline_env::{Clock, SystemClock};
use beltline_kafka::{KafkaLog, Patience};
use beltline_log::{DataDirectory, EmbeddedLog, Log, LogOptions};
use beltline_types::{Error, ErrorKind, Result};

use crate::{AttachOptions, SharedLog};

/// Folder of a data directory in which attached workers have their places.
const PLACES: &str = "attached";

/// Pause before it is looked again whether the holder listens, or has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long the members of a holder that has ended are waited for, so that partitions are not given out twice.
const GATHER: Duration = Duration::from_secs(1);

/// What [`open`] gives.
pub struct Opened {
    /// The log.
    pub log: Arc<SharedLog>,
    /// Where this process keeps its tables, now and when it holds the directory later.
    pub store_path: PathBuf,
    /// The place of an attached process, to be held for as long as its tables are used.
    pub place: Option<DataDirectory>,
}

/// This process holds the directory. Fields are dropped in this order.
pub(crate) struct Host {
    /// `None` where this machine gives no port, and for those who only look.
    pub(crate) serving: Option<Serving>,
    pub(crate) log: Arc<dyn Log>,
    _directory: DataDirectory,
    /// What opening had to repair or go without, for the operator.
    pub(crate) notices: Vec<String>,
}

/// This process is attached to the one that holds the directory.
pub(crate) struct Guest {
    pub(crate) endpoint: Endpoint,
    pub(crate) log: Arc<KafkaLog>,
    /// Who holds it, in words.
    pub(crate) holder: String,
}

/// Opens the log of the data directory at `path`, which is made when it is missing: takes it when nobody has it, attaches to
/// its holder otherwise. A process that observes takes a free directory without serving it.
///
/// # Errors
/// `DataDirectory` when the holder neither listens nor ends within the patience of the options, one holder after another
/// ends meanwhile, or one listens and does not answer; when the directory is foreign, read-only or of a newer format.
/// `Corrupt` when the log's own index makes no sense. `Usage` when the port of the options is taken.
pub fn open(path: &Path, mut options: AttachOptions) -> Result<Opened> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let deadline = clock.monotonic() + options.patience;
    loop {
        if let Some(directory) = DataDirectory::try_open(path, &options.holder)? {
            let store_path = directory.store_path();
            let host = host(directory, &options, &clock, None)?;
            let log = SharedLog::hosting(path, options, clock, host);
            return Ok(Opened { log, store_path, place: None });
        }
        if let Some(endpoint) = Endpoint::find(path) {
            let place = DataDirectory::open_place(&path.join(PLACES), &options.holder)?;
            // Stable over restarts, so that a worker that comes back ends the transaction it left open.
            options.kafka.transactional_id = Some(format!("{}-{}", options.kafka.group_id, place.identity()?));
            match guest(path, endpoint.clone(), &options) {
                Ok(guest) => {
                    let store_path = place.store_path();
                    let log = SharedLog::attached(path, options, clock, guest);
                    return Ok(Opened { log, store_path, place: Some(place) });
                }
                // Unless it has ended meanwhile: then the directory is free, or another has it.
                Err(error) if Endpoint::find(path).as_ref() == Some(&endpoint) => return Err(error),
                Err(_) => {}
            }
        }
        if clock.monotonic() >= deadline {
            // Says who holds it and what to do; if it is free after all, all the better.
            drop(DataDirectory::open(path, &options.holder)?);
        }
        pause(LOOK_AGAIN);
    }
}

/// Opens the log and serves it. `warm` names the partitions of a worker that takes over.
pub(crate) fn host(
    directory: DataDirectory,
    options: &AttachOptions,
    clock: &Arc<dyn Clock>,
    warm: Option<&[u32]>,
) -> Result<Host> {
    let log_options = LogOptions { sync: options.sync, ..LogOptions::default() };
    let embedded = EmbeddedLog::open(&directory.log_path(), log_options, clock.clone())?;
    let mut notices: Vec<String> = embedded.notice().map(str::to_owned).into_iter().collect();
    let embedded: Arc<dyn Log> = Arc::new(embedded);
    if options.kafka.observes {
        return Ok(Host { serving: None, log: embedded, _directory: directory, notices });
    }
    let takes_over = warm.is_some();
    let serve = |port: u16| {
        let mut served = options.endpoint.clone();
        served.address.set_port(port);
        if takes_over {
            served.gather_members = GATHER;
        }
        Endpoint::serve(embedded.clone(), clock.clone(), served, Some(directory.path()))
    };
    let port = options.endpoint.address.port();
    let served = match serve(port) {
        // Who takes over has a promise to keep: others find the port, whichever it is.
        Err(error) if takes_over && error.kind() == ErrorKind::Usage && port != 0 => {
            notices.push(format!("the endpoint takes another port than {port}: {error}"));
            serve(0)
        }
        served => served,
    };
    match served {
        Ok(serving) => {
            let log = Arc::new(serving.host_log(takes_over, warm.unwrap_or_default()));
            Ok(Host { serving: Some(serving), log, _directory: directory, notices })
        }
        Err(error) if error.kind() == ErrorKind::Usage && !options.must_listen => {
            notices.push(format!("no other process can reach this log, the machine gives no port: {error}"));
            Ok(Host { serving: None, log: embedded, _directory: directory, notices })
        }
        Err(error) => Err(error),
    }
}

/// Connects to the endpoint of the process that holds the directory.
pub(crate) fn guest(path: &Path, endpoint: Endpoint, options: &AttachOptions) -> Result<Guest> {
    let holder = DataDirectory::holder(path).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
    let mut kafka = options.kafka.clone();
    kafka.bootstrap_servers = endpoint.address.to_string();
    // The processes of a directory have the same settings, so the holder's group takes this one.
    kafka.session_timeout = kafka.session_timeout.max(options.endpoint.min_session_timeout);
    // Heard where a token is required, and taken note of where none is.
    let credentials = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "beltline"),
        ("sasl.password", &endpoint.token),
    ];
    credentials.into_iter().try_for_each(|(name, value)| kafka.set(name, value))?;
    kafka.patience = Some(Arc::new(WhileHeld { path: path.to_owned(), endpoint: endpoint.clone() }));
    let patience = kafka.request_timeout;
    let log = KafkaLog::connect(kafka).map_err(|error| {
        let message = format!(
            "the data directory {} is in use by {holder}, which has not answered at {} for {} s; if it hangs, end it with \
             `kill -9 {}`, then start again",
            path.display(),
            endpoint.address,
            patience.as_secs(),
            endpoint.pid,
        );
        Error::new(ErrorKind::DataDirectory, message).with_source(error)
    })?;
    Ok(Guest { endpoint, log: Arc::new(log), holder })
}

/// Waits for the first answer of a holder for as long as it is the holder.
struct WhileHeld {
    path: PathBuf,
    endpoint: Endpoint,
}

impl Patience for WhileHeld {
    fn goes_on(&self, _silence: &str) -> bool {
        Endpoint::find(&self.path).as_ref() == Some(&self.endpoint)
    }
}

fn pause(time: Duration) {
    let (never, over) = (Mutex::new(()), Condvar::new());
    drop(over.wait_timeout(never.lock().unwrap_or_else(PoisonError::into_inner), time));
}
