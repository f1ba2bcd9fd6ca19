//! The one integration binary.

mod harness;
mod journal;
mod store;
