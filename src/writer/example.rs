//! A small bank for the examples of this room's documentation.

use super::error::Result;
use super::repository::Repository;
use crate::repo::create::NewTable;
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// Runs an example on a repository of its own, in a temporary directory: `accounts` (key `id`, and a `balance`), with a hundred
/// each for ann and bob, and an empty `journal` of texts.
///
/// # Panics
/// If the example fails.
#[doc(hidden)]
pub fn example(run: impl AsyncFnOnce(Repository) -> Result<()>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path().to_str().expect("a path of text").to_owned();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async {
        let [accounts, journal] = tables();
        let bank = Repository::create(&at, &[accounts, journal]).await?;
        let mut tx = bank.begin("main").await?;
        tx.append("accounts", balances(&[("ann", 100), ("bob", 100)])).await?;
        tx.commit().await?;
        run(bank).await
    });
    ended.expect("an example");
}

/// Rows of `accounts`.
#[doc(hidden)]
pub fn balances(rows: &[(&str, i64)]) -> RecordBatch {
    let ids = StringArray::from_iter_values(rows.iter().map(|(id, _)| id));
    let balances = Int64Array::from_iter_values(rows.iter().map(|(_, balance)| *balance));
    let [accounts, _] = tables();
    RecordBatch::try_new(accounts.schema, vec![Arc::new(ids), Arc::new(balances)]).expect("rows that fit")
}

/// Rows of `journal`.
#[doc(hidden)]
pub fn entries(texts: &[&str]) -> RecordBatch {
    let [_, journal] = tables();
    let texts = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_new(journal.schema, vec![texts]).expect("rows that fit")
}

fn tables() -> [NewTable; 2] {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let accounts = Schema::new(vec![text("id"), Field::new("balance", DataType::Int64, false)]);
    let journal = Schema::new(vec![text("text")]);
    [
        NewTable { name: "accounts".into(), schema: accounts.into(), key: vec!["id".into()] },
        NewTable { name: "journal".into(), schema: journal.into(), key: vec![] },
    ]
}
