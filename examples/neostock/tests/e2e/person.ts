// What the specs share: where the service is, and what a person does on the page.
import { randomUUID } from "node:crypto";
import { test as base, expect, type Page } from "@playwright/test";

export { expect };
export const PASSWORD = "correct horse battery";

// Known only after the global setup, so that it cannot stand in the configuration.
export const test = base.extend({
  baseURL: async ({}, use) => use(process.env.E2E_WEB_URL),
});

export const newEmail = () => `${randomUUID()}@example.com`;

export async function fillIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel("邮箱 / E-mail").fill(email);
  await page.getByLabel("密码 / Password").fill(password);
}

export async function signUp(page: Page, email = newEmail()): Promise<string> {
  await page.goto("/");
  await fillIn(page, email, PASSWORD);
  await page.getByRole("button", { name: "注册 / Sign up" }).click();
  await expect(page.locator("#email")).toHaveText(email);
  return email;
}

export async function signIn(page: Page, email: string, password = PASSWORD): Promise<void> {
  await page.goto("/");
  await fillIn(page, email, password);
  await page.getByRole("button", { name: "登录 / Sign in" }).click();
}

export const quoteOf = (page: Page, symbol: string) => page.locator(`#quotes tr[data-symbol="${symbol}"]`);
export const itemOf = (page: Page, symbol: string) => page.locator(`#items > li[data-symbol="${symbol}"]`);

export async function watch(page: Page, symbol: string): Promise<void> {
  await quoteOf(page, symbol).getByRole("button").click();
  await expect(itemOf(page, symbol)).toBeVisible();
}

export async function addNote(page: Page, symbol: string, note: string): Promise<void> {
  await itemOf(page, symbol).getByRole("textbox").fill(note);
  await itemOf(page, symbol).getByRole("button", { name: "备注 / Note" }).click();
  await expect(itemOf(page, symbol).locator(".notes li").filter({ hasText: note })).toBeVisible();
}
