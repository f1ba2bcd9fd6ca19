// The way to PostgreSQL: one pool, shared with Better Auth.
import { Pool, types } from "pg";
import { report } from "./report.ts";

const CONNECTIONS_MAX = 10;
const CONNECT_WITHIN_MS = 5_000;
const STATEMENT_MS_MAX = 10_000;
// The server ends a statement at STATEMENT_MS_MAX; this is for one that does not answer any more.
const ANSWER_WITHIN_MS = 12_000;
const BIGINT_TYPE = 20;

// Ids and hundredths stay far below 2^53.
types.setTypeParser(BIGINT_TYPE, Number);

export type Database = Pool;

export function connect(url: string): Database {
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_WITHIN_MS,
    statement_timeout: STATEMENT_MS_MAX,
    query_timeout: ANSWER_WITHIN_MS,
    application_name: "neostock-server",
  });
  // An idle connection that ends (a restart of PostgreSQL) is no reason to end too: the pool makes another.
  pool.on("error", (error) => report("a connection to the database ended", error));
  return pool;
}

// What the programs beside the server end with when there is no database: EX_UNAVAILABLE of sysexits.h.
export const UNREACHABLE_CODE = 69;

export class UnreachableError extends Error {
  constructor(cause: Error & { code?: string }) {
    // Of several addresses that all refuse, the error has a code alone.
    super(`连不上数据库 / the database cannot be reached: ${cause.message || cause.code}`);
  }
}

// A pool that has been reached, for programs that would rather know at once.
export async function connectNow(url: string): Promise<Database> {
  const database = connect(url);
  try {
    (await database.connect()).release();
    return database;
  } catch (error) {
    await database.end();
    throw new UnreachableError(error as Error);
  }
}

// PostgreSQL's own words for what went wrong.
export const UNDEFINED_TABLE = "42P01";
export const FOREIGN_KEY_VIOLATION = "23503";

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
