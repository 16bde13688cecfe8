//! Filters and values: what they may be, and that they mean the same on rows that are stored and rows that are not yet.

use crate::world::{ACCOUNTS, MAIN, World, accounts, balances};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use outrigger::Kind;
use outrigger::writer::{Error, KeyPart, NewTable, Repository, Transaction};
use std::collections::HashMap;
use std::sync::Arc;

const ALL: &str = "all";

fn invalid(error: Error) -> String {
    match &error {
        Error::Other(inner) if inner.kind() == Kind::Invalid => {
            assert!(!error.to_string().contains(".rs"), "{error}");
            error.to_string()
        }
        _ => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn what_stands_after_an_expression_is_refused() {
    let world = World::in_memory().await;
    let mut tx = world.open().await.begin(MAIN).await.unwrap();
    for filter in [
        "balance > 0 LIMIT 1",
        "balance > 0 ORDER BY id",
        "balance > 0 GROUP BY id",
        "balance > 0 HAVING balance > 5",
        "balance > 0; AND id = 'ann'",
        "balance > 0 UNION SELECT 1",
        "balance > 0, id = 'ann'",
        "balance > 0 AS meant",
        "balance > 0 id = 'ann'",
        "balance > 0)",
        "balance",
        "sum(balance) > 1",
        "id IN (SELECT 'ann')",
        "balance > $1",
        "",
        " ",
    ] {
        for error in [
            tx.delete(ACCOUNTS, filter).await.unwrap_err(),
            tx.update(ACCOUNTS, filter, &[("balance", "0")]).await.unwrap_err(),
            tx.rows(ACCOUNTS, Some(filter)).await.unwrap_err(),
        ] {
            assert!(invalid(error).contains(filter), "{filter}");
        }
    }
    for value in ["0 FROM accounts", "0, id", "0 AS balance", "0; 1", "0 WHERE true", "*", "sum(balance)", ""]
    {
        let error = tx.update(ACCOUNTS, "true", &[("balance", value)]).await.unwrap_err();
        assert!(invalid(error).contains(value), "{value}");
    }
    assert_eq!(tx.commit().await.unwrap(), None, "nothing of it was done");
}

#[tokio::test]
async fn columns_stand_in_double_quotes_and_text_in_single_ones() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let columns =
        vec![Field::new("Camel", DataType::Utf8, false), Field::new("unit price", DataType::Utf8, false)];
    let schema = Arc::new(Schema::new(columns));
    bank.create_table(&NewTable { name: "odd".into(), schema: schema.clone(), key: vec![] }).await.unwrap();
    let q: ArrayRef = Arc::new(StringArray::from(vec!["q"]));
    let row = RecordBatch::try_new(schema, vec![q; 2]).unwrap();
    let mut stored = bank.begin(MAIN).await.unwrap();
    stored.append("odd", row.clone()).await.unwrap();
    let mut staged = bank.begin(MAIN).await.unwrap();
    staged.append("odd", row).await.unwrap();
    stored.commit().await.unwrap();
    let mut stored = bank.begin(MAIN).await.unwrap();
    for tx in [&mut stored, &mut staged] {
        let mut count = async |filter: &str| tx.rows("odd", Some(filter)).await.unwrap().num_rows();
        assert_eq!(count("\"Camel\" <> 'q'").await, 0);
        assert_eq!(count("Camel = 'q'").await, 1);
        assert_eq!(count("`unit price` = 'q'").await, 1);
        assert_eq!(count("\"unit price\" = 'q' AND UPPER(Camel) = 'Q'").await, 1);
        for (filter, said) in [("camel = 'q'", "only Camel"), ("Camel = \"q\"", "single quotes")] {
            let error = invalid(tx.delete("odd", filter).await.unwrap_err());
            assert!(error.contains("there is no column") && error.contains(said), "{error}");
        }
        assert_eq!(tx.update("odd", "true", &[("unit price", "\"unit price\" || Camel")]).await.unwrap(), 1);
        assert_eq!(tx.rows("odd", Some("\"unit price\" = 'qq'")).await.unwrap().num_rows(), 1);
    }
}

/// A table of all kinds of columns, with a row of values and a row of nulls.
async fn with_all_kinds(bank: &Repository) -> RecordBatch {
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns: Vec<(&str, DataType, ArrayRef)> = vec![
        ("id", DataType::UInt64, Arc::new(UInt64Array::from(vec![u64::MAX, 1]))),
        ("tiny", DataType::Int8, Arc::new(Int8Array::from(vec![Some(7), None]))),
        ("real", DataType::Float64, Arc::new(Float64Array::from(vec![Some(-0.0), None]))),
        (
            "price",
            DataType::Decimal128(10, 2),
            Arc::new(Decimal128Array::from(vec![Some(110), None]).with_precision_and_scale(10, 2).unwrap()),
        ),
        ("day", DataType::Date32, Arc::new(Date32Array::from(vec![Some(20_784), None]))),
        ("at", at, Arc::new(TimestampMicrosecondArray::from(vec![Some(1_795_737_600_000_000), None]))),
        ("flag", DataType::Boolean, Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("raw", DataType::Binary, Arc::new(BinaryArray::from(vec![Some(b"\x01\x02".as_slice()), None]))),
        ("text", DataType::Utf8, Arc::new(StringArray::from(vec![Some("o'neil"), None]))),
    ];
    let fields = columns.iter().map(|(name, kind, _)| Field::new(*name, kind.clone(), *name != "id"));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let new = NewTable { name: ALL.into(), schema: schema.clone(), key: vec!["id".into()] };
    bank.create_table(&new).await.unwrap();
    RecordBatch::try_new(schema, columns.into_iter().map(|(.., column)| column).collect()).unwrap()
}

/// One transaction that sees the rows stored, one that sees them staged.
async fn stored_and_staged(bank: &Repository) -> [Transaction; 2] {
    let rows = with_all_kinds(bank).await;
    let mut staged = bank.begin(MAIN).await.unwrap();
    staged.append(ALL, rows.clone()).await.unwrap();
    let mut stored = bank.begin(MAIN).await.unwrap();
    stored.append(ALL, rows).await.unwrap();
    stored.commit().await.unwrap();
    [bank.begin(MAIN).await.unwrap(), staged]
}

#[tokio::test]
async fn literals_are_read_as_the_column_that_they_stand_beside() {
    let world = World::in_memory().await;
    for mut tx in stored_and_staged(&world.open().await).await {
        for (filter, rows) in [
            ("price = 1.10", 1),
            ("price = 1.1", 1),
            ("price > 1.10", 0),
            ("price < 1.101", 1),
            ("price + 0.01 = 1.11", 1),
            ("day = '2026-11-27'", 1),
            ("day > '2026-11-27'", 0),
            ("day = date '2026-11-27'", 1),
            ("at >= '2026-11-27T00:00:00'", 1),
            ("at < '2026-11-27 00:00:00'", 0),
            ("tiny < 300", 1),
            ("tiny = 300", 0),
            ("tiny IN (7, 300)", 1),
            ("tiny = 7.0", 1),
            ("id = 18446744073709551615", 1),
            ("id > 1", 1),
            ("real = 0", 1),
            ("real < 0", 0),
            ("real BETWEEN -1 AND 1", 1),
            ("flag", 1),
            ("NOT flag", 0),
            ("flag = true", 1),
            ("flag IS NULL", 1),
            ("raw = X'0102'", 1),
            ("text = 'o''neil'", 1),
            ("text LIKE 'o%'", 1),
            ("text <> 'x'", 1),
            ("text IS NOT DISTINCT FROM NULL", 1),
            ("tiny = NULL", 0),
            ("true", 2),
            ("CASE WHEN tiny IS NULL THEN false ELSE tiny % 2 = 1 END", 1),
            ("id = 1 -- the second", 1),
        ] {
            match tx.rows(ALL, Some(filter)).await {
                Ok(found) => assert_eq!(found.num_rows(), rows, "{filter}"),
                Err(error) => panic!("{filter}: {error}"),
            }
        }
        for (column, value) in [
            ("price", "'2.50'"),
            ("price", "2.50"),
            ("day", "'2026-11-28'"),
            ("at", "'2026-11-28T01:02:03'"),
            ("tiny", "3"),
            ("flag", "NOT flag"),
            ("raw", "X'03'"),
            ("text", "upper(text)"),
            ("real", "CAST(price AS DOUBLE)"),
        ] {
            let done = tx.update(ALL, "tiny IS NOT NULL", &[(column, value)]).await;
            assert_eq!(done.unwrap_or_else(|error| panic!("{column} = {value}: {error}")), 1);
        }
        let changed = "price = 2.5 AND day = '2026-11-28' AND at > '2026-11-28' AND tiny = 3 AND NOT flag AND raw = X'03' \
                       AND text = 'O''NEIL' AND real = 2.5";
        assert_eq!(tx.rows(ALL, Some(changed)).await.unwrap().num_rows(), 1);
    }
}

#[tokio::test]
async fn an_expression_that_fails_on_a_row_changes_nothing() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for mut tx in stored_and_staged(&bank).await {
        for filter in
            ["1 / (tiny - 7) = 1", "CAST(text AS INT) = 1", "1 / 0 = 1", "tiny = 'seven'", "day = 'soon'"]
        {
            let error = invalid(tx.delete(ALL, filter).await.unwrap_err());
            assert!(error.contains(filter), "{error}");
        }
        for (column, value) in
            [("tiny", "tiny + 1000"), ("tiny", "1 / (tiny - 7)"), ("id", "1"), ("price", "'dear'")]
        {
            let error = invalid(tx.update(ALL, "true", &[(column, value)]).await.unwrap_err());
            assert!(error.contains(column), "{error}");
        }
        assert_eq!(tx.rows(ALL, None).await.unwrap().num_rows(), 2);
    }
}

#[tokio::test]
async fn a_row_is_found_by_a_key_of_any_kind() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let [mut stored, _] = stored_and_staged(&bank).await;
    let rows = stored.rows(ALL, Some("tiny IS NOT NULL")).await.unwrap();
    let parts: [(&str, KeyPart); 8] = [
        ("id", u64::MAX.into()),
        ("tiny", 7.into()),
        ("price", "1.10".into()),
        ("day", "2026-11-27".into()),
        ("at", "2026-11-27T00:00:00".into()),
        ("flag", true.into()),
        ("raw", b"\x01\x02".as_slice().into()),
        ("text", "o'neil".into()),
    ];
    for (column, part) in parts {
        let index = rows.schema().index_of(column).unwrap();
        let field = rows.schema().field(index).clone().with_nullable(false);
        let name = format!("by_{column}");
        let schema = Arc::new(Schema::new(vec![field]));
        let new = NewTable { name: name.clone(), schema: schema.clone(), key: vec![column.into()] };
        bank.create_table(&new).await.unwrap();
        let mut tx = bank.begin(MAIN).await.unwrap();
        let row = RecordBatch::try_new(schema, vec![rows.column(index).clone()]).unwrap();
        tx.upsert(&name, row.clone()).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = bank.begin(MAIN).await.unwrap();
        tx.upsert(&name, row.clone()).await.unwrap();
        tx.commit().await.unwrap();
        let found = bank.snapshot(MAIN).await.unwrap().row(&name, &[part]).await.unwrap().unwrap();
        assert_eq!(found.columns(), row.columns(), "{column}");
    }
    let snapshot = bank.snapshot(MAIN).await.unwrap();
    for (column, part) in [("tiny", KeyPart::from(1000)), ("tiny", "seven".into()), ("day", "soon".into())] {
        let error = invalid(snapshot.row(&format!("by_{column}"), &[part]).await.unwrap_err());
        assert!(error.contains(column), "{error}");
    }
}

#[tokio::test]
async fn a_table_that_could_not_be_used_is_refused() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    let list = DataType::new_list(DataType::Utf8, false);
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    let blob = HashMap::from([("lance-encoding:blob".to_owned(), "true".to_owned())]);
    let id = || field("id", DataType::Utf8);
    for (columns, key, said) in [
        (vec![id()], vec!["id", "id"], "twice"),
        (vec![id(), id()], vec![], "twice"),
        (vec![field("id", DataType::Float64)], vec!["id"], "Float64"),
        (vec![field("id", list)], vec!["id"], "List"),
        (vec![field("_rowaddr", DataType::UInt64)], vec![], "Lance"),
        (vec![field("", DataType::UInt64)], vec![], "no name"),
        (vec![id(), field("span", interval)], vec![], "cannot create table bad"),
        (vec![field("view", DataType::Utf8View)], vec![], "reads back as Utf8"),
        (vec![field("data", DataType::LargeBinary).with_metadata(blob)], vec![], "blobs"),
        (vec![], vec![], "no columns"),
    ] {
        let schema = Arc::new(Schema::new(columns));
        let key = key.into_iter().map(str::to_owned).collect();
        let error = bank.create_table(&NewTable { name: "bad".into(), schema, key }).await.unwrap_err();
        assert!(invalid(error).contains(said), "{said}");
    }
    assert_eq!(bank.snapshot(MAIN).await.unwrap().tables().len(), 2);
}

#[tokio::test]
async fn an_update_to_what_is_there_changes_nothing() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    assert_eq!(
        tx.update(ACCOUNTS, "true", &[("balance", "balance")]).await.unwrap(),
        3,
        "it is meant for all"
    );
    assert_eq!(tx.commit().await.unwrap(), None);
    let mut tx = bank.begin(MAIN).await.unwrap();
    assert_eq!(tx.update(ACCOUNTS, "id <> 'cid'", &[("balance", "100 + length(id) - 3")]).await.unwrap(), 2);
    assert_eq!(
        tx.update(ACCOUNTS, "true", &[("balance", "CASE id WHEN 'ann' THEN 1 ELSE balance END")])
            .await
            .unwrap(),
        3
    );
    tx.commit().await.unwrap().unwrap();
    assert_eq!(world.balances().await["ann"], 1);
    assert_eq!(balances(&accounts(&[("ann", 1)]))["ann"], 1);
}

#[tokio::test]
async fn a_filter_is_not_asked_of_rows_that_are_replaced() {
    let world = World::in_memory().await;
    let mut tx = world.open().await.begin(MAIN).await.unwrap();
    tx.upsert(ACCOUNTS, accounts(&[("ann", 0)])).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.open().await.begin(MAIN).await.unwrap();
    assert_eq!(tx.update(ACCOUNTS, "balance = 0", &[("balance", "5")]).await.unwrap(), 1);
    assert_eq!(tx.delete(ACCOUNTS, "10 / balance = 2").await.unwrap(), 1);
    assert_eq!(tx.delete(ACCOUNTS, "1000 / balance = 10 AND id = 'bob'").await.unwrap(), 1);
    tx.commit().await.unwrap().unwrap();
    assert_eq!(world.balances().await, [("cid".to_owned(), 100)].into());
}
