// ruleid: predictable-secret
export const token = Math.random().toString(36).slice(2);

// ruleid: predictable-secret
export function newSessionId(): string {
  return `s${Math.random()}`;
}

// ruleid: predictable-secret
export const resetToken = Date.now().toString(36);

// ok: predictable-secret
export const apiKey = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
// ok: predictable-secret
export const jitter_ms = Math.random() * 100;
