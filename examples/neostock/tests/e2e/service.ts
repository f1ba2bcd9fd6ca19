// Run by bun: a database, an upstream of quotes, the server and the web application, all for one run of the
// browser tests. Its first line says where they are; it ends, and takes everything with it, when its
// standard input does.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createKey } from "../../apps/server/src/api-keys.ts";
import { startService } from "../../apps/server/src/__tests__/support.ts";
import { serve as serveWeb } from "../../apps/web/src/server.ts";

// What a page of another site looks like, and a name that is markup: for tests/e2e/security.spec.ts.
const OTHER_SITE = "<!doctype html><title>another site</title>";
const QUOTES = [
  { symbol: "600519.SH", name: "贵州茅台", price: 1600.5 },
  { symbol: "EVIL", name: `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`, price: 1 },
];

const upstream = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  reusePort: false,
  fetch: (request) =>
    new URL(request.url).pathname === "/quotes"
      ? Response.json(QUOTES)
      : new Response(OTHER_SITE, { headers: { "content-type": "text/html" } }),
});
const service = await startService({ quotesUrl: new URL("/quotes", upstream.url) });
const apiKeyFile = join(service.folder, "web.key");
writeFileSync(apiKeyFile, (await createKey(service.database, "web")).key, { mode: 0o600 });
const web = serveWeb({ host: "127.0.0.1", port: 0, serverUrl: service.url, apiKeyFile });

async function stop(): Promise<never> {
  await web.stop();
  await service.stop();
  await upstream.stop(true);
  process.exit(0);
}
// Playwright and what it started get a terminal's Ctrl-C together; the end of the input says the rest.
process.on("SIGINT", () => {});

console.log(JSON.stringify({ web: web.url.origin, server: service.url.origin, other: upstream.url.origin }));
for await (const _ of Bun.stdin.stream()) {
  // Nothing is said here; only the end counts.
}
await stop();
