//! Faults to hand to a store.

use super::repos::Sleepless;
use async_trait::async_trait;
use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::{Error, Result};
use outrigger::store::{Call, Fault, Verb};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a fault says.
type Answer = fn() -> Error;

/// 503 as S3 words it.
pub fn slow_down() -> Error {
    Error::Generic {
        store: "S3",
        source: "Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code>\
                 <Message>Please reduce your request rate.</Message></Error>"
            .into(),
    }
}

/// 409 as `object_store` passes it on.
pub fn conflict_409() -> Error {
    Error::AlreadyExists {
        path: String::new(),
        source: "status code: 409 Conflict: ConditionalRequestConflict".into(),
    }
}

/// A write to a full disk.
pub fn no_space() -> Error {
    Error::Generic { store: "disk", source: Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull)) }
}

/// 403 as S3 words it.
pub fn denied() -> Error {
    Error::PermissionDenied {
        path: String::new(),
        source: "status code: 403 Forbidden: <Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>".into(),
    }
}

/// 404 as S3 words it where there is no such bucket.
pub fn no_bucket() -> Error {
    Error::NotFound {
        path: String::new(),
        source: "status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>".into(),
    }
}

/// An answer that did not arrive.
pub fn lost() -> Error {
    Error::Generic {
        store: "S3",
        source: Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    }
}

/// Breaks the next `times` calls of one kind, before or after the store does them. Remembers all calls.
#[derive(Debug)]
pub struct Breaks {
    verbs: Vec<Verb>,
    after: bool,
    answer: Answer,
    times: Mutex<usize>,
    seen: Mutex<Vec<Call>>,
}

impl Breaks {
    /// The store never hears of the next `times` calls.
    pub fn before(verbs: &[Verb], times: usize, answer: Answer) -> Self {
        Self { verbs: verbs.to_vec(), after: false, answer, times: Mutex::new(times), seen: Mutex::default() }
    }

    /// The store does the next `times` calls, the caller learns something else.
    pub fn after(verbs: &[Verb], times: usize, answer: Answer) -> Self {
        Self { after: true, ..Self::before(verbs, times, answer) }
    }

    /// Breaks nothing from now on.
    pub fn mend(&self) {
        *self.times.lock().unwrap() = 0;
    }

    /// Breaks nothing, only watches.
    pub fn watching() -> Self {
        Self::before(&[], 0, lost)
    }

    /// All calls up to now.
    pub fn seen(&self) -> Vec<Call> {
        self.seen.lock().unwrap().clone()
    }

    fn strike(&self, call: &Call) -> Result<()> {
        let mut times = self.times.lock().unwrap();
        if *times == 0 || !self.verbs.contains(&call.verb) {
            return Ok(());
        }
        *times -= 1;
        Err((self.answer)())
    }
}

#[async_trait]
impl Fault for Breaks {
    async fn before(&self, call: &Call) -> Result<()> {
        self.seen.lock().unwrap().push(call.clone());
        if self.after { Ok(()) } else { self.strike(call) }
    }

    async fn after(&self, call: &Call) -> Result<()> {
        if self.after { self.strike(call) } else { Ok(()) }
    }
}

/// 503 to everything until its length has passed.
#[derive(Debug)]
pub struct Outage {
    /// The time that passes.
    pub time: Sleepless,
    /// When it ends.
    pub length: Duration,
}

#[async_trait]
impl Fault for Outage {
    async fn before(&self, _: &Call) -> Result<()> {
        if self.time.slept() < self.length { Err(slow_down()) } else { Ok(()) }
    }
}

/// Lets something happen just before a call, and then that call fails.
#[derive(Debug)]
pub struct FailsAfter(pub Meanwhile);

#[async_trait]
impl Fault for FailsAfter {
    async fn before(&self, call: &Call) -> Result<()> {
        let times = self.0.times();
        self.0.before(call).await?;
        if self.0.times() > times { Err(denied()) } else { Ok(()) }
    }
}

/// The connection breaks at every call for which this holds, before the store does it.
#[derive(Debug)]
pub struct FailsAlways(pub fn(&Call) -> bool);

#[async_trait]
impl Fault for FailsAlways {
    async fn before(&self, call: &Call) -> Result<()> {
        if (self.0)(call) { Err(lost()) } else { Ok(()) }
    }
}

/// Whether a call changes the store.
pub fn is_write(call: &Call) -> bool {
    !matches!(call.verb, Verb::Get | Verb::Head | Verb::List)
}

/// Whether the answer to a call may depend on when it is made. Files of Lance datasets are written once, and read by names
/// that were read before.
pub fn is_telling(call: &Call) -> bool {
    let written_once = ["/data/", "/_versions/", "/_transactions/", "/_deletions/", "/_indices/"];
    call.verb != Verb::Get || !written_once.iter().any(|dir| call.path.as_ref().contains(dir))
}

/// Keeps a copy of the whole memory before each write: what a process that dies there leaves behind, whether the call before
/// was answered or not.
#[derive(Debug)]
pub struct Copies {
    memory: Arc<InMemory>,
    taken: Mutex<Vec<(Call, InMemory)>>,
}

impl Copies {
    /// Of this memory.
    pub fn of(memory: &Arc<InMemory>) -> Self {
        Self { memory: memory.clone(), taken: Mutex::default() }
    }

    /// All copies up to now, each with the write that it was taken before.
    pub fn take(&self) -> Vec<(Call, InMemory)> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

#[async_trait]
impl Fault for Copies {
    async fn before(&self, call: &Call) -> Result<()> {
        if is_write(call) {
            self.taken.lock().unwrap().push((call.clone(), self.memory.fork()));
        }
        Ok(())
    }
}

/// A store far away: every call takes so long.
#[derive(Debug)]
pub struct Latency(pub Duration);

#[async_trait]
impl Fault for Latency {
    async fn before(&self, _: &Call) -> Result<()> {
        tokio::time::sleep(self.0).await;
        Ok(())
    }
}

/// A process that dies: after its `lives`-th write nothing of it reaches the store any more.
#[derive(Debug)]
pub struct Dies {
    lives: usize,
    written: Mutex<usize>,
}

impl Dies {
    /// Does `lives` writes, then none and no read either.
    pub fn after_writes(lives: usize) -> Self {
        Self { lives, written: Mutex::default() }
    }

    /// Whether it lived to do what it wanted.
    pub fn survived(&self) -> bool {
        *self.written.lock().unwrap() <= self.lives
    }

    /// Writes it began.
    pub fn written(&self) -> usize {
        *self.written.lock().unwrap()
    }
}

#[async_trait]
impl Fault for Dies {
    async fn before(&self, call: &Call) -> Result<()> {
        let mut written = self.written.lock().unwrap();
        if is_write(call) {
            *written += 1;
        }
        if *written > self.lives { Err(denied()) } else { Ok(()) }
    }
}

/// A process that dies at a call: neither that one nor any later one reaches the store.
pub struct DiesAt {
    when: Choice,
    dead: AtomicBool,
}

impl std::fmt::Debug for DiesAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiesAt")
    }
}

impl DiesAt {
    /// The first call for which this holds.
    pub fn call(when: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        Self { when: Box::new(when), dead: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Fault for DiesAt {
    async fn before(&self, call: &Call) -> Result<()> {
        if (self.when)(call) {
            self.dead.store(true, Ordering::Relaxed);
        }
        if self.dead.load(Ordering::Relaxed) { Err(denied()) } else { Ok(()) }
    }
}

/// A disk that is full from one write on; what is there can be read and deleted.
#[derive(Debug)]
pub struct Full {
    after: usize,
    written: AtomicUsize,
}

impl Full {
    /// After so many writes.
    pub fn after_writes(after: usize) -> Self {
        Self { after, written: AtomicUsize::new(0) }
    }

    /// Whether anything was refused.
    pub fn happened(&self) -> bool {
        self.written.load(Ordering::Relaxed) > self.after
    }
}

#[async_trait]
impl Fault for Full {
    async fn before(&self, call: &Call) -> Result<()> {
        let needs_room = is_write(call) && call.verb != Verb::Delete;
        match needs_room && self.written.fetch_add(1, Ordering::Relaxed) >= self.after {
            true => Err(no_space()),
            false => Ok(()),
        }
    }
}

/// Loses the answer to one write: the store has done it, the process cannot know.
#[derive(Debug)]
pub struct LosesAnswer {
    nth: usize,
    written: Mutex<usize>,
    /// Calls after it that are lost as well, on their way to the store.
    then: AtomicUsize,
}

impl LosesAnswer {
    /// To the `nth` write, counted from 1.
    pub fn to_write(nth: usize) -> Self {
        Self { nth, written: Mutex::default(), then: AtomicUsize::new(0) }
    }

    /// And the next calls do not reach the store.
    pub fn and_calls(self, calls: usize) -> Self {
        Self { then: AtomicUsize::new(calls), ..self }
    }

    /// Whether there was such a write.
    pub fn happened(&self) -> bool {
        *self.written.lock().unwrap() >= self.nth
    }
}

#[async_trait]
impl Fault for LosesAnswer {
    async fn before(&self, _: &Call) -> Result<()> {
        let one_less = |left: usize| left.checked_sub(1);
        let is_lost =
            self.happened() && self.then.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        if is_lost { Err(lost()) } else { Ok(()) }
    }

    async fn after(&self, call: &Call) -> Result<()> {
        if !is_write(call) {
            return Ok(());
        }
        let mut written = self.written.lock().unwrap();
        *written += 1;
        if *written == self.nth { Err(lost()) } else { Ok(()) }
    }
}

/// What happens meanwhile.
type Event = futures::future::BoxFuture<'static, ()>;

/// Whether a call is meant.
type Choice = Box<dyn Fn(&Call) -> bool + Send + Sync>;

/// Lets something happen just before some calls of the process under test: a writer or another recoverer at any moment.
pub struct Meanwhile {
    when: Choice,
    event: Box<dyn Fn() -> Event + Send + Sync>,
    left: AtomicUsize,
    happened: AtomicUsize,
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Meanwhile {
    /// Before the first call for which `when` holds.
    pub fn at(
        when: impl Fn(&Call) -> bool + Send + Sync + 'static,
        event: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let event = Mutex::new(Some(event.boxed()));
        let once = move || event.lock().unwrap().take().expect("it happens once");
        Self { left: AtomicUsize::new(1), ..Self::whenever(when, once) }
    }

    /// Before every call for which `when` holds.
    pub fn whenever(
        when: impl Fn(&Call) -> bool + Send + Sync + 'static,
        event: impl Fn() -> Event + Send + Sync + 'static,
    ) -> Self {
        let left = AtomicUsize::new(usize::MAX);
        Self { when: Box::new(when), event: Box::new(event), left, happened: AtomicUsize::new(0) }
    }

    /// Before the `nth` call, counted from 0, whose answer may depend on when it is made.
    pub fn before_telling_call(nth: usize, event: impl Future<Output = ()> + Send + 'static) -> Self {
        let told = AtomicUsize::new(0);
        Self::at(move |call| is_telling(call) && told.fetch_add(1, Ordering::Relaxed) == nth, event)
    }

    /// Whether the moment came.
    pub fn happened(&self) -> bool {
        self.times() > 0
    }

    /// How often the moment came.
    pub fn times(&self) -> usize {
        self.happened.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Fault for Meanwhile {
    async fn before(&self, call: &Call) -> Result<()> {
        let one_less = |left: usize| left.checked_sub(1);
        if (self.when)(call) && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
        {
            (self.event)().await;
            self.happened.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
