//! Which trials a run makes.

use anyhow::{Result, ensure};

use super::Options;
use super::s3::ENDPOINT;
use super::trial::{Place, Trial};
use crate::engine::Engine;
use crate::state::{self, State};

/// All that the options leave. Without a server there are none on S3, which is said.
pub fn trials(options: &Options, s3: bool) -> Result<Vec<Trial>> {
    let all = state::all();
    let states =
        all.iter().filter(|state| options.filter.as_ref().is_none_or(|filter| filter.is_match(&state.name)));
    let trials = states
        .enumerate()
        .flat_map(|(number, state)| if options.sample { sampled(number, state) } else { every(state) });
    let wanted = |trial: &Trial| {
        options.engine.is_none_or(|only| only == trial.engine)
            && options.place.is_none_or(|only| only == trial.place)
    };
    let (here, left_out): (Vec<_>, Vec<_>) =
        trials.filter(wanted).partition(|trial| s3 || trial.place == Place::Disk);
    if !left_out.is_empty() {
        eprintln!("{} rows on S3 are left out: {ENDPOINT} names no server", left_out.len());
    }
    ensure!(!here.is_empty(), "no state is chosen");
    Ok(here)
}

/// Each engine on disk; samples on S3 too.
fn every(state: &State) -> Vec<Trial> {
    let at = |place| move |engine: &Engine| Trial { state: state.clone(), engine: *engine, place };
    let mut trials: Vec<Trial> = state.engines.iter().map(at(Place::Disk)).collect();
    if state.is_sample() {
        trials.extend(state.engines.iter().map(at(Place::S3)));
    }
    trials
}

/// Of the states that show their kind best both engines, one of them on S3 for every third; of the others every second state
/// on one engine, in turns.
fn sampled(number: usize, state: &State) -> Vec<Trial> {
    let at = |(index, engine): (usize, &Engine)| {
        let s3 = state.sample().is_some_and(|sample| sample % 3 == 0 && index == sample % 2);
        Trial { state: state.clone(), engine: *engine, place: if s3 { Place::S3 } else { Place::Disk } }
    };
    let trials: Vec<Trial> = state.engines.iter().enumerate().map(at).collect();
    match (state.is_sample(), number % 2) {
        (true, _) => trials,
        (false, 0) => trials.into_iter().skip(number / 2 % state.engines.len()).take(1).collect(),
        (false, _) => Vec::new(),
    }
}
