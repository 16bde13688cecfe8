//! Which trials a run makes.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::Options;
use super::s3::ENDPOINT;
use super::trial::{Place, Trial};
use crate::engine::Engine;
use crate::state::{self, Kind, State};

/// Into how many parts the trials on disk fall. So many samples in sequence reach all of them, and each takes minutes.
const PARTS: u64 = 7;

/// All that the options leave. Rows on S3 need a server, or must be done without on purpose.
pub fn trials(options: &Options, s3: bool) -> Result<Vec<Trial>> {
    let all = state::all();
    let states =
        all.iter().filter(|state| options.filter.as_ref().is_none_or(|filter| filter.is_match(&state.name)));
    let every: Vec<Trial> = states.flat_map(every).collect();
    let chosen = match options.sample {
        Some(number) => sampled(&every, number),
        None => every,
    };
    let wanted = |trial: &Trial| {
        options.engine.is_none_or(|only| only == trial.engine)
            && options.place.is_none_or(|only| only == trial.place)
    };
    let chosen: Vec<Trial> = chosen.into_iter().filter(wanted).collect();
    ensure!(!chosen.is_empty(), "no state is chosen");
    let remote = chosen.iter().filter(|trial| trial.place == Place::S3).count();
    ensure!(
        s3 || remote == 0,
        "{remote} rows are on S3 and {ENDPOINT} names no server: start one with scripts/with-s3-server, or leave them out \
         with `--place disk`"
    );
    Ok(chosen)
}

/// Each engine on disk; some states on S3 too.
fn every(state: &State) -> Vec<Trial> {
    let at = |place| move |engine: &Engine| Trial { state: state.clone(), engine: *engine, place };
    let mut trials: Vec<Trial> = state.engines.iter().map(at(Place::Disk)).collect();
    if state.is_sample() {
        trials.extend(state.engines.iter().map(at(Place::S3)));
    }
    trials
}

/// One part of the trials on disk, and of each kind one on S3. The parts lie across each other, so that each has some of
/// everything.
fn sampled(every: &[Trial], number: u64) -> Vec<Trial> {
    let (disk, remote): (Vec<_>, Vec<_>) = every.iter().partition(|trial| trial.place == Place::Disk);
    let mut kinds: BTreeMap<Kind, Vec<&Trial>> = BTreeMap::new();
    for trial in remote {
        kinds.entry(trial.state.kind).or_default().push(trial);
    }
    let part = (0u64..).zip(disk).filter(|(place, _)| place % PARTS == number % PARTS);
    let remote = kinds.values().filter_map(|trials| trials.iter().cycle().nth(turn(number, trials.len())));
    part.map(|(_, trial)| trial).chain(remote.copied()).cloned().collect()
}

fn turn(number: u64, of: usize) -> usize {
    usize::try_from(number % u64::try_from(of.max(1)).unwrap_or(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> Vec<Trial> {
        state::all().iter().flat_map(every).collect()
    }

    fn names(trials: &[Trial]) -> Vec<String> {
        trials.iter().map(Trial::name).collect()
    }

    #[test]
    fn samples_in_sequence_reach_every_trial_on_disk_once_and_each_on_s3() {
        let every = all();
        let reached: Vec<String> =
            (100..100 + PARTS).flat_map(|number| names(&sampled(&every, number))).collect();
        let disk: Vec<String> = names(&every).into_iter().filter(|name| !name.ends_with("S3)")).collect();
        for name in &disk {
            assert_eq!(reached.iter().filter(|reached| *reached == name).count(), 1, "{name}");
        }
        for name in names(&every) {
            assert!(reached.contains(&name), "{name} is in no sample");
        }
    }

    #[test]
    fn a_sample_has_each_kind_on_s3_and_both_engines() {
        let kinds: BTreeSet<Kind> = state::all().iter().map(|state| state.kind).collect();
        for number in 0..PARTS {
            let sample = sampled(&all(), number);
            let remote: BTreeSet<Kind> = sample
                .iter()
                .filter(|trial| trial.place == Place::S3)
                .map(|trial| trial.state.kind)
                .collect();
            assert_eq!(remote, kinds);
            let engines: BTreeSet<Engine> = sample.iter().map(|trial| trial.engine).collect();
            assert_eq!(engines.len(), Engine::ALL.len());
        }
    }

    #[test]
    fn a_number_makes_the_same_sample_again() {
        assert_eq!(names(&sampled(&all(), 7)), names(&sampled(&all(), 7)));
    }
}
