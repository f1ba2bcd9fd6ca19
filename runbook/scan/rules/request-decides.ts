import { basename } from "node:path";

const FILES = new Map([["/app.js", "dist/app.js"]]);

export async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  // ruleid: request-decides-file
  if (url.pathname.startsWith("/static/")) return new Response(Bun.file(`public${url.pathname}`));
  const next = url.searchParams.get("next") ?? "/";
  // ruleid: request-decides-address
  if (url.pathname === "/login") return Response.redirect(next);
  // ruleid: request-decides-address
  if (url.pathname === "/preview") return fetch(next);
  // ok: request-decides-file
  if (url.pathname.startsWith("/icons/")) return new Response(Bun.file(`icons/${basename(url.pathname)}`));
  // ok: request-decides-file
  if (FILES.has(url.pathname)) return new Response(Bun.file(FILES.get(url.pathname)!));
  // ok: request-decides-address
  return Response.redirect("/");
}
