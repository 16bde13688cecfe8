//! A small bank: accounts with balances, and a journal of transfers.

use crate::support::faults::DiesAt;
use crate::support::graph::next_ulid;
use crate::support::repos::{TestStore, faulty, on_disk, on_s3, over_memory};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use outrigger::host::{Host, ManualClock};
use outrigger::model::manifest::{Change, CommitIntent, Publish};
use outrigger::model::{Branch, Permit, TableKey, Timestamp, Window};
use outrigger::passes::recovery::act::{Handles, Turn};
use outrigger::passes::recovery::decide::Policy;
use outrigger::passes::recovery::observe::Grace;
use outrigger::passes::recovery::run::{Run, run};
use outrigger::passes::report::{ActionKind, ActionOutcome, PassReport};
use outrigger::repo;
use outrigger::repo::forks::Forked;
use outrigger::repo::staged::{Landed, RowChange};
use outrigger::store::{Fault, Key, Store, StoreParts, Verb};
use outrigger::writer::{Error, Limits, NewTable, Parts, Repository, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const ACCOUNTS: &str = "accounts";
pub const JOURNAL: &str = "journal";
pub const MAIN: &str = "main";

/// What the accounts hold together, always.
pub const TOTAL: i64 = 300;

/// What becomes of a commit that somebody else makes beside the writer under test.
#[derive(Clone)]
pub enum Beside {
    /// It is shown.
    Shows,
    /// It is not, and its crash record tells of it.
    Dies { operation: String },
    /// It is not, and nothing tells of it.
    LeavesNoRecord,
}

pub struct World {
    pub place: TestStore,
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

pub fn accounts_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("id"), Field::new("balance", DataType::Int64, false)]))
}

pub fn journal_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("payer"), text("payee"), Field::new("amount", DataType::Int64, true)]))
}

pub fn tables() -> [NewTable; 2] {
    [
        NewTable { name: ACCOUNTS.into(), schema: accounts_schema(), key: vec!["id".into()] },
        NewTable { name: JOURNAL.into(), schema: journal_schema(), key: vec![] },
    ]
}

/// One more table, with the columns and the key of the accounts.
pub fn orders_table() -> NewTable {
    let [accounts, _] = tables();
    NewTable { name: "orders".into(), ..accounts }
}

pub fn accounts(rows: &[(&str, i64)]) -> RecordBatch {
    let ids = StringArray::from_iter_values(rows.iter().map(|(id, _)| id));
    let balances = Int64Array::from_iter_values(rows.iter().map(|(_, balance)| *balance));
    RecordBatch::try_new(accounts_schema(), vec![Arc::new(ids), Arc::new(balances)]).unwrap()
}

pub fn journal(rows: &[(&str, &str, i64)]) -> RecordBatch {
    let payers = StringArray::from_iter_values(rows.iter().map(|(payer, ..)| payer));
    let payees = StringArray::from_iter_values(rows.iter().map(|(_, payee, _)| payee));
    let amounts = Int64Array::from_iter_values(rows.iter().map(|(.., amount)| *amount));
    let columns: [Arc<dyn Array>; 3] = [Arc::new(payers), Arc::new(payees), Arc::new(amounts)];
    RecordBatch::try_new(journal_schema(), columns.into()).unwrap()
}

/// The balances in a batch of accounts.
pub fn balances(rows: &RecordBatch) -> BTreeMap<String, i64> {
    let (ids, balances) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int64Type>());
    let found: BTreeMap<_, _> =
        (0..rows.num_rows()).map(|row| (ids.value(row).to_owned(), balances.value(row))).collect();
    assert_eq!(found.len(), rows.num_rows(), "an account is there once: {rows:?}");
    found
}

/// `ann` pays `bob`, on two tables.
pub async fn transfer(tx: &mut Transaction, from: &str, to: &str, amount: i64) {
    let less = format!("balance - {amount}");
    let more = format!("balance + {amount}");
    let of = |id: &str| format!("id = '{id}'");
    assert_eq!(tx.update(ACCOUNTS, &of(from), &[("balance", &less)]).await.unwrap(), 1);
    assert_eq!(tx.update(ACCOUNTS, &of(to), &[("balance", &more)]).await.unwrap(), 1);
    tx.append(JOURNAL, journal(&[(from, to, amount)])).await.unwrap();
}

impl World {
    pub async fn on_disk() -> Self {
        Self::in_place(on_disk(StoreParts::real()).await).await
    }

    pub async fn on_s3() -> Self {
        Self::in_place(on_s3(StoreParts::real()).await).await
    }

    pub async fn in_memory() -> Self {
        Self::in_place(over_memory(Arc::default()).await).await
    }

    /// Three accounts with a hundred each.
    async fn in_place(place: TestStore) -> Self {
        let world = Self { place };
        let parts = world.parts(StoreParts::real()).await;
        let repository = Repository::create_with(parts, &tables()).await.unwrap();
        let mut tx = repository.begin(MAIN).await.unwrap();
        tx.append(ACCOUNTS, accounts(&[("ann", 100), ("bob", 100), ("cid", 100)])).await.unwrap();
        tx.commit().await.unwrap().unwrap();
        world
    }

    pub async fn parts(&self, parts: StoreParts) -> Parts {
        let host = parts.host.clone();
        self.parts_with(parts, host).await
    }

    async fn parts_with(&self, parts: StoreParts, host: Host) -> Parts {
        let store = self.place.reopen(parts).await;
        Parts { store, host, ids: Arc::new(next_ulid), limits: Limits::default() }
    }

    /// A handle of its own.
    pub async fn open(&self) -> Repository {
        Repository::open_with(self.parts(StoreParts::real()).await, false).await.unwrap()
    }

    /// A handle whose store may break.
    pub async fn open_under(&self, fault: Arc<dyn Fault>) -> outrigger::writer::Result<Repository> {
        Repository::open_with(self.parts(faulty(fault)).await, false).await
    }

    /// A handle on a clock that is moved by hand.
    pub async fn open_on(&self, clock: &ManualClock, parts: StoreParts) -> Repository {
        let parts = Parts { host: Host::with_clock(clock.clone()), ..self.parts(parts).await };
        Repository::open_with(parts, false).await.unwrap()
    }

    /// A handle with limits of its own.
    pub async fn open_within(&self, limits: Limits, parts: StoreParts) -> Repository {
        Repository::open_with(Parts { limits, ..self.parts(parts).await }, false).await.unwrap()
    }

    /// A transfer of one whose writer died between the two tables; its operation.
    pub async fn half_landed(&self) -> String {
        let dies = DiesAt::call(|call| {
            call.verb == Verb::Create && call.path.as_ref().contains("journal.lance/_versions")
        });
        let bank = self.open_under(Arc::new(dies)).await.unwrap();
        let mut tx = bank.begin(MAIN).await.unwrap();
        transfer(&mut tx, "ann", "bob", 1).await;
        let Err(Error::PendingRecovery { sidecar }) = tx.commit().await else { panic!("it died") };
        sidecar.to_string()
    }

    /// What another process does that has begun earlier: it appends to a table of a branch.
    pub async fn append_beside(&self, branch: &str, table: &str, rows: RecordBatch, then: Beside) {
        let (repo, on) = (self.repo().await, Branch::parse(Some(branch)).unwrap());
        let (key, now) = (TableKey::parse(table).unwrap(), Timestamp(chrono::Utc::now()));
        let operation = match &then {
            Beside::Dies { operation } => operation.clone(),
            _ => next_ulid(),
        };
        let shown = repo.snapshot(&on).await.unwrap().unwrap();
        let entry = shown.state.entry(&key).unwrap();
        if let Beside::Dies { operation } = &then {
            let sidecar = serde_json::json!({
                "schema_version": 2, "operation_id": operation, "started_at": now.as_micros().to_string(), "branch": branch,
                "actor_id": null, "writer_kind": "Mutation", "branch_identifier": repo.which(&on).await.unwrap().unwrap().identity,
                "tables": [{
                    "table_key": table, "table_path": format!("{}/tables/{table}.lance", self.place.uri),
                    "expected_version": entry.version, "post_commit_pin": entry.version.next(), "table_branch": branch,
                }],
            });
            let record = Key::parse(&format!("__recovery/{operation}.json")).unwrap();
            self.place.put(&record, sidecar.to_string().into()).await.unwrap();
        }
        let base = match entry.branch == on {
            true => repo.table_at(&key, entry).await.unwrap().unwrap(),
            false => match repo.fork(&key, entry, &on, now).await.unwrap() {
                Forked::Ready(fork) => *fork,
                Forked::InTheWay(found) => panic!("{found}"),
            },
        };
        let change =
            RowChange { added: vec![rows.with_schema(base.schema()).unwrap()], ..RowChange::default() };
        let staged = repo.stage(&base, &on, &change).await.unwrap();
        let Landed::Yes(made) = repo.land(&base, staged, &operation).await.unwrap() else {
            panic!("it is first")
        };
        let Beside::Shows = then else { return };
        let entry = repo.entry_at(&made, made.head()).await.unwrap();
        let commit = CommitIntent { id: next_ulid(), actor: None, merged_parent: None, created_at: now };
        let changes = vec![Change::Show { table: key, entry }];
        let publish = Publish { changes, commits: vec![commit], ..Publish::default() };
        let published = repo.publish(&shown, &publish, &operation).await.unwrap();
        assert!(matches!(published, repo::Published::Committed(_)), "{published:?}");
    }

    /// As recovery reads it.
    pub async fn repo(&self) -> repo::Repository {
        repo::Repository::open(self.place.reopen(StoreParts::real()).await).await.unwrap()
    }

    pub async fn balances(&self) -> BTreeMap<String, i64> {
        self.balances_on(MAIN).await
    }

    pub async fn balances_on(&self, branch: &str) -> BTreeMap<String, i64> {
        let snapshot = self.open().await.snapshot(branch).await.unwrap();
        balances(&snapshot.rows(ACCOUNTS, None).await.unwrap())
    }

    pub async fn total(&self) -> i64 {
        self.balances().await.values().sum()
    }

    /// Rows of the journal.
    pub async fn transfers(&self) -> u64 {
        self.open().await.snapshot(MAIN).await.unwrap().count(JOURNAL).unwrap()
    }

    /// Names of crash records and beats, and of whatever else is to go away by itself.
    pub async fn records(&self) -> Vec<String> {
        let listed = self.place.list(&outrigger::store::layout::recovery_dir()).await.unwrap();
        let names = listed.iter().map(|meta| meta.key.file_name().to_owned());
        let stays = ["gate.0", "lease."];
        let goes =
            |name: &String| !stays.iter().any(|kept| name.starts_with(kept)) && !name.contains(".fence");
        names.filter(goes).collect()
    }

    /// No crash record is left, and no table is ahead of what main shows.
    pub async fn is_settled(&self) {
        assert_eq!(self.records().await, [""; 0]);
        let repo = self.repo().await;
        let main = repo.snapshot(&Branch::main()).await.unwrap().unwrap();
        for (table, entry) in main.state.entries() {
            let head = repo.table(table, &entry.branch).await.unwrap().unwrap().head();
            assert_eq!(head, entry.version, "{table}");
        }
    }

    /// `outrigger once --exclusive --grace 0s`
    pub async fn recover(&self) -> PassReport {
        self.recover_in(Some(Window::Exclusive)).await
    }

    pub async fn recover_in(&self, window: Option<Window>) -> PassReport {
        self.recover_with(window, StoreParts::real()).await
    }

    /// The same through a store that may break.
    pub async fn recover_under(&self, parts: StoreParts) -> PassReport {
        self.recover_with(None, parts).await
    }

    async fn recover_with(&self, window: Option<Window>, parts: StoreParts) -> PassReport {
        let store = Store::open(&self.place.uri, &self.place.settings, self.place.with(parts));
        let repo = repo::Repository::open(store.await.unwrap()).await.unwrap();
        let policy =
            Policy { grace: Duration::ZERO, idle_grace: Duration::ZERO, window, ..Policy::default() };
        let recovery = Run {
            policy,
            dry: false,
            concurrency: 4,
            handles: Arc::new(Hands(window)),
            grace: Arc::new(Grace::default()),
            uptime: Arc::new(|| Duration::ZERO),
            protect: false,
            resting: Arc::new(|_| None),
            progress: Arc::new(|_, _| {}),
        };
        run(&repo, &Arc::new(recovery)).await.unwrap()
    }
}

struct Hands(Option<Window>);

#[async_trait::async_trait]
impl Handles for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now())
    }

    fn ulid(&self) -> String {
        next_ulid()
    }

    async fn turn(&self) -> outrigger::Result<Turn> {
        Ok(Turn::Ours)
    }

    async fn permit(&self) -> outrigger::Result<Option<Permit>> {
        Ok(self.0.map(Permit::of))
    }

    fn acted(&self, _: ActionKind, _: ActionOutcome) {}

    fn panicked(&self) {}
}
