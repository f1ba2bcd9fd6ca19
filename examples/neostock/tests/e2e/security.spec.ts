// What keeps people safe in a real browser: headers, the cookie's flags, and that texts of others never run.
import { addNote, expect, itemOf, quoteOf, signUp, test, watch } from "./person.ts";

const MARKUP = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`;
const hacked = (page: import("@playwright/test").Page) => page.evaluate(() => "hacked" in window);

test("the page and the API send the headers that they should", async ({ request }) => {
  const page = (await request.get("/")).headers();
  const api = (await request.get(`${process.env.E2E_SERVER_URL}/api/trpc/quotes.list`)).headers();

  for (const headers of [page, api]) {
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["x-frame-options"]).toBe("DENY");
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
    expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
    expect(headers["content-security-policy"]).not.toContain("unsafe");
    expect(headers["referrer-policy"]).toBeTruthy();
    expect(headers["server"]).toBeUndefined();
    expect(headers["x-powered-by"]).toBeUndefined();
  }
  expect(api["cache-control"]).toBe("no-store");
});

test("the session's cookie is out of reach of scripts and of other sites", async ({ page, context }) => {
  await signUp(page);

  const cookies = await context.cookies();

  expect(cookies).toHaveLength(1);
  expect(cookies[0]).toMatchObject({ name: "better-auth.session_token", httpOnly: true, sameSite: "Lax", path: "/" });
  expect(await page.evaluate(() => document.cookie)).toBe("");
});

test("a quote's name that is markup is shown as it is and does nothing", async ({ page }) => {
  await signUp(page);
  await page.getByRole("button", { name: "更新 / Refresh" }).click();
  // Once by the script of the page, once by the server of it, once in the watchlist.
  await expect(quoteOf(page, "EVIL").locator(".name")).toHaveText(MARKUP);
  await watch(page, "EVIL");
  await expect(itemOf(page, "EVIL").locator(".name")).toContainText(MARKUP);
  await page.reload();
  await expect(quoteOf(page, "EVIL").locator(".name")).toHaveText(MARKUP);

  expect(await hacked(page)).toBe(false);
  expect(await page.locator("#quotes img, #quotes script, #items img").count()).toBe(0);
});

test("a remark that is markup is shown as it is and does nothing", async ({ page }) => {
  await signUp(page);
  await watch(page, "600036.SH");

  await addNote(page, "600036.SH", MARKUP);
  await page.reload();

  await expect(itemOf(page, "600036.SH").locator(".notes li")).toHaveText(MARKUP);
  expect(await hacked(page)).toBe(false);
  expect(await page.locator("#items img, #items script").count()).toBe(0);
});

test("markup that did get into the page would still not run", async ({ page }) => {
  const violations: string[] = [];
  page.on("console", (message) => violations.push(message.text()));
  await page.goto("/");

  await page.evaluate((markup) => {
    document.body.insertAdjacentHTML("beforeend", markup);
    const script = document.createElement("script");
    script.textContent = "window.hacked = 1";
    document.body.append(script);
  }, MARKUP);

  await expect.poll(() => violations.filter((text) => text.includes("Content Security Policy")).length).toBeGreaterThan(0);
  expect(await hacked(page)).toBe(false);
});

test("another site can neither frame the page nor act in a person's name", async ({ page, baseURL }) => {
  await signUp(page);
  await watch(page, "600036.SH");
  const attacks = await page.context().newPage();
  await attacks.goto(process.env.E2E_OTHER_URL!);

  await attacks.setContent(`<iframe src="${baseURL}/"></iframe>`);
  await attacks.waitForLoadState("load");
  const framed = attacks.frames().at(-1)!;
  expect(await framed.locator("#quotes").count()).toBe(0);

  // The same host on another port: to a browser the same site, so that the cookie goes along.
  const outcomes = await attacks.evaluate(async (target) => {
    const url = `${target}/api/trpc/watchlist.remove`;
    const body = JSON.stringify({ symbol: "600036.SH" });
    const init = { method: "POST", body, credentials: "include" } as const;
    const readable = await fetch(url, { ...init, headers: { "content-type": "application/json" } }).then(
      () => "answered",
      () => "blocked",
    );
    const blind = await fetch(url, { ...init, mode: "no-cors" }).then((answer) => answer.type);
    return { readable, blind };
  }, baseURL);

  expect(outcomes).toEqual({ readable: "blocked", blind: "opaque" });
  await page.reload();
  await expect(itemOf(page, "600036.SH")).toBeVisible();
});

test("nobody reads another person's things by asking the API for them", async ({ page, request }) => {
  await signUp(page);

  const anonymous = await request.get("/api/trpc/watchlist.list");
  const people = await page.request.get("/api/trpc/admin.users");

  expect(anonymous.status()).toBe(401);
  expect(people.status()).toBe(403);
});
