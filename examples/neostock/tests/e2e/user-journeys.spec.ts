// 关键用户流程: what people come for, from beginning to end.
import { addNote, expect, itemOf, PASSWORD, quoteOf, signIn, signUp, test, watch } from "./person.ts";

test("a visitor signs up, watches a share, makes a remark, and finds both again", async ({ page }) => {
  await page.goto("/");
  await expect(quoteOf(page, "600036.SH")).toContainText("招商银行");
  const email = await signUp(page);
  await expect(page.locator("#watchlist-empty")).toBeVisible();

  await watch(page, "600036.SH");
  await addNote(page, "600036.SH", "低于 38 买入");
  await addNote(page, "600036.SH", "second thoughts");
  await page.reload();

  await expect(page.locator("#email")).toHaveText(email);
  await expect(itemOf(page, "600036.SH").locator(".notes li")).toHaveText(["低于 38 买入", "second thoughts"]);
});

test("somebody who comes back signs in and finds the watchlist", async ({ page }) => {
  const email = await signUp(page);
  await watch(page, "000001.SZ");
  await page.getByRole("button", { name: "退出 / Sign out" }).click();
  await expect(page.locator("#account")).toBeVisible();
  await expect(page.locator("#watchlist")).toBeHidden();
  await expect(page.locator("#items > li")).toHaveCount(0);

  await signIn(page, email);

  await expect(itemOf(page, "000001.SZ")).toContainText("平安银行");
});

test("somebody who mistypes the password is told so, and gets in at the second try", async ({ page }) => {
  const email = await signUp(page);
  await page.getByRole("button", { name: "退出 / Sign out" }).click();
  await expect(page.locator("#account")).toBeVisible();

  await signIn(page, email, "not my password");
  await expect(page.getByRole("status")).toHaveText("Invalid email or password");
  await expect(page.locator("#watchlist")).toBeHidden();
  await page.getByLabel("密码 / Password").fill(PASSWORD);
  await page.getByRole("button", { name: "登录 / Sign in" }).click();

  await expect(page.locator("#email")).toHaveText(email);
  await expect(page.getByRole("status")).toBeHidden();
});

test("what is watched no longer goes, and stays away", async ({ page }) => {
  await signUp(page);
  await watch(page, "000001.SZ");
  await watch(page, "600036.SH");

  await itemOf(page, "000001.SZ").getByRole("button", { name: "移除 / Remove" }).click();
  await expect(itemOf(page, "000001.SZ")).toHaveCount(0);
  await page.reload();

  await expect(itemOf(page, "600036.SH")).toBeVisible();
  await expect(itemOf(page, "000001.SZ")).toHaveCount(0);
});

test("new prices come when somebody asks for them, in the quotes and in the watchlist", async ({ page }) => {
  await signUp(page);
  await watch(page, "600519.SH");

  await page.getByRole("button", { name: "更新 / Refresh" }).click();

  await expect(quoteOf(page, "600519.SH").locator(".price")).toHaveText("1600.50");
  await expect(itemOf(page, "600519.SH")).toContainText("1600.50");
});
