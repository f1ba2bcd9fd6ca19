// What the web application is told by its environment. The only file that reads it.

export type Settings = {
  // This machine alone by default: nginx is in front.
  host: string;
  port: number;
  // The server; by default through nginx, which knows the live colour.
  serverUrl: URL;
  // The file with this application's API key; read anew when it changes.
  apiKeyFile: string | null;
};

export class SettingsError extends Error {}

export function readSettings(environment: Record<string, string | undefined>): Settings {
  const faults: string[] = [];
  const host = environment.LISTEN_HOST || "127.0.0.1";
  const port = Number(environment.PORT || Number.NaN);
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    faults.push("缺少 PORT，或不是端口 / PORT is not set or is not a port");
  }
  const serverUrl = URL.parse(environment.SERVER_URL || "http://127.0.0.1:3000");
  if (!serverUrl || !["http:", "https:"].includes(serverUrl.protocol)) {
    faults.push("SERVER_URL 不是 http(s) 地址 / SERVER_URL is not an http(s) address");
  }
  if (faults.length > 0 || !serverUrl) throw new SettingsError(faults.join("\n"));
  return { host, port, serverUrl, apiKeyFile: environment.API_KEY_FILE || null };
}
