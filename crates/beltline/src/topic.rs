//! Typed topics.

use std::marker::PhantomData;
use std::sync::Arc;

/// A topic whose values are `V` in JSON; made by [`crate::App::topic`].
#[derive(Debug)]
pub struct Topic<V> {
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    value: PhantomData<fn() -> V>,
}

impl<V> Topic<V> {
    pub(crate) fn new(index: usize, name: Arc<str>) -> Self {
        Topic { index, name, value: PhantomData }
    }

    /// Its name in the log.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<V> Clone for Topic<V> {
    fn clone(&self) -> Self {
        Topic::new(self.index, self.name.clone())
    }
}
