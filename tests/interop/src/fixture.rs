//! Schema, rows and queries of every graph made here. Each id is explicit, so that two runs give the same rows.

pub const SCHEMA: &str = "\
node Person {
    name: String @key
    age: I32? @index
    score: I32?
}
node Company {
    name: String @key
    size: I32?
}
node Draft {
    name: String @key
}
edge Knows: Person -> Person {
    since: Date?
}
edge WorksAt: Person -> Company
";

/// The seed graph: every table has rows, so the first load builds every index.
pub const SEED: &str = r#"
{"type":"Person","data":{"name":"Alice","age":30,"score":1}}
{"type":"Person","data":{"name":"Bob","age":41,"score":2}}
{"type":"Person","data":{"name":"Carol","age":52,"score":3}}
{"type":"Person","data":{"name":"Dave","age":63,"score":4}}
{"type":"Company","data":{"name":"Acme","size":10}}
{"type":"Company","data":{"name":"Bolt","size":20}}
{"type":"Draft","data":{"name":"Sketch"}}
{"edge":"Knows","from":"Alice","to":"Bob","data":{"id":"k-alice-bob","since":"2024-01-31"}}
{"edge":"Knows","from":"Carol","to":"Dave","data":{"id":"k-carol-dave"}}
{"edge":"WorksAt","from":"Alice","to":"Acme","data":{"id":"w-alice-acme"}}
{"edge":"WorksAt","from":"Dave","to":"Bolt","data":{"id":"w-dave-bolt"}}
"#;

/// New rows in four tables.
pub const ADDITION: &str = r#"
{"type":"Person","data":{"name":"Erin","age":24,"score":5}}
{"type":"Person","data":{"name":"Frank","age":35,"score":6}}
{"type":"Company","data":{"name":"Crux","size":30}}
{"edge":"Knows","from":"Erin","to":"Frank","data":{"id":"k-erin-frank","since":"2024-02-29"}}
{"edge":"WorksAt","from":"Frank","to":"Crux","data":{"id":"w-frank-crux"}}
"#;

/// Changed and new rows in two tables.
pub const UPSERT: &str = r#"
{"type":"Person","data":{"name":"Alice","age":31,"score":1}}
{"type":"Person","data":{"name":"Grace","age":46,"score":7}}
{"type":"Company","data":{"name":"Acme","size":11}}
{"type":"Company","data":{"name":"Dune","size":40}}
"#;

/// A whole new content of two tables; the edges of the seed are left alone and stay valid.
pub const REPLACEMENT: &str = r#"
{"type":"Person","data":{"name":"Alice","age":130}}
{"type":"Person","data":{"name":"Bob","age":141}}
{"type":"Person","data":{"name":"Carol","age":152}}
{"type":"Person","data":{"name":"Dave","age":163}}
{"type":"Company","data":{"name":"Acme","size":110}}
{"type":"Company","data":{"name":"Bolt","size":120}}
"#;

/// One row in each table, for a branch's own first write.
pub const BRANCH_ROWS: &str = r#"
{"type":"Person","data":{"name":"Heidi","age":27}}
{"type":"Company","data":{"name":"Echo","size":50}}
{"type":"Draft","data":{"name":"Outline"}}
{"edge":"Knows","from":"Heidi","to":"Alice","data":{"id":"k-heidi-alice"}}
{"edge":"WorksAt","from":"Heidi","to":"Acme","data":{"id":"w-heidi-acme"}}
"#;

/// One company: a write to one table only.
pub const ONE_COMPANY: &str = r#"
{"type":"Company","data":{"name":"Flux","size":60}}
"#;

/// One draft: a write to a table that the other programs leave alone.
pub const ONE_DRAFT: &str = r#"
{"type":"Draft","data":{"name":"Vision"}}
"#;

/// Two persons: a write to one table only.
pub const TWO_PERSONS: &str = r#"
{"type":"Person","data":{"name":"Ivan","age":38}}
{"type":"Person","data":{"name":"Judy","age":49}}
"#;

/// What the judge writes: [`crate::judge`] says why.
pub const JUDGE_MERGE: &str = r#"
{"type":"Person","data":{"name":"JudgeKept","age":71}}
{"type":"Person","data":{"name":"JudgeRemoved","age":72}}
{"type":"Company","data":{"name":"JudgeInc","size":1}}
{"edge":"Knows","from":"JudgeRemoved","to":"JudgeKept","data":{"id":"Judge-knows"}}
{"edge":"WorksAt","from":"JudgeRemoved","to":"JudgeInc","data":{"id":"Judge-works"}}
"#;
pub const JUDGE_APPEND: &str = r#"
{"type":"Person","data":{"name":"JudgeAppended","age":73}}
{"type":"Company","data":{"name":"JudgeLtd","size":2}}
{"edge":"WorksAt","from":"JudgeAppended","to":"JudgeLtd","data":{"id":"Judge-stays"}}
"#;
pub const JUDGE_BRANCH: &str = r#"
{"type":"Person","data":{"name":"JudgeMerged","age":74}}
{"type":"Person","data":{"name":"JudgeKept","age":75}}
"#;
pub const JUDGE_SCHEMA: &str = r#"
{"type":"Company","data":{"name":"JudgeWide","judged":1}}
{"type":"Verdict","data":{"name":"JudgeVerdict"}}
"#;

pub const QUERIES: &str = "\
query insert_both($person: String, $age: I32, $company: String, $size: I32) {
    insert Person { name: $person, age: $age }
    insert Company { name: $company, size: $size }
}
query insert_person($person: String, $age: I32) { insert Person { name: $person, age: $age } }
query set_age($person: String, $age: I32) { update Person set { age: $age } where name = $person }
query set_both($person: String, $age: I32, $company: String, $size: I32) {
    update Person set { age: $age } where name = $person
    update Company set { size: $size } where name = $company
}
query remove_person($person: String) { delete Person where name = $person }
query remove_company($company: String) { delete Company where name = $company }
query remove_two($person: String, $other: String) {
    delete Person where name = $person
    delete Person where name = $other
}
";

/// [`SCHEMA`] with a property added to `Person`, the type `Project` added and `Draft` dropped.
pub const SCHEMA_CHANGED: &str = "\
node Person {
    name: String @key
    age: I32? @index
    score: I32?
    nickname: String?
}
node Company {
    name: String @key
    size: I32?
}
node Project {
    name: String @key
}
edge Knows: Person -> Person {
    since: Date?
}
edge WorksAt: Person -> Company
";

/// [`SCHEMA`] with properties added to two types: two tables are rewritten, none is created or dropped.
pub const SCHEMA_WIDENED: &str = "\
node Person {
    name: String @key
    age: I32? @index
    score: I32?
    nickname: String?
}
node Company {
    name: String @key
    size: I32?
    city: String?
}
node Draft {
    name: String @key
}
edge Knows: Person -> Person {
    since: Date?
}
edge WorksAt: Person -> Company
";

/// [`SCHEMA`] with the type `Project` added: one table is created, none is rewritten.
pub const SCHEMA_EXTENDED: &str = "\
node Person {
    name: String @key
    age: I32? @index
    score: I32?
}
node Company {
    name: String @key
    size: I32?
}
node Draft {
    name: String @key
}
node Project {
    name: String @key
}
edge Knows: Person -> Person {
    since: Date?
}
edge WorksAt: Person -> Company
";

/// [`SCHEMA`] with a type and a property renamed and a property removed: two tables are rewritten, one is copied.
pub const SCHEMA_RENAMED: &str = "\
node Person {
    name: String @key
    age: I32? @index
    points: I32? @rename_from(\"score\")
}
node Company {
    name: String @key
    size: I32?
}
node Sketch @rename_from(\"Draft\") {
    name: String @key
}
edge Knows: Person -> Person
edge WorksAt: Person -> Company
";

/// [`SCHEMA`] with two more indexed properties: no table moves, and indexes are missing afterwards.
pub const SCHEMA_INDEXED: &str = "\
node Person {
    name: String @key
    age: I32? @index
    score: I32? @index
}
node Company {
    name: String @key
    size: I32? @index
}
node Draft {
    name: String @key
}
edge Knows: Person -> Person {
    since: Date?
}
edge WorksAt: Person -> Company
";
