//! A PostgreSQL of one test's own, which the test takes away and brings back.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Stopped and removed when this is dropped.
pub struct Cluster {
    folder: PathBuf,
    /// Its maintenance database.
    pub url: String,
}

impl Cluster {
    pub fn start() -> Self {
        // The server may run as another user: not inside a folder that is private to us.
        let name = format!("neostock-own-{}-{}", std::process::id(), super::ports::free_port());
        let folder = std::env::temp_dir().join(name);
        let url = tool("start", &folder).trim().to_owned();
        Self { folder, url }
    }

    /// Takes it away without a goodbye.
    pub fn halt(&self) {
        tool("crash", &self.folder);
    }

    /// Brings it back at the same url.
    pub fn resume(&self) {
        tool("resume", &self.folder);
    }

    /// The process id of its server.
    pub fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        tool("stop", &self.folder);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn tool(verb: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/postgres-cluster.sh");
    let output = Command::new(script).arg(verb).arg(folder).output().unwrap();
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
