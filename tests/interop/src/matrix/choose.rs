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

/// Of the states that show their kind best one engine each, in turns, and for every third the other one on S3; of the others
/// every second state, likewise.
fn sampled(number: usize, state: &State) -> Vec<Trial> {
    let (turn, chosen, s3) = match state.sample() {
        Some(sample) => (sample, true, sample % 3 == 0),
        None => (number / 2, number % 2 == 0, false),
    };
    let at = |turn: usize, place| {
        let engine = state.engines[turn % state.engines.len()];
        Trial { state: state.clone(), engine, place }
    };
    let disk = chosen.then(|| at(turn, Place::Disk));
    disk.into_iter().chain(s3.then(|| at(turn + 1, Place::S3))).collect()
}
