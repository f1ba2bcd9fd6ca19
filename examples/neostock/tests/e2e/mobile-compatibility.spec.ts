// 移动端兼容性: a small and a large phone, by touch.
import { expect, fillIn, itemOf, newEmail, PASSWORD, quoteOf, test } from "./person.ts";

const PHONES = [
  { name: "a small phone", viewport: { width: 320, height: 568 } },
  { name: "a large phone", viewport: { width: 412, height: 915 } },
];
// What fingers hit, by the guidelines of those who make phones.
const TAP_PX_MIN = 44;
// Below it Safari zooms into a field that is tapped.
const FIELD_FONT_PX_MIN = 16;
const LONG_NOTE = "长".repeat(60) + "W".repeat(100);

for (const { name, viewport } of PHONES) {
  test.describe(name, () => {
    test.use({ viewport, hasTouch: true, isMobile: true });

    test("is no wider than its screen, signed out and in, with long texts", async ({ page }) => {
      const widthIn = () => page.evaluate(() => document.documentElement.scrollWidth);
      await page.goto("/");
      await expect(page.locator("#account")).toBeVisible();
      expect(await widthIn()).toBe(viewport.width);

      await fillIn(page, `${"long".repeat(10)}.${newEmail()}`, PASSWORD);
      await page.getByRole("button", { name: "注册 / Sign up" }).tap();
      await expect(page.locator("#watchlist")).toBeVisible();
      await quoteOf(page, "600036.SH").getByRole("button").tap();
      await itemOf(page, "600036.SH").getByRole("textbox").fill(LONG_NOTE);
      await itemOf(page, "600036.SH").getByRole("button", { name: "备注 / Note" }).tap();
      await expect(itemOf(page, "600036.SH").locator(".notes li")).toHaveText(LONG_NOTE);

      expect(await widthIn()).toBe(viewport.width);
    });

    test("everything that is tapped is large enough, and on the screen", async ({ page }) => {
      await page.goto("/");
      await expect(page.locator("#account")).toBeVisible();
      const signedOut = await targets(page);
      await fillIn(page, newEmail(), PASSWORD);
      await page.getByRole("button", { name: "注册 / Sign up" }).tap();
      await expect(page.locator("#watchlist")).toBeVisible();
      await quoteOf(page, "600036.SH").getByRole("button").tap();
      await expect(itemOf(page, "600036.SH")).toBeVisible();
      const signedIn = await targets(page);

      // Two fields and two buttons; then at least a button for each quote and three things for the item.
      expect(signedOut).toHaveLength(4);
      expect(signedIn.length).toBeGreaterThanOrEqual(10);
      for (const target of [...signedOut, ...signedIn]) {
        expect(target.height, target.text).toBeGreaterThanOrEqual(TAP_PX_MIN);
        expect(target.width, target.text).toBeGreaterThanOrEqual(TAP_PX_MIN);
        expect(target.left, target.text).toBeGreaterThanOrEqual(0);
        expect(target.right, target.text).toBeLessThanOrEqual(viewport.width);
        if (target.isField) expect(target.fontSize, target.text).toBeGreaterThanOrEqual(FIELD_FONT_PX_MIN);
      }
    });

    test("a whole visit by touch", async ({ page }) => {
      const email = newEmail();
      await page.goto("/");
      await fillIn(page, email, PASSWORD);
      await page.getByRole("button", { name: "注册 / Sign up" }).tap();
      await expect(page.locator("#email")).toHaveText(email);

      await quoteOf(page, "000001.SZ").getByRole("button").tap();
      await expect(itemOf(page, "000001.SZ")).toBeVisible();
      await itemOf(page, "000001.SZ").getByRole("button", { name: "移除 / Remove" }).tap();
      await expect(itemOf(page, "000001.SZ")).toHaveCount(0);
      await page.getByRole("button", { name: "退出 / Sign out" }).tap();

      await expect(page.locator("#account")).toBeVisible();
    });
  });
}

// Everything that can be tapped and is shown now.
function targets(page: import("@playwright/test").Page) {
  return page.locator("button:visible, input:visible").evaluateAll((elements) =>
    elements.map((element) => {
      const { width, height, left, right } = element.getBoundingClientRect();
      const isField = element.tagName === "INPUT";
      const text = `${element.tagName} ${element.textContent || element.getAttribute("name")}`;
      return { text, width, height, left, right, isField, fontSize: parseFloat(getComputedStyle(element).fontSize) };
    }),
  );
}
