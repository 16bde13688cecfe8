//! Wakes a channel when a schedule is due. It decides nothing: who is woken reads the bucket and looks at the time.
//!
//! The cron library is asked for one thing only, to call us at the top of every minute. Which schedules are due is
//! answered by [`Schedule::next_after`], because the library fixes a job's offset from UTC when the job is made and
//! would be an hour off after the next change of clocks. A minute that was missed (a suspended host, a jump of the wall
//! clock) is made up for by one wake, not by one per missed run.

use super::schedule::Schedule;
use crate::host::Clock;
use crate::model::Timestamp;
use crate::{Error, Result};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler};

/// The top of every minute, in the library's six fields: no schedule of five fields is finer.
const EVERY_MINUTE: &str = "0 * * * * *";

/// What to wake, and when.
struct Alarms<K> {
    schedules: Vec<(K, Schedule)>,
    clock: Arc<dyn Clock>,
    looked_at: Mutex<Timestamp>,
}

impl<K: Clone> Alarms<K> {
    fn new(schedules: Vec<(K, Schedule)>, clock: Arc<dyn Clock>) -> Self {
        let looked_at = Mutex::new(clock.now());
        Self { schedules, clock, looked_at }
    }

    /// The keys whose schedules ran since the last time this was asked. After the wall clock was set back, none.
    fn due(&self) -> Vec<K> {
        let now = self.clock.now();
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let since = std::mem::replace(&mut *looked_at, now);
        let ran = |schedule: &Schedule| schedule.next_after(since).is_some_and(|run| run <= now);
        self.schedules.iter().filter(|(_, schedule)| ran(schedule)).map(|(key, _)| key.clone()).collect()
    }
}

/// Keeps the wakes coming. Ends with [`ScheduleWaker::stop`].
pub struct ScheduleWaker {
    scheduler: JobScheduler,
}

impl ScheduleWaker {
    /// No wake is sent after this, but for one that is just being sent.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the schedule waker did not stop cleanly");
        }
    }
}

impl fmt::Debug for ScheduleWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScheduleWaker")
    }
}

/// Sends a key on `due` within a minute and a second of each run of its schedule.
///
/// When `due` is full the wake is dropped: it needs room for all schedules.
/// Fails only if the cron library does not start.
pub async fn wake_on_schedule<K>(
    schedules: Vec<(K, Schedule)>,
    clock: Arc<dyn Clock>,
    due: mpsc::Sender<K>,
) -> Result<ScheduleWaker>
where
    K: Clone + Send + Sync + 'static,
{
    wake_at(EVERY_MINUTE, Alarms::new(schedules, clock), due).await
}

async fn wake_at<K>(tick: &str, alarms: Alarms<K>, due: mpsc::Sender<K>) -> Result<ScheduleWaker>
where
    K: Clone + Send + Sync + 'static,
{
    let job = Job::new(tick, move |_, _| {
        for key in alarms.due() {
            if due.try_send(key).is_err() {
                tracing::debug!("a scheduled wake was dropped: its receiver is busy or gone");
            }
        }
    });
    let broken = |error| Error::internal("cannot start the schedule waker").caused_by(error);
    let scheduler = JobScheduler::new().await.map_err(broken)?;
    scheduler.add(job.map_err(broken)?).await.map_err(broken)?;
    scheduler.start().await.map_err(broken)?;
    Ok(ScheduleWaker { scheduler })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ManualClock;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    fn alarms() -> (ManualClock, Alarms<&'static str>) {
        let clock = ManualClock::new(Timestamp::from_micros(1_768_003_200_000_000).unwrap());
        let schedules = [("hourly", "0 * * * *"), ("nightly", "0 3 * * *")];
        let schedules = schedules.map(|(key, cron)| (key, Schedule::parse(cron, "UTC").unwrap()));
        (clock.clone(), Alarms::new(schedules.to_vec(), Arc::new(clock)))
    }

    #[test]
    fn a_schedule_is_due_once_for_all_runs_since_the_last_look() {
        let (clock, alarms) = alarms();
        assert_eq!(clock.now().to_string(), "2026-01-10T00:00:00Z");
        assert!(alarms.due().is_empty());
        clock.advance(HOUR);
        assert_eq!(alarms.due(), ["hourly"]);
        assert!(alarms.due().is_empty());
        clock.advance(5 * HOUR);
        assert_eq!(alarms.due(), ["hourly", "nightly"]);
    }

    #[test]
    fn setting_the_wall_clock_back_does_not_silence_a_schedule() {
        let (clock, alarms) = alarms();
        clock.set_wall(Timestamp::from_micros(0).unwrap());
        assert!(alarms.due().is_empty());
        clock.advance(HOUR);
        assert_eq!(alarms.due(), ["hourly"]);
    }

    #[tokio::test]
    async fn a_due_schedule_wakes_the_channel() {
        let (clock, alarms) = alarms();
        clock.advance(HOUR);
        let (sender, mut receiver) = mpsc::channel(1);
        let waker = wake_at("* * * * * *", alarms, sender).await.unwrap();
        assert_eq!(receiver.recv().await, Some("hourly"));
        waker.stop().await;
    }
}
