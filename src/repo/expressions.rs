//! Filters and assignments in Lance's SQL, evaluated on rows that are not stored yet: by the parser and the engine that evaluate
//! them on stored ones, so that both mean the same.

use super::trouble::explain;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::ExprSchemable;
use datafusion::physical_expr::PhysicalExpr;
use lance_datafusion::planner::Planner;
use std::sync::Arc;

/// Which rows are meant: a boolean expression such as `balance > 10 AND owner = 'ann'`.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    compiled: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// Reads an expression over these columns.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if it cannot be read, or names a column that is not there.
    pub fn parse(schema: &SchemaRef, text: &str) -> Result<Self> {
        let planner = Planner::new(schema.clone());
        let parsed = planner.parse_filter(text).and_then(|parsed| planner.optimize_expr(parsed));
        let compiled = parsed.and_then(|parsed| planner.create_physical_expr(&parsed));
        let compiled = compiled.map_err(|error| explain(error, format_args!("filter {text:?}")))?;
        if !matches!(compiled.data_type(schema), Ok(DataType::Boolean)) {
            return Err(Error::invalid(format!("filter {text:?} is not true or false")));
        }
        Ok(Self { text: text.to_owned(), compiled })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For each row whether it is meant; what compares with null is not.
    pub fn mask(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let found = evaluated(&self.compiled, rows, &self.text)?;
        let found = found.as_boolean_opt();
        let found =
            found.ok_or_else(|| Error::invalid(format!("filter {:?} is not true or false", self.text)))?;
        Ok(if found.null_count() == 0 { found.clone() } else { prep_null_mask_filter(found) })
    }
}

/// What becomes of columns: `balance` → `balance + 1`. All see the row as it was.
#[derive(Debug, Clone)]
pub struct Assignments(Vec<Assignment>);

#[derive(Debug, Clone)]
struct Assignment {
    column: usize,
    text: String,
    compiled: Arc<dyn PhysicalExpr>,
}

impl Assignments {
    /// Reads expressions over these columns, each cast to the type of its column.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if one cannot be read or cast, or a column is not there or named twice.
    pub fn parse(schema: &SchemaRef, assignments: &[(&str, &str)]) -> Result<Self> {
        let mut parsed: Vec<Assignment> = Vec::new();
        for (column, text) in assignments {
            let one = assignment(schema, column, text)?;
            if parsed.iter().any(|known| known.column == one.column) {
                return Err(Error::invalid(format!("column {column} is assigned twice")));
            }
            parsed.push(one);
        }
        Ok(Self(parsed))
    }

    /// The rows with the new values.
    pub fn apply(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        for Assignment { column, text, compiled } in &self.0 {
            columns[*column] = evaluated(compiled, rows, text)?;
        }
        RecordBatch::try_new(rows.schema(), columns)
            .map_err(|error| Error::invalid(format!("the assigned values do not fit: {error}")))
    }
}

fn assignment(schema: &SchemaRef, column: &str, text: &str) -> Result<Assignment> {
    let wrong = |error: DataFusionError| Error::invalid(format!("{column} = {text:?}: {error}"));
    let Ok(index) = schema.index_of(column) else {
        return Err(Error::invalid(format!("there is no column {column} to assign to")));
    };
    let planner = Planner::new(schema.clone());
    let failed = |error| explain(error, format_args!("{column} = {text:?}"));
    let parsed = planner.parse_expr(text).map_err(failed)?;
    let known = DFSchema::try_from(schema.as_ref().clone()).map_err(wrong)?;
    let wanted = schema.field(index).data_type();
    let given = parsed.get_type(&known).map_err(wrong)?;
    let cast = if given == *wanted { parsed } else { parsed.cast_to(wanted, &known).map_err(wrong)? };
    let optimised = planner.optimize_expr(cast).map_err(failed)?;
    let compiled = planner.create_physical_expr(&optimised).map_err(failed)?;
    Ok(Assignment { column: index, text: text.to_owned(), compiled })
}

fn evaluated(compiled: &Arc<dyn PhysicalExpr>, rows: &RecordBatch, text: &str) -> Result<ArrayRef> {
    let value = compiled.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
    value.map_err(|error| Error::invalid(format!("{text:?}: {error}")))
}
