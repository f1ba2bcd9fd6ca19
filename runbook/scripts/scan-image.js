// Looks at Dockerfiles for scan-image.sh: hadolint's report, and what hadolint does not ask. A stage that stands
// on another stage has what that one has.
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isAccepted, plain, Report } from "./scan-report.js";

const SECRET = /(passw|passwd|secret|token|api_?key|private_?key|credential|access_?key)/i;
// They name a place, not the secret.
const PLACE = /_(file|path|dir|url|name|id)$/i;
const SECRET_FILES = /(^|\/)(\.env(\.\w+)?|id_(rsa|ed25519|ecdsa)|.*\.pem|.*\.key|\.npmrc|\.pgpass|\.aws|\.ssh)$/i;
const ACCEPTS = /hadolint\s+ignore=([\w,\s]+)/;
const HADOLINT_PARSE = "DL1000";

const [, , verdict, scratch, layers, ...files] = process.argv;
const copy = join(scratch, "copy");
const report = new Report(verdict);

/** The instructions of a Dockerfile with the line each begins at; what a here-document holds belongs to it. */
function instructionsOf(text) {
  const lines = text.split(/\r?\n/);
  const found = [];
  for (let at = 0; at < lines.length; at++) {
    if (/^\s*(#|$)/.test(lines[at])) continue;
    const line = at + 1;
    let words = lines[at].trim();
    while (words.endsWith("\\") && at + 1 < lines.length) {
      at += 1;
      // Comments within an instruction are none of it.
      if (/^\s*#/.test(lines[at])) continue;
      words = `${words.slice(0, -1)} ${lines[at].trim()}`;
    }
    for (const [, end] of words.matchAll(/<<-?["']?(\w+)["']?/g)) {
      while (at + 1 < lines.length && lines[at + 1].trim() !== end) words += `\n${lines[++at]}`;
      at += 1;
    }
    const [, name, rest] = /^(\S+)\s*([\s\S]*)$/.exec(words);
    found.push({ name: name.toUpperCase(), rest: rest.trim(), line });
  }
  return found;
}

/** The stages, with what each says of itself; the arguments before the first may name base images. */
function stagesOf(instructions) {
  const outer = new Map();
  const stages = [];
  for (const one of instructions) {
    if (one.name === "FROM") {
      const words = one.rest.split(/\s+/).filter((word) => !word.startsWith("--"));
      const name = words[1]?.toLowerCase() === "as" ? words[2]?.toLowerCase() : null;
      stages.push({ name, base: filled(words[0] ?? "", outer), line: one.line, instructions: [] });
    } else if (stages.length === 0 && one.name === "ARG") {
      const [, name, value] = /^(\w+)(?:=(.*))?$/.exec(one.rest) ?? [];
      if (name) outer.set(name, (value ?? "").replace(/^["']|["']$/g, ""));
    } else {
      stages.at(-1)?.instructions.push(one);
    }
  }
  return stages;
}

function filled(text, values) {
  return text.replace(/\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)/g, (_, braced, otherwise, bare) => values.get(braced ?? bare) || otherwise || "");
}

/** The last of some instructions, here or in the stages this one stands on. */
function last(stages, stage, name) {
  const here = stage.instructions.findLast((one) => one.name === name);
  if (here) return here;
  const below = stages.find((other) => other !== stage && other.name === stage.base.toLowerCase());
  return below && stages.indexOf(below) < stages.indexOf(stage) ? last(stages, below, name) : undefined;
}

function lookAtBase(file, stages, base, line) {
  const place = `${file}:${line}`;
  if (base === "") {
    report.unknown("image.base", `${place} 的基础镜像取决于构建参数`, `the base image at ${place} depends on a build argument`);
    return;
  }
  const isStage = stages.some((stage) => stage.name === base.toLowerCase()) || /^\d+$/.test(base);
  if (base === "scratch" || isStage || /@sha256:[0-9a-f]{64}$/.test(base)) return;
  const tag = /:([^/:]+)$/.exec(base)?.[1];
  if (!tag || tag === "latest") {
    report.high("image.base", place, `基础镜像 ${base} 没有固定版本`, `the base image ${base} is pinned to no version`);
  } else if (!/\d+[.-]\d+|\d{8}/.test(tag)) {
    report.lower("image.base", place, `标签 ${base} 会移动，应固定摘要或完整版本`, `the tag ${base} moves: pin a digest or a whole version`);
  }
}

function lookAtInstruction(file, one) {
  const place = `${file}:${one.line}`;
  const words = one.rest.split(/\s+/);
  switch (one.name) {
    case "ADD":
      if (words.some((word) => /^["'[]*(https?|ftp|git|ssh):\/\/|^git@/i.test(word))) {
        report.high("image.add-address", place, "ADD 从网络取文件，内容未经校验", "ADD fetches what nobody has verified");
      }
      break;
    case "COPY":
      if (words.some((word) => SECRET_FILES.test(word.replace(/^[["',]+|["',\]]+$/g, "")))) {
        report.high("image.secret-file", place, "机密文件被复制进镜像", "a file of secrets is copied into the image");
      }
      break;
    case "ENV":
    case "ARG":
      for (const name of namesOf(one)) {
        if (!SECRET.test(name) || PLACE.test(name)) continue;
        report.high("image.secret", `${place} ${name}`, "机密留在镜像的历史里；应挂载文件", "a secret stays in the image's history: mount a file instead");
      }
      break;
    case "RUN":
      if (/\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(ba|da|z)?sh\b/.test(one.rest)) {
        report.high("image.piped", place, "下载的内容直接交给 shell 执行", "what is downloaded goes straight into a shell");
      }
      if (/\bchmod\s+(-R\s+)?(0?777|a\+rwx|o\+w)\b/.test(one.rest)) {
        report.high("image.writable", place, "文件对所有用户可写", "files may be written by everybody");
      }
      break;
  }
}

/** `NAME=value NAME="a b"`, and the old `NAME value`. */
function namesOf(one) {
  const pairs = [...one.rest.matchAll(/(?:^|\s)(\w+)=/g)].map((found) => found[1]);
  return pairs.length > 0 ? pairs : [/^\w*/.exec(one.rest)[0]];
}

/** Whether other stages stand on it or copy from it; every other one is an image that may be run. */
function isMaterial(stages, stage) {
  const names = [stage.name, String(stages.indexOf(stage))];
  return stages.slice(stages.indexOf(stage) + 1).some((later) => {
    const copies = later.instructions.map((one) => /--from=(\S+)/.exec(one.rest)?.[1]?.toLowerCase());
    return names.some((name) => name !== null && (later.base.toLowerCase() === name || copies.includes(name)));
  });
}

function lookAtImage(file, stages, stage) {
  const place = (one) => `${file}:${one?.line ?? stage.line}`;
  const user = last(stages, stage, "USER");
  if (!user || /^["']?(root|0)["']?(:|$)/i.test(user.rest)) {
    report.high("image.root", place(user), "镜像以 root 运行", "the image runs as root");
  }
  const health = last(stages, stage, "HEALTHCHECK");
  if (!health || /^none$/i.test(health.rest)) {
    report.high("image.health", place(health), "镜像没有 HEALTHCHECK", "the image has no HEALTHCHECK");
  }
}

function lookAt(file) {
  // A link leads out of the commit.
  if (lstatSync(join(copy, file)).isSymbolicLink()) {
    report.unknown("image.link", `${file} 是符号链接`, `${file} is a link`);
    return;
  }
  const stages = stagesOf(instructionsOf(readFileSync(join(copy, file), "utf8")));
  if (stages.length === 0) {
    report.unknown("image.file", `${file} 里没有 FROM`, `${file} has no FROM`);
    return;
  }
  for (const stage of stages) {
    const earlier = stages.slice(0, stages.indexOf(stage));
    lookAtBase(file, earlier, stage.base, stage.line);
    for (const one of stage.instructions) {
      lookAtInstruction(file, one);
      const from = one.name === "COPY" ? /--from=(\S+)/.exec(one.rest)?.[1] : undefined;
      if (from) lookAtBase(file, earlier, from, one.line);
    }
  }
  for (const stage of stages.filter((one) => !isMaterial(stages, one))) lookAtImage(file, stages, stage);
  report.good(`${file}：已检查 ${stages.length} 个阶段`, `${file}: looked at ${stages.length} stages`);
}

function tellHadolint(found) {
  for (const one of found) {
    const place = `${one.file}:${one.line}`;
    const words = [`hadolint ${one.level}`, one.message];
    if (one.code === HADOLINT_PARSE) {
      report.unknown("hadolint", `${place} 读不懂`, `${place} cannot be parsed`);
    } else if (isAccepted(readFileSync(join(copy, one.file), "utf8").split("\n"), one.line, ACCEPTS, one.code)) {
      report.lower(one.code, place, "文件中已标明接受", `accepted in the file: ${one.message}`);
    } else if (one.level === "error") {
      report.high(one.code, place, ...words);
    } else {
      report.lower(one.code, place, ...words);
    }
  }
}

function tellLayers() {
  if (layers === "") {
    const zh = "镜像层的漏洞未扫描：没有设置 IMAGE_SCAN_COMMAND";
    const en = "the layers were not scanned for vulnerabilities: IMAGE_SCAN_COMMAND is not set";
    report.note(zh, en);
    report.closing(zh, en);
    return;
  }
  const [head, ...lines] = readFileSync(layers, "utf8").trim().split("\n");
  const [, high, lower] = head.split(" ").map(Number);
  for (const line of lines) report.note(plain(line), "layers");
  for (let count = 0; count < high; count++) report.high("image.layers", lines[count] ?? "…", "镜像层中的漏洞", "a vulnerability in the layers");
  for (let count = 0; count < lower; count++) report.lower("image.layers", "…", "镜像层中较低的漏洞", "a lower vulnerability in the layers");
  report.good("镜像层已由 IMAGE_SCAN_COMMAND 扫描", "the layers were scanned by IMAGE_SCAN_COMMAND");
}

const hadolint = existsSync(join(scratch, "hadolint.json")) ? JSON.parse(readFileSync(join(scratch, "hadolint.json"), "utf8")) : null;
if (Array.isArray(hadolint)) tellHadolint(hadolint);
else report.unknown("hadolint", "hadolint 没有给出报告", "hadolint gave no report");
report.figure("files", files.length, "文件", "files");
for (const file of files) lookAt(file);
tellLayers();
report.end();
