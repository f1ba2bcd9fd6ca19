// NeoStock's processes for pm2, as runbook/scripts/blue-green-deploy.sh names them: two colours, of which
// nginx/upstream.conf says the one that is live. The script starts a colour by itself; this file is for
// whoever does it by hand, one colour at a time:
//
//   pm2 start ecosystem.config.cjs --only neostock-server-green,neostock-web-green
//
// `pm2 reload` is not the way to a new version: in fork mode it ends the process and starts it anew on the
// same port, and drops the requests in between (6 of 150, measured). Start the other colour and let nginx
// switch. bun does not run in cluster mode.
//
// pm2 重载会丢请求：请启动另一种颜色，再由 nginx 切换。
"use strict";

const { join } = require("node:path");

// The same names and defaults as in runbook.yml.
const RELEASES_DIR = process.env.RELEASES_DIR || "/srv/neostock/releases";
const PORTS = {
  server: { blue: process.env.BLUE_PORT || "3001", green: process.env.GREEN_PORT || "3002" },
  web: { blue: process.env.BLUE_WEB_PORT || "3011", green: process.env.GREEN_WEB_PORT || "3012" },
};

function application(part, colour) {
  return {
    name: `neostock-${part}-${colour}`,
    cwd: join(RELEASES_DIR, colour, "apps", part),
    script: "bun",
    args: "run start",
    interpreter: "none",
    exec_mode: "fork",
    // What both need besides (DATABASE_URL_FILE, BETTER_AUTH_SECRET_FILE, API_KEY_FILE …) comes from the
    // environment of whoever starts them; see README.md. pm2 keeps it in a file: prefer the names in _FILE.
    env: { NODE_ENV: "production", PORT: PORTS[part][colour] },
    // They finish what is under way, for 8 s at most; pm2 would kill them after 1.6 s.
    kill_timeout: 10_000,
    // One that dies at once is tried again ever more slowly.
    exp_backoff_restart_delay: 200,
    max_memory_restart: "512M",
  };
}

module.exports = {
  apps: ["blue", "green"].flatMap((colour) => [application("server", colour), application("web", colour)]),
};
