// Looks for scan-crypto.sh at how data is protected: TLS as the openssl on this machine negotiates it, what the
// database says of its connection and of the secrets it keeps, and the modes of backups. Of the database only counts
// are read. What could not be found out is never good.
import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { plain, Report } from "./scan-report.js";
import { accountOf, lacking, Service, signIn, Unreachable } from "./scan-http.js";

const HANDSHAKE_MS_MAX = 15_000;
const DAYS_LEFT_MIN = 21;
const DAY_MS = 86_400_000;
const RSA_BITS_MIN = 2_048;
const EC_BITS_MIN = 256;
const HSTS_S_MIN = 15_552_000;
// OWASP's smallest work factors.
const BCRYPT_COST_MIN = 10;
const FILES_MAX = 10_000;
const LOOPBACK = /^(localhost|127(\.\d+){3}|::1|\/.*)$/;
const WEAK = "aNULL:eNULL:EXPORT:DES:3DES:RC4:MD5:PSK:SEED:IDEA:@SECLEVEL=0";

const [, , verdict, target] = process.argv;
const report = new Report(verdict);

async function run(program, args, { input = "", env = process.env } = {}) {
  const child = Bun.spawn([program, ...args], { stdin: new Blob([input]), stdout: "pipe", stderr: "pipe", env, timeout: HANDSHAKE_MS_MAX });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, err };
}

/** One line for each check. */
function expect(isGood, rule, place, zh, en) {
  if (isGood) return report.good(`${rule}  ${place}`, "OK");
  report.checked();
  report.high(rule, place, zh, en);
}

function hello(url, more) {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const name = /^[\d.]+$|:/.test(host) ? [] : ["-servername", host];
  return run("openssl", ["s_client", "-connect", `${url.hostname}:${url.port || 443}`, ...name, ...more]);
}

/** The suite of a handshake that was made, "" of one that was refused, null where openssl could not even try. */
function suiteOf({ out, err }) {
  if (/unknown option|no protocols available|no cipher match|no ciphers available/i.test(err)) return null;
  const suite = /Cipher is (\S+)/.exec(out)?.[1] ?? "(NONE)";
  return suite === "(NONE)" ? "" : suite;
}

async function protocols(url) {
  for (const [name, option] of [["TLS 1.0", "-tls1"], ["TLS 1.1", "-tls1_1"]]) {
    const suite = suiteOf(await hello(url, [option, "-cipher", "ALL:@SECLEVEL=0"]));
    if (suite === null) report.unknown("crypto.protocol", `本机的 openssl 不能尝试 ${name}`, `the openssl here cannot try ${name}`);
    else expect(suite === "", "crypto.protocol", `${url.host} ${name}`, `仍接受过时的 ${name}`, `${name} is outdated and still accepted`);
  }
  const modern = await Promise.all(["-tls1_2", "-tls1_3"].map(async (option) => suiteOf(await hello(url, [option]))));
  expect(modern.some(Boolean), "crypto.protocol", `${url.host} TLS 1.2, 1.3`, "不接受 TLS 1.2 和 1.3", "neither TLS 1.2 nor 1.3 is accepted");
  const weak = suiteOf(await hello(url, ["-tls1_2", "-cipher", WEAK]));
  if (weak === null) report.unknown("crypto.cipher", "本机的 openssl 不能尝试弱加密套件", "the openssl here cannot try weak ciphers");
  else expect(weak === "", "crypto.cipher", url.host, `接受弱加密套件 ${weak}`, `a weak cipher is accepted: ${weak}`);
  const still = suiteOf(await hello(url, ["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"]));
  report.checked();
  if (still) report.lower("crypto.cipher", url.host, `接受没有前向保密的套件 ${still}`, `a cipher without forward secrecy is accepted: ${still}`);
}

async function certificate(url) {
  const ca = process.env.API_CA_FILE ? ["-CAfile", process.env.API_CA_FILE] : [];
  const { out } = await hello(url, ["-showcerts", ...ca]);
  const pem = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(out)?.[0];
  if (!pem) {
    report.unknown("crypto.certificate", "没有拿到证书", "no certificate was given");
    return;
  }
  const one = new X509Certificate(pem);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const left = Math.floor((Date.parse(one.validTo) - Date.now()) / DAY_MS);
  expect(left >= 0 && Date.parse(one.validFrom) <= Date.now(), "crypto.certificate", `${url.host} ${one.validTo}`, "证书已过期或尚未生效", "the certificate has expired or is not valid yet");
  report.figure("certificate_days", left, "证书剩余天数", "days left of the certificate");
  if (left >= 0 && left < DAYS_LEFT_MIN) {
    report.lower("crypto.certificate", `${url.host} ${one.validTo}`, `证书还有 ${left} 天过期`, `the certificate expires in ${left} days`);
  }
  const isNamed = /^[\d.]+$|:/.test(host) ? one.checkIP(host) : one.checkHost(host);
  expect(Boolean(isNamed), "crypto.name", url.host, "证书不是给这个主机名的", "the certificate is for another name");
  const trust = /Verify return code: (\d+) \(([^)]*)\)/.exec(out);
  // What has expired was told above.
  expect(trust?.[1] === "0" || trust?.[1] === "10", "crypto.chain", url.host, `证书链不可信（${trust?.[2] ?? "?"}）`, `the chain is not trusted (${trust?.[2] ?? "?"})`);
  await strength(url, pem);
}

async function strength(url, pem) {
  const { out } = await run("openssl", ["x509", "-noout", "-text"], { input: pem });
  const kind = /Public Key Algorithm: (\S+)/.exec(out)?.[1] ?? "?";
  const bits = Number(/Public-Key: \((\d+) bit/.exec(out)?.[1] ?? 0);
  const min = kind === "rsaEncryption" ? RSA_BITS_MIN : EC_BITS_MIN;
  expect(kind.startsWith("ED") || bits >= min, "crypto.key", url.host, `密钥太短：${kind} ${bits}`, `the key is too short: ${kind} ${bits}`);
  const signature = /Signature Algorithm: (\S+)/.exec(out)?.[1] ?? "?";
  expect(!/md5|sha1/i.test(signature), "crypto.signature", url.host, `证书签名算法过时：${signature}`, `the certificate is signed by an outdated algorithm: ${signature}`);
}

async function pages(url) {
  const service = new Service(url.href.replace(/\/$/, ""));
  try {
    const { headers } = await service.ask("/health");
    const age = Number(/max-age=(\d+)/i.exec(headers.get("strict-transport-security") ?? "")?.[1] ?? 0);
    expect(age >= HSTS_S_MIN, "crypto.hsts", url.host, "缺少 Strict-Transport-Security，或期限太短", "Strict-Transport-Security is missing or too short");
    const account = await accountOf(service, "SCAN_USER_FILE");
    const session = account && (await signIn(service, account));
    if (!session) {
      report.unknown("crypto.cookie", "没有能登录的测试账号：设置 SCAN_USER_FILE，或 SCAN_SIGN_UP=yes", "no account could sign in: set SCAN_USER_FILE, or SCAN_SIGN_UP=yes");
      return;
    }
    for (const cookie of session.cookies) {
      expect(!lacking(cookie, true).includes("Secure"), "crypto.cookie", cookie.split("=")[0], "会话 Cookie 没有 Secure", "a session's cookie is not Secure");
    }
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    report.unknown("crypto.hsts", "不能以可信的 https 询问服务", "the service cannot be asked over https that is trusted");
  }
}

async function transport() {
  const url = new URL(target);
  if (url.protocol !== "https:") {
    report.unknown("crypto.tls", "没有 TLS 地址可检查：设置 CRYPTO_URL=https://…", "there is no TLS address to look at: set CRYPTO_URL=https://…");
    return;
  }
  const first = await hello(url, []);
  if (!/CONNECTED/.test(first.out)) {
    report.unknown("crypto.tls", `连不上 ${url.host}`, `${url.host} cannot be reached`);
    return;
  }
  await protocols(url);
  await certificate(url);
  await pages(url);
}

/** Rows of one query that only reads; null where the database did not answer. Errors are not shown: they may quote rows. */
async function query(sql) {
  const env = { ...process.env, PGCONNECT_TIMEOUT: "10", PGOPTIONS: "-c default_transaction_read_only=on -c statement_timeout=10000", PGAPPNAME: "neostock-scan" };
  const { code, out } = await run("psql", ["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t", "--set=ON_ERROR_STOP=1", "--command", sql], { env });
  return code === 0 ? out.trim().split("\n").filter(Boolean).map((row) => row.split("\t")) : null;
}

async function connection() {
  const rows = await query("select ssl, coalesce(version, ''), coalesce(cipher, '') from pg_stat_ssl where pid = pg_backend_pid()");
  if (rows === null) {
    report.unknown("crypto.database", "数据库没有回答：请设置 PGHOST、PGUSER、PGDATABASE、PGPASSFILE", "the database did not answer: set PGHOST, PGUSER, PGDATABASE, PGPASSFILE");
    return false;
  }
  const host = process.env.PGHOST ?? "/";
  const [isEncrypted, version, cipher] = rows[0];
  if (isEncrypted === "t") report.good(`crypto.database  ${version} ${cipher}`, "OK");
  else if (LOOPBACK.test(host)) report.good(`crypto.database  未加密，但不离开本机（${host}）`, "not encrypted, but it does not leave this machine");
  else {
    report.checked();
    report.high("crypto.database", host, "到数据库的连接没有加密", "the connection to the database is not encrypted");
  }
  return true;
}

/** A table and a text column of it, as a variable names them; both are names and nothing else. */
function columnIn(variable, otherwise) {
  const found = /^([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)$/.exec(process.env[variable] || otherwise);
  if (!found) report.unknown("crypto.settings", `${variable} 应为 表.列`, `${variable} must be table.column`);
  return found ? { table: found[1], column: found[2] } : null;
}

async function passwords() {
  const where = columnIn("PASSWORD_COLUMN", "accounts.password");
  if (!where) return;
  // The kind is told by how it begins; nothing else of it is read.
  const rows = await query(`select case
      when "${where.column}" ~ '^\\$argon2id\\$' then 'argon2id'
      when "${where.column}" ~ '^\\$scrypt\\$' or "${where.column}" ~ '^[0-9a-f]{32}:[0-9a-f]{128}$' then 'scrypt'
      when "${where.column}" ~ '^\\$2[aby]\\$[0-9]{2}\\$' then 'bcrypt-' || substr("${where.column}", 5, 2)
      else 'other' end as kind, count(*)
    from "${where.table}" where "${where.column}" is not null group by 1 order by 1`);
  if (rows === null) {
    report.unknown("crypto.password", `读不到 ${where.table}.${where.column}：设置 PASSWORD_COLUMN=表.列`, `${where.table}.${where.column} cannot be read: set PASSWORD_COLUMN=table.column`);
    return;
  }
  const weak = rows.filter(([kind]) => kind === "other" || (kind.startsWith("bcrypt-") && Number(kind.slice(7)) < BCRYPT_COST_MIN));
  const count = weak.reduce((sum, [, one]) => sum + Number(one), 0);
  const kinds = rows.map(([kind, one]) => `${kind} ${one}`).join(", ") || "0";
  expect(count === 0, "crypto.password", `${where.table}.${where.column} (${kinds})`, `${count} 个口令是明文或弱哈希`, `${count} passwords are plain or weakly hashed`);
}

async function keys() {
  const where = columnIn("KEY_COLUMN", "api_keys.key_sha256");
  if (!where) return;
  const rows = await query(`select count(*), count(*) filter (where "${where.column}"::text !~ '^(\\\\x)?[0-9a-f]{64}$') from "${where.table}"`);
  const open = await query(`select count(*) from "${where.table}" t where t::text ~ 'nsk_[A-Za-z0-9_-]{20}'`);
  if (rows === null || open === null) {
    report.unknown("crypto.key-hash", `读不到 ${where.table}.${where.column}：设置 KEY_COLUMN=表.列`, `${where.table}.${where.column} cannot be read: set KEY_COLUMN=table.column`);
    return;
  }
  const [[all, others]] = rows;
  expect(others === "0" && open[0][0] === "0", "crypto.key-hash", `${where.table} (${all})`, "有 API 密钥以明文或弱形式保存", "API keys are kept as they are, or not as a SHA-256");
}

/** Of backups everything belongs to their owner alone. */
function backups() {
  const folder = process.env.BACKUP_DIR;
  if (!folder || !existsSync(folder)) {
    report.unknown("crypto.backup", "没有备份目录：设置 BACKUP_DIR", "there is no folder of backups: set BACKUP_DIR");
    return;
  }
  let open = [];
  let count = 0;
  try {
    const inside = readdirSync(folder, { recursive: true }).slice(0, FILES_MAX);
    count = inside.length;
    open = [".", ...inside].filter((name) => (statSync(join(folder, name)).mode & 0o077) !== 0);
  } catch {
    report.unknown("crypto.backup", `备份目录读不了：${folder}`, `the folder of backups cannot be read: ${folder}`);
    return;
  }
  // Whoever cannot enter the folder cannot read what is in it.
  const isShut = !open.includes(".");
  expect(isShut, "crypto.backup", plain(folder), "别的用户能进入备份目录", "others may enter the folder of backups");
  if (isShut && open.length > 0) report.lower("crypto.backup", plain(join(folder, open[0])), `${open.length} 个备份文件的权限过宽`, `${open.length} files of backups have wide modes`);
  report.figure("backup_files", count, "备份文件", "files of backups");
}

await transport();
if (await connection()) {
  await passwords();
  await keys();
}
backups();
report.end();
