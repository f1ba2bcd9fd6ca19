//! Which system user gives a command at a terminal: the one who logged in, who stays the same through
//! `sudo` and `su`; else the real user of this process.

use nix::unistd::{Uid, User, getuid};
use std::fs;

/// The kernel's note of who logged in (Linux, `proc_pid_loginuid(5)`).
const LOGIN_FILE: &str = "/proc/self/loginuid";
/// What stands there when nobody logged in: a service, a container.
const UNSET: u32 = u32::MAX;

/// A system user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Their name; `#` and the number where the machine's user database has none.
    pub name: String,
    /// Their number.
    pub uid: u32,
}

/// Who gives a command here.
pub fn login() -> Login {
    let written = fs::read_to_string(LOGIN_FILE).unwrap_or_default();
    let uid = logged_in(&written).unwrap_or_else(|| getuid().as_raw());
    let found = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let name = found.map_or_else(|| format!("#{uid}"), |user| user.name);
    Login { name, uid }
}

/// The user in the kernel's note, if somebody logged in.
fn logged_in(written: &str) -> Option<u32> {
    written.trim().parse().ok().filter(|uid| *uid != UNSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_logged_in_is_no_user() {
        assert_eq!(logged_in("1000\n"), Some(1_000));
        assert_eq!(logged_in("0"), Some(0));
        assert_eq!(logged_in("4294967295"), None);
        assert_eq!(logged_in(""), None);
        assert_eq!(logged_in("-1"), None);
    }

    #[test]
    fn the_user_of_this_process_has_a_name() {
        let login = login();
        assert!(!login.name.is_empty());
        if login.uid == 0 {
            assert_eq!(login.name, "root");
        }
    }
}
