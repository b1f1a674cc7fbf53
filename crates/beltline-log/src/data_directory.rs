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

/// Version of the layout of the directory.
const FORMAT: u32 = 1;

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
        let files = RealFiles;
        let refused = |error: io::Error| {
            let message = format!(
                "the data directory {} cannot be used; make it writable or choose another one with `datadir`",
                path.display()
            );
            Error::new(ErrorKind::DataDirectory, message).with_source(error)
        };
        files.create_directories(path).map_err(refused)?;
        check_marker(&files, path)?;
        let Some(mut lock) = files.lock(&path.join(LOCK)).map_err(refused)? else {
            let holder =
                read_holder(&files, path).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            let message = format!(
                "the data directory {} is in use by {holder}; stop it first, or give this one another directory with \
                 `datadir`",
                path.display()
            );
            return Err(Error::new(ErrorKind::DataDirectory, message));
        };
        lock.write(format!("{}\n{command}\n", std::process::id()).as_bytes()).map_err(refused)?;
        if !files.exists(&path.join(MARKER)) {
            let write = || -> io::Result<()> {
                let mut file = files.create(&path.join(MARKER))?;
                file.write_all(format!("{FORMAT}\n").as_bytes())?;
                file.sync()?;
                files.sync_directory(path)?;
                // Its own name, where that can be had: who may use a directory need not be able to open the one above.
                if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    let _ = files.sync_directory(parent);
                }
                Ok(())
            };
            write().map_err(refused)?;
        }
        Ok(DataDirectory { path: path.to_owned(), _lock: lock })
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
            match names.iter().find(|name| *name != LOCK) {
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
