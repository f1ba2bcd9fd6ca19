// Reads for scan-sast.sh what semgrep and gitleaks have reported: semgrep.json, sources.json and history.json of
// a scratch folder, whose `copy` holds the sources. No secret is in those reports, and none is shown.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isAccepted, plain, Report } from "./scan-report.js";

const ERRORS_MAX = 5;
const COMMIT_CHARS = 12;
const ACCEPTS = /nosemgrep:\s*([\w.,\s-]+)/;

const [, , verdict, scratch, rules, commits] = process.argv;
const copy = join(scratch, "copy");
const report = new Report(verdict);

function read(name) {
  return JSON.parse(readFileSync(join(scratch, name), "utf8"));
}

function linesOf(path) {
  return readFileSync(join(copy, path), "utf8").split("\n");
}

function tellSemgrep(found) {
  for (const error of found.errors.slice(0, ERRORS_MAX)) {
    // Not its message, which shows what stands there.
    const where = error.path ?? error.spans?.[0]?.file ?? "";
    report.unknown("semgrep", `semgrep 未能完整读懂 ${where}`, `semgrep could not read all of ${where} (${typeOf(error)})`);
  }
  if (found.errors.length > ERRORS_MAX) {
    report.unknown("semgrep", `还有 ${found.errors.length - ERRORS_MAX} 个错误`, "more errors");
  }
  for (const rule of found.skipped_rules ?? []) {
    report.unknown("semgrep", `规则未执行：${rule.rule_id ?? rule}`, "a rule was not run");
  }
  const told = new Set();
  for (const one of found.results) {
    const rule = one.check_id.split(".").at(-1);
    const place = `${one.path}:${one.start.line}`;
    // Two patterns of a rule may find the same.
    if (told.has(`${rule} ${place}`)) continue;
    told.add(`${rule} ${place}`);
    const zh = one.extra.metadata?.zh ?? "";
    const isHigh = one.extra.severity === "ERROR" || one.extra.severity === "CRITICAL" || one.extra.severity === "HIGH";
    if (isAccepted(linesOf(one.path), one.start.line, ACCEPTS, rule)) {
      report.lower(rule, place, `源码中已标明接受：${zh}`, `accepted in the source: ${one.extra.message}`);
    } else if (isHigh) {
      report.high(rule, place, zh, one.extra.message);
    } else {
      report.lower(rule, place, zh, one.extra.message);
    }
  }
}

function typeOf(error) {
  return plain(Array.isArray(error.type) ? error.type[0] : error.type);
}

function tellSecrets(sources, history) {
  const told = new Set();
  for (const one of sources) {
    told.add(`${one.File} ${one.RuleID} ${one.StartLine}`);
    report.high(one.RuleID, `${one.File}:${one.StartLine}`, "源码中有机密：立即吊销并移到文件中", `a secret in the sources: revoke it, keep it in a file (${one.Description})`);
  }
  for (const one of history) {
    const key = `${one.File} ${one.RuleID} ${one.StartLine}`;
    if (told.has(key)) continue;
    told.add(key);
    const place = `${one.Commit.slice(0, COMMIT_CHARS)}:${one.File}:${one.StartLine}`;
    report.high(one.RuleID, place, "历史提交中有机密：删除不够，必须吊销", `a secret in the history: deleting it is not enough, revoke it (${one.Description})`);
  }
}

/** Secrets that people have looked at and accepted, by fingerprint. */
function tellAcceptedSecrets() {
  const file = join(copy, ".gitleaksignore");
  if (!existsSync(file)) return;
  const lines = readFileSync(file, "utf8").split("\n").map((line) => line.trim());
  for (const line of lines.filter((one) => one !== "" && !one.startsWith("#"))) {
    report.lower("accepted-secret", line, ".gitleaksignore 已接受", "accepted in .gitleaksignore");
  }
}

const semgrep = read("semgrep.json");
const files = semgrep.paths.scanned.length;
report.checked(files);
report.figure("files", files, "文件", "files");
report.figure("rules", Number(rules), "规则", "rules");
report.figure("commits", Number(commits), "提交", "commits");
if (files === 0) report.unknown("files", "没有可扫描的源文件", "there is no source file to scan");
if (Number(commits) === 0) report.unknown("history", "没有读到任何历史提交", "no commit of the history was read");
if (existsSync(join(copy, ".gitmodules"))) {
  report.unknown("submodules", "子模块未扫描", "submodules are not scanned");
}
tellSecrets(read("sources.json"), read("history.json"));
tellSemgrep(semgrep);
tellAcceptedSecrets();
report.note(`${files} 个文件、${rules} 条规则、${commits} 个提交`, `${files} files, ${rules} rules, ${commits} commits`);
report.end();
