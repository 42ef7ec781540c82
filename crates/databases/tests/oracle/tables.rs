//! Random tables, random values, and what a table holds, told by plain
//! statements.

use backout_mariadb::Session;

use crate::tell;

/// A source of choices that a seed repeats.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        usize::try_from((self.next() >> 11) % sides as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }
}

/// What values a column takes.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// Whole numbers: the least and the greatest.
    Int(i128, i128),
    /// Digits before and after the point, and whether below zero.
    Decimal(u32, u32, bool),
    Float(bool),
    Bits(u32),
    Date,
    Time,
    DateTime,
    Timestamp,
    Year,
    /// Characters at most, and whether all of Unicode.
    Text(usize, bool),
    Bytes(usize, usize),
    Enum,
    Set,
    Json,
    Inet6,
    Inet4,
    Uuid,
    Point,
    Geometry,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: Values,
    pub(crate) null: bool,
}

/// A table as the writers know it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Those that are written.
    pub(crate) columns: Vec<Column>,
    /// How many of them, from the first, are the key.
    pub(crate) key: usize,
    /// A column of whole numbers with a unique key, or that is the key.
    pub(crate) swapped: Option<String>,
    pub(crate) auto: bool,
}

impl Model {
    pub(crate) fn quoted(&self) -> String {
        format!("`{}`.`{}`", self.schema, self.name)
    }
}

/// Character sets with a collation, and whether they have all of Unicode.
const COLLATIONS: &[(&str, &str, bool)] = &[
    ("utf8mb4", "utf8mb4_general_ci", true),
    ("utf8mb4", "utf8mb4_unicode_ci", true),
    ("utf8mb4", "utf8mb4_bin", true),
    ("utf8mb4", "utf8mb4_unicode_520_nopad_ci", true),
    ("utf8mb4", "uca1400_ai_ci", true),
    ("utf8mb3", "utf8mb3_general_ci", false),
    ("latin1", "latin1_swedish_ci", false),
    ("latin1", "latin1_german2_ci", false),
    ("latin1", "latin1_bin", false),
    ("ucs2", "ucs2_general_ci", false),
    ("utf16", "utf16_unicode_ci", true),
    ("utf16le", "utf16le_general_ci", true),
    ("utf32", "utf32_general_ci", true),
    ("sjis", "sjis_japanese_ci", false),
    ("gbk", "gbk_chinese_ci", false),
    ("cp1250", "cp1250_czech_cs", false),
    ("ascii", "ascii_general_ci", false),
    ("big5", "big5_chinese_ci", false),
];

fn charset(dice: &mut Dice) -> (String, bool) {
    let (charset, collation, all) = COLLATIONS[dice.roll(COLLATIONS.len())];
    let collation = match charset {
        "utf8mb4" if collation.starts_with("uca") => format!("utf8mb4_{collation}"),
        _ => collation.to_owned(),
    };
    (format!(" CHARACTER SET {charset} COLLATE {collation}"), all)
}

/// A type, and the values for it. `key`: one that may be in a key.
fn some_type(dice: &mut Dice, key: bool) -> (String, Values) {
    let fraction = u32::try_from(dice.roll(7)).unwrap();
    match dice.roll(if key { 16 } else { 30 }) {
        0..=2 => {
            let (name, bits) = [
                ("TINYINT", 8),
                ("SMALLINT", 16),
                ("MEDIUMINT", 24),
                ("INT", 32),
                ("BIGINT", 64),
            ][dice.roll(5)];
            match dice.roll(4) {
                0 => (format!("{name} UNSIGNED"), Values::Int(0, (1 << bits) - 1)),
                1 => (
                    format!("{name} UNSIGNED ZEROFILL"),
                    Values::Int(0, (1 << bits) - 1),
                ),
                _ => (
                    name.to_owned(),
                    Values::Int(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
                ),
            }
        }
        3 => {
            let (all, after) = [
                (1, 0),
                (10, 2),
                (9, 9),
                (38, 38),
                (65, 30),
                (65, 0),
                (20, 7),
            ][dice.roll(7)];
            let negative = !dice.one_in(4);
            let sign = if negative { "" } else { " UNSIGNED" };
            (
                format!("DECIMAL({all},{after}){sign}"),
                Values::Decimal(all - after, after, negative),
            )
        }
        4 => match dice.roll(3) {
            0 => ("FLOAT".to_owned(), Values::Float(false)),
            1 => ("DOUBLE".to_owned(), Values::Float(true)),
            _ => ("FLOAT(10,3)".to_owned(), Values::Float(false)),
        },
        5 => {
            let bits = [1, 7, 8, 9, 33, 64][dice.roll(6)];
            (format!("BIT({bits})"), Values::Bits(bits))
        }
        6 => match dice.roll(2) {
            0 => ("DATE".to_owned(), Values::Date),
            _ => ("YEAR".to_owned(), Values::Year),
        },
        7 => (format!("TIME({fraction})"), Values::Time),
        8 => (format!("DATETIME({fraction})"), Values::DateTime),
        9 => (format!("TIMESTAMP({fraction})"), Values::Timestamp),
        10 => {
            let (charset, all) = charset(dice);
            let chars = [1, 10, 40, 150][dice.roll(if key { 3 } else { 4 })];
            (format!("CHAR({chars}){charset}"), Values::Text(chars, all))
        }
        11 | 12 => {
            let (charset, all) = charset(dice);
            let chars = [1, 20, 80, 300, 2000][dice.roll(if key { 3 } else { 5 })];
            (
                format!("VARCHAR({chars}){charset}"),
                Values::Text(chars, all),
            )
        }
        13 => {
            let bytes = [1, 16, 40][dice.roll(3)];
            match dice.roll(2) {
                0 => (format!("BINARY({bytes})"), Values::Bytes(0, bytes)),
                _ => (format!("VARBINARY({bytes})"), Values::Bytes(0, bytes)),
            }
        }
        14 => match dice.roll(3) {
            0 => ("INET6".to_owned(), Values::Inet6),
            1 => ("INET4".to_owned(), Values::Inet4),
            _ => ("UUID".to_owned(), Values::Uuid),
        },
        15 => {
            let (charset, _) = charset(dice);
            match dice.roll(2) {
                0 => (
                    format!("ENUM('a','bee','C c','','x'){charset}"),
                    Values::Enum,
                ),
                _ => (
                    format!("SET('a','bee','C c','x','z'){charset}"),
                    Values::Set,
                ),
            }
        }
        16 => {
            let many: Vec<String> = (0..300).map(|i| format!("'e{i}'")).collect();
            (format!("ENUM({})", many.join(",")), Values::Enum)
        }
        17..=20 => {
            let (charset, all) = charset(dice);
            let (name, chars) = [
                ("TINYTEXT", 60),
                ("TEXT", 900),
                ("MEDIUMTEXT", 9000),
                ("LONGTEXT", 30_000),
            ][dice.roll(4)];
            (format!("{name}{charset}"), Values::Text(chars, all))
        }
        21..=23 => {
            let (name, bytes) = [
                ("TINYBLOB", 255),
                ("BLOB", 9000),
                ("MEDIUMBLOB", 20_000),
                ("LONGBLOB", 70_000),
                ("VARBINARY(3000)", 3000),
            ][dice.roll(5)];
            (name.to_owned(), Values::Bytes(0, bytes))
        }
        24 => ("JSON".to_owned(), Values::Json),
        25 => ("POINT".to_owned(), Values::Point),
        26 => ("GEOMETRY".to_owned(), Values::Geometry),
        27 => {
            let (charset, all) = charset(dice);
            match dice.roll(2) {
                0 => (format!("TEXT COMPRESSED{charset}"), Values::Text(5000, all)),
                _ => (
                    format!("VARCHAR(500) COMPRESSED{charset}"),
                    Values::Text(500, all),
                ),
            }
        }
        28 => match dice.roll(2) {
            0 => ("BLOB COMPRESSED".to_owned(), Values::Bytes(0, 9000)),
            _ => (
                "VARBINARY(900) COMPRESSED".to_owned(),
                Values::Bytes(0, 900),
            ),
        },
        _ => ("NCHAR(5)".to_owned(), Values::Text(5, false)),
    }
}

const WORDS: &[&str] = &[
    "", "a", "A", "a ", "b", "B ", "ab", "Ab", "zz", "x'y", "\\\\", "a\\0b", "%_", "Zeile", "wort",
    "  ", "\\n", "0", "NULL",
];
const LATIN: &[&str] = &["é", "É", "e", "ä", "ß", "ss", "Ö"];
const WIDE: &[&str] = &["日本", "😀", "😀a", "Ω", "ω", "\u{301}e", "ﬀ"];

/// A value, as SQL.
pub(crate) fn value(dice: &mut Dice, column: &Column, narrow: bool) -> String {
    if column.null && dice.one_in(6) {
        return "NULL".to_owned();
    }
    match &column.values {
        Values::Int(least, greatest) => {
            // Few, so that they meet.
            if narrow || dice.one_in(2) {
                return (dice.roll(60) as i128).min(*greatest).to_string();
            }
            match dice.roll(6) {
                0 => least.to_string(),
                1 => greatest.to_string(),
                2 => (least + 1).to_string(),
                _ => {
                    let span = greatest - least + 1;
                    (least + i128::from(dice.next()) % span).to_string()
                }
            }
        }
        Values::Decimal(before, after, negative) => {
            let mut digits = |n: u32| -> String {
                (0..n)
                    .map(|_| char::from(b'0' + u8::try_from(dice.roll(10)).unwrap()))
                    .collect()
            };
            let text = format!("{}.{}", digits(*before), digits(*after));
            let small = format!("{}.{}", digits((*before).min(1)), digits((*after).min(1)));
            let text = if narrow || dice.one_in(3) {
                small
            } else {
                text
            };
            let sign = if *negative && dice.one_in(2) { "-" } else { "" };
            format!("'{sign}{text}'")
        }
        Values::Float(double) => match dice.roll(9) {
            0 => "0".to_owned(),
            1 => "-0e0".to_owned(),
            2 if *double => "1.7976931348623157e308".to_owned(),
            3 if *double => "5e-324".to_owned(),
            4 if !*double => "1e-40".to_owned(),
            5 => format!("{}/3e0", dice.roll(50)),
            _ => format!(
                "{}.{}e{}",
                dice.roll(9000),
                dice.roll(900_000),
                i64::try_from(dice.roll(6)).unwrap() - 4
            ),
        },
        Values::Bits(bits) => {
            let mask = if *bits == 64 {
                u64::MAX
            } else {
                (1 << bits) - 1
            };
            (dice.next() & mask).to_string()
        }
        Values::Date => match dice.roll(8) {
            0 => "'0000-00-00'".to_owned(),
            1 => "'2023-00-00'".to_owned(),
            2 => "'9999-12-31'".to_owned(),
            _ => format!("'{}'", date(dice)),
        },
        Values::Time => match dice.roll(6) {
            0 => "'-838:59:59'".to_owned(),
            1 => "'00:00:00'".to_owned(),
            2 => format!("'-00:00:00.{:06}'", dice.roll(1_000_000)),
            _ => format!(
                "'{}{}:{:02}:{:02}.{:06}'",
                dice.pick(&["", "-"]),
                dice.roll(830),
                dice.roll(60),
                dice.roll(60),
                dice.roll(1_000_000)
            ),
        },
        Values::DateTime => match dice.roll(8) {
            0 => "'0000-00-00 00:00:00'".to_owned(),
            1 => "'0001-01-01 00:00:00'".to_owned(),
            2 => "'9999-12-31 23:59:59'".to_owned(),
            _ => format!("'{} {}'", date(dice), clock(dice)),
        },
        Values::Timestamp => match dice.roll(8) {
            0 => "'0000-00-00 00:00:00'".to_owned(),
            1 => "'1970-01-01 00:00:01'".to_owned(),
            2 => "'2038-01-19 03:14:07'".to_owned(),
            _ => format!(
                "'{}-{:02}-{:02} {}'",
                1971 + dice.roll(66),
                1 + dice.roll(12),
                1 + dice.roll(28),
                clock(dice)
            ),
        },
        Values::Year => match dice.roll(5) {
            0 => "0".to_owned(),
            _ => (1901 + dice.roll(255)).to_string(),
        },
        Values::Text(chars, all) => text(dice, *chars, *all),
        Values::Bytes(least, most) => {
            let few = if dice.one_in(12) {
                *most
            } else {
                (*most).min(24)
            };
            let count = (*least).max(dice.roll(few + 1));
            if dice.one_in(5) {
                return format!("REPEAT(X'{:02x}',{count})", dice.roll(256));
            }
            let count = count.min(300);
            let bytes: String = (0..count)
                .map(|_| format!("{:02x}", if dice.one_in(5) { 0 } else { dice.roll(256) }))
                .collect();
            format!("X'{bytes}'")
        }
        Values::Enum => dice
            .pick(&[
                "'a'", "'bee'", "'C c'", "''", "'x'", "1", "3", "'e255'", "'e299'", "'none'",
            ])
            .to_owned(),
        Values::Set => dice
            .pick(&[
                "'a'",
                "''",
                "'a,bee'",
                "'z,C c'",
                "31",
                "0",
                "'x,nothing'",
                "'BEE'",
            ])
            .to_owned(),
        Values::Json => match dice.roll(4) {
            0 => "'{}'".to_owned(),
            1 => format!("'[{}, \"ä😀\", null]'", dice.roll(100)),
            _ => format!("'{{\"k\": {}, \"t\": [true]}}'", dice.roll(100_000)),
        },
        Values::Inet6 => match dice.roll(4) {
            0 => "'::'".to_owned(),
            1 => "'::ffff:192.0.2.1'".to_owned(),
            _ => format!("'2001:db8::{:x}:{:x}'", dice.roll(20), dice.roll(5)),
        },
        Values::Inet4 => format!("'10.0.{}.{}'", dice.roll(4), dice.roll(256)),
        Values::Uuid => {
            let (a, b) = (dice.next(), dice.roll(65_536));
            let version = dice.pick(&["1", "4", "7", "0"]);
            format!(
                "'{:08x}-{:04x}-{version}{:03x}-8{:03x}-{:012x}'",
                a >> 32,
                b,
                dice.roll(4096),
                dice.roll(4096),
                a & 0xffff_ffff
            )
        }
        Values::Point => format!("POINT({}, {})", dice.roll(100), dice.roll(100)),
        Values::Geometry => match dice.roll(3) {
            0 => format!("ST_GeomFromText('POINT(1 {})', 4326)", dice.roll(9)),
            1 => format!(
                "ST_GeomFromText('LINESTRING(0 0,1 1,{} 5.5)')",
                dice.roll(99)
            ),
            _ => "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),POLYGON((0 0,0 3,3 3,0 0)))')"
                .to_owned(),
        },
    }
}

fn date(dice: &mut Dice) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        1000 + dice.roll(8999),
        1 + dice.roll(12),
        1 + dice.roll(28)
    )
}

fn clock(dice: &mut Dice) -> String {
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        dice.roll(24),
        dice.roll(60),
        dice.roll(60),
        dice.roll(1_000_000)
    )
}

fn text(dice: &mut Dice, chars: usize, all: bool) -> String {
    if chars > 30 && dice.one_in(10) {
        let count = dice.roll(chars) + 1;
        return format!("REPEAT('{}',{count})", dice.pick(&["a", "q", " "]));
    }
    let mut out = String::new();
    for _ in 0..dice.roll(4) {
        let word = match dice.roll(if all { 8 } else { 6 }) {
            0 => dice.pick(LATIN),
            6 | 7 => dice.pick(WIDE),
            _ => dice.pick(WORDS),
        };
        out.push_str(word);
    }
    let out = out.replace('\'', "''");
    let short: String = match out.contains(['\\', '\'']) {
        true => out,
        false => out.chars().take(chars).collect(),
    };
    format!("'{short}'")
}

/// Makes a table. Of those that the server refuses another is tried.
pub(crate) fn make(session: &mut Session, dice: &mut Dice, schema: &str, i: usize) -> Model {
    loop {
        let (model, sql) = propose(dice, schema, &format!("t{i}"));
        session
            .exec("test", "SET SESSION sql_mode='', innodb_strict_mode=0")
            .unwrap();
        match session.exec("test", &sql) {
            Ok(_) => {
                tell(&sql);
                if dice.one_in(8) {
                    let done = session.exec(
                        "test",
                        format!(
                            "CREATE TRIGGER `{schema}`.`tr{i}` BEFORE INSERT ON {} FOR EACH ROW SET @seen = 1",
                            model.quoted()
                        ),
                    );
                    done.unwrap();
                }
                return model;
            }
            Err(e) => {
                tell(&format!("no such table: {e}: {sql}"));
            }
        }
    }
}

fn propose(dice: &mut Dice, schema: &str, name: &str) -> (Model, String) {
    let mut columns: Vec<Column> = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    let mut model = Model {
        schema: schema.to_owned(),
        name: name.to_owned(),
        columns: Vec::new(),
        key: 0,
        swapped: None,
        auto: false,
    };
    let mut integers = false;
    let mut not_null_unique = false;
    match dice.roll(10) {
        // A number.
        0..=2 => {
            model.auto = dice.one_in(2);
            let (kind, greatest) =
                [("INT", i128::from(i32::MAX)), ("BIGINT UNSIGNED", 1 << 63)][dice.roll(2)];
            let auto = if model.auto { " AUTO_INCREMENT" } else { "" };
            parts.push(format!("id {kind} NOT NULL{auto}"));
            columns.push(Column {
                name: "id".to_owned(),
                values: Values::Int(0, greatest),
                null: false,
            });
            parts.push("PRIMARY KEY (id)".to_owned());
            model.key = 1;
            model.swapped = Some("id".to_owned());
            integers = true;
        }
        // Whatever may be a key, one to three columns of it.
        3..=6 => {
            let count = 1 + dice.roll(3);
            for k in 0..count {
                let (kind, values) = some_type(dice, true);
                parts.push(format!("k{k} {kind} NOT NULL"));
                columns.push(Column {
                    name: format!("k{k}"),
                    values,
                    null: false,
                });
            }
            let mut names: Vec<String> = (0..count).map(|k| format!("k{k}")).collect();
            if dice.one_in(3) {
                names.reverse();
            }
            let kind = if dice.one_in(4) {
                "UNIQUE KEY"
            } else {
                "PRIMARY KEY"
            };
            not_null_unique = kind == "UNIQUE KEY";
            parts.push(format!("{kind} ({})", names.join(",")));
            model.key = count;
        }
        // The beginning of a text.
        7 => {
            let (charset, all) = charset(dice);
            parts.push(format!("k0 TEXT{charset} NOT NULL"));
            columns.push(Column {
                name: "k0".to_owned(),
                values: Values::Text(20, all),
                null: false,
            });
            parts.push(format!("PRIMARY KEY (k0({}))", 1 + dice.roll(8)));
            model.key = 1;
        }
        // None.
        _ => {}
    }
    let count = 1 + dice.roll(8);
    for c in 0..count {
        let (kind, values) = some_type(dice, false);
        let null = dice.one_in(2);
        let compressed = kind.contains("COMPRESSED");
        let mut line = format!("c{c} {kind}");
        if null {
            line.push_str(" NULL");
        } else {
            line.push_str(" NOT NULL");
        }
        if dice.one_in(10) && null && !compressed {
            line.push_str(" INVISIBLE");
        }
        parts.push(line);
        columns.push(Column {
            name: format!("c{c}"),
            values,
            null,
        });
    }
    let partitioned = dice.one_in(6);
    let versioned = !partitioned && dice.one_in(40);
    if model.swapped.is_none() && !partitioned && dice.one_in(3) {
        parts.push("u INT NULL".to_owned());
        columns.push(Column {
            name: "u".to_owned(),
            values: Values::Int(0, 200),
            null: true,
        });
        parts.push("UNIQUE KEY u (u)".to_owned());
        model.swapped = Some("u".to_owned());
    }
    if !partitioned && dice.one_in(6) {
        let (charset, all) = charset(dice);
        parts.push(format!("v VARCHAR(30){charset} NULL"));
        columns.push(Column {
            name: "v".to_owned(),
            values: Values::Text(12, all),
            null: true,
        });
        parts.push("UNIQUE KEY v (v)".to_owned());
    }
    if !partitioned && dice.one_in(9) {
        // The server keeps a hash of these in a hidden column.
        parts.push("w TEXT NULL".to_owned());
        columns.push(Column {
            name: "w".to_owned(),
            values: Values::Text(900, true),
            null: true,
        });
        parts.push("UNIQUE KEY w (w)".to_owned());
    }
    if dice.one_in(4) {
        // Before the server has numbered a row, what is computed from its number
        // is another: a log with that is not one that can be followed.
        let from = usize::from(model.auto);
        let of = &columns[from + dice.roll(columns.len() - from)].name;
        match dice.roll(4) {
            0 => parts.push(format!("g INT AS (LENGTH({of})) VIRTUAL")),
            1 => parts.push(format!("g INT AS (LENGTH({of})) STORED")),
            2 => {
                parts.push(format!("g INT AS (LENGTH({of})) VIRTUAL"));
                parts.push("KEY g (g)".to_owned());
            }
            _ => {
                parts.push(format!(
                    "g VARCHAR(40) AS (CONCAT('<', LENGTH({of}), '>')) STORED"
                ));
                parts.push("KEY g (g)".to_owned());
            }
        }
        if dice.one_in(2) {
            // In the middle of the row.
            let at = dice.roll(model.key + 1);
            let place = parts.iter().position(|p| p.starts_with("g ")).unwrap();
            let line = parts.remove(place);
            parts.insert(at, line);
        }
    }
    if dice.one_in(3) {
        let of = &columns[dice.roll(columns.len())];
        let prefix = match of.values {
            Values::Text(n, _) if n > 20 => "(10)",
            Values::Bytes(_, n) if n > 20 => "(10)",
            _ => "",
        };
        parts.push(format!("KEY plain ({}{prefix})", of.name));
    }
    if !partitioned
        && dice.one_in(4)
        && let Some(of) = columns
            .iter()
            .find(|c| matches!(c.values, Values::Text(_, true)))
    {
        parts.push(format!("FULLTEXT KEY ft ({})", of.name));
    }
    if !partitioned
        && let Some(of) = columns
            .iter()
            .find(|c| matches!(c.values, Values::Point) && !c.null)
        && dice.one_in(2)
    {
        parts.push(format!("SPATIAL KEY sp ({})", of.name));
    }
    if integers && dice.one_in(8) {
        parts.push("CHECK (id >= 0)".to_owned());
    }
    let (charset, _) = charset(dice);
    let format = dice.pick(&[
        "",
        "",
        "",
        " ROW_FORMAT=DYNAMIC",
        " ROW_FORMAT=COMPACT",
        " ROW_FORMAT=REDUNDANT",
        " ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
        " PAGE_COMPRESSED=1",
        " STATS_PERSISTENT=1 COMMENT='it''s'",
        " CHECKSUM=1",
    ]);
    let mut sql = format!(
        "CREATE TABLE `{schema}`.`{name}` ({}) ENGINE=InnoDB{charset}{format}",
        parts.join(", ")
    );
    if versioned && !not_null_unique {
        sql.push_str(" WITH SYSTEM VERSIONING");
    }
    if partitioned {
        sql.push_str(&match (model.key, integers, dice.roll(3)) {
            (0, ..) => String::new(),
            (_, true, 0) => " PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (20), PARTITION p1 VALUES LESS THAN (50), PARTITION p2 VALUES LESS THAN MAXVALUE)".to_owned(),
            (_, true, 1) => " PARTITION BY HASH (id) PARTITIONS 3".to_owned(),
            (_, true, _) => " PARTITION BY RANGE (id) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (30), PARTITION p1 VALUES LESS THAN MAXVALUE)".to_owned(),
            _ => format!(" PARTITION BY KEY ({}) PARTITIONS 2", columns[0].name),
        });
    }
    model.columns = columns;
    (model, sql)
}

/// Changes a definition or two. Returns the tables as they are then.
pub(crate) fn alter(
    session: &mut Session,
    dice: &mut Dice,
    schema: &str,
    models: &[Model],
) -> Vec<Model> {
    let mut models = models.to_vec();
    session
        .exec(
            "test",
            "SET SESSION sql_mode='', innodb_strict_mode=0, lock_wait_timeout=2, alter_algorithm=DEFAULT",
        )
        .unwrap();
    let at = dice.roll(models.len());
    let mut model = models[at].clone();
    let table = model.quoted();
    let fresh = dice.roll(1000);
    let column = model.columns[model.key.min(model.columns.len() - 1)..]
        .first()
        .map(|c| c.name.clone());
    let sql = match dice.roll(12) {
        0 | 1 => {
            let (kind, values) = some_type(dice, false);
            let place = dice.pick(&["", " FIRST"]);
            model.columns.push(Column {
                name: format!("n{fresh}"),
                values,
                null: true,
            });
            format!("ALTER TABLE {table} ADD COLUMN n{fresh} {kind} NULL{place}")
        }
        2 if model.columns.len() > model.key + 1 => {
            let gone = model.columns.pop().unwrap();
            if model.swapped.as_ref() == Some(&gone.name) {
                model.swapped = None;
            }
            format!("ALTER TABLE {table} DROP COLUMN {}", gone.name)
        }
        3 => match &column {
            Some(c) if model.columns.len() > model.key => {
                let (kind, values) = some_type(dice, false);
                let place = model.key.min(model.columns.len() - 1);
                model.columns[place].values = values;
                model.columns[place].null = true;
                format!("ALTER IGNORE TABLE {table} MODIFY COLUMN {c} {kind} NULL")
            }
            _ => format!("ALTER TABLE {table} FORCE"),
        },
        4 => format!(
            "CREATE INDEX i{fresh} ON {table} ({})",
            model.columns[0].name
        ),
        5 => format!("TRUNCATE TABLE {table}"),
        6 => {
            let to = format!("x{fresh}");
            let sql = format!("RENAME TABLE {table} TO `{schema}`.`{to}`");
            model.name = to;
            sql
        }
        7 => {
            let to = format!("y{fresh}");
            let sql = format!("ALTER TABLE {table} RENAME TO `{schema}`.`{to}`, COMMENT='new'");
            model.name = to;
            sql
        }
        8 => {
            if session.exec("test", format!("DROP TABLE {table}")).is_err() {
                return models;
            }
            models[at] = make(session, dice, schema, 100 + fresh);
            return models;
        }
        9 => {
            let other = models[dice.roll(models.len())].clone();
            if other.name == model.name {
                return models;
            }
            let swapped = format!(
                "RENAME TABLE {table} TO `{schema}`.swap, {} TO {table}, `{schema}`.swap TO {}",
                other.quoted(),
                other.quoted()
            );
            if session.exec("test", swapped).is_ok() {
                for m in &mut models {
                    if m.name == model.name {
                        m.name.clone_from(&other.name);
                    } else if m.name == other.name {
                        m.name.clone_from(&model.name);
                    }
                }
            }
            return models;
        }
        10 => format!("ALTER TABLE {table} ENGINE=InnoDB ROW_FORMAT=DYNAMIC"),
        _ => {
            // Made and filled by one statement.
            let name = format!("s{fresh}");
            let sql =
                format!("CREATE TABLE `{schema}`.`{name}` ENGINE=InnoDB SELECT * FROM {table}");
            if session.exec("test", sql).is_ok() {
                models.push(Model {
                    name,
                    key: 0,
                    swapped: None,
                    auto: false,
                    ..model
                });
            }
            return models;
        }
    };
    match session.exec("test", &sql) {
        Ok(_) => models[at] = model,
        Err(e) => {
            tell(&format!("not altered: {e}: {sql}"));
        }
    }
    models
}

/// What the server says of a table that is as it should be.
const SOUND: &str = "status OK";

/// What a table holds.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// `SHOW CREATE TABLE`, without its name, and without what copies lack.
    pub(crate) create: String,
    /// Its rows, in order of their text.
    rows: Vec<String>,
    /// What the server's own checksum of all rows is; `None` with virtual
    /// columns, of which it takes in what lies in memory from another row: two
    /// reads of the same rows differ.
    checksum: Option<String>,
    /// Whether its indexes are sound.
    sound: String,
    /// Whether the next number is beyond all that are there.
    beyond: bool,
    /// Whether it can be followed by its key.
    pub(crate) followed: bool,
}

/// Reads a table by plain statements.
pub(crate) fn truth(session: &mut Session, schema: &str, name: &str) -> Truth {
    let table = format!("`{schema}`.`{name}`");
    let columns: Vec<(String, String, String)> = session
        .query(
            "test",
            format!(
                "SELECT COLUMN_NAME, DATA_TYPE, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='{schema}' AND TABLE_NAME='{name}' ORDER BY ORDINAL_POSITION"
            ),
        )
        .unwrap();
    let create: (String, String) = session
        .first("test", format!("SHOW CREATE TABLE {table}"))
        .unwrap()
        .unwrap();
    let create = plain(&create.1);
    let versioned = create.contains("WITH SYSTEM VERSIONING");
    let mut texts: Vec<String> = columns
        .iter()
        .map(|(name, kind, _)| {
            let c = format!("`{name}`");
            let text = match kind.as_str() {
                "enum" | "set" => format!("CONCAT(HEX({c}),':',{c}+0)"),
                "bit" => format!("{c}+0"),
                "float" | "double" => format!("CAST(CAST({c} AS DOUBLE) AS CHAR)"),
                "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "date"
                | "time" | "datetime" | "timestamp" | "year" | "inet4" | "inet6" | "uuid" => {
                    format!("CAST({c} AS CHAR)")
                }
                "point" | "geometry" => format!("CONCAT(HEX(ST_AsBinary({c})),':',ST_SRID({c}))"),
                _ => format!("HEX({c})"),
            };
            format!("IFNULL({text},'-')")
        })
        .collect();
    let mut of = table.clone();
    if versioned {
        texts.push("CAST(ROW_START AS CHAR)".to_owned());
        texts.push("CAST(ROW_END AS CHAR)".to_owned());
        of.push_str(" FOR SYSTEM_TIME ALL");
    }
    let mut rows: Vec<String> = session
        .query(
            "test",
            format!("SELECT CONCAT_WS('|',{}) FROM {of}", texts.join(",")),
        )
        .unwrap();
    rows.sort_unstable();
    let is_virtual = |extra: &str| extra.to_uppercase().contains("VIRTUAL");
    let checksum: Option<(String, Option<String>)> = session
        .first("test", format!("CHECKSUM TABLE {table} EXTENDED"))
        .unwrap();
    let checksum = checksum.filter(|_| !columns.iter().any(|(_, _, extra)| is_virtual(extra)));
    let checks: Vec<(String, String, String, String)> = session
        .query("test", format!("CHECK TABLE {table} EXTENDED"))
        .unwrap();
    let sound = checks
        .iter()
        .map(|(_, _, kind, said)| format!("{kind} {said}"))
        .collect::<Vec<_>>()
        .join(", ");
    let auto = columns
        .iter()
        .find(|(_, _, extra)| extra.contains("auto_increment"));
    let beyond = auto.is_none_or(|(name, ..)| {
        let beyond: Option<Option<u8>> = session
            .first(
                "test",
                format!(
                    "SELECT (SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA='{schema}' AND TABLE_NAME='{}') > IFNULL(MAX(`{name}`),0) OR MAX(`{name}`) >= 2147483647 FROM {table}",
                    table.rsplit('`').nth(1).unwrap()
                ),
            )
            .unwrap();
        beyond.flatten().is_none_or(|b| b == 1)
    });
    let keys: Vec<(String, String, u8)> = session
        .query(
            "test",
            format!(
                "SELECT s.INDEX_NAME, c.DATA_TYPE, s.NULLABLE = 'YES' OR s.SUB_PART IS NOT NULL FROM information_schema.STATISTICS s JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME) WHERE s.TABLE_SCHEMA='{schema}' AND s.TABLE_NAME='{name}' AND s.NON_UNIQUE=0"
            ),
        )
        .unwrap();
    // By a key that is never null, of columns that order as they read.
    let mut names: Vec<&String> = keys.iter().map(|(name, ..)| name).collect();
    names.dedup();
    let good = |name: &String| {
        keys.iter()
            .filter(|k| k.0 == *name)
            .all(|(_, kind, part)| *part == 0 && !matches!(kind.as_str(), "enum" | "set" | "bit"))
    };
    let followed = !versioned
        && names
            .iter()
            .find(|n| *n.as_str() == *"PRIMARY")
            .map_or_else(
                || !names.is_empty() && names.iter().all(|n| good(n)),
                |n| good(n),
            );
    Truth {
        create,
        rows,
        checksum: checksum.and_then(|c| c.1),
        sound,
        beyond,
        followed,
    }
}

/// A definition without its name, its next number, and foreign keys.
fn plain(create: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in create.lines() {
        if lines.is_empty() {
            lines.push("CREATE TABLE (".to_owned());
        } else if !line.contains(" FOREIGN KEY ") {
            let words: Vec<&str> = line
                .split(' ')
                .filter(|w| !w.starts_with("AUTO_INCREMENT="))
                .collect();
            lines.push(words.join(" ").trim_end_matches(',').to_owned());
        }
    }
    lines.join("\n")
}

impl Truth {
    /// As [`Truth::differences`], where definitions may differ.
    pub(crate) fn differences_of_rows(&self, is: &Self) -> String {
        let redefined = Self {
            create: is.create.clone(),
            checksum: is.checksum.clone(),
            ..self.clone()
        };
        redefined.differences(is)
    }

    /// What `is` has otherwise; empty when nothing.
    pub(crate) fn differences(&self, is: &Self) -> String {
        let mut out = Vec::new();
        let cut = |s: &String| s.chars().take(300).collect::<String>();
        let missing: Vec<String> = excess(&self.rows, &is.rows)
            .iter()
            .map(|s| cut(s))
            .collect();
        let odd: Vec<String> = excess(&is.rows, &self.rows)
            .iter()
            .map(|s| cut(s))
            .collect();
        if !missing.is_empty() || !odd.is_empty() {
            out.push(format!(
                "of {} rows {} are missing, e.g. {:?}; {} are too many, e.g. {:?}",
                self.rows.len(),
                missing.len(),
                missing.iter().take(3).collect::<Vec<_>>(),
                odd.len(),
                odd.iter().take(3).collect::<Vec<_>>()
            ));
        }
        if self.create != is.create {
            out.push(format!("the definition is {}", is.create));
        } else if self.checksum != is.checksum {
            out.push(format!(
                "the checksum was {:?} and is {:?}",
                self.checksum, is.checksum
            ));
        }
        // Indexes on virtual columns keep what purge has not found yet: then the
        // server warns of the source, and a copy of it is sound.
        if is.sound != self.sound && is.sound != SOUND {
            out.push(format!(
                "a check says {:?}, and said {:?}",
                is.sound, self.sound
            ));
        }
        if !is.beyond && self.beyond {
            out.push("the next number is one that is there".to_owned());
        }
        out.join("; ")
    }
}

/// What is oftener in `these` than in `those`, both in order.
fn excess<'a>(these: &'a [String], those: &[String]) -> Vec<&'a String> {
    let mut out = Vec::new();
    let mut others = those.iter().peekable();
    for row in these {
        while others.peek().is_some_and(|o| *o < row) {
            others.next();
        }
        if others.peek() == Some(&row) {
            others.next();
        } else {
            out.push(row);
        }
    }
    out
}
