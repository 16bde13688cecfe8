//! Filters and assignments in SQL: read once by DataFusion's parser, and the same expression is evaluated by Lance on stored rows
//! and here on rows that are not stored yet, so that both mean the same.
//!
//! Lance's own parser of filters is not used: it puts the text into a statement and takes the filter out of that, so that
//! `n > 0 LIMIT 1` means `n > 0`, and it takes a name in double quotes for text.

use super::trouble::said;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue, SchemaError};
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use lance_datafusion::planner::Planner;
use std::sync::{Arc, LazyLock};

/// Which rows are meant: a boolean expression such as `balance > 10 AND owner = 'ann'`.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    expression: Expr,
    compiled: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// Reads an expression over these columns.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if it cannot be read, or names a column that is not there.
    pub fn parse(schema: &SchemaRef, text: &str) -> Result<Self> {
        let reader = Reader { schema, text, what: format!("filter {text:?}") };
        let (expression, compiled) = reader.compiled(reader.parsed()?)?;
        if !matches!(compiled.data_type(schema), Ok(DataType::Boolean)) {
            return Err(Error::invalid(format!("filter {text:?} is not true or false")));
        }
        Ok(Self { text: text.to_owned(), expression, compiled })
    }

    /// Rows whose columns have exactly these values, each cast to the type of its column.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if one cannot be cast.
    pub fn equal(schema: &SchemaRef, values: &[(&str, ScalarValue)]) -> Result<Self> {
        let mut all: Option<Expr> = None;
        for (column, value) in values {
            let kind = schema.field_with_name(column).map(|field| field.data_type());
            let kind = kind.map_err(|_| Error::invalid(format!("there is no column {column}")))?;
            let cast = value.cast_to(kind);
            let cast =
                cast.map_err(|_| Error::invalid(format!("column {column} is {kind}, not {value:?}")))?;
            let one = Expr::Column(Column::from_name(*column)).eq(Expr::Literal(cast, None));
            all = Some(match all {
                Some(others) => others.and(one),
                None => one,
            });
        }
        let all = all.ok_or_else(|| Error::internal("a filter without a column"))?;
        let text = all.to_string();
        let (expression, compiled) = Reader { schema, text: &text, what: text.clone() }.compiled(all)?;
        Ok(Self { text, expression, compiled })
    }

    /// As Lance evaluates it on stored rows.
    pub fn expression(&self) -> &Expr {
        &self.expression
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
    let Ok(index) = schema.index_of(column) else {
        return Err(Error::invalid(format!("there is no column {column} to assign to")));
    };
    let reader = Reader { schema, text, what: format!("{column} = {text:?}") };
    let (parsed, known, wanted) = (reader.parsed()?, reader.known()?, schema.field(index).data_type());
    let cast = match parsed.get_type(&known) {
        Ok(given) if given == *wanted => Ok(parsed),
        Ok(_) => parsed.cast_to(wanted, &known),
        Err(error) => Err(error),
    };
    let (_, compiled) = reader.compiled(cast.map_err(|error| reader.unreadable(error))?)?;
    Ok(Assignment { column: index, text: text.to_owned(), compiled })
}

/// Where names of columns are what is written, in any case, and functions are Lance's and DataFusion's.
static SQL: LazyLock<SessionState> = LazyLock::new(|| {
    let names_as_written = "datafusion.sql_parser.enable_ident_normalization";
    let context = SessionContext::new_with_config(SessionConfig::new().set_bool(names_as_written, false));
    lance_datafusion::udf::register_functions(&context);
    context.state()
});

/// Reads one expression over some columns.
struct Reader<'a> {
    schema: &'a SchemaRef,
    text: &'a str,
    /// How it is called in errors.
    what: String,
}

impl Reader<'_> {
    fn known(&self) -> Result<DFSchema> {
        DFSchema::try_from(self.schema.as_ref().clone()).map_err(|error| self.unreadable(error))
    }

    /// The whole text is one expression, or it is refused.
    fn parsed(&self) -> Result<Expr> {
        match SQL.create_logical_expr(self.text, &self.known()?) {
            Ok(Expr::Alias(_)) => {
                Err(Error::invalid(format!("{} gives a name, which has no use here", self.what)))
            }
            parsed => parsed.map_err(|error| self.unreadable(error)),
        }
    }

    fn compiled(&self, parsed: Expr) -> Result<(Expr, Arc<dyn PhysicalExpr>)> {
        let planner = Planner::new(self.schema.clone());
        let optimised = planner.optimize_expr(parsed);
        let compiled = optimised.and_then(|expr| Ok((planner.create_physical_expr(&expr)?, expr)));
        let (compiled, expression) =
            compiled.map_err(|error| Error::invalid(format!("{}: {}", self.what, said(&error))))?;
        Ok((expression, compiled))
    }

    fn unreadable(&self, error: DataFusionError) -> Error {
        let Self { what, text, schema } = self;
        if let DataFusionError::SchemaError(schema_error, _) = error.find_root()
            && let SchemaError::FieldNotFound { field, .. } = schema_error.as_ref()
        {
            let (name, columns) = (field.name(), schema.fields().iter().map(|field| field.name().as_str()));
            let columns = columns.collect::<Vec<_>>().join(", ");
            let quoted = text.contains(&format!("\"{name}\""));
            let hint = if quoted { "; text stands in single quotes" } else { "" };
            return Error::invalid(format!("{what}: there is no column {name}, only {columns}{hint}"));
        }
        Error::invalid(format!("{what}: {}", error.strip_backtrace()))
    }
}

fn evaluated(compiled: &Arc<dyn PhysicalExpr>, rows: &RecordBatch, text: &str) -> Result<ArrayRef> {
    let value = compiled.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
    value.map_err(|error| Error::invalid(format!("{text:?}: {error}")))
}
