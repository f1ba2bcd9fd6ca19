// How the performance suites measure and judge.
//
// The pass rule, by kind of figure, against the baseline that `bun run bench:record` measured and wrote into
// baseline.json:
//   time (ms)     at most max(baseline × 5, its floor), and below the manual's P99 of 5 s
//   rate (per s)  at least baseline ÷ 20
//   pages         at most max(baseline × 2, its floor); how busy the machine is makes no difference to them
// Factors and floors are generous because two cores may be busy with something else; 200 ms more in a route,
// or a query that has lost its index, still fails. A figure is the best of several rounds, after one that is
// not counted, here and in the baseline: what disturbs a machine only adds, and seldom to every round, while
// slower code is slower in each.
//
// Each figure is printed as `figure NAME VALUE`, for whoever runs the suite.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { expect } from "bun:test";

export const FACTORS = { time: 5, rate: 20, pages: 2 } as const;
// Section 详细回滚程序 of the manual: P99>5秒.
export const P99_MS_MAX = 5_000;
export const ROUND_MS_MAX = 2_000;
// For a test of six rounds, with room.
export const TEST_MS_MAX = 60_000;
const BASELINE_FILE = join(import.meta.dir, "baseline.json");

// `floor`: a time or a count of pages up to it passes whatever the baseline says; a rate has none.
export type Figure =
  | { kind: "time" | "pages"; name: string; value: number; floor: number }
  | { kind: "rate"; name: string; value: number };

type Baseline = {
  recorded_at: string;
  recorded_by: string;
  machine: string;
  figures: Record<string, number>;
};

// Prints a figure and holds it against the baseline, or records it.
export function judge(figure: Figure): void {
  const value = Math.round(figure.value * 100) / 100;
  console.log(`figure ${figure.name} ${value}`);
  if (process.env.RECORD_BASELINE) {
    record(figure.name, value);
    return;
  }
  const baseline = readBaseline().figures[figure.name];
  expect(baseline, `${figure.name} 没有基线 / has no baseline: bun run bench:record`).toBeNumber();
  const { limit, passes } = verdict({ ...figure, value }, baseline!);
  expect(
    passes,
    `${figure.name}: ${value}，基线 ${baseline}，界限 ${limit} / is ${value}, baseline ${baseline}, limit ${limit}`,
  ).toBe(true);
}

export function verdict(figure: Figure, baseline: number): { limit: number; passes: boolean } {
  if (figure.kind === "rate") {
    const limit = baseline / FACTORS.rate;
    return { limit, passes: figure.value >= limit };
  }
  const relative = Math.max(baseline * FACTORS[figure.kind], figure.floor);
  const limit = figure.kind === "time" ? Math.min(relative, P99_MS_MAX) : relative;
  return { limit, passes: figure.value <= limit };
}

function readBaseline(): Baseline {
  expect(existsSync(BASELINE_FILE), "没有基线 / there is no baseline: bun run bench:record").toBe(true);
  return JSON.parse(readFileSync(BASELINE_FILE, "utf8"));
}

function record(name: string, value: number): void {
  const figures = existsSync(BASELINE_FILE) ? readBaseline().figures : {};
  const baseline: Baseline = {
    recorded_at: new Date().toISOString(),
    recorded_by: "bun run bench:record",
    machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, bun ${Bun.version}`,
    figures: { ...figures, [name]: value },
  };
  writeFileSync(BASELINE_FILE, `${JSON.stringify(baseline, null, 2)}\n`);
}

// The value that this part of all does not exceed.
export function percentile(values: number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)]!;
}

export function median(values: number[]): number {
  return percentile(values, 0.5);
}

// How long each took in one round. A round that takes too long ends early: it is slow, and that is told by
// those that it has done.
export async function timesOf(count: number, work: (at: number) => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + ROUND_MS_MAX;
  for (let at = 0; at < count && performance.now() < end; at += 1) {
    const began = performance.now();
    await work(at);
    times.push(performance.now() - began);
  }
  return times;
}

// Rounds of the same, after one that warms up.
export async function rounds<T>(count: number, round: () => Promise<T>): Promise<T[]> {
  await round();
  const done: T[] = [];
  for (let at = 0; at < count; at += 1) done.push(await round());
  return done;
}
