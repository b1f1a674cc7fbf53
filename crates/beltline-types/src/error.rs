//! The one public error: a kind that says who must act, a sentence, and the cause.

use std::fmt;

/// Shorthand for results of beltline's own operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act on an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller passed something that can never work; the program must change.
    Usage,
    /// A topic, partition, table or group that does not exist.
    NotFound,
    /// A record whose bytes are not what its topic promises.
    Decode,
    /// Bytes on disk that fail their checksum or make no sense.
    Corrupt,
    /// A data directory that cannot be used: held, foreign, read-only, of a newer format.
    DataDirectory,
    /// The disk is full or refuses writes; free space and start again.
    Storage,
    /// The log refused or aborted a commit; it may be repeated.
    Aborted,
    /// The brokers cannot be reached at present; repeating may help.
    Unavailable,
    /// Another member or producer took this one's place: nothing of it may be committed, it must join again.
    Fenced,
    /// The broker refuses the credentials or the rights they give; a person must act.
    Unauthorized,
    /// A requested offset lies outside the partition's range.
    OffsetOutOfRange,
    /// A limit (queue bytes, record size, deadline) was reached.
    Limit,
    /// A handler of the user failed.
    Handler,
    /// A defect in beltline itself.
    Internal,
}

/// An error with the kind that says who must act, a sentence that names cause and cure, and its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error; `message` is a sentence for the user: what happened, where, what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    /// Keeps the cause, which is shown after the message.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence without its cause.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(formatter, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
