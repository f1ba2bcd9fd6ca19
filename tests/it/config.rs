//! What ships is read by what ships: runbook, defaults and schema, through the public API alone.

use crate::harness::bot::NIGHT_MS;
use neostock_ops::config::{alerting, check, runbook, settings};
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(working_dir: &Path) -> settings::Sources {
    settings::Sources {
        file: None,
        environment: vec![
            ("SLACK_BOT_TOKEN".to_owned(), "xoxb-test".to_owned()),
            ("SLACK_SIGNING_SECRET".to_owned(), "test".to_owned()),
        ],
        working_dir: working_dir.to_owned(),
        hostname: "test".to_owned(),
    }
}

/// What NeoStock's people can ask for from the first day.
const ACTIONS: [&str; 14] = [
    "audit-calls",
    "backup-verify",
    "deploy",
    "disaster-recovery",
    "errors",
    "health",
    "log-audit",
    "rollback",
    "rotate-keys",
    "rotate-logs",
    "scan",
    "security-review",
    "test",
    "verify-secrets",
];

#[test]
fn the_shipped_runbook_passes_its_own_check() {
    let report = check::check_sources(&sources(&project()), NIGHT_MS);

    assert!(report.ok, "{}", report.text);
    let says = format!(
        "service neostock: 2 environments (production by default, staging); \
         4 roles (lead, oncall, operator, viewer); {} actions ({})",
        ACTIONS.len(),
        ACTIONS.join(", ")
    );
    assert!(report.text.contains(&says), "{}", report.text);
}

/// The manual's lists, word for word.
const LISTS: [(&str, &str); 3] = [
    (
        "production",
        "- [ ] 所有测试通过(单元测试、集成测试、E2E测试)
- [ ] 代码安全扫描通过(零高危漏洞)
- [ ] 性能基准测试通过
- [ ] 数据库迁移脚本验证
- [ ] 回滚计划确认
- [ ] 监控告警配置验证
- [ ] 负载均衡器健康检查配置",
    ),
    (
        "security-scan",
        "- [ ] 静态代码安全分析(SAST)
- [ ] 依赖漏洞扫描(SCA)
- [ ] Docker镜像安全扫描
- [ ] API安全测试
- [ ] 认证机制验证
- [ ] 数据加密验证",
    ),
    (
        "disaster-recovery",
        "- [ ] 识别故障范围和影响
- [ ] 评估数据完整性
- [ ] 选择恢复策略(回滚vs修复)
- [ ] 执行恢复程序
- [ ] 验证系统功能
- [ ] 通知用户和利益相关者
- [ ] 进行故障分析和预防措施",
    ),
];

#[test]
fn the_shipped_checklists_are_the_manuals() {
    let runbook = runbook::load(&project().join("runbook/runbook.yml")).unwrap();

    assert_eq!(runbook.checklists.len(), LISTS.len());
    for (name, manual) in LISTS {
        let items = runbook.checklists[name].items.iter();
        let written: Vec<_> = items.map(|item| format!("- [ ] {}", item.name.zh)).collect();
        assert_eq!(written.join("\n"), manual);
    }
    assert_eq!(runbook.actions["deploy"].checklist.as_deref(), Some("production"));
}

#[test]
fn the_default_settings_name_the_shipped_runbook() {
    let settings = settings::from_sources(&sources(&project())).expect("the defaults are settings");

    let runbook = runbook::load(&settings.runbook).expect("the shipped runbook is right");

    assert!(runbook.actions.contains_key("rollback"));
    assert!(settings.slack().is_ok());
}

#[test]
fn the_shipped_alerting_configuration_watches_everything_and_is_the_manuals() {
    let alerting = alerting::load(&project().join("runbook/alerting-config.yml")).unwrap();

    let shown: Vec<_> = alerting
        .alerts
        .iter()
        .map(|(name, alert)| {
            let channels: Vec<_> = alert.channels.iter().map(|channel| channel.name()).collect();
            let (seconds, level) = (alert.duration_ms / 1_000, alert.severity.number());
            format!("{name} > {} {seconds}s level {level} {}", alert.threshold, channels.join(" "))
        })
        .collect();
    let manual = [
        "auth_failure > 10% 30s level 3 slack email pagerduty",
        "cpu > 80% 300s level 1 slack",
        "data_fetch_failure > 20% 180s level 2 slack email",
        "error_rate > 5% 60s level 3 slack email pagerduty",
        "memory > 85% 300s level 1 slack",
        "response_time > P99 5s 120s level 1 slack email",
    ];
    assert_eq!(shown, manual);
}

#[test]
fn an_empty_folder_is_told_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");

    let report = check::check_sources(&sources(folder.path()), NIGHT_MS);

    assert!(!report.ok);
    assert!(report.text.contains("runbook cannot be read"), "{}", report.text);
}

#[test]
fn every_key_that_the_readme_explains_is_in_the_schema_and_the_other_way_round() {
    let readme = std::fs::read_to_string(project().join("runbook/README.md")).expect("README.md");
    let mut keys = Vec::new();
    collect_keys(&runbook::schema(), &mut keys);
    keys.sort_unstable();
    keys.dedup();

    let (_, rest) = readme.split_once("## Keys").expect("the keys");
    let (table, _) = rest.split_once("\n## ").expect("what comes after them");
    let explained = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key.rsplit('.').next().unwrap_or(key).to_owned());
    let mut explained = explained.collect::<Vec<_>>();
    explained.sort_unstable();
    explained.dedup();

    assert_eq!(explained, keys);
}

fn collect_keys(schema: &serde_json::Value, keys: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        // zh and en belong to every localized text.
        keys.extend(properties.keys().filter(|key| !["zh", "en"].contains(&key.as_str())).cloned());
        properties.values().for_each(|inner| collect_keys(inner, keys));
    }
    for either in schema["oneOf"].as_array().into_iter().flatten() {
        collect_keys(either, keys);
    }
    for inner in ["additionalProperties", "items"] {
        if schema[inner].is_object() {
            collect_keys(&schema[inner], keys);
        }
    }
}
