//! What a person is told about a runbook, and what a good one becomes.

use super::*;
use crate::config::fault::listing;
use crate::config::shape::{Object, Shape};
use crate::core::action::{ParameterKind, StepKind, Suggest};
use crate::core::rule::Condition;
use proptest::prelude::*;

const SHIPPED: &str = include_str!("../../../runbook/runbook.yml");

/// A runbook with one action; `action` stands under `restart:`.
fn with_action(action: &str) -> String {
    format!(
        "service: shop
environments:
  production: {{workdir: /srv, default: true, channel: C0OPS, variables: {{BASE: 'http://a/', ONLY: x}}, secrets: {{TOKEN: {{env: T}}}}}}
  staging: {{workdir: /srv2, channel: C0OPS, variables: {{BASE: 'https://b/'}}}}
roles: {{operator: {{members: [everyone]}}}}
actions:
  restart:
    summary: Restart it
    role: operator
    {action}
"
    )
}

fn with_step(step: &str) -> String {
    with_action(&format!(
        "parameters: {{version: {{type: git_ref, required: true}}, why: {{type: text}}}}
    steps: [{{name: Step, {step}}}]"
    ))
}

fn faults_of(text: &str) -> String {
    parse("runbook.yml", text.as_bytes()).map_or_else(|faults| listing(&faults), |_| String::new())
}

#[test]
fn the_shipped_runbook_is_read() {
    let runbook = parse("/etc/ops/runbook.yml", SHIPPED.as_bytes()).unwrap();

    assert_eq!(runbook.default_environment().unwrap().name, "production");
    let rollback = &runbook.actions["rollback"];
    let names = rollback.steps.iter().map(|step| step.name.en.as_str()).collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "Verify the version",
            "Look before the rollback",
            "Roll the database back",
            "Check the version out",
            "Install dependencies",
            "Build",
            "Restart neostock-server",
            "Restart neostock-web",
            "Health check"
        ]
    );
    let StepKind::Run { argv } = &rollback.steps[0].kind else { panic!("a program") };
    let last = argv.last().unwrap().expand(|_| Some("v1.2"));
    assert_eq!(last.as_deref(), Ok("v1.2^{commit}"));
    let succeeded = rollback.notices.succeeded.as_ref().unwrap();
    assert_eq!(succeeded.zh.expand(|_| Some("v1.2")).unwrap(), "🔄 应用已成功回滚到版本 v1.2");
    assert_eq!(runbook.digest.len(), 64);
}

#[test]
fn what_is_left_out_has_its_documented_meaning() {
    let text = with_action(
        "parameters: {count: {type: number, max: 9, default: 3}, kind: {type: choice, choices: [1, yes]}}
    steps:
      - {name: {zh: 一, en: One}, run: [sleep, 5, true]}
      - {name: Two, http: {url: '{BASE}health', within: 5m}}",
    );

    let runbook = parse("ops/runbook.yml", text.as_bytes()).unwrap();

    let action = &runbook.actions["restart"];
    assert_eq!(runbook.language, Lang::Zh);
    assert_eq!(action.lock, Lock::Environment);
    assert_eq!(action.parameters[0].kind, ParameterKind::Number { min: i64::MIN, max: 9 });
    assert_eq!(action.parameters[0].default.as_deref(), Some("3"));
    let words = ["1".to_owned(), "yes".to_owned()];
    assert_eq!(action.parameters[1].kind, ParameterKind::Choice(words.into()));
    let [run, http] = &action.steps[..] else { panic!("two steps") };
    assert_eq!((run.timeout_ms, run.idempotent, run.leaves_processes), (600_000, false, false));
    assert_eq!((http.timeout_ms, http.idempotent), (310_000, true));
    let StepKind::Http { expect, within_ms, contains, .. } = &http.kind else { panic!("http") };
    assert_eq!((*expect, *within_ms, contains), (200, 300_000, &None));
}

#[test]
fn a_relative_workdir_starts_at_the_runbooks_folder() {
    let text = with_step("run: [true]").replace("/srv,", "../app,");

    let runbook = parse("/etc/ops/runbook.yml", text.as_bytes()).unwrap();

    assert_eq!(runbook.environments["production"].workdir, PathBuf::from("/etc/ops/../app"));
}

#[test]
fn a_single_environment_is_the_default() {
    let two = with_step("run: [true]");
    let text = two.lines().filter(|line| !line.contains("staging"));
    let text = text.collect::<Vec<_>>().join("\n").replace("default: true, ", "");

    let runbook = parse("runbook.yml", text.as_bytes()).unwrap();

    assert!(runbook.environments["production"].default);
}

#[test]
fn a_file_with_many_faults_is_told_all_of_them_at_once() {
    let text = "\
service: 商店
langauge: zh
environments:
  生产: {workdir: ~/shop, channel: '#ops', variables: {LD_PRELOAD: x.so, BASE: 'ftp://a'}}
  staging: {workdir: /srv, default: yes, channel: C0OPS, secrets: {DB: hunter2}}
roles:
  operator: {members: [everyone, ann, U0ANN]}
actions:
  status:
    summary: {zh: 状态}
    role: operater
    steps: []
  Deploy_It:
    summary: {zh: 部署, en: Deploy}
    on_failure: {action: rollback}
    approval: {from: leed, count: 0, expires: 8d}
    makes_live: env
    role: operator
    parameters:
      env: {type: text, required: true}
      version: {type: git, min: 3}
    steps:
      - {name: {zh: 构建, en: Build}, run: [bun, {version}], timeout: 10}
      - {name: 检查, run: [a], http: {url: \"{BASE}/{verison}\"}, timeout: 2d}
      - {name: 写日志, run: [sh, -c, \"echo 中文 {version} }\"]}
";
    insta::assert_snapshot!(faults_of(text), @r#"
    runbook.yml:2:1: `langauge` is not a key of the runbook
        did you mean `language`? keys: `service`, `language`, `environments`, `roles`, `actions`, `checklists`, `migrations`, `emergency`, `freezes`, `contacts`, `command_line`
    runbook.yml:4:3: `生产` is not a name here (lower-case letters, digits and single `-`, at most 30)
        for example: backup-verify
    runbook.yml:4:17: `~` is a shell's abbreviation and not a path
        write the whole path
    runbook.yml:4:34: `#ops` is not a Slack conversation id (`C…`, `G…` or `D…`; in Slack: the channel's details, at the bottom)
        for example: C0123456789
    runbook.yml:4:54: `LD_PRELOAD` would change which code every program loads
        choose another name
    runbook.yml:5:37: `yes` found, true or false expected
        write `true`, without quotes
    runbook.yml:5:72: text found, a secret's source (a map) expected
        for example: {env: NEOSTOCK_SECRET_DB}
    runbook.yml:7:34: `ann` is not a member (`everyone`, a Slack user id `U…` or `W…`, or a user group id `S…`)
        for example: S0123456789
    runbook.yml:9:3: `status` is a command that the bot has already
        choose another name, such as `status-service`
    runbook.yml:10:14: a summary lacks `en`
        give both languages, or one plain text for both
    runbook.yml:11:11: there is no role `operater`
        did you mean `operator`? roles: `operator`
    runbook.yml:12:12: 0 steps found, at least 1 expected
        for example: [{name: Restart, run: [pm2, restart, server]}]
    runbook.yml:13:3: `Deploy_It` is not a name here (lower-case letters, digits and single `-`, at most 30)
        write `deploy-it`
    runbook.yml:15:26: there is no action `rollback`
        actions: `status`
    runbook.yml:16:22: there is no role `leed`
        roles: `operator`
    runbook.yml:16:35: 0 is out of bounds: from 1 to 10
    runbook.yml:16:47: `8d` is out of bounds: from 1s to 7d
    runbook.yml:17:17: `env` is not a required parameter of `type: git_ref`
        name the parameter that holds the version: `makes_live: version`
    runbook.yml:20:7: `env` chooses the environment in every request
        choose another name for the parameter
    runbook.yml:21:7: `version` can never be given: the text `env` before it takes all remaining words
        move `env` to the end
    runbook.yml:21:23: `git` is not one of the choices here
        did you mean `git_ref`? choices: `git_ref`, `choice`, `duration`, `number`, `text`, `user`, `run`
    runbook.yml:23:48: a map found, an argument (text) expected
        put quotes around text that begins with a brace: "{version}"
    runbook.yml:23:69: `10` has no unit
        write `10s` for seconds; units: ms, s, m, h, d
    runbook.yml:24:30: a step has exactly one of `run`, `http`, `logs` and `journal`; both found
        for example: {name: Restart, run: [pm2, restart, server]}
    runbook.yml:24:72: `2d` is out of bounds: from 1ms to 1d
    runbook.yml:25:54: `}` closes nothing
        double a brace that is meant as itself: `}}`
    "#);
}

#[test]
fn templates_name_only_what_is_known_everywhere() {
    insta::assert_snapshot!(faults_of(&with_step("run: [echo, '{versoin}']")), @r"
    runbook.yml:11:39: `versoin` is neither a parameter nor a variable
        did you mean `version`? names here: `version`, `why`, `BASE`, `environment`, `service`, `workdir`
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [echo, '中{ONLY}']")), @r"
    runbook.yml:11:40: environment staging has no variable `ONLY`
        add it there, under `variables`
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [echo, '{TOKEN}']")), @r"
    runbook.yml:11:39: `TOKEN` is a secret; it would stand in the list of processes
        the program finds it in its environment as $TOKEN
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [echo, '{why}']")), @r"
    runbook.yml:11:39: `why` may be left out, and then nothing can stand here
        give the parameter a `default`, or `required: true`
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [echo, 'a {b c}']")), @r"
    runbook.yml:11:41: `{b c}` is not a name: use letters, digits and `_`
        double a brace that is meant as itself: `{{`
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [echo, '中 {version']")), @r"
    runbook.yml:11:41: `{` is never closed
        double a brace that is meant as itself: `{{`
    ");
    let all = "run: [echo, '{version}{BASE}{environment}{service}{workdir}{{x}}']";
    assert_eq!(faults_of(&with_step(all)), "");
}

#[test]
fn an_askers_words_never_choose_what_runs() {
    insta::assert_snapshot!(faults_of(&with_step("run: ['./{version}.sh']")), @r"
    runbook.yml:11:35: `version` would let the asker choose the program
        name the program in the runbook; use a choice of actions instead
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [env, /bin/bash, -ec, 'echo {version}']")), @r#"
    runbook.yml:11:59: a program would read the value of `version` as its script
        hand it over as an argument: [sh, -c, 'echo "$1"', sh, "{version}"]
    "#);
    insta::assert_snapshot!(faults_of(&with_step("http: {url: 'http://{version}/x'}")), @r#"
    runbook.yml:11:38: the asker would choose the address's host
        for example: "http://127.0.0.1:3000/health"
    "#);
    insta::assert_snapshot!(faults_of(&with_step("http: {url: 'http://a{version}.b/x'}")), @r#"
    runbook.yml:11:38: the asker would choose the address's host
        for example: "http://127.0.0.1:3000/health"
    "#);
    insta::assert_snapshot!(faults_of(&with_step("http: {url: '{version}'}")), @r#"
    runbook.yml:11:38: the asker would choose the address
        for example: "http://127.0.0.1:3000/health"
    "#);
    insta::assert_snapshot!(faults_of(&with_step("http: {url: '{environment}/x'}")), @r#"
    runbook.yml:11:38: in production this is not an http or https address
        for example: "http://127.0.0.1:3000/health"
    "#);
    insta::assert_snapshot!(faults_of(&with_step("run: ['']")), @"runbook.yml:11:32: the program's name is empty");
    let handed_over = "run: [sh, -c, 'echo \"$1\"', sh, '{version}']";
    assert_eq!(faults_of(&with_step(handed_over)), "");
    assert_eq!(faults_of(&with_step("http: {url: '{BASE}{version}'}")), "");
}

#[test]
fn parameters_come_in_an_order_that_people_can_type() {
    let parameters = |list: &str| {
        faults_of(&with_action(&format!(
            "parameters: {{{list}}}\n    steps: [{{name: Step, run: [true]}}]"
        )))
    };

    insta::assert_snapshot!(parameters("a: {type: text}, b: {type: number}"), @r"
    runbook.yml:10:35: `b` can never be given: the text `a` before it takes all remaining words
        move `a` to the end
    ");
    insta::assert_snapshot!(parameters("a: {type: number}, b: {type: text, required: true}"), @r"
    runbook.yml:10:37: `b` is required and comes after `a`, which may be left out
        move `b` before `a`
    ");
    insta::assert_snapshot!(parameters("BASE: {type: user}, service: {type: run}"), @r"
    runbook.yml:10:18: `BASE` is a variable of environment `production` too
        choose another name for the parameter
    runbook.yml:10:18: `BASE` is not a parameter's name (lower-case letters, digits and `_`, at most 30)
        write `base`
    runbook.yml:10:38: `service` is a name that templates have already
        choose another name for the parameter
    ");
    insta::assert_snapshot!(parameters("a: {type: choice}, b: {type: choice, choices: [x y, '-z', q, q]}"), @r"
    runbook.yml:10:22: a choice needs its `choices`
        add them: `choices: [blue, green]`
    runbook.yml:10:65: `x y` cannot be typed as one argument
        use one word that does not begin with `-` and has no `=` or quotes
    runbook.yml:10:70: `-z` cannot be typed as one argument
        use one word that does not begin with `-` and has no `=` or quotes
    runbook.yml:10:79: `q` is here twice
    ");
    insta::assert_snapshot!(parameters("a: {type: number, min: 3, max: 2, choices: [1]}"), @r"
    runbook.yml:10:36: `min` 3 is greater than `max` 2: no number fits
    runbook.yml:10:52: `choices` means nothing for type `number`
        remove it, or write `type: choice`
    ");
    insta::assert_snapshot!(parameters(
        "a: {type: number, max: 2, default: 3}, b: {type: duration, default: 5}, \
         c: {type: git_ref, default: -x}, d: {type: user, default: ann}, e: {type: run, default: x}, \
         f: {type: choice, choices: [x], default: y}, g: {type: text, required: true, default: y}"
    ), @r"
    runbook.yml:10:53: default `3` is not a whole number up to 2
    runbook.yml:10:86: default `5` is not a duration such as `15m`
    runbook.yml:10:118: default `-x` is not a tag, branch or commit
    runbook.yml:10:148: default `ann` is not a Slack user id (`U…` or `W…`)
    runbook.yml:10:178: default `x` is not a run such as `R-7Q2M4K9X`
    runbook.yml:10:223: default `y` is not one of its choices: x
    runbook.yml:10:227: `g` is required and comes after `f`, which may be left out
        move `g` before `f`
    runbook.yml:10:259: `g` is required, so its default is never used
        remove `default` or `required: true`
    ");
    assert_eq!(parameters("a: {type: git_ref, default: main}, b: {type: text, default: ''}"), "");
}

#[test]
fn gates_are_read_with_their_defaults() {
    let text = with_action(
        "approval: {from: operator}
    makes_live: version
    parameters: {version: {type: git_ref, required: true, suggest: last_good}}
    steps: [{name: Step, run: [true]}]",
    );

    let runbook = parse("runbook.yml", text.as_bytes()).unwrap();

    let action = runbook.actions.values().next().unwrap();
    let approval = action.approval.clone().unwrap();
    assert_eq!((approval.count, approval.allows_self, approval.expires_ms), (1, false, 900_000));
    assert_eq!(action.makes_live.as_deref(), Some("version"));
    assert_eq!(action.parameters[0].suggest, Some(Suggest::LastGood));
}

#[test]
fn a_gate_that_nobody_could_open_is_a_fault() {
    let text = with_action(
        "approval: {from: lead, count: 4, self: true, expires: 1h}
    makes_live: why
    parameters: {why: {type: text, suggest: last_good}}
    lock: none
    steps: [{name: Step, run: [true]}]",
    );
    let text = text.replace("[everyone]}}", "[everyone]}, lead: {members: [U0BOB]}}");
    insta::assert_snapshot!(faults_of(&text), @r"
    runbook.yml:10:28: 4 approvals are asked of `lead`, which names 1
        lower `count`, or add members to the role
    runbook.yml:11:17: `why` is not a required parameter of `type: git_ref`
        name the parameter that holds the version: `makes_live: version`
    runbook.yml:12:36: `suggest` proposes a version: it needs `type: git_ref` and `required: true`
        remove it, or add both
    runbook.yml:13:5: what makes a version live must hold its environment
        leave `lock` out, or leave `makes_live` out
    ");
}

#[test]
fn a_report_reads_what_the_runbook_says_as_far_back_as_the_asker_says() {
    let parameters =
        "parameters: {back: {type: duration, default: 2h}, word: {type: text, default: x}}";
    let step =
        |step: &str| with_action(&format!("{parameters}\n    steps: [{{name: Step, {step}}}]"));
    let good =
        step("logs: {files: ['{workdir}/a.log*'], window: '{back}', format: json, sign_in: /in/}");

    let runbook = parse("runbook.yml", good.as_bytes()).unwrap();

    let found = &runbook.actions["restart"].steps[0];
    let StepKind::Logs { files, format, sign_in, .. } = &found.kind else { panic!("{found:?}") };
    assert_eq!(files[0].expand(|_| Some("/srv")).unwrap(), "/srv/a.log*");
    assert_eq!((format.as_str(), sign_in.as_str(), found.idempotent), ("json", "/in/", true));
    assert!(parse("runbook.yml", step("journal: {}").as_bytes()).is_ok());
    insta::assert_snapshot!(faults_of(&step("logs: {files: ['/var/{word}', '/*/x'], window: 2w}")));
    insta::assert_snapshot!(faults_of(&step("journal: {window: '{word}'}")));
}

#[test]
fn a_step_is_one_thing_for_a_bounded_time() {
    insta::assert_snapshot!(faults_of(&with_step("timeout: 5s")), @r"
    runbook.yml:11:13: a step has exactly one of `run`, `http`, `logs` and `journal`; none found
        for example: {name: Restart, run: [pm2, restart, server]}
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: [true], timeout: 0s")), @"runbook.yml:11:48: `0s` is out of bounds: from 1ms to 1d");
    insta::assert_snapshot!(faults_of(&with_step("run: [true], timeout: 25h")), @"runbook.yml:11:48: `25h` is out of bounds: from 1ms to 1d");
    insta::assert_snapshot!(faults_of(&with_step("http: {url: '{BASE}'}, timeout: 5s")), @r"
    runbook.yml:11:49: the step is stopped before its `within` of 1m is over
        leave `timeout` out: it is `within` and 10s more
    ");
    insta::assert_snapshot!(faults_of(&with_step("run: []")), @r#"
    runbook.yml:11:31: 0 arguments found, at least 1 expected
        for example: [git, checkout, "{version}"]
    "#);
    insta::assert_snapshot!(faults_of(&with_step("run: [true], approval: {from: lead}")), @r"
    runbook.yml:11:39: `approval` is not supported yet
        a later version reads it; remove it until then
    ");
}

#[test]
fn a_policy_that_cannot_be_kept_is_refused() {
    let mut said = Vec::new();
    let fault = |step: &str| faults_of(&with_step(step));
    said.push(fault("run: [true], retry: {times: 3}"));
    said.push(fault("run: [true], idempotent: true, retry: {times: 0, delay: 2h, backoff: 1.5}"));
    said.push(fault("run: [true], when: {value: 'always', is: a, is_not: b}"));
    said.push(fault("run: [echo, '{made}'], outputs: [made, made, version, BASE], user: Root!"));
    said.push(fault("http: {url: '{BASE}'}, when: {value: '{nothing}', is: a}"));
    assert_eq!(fault("run: [true], when: {value: '{why}', is: ''}"), "");
    assert_eq!(fault("http: {url: '{BASE}'}, retry: {times: 3, delay: 1s, backoff: 2}"), "");
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn the_bots_own_secrets_are_for_no_step() {
    let secret =
        |secret: &str| faults_of(&with_step("run: [true]").replace("TOKEN: {env: T}", secret));

    insta::assert_snapshot!(secret("A: {env: SLACK_BOT_TOKEN}"), @r"
    runbook.yml:3:122: `SLACK_BOT_TOKEN` is the bot's own secret; no step may see it
        name another variable: NEOSTOCK_SECRET_…
    ");
    insta::assert_snapshot!(secret("A: {env: X, file: y}, NEOSTOCK_RUN: {env: X}, ONLY: {env: X}"), @r"
    runbook.yml:3:125: a secret's source has exactly one of `env` and `file`; both found
        for example: {env: NEOSTOCK_SECRET_DB}
    runbook.yml:3:135: `NEOSTOCK_RUN`: names that begin with NEOSTOCK_ are the bot's own
        choose another name
    runbook.yml:3:159: `ONLY` is a variable of this environment too
        remove or rename one of the two
    ");
    insta::assert_snapshot!(secret("A: hunter2"), @r"
    runbook.yml:3:116: text found, a secret's source (a map) expected
        for example: {env: NEOSTOCK_SECRET_DB}
    ");
}

#[test]
fn exactly_one_of_several_environments_is_the_default() {
    let none = with_step("run: [true]").replace("default: true, ", "");
    insta::assert_snapshot!(faults_of(&none), @r"
    runbook.yml:2:1: none of several environments is the default
        add `default: true` to the one that a request without `env=` means
    ");
    let both = with_step("run: [true]").replace("/srv2,", "/srv2, default: true,");
    insta::assert_snapshot!(faults_of(&both), @r"
    runbook.yml:4:29: `production` is the default environment already
        keep `default: true` in one of them
    ");
}

#[test]
fn the_schema_says_what_the_check_says() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap();

    insta::assert_snapshot!("runbook_schema", schema);
}

#[test]
fn every_key_of_the_shape_is_in_the_schema() {
    fn walk(shape: Shape, schema: &Json, seen: &mut usize) {
        match shape {
            Shape::Object(Object { fields, .. }) => {
                let properties = schema["properties"].as_object().unwrap();
                assert_eq!(properties.len(), fields.len());
                for field in *fields {
                    let inner = &properties[field.name];
                    assert_eq!(inner["description"], field.doc);
                    *seen += 1;
                    walk(field.shape, inner, seen);
                }
            }
            Shape::Map(map) => walk(map.value, &schema["additionalProperties"], seen),
            Shape::List(list) => walk(list.item, &schema["items"], seen),
            _ => assert!(schema.as_object().is_some_and(|schema| !schema.is_empty())),
        }
    }
    let mut seen = 0;

    walk(grammar::ROOT, &schema(), &mut seen);

    assert!(seen >= 40, "{seen}");
}

#[test]
fn a_runbook_that_cannot_be_read_says_which() {
    let faults = load(Path::new("/nowhere/runbook.yml")).unwrap_err();

    insta::assert_snapshot!(listing(&faults), @r"
    /nowhere/runbook.yml: the runbook cannot be read: No such file or directory (os error 2)
        name the right file with NEOSTOCK_RUNBOOK or the setting `runbook`
    ");
}

#[test]
fn the_machine_is_looked_at_but_only_for_this_host() {
    let text = with_step("run: [no-such-program, '{version}']");
    let text = text.replace("/srv,", "/nowhere,").replace("/srv2,", "/, host: other,");
    let text = text.replace("{env: T}", "{env: NEOSTOCK_TEST_UNSET}");
    let runbook = parse("runbook.yml", text.as_bytes()).unwrap();

    insta::assert_snapshot!(listing(&check_machine(&runbook, "here")), @r"
    environment production: workdir /nowhere is not a folder
        create it, or correct `workdir`
    environment production: secret TOKEN: the bot's environment has no variable NEOSTOCK_TEST_UNSET
    environment production: program `no-such-program` is not found
        install it, write its whole path, or set PATH under `variables`; now /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    ");
    assert_eq!(check_machine(&runbook, "other").len(), 4);
}

#[test]
fn a_log_that_no_file_fits_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let text = with_step("logs: {files: ['access.log*']}")
        .replace("/srv2", "/")
        .replace("/srv", &folder.path().display().to_string());
    let runbook = parse("runbook.yml", text.as_bytes()).unwrap();
    let is_noted = || {
        let notes = listing(&check_machine(&runbook, "here"));
        notes.contains("environment production: log file access.log* is not found")
    };

    assert!(is_noted());
    std::fs::write(folder.path().join("access.log.1"), "").unwrap();
    assert!(!is_noted());
}

#[test]
fn a_secret_file_that_everybody_reads_is_noted() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "hunter2\n").unwrap();
    let source = format!("{{file: {}}}", path.display());
    let text = with_step("run: [sh]").replace("{env: T}", &source).replace("/srv", "/");
    let runbook = parse("runbook.yml", text.as_bytes()).unwrap();
    let notes = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let notes = check_machine(&runbook, "here");
        listing(
            &notes.into_iter().filter(|note| note.message.contains("secret")).collect::<Vec<_>>(),
        )
    };

    assert_eq!(notes(0o600), "");
    assert!(notes(0o644).contains("everybody can read"), "{}", notes(0o644));
    assert!(!notes(0o644).contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = parse("r.yml", &bytes);
    }

    #[test]
    fn no_mutation_of_the_shipped_runbook_makes_it_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..30_usize, "[a-z0-9中{}\\[\\]:,'\"*&!|>#\n -]{0,8}"), 1..6)
    ) {
        let mut letters = SHIPPED.chars().collect::<Vec<_>>();
        for (place, removed, inserted) in edits {
            let from = place.index(letters.len());
            let to = (from + removed).min(letters.len());
            letters.splice(from..to, inserted.chars());
        }
        let text = letters.into_iter().collect::<String>();

        if let Err(faults) = parse("r.yml", text.as_bytes()) {
            prop_assert!(!faults.is_empty());
            let lines = text.split('\n').collect::<Vec<_>>();
            for fault in faults.iter().filter(|fault| fault.line > 0) {
                prop_assert!(fault.line <= lines.len() + 1, "{fault}");
                let chars = lines.get(fault.line - 1).map_or(0, |line| line.chars().count());
                prop_assert!((1..=chars + 1).contains(&fault.column), "{fault}\n{text}");
            }
        }
    }
}

#[test]
fn outputs_are_read_by_later_programs_and_conditions_alone() {
    let mut said = Vec::new();
    let steps = |later: &str| {
        faults_of(&with_action(&format!(
            "steps: [{{name: Make, run: [make], outputs: [path]}}, {{name: Use, {later}}}]"
        )))
    };
    assert_eq!(steps("run: [restore, '{path}'], when: {value: '{path}', is_not: ''}"), "");
    said.push(steps("http: {url: 'http://a/{path}'}"));
    said.push(steps("run: ['{path}']"));
    said.push(steps("run: [sh, -c, 'cat {path}']"));
    said.push(steps("run: [make], outputs: [path]"));
    said.push(faults_of(&with_step("run: [echo, '{path}'], outputs: [path]")));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_follows_a_failure_exists_and_gets_what_it_needs() {
    let mut said = Vec::new();
    let follow = |on_failure: &str| {
        let text = with_action(&format!(
            "on_failure: {on_failure}
    parameters: {{version: {{type: git_ref, required: true}}}}
    steps: [{{name: Step, run: [true]}}]
  back:
    summary: Back
    role: operator
    parameters:
      version: {{type: git_ref, required: true}}
      speed: {{type: choice, choices: [slow, fast]}}
    steps: [{{name: Step, run: [true]}}]"
        ));
        faults_of(&text)
    };
    assert_eq!(follow("{action: back, with: {version: '{live_version}', speed: fast}}"), "");
    assert_eq!(follow("{action: back, with: {version: '{version}'}}"), "");
    said.push(follow("{action: bakc}"));
    said.push(follow("{action: restart, with: {version: v1}}"));
    said.push(follow("{action: back, with: {version: v1}, from_step: Stop}"));
    said.push(follow("{action: back}"));
    said.push(follow("{action: back, with: {version: '-x', sped: fast, speed: '{nothing}'}}"));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_rule_is_read_with_its_line_and_what_it_does_not_say_is_the_actions() {
    let text = with_action(
        "parameters: {version: {type: git_ref, required: true}, count: {type: number}}
    rules:
      - {when: {environment: production, version: {was_live: false}}, deny: {zh: 不行, en: No}}
      - {when: {environment: [staging], count: {at_most: 3}}, approval: none}
      - when: {environment: {not: staging}}
        approval: {from: [operator, viewer], count: 2, expires: 1h}
    steps: [{name: Step, run: [true]}]",
    )
    .replace("roles: {", "roles: {viewer: {members: [everyone]}, ");

    let runbook = parse("runbook.yml", text.as_bytes()).unwrap();

    let rules = &runbook.actions["restart"].rules;
    let shown: Vec<String> = rules
        .iter()
        .map(|rule| {
            let when: Vec<String> = rule.when.iter().map(Condition::shown).collect();
            format!("{}: {} → {:?}", rule.line, when.join(", "), rule.then)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn rules_that_could_never_decide_or_that_contradict_themselves_are_faults() {
    let mut said = Vec::new();
    let mut fault = |rules: &str| {
        let text = with_action(&format!(
            "parameters: {{version: {{type: git_ref, required: true}}, kind: {{type: choice, choices: [full, quick]}}, why: {{type: text}}}}
    rules: {rules}
    steps: [{{name: Step, run: [true]}}]"
        ));
        said.push(faults_of(&text));
    };
    fault("[{when: {enviroment: production}, role: operator}]");
    fault("[{when: {environment: prod}, role: operator}]");
    fault("[{when: {kind: {not: [full, fast]}}, role: operatr}]");
    fault(
        "[{when: {why: {was_live: true}}, role: operator}, {when: {version: {at_least: 2}}, role: operator}]",
    );
    fault("[{when: {kind: full}}]");
    fault("[{when: {kind: full}, deny: No, role: operator}]");
    fault(
        "[{when: {kind: full}, role: operator}, {when: {environment: staging, kind: full}, deny: No}]",
    );
    fault("[{when: {}, role: operator}]");
    fault("[{when: {kind: {is: full}}, approval: nobody}]");
    fault(
        "[{when: {kind: full}, approval: {from: [operator, operator], count: 3}}, {when: {kind: quick}, approval: {from: [operator]}}]",
    );
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn an_emergency_names_roles_and_actions_that_say_why() {
    let mut said = Vec::new();
    let mut fault = |section: &str| {
        let text = with_action(
            "parameters: {reason: {type: text}}
    steps: [{name: Step, run: [true]}]
  wipe: {summary: Wipe, role: operator, steps: [{name: Step, run: [true]}]}",
        );
        said.push(faults_of(&format!("{text}emergency: {section}\n")));
    };
    fault("{role: operator, actions: [restart], review: operator}");
    fault("{role: oncall, actions: [restrt, wipe], review: leed}");
    fault("{role: operator, actions: []}");
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_role_says_how_long_it_believes_what_slack_said_before() {
    let with = |role: &str| {
        with_action("steps: [{name: One, run: [true]}]").replace("{members: [everyone]}", role)
    };
    let runbook = parse("r.yml", with("{members: [S1], max_age: 12h}").as_bytes()).unwrap();
    assert_eq!(runbook.roles["operator"].max_age_ms, Some(12 * 3_600_000));
    let runbook = parse("r.yml", with("{members: [S1]}").as_bytes()).unwrap();
    assert_eq!(runbook.roles["operator"].max_age_ms, None);
    assert!(runbook.logins.is_empty());
    for (wrong, expected) in [
        ("59s", "from 1m to 30d"),
        ("31d", "from 1m to 30d"),
        ("12", "has no unit"),
        ("-1h", "duration"),
    ] {
        let faults = faults_of(&with(&format!("{{members: [S1], max_age: {wrong}}}")));
        assert!(faults.contains(expected), "{wrong}: {faults}");
    }
}

#[test]
fn a_login_is_one_person() {
    let with = |users: &str| {
        let action = with_action("steps: [{name: One, run: [true]}]");
        format!("{action}command_line: {{users: {{{users}}}}}\n")
    };
    let text = with("alice: U1, a.smith-2@corp: U1, _svc: W2");
    let runbook = parse("r.yml", text.as_bytes()).unwrap();
    let logins: Vec<_> =
        runbook.logins.iter().map(|(login, user)| (login.as_str(), user.as_str())).collect();
    assert_eq!(logins, [("_svc", "W2"), ("a.smith-2@corp", "U1"), ("alice", "U1")]);
    for (wrong, expected) in [
        ("alice: S1", "a Slack user id"),
        ("alice: alice@example.com", "a Slack user id"),
        ("alice: everyone", "a Slack user id"),
        ("'-x': U1", "a login"),
        ("alice: U1, alice: U2", "alice"),
        ("alice: {id: U1}", "a person (text) expected"),
        ("", "users"),
    ] {
        let faults = faults_of(&with(wrong));
        assert!(faults.contains(expected), "{wrong}: {faults}");
    }
    let unknown = with("alice: U1").replace("users:", "people:");
    assert!(faults_of(&unknown).contains("people"), "{}", faults_of(&unknown));
}
