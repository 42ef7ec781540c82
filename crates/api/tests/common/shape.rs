//! Whether an answer has the shape that its contract gives it: every member
//! known, all there that must be, each of its type, no null where there is none,
//! and only the words and numbers that it lists.

use serde_json::{Map, Value};

use super::pages;

/// A contract, and what answers may have beside it.
pub struct Contract {
    /// What is in its file.
    pub all: Value,
    /// Members that it does not have, and ours do.
    pub own: &'static [&'static str],
    /// Words that other pages of the vendor have: how the place begins and ends,
    /// and the word.
    pub more_words: &'static [(&'static str, &'static str, &'static str)],
}

impl Contract {
    /// The one in that file of the folder `contract`.
    pub fn read(name: &str) -> Self {
        let text = pages::read(&format!("contract/{name}.json"));
        Self {
            all: serde_json::from_str(&text).unwrap(),
            own: &[],
            more_words: &[],
        }
    }

    /// What is wrong with the answer of an operation; nothing when all is well.
    pub fn wrong(&self, action: &str, answer: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let operation = &self.all["operations"][action];
        assert!(operation.is_object(), "{action} is an operation");
        let known = self.members_of(&operation["response"]);
        self.members(action, known, answer, &mut wrong);
        wrong
    }

    /// The members of an answer: a list, or the name of a type.
    pub fn members_of<'a>(&'a self, response: &'a Value) -> &'a [Value] {
        match response["ref"].as_str() {
            Some(name) => self.fields(name),
            None => list(response),
        }
    }

    fn fields(&self, name: &str) -> &[Value] {
        let fields = list(&self.all["types"][name]["fields"]);
        assert!(!fields.is_empty(), "{name} has members");
        fields
    }

    fn members(&self, place: &str, known: &[Value], value: &Value, wrong: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            wrong.push(format!("{place} is no object: {value}"));
            return;
        };
        self.unknown(place, known, object, wrong);
        for param in known {
            let name = text(param, "name");
            let place = format!("{place}.{name}");
            match object.get(name) {
                None if param["always_present"] == true => {
                    wrong.push(format!("{place} is missing"));
                }
                Some(Value::Null) if param["nullable"] != true => {
                    wrong.push(format!("{place} is null"));
                }
                None | Some(Value::Null) => {}
                Some(value) => self.typed(&place, param, value, wrong),
            }
        }
    }

    /// Members that are not of the contract.
    pub fn unknown(
        &self,
        place: &str,
        known: &[Value],
        object: &Map<String, Value>,
        wrong: &mut Vec<String>,
    ) {
        for name in object.keys() {
            let known = known.iter().any(|param| text(param, "name") == name);
            if !known && !self.own.contains(&name.as_str()) {
                wrong.push(format!("{place}.{name} is not of the contract"));
            }
        }
    }

    fn typed(&self, place: &str, param: &Value, value: &Value, wrong: &mut Vec<String>) {
        let kind = text(param, "type");
        let fits = match kind {
            "string" => value.is_string(),
            "integer" if text(param, "format").starts_with('u') => value.is_u64(),
            "integer" => value.is_i64(),
            "number" | "float" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{place} has the type {other}"),
        };
        if !fits {
            wrong.push(format!("{place} is no {kind}: {value}"));
            return;
        }
        for (at, entry) in list(value).iter().enumerate() {
            self.typed(&format!("{place}.{at}"), &param["items"], entry, wrong);
        }
        if let Some(name) = param["ref"].as_str() {
            self.members(place, self.fields(name), value, wrong);
        }
        self.words(place, param, value, wrong);
    }

    /// A value that is none of those that the contract lists.
    pub fn words(&self, place: &str, param: &Value, value: &Value, wrong: &mut Vec<String>) {
        let known: Vec<String> = match &param["values"] {
            Value::Array(values) => values.iter().map(plain).collect(),
            Value::Object(values) => values.keys().cloned().collect(),
            _ => return,
        };
        let value = plain(value);
        let besides = self.more_words.iter().any(|(begin, end, word)| {
            place.starts_with(begin) && place.ends_with(end) && value == *word
        });
        if !known.contains(&value) && !besides {
            wrong.push(format!("{place} is {value}, not one of {known:?}"));
        }
    }
}

/// The entries of a list; none of what is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A member that is text; empty where there is none.
pub fn text<'a>(param: &'a Value, member: &str) -> &'a str {
    param[member].as_str().unwrap_or_default()
}

/// A value as the contract writes it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
