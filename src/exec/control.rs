//! The supervisor's socket: how a bot, any bot, waits for an attempt and cancels it.
//!
//! Bound and reached by short paths, because a socket's path ends at 108 bytes. Whoever connects is
//! kept until the supervisor ends, so that end-of-file means "look again". Nothing a peer sends can
//! make the supervisor wait.

use rustix::event::{PollFd, PollFlags};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const SOCKET: &str = "control";
/// What a bot sends to cancel.
pub(super) const CANCEL: u8 = b'c';
/// What it hears when the step's processes have been told.
pub(super) const HEARD: u8 = b'k';
/// Beyond this many, the longest waiting peer is let go: it looks, and comes back.
const PEERS_MAX: usize = 64;

pub(super) struct Control {
    listener: UnixListener,
    peers: Vec<UnixStream>,
    /// Peers that asked to cancel and have no answer yet.
    askers: Vec<UnixStream>,
}

impl Control {
    /// Binds in the working directory, which is the attempt's folder; the caller holds its lock.
    pub fn bind() -> io::Result<Self> {
        match fs::remove_file(SOCKET) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            _ => {}
        }
        let listener = UnixListener::bind(SOCKET)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, peers: Vec::new(), askers: Vec::new() })
    }

    /// What to poll.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(&self.listener, PollFlags::IN);
        let peers = self.peers.iter().map(|peer| PollFd::new(peer, PollFlags::IN));
        std::iter::once(listener).chain(peers)
    }

    /// Accepts and reads what is there. True when somebody asked to cancel.
    pub fn serve(&mut self) -> bool {
        while let Ok((peer, _)) = self.listener.accept() {
            if peer.set_nonblocking(true).is_ok() {
                self.peers.push(peer);
            }
            if self.peers.len() > PEERS_MAX {
                self.peers.remove(0);
            }
        }
        let mut index = 0;
        while index < self.peers.len() {
            let mut bytes = [0; 16];
            match self.peers[index].read(&mut bytes) {
                Ok(1..) if bytes.contains(&CANCEL) => {
                    self.askers.push(self.peers.swap_remove(index));
                }
                Ok(1..) => index += 1,
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => index += 1,
                Ok(0) | Err(_) => drop(self.peers.swap_remove(index)),
            }
        }
        !self.askers.is_empty()
    }

    /// Answers those who asked, once their wish is done.
    pub fn answer(&mut self) {
        for mut asker in self.askers.drain(..) {
            let _ = asker.write(&[HEARD]);
            self.peers.push(asker);
        }
    }
}

/// A short path to the socket of an attempt, good as long as it lives.
pub(super) struct Address {
    folder: File,
}

impl Address {
    pub fn of(dir: &Path) -> io::Result<Self> {
        Ok(Self { folder: File::open(dir)? })
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.folder.as_raw_fd()))
    }
}
