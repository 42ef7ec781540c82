//! The list of engines, and its filters.
//!
//! A list without conditions is paged by the store. One with conditions is
//! filtered here, over all engines that an account may have: how an engine
//! stands depends on the job that holds it, and a filter may compare in eight
//! ways.

use std::cmp::Ordering;

use backout_engines::model::{Engine, Mode};
use backout_engines::persistence::{EngineFilter, EngineOrder};
use backout_engines::service::EngineView;
use backout_wire::types::dlc as wire;

use super::asked::{Ask, filled};
use super::engines::{ACCESS, permissions};
use super::{Dlc, codes, words};
use crate::front::{Refused, count};

/// Filters in one call.
const FILTERS_MAX: usize = 10;

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Like,
    In,
}

const OPERATORS: [(&str, Operator); 8] = [
    ("EQ", Operator::Equal),
    ("NE", Operator::NotEqual),
    ("GT", Operator::Greater),
    ("GE", Operator::GreaterOrEqual),
    ("LT", Operator::Less),
    ("LE", Operator::LessOrEqual),
    ("LIKE", Operator::Like),
    ("IN", Operator::In),
];

/// What a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    EngineType,
    State,
    Mode,
    CreateTime,
    Message,
}

const FIELDS: [(&str, Field); 6] = [
    ("data-engine-name", Field::Name),
    ("engine-type", Field::EngineType),
    ("state", Field::State),
    ("mode", Field::Mode),
    ("create-time", Field::CreateTime),
    ("message", Field::Message),
];

/// A filter of a call, read.
#[derive(Debug)]
struct Condition {
    field: Field,
    operator: Operator,
    values: Vec<Wanted>,
}

/// A value of a filter.
#[derive(Debug)]
enum Wanted {
    Text(String),
    Number(i64),
}

/// What a condition asks of an engine beside its filters.
struct Asked {
    without_shared: bool,
    access: Vec<String>,
    exec_type: Option<String>,
    engine_type: Option<String>,
    generation: Option<&'static str>,
    detail: Option<String>,
    conditions: Vec<Condition>,
}

impl Asked {
    fn is_any(&self) -> bool {
        !self.without_shared
            && self.access.is_empty()
            && self.exec_type.is_none()
            && self.engine_type.is_none()
            && self.generation.is_none()
            && self.detail.is_none()
            && self.conditions.is_empty()
    }

    fn fits(&self, ask: Ask<'_>, view: &EngineView) -> bool {
        let engine = &view.engine;
        let kind = engine.kind;
        let is = |wanted: Option<&str>, has: &str| wanted.is_none_or(|wanted| wanted == has);
        let may = || {
            let held = permissions(ask, engine);
            self.access.iter().all(|access| held.contains(access))
        };
        !(self.without_shared && engine.mode == Mode::Shared)
            && is(self.exec_type.as_deref(), &engine.exec_type)
            && is(self.engine_type.as_deref(), words::engine_type(kind))
            && is(self.generation, words::generation(kind))
            && is(self.detail.as_deref(), kind.as_str())
            && self.conditions.iter().all(|c| c.fits(view))
            && (self.access.is_empty() || may())
    }
}

impl Condition {
    fn fits(&self, view: &EngineView) -> bool {
        let engine = &view.engine;
        match self.field {
            Field::Name => self.text(&[&engine.name]),
            Field::EngineType => {
                self.text(&[words::engine_type(engine.kind), engine.kind.as_str()])
            }
            Field::Message => self.text(&[&engine.description]),
            Field::State => self.number(words::state(view)),
            Field::Mode => self.number(words::mode(engine.mode)),
            Field::CreateTime => self.number(engine.created.unix_s()),
        }
    }

    /// Whether one of the texts that an engine has fits.
    fn text(&self, has: &[&str]) -> bool {
        let one = |wanted: &Wanted, has: &str| match wanted {
            Wanted::Text(wanted) if self.operator == Operator::Like => is_like(has, wanted),
            Wanted::Text(wanted) => self.compares(has.cmp(wanted.as_str())),
            Wanted::Number(_) => false,
        };
        let mut found = has
            .iter()
            .map(|has| self.values.iter().any(|w| one(w, has)));
        match self.operator {
            Operator::NotEqual => found.all(|fits| fits),
            _ => found.any(|fits| fits),
        }
    }

    fn number(&self, has: i64) -> bool {
        self.values.iter().any(|wanted| match wanted {
            Wanted::Number(wanted) if self.operator == Operator::Like => has == *wanted,
            Wanted::Number(wanted) => self.compares(has.cmp(wanted)),
            Wanted::Text(_) => false,
        })
    }

    const fn compares(&self, ordering: Ordering) -> bool {
        match self.operator {
            Operator::Equal | Operator::In | Operator::Like => ordering.is_eq(),
            Operator::NotEqual => ordering.is_ne(),
            Operator::Greater => ordering.is_gt(),
            Operator::GreaterOrEqual => ordering.is_ge(),
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
        }
    }
}

/// Whether a text has another in it, whatever the case; `%` around that one says
/// what is so anyway.
fn is_like(has: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_matches('%').to_lowercase();
    has.to_lowercase().contains(&wanted)
}

impl Dlc {
    pub(super) async fn describe_data_engines(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEnginesResponse, Refused> {
        let given: wire::DescribeDataEnginesRequest = ask.params()?;
        let page = ask.page(given.offset, given.limit)?;
        let orders = [("create-time", EngineOrder::Created)];
        let order = ask.word_or(
            "SortBy",
            given.sort_by.as_deref(),
            &orders,
            EngineOrder::Created,
            codes::SORT,
        )?;
        let ascending = ask.ascending(given.sorting.as_deref(), true)?;
        // No engine here has a network of its own, or is listened to.
        let nothing = filled(given.datasource_connection_name.as_deref()).is_some()
            || !given.datasource_connection_name_set.is_empty()
            || given.list_has_listener == Some(true);
        let asked = read(ask, given)?;
        let filter = EngineFilter {
            nothing,
            ..EngineFilter::default()
        };
        let (total, views) = match asked.is_any() {
            true => {
                let order = (order, ascending);
                let found = self.engines.list(ask.owner(), filter, order, page).await;
                let (total, engines) = found.map_err(|e| ask.refused(e))?;
                (total, self.views(ask, engines).await?)
            }
            false => {
                let mut engines: Vec<Engine> = match nothing {
                    true => Vec::new(),
                    false => self.all(ask).await?,
                };
                if !ascending {
                    engines.reverse();
                }
                let mut views = self.views(ask, engines).await?;
                views.retain(|view| asked.fits(ask, view));
                let total = views.len() as u64;
                let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
                let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
                (total, views.into_iter().skip(skip).take(take).collect())
            }
        };
        Ok(wire::DescribeDataEnginesResponse {
            data_engines: Some(self.infos(ask, views).await?),
            total_count: count(total),
        })
    }
}

/// Reads what is asked of engines.
fn read(ask: Ask<'_>, given: wire::DescribeDataEnginesRequest) -> Result<Asked, Refused> {
    if given.filters.len() > FILTERS_MAX {
        return Err(ask.error(codes::FORM, format!("more than {FILTERS_MAX} filters")));
    }
    let word = |parameter: &str, text: &Option<String>, known: &[&'static str]| {
        let words: Vec<(&str, Option<&'static str>)> =
            known.iter().map(|word| (*word, Some(*word))).collect();
        ask.word(parameter, text.as_deref(), &words, None)
    };
    for access in &given.access_types {
        word(
            "AccessTypes",
            &Some(access.clone()),
            &ACCESS.map(|(word, _)| word),
        )?;
    }
    let owned = |word: Option<&'static str>| word.map(str::to_owned);
    Ok(Asked {
        without_shared: given.exclude_public_engine.unwrap_or(false),
        exec_type: owned(word(
            "EngineExecType",
            &given.engine_exec_type,
            &["SQL", "BATCH"],
        )?),
        engine_type: owned(word(
            "EngineType",
            &given.engine_type,
            &[words::SPARK, words::PRESTO, "kyuubi", words::DUCKDB],
        )?),
        generation: word(
            "EngineGeneration",
            &given.engine_generation,
            &[words::NATIVE, words::SUPER],
        )?,
        detail: owned(word(
            "EngineTypeDetail",
            &given.engine_type_detail,
            &["SparkSQL", "SparkBatch", "PrestoSQL", "Kyuubi", "DuckDB"],
        )?),
        access: given.access_types,
        conditions: given
            .filters
            .into_iter()
            .map(|filter| condition(ask, filter))
            .collect::<Result<_, _>>()?,
    })
}

fn condition(ask: Ask<'_>, filter: wire::Filter) -> Result<Condition, Refused> {
    let name = ask.must("Filters.Name", filter.name.as_deref().unwrap_or_default())?;
    let field = ask.word("Filters.Name", Some(name), &FIELDS, Field::Name)?;
    let operator = filter.operator.as_deref();
    // One that names no operator has its values joined by OR.
    let operator = ask.word("Filters.Operator", operator, &OPERATORS, Operator::In)?;
    let mut texts = filter.values;
    if texts.is_empty() {
        return Err(ask.error(codes::FORM, format!("filter {name:?} has no values")));
    }
    // As the contract has it: the others use the first.
    if operator != Operator::In {
        texts.truncate(1);
    }
    let wanted = |text: String| match field {
        Field::Name | Field::EngineType | Field::Message => Ok(Wanted::Text(text)),
        Field::State | Field::Mode => number(ask, &text),
        Field::CreateTime => match words::parse_time(text.trim()) {
            Ok(at) => Ok(Wanted::Number(at.unix_s())),
            Err(_) => number(ask, &text),
        },
    };
    Ok(Condition {
        field,
        operator,
        values: texts.into_iter().map(wanted).collect::<Result<_, _>>()?,
    })
}

fn number(ask: Ask<'_>, text: &str) -> Result<Wanted, Refused> {
    let number = text.trim().parse().map_err(|_| {
        ask.error(
            codes::VALUE,
            format!("a filter has the value {text:?}, which is no number or time"),
        )
    })?;
    Ok(Wanted::Number(number))
}
