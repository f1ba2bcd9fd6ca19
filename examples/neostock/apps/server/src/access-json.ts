// Prints who may call which route, for programs such as the runbook's scan-auth.sh: one line of JSON. A procedure that
// the table does not have stands there with null.
import { ACCESS } from "./access.ts";
import { router } from "./router.ts";
import { ROUTES, TRPC_PATH } from "./routes.ts";

// nginx does not pass it on.
const LOCAL = ["/metrics"];

const plain = ROUTES.map(({ method, path }) => ({ method, path, need: LOCAL.includes(path) ? "local" : "public" }));
const procedures = Object.entries(router._def.procedures).map(([name, procedure]) => ({
  method: procedure._def.type === "query" ? "GET" : "POST",
  path: `${TRPC_PATH}/${name}`,
  need: Object.hasOwn(ACCESS, name) ? ACCESS[name] : null,
}));
console.log(JSON.stringify({ routes: [...plain, ...procedures] }));
