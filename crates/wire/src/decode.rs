//! From a verified call to an operation and its typed parameters.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Number, Value};

use crate::contract::{Operation, Param, Service, Type, find, operations_of};
use crate::fault::{Fault, Rejection};
use crate::form::{self, Pairs};
use crate::json;
use crate::multipart;
use crate::protocol::{Protocol, V2_PATH};
use crate::request::{RawRequest, shown};
use crate::signed::{Signed, pairs, trace_id};

/// The most dots in a flattened name; the contract needs six
/// (`Instances.0.Tables.0.Table.0.TableName`).
const MAX_DEPTH: usize = 12;

/// A call whose parameters fit the contract.
#[derive(Clone)]
pub struct Call {
    /// The protocol, which the reply must speak too.
    pub protocol: Protocol,
    /// The operation.
    pub operation: &'static Operation,
    /// The region, where the client sent one.
    pub region: Option<String>,
    /// The parameters, of the contract's types. Nulls and disabled parameters
    /// are dropped, at every depth.
    pub params: Map<String, Value>,
    /// The language of messages that the client wants, e.g. `en-US`.
    pub language: Option<String>,
    /// The client's own id of the call, to be echoed.
    pub trace_id: Option<String>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: a value may be a password.
        let names: Vec<&String> = self.params.keys().collect();
        f.debug_struct("Call")
            .field("protocol", &self.protocol)
            .field("operation", &self.operation.name)
            .field("region", &self.region)
            .field("params", &names)
            .finish_non_exhaustive()
    }
}

pub(crate) fn decode(signed: &Signed<'_>) -> Result<Call, Rejection> {
    let mut region = signed.region.clone();
    let (operation, params) = match signed.protocol {
        Protocol::Tc3 => {
            let operation = tencent_operation(signed)?;
            (operation, tc3_params(signed.raw, operation)?)
        }
        Protocol::TencentV1 => {
            if signed.raw.path != "/" {
                return Err(unknown_path(signed.raw.path));
            }
            let operation = tencent_operation(signed)?;
            let tree = Tree::grow(own_pairs(&signed.pairs))?;
            (operation, settle(coerce_members(operation.params, tree))?)
        }
        Protocol::QcloudV2 => {
            if signed.raw.path != V2_PATH {
                return Err(unknown_path(signed.raw.path));
            }
            let operation = v2_operation(signed.action.as_deref().unwrap_or(""))?;
            let tree = Tree::grow(own_pairs(&signed.pairs))?;
            (operation, settle(coerce_members(operation.params, tree))?)
        }
        Protocol::AlibabaRoa | Protocol::Acs3 => {
            let operation = sae_operation(signed)?;
            let mut tree = sae_tree(signed)?;
            // Every operation tolerates it, for one client always adds it
            // (section 4); where it is a parameter of its own it stays one.
            if let Some(Tree::Leaf(id)) = tree.get("RegionId")
                && region.is_none()
            {
                region = Some(id.clone());
            }
            if operation.param("RegionId").is_none() {
                tree.remove("RegionId");
            }
            (operation, settle(coerce_members(operation.params, tree))?)
        }
    };
    Ok(Call {
        protocol: signed.protocol,
        operation,
        region,
        params,
        language: signed.language.clone(),
        trace_id: trace_id(signed.raw).map(str::to_owned),
    })
}

// ---- which operation ----

/// The operation that is asked for.
pub(crate) fn operation(signed: &Signed<'_>) -> Result<&'static Operation, Rejection> {
    match signed.protocol {
        Protocol::Tc3 | Protocol::TencentV1 => tencent_operation(signed),
        Protocol::QcloudV2 => v2_operation(signed.action.as_deref().unwrap_or("")),
        Protocol::AlibabaRoa | Protocol::Acs3 => sae_operation(signed),
    }
}

fn unknown_path(path: &str) -> Rejection {
    Rejection::new(
        Fault::UnknownPath,
        format!("no operation has the path {}", shown(path)),
    )
}

fn unknown_action(action: &str) -> Rejection {
    Rejection::new(
        Fault::UnknownAction,
        format!("no operation is called {}", shown(action)),
    )
}

fn unknown_version(version: &str) -> Rejection {
    Rejection::new(
        Fault::UnknownVersion,
        format!("no API has the version {}", shown(version)),
    )
}

fn tencent_operation(signed: &Signed<'_>) -> Result<&'static Operation, Rejection> {
    let version = signed.version.as_deref().unwrap_or("");
    let action = signed.action.as_deref().unwrap_or("");
    let service = Service::of_version(version).ok_or_else(|| unknown_version(version))?;
    find(service, action).ok_or_else(|| unknown_action(action))
}

/// The client capitalises the first letter, its callers do not (section 3).
fn v2_operation(action: &str) -> Result<&'static Operation, Rejection> {
    let mut chars = action.chars();
    let capital: String = chars
        .next()
        .map(|c| c.to_ascii_uppercase())
        .into_iter()
        .chain(chars)
        .collect();
    find(Service::CdbV2, &capital).ok_or_else(|| unknown_action(action))
}

/// ROA is routed by method and path; the old samples of the vendor contain
/// doubled slashes, which count as one here but not in the signature
/// (section 7, item 9).
fn sae_operation(signed: &Signed<'_>) -> Result<&'static Operation, Rejection> {
    let table = operations_of(Service::Sae);
    if let Some(version) = signed.version.as_deref()
        && table.first().is_some_and(|o| o.version != version)
    {
        return Err(unknown_version(version));
    }
    let path = single_slashes(signed.raw.path);
    let mut known = false;
    for operation in table.iter().filter(|o| o.path == path) {
        known = true;
        if operation.method != signed.raw.method {
            continue;
        }
        return match signed.action.as_deref() {
            Some(action) if action != operation.name => Err(unknown_action(action)),
            _ => Ok(operation),
        };
    }
    if known {
        return Err(Rejection::new(
            Fault::MethodNotAllowed,
            format!("{} is not a method of this path", shown(signed.raw.method)),
        ));
    }
    match signed.action.as_deref() {
        Some(action) if find(Service::Sae, action).is_none() => Err(unknown_action(action)),
        _ => Err(unknown_path(signed.raw.path)),
    }
}

fn single_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

// ---- where the parameters are ----

type Members = BTreeMap<String, Tree>;

/// A parameter before its type is looked at.
enum Tree {
    /// Text: of a query, a form or a multipart part.
    Leaf(String),
    /// What the names `A.0` and `A.B` make of `A`.
    Branch(Members),
    /// JSON.
    Json(Value),
    /// A file, which no operation of the contract takes. It is refused only
    /// after its name has been looked up, so that an unknown one is called
    /// unknown.
    File,
}

impl Tree {
    fn json(object: Map<String, Value>) -> Members {
        object
            .into_iter()
            .map(|(k, v)| (k, Self::Json(v)))
            .collect()
    }

    /// Unfolds `Instances.0.Databases.0.DatabaseName` (section 1.1).
    fn grow(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Members, Rejection> {
        let mut root = Members::new();
        for (key, value) in pairs {
            let bad = || {
                Rejection::new(
                    Fault::InvalidParameter,
                    format!(
                        "parameter name `{}` is malformed or contradicts another",
                        shown(&key)
                    ),
                )
            };
            let segments: Vec<&str> = key.split('.').collect();
            if segments.len() > MAX_DEPTH || segments.iter().any(|s| s.is_empty()) {
                return Err(bad());
            }
            let Some((last, path)) = segments.split_last() else {
                return Err(bad());
            };
            let mut members = &mut root;
            for segment in path {
                let next = members
                    .entry((*segment).to_owned())
                    .or_insert_with(|| Self::Branch(Members::new()));
                let Self::Branch(inner) = next else {
                    return Err(bad());
                };
                members = inner;
            }
            if members
                .insert((*last).to_owned(), Self::Leaf(value))
                .is_some()
            {
                return Err(bad());
            }
        }
        Ok(root)
    }
}

/// The pairs that are not common parameters.
fn own_pairs(all: &Pairs) -> impl Iterator<Item = (String, String)> + '_ {
    all.iter()
        .filter(|(key, _)| !pairs::COMMON.contains(&key.as_str()))
        .cloned()
}

fn tc3_params(
    raw: RawRequest<'_>,
    operation: &'static Operation,
) -> Result<Map<String, Value>, Rejection> {
    if raw.path != "/" {
        return Err(unknown_path(raw.path));
    }
    let members = if raw.method == "GET" {
        let pairs = form::parse(raw.query.as_bytes())?;
        form::refuse_repeated(&pairs)?;
        Tree::grow(pairs)?
    } else {
        match raw.media_type().as_deref() {
            Some("application/json") => Tree::json(json::parse_object(raw.body)?),
            Some("multipart/form-data") => multipart_members(raw)?,
            Some("application/octet-stream") => {
                return Err(Rejection::new(
                    Fault::UnsupportedProtocol,
                    format!(
                        "{} takes no raw body; send application/json",
                        operation.name
                    ),
                ));
            }
            other => {
                return Err(Rejection::new(
                    Fault::UnsupportedProtocol,
                    format!(
                        "content type {} is not supported; send application/json",
                        shown(other.unwrap_or("(none)"))
                    ),
                ));
            }
        }
    };
    settle(coerce_members(operation.params, members))
}

fn multipart_members(raw: RawRequest<'_>) -> Result<Members, Rejection> {
    let mut members = Members::new();
    for part in multipart::parse(raw)? {
        let malformed = |why: &str| {
            Rejection::new(
                Fault::InvalidParameter,
                format!("parameter `{}` {why}", shown(&part.name)),
            )
        };
        let value = if part.json {
            Tree::Json(
                json::parse(part.data).map_err(|why| malformed(&format!("is not JSON: {why}")))?,
            )
        } else if part.file {
            Tree::File
        } else {
            let text = std::str::from_utf8(part.data).map_err(|_| malformed("is not UTF-8"))?;
            Tree::Leaf(text.to_owned())
        };
        if members.insert(part.name.clone(), value).is_some() {
            return Err(malformed("comes more than once"));
        }
    }
    Ok(members)
}

/// Query and body merged: which of the two a parameter travels in differs by
/// client (section 5).
fn sae_tree(signed: &Signed<'_>) -> Result<Members, Rejection> {
    let mut members: Members = signed
        .pairs
        .iter()
        .map(|(key, value)| (key.clone(), Tree::Leaf(value.clone())))
        .collect();
    let raw = signed.raw;
    let more: Vec<(String, Tree)> = match raw.media_type().as_deref() {
        _ if raw.body.is_empty() => Vec::new(),
        Some("application/json") => Tree::json(json::parse_object(raw.body)?)
            .into_iter()
            .collect(),
        Some("application/x-www-form-urlencoded") | None => form::parse(raw.body)?
            .into_iter()
            .map(|(key, value)| (key, Tree::Leaf(value)))
            .collect(),
        Some(other) => {
            return Err(Rejection::new(
                Fault::UnsupportedProtocol,
                format!("content type {} is not supported", shown(other)),
            ));
        }
    };
    for (key, value) in more {
        if members.contains_key(&key) {
            return Err(Rejection::new(
                Fault::InvalidParameter,
                format!("parameter `{}` comes more than once", shown(&key)),
            ));
        }
        members.insert(key, value);
    }
    Ok(members)
}

// ---- coercion ----

/// What is wrong with a parameter; the path is gathered on the way out.
struct Problem {
    fault: Fault,
    path: Vec<String>,
    what: &'static str,
}

impl Problem {
    fn new(fault: Fault, what: &'static str) -> Self {
        Self {
            fault,
            path: Vec::new(),
            what,
        }
    }

    fn within(mut self, segment: impl Into<String>) -> Self {
        self.path.push(segment.into());
        self
    }
}

fn wrong(what: &'static str) -> Problem {
    Problem::new(Fault::InvalidParameter, what)
}

fn settle(done: Result<Map<String, Value>, Problem>) -> Result<Map<String, Value>, Rejection> {
    done.map_err(|problem| {
        let path: Vec<String> = problem.path.iter().rev().map(|s| shown(s)).collect();
        let path = path.join(".");
        let message = format!("parameter `{path}` {}", problem.what);
        Rejection::new(problem.fault, message).about(path)
    })
}

/// Reads the members of an object, or the parameters of an operation.
fn members_of<T>(
    params: &'static [Param],
    given: impl IntoIterator<Item = (String, T)>,
    coerce: fn(&'static Type, T) -> Result<Option<Value>, Problem>,
) -> Result<Map<String, Value>, Problem> {
    let mut out = Map::new();
    for (name, value) in given {
        let Some(param) = params.iter().find(|p| p.name == name) else {
            return Err(Problem::new(Fault::UnknownParameter, "is not known").within(name));
        };
        // Old clients still send what the vendor has retired (section 7,
        // item 7).
        if param.disabled {
            continue;
        }
        if let Some(value) = coerce(&param.ty, value).map_err(|p| p.within(name.as_str()))? {
            out.insert(name, value);
        }
    }
    for param in params {
        if param.required && !out.contains_key(param.name) {
            return Err(Problem::new(Fault::MissingParameter, "is missing").within(param.name));
        }
    }
    Ok(out)
}

fn coerce_members(params: &'static [Param], given: Members) -> Result<Map<String, Value>, Problem> {
    members_of(params, given, coerce_tree)
}

fn coerce_tree(ty: &'static Type, tree: Tree) -> Result<Option<Value>, Problem> {
    match (ty, tree) {
        (_, Tree::Json(value)) => coerce_json(ty, value),
        (_, Tree::File) => Err(wrong("must not be a file")),
        (Type::List(_) | Type::Object(_) | Type::Map, Tree::Leaf(text)) => {
            // A list or object as one JSON text (section 5); its members obey
            // the rules of JSON.
            let value = json::parse(text.as_bytes())
                .map_err(|_| wrong("must be a JSON text of a list or an object"))?;
            coerce_json(ty, value)
        }
        (_, Tree::Leaf(text)) => coerce_text(ty, text).map(Some),
        (Type::List(item), Tree::Branch(members)) => {
            let mut list: Vec<(u32, Tree)> = Vec::with_capacity(members.len());
            for (name, tree) in members {
                let at = index(&name).ok_or_else(|| {
                    wrong("must be a list, its entries numbered").within(name.as_str())
                })?;
                list.push((at, tree));
            }
            // In the order of the numbers; gaps close, and counting may begin
            // at 1, as old samples of the legacy API do.
            list.sort_by_key(|(at, _)| *at);
            let mut out = Vec::with_capacity(list.len());
            for (at, tree) in list {
                let value = coerce_tree(item, tree).map_err(|p| p.within(at.to_string()))?;
                out.extend(value);
            }
            Ok(Some(Value::Array(out)))
        }
        (Type::Object(params), Tree::Branch(members)) => {
            coerce_members(params, members).map(|map| Some(Value::Object(map)))
        }
        (Type::Map, Tree::Branch(members)) => {
            let mut out = Map::new();
            for (name, tree) in members {
                let Tree::Leaf(text) = tree else {
                    return Err(wrong("must be text").within(name));
                };
                out.insert(name, Value::String(text));
            }
            Ok(Some(Value::Object(out)))
        }
        (_, Tree::Branch(_)) => Err(wrong("must be a single value")),
    }
}

/// An entry number: digits without leading zeros, so that no two names mean
/// one entry.
fn index(name: &str) -> Option<u32> {
    let plain = name == "0" || !name.starts_with('0');
    (plain && name.len() <= 6 && name.bytes().all(|b| b.is_ascii_digit()))
        .then(|| name.parse().ok())
        .flatten()
}

/// Reads a single value from text.
fn coerce_text(ty: &'static Type, text: String) -> Result<Value, Problem> {
    Ok(match ty {
        Type::Text => Value::String(text),
        Type::Bool => match text.as_str() {
            // Python sends its own spelling (section 1.1).
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            _ => return Err(wrong("must be true or false")),
        },
        _ => number_from_text(ty, &text)?,
    })
}

fn number_from_text(ty: &'static Type, text: &str) -> Result<Value, Problem> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match ty {
        Type::Int => whole
            .then(|| text.parse::<i64>().ok())
            .flatten()
            .map(Value::from)
            .ok_or_else(|| wrong("must be an integer")),
        Type::Uint => whole
            .then(|| text.parse::<u64>().ok())
            .flatten()
            .map(Value::from)
            .ok_or_else(|| wrong("must be an integer that is not negative")),
        _ => text
            .parse::<f64>()
            .ok()
            .filter(|_| {
                text.bytes()
                    .all(|b| !b.is_ascii_alphabetic() || b == b'e' || b == b'E')
            })
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| wrong("must be a number")),
    }
}

/// Reads a value from JSON: numbers may be text, for the vendor's own sample
/// has `"Limit": "1"`; the rest must be of its type (section 7, item 5). Null
/// is absent.
fn coerce_json(ty: &'static Type, value: Value) -> Result<Option<Value>, Problem> {
    Ok(Some(match (ty, value) {
        (_, Value::Null) => return Ok(None),
        (Type::Text, Value::String(text)) => Value::String(text),
        (Type::Text, _) => return Err(wrong("must be text")),
        (Type::Bool, Value::Bool(b)) => Value::Bool(b),
        (Type::Bool, _) => return Err(wrong("must be true or false")),
        (Type::Int | Type::Uint | Type::Float, Value::String(text)) => number_from_text(ty, &text)?,
        (Type::Int, Value::Number(n)) if n.is_i64() => Value::Number(n),
        (Type::Int, _) => return Err(wrong("must be an integer")),
        (Type::Uint, Value::Number(n)) if n.is_u64() => Value::Number(n),
        (Type::Uint, _) => return Err(wrong("must be an integer that is not negative")),
        (Type::Float, Value::Number(n)) => Value::Number(n),
        (Type::Float, _) => return Err(wrong("must be a number")),
        (Type::List(item), Value::Array(given)) => {
            let mut out = Vec::with_capacity(given.len());
            for (at, value) in given.into_iter().enumerate() {
                let value = coerce_json(item, value).map_err(|p| p.within(at.to_string()))?;
                out.extend(value);
            }
            Value::Array(out)
        }
        (Type::List(_), _) => return Err(wrong("must be a list")),
        (Type::Object(params), Value::Object(given)) => {
            Value::Object(members_of(params, given, coerce_json)?)
        }
        (Type::Object(_), _) => return Err(wrong("must be an object")),
        (Type::Map, Value::Object(given)) => {
            let mut out = Map::new();
            for (name, value) in given {
                match value {
                    Value::Null => {}
                    Value::String(_) => {
                        out.insert(name, value);
                    }
                    _ => return Err(wrong("must be text").within(name)),
                }
            }
            Value::Object(out)
        }
        (Type::Map, _) => return Err(wrong("must be an object")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn params(service: Service, name: &str) -> &'static [Param] {
        find(service, name).expect("known operation").params
    }

    fn from_pairs(service: Service, name: &str, query: &str) -> Result<Value, (Fault, String)> {
        let pairs = form::parse(query.as_bytes()).expect("pairs");
        Tree::grow(pairs)
            .and_then(|tree| settle(coerce_members(params(service, name), tree)))
            .map(Value::Object)
            .map_err(|r| (r.fault, r.message))
    }

    fn from_json(service: Service, name: &str, text: &str) -> Result<Value, (Fault, String)> {
        json::parse_object(text.as_bytes())
            .and_then(|map| settle(coerce_members(params(service, name), Tree::json(map))))
            .map(Value::Object)
            .map_err(|r| (r.fault, r.message))
    }

    #[test]
    fn flattened_parameters() {
        for (query, expect) in [
            ("", json!({})),
            (
                "SnapshotIds.0=a&SnapshotIds.1=b&Offset=0&Limit=20",
                json!({"SnapshotIds": ["a", "b"], "Offset": 0, "Limit": 20}),
            ),
            (
                "SnapshotIds.10=k&SnapshotIds.9=j&SnapshotIds.2=c",
                json!({"SnapshotIds": ["c", "j", "k"]}),
            ),
            (
                "Filters.0.Name=n&Filters.0.Values.0=v&Filters.1.Name=m&Filters.1.Values.0=",
                json!({"Filters": [{"Name": "n", "Values": ["v"]}, {"Name": "m", "Values": [""]}]}),
            ),
        ] {
            assert_eq!(
                from_pairs(Service::Lighthouse, "DescribeSnapshots", query),
                Ok(expect),
                "{query}"
            );
        }
        for (query, expect) in [
            ("InstanceIds.0=a&IsolateDataDisk=True", true),
            ("InstanceIds.0=a&IsolateDataDisk=false", false),
        ] {
            assert_eq!(
                from_pairs(Service::Lighthouse, "IsolateInstances", query),
                Ok(json!({"InstanceIds": ["a"], "IsolateDataDisk": expect}))
            );
        }
    }

    #[test]
    fn flattened_parameters_refused() {
        use Fault::{InvalidParameter, MissingParameter, UnknownParameter};
        for (query, fault, names) in [
            ("Nope=1", UnknownParameter, "`Nope`"),
            ("Filters.0.Nope=1", UnknownParameter, "`Filters.0.Nope`"),
            ("Filters.0.Name=n", MissingParameter, "`Filters.0.Values`"),
            ("Offset=", InvalidParameter, "`Offset`"),
            ("Offset=1.0", InvalidParameter, "`Offset`"),
            ("Offset=%2B1", InvalidParameter, "`Offset`"),
            ("Offset=99999999999999999999", InvalidParameter, "`Offset`"),
            ("Offset.0=1", InvalidParameter, "`Offset`"),
            ("SnapshotIds=a", InvalidParameter, "`SnapshotIds`"),
            ("SnapshotIds.x=a", InvalidParameter, "`SnapshotIds.x`"),
            ("SnapshotIds.00=a", InvalidParameter, "`SnapshotIds.00`"),
            ("SnapshotIds.-1=a", InvalidParameter, "`SnapshotIds.-1`"),
            (
                "SnapshotIds.9999999=a",
                InvalidParameter,
                "`SnapshotIds.9999999`",
            ),
            (
                "SnapshotIds.0=a&SnapshotIds.0.x=b",
                InvalidParameter,
                "`SnapshotIds.0.x`",
            ),
            (
                "SnapshotIds.0.x=b&SnapshotIds.0=a",
                InvalidParameter,
                "`SnapshotIds.0`",
            ),
            ("SnapshotIds.=a", InvalidParameter, "`SnapshotIds.`"),
            (".=a", InvalidParameter, "`.`"),
            ("a.a.a.a.a.a.a.a.a.a.a.a.a=1", InvalidParameter, "`a.a"),
        ] {
            let (got, message) =
                from_pairs(Service::Lighthouse, "DescribeSnapshots", query).expect_err("refused");
            assert_eq!(got, fault, "{query}: {message}");
            assert!(message.contains(names), "{query}: {message}");
        }
    }

    #[test]
    fn json_parameters() {
        for (text, expect) in [
            (
                r#"{"Offset": "5", "Limit": 20, "SnapshotIds": [], "Filters": null}"#,
                json!({"Offset": 5, "Limit": 20, "SnapshotIds": []}),
            ),
            (
                r#"{"SnapshotIds": ["a", null], "Filters": [{"Name": "n", "Values": ["v"]}]}"#,
                json!({"SnapshotIds": ["a"], "Filters": [{"Name": "n", "Values": ["v"]}]}),
            ),
        ] {
            assert_eq!(
                from_json(Service::Lighthouse, "DescribeSnapshots", text),
                Ok(expect),
                "{text}"
            );
        }
        // A retired parameter is known and dropped.
        let text = r#"{"InstanceId": "i", "MasterZone": "z"}"#;
        let got = from_json(Service::Cdb, "CreateCloneInstance", text).expect("accepted");
        assert_eq!(got.get("MasterZone"), None);
    }

    #[test]
    fn json_parameters_refused() {
        use Fault::{InvalidParameter, MissingParameter, UnknownParameter};
        for (text, fault) in [
            (r#"{"Offset": 1.5}"#, InvalidParameter),
            (r#"{"Offset": true}"#, InvalidParameter),
            (r#"{"Offset": "x"}"#, InvalidParameter),
            (r#"{"Offset": 18446744073709551615}"#, InvalidParameter),
            (r#"{"SnapshotIds": "a"}"#, InvalidParameter),
            (r#"{"SnapshotIds": {"0": "a"}}"#, InvalidParameter),
            (r#"{"SnapshotIds": [1]}"#, InvalidParameter),
            (r#"{"Filters": ["x"]}"#, InvalidParameter),
            (
                r#"{"Filters": [{"Name": null, "Values": []}]}"#,
                MissingParameter,
            ),
            (
                r#"{"Filters": [{"Name": "a", "Values": [], "X": 1}]}"#,
                UnknownParameter,
            ),
            (r#"{"snapshotIds": []}"#, UnknownParameter),
            (r#"{"Action": "DescribeSnapshots"}"#, UnknownParameter),
        ] {
            let (got, message) =
                from_json(Service::Lighthouse, "DescribeSnapshots", text).expect_err("refused");
            assert_eq!(got, fault, "{text}: {message}");
        }
        let text = r#"{"InstanceIds": ["a"], "IsolateDataDisk": "true"}"#;
        let (got, _) = from_json(Service::Lighthouse, "IsolateInstances", text).expect_err("text");
        assert_eq!(got, InvalidParameter);
    }

    #[test]
    fn floats() {
        assert_eq!(
            number_from_text(&Type::Float, "-1.5e2").ok(),
            Some(json!(-150.0))
        );
        for bad in ["inf", "NaN", "", "1e999", "infinity"] {
            assert!(number_from_text(&Type::Float, bad).is_err(), "{bad}");
        }
        assert_eq!(
            number_from_text(&Type::Uint, "18446744073709551615").ok(),
            Some(json!(u64::MAX))
        );
        assert!(number_from_text(&Type::Uint, "-1").is_err());
    }

    #[test]
    fn legacy_lists() {
        assert_eq!(
            from_pairs(
                Service::CdbV2,
                "RollbackCdbDatabaseTables",
                "instances.0.cdbInstanceId=c&instances.0.para=%7B%7D"
            ),
            Ok(json!({"instances": [{"cdbInstanceId": "c", "para": "{}"}]}))
        );
        assert_eq!(
            from_pairs(Service::CdbV2, "QueryCdbDatabases", "cdbInstanceIds.1=a"),
            Ok(json!({"cdbInstanceIds": ["a"]}))
        );
    }

    #[test]
    fn slashes() {
        for (path, expect) in [("/a", "/a"), ("//a///b/", "/a/b/"), ("", "")] {
            assert_eq!(single_slashes(path), expect);
        }
    }
}
