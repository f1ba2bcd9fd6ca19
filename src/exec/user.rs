//! Running a step as another system user: whom its name means, and becoming them.
//!
//! Only `exec-child` becomes somebody, in the last moment before the step's program: groups first,
//! then the group, then the user, so that nothing of the bot's rights is left. Who may not change
//! users says so, and nothing is executed.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist, setgid, setgroups, setuid};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A system user, as the machine's user database has it.
#[derive(Debug, Clone)]
pub(super) struct Account {
    name: CString,
    pub uid: Uid,
    gid: Gid,
    home: PathBuf,
}

impl Account {
    /// The user with this name.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn find(name: &str) -> Result<Self, String> {
        let found = User::from_name(name)
            .map_err(|fault| format!("cannot look for the system user `{name}`: {fault}"))?;
        let Some(user) = found else {
            return Err(format!(
                "there is no system user `{name}` on this machine: create it, or change the \
                 step's `user`"
            ));
        };
        let name = CString::new(user.name).map_err(|_| "a user's name holds a NUL".to_owned())?;
        Ok(Self { name, uid: user.uid, gid: user.gid, home: user.dir })
    }

    /// What a login sets.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let name = self.name.to_string_lossy().into_owned();
        [
            ("HOME", self.home.to_string_lossy().into_owned()),
            ("USER", name.clone()),
            ("LOGNAME", name),
        ]
    }

    /// Gives a file to the user.
    ///
    /// # Errors
    /// What the system says.
    pub fn give(&self, file: impl AsFd) -> io::Result<()> {
        let (uid, gid) = (self.uid.as_raw(), self.gid.as_raw());
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
    }

    /// Makes this process the user's, for good. A process that is theirs already stays as it is.
    ///
    /// # Errors
    /// Why not, in words; the caller must then not go on.
    pub fn become_it(&self) -> Result<(), String> {
        let name = self.name.to_string_lossy();
        if geteuid() == self.uid {
            return Ok(());
        }
        let change = || {
            setgroups(&getgrouplist(&self.name, self.gid)?)?;
            setgid(self.gid)?;
            setuid(self.uid)
        };
        change().map_err(|fault| match fault {
            Errno::EPERM => format!(
                "cannot become the system user `{name}`: the bot may not change users. Run the bot \
                 as root or as `{name}`, or remove the step's `user`"
            ),
            fault => format!("cannot become the system user `{name}`: {fault}"),
        })
    }
}
