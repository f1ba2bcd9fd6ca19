// Signing in, by Better Auth: its tables under our names, passwords as argon2id hashes. Of its many
// addresses only those in routes.ts can be reached.
import { betterAuth } from "better-auth";
import type { User } from "./access.ts";
import type { Database } from "./database.ts";
import { report } from "./report.ts";
import type { Settings } from "./settings.ts";

export const PASSWORD_CHARACTERS_MIN = 10;
export const PASSWORD_CHARACTERS_MAX = 128;
const SESSION_S = 7 * 24 * 60 * 60;
// OWASP's smallest recommended argon2id: 19 MiB, two passes.
const ARGON2 = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const;

export type Auth = {
  handler: (request: Request) => Promise<Response>;
  userOf: (headers: Headers) => Promise<User | null>;
};

export function makeAuth(database: Database, settings: Settings): Auth {
  const auth = betterAuth({
    database,
    secret: settings.authSecret,
    baseURL: settings.publicUrl.origin,
    basePath: "/api/auth",
    // The page's own address, whichever name people reached it by, and no other.
    trustedOrigins: (request) => {
      const host = request?.headers.get("host");
      return host ? [`http://${host}`, `https://${host}`] : [];
    },
    emailAndPassword: {
      enabled: true,
      minPasswordLength: PASSWORD_CHARACTERS_MIN,
      maxPasswordLength: PASSWORD_CHARACTERS_MAX,
      password: {
        hash: (password) => Bun.password.hash(password, ARGON2),
        verify: ({ hash, password }) => Bun.password.verify(password, hash),
      },
    },
    user: {
      modelName: "users",
      fields: { emailVerified: "email_verified", createdAt: "created_at", updatedAt: "updated_at" },
      // `input: false`: nobody makes himself an administrator by signing up.
      additionalFields: { role: { type: "string", required: true, defaultValue: "user", input: false } },
    },
    session: {
      modelName: "sessions",
      expiresIn: SESSION_S,
      fields: {
        userId: "user_id",
        expiresAt: "expires_at",
        ipAddress: "ip_address",
        userAgent: "user_agent",
        createdAt: "created_at",
        updatedAt: "updated_at",
      },
    },
    account: {
      modelName: "accounts",
      fields: {
        accountId: "account_id",
        providerId: "provider_id",
        userId: "user_id",
        accessToken: "access_token",
        refreshToken: "refresh_token",
        idToken: "id_token",
        accessTokenExpiresAt: "access_token_expires_at",
        refreshTokenExpiresAt: "refresh_token_expires_at",
        createdAt: "created_at",
        updatedAt: "updated_at",
      },
    },
    verification: {
      modelName: "verifications",
      fields: { expiresAt: "expires_at", createdAt: "created_at", updatedAt: "updated_at" },
    },
    advanced: {
      defaultCookieAttributes: { secure: settings.publicUrl.protocol === "https:" },
      ipAddress: { ipAddressHeaders: ["x-real-ip"] },
    },
    // attempts.ts limits by address and e-mail together.
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: {
      level: "error",
      log: (level, message, ...rest) => {
        const cause = rest.find((one) => one instanceof Error);
        // Without a cause it tells of a request that it refused: the API log has it.
        if (level === "error" && cause) report(`Better Auth: ${message}`, cause);
      },
    },
  });
  return {
    handler: (request) => auth.handler(request),
    userOf: async (headers) => {
      const session = await auth.api.getSession({ headers });
      if (!session) return null;
      const { id, email, name, role } = session.user;
      return { id, email, name, role };
    },
  };
}
