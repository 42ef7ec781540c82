//! What the server's catalogue says of a column.

use serde::{Deserialize, Serialize};

/// What the catalogue says of a column, beyond its layout.
///
/// A table's list of these has one entry for every column of its row images, in
/// the order of the images. For a system-versioned table that names no period
/// columns, `information_schema` leaves out two that the images have at their
/// end: see [`ColumnInfo::implicit_period`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// `COLUMN_TYPE` of `information_schema.COLUMNS`, e.g. `int(10) unsigned`,
    /// `enum('a','b')`.
    pub column_type: String,
    /// The character set; `None` for what holds bytes, numbers or times.
    pub charset: Option<String>,
    /// The collation; `None` where there is no character set.
    pub collation: Option<String>,
    /// Whether it is `UNSIGNED` (or `ZEROFILL`, which is that as well).
    pub unsigned: bool,
    /// Whether it may be null.
    pub nullable: bool,
    /// Who makes its values.
    pub generated: Generated,
    /// Whether `SELECT *` leaves it out.
    pub invisible: bool,
    /// Whether it is the table's `AUTO_INCREMENT` column.
    pub auto_increment: bool,
}

/// Who makes the values of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generated {
    /// Whoever writes the row.
    #[default]
    No,
    /// The server, from other columns, when the row is read. The row images have
    /// it nevertheless; it is no part of digests.
    Virtual,
    /// The server, from other columns, when the row is written.
    Stored,
    /// The server: since when the row is as it is (system versioning).
    RowStart,
    /// The server: until when the row was as it is (system versioning).
    RowEnd,
}

/// A row of `information_schema.COLUMNS`, under the names that it has there.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogueRow<'a> {
    /// `COLUMN_NAME`.
    pub name: &'a str,
    /// `COLUMN_TYPE`.
    pub column_type: &'a str,
    /// `CHARACTER_SET_NAME`.
    pub charset: Option<&'a str>,
    /// `COLLATION_NAME`.
    pub collation: Option<&'a str>,
    /// `IS_NULLABLE`: `YES` or `NO`.
    pub nullable: &'a str,
    /// `EXTRA`.
    pub extra: &'a str,
    /// `GENERATION_EXPRESSION`.
    pub expression: Option<&'a str>,
}

impl CatalogueRow<'_> {
    /// What to select from `information_schema.COLUMNS`, in this order; to be
    /// ordered by `ORDINAL_POSITION`.
    pub const SELECTED: &'static str = "COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, \
         COLLATION_NAME, IS_NULLABLE, EXTRA, GENERATION_EXPRESSION";
}

impl ColumnInfo {
    /// The column that a row of the catalogue tells of.
    #[must_use]
    pub fn of(row: &CatalogueRow<'_>) -> Self {
        let extra = row.extra.to_ascii_uppercase();
        let expression = row.expression.unwrap_or_default().trim();
        let generated = if expression.eq_ignore_ascii_case("ROW START") {
            Generated::RowStart
        } else if expression.eq_ignore_ascii_case("ROW END") {
            Generated::RowEnd
        } else if extra.contains("STORED GENERATED") || extra.contains("PERSISTENT") {
            Generated::Stored
        } else if extra.contains("VIRTUAL GENERATED") || extra == "VIRTUAL" {
            Generated::Virtual
        } else {
            Generated::No
        };
        let attributes = attributes(row.column_type);
        let has = |word: &str| attributes.split_ascii_whitespace().any(|w| w == word);
        Self {
            name: row.name.to_owned(),
            unsigned: has("unsigned") || has("zerofill"),
            column_type: row.column_type.to_owned(),
            charset: row
                .charset
                .filter(|c| !c.eq_ignore_ascii_case("binary"))
                .map(str::to_ascii_lowercase),
            collation: row
                .collation
                .filter(|c| !c.eq_ignore_ascii_case("binary"))
                .map(str::to_ascii_lowercase),
            nullable: !row.nullable.eq_ignore_ascii_case("NO"),
            generated,
            invisible: extra.contains("INVISIBLE"),
            auto_increment: extra.contains("AUTO_INCREMENT"),
        }
    }

    /// The two columns that a system-versioned table has when its definition
    /// names none: they are the last of its row images.
    #[must_use]
    pub fn implicit_period() -> [Self; 2] {
        [
            ("row_start", Generated::RowStart),
            ("row_end", Generated::RowEnd),
        ]
        .map(|(name, generated)| Self {
            name: name.to_owned(),
            column_type: "timestamp(6)".to_owned(),
            charset: None,
            collation: None,
            unsigned: false,
            nullable: false,
            generated,
            invisible: true,
            auto_increment: false,
        })
    }

    /// The hidden column that a table has for the unique key of place `number`,
    /// from 1, among those that are too long for an index and are kept by a hash:
    /// these are the last of its row images.
    #[must_use]
    pub fn implicit_hash(number: usize) -> Self {
        Self {
            name: format!("DB_ROW_HASH_{number}"),
            column_type: "bigint(20) unsigned".to_owned(),
            charset: None,
            collation: None,
            unsigned: true,
            nullable: true,
            generated: Generated::Virtual,
            invisible: true,
            auto_increment: false,
        }
    }

    /// Whether it is such a hidden column.
    #[must_use]
    pub fn is_implicit_hash(&self) -> bool {
        self.generated == Generated::Virtual && self.name.starts_with("DB_ROW_HASH_")
    }

    /// Whether digests cover it: all but what is computed when read.
    #[must_use]
    pub fn is_digested(&self) -> bool {
        self.generated != Generated::Virtual
    }

    /// Whether an `INSERT` names it: all but what the server generates. (The
    /// period of a system-versioned table may be named only while
    /// `system_versioning_insert_history` is set.)
    #[must_use]
    pub fn is_inserted(&self) -> bool {
        self.generated == Generated::No
    }

    /// The type's first word in lower case, e.g. `int`.
    #[must_use]
    pub fn type_name(&self) -> String {
        self.column_type
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect::<String>()
            .to_ascii_lowercase()
    }

    /// The name between backticks, for statements.
    #[must_use]
    pub fn quoted(&self) -> String {
        quote_name(&self.name)
    }
}

/// A name of a column, table or database between backticks.
#[must_use]
pub fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What follows the type's name and what is in its parentheses, in lower case;
/// for `ENUM` and `SET`, whose texts may hold any words, nothing.
fn attributes(column_type: &str) -> String {
    let column_type = column_type.to_ascii_lowercase();
    if column_type.starts_with("enum") || column_type.starts_with("set") {
        return String::new();
    }
    match column_type.find(')') {
        Some(end) => column_type[end + 1..].to_owned(),
        None => column_type,
    }
}
