//! The token, said as the password of SASL PLAIN.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ResponseKind;
use kafka_protocol::messages::sasl_authenticate_request::SaslAuthenticateRequest;
use kafka_protocol::messages::sasl_authenticate_response::SaslAuthenticateResponse;
use kafka_protocol::messages::sasl_handshake_request::SaslHandshakeRequest;
use kafka_protocol::messages::sasl_handshake_response::SaslHandshakeResponse;

use super::errors::NONE;
use crate::context::{Context, text};

const PLAIN: &str = "PLAIN";

pub(crate) fn handshake(request: &SaslHandshakeRequest) -> ResponseKind {
    let is_plain = &*request.mechanism == PLAIN;
    let code = if is_plain { NONE } else { ResponseError::UnsupportedSaslMechanism.code() };
    let answer = SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(vec![text(PLAIN)]);
    ResponseKind::SaslHandshake(answer)
}

/// The answer, and whether the client may go on.
pub(crate) fn authenticate(context: &Context, request: &SaslAuthenticateRequest) -> (ResponseKind, bool) {
    // authorization id, user, password, with zeros between them
    let password = request.auth_bytes.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    let is_right = is_same(password, context.token.as_bytes());
    let answer = SaslAuthenticateResponse::default();
    let answer = if is_right {
        answer
    } else {
        let message = "the password is not the token in the data directory's endpoint file";
        answer.with_error_code(ResponseError::SaslAuthenticationFailed.code()).with_error_message(Some(text(message)))
    };
    (ResponseKind::SaslAuthenticate(answer), is_right)
}

/// Takes the same time wherever the first difference is.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |all, (left, right)| all | (left ^ right)) == 0
}
