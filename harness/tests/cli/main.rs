//! The command line as a user meets it: the program itself is run, and what it prints and writes is looked at.

mod blocks;
mod compare;
mod fixtures;
mod kinds;
mod lab;
mod place;
mod processes;
mod signals;
mod sweep;
mod transcripts;
