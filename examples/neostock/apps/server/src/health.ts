// Whether this server can work: asked by deployments, by nginx's watchers and by people.
import { version } from "../package.json";
import type { Database } from "./database.ts";

export const HEALTH_WITHIN_MS = 2_000;

// What a server says that is well. Rehearsals of a deployment that must not go live replace this one line.
const HEALTHY = { code: 200, status: "ok" };
const ILL = { code: 503, status: "ill" };

export type Health = { code: number; status: string; version: string };

export async function health(database: Pick<Database, "query">): Promise<Health> {
  const answer = (await answersInTime(database)) ? HEALTHY : ILL;
  return { ...answer, version };
}

async function answersInTime(database: Pick<Database, "query">): Promise<boolean> {
  const { promise: tooLate, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), HEALTH_WITHIN_MS);
  const answered = database.query("select 1").then(
    () => true,
    () => false,
  );
  try {
    return await Promise.race([answered, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
