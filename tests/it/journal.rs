//! The audit journal on a real database.
