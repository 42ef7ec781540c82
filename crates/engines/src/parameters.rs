//! Parameters of a version: what values they take, and what becomes of values
//! when the version changes. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Pairs;

/// The longest value of a parameter that says no limit, in bytes.
pub const VALUE_MAX_BYTES: usize = 4096;

/// The most that all parameters of an instance may have, in bytes, names and
/// values: they are handed to it in one variable, of which the kernel takes
/// 128 KiB, and may be written there with twice as many.
pub const PAIRS_MAX_BYTES: usize = 48 << 10;

/// The parameters of a version, by name.
pub type Specs = BTreeMap<String, Spec>;

/// What a parameter is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What its values are.
    #[serde(default, rename = "type")]
    pub kind: ValueType,
    /// What holds where none is set; without one a value must be set.
    #[serde(default)]
    pub default: Option<Scalar>,
    /// The values that it takes; empty when any of its type is fine.
    #[serde(default)]
    pub allowed: Vec<Scalar>,
    /// The longest value, in bytes.
    #[serde(default)]
    pub max_length: Option<u32>,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// Whether only this house sets it.
    #[serde(default)]
    pub internal: bool,
}

/// A value as a catalogue entry may write it. All are texts to an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "String")]
pub struct Scalar(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl From<Written> for Scalar {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Bool(value) => value.to_string(),
            Written::Integer(value) => value.to_string(),
            Written::Number(value) => value.to_string(),
            Written::Text(value) => value,
        })
    }
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> Self {
        scalar.0
    }
}

/// What the values of a parameter are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Any text without control characters.
    #[default]
    String,
    /// A whole number.
    #[serde(alias = "int")]
    Integer,
    /// A number.
    #[serde(alias = "float", alias = "double")]
    Number,
    /// `true` or `false`.
    #[serde(alias = "bool")]
    Boolean,
}

impl ValueType {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Self::String => !value.chars().any(char::is_control),
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Boolean => matches!(value, "true" | "false"),
        }
    }
}

/// Why a value is not accepted, as a fragment that fits "failed to ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// The version has no such parameter.
    #[error("set parameter {0:?}: the version has none of that name")]
    Unknown(String),
    /// Only this house sets it.
    #[error("set parameter {0:?}: it is not the user's to set")]
    Internal(String),
    /// It has another type.
    #[error("set parameter {name:?} to {value:?}: it takes a value of type {}", kind.as_str())]
    Type {
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// What it should be.
        kind: ValueType,
    },
    /// It is none of those that are allowed.
    #[error("set parameter {name:?} to {value:?}: it takes {allowed}")]
    NotAllowed {
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// The values that it takes.
        allowed: String,
    },
    /// It is too long.
    #[error("set parameter {name:?}: its value has more than {most} bytes")]
    TooLong {
        /// The parameter.
        name: String,
        /// The longest, in bytes.
        most: usize,
    },
    /// Nothing is set, and there is no default.
    #[error("leave parameter {0:?} unset: the version has no default for it; set it first")]
    Missing(String),
}

impl BadValue {
    /// The parameter.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(name)
            | Self::Internal(name)
            | Self::Missing(name)
            | Self::Type { name, .. }
            | Self::NotAllowed { name, .. }
            | Self::TooLong { name, .. } => name,
        }
    }
}

/// Whether a parameter takes a value.
///
/// # Errors
/// [`BadValue`], but not [`BadValue::Missing`].
pub fn check(specs: &Specs, name: &str, value: &str) -> Result<(), BadValue> {
    let Some(spec) = specs.get(name) else {
        return Err(BadValue::Unknown(name.to_owned()));
    };
    if spec.internal {
        return Err(BadValue::Internal(name.to_owned()));
    }
    check_value(name, spec, value)
}

/// As [`check`], also of a parameter that only this house sets.
pub(crate) fn check_value(name: &str, spec: &Spec, value: &str) -> Result<(), BadValue> {
    let most = spec
        .max_length
        .map_or(VALUE_MAX_BYTES, |most| most as usize);
    if value.len() > most.min(VALUE_MAX_BYTES) {
        return Err(BadValue::TooLong {
            name: name.to_owned(),
            most,
        });
    }
    if !spec.kind.takes(value) {
        return Err(BadValue::Type {
            name: name.to_owned(),
            value: value.to_owned(),
            kind: spec.kind,
        });
    }
    if !spec.allowed.is_empty() && !spec.allowed.iter().any(|a| a.0 == value) {
        let allowed: Vec<&str> = spec.allowed.iter().map(|a| a.0.as_str()).collect();
        return Err(BadValue::NotAllowed {
            name: name.to_owned(),
            value: value.to_owned(),
            allowed: allowed.join(", "),
        });
    }
    Ok(())
}

/// All values that are not accepted.
#[must_use]
pub fn check_all(specs: &Specs, pairs: &Pairs) -> Vec<BadValue> {
    pairs
        .iter()
        .filter_map(|(name, value)| check(specs, name, value).err())
        .collect()
}

/// How many bytes parameters have, names and values.
#[must_use]
pub fn bytes(pairs: &Pairs) -> usize {
    pairs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// What becomes of a value that was set, or of a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The new version takes the value: it stays.
    Kept,
    /// The new version knows the parameter, and does not take the value: its
    /// default holds. Also of what the new version has and the old one had not.
    Defaulted,
    /// The new version does not know the parameter.
    Dropped,
}

/// One line of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// The parameter.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What was in force before.
    pub before: Option<String>,
    /// What is in force afterwards.
    pub after: Option<String>,
}

/// What becomes of parameters when the version changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The values that stay set.
    pub set: Pairs,
    /// Every parameter that was set, and every one that is new, by name.
    pub lines: Vec<Migrated>,
    /// Parameters of the new version that have neither a value nor a default.
    pub missing: Vec<String>,
}

/// Says what becomes of the values that were `set` when a version with the
/// parameters `old` gives way to one with the parameters `new`.
#[must_use]
pub fn migrate(set: &Pairs, old: &Specs, new: &Specs) -> Migration {
    let mut out = Migration::default();
    for (name, value) in set {
        let default = new.get(name).map(default_of);
        let (fate, after) = match default {
            None => (Fate::Dropped, None),
            Some(_) if check(new, name, value).is_ok() => (Fate::Kept, Some(value.clone())),
            Some(default) => (Fate::Defaulted, default),
        };
        if fate == Fate::Kept {
            out.set.insert(name.clone(), value.clone());
        }
        out.lines.push(Migrated {
            name: name.clone(),
            fate,
            before: Some(value.clone()),
            after,
        });
    }
    for (name, spec) in new {
        let is_set = out.set.contains_key(name);
        if !is_set && spec.default.is_none() {
            out.missing.push(name.clone());
        }
        if !set.contains_key(name) && !old.contains_key(name) {
            out.lines.push(Migrated {
                name: name.clone(),
                fate: Fate::Defaulted,
                before: None,
                after: default_of(spec),
            });
        }
    }
    out.lines.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// The values that are in force: those that are set, and the defaults.
#[must_use]
pub fn in_force(set: &Pairs, specs: &Specs) -> Pairs {
    let mut out: Pairs = specs
        .iter()
        .filter_map(|(name, spec)| Some((name.clone(), default_of(spec)?)))
        .collect();
    out.extend(set.clone());
    out
}

fn default_of(spec: &Spec) -> Option<String> {
    spec.default.as_ref().map(|default| default.0.clone())
}
