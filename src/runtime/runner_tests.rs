use super::super::queue::Reason;
use super::*;
use crate::host::ManualClock;
use crate::model::Timestamp;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Work that records what happens and goes on only when let.
struct Recorder {
    started: Mutex<Vec<&'static str>>,
    panics: Mutex<Vec<String>>,
    gate: Semaphore,
    requeue: Mutex<HashMap<&'static str, Requeue>>,
}

#[async_trait]
impl Activation<&'static str> for Recorder {
    async fn run(&self, wake: Wake<&'static str>) -> Requeue {
        self.started.lock().unwrap().push(wake.key);
        self.gate.acquire().await.unwrap().forget();
        assert!(wake.key != "broken", "{} broke", wake.key);
        self.requeue.lock().unwrap().remove(wake.key).unwrap_or(Requeue::OnChange)
    }

    fn panicked(&self, key: &&'static str, message: &str) -> Requeue {
        self.panics.lock().unwrap().push(format!("{key}: {message}"));
        Requeue::After(Duration::from_secs(60))
    }
}

struct World {
    clock: ManualClock,
    recorder: Arc<Recorder>,
    waker: Waker<&'static str>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    fn new(concurrency: usize) -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(0).unwrap());
        let recorder = Arc::new(Recorder {
            started: Mutex::default(),
            panics: Mutex::default(),
            gate: Semaphore::new(0),
            requeue: Mutex::default(),
        });
        let concurrency = NonZeroUsize::new(concurrency).unwrap();
        let runner = Runner::new(Arc::new(clock.clone()), concurrency, recorder.clone());
        let (waker, stop) = (runner.waker(), CancellationToken::new());
        let running = tokio::spawn(runner.run(stop.clone()));
        Self { clock, recorder, waker, stop, running }
    }

    fn wake(&self, keys: &[&'static str]) {
        for key in keys {
            self.waker.wake(Wake { key, reason: Reason::Again });
        }
    }

    /// Lets every task run until nothing more happens.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn started(&self) -> Vec<&'static str> {
        self.settle().await;
        std::mem::take(&mut *self.recorder.started.lock().unwrap())
    }

    fn let_through(&self, runs: usize) {
        self.recorder.gate.add_permits(runs);
    }
}

#[tokio::test]
async fn a_key_never_runs_beside_itself() {
    let world = World::new(4);
    world.wake(&["a"]);
    assert_eq!(world.started().await, ["a"]);
    world.wake(&["a", "a", "a"]);
    assert!(world.started().await.is_empty());
    world.let_through(1);
    assert_eq!(world.started().await, ["a"], "three wakes made one more run");
    world.let_through(1);
    assert!(world.started().await.is_empty());
}

#[tokio::test]
async fn no_more_than_the_limit_run_at_once() {
    let world = World::new(2);
    world.wake(&["a", "b", "c", "d"]);
    assert_eq!(world.started().await, ["a", "b"]);
    assert_eq!((world.waker.running(), world.waker.waiting()), (2, 2));
    world.let_through(1);
    assert_eq!(world.started().await, ["c"]);
}

#[tokio::test]
async fn a_run_comes_back_when_it_said_so() {
    let world = World::new(1);
    world.recorder.requeue.lock().unwrap().insert("a", Requeue::After(Duration::from_secs(30)));
    world.wake(&["a"]);
    world.let_through(1);
    assert_eq!(world.started().await, ["a"]);
    world.clock.until_asleep(1).await;
    world.clock.advance(Duration::from_secs(29));
    assert!(world.started().await.is_empty());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.started().await, ["a"]);
}

#[tokio::test]
async fn a_panic_stays_in_its_scope_and_is_reported() {
    let world = World::new(2);
    world.wake(&["broken", "a"]);
    world.let_through(2);
    assert_eq!(world.started().await, ["broken", "a"]);
    world.settle().await;
    assert_eq!(*world.recorder.panics.lock().unwrap(), ["broken: broken broke"]);
    world.wake(&["b"]);
    assert_eq!(world.started().await, ["b"]);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.started().await, ["broken"], "and is tried again when its report says so");
}

#[tokio::test]
async fn stopping_starts_nothing_more_and_waits_for_what_runs() {
    let mut world = World::new(1);
    world.wake(&["a", "b"]);
    assert_eq!(world.started().await, ["a"]);
    world.stop.cancel();
    world.settle().await;
    assert!(!world.running.is_finished(), "it waits for a");
    world.let_through(1);
    (&mut world.running).await.unwrap();
    assert!(world.started().await.is_empty(), "b was never started");
}
