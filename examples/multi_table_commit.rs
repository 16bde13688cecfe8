use outrigger::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use outrigger::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use outrigger::writer::{NewTable, Repository, Result};
use std::sync::Arc;

fn columns(text: &str, number: &str) -> SchemaRef {
    let columns = [(text, DataType::Utf8), (number, DataType::Int64)];
    Arc::new(Schema::new(columns.map(|(name, kind)| Field::new(name, kind, false)).to_vec()))
}

fn rows(columns: &SchemaRef, texts: Vec<&str>, numbers: Vec<i64>) -> RecordBatch {
    let values: [ArrayRef; 2] = [Arc::new(StringArray::from(texts)), Arc::new(Int64Array::from(numbers))];
    RecordBatch::try_new(columns.clone(), values.into()).expect("columns that fit")
}

#[tokio::main]
async fn main() -> Result<()> {
    let (stock, orders) = (columns("item", "left"), columns("item", "count"));
    let with_key = NewTable { name: "stock".into(), schema: stock.clone(), key: vec!["item".into()] };
    let without = NewTable { name: "orders".into(), schema: orders.clone(), key: vec![] };
    let shop = Repository::create(&std::env::args().nth(1).expect("where"), &[with_key, without]).await?;
    let mut tx = shop.begin("main").await?;
    tx.append("stock", rows(&stock, vec!["apple", "pear"], vec![10, 5])).await?;
    tx.append("orders", rows(&orders, vec!["apple"], vec![3])).await?;
    tx.update("stock", "item = 'apple'", &[("left", "left - 3")]).await?;
    tx.commit().await?;
    let left = shop.snapshot("main").await?.rows("stock", Some("item = 'apple'")).await?;
    assert_eq!(left.columns(), rows(&stock, vec!["apple"], vec![7]).columns());
    Ok(())
}
