import { describe, expect, test } from "bun:test";
import { ACCESS, actorOf, type Caller, decide, NOBODY } from "../../access.ts";
import { KEY_PATTERN, newKey, sha256 } from "../../api-keys.ts";
import { Attempts } from "../../attempts.ts";
import { documentation, typeOf } from "../../docs.ts";
import { router } from "../../router.ts";
import { ROUTES } from "../../routes.ts";

const user: Caller = { user: { id: "u1", email: "a@example.com", name: "a", role: "user" }, key: null };
const admin: Caller = { user: { ...user.user!, id: "u2", role: "admin" }, key: null };
const key: Caller = { user: null, key: { id: "K1", name: "web" } };

describe("access", () => {
  test("every procedure stands in the table, and nothing else does", () => {
    expect(Object.keys(ACCESS).sort()).toEqual(Object.keys(router._def.procedures).sort());
  });

  test.each([
    ["quotes.list", "allowed", "allowed", "allowed", "allowed"],
    ["quotes.refresh", "who_are_you", "allowed", "allowed", "allowed"],
    ["watchlist.add", "who_are_you", "allowed", "allowed", "not_for_you"],
    ["admin.users", "who_are_you", "not_for_you", "allowed", "not_for_you"],
    ["keys.whoami", "who_are_you", "not_for_you", "not_for_you", "allowed"],
    ["no.such", "who_are_you", "not_for_you", "not_for_you", "not_for_you"],
    ["toString", "who_are_you", "not_for_you", "not_for_you", "not_for_you"],
  ] as const)("%s: nobody %s, a user %s, an admin %s, a key %s", (procedure, nobody, aUser, anAdmin, aKey) => {
    expect(decide(procedure, NOBODY)).toBe(nobody);
    expect(decide(procedure, user)).toBe(aUser);
    expect(decide(procedure, admin)).toBe(anAdmin);
    expect(decide(procedure, key)).toBe(aKey);
  });

  test("the API log names whoever asked", () => {
    expect([NOBODY, user, key].map(actorOf)).toEqual(["anonymous", "user:u1", "key:K1"]);
  });
});

describe("the documentation", () => {
  test("names every procedure with its need, and every route", () => {
    const text = documentation();

    for (const [procedure, need] of Object.entries(ACCESS)) {
      expect(text).toMatch(new RegExp(`^\\| \`${procedure.replace(".", "\\.")}\` \\| (query|mutation) \\| \`${need}\` \\|`, "m"));
    }
    for (const { method, path } of ROUTES) expect(text).toContain(`| \`${method} ${path}\` |`);
  });

  test("has words for a schema, or says that it has none", () => {
    expect(typeOf({ type: "object", properties: { a: { type: "integer", minimum: 1 } }, required: [] })).toBe("{ a?: integer (1…) }");
    expect(typeOf({ type: "array", items: { enum: ["x", "y"] } })).toBe('("x" | "y")[]');
    expect(() => typeOf({ anyOf: [] })).toThrow("no words for this schema");
  });
});

describe("keys", () => {
  test("two are never the same, and each has 256 bits", () => {
    const keys = Array.from({ length: 100 }, newKey);

    expect(new Set(keys).size).toBe(100);
    for (const one of keys) {
      expect(one).toMatch(KEY_PATTERN);
      expect(Buffer.from(one.slice(4), "base64url").length).toBe(32);
    }
  });

  test("what is kept of one is its SHA-256", () => {
    expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});

describe("attempts", () => {
  test("too many that failed are stopped until the window is over", () => {
    const attempts = new Attempts(3, 1_000);

    const answers = [0, 1, 2, 3, 999, 1_000].map((now) => attempts.begin("1.2.3.4", "a@example.com", now));

    expect(answers).toEqual([true, true, true, false, false, true]);
  });

  test("however the e-mail is written it is the same one", () => {
    const attempts = new Attempts(1, 1_000);

    expect(attempts.begin("1.2.3.4", "A@Example.com ", 0)).toBe(true);
    expect(attempts.begin("1.2.3.4", "a@example.com", 0)).toBe(false);
  });

  test("somebody else's failures lock nobody out", () => {
    const attempts = new Attempts(1, 1_000);
    attempts.begin("1.2.3.4", "a@example.com", 0);

    expect(attempts.begin("5.6.7.8", "a@example.com", 0)).toBe(true);
    expect(attempts.begin("1.2.3.4", "b@example.com", 0)).toBe(true);
  });

  test("one that succeeds begins anew", () => {
    const attempts = new Attempts(2, 1_000);
    attempts.begin("1.2.3.4", "a@example.com", 0);
    attempts.begin("1.2.3.4", "a@example.com", 0);
    attempts.succeeded("1.2.3.4", "a@example.com");

    expect(attempts.begin("1.2.3.4", "a@example.com", 0)).toBe(true);
  });
});
