//! The decision table, row by row and at each boundary; what must hold in every small world; what must hold after every
//! crash of small writers. Worlds are written in the notation of [`world`].

mod commits;
mod company;
mod crashes;
mod first_rows;
mod maintenance;
mod merges;
mod plans;
mod properties;
mod schema;
mod shown;
mod timing;
mod undone;
mod world;
