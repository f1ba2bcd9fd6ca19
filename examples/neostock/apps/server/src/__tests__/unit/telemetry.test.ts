import { describe, expect, setSystemTime, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../../package.json";
import { ApiLog, type ApiLine } from "../../api-log.ts";
import { health, HEALTH_WITHIN_MS } from "../../health.ts";
import { DURATION_BUCKETS_S, labels, Metrics } from "../../metrics.ts";
import { report } from "../../report.ts";

describe("metrics", () => {
  test("requests are counted by method, route and status", () => {
    const metrics = new Metrics();
    metrics.request("GET", "/health", 200, 0.001);
    metrics.request("GET", "/health", 200, 0.001);
    metrics.request("GET", "/health", 503, 2);

    const lines = metrics.text().split("\n");

    expect(lines).toContain('http_requests_total{method="GET",route="/health",status="200"} 2');
    expect(lines).toContain('http_requests_total{method="GET",route="/health",status="503"} 1');
  });

  test("a P99 beyond the manual's five seconds can be told from one far beyond", () => {
    expect(DURATION_BUCKETS_S.slice(-4)).toEqual([5, 7.5, 10, 30]);
    const metrics = new Metrics();
    for (const seconds of [4.9, 6, 9, 29, 31]) metrics.request("GET", "/x", 200, seconds);

    const lines = metrics.text().split("\n");

    const bucket = (bound: string) => `http_request_duration_seconds_bucket{method="GET",route="/x",le="${bound}"}`;
    expect(lines).toContain(`${bucket("2.5")} 0`);
    expect(lines).toContain(`${bucket("5")} 1`);
    expect(lines).toContain(`${bucket("7.5")} 2`);
    expect(lines).toContain(`${bucket("10")} 3`);
    expect(lines).toContain(`${bucket("30")} 4`);
    expect(lines).toContain(`${bucket("+Inf")} 5`);
    expect(lines).toContain('http_request_duration_seconds_sum{method="GET",route="/x"} 79.9');
    expect(lines).toContain('http_request_duration_seconds_count{method="GET",route="/x"} 5');
  });

  test("the counters of sign-ins and fetches are there before the first", () => {
    const metrics = new Metrics();
    metrics.authAttempt("failure");
    metrics.dataFetch("success");

    const lines = metrics.text().split("\n");

    expect(lines).toContain('auth_attempts_total{result="success"} 0');
    expect(lines).toContain('auth_attempts_total{result="failure"} 1');
    expect(lines).toContain('data_fetches_total{result="success"} 1');
    expect(lines).toContain('data_fetches_total{result="failure"} 0');
    expect(lines.some((line) => /^process_cpu_seconds_total [0-9.]+$/.test(line))).toBe(true);
    expect(lines.some((line) => /^process_resident_memory_bytes [0-9]{7,}$/.test(line))).toBe(true);
  });

  test("a label can hold anything", () => {
    expect(labels({ a: 'x"\\\ny' })).toBe('{a="x\\"\\\\\\ny"}');
  });
});

describe("health", () => {
  test("a database that answers is well", async () => {
    const answer = await health({ query: async () => ({}) } as never);

    expect(answer).toEqual({ code: 200, status: "ok", version });
  });

  test("a database that fails is ill", async () => {
    const query = async () => {
      throw new Error("down");
    };

    expect(await health({ query } as never)).toEqual({ code: 503, status: "ill", version });
  });

  test("a database that says nothing is ill in time", async () => {
    const began = performance.now();

    const answer = await health({ query: () => new Promise(() => {}) } as never);

    expect(answer.code).toBe(503);
    expect(performance.now() - began).toBeLessThan(HEALTH_WITHIN_MS + 1_000);
  });
});

describe("the API log", () => {
  const line: ApiLine = {
    at: "2026-11-26T10:00:00.123Z",
    kind: "api",
    method: "GET",
    route: "/health",
    status: 200,
    ms: 3.2,
    actor: "anonymous",
    address: "127.0.0.1",
  };

  test("is one line of JSON a request, and goes on after the file was rotated away", () => {
    const folder = mkdtempSync(join(tmpdir(), "neostock-test-"));
    const file = join(folder, "api.log");
    const log = new ApiLog(file);

    log.write(line);
    log.flush();
    renameSync(file, `${file}.1`);
    log.write({ ...line, status: 503 });
    log.flush();

    expect(readFileSync(`${file}.1`, "utf8")).toBe(`${JSON.stringify(line)}\n`);
    expect(JSON.parse(readFileSync(file, "utf8")).status).toBe(503);
    // Others may not read people's addresses.
    expect(statSync(file).mode & 0o007).toBe(0);
    rmSync(folder, { recursive: true });
  });
});

test("an error is one line of JSON on standard error", () => {
  const written: string[] = [];
  const spy = spyOn(process.stderr, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  setSystemTime(new Date("2026-11-26T10:00:00.123Z"));
  try {
    report("quotes cannot be fetched", new Error("the upstream answered 500\nand more"));
  } finally {
    setSystemTime();
    spy.mockRestore();
  }

  expect(written.join("").split("\n")).toHaveLength(2);
  expect(JSON.parse(written.join(""))).toMatchObject({
    at: "2026-11-26T10:00:00.123Z",
    level: "error",
    kind: "error",
    message: "quotes cannot be fetched: the upstream answered 500\nand more",
    stack: expect.stringContaining("telemetry.test.ts"),
  });
});
