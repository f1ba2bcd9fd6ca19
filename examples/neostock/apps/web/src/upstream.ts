// Calls of NeoStock's server: with this application's own key for what the page shows, and on behalf of
// a browser where no nginx stands in front that would send /api/ to the server itself.
import type { KeyFile } from "./key-file.ts";
import type { Quote } from "./page.ts";

const ANSWER_WITHIN_MS = 5_000;
const FORWARD_WITHIN_MS = 30_000;
// What of a browser's request and of the answer is passed on. Everything else ends here.
const REQUEST_HEADERS = ["accept", "content-type", "cookie", "host", "origin", "user-agent", "x-api-key", "x-forwarded-proto"];
const ANSWER_HEADERS = ["allow", "cache-control", "content-type", "set-cookie"];

export class Upstream {
  constructor(
    private readonly url: URL,
    private readonly keys: KeyFile,
  ) {}

  async quotes(): Promise<Quote[]> {
    return (await this.query("quotes.list")) as Quote[];
  }

  // The id of the key that the server knows this application by; null without a key that it takes.
  async keyId(): Promise<string | null> {
    if (!this.keys.current()) return null;
    try {
      return ((await this.query("keys.whoami")) as { id: string }).id;
    } catch (error) {
      if (error instanceof Refused) return null;
      throw error;
    }
  }

  private async query(procedure: string): Promise<unknown> {
    const key = this.keys.current();
    const answer = await fetch(new URL(`/api/trpc/${procedure}`, this.url), {
      headers: key ? { "x-api-key": key } : {},
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    if (answer.status === 401 || answer.status === 403) throw new Refused(`${procedure}: ${answer.status}`);
    if (!answer.ok) throw new Error(`${procedure}: ${answer.status}`);
    return ((await answer.json()) as { result: { data: unknown } }).result.data;
  }

  async forward(request: Request, address: string): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const headers = new Headers({ "x-real-ip": request.headers.get("x-real-ip") ?? address });
    for (const name of REQUEST_HEADERS) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    const answer = await fetch(new URL(pathname + search, this.url), {
      method: request.method,
      headers,
      body: request.method === "POST" ? await request.arrayBuffer() : null,
      redirect: "manual",
      signal: AbortSignal.timeout(FORWARD_WITHIN_MS),
    });
    const passed = new Headers();
    for (const [name, value] of answer.headers) {
      if (ANSWER_HEADERS.includes(name)) passed.append(name, value);
    }
    return new Response(answer.body, { status: answer.status, headers: passed });
  }
}

class Refused extends Error {}
