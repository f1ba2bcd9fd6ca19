// The API: says how it is and which version was built.
import { version } from "../package.json";

export const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT),
  fetch: () => Response.json({ status: "ok", version }),
});
