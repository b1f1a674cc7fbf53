//! The store on disk: fjall, a log-structured merge tree with one journal for everything.

use std::ops::ControlFlow;
use std::path::Path;

use beltline_types::{Error, ErrorKind, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use crate::LogOptions;
use crate::block_store::{BlockStore, Change, Space, Visitor};

/// Threads that flush and merge in the background.
const BACKGROUND_THREADS: usize = 1;

/// The least journal the store accepts.
const MIN_JOURNAL_BYTES: u64 = 64 << 20;

pub(crate) struct DiskStore {
    database: Database,
    blocks: Keyspace,
    meta: Keyspace,
}

impl DiskStore {
    pub(crate) fn open(path: &Path, options: &LogOptions) -> Result<DiskStore> {
        let open = || -> fjall::Result<DiskStore> {
            let database = Database::builder(path)
                .cache_size(options.cache_bytes)
                .max_journaling_size(options.journal_bytes.max(MIN_JOURNAL_BYTES))
                .worker_threads(BACKGROUND_THREADS)
                .open()?;
            // Blocks are large and never change: they stay where they were written first, and only their keys are merged.
            let blocks = database.keyspace("blocks", || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(options.memtable_bytes)
                    .with_kv_separation(Some(KvSeparationOptions::default()))
            })?;
            let meta = database.keyspace("meta", KeyspaceCreateOptions::default)?;
            Ok(DiskStore { database, blocks, meta })
        };
        open().map_err(|error| match error {
            fjall::Error::Locked => Error::new(
                ErrorKind::DataDirectory,
                format!("the log in {} is open already; close it first", path.display()),
            ),
            fjall::Error::InvalidVersion(_) => Error::new(
                ErrorKind::DataDirectory,
                format!("the log in {} was written by another version of its store", path.display()),
            )
            .with_source(error),
            fjall::Error::Io(_) => {
                Error::new(ErrorKind::Storage, format!("the log in {} cannot be opened", path.display()))
                    .with_source(error)
            }
            _ => Error::new(
                ErrorKind::Corrupt,
                format!("the log in {} makes no sense; restore the data directory from a copy", path.display()),
            )
            .with_source(error),
        })
    }

    fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Blocks => &self.blocks,
            Space::Meta => &self.meta,
        }
    }
}

impl BlockStore for DiskStore {
    fn write(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut batch = self.database.batch();
        for Change { space, key, value } in changes {
            match value {
                Some(value) => batch.insert(self.keyspace(space), key, value),
                None => batch.remove(self.keyspace(space), key),
            }
        }
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        batch.durability(Some(mode)).commit().map_err(refused)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.keyspace(space).get(key).map_err(unreadable)?.map(|value| value.to_vec()))
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], each: &mut Visitor<'_>) -> Result<()> {
        for entry in self.keyspace(space).range(from..to) {
            let (key, value) = entry.into_inner().map_err(unreadable)?;
            if each(&key, &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, space: Space, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.keyspace(space).range(from..=to).next_back() else { return Ok(None) };
        Ok(Some(entry.key().map_err(unreadable)?.to_vec()))
    }

    fn sync(&self) -> Result<()> {
        self.database.persist(PersistMode::SyncData).map_err(refused)
    }
}

fn refused(error: fjall::Error) -> Error {
    let message = match &error {
        fjall::Error::Io(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
            "the disk is full: nothing of this commit was written; free space and start again, nothing is lost"
        }
        fjall::Error::Poisoned => {
            "the disk refused an earlier write, so nothing is written any more; look after the disk and start again"
        }
        _ => "the disk refused a write: nothing of this commit counts; look after the disk and start again",
    };
    Error::new(ErrorKind::Storage, message).with_source(error)
}

fn unreadable(error: fjall::Error) -> Error {
    let kind = match error {
        fjall::Error::Io(_) | fjall::Error::Poisoned => ErrorKind::Storage,
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, "the log cannot be read here").with_source(error)
}
