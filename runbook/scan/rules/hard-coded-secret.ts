// ruleid: hard-coded-secret
const DATABASE_PASSWORD = "correct-horse-battery";

// ruleid: hard-coded-secret
export const settings = { authSecret: "staple-in-the-source" };

// ruleid: default-secret
export const secret = process.env.BETTER_AUTH_SECRET ?? "change-me";

// ok: hard-coded-secret
export const password = process.env.PASSWORD;
// ok: hard-coded-secret
export const API_KEY = "x-api-key";
// ok: hard-coded-secret
export const columns = { password: "text", accessToken: "access_token" };
// ok: default-secret
export const port = process.env.PORT ?? "3000";
