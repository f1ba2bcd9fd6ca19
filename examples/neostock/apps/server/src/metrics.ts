// Counters and one histogram in Prometheus' text format. Labels come from fixed sets (methods, routes
// of the table, statuses), so that nobody outside can make series.

// Above five seconds, the manual's threshold, so that a P99 beyond it can be told from one far beyond it.
export const DURATION_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10, 30];

export type Result = "success" | "failure";

type Histogram = { buckets: number[]; sum: number; count: number };

export class Metrics {
  private readonly requests = new Map<string, number>();
  private readonly durations = new Map<string, Histogram>();
  // Present from the start: a rate needs the zero before the first failure.
  private readonly attempts: Record<Result, number> = { success: 0, failure: 0 };
  private readonly fetches: Record<Result, number> = { success: 0, failure: 0 };

  request(method: string, route: string, status: number, seconds: number): void {
    const key = labels({ method, route, status: String(status) });
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);

    const place = labels({ method, route });
    let histogram = this.durations.get(place);
    if (!histogram) {
      histogram = { buckets: DURATION_BUCKETS_S.map(() => 0), sum: 0, count: 0 };
      this.durations.set(place, histogram);
    }
    const at = DURATION_BUCKETS_S.findIndex((bound) => seconds <= bound);
    if (at >= 0) histogram.buckets[at]! += 1;
    histogram.sum += seconds;
    histogram.count += 1;
  }

  authAttempt(result: Result): void {
    this.attempts[result] += 1;
  }

  dataFetch(result: Result): void {
    this.fetches[result] += 1;
  }

  text(): string {
    const cpu = process.cpuUsage();
    return [
      ...family("http_requests_total", "counter", "Requests that were answered.", [...this.requests]),
      ...this.durationLines(),
      ...family("auth_attempts_total", "counter", "Attempts to sign in.", results(this.attempts)),
      ...family("data_fetches_total", "counter", "Fetches of quotes from upstream.", results(this.fetches)),
      ...family("process_cpu_seconds_total", "counter", "CPU time of this process.", [
        ["", (cpu.user + cpu.system) / 1e6],
      ]),
      ...family("process_resident_memory_bytes", "gauge", "Memory of this process.", [
        ["", process.memoryUsage.rss()],
      ]),
      "",
    ].join("\n");
  }

  private durationLines(): string[] {
    const name = "http_request_duration_seconds";
    const lines = [`# HELP ${name} How long requests took.`, `# TYPE ${name} histogram`];
    for (const [place, histogram] of this.durations) {
      let below = 0;
      histogram.buckets.forEach((count, at) => {
        below += count;
        lines.push(`${name}_bucket${place.slice(0, -1)},le="${DURATION_BUCKETS_S[at]}"} ${below}`);
      });
      lines.push(`${name}_bucket${place.slice(0, -1)},le="+Inf"} ${histogram.count}`);
      lines.push(`${name}_sum${place} ${histogram.sum}`, `${name}_count${place} ${histogram.count}`);
    }
    return lines;
  }
}

function family(name: string, type: string, help: string, samples: [string, number][]): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([sample, value]) => `${name}${sample} ${value}`),
  ];
}

function results(counts: Record<Result, number>): [string, number][] {
  return [
    [labels({ result: "success" }), counts.success],
    [labels({ result: "failure" }), counts.failure],
  ];
}

export function labels(pairs: Record<string, string>): string {
  const list = Object.entries(pairs).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `{${list.join(",")}}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
