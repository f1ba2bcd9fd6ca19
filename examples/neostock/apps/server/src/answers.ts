// How the server answers: JSON, headers that every answer carries, and refusals in both languages.

// An API's answer is no page: nothing in it may be run, framed or kept.
const HEADERS: Record<string, string> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};
const HSTS = "max-age=31536000";

export const REFUSALS = {
  bad_request: [400, "请求无法理解", "the request cannot be understood"],
  who_are_you: [401, "需要登录或 API 密钥", "sign in or send an API key"],
  bad_key: [401, "API 密钥无效或已撤销", "the API key is unknown or revoked"],
  not_for_you: [403, "没有权限", "not allowed"],
  other_origin: [403, "请求来自别的网站", "the request comes from another site"],
  not_found: [404, "没有这个地址", "there is nothing here"],
  wrong_method: [405, "不支持这个方法", "not by this method"],
  not_json: [415, "正文必须是 application/json", "the body must be application/json"],
  too_many: [429, "尝试次数过多，请稍后再试", "too many attempts, try again later"],
  failed: [500, "内部错误", "internal error"],
} as const satisfies Record<string, readonly [number, string, string]>;
export type Refusal = keyof typeof REFUSALS;

export function refuse(refusal: Refusal, headers: Record<string, string> = {}): Response {
  const [status, zh, en] = REFUSALS[refusal];
  return Response.json({ error: refusal, message: `${zh} / ${en}` }, { status, headers });
}

export function words(refusal: Refusal): string {
  const [, zh, en] = REFUSALS[refusal];
  return `${zh} / ${en}`;
}

// Whether the person's own connection is encrypted: nginx, the only one that can reach this port, says so.
export function isOverTls(request: Request): boolean {
  return request.headers.get("x-forwarded-proto") === "https";
}

export function finished(answer: Response, request: Request): Response {
  const headers = new Headers(answer.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  if (isOverTls(request)) {
    headers.set("strict-transport-security", HSTS);
    const cookies = headers.getSetCookie();
    headers.delete("set-cookie");
    for (const cookie of cookies) {
      headers.append("set-cookie", /;\s*secure\b/i.test(cookie) ? cookie : `${cookie}; Secure`);
    }
  }
  return new Response(answer.body, { status: answer.status, headers });
}
