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

// PostgreSQL's own words for what went wrong.
export const UNDEFINED_TABLE = "42P01";
export const FOREIGN_KEY_VIOLATION = "23503";

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
