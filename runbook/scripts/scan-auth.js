// Asks every route of a service as everybody who may or may not, for scan-auth.sh, and compares the answers with the
// service's own table of who may what. Nothing but what it has made itself is changed.
import { readFileSync } from "node:fs";
import { Report } from "./scan-report.js";
import {
  accountIn, accountOf, inventAccount, maySignUp, random, secretIn, Service, SESSION, SIGN_IN, SIGN_OUT, SIGN_UP, signIn, Unreachable,
} from "./scan-http.js";

const NEEDS = ["public", "member", "session", "admin", "key", "local"];
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const ROUTES_MAX = 500;
const ELSEWHERE = "https://neostock-scan.invalid";
const PROCEDURES = "/api/trpc/";
const WATCHLIST = `${PROCEDURES}watchlist`;
// Whoever stands behind the service may be away: that it was asked shows that the caller was let through.
const AWAY = [502, 503, 504];
// Who is who: what the table's words let through, and how the others are turned away.
const NOBODY = { public: "in", member: 401, session: 401, admin: 401, key: 401, local: "out" };
const PERSON = { public: "in", member: "in", session: "in", admin: 403, key: 403, local: "out" };
const ADMIN = { ...PERSON, admin: "in" };
const PROGRAM = { public: "in", member: "in", session: 403, admin: 403, key: "in", local: "out" };
// A credential that is not valid may be refused everywhere.
const FALSE_ONE = { ...NOBODY, public: "any" };

const [, , verdict, base, tableFile] = process.argv;
const report = new Report(verdict);
const service = new Service(base);

/** The service's own table; what cannot be right is found before anybody is asked. */
function tableOf() {
  let table;
  try {
    table = JSON.parse(readFileSync(tableFile, "utf8"));
  } catch {
    report.unknown("auth.table", "权限表不是 JSON", "the access table is not JSON");
    return [];
  }
  const routes = Array.isArray(table?.routes) ? table.routes : [];
  const isRoute = (one) => METHODS.includes(one?.method) && /^\/[\w./~-]*$/.test(one?.path ?? "");
  if (routes.length === 0 || routes.length > ROUTES_MAX || !routes.every(isRoute)) {
    report.unknown("auth.table", "权限表里没有路由，或路由写法不对", "the access table has no routes, or they are not written as such");
    return [];
  }
  for (const route of routes) {
    report.checked();
    if (NEEDS.includes(route.need)) continue;
    report.high("auth.table", `${route.method} ${route.path}`, "这个路由不在权限表里", "this route is not in the access table");
  }
  return routes.filter((route) => NEEDS.includes(route.need));
}

/** Everybody, with what they send; whoever is missing is told. */
async function everybody() {
  const people = [{ name: "匿名 / anonymous", may: NOBODY, headers: {} }];
  const missing = (name, zh, en) => report.unknown(`auth.${name}`, `缺少身份：${zh}`, `somebody is missing: ${en}`);

  const accounts = { user: await accountOf(service, "SCAN_USER_FILE"), other: await accountOf(service, "SCAN_OTHER_FILE") };
  const sessions = {};
  for (const [name, account] of Object.entries(accounts)) {
    sessions[name] = account && (await signIn(service, account));
    if (sessions[name]) people.push({ name: name === "user" ? "用户 / user" : "另一用户 / other user", may: PERSON, headers: sessions[name] });
    else missing(name, "设置 SCAN_USER_FILE 和 SCAN_OTHER_FILE，或 SCAN_SIGN_UP=yes", "set SCAN_USER_FILE and SCAN_OTHER_FILE, or SCAN_SIGN_UP=yes");
  }
  const admin = accountIn("SCAN_ADMIN_FILE");
  const adminSession = admin && (await signIn(service, admin));
  if (adminSession) people.push({ name: "管理员 / admin", may: ADMIN, headers: adminSession });
  else missing("admin", "设置 SCAN_ADMIN_FILE，且能登录", "set SCAN_ADMIN_FILE to one who can sign in");

  for (const [variable, name, may] of [
    ["SCAN_KEY_FILE", "API 密钥 / API key", PROGRAM],
    ["SCAN_REVOKED_KEY_FILE", "已吊销的密钥 / revoked key", FALSE_ONE],
  ]) {
    const key = secretIn(variable);
    if (key) people.push({ name, may, headers: { "x-api-key": key } });
    else missing("key", `设置 ${variable}`, `set ${variable}`);
  }
  people.push({ name: "编造的密钥 / invented key", may: FALSE_ONE, headers: { "x-api-key": `nsk_${random(21)}A` } });
  if (accounts.user && sessions.user) await addFalseSessions(people, accounts.user, sessions.user);
  return { people: people.map((person) => ({ ...person, headers: headersOf(person.headers) })), accounts, sessions };
}

function headersOf({ cookie, "x-api-key": key }) {
  return { ...(cookie ? { cookie } : {}), ...(key ? { "x-api-key": key } : {}) };
}

/** A session that has ended, one whose letters were changed, and one that was invented. */
async function addFalseSessions(people, account, session) {
  const second = await signIn(service, account);
  if (!second) {
    report.unknown("auth.session", "测试账号不能再次登录", "the account to try could not sign in again");
    return;
  }
  report.checked();
  if (second.cookie === session.cookie) {
    report.high("auth.session", SIGN_IN, "两次登录得到同一个会话", "two sign-ins give the same session");
  }
  const out = await service.post(SIGN_OUT, {}, { cookie: second.cookie });
  report.checked();
  if (out.status >= 300) report.high("auth.session", SIGN_OUT, `登出失败：${out.status}`, `signing out failed: ${out.status}`);
  people.push({ name: "已登出的会话 / ended session", may: FALSE_ONE, headers: second });
  people.push({ name: "改动过的会话 / forged session", may: FALSE_ONE, headers: { cookie: forged(session.cookie) } });
  const invented = session.cookie.replace(/=[^;]*/g, () => `=${random(32)}`);
  people.push({ name: "编造的会话 / invented session", may: FALSE_ONE, headers: { cookie: invented } });
}

/** Each value with its first letter another, so that neither token nor signature is right. */
function forged(cookie) {
  return cookie.replace(/=(.)/g, (_, letter) => `=${letter === "a" ? "b" : "a"}`);
}

function isAsExpected(status, expected) {
  switch (expected) {
    case "in":
      return ![401, 403, 404, 405].includes(status) && (status < 500 || AWAY.includes(status));
    case "out":
      return status === 401 || status === 403 || status === 404;
    case "any":
      return status < 500;
    default:
      return status === expected;
  }
}

/** Without input: whoever is let through is told that it is missing, and nothing is done. */
function call(route, headers) {
  if (route.method === "GET" || route.method === "DELETE") return service.ask(route.path, { method: route.method, headers });
  return service.ask(route.path, { method: route.method, headers: { "content-type": "application/json", ...headers }, body: "{}" });
}

async function matrix(routes, people) {
  for (const person of people) {
    let good = 0;
    // Signing out would end the session that the others are asked with.
    const asked = routes.filter((route) => route.path !== SIGN_OUT || !person.headers.cookie);
    for (const route of asked) {
      const expected = person.may[route.need];
      const { status } = await call(route, person.headers);
      report.checked();
      if (isAsExpected(status, expected)) good += 1;
      else {
        const words = { in: ["放行", "let through"], out: ["拒绝", "turned away"], any: ["4xx", "no failure"] }[expected] ?? [expected, expected];
        report.high("auth.matrix", `${route.method} ${route.path} ${person.name}`, `应${words[0]}，却是 ${status}`, `expected ${words[1]}, not ${status}`);
      }
    }
    report.note(`${person.name}：${good}/${asked.length} 个路由与权限表一致`, "routes as in the table");
  }
}

/** What changes something is not done by a link, nor by a page from elsewhere. */
async function elsewhere(routes, headers) {
  for (const route of routes.filter((one) => one.method === "POST" && ["session", "admin", "member"].includes(one.need))) {
    const place = `POST ${route.path}`;
    const fromElsewhere = await service.post(route.path, {}, { ...headers, origin: ELSEWHERE });
    report.checked();
    if (fromElsewhere.status !== 403) report.high("auth.origin", place, `别的网站能代用户请求：${fromElsewhere.status}`, `a page from elsewhere may ask for a user: ${fromElsewhere.status}`);
    if (!route.path.startsWith(PROCEDURES)) continue;
    const byLink = await service.ask(route.path, { headers });
    report.checked();
    if (byLink.status !== 405) report.high("auth.link", `GET ${route.path}`, `修改可由链接触发：${byLink.status}`, `a link may change something: ${byLink.status}`);
  }
}

/** One person's list is no other's. */
async function ownership(routes, { user, other }) {
  const has = (name) => routes.some((route) => route.path === `${WATCHLIST}.${name}`);
  if (!has("list") || !has("add") || !has("remove")) return;
  const quotes = await service.ask(`${PROCEDURES}quotes.list?input=%7B%7D`);
  const symbols = [...quotes.text.matchAll(/"symbol":"([\w.]+)"/g)].map((found) => found[1]);
  const holds = async (session, symbol) => (await service.ask(`${WATCHLIST}.list`, { headers: { cookie: session.cookie } })).text.includes(`"${symbol}"`);
  const change = (name, session, symbol) => service.post(`${WATCHLIST}.${name}`, { symbol }, { cookie: session.cookie });
  let free = null;
  for (const symbol of symbols) {
    if (free === null && !(await holds(user, symbol)) && !(await holds(other, symbol))) free = symbol;
  }
  if (free === null || (await change("add", user, free)).status !== 200) {
    report.unknown("auth.owner", "没有可用来试验的自选代码", "there is no symbol to try the watchlist with");
    return;
  }
  const isSeen = await holds(other, free);
  await change("remove", other, free);
  const isLeft = await holds(user, free);
  await change("remove", user, free);
  report.checked(2);
  if (isSeen) report.high("auth.owner", `${WATCHLIST}.list`, "能看到别人的自选", "another person's list is seen");
  if (!isLeft) report.high("auth.owner", `${WATCHLIST}.remove`, "能删除别人的自选", "another person's list is changed");
}

async function signIns(account) {
  const wrong = await service.post(SIGN_IN, { email: account.email, password: random() });
  const nobody = await service.post(SIGN_IN, { email: inventAccount().email, password: random() });
  report.checked(2);
  if (wrong.status !== 401 || wrong.cookies.length > 0) report.high("auth.password", SIGN_IN, `错误口令应为 401，却是 ${wrong.status}`, `a wrong password must give 401, not ${wrong.status}`);
  if (wrong.status !== nobody.status || wrong.text !== nobody.text) report.high("auth.enumeration", SIGN_IN, "从回答可以看出账号是否存在", "the answer tells whether an account exists");
  if (!maySignUp()) return;
  const weak = await service.post(SIGN_UP, { email: inventAccount().email, password: "1234567", name: "scan" });
  const grand = await service.post(SIGN_UP, { ...inventAccount(), name: "scan", role: "admin" });
  report.checked(2);
  if (weak.status < 400) report.high("auth.weak-password", SIGN_UP, "接受 7 个字符的口令", "a password of 7 characters is taken");
  if (grand.status < 300) {
    const session = await service.ask(SESSION, { headers: { cookie: grand.cookies.map((one) => one.split(";")[0]).join("; ") } });
    if (/"role":\s*"admin"/.test(session.text)) report.high("auth.role", SIGN_UP, "注册时可以自封为管理员", "whoever signs up may say that he is an administrator");
  }
}

async function scan() {
  const routes = tableOf();
  report.figure("routes", routes.length, "路由", "routes");
  if (routes.length === 0) return;
  const { people, accounts, sessions } = await everybody();
  report.figure("identities", people.length, "身份", "identities");
  await matrix(routes, people);
  if (sessions.user) await elsewhere(routes, headersOf(sessions.user));
  if (sessions.user && sessions.other) await ownership(routes, sessions);
  if (accounts.user) await signIns(accounts.user);
}

try {
  await scan();
} catch (error) {
  if (!(error instanceof Unreachable)) throw error;
  report.unknown("auth.service", `服务没有回答 ${error.message}`, `the service did not answer ${error.message}`);
}
report.end();
