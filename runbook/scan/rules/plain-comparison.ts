import { timingSafeEqual } from "node:crypto";

export function mayCome(given: string, secret: string, request: { token: string | null }, expectedToken: string) {
  // ruleid: plain-comparison
  if (given === secret) return true;
  // ruleid: plain-comparison
  if (request.token !== expectedToken) return false;
  // ok: plain-comparison
  if (request.token === null) return false;
  // ok: plain-comparison
  if (secret === "") return false;
  // ok: plain-comparison
  return timingSafeEqual(Buffer.from(given), Buffer.from(secret));
}
