// Asks a running service as somebody with bad intentions would, for scan-api.sh. Nothing is sent that a service
// could be hurt by: it must refuse, and say little.
import { Report } from "./scan-report.js";
import { accountOf, inventAccount, lacking, random, Service, SIGN_IN, signIn, Unreachable } from "./scan-http.js";

const HSTS_S_MIN = 15_552_000;
const LARGE_BYTES = 16 * 1_048_576;
const LONG_CHARS = 1_048_576;
const DEPTH = 20_000;
const ATTEMPTS_MAX = 30;
const ELSEWHERE = "https://neostock-scan.invalid";
const PROCEDURES = "/api/trpc";
const READING = `${PROCEDURES}/quotes.list`;
const REFERRERS = ["no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"];
const INSIDE = [
  [/^\s*at .+:\d+:\d+\)?\s*$/m, "stack"],
  [/\\n\s+at [^"]+:\d+:\d+/, "stack"],
  [/node_modules|\/(home|srv|root|usr|opt|tmp)\/[\w.-]+\/[\w./-]+/, "path"],
  [/PostgresError|SQLSTATE|syntax error at or near|ECONNREFUSED|relation "[^"]+" does not exist/, "database"],
];

const [, , verdict, base] = process.argv;
const report = new Report(verdict);
const service = new Service(base);

/** One line for each check. */
function expect(isGood, rule, place, zh, en) {
  // Of what is in order, the name of the check says enough.
  if (isGood) return report.good(`${rule}  ${place}`, "OK");
  report.checked();
  report.high(rule, place, zh, en);
}

async function headers() {
  for (const path of ["/", "/health", READING, `/api/${random(6)}`]) {
    const { headers: told } = await service.ask(path);
    const place = `GET ${path.startsWith("/api/") && path !== READING ? "/api/(unknown)" : path}`;
    const csp = told.get("content-security-policy") ?? "";
    expect(told.get("x-content-type-options")?.toLowerCase() === "nosniff", "api.nosniff", place, "缺少 X-Content-Type-Options: nosniff", "X-Content-Type-Options: nosniff is missing");
    expect(csp !== "" && !/unsafe-(inline|eval)/.test(csp), "api.csp", place, "缺少 Content-Security-Policy，或允许 unsafe-inline/unsafe-eval", "Content-Security-Policy is missing, or allows unsafe-inline or unsafe-eval");
    const frame = told.get("x-frame-options")?.toLowerCase() ?? "";
    expect(/frame-ancestors/.test(csp) || ["deny", "sameorigin"].includes(frame), "api.frame", place, "页面可被嵌入别人的页面：缺少 frame-ancestors 或 X-Frame-Options", "pages can be framed: frame-ancestors or X-Frame-Options is missing");
    expect(REFERRERS.includes(told.get("referrer-policy")?.toLowerCase() ?? ""), "api.referrer", place, "缺少严格的 Referrer-Policy", "a strict Referrer-Policy is missing");
    const banner = `${told.get("server") ?? ""}${told.get("x-powered-by") ?? ""}`;
    expect(!/\d/.test(told.get("server") ?? "") && !told.has("x-powered-by"), "api.banner", place, "回答里有软件名和版本", `the answer names software and version (${banner})`);
    if (service.isTls) {
      const age = Number(/max-age=(\d+)/i.exec(told.get("strict-transport-security") ?? "")?.[1] ?? 0);
      expect(age >= HSTS_S_MIN, "api.hsts", place, "缺少 Strict-Transport-Security，或期限太短", "Strict-Transport-Security is missing or too short");
    }
  }
  if (!service.isTls) report.note("不是 https，未检查 HSTS", "not https: HSTS was not looked at");
  const metrics = await service.ask("/metrics");
  if (metrics.status === 200 && /^# (TYPE|HELP) /m.test(metrics.text)) {
    report.lower("api.metrics", "GET /metrics", "指标可从这个地址读到", "metrics can be read at this address");
  }
}

async function refusals() {
  const remove = await service.ask("/health", { method: "DELETE" });
  expect(remove.status === 405, "api.method", "DELETE /health", `应为 405，却是 ${remove.status}`, `405 was expected, not ${remove.status}`);
  const trace = await service.raw("TRACE /health HTTP/1.1");
  expect(trace.status >= 400 && trace.status < 600, "api.method", "TRACE /health", `应被拒绝，却是 ${trace.status}`, `must be refused, was ${trace.status}`);
  for (const name of [`no.such-${random(4)}`, "__proto__", "constructor"]) {
    const { status } = await service.ask(`${PROCEDURES}/${name}`);
    expect(status === 404, "api.unknown", `GET ${PROCEDURES}/${name.startsWith("no.") ? "(unknown)" : name}`, `应为 404，却是 ${status}`, `404 was expected, not ${status}`);
  }
  const large = await service.raw(`POST ${service.prefix}${SIGN_IN} HTTP/1.1`, ["Content-Type: application/json", `Content-Length: ${LARGE_BYTES}`], LARGE_BYTES);
  expect(large.status === 413, "api.body-size", `POST ${SIGN_IN}`, `16 MiB 的请求体应为 413，却是 ${large.status}`, `413 was expected for 16 MiB, not ${large.status}`);
  const body = JSON.stringify({ email: inventAccount().email, password: random() });
  for (const type of ["text/plain", "application/xml", "application/x-www-form-urlencoded"]) {
    const { status } = await service.ask(SIGN_IN, { method: "POST", headers: { "content-type": type }, body });
    expect([400, 415, 422].includes(status), "api.content-type", `POST ${SIGN_IN} ${type}`, `应拒绝这种类型，却是 ${status}`, `this type must be refused, was ${status}`);
  }
}

async function malformed() {
  const bodies = {
    "half of JSON": '{"email":',
    "no body": "",
    "null": "null",
    "a list": "[]",
    "wrong types": '{"email":1,"password":{"a":[]}}',
    "NUL": '{"email":"\\u0000@neostock.invalid","password":"\\u0000"}',
    "no UTF-8": new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
    "__proto__": '{"__proto__":{"role":"admin"},"email":"a","password":"b"}',
    "deep": `${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}`,
    "1 MB": JSON.stringify({ email: "a".repeat(LONG_CHARS), password: "b" }),
  };
  for (const [name, body] of Object.entries(bodies)) {
    const { status } = await service.post(SIGN_IN, body);
    expect(status >= 400 && status < 500, "api.malformed", `POST ${SIGN_IN} (${name})`, `应为 4xx，却是 ${status}`, `4xx was expected, not ${status}`);
  }
  const inputs = {
    "half of JSON": "%7B",
    "a list": encodeURIComponent("[]"),
    "SQL": encodeURIComponent(JSON.stringify({ symbol: "' or 1=1 --" })),
    "NUL": encodeURIComponent(JSON.stringify({ symbol: "\u0000" })),
    "long": encodeURIComponent(JSON.stringify({ symbol: "A".repeat(6_000) })),
    "deep": encodeURIComponent("[".repeat(500) + "]".repeat(500)),
  };
  for (const [name, input] of Object.entries(inputs)) {
    const { status } = await service.ask(`${PROCEDURES}/quotes.get?input=${input}`);
    expect(status >= 400 && status < 500, "api.malformed", `GET ${PROCEDURES}/quotes.get (${name})`, `应为 4xx，却是 ${status}`, `4xx was expected, not ${status}`);
  }
}

async function paths() {
  for (const path of ["/../../../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2f..%2fetc%2fpasswd", "/static/..%5c..%5c..%5cetc%5cpasswd", "/%00"]) {
    const { status, text } = await service.raw(`GET ${path} HTTP/1.1`);
    expect(status < 500 && !/root:.*:0:0:/.test(text), "api.path", `GET ${path}`, `路径穿越：回答 ${status}`, `a path that leads outside was answered with ${status}`);
  }
  for (const path of ["/.env", "/.git/config", "/package.json", "/bun.lock"]) {
    const { status, text } = await service.ask(path);
    const isShown = status === 200 && /^\s*\{|\[core\]|^[A-Z_]+=/m.test(text) && !/^\s*<!doctype/i.test(text);
    expect(!isShown, "api.path", `GET ${path}`, "服务自己的文件可以被读取", "a file of the service can be read");
  }
}

async function origins() {
  for (const origin of [ELSEWHERE, "null"]) {
    for (const [method, more] of [["GET", {}], ["OPTIONS", { "access-control-request-method": "POST", "access-control-request-headers": "content-type" }]]) {
      const { headers: told } = await service.ask(READING, { method, headers: { origin, ...more } });
      const allowed = told.get("access-control-allow-origin");
      const withCredentials = told.get("access-control-allow-credentials") === "true";
      expect(allowed !== origin && !(allowed === "*" && withCredentials), "api.cors", `${method} ${READING} (Origin: ${origin})`, "别的来源可以读取回答", "another origin may read the answers");
    }
  }
}

async function cookies() {
  const account = await accountOf(service, "SCAN_USER_FILE");
  if (!account) {
    report.unknown("api.cookie", "没有测试账号：设置 SCAN_USER_FILE，或 SCAN_SIGN_UP=yes", "no account to try: set SCAN_USER_FILE, or SCAN_SIGN_UP=yes");
    return;
  }
  const session = await signIn(service, account);
  if (!session) {
    report.unknown("api.cookie", "测试账号无法登录", "the account to try could not sign in");
    return;
  }
  for (const cookie of session.cookies) {
    const lacks = lacking(cookie, service.isTls);
    expect(lacks === "", "api.cookie", cookie.split("=")[0], `Cookie 缺少 ${lacks}`, `the cookie lacks ${lacks}`);
  }
  if (!service.isTls) report.note("不是 https，未检查 Cookie 的 Secure", "not https: Secure was not looked at");
}

/** Last: what it uses up is used up for a while. Only for an address that nobody has. */
async function rateLimit() {
  const { email } = inventAccount();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const { status } = await service.post(SIGN_IN, { email, password: random() });
    if (status !== 429) continue;
    report.good(`api.rate-limit POST ${SIGN_IN}：第 ${attempt} 次被拒绝`, `refused at attempt ${attempt}`);
    const told = { "x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9", forwarded: "for=203.0.113.9" };
    const again = await service.post(SIGN_IN, { email, password: random() }, told);
    expect(again.status === 429, "api.rate-limit", `POST ${SIGN_IN} (X-Forwarded-For)`, "伪造来源地址就能绕过限制", "the limit is got around by a forged address");
    return;
  }
  expect(false, "api.rate-limit", `POST ${SIGN_IN}`, `${ATTEMPTS_MAX} 次错误登录都没有被限制`, `${ATTEMPTS_MAX} failed sign-ins were not limited`);
}

function insides() {
  const told = new Set();
  for (const { place, text } of service.refusals) {
    for (const [pattern, what] of INSIDE) {
      if (!pattern.test(text) || told.has(`${place} ${what}`)) continue;
      told.add(`${place} ${what}`);
      report.high("api.inside", place, "错误回答里有内部细节（堆栈、路径或数据库）", `an error tells of the inside (${what})`);
    }
  }
  report.checked();
  if (told.size === 0) report.note(`${service.refusals.length} 个错误回答里没有内部细节`, `${service.refusals.length} errors tell nothing of the inside`);
}

async function scan() {
  const { status } = await service.ask("/health");
  if (status >= 500) {
    report.unknown("api.service", `服务不正常：/health 回答 ${status}`, `the service is ill: /health answers ${status}`);
    return;
  }
  for (const part of [headers, refusals, malformed, paths, origins, cookies, rateLimit]) await part();
  insides();
}

try {
  await scan();
} catch (error) {
  if (!(error instanceof Unreachable)) throw error;
  report.unknown("api.service", `服务没有回答 ${error.message}`, `the service did not answer ${error.message}`);
}
report.end();
