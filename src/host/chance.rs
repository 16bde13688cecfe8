//! Random numbers, for delays that must not be in step with those of other processes. Nothing that matters for safety.

use std::time::Duration;

/// Where chance comes from. Handed in, so that a test or a seed decides.
pub trait Chance: Send + Sync {
    /// A number drawn evenly from `0.0..1.0`.
    fn unit(&self) -> f64;
}

impl<F: Fn() -> f64 + Send + Sync> Chance for F {
    fn unit(&self) -> f64 {
        self()
    }
}

/// This process's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    #[expect(clippy::disallowed_methods, reason = "the room that asks for random numbers")]
    fn unit(&self) -> f64 {
        rand::random::<f64>()
    }
}

/// `interval` shortened or lengthened by up to a tenth, so that many daemons do not tick in step.
pub fn jittered(interval: Duration, chance: &dyn Chance) -> Duration {
    interval.mul_f64(0.9 + 0.2 * chance.unit().clamp(0.0, 1.0))
}

/// Somewhere between half of `delay` and all of it, so that clients which failed together do not come back together.
pub fn halved(delay: Duration, chance: &dyn Chance) -> Duration {
    delay.mul_f64(0.5 + 0.5 * chance.unit().clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_jittered_by_a_tenth_each_way() {
        let tenth = Duration::from_secs(10);
        let at = |unit: f64| jittered(tenth, &move || unit);
        assert_eq!(at(0.0), Duration::from_secs(9));
        assert_eq!(at(0.5), tenth);
        assert!(at(0.999_999) <= Duration::from_secs(11));
    }

    #[test]
    fn a_delay_is_cut_by_half_at_most() {
        let at = |unit: f64| halved(Duration::from_secs(10), &move || unit);
        assert_eq!(at(0.0), Duration::from_secs(5));
        assert_eq!(at(1.0), Duration::from_secs(10));
        assert_eq!(at(7.0), Duration::from_secs(10));
    }

    #[test]
    fn the_system_draws_from_the_unit_interval() {
        let drawn: Vec<f64> = (0..100).map(|_| SystemChance.unit()).collect();
        assert!(drawn.iter().all(|unit| (0.0..1.0).contains(unit)));
        assert!(drawn.iter().any(|unit| *unit != drawn[0]));
    }
}
