export async function quotes(url: string, ca: string): Promise<Response> {
  // ruleid: tls-not-verified
  await fetch(url, { tls: { rejectUnauthorized: false } });
  // ruleid: tls-not-verified
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  // ok: tls-not-verified
  await fetch(url, { tls: { ca } });
  // ok: tls-not-verified
  return fetch(url, { tls: { rejectUnauthorized: true } });
}
