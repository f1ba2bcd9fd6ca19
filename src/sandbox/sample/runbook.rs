//! The runbook that the bot operates the sample with: the manual's procedures, step by step.

use super::Place;
use anyhow::Context;
use std::path::Path;

/// The file's text. Paths are quoted, and a brace in one is doubled where templates are read.
pub(super) fn text(
    place: &Place,
    program: &Path,
    port: u16,
    preview: u16,
) -> anyhow::Result<String> {
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
      PREVIEW_URL: "http://127.0.0.1:{preview}/health"
      SAMPLE: {dir}

# 成员：Slack 用户 (U…)、用户组 (S…) 或 everyone。max_age：Slack 无法查询时，采信多久以前的答复。
roles:
  viewer: {{members: [everyone], max_age: 12h}}
  operator: {{members: [S0OPS], max_age: 12h}}
  lead: {{members: [S0LEADS], max_age: 12h}}
  oncall: {{members: [S0OPS], max_age: 12h}}

actions:
  # 自动化部署流程的四个步骤，最后再经前端确认一次。健康检查不通过，流量不会切换。
  deploy:
    summary: {{zh: "发布指定版本（蓝绿部署）", en: "Deploy a version (blue/green)"}}
    parameters:
      version: {{type: git_ref, required: true}}
      reason: {{type: text, default: "例行发布 routine"}}
    role: operator
    approval: {{from: lead, count: 1, expires: 15m}}
    checklist: production
    makes_live: version
    on_failure:
      action: rollback
      from_step: 流量切换
      with: {{version: "{{live_version}}", reason: "发布 {{version}} 失败"}}
    lock: environment
    notices:
      succeeded:
        zh: "🚀 版本 {{version}} 已上线"
        en: "🚀 Version {{version}} is live"
      failed:
        zh: "🚨 版本 {{version}} 发布失败，需要有人处理；流量切换之前失败的，流量仍在原版本"
        en: "🚨 Deploying {{version}} failed: somebody must act. If it failed before the switch, the traffic is where it was"
    steps:
      - name: {{zh: "预部署验证", en: "Pre-deploy check"}}
        run: [{program}, sample, pre-deploy-check, --dir, "{{SAMPLE}}", "--to={{version}}"]
        timeout: 30s
        idempotent: true
      - name: {{zh: "蓝绿部署", en: "Deploy to the idle colour"}}
        run: [{program}, sample, blue-green-deploy, --dir, "{{SAMPLE}}", "--to={{version}}"]
        timeout: 2m
        idempotent: true
        leaves_processes: true
      - name: {{zh: "健康检查", en: "Health check"}}
        http:
          url: "{{PREVIEW_URL}}"
          expect: 200
          within: 60s
          contains: "\"version\":\"{{version}}\""
      - name: {{zh: "流量切换", en: "Switch the traffic"}}
        run: [{program}, sample, switch-traffic, --dir, "{{SAMPLE}}", "--to={{version}}"]
        timeout: 30s
        idempotent: true
      - name: {{zh: "上线确认", en: "Confirm in public"}}
        http:
          url: "{{HEALTH_URL}}"
          expect: 200
          within: 60s
          contains: "\"version\":\"{{version}}\""

  # scripts/rollback.sh 的五个步骤，逐步记录、逐步核对。旧版本在空闲颜色上启动后再切换，不丢请求。
  rollback:
    summary: {{zh: "回滚到指定版本", en: "Roll the service back to a version"}}
    parameters:
      version: {{type: git_ref, required: true, suggest: last_good}}
      reason: {{type: text, required: true}}
    role: operator
    makes_live: version
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
        run: [{program}, sample, db-rollback, --dir, "{{SAMPLE}}", "--to={{version}}"]
      - name: {{zh: "应用回滚", en: "Put the version in place"}}
        run: [{program}, sample, app-rollback, --dir, "{{SAMPLE}}", "--to={{version}}"]
        idempotent: true
      - name: {{zh: "重启服务", en: "Restart the service"}}
        run: [{program}, sample, restart, --dir, "{{SAMPLE}}", "--to={{version}}"]
        idempotent: true
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
        logs: {{files: ["{{SAMPLE}}/log/access.log*"], window: "{{window}}", sign_in: "/api/"}}
      - name: {{zh: "汇总审计日志", en: "Sum the journal up"}}
        journal: {{window: "{{window}}"}}

  # 备份要占住环境：它不该落在一次发布的迁移中间，发布也不该在它中途开始。
  backup-verify:
    summary: {{zh: "备份数据库并恢复验证", en: "Back the database up and prove it by a restore"}}
    parameters:
      which:
        type: choice
        choices: [new, latest]
        default: new
        help: {{zh: "new 先做新备份，latest 验证现有的最新备份", en: "new takes one first, latest takes the newest that exists"}}
    role: operator
    lock: environment
    notices:
      succeeded:
        zh: "💾 备份已验证：可以恢复，内容一致"
        en: "💾 The backup was verified: it restores and matches"
      failed:
        zh: "🚨 备份验证失败：现在恢复不了数据，需要立即处理"
        en: "🚨 The backup was not verified: data could not be restored from it now"
    steps:
      - name: {{zh: "数据库备份", en: "Take a backup"}}
        run: [{program}, sample, backup, --dir, "{{SAMPLE}}", "--which={{which}}"]
        timeout: 5m
        idempotent: true
      - name: {{zh: "备份验证", en: "Restore and compare"}}
        run: [{program}, sample, verify-backup, --dir, "{{SAMPLE}}"]
        timeout: 1h
        idempotent: true

  # 灾难恢复检查清单：没有步骤，由值班人员在卡片上逐项确认。
  recover:
    summary: {{zh: "灾难恢复检查清单", en: "The list for a disaster, ticked off on its card"}}
    role: operator
    lock: none
    checklist: disaster-recovery

# 检查清单：每一项由程序检查，或由人在卡片上确认；全部通过，执行才会开始。
# 检查程序的退出码：0 通过，1 未通过，其他为无法检查（同样阻止执行）。
checklists:
  production:
    title: {{zh: "生产部署检查清单", en: "Before a deploy to production"}}
    items:
      - name: {{zh: "数据库迁移脚本验证", en: "The migrations go up, down and up again"}}
        run: [{program}, sample, check-migrations, --dir, "{{SAMPLE}}", "--to={{version}}"]
        timeout: 1m
      - name: {{zh: "回滚计划确认", en: "There is a way back"}}
        run: [{program}, sample, check-way-back, --dir, "{{SAMPLE}}", "--to={{version}}", "--live={{live_version}}"]
        timeout: 30s
      - name: {{zh: "负载均衡器健康检查", en: "The balancer's health check answers"}}
        http: {{url: "{{HEALTH_URL}}", expect: 200, within: 10s}}
  disaster-recovery:
    title: {{zh: "灾难恢复检查清单", en: "Recovery from a disaster"}}
    expires: 1d
    items:
      - {{name: {{zh: "识别故障范围和影响", en: "What is hit, and how far, is known"}}, tick: operator}}
      - {{name: {{zh: "评估数据完整性", en: "The data was judged"}}, tick: operator}}
      - {{name: {{zh: "选择恢复策略(回滚vs修复)", en: "Roll back or mend: decided"}}, tick: lead}}
      - {{name: {{zh: "执行恢复程序", en: "The recovery was carried out"}}, tick: operator}}
      - {{name: {{zh: "验证系统功能", en: "The system was verified"}}, tick: operator}}
      - {{name: {{zh: "通知用户和利益相关者", en: "Users and stakeholders were told"}}, tick: operator}}
      - {{name: {{zh: "进行故障分析和预防措施", en: "Causes and prevention are under way"}}, tick: lead}}

# 紧急操作：加 --emergency 和原因，不经审批直接执行；事后必须由 lead 复核。
emergency: {{role: oncall, actions: [deploy, rollback], review: lead}}
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

        let text =
            text(&place, Path::new("/opt/{x}/neostock-ops"), 4_321, 4_322).expect("UTF-8 paths");

        // The one place where the sandbox looks at another room: the product must accept this file.
        let runbook = parse("runbook.yml", text.as_bytes()).expect("a runbook without faults");
        let production = &runbook.environments["production"];
        assert_eq!(production.workdir, Path::new("/tmp/a \"b\": {c} #d/repo"));
        assert_eq!(production.variables["HEALTH_URL"], "http://127.0.0.1:4321/health");
        assert_eq!(production.variables["PREVIEW_URL"], "http://127.0.0.1:4322/health");
        let steps = &runbook.actions["rollback"].steps;
        let StepKind::Run { argv } = &steps[1].kind else { panic!("{:?}", steps[1]) };
        assert_eq!(argv[0].expand(|_| None).as_deref(), Ok("/opt/{x}/neostock-ops"));
        assert!(matches!(steps[4].kind, StepKind::Http { .. }));
        assert_eq!(steps.len(), 5);
        assert_eq!(runbook.actions["deploy"].steps.len(), 5);
    }
}
