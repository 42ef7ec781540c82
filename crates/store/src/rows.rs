//! Rows and pages of them: what is common to all crates that have tables.

use crate::{Error, Row, Tx, Value, params, query_one};

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return, at most 100.
    pub limit: u64,
}

/// One condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    /// It has one of these keys.
    Keys(Vec<String>),
    /// It has one of these values, under any key.
    Values(Vec<String>),
    /// It has this key with one of these values.
    Pair(String, Vec<String>),
}

/// A `WHERE` under construction. Names of columns and tables are the caller's
/// own words; what comes from outside is bound.
#[derive(Debug)]
pub struct Conditions {
    /// What follows `WHERE`.
    pub sql: String,
    /// What is bound, `$1` first.
    pub params: Vec<Value>,
}

impl Conditions {
    /// Begins with `first = value`.
    pub fn new(first: &str, value: impl Into<Value>) -> Self {
        Self {
            sql: format!("{first} = $1"),
            params: vec![value.into()],
        }
    }

    /// Binds a value; returns its mark, such as `$2`.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    /// The column is one of the values; of no values, anything.
    pub fn one_of<V: Into<Value>>(&mut self, column: &str, values: impl IntoIterator<Item = V>) {
        let marks: Vec<String> = values.into_iter().map(|v| self.bind(v)).collect();
        if !marks.is_empty() {
            self.sql
                .push_str(&format!(" AND {column} IN ({})", marks.join(", ")));
        }
    }

    /// The column has the value, where there is one.
    pub fn is(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let mark = self.bind(value);
            self.sql.push_str(&format!(" AND {column} = {mark}"));
        }
    }

    /// The column is at least `from` and at most `to`.
    pub fn between(&mut self, column: &str, from: Option<i64>, to: Option<i64>) {
        if let Some(from) = from {
            let mark = self.bind(from);
            self.sql.push_str(&format!(" AND {column} >= {mark}"));
        }
        if let Some(to) = to {
            let mark = self.bind(to);
            self.sql.push_str(&format!(" AND {column} <= {mark}"));
        }
    }

    /// One of the columns has the text in it, whatever the case.
    pub fn contains(&mut self, columns: &[&str], text: Option<&str>) {
        let Some(text) = text else { return };
        let mark = self.bind(format!("%{}%", escaped(text)));
        let any: Vec<String> = columns
            .iter()
            .map(|c| format!("LOWER({c}) LIKE LOWER({mark}) ESCAPE '!'"))
            .collect();
        self.sql.push_str(&format!(" AND ({})", any.join(" OR ")));
    }

    /// The column is the id of something with all these labels, which are in
    /// `table`: `resource`, `tag_key`, `tag_value`.
    pub fn tags(&mut self, column: &str, table: &str, filters: &[TagFilter]) {
        for filter in filters {
            let tagged = self.tagged(table, filter);
            self.sql.push_str(&format!(" AND {column} IN ({tagged})"));
        }
    }

    /// A query for the resources with such a label; `table` as for
    /// [`Conditions::tags`].
    pub fn tagged(&mut self, table: &str, filter: &TagFilter) -> String {
        let mut inner = Self {
            sql: String::new(),
            params: std::mem::take(&mut self.params),
        };
        match filter {
            TagFilter::Keys(keys) => inner.one_of("t.tag_key", keys),
            TagFilter::Values(values) => inner.one_of("t.tag_value", values),
            TagFilter::Pair(key, values) => {
                inner.one_of("t.tag_key", [key]);
                inner.one_of("t.tag_value", values);
            }
        }
        self.params = inner.params;
        let conditions = inner.sql.strip_prefix(" AND ").unwrap_or("1 = 1");
        format!("SELECT t.resource FROM {table} t WHERE {conditions}")
    }
}

/// The text with what `LIKE` gives a meaning escaped by `!`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            out.push('!');
        }
        out.push(c);
    }
    out
}

/// How many rows match.
pub fn count(tx: &mut dyn Tx, table: &str, w: &Conditions) -> Result<u64, Error> {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE {}", w.sql);
    let row =
        query_one(tx, &sql, &w.params)?.ok_or_else(|| Error::corrupt("COUNT(*) gave no row"))?;
    Ok(row.get::<i64>(0)?.cast_unsigned())
}

/// How many rows match, and one page of them in `order`.
pub fn paged<T>(
    tx: &mut dyn Tx,
    columns: &str,
    table: &str,
    mut w: Conditions,
    order: &str,
    page: Page,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<(u64, Vec<T>), Error> {
    let total = count(tx, table, &w)?;
    if page.offset >= total || page.limit == 0 {
        return Ok((total, Vec::new()));
    }
    let limit = w.bind(page.limit.cast_signed());
    let offset = w.bind(page.offset.cast_signed());
    let sql = format!(
        "SELECT {columns} FROM {table} WHERE {} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
        w.sql
    );
    let rows = tx.query(&sql, &w.params)?;
    Ok((total, rows.iter().map(read).collect::<Result<_, _>>()?))
}

/// Anything stored as JSON.
pub fn json_text(what: &str, value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::corrupt(format!("{what}: {e}")))
}

/// Reads what [`json_text`] wrote.
pub fn read_json<T: serde::de::DeserializeOwned>(
    what: &str,
    row: &Row,
    index: usize,
) -> Result<T, Error> {
    serde_json::from_str(row.text(index)?).map_err(|e| Error::corrupt(format!("{what}: {e}")))
}

/// A column that may be null.
pub fn optional<T>(
    row: &Row,
    index: usize,
    read: impl FnOnce(&Row, usize) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match row.is_null(index) {
        true => Ok(None),
        false => read(row, index).map(Some),
    }
}

/// The first row of a query, read.
pub fn one<T>(
    tx: &mut dyn Tx,
    sql: &str,
    values: &[Value],
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    query_one(tx, sql, values)?.as_ref().map(read).transpose()
}

/// The rows of a query, read.
pub fn several<T>(
    tx: &mut dyn Tx,
    sql: &str,
    values: &[Value],
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    tx.query(sql, values)?.iter().map(read).collect()
}

/// A column with a number of things.
pub fn read_u32(row: &Row, index: usize) -> Result<u32, Error> {
    u32::try_from(row.get::<i64>(index)?)
        .map_err(|_| Error::corrupt(format!("column {index} is out of range")))
}

/// A column with a number that was kept as [`u64::cast_signed`] has it.
pub fn read_u64(row: &Row, index: usize) -> Result<u64, Error> {
    Ok(row.get::<i64>(index)?.cast_unsigned())
}

/// Draws the next number of a kind from a table of `kind` and `last`: from 1 on,
/// each once, in the order of the transactions that draw them.
pub fn next_number(tx: &mut dyn Tx, table: &str, kind: &str) -> Result<u64, Error> {
    let sql = format!("UPDATE {table} SET last = last + 1 WHERE kind = $1 RETURNING last");
    let row = query_one(tx, &sql, params![kind])?
        .ok_or_else(|| Error::corrupt("a kind of number has no row"))?;
    read_u64(&row, 0)
}
