//! The image that ships: buildah builds the `Dockerfile`'s runtime stage, and its entry point is started
//! as process 1 of a namespace of its own, as the image's user, in the image's files and environment.

use crate::harness::place::{Place, ROLLBACK};
use crate::harness::ports::free_port;
use crate::harness::process::Process;
use neostock_ops::sandbox::Fault;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

/// Everything beside the program, not compressed. The program here is this test's own, that of the dev
/// profile; the one that ships is smaller.
const BESIDE_BYTES_MAX: u64 = 80_000_000;
/// The user that the `Dockerfile` makes.
const USER: u32 = 10001;
/// From TERM to the end of everything: the bot's ten seconds, which it does not need.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

const BASE: &str = "localhost/base";
const IMAGE: &str = "localhost/neostock-ops";

/// A step that would go on for longer than the container lives.
const LONG: &str = r#"
  long:
    summary: long
    role: operator
    lock: none
    steps:
      - {name: Long, run: [sh, -c, "echo long >> $MARKS; sleep 600"], timeout: 900s}
"#;

/// Becomes process 1's parent: `$1` is the root, `$2` the place, `$3` the runbook's path, `$4` the user,
/// the rest the command. Nothing of what it mounts is seen outside.
const START: &str = r#"set -e
root=$1 place=$2 runbook=$3 user=$4 folder=$5
shift 5
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$place" "$(dirname "$root$runbook")"
mount --bind "$place" "$root$place"
touch "$root$runbook"
mount --bind "$place/runbook.yml" "$root$runbook"
unset OLDPWD
exec chroot --userspec="$user" "$root" env -C "$folder" "$@"
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn good(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{said}{}", String::from_utf8_lossy(&stderr));
    said
}

/// A store of images in a folder that goes with it.
struct Images {
    folder: TempDir,
}

impl Images {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn buildah(&self) -> Command {
        let mut command = Command::new("buildah");
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(self.path("root"))
            .arg("--runroot")
            .arg(self.path("run"))
            .env("TMPDIR", self.folder.path());
        command
    }

    /// Both images: what the `Dockerfile` stands on, and its runtime stage.
    fn build(&self) {
        let made = repository().join("build/container");
        assert!(made.join("base.tar").exists(), "no {}: run `make tools` first", made.display());
        let base = self.path("base");
        fs::create_dir(&base).unwrap();
        fs::hard_link(made.join("base.tar"), base.join("base.tar"))
            .or_else(|_| fs::copy(made.join("base.tar"), base.join("base.tar")).map(|_| ()))
            .unwrap();
        fs::write(base.join("Dockerfile"), "FROM scratch\nADD base.tar /\n").unwrap();
        good(self.buildah().args(["bud", "--isolation", "chroot", "--tag", BASE]).arg(&base));

        let context = self.path("context");
        fs::create_dir(&context).unwrap();
        let binary = context.join("neostock-ops");
        let built = env!("CARGO_BIN_EXE_neostock-ops");
        good(Command::new("strip").arg("-o").arg(&binary).arg(built));
        let packages = format!("{}:/packages:ro", made.join("packages").display());
        good(
            self.buildah()
                .args(["bud", "--isolation", "chroot", "--format", "docker", "--pull-never"])
                .args(["--target", "runtime", "--tag", IMAGE, "--volume", &packages])
                .args(["--build-arg", &format!("BASE={BASE}"), "--build-arg", "BINARY=given"])
                .args(["--build-arg", &format!("RUST={BASE}"), "--file"])
                .arg(repository().join("Dockerfile"))
                .arg(&context),
        );
    }

    /// How large each layer is, not compressed: as an archive for Docker holds them.
    fn layers(&self) -> Vec<u64> {
        let archive = self.path("archive.tar");
        let target = format!("docker-archive:{}", archive.display());
        good(self.buildah().args(["push", "--quiet", IMAGE, &target]));
        let folder = self.path("archive");
        fs::create_dir(&folder).unwrap();
        good(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&folder));
        let manifest = fs::read(folder.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let layers = Config::words(&manifest[0]["Layers"]);
        layers.iter().map(|layer| fs::metadata(folder.join(layer)).unwrap().len()).collect()
    }

    fn config(&self) -> Config {
        let text = good(self.buildah().args(["inspect", "--type", "image", IMAGE]));
        let all: Value = serde_json::from_str(&text).unwrap();
        Config(all["Docker"]["config"].clone())
    }

    /// The files of a container of the image.
    fn root(&self) -> PathBuf {
        let container = good(self.buildah().args(["from", "--pull-never", IMAGE]));
        let root = good(self.buildah().args(["mount", container.trim()]));
        PathBuf::from(root.trim())
    }
}

/// What the image says about how it is run.
struct Config(Value);

impl Config {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    fn words(value: &Value) -> Vec<String> {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let words = Self::words(&self.0["Env"]);
        let pair = |word: &String| {
            let (name, value) = word.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        words.iter().map(pair).collect()
    }

    fn command(&self) -> Vec<String> {
        [Self::words(&self.0["Entrypoint"]), Self::words(&self.0["Cmd"])].concat()
    }
}

/// Every process of a namespace, as this machine counts them.
fn processes(namespace: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|is| is == namespace))
        .collect()
}

/// A line of `/proc/…/status`.
fn status(pid: i32, key: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// Gives everything below a path to the image's user.
fn give(path: &Path) {
    good(Command::new("chown").arg("-R").arg(format!("{USER}:{USER}")).arg(path));
}

/// What starts the image's command; `Process` runs it as it would run the bot.
fn starter(images: &Images, config: &Config, root: &Path, place: &Place) -> PathBuf {
    let environment: BTreeMap<_, _> = config.environment().into_iter().collect();
    let script = images.path("start");
    let start = images.path("start.sh");
    fs::write(&start, START).unwrap();
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let mut words = vec![
        start.display().to_string(),
        root.display().to_string(),
        place.path().display().to_string(),
        environment["NEOSTOCK_RUNBOOK"].clone(),
        config.text("User").to_owned(),
        config.text("WorkingDir").to_owned(),
    ];
    words.extend(config.command());
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    let text = format!(
        "#!/bin/sh\nexec unshare --pid --mount --fork --kill-child sh {}\n",
        words.join(" ")
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    script
}

/// `HEALTHCHECK`'s command in the container of a process 1: its exit code, and what it says.
fn health(config: &Config, pid: i32, listen: &str) -> (Option<i32>, String) {
    let words = Config::words(&config.0["Healthcheck"]["Test"]);
    assert_eq!(words[0], "CMD", "{words:?}");
    let (user, group) = config.text("User").split_once(':').unwrap();
    let output = Command::new("nsenter")
        .args(["--target", &pid.to_string(), "--mount", "--pid", "--root", "--wd"])
        .args(["--setuid", user, "--setgid", group, "--"])
        .args(&words[1..])
        .env_clear()
        .envs(config.environment())
        .env("NEOSTOCK_LISTEN", listen)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The one child of a process.
fn only_child(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children: Vec<i32> = text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 1, "the children of {pid}: {children:?}");
    children[0]
}

#[tokio::test]
async fn the_shipped_image_is_small_runs_the_bot_and_takes_everything_along_when_it_stops() {
    if !geteuid().is_root() {
        eprintln!("NOT SHOWN: the image. Only root may make the namespaces that start it here");
        return;
    }
    let images = Images::new();
    images.build();
    let layers = images.layers();
    println!("layers: {layers:?}");
    let size: u64 = layers.iter().sum();
    let program = fs::metadata(images.path("context").join("neostock-ops")).unwrap().len();
    let beside = size - program;
    assert!(beside < BESIDE_BYTES_MAX, "{beside} bytes beside a program of {program}: {layers:?}");
    let config = images.config();
    assert_eq!(config.text("User"), format!("{USER}:{USER}"));
    assert_eq!(config.text("StopSignal"), "SIGTERM");
    assert!(config.0["Volumes"].get("/var/lib/neostock-ops").is_some(), "{}", config.0);
    let root = images.root();

    let environment: BTreeMap<_, _> = config.environment().into_iter().collect();
    let data = environment["NEOSTOCK_DATA_DIR"].clone();
    let database = format!("sqlite:{data}/neostock.db");
    let mut bot = Process::new(&database, &format!("{ROLLBACK}{LONG}")).await;
    give(bot.place.path());
    bot.program = starter(&images, &config, &root, &bot.place);
    // The machine's network is shared: only the port is another one.
    bot.variables = config.environment();
    bot.variables.retain(|(name, _)| name != "NEOSTOCK_LISTEN");

    assert!(bot.start(None).await, "{}", bot.log());
    let first = only_child(bot.pid());
    let listen = bot.url.trim_start_matches("http://").to_owned();
    let (code, said) = health(&config, first, &listen);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(r#""ready":true"#), "{said}");

    // The image's own git resolves the version, and a step runs.
    let answer = bot.say("U0ANN", "rollback v1.2 p99").await;
    assert!(answer.contains("rollback v1.2 → production"), "{answer}");
    bot.until("the rollback", |bot| bot.place.marks() == ["back v1.2"]).await;
    let done = "The application was rolled back to version v1.2";
    bot.until("it is told", |bot| bot.told().iter().any(|text| text.contains(done))).await;
    bot.say("U0BOB", "long").await;
    bot.until("a step goes on", |bot| bot.place.marks() == ["back v1.2", "long"]).await;

    // tini, the bot, a supervisor and its step, none of them anybody else.
    let namespace = fs::read_link(format!("/proc/{first}/ns/pid")).unwrap();
    let inside = processes(&namespace);
    assert!(inside.len() >= 4, "{inside:?}");
    let user = USER.to_string();
    for pid in &inside {
        assert_eq!(status(*pid, "Uid:"), [user.as_str(); 4], "{pid}");
        assert_eq!(status(*pid, "Gid:"), [user.as_str(); 4], "{pid}");
        assert_eq!(status(*pid, "Groups:"), [user.as_str()], "{pid}");
    }
    assert_eq!(status(first, "NSpid:"), [first.to_string().as_str(), "1"]);
    assert_eq!(status(first, "Name:"), ["tini"]);
    assert_eq!(status(only_child(first), "Name:"), ["neostock-ops"]);

    kill_process(Pid::from_raw(first).unwrap(), Signal::TERM).unwrap();
    let (code, took) = bot.ended().await;
    assert_eq!(code, Some(0), "{}", bot.log());
    assert!(took < STOP_TIME_MAX, "it took {took:?}");
    assert_eq!(processes(&namespace), Vec::<i32>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&images.folder.path().display().to_string()), "{mounts}");
    let (code, said) = ask(&listen);
    assert_eq!(code, Some(1), "{said}");
}

/// `neostock-ops health` of this test's own binary.
fn ask(listen: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
        .arg("health")
        .env_clear()
        .envs([
            ("NEOSTOCK_LISTEN", listen),
            ("SLACK_BOT_TOKEN", "xoxb-0"),
            ("SLACK_SIGNING_SECRET", "secret"),
        ])
        .current_dir("/")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn health_says_whether_the_bot_is_ready_and_why_not() {
    let mut bot = Process::new("sqlite:neostock.db", ROLLBACK).await;
    let nowhere = format!("127.0.0.1:{}", free_port());
    let (code, said) = ask(&nowhere);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("nobody answers on {nowhere}")), "{said}");
    assert!(said.contains("NEOSTOCK_LISTEN"), "{said}");

    assert!(bot.start(None).await, "{}", bot.log());
    let listen = bot.url.trim_start_matches("http://").to_owned();
    let (code, said) = ask(&listen);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(r#""ready":true"#), "{said}");
    // The address of every interface is asked on this one.
    let (code, said) = ask(&listen.replace("127.0.0.1", "0.0.0.0"));
    assert_eq!(code, Some(0), "{said}");

    bot.workspace.fail_matching("*", 100_000, Fault::DropBefore);
    bot.say("U0ANN", "rollback v1.2 p99").await;
    bot.until_ready("Slack is missed", |status, _| status == 503).await;
    let (code, said) = ask(&listen);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(r#""ready":false"#) && said.contains("does not answer"), "{said}");
}
