// End-to-end tests in Debian's Chromium: nothing is downloaded. The server and the web application are
// started on free ports by tests/e2e/global-setup.ts.
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests/e2e",
  globalSetup: "./tests/e2e/global-setup.ts",
  forbidOnly: true,
  // A test that passes at the second try has not passed.
  retries: 0,
  workers: 1,
  reporter: "list",
  // For a machine that builds something else meanwhile; one that is idle takes two seconds for a test.
  timeout: 60_000,
  expect: { timeout: 15_000 },
  outputDir: "test-results",
  use: {
    browserName: "chromium",
    locale: "zh-CN",
    launchOptions: {
      executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    },
  },
});
