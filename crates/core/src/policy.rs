//! Policies in the two JSON forms that runbooks bring along, and their one
//! meaning here: a deny wins, and nothing is allowed that is not said.
//!
//! ```json
//! {"version":"2.0","statement":[{"effect":"allow","action":["lighthouse:*"],"resource":["*"]}]}
//! {"Version":"1","Statement":[{"Effect":"Allow","Action":"sae:*","Resource":"*"}]}
//! ```
//!
//! Both forms are read by one reader: member names may be all lower-case or
//! capitalised, and `action` and `resource` may be one text or a list. What the
//! reader does not know it refuses. A `condition` that was silently dropped
//! would turn a narrow permission into a wide one.
//!
//! Beside `allow` and `deny` there is an effect of our own, `approve`: what such a
//! statement matches is allowed, but waits until somebody else approves it. It
//! wins over an `allow`, and a `deny` over it. What cannot wait, because what is
//! asked for has no such state, is not allowed by it.
//!
//! ```json
//! {"Version":"1","Statement":[{"Effect":"Allow","Action":"sae:*","Resource":"*"},
//!   {"Effect":"Approve","Action":"sae:RollbackApplication","Resource":"*"}]}
//! ```
//!
//! # Matching
//! - `*` stands for any run of characters, also none, also `:` and `/`; `?` for
//!   exactly one character.
//! - Actions are compared without regard to ASCII case, resources with regard
//!   to it: both forms' vendors do so. The old prefix `name/` of an action is
//!   dropped.
//! - The matcher never backtracks further than to the last `*`: its time is
//!   bounded by pattern length times text length, and the lengths are bounded.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The longest policy text, in bytes. Vendors allow 6 KB and less; ten times
/// that is room for merged ones, and bounds the time of one evaluation.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// How many statements a policy may have. Vendors' own policies have a few
/// dozen at most.
pub const STATEMENTS_MAX: usize = 100;
/// How many actions, and how many resources, one statement may list.
pub const ENTRIES_MAX: usize = 200;
/// The longest pattern, in bytes: several times the longest resource name.
pub const PATTERN_BYTES_MAX: usize = 512;
/// The longest action or resource that is matched, in bytes. A longer one is
/// not of our making and is refused.
pub const SUBJECT_BYTES_MAX: usize = 1024;
/// How much of a foreign text an error repeats, in characters.
const QUOTE_CHARS: usize = 64;

/// Why a policy text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`POLICY_BYTES_MAX`].
    #[error(
        "read a policy of {bytes} bytes: at most {POLICY_BYTES_MAX} are read, split it over several sub-accounts"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not JSON, or an object with the same member twice.
    #[error("read the policy as JSON: {detail}; correct the text there")]
    Json {
        /// What is wrong and where.
        detail: String,
    },
    /// A member that must be there is not.
    #[error("read {place}: the member {member:?} is missing, add it")]
    Missing {
        /// The policy or one of its statements.
        place: String,
        /// The member.
        member: &'static str,
    },
    /// The same member in both capitalisations.
    #[error("read {place}: the member {member:?} is there twice, keep one of them")]
    Twice {
        /// The policy or one of its statements.
        place: String,
        /// The member.
        member: &'static str,
    },
    /// A member that has a meaning elsewhere, but is not supported here.
    #[error(
        "read {place}: the member {member:?} is not supported; nothing of a policy is ignored, so say the same without it"
    )]
    Unsupported {
        /// The policy or one of its statements.
        place: String,
        /// The member as it was written.
        member: String,
    },
    /// A member that no policy has.
    #[error(
        "read {place}: the member {member:?} is unknown; nothing of a policy is ignored, so take it out"
    )]
    Unknown {
        /// The policy or one of its statements.
        place: String,
        /// The member as it was written, cut.
        member: String,
    },
    /// A member of the wrong type.
    #[error("read {place}: {member:?} must be {expected}, correct it")]
    Type {
        /// The policy or one of its statements.
        place: String,
        /// The member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A value that is not one of those allowed.
    #[error("read {place}: {member:?} is {value:?}, give {expected}")]
    Value {
        /// The policy or one of its statements.
        place: String,
        /// The member.
        member: &'static str,
        /// The value, cut.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A list that is empty or too long.
    #[error("read {place}: {member:?} has {count} entries, give 1 to {most}")]
    Count {
        /// The policy or one of its statements.
        place: String,
        /// The member.
        member: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
}

/// What a policy says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every resource is covered by an allow, and none by a deny.
    Allow,
    /// As allow, but once somebody else has approved it: the statement with
    /// this number, from 0, says so of one of the resources.
    Approve(usize),
    /// Not allowed. Either the statement with this number, from 0, denies it,
    /// or (`None`) no statement allows it.
    Deny(Option<usize>),
}

impl Decision {
    /// Whether the request may go on at once.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// A policy that was read and understood as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Policy {
    source: String,
    statements: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Allow,
    Approve,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    effect: Effect,
    /// Lower-case, without `name/`.
    actions: Vec<String>,
    resources: Vec<String>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("statements", &self.statements)
            .finish()
    }
}

impl Policy {
    /// Reads a policy in either form.
    ///
    /// # Errors
    /// [`PolicyError`]: at the first thing that is not understood.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLarge { bytes: text.len() });
        }
        let root: Json = serde_json::from_str(text).map_err(|e| PolicyError::Json {
            detail: e.to_string(),
        })?;
        let place = || "the policy".to_owned();
        let [version, statements] = members(root, ["version", "statement"], &place)?;
        match version {
            Json::Text(v) if v == "1" || v == "2.0" => {}
            Json::Text(v) => {
                return Err(PolicyError::Value {
                    place: place(),
                    member: "version",
                    value: quote(&v),
                    expected: "\"2.0\" or \"1\"",
                });
            }
            _ => return Err(wrong_type(place(), "version", "a text")),
        }
        let Json::List(statements) = statements else {
            return Err(wrong_type(place(), "statement", "a list"));
        };
        check_count(place(), "statement", statements.len(), STATEMENTS_MAX)?;
        let statements = statements
            .into_iter()
            .enumerate()
            .map(|(number, statement)| Statement::read(number, statement))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            source: text.to_owned(),
            statements,
        })
    }

    /// The text it was read from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `action`, e.g. `lighthouse:ApplyInstanceSnapshot`, may be done
    /// to all of `resources`.
    ///
    /// A resource has several equivalent spellings
    /// (`server/lhins-k31c771o`, `qcs::lighthouse:ap-guangzhou:uin/ID:instance/lhins-k31c771o`);
    /// each entry of `resources` lists all of one resource's. It is allowed
    /// when, for every resource, some allow statement matches the action and
    /// one spelling, and no deny statement matches the action and any spelling
    /// of any resource. Different resources may be allowed by different
    /// statements.
    ///
    /// An action on no resource in particular (a list, say) comes with an
    /// empty `resources`. It is treated as the resource `*`: only statements
    /// that are about every resource speak of it.
    #[must_use]
    pub fn evaluate(&self, action: &str, resources: &[Vec<String>]) -> Decision {
        self.judge(action, resources, false)
    }

    /// As [`Policy::evaluate`], for an action that must not be allowed in
    /// passing: only allow statements that spell it out count, those with a
    /// wildcard do not. Deny statements count as ever.
    #[must_use]
    pub fn evaluate_named(&self, action: &str, resources: &[Vec<String>]) -> Decision {
        self.judge(action, resources, true)
    }

    fn judge(&self, action: &str, resources: &[Vec<String>], named: bool) -> Decision {
        let everything = [vec!["*".to_owned()]];
        let resources = if resources.is_empty() {
            &everything
        } else {
            resources
        };
        let too_long = |text: &str| text.len() > SUBJECT_BYTES_MAX;
        if too_long(action) || resources.iter().flatten().any(|r| too_long(r)) {
            return Decision::Deny(None);
        }
        let action = action.to_ascii_lowercase();
        let mut allowed = vec![false; resources.len()];
        let mut approve = None;
        for (number, statement) in self.statements.iter().enumerate() {
            let effect = statement.effect;
            if !statement.actions.iter().any(|p| glob(p, &action)) {
                continue;
            }
            // What only a wildcard speaks of is not allowed in passing; but what
            // waits for approval by one does wait.
            let covers = !named || statement.actions.contains(&action);
            for (resource, allowed) in resources.iter().zip(&mut allowed) {
                // What is allowed already needs no second look.
                if effect == Effect::Allow && (*allowed || !covers) {
                    continue;
                }
                if statement.speaks_of(resource) {
                    match effect {
                        Effect::Deny => return Decision::Deny(Some(number)),
                        Effect::Approve => approve = approve.or(Some(number)),
                        Effect::Allow => {}
                    }
                    *allowed |= covers;
                }
            }
        }
        match (allowed.into_iter().all(|yes| yes), approve) {
            (true, None) => Decision::Allow,
            (true, Some(number)) => Decision::Approve(number),
            (false, _) => Decision::Deny(None),
        }
    }
}

impl Statement {
    fn read(number: usize, json: Json) -> Result<Self, PolicyError> {
        let place = || format!("statement {} of the policy", number + 1);
        let [effect, actions, resources] = members(json, ["effect", "action", "resource"], &place)?;
        let Json::Text(effect) = effect else {
            return Err(wrong_type(place(), "effect", "a text"));
        };
        let effect = match effect.as_str() {
            "allow" | "Allow" => Effect::Allow,
            "approve" | "Approve" => Effect::Approve,
            "deny" | "Deny" => Effect::Deny,
            _ => {
                return Err(PolicyError::Value {
                    place: place(),
                    member: "effect",
                    value: quote(&effect),
                    expected: "\"allow\", \"approve\" or \"deny\"",
                });
            }
        };
        let mut read_actions = Vec::new();
        for action in texts(actions, "action", &place)? {
            let lower = action.to_ascii_lowercase();
            let lower = lower.strip_prefix("name/").unwrap_or(&lower);
            if !is_action_pattern(lower) {
                return Err(PolicyError::Value {
                    place: place(),
                    member: "action",
                    value: quote(&action),
                    expected: "\"*\" or the form \"service:Action*\"",
                });
            }
            read_actions.push(lower.to_owned());
        }
        let resources = texts(resources, "resource", &place)?;
        if let Some(bad) = resources
            .iter()
            .find(|r| r.chars().any(|c| c.is_control() || c.is_whitespace()))
        {
            return Err(PolicyError::Value {
                place: place(),
                member: "resource",
                value: quote(bad),
                expected: "names without spaces",
            });
        }
        Ok(Self {
            effect,
            actions: read_actions,
            resources,
        })
    }

    fn speaks_of(&self, spellings: &[String]) -> bool {
        self.resources
            .iter()
            .any(|pattern| spellings.iter().any(|spelling| glob(pattern, spelling)))
    }
}

/// `*`, or `service:Action` with wildcards anywhere. A pattern without a colon
/// would match nothing, which its author cannot have meant.
fn is_action_pattern(lower: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'_' | b'-' | b'.');
    if lower == "*" {
        return true;
    }
    lower.split_once(':').is_some_and(|(service, action)| {
        !service.is_empty()
            && !action.is_empty()
            && service.bytes().all(known)
            && action.bytes().all(known)
    })
}

/// Takes the wanted members out of an object, whatever their capitalisation,
/// and refuses all others.
fn members<const N: usize>(
    json: Json,
    wanted: [&'static str; N],
    place: &dyn Fn() -> String,
) -> Result<[Json; N], PolicyError> {
    const UNSUPPORTED: [&str; 6] = [
        "condition",
        "notaction",
        "notresource",
        "principal",
        "notprincipal",
        "sid",
    ];
    let Json::Object(found) = json else {
        return Err(wrong_type(place(), wanted[0], "a member of an object"));
    };
    let mut out = [const { None }; N];
    for (name, value) in found {
        let slot = wanted
            .iter()
            .position(|w| name == *w || is_capitalised(&name, w));
        let Some(slot) = slot else {
            let lower = name.to_ascii_lowercase().replace('_', "");
            return Err(if UNSUPPORTED.contains(&lower.as_str()) {
                PolicyError::Unsupported {
                    place: place(),
                    member: name,
                }
            } else {
                PolicyError::Unknown {
                    place: place(),
                    member: quote(&name),
                }
            });
        };
        if out[slot].replace(value).is_some() {
            return Err(PolicyError::Twice {
                place: place(),
                member: wanted[slot],
            });
        }
    }
    for (member, value) in wanted.iter().zip(&out) {
        if value.is_none() {
            return Err(PolicyError::Missing {
                place: place(),
                member,
            });
        }
    }
    Ok(out.map(|value| value.unwrap_or(Json::Other)))
}

/// Whether `name` is `lower` with its first letter in upper case.
fn is_capitalised(name: &str, lower: &str) -> bool {
    name.len() == lower.len()
        && name.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
        && name.as_bytes()[1..] == lower.as_bytes()[1..]
        && name.eq_ignore_ascii_case(lower)
}

/// One text or a list of texts, none of them empty or too long.
fn texts(
    json: Json,
    member: &'static str,
    place: &dyn Fn() -> String,
) -> Result<Vec<String>, PolicyError> {
    const EXPECTED: &str = "a text or a list of texts";
    let out = match json {
        Json::Text(one) => vec![one],
        Json::List(many) => many
            .into_iter()
            .map(|entry| match entry {
                Json::Text(text) => Ok(text),
                _ => Err(wrong_type(place(), member, EXPECTED)),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong_type(place(), member, EXPECTED)),
    };
    check_count(place(), member, out.len(), ENTRIES_MAX)?;
    if let Some(bad) = out
        .iter()
        .find(|t| t.is_empty() || t.len() > PATTERN_BYTES_MAX)
    {
        return Err(PolicyError::Value {
            place: place(),
            member,
            value: quote(bad),
            expected: "entries of 1 to 512 bytes",
        });
    }
    Ok(out)
}

fn check_count(
    place: String,
    member: &'static str,
    count: usize,
    most: usize,
) -> Result<(), PolicyError> {
    if count == 0 || count > most {
        return Err(PolicyError::Count {
            place,
            member,
            count,
            most,
        });
    }
    Ok(())
}

fn wrong_type(place: String, member: &'static str, expected: &'static str) -> PolicyError {
    PolicyError::Type {
        place,
        member,
        expected,
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTE_CHARS).collect()
}

/// Whether `action`, e.g. `service:Action`, has the form of `pattern`, as in a
/// policy: `*` and `?` are wildcards, ASCII case makes no difference.
#[must_use]
pub fn action_matches(pattern: &str, action: &str) -> bool {
    let fits = |text: &str| text.len() <= SUBJECT_BYTES_MAX;
    fits(pattern)
        && fits(action)
        && glob(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

/// Whether `text` as a whole has the form of `pattern`.
///
/// Once a later `*` is reached, whatever an earlier one stands for need not be
/// reconsidered: the earliest place where the part between them fits leaves
/// the most to the rest. So only the last `*` is ever returned to.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`, and up to where it stands for.
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                last_star = Some((p, t));
            }
            Some(b'?') => {
                p += 1;
                t = next_char(text, t);
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, upto)) = last_star else {
                    return false;
                };
                let upto = next_char(text, upto);
                last_star = Some((after, upto));
                (p, t) = (after, upto);
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// The index of the first byte of the character after the one at `at`.
fn next_char(text: &[u8], at: usize) -> usize {
    let is_continuation = |b: &u8| (*b & 0xc0) == 0x80;
    let rest = text.get(at + 1..).unwrap_or_default();
    at + 1 + rest.iter().take_while(|b| is_continuation(b)).count()
}

/// JSON in which an object keeps all its members, so that one that is there
/// twice is refused. (`serde_json::Value` keeps the last, other readers the
/// first: two readings of one permission.)
enum Json {
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// Null, a boolean or a number: no member of a policy is one.
    Other,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(entry) = list.next_element()? {
            out.push(entry);
        }
        Ok(Json::List(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut out: Vec<(String, Json)> = Vec::new();
        // A policy's objects have a handful of members; the set is for texts
        // that are no policy.
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(serde::de::Error::custom(format_args!(
                    "the member {:?} is there twice",
                    quote(&name)
                )));
            }
            let value = object.next_value()?;
            out.push((name, value));
        }
        Ok(Json::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn resources(list: &[&[&str]]) -> Vec<Vec<String>> {
        list.iter()
            .map(|spellings| spellings.iter().map(|s| (*s).to_owned()).collect())
            .collect()
    }

    #[test]
    fn both_forms_are_read() {
        for (text, action, allowed) in [
            (
                r#"{"version":"2.0","statement":[{"effect":"allow","action":["lighthouse:*","name/cdb:Describe*"],"resource":["*"]}]}"#,
                "lighthouse:ApplyInstanceSnapshot",
                true,
            ),
            (
                r#"{"version":"2.0","statement":[{"effect":"allow","action":["lighthouse:*","name/cdb:Describe*"],"resource":["*"]}]}"#,
                "cdb:DescribeRollbackRangeTime",
                true,
            ),
            (
                r#"{"version":"2.0","statement":[{"effect":"allow","action":["name/*"],"resource":"*"}]}"#,
                "cdb:StartBatchRollback",
                true,
            ),
            (
                r#"{"version":"2.0","statement":[{"effect":"allow","action":["lighthouse:*","name/cdb:Describe*"],"resource":["*"]}]}"#,
                "cdb:StartBatchRollback",
                false,
            ),
            (
                r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sae:*","Resource":"*"}]}"#,
                "sae:RollbackApplication",
                true,
            ),
            (
                r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"SAE:rollback*","Resource":"*"}]}"#,
                "sae:RollbackApplication",
                true,
            ),
            (
                r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sae:Rollback?pplication","Resource":"*"}]}"#,
                "sae:RollbackApplication",
                true,
            ),
        ] {
            assert_eq!(
                policy(text).evaluate(action, &[]).is_allowed(),
                allowed,
                "{text} {action}"
            );
        }
    }

    #[test]
    fn deny_wins_and_nothing_is_allowed_that_is_not_said() {
        let p = policy(
            r#"{"version":"2.0","statement":[
                {"effect":"allow","action":"lighthouse:*","resource":["server/*"]},
                {"effect":"allow","action":"sae:*","resource":["acs:sae:*:*:application/app-1","acs:sae:*:*:application/app-2"]},
                {"effect":"deny","action":"lighthouse:*","resource":"qcs::lighthouse:*:*:instance/lhins-00000001"}]}"#,
        );
        let one: &[&str] = &[
            "server/lhins-00000001",
            "qcs::lighthouse:ap-guangzhou:uin/1:instance/lhins-00000001",
        ];
        let two: &[&str] = &[
            "server/lhins-00000002",
            "qcs::lighthouse:ap-guangzhou:uin/1:instance/lhins-00000002",
        ];
        let app = |n: u8| format!("acs:sae:cn-hangzhou:1:application/app-{n}");
        let (app1, app2, app3) = (app(1), app(2), app(3));
        for (action, list, expected) in [
            (
                "lighthouse:ApplyInstanceSnapshot",
                &[two][..],
                Decision::Allow,
            ),
            (
                "lighthouse:ApplyInstanceSnapshot",
                &[one],
                Decision::Deny(Some(2)),
            ),
            (
                "lighthouse:ApplyInstanceSnapshot",
                &[two, one],
                Decision::Deny(Some(2)),
            ),
            ("cdb:StartBatchRollback", &[two], Decision::Deny(None)),
            // A list is about everything; this policy is not.
            ("lighthouse:DescribeSnapshots", &[], Decision::Deny(None)),
            // Each resource by its own entry.
            (
                "sae:RollbackApplication",
                &[&[&app1], &[&app2]],
                Decision::Allow,
            ),
            (
                "sae:RollbackApplication",
                &[&[&app1], &[&app3]],
                Decision::Deny(None),
            ),
            // A resource without a name cannot be allowed.
            ("sae:RollbackApplication", &[&[]], Decision::Deny(None)),
        ] {
            assert_eq!(
                p.evaluate(action, &resources(list)),
                expected,
                "{action} {list:?}"
            );
        }
    }

    #[test]
    fn some_actions_must_be_spelled_out() {
        let on = |statements: &str| {
            policy(&format!(
                r#"{{"version":"2.0","statement":[{statements}]}}"#
            ))
        };
        let all = r#"{"effect":"allow","action":"*","resource":"*"}"#;
        let service = r#"{"effect":"allow","action":["s:*","s:?urn"],"resource":"*"}"#;
        let named = r#"{"effect":"allow","action":["x:y","name/S:Burn"],"resource":"server/test"}"#;
        let deny = r#"{"effect":"deny","action":"s:B*","resource":"*"}"#;
        let test = resources(&[&["server/test"]]);
        let other = resources(&[&["server/web"]]);
        for (statements, list, expected) in [
            (all.to_owned(), &test, Decision::Deny(None)),
            (service.to_owned(), &test, Decision::Deny(None)),
            (format!("{all},{named}"), &test, Decision::Allow),
            (format!("{all},{named}"), &other, Decision::Deny(None)),
            (format!("{named},{deny}"), &test, Decision::Deny(Some(1))),
        ] {
            let got = on(&statements).evaluate_named("s:burn", list);
            assert_eq!(got, expected, "{statements}");
        }
        assert!(on(all).evaluate("s:burn", &other).is_allowed());
    }

    #[test]
    fn what_waits_for_approval_is_not_allowed_at_once() {
        let on =
            |statements: &str| policy(&format!(r#"{{"Version":"1","Statement":[{statements}]}}"#));
        let all = r#"{"Effect":"Allow","Action":"s:*","Resource":"*"}"#;
        let wait = r#"{"Effect":"Approve","Action":"s:Burn","Resource":"app/live"}"#;
        let wide = r#"{"Effect":"approve","Action":"s:*","Resource":"*"}"#;
        let deny = r#"{"Effect":"Deny","Action":"s:Burn","Resource":"*"}"#;
        let (live, test) = (&["app/live"][..], &["app/test"][..]);
        for (statements, list, expected) in [
            (format!("{all},{wait}"), vec![test], Decision::Allow),
            (format!("{all},{wait}"), vec![live], Decision::Approve(1)),
            (format!("{wait},{all}"), vec![live], Decision::Approve(0)),
            // One of several waits: all do.
            (
                format!("{all},{wait}"),
                vec![test, live],
                Decision::Approve(1),
            ),
            // It allows by itself, what it speaks of.
            (wait.to_owned(), vec![live], Decision::Approve(0)),
            (wait.to_owned(), vec![test], Decision::Deny(None)),
            (
                format!("{wait},{deny}"),
                vec![live],
                Decision::Deny(Some(1)),
            ),
            (wide.to_owned(), vec![test], Decision::Approve(0)),
        ] {
            let got = on(&statements).evaluate("s:burn", &resources(&list));
            assert_eq!(got, expected, "{statements} {list:?}");
            assert_eq!(got.is_allowed(), expected == Decision::Allow);
        }
        // What must be spelled out is allowed by no wildcard; but one lets it
        // wait.
        let named = r#"{"Effect":"Allow","Action":"s:Burn","Resource":"*"}"#;
        for (statements, expected) in [
            (wide.to_owned(), Decision::Deny(None)),
            (format!("{named},{wide}"), Decision::Approve(1)),
            (named.to_owned(), Decision::Allow),
        ] {
            let got = on(&statements).evaluate_named("s:burn", &resources(&[live]));
            assert_eq!(got, expected, "{statements}");
        }
    }

    #[test]
    fn actions_have_the_form_of_patterns() {
        assert!(action_matches("s:*", "S:Burn"));
        assert!(action_matches("S:BURN", "s:burn"));
        assert!(!action_matches("s:Bur", "s:Burn"));
        assert!(!action_matches("*", &"x".repeat(SUBJECT_BYTES_MAX + 1)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let with = |statement: &str| format!(r#"{{"version":"2.0","statement":[{statement}]}}"#);
        for (text, words) in [
            (String::new(), "as JSON"),
            ("[]".into(), "member of an object"),
            ("{} x".into(), "as JSON"),
            ("{}".into(), "\"version\" is missing"),
            (r#"{"version":"2.0"}"#.into(), "\"statement\" is missing"),
            (r#"{"version":2,"statement":[]}"#.into(), "must be a text"),
            (
                r#"{"version":"3","statement":[]}"#.into(),
                "give \"2.0\" or \"1\"",
            ),
            (
                r#"{"version":"2.0","statement":{}}"#.into(),
                "must be a list",
            ),
            (with(""), "has 0 entries"),
            (
                r#"{"version":"1","version":"1","statement":[]}"#.into(),
                "twice",
            ),
            (
                r#"{"version":"1","Version":"1","statement":[]}"#.into(),
                "twice",
            ),
            (r#"{"VERSION":"1","statement":[]}"#.into(), "unknown"),
            (
                with(r#"{"effect":"allow","action":"*","resource":"*","condition":{}}"#),
                "not supported",
            ),
            (
                with(r#"{"effect":"allow","NotAction":"a:*","resource":"*"}"#),
                "not supported",
            ),
            (
                with(r#"{"effect":"allow","action":"*","resource":"*","principal":{"qcs":[]}}"#),
                "not supported",
            ),
            (
                with(r#"{"effect":"allow","action":"*","resource":"*","recource":"*"}"#),
                "unknown",
            ),
            (
                with(r#"{"effect":"allow","action":"*"}"#),
                "\"resource\" is missing",
            ),
            (
                with(r#"{"effect":"permit","action":"*","resource":"*"}"#),
                "give \"allow\"",
            ),
            (
                with(r#"{"effect":"allow","action":"cdb","resource":"*"}"#),
                "the form",
            ),
            (
                with(r#"{"effect":"allow","action":"cdb:","resource":"*"}"#),
                "the form",
            ),
            (
                with(r#"{"effect":"allow","action":"permid/1:x","resource":"*"}"#),
                "the form",
            ),
            (
                with(r#"{"effect":"allow","action":[],"resource":"*"}"#),
                "has 0 entries",
            ),
            (
                with(r#"{"effect":"allow","action":["a:b",1],"resource":"*"}"#),
                "list of texts",
            ),
            (
                with(r#"{"effect":"allow","action":"*","resource":null}"#),
                "list of texts",
            ),
            (
                with(r#"{"effect":"allow","action":"*","resource":["a b"]}"#),
                "without spaces",
            ),
            (
                with(r#"{"effect":"allow","action":"*","resource":""}"#),
                "1 to 512",
            ),
        ] {
            let error = Policy::parse(&text).expect_err(&text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let statement = r#"{"effect":"allow","action":"*","resource":"*"}"#;
        let of = |count: usize| {
            format!(
                r#"{{"version":"1","statement":[{}]}}"#,
                vec![statement; count].join(",")
            )
        };
        assert!(Policy::parse(&of(STATEMENTS_MAX)).is_ok());
        assert!(matches!(
            Policy::parse(&of(STATEMENTS_MAX + 1)),
            Err(PolicyError::Count { .. })
        ));
        assert!(matches!(
            Policy::parse(&" ".repeat(POLICY_BYTES_MAX + 1)),
            Err(PolicyError::TooLarge { .. })
        ));
        let deep = "[".repeat(10_000);
        assert!(matches!(
            Policy::parse(&deep),
            Err(PolicyError::Json { .. })
        ));
        let p = policy(&of(1));
        let long = vec![vec!["x".repeat(SUBJECT_BYTES_MAX + 1)]];
        assert_eq!(p.evaluate("a:b", &long), Decision::Deny(None));
    }

    #[test]
    fn the_worst_pattern_does_not_blow_up() {
        let pattern = "*a".repeat(PATTERN_BYTES_MAX / 2 - 1) + "*b";
        let text = "a".repeat(SUBJECT_BYTES_MAX);
        let started = std::time::Instant::now();
        assert!(!glob(&pattern, &text));
        // Exponential time would be longer than the universe has; half a
        // million steps take milliseconds.
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn a_question_mark_is_one_character() {
        assert!(glob("server/?", "server/é"));
        assert!(!glob("server/?", "server/éé"));
        assert!(glob("*é?", "aéé"));
        assert!(!glob("?", ""));
        assert!(glob("**", ""));
    }

    /// The definition, with all the backtracking there is.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(('*', rest)), _) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            (Some(('?', rest)), Some((_, after))) => naive(rest, after),
            (Some((p, rest)), Some((t, after))) => p == t && naive(rest, after),
            (Some(_), None) => false,
        }
    }

    fn naive_text(pattern: &str, text: &str) -> bool {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        naive(&chars(pattern), &chars(text))
    }

    proptest! {
        #[test]
        fn glob_is_as_defined(pattern in "[ab*?é]{0,10}", text in "[abé]{0,12}") {
            prop_assert_eq!(glob(&pattern, &text), naive_text(&pattern, &text));
        }

        #[test]
        fn evaluation_is_as_defined(
            statements in proptest::collection::vec(
                (any::<bool>(), "[ab*]{1,3}", proptest::collection::vec("[xy*?]{1,3}", 1..3)), 1..5),
            action in "[abAB]{1,2}",
            list in proptest::collection::vec(proptest::collection::vec("[xy]{1,3}", 1..3), 1..3),
        ) {
            let text = serde_json::json!({
                "version": "1",
                "statement": statements.iter().map(|(allow, a, r)| serde_json::json!({
                    "effect": if *allow { "Allow" } else { "Deny" },
                    "action": format!("s:{a}"),
                    "resource": r,
                })).collect::<Vec<_>>(),
            }).to_string();
            let says = |allow: bool, spelling: &String| statements.iter().any(|(a, pattern, r)| {
                *a == allow
                    && naive_text(pattern, &action.to_lowercase())
                    && r.iter().any(|r| naive_text(r, spelling))
            });
            let expected = list.iter().all(|spellings| spellings.iter().any(|s| says(true, s)))
                && !list.iter().flatten().any(|s| says(false, s));
            let got = policy(&text).evaluate(&format!("S:{action}"), &list);
            prop_assert_eq!(got.is_allowed(), expected, "{}", text);
        }

        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = Policy::parse(&text);
        }
    }
}
