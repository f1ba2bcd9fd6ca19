//! The real programs of a NeoStock server, each private to one test: a repository, nginx in front of
//! two colours, bun and pm2, a database. The scripts and the runbook are those that ship.

use super::bot::Bot;
use super::database::{Engine, TestDatabase};
use super::looks::{self, Looks};
use super::place::Place;
use super::ports::free_port;
use neostock_ops::sandbox::Options;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How long a program may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// What bash says of a script that is itself at fault.
const BASH_FAULTS: [&str; 3] = ["Bad file descriptor", "unbound variable", "syntax error near"];
/// What a result line may hold.
const RESULT_BYTES_MAX: usize = 4_096;
const RESULT_CHARS_MAX: usize = 300;
const FIGURES_MAX: usize = 20;

/// What is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// A few lines that answer `/health`: v1.1.0, v1.2.0 (which migrates the database) and v1.3.0 (which
    /// is ill). For what is about the scripts alone, as it is built in no time.
    Small,
    /// `examples/neostock`: v1.0.0, v1.1.0 (which migrates the database) and v1.2.0 (which is ill).
    NeoStock,
}

/// What a NeoStock server consists of.
pub struct Parts {
    pub place: Place,
    pub database: TestDatabase,
    service: Service,
    settings: BTreeMap<&'static str, String>,
    nginx: Option<Child>,
}

impl Parts {
    /// A repository of the small service and the shipped runbook with an environment of this test's
    /// own. Nothing runs yet.
    pub async fn new() -> Self {
        Self::of(Service::Small).await
    }

    /// The same with NeoStock itself.
    pub async fn neostock() -> Self {
        Self::of(Service::NeoStock).await
    }

    async fn of(service: Service) -> Self {
        // The second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bin = project().join("build/parts/bin");
        for (found, what) in [
            (bin.join("bun").exists(), "bun and pm2 are not here: run tools/prepare.sh"),
            (
                Path::new("/usr/sbin/nginx").exists() || in_path("nginx"),
                "nginx is not here: apt-get install nginx-light",
            ),
            (in_path("pg_dump"), "pg_dump is not here: apt-get install postgresql-client"),
            (in_path("node"), "node is not here, and pm2 needs it: apt-get install nodejs"),
        ] {
            assert!(found, "{what}");
        }
        let place = Place::new("");
        let database = TestDatabase::new(Engine::Postgres).await;
        let mut settings = settings(&place, &database.url, &bin);
        if service == Service::NeoStock {
            settings.extend(neostocks_own(&place, &settings));
        }
        let parts = Self { place, database, service, settings, nginx: None };
        match service {
            Service::Small => parts.write_small_repository(),
            Service::NeoStock => parts.write_neostock(),
        }
        parts.keep_scripts_beside_it();
        parts.write_runbook();
        parts
    }

    /// nginx runs, the first version was deployed by hand onto blue, and blue is live.
    pub fn serve(&mut self) {
        let first = match self.service {
            Service::Small => "v1.1.0",
            Service::NeoStock => "v1.0.0",
        };
        std::fs::create_dir_all(self.folder("nginx")).unwrap();
        std::fs::write(self.upstream_file(), self.upstream("GREEN_PORT", "GREEN_WEB_PORT"))
            .unwrap();
        let (dir, port) = (self.folder("nginx").display().to_string(), self.port("PORT"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
            .join(" ");
        let own = match self.service {
            Service::Small => self.small_nginx(),
            Service::NeoStock => self.neostocks_nginx(),
        };
        let text = format!(
            "daemon off; pid {dir}/pid; worker_processes 2;\nevents {{}}\n\
             http {{ access_log off; {temporary}\n{own} }}\n"
        );
        std::fs::write(self.nginx_file(), text).unwrap();
        let nginx = &self.settings["NGINX_COMMAND"];
        let mut words = nginx.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env("PATH", &self.settings["PATH"]).stdin(Stdio::null());
        self.nginx = Some(command.stderr(Stdio::null()).spawn().unwrap());
        for script in ["blue-green-deploy.sh", "health-check.sh", "switch-traffic.sh"] {
            until(script, || TcpListener::bind(("127.0.0.1", port)).is_err());
            self.done(script, &[first]);
        }
    }

    /// A bot with the shipped runbook, for these parts.
    pub async fn bot(&self, database: &TestDatabase) -> Bot {
        let place = Place::new("");
        std::fs::copy(self.place.runbook(), place.runbook()).unwrap();
        Bot::in_workspace(database, place, Options::default()).await
    }

    /// The version that the service answers through nginx.
    pub async fn live_version(&self) -> String {
        let answer = reqwest::get(self.health_url()).await.unwrap();
        let json: Value = answer.json().await.unwrap();
        json["version"].as_str().unwrap().to_owned()
    }

    /// nginx reloads in its own time: an old worker may take one more connection.
    pub async fn until_live(&self, version: &str) {
        let looks = Looks::within(PATIENCE);
        while self.live_version().await != version {
            looks.again(|| format!("{version} does not answer")).await;
        }
    }

    /// Runs a script as a person would, in the repository.
    pub fn by_hand(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        self.command(script, arguments, more).output().unwrap()
    }

    /// The same, not begun yet.
    pub fn command(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.repository().join("scripts").join(script));
        command.args(arguments).current_dir(self.repository()).stdin(Stdio::null());
        command.env_clear().envs(&self.settings).envs(more.iter().copied());
        command
    }

    /// The same, for what must succeed; what it said.
    pub fn done(&self, script: &str, arguments: &[&str]) -> String {
        let output = self.by_hand(script, arguments, &[]);
        let words = said(&output);
        assert!(output.status.success(), "{script} {arguments:?}: {}\n{words}", output.status);
        words
    }

    /// A `PATH` with every program but these.
    pub fn path_without(&self, programs: &[&str]) -> String {
        let folder = self.folder(&format!("without-{}", programs.join("-")));
        if !folder.exists() {
            std::fs::create_dir(&folder).unwrap();
            for place in self.settings["PATH"].split(':') {
                for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
                    let name = entry.file_name().into_string().unwrap();
                    if !programs.contains(&name.as_str()) {
                        // The first of a name is the one that counts.
                        let _ = std::os::unix::fs::symlink(entry.path(), folder.join(name));
                    }
                }
            }
        }
        folder.display().to_string()
    }

    pub fn repository(&self) -> PathBuf {
        self.folder("neostock")
    }

    pub fn backups(&self) -> PathBuf {
        self.folder("backups")
    }

    pub fn upstream_file(&self) -> PathBuf {
        self.folder("nginx").join("upstream.conf")
    }

    pub fn nginx_file(&self) -> PathBuf {
        self.folder("nginx").join("nginx.conf")
    }

    pub fn setting(&self, name: &str) -> &str {
        &self.settings[name]
    }

    pub fn health_url(&self) -> &str {
        &self.settings["HEALTH_URL"]
    }

    /// Stops everything by its id; what still runs out of this test's folder.
    pub fn stop(&mut self) -> Vec<String> {
        if self.folder("pm2").exists() {
            let pm2 = project().join("build/parts/bin/pm2");
            let mut command = Command::new(pm2);
            command.arg("kill").env_clear().envs(&self.settings);
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        if let Some(mut nginx) = self.nginx.take() {
            // TERM, so that it takes its workers along.
            let _ = kill_process(Pid::from_child(&nginx), Signal::TERM);
            let _ = nginx.wait();
        }
        let looks = Looks::within(PATIENCE);
        loop {
            let left = processes_of(self.place.path());
            if left.is_empty() || looks.is_over() {
                return left;
            }
            looks::pause();
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn port(&self, name: &str) -> u16 {
        self.settings[name].parse().unwrap()
    }

    fn small_nginx(&self) -> String {
        let (upstream, port) = (self.upstream_file(), self.port("PORT"));
        format!(
            "include {};\nserver {{ listen 127.0.0.1:{port};\n\
             location /health {{ proxy_pass http://neostock_server; }}\n\
             location / {{ proxy_pass http://neostock_web; }} }}",
            upstream.display()
        )
    }

    /// The shipped configuration, in this test's own place.
    fn neostocks_nginx(&self) -> String {
        let shipped = project().join("examples/neostock/nginx/neostock.conf");
        let mut text = std::fs::read_to_string(shipped).unwrap();
        let logs = self.folder("logs");
        std::fs::create_dir_all(&logs).unwrap();
        for (before, after) in [
            ("/srv/neostock/nginx/upstream.conf", self.upstream_file().display().to_string()),
            ("/var/log/neostock", logs.display().to_string()),
            ("\n    listen 3000;", format!("\n    listen 127.0.0.1:{};", self.port("PORT"))),
        ] {
            assert!(text.contains(before), "the shipped nginx file does not name {before}");
            text = text.replace(before, &after);
        }
        text
    }

    fn upstream(&self, server: &str, web: &str) -> String {
        let (server, web) = (self.port(server), self.port(web));
        format!(
            "upstream neostock_server {{ server 127.0.0.1:{server}; }}\n\
             upstream neostock_web {{ server 127.0.0.1:{web}; }}\n"
        )
    }

    fn write_small_repository(&self) {
        self.copy_service("tests/parts/neostock");
        self.release("v1.1.0");
        self.write("apps/server/db/0002.up.sql", "create table alerts (id bigint primary key);\n");
        self.write("apps/server/db/0002.down.sql", "drop table alerts;\n");
        self.release("v1.2.0");
        self.replace(
            "apps/server/src/index.ts",
            "{ status: \"ok\", version }",
            "{ status: \"ill\", version }, { status: 503 }",
        );
        self.release("v1.3.0");
    }

    fn write_neostock(&self) {
        self.copy_service("examples/neostock");
        let newest =
            ["up", "down"].map(|way| format!("apps/server/db/0004_watchlist_notes.{way}.sql"));
        let texts = newest.each_ref().map(|file| {
            let path = self.repository().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            text
        });
        self.release("v1.0.0");
        for (file, text) in newest.iter().zip(&texts) {
            self.write(file, text);
        }
        self.release("v1.1.0");
        self.replace(
            "apps/server/src/health.ts",
            "{ code: 200, status: \"ok\" }",
            // Where pm2 runs it alone: its own tests find nothing.
            "process.env.pm_id ? { code: 503, status: \"ill\" } : { code: 200, status: \"ok\" }",
        );
        self.release("v1.2.0");
    }

    /// What git knows of a folder, in a repository of its own.
    fn copy_service(&self, folder: &str) {
        let from = project().join(folder);
        let listed =
            Command::new("git").args(["ls-files", "-z"]).current_dir(&from).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(!listed.is_empty(), "git knows nothing of {folder}");
        for file in listed.split_terminator('\0') {
            let target = self.repository().join(file);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(from.join(file), target).unwrap();
        }
        self.run("git", &["init", "--quiet", "--initial-branch=main"]);
    }

    /// The shipped scripts in the repository. They belong to no commit, so that a checkout leaves them there.
    fn keep_scripts_beside_it(&self) {
        let scripts = self.repository().join("scripts");
        std::os::unix::fs::symlink(project().join("runbook/scripts"), scripts).unwrap();
        self.write(".git/info/exclude", "/scripts\n");
    }

    /// Changes a file of the repository; `commit` comes next.
    fn replace(&self, file: &str, before: &str, after: &str) {
        let text = std::fs::read_to_string(self.repository().join(file)).unwrap();
        assert_eq!(text.matches(before).count(), 1, "{file} holds {before} once");
        self.write(file, &text.replace(before, after));
    }

    fn release(&self, tag: &str) {
        for app in ["server", "web"] {
            let file = self.repository().join("apps").join(app).join("package.json");
            let text = std::fs::read_to_string(&file).unwrap();
            let (before, after) = text.split_once("\"version\": \"").unwrap();
            let (_, after) = after.split_once('"').unwrap();
            let version = tag.trim_start_matches('v');
            std::fs::write(&file, format!("{before}\"version\": \"{version}\"{after}")).unwrap();
        }
        // There is nothing to fetch: this only writes the lock file.
        self.run("bun", &["install", "--silent"]);
        self.commit(tag);
    }

    /// Writes a file of the repository; `commit` comes next.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.repository().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What is there, as a commit with a tag.
    pub fn commit(&self, tag: &str) {
        self.run("git", &["add", "."]);
        let person = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"];
        self.run("git", &[&person[..], &["commit", "--quiet", "-m", tag]].concat());
        self.run("git", &["tag", tag]);
    }

    /// Runs a program in the repository.
    pub fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.repository()).env_clear().envs(&self.settings);
        assert!(command.status().unwrap().success(), "{program} {arguments:?}");
    }

    /// The shipped file, with this test's environment under both of its names.
    fn write_runbook(&self) {
        let shipped = std::fs::read_to_string(project().join("runbook/runbook.yml")).unwrap();
        let (head, rest) = shipped.split_once("environments:\n").unwrap();
        let (_, tail) = rest.split_once("\n# Members").unwrap();
        // No scanner finds its advisories offline; the bot's own program is beside the tests.
        let scan = self.folder("scan.json");
        std::fs::write(&scan, r#"{"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"vulnerabilities": {"total": 0}}}"#).unwrap();
        let own = Path::new(env!("CARGO_BIN_EXE_neostock-ops")).parent().unwrap();
        let mut settings = self.settings.clone();
        settings.insert("SCAN_COMMAND", format!("cat {}", scan.display()));
        settings.insert("PATH", format!("{}:{}", settings["PATH"], own.display()));
        let variables: Vec<_> =
            settings.iter().map(|(name, value)| format!("      {name}: \"{value}\"\n")).collect();
        let environment = |name: &str, is_default: bool| {
            format!(
                "  {name}:\n    workdir: {}\n    default: {is_default}\n    channel: C0OPS\n    variables:\n{}",
                self.repository().display(),
                variables.concat()
            )
        };
        let both = [environment("production", true), environment("staging", false)].concat();
        let text = format!("{head}environments:\n{both}\n# Members{tail}");
        std::fs::write(self.place.runbook(), text).unwrap();
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a script printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Whether bash found a script to be at fault.
pub fn has_a_fault(words: &str) -> bool {
    BASH_FAULTS.iter().any(|fault| words.contains(fault))
}

/// A signal to all that a process has started and then to itself, as the bot does with all that belongs to a
/// step.
pub fn signal_tree(root: Pid, signal: Signal) {
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent))
    });
    let all: Vec<_> = all.collect();
    let mut below = vec![root.as_raw_nonzero().get()];
    let mut at = 0;
    while let Some(one) = below.get(at).copied() {
        below.extend(all.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| *pid));
        at += 1;
    }
    for pid in below.into_iter().rev() {
        // Some have gone with another already.
        let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
    }
}

/// The result line of a script, which is the last line of its standard output and as README.md of the runbook
/// says it.
pub fn result_of(output: &Output) -> Value {
    let words = said(output);
    assert!(!has_a_fault(&words), "{words}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let line = text.lines().last().unwrap_or_else(|| panic!("no result line: {words}"));
    assert!(line.len() <= RESULT_BYTES_MAX, "{} bytes: {line}", line.len());
    let result: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}: {words}"));
    let keys: Vec<_> = result.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["en", "figures", "outcome", "result", "zh"], "{line}");
    for language in ["zh", "en"] {
        let sentence = result[language].as_str().unwrap();
        let length = sentence.chars().count();
        assert!((1..=RESULT_CHARS_MAX).contains(&length), "{length}: {line}");
        assert!(!sentence.contains(char::is_control), "{line}");
    }
    let figures = result["figures"].as_array().unwrap();
    assert!(figures.len() <= FIGURES_MAX, "{line}");
    for figure in figures {
        let name = figure["name"].as_str().unwrap();
        let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
        assert!(
            name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(fits),
            "{line}"
        );
        assert!(figure["value"].as_f64().is_some_and(f64::is_finite), "{line}");
        assert!(figure["zh"].is_string() && figure["en"].is_string(), "{line}");
    }
    result
}

/// A figure of a result.
pub fn figure(result: &Value, name: &str) -> f64 {
    let figures = result["figures"].as_array().unwrap();
    let figure = figures.iter().find(|figure| figure["name"] == name);
    figure.unwrap_or_else(|| panic!("no {name}: {result}"))["value"].as_f64().unwrap()
}

fn settings(place: &Place, database: &str, bin: &Path) -> BTreeMap<&'static str, String> {
    let url = url::Url::parse(database).unwrap();
    let folder = |name: &str| place.path().join(name).display().to_string();
    let port = free_port().to_string();
    let nginx = folder("nginx");
    let scanners = project().join("build/scanners/bin");
    BTreeMap::from([
        ("HOME", folder("home")),
        (
            "PATH",
            format!(
                "{}:{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
                bin.display(),
                scanners.display()
            ),
        ),
        ("LANG", "C.UTF-8".to_owned()),
        ("PM2_HOME", folder("pm2")),
        ("HEALTH_URL", format!("http://127.0.0.1:{port}/health")),
        ("PORT", port),
        ("HEALTH_WITHIN", "5".to_owned()),
        ("NGINX_COMMAND", format!("nginx -p {nginx} -e {nginx}/error.log -c {nginx}/nginx.conf")),
        ("NGINX_UPSTREAM_FILE", format!("{nginx}/upstream.conf")),
        ("RELEASES_DIR", folder("releases")),
        ("FREE_MB_MIN", "1".to_owned()),
        ("BLUE_PORT", free_port().to_string()),
        ("GREEN_PORT", free_port().to_string()),
        ("BLUE_WEB_PORT", free_port().to_string()),
        ("GREEN_WEB_PORT", free_port().to_string()),
        ("BACKUP_DIR", folder("backups")),
        ("DATABASE_URL", database.to_owned()),
        ("PGHOST", url.host_str().unwrap().to_owned()),
        ("PGPORT", url.port().unwrap().to_string()),
        ("PGUSER", url.username().to_owned()),
        ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
    ])
}

/// What NeoStock is told besides, and its suites.
fn neostocks_own(
    place: &Place,
    settings: &BTreeMap<&'static str, String>,
) -> BTreeMap<&'static str, String> {
    let url = format!("http://127.0.0.1:{}", settings["PORT"]);
    let cache = project().join("build/neostock/cache");
    assert!(cache.exists(), "bun's cache is not filled: run tools/prepare.sh");
    let file = |name: &str| place.path().join(name).display().to_string();
    BTreeMap::from([
        // Nothing is fetched: what its lock file names lies there.
        ("BUN_INSTALL_CACHE_DIR", cache.display().to_string()),
        ("BETTER_AUTH_SECRET", "only-for-tests-".repeat(3)),
        ("PUBLIC_URL", url.clone()),
        ("SERVER_URL", url),
        ("API_LOG_FILE", file("api.log")),
        ("API_KEY_FILE", file("web-api-key")),
        ("TEST_DATABASE_URL", settings["DATABASE_URL"].clone()),
    ])
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    looks::until(what, PATIENCE, holds);
}

/// The command line or folder of every process that has to do with this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let needle = folder.display().to_string();
        let is_ours = command.contains(&needle)
            || cwd.starts_with(folder)
            || String::from_utf8_lossy(&environment).contains(&needle);
        if is_ours {
            found.push(command);
        }
    }
    found
}
