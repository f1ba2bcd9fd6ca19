// Stands in for `keys` of NeoStock's server where a test wants to break it at will: the keys are in a file, and files
// beside it of the names below make it misbehave.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.KEYS_FOLDER;
const file = join(folder, "keys.json");
const keys = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
const [verb, ...rest] = process.argv.slice(2);

function store() {
  writeFileSync(`${file}.next`, JSON.stringify(keys));
  renameSync(`${file}.next`, file);
}

if (existsSync(join(folder, `no-${verb}`))) {
  console.error("the database does not answer");
  process.exit(1);
}
if (verb === "create") {
  const one = {
    id: `K${keys.length + 1}`,
    name: rest[1],
    key: `nsk_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url")}`,
    created_at: new Date().toISOString(),
    revoked_at: null,
  };
  keys.push(one);
  store();
  console.log(existsSync(join(folder, "mumble")) ? "made" : JSON.stringify({ id: one.id, key: one.key }));
} else if (verb === "list") {
  for (const { key, ...shown } of keys) console.log(JSON.stringify(shown));
} else if (verb === "revoke") {
  const one = keys.find((each) => each.id === rest[0]);
  one.revoked_at ??= new Date().toISOString();
  store();
  // Done, but cut off before it could say so.
  if (existsSync(join(folder, "cut-off"))) process.exit(1);
}
