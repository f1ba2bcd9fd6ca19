//! The runbook that the bot operates the sample with: the manual's rollback, step by step.

use super::Place;
use anyhow::Context;
use std::path::Path;

/// The file's text. Paths are quoted, and a brace in one is doubled where templates are read.
pub(super) fn text(place: &Place, program: &Path, port: u16) -> anyhow::Result<String> {
    let dir = quoted(path_text(&place.dir)?)?;
    let repo = place.repo();
    let workdir = quoted(path_text(&repo)?)?;
    let program = quoted(&path_text(program)?.replace('{', "{{").replace('}', "}}"))?;
    Ok(format!(
        r#"# NeoStock 示例服务的操作手册：机器人只做这里写的事。
service: neostock
language: zh

environments:
  production:
    workdir: {workdir}
    default: true
    protected: true
    channel: C0OPS
    variables:
      HEALTH_URL: "http://127.0.0.1:{port}/health"
      SAMPLE: {dir}
      PORT: "{port}"

# 成员：Slack 用户 (U…)、用户组 (S…) 或 everyone。
roles:
  viewer: {{members: [everyone]}}
  operator: {{members: [U0ANN, U0BOB]}}
  lead: {{members: [U0BOB]}}

actions:
  # scripts/rollback.sh 的五个步骤，逐步记录、逐步核对。
  rollback:
    summary: {{zh: "回滚到指定版本", en: "Roll the service back to a version"}}
    parameters:
      version: {{type: git_ref, required: true}}
      reason: {{type: text, required: true}}
    role: operator
    lock: environment
    notices:
      succeeded:
        zh: "🔄 应用已成功回滚到版本 {{version}}"
        en: "🔄 The application was rolled back to version {{version}}"
      failed:
        zh: "🚨 应用回滚失败，需要立即人工干预"
        en: "🚨 The rollback failed: somebody must act now"
    steps:
      - name: {{zh: "验证目标版本", en: "Verify the version"}}
        run: [git, rev-parse, --verify, --end-of-options, "{{version}}^{{{{commit}}}}"]
        timeout: 10s
        idempotent: true
      - name: {{zh: "数据库回滚", en: "Roll the database back"}}
        run: [{program}, sample, db-rollback, --dir, "{{SAMPLE}}", --to, "{{version}}"]
      - name: {{zh: "应用回滚", en: "Check the version out"}}
        run: [git, checkout, --quiet, --detach, "{{version}}"]
      - name: {{zh: "重启服务", en: "Restart the service"}}
        run: [{program}, sample, restart, --dir, "{{SAMPLE}}", --port, "{{PORT}}"]
        leaves_processes: true
      - name: {{zh: "健康检查", en: "Health check"}}
        http:
          url: "{{HEALTH_URL}}"
          expect: 200
          within: 60s
          contains: "\"version\":\"{{version}}\""

  # 日志分析与审计汇总：只读，不占用环境锁。
  log-audit:
    summary: {{zh: "分析服务日志并汇总审计日志", en: "Read the service's log and sum the journal up"}}
    parameters:
      window: {{type: duration, default: 24h, help: {{zh: "时间范围，例如 2h", en: "How far to look back, such as 2h"}}}}
    role: operator
    lock: none
    steps:
      - name: {{zh: "分析服务日志", en: "Read the service's log"}}
        logs: {{files: ["{{SAMPLE}}/access.log*"], window: "{{window}}", sign_in: "/api/"}}
      - name: {{zh: "汇总审计日志", en: "Sum the journal up"}}
        journal: {{window: "{{window}}"}}
"#
    ))
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))
}

/// A JSON string, which is a double-quoted YAML scalar too.
fn quoted(text: &str) -> anyhow::Result<String> {
    serde_json::to_string(text).context("quote a path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::runbook::parse;
    use crate::core::action::StepKind;

    #[test]
    fn the_runbook_is_yaml_whatever_the_paths_hold() {
        let place = Place::new(Path::new("/tmp/a \"b\": {c} #d"));

        let text = text(&place, Path::new("/opt/{x}/neostock-ops"), 4_321).expect("UTF-8 paths");

        // The one place where the sandbox looks at another room: the product must accept this file.
        let runbook = parse("runbook.yml", text.as_bytes()).expect("a runbook without faults");
        let production = &runbook.environments["production"];
        assert_eq!(production.workdir, Path::new("/tmp/a \"b\": {c} #d/repo"));
        assert_eq!(production.variables["PORT"], "4321");
        let steps = &runbook.actions["rollback"].steps;
        let StepKind::Run { argv } = &steps[1].kind else { panic!("{:?}", steps[1]) };
        assert_eq!(argv[0].expand(|_| None).as_deref(), Ok("/opt/{x}/neostock-ops"));
        assert!(matches!(steps[4].kind, StepKind::Http { .. }));
        assert_eq!(steps.len(), 5);
    }
}
