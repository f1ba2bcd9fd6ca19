//! Debian's Prometheus and Alertmanager, each private to one test, and an exporter whose measures the
//! test moves. All on loopback, with their data in a folder that goes with them.

use super::looks::Looks;
use super::ports::free_port;
use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a program may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The head of a scrape's request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// A program with its folder and port; it can be killed and started again on the same data.
pub struct Program {
    folder: TempDir,
    port: u16,
    name: &'static str,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Program {
    fn new(name: &'static str, configuration: &str) -> Self {
        assert!(
            is_here(name),
            "{name} is not here: apt-get install prometheus prometheus-alertmanager"
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yml"), configuration).unwrap();
        Self { folder, port: free_port(), name, arguments: Vec::new(), child: None }
    }

    /// Where it answers, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same without its scheme, as amtool and configurations want it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, on the data that it left; returns when it answers.
    pub async fn begin(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(self.name);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        // The second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/-/ready", self.url());
        let looks = Looks::within(PATIENCE);
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {}", self.name, self.log());
            looks.again(|| format!("{} did not become ready: {}", self.name, self.log())).await;
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Suspends it: it keeps its port, and answers nobody.
    pub fn suspend(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.as_ref().expect("it runs").id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Prometheus that scrapes exporters, by the name of their service (the `job`), every so often.
pub async fn prometheus(every: &str, targets: &[(&str, String)]) -> Program {
    let mut configuration = format!(
        "global:\n  scrape_interval: {every}\n  scrape_timeout: {every}\nscrape_configs:\n"
    );
    for (job, address) in targets {
        let _ = write!(
            configuration,
            "  - job_name: {job}\n    static_configs: [{{targets: ['{address}']}}]\n"
        );
    }
    prometheus_with(&configuration).await
}

/// The same with a whole configuration.
pub async fn prometheus_with(configuration: &str) -> Program {
    let mut program = Program::new("prometheus", configuration);
    let folder = program.folder.path().display().to_string();
    program.arguments = vec![
        format!("--config.file={folder}/config.yml"),
        format!("--storage.tsdb.path={folder}/data"),
        format!("--web.listen-address={}", program.address()),
    ];
    program.begin().await;
    program
}

/// An Alertmanager with a whole configuration; nobody listens for its fellows.
pub async fn alertmanager(configuration: &str) -> Program {
    let mut program = Program::new("prometheus-alertmanager", configuration);
    let folder = program.folder.path().display().to_string();
    program.arguments = vec![
        format!("--config.file={folder}/config.yml"),
        format!("--storage.path={folder}/data"),
        format!("--web.listen-address={}", program.address()),
        format!("--web.external-url=http://{}", program.address()),
        "--cluster.listen-address=".to_owned(),
    ];
    program.begin().await;
    program
}

/// An Alertmanager's configuration that sends everything to one webhook, with a bearer token from a file
/// beside it, in groups by name, without waiting.
pub fn to_webhook(url: &str, token: &str) -> String {
    format!(
        "route:\n  receiver: bot\n  group_by: [alertname]\n  group_wait: 0s\n  group_interval: 1s\n  \
         repeat_interval: 1h\nreceivers:\n  - name: bot\n    webhook_configs:\n      - url: {url}\n        \
         http_config: {{authorization: {{credentials: {token}}}}}\n        send_resolved: true\n"
    )
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| folder.join(program).exists())
}

/// What a service answers at the moment at which it is asked.
type Telling = Box<dyn FnMut() -> String + Send>;

/// A service's `/metrics`, in the words that the test sets.
pub struct Exporter {
    address: String,
    telling: Arc<Mutex<Telling>>,
    task: JoinHandle<()>,
}

impl Exporter {
    pub async fn start() -> Self {
        Self::start_at(&format!("127.0.0.1:{}", free_port())).await
    }

    /// The same where somebody else was before.
    pub async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let telling: Arc<Mutex<Telling>> = Arc::new(Mutex::new(Box::new(String::new)));
        let told = Arc::clone(&telling);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let text = told.lock().unwrap()();
                tokio::spawn(async move {
                    let mut request = vec![0; REQUEST_BYTES_MAX];
                    // Whoever asks and goes away is not answered.
                    let _ = stream.read(&mut request).await;
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
                         content-length: {}\r\nconnection: close\r\n\r\n{text}",
                        text.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, telling, task }
    }

    /// Host and port, as a target of Prometheus.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// What it says from now on.
    pub fn says(&self, text: impl Into<String>) {
        let text = text.into();
        self.tells(move || text.clone());
    }

    /// The same, made anew each time somebody asks.
    pub fn tells(&self, telling: impl FnMut() -> String + Send + 'static) {
        *self.telling.lock().unwrap() = Box::new(telling);
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The harness itself, with both real programs.
#[test]
fn prometheus_and_alertmanager_start_answer_and_are_stopped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let exporter = Exporter::start().await;
        exporter.says("measure 7\n");
        let mut prometheus = prometheus("1s", &[("shop", exporter.address())]).await;
        let answer =
            |url: String| async move { reqwest::get(url).await.unwrap().text().await.unwrap() };
        let looks = Looks::within(PATIENCE);
        let query = format!("{}/api/v1/query?query=measure", prometheus.url());
        while !answer(query.clone()).await.contains("\"7\"") {
            looks.again(|| "nothing is scraped".to_owned()).await;
        }
        prometheus.suspend();
        let asked = tokio::time::timeout(Duration::from_millis(300), reqwest::get(&query)).await;
        assert!(asked.is_err(), "a suspended program answers nobody");
        prometheus.go_on();
        prometheus.kill();
        assert!(reqwest::get(&query).await.is_err());
        prometheus.begin().await;
        // What it had scraped is on its disk.
        let query = format!("{}/api/v1/query?query=count_over_time(measure[1h])", prometheus.url());
        assert!(!answer(query).await.contains("\"result\":[]"));

        let alertmanager = alertmanager(&to_webhook("http://127.0.0.1:9/", "token")).await;
        let status = answer(format!("{}/api/v2/status", alertmanager.url())).await;
        assert!(status.contains("\"0.25"), "{status}");
    });
}
