//! Who is on call: rotations by the clocks of their zone, and overrides of them. Pure: asks no clock.

use std::collections::BTreeMap;

/// Every rotation, by its name in the configuration.
pub type Rotations = BTreeMap<String, Rotation>;

/// A rotation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {}
