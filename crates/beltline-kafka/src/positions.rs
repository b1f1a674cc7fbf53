//! Positions that a member commits at least once: sent at once, and not waited for in a rebalance.
//!
//! A broker answers the requests of one connection in their order. While a member waits to be let into the next
//! generation, its JoinGroup lies before everything else that it asks the group's coordinator, its positions included;
//! that may take as long as the slowest member takes. Partitions that stay must not stand still for it, so after a short
//! wait the commit counts as done and the positions are owed: they go with the next ones, or when the watch looks.
//! They are settled before a partition is given away and before the group is left, so that whoever reads next begins
//! behind them. A crash in between costs repeats, as it does between any two commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use beltline_env::Clock;
use beltline_types::{Offset, Result, TopicPartition};

use crate::at_least_once::answer;
use crate::context::Context;
use crate::errors::{is_rebalance, is_transient};
use crate::health::Deadline;
use crate::member::Member;
use crate::raw::code::Fault;
use crate::raw::list::PartitionList;
use crate::raw::queue::Queue;

/// How long a commit waits for the answer to its positions. Brokers in good health take a few milliseconds.
const SHORT: Duration = Duration::from_millis(50);

/// How long positions may be owed until commits wait for them, and how long these wait then: what a crash would repeat
/// has its limit.
const LONG: Duration = Duration::from_secs(5);

/// How long one look for the answer lasts at most, so that a loss in between is seen.
const SLICE_MS: i32 = 100;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Positions that were sent, and where the answer comes.
struct UnderWay {
    answers: Queue,
    sent: Vec<(TopicPartition, Offset)>,
}

#[derive(Default)]
struct State {
    /// The newest positions that the brokers have not confirmed.
    owed: BTreeMap<TopicPartition, Offset>,
    /// Since when there are such.
    since: Option<Duration>,
    under_way: Option<UnderWay>,
}

/// What a member owes the brokers.
#[derive(Default)]
pub(crate) struct Positions {
    state: Mutex<State>,
}

impl Positions {
    /// Takes positions over and sends them; returns when the brokers have them, or when waiting is not worth it.
    pub(crate) fn commit(
        &self,
        context: &Context,
        member: &Member,
        is_outdated: impl Fn() -> bool,
        offsets: &[(TopicPartition, Offset)],
        deadline: &Deadline,
    ) -> Result<()> {
        let mut state = self.state();
        // Records are written already, so what was lost meanwhile is only left out. Looked at with the lock held, which
        // `forget` takes after the loss was counted.
        if is_outdated() {
            return Ok(());
        }
        let now = context.health.clock.monotonic();
        state.owed.extend(offsets.iter().cloned());
        let since = *state.since.get_or_insert(now);
        let patience = if now.saturating_sub(since) < LONG { SHORT } else { LONG };
        state.settle(context, member, &context.deadline(patience.min(deadline.remaining())))
    }

    /// Waits until nothing is owed of these partitions, or for long enough: then their records are read once more.
    pub(crate) fn settle(&self, context: &Context, member: &Member, partitions: &[TopicPartition]) -> Result<()> {
        let mut state = self.state();
        if partitions.iter().any(|partition| state.owed.contains_key(partition)) {
            state.settle(context, member, &context.deadline(LONG))?;
        }
        Ok(())
    }

    /// Waits until nothing is owed, or for long enough.
    pub(crate) fn settle_all(&self, context: &Context, member: &Member) -> Result<()> {
        self.state().settle(context, member, &context.deadline(LONG))
    }

    /// Goes on with what is owed, without waiting; what is wrong shows in the next commit.
    pub(crate) fn tend(&self, context: &Context, member: &Member) {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let _ = state.settle(context, member, &context.deadline(Duration::ZERO));
    }

    /// Others read these by now, and what was to be said of them is theirs to say.
    pub(crate) fn forget(&self, partitions: &[TopicPartition]) {
        let mut state = self.state();
        state.owed.retain(|partition, _| !partitions.contains(partition));
        if state.owed.is_empty() {
            *state = State::default();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, context: &Context, member: &Member, deadline: &Deadline) -> Result<()> {
        loop {
            self.owed.retain(|partition, _| member.owns(partition));
            if self.owed.is_empty() {
                *self = State::default();
                return Ok(());
            }
            match self.advance(member, deadline) {
                Ok(true) => context.health.well(),
                Ok(false) if deadline.is_over() => return Ok(()),
                Ok(false) => {}
                Err(fault) if !is_rebalance(fault.code) && !is_transient(fault.code) => {
                    return Err(context.error("committing positions", deadline, &fault));
                }
                Err(_) if deadline.is_over() => return Ok(()),
                Err(_) => context.signal.wait_quietly(PAUSE.min(deadline.remaining())),
            }
        }
    }

    /// Sends what is owed if nothing is under way, and waits for the answer; says whether it came.
    fn advance(&mut self, member: &Member, deadline: &Deadline) -> std::result::Result<bool, Fault> {
        let under_way = match self.under_way.take() {
            Some(under_way) => under_way,
            None => {
                let client: &Arc<_> = member.client();
                let sent: Vec<_> = self.owed.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
                let answers = Queue::new(client)?;
                let list = PartitionList::with_offsets(sent.iter().map(|(partition, offset)| (partition, *offset)))?;
                client.commit_offsets(&list, &answers)?;
                UnderWay { answers, sent }
            }
        };
        let Some(event) = under_way.answers.poll(deadline.remaining_ms().min(SLICE_MS)) else {
            self.under_way = Some(under_way);
            return Ok(false);
        };
        answer(&event)?;
        for (partition, offset) in under_way.sent {
            if self.owed.get(&partition) == Some(&offset) {
                self.owed.remove(&partition);
            }
        }
        Ok(true)
    }
}
