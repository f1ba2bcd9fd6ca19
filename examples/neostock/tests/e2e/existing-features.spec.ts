// 现有功能回归: what the page did before it must still do.
import { addNote, expect, fillIn, itemOf, newEmail, PASSWORD, quoteOf, signUp, test, watch } from "./person.ts";

test("the page says which version it is: that of the server", async ({ page, request }) => {
  const health = await request.get(`${process.env.E2E_SERVER_URL}/health`);
  await page.goto("/");

  const { status, version } = await health.json();
  expect(status).toBe("ok");
  await expect(page).toHaveTitle("NeoStock");
  await expect(page.locator("footer")).toContainText(`NeoStock ${version}`);
});

test("quotes are sorted by symbol, each with a name and a price of two digits", async ({ page }) => {
  await page.goto("/");

  const symbols = await page.locator("#quotes .symbol").allTextContents();
  const prices = await page.locator("#quotes .price").allTextContents();
  const names = await page.locator("#quotes .name").allTextContents();

  expect(symbols.length).toBeGreaterThanOrEqual(6);
  expect(symbols).toEqual([...symbols].sort());
  expect(names.every((name) => name.length > 0)).toBe(true);
  for (const price of prices) expect(price).toMatch(/^\d+\.\d\d$/);
});

test("a visitor sees nothing that belongs to a person", async ({ page }) => {
  await page.goto("/");

  await expect(page.locator("#account")).toBeVisible();
  await expect(page.locator("#watchlist")).toBeHidden();
  await expect(page.locator("#person")).toBeHidden();
  await expect(page.locator("button.watch:visible")).toHaveCount(0);
  await expect(page.getByRole("button", { name: "更新 / Refresh" })).toBeHidden();
});

test("without scripts the quotes are still there", async ({ browser, baseURL }) => {
  const context = await browser.newContext({ javaScriptEnabled: false, baseURL });
  const page = await context.newPage();

  await page.goto("/");

  await expect(quoteOf(page, "600036.SH")).toContainText("招商银行");
  await context.close();
});

test("a form that is not filled in well is not sent", async ({ page }) => {
  const sent: string[] = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  await page.goto("/");

  for (const [email, password] of [["", PASSWORD], ["nobody", PASSWORD], [newEmail(), "short"]] as const) {
    await fillIn(page, email, password);
    await page.getByRole("button", { name: "注册 / Sign up" }).click();
  }

  await expect(page.locator("#account")).toBeVisible();
  expect(sent).toEqual([]);
});

test("an e-mail that is taken is told", async ({ page }) => {
  const email = await signUp(page);
  await page.getByRole("button", { name: "退出 / Sign out" }).click();
  await expect(page.locator("#account")).toBeVisible();

  await fillIn(page, email, PASSWORD);
  await page.getByRole("button", { name: "注册 / Sign up" }).click();

  await expect(page.getByRole("status")).toContainText("User already exists");
});

test("two people have each their own watchlist", async ({ page, browser, baseURL }) => {
  const context = await browser.newContext({ baseURL });
  const other = await context.newPage();
  await signUp(page);
  await signUp(other);

  await watch(page, "600036.SH");
  await addNote(page, "600036.SH", "mine alone");
  await watch(other, "000001.SZ");
  await other.reload();

  await expect(itemOf(other, "000001.SZ")).toBeVisible();
  await expect(other.locator("#items > li")).toHaveCount(1);
  await expect(other.locator("body")).not.toContainText("mine alone");
  await context.close();
});

test("a list that arrives late does not replace a newer one", async ({ page }) => {
  let letItArrive = () => {};
  const isTime = new Promise<void>((resolve) => (letItArrive = resolve));
  let lists = 0;
  await page.route("**/api/trpc/watchlist.list", async (route) => {
    lists += 1;
    const isFirst = lists === 1;
    const response = await route.fetch();
    if (isFirst) await isTime;
    await route.fulfill({ response });
  });
  await signUp(page);
  await watch(page, "600036.SH");

  const late = page.waitForResponse("**/api/trpc/watchlist.list");
  letItArrive();
  await (await late).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 100)));

  await expect(itemOf(page, "600036.SH")).toBeVisible();
});

test("whoever signs out in one tab is out in the other", async ({ page, context }) => {
  await signUp(page);
  const tab = await context.newPage();
  await tab.goto("/");
  await expect(tab.locator("#watchlist")).toBeVisible();

  await page.getByRole("button", { name: "退出 / Sign out" }).click();
  await expect(page.locator("#account")).toBeVisible();
  await quoteOf(tab, "600036.SH").getByRole("button").click();

  await expect(tab.getByRole("status")).toContainText("需要登录");
  await expect(tab.locator("#items > li")).toHaveCount(0);
});

test("nothing is wrong on the page's console", async ({ page }) => {
  const faults: string[] = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.message));

  await signUp(page);
  await watch(page, "600036.SH");
  await addNote(page, "600036.SH", "fine");

  expect(faults).toEqual([]);
});
