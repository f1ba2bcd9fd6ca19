// The server as a process of its own: who measures must not share its event loop with what is measured.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Database } from "../../database.ts";
import { cleanedUp, newSecret, scratchDatabase } from "../support.ts";

const SERVER_FOLDER = join(import.meta.dir, "../../..");

export type Process = { url: URL; database: Database; stop: () => Promise<void> };

export async function startProcess(): Promise<Process> {
  const scratch = await scratchDatabase();
  const folder = await mkdtemp(join(tmpdir(), "neostock-test-"));
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "child.ts")], {
    cwd: SERVER_FOLDER,
    env: {
      ...process.env,
      PORT: "0",
      DATABASE_URL: scratch.url,
      BETTER_AUTH_SECRET: newSecret(),
      API_LOG_FILE: join(folder, "api.log"),
    },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const database = connect(scratch.url);
  const stop = cleanedUp(async () => {
    child.kill("SIGTERM");
    await child.exited;
    await database.end();
    await scratch.drop();
    await rm(folder, { recursive: true, force: true });
  });
  try {
    return { url: await startedAt(child.stdout), database, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

// The first line that the server prints says where it listens.
async function startedAt(output: ReadableStream<Uint8Array>): Promise<URL> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of output) {
    text += decoder.decode(part, { stream: true });
    if (text.includes("\n")) return new URL(JSON.parse(text.split("\n")[0]!).url);
  }
  throw new Error("服务器没有启动 / the server did not start");
}
