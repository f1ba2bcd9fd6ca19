//! What the manual says is what ships: read from the manual itself, `docs/manual.txt`, and held against the runbook,
//! the scripts, the alerting configurations and the service. `docs/manual-coverage.md` answers every line of it.

use neostock_ops::command::VERBS;
use neostock_ops::config::alerting::{self, Alert, Signal, Threshold};
use neostock_ops::config::runbook;
use neostock_ops::core::action::{Action, Runbook, StepKind};
use neostock_ops::core::template::Template;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the manual calls each thing that is measured.
const MEASURED: [(&str, Signal); 4] = [
    ("错误率", Signal::ErrorRate),
    ("响应时间", Signal::ResponseTime),
    ("认证失败率", Signal::AuthFailure),
    ("数据拉取失败率", Signal::DataFetchFailure),
];
/// Both are to be the manual's: the team's own beside the runbook, and the service's.
const ALERTING_FILES: [&str; 2] =
    ["runbook/alerting-config.yml", "examples/neostock/monitoring/alerting-config.yml"];
const SERVICE: &str = "examples/neostock";

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manual() -> String {
    read("docs/manual.txt")
}

fn shipped() -> Runbook {
    runbook::load(&project().join("runbook/runbook.yml")).unwrap()
}

/// A line of the manual, or of what answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Heading(String),
    /// Whatever is no heading, without its marks; an alert of YAML is one.
    Words(String),
}

/// Everything that the manual says, in its order. What only holds a script together is left out.
fn lines(manual: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let mut fence: Option<String> = None;
    // A comment of a script is about the line below it.
    let mut comment: Option<String> = None;
    for line in manual.lines() {
        let words = line.trim();
        match (&fence, words.strip_prefix("```")) {
            (None, Some(language)) => fence = Some(language.to_owned()),
            (Some(_), Some(_)) => {
                assert_eq!(comment, None, "a comment at the end of a block");
                fence = None;
            }
            _ if words.is_empty() => {}
            (None, None) if words.starts_with('#') => {
                found.push(Line::Heading(words.trim_start_matches('#').trim().to_owned()));
            }
            (None, None) => found.push(Line::Words(plain(item(words)))),
            (Some(language), None) if language == "yaml" && line.starts_with("    ") => {
                let Some(Line::Words(alert)) = found.last_mut() else { panic!("{line}") };
                alert.push(' ');
                alert.push_str(words);
            }
            (Some(_), None) if matches!(words, "#!/bin/bash" | "else" | "fi") => {}
            (Some(_), None) if words.starts_with("# ") => {
                assert_eq!(comment, None, "two comments: {words}");
                comment = Some(words.to_owned());
            }
            (Some(_), None) => {
                let comment = comment.take().map_or_else(String::new, |comment| comment + " ");
                found.push(Line::Words(plain(&(comment + words))));
            }
        }
    }
    found
}

/// A list's item without its mark.
fn item(words: &str) -> &str {
    let words = words.strip_prefix("- ").unwrap_or(words);
    let words = words.strip_prefix("[ ] ").unwrap_or(words);
    match words.split_once(". ") {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => words,
    }
}

/// Words without marks, with single blanks.
fn plain(words: &str) -> String {
    words.replace("**", "").replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands under a heading, up to the next of any level.
fn section(heading: &str) -> Vec<String> {
    let text = manual();
    let mut under = lines(&text).into_iter();
    assert!(
        under.any(|line| line == Line::Heading(heading.to_owned())),
        "the manual has no chapter {heading}"
    );
    under
        .map_while(|line| match line {
            Line::Words(words) => Some(words),
            Line::Heading(_) => None,
        })
        .collect()
}

/// The lines of the manual's blocks of one language, as they stand there.
fn blocks(language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let text = manual();
    let found = text.split(opening.as_str()).skip(1);
    found.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The whole numbers in a text.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn alert(file: &str, signal: Signal) -> Alert {
    let found = alerting::load(&project().join(file)).unwrap();
    let name = signal.name();
    found.alerts.get(name).unwrap_or_else(|| panic!("{file}: no {name}")).clone()
}

#[test]
fn the_manual_here_is_the_manual() {
    assert!(manual().starts_with("# DevOps操作程序手册\n"));
    // Where the original lies beside this checkout, byte for byte.
    let originals = project().parent().unwrap().join("shared/manual");
    for entry in std::fs::read_dir(originals).into_iter().flatten() {
        let original = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(original == manual().as_bytes(), "docs/manual.txt is not the manual any more");
    }
}

#[test]
fn the_manuals_alerts_are_in_both_configurations_word_for_word() {
    let [block] = &blocks("yaml")[..] else { panic!("one block of YAML") };
    let (_, alerts) = block.split_once("alerts:\n").unwrap();
    // One alert after the other, each with everything that it says.
    let each: Vec<String> = alerts
        .split("\n    \n")
        .map(|alert| alert.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
        .collect();
    assert_eq!(each.len(), 4, "{each:#?}");

    for file in ALERTING_FILES {
        let text = read(file);
        for alert in &each {
            assert!(text.contains(alert.trim_end()), "{file} does not say\n{alert}");
        }
    }
}

#[test]
fn the_manuals_triggers_are_the_thresholds_and_times_of_the_alerts() {
    for file in ALERTING_FILES {
        for (name, signal) in MEASURED {
            let sections = ["自动化回滚触发器", "关键指标监控"];
            let [trigger, metric] = sections.map(|heading| {
                let begins = |words: &String| words.starts_with(name);
                section(heading).into_iter().find(begins).unwrap_or_else(|| panic!("{name}"))
            });
            let alert = alert(file, signal);
            let (trigger, metric) = (numbers(&trigger), numbers(&metric));
            // Of the name itself come no numbers but that of the percentile.
            match alert.threshold {
                Threshold::Ratio { millionths } => {
                    let percent = u64::from(millionths) / 10_000;
                    assert_eq!(trigger, [percent, alert.duration_ms / 1_000], "{file}: {name}");
                    assert_eq!(metric, [percent], "{file}: {name}");
                }
                Threshold::Time { ms, percentile } => {
                    let (percentile, secs) = (u64::from(percentile), ms / 1_000);
                    let seconds = alert.duration_ms / 1_000;
                    assert_eq!(trigger, [percentile, secs, seconds], "{file}: {name}");
                    assert_eq!(metric, [percentile, secs], "{file}: {name}");
                }
                other => panic!("{signal:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_machine_is_watched_at_the_manuals_thresholds() {
    let resources =
        section("关键指标监控").into_iter().find(|words| words.contains("CPU")).unwrap();
    let [cpu, memory] = numbers(&resources)[..] else { panic!("{resources}") };

    for (signal, percent) in [(Signal::Cpu, cpu), (Signal::Memory, memory)] {
        let alert = alert(ALERTING_FILES[0], signal);
        let Threshold::Ratio { millionths } = alert.threshold else { panic!("{signal:?}") };
        assert_eq!(u64::from(millionths), percent * 10_000, "{signal:?}");
    }
}

#[test]
fn a_level_of_the_manual_is_a_severity() {
    let levels = section("告警响应程序");
    let of = |level: u8| levels.iter().find(|words| words.starts_with(&format!("Level {level}")));
    for (level, words, signal) in [
        (1, "警告", Signal::ResponseTime),
        (2, "错误", Signal::DataFetchFailure),
        (3, "严重", Signal::ErrorRate),
    ] {
        assert!(of(level).unwrap().contains(words), "{levels:?}");
        assert_eq!(alert(ALERTING_FILES[0], signal).severity.number(), level);
    }
}

#[test]
fn the_manuals_checklists_are_the_runbooks_word_for_word() {
    let runbook = shipped();
    for heading in ["生产部署检查清单", "安全扫描检查清单", "灾难恢复检查清单"]
    {
        let wanted = section(heading);
        let list = runbook.checklists.values().find(|list| list.title.zh == heading);
        let list = list.unwrap_or_else(|| panic!("the runbook has no checklist {heading}"));
        let found: Vec<String> = list.items.iter().map(|item| item.name.zh.clone()).collect();
        assert_eq!(found, wanted, "{heading}");
    }
}

/// `# 1. 预部署验证 ./scripts/pre-deploy-check.sh` as what it is called and the script's name.
fn scripts_of(heading: &str) -> Vec<(String, String)> {
    let found = section(heading).into_iter().filter_map(|words| {
        let (comment, script) = words.split_once(" ./scripts/")?;
        let comment = item(comment.trim_start_matches("# "));
        Some((comment.split('(').next().unwrap_or_default().to_owned(), script.to_owned()))
    });
    found.collect()
}

#[test]
fn every_script_of_the_manual_ships_under_its_name_and_says_what_it_is() {
    let later = section_of_coverage("Later / 以后");
    let mut seen = 0;
    for heading in ["自动化部署流程", "凭据管理程序", "备份和恢复程序", "日志管理"]
    {
        for (comment, script) in scripts_of(heading) {
            seen += 1;
            let path = project().join("runbook/scripts").join(&script);
            let is_to_come = later.iter().any(|line| line.contains(&format!("`{script}`")));
            assert_ne!(
                path.exists(),
                is_to_come,
                "{script}: it ships, or coverage lists it as later"
            );
            if path.exists() {
                let text = std::fs::read_to_string(&path).unwrap();
                // Blanks between Chinese and Latin letters are a matter of taste.
                let close = |text: &str| text.split_whitespace().collect::<String>();
                let head = close(&text.lines().take(12).collect::<String>());
                assert!(
                    head.contains(&close(&comment)),
                    "{script} does not say `{comment}` where it opens"
                );
            }
        }
    }
    assert_eq!(seen, 12, "scripts of the manual");
}

/// The arguments of a step's program, as the runbook has them.
fn argv(action: &Action, step: usize) -> Vec<String> {
    match &action.steps[step].kind {
        StepKind::Run { argv } => argv.iter().map(Template::shown).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_deploy_takes_the_manuals_four_steps_in_its_order() {
    let runbook = shipped();
    let deploy = &runbook.actions["deploy"];
    let steps: Vec<(String, String)> = (0..deploy.steps.len())
        .map(|at| {
            let program = argv(deploy, at)[0].trim_start_matches("scripts/").to_owned();
            (deploy.steps[at].name.zh.clone(), program)
        })
        .collect();
    assert_eq!(steps, scripts_of("自动化部署流程"));
}

#[test]
fn a_rollback_takes_the_manuals_steps_in_its_order() {
    let runbook = shipped();
    let rollback = &runbook.actions["rollback"];
    let mut next = 0;
    let mut found = 0;
    for line in section("手动回滚程序") {
        // What the comment above it is about stands behind it.
        let command = ["git ", "bun ", "pm2 "].into_iter().find_map(|program| {
            let at = line.find(&format!(" {program}")).map(|at| at + 1);
            at.or(line.starts_with(program).then_some(0)).map(|at| &line[at..])
        });
        let Some(command) = command else { continue };
        let words: Vec<String> = command
            .split([' ', ';'])
            // pm2 is asked through `live.sh`, which knows the live colour's process.
            .filter(|word| !matches!(*word, "" | "pm2" | "then"))
            .map(|word| word.replace("$ROLLBACK_VERSION", "{version}"))
            .collect();
        let is_said = |at: &usize| {
            let argv = argv(rollback, *at);
            words.iter().all(|word| argv.iter().any(|one| one.starts_with(word.as_str())))
        };
        let at = (next..rollback.steps.len()).find(is_said);
        next = at.unwrap_or_else(|| panic!("no step after {next} does `{command}`")) + 1;
        found += 1;
    }
    assert_eq!(found, 7, "commands of the manual's script");
    assert_eq!(argv(rollback, next)[0], "scripts/health-check.sh", "at its end");
    assert_eq!(next + 1, rollback.steps.len());
}

#[test]
fn the_manuals_words_are_said_by_the_runbook_and_by_the_script() {
    let rollback = shipped().actions["rollback"].clone();
    let script = read("runbook/scripts/rollback.sh") + &read("runbook/scripts/lib.sh");
    let mut notices = Vec::new();
    let mut echoed = 0;
    for line in section("手动回滚程序") {
        if let Some((_, text)) = line.split_once("{\"text\":\"") {
            let words = text.split(['\'', '"']).next().unwrap().trim_end().to_owned();
            assert!(script.contains(&words), "rollback.sh does not say `{words}`");
            notices.push(words);
        } else if let Some((_, text)) = line.split_once("echo \"") {
            // What stands before it may be a sign that the script puts there by itself.
            let words = text.trim_end_matches('"').split('$').next().unwrap();
            let words = words.trim_start_matches(['✅', '❌', ' ']).trim_end();
            assert!(script.contains(words), "rollback.sh does not say `{words}`");
            echoed += 1;
        }
    }
    let said = [&rollback.notices.succeeded, &rollback.notices.failed];
    let said = said.map(|notice| notice.as_ref().unwrap().zh.shown());
    let [succeeded, failed] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!(said[0], format!("{succeeded} {{version}}"));
    assert_eq!(&said[1], failed);
    assert!(echoed >= 8, "only {echoed} lines of `echo`");
}

/// The value that a script gives a variable that nobody set.
fn default_of(script: &str, variable: &str) -> u64 {
    let text = read(&format!("runbook/scripts/{script}"));
    let given = text.split(&format!("{variable}:-")).nth(1);
    let given = given.or_else(|| {
        text.split(&format!("{variable} "))
            .find(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    });
    let given = given.unwrap_or_else(|| panic!("{script} gives {variable} no value"));
    numbers(given)[0]
}

#[test]
fn the_manuals_waits_ages_and_objectives_are_the_scripts_defaults() {
    let rollback = section("手动回滚程序");
    let health = rollback.iter().find(|line| line.contains("timeout ")).unwrap();
    let number_after = |text: &str, word: &str| numbers(text.split(word).nth(1).unwrap())[0];
    let (within, pause) = (number_after(health, "timeout "), number_after(health, "sleep "));
    assert_eq!(default_of("health-check.sh", "HEALTH_WITHIN"), within);
    let asks_again = number_after(&read("runbook/scripts/health-check.sh"), "sleep ");
    assert!(asks_again <= pause, "it asks every {asks_again} s, the manual every {pause} s");

    let goals = section("RTO/RPO目标");
    let goal = |name: &str| goals.iter().find(|words| words.contains(name)).unwrap();
    let (hours, minutes) = (numbers(goal("RTO"))[0], numbers(goal("RPO"))[0]);
    assert_eq!(default_of("verify-backup.sh", "RTO_MINUTES"), hours * 60);
    assert_eq!(default_of("verify-backup.sh", "RPO_MINUTES"), minutes);

    let keys = section("凭据管理程序");
    let rotation = keys.iter().find(|words| words.contains("rotate-api-keys.sh")).unwrap();
    let days = numbers(rotation)[0];
    for script in ["rotate-api-keys.sh", "verify-secrets.sh"] {
        assert_eq!(default_of(script, "KEY_MAX_DAYS"), days, "{script}");
    }
}

#[test]
fn every_test_file_that_the_manual_runs_is_in_the_service() {
    let mut found = 0;
    for heading in ["集成测试 - 现有功能验证", "性能基准测试", "E2E测试自动化"]
    {
        for line in section(heading) {
            let path = ["bun test ", "npx playwright test "]
                .into_iter()
                .find_map(|command| line.split_once(command).map(|(_, path)| path));
            let Some(path) = path else { continue };
            let path = project().join(SERVICE).join(path);
            assert!(path.is_file(), "{}", path.display());
            found += 1;
        }
    }
    assert_eq!(found, 9, "test files of the manual");
}

#[test]
fn the_manuals_rotation_of_logs_has_its_configuration() {
    let logs = section("日志管理");
    let line = logs.iter().find(|words| words.contains("logrotate ")).unwrap();
    let name = line.rsplit('/').next().unwrap();
    assert!(project().join("runbook/logrotate").join(name).is_file(), "{name}");
}

// What answers the manual.

const COVERAGE: &str = "docs/manual-coverage.md";

/// A row of the document: what the manual says, what does it, what shows it.
#[derive(Debug)]
struct Row {
    words: String,
    does: String,
    shows: String,
}

/// The document's headings and rows, up to the chapters of its own.
fn coverage() -> (Vec<Line>, Vec<Row>) {
    let text = read(COVERAGE);
    let (answers, _) =
        text.split_once("\n## Later / 以后\n").expect("a chapter of what is to come");
    let mut found = Vec::new();
    let mut rows = Vec::new();
    for line in answers.lines() {
        if let Some(heading) = line.strip_prefix("##") {
            found.push(Line::Heading(heading.trim_start_matches('#').trim().to_owned()));
        }
        let Some(cells) = line.strip_prefix("| ").and_then(|rest| rest.strip_suffix(" |")) else {
            continue;
        };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let [words, does, shows] = cells[..] else { panic!("not three cells: {line}") };
        if words == "手册 / the manual" {
            continue;
        }
        found.push(Line::Words(plain(words)));
        let (does, shows) = (does.to_owned(), shows.to_owned());
        rows.push(Row { words: plain(words), does, shows });
    }
    (found, rows)
}

/// The items of a chapter of the document's own.
fn section_of_coverage(heading: &str) -> Vec<String> {
    let text = read(COVERAGE);
    let (_, under) = text.split_once(&format!("\n## {heading}\n")).expect("the chapter");
    let under = under.split("\n## ").next().unwrap();
    under.lines().filter_map(|line| line.strip_prefix("- ").map(str::to_owned)).collect()
}

/// What stands between backticks.
fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_line_of_the_manual_is_answered_in_its_order() {
    let mut wanted = lines(&manual());
    // Its title is another document's.
    assert_eq!(wanted.remove(0), Line::Heading("DevOps操作程序手册".to_owned()));
    let (answered, rows) = coverage();

    for (at, (wanted, answered)) in wanted.iter().zip(&answered).enumerate() {
        assert_eq!(answered, wanted, "line {at} of {COVERAGE}, after {:?}", rows.get(at));
    }
    assert_eq!(answered.len(), wanted.len(), "the last lines");
}

#[test]
fn what_coverage_names_exists_and_what_is_to_come_is_listed() {
    let runbook = shipped();
    let later: Vec<String> = section_of_coverage("Later / 以后");
    let names = later.iter().map(|line| line.split("**").nth(1).expect("a name").to_owned());
    let names: BTreeSet<String> = names.collect();
    let mut waited_for = BTreeSet::new();

    for Row { words, does, shows } in coverage().1 {
        let mut answers = 0;
        for code in codes(&does) {
            if let Some(command) = code.strip_prefix("/neostock ") {
                let verb = command.split(' ').next().unwrap();
                let is_known = VERBS.iter().any(|spec| spec.name == verb)
                    || runbook.actions.contains_key(verb);
                assert!(is_known, "{words}: there is no `{code}`");
                answers += 1;
            } else if code.contains('/') && !code.contains(' ') {
                assert!(project().join(code).exists(), "{words}: there is no `{code}`");
                answers += 1;
            }
        }
        let mut shown = 0;
        for code in codes(&shows) {
            assert!(is_test(code), "{words}: there is no test `{code}`");
            shown += 1;
        }
        let waits = shows
            .split("later: ")
            .skip(1)
            .map(|rest| rest.split([',', ';', '`']).next().unwrap().trim().to_owned());
        for name in waits {
            assert!(
                names.contains(&name),
                "{words}: `{name}` is not in the list of what is to come"
            );
            waited_for.insert(name);
            shown += 1;
            answers += 1;
        }
        assert!(answers > 0 && shown > 0, "{words}: nothing does it, or nothing shows it");
    }
    assert_eq!(waited_for, names, "what is to come, and what waits for it");
}

/// `tests/it/checks.rs::name`, or a test file of the service.
fn is_test(code: &str) -> bool {
    let Some((file, name)) = code.split_once("::") else {
        let is_suite = [".test.ts", ".spec.ts"].iter().any(|end| code.ends_with(end));
        return is_suite && project().join(code).is_file();
    };
    let is_rust = Path::new(file).extension().is_some_and(|extension| extension == "rs");
    is_rust
        && std::fs::read_to_string(project().join(file))
            .is_ok_and(|text| text.contains(&format!("fn {name}(")))
}
