//! Plain data that goes in and out of the database.

use crate::Error;

/// One value of a parameter or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// BIGINT; booleans are 0 and 1, instants are milliseconds.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BYTEA.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Int(i64::from(v))
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}

impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}

impl From<&String> for Value {
    fn from(v: &String) -> Self {
        Self::Text(v.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Self {
        Self::Bytes(v)
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Self::from)
    }
}

/// A row: its columns by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value of the column at `index`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when there is no such column or it has another type.
    pub fn get<T: FromValue>(&self, index: usize) -> Result<T, Error> {
        let value = self
            .0
            .get(index)
            .ok_or_else(|| Error::corrupt(format!("row has no column {index}")))?;
        T::from_value(value).ok_or_else(|| {
            Error::corrupt(format!(
                "column {index} is not {}",
                std::any::type_name::<T>()
            ))
        })
    }

    /// The text of the column at `index`, in place.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn text(&self, index: usize) -> Result<&str, Error> {
        match self.0.get(index) {
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(Error::corrupt(format!("column {index} is not text"))),
            None => Err(Error::corrupt(format!("row has no column {index}"))),
        }
    }

    /// Whether the column at `index` is NULL.
    #[must_use]
    pub fn is_null(&self, index: usize) -> bool {
        matches!(self.0.get(index), Some(Value::Null))
    }

    /// The text of the column at `index`, read by `parse`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is no text or `parse` refuses it.
    pub fn parse<T>(
        &self,
        index: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        let text = self.text(index)?;
        parse(text).ok_or_else(|| {
            let start: String = text.chars().take(40).collect();
            Error::corrupt(format!("column {index} has the unexpected value {start:?}"))
        })
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// `None` when the value has another type.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(v) => Some(*v),
            _ => None,
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(v) => Some(*v != 0),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(v) => Some(v.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(v) => Some(v.clone()),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}
