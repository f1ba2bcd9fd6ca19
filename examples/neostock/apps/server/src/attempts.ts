// A limit on attempts that failed, by address and e-mail together: somebody who guesses is stopped, and
// cannot lock out whoever signs in from elsewhere. Each process counts by itself.

export const FAILED_SIGN_INS_MAX = 10;
export const WINDOW_MS = 15 * 60 * 1_000;
// Beyond it the oldest are forgotten.
const KEYS_MAX = 10_000;

type Count = { failed: number; until: number };

export class Attempts {
  private readonly counts = new Map<string, Count>();

  constructor(
    private readonly failedMax = FAILED_SIGN_INS_MAX,
    private readonly windowMs = WINDOW_MS,
  ) {}

  // Counts as failed from the beginning, so that many at once are no way around; `succeeded` takes it back.
  // False when there were too many.
  begin(address: string, email: string, now: number): boolean {
    const key = keyOf(address, email);
    let count = this.counts.get(key);
    if (!count || count.until <= now) {
      this.counts.delete(key);
      if (this.counts.size >= KEYS_MAX) this.counts.delete(this.counts.keys().next().value!);
      count = { failed: 0, until: now + this.windowMs };
      this.counts.set(key, count);
    }
    if (count.failed >= this.failedMax) return false;
    count.failed += 1;
    return true;
  }

  succeeded(address: string, email: string): void {
    this.counts.delete(keyOf(address, email));
  }
}

function keyOf(address: string, email: string): string {
  return `${address}\n${email.trim().toLowerCase()}`;
}
