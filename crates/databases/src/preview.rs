//! The rows that a rollback in place would change, for people.

use std::collections::HashSet;
use std::path::Path;

use backout_history::TableName;
use backout_history::net::{Direction, NetFiles};
use backout_history::value::RowCodec;
use backout_mariadb::catalog::TableDef;
use backout_mariadb::{Session, catalog};

use crate::model::Instance;
use crate::preflight::Choice;
use crate::procedures::rollback::net_table;
use crate::reduction::{self, Stretch};
use crate::refusal::Refusal;
use crate::request::{Preview, PreviewRow};
use crate::runtime::Runtime;

/// Reads history into `folder`, and tells at most `limit` rows. Blocking.
///
/// # Errors
/// [`Refusal::History`], [`Refusal::Database`].
pub(crate) fn rows(
    runtime: &Runtime,
    instance: &Instance,
    choice: &Choice,
    folder: &Path,
    limit: usize,
) -> Result<Preview, Refusal> {
    let endpoint = runtime.endpoint(instance)?;
    let mut session = Session::open(&endpoint).map_err(Refusal::Database)?;
    let archive = runtime
        .archive(&instance.id)?
        .at_incarnation(choice.incarnation);
    let end = catalog::binlog_end(&mut session)
        .map_err(Refusal::Database)?
        .unwrap_or_else(|| choice.located.position.clone());
    let tables: Vec<(&TableName, &TableDef)> = choice
        .tables
        .iter()
        .filter_map(|t| Some((&t.name.from, t.def.as_ref()?)))
        .collect();
    let only: Option<HashSet<_>> = choice.only.clone().map(|only| only.into_iter().collect());
    let stretch = Stretch {
        from: &choice.located.position,
        to: &end,
        tables: tables
            .iter()
            .map(|(name, def)| net_table(name, def))
            .collect(),
        only: only.as_ref(),
        until_altered: None,
        fuzzy: false,
        lower_case_names: choice.lower_case_names,
    };
    let reduced = reduction::reduce(
        &archive,
        stretch,
        folder,
        runtime.memory_bytes,
        &|_| {},
        &|| false,
    )
    .map_err(Refusal::History)?;
    let mut preview = Preview {
        rows: Vec::new(),
        total: reduced.summaries.iter().map(|s| s.rows).sum(),
    };
    let Some(net) = NetFiles::open(folder).map_err(Refusal::History)? else {
        return Ok(preview);
    };
    for (i, (name, def)) in tables.iter().enumerate() {
        let Some(layout) = net.summaries().get(i).and_then(|s| s.layout.as_ref()) else {
            continue;
        };
        let odd = |e| Refusal::History(backout_history::Error::Value(e));
        let mut codec = RowCodec::new(layout, &def.columns).map_err(odd)?;
        let mut rows = net.rows(i).map_err(Refusal::History)?;
        while preview.rows.len() < limit
            && let Some(row) = rows.next().map_err(Refusal::History)?
        {
            let (now, then) = row.step(Direction::Backward);
            let mut shown = |image: Option<&[u8]>| -> Result<Option<Vec<String>>, Refusal> {
                let Some(image) = image else { return Ok(None) };
                let values = codec.display(image).map_err(odd)?;
                Ok(Some(values.into_iter().map(|(_, value)| value).collect()))
            };
            preview.rows.push(PreviewRow {
                table: (*name).clone(),
                now: shown(now)?,
                then: shown(then)?,
                columns: def.columns.iter().map(|c| c.name.clone()).collect(),
            });
        }
    }
    Ok(preview)
}
