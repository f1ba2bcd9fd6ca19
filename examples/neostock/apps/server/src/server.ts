// Requests in, answers out: finds the route, finds out who asks, and tells the API log and the metrics.
import { isIP } from "node:net";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { ACCESS, actorOf, type Caller, type Key, NOBODY } from "./access.ts";
import { finished, type Refusal, refuse } from "./answers.ts";
import { ApiLog } from "./api-log.ts";
import { keyOf } from "./api-keys.ts";
import { Attempts } from "./attempts.ts";
import { makeAuth } from "./auth.ts";
import { connect } from "./database.ts";
import { Metrics } from "./metrics.ts";
import { report } from "./report.ts";
import { type Answer, type Route, ROUTES, type Services, TRPC_PATH } from "./routes.ts";
import { router } from "./router.ts";
import type { Settings } from "./settings.ts";

export const BODY_BYTES_MAX = 64 * 1_024;
// Longer than nginx keeps a connection to us without using it.
const IDLE_S = 75;
// What is under way at a stop may take this long; pm2's kill_timeout is longer.
const DRAIN_MS_MAX = 8_000;

export type Running = { url: URL; stop: () => Promise<void> };

export function serve(settings: Settings): Running {
  const database = connect(settings.databaseUrl);
  const metrics = new Metrics();
  const log = new ApiLog(settings.apiLogFile);
  const services: Services = { auth: makeAuth(database, settings), attempts: new Attempts(), database, metrics };
  let underWay = 0;
  let isStopping = false;
  let whenIdle = () => {};

  async function answered(request: Request, peer: string): Promise<Response> {
    const began = performance.now();
    const path = new URL(request.url).pathname;
    const address = addressOf(request, peer);
    const found = routeOf(request.method, path);
    let answer: Answer;
    try {
      answer = await answerOf(request, address, found, services, settings);
    } catch (error) {
      report(`${request.method} ${found.label}`, error);
      answer = { response: refuse("failed") };
    }
    const response = finished(answer.response, request);
    if (isStopping) response.headers.set("connection", "close");

    const ms = performance.now() - began;
    const { status } = response;
    metrics.request(found.method, found.label, status, ms / 1_000);
    log.write({
      at: new Date().toISOString(),
      kind: "api",
      method: found.method,
      route: found.label,
      status,
      ms: Math.round(ms * 10) / 10,
      actor: answer.actor ?? "anonymous",
      address,
    });
    return response;
  }

  const server = Bun.serve({
    hostname: settings.host,
    port: settings.port,
    maxRequestBodySize: BODY_BYTES_MAX,
    idleTimeout: IDLE_S,
    development: false,
    // Without it bun shares the port with another process outside of development, and half of the
    // requests go to each.
    reusePort: false,
    fetch: async (request, listener) => {
      underWay += 1;
      try {
        return await answered(request, listener.requestIP(request)?.address ?? "");
      } finally {
        underWay -= 1;
        if (underWay === 0) whenIdle();
      }
    },
    error: (error) => {
      report("a request", error);
      return refuse("failed");
    },
  });

  return {
    url: server.url,
    // Nothing new is taken; what is under way is finished first.
    stop: async () => {
      isStopping = true;
      const stopped = server.stop();
      if (underWay > 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        whenIdle = resolve;
        const timer = setTimeout(resolve, DRAIN_MS_MAX);
        await promise;
        clearTimeout(timer);
        // The last answer is on its way out of this process.
        await Promise.race([stopped, Bun.sleep(50)]);
      }
      await server.stop(true);
      log.flush();
      await database.end();
    },
  };
}

// What was asked for, in words from fixed sets: they become labels and lines.
type Found = {
  method: string;
  label: string;
  route: Route | null;
  isProcedure: boolean;
  refusal: Refusal | null;
  allow: string;
};

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

function routeOf(method: string, path: string): Found {
  const found: Found = {
    method: METHODS.has(method) ? method : "OTHER",
    label: "other",
    route: null,
    isProcedure: false,
    refusal: null,
    allow: "",
  };
  // A balancer may ask by HEAD.
  const asked = method === "HEAD" ? "GET" : method;
  const procedure = path.startsWith(`${TRPC_PATH}/`) ? path.slice(TRPC_PATH.length + 1) : null;
  if (procedure !== null && Object.hasOwn(ACCESS, procedure)) {
    found.label = path;
    found.isProcedure = asked === "GET" || asked === "POST";
    found.allow = "GET, POST";
    found.refusal = found.isProcedure ? null : "wrong_method";
    return found;
  }
  const here = ROUTES.filter((route) => route.path === path);
  if (here.length === 0) return { ...found, refusal: "not_found" };
  found.label = path;
  found.route = here.find((route) => route.method === asked) ?? null;
  found.allow = here.map((route) => route.method).join(", ");
  if (!found.route) found.refusal = "wrong_method";
  return found;
}

async function answerOf(
  request: Request,
  address: string,
  found: Found,
  services: Services,
  settings: Settings,
): Promise<Answer> {
  if (found.refusal) return { response: refuse(found.refusal, found.allow ? { allow: found.allow } : {}) };
  const caller = found.label.startsWith("/api/") ? await callerOf(request, services) : NOBODY;
  if ("refused" in caller) {
    return { response: refuse("bad_key"), actor: actorOf({ user: null, key: caller.refused }) };
  }
  const actor = actorOf(caller);
  if (request.method === "POST" && isFromElsewhere(request)) return { response: refuse("other_origin"), actor };
  if (found.route) return { actor, ...(await found.route.handle({ request, address, services })) };
  const response = await fetchRequestHandler({
    endpoint: TRPC_PATH,
    req: request,
    router,
    // One procedure a request: what is logged, counted and limited is what was done.
    allowBatching: false,
    createContext: () => ({
      caller,
      database: services.database,
      metrics: services.metrics,
      quotesUrl: settings.quotesUrl,
    }),
    onError: ({ error, path }) => {
      if (error.code === "INTERNAL_SERVER_ERROR") report(`tRPC ${path}`, error.cause ?? error);
    },
  });
  return { response, actor };
}

// Who sends it. A key that is not valid is never passed over: whoever sends one means to be known.
async function callerOf(request: Request, services: Services): Promise<Caller | { refused: Key | null }> {
  const text = request.headers.get("x-api-key");
  const key = text === null ? null : await keyOf(services.database, text);
  if (text !== null && (!key || key.isRevoked)) return { refused: key };
  const user = request.headers.has("cookie") ? await services.auth.userOf(request.headers) : null;
  return { user, key };
}

// A browser says where the page is from that sends something; what is no browser says nothing. Cookies
// are SameSite=Lax besides.
function isFromElsewhere(request: Request): boolean {
  const origin = request.headers.get("origin");
  return origin !== null && URL.parse(origin)?.host !== request.headers.get("host");
}

// nginx says who it was. It is the only one that can reach this port from outside.
function addressOf(request: Request, peer: string): string {
  const told = request.headers.get("x-real-ip") ?? "";
  return isIP(told) ? told : peer;
}
