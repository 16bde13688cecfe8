//! The table of the documentation: one row per state and engine, both outcomes.

use std::fmt::Write;

use anyhow::Result;

use super::trial::Row;

pub fn markdown(rows: &[Row]) -> Result<String> {
    let mut out = String::new();
    writeln!(
        out,
        "| state | engine | branch | engine recovery | `once` | `once --exclusive` | rows | engine writes on | |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for row in rows {
        writeln!(out, "{}", line(row))?;
    }
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.failures.is_empty()).collect();
    writeln!(out, "\n{} rows, {} unexplained.", rows.len(), failed.len())?;
    for row in failed {
        writeln!(out, "\n### {} ({})\n", row.state.name, row.engine)?;
        for failure in &row.failures {
            writeln!(out, "* {}", failure.replace('\n', " "))?;
        }
    }
    Ok(out)
}

fn line(row: &Row) -> String {
    let expects = &row.state.expects;
    let answer = |answer: &Option<super::outrigger::Answer>| {
        answer.as_ref().map_or_else(|| "–".to_owned(), |a| a.words())
    };
    let mut exclusive = answer(&row.exclusive);
    for command in &row.person {
        exclusive.push_str(&format!("; `{command}`"));
    }
    let writes_on = match (row.writes_on, expects.writes_on) {
        (Some(true), _) => "yes".to_owned(),
        (Some(false), Err(why)) => format!("no: {why}"),
        (Some(false), Ok(())) => "**no**".to_owned(),
        (None, _) => "–".to_owned(),
    };
    let audits = row.audits.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let remark = if row.failures.is_empty() { row.state.notes } else { "**unexplained**" };
    let peer = row.peer.as_ref().map_or_else(|| "–".to_owned(), |peer| peer.words());
    let cells = [
        row.state.name.as_str(),
        row.engine.version(),
        row.state.branch,
        &peer,
        &answer(&row.once),
        &exclusive,
        expects.data.name(),
        &audits,
        &writes_on,
        remark,
    ];
    format!("| {} |", cells.map(|cell| cell.replace('|', "\\|").replace('\n', " ")).join(" | "))
}
