//! Which requests are spoken, in which versions, and how their bytes are laid out.
//!
//! The decoder of `kafka-protocol` gives a list memory for as many entries as its length claims, before it has seen one of
//! them; ten hostile bytes would end the process. So every request is walked here first: each list must have as many
//! entries as it says, and all lists together no more than [`MAX_ENTRIES`].

use kafka_protocol::messages::ApiKey;

/// Entries of all lists of one request. A fetch of ten thousand partitions has about that many.
const MAX_ENTRIES: usize = 200_000;

/// One request that is spoken.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
    fields: &'static [Field],
}

struct Field {
    since: i16,
    until: i16,
    kind: Kind,
}

enum Kind {
    /// A number of bytes.
    Fixed(usize),
    /// A text with two bytes of length.
    Text,
    /// Bytes with four bytes of length.
    Bytes,
    List(&'static [Field]),
}

const fn fixed(size: usize) -> Field {
    Field { since: 0, until: i16::MAX, kind: Kind::Fixed(size) }
}

const fn list(entry: &'static [Field]) -> Field {
    Field { since: 0, until: i16::MAX, kind: Kind::List(entry) }
}

const TEXT: Field = Field { since: 0, until: i16::MAX, kind: Kind::Text };
const BYTES: Field = Field { since: 0, until: i16::MAX, kind: Kind::Bytes };
const BYTE: Field = fixed(1);
const SHORT: Field = fixed(2);
const INT: Field = fixed(4);
const LONG: Field = fixed(8);
const UUID: Field = fixed(16);

impl Field {
    const fn since(self, since: i16) -> Field {
        Field { since, until: self.until, kind: self.kind }
    }

    const fn until(self, until: i16) -> Field {
        Field { since: self.since, until, kind: self.kind }
    }
}

const fn api(key: ApiKey, min: i16, max: i16, fields: &'static [Field]) -> Api {
    Api { key, min, max, fields }
}

/// Versions end where topics are named by ids (the log has none) and where transactions of the second kind begin.
pub(crate) const APIS: &[Api] = &[
    api(ApiKey::Produce, 3, 11, &[TEXT, SHORT, INT, list(&[TEXT, list(&[INT, BYTES])])]),
    api(ApiKey::Fetch, 4, 12, FETCH),
    api(ApiKey::ListOffsets, 1, 8, &[INT, BYTE.since(2), list(&[TEXT, list(&[INT, INT.since(4), LONG])])]),
    api(
        ApiKey::Metadata,
        0,
        12,
        &[list(&[UUID.since(10), TEXT]), BYTE.since(4), BYTE.since(8).until(10), BYTE.since(8)],
    ),
    api(ApiKey::OffsetCommit, 2, 8, OFFSET_COMMIT),
    api(ApiKey::OffsetFetch, 1, 8, OFFSET_FETCH),
    api(ApiKey::FindCoordinator, 0, 4, &[TEXT.until(3), BYTE.since(1), list(&[TEXT]).since(4)]),
    api(ApiKey::JoinGroup, 0, 9, JOIN_GROUP),
    api(ApiKey::Heartbeat, 0, 4, &[TEXT, INT, TEXT, TEXT.since(3)]),
    api(ApiKey::LeaveGroup, 0, 5, &[TEXT, TEXT.until(2), list(&[TEXT, TEXT, TEXT.since(5)]).since(3)]),
    api(ApiKey::SyncGroup, 0, 5, &[TEXT, INT, TEXT, TEXT.since(3), TEXT.since(5), TEXT.since(5), list(&[TEXT, BYTES])]),
    api(ApiKey::DescribeGroups, 0, 6, &[list(&[TEXT]), BYTE.since(3)]),
    api(ApiKey::ListGroups, 0, 5, &[list(&[TEXT]).since(4), list(&[TEXT]).since(5)]),
    api(ApiKey::SaslHandshake, 0, 1, &[TEXT]),
    api(ApiKey::ApiVersions, 0, 3, &[TEXT.since(3), TEXT.since(3)]),
    api(ApiKey::CreateTopics, 2, 7, CREATE_TOPICS),
    api(ApiKey::DeleteTopics, 1, 6, &[list(&[TEXT, UUID]).since(6), list(&[TEXT]).until(5), INT]),
    api(ApiKey::DeleteRecords, 0, 2, &[list(&[TEXT, list(&[INT, LONG])]), INT]),
    api(ApiKey::InitProducerId, 0, 4, &[TEXT, INT, LONG.since(3), SHORT.since(3)]),
    api(ApiKey::AddPartitionsToTxn, 0, 3, &[TEXT, LONG, SHORT, list(&[TEXT, list(&[INT])])]),
    api(ApiKey::AddOffsetsToTxn, 0, 3, &[TEXT, LONG, SHORT, TEXT]),
    api(ApiKey::EndTxn, 0, 3, &[TEXT, LONG, SHORT, BYTE]),
    api(ApiKey::TxnOffsetCommit, 0, 3, TXN_OFFSET_COMMIT),
    api(ApiKey::DescribeConfigs, 1, 4, &[list(&[BYTE, TEXT, list(&[TEXT])]), BYTE, BYTE.since(3)]),
    api(ApiKey::SaslAuthenticate, 0, 2, &[BYTES]),
    api(ApiKey::CreatePartitions, 0, 3, &[list(&[TEXT, INT, list(&[list(&[INT])])]), INT, BYTE]),
    api(ApiKey::DeleteGroups, 0, 2, &[list(&[TEXT])]),
    api(ApiKey::IncrementalAlterConfigs, 0, 1, &[list(&[BYTE, TEXT, list(&[TEXT, BYTE, TEXT])]), BYTE]),
    api(ApiKey::OffsetDelete, 0, 0, &[TEXT, list(&[TEXT, list(&[INT])])]),
    api(ApiKey::DescribeCluster, 0, 1, &[BYTE, BYTE.since(1)]),
];

const FETCH: &[Field] = &[
    INT,
    INT,
    INT,
    INT,
    BYTE,
    INT.since(7),
    INT.since(7),
    list(&[TEXT, list(&[INT, INT.since(9), LONG, INT.since(12), LONG.since(5), INT])]),
    list(&[TEXT, list(&[INT])]).since(7),
    TEXT.since(11),
];

const OFFSET_COMMIT: &[Field] =
    &[TEXT, INT, TEXT, TEXT.since(7), LONG.until(4), list(&[TEXT, list(&[INT, LONG, INT.since(6), TEXT])])];

const OFFSET_FETCH: &[Field] = &[
    TEXT.until(7),
    list(&[TEXT, list(&[INT])]).until(7),
    list(&[TEXT, list(&[TEXT, list(&[INT])])]).since(8),
    BYTE.since(7),
];

const JOIN_GROUP: &[Field] = &[TEXT, INT, INT.since(1), TEXT, TEXT.since(5), TEXT, list(&[TEXT, BYTES]), TEXT.since(8)];

const CREATE_TOPICS: &[Field] =
    &[list(&[TEXT, INT, SHORT, list(&[INT, list(&[INT])]), list(&[TEXT, TEXT])]), INT, BYTE];

const TXN_OFFSET_COMMIT: &[Field] = &[
    TEXT,
    TEXT,
    LONG,
    SHORT,
    INT.since(3),
    TEXT.since(3),
    TEXT.since(3),
    list(&[TEXT, list(&[INT, LONG, INT.since(2), TEXT])]),
];

/// What is spoken of an API, if anything.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key as i16 == key)
}

impl Api {
    /// Whether `body` (behind the header) is laid out as this version says.
    pub(crate) fn fits(&self, body: &[u8], version: i16) -> bool {
        let is_flexible = self.key.request_header_version(version) >= 2;
        let mut walk = Walk { rest: body, version, is_flexible, entries: 0 };
        walk.fields(self.fields).is_some()
    }
}

/// Takes the tagged fields behind a flexible header or structure off the front; `None` when they are cut short.
pub(crate) fn skip_tags(rest: &mut &[u8]) -> Option<()> {
    for _ in 0..unsigned(rest)? {
        unsigned(rest)?;
        let size = unsigned(rest)? as usize;
        *rest = rest.get(size..)?;
    }
    Some(())
}

fn unsigned(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in (0..35).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    is_flexible: bool,
    entries: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Option<()> {
        for field in fields {
            if (field.since..=field.until).contains(&self.version) {
                self.field(&field.kind)?;
            }
        }
        if self.is_flexible { skip_tags(&mut self.rest) } else { Some(()) }
    }

    fn field(&mut self, kind: &Kind) -> Option<()> {
        match kind {
            Kind::Fixed(size) => self.skip(*size),
            Kind::Text => {
                let length = self.length(2)?;
                self.skip(length.unwrap_or(0))
            }
            Kind::Bytes => {
                let length = self.length(4)?;
                self.skip(length.unwrap_or(0))
            }
            Kind::List(entry) => {
                let count = self.length(4)?.unwrap_or(0);
                // A list of bare numbers or texts has no tags behind each entry.
                let is_bare = entry.len() == 1 && !matches!(entry[0].kind, Kind::List(_));
                for _ in 0..count {
                    self.entries += 1;
                    if self.entries > MAX_ENTRIES {
                        return None;
                    }
                    if is_bare { self.field(&entry[0].kind)? } else { self.fields(entry)? }
                }
                Some(())
            }
        }
    }

    fn skip(&mut self, size: usize) -> Option<()> {
        self.rest = self.rest.get(size..)?;
        Some(())
    }

    /// A length of `width` bytes, or a compact one; `Some(None)` is null.
    fn length(&mut self, width: usize) -> Option<Option<usize>> {
        if self.is_flexible {
            return Some(unsigned(&mut self.rest)?.checked_sub(1).map(|length| length as usize));
        }
        let (bytes, rest) = self.rest.split_at_checked(width)?;
        self.rest = rest;
        let length = match *bytes {
            [high, low] => i64::from(i16::from_be_bytes([high, low])),
            [one, two, three, four] => i64::from(i32::from_be_bytes([one, two, three, four])),
            _ => return None,
        };
        if length < -1 { None } else { Some(usize::try_from(length).ok()) }
    }
}
