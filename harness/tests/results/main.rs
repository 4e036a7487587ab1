//! The result document and the commands that read it, on a made-up document.

mod compare;
mod counters;
mod golden;
mod page;
mod plot;
mod record;
mod report;
mod schema;
mod support;
mod verify;
