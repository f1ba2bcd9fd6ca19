// Reads what `nginx -T` prints, on standard input, for check-balancer.sh: whether the balancer asks the pair
// for its health. The first line of the answer is the verdict, a finding stands on each line after it:
//   read | unreadable WHY
//   good WORDS | bad WORDS
// Arguments: the health address, the upstream file, then blue's and green's port of server and of web.
"use strict";

const { realpathSync } = require("node:fs");
const { dirname, resolve } = require("node:path");

const DEPTH_MAX = 20;
const DIRECTIVES_MAX = 100_000;
const FILE_MARK = /^# configuration file (.+):$/;

class Unreadable extends Error {}

const [healthUrl, upstreamFile, ...ports] = process.argv.slice(2);
const [blueServer, greenServer, blueWeb, greenWeb] = ports;
const findings = [];
const good = (words) => findings.push(`good ${words}`);
const bad = (words) => findings.push(`bad ${words}`);

/** The text of every file, by the name under which nginx read it; the main one is the first. */
function filesOf(dump) {
  const files = new Map();
  let lines;
  for (const line of dump.split("\n")) {
    const mark = FILE_MARK.exec(line);
    if (mark) files.set(mark[1], (lines = []));
    else lines?.push(line);
  }
  if (files.size === 0) throw new Unreadable("nginx -T has printed no configuration");
  return new Map([...files].map(([name, lines]) => [name, lines.join("\n")]));
}

/** Words, `;`, `{` and `}`. A quoted word is never one of the latter. */
function* tokensOf(text) {
  const rule = /\s+|#[^\n]*|"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|([;{}])|((?:\\[^]|\$\{[^}]*\}|[^\s;{}])+)/gy;
  while (rule.lastIndex < text.length) {
    const at = rule.lastIndex;
    const token = rule.exec(text);
    if (!token) throw new Unreadable(`not understood: ${text.slice(at, at + 40)}`);
    const quoted = token[1] ?? token[2];
    if (quoted !== undefined) yield { word: quoted.replace(/\\(["'\\])/g, "$1") };
    else if (token[3]) yield { mark: token[3] };
    else if (token[4]) yield { word: token[4] };
  }
}

/** Directives: their words, and for a block what stands in it. */
function parse(text, file) {
  const root = [];
  const open = [root];
  let words = [];
  for (const { word, mark } of tokensOf(text)) {
    if (word !== undefined) {
      words.push(word);
      continue;
    }
    if (mark === "}") {
      if (open.length === 1 || words.length > 0) throw new Unreadable(`braces do not match in ${file}`);
      open.pop();
      continue;
    }
    const directive = { name: words[0] ?? "", words: words.slice(1), file, block: mark === "{" ? [] : undefined };
    open.at(-1).push(directive);
    if (directive.block) open.push(directive.block);
    words = [];
  }
  if (open.length !== 1) throw new Unreadable(`braces do not match in ${file}`);
  return root;
}

function globRule(pattern) {
  const escaped = pattern.replace(/[.+^${}()|\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\*/g, "[^/]*").replace(/\?/g, "[^/]")}$`);
}

/** Every `include` replaced by what it includes. */
function expand(directives, files, folder, depth = 0) {
  if (depth > DEPTH_MAX) throw new Unreadable("files include each other");
  return directives.flatMap((directive) => {
    if (directive.name === "include" && directive.words.length === 1) {
      const rule = globRule(resolve(folder, directive.words[0]));
      const names = [...files.keys()].filter((name) => rule.test(name)).sort();
      return names.flatMap((name) => expand(files.get(name), files, folder, depth + 1));
    }
    if (!directive.block) return [directive];
    return [{ ...directive, block: expand(directive.block, files, folder, depth + 1) }];
  });
}

const named = (directives, name) => directives.filter((directive) => directive.name === name);

function sameFile(one, other) {
  const real = (path) => {
    try {
      return realpathSync(path);
    } catch {
      return resolve(path);
    }
  };
  return real(one) === real(other);
}

/** The colour that an upstream names; a finding where it is not one of the pair. */
function checkUpstream(http, name, [blue, green]) {
  const found = named(http, "upstream").filter((upstream) => upstream.words[0] === name);
  if (found.length === 0) {
    bad(`没有 upstream ${name} / there is no upstream ${name}`);
    return undefined;
  }
  const [upstream] = found;
  if (!sameFile(upstream.file, upstreamFile)) {
    bad(`upstream ${name} 不在 ${upstreamFile}，流量切换改不到它 / is in ${upstream.file}, which no switch rewrites`);
  }
  const servers = named(upstream.block ?? [], "server").map((server) => server.words[0]);
  const colours = servers.map((server) => {
    if (server === `127.0.0.1:${blue}`) return "blue";
    return server === `127.0.0.1:${green}` ? "green" : undefined;
  });
  if (servers.length !== 1 || colours[0] === undefined) {
    const is = servers.join(" ") || "-";
    bad(`upstream ${name} 应指向 127.0.0.1:${blue} 或 :${green} 之一 / should name one of the pair, names ${is}`);
    return undefined;
  }
  good(`upstream ${name} → ${servers[0]} (${colours[0]})`);
  return colours[0];
}

/** `address:port` of a `listen`; the address is empty where it is every one. */
function listenOf(words) {
  const [text = "80"] = words;
  const match = /^(?:(\[[^\]]*\]|[^:]*):)?(\d+)$/.exec(text);
  if (match) {
    const address = match[1] ?? "";
    return { address: ["*", "0.0.0.0", "[::]"].includes(address) ? "" : address, port: match[2] };
  }
  return text.startsWith("unix:") ? undefined : { address: text, port: "80" };
}

/** How well a server's name fits a host: larger is better, 0 does not. */
function nameFits(names, host) {
  const fits = names.map((name) => {
    if (name === host) return 4;
    if (name.startsWith("*.") && host.endsWith(name.slice(1))) return 3;
    if (name.endsWith(".*") && host.startsWith(name.slice(0, -1))) return 2;
    return name.startsWith("~") && regex(name.slice(1), "").test(host) ? 1 : 0;
  });
  return Math.max(0, ...fits);
}

function regex(source, flags) {
  try {
    return new RegExp(source.replace(/\(\?P</g, "(?<"), flags);
  } catch {
    throw new Unreadable(`a regular expression that is not understood: ${source}`);
  }
}

/** The server that nginx chooses for an address and a host. */
function serverFor(http, url) {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const own = url.hostname === "localhost" ? ["localhost", "127.0.0.1", "[::1]"] : [url.hostname];
  const all = named(http, "server").flatMap((server) => {
    const listens = named(server.block ?? [], "listen");
    const lines = listens.length > 0 ? listens.map((listen) => listen.words) : [["80"]];
    return lines.flatMap((words) => {
      const listen = listenOf(words);
      return listen?.port === port ? [{ server, ...listen, isDefault: words.includes("default_server") }] : [];
    });
  });
  const isAddress = /^[\d.]+$|^\[/.test(url.hostname) || url.hostname === "localhost";
  const exact = isAddress ? all.filter((one) => own.includes(one.address)) : all;
  const those = exact.length > 0 ? exact : all.filter((one) => one.address === "");
  const fits = (one) => nameFits(named(one.server.block, "server_name").flatMap((line) => line.words), url.hostname);
  const best = Math.max(0, ...those.map(fits));
  const chosen = best > 0 ? those.find((one) => fits(one) === best) : (those.find((one) => one.isDefault) ?? those[0]);
  return chosen?.server;
}

/** The location that nginx chooses for a path. */
function locationFor(block, path) {
  const locations = named(block, "location").map((location) => {
    const [first, second] = location.words;
    return second === undefined ? { location, how: "", what: first } : { location, how: first, what: second };
  });
  const exact = locations.find((one) => one.how === "=" && one.what === path);
  if (exact) return exact.location;
  const prefixes = locations.filter((one) => ["", "^~"].includes(one.how) && path.startsWith(one.what));
  const longest = prefixes.sort((one, other) => other.what.length - one.what.length)[0];
  const inner = longest && locationFor(longest.location.block ?? [], path);
  if (longest?.how !== "^~") {
    const rules = locations.filter((one) => one.how === "~" || one.how === "~*");
    const hit = rules.find((one) => regex(one.what, one.how === "~*" ? "i" : "").test(path));
    if (hit) return locationFor(hit.location.block ?? [], path) ?? hit.location;
  }
  return inner ?? longest?.location;
}

function checkLocation(http, url) {
  const server = serverFor(http, url);
  if (!server) {
    bad(`没有 server 监听 HEALTH_URL 的端口 / no server listens where HEALTH_URL points: ${url.host}`);
    return;
  }
  const location = locationFor(server.block, url.pathname);
  if (!location) {
    bad(`没有匹配 ${url.pathname} 的 location / no location for it`);
    return;
  }
  const words = `location ${location.words.join(" ")}`;
  const to = named(location.block ?? [], "proxy_pass")[0]?.words[0] ?? "-";
  if (/^https?:\/\/neostock_server(\/.*)?$/.test(to)) good(`${words} → ${to}`);
  else bad(`${words} 没有转发到 neostock_server / is not proxied to neostock_server: ${to}`);
}

function check(dump) {
  const texts = filesOf(dump);
  const files = new Map([...texts].map(([name, text]) => [name, parse(text, name)]));
  const [main] = files.keys();
  const root = expand(files.get(main), files, dirname(main));
  if (root.length > DIRECTIVES_MAX) throw new Unreadable("the configuration is too large");
  const http = named(root, "http").flatMap((block) => block.block ?? []);
  if ([...files.keys()].some((name) => sameFile(name, upstreamFile))) {
    good(`nginx 包含 ${upstreamFile} / includes it`);
  } else {
    bad(`nginx 没有包含 ${upstreamFile} / nginx does not include it`);
  }
  const server = checkUpstream(http, "neostock_server", [blueServer, greenServer]);
  const web = checkUpstream(http, "neostock_web", [blueWeb, greenWeb]);
  if (server && web && server !== web) {
    bad(`两个 upstream 指向不同的颜色 / the two name different colours: ${server}, ${web}`);
  }
  checkLocation(http, new URL(healthUrl));
}

try {
  check(await Bun.stdin.text());
  console.log(["read", ...findings].join("\n"));
} catch (error) {
  console.log(`unreadable ${String(error?.message ?? error).replace(/\s+/g, " ").slice(0, 300)}`);
}
