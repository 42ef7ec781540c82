//! The envelopes of the replies (sections 1.6, 3 and 5.1).

use serde::Serialize;

use crate::contract::Operation;
use crate::fault::{Fault, Rejection};
use crate::generated::{cdb_v2::MODULE_CODES, common::ALIBABA_CODES, sae::ERRORS};
use crate::protocol::Protocol;

/// An operation's own error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurfaceError {
    /// The vendor's code. For the legacy API the module number as text, with
    /// its `codeDesc` after a blank where the table has more than one, e.g.
    /// `9003` or `9590 OperationDenied`.
    pub code: String,
    /// What the caller is told.
    pub message: String,
    /// The HTTP status, where it is not the contract's. Only Alibaba replies
    /// have one: Tencent's are 200 always.
    pub status: Option<u16>,
}

/// A reply, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// How long an Alibaba client is told to wait when throttled, in milliseconds:
/// the buckets are filled by the second.
const RETRY_AFTER_MS: &str = "1000";

/// Room for a page of 20 rows, so that the usual answer never moves while it is
/// written.
const USUAL_BYTES: usize = 8 * 1024;

/// A success. `result` is the object of the reply's own members, without what
/// the envelope adds: for API 3.0 all but `RequestId`, for the legacy API all
/// but `code`, `message` and `codeDesc`, for SAE all but `RequestId`,
/// `Message`, `TraceId`, `ErrorCode`, `Code` and `Success` (so `{"Data": ...}`).
///
/// It is serialised once, straight into the envelope.
#[must_use]
pub fn encode_success<T: Serialize + ?Sized>(
    protocol: Protocol,
    operation: &Operation,
    request_id: &str,
    trace_id: Option<&str>,
    result: &T,
) -> Reply {
    let mut body = Vec::with_capacity(USUAL_BYTES);
    let opening: &[u8] = match protocol {
        Protocol::Tc3 | Protocol::TencentV1 => b"{\"Response\":",
        Protocol::QcloudV2 | Protocol::AlibabaRoa | Protocol::Acs3 => b"",
    };
    body.extend_from_slice(opening);
    let written = serde_json::to_writer(&mut body, result).is_ok();
    let object = written && body.get(opening.len()) == Some(&b'{') && body.pop() == Some(b'}');
    if !object {
        let fault = Rejection::new(Fault::Internal, "the result could not be written");
        return encode_rejection(protocol, request_id, trace_id, &fault);
    }
    if body.last() != Some(&b'{') {
        body.push(b',');
    }
    match protocol {
        Protocol::Tc3 | Protocol::TencentV1 => {
            body.extend_from_slice(b"\"RequestId\":");
            push_text(&mut body, request_id);
            body.extend_from_slice(b"}}");
        }
        Protocol::QcloudV2 => {
            // The sample of this one operation has the code as text, those of
            // the others as a number.
            let code: &[u8] = if operation.name == "GetCdbRollbackJob" {
                b"\"code\":\"0\""
            } else {
                b"\"code\":0"
            };
            body.extend_from_slice(code);
            body.extend_from_slice(b",\"message\":\"\",\"codeDesc\":\"Success\"}");
        }
        Protocol::AlibabaRoa | Protocol::Acs3 => {
            body.extend_from_slice(b"\"RequestId\":");
            push_text(&mut body, request_id);
            // The contract has these two members of another type in one
            // operation each.
            let code = match operation.name {
                "DescribeRegions" => "200",
                _ => "\"200\"",
            };
            let done = match operation.name {
                "UpdateAppMode" => "\"true\"",
                _ => "true",
            };
            let fixed = [
                ("Message", "\"success\""),
                ("ErrorCode", "\"\""),
                ("Code", code),
                ("Success", done),
            ];
            for (name, json) in fixed {
                if operation.answers(name) {
                    body.extend_from_slice(format!(",\"{name}\":{json}").as_bytes());
                }
            }
            if let Some(trace_id) = trace_id.filter(|_| operation.answers("TraceId")) {
                body.extend_from_slice(b",\"TraceId\":");
                push_text(&mut body, trace_id);
            }
            body.push(b'}');
        }
    }
    finish(protocol, 200, request_id, trace_id, body)
}

/// An operation's own error.
#[must_use]
pub fn encode_surface_error(
    protocol: Protocol,
    request_id: &str,
    trace_id: Option<&str>,
    error: &SurfaceError,
) -> Reply {
    match protocol {
        Protocol::Tc3 | Protocol::TencentV1 => {
            let body = tencent_error(request_id, &error.code, &error.message);
            finish(protocol, 200, request_id, trace_id, body)
        }
        Protocol::QcloudV2 => {
            let (number, desc) = match error.code.split_once(' ') {
                Some((number, desc)) => (number, desc),
                None => (error.code.as_str(), module_desc(&error.code)),
            };
            let message = format!("({number}){}", error.message);
            let body = qcloud_error(common_code(desc), &message, desc);
            finish(protocol, 200, request_id, trace_id, body)
        }
        Protocol::AlibabaRoa | Protocol::Acs3 => {
            let status = error.status.unwrap_or_else(|| {
                let own = ERRORS.iter().map(|(code, status, _)| (*code, *status));
                own.chain(ALIBABA_CODES.iter().copied())
                    .find(|(code, _)| *code == error.code)
                    .map_or(400, |(_, status)| status)
            });
            let body = alibaba_error(request_id, &error.code, &error.message);
            finish(protocol, status, request_id, trace_id, body)
        }
    }
}

/// A refusal, in the vendor's words for the condition.
#[must_use]
pub fn encode_rejection(
    protocol: Protocol,
    request_id: &str,
    trace_id: Option<&str>,
    rejection: &Rejection,
) -> Reply {
    let fault = rejection.fault;
    match protocol {
        Protocol::Tc3 | Protocol::TencentV1 => {
            let body = tencent_error(request_id, fault.tencent(), &rejection.message);
            finish(protocol, 200, request_id, trace_id, body)
        }
        Protocol::QcloudV2 => {
            let (code, desc) = fault.qcloud();
            let body = qcloud_error(code, &rejection.message, desc);
            finish(protocol, 200, request_id, trace_id, body)
        }
        Protocol::AlibabaRoa | Protocol::Acs3 => {
            let (code, status) = fault.alibaba();
            // A client of this family evaluates what follows the first colon
            // of this one message and crashes without (section 5.1).
            let colon = fault == Fault::SignatureMismatch && !rejection.message.contains(':');
            let message = if colon {
                format!("{} server string to sign is:", rejection.message)
            } else {
                rejection.message.clone()
            };
            let body = alibaba_error(request_id, code, &message);
            let mut reply = finish(protocol, status, request_id, trace_id, body);
            if fault == Fault::Throttled {
                reply
                    .headers
                    .push(("x-acs-retry-after", RETRY_AFTER_MS.to_owned()));
            }
            reply
        }
    }
}

/// The message of an SAE error code, with its placeholders filled in their order;
/// `None` for a code that has none.
#[must_use]
pub fn sae_message(code: &str, fillings: &[&str]) -> Option<String> {
    let (_, _, template) = ERRORS.iter().find(|(known, _, _)| *known == code)?;
    let mut pieces = template.split("%s");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    let mut fillings = fillings.iter();
    for piece in pieces {
        out.push_str(fillings.next().unwrap_or(&""));
        out.push_str(piece);
    }
    Some(out)
}

/// The `codeDesc` of a module number.
fn module_desc(number: &str) -> &'static str {
    let number: u32 = number.parse().unwrap_or(0);
    MODULE_CODES
        .iter()
        .find(|(_, known, _)| *known == number)
        .map_or("InternalError", |(_, _, desc)| *desc)
}

/// The common code beside a `codeDesc`. Only 4000 with InvalidParameter is
/// confirmed (contract/common.json); the others follow the sense of the word.
fn common_code(desc: &str) -> u32 {
    match desc {
        "InvalidParameter" => 4000,
        "InstanceNotExists" | "InternalError.CDBNotExist" | "ResourceNotFound" => 5000,
        word if word.starts_with("OperationDenied") || word.starts_with("Incorrect") => 5100,
        _ => 6000,
    }
}

fn tencent_error(request_id: &str, code: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(192);
    body.extend_from_slice(b"{\"Response\":{\"Error\":{\"Code\":");
    push_text(&mut body, code);
    body.extend_from_slice(b",\"Message\":");
    push_text(&mut body, message);
    body.extend_from_slice(b"},\"RequestId\":");
    push_text(&mut body, request_id);
    body.extend_from_slice(b"}}");
    body
}

fn qcloud_error(code: u32, message: &str, desc: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    body.extend_from_slice(format!("{{\"code\":{code},\"message\":").as_bytes());
    push_text(&mut body, message);
    body.extend_from_slice(b",\"codeDesc\":");
    push_text(&mut body, desc);
    body.push(b'}');
    body
}

fn alibaba_error(request_id: &str, code: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(b"{\"RequestId\":");
    push_text(&mut body, request_id);
    body.extend_from_slice(b",\"HostId\":\"\",\"Code\":");
    push_text(&mut body, code);
    body.extend_from_slice(b",\"Message\":");
    push_text(&mut body, message);
    body.extend_from_slice(b",\"Recommend\":\"\"}");
    body
}

fn finish(
    protocol: Protocol,
    status: u16,
    request_id: &str,
    trace_id: Option<&str>,
    body: Vec<u8>,
) -> Reply {
    let mut headers = Vec::with_capacity(2);
    if protocol.is_alibaba() {
        // One client reads the body as plain text unless the type begins so
        // (section 5.1).
        headers.push(("content-type", "application/json;charset=utf-8".to_owned()));
        headers.push(("x-acs-request-id", request_id.to_owned()));
    } else {
        // With a charset the Python client does not notice an error at all
        // (section 1.6).
        headers.push(("content-type", "application/json".to_owned()));
        if let Some(trace_id) = trace_id {
            headers.push(("x-tc-traceid", trace_id.to_owned()));
        }
    }
    Reply {
        status,
        headers,
        body,
    }
}

fn push_text(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("text is always written to memory");
}
