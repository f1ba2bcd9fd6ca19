// Reads a scanner's report on standard input for check-vulnerabilities.sh: what `npm audit --json` and
// `bun audit --json` print, and SARIF 2.1. The first line of the answer is the verdict:
//   high N LOWER | none N LOWER | unreadable WHY
// N counts what is high or critical, LOWER the rest; the lines after it are those that are high. What the
// report says is only ever data. With the argument `bun` an empty object is bun's word for nothing found; from
// any other scanner it says nothing.
"use strict";

const LINES_MAX = 20;
const CHARS_MAX = 200;
const SEVERITIES = ["info", "low", "moderate", "medium", "high", "critical"];
const HIGH = ["high", "critical"];
const LEVELS = ["none", "note", "warning", "error"];
// From here on a CVSS score is called high.
const SCORE_HIGH = 7;

const isBun = process.argv[2] === "bun";

class Unreadable extends Error {}

/** One line, no control characters, not too long. */
function plain(text) {
  const line = String(text ?? "").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return line.length > CHARS_MAX ? `${line.slice(0, CHARS_MAX)}…` : line;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function severityOf(text) {
  const severity = String(text).toLowerCase();
  if (!SEVERITIES.includes(severity)) throw new Unreadable(`an unknown severity: ${plain(text)}`);
  return severity;
}

/** GHSA-… of an advisory's address, else its number. */
function idOf(advisory) {
  const url = String(advisory.url ?? "");
  return url.split("/").filter(Boolean).pop() ?? advisory.id ?? advisory.source ?? "?";
}

function advisory(name, one, range) {
  if (!isObject(one)) throw new Unreadable(`no advisory of ${plain(name)}`);
  const severity = severityOf(one.severity);
  return { isHigh: HIGH.includes(severity), words: [severity, idOf(one), `${name} ${range ?? ""}`, one.title] };
}

/** npm 7 and later: a package is also as bad as what it depends on. */
function ofNpm(report) {
  return Object.entries(report.vulnerabilities).map(([name, one]) => {
    const found = advisory(name, one, one?.range);
    const causes = Array.isArray(one.via) ? one.via : [];
    const ids = causes.map((cause) => (isObject(cause) ? idOf(cause) : `via ${cause}`));
    const titles = causes.filter(isObject).map((cause) => cause.title);
    found.words.splice(1, 1, ids.join(",") || "?");
    found.words.splice(3, 1, titles.join("; "));
    return found;
  });
}

function ofOldNpm(report) {
  const all = Object.values(report.advisories);
  return all.map((one) => advisory(one?.module_name, one, one?.vulnerable_versions));
}

function ofBun(report) {
  return Object.entries(report).flatMap(([name, list]) =>
    list.map((one) => advisory(name, one, one?.vulnerable_versions)),
  );
}

function ofSarif(report) {
  if (report.runs.length === 0) throw new Unreadable("the report holds no run of a scanner");
  return report.runs.flatMap((run) => {
    const tool = run?.tool?.driver;
    if (!isObject(tool)) throw new Unreadable("the report does not name its scanner");
    const calls = run.invocations ?? [];
    if (calls.some((call) => call?.executionSuccessful === false)) {
      throw new Unreadable(`${plain(tool.name)} says that it did not succeed`);
    }
    // Without `results` the scanner did not look; an empty list says that it found nothing.
    if (!Array.isArray(run.results)) throw new Unreadable(`${plain(tool.name)} gives no results`);
    const parts = [tool, ...(run.tool.extensions ?? [])];
    const rules = new Map(parts.flatMap((part) => (part?.rules ?? []).map((rule) => [rule?.id, rule])));
    return run.results.filter(isFinding).map((result) => ofResult(result, rules, tool));
  });
}

/** Not what passed, not what is gone since, and not what people have accepted. */
function isFinding(result) {
  const accepted = (one) => (one?.status ?? "accepted") === "accepted";
  const passed = ["pass", "notApplicable", "informational"].includes(result?.kind);
  return !passed && result?.baselineState !== "absent" && !(result?.suppressions ?? []).some(accepted);
}

function ofResult(result, rules, tool) {
  const id = result?.ruleId ?? result?.rule?.id ?? tool.rules?.[result?.ruleIndex ?? result?.rule?.index]?.id;
  // A result may name a part of a rule: `sql/injection` of `sql`.
  let name = String(id);
  while (!rules.has(name) && name.includes("/")) name = name.slice(0, name.lastIndexOf("/"));
  const rule = rules.get(name);
  const level = result?.level ?? rule?.defaultConfiguration?.level ?? "warning";
  if (!LEVELS.includes(level)) throw new Unreadable(`an unknown level: ${plain(level)}`);
  const given = result?.properties?.["security-severity"] ?? rule?.properties?.["security-severity"];
  const score = given === undefined ? NaN : Number.parseFloat(given);
  if (given !== undefined && Number.isNaN(score)) throw new Unreadable(`an unknown score: ${plain(given)}`);
  const place = result?.locations?.[0]?.physicalLocation;
  const file = place?.artifactLocation?.uri ?? "?";
  const line = place?.region?.startLine;
  const severity = Number.isNaN(score) ? level : `${level} ${score}`;
  return {
    isHigh: level === "error" || score >= SCORE_HIGH,
    words: [severity, id ?? "?", line ? `${file}:${line}` : file, result?.message?.text],
  };
}

function read(text) {
  if (text.trim() === "") throw new Unreadable("the report is empty");
  let report;
  try {
    report = JSON.parse(text);
  } catch {
    throw new Unreadable(`the report is not JSON: ${plain(text).slice(0, 80)}`);
  }
  if (!isObject(report)) throw new Unreadable("the report is not a JSON object");
  if (Array.isArray(report.runs) && String(report.version).startsWith("2.1")) return ofSarif(report);
  if (report.error !== undefined) {
    const { summary, detail, code } = isObject(report.error) ? report.error : { summary: report.error };
    throw new Unreadable(plain([code, summary, detail].filter(Boolean).join(": ")));
  }
  if (isObject(report.vulnerabilities) && report.auditReportVersion !== undefined) return ofNpm(report);
  if (isObject(report.advisories)) return ofOldNpm(report);
  const lists = Object.values(report);
  if (lists.length === 0 && !isBun) throw new Unreadable("the report says nothing: {}");
  if (lists.every(Array.isArray)) return ofBun(report);
  throw new Unreadable("the report is neither npm's, bun's nor SARIF 2.1");
}

function answer(text) {
  const found = read(text);
  const high = found.filter((one) => one.isHigh);
  const lines = high.slice(0, LINES_MAX).map((one) => one.words.map(plain).filter(Boolean).join("  "));
  if (high.length > LINES_MAX) lines.push(`… ${high.length - LINES_MAX}`);
  const verdict = high.length > 0 ? "high" : "none";
  return [`${verdict} ${high.length} ${found.length - high.length}`, ...lines].join("\n");
}

try {
  console.log(answer(await Bun.stdin.text()));
} catch (error) {
  // A report that breaks the reader is a report that cannot be read.
  console.log(`unreadable ${error instanceof Unreadable ? error.message : plain(error)}`);
}
