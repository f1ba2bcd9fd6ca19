//! How much room a folder's disk has.

use std::io;
use std::path::Path;

/// A step is not begun below this: its evidence is a few KiB, its kept output 1 MiB and 64 KiB.
pub const STEP_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// Bytes that this process may still write on the folder's disk.
///
/// # Errors
/// When the folder cannot be asked.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether a step's evidence and output fit; a folder that cannot be asked is not in the way.
pub fn has_room_for_a_step(folder: &Path) -> bool {
    !free_bytes(folder).is_ok_and(|free| free < STEP_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_there_has_a_number_and_one_that_is_not_has_none() {
        let folder = tempfile::tempdir().unwrap();

        assert!(free_bytes(folder.path()).unwrap() > 0);
        assert!(free_bytes(&folder.path().join("none")).is_err());
        assert!(has_room_for_a_step(folder.path()));
    }
}
