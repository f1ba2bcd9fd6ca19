// Requests in, pages out.
import { version } from "../package.json";
import { KeyFile } from "./key-file.ts";
import { page, type Quote } from "./page.ts";
import icon from "./public/icon.svg" with { type: "text" };
import script from "./public/app.js" with { type: "text" };
import style from "./public/app.css" with { type: "text" };
import { report } from "./report.ts";
import type { Settings } from "./settings.ts";
import { Upstream } from "./upstream.ts";

const BODY_BYTES_MAX = 64 * 1_024;
const IDLE_S = 75;
const DRAIN_MS_MAX = 8_000;

// Scripts, styles and pictures from here alone, none inside the page; no frame, no other form's target.
export const HEADERS: Record<string, string> = {
  "cache-control": "no-cache",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};
const HSTS = "max-age=31536000";

export type Running = { url: URL; stop: () => Promise<void> };

export function serve(settings: Settings): Running {
  const upstream = new Upstream(settings.serverUrl, new KeyFile(settings.apiKeyFile));
  let underWay = 0;
  let isStopping = false;
  let whenIdle = () => {};

  const server = Bun.serve({
    hostname: settings.host,
    port: settings.port,
    maxRequestBodySize: BODY_BYTES_MAX,
    idleTimeout: IDLE_S,
    development: false,
    // Without it bun shares the port with another process outside of development.
    reusePort: false,
    fetch: async (request, listener) => {
      underWay += 1;
      try {
        const answer = await answerTo(request, upstream, listener.requestIP(request)?.address ?? "");
        for (const [name, value] of Object.entries(HEADERS)) {
          // The server's own word on keeping its answers stands.
          if (name !== "cache-control" || !answer.headers.has(name)) answer.headers.set(name, value);
        }
        if (request.headers.get("x-forwarded-proto") === "https") {
          answer.headers.set("strict-transport-security", HSTS);
        }
        if (isStopping) answer.headers.set("connection", "close");
        return answer;
      } finally {
        underWay -= 1;
        if (underWay === 0) whenIdle();
      }
    },
    error: (error) => {
      report("a request", error);
      return new Response("内部错误 / internal error", { status: 500 });
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
    },
  };
}

async function answerTo(request: Request, upstream: Upstream, address: string): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname.startsWith("/api/")) return forwarded(request, upstream, address);
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("不支持这个方法 / not by this method", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  switch (pathname) {
    case "/":
      return typed(page(await quotesOrNull(upstream)), "text/html");
    case "/app.js":
      return typed(script, "text/javascript");
    case "/app.css":
      return typed(style, "text/css");
    case "/icon.svg":
      return typed(icon, "image/svg+xml");
    case "/status":
      return status(upstream);
    default:
      return new Response("没有这个页面 / there is no such page", { status: 404 });
  }
}

function typed(text: string, type: string): Response {
  return new Response(text, { headers: { "content-type": `${type}; charset=utf-8` } });
}

// The page does without quotes: a deployment asks it while nothing is live yet.
async function quotesOrNull(upstream: Upstream): Promise<Quote[] | null> {
  try {
    return await upstream.quotes();
  } catch (error) {
    report("quotes cannot be read", error);
    return null;
  }
}

// For whoever rotates the key: which one the server now knows this application by. Never the key.
async function status(upstream: Upstream): Promise<Response> {
  try {
    return Response.json({ status: "ok", version, key: await upstream.keyId() });
  } catch (error) {
    report("the server cannot be asked", error);
    return Response.json({ status: "ill", version, key: null }, { status: 503 });
  }
}

async function forwarded(request: Request, upstream: Upstream, address: string): Promise<Response> {
  try {
    return await upstream.forward(request, address);
  } catch (error) {
    report("the server cannot be asked", error);
    return Response.json({ error: "bad_gateway", message: "服务器没有回答 / the server does not answer" }, { status: 502 });
  }
}
