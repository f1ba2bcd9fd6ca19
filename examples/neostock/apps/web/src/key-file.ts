// The application's API key, from a file that a rotation replaces while this runs.
import { readFileSync, statSync } from "node:fs";

export class KeyFile {
  private seen = "";
  private key: string | null = null;

  constructor(private readonly path: string | null) {}

  // The key as it is now; the one before, while the file is away for a moment. Null where there is none.
  current(): string | null {
    if (!this.path) return null;
    try {
      const { ino, mtimeMs, size } = statSync(this.path);
      const seen = `${ino} ${mtimeMs} ${size}`;
      if (seen !== this.seen) {
        const text = readFileSync(this.path, "utf8").trim();
        // Somebody has emptied it and is about to write: not a new key yet.
        if (text) {
          this.key = text;
          this.seen = seen;
        }
      }
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
    return this.key;
  }
}
