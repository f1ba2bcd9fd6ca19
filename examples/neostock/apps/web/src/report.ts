// Errors that a person should look at: one line of JSON on standard error, which pm2 keeps.
// Nobody who asked over the network ever sees them.

export function report(message: string, error: unknown): void {
  const cause = error instanceof Error ? error : new Error(String(error));
  const line = {
    at: new Date().toISOString(),
    level: "error",
    kind: "error",
    message: `${message}: ${cause.message}`,
    stack: cause.stack ?? "",
  };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}
