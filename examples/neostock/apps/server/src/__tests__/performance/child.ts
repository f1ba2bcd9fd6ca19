// The server as index.ts starts it, that also ends with whoever started it: the end of its standard input
// comes however that one ends.
import "../../index.ts";

for await (const _ of Bun.stdin.stream()) {
  // Nothing is said here; only the end counts.
}
process.kill(process.pid, "SIGTERM");
