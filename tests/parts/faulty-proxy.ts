// Stands where nginx stands, in front of NeoStock, for the tests of the scans: one address for each fault that they
// must find, and `none` without any. Prints the addresses as one line of JSON.
//
//   bun faulty-proxy.ts UPSTREAM FAULT…
const [upstream, ...faults] = process.argv.slice(2);
const BODY_BYTES_MAX = 1_048_576;
const ADDRESS = "127.0.0.1";

type Change = (answer: Response, request: Request, text: string) => Response | void;

function without(name: string): Change {
  return (answer) => answer.headers.delete(name);
}

function withHeader(name: string, value: string): Change {
  return (answer) => answer.headers.set(name, value);
}

function isPath(request: Request, path: string): boolean {
  return new URL(request.url).pathname === path;
}

function cookies(edit: (cookie: string) => string): Change {
  return (answer) => {
    const edited = answer.headers.getSetCookie().map(edit);
    answer.headers.delete("set-cookie");
    for (const cookie of edited) answer.headers.append("set-cookie", cookie);
  };
}

function answersOn(path: string, method: string, text: string): Change {
  return (_, request) => (isPath(request, path) && request.method === method ? new Response(text) : undefined);
}

// What is done to the upstream's answer.
const CHANGES: Record<string, Change> = {
  none: () => {},
  nosniff: without("x-content-type-options"),
  csp: withHeader("content-security-policy", "default-src 'self'; script-src 'unsafe-inline'; frame-ancestors 'none'"),
  frame: (answer) => {
    answer.headers.set("content-security-policy", "default-src 'self'");
    answer.headers.delete("x-frame-options");
  },
  referrer: withHeader("referrer-policy", "unsafe-url"),
  banner: withHeader("x-powered-by", "bun"),
  version: withHeader("server", "nginx/1.22.1"),
  method: answersOn("/health", "DELETE", "gone"),
  unknown: (answer, request) => (request.url.includes("no.such-") ? new Response("{}") : undefined),
  malformed: (answer, request) =>
    request.url.includes("quotes.get") && answer.status === 400 ? new Response("failed", { status: 500 }) : undefined,
  path: (answer, request) => (request.url.includes("passwd") ? new Response("root:x:0:0:root:/root:/bin/sh") : undefined),
  env: answersOn("/.env", "GET", "AUTH_SECRET=open"),
  cors: (answer, request) => {
    answer.headers.set("access-control-allow-origin", request.headers.get("origin") ?? "");
    answer.headers.set("access-control-allow-credentials", "true");
  },
  cookie: cookies((cookie) => cookie.replace(/; *HttpOnly/i, "")),
  insecure: cookies((cookie) => cookie.replace(/; *Secure/i, "")),
  inside: (answer, _, text) =>
    answer.status === 404 ? new Response(`${text}\n    at find (/srv/neostock/apps/server/src/routes.ts:12:3)`, answer) : undefined,
  metrics: answersOn("/metrics", "GET", "# TYPE http_requests_total counter\n"),
  // Who may do what.
  admin: (answer, request) => (isPath(request, "/api/trpc/admin.users") ? new Response("[]") : undefined),
  link: (answer, request) =>
    isPath(request, "/api/trpc/watchlist.add") && request.method === "GET" ? new Response("{}") : undefined,
  closed: (answer, request) => (isPath(request, "/api/trpc/quotes.list") ? new Response("", { status: 403 }) : undefined),
  gone: (answer, request) => (isPath(request, "/api/trpc/quotes.get") ? new Response("", { status: 404 }) : undefined),
  enumeration: (answer, request, text) =>
    request.url.includes("sign-in") && answer.status === 401 ? new Response(text + Math.random(), answer) : undefined,
};

// Whoever changed a list last has everybody's.
let owner: string | null = null;

// What is done to a request before the upstream gets it.
function changed(fault: string, request: Request, headers: Headers): void {
  if (fault === "type" && request.method === "POST") headers.set("content-type", "application/json");
  if (fault === "address") headers.set("x-real-ip", request.headers.get("x-forwarded-for") ?? ADDRESS);
  if (fault === "limit") headers.set("x-real-ip", `127.0.${Math.floor(Math.random() * 256)}.${Math.floor(Math.random() * 256)}`);
  if (fault === "origin") headers.delete("origin");
  if (fault === "owner" && request.url.includes("/watchlist.")) {
    if (request.url.includes(".add")) owner = headers.get("cookie");
    else if (owner !== null) headers.set("cookie", owner);
  }
  if (fault === "revoked" && headers.has("x-api-key")) headers.delete("x-api-key");
}

async function ask(fault: string, request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].includes(request.method)) {
    return new Response("", { status: 405 });
  }
  const headers = new Headers(request.headers);
  headers.set("x-real-ip", ADDRESS);
  headers.delete("connection");
  changed(fault, request, headers);
  // nginx passes neither on: metrics are the machine's own, and this fault forgets to end sessions.
  const isKept = url.pathname === "/metrics" || (fault === "session" && url.pathname === "/api/auth/sign-out");
  const answer = isKept
    ? new Response("", { status: url.pathname === "/metrics" ? 404 : 200 })
    : await fetch(upstream + url.pathname + url.search, {
        method: request.method,
        headers,
        body: ["GET", "HEAD"].includes(request.method) ? undefined : await request.arrayBuffer(),
        redirect: "manual",
        decompress: true,
      });
  const text = await answer.text();
  const told = new Response(text, answer);
  for (const name of ["content-encoding", "content-length", "transfer-encoding"]) told.headers.delete(name);
  return CHANGES[fault]?.(told, request, text) ?? told;
}

const ports: Record<string, number> = {};
for (const fault of faults) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: fault === "large" ? BODY_BYTES_MAX * 64 : BODY_BYTES_MAX,
    fetch: (request) => (fault === "large" && isPath(request, "/api/auth/sign-in/email") && Number(request.headers.get("content-length")) > BODY_BYTES_MAX ? new Response("thanks") : ask(fault, request)),
    error: () => new Response("", { status: 502 }),
  });
  ports[fault] = server.port!;
}
console.log(JSON.stringify(ports));
