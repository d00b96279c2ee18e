//! The delivery protocol as a state machine: events in, actions out. Pure.
