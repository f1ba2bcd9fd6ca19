// What the server is told by its environment. The only file that reads it; all faults are told at once.
import { readFileSync } from "node:fs";

// Better Auth signs cookies with it.
const SECRET_CHARACTERS_MIN = 32;

export type Settings = {
  // This machine alone by default: nginx is in front.
  host: string;
  port: number;
  databaseUrl: string;
  authSecret: string;
  // What people type into their browser: Better Auth's base, and whether cookies need TLS.
  publicUrl: URL;
  // Where quotes come from; without it quotes.refresh refuses.
  quotesUrl: URL | null;
  // Where each request is told; without it standard output.
  apiLogFile: string | null;
};

export class SettingsError extends Error {}

type Environment = Record<string, string | undefined>;

export function readSettings(environment: Environment): Settings {
  const faults: string[] = [];

  const url = (name: string, otherwise: string | null): URL | null => {
    const text = environment[name] || otherwise;
    if (!text) return null;
    const parsed = URL.parse(text);
    if (parsed && ["http:", "https:"].includes(parsed.protocol)) return parsed;
    faults.push(`${name} 不是 http(s) 地址 / ${name} is not an http(s) address`);
    return null;
  };

  const host = environment.LISTEN_HOST || "127.0.0.1";
  const port = Number(environment.PORT || Number.NaN);
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    faults.push("缺少 PORT，或不是端口 / PORT is not set or is not a port");
  }
  const databaseUrl = secret(environment, "DATABASE_URL", faults);
  const authSecret = secret(environment, "BETTER_AUTH_SECRET", faults);
  if (authSecret && authSecret.length < SECRET_CHARACTERS_MIN) {
    faults.push(
      `BETTER_AUTH_SECRET 至少 ${SECRET_CHARACTERS_MIN} 个字符 / needs at least ${SECRET_CHARACTERS_MIN} characters`,
    );
  }
  const publicUrl = url("PUBLIC_URL", "http://127.0.0.1:3000");
  const quotesUrl = url("QUOTES_URL", null);

  if (faults.length > 0 || !publicUrl) throw new SettingsError(faults.join("\n"));
  const apiLogFile = environment.API_LOG_FILE || null;
  return { host, port, databaseUrl, authSecret, publicUrl, quotesUrl, apiLogFile };
}

// For the programs beside the server, which need nothing else.
export function readDatabaseUrl(environment: Environment): string {
  const faults: string[] = [];
  const url = secret(environment, "DATABASE_URL", faults);
  if (faults.length > 0) throw new SettingsError(faults.join("\n"));
  return url;
}

// A secret may stand in a file instead: pm2 keeps the environment of what it starts on the disk.
function secret(environment: Environment, name: string, faults: string[]): string {
  const file = environment[`${name}_FILE`];
  let value = environment[name] ?? "";
  if (file) {
    try {
      value = readFileSync(file, "utf8").trim();
    } catch {
      faults.push(`无法读取 ${name}_FILE 指向的文件 / the file that ${name}_FILE names cannot be read`);
      return "";
    }
  }
  if (!value) faults.push(`缺少 ${name} / ${name} is not set`);
  return value;
}
