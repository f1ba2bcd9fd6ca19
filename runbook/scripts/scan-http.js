// How the scans of a running service ask it: whole requests by fetch, and by hand what fetch would never send.
// Secrets come from files and go into headers and bodies, never into an argument or a line of output.
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";

const ANSWER_MS_MAX = 15_000;
const BODY_CHARS_MAX = 1_048_576;
const PASSWORD_BYTES = 24;
// Whoever refuses a body by its announced length says so before it comes; what is sent after that may cost the answer.
const EARLY_MS = 2_000;

export class Unreachable extends Error {}

export const SIGN_IN = "/api/auth/sign-in/email";
export const SIGN_UP = "/api/auth/sign-up/email";
export const SIGN_OUT = "/api/auth/sign-out";
export const SESSION = "/api/auth/get-session";

/** The certificates that are believed besides the machine's own. */
function trusted() {
  const file = process.env.API_CA_FILE;
  return file ? { ca: readFileSync(file, "utf8") } : {};
}

export class Service {
  constructor(base) {
    this.base = new URL(base);
    this.isTls = this.base.protocol === "https:";
    this.origin = this.base.origin;
    this.prefix = this.base.pathname.replace(/\/$/, "");
    /** What was answered with an error, to be looked at for what it tells. */
    this.refusals = [];
  }

  async ask(path, { method = "GET", headers = {}, body } = {}) {
    let answer;
    try {
      answer = await fetch(this.origin + this.prefix + path, {
        method,
        headers,
        body,
        redirect: "manual",
        tls: trusted(),
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
      const text = (await answer.text()).slice(0, BODY_CHARS_MAX);
      const { status } = answer;
      if (status >= 400) this.refusals.push({ place: `${method} ${path.slice(0, 80)}`, text });
      return { status, headers: answer.headers, text, cookies: answer.headers.getSetCookie() };
    } catch (error) {
      throw new Unreachable(`${method} ${path.slice(0, 80)}: ${error?.code ?? error?.name ?? "?"}`);
    }
  }

  post(path, value, headers = {}) {
    return this.ask(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof value === "string" || value instanceof Uint8Array ? value : JSON.stringify(value),
    });
  }

  /** Sends these lines as they are, then so many letters of a body unless they are refused before; the answer's
   * status, 0 where there is none. */
  raw(line, headers = [], bodyBytes = 0) {
    const port = Number(this.base.port) || (this.isTls ? 443 : 80);
    const host = this.base.hostname.replace(/^\[|\]$/g, "");
    const where = { host, port, servername: host, ...trusted() };
    return new Promise((resolve, reject) => {
      let text = "";
      let left = bodyBytes;
      let early;
      const socket = this.isTls ? connectTls(where) : connect(where);
      const done = () => {
        clearTimeout(timer);
        clearTimeout(early);
        left = 0;
        socket.destroy();
        resolve({ status: Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1] ?? 0), text });
      };
      const timer = setTimeout(done, ANSWER_MS_MAX);
      const send = () => {
        while (left > 0) {
          const size = Math.min(left, 65_536);
          left -= size;
          if (!socket.write("a".repeat(size))) return;
        }
      };
      socket.on(this.isTls ? "secureConnect" : "connect", () => {
        const head = [line, `Host: ${this.base.host}`, "Connection: close", ...headers, "", ""];
        socket.write(head.join("\r\n"));
        early = setTimeout(send, EARLY_MS);
      });
      socket.on("drain", send);
      socket.on("data", (part) => {
        text += part.toString("latin1").slice(0, BODY_CHARS_MAX - text.length);
        // An early answer is an answer: whoever refuses a body need not read it.
        if (bodyBytes > 0 && /^HTTP\/1\.\d [2-5]\d\d[\s\S]*?\r\n\r\n/.test(text)) done();
      });
      socket.on("close", done);
      socket.on("error", (error) => {
        if (text === "" && bodyBytes === 0) reject(new Unreachable(`${line}: ${error.code ?? error.name}`));
        else done();
      });
    });
  }
}

/** An account as its file has it: the e-mail, and on the next line the password. */
export function accountIn(variable) {
  const file = process.env[variable];
  if (!file) return null;
  const [email, password] = readFileSync(file, "utf8").split(/\r?\n/);
  return email && password ? { email: email.trim(), password } : null;
}

export function secretIn(variable) {
  const file = process.env[variable];
  return file ? readFileSync(file, "utf8").trim() || null : null;
}

export function random(bytes = PASSWORD_BYTES) {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

export function inventAccount() {
  return { email: `scan-${random(8)}@neostock.invalid`, password: random() };
}

/** Whether accounts may be made by sign-up where none is given. */
export function maySignUp() {
  return process.env.SCAN_SIGN_UP === "yes";
}

/** The account of a file, else one that is made where that is allowed; null where there is none. */
export async function accountOf(service, variable) {
  const given = accountIn(variable);
  if (given) return given;
  if (process.env[variable] || !maySignUp()) return null;
  const made = inventAccount();
  const answer = await service.post(SIGN_UP, { ...made, name: "scan" });
  return answer.status < 300 ? made : null;
}

/** A session's cookies as a browser would send them; null where nobody could sign in. */
export async function signIn(service, account) {
  const answer = await service.post(SIGN_IN, account);
  if (answer.status >= 300 || answer.cookies.length === 0) return null;
  return { cookie: cookieOf(answer.cookies), cookies: answer.cookies };
}

export function cookieOf(cookies) {
  return cookies.map((cookie) => cookie.split(";")[0]).join("; ");
}

/** What a cookie lacks: words for people, empty where it is as it should be. */
export function lacking(cookie, isTls) {
  const flags = cookie.split(";").slice(1).map((flag) => flag.trim().toLowerCase());
  const has = (name) => flags.includes(name);
  const lacks = [];
  if (!has("httponly")) lacks.push("HttpOnly");
  if (!has("samesite=lax") && !has("samesite=strict")) lacks.push("SameSite");
  if (isTls && !has("secure")) lacks.push("Secure");
  return lacks.join(", ");
}
