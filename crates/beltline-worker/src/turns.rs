//! Who may touch the stored form of a shard: one after the other, in the order in which the owner thread asked.
//!
//! A shard may leave and come back while a unit with its changes is still on its way to the store. Were the restore to
//! load it meanwhile, changes would be written behind newer ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};

use crate::inbox::lock;

/// Name of a table and number of a shard.
pub(crate) type ShardName = (Arc<str>, u32);

#[derive(Default)]
struct Board {
    queues: BTreeMap<ShardName, VecDeque<u64>>,
    next: u64,
}

#[derive(Default)]
pub(crate) struct Turns {
    board: Mutex<Board>,
    changed: Condvar,
}

/// A place in a shard's queue, left on drop.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    shard: ShardName,
    number: u64,
}

impl Turns {
    /// Queues up; see [`Turn::wait`].
    pub(crate) fn enter(self: &Arc<Self>, shard: ShardName) -> Turn {
        let mut board = lock(&self.board);
        let number = board.next;
        board.next += 1;
        board.queues.entry(shard.clone()).or_default().push_back(number);
        Turn { turns: self.clone(), shard, number }
    }

    /// A turn at once, or none.
    pub(crate) fn enter_if_free(self: &Arc<Self>, shard: &ShardName) -> Option<Turn> {
        let free = !lock(&self.board).queues.contains_key(shard);
        // Somebody may come first in between; then this one is told to wait, and gives up.
        free.then(|| self.enter(shard.clone())).filter(Turn::has_come)
    }
}

impl Turn {
    fn has_come(&self) -> bool {
        lock(&self.turns.board).queues.get(&self.shard).and_then(VecDeque::front) == Some(&self.number)
    }

    /// Blocks until everybody who came before has left. They have no locks of ours and end with their log's and disk's
    /// calls, which have deadlines.
    pub(crate) fn wait(&self) {
        let waits = |board: &mut Board| board.queues.get(&self.shard).and_then(VecDeque::front) != Some(&self.number);
        drop(self.turns.changed.wait_while(lock(&self.turns.board), waits));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut board = lock(&self.turns.board);
        if let Some(queue) = board.queues.get_mut(&self.shard) {
            queue.retain(|number| *number != self.number);
            if queue.is_empty() {
                board.queues.remove(&self.shard);
            }
        }
        drop(board);
        self.turns.changed.notify_all();
    }
}
