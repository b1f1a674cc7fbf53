//! One librdkafka handle: made from settings, calling back, destroyed last.
#![expect(unsafe_code, reason = "handles and callbacks are C")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use rdkafka_sys as sys;

use super::assignor::App;
use super::code::{Code, Fault, text};

/// Room for librdkafka's sentences.
const SENTENCE: usize = 512;

/// What a handle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Produces; also asks for metadata and manages topics.
    Producer,
    /// Consumes as a member of a group: rebalances come as events of its queue.
    Member,
    /// Consumes what it is told to.
    Reader,
}

/// An access token for SASL OAUTHBEARER.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) expires_at_ms: i64,
    pub(crate) principal: String,
    /// Names and values.
    pub(crate) extensions: Vec<(String, String)>,
}

/// The fate of one produced record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// What was given along with the record.
    pub(crate) tag: usize,
    pub(crate) offset: i64,
    pub(crate) code: Code,
}

/// What a handle tells without being asked, from any of its threads. Must not call the handle.
pub(crate) trait Callbacks: Send + Sync {
    fn error(&self, code: Code, sentence: &str);
    fn log(&self, level: i32, sentence: &str);
    /// Only from a thread that is inside a call of this client.
    fn delivered(&self, delivery: Delivery);
    /// A new token, when tokens are made here at all.
    fn token(&self) -> Option<Result<Token, String>>;
    fn makes_tokens(&self) -> bool;
}

/// A librdkafka handle. All calls may come from any thread.
pub(crate) struct Client {
    pointer: NonNull<sys::rd_kafka_t>,
    /// What the handle's callbacks point to.
    callbacks: *mut Arc<dyn Callbacks>,
    /// Dropped after the handle: what else was registered with it.
    pub(super) registered: OnceLock<Box<App>>,
}

// SAFETY: a handle of librdkafka may be used from several threads at once; `callbacks` is only read, and what it points
// to is `Send + Sync`.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Makes a handle; `is_secret` says whose value must not be repeated in an error.
    pub(crate) fn new(
        role: Role,
        settings: &[(String, String)],
        is_secret: impl Fn(&str) -> bool,
        callbacks: Arc<dyn Callbacks>,
    ) -> Result<Client, Fault> {
        let tokens = callbacks.makes_tokens();
        let callbacks = Box::into_raw(Box::new(callbacks));
        // SAFETY: the settings object is ours until a handle takes it over; `callbacks` lives until the handle is gone.
        let made = unsafe {
            let settings_object = sys::rd_kafka_conf_new();
            apply(settings_object, settings, is_secret)
                .inspect_err(|_| sys::rd_kafka_conf_destroy(settings_object))
                .and_then(|()| {
                    install(settings_object, role, tokens, callbacks);
                    create(settings_object, role)
                })
        };
        match made {
            Ok(pointer) => {
                let client = Client { pointer, callbacks, registered: OnceLock::new() };
                if tokens {
                    // SAFETY: the handle is alive; the answer is ours.
                    unsafe { Fault::take(sys::rd_kafka_sasl_background_callbacks_enable(client.raw()))? };
                }
                if role != Role::Producer {
                    // SAFETY: the handle is alive and a consumer.
                    Fault::check(unsafe { sys::rd_kafka_poll_set_consumer(client.raw()) })?;
                }
                Ok(client)
            }
            Err(fault) => {
                // SAFETY: made above by `into_raw`; no handle exists that could use it.
                drop(unsafe { Box::from_raw(callbacks) });
                Err(fault)
            }
        }
    }

    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_t {
        self.pointer.as_ptr()
    }

    /// Serves callbacks of a producer.
    pub(crate) fn poll(&self, timeout_ms: c_int) {
        // SAFETY: the handle is alive.
        unsafe { sys::rd_kafka_poll(self.raw(), timeout_ms) };
    }

    /// The error after which the handle is of no use any more, if there was one.
    pub(crate) fn fatal_error(&self) -> Option<Fault> {
        let mut sentence = [0 as c_char; SENTENCE];
        // SAFETY: the buffer is as long as stated.
        let code = Code::from(unsafe { sys::rd_kafka_fatal_error(self.raw(), sentence.as_mut_ptr(), SENTENCE) });
        // SAFETY: librdkafka ends its sentences with a zero; the buffer was zeroed.
        let text = unsafe { text(sentence.as_ptr()) };
        code.is_error().then(|| Fault { fatal: true, ..Fault::new(code, text) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: everything made from the handle holds an `Arc` of this value, so it is gone. A member was closed
        // before, or is not to be waited for. When the call returns, all threads of the handle have ended, so nobody
        // uses the callbacks any more.
        unsafe {
            sys::rd_kafka_destroy_flags(self.raw(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            drop(Box::from_raw(self.callbacks));
        }
    }
}

/// # Safety
/// `object` is a live settings object.
unsafe fn apply(
    object: *mut sys::rd_kafka_conf_t,
    settings: &[(String, String)],
    is_secret: impl Fn(&str) -> bool,
) -> Result<(), Fault> {
    for (name, value) in settings {
        let (c_name, c_value) = (c_string(name)?, c_string(value)?);
        let mut sentence = [0 as c_char; SENTENCE];
        // SAFETY: the strings end with a zero, the buffer is as long as stated.
        let answer = unsafe {
            sys::rd_kafka_conf_set(object, c_name.as_ptr(), c_value.as_ptr(), sentence.as_mut_ptr(), SENTENCE)
        };
        if answer != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            // SAFETY: zeroed and filled by librdkafka.
            let reason = match is_secret(name) {
                true => "its value is not accepted (and is not shown, being a secret)".into(),
                false => unsafe { text(sentence.as_ptr()) },
            };
            let sentence = format!("the Kafka option {name} cannot be used: {reason}");
            return Err(Fault::new(Code::from(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG), sentence));
        }
    }
    Ok(())
}

/// # Safety
/// `object` is a live settings object; `callbacks` outlives every handle made of it.
unsafe fn install(object: *mut sys::rd_kafka_conf_t, role: Role, tokens: bool, callbacks: *mut Arc<dyn Callbacks>) {
    // SAFETY: by the contract above; the functions have the types the library asks for.
    unsafe {
        sys::rd_kafka_conf_set_opaque(object, callbacks.cast());
        sys::rd_kafka_conf_set_log_cb(object, Some(on_log));
        match role {
            Role::Producer => {
                sys::rd_kafka_conf_set_dr_msg_cb(object, Some(on_delivery));
                sys::rd_kafka_conf_set_error_cb(object, Some(on_error));
            }
            Role::Member => {
                let events = sys::RD_KAFKA_EVENT_REBALANCE | sys::RD_KAFKA_EVENT_ERROR;
                sys::rd_kafka_conf_set_events(object, events);
            }
            Role::Reader => sys::rd_kafka_conf_set_events(object, sys::RD_KAFKA_EVENT_ERROR),
        }
        if tokens {
            sys::rd_kafka_conf_enable_sasl_queue(object, 1);
            sys::rd_kafka_conf_set_oauthbearer_token_refresh_cb(object, Some(on_token));
        }
    }
}

/// # Safety
/// `object` is a live settings object, which is taken over.
unsafe fn create(object: *mut sys::rd_kafka_conf_t, role: Role) -> Result<NonNull<sys::rd_kafka_t>, Fault> {
    let kind = match role {
        Role::Producer => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
        Role::Member | Role::Reader => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
    };
    let mut sentence = [0 as c_char; SENTENCE];
    // SAFETY: the buffer is as long as stated; on failure the settings object stays ours and is destroyed once.
    unsafe {
        let pointer = sys::rd_kafka_new(kind, object, sentence.as_mut_ptr(), SENTENCE);
        NonNull::new(pointer).ok_or_else(|| {
            sys::rd_kafka_conf_destroy(object);
            let reason = text(sentence.as_ptr());
            let code = Code::from(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG);
            Fault::new(code, format!("the Kafka client cannot be made: {reason}"))
        })
    }
}

/// A string for C; one with a zero inside cannot be one.
pub(crate) fn c_string(text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|_| {
        let code = Code::from(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG);
        Fault::new(code, "a name or an option holds a zero byte")
    })
}

/// Runs a callback; a panic ends here.
///
/// # Safety
/// `opaque` is what [`install`] was given.
unsafe fn call<T>(opaque: *mut c_void, run: impl FnOnce(&dyn Callbacks) -> T) -> Option<T> {
    // SAFETY: the callbacks outlive the handle that calls back.
    let callbacks = unsafe { &*opaque.cast::<Arc<dyn Callbacks>>() };
    catch_unwind(AssertUnwindSafe(|| run(&**callbacks))).ok()
}

unsafe extern "C" fn on_log(rk: *const sys::rd_kafka_t, level: c_int, _: *const c_char, line: *const c_char) {
    // SAFETY: librdkafka hands over a live handle, whose opaque pointer is ours, and a text that ends with a zero.
    unsafe {
        let line = text(line);
        call(sys::rd_kafka_opaque(rk), |callbacks| callbacks.log(level, &line));
    }
}

unsafe extern "C" fn on_error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: as above.
    unsafe {
        let reason = text(reason);
        call(opaque, |callbacks| callbacks.error(Code(code), &reason));
    }
}

unsafe extern "C" fn on_delivery(
    _: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: the message is alive during the call; its code is read as a number, see the module's rules.
    unsafe {
        let delivery = Delivery {
            tag: (*message)._private as usize,
            offset: (*message).offset,
            code: Code((&raw const (*message).err).cast::<i32>().read()),
        };
        call(opaque, |callbacks| callbacks.delivered(delivery));
    }
}

unsafe extern "C" fn on_token(rk: *mut sys::rd_kafka_t, _: *const c_char, opaque: *mut c_void) {
    // SAFETY: the handle and our pointer are alive; strings end with a zero; the buffer is as long as stated.
    unsafe {
        let answer = call(opaque, |callbacks| callbacks.token());
        let failure = match answer {
            Some(Some(Ok(token))) => match set_token(rk, &token) {
                Ok(()) => return,
                Err(reason) => reason,
            },
            Some(Some(Err(reason))) => reason,
            Some(None) | None => "the callback that makes tokens failed".into(),
        };
        let failure = c_string(&failure).unwrap_or_default();
        sys::rd_kafka_oauthbearer_set_token_failure(rk, failure.as_ptr());
    }
}

/// # Safety
/// `rk` is alive.
unsafe fn set_token(rk: *mut sys::rd_kafka_t, token: &Token) -> Result<(), String> {
    let value = c_string(&token.value).map_err(|fault| fault.text)?;
    let principal = c_string(&token.principal).map_err(|fault| fault.text)?;
    let pairs = token.extensions.iter().flat_map(|(name, value)| [name, value]);
    let extensions: Vec<CString> =
        pairs.map(|text| c_string(text)).collect::<Result<_, _>>().map_err(|fault| fault.text)?;
    let mut pointers: Vec<*const c_char> = extensions.iter().map(|text| text.as_ptr()).collect();
    let mut sentence = [0 as c_char; SENTENCE];
    // SAFETY: strings end with a zero; `pointers` holds as many as stated, names and values in turn, and librdkafka copies
    // them; the buffer is as long as stated.
    unsafe {
        let code = sys::rd_kafka_oauthbearer_set_token(
            rk,
            value.as_ptr(),
            token.expires_at_ms,
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            sentence.as_mut_ptr(),
            SENTENCE,
        );
        if Code::from(code).is_error() { Err(text(sentence.as_ptr())) } else { Ok(()) }
    }
}
