//! Documents that are written from what they are about are what would be written now; and what the others say of
//! the program's own words is what it says.

use neostock_ops::command::{self, Command};
use neostock_ops::config::runbook;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The program in a folder, with nothing of the tester's settings.
fn docs(folder: &Path, arguments: &[&str]) -> Output {
    Process::new(env!("CARGO_BIN_EXE_neostock-ops"))
        .arg("docs")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

#[test]
fn no_written_document_is_stale() {
    for name in ["actions", "configuration"] {
        let output = docs(&project(), &[name, "--check"]);
        assert!(output.status.success(), "{}\nhere: cargo run -- docs {name}", said(&output));
    }
}

/// A folder with a runbook of its own.
fn folder_with(actions: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["runbook", "docs"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let head = "service: shop\nenvironments: {production: {workdir: /srv, channel: C0OPS}}\n\
                roles: {operator: {members: [everyone]}}\nactions:\n";
    std::fs::write(folder.path().join("runbook/runbook.yml"), format!("{head}{actions}")).unwrap();
    folder
}

#[test]
fn a_stale_document_is_named_with_the_command_that_mends_it() {
    let action = |most: &str| {
        format!(
            "  tidy: {{summary: Tidy up, role: operator, steps: [{{name: Tidy, run: [a], timeout: {most}}}]}}\n"
        )
    };
    let folder = folder_with(&action("5m"));
    let there = || std::fs::read_to_string(folder.path().join("docs/actions.md")).unwrap();

    assert!(docs(folder.path(), &["actions"]).status.success());
    assert!(there().contains("| `a` | 5m |"), "{}", there());
    assert!(docs(folder.path(), &["actions", "--check"]).status.success());

    let text = std::fs::read_to_string(folder.path().join("runbook/runbook.yml")).unwrap();
    let text = text.replace("timeout: 5m", "timeout: 7m");
    std::fs::write(folder.path().join("runbook/runbook.yml"), text).unwrap();
    let stale = docs(folder.path(), &["actions", "--check"]);

    assert_eq!(stale.status.code(), Some(1));
    let words = said(&stale);
    let line = there().lines().position(|line| line.contains("| 5m |")).unwrap() + 1;
    assert!(words.contains(&format!("docs/actions.md is stale from line {line} on")), "{words}");
    assert!(words.contains("Write it anew: neostock-ops docs actions"), "{words}");
    assert!(words.contains("已过时"), "{words}");
    assert!(there().contains("5m"), "a check changed the file");
    assert!(docs(folder.path(), &["actions"]).status.success());
    assert!(there().contains("7m") && !there().contains("5m"), "{}", there());
}

#[test]
fn a_document_is_not_written_from_what_has_faults_nor_into_what_has_no_place_for_it() {
    let folder = folder_with("  tidy: {summary: Tidy up, role: nobody, steps: []}\n");

    let output = docs(folder.path(), &["actions"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("there is no role `nobody`"), "{}", said(&output));
    assert!(!folder.path().join("docs/actions.md").exists());

    std::fs::write(folder.path().join("docs/configuration.md"), "# Mine\n").unwrap();
    let output = docs(folder.path(), &["configuration"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("lacks one of the lines"), "{}", said(&output));
    let kept = std::fs::read_to_string(folder.path().join("docs/configuration.md")).unwrap();
    assert_eq!(kept, "# Mine\n");
}

#[test]
fn whatever_a_runbook_says_is_letters_in_the_document() {
    let folder = folder_with(
        r#"  tidy:
    summary: {zh: "<img src=x onerror=alert(1)> | 表", en: "[a](javascript:1) *b* `c` | d"}
    role: operator
    steps: [{name: "1. | <b>", run: [sh, -c, "echo `id` | tee <out>"]}]
    notices: {failed: "two\nlines <!channel>"}
"#,
    );

    let output = docs(folder.path(), &["actions"]);
    assert!(output.status.success(), "{}", said(&output));
    let page = std::fs::read_to_string(folder.path().join("docs/actions.md")).unwrap();

    for line in [
        r"| [`tidy`](#tidy) | &lt;img src=x onerror=alert(1)> \| 表 | \[a\](javascript:1) \*b\* &#96;c&#96; \| d | `operator` |",
        r#"| 1 | 1\. \| &lt;b> | 1\. \| &lt;b> | `` sh -c "echo `id` \| tee <out>" `` | 10m | people decide / 由人决定 |"#,
        "- ✘ two ⏎ lines &lt;!channel> · two ⏎ lines &lt;!channel>",
    ] {
        assert!(page.lines().any(|one| one == line), "{line}\nin\n{page}");
    }
}

#[test]
fn every_action_of_the_runbook_is_documented_with_an_example_that_can_be_typed() {
    let runbook = runbook::load(&project().join("runbook/runbook.yml")).unwrap();
    let page = read("docs/actions.md");

    let examples: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("For example / 例如: `/neostock ")?.strip_suffix('`'))
        .collect();

    let mut documented = BTreeSet::new();
    for example in &examples {
        let typed = example.replace("@ann", "<@U0123456789>");
        let read = command::parse(&typed, &runbook);
        let Ok(Command::Action(ask)) = &read else { panic!("{example}: {read:?}") };
        documented.insert(ask.action.name.clone());
    }
    let known: BTreeSet<String> = runbook.actions.keys().cloned().collect();
    assert_eq!(documented, known);
    assert_eq!(examples.len(), known.len());
}

/// Everything that the product says anywhere: its sources with broken strings joined, its scripts, its runbook.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![project().join("src"), project().join("runbook")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
            if path.is_dir() {
                folders.push(path);
            } else if matches!(kind, "rs" | "sh" | "yml" | "js") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, joined(&text)));
            }
        }
    }
    found
}

/// A string of Rust that goes on after `\` at the end of a line goes on without the blanks of the next.
fn joined(text: &str) -> String {
    let mut pieces = text.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |whole, piece| whole + piece.trim_start_matches(' '))
}

#[test]
fn every_message_that_troubleshooting_quotes_is_still_said() {
    let sources = sources();
    let page = read("docs/troubleshooting.md");
    let quoted: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("> ")).collect();

    assert!(quoted.len() >= 40, "only {} messages", quoted.len());
    for message in quoted {
        let fragments: Vec<&str> = message
            .split('…')
            .map(|fragment| fragment.trim().trim_matches('`').trim())
            .filter(|fragment| fragment.chars().count() > 1)
            .collect();
        assert!(!fragments.is_empty(), "nothing of `{message}` can be looked for");
        let says = |text: &str| fragments.iter().all(|fragment| text.contains(fragment));
        assert!(sources.iter().any(|(_, text)| says(text)), "nothing says `{message}` any more");
    }
}

#[test]
fn every_command_that_troubleshooting_names_exists() {
    let runbook = runbook::load(&project().join("runbook/runbook.yml")).unwrap();
    let page = read("docs/troubleshooting.md");
    let mut named = 0;
    for after in page.split("`/neostock ").skip(1) {
        let words = after.split('`').next().unwrap();
        let verb = words.split(' ').next().unwrap();
        let is_verb = command::VERBS.iter().any(|spec| spec.name == verb);
        assert!(is_verb || runbook.actions.contains_key(verb), "`/neostock {words}`");
        named += 1;
    }
    assert!(named > 10, "only {named} commands");
}

/// The headings of a document, as they stand there.
fn headings(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("## ")).collect()
}

/// What follows `- **Date / 日期**: ` and its like.
fn stated<'t>(text: &'t str, what: &str) -> &'t str {
    let mut all = text.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**: "));
    all.find(|(name, _)| *name == what).map_or("", |(_, value)| value)
}

#[test]
fn every_decision_record_is_whole_and_in_the_list() {
    let folder = project().join("docs/adr");
    let list = read("docs/adr/README.md");
    let template = read("docs/adr/0000-template.md");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["README.md", "0000-template.md"].contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    assert!(names.len() >= 8, "{names:?}");

    for (index, name) in names.iter().enumerate() {
        let text = read(&format!("docs/adr/{name}"));
        let number = format!("{:04}", index + 1);
        assert!(name.starts_with(&format!("{number}-")), "{name}: the next number is {number}");
        assert_eq!(headings(&text), headings(&template), "{name}");
        let title = text.lines().next().unwrap();
        let title = title
            .strip_prefix(&format!("# {number}. "))
            .unwrap_or_else(|| panic!("{name}: {title}"));
        assert!(title.contains(" / "), "{name}: in both languages");
        let (date, status) = (stated(&text, "Date / 日期"), stated(&text, "Status / 状态"));
        let is_date = chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok();
        assert!(is_date, "{name}: the date `{date}`");
        let row = format!("| [{number}]({name}) | {title} | {date} | {status} |");
        assert!(list.lines().any(|line| line == row), "docs/adr/README.md lacks\n{row}");
        let roots = ["src/", "tests/", "runbook/", "docs/", "examples/"];
        let codes = text.split('`').skip(1).step_by(2);
        for path in codes.filter(|code| roots.iter().any(|root| code.starts_with(root))) {
            assert!(project().join(path).exists(), "{name}: there is no {path}");
        }
        assert!(text.lines().count() <= 50, "{name} is longer than half a page or so");
    }
    let rows = list.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(rows, names.len(), "a row of docs/adr/README.md leads nowhere");
}

/// Every document that people read here.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "runbook/README.md"]
            .map(PathBuf::from)
            .to_vec();
    for folder in ["docs", "docs/adr"] {
        for entry in std::fs::read_dir(project().join(folder)).unwrap() {
            let path = Path::new(folder).join(entry.unwrap().file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The name under which a heading can be linked to, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let text = read(&document.display().to_string());
        for after in text.split("](").skip(1) {
            let target = after.split(')').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") || target.contains(' ') {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let whole = project().join(&path);
            assert!(whole.exists(), "{}: ({target}) leads nowhere", document.display());
            if !place.is_empty() {
                let there = std::fs::read_to_string(whole).unwrap();
                let mut anchors = there.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(
                    anchors.any(|one| one == place),
                    "{}: ({target}): no such heading",
                    document.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "only {followed} links");
}

/// NeoStock in a folder of its own, installed from what `tools/prepare.sh` put aside, with the document where the
/// repository has it.
fn neostock() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let from = project().join("examples/neostock");
    let listed = Process::new("git").args(["ls-files", "-z"]).current_dir(&from).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.is_empty(), "git knows nothing of {}", from.display());
    for file in listed.split_terminator('\0') {
        let target = copy.path().join("examples/neostock").join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(file), target).unwrap();
    }
    std::fs::create_dir(copy.path().join("docs")).unwrap();
    std::fs::copy(project().join("docs/api.md"), copy.path().join("docs/api.md")).unwrap();
    let installed = bun(copy.path(), &["install", "--frozen-lockfile"]);
    assert!(installed.status.success(), "{}\ntools/prepare.sh first", said(&installed));
    copy
}

fn bun(copy: &Path, arguments: &[&str]) -> Output {
    let bin = project().join("build/parts/bin");
    assert!(bin.join("bun").exists(), "bun is not here: run tools/prepare.sh");
    Process::new(bin.join("bun"))
        .args(arguments)
        .current_dir(copy.join("examples/neostock"))
        .env_clear()
        .env("HOME", copy)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("BUN_INSTALL_CACHE_DIR", project().join("build/neostock/cache"))
        .output()
        .unwrap()
}

#[test]
fn the_api_is_documented_as_the_server_has_it() {
    let copy = neostock();

    let current = bun(copy.path(), &["run", "docs:api", "--check"]);
    let way = "here: cd examples/neostock && bun install && bun run docs:api";
    assert!(current.status.success(), "{}\n{way}", said(&current));

    // The server lets others in than the document says.
    let access = copy.path().join("examples/neostock/apps/server/src/access.ts");
    let text = std::fs::read_to_string(&access).unwrap();
    let other = text.replace("\"quotes.list\": \"public\"", "\"quotes.list\": \"admin\"");
    assert_ne!(text, other);
    std::fs::write(access, other).unwrap();
    let stale = bun(copy.path(), &["run", "docs:api", "--check"]);
    assert_eq!(stale.status.code(), Some(1), "{}", said(&stale));
    assert!(said(&stale).contains("bun run docs:api"), "{}", said(&stale));
}
