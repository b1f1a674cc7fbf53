//! The Rust half of `shim.c`: an assignor of our own inside librdkafka.
#![expect(unsafe_code, reason = "called from C")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use beltline_log::assignment::{Assignment, MemberView};
use beltline_types::TopicPartition;
use rdkafka_sys as sys;

use super::client::{Client, c_string};
use super::code::{Code, Fault};
use super::list::entries;

/// Decides who reads what. Runs on librdkafka's main thread: must not block or call the client.
pub(crate) trait Assignor: Send + Sync {
    /// What this member tells the leader when it joins to read `topics`, owning these.
    fn user_data(&self, topics: Vec<Arc<str>>, owned: Vec<TopicPartition>) -> Vec<u8>;
    /// The leader's decision, one assignment per member in their order; `None` when some member cannot be understood.
    fn assign(&self, topics: &[(Arc<str>, u32)], members: &[MemberView]) -> Option<Vec<Assignment>>;
    /// What the leader sent along with this member's assignment.
    fn assigned(&self, generation: i32, user_data: &[u8]);
}

/// What the shim's callbacks get.
pub(crate) struct App {
    assignor: Arc<dyn Assignor>,
    /// Lent to C until the next call.
    lent: Mutex<Vec<u8>>,
}

/// As `shim.c` has it.
#[repr(C)]
struct ShimMember {
    id: *const c_char,
    id_len: usize,
    user_data: *const c_void,
    user_data_len: usize,
    subscription: *const sys::rd_kafka_topic_partition_list_t,
    assignment: *mut sys::rd_kafka_topic_partition_list_t,
    member: *mut c_void,
}

unsafe extern "C" {
    fn beltline_register_assignor(rk: *mut sys::rd_kafka_t, name: *const c_char, app: *mut c_void) -> c_int;
    fn beltline_member_set_user_data(member: *mut c_void, data: *const c_void, len: usize);
}

impl Client {
    /// Makes this the only assignor of a member; before it subscribes, and once.
    pub(crate) fn register_assignor(&self, name: &CStr, assignor: Arc<dyn Assignor>) -> Result<(), Fault> {
        let app = self.registered.get_or_init(|| Box::new(App { assignor, lent: Mutex::default() }));
        let app: *const App = &raw const **app;
        // SAFETY: the handle is alive; `app` is boxed and dropped after the handle.
        let code = unsafe { beltline_register_assignor(self.raw(), name.as_ptr(), app as *mut c_void) };
        Fault::check(Code(code))
    }
}

/// # Safety
/// `data` is null or points to `length` bytes that live for `'a`.
unsafe fn bytes<'a>(data: *const c_void, length: usize) -> &'a [u8] {
    if data.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: by the contract above.
    unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn beltline_user_data(
    app: *mut c_void,
    topics: *const *const c_char,
    topic_count: usize,
    owned: *const sys::rd_kafka_topic_partition_list_t,
    length: *mut usize,
) -> *const c_void {
    // SAFETY: `app` is what was registered and alive; `topics` are that many names, each ending with a zero; `owned` is
    // null or a list; what is returned stays in `lent`, and the shim copies it before the next call on this thread.
    unsafe {
        let app = &*app.cast::<App>();
        let topics =
            (0..topic_count).map(|index| CStr::from_ptr(*topics.add(index)).to_string_lossy().into()).collect();
        let owned = entries(owned).into_iter().map(|entry| entry.partition).collect();
        let data = catch_unwind(AssertUnwindSafe(|| app.assignor.user_data(topics, owned))).unwrap_or_default();
        let mut lent = app.lent.lock().unwrap_or_else(PoisonError::into_inner);
        *lent = data;
        *length = lent.len();
        lent.as_ptr().cast()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn beltline_assign(
    app: *mut c_void,
    metadata: *const sys::rd_kafka_metadata_t,
    members: *mut ShimMember,
    count: usize,
) -> c_int {
    // SAFETY: the shim hands over the registered `app`, the metadata of all topics, and `count` members whose lists and
    // bytes are alive during this call.
    let run = || unsafe {
        let app = &*app.cast::<App>();
        let members = std::slice::from_raw_parts(members, count);
        let topics = topics(&*metadata);
        let views: Vec<MemberView> = members.iter().map(|member| view(member)).collect();
        let assignments = app.assignor.assign(&topics, &views)?;
        for (member, assignment) in members.iter().zip(&assignments) {
            for partition in &assignment.partitions {
                let topic = c_string(&partition.topic).ok()?;
                let number = partition.partition as i32;
                sys::rd_kafka_topic_partition_list_add(member.assignment, topic.as_ptr(), number);
            }
            let data = &assignment.user_data;
            beltline_member_set_user_data(member.member, data.as_ptr().cast(), data.len());
        }
        Some(())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Some(())) => 0,
        _ => 1,
    }
}

/// # Safety
/// The metadata is alive.
unsafe fn topics(metadata: &sys::rd_kafka_metadata_t) -> Vec<(Arc<str>, u32)> {
    // SAFETY: `topics` holds `topic_cnt` topics, whose names end with a zero.
    unsafe {
        (0..usize::try_from(metadata.topic_cnt).unwrap_or(0))
            .map(|index| {
                let topic = metadata.topics.add(index);
                let name: Arc<str> = CStr::from_ptr((*topic).topic).to_string_lossy().into();
                (name, (*topic).partition_cnt.max(0) as u32)
            })
            .collect()
    }
}

/// # Safety
/// The member's lists and bytes are alive.
unsafe fn view(member: &ShimMember) -> MemberView {
    // SAFETY: by the contract above.
    unsafe {
        MemberView {
            id: String::from_utf8_lossy(bytes(member.id.cast(), member.id_len)).into_owned(),
            user_data: bytes(member.user_data, member.user_data_len).to_vec(),
            topics: entries(member.subscription).into_iter().map(|entry| entry.partition.topic).collect(),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn beltline_assigned(app: *mut c_void, generation: i32, data: *const c_void, length: usize) {
    // SAFETY: as above.
    unsafe {
        let app = &*app.cast::<App>();
        let data = bytes(data, length);
        // A panic must not reach C; the assignment itself comes by another way.
        drop(catch_unwind(AssertUnwindSafe(|| app.assignor.assigned(generation, data))));
    }
}
