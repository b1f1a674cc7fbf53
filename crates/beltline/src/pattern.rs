//! Topics that are read by a pattern: which there are, and which come up.

use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Core, SubscriptionId, TopicId};
use beltline_types::{Result, TopicInfo};
use beltline_worker::Worker;

/// Whether a topic of this name is read.
pub(crate) type Pattern = Box<dyn Fn(&str) -> bool>;

/// A log on this machine is looked through so often; that costs nothing.
const LOCAL_INTERVAL: Duration = Duration::from_millis(500);

/// How often brokers are asked.
pub(crate) const KAFKA_INTERVAL: Duration = Duration::from_secs(60);

/// What Kafka's own topics begin with.
const KAFKAS_OWN: &str = "__";

/// How the names of changelogs end.
const CHANGELOG: &str = "-changelog";

/// Topics that an app keeps for itself: no pattern means them.
pub(crate) struct OwnTopics {
    /// What the names of its changelogs begin with.
    prefix: String,
    /// What [`crate::On::by`] goes through.
    between: Vec<Arc<str>>,
}

impl OwnTopics {
    pub(crate) fn new(app: &str, between: Vec<Arc<str>>) -> Self {
        OwnTopics { prefix: format!("{app}-"), between }
    }

    fn has(&self, name: &str) -> bool {
        name.starts_with(KAFKAS_OWN)
            || (name.starts_with(&self.prefix) && name.ends_with(CHANGELOG))
            || self.between.iter().any(|between| **between == *name)
    }
}

struct Reading {
    pattern: usize,
    handler: String,
    subscription: SubscriptionId,
}

/// The patterns of a running app, and what reads them.
pub(crate) struct Patterns {
    patterns: Vec<Pattern>,
    own: OwnTopics,
    readings: Vec<Reading>,
    /// Of the topics that were looked at last.
    version: u64,
}

impl Patterns {
    pub(crate) fn new(patterns: Vec<Pattern>, own: OwnTopics) -> Self {
        Patterns { patterns, own, readings: Vec::new(), version: 0 }
    }

    /// Reads the topics that there are for a handler, and from now on those that come up.
    ///
    /// # Errors
    /// What the log says when it is asked for its topics.
    pub(crate) fn subscribe(&mut self, worker: &mut Worker, handler: &str, pattern: usize) -> Result<SubscriptionId> {
        let there = worker.log().topics()?;
        let found = self.matching(&mut worker.core, pattern, &there);
        let subscription = worker.core.subscribe(handler, &found)?;
        worker.core.loosen(subscription);
        self.readings.push(Reading { pattern, handler: handler.to_owned(), subscription });
        Ok(subscription)
    }

    /// Has the log looked through for topics that come up.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub(crate) fn survey(&self, worker: &mut Worker, is_on_kafka: bool) -> Result<()> {
        match (is_on_kafka, self.readings.is_empty()) {
            // Topics may get more partitions there, whoever reads them.
            (true, _) => worker.survey_topics(KAFKA_INTERVAL),
            (false, true) => Ok(()),
            (false, false) => worker.survey_topics(LOCAL_INTERVAL),
        }
    }

    /// Reads topics that have come up since the last call, and says which.
    ///
    /// # Errors
    /// None while the app runs.
    pub(crate) fn hear(&mut self, core: &mut Core, notices: &mut Vec<String>) -> Result<()> {
        let version = core.topics_version();
        if self.readings.is_empty() || version == self.version {
            return Ok(());
        }
        self.version = version;
        let seen = core.topics_seen().to_vec();
        self.read(core, &seen, notices)
    }

    /// Reads what matches of these topics and is not read yet.
    ///
    /// # Errors
    /// See [`Patterns::hear`].
    pub(crate) fn read(&self, core: &mut Core, topics: &[TopicInfo], notices: &mut Vec<String>) -> Result<()> {
        for Reading { pattern, handler, subscription } in &self.readings {
            let mut found = self.matching(core, *pattern, topics);
            let read = core.topics_of(*subscription).map(|topic| topic.name.clone()).collect::<Vec<_>>();
            found.retain(|id| core.topic(*id).is_some_and(|topic| !read.contains(&topic.name)));
            if !found.is_empty() {
                core.extend(*subscription, &found)?;
                let names: Vec<&str> = found.iter().filter_map(|id| Some(&*core.topic(*id)?.name)).collect();
                notices.push(format!("{handler} reads more topics: {}", names.join(", ")));
            }
        }
        Ok(())
    }

    /// The topics that a pattern means, made known to the core.
    fn matching(&self, core: &mut Core, pattern: usize, topics: &[TopicInfo]) -> Vec<TopicId> {
        let Some(matches) = self.patterns.get(pattern) else { return Vec::new() };
        let wanted = topics.iter().filter(|topic| !self.own.has(&topic.name) && matches(&topic.name));
        wanted.map(|topic| core.add_topic(topic.clone())).collect()
    }
}
