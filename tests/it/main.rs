//! The one integration binary: one file per feature.

mod config;
