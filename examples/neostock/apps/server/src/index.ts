// The server of NeoStock: starts it, and stops it when it is told to.
import { version } from "../package.json";
import { report } from "./report.ts";
import { serve } from "./server.ts";
import { readSettings, SettingsError } from "./settings.ts";

function settingsOrExit() {
  try {
    return readSettings(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

function startOrExit() {
  const settings = settingsOrExit();
  try {
    return serve(settings);
  } catch (error) {
    // The port is taken, above all.
    report(`cannot listen on port ${settings.port}`, error);
    process.exit(1);
  }
}

const running = startOrExit();
console.log(JSON.stringify({ at: new Date().toISOString(), kind: "started", url: running.url.href, version }));
let isStopping = false;

async function stop(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  await running.stop();
  process.exit(0);
}

// pm2 sends SIGINT.
process.on("SIGINT", stop);
process.on("SIGTERM", stop);
process.on("uncaughtException", (error) => {
  report("uncaught", error);
  process.exit(1);
});
process.on("unhandledRejection", (error) => {
  report("unhandled", error);
  process.exit(1);
});
