import { chmodSync, writeFileSync } from "node:fs";

// ruleid: open-file
chmodSync("keys.json", 0o777);
// ruleid: open-file
writeFileSync("keys.json", "{}", { mode: 0o666 });
// ok: open-file
writeFileSync("keys.json", "{}", { mode: 0o600 });
