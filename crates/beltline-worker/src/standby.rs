//! The standby thread keeps stored shards of other members close to their changelogs, so that a take-over reads only the
//! rest. It is started when the group first asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use beltline_engine::TableSpec;
use beltline_log::Log;
use beltline_store::Store;
use beltline_types::{ErrorKind, Offset};

use crate::inbox::{Inbox, lock};
use crate::io;
use crate::turns::{ShardName, Turns};

/// The most one step reads.
const STEP_BYTES: usize = 1 << 20;

/// Read no faster than this: the shards that are ours come first.
const BYTES_PER_SECOND: usize = 32 << 20;

/// Pause when every shard is as far as its changelog, or something failed.
const PAUSE: Duration = Duration::from_millis(500);

/// A shard to keep warm.
#[derive(Clone)]
struct Wanted {
    spec: TableSpec,
    /// Grows with every shard that comes: one that went and came back was somebody else's in between, and what was known
    /// of its files is void.
    since: u64,
}

#[derive(Default)]
struct Board {
    wanted: BTreeMap<ShardName, Wanted>,
    next: u64,
    ended: bool,
}

/// Since when a shard has been wanted, and how far its files are.
type Positions = BTreeMap<ShardName, (u64, Offset)>;

pub(crate) struct Standby {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    store: Arc<Store>,
    turns: Arc<Turns>,
    inbox: Arc<Inbox>,
}

impl Standby {
    pub(crate) fn new(log: Arc<dyn Log>, store: Arc<Store>, turns: Arc<Turns>, inbox: Arc<Inbox>) -> Self {
        Standby { board: Mutex::default(), changed: Condvar::new(), log, store, turns, inbox }
    }

    /// The shards to keep warm from now on, of these tables. Whoever has the others closed asks for it after this.
    pub(crate) fn set(&self, partitions: &[u32], tables: &[TableSpec]) {
        let mut board = lock(&self.board);
        let mut wanted = BTreeMap::new();
        for spec in tables {
            for partition in partitions.iter().filter(|partition| **partition < spec.partitions) {
                let shard = (spec.name.clone(), *partition);
                let known = board.wanted.get(&shard).map(|known| known.since);
                let since = known.unwrap_or_else(|| {
                    board.next += 1;
                    board.next
                });
                wanted.insert(shard, Wanted { spec: spec.clone(), since });
            }
        }
        board.wanted = wanted;
        drop(board);
        self.changed.notify_all();
    }

    /// Shards of these partitions were somebody else's for a while: what is known of their files is void.
    pub(crate) fn forget(&self, partitions: &[u32]) {
        let mut board = lock(&self.board);
        let Board { wanted, next, .. } = &mut *board;
        for ((_, partition), wanted) in wanted {
            if partitions.contains(partition) {
                *next += 1;
                wanted.since = *next;
            }
        }
    }

    pub(crate) fn end(&self) {
        lock(&self.board).ended = true;
        self.changed.notify_all();
    }

    /// Body of the thread.
    pub(crate) fn run(&self) {
        let mut positions = Positions::new();
        let mut failing: BTreeSet<ShardName> = BTreeSet::new();
        loop {
            let wanted = lock(&self.board).wanted.clone();
            positions.retain(|shard, (since, _)| wanted.get(shard).is_some_and(|wanted| wanted.since == *since));
            let mut bytes = 0;
            for (shard, wanted) in &wanted {
                bytes += self.step(shard, wanted, &mut positions, &mut failing);
                if self.pause(Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND as f64)) {
                    return;
                }
            }
            if bytes == 0 && self.pause(PAUSE) {
                return;
            }
        }
    }

    /// One step of one shard; says how much was read.
    fn step(
        &self,
        shard: &ShardName,
        wanted: &Wanted,
        positions: &mut Positions,
        failing: &mut BTreeSet<ShardName>,
    ) -> usize {
        // Somebody restores it or closes it: it is not ours to touch, and must be loaded anew should it come back.
        let Some(_turn) = self.turns.enter_if_free(shard) else {
            positions.remove(shard);
            return 0;
        };
        if lock(&self.board).wanted.get(shard).is_none_or(|now| now.since != wanted.since) {
            return 0;
        }
        let position = positions.get(shard).map(|(_, position)| *position);
        match io::warm(&*self.log, &self.store, &wanted.spec, shard.1, position, STEP_BYTES) {
            Ok(warmed) => {
                failing.remove(shard);
                positions.insert(shard.clone(), (wanted.since, warmed.position));
                warmed.bytes
            }
            Err(error) => {
                // What is stored is looked at again before the next attempt.
                positions.remove(shard);
                if failing.insert(shard.clone()) && error.kind() != ErrorKind::Unavailable {
                    let (table, partition) = shard;
                    self.inbox.notice(format!("table {table}: shard {partition} cannot be kept warm: {error}"));
                }
                0
            }
        }
    }

    /// Says whether the thread is to end.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.board), pause, |board| !board.ended);
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0.ended
    }
}
