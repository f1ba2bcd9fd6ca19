// Better Auth and everything around it: signing up, in and out, sessions, and who may do what.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createKey, revokeKey } from "../../api-keys.ts";
import { ACCESS, type Need } from "../../access.ts";
import { FAILED_SIGN_INS_MAX } from "../../attempts.ts";
import { procedures } from "../../description.ts";
import { serve } from "../../server.ts";
import { Asker, newEmail, newSecret, PASSWORD, sample, type Service, startService } from "../support.ts";

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service?.stop());

const asker = () => new Asker(service.url);

describe("signing up", () => {
  test("signs in, and the name is taken from the e-mail where none is given", async () => {
    const somebody = asker();

    const answer = await somebody.signUp("li.na@example.com");

    expect(answer.status).toBe(200);
    const session = (await somebody.get("/api/auth/get-session")).body;
    expect(session.user).toMatchObject({ email: "li.na@example.com", name: "li.na", role: "user" });
  });

  test("keeps the password as an argon2id hash and nowhere else", async () => {
    const email = newEmail();
    await asker().signUp(email, "a password to look for");

    const found = await service.database.query("select password from accounts a join users u on u.id = a.user_id where email = $1", [email]);
    const everything = await service.database.query("select u::text, a::text, s::text from users u, accounts a, sessions s");

    expect(found.rows[0].password).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(JSON.stringify(everything.rows)).not.toContain("a password to look for");
  });

  test("makes nobody an administrator", async () => {
    const email = newEmail();

    const refused = await asker().post("/api/auth/sign-up/email", { email, password: PASSWORD, role: "admin" });

    expect(refused.status).toBe(400);
    expect((await service.database.query("select from users where email = $1", [email])).rowCount).toBe(0);
  });

  test.each([
    ["a short password", { email: "short@example.com", password: "123456789" }],
    ["a password that is too long", { email: "long@example.com", password: "x".repeat(129) }],
    ["no e-mail", { password: PASSWORD }],
    ["what is no e-mail", { email: "nobody", password: PASSWORD }],
    ["an empty name", { email: "name@example.com", password: PASSWORD, name: " " }],
    ["no object", "text"],
  ])("refuses %s, without saying back what was sent", async (_, body) => {
    const refused = await asker().post("/api/auth/sign-up/email", body);

    expect(refused.status).toBe(400);
    expect(JSON.stringify(refused.body)).not.toContain(PASSWORD);
  });

  test("refuses an e-mail that is taken, however it is written", async () => {
    const email = newEmail();
    await asker().signUp(email);

    expect((await asker().signUp(email.toUpperCase())).status).toBe(422);
  });
});

describe("signing in", () => {
  test("works with the right password, is counted, and each session is its own", async () => {
    const email = newEmail();
    await asker().signUp(email);
    const [one, other] = [asker(), asker()];
    const series = 'auth_attempts_total{result="success"}';
    const before = sample((await asker().get("/metrics")).body, series);

    expect((await one.signIn(email)).status).toBe(200);
    expect((await other.signIn(email.toUpperCase())).status).toBe(200);

    expect(one.cookie).not.toBe(other.cookie);
    expect(sample((await asker().get("/metrics")).body, series) - before).toBe(2);
  });

  test("a wrong password and an unknown e-mail get the same answer, and are counted", async () => {
    const email = newEmail();
    await asker().signUp(email);
    const series = 'auth_attempts_total{result="failure"}';
    const before = sample((await asker().get("/metrics")).body, series);

    const wrong = await asker().signIn(email, "not the password");
    const unknown = await asker().signIn(newEmail(), "not the password");

    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(wrong.body).toEqual(unknown.body);
    expect([wrong.headers.getSetCookie(), unknown.headers.getSetCookie()]).toEqual([[], []]);
    expect(sample((await asker().get("/metrics")).body, series) - before).toBe(2);
  });

  test("whoever guesses is stopped, at that address and for that e-mail only", async () => {
    const email = newEmail();
    await asker().signUp(email);
    const from = (address: string, password: string) =>
      asker().post("/api/auth/sign-in/email", { email, password }, { "x-real-ip": address });

    const guesses = await Promise.all(
      Array.from({ length: FAILED_SIGN_INS_MAX + 3 }, (_, at) => from("203.0.113.5", `guess number ${at}`)),
    );

    expect(guesses.filter((one) => one.status === 401)).toHaveLength(FAILED_SIGN_INS_MAX);
    expect(guesses.filter((one) => one.status === 429)).toHaveLength(3);
    expect((await from("203.0.113.5", PASSWORD)).status).toBe(429);
    expect((await from("203.0.113.6", PASSWORD)).status).toBe(200);
  });

  test("the cookie is for this site's requests alone, and over TLS for TLS alone", async () => {
    const email = newEmail();
    const plain = (await asker().signUp(email)).headers.getSetCookie();
    const behindTls = await asker().post("/api/auth/sign-in/email", { email, password: PASSWORD }, { "x-forwarded-proto": "https" });

    expect(plain).toHaveLength(1);
    expect(plain[0]).toMatch(/; HttpOnly/);
    expect(plain[0]).toMatch(/; SameSite=Lax/);
    expect(plain[0]).toMatch(/; Path=\//);
    expect(plain[0]).not.toMatch(/; Secure/);
    expect(behindTls.headers.getSetCookie()[0]).toMatch(/; HttpOnly.*; Secure/);
    expect(behindTls.headers.get("strict-transport-security")).toBe("max-age=31536000");
  });

  test("with a public address of https the cookie is Secure whoever asks", async () => {
    const other = serve({
      host: "127.0.0.1",
      port: 0,
      databaseUrl: service.databaseUrl,
      authSecret: newSecret(),
      publicUrl: new URL("https://neostock.example"),
      quotesUrl: null,
      apiLogFile: "/dev/null",
    });
    try {
      const cookies = (await new Asker(other.url).signUp()).headers.getSetCookie();

      expect(cookies).toHaveLength(1);
      expect(cookies[0]!.match(/; Secure/g)).toHaveLength(1);
    } finally {
      await other.stop();
    }
  });

  test("a page of another site can do nothing in a person's name", async () => {
    const somebody = asker();
    const email = newEmail();
    await somebody.signUp(email);
    const evil = { origin: "http://evil.example" };

    expect((await somebody.post("/api/trpc/watchlist.add", { symbol: "600519.SH" }, evil)).status).toBe(403);
    expect((await somebody.post("/api/auth/sign-out", {}, evil)).status).toBe(403);
    expect((await asker().post("/api/auth/sign-in/email", { email, password: PASSWORD }, evil)).status).toBe(403);
    expect((await somebody.post("/api/auth/sign-out", {}, { origin: "null" })).status).toBe(403);

    expect((await somebody.query("watchlist.list")).body.result.data).toEqual([]);
    const own = { origin: service.url.origin };
    expect((await somebody.post("/api/trpc/watchlist.add", { symbol: "600519.SH" }, own)).status).toBe(200);
  });
});

describe("sessions", () => {
  test("end when the person signs out: the old cookie opens nothing", async () => {
    const somebody = asker();
    await somebody.signUp();
    const old = somebody.cookie;

    expect((await somebody.post("/api/auth/sign-out")).status).toBe(200);

    expect(somebody.cookie).toBeNull();
    somebody.cookie = old;
    expect((await somebody.get("/api/auth/get-session")).body).toBeNull();
    expect((await somebody.query("watchlist.list")).status).toBe(401);
  });

  test("end when their time is over", async () => {
    const somebody = asker();
    const email = newEmail();
    await somebody.signUp(email);
    expect((await somebody.query("watchlist.list")).status).toBe(200);

    await service.database.query(
      "update sessions set expires_at = now() - interval '1 second' where user_id = (select id from users where email = $1)",
      [email],
    );

    expect((await somebody.query("watchlist.list")).status).toBe(401);
  });

  test("cannot be made up: a cookie with another signature opens nothing", async () => {
    const somebody = asker();
    await somebody.signUp();
    const [name, value] = somebody.cookie!.split("=") as [string, string];
    const token = decodeURIComponent(value).split(".")[0]!;

    for (const forged of [token, `${token}.${Buffer.alloc(32).toString("base64")}`, "", "x".repeat(4_000)]) {
      somebody.cookie = `${name}=${encodeURIComponent(forged)}`;
      expect((await somebody.query("watchlist.list")).status, forged).toBe(401);
    }
  });

  test("of nobody are null", async () => {
    expect((await asker().get("/api/auth/get-session")).body).toBeNull();
  });

  test("what of Better Auth is not in use cannot be reached", async () => {
    const somebody = asker();
    await somebody.signUp();

    for (const path of ["update-user", "delete-user", "change-password", "change-email", "request-password-reset", "sign-in/social"]) {
      expect((await somebody.post(`/api/auth/${path}`, { name: "x" })).status, path).toBe(404);
    }
    expect((await somebody.get("/api/auth/list-sessions")).status).toBe(404);
  });
});

describe("who may do what", () => {
  // What each need lets pass, by status: 401 for nobody, 403 for the wrong one.
  const EXPECTED: Record<Need, Record<"nobody" | "user" | "admin" | "key", number | "passes">> = {
    public: { nobody: "passes", user: "passes", admin: "passes", key: "passes" },
    member: { nobody: 401, user: "passes", admin: "passes", key: "passes" },
    session: { nobody: 401, user: "passes", admin: "passes", key: 403 },
    admin: { nobody: 401, user: 403, admin: "passes", key: 403 },
    key: { nobody: 401, user: 403, admin: 403, key: "passes" },
  };
  const known = procedures();
  const who: Record<string, Asker> = {};
  let revoked: Asker;

  beforeAll(async () => {
    who.nobody = asker();
    who.user = asker();
    await who.user.signUp();
    who.admin = asker();
    const email = newEmail();
    await who.admin.signUp(email);
    await service.database.query("update users set role = 'admin' where email = $1", [email]);
    who.key = new Asker(service.url, (await createKey(service.database, "matrix")).key);
    const old = await createKey(service.database, "matrix");
    await revokeKey(service.database, old.id);
    revoked = new Asker(service.url, old.key);
  });

  test.each(Object.entries(ACCESS))("%s needs: %s", async (procedure, need) => {
    const call = (one: Asker) =>
      known[procedure]!.type === "query" ? one.query(procedure) : one.mutate(procedure, {});

    for (const [name, expected] of Object.entries(EXPECTED[need])) {
      const { status } = await call(who[name]!);
      // Past the door it may still be refused: for its input, or because nothing is set up.
      if (expected === "passes") expect([200, 400, 412], `${name}: ${status}`).toContain(status);
      else expect(status, name).toBe(expected);
    }
    expect((await call(revoked)).status, "a revoked key").toBe(401);
    expect((await call(new Asker(service.url, "nsk_made-up"))).status, "a key that was made up").toBe(401);
  });

  test("an administrator sees people, and no hash, session or key of theirs", async () => {
    const people = (await who.admin!.query("admin.users")).body.result.data;

    expect(people.length).toBeGreaterThan(2);
    expect(Object.keys(people[0]).sort()).toEqual(["createdAt", "email", "id", "name", "role"]);
  });

  test("whoever is no longer an administrator is none at once", async () => {
    const former = asker();
    const email = newEmail();
    await former.signUp(email);
    await service.database.query("update users set role = 'admin' where email = $1", [email]);
    expect((await former.query("admin.users")).status).toBe(200);

    await service.database.query("update users set role = 'user' where email = $1", [email]);

    expect((await former.query("admin.users")).status).toBe(403);
  });
});
