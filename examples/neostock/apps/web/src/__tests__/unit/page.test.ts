import { expect, test } from "bun:test";
import { version } from "../../../package.json";
import { escaped, page } from "../../page.ts";
import { readSettings, SettingsError } from "../../settings.ts";

const ATTACK = `<img src=x onerror="alert('&')">`;

test("text of others is never markup", () => {
  expect(escaped(ATTACK)).toBe("&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;");

  const html = page([{ symbol: `"><b>`, name: ATTACK, price: 1 }]);

  expect(html).not.toContain("<img");
  expect(html).not.toContain("<b>");
  expect(html).toContain(escaped(ATTACK));
});

test("quotes are shown with their price", () => {
  const html = page([{ symbol: "600519.SH", name: "贵州茅台", price: 1528 }]);

  expect(html).toContain('<tr data-symbol="600519.SH">');
  expect(html).toContain("贵州茅台");
  expect(html).toContain('<td class="price">1528.00</td>');
});

test("without an answer of the server the page comes and says so", () => {
  expect(page(null)).toContain("暂时读不到行情");
  expect(page([])).not.toContain("暂时读不到行情");
});

test("the page says which version it is, and runs nothing of its own making", () => {
  const html = page([]);

  expect(html).toContain(`<meta name="version" content="${version}">`);
  expect(html).not.toMatch(/<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=|javascript:/i);
});

test("settings: every fault at once", () => {
  expect(readSettings({ PORT: "0", API_KEY_FILE: "/run/key" })).toEqual({
    host: "127.0.0.1",
    port: 0,
    serverUrl: new URL("http://127.0.0.1:3000"),
    apiKeyFile: "/run/key",
  });
  expect(() => readSettings({ SERVER_URL: "nothing" })).toThrow(
    new SettingsError(
      "缺少 PORT，或不是端口 / PORT is not set or is not a port\n" +
        "SERVER_URL 不是 http(s) 地址 / SERVER_URL is not an http(s) address",
    ),
  );
});
