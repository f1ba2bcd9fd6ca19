//! A real mail server of one test's own: TLS and signing in are required, and it can be told to fail.

use super::looks::Looks;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// With which the bot signs in.
pub const PASSWORD: &str = "s3cr3t pass";

/// A mail as it came.
pub struct Came {
    /// Its headers and its body, lines ended by `\n`; long headers unfolded.
    pub text: String,
}

impl Came {
    /// A header's value; empty: it has none.
    pub fn header(&self, name: &str) -> String {
        let head = self.text.split("\n\n").next().unwrap();
        let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default().to_owned()
    }
}

/// How the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// In the open, until TLS is asked for, which must be first.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In the open, and takes a password there.
    Clear,
}

/// The server's process and its folder.
pub struct MailServer {
    folder: TempDir,
    child: Child,
    speaks: Speaks,
    pub port: u16,
}

impl MailServer {
    /// Starts one; it offers no way to sign in of those that are left out, such as `LOGIN`.
    pub async fn start(left_out: &str) -> Self {
        Self::start_as(left_out, Speaks::Starttls, "localhost").await
    }

    /// The same; how it speaks, and whom its certificate names.
    pub async fn start_as(left_out: &str, speaks: Speaks, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path(), name);
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("build/mail/venv/bin/python3");
        assert!(python.exists(), "tools/prepare.sh installs the mail server");
        let child = Command::new(python)
            .arg(root.join("tests/mail/server.py"))
            .arg(folder.path())
            .arg(left_out)
            .arg(format!("{speaks:?}").to_lowercase())
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { folder, child, speaks, port: 0 };
        let looks = Looks::within(PATIENCE);
        loop {
            let port = std::fs::read_to_string(server.folder.path().join("port"));
            if let Some(port) = port.ok().and_then(|port| port.parse().ok()) {
                server.port = port;
                return server;
            }
            looks.again(|| server.log()).await;
        }
    }

    /// How it behaves from now on; see `tests/mail/server.py`.
    pub fn behave(&self, mode: &str) {
        let file = self.folder.path().join("mode");
        std::fs::write(file.with_extension("new"), mode).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
    }

    /// Every mail that came, in order.
    pub fn mails(&self) -> Vec<Came> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("mails")) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        files.sort();
        let read = |file: &std::path::PathBuf| {
            let text = std::fs::read_to_string(file).unwrap().replace("\r\n", "\n");
            Came { text: text.replace("\n ", " ").replace("\n\t", " ") }
        };
        files.iter().map(read).collect()
    }

    /// The section `email` of an alerting configuration that sends here.
    pub fn configuration(&self, to: &str) -> String {
        let (port, folder) = (self.port, self.folder.path().display());
        let tls = if self.speaks == Speaks::Tls { "tls" } else { "starttls" };
        format!(
            "email: {{smtp: 'localhost:{port}', tls: {tls}, ca: {folder}/ca.pem, user: ops, password: {{file: {folder}/password}}, from: 'NeoStock Ops <ops@example.org>', to: [{to}]}}"
        )
    }

    /// What was said to it without TLS.
    pub fn heard_in_clear(&self) -> String {
        let heard = std::fs::read(self.folder.path().join("clear")).unwrap_or_default();
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// What the server said of faults.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for a host, and one that vouches for it.
fn certify(folder: &Path, name: &str) {
    std::fs::write(folder.join("extensions"), format!("subjectAltName=DNS:{name}\n")).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for words in [
        format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=test"),
        format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 2 -extfile extensions".to_owned(),
    ] {
        let made = Command::new("openssl").args(words.split(' ')).current_dir(folder).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}
