//! Who may use a data directory.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use beltline_env::{FileLock, Files, RealFiles};
use beltline_types::{Error, ErrorKind, Result};

/// Marks a directory as ours; its content is the version of the layout.
const MARKER: &str = "beltline-format";

/// Locked by the process that uses the directory; its content says which one.
const LOCK: &str = "lock";

/// Holds the name of a worker's place, which is unlike that of any other place anywhere.
const IDENTITY: &str = "identity";

/// Version of the layout of the directory.
const FORMAT: u32 = 1;

/// Workers of one app that can have a place on one machine.
const MAX_PLACES: u32 = 1024;

/// Where the system keeps its random numbers.
const RANDOM: &str = "/dev/urandom";

/// The process that holds a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The command it was started with.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} ({})", self.pid, self.command)
    }
}

/// A data directory this process holds until the value is dropped, or the process ends in whatever way.
pub struct DataDirectory {
    path: PathBuf,
    _lock: Box<dyn FileLock>,
}

impl DataDirectory {
    /// Takes a directory, which is made when it is missing. `command` is what others are told about the holder.
    ///
    /// # Errors
    /// `DataDirectory` when another process holds it (which, and what to do), when it is no data directory but has
    /// something in it, when it was written by a newer version, or when it cannot be written.
    pub fn open(path: &Path, command: &str) -> Result<DataDirectory> {
        DataDirectory::try_open(path, command)?.ok_or_else(|| {
            let holder =
                read_holder(&RealFiles, path).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            let message = format!(
                "the data directory {} is in use by {holder}; stop it first, or give this one another directory with \
                 `datadir`",
                path.display()
            );
            Error::new(ErrorKind::DataDirectory, message)
        })
    }

    /// Takes the first free place below a directory, `worker-0`, `worker-1` and so on: for workers that share a log
    /// elsewhere and keep nothing here but copies of their tables. A worker that starts again finds the place of before.
    ///
    /// # Errors
    /// As for [`DataDirectory::open`]; also when there are too many workers.
    pub fn open_place(path: &Path, command: &str) -> Result<DataDirectory> {
        check_marker(&RealFiles, path)?;
        RealFiles
            .create_directories(path)
            .and_then(|()| mark(&RealFiles, path))
            .map_err(|error| refused(path, error))?;
        for number in 0..MAX_PLACES {
            if let Some(place) = DataDirectory::try_open(&path.join(format!("worker-{number}")), command)? {
                return Ok(place);
            }
        }
        let message = format!("the data directory {} has places for {MAX_PLACES} workers only", path.display());
        Err(Error::new(ErrorKind::DataDirectory, message))
    }

    /// Takes a directory as [`DataDirectory::open`] does; `None` when another process holds it.
    ///
    /// # Errors
    /// As for [`DataDirectory::open`], but for the holder.
    pub fn try_open(path: &Path, command: &str) -> Result<Option<DataDirectory>> {
        let (files, refused) = (RealFiles, |error| refused(path, error));
        files.create_directories(path).map_err(refused)?;
        check_marker(&files, path)?;
        let Some(mut lock) = files.lock(&path.join(LOCK)).map_err(refused)? else { return Ok(None) };
        lock.write(format!("{}\n{command}\n", std::process::id()).as_bytes()).map_err(refused)?;
        mark(&files, path).map_err(refused)?;
        Ok(Some(DataDirectory { path: path.to_owned(), _lock: lock }))
    }

    /// A name that no other directory has, made at the first call and kept: what a worker calls itself to others who must
    /// know it again.
    ///
    /// # Errors
    /// What the disk says.
    pub fn identity(&self) -> Result<String> {
        let (files, path) = (RealFiles, self.path.join(IDENTITY));
        let read_or_make = || -> io::Result<String> {
            if files.exists(&path) {
                let name = String::from_utf8_lossy(&files.read(&path)?).trim().to_owned();
                // A crash in the middle of writing leaves nothing that was ever used.
                if name.len() == 2 * size_of::<u64>() {
                    return Ok(name);
                }
            }
            let mut bytes = [0; size_of::<u64>()];
            files.open(Path::new(RANDOM))?.read_exact_at(&mut bytes, 0)?;
            let name = format!("{:016x}", u64::from_le_bytes(bytes));
            let mut file = files.create(&path)?;
            file.write_all(format!("{name}\n").as_bytes())?;
            file.sync()?;
            files.sync_directory(&self.path)?;
            Ok(name)
        };
        read_or_make().map_err(|error| refused(&self.path, error))
    }

    /// Who holds a directory right now; `None` when nobody does.
    pub fn holder(path: &Path) -> Option<Holder> {
        let files = RealFiles;
        if !files.exists(&path.join(LOCK)) {
            return None;
        }
        match files.lock(&path.join(LOCK)) {
            Ok(None) => read_holder(&files, path),
            _ => None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log goes.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the durable form of tables goes.
    pub fn store_path(&self) -> PathBuf {
        self.path.join("tables")
    }
}

impl fmt::Debug for DataDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("DataDirectory").field(&self.path).finish()
    }
}

fn refused(path: &Path, error: io::Error) -> Error {
    let message = format!(
        "the data directory {} cannot be used; make it writable or choose another one with `datadir`",
        path.display()
    );
    Error::new(ErrorKind::DataDirectory, message).with_source(error)
}

/// Marks a directory as ours, if it is not yet.
fn mark(files: &dyn Files, path: &Path) -> io::Result<()> {
    if files.exists(&path.join(MARKER)) {
        return Ok(());
    }
    // Others may start at the same moment and must find all of it or nothing.
    let made = path.join(format!("{MARKER}.{}", std::process::id()));
    let mut file = files.create(&made)?;
    file.write_all(format!("{FORMAT}\n").as_bytes())?;
    file.sync()?;
    files.rename(&made, &path.join(MARKER))?;
    files.sync_directory(path)
}

fn check_marker(files: &dyn Files, path: &Path) -> Result<()> {
    let problem = match files.read(&path.join(MARKER)) {
        Ok(bytes) => match String::from_utf8_lossy(&bytes).trim().parse::<u32>() {
            Ok(FORMAT) => return Ok(()),
            Ok(number) => format!(
                "has format {number}, this version of beltline reads format {FORMAT}; use the version that wrote it"
            ),
            Err(_) => format!("has a file {MARKER} that makes no sense; restore the directory from a copy"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let names = files.list(path).unwrap_or_default();
            match names.iter().find(|name| *name != LOCK && !name.starts_with(MARKER)) {
                None => return Ok(()),
                Some(name) => format!(
                    "is no data directory of beltline, it holds {name}; choose an empty or a new one with `datadir`"
                ),
            }
        }
        Err(error) => format!("cannot be read: {error}; choose another one with `datadir`"),
    };
    Err(Error::new(ErrorKind::DataDirectory, format!("the directory {} {problem}", path.display())))
}

fn read_holder(files: &dyn Files, path: &Path) -> Option<Holder> {
    let text = String::from_utf8(files.read(&path.join(LOCK)).ok()?).ok()?;
    let (pid, command) = text.trim_end().split_once('\n')?;
    Some(Holder { pid: pid.parse().ok()?, command: command.to_owned() })
}
