// What the server is told by its environment. The only file that reads it; all faults are told at once.
import { readFileSync } from "node:fs";

// Better Auth signs cookies with it.
const SECRET_CHARACTERS_MIN = 32;

export type Settings = {
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

export function readSettings(environment: Record<string, string | undefined>): Settings {
  const faults: string[] = [];

  const required = (name: string): string => {
    const value = environment[name];
    if (!value) faults.push(`缺少 ${name} / ${name} is not set`);
    return value ?? "";
  };
  // A secret may stand in a file instead: pm2 keeps the environment of what it starts on the disk.
  const secret = (name: string): string => {
    const file = environment[`${name}_FILE`];
    if (!file) return required(name);
    try {
      return readFileSync(file, "utf8").trim();
    } catch {
      faults.push(`无法读取 ${name}_FILE 指向的文件 / the file that ${name}_FILE names cannot be read`);
      return "";
    }
  };
  const url = (name: string, otherwise: string | null): URL | null => {
    const text = environment[name] || otherwise;
    if (!text) return null;
    const parsed = URL.parse(text);
    if (parsed && ["http:", "https:"].includes(parsed.protocol)) return parsed;
    faults.push(`${name} 不是 http(s) 地址 / ${name} is not an http(s) address`);
    return null;
  };

  const port = Number(required("PORT"));
  if (environment.PORT && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    faults.push("PORT 不是端口 / PORT is not a port");
  }
  const databaseUrl = secret("DATABASE_URL");
  const authSecret = secret("BETTER_AUTH_SECRET");
  if (authSecret && authSecret.length < SECRET_CHARACTERS_MIN) {
    faults.push(
      `BETTER_AUTH_SECRET 至少 ${SECRET_CHARACTERS_MIN} 个字符 / needs at least ${SECRET_CHARACTERS_MIN} characters`,
    );
  }
  const publicUrl = url("PUBLIC_URL", "http://127.0.0.1:3000");
  const quotesUrl = url("QUOTES_URL", null);

  if (faults.length > 0 || !publicUrl) throw new SettingsError(faults.join("\n"));
  const apiLogFile = environment.API_LOG_FILE || null;
  return { port, databaseUrl, authSecret, publicUrl, quotesUrl, apiLogFile };
}
