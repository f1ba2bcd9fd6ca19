// Every address of the server but the tRPC procedures: this table routes, and the documentation is made
// from it. What is not here and no procedure is answered by 404.
import { z } from "zod";
import type { Attempts } from "./attempts.ts";
import { refuse } from "./answers.ts";
import { type Auth, PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN } from "./auth.ts";
import type { Database } from "./database.ts";
import { health } from "./health.ts";
import type { Metrics } from "./metrics.ts";

export const TRPC_PATH = "/api/trpc";
const NAME_CHARACTERS_MAX = 80;
const EMAIL_CHARACTERS_MAX = 254;

export type Services = { auth: Auth; attempts: Attempts; database: Database; metrics: Metrics };
export type Call = { request: Request; address: string; services: Services };
// Who it was, where the answer is the first to know.
export type Answer = { response: Response; actor?: string };

export type Route = {
  method: "GET" | "POST";
  path: string;
  summary: { zh: string; en: string };
  // Who may, in words; what the code enforces is in `handle`.
  who: { zh: string; en: string };
  input: z.ZodType | null;
  handle: (call: Call) => Promise<Answer>;
};

const Email = z.email().max(EMAIL_CHARACTERS_MAX);

export const SignUp = z.strictObject({
  email: Email,
  password: z.string().min(PASSWORD_CHARACTERS_MIN).max(PASSWORD_CHARACTERS_MAX),
  name: z.string().trim().min(1).max(NAME_CHARACTERS_MAX).optional(),
});

export const SignIn = z.strictObject({
  email: Email,
  password: z.string().min(1).max(PASSWORD_CHARACTERS_MAX),
  rememberMe: z.boolean().optional(),
});

const ANYBODY = { zh: "所有人", en: "anybody" };

export const ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/health",
    summary: { zh: "是否正常，以及版本", en: "whether it is well, and which version it is" },
    who: ANYBODY,
    input: null,
    handle: async ({ services }) => {
      const { code, ...body } = await health(services.database);
      return { response: Response.json(body, { status: code }) };
    },
  },
  {
    method: "GET",
    path: "/metrics",
    summary: { zh: "Prometheus 指标", en: "metrics for Prometheus" },
    who: { zh: "本机（nginx 不转发）", en: "this machine (nginx does not pass it on)" },
    input: null,
    handle: async ({ services }) => ({
      response: new Response(services.metrics.text(), {
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      }),
    }),
  },
  {
    method: "POST",
    path: "/api/auth/sign-up/email",
    summary: { zh: "注册，并登录", en: "signs up, and in" },
    who: ANYBODY,
    input: SignUp,
    handle: signUp,
  },
  {
    method: "POST",
    path: "/api/auth/sign-in/email",
    summary: { zh: "登录", en: "signs in" },
    who: ANYBODY,
    input: SignIn,
    handle: signIn,
  },
  {
    method: "POST",
    path: "/api/auth/sign-out",
    summary: { zh: "登出", en: "signs out" },
    who: ANYBODY,
    input: null,
    handle: async (call) => ({ response: await askAuth(call, {}) }),
  },
  {
    method: "GET",
    path: "/api/auth/get-session",
    summary: { zh: "当前登录的人，或 null", en: "who has signed in, or null" },
    who: ANYBODY,
    input: null,
    handle: async (call) => ({ response: await askAuth(call, null) }),
  },
];

async function signUp(call: Call): Promise<Answer> {
  const body = await bodyOf(call.request, SignUp);
  if (body instanceof Response) return { response: body };
  const name = body.name ?? body.email.split("@")[0]!;
  const response = await askAuth(call, { ...body, name });
  return { response, actor: await actorIn(response) };
}

async function signIn(call: Call): Promise<Answer> {
  const { request, address, services } = call;
  const body = await bodyOf(request, SignIn);
  if (body instanceof Response) return { response: body };
  if (!services.attempts.begin(address, body.email, Date.now())) {
    services.metrics.authAttempt("failure");
    return { response: refuse("too_many") };
  }
  const response = await askAuth(call, body);
  if (response.ok) {
    services.attempts.succeeded(address, body.email);
    services.metrics.authAttempt("success");
  } else if (response.status < 500) {
    services.metrics.authAttempt("failure");
  }
  return { response, actor: await actorIn(response) };
}

// The body as the schema has it, or the refusal.
async function bodyOf<T>(request: Request, schema: z.ZodType<T>): Promise<T | Response> {
  if (!/^application\/json\b/i.test(request.headers.get("content-type") ?? "")) return refuse("not_json");
  let json: unknown;
  try {
    json = await request.json();
  } catch {
    return refuse("bad_request");
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  // Where and why, but nothing of what was sent: it holds a password.
  const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  return Response.json({ ...(await refuse("bad_request").json()), issues }, { status: 400 });
}

// Better Auth gets the cookies and what was looked at, and nothing else of the request: no query, no
// field that the schema does not have. It wants an Origin with a cookie; server.ts has refused a wrong
// one by now, and where there is none it is no browser.
function askAuth({ request, address, services }: Call, body: unknown): Promise<Response> {
  const url = new URL(request.url);
  const headers = new Headers({ "x-real-ip": address, host: url.host, origin: request.headers.get("origin") ?? url.origin });
  for (const name of ["cookie", "user-agent"]) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  if (body === null) return services.auth.handler(new Request(url.origin + url.pathname, { headers }));
  headers.set("content-type", "application/json");
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  return services.auth.handler(new Request(url.origin + url.pathname, init));
}

async function actorIn(response: Response): Promise<string | undefined> {
  if (!response.ok) return undefined;
  const body = (await response.clone().json()) as { user?: { id?: string } };
  return body.user?.id ? `user:${body.user.id}` : undefined;
}
