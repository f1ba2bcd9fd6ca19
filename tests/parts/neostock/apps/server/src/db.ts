// `up` applies this version's migrations; `down --to=TAG` undoes those that TAG does not have.
import { SQL } from "bun";
import { readdirSync } from "node:fs";

const [verb, to = ""] = process.argv.slice(2);
const sql = new SQL(process.env.DATABASE_URL!);
await sql`create table if not exists migrations (id text primary key)`;
const rows: { id: string }[] = await sql`select id from migrations order by id desc`;
const applied = rows.map((row) => row.id);

async function run(id: string, way: "up" | "down") {
  await sql.begin(async (sql) => {
    await sql.file(`db/${id}.${way}.sql`);
    await (way === "up"
      ? sql`insert into migrations values (${id})`
      : sql`delete from migrations where id = ${id}`);
  });
  console.log(`${way} ${id}`);
}

if (verb === "up") {
  const here = readdirSync("db").filter((name) => name.endsWith(".up.sql"));
  const ids = here.map((name) => name.replace(".up.sql", "")).sort();
  for (const id of ids.filter((id) => !applied.includes(id))) await run(id, "up");
} else {
  const tag = to.replace("--to=", "");
  const listed = Bun.spawnSync(["git", "ls-tree", "--name-only", tag, "db/"]);
  if (!listed.success) throw new Error(`no version ${tag}`);
  const kept = listed.stdout.toString();
  for (const id of applied.filter((id) => !kept.includes(`/${id}.`))) await run(id, "down");
}
await sql.close();
